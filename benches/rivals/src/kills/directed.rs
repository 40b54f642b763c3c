//! Kills at a given instruction: a victim does one put, or one get, single-stepped, and is killed
//! after a given number of instructions. Then others use the queue, several times around. Nothing
//! in the system under test is changed for it. The same points every time, so that what is found is
//! found again.

use super::board::{Account, Ledger, SLOW};
use super::part::{Job, Role};
use super::random::own;
use crate::place::Place;
use crate::processes::{ProcessGroup, check_signals, start};
use crate::{Outcome, cpu};
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::time::{Duration, Instant};

/// A small ring, so that others come to every slot soon.
pub const CAPACITY: u32 = 8;
/// Items that the others have to get through it.
const AROUND: u64 = 6 * CAPACITY as u64;
/// How long they may take. Without harm it is a millisecond.
const MAX_ROUND: Duration = Duration::from_secs(1);
/// More instructions than any put or get has.
const TOO_MANY: u64 = 200_000;

/// What happened to one operation, killed at many instructions.
#[derive(Debug, Default)]
pub struct Outturn {
    /// Instructions of the operation, undisturbed.
    pub length: u64,
    pub points: u64,
    /// Points after which the others never got through.
    pub stuck: u64,
    /// Puts never wait for space, so that a slow one means something.
    pub never_waits: bool,
    /// Points after which puts of others took longer than 5 ms, again and again.
    pub slowed: u64,
    /// Points after which items of *others* were lost, though their puts had succeeded.
    pub bystanders: u64,
    /// The victim's own items, all points together.
    pub lost: u64,
    pub twice: u64,
    pub corrupt: u64,
    /// Points at which the queue could not be used at all (a process ended with an error).
    pub errors: u64,
}

/// Kills `role` (a `StepPut` or a `StepGet`) at up to `points` instructions.
///
/// # Errors
/// A signal came; the system refuses files, processes or tracing.
pub fn run(place: &Place, system: &str, role: Role, points: u64) -> Outcome<Outturn> {
    let length = match one(place, system, role, TOO_MANY)? {
        One::Ended { steps } => steps,
        One::Killed(_) => {
            return Err(
                format!("{system}: an operation of more than {TOO_MANY} instructions").into(),
            );
        }
    };
    let mut outturn = Outturn {
        length,
        never_waits: crate::systems::find(system).is_some_and(|entry| entry.always_lossy),
        ..Outturn::default()
    };
    let tried = points.min(length);
    for point in 0..tried {
        check_signals()?;
        let after = if tried > 1 {
            point * (length - 1) / (tried - 1)
        } else {
            0
        };
        let One::Killed(harm) = one(place, system, role, after)? else {
            continue;
        };
        outturn.points += 1;
        outturn.stuck += u64::from(harm.stuck);
        outturn.slowed += u64::from(harm.slow >= 3);
        outturn.errors += u64::from(harm.failed);
        // What lies in a queue that nobody gets through is not counted as lost.
        if !harm.stuck {
            outturn.bystanders += u64::from(harm.bystanders > 0);
            outturn.lost += harm.account.lost - harm.bystanders;
        }
        outturn.twice += harm.account.twice;
        outturn.corrupt += harm.account.corrupt;
    }
    Ok(outturn)
}

struct Harm {
    stuck: bool,
    failed: bool,
    slow: u64,
    bystanders: u64,
    account: Account,
}

enum One {
    /// The operation was over before.
    Ended {
        steps: u64,
    },
    Killed(Harm),
}

