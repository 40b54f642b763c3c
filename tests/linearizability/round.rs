//! One history: a queue, up to four processes that use it at random, pauses and kills, and the parent
//! that gets what is left and reads the accounts.

use crate::adapter::{self, Endpoint, Owner};
use crate::history::{Answer, History, Kind, Operation, Said, Settings};
use crate::pause::{self, dice, seed};
use crate::recorder::{Log, Recorder, now};
use crate::spec::{AT_END, PROCESSES, STARTED, STOPPED};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// What a round is like.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub settings: Settings,
    pub processes: usize,
    /// Operations of each.
    pub operations: u64,
    pub forces: bool,
    pub clears: bool,
    pub states: bool,
    pub kills: bool,
    pub stops: bool,
    pub pauses: bool,
    pub seed: u64,
}

impl Plan {
    pub fn of(number: u64) -> Self {
        let mut state = seed(number);
        let d = &mut state;
        let mut one_in = |sides| dice(d, sides) == 0;
        let (lossy, at_least_once, batched) = (one_in(4), one_in(3), one_in(3));
        let (forces, clears, states) = (one_in(4), one_in(2), one_in(4));
        let (kills, stops, pauses) = (one_in(4), one_in(4), !one_in(4));
        Self {
            settings: Settings {
                capacity: 1 + dice(d, 4) as usize,
                batch: if batched { 2 + dice(d, 2) as usize } else { 1 },
                lossy,
                at_least_once,
                copies: number % 2 == 0,
            },
            processes: 2 + dice(d, 3) as usize,
            operations: 5 + dice(d, 11),
            forces,
            clears,
            states,
            kills,
            stops,
            pauses,
            seed: number,
        }
    }
}

/// Children, killed and waited for when this is dropped.
struct Children(Vec<Option<libc::pid_t>>);

impl Children {
    fn signal(&self, child: usize, signal: libc::c_int) {
        if let Some(pid) = self.0[child] {
            // SAFETY: a signal to a child that has not been waited for.
            unsafe { libc::kill(pid, signal) };
        }
    }

    /// Its status if it has ended.
    fn ended(&mut self, child: usize, options: libc::c_int) -> Option<libc::c_int> {
        let pid = self.0[child]?;
        let mut status = 0;
        // SAFETY: waits for a child of ours; `status` can be written.
        let ended = unsafe { libc::waitpid(pid, &mut status, options) } == pid;
        ended.then(|| {
            self.0[child] = None;
            status
        })
    }

    fn kill(&mut self, child: usize) {
        self.signal(child, libc::SIGKILL);
        self.ended(child, 0);
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        (0..self.0.len()).for_each(|child| self.kill(child));
    }
}

/// Starts a process that does `work` and nothing else. This process has one thread.
fn fork(work: impl FnOnce()) -> libc::pid_t {
    // SAFETY: with one thread the child may do what the parent may.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
    if pid == 0 {
        // SAFETY: asks for a signal; touches no memory.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        let well = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_ok();
        // SAFETY: ends the child without running anything of the parent's.
        unsafe { libc::_exit(i32::from(!well)) };
    }
    pid
}

/// Runs a round.
pub fn run(plan: &Plan, recorder: &Recorder, dir: &Path) -> Result<History, String> {
    recorder.reset();
    let owner = Owner::create(dir, plan.settings);
    let mut children = Children(vec![]);
    for child in 0..plan.processes {
        children
            .0
            .push(Some(fork(|| live(plan, recorder, child, dir))));
    }
    let mut state = seed(plan.seed ^ 0xABCD);
    let deadline = Instant::now() + Duration::from_secs(60);
    while recorder.gate().load(Ordering::Acquire) < plan.processes as u64 {
        for child in 0..plan.processes {
            if let Some(status) = children.ended(child, libc::WNOHANG) {
                return Err(format!("process {child} ended early: {status}"));
            }
        }
        if Instant::now() > deadline {
            return Err("the processes do not come".into());
        }
        std::thread::yield_now();
    }
    recorder.gate().store(u64::MAX, Ordering::Release);
    let mut dead: Vec<Operation> = vec![];
    if plan.stops {
        for _ in 0..1 + dice(&mut state, 3) {
            let child = dice(&mut state, plan.processes as u64) as usize;
            wait_a_little(&mut state, 200);
            children.signal(child, libc::SIGSTOP);
            wait_a_little(&mut state, 300);
            children.signal(child, libc::SIGCONT);
        }
    }
    if plan.kills {
        for number in 0..1 + dice(&mut state, 2) {
            let child = dice(&mut state, plan.processes as u64) as usize;
            wait_a_little(&mut state, 400);
            if children.0[child].is_none() {
                continue; // killed already
            }
            let from = now();
            children.kill(child);
            let to = now();
            let process = child;
            dead.push(Operation {
                process,
                kind: Kind::Die,
                given: vec![],
                answer: Some(Answer::said(Said::Done)),
                from,
                to,
            });
            if number == 0 && plan.processes + 2 <= PROCESSES && dice(&mut state, 2) == 0 {
                let place = plan.processes;
                children
                    .0
                    .push(Some(fork(|| live(plan, recorder, place, dir))));
            }
        }
    }
    for child in 0..children.0.len() {
        while children.0[child].is_some() {
            match children.ended(child, libc::WNOHANG) {
                Some(0) => {}
                Some(status) => return Err(format!("process {child} failed: status {status}")),
                None if Instant::now() > deadline => {
                    return Err(format!("process {child} does not end"));
                }
                None => std::thread::sleep(Duration::from_micros(50)),
            }
        }
    }
    clean_up(plan, recorder, &owner, dir);
    let mut operations = vec![];
    for region in 0..PROCESSES {
        let death = dead.iter().find(|operation| operation.process == region);
        let did = recorder.operations(region, death.map_or(u64::MAX, |death| death.to));
        if let Some(operation) = did
            .iter()
            .find(|operation| operation.answer.is_none() && death.is_none())
        {
            return Err(format!("not ended: {operation}"));
        }
        // It may have closed before the signal came.
        let closed = did
            .last()
            .is_some_and(|last| last.kind == Kind::Close && last.answer.is_some());
        operations.extend(did);
        operations.extend(death.filter(|_| !closed).cloned());
    }
    let figures = Answer::done(owner.figures());
    owner.remove();
    let (from, process) = (now(), PROCESSES - 1);
    operations.push(Operation {
        process,
        kind: Kind::Figures,
        given: vec![],
        answer: Some(figures),
        from,
        to: from + 1,
    });
    Ok(History {
        settings: plan.settings,
        operations,
    })
}

