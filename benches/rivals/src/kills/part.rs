//! What the processes do that are killed: put forever, get forever, or one step under the eye of
//! the first process.

use super::board::{Ledger, MAX_ITEMS, SLOW};
use crate::ends::{Mood, Rx, Setup, System, Tx};
use crate::item;
use crate::systems::{self, Visitor};
use crate::{Outcome, cpu};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::{Duration, Instant};

/// Words of an item.
pub const N: usize = 8;

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Makes the queue and stays until it is killed.
    Keep,
    Put,
    Get,
    /// One put, or get, between two stops of itself.
    StepPut,
    StepGet,
}

/// One process's part.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    pub system: String,
    pub role: Role,
    pub slot: usize,
    pub dir: PathBuf,
    pub name: String,
    pub capacity: u32,
    /// The queue drops what is too much: producers hold back by themselves, so that what is missing was not dropped for that.
    pub hold_back: bool,
}

impl Job {
    pub fn setup(&self) -> Setup {
        Setup {
            dir: self.dir.clone(),
            name: self.name.clone(),
            capacity: self.capacity,
            lossy: false,
            producers: 4,
            consumers: 4,
            mood: Mood::Shared,
            descriptors: [0; 2],
        }
    }

    /// A file that is there once the queue is.
    pub fn made(&self) -> PathBuf {
        self.dir.join(format!("{}-made", self.name))
    }

    pub fn board(&self) -> PathBuf {
        self.dir.join("board")
    }
}

/// Plays it.
///
/// # Errors
/// As the system answers.
pub fn play(job: &Job) -> Outcome<()> {
    systems::find(&job.system)
        .ok_or("no such system")?
        .visit(Part(job))
}

struct Part<'a>(&'a Job);

impl Visitor for Part<'_> {
    type Answer = Outcome<()>;
    fn visit<S: System>(self) -> Outcome<()> {
        play_with::<S>(self.0)
    }
}

fn play_with<S: System>(job: &Job) -> Outcome<()> {
    let setup = job.setup();
    if job.role == Role::Keep {
        let keep = S::create::<N>(&setup)?;
        std::fs::write(job.made(), "")?;
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let _ = &keep;
        }
    }
    let board = Ledger::open(&job.board())?;
    match job.role {
        Role::Keep => Ok(()),
        Role::Put => put_for_ever(job, &board, S::tx::<N>(&setup)?),
        Role::Get => get_for_ever(job, &board, S::rx::<N>(&setup)?),
        Role::StepPut | Role::StepGet => {
            step(job, &board, S::tx::<N>(&setup)?, S::rx::<N>(&setup)?)
        }
    }
}

fn put_one(job: &Job, board: &Ledger, tx: &mut impl Tx<N>) -> Outcome<()> {
    let mine = &board.producers[job.slot];
    let sequence = mine.intent.load(Relaxed);
    mine.intent.store(sequence + 1, Release);
    let began = if job.hold_back { cpu::now() } else { 0 };
    tx.put(|item| item::fill(item, item::id(job.slot, sequence)))?;
    if job.hold_back && cpu::now() - began > SLOW {
        mine.slow.fetch_add(1, Relaxed);
    }
    mine.done.store(sequence + 1, Release);
    Ok(())
}

fn put_for_ever(job: &Job, board: &Ledger, mut tx: impl Tx<N>) -> Outcome<()> {
    let mine = &board.producers[job.slot];
    while board.halt.0.load(Acquire) == 0 && mine.intent.load(Relaxed) < MAX_ITEMS {
        if job.hold_back {
            let share = u64::from(job.capacity / 8).max(1);
            let began = Instant::now();
            // Never for long: what is missing is never seen.
            while mine.intent.load(Relaxed) >= mine.seen.load(Relaxed) + share
                && began.elapsed() < Duration::from_millis(20)
            {
                std::thread::yield_now();
            }
        }
        put_one(job, board, &mut tx)?;
    }
    Ok(())
}

fn get_for_ever(job: &Job, board: &Ledger, mut rx: impl Rx<N>) -> Outcome<()> {
    loop {
        rx.get(|item| board.mark(job.slot, item::read(item)))?; // marked before it is acknowledged, where that is a step of its own
    }
}

/// Three items are put and one is got, so that everything has been used once. Then, between two SIGSTOPs of its own, one put or one get and little else.
fn step(job: &Job, board: &Ledger, mut tx: impl Tx<N>, mut rx: impl Rx<N>) -> Outcome<()> {
    for _ in 0..3 {
        put_one(job, board, &mut tx)?;
    }
    rx.get(|item| board.mark(job.slot, item::read(item)))?;
    let (mine, pid) = (
        &board.producers[job.slot],
        std::process::id() as libc::pid_t,
    );
    let sequence = mine.intent.load(Relaxed);
    // SAFETY: no pointers are read for PTRACE_TRACEME.
    unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) };
    if job.role == Role::StepPut {
        mine.intent.store(sequence + 1, Release);
        stop(pid);
        tx.put(|item| item::fill(item, item::id(job.slot, sequence)))?;
        mine.done.store(sequence + 1, Release);
    } else {
        stop(pid);
        rx.get(|item| board.mark(job.slot, item::read(item)))?;
    }
    stop(pid);
    Ok(())
}

fn stop(pid: libc::pid_t) {
    // SAFETY: stops the own process; the one that traces it goes on with it or kills it.
    unsafe { libc::kill(pid, libc::SIGSTOP) };
}