/// One victim, killed after `after` instructions, and what comes of it.
fn one(place: &Place, system: &str, role: Role, after: u64) -> Outcome<One> {
    place.scrub()?;
    let job = |role, slot| Job {
        system: system.into(),
        role,
        slot,
        dir: place.dir(),
        name: format!("{}-step", place.prefix()),
        capacity: CAPACITY,
        hold_back: crate::systems::find(system).is_some_and(|entry| entry.always_lossy),
    };
    let board = Ledger::create(&job(Role::Keep, 0).board())?;
    let mut group = ProcessGroup::default();
    group.0.push(start(own(&job(Role::Keep, 0))?)?);
    let deadline = Instant::now() + Duration::from_secs(20);
    while !job(Role::Keep, 0).made().exists() {
        if Instant::now() > deadline || group.alive() == 0 {
            return Err(format!("{system}: the queue was not made").into());
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    let victim = start(own(&job(role, 0))?)?;
    let steps = stepped(victim.id(), after)?;
    if let Some(steps) = steps {
        return Ok(One::Ended { steps });
    }
    // The others: a producer and a consumer that come now.
    group.0.push(start(own(&job(Role::Put, 1))?)?);
    group.0.push(start(own(&job(Role::Get, 1))?)?);
    let expected = group.0.len();
    let (mut began, mut seen) = (Instant::now(), 0);
    let through = || board.producers[1].seen.load(Relaxed);
    let mut failed = false;
    while through() < AROUND && began.elapsed() < MAX_ROUND && !failed {
        check_signals()?;
        std::thread::sleep(Duration::from_micros(200));
        if through() > seen {
            (began, seen) = (Instant::now(), through()); // slow is not stuck
        }
        failed = group.alive() < expected;
    }
    let stuck = through() < AROUND;
    board.halt.0.store(1, Release);
    let mut last = (Instant::now(), board.got());
    let quiet = Duration::from_millis(if stuck { 50 } else { 120 }); // those who adopt a dead consumer's item look every 100 ms
    let idle = |board: &Ledger| {
        let numbers = &board.producers;
        numbers
            .iter()
            .all(|numbers| numbers.seen.load(Relaxed) >= numbers.intent.load(Relaxed))
    };
    while last.0.elapsed() < quiet && !idle(&board) {
        std::thread::sleep(Duration::from_micros(500));
        if board.got() != last.1 {
            last = (Instant::now(), board.got());
        }
    }
    drop(group);
    let doubts: Vec<_> = [0, 1]
        .into_iter()
        .filter_map(|slot| board.doubt(slot))
        .collect();
    let account = board.account(&doubts);
    let bystanders = board.put_and_lost(1, &doubts).1;
    Ok(One::Killed(Harm {
        stuck,
        failed,
        slow: board.producers[1].slow.load(Relaxed),
        bystanders,
        account,
    }))
}

/// Lets a process that stops itself do this many instructions, and kills it. Returns `Some` with
/// their number if it had stopped itself again before.
fn stepped(pid: u32, after: u64) -> Outcome<Option<u64>> {
    let pid = pid as libc::pid_t;
    let signal_of = |status: i32| libc::WIFSTOPPED(status).then(|| libc::WSTOPSIG(status));
    let deadline = Instant::now() + Duration::from_secs(20);
    // Killed and reaped whatever happens.
    struct Victim(libc::pid_t);
    impl Drop for Victim {
        fn drop(&mut self) {
            cpu::signal(self.0 as u32, libc::SIGKILL);
            let mut status = 0;
            // SAFETY: a valid pointer to an integer.
            while unsafe { libc::waitpid(self.0, &raw mut status, libc::__WALL) } == self.0
                && !(libc::WIFEXITED(status) || libc::WIFSIGNALED(status))
            {}
        }
    }
    let victim = Victim(pid);
    let wait = |flags: i32| {
        let mut status = 0;
        // SAFETY: a valid pointer to an integer.
        let found = unsafe { libc::waitpid(pid, &raw mut status, flags) };
        (found, status)
    };
    loop {
        match wait(libc::WUNTRACED | libc::WNOHANG) {
            (0, _) if Instant::now() < deadline => std::thread::sleep(Duration::from_micros(100)),
            (found, status) if found == pid && signal_of(status) == Some(libc::SIGSTOP) => break,
            (_, status) => {
                return Err(
                    format!("the victim did not come to its stop (status {status:#x})").into(),
                );
            }
        }
    }
    let mut steps = 0;
    while steps < after {
        // SAFETY: the victim is traced by this thread (it asked for that, and this thread is its parent) and stopped; no pointers.
        if unsafe { libc::ptrace(libc::PTRACE_SINGLESTEP, pid, 0, 0) } != 0 {
            return Err(format!("cannot single-step: {}", std::io::Error::last_os_error()).into());
        }
        match wait(libc::__WALL) {
            (found, status) if found == pid && signal_of(status) == Some(libc::SIGTRAP) => {
                steps += 1
            }
            (found, status) if found == pid && signal_of(status) == Some(libc::SIGSTOP) => {
                return Ok(Some(steps));
            }
            (_, status) => {
                return Err(format!("the victim ended in mid-step (status {status:#x})").into());
            }
        }
    }
    drop(victim);
    Ok(None)
}

const _: () = assert!(SLOW == 5_000_000, "the report says 5 ms");