/// Below this many microseconds.
fn wait_a_little(state: &mut u64, micros: u64) {
    let end = Instant::now() + Duration::from_micros(dice(state, micros));
    while Instant::now() < end {
        std::thread::yield_now();
    }
}

/// The parent gets what is left.
fn clean_up(plan: &Plan, recorder: &Recorder, owner: &Owner, dir: &Path) {
    let mut log = recorder.log(PROCESSES - 1);
    let mut queue = Owner::attach(dir);
    if plan.states {
        for to in [STOPPED, STARTED] {
            log.begin(Kind::SetState, &[to]);
            let answer = queue.perform(Kind::SetState, &[to]);
            log.end(&answer);
        }
    }
    adapter::drain(&mut queue, owner, |answer| match answer {
        None => log.begin(Kind::TryGet, &[]),
        Some(answer) => log.end(&answer),
    });
}

/// What a process does.
fn live(plan: &Plan, recorder: &Recorder, number: usize, dir: &Path) {
    let mut queue = Owner::attach(dir);
    let mut life = Life {
        plan,
        log: recorder.log(number),
        state: seed(plan.seed.wrapping_mul(31).wrapping_add(number as u64 + 1)),
        next: (number as u64 + 1) * 1000,
    };
    let late = recorder.gate().load(Ordering::Acquire) == u64::MAX;
    if !late {
        recorder.gate().fetch_add(1, Ordering::AcqRel);
        while recorder.gate().load(Ordering::Acquire) != u64::MAX {
            std::thread::yield_now();
        }
    }
    if plan.pauses {
        pause::begin(seed(life.state));
    }
    for _ in 0..plan.operations {
        if life.log.is_full() {
            break;
        }
        life.act(&mut queue);
    }
    life.log.begin(Kind::Close, &[]);
    drop(queue);
    life.log.end(&Answer::said(Said::Done));
    // Relaxed: read when this process has been waited for.
    recorder.hits().fetch_add(pause::hits(), Ordering::Relaxed);
}

struct Life<'a> {
    plan: &'a Plan,
    log: Log<'a>,
    state: u64,
    next: u64,
}

impl Life<'_> {
    fn dice(&mut self, sides: u64) -> u64 {
        dice(&mut self.state, sides)
    }

    fn act(&mut self, queue: &mut Endpoint) {
        let (plan, settings) = (self.plan, self.plan.settings);
        let kind = match self.dice(100) {
            0..5 if plan.clears => {
                [Kind::Clear, Kind::Clear, Kind::SetNotReady][self.dice(3) as usize]
            }
            5..10 if plan.clears => Kind::SetReady,
            10..15 if plan.states => Kind::SetState,
            15..20 => Kind::Len,
            20..23 => Kind::IsEmpty,
            23..26 => Kind::IsFull,
            26..27 => Kind::IsReady,
            27..28 => Kind::State,
            28..55 => Kind::TryPut,
            55..60 => Kind::WaitPut,
            60..67 if plan.forces => Kind::ForcePut,
            67..70 => Kind::WaitGet,
            70..77 => Kind::TryTake,
            77..79 => Kind::WaitTake,
            79..82 if settings.batch > 1 => Kind::TakeBatch,
            82..85 if settings.batch > 1 => Kind::GetBatch,
            _ => Kind::TryGet,
        };
        if kind.takes() {
            self.take(queue, kind);
            return;
        }
        let given: Vec<u64> = if kind.puts() {
            let most = if kind == Kind::ForcePut {
                1
            } else {
                settings.batch as u64
            };
            let count = 1 + self.dice(most);
            self.next += count;
            (self.next - count..self.next).collect()
        } else if kind == Kind::SetState {
            vec![[STOPPED, STARTED, STARTED, AT_END][self.dice(4) as usize]]
        } else {
            vec![]
        };
        self.log.begin(kind, &given);
        let answer = queue.perform(kind, &given);
        self.log.end(&answer);
    }

    fn take(&mut self, queue: &mut Endpoint, kind: Kind) {
        let nacks = self.dice(4) == 0;
        let lingers = self.dice(200);
        let log = &mut self.log;
        log.begin(kind, &[]);
        let then = |answer: Answer| {
            log.end(&answer);
            (0..lingers).for_each(|_| std::hint::spin_loop());
            log.begin(if nacks { Kind::Nack } else { Kind::Ack }, &[]);
            !nacks
        };
        match queue.take(kind, then) {
            Ok(answer) | Err(answer) => self.log.end(&answer),
        }
    }
}
