//! What one process of a run is told (as its arguments) and what it tells (in a page of shared memory).

use harness::Outcome;
use harness::ends::{Mood, Setup};
use harness::item::PRODUCERS;
use harness::shared::{Atomics, Shared};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;

/// Processes of one run at most.
pub const WORKERS: usize = 16;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// As many items as possible; a full queue makes producers wait.
    Throughput,
    /// As many items as possible; a full queue drops its oldest.
    Lossy,
    /// One item there and one back, through two queues.
    RoundTrip,
    /// From the put to the get of a consumer that has been asleep for more than a millisecond.
    Wake,
    /// Nothing at all: what a blocked consumer costs.
    Idle,
}

/// One process's part.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    pub system: String,
    pub kind: Kind,
    pub words: usize,
    pub producers: usize,
    pub consumers: usize,
    pub capacity: u32,
    /// Producers come first; 0 also makes the queues.
    pub index: usize,
    pub core: Option<usize>,
    /// Each process has a processor of its own.
    pub alone: bool,
    pub dir: PathBuf,
    pub prefix: String,
    /// Reading and writing ends of two queues, where the system is made of descriptors.
    pub descriptors: [[i32; 2]; 2],
    /// This part is played by a thread among others, not by a process.
    pub thread: bool,
}

impl Job {
    /// What the system has to know about queue 0 or, for round trips, 1.
    pub fn setup(&self, queue: usize) -> Setup {
        Setup {
            dir: self.dir.clone(),
            name: format!("{}-q{queue}", self.prefix),
            capacity: self.capacity,
            lossy: self.kind == Kind::Lossy,
            producers: self.producers,
            consumers: self.consumers,
            mood: match (self.kind, self.alone) {
                (Kind::Wake | Kind::Idle, _) => Mood::Asleep,
                (_, true) => Mood::Own,
                (_, false) => Mood::Shared,
            },
            descriptors: self.descriptors[queue],
        }
    }

    /// The page that all processes of the run share.
    ///
    /// # Errors
    /// As the system answers.
    pub fn board(&self) -> Outcome<Shared<Board>> {
        Shared::open(&self.dir.join("board"))
    }

    /// Where this process writes why it failed.
    pub fn complaint(&self) -> PathBuf {
        self.dir.join(format!("complaint-{}", self.index))
    }
}

/// A flag on a line of its own.
#[repr(C, align(128))]
pub struct Flag(pub AtomicU64);

/// The page. All 0 at first.
#[repr(C)]
pub struct Board {
    /// The queues are there.
    pub created: Flag,
    /// All ends are open.
    pub opened: Flag,
    /// How far the run is: 0, [`WARM`], [`MEASURED`], [`STOPPED`].
    pub phase: Flag,
    /// All end.
    pub exit: Flag,
    pub workers: [Worker; WORKERS],
}

/// What one process tells.
#[repr(C, align(128))]
pub struct Worker {
    pub state: AtomicU64,
    /// Items put or got, round trips, wake-ups.
    pub count: AtomicU64,
    /// Of these, before the measured part.
    pub before: AtomicU64,
    /// Processor time of the measured part to the last item, nanoseconds.
    pub used: AtomicU64,
    /// Time of the last item.
    pub ended: AtomicU64,
    /// Items that were wrong.
    pub wrong: AtomicU64,
    /// Items that the queue says it dropped, and 1; 0: it does not say.
    pub dropped: AtomicU64,
    /// Times measured.
    pub samples: AtomicU64,
    /// Nanoseconds: p50, p99, p99.9, max.
    pub quantiles: [AtomicU64; 4],
    /// By producer: items, sum of weights.
    pub streams: [[AtomicU64; 2]; PRODUCERS],
}

/// States of a worker.
pub const OPEN: u64 = 1;
pub const READY: u64 = 2;
pub const DONE: u64 = 3;

/// Phases of a run: caches, pages and frequencies warm up; it is measured; producers end.
pub const WARM: u64 = 1;
pub const MEASURED: u64 = 2;
pub const STOPPED: u64 = 3;

// SAFETY: nothing but atomic integers.
unsafe impl Atomics for Board {}
