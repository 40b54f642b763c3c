//! The systems by name: what each can do, and how a process plays its part with one.

mod array_queue;
mod cloudtoid;
pub mod descriptors;
mod futex;
mod iceoryx;
mod vyukov;
mod waiting;

use crate::job::{Job, Kind};
use crate::work::play;
use harness::Outcome;
use harness::ends::System;
use harness::systems::{Obvious, Prodcon, ProdconInPlace, Ringfire, Shaq};

/// What there is to know about a system from outside.
pub struct Entry {
    /// On the command line and in the JSON.
    pub name: &'static str,
    /// In the tables.
    pub title: &'static str,
    /// The crate whose version is told.
    pub package: &'static str,
    /// Can drop the oldest.
    pub lossy: bool,
    /// Drops whatever is asked: no number of it is compared with a lossless one without saying so.
    pub always_lossy: bool,
    /// Every consumer gets every item.
    pub fans_out: bool,
    /// Can wait without polling.
    pub sleeps: bool,
    /// Threads of one process.
    pub threads: bool,
    /// Needs inherited descriptors: a socket (true) or a pipe.
    pub socket: Option<bool>,
    /// Only one item at a time.
    pub single: bool,
    /// Between processes, many producers, many consumers: the goals are about these.
    pub rival: bool,
    /// What a reader of the table has to know.
    pub note: &'static str,
    play: fn(&Job) -> Outcome<()>,
}

const PLAIN: Entry = Entry {
    name: "",
    title: "",
    package: "",
    lossy: false,
    always_lossy: false,
    fans_out: false,
    sleeps: true,
    threads: false,
    socket: None,
    single: false,
    rival: false,
    note: "",
    play: |_| Ok(()),
};

/// All of them, in the order of the tables. The first is what the others are compared with.
pub const ALL: &[Entry] = &[
    Entry {
        name: "prodcon",
        title: "prodcon",
        package: "prodcon",
        lossy: true,
        note: "blocking `put` and `get_into`, which copy",
        play: sized::<Prodcon>,
        ..PLAIN
    },
    Entry {
        name: "prodcon-in-place",
        title: "prodcon, in place",
        package: "prodcon",
        lossy: true,
        note: "`reserve` .. `commit` and `take`, which do not copy",
        play: sized::<ProdconInPlace>,
        ..PLAIN
    },
    Entry {
        name: "vyukov",
        title: "Vyukov ring",
        lossy: true,
        sleeps: false,
        note: "own small implementation, packed cells, not crash-safe; `pause` and now and then yield",
        play: sized::<vyukov::Vyukov<waiting::Naive>>,
        ..PLAIN
    },
    Entry {
        name: "vyukov-policy",
        title: "Vyukov ring, prodcon's waiting",
        lossy: true,
        sleeps: false,
        note: "the same ring with prodcon's waiting policy as it first was (it does not try a distance after single successes)",
        play: sized::<vyukov::Vyukov<waiting::Policy>>,
        ..PLAIN
    },
    Entry {
        name: "crossbeam",
        title: "crossbeam ArrayQueue, threads",
        package: "crossbeam-queue",
        lossy: true,
        sleeps: false,
        threads: true,
        note: "threads of one process; lossy: `force_push`",
        play: sized::<array_queue::Array>,
        ..PLAIN
    },
    Entry {
        name: "ringfire",
        title: "ringfire MPMC",
        package: "ringfire",
        rival: true,
        lossy: true,
        always_lossy: true,
        note: "always lossy, so each figure stands with the share of items that arrived; order, integrity and no doubles are verified",
        play: sized::<Ringfire>,
        ..PLAIN
    },
    Entry {
        name: "shaq",
        title: "shaq MPMC",
        package: "shaq",
        rival: true,
        note: "in place; 4.4.0 and later do not compile with Rust 1.95 (unstable `isolate_highest_one`), so this is the newest version before",
        play: sized::<Shaq>,
        ..PLAIN
    },
    Entry {
        name: "cloudtoid",
        title: "cloudtoid-interprocess",
        package: "cloudtoid-interprocess",
        rival: true,
        note: "polled with `try_recv_into`, where it need not sleep",
        play: sized::<cloudtoid::Cloudtoid>,
        ..PLAIN
    },
    Entry {
        name: "iceoryx2",
        title: "iceoryx2",
        package: "iceoryx2",
        rival: true,
        lossy: true,
        fans_out: true,
        note: "in place (loaned samples); every consumer gets every item, and all deliveries are counted",
        play: sized::<iceoryx::Iceoryx>,
        ..PLAIN
    },
    Entry {
        name: "obvious",
        title: "shared_memory + raw_sync",
        package: "raw_sync",
        note: "mutex and two events, put together in the obvious way",
        play: sized::<Obvious>,
        ..PLAIN
    },
    Entry {
        name: "pipe",
        title: "pipe",
        socket: Some(false),
        note: "as many items as its buffer of at most 1 MiB holds",
        play: sized::<descriptors::Pipe>,
        ..PLAIN
    },
    Entry {
        name: "socket",
        title: "Unix socket, SEQPACKET",
        socket: Some(true),
        note: "as many items as the kernel allows",
        play: sized::<descriptors::Socket>,
        ..PLAIN
    },
    Entry {
        name: "futex",
        title: "bare futex",
        single: true,
        note: "no queue: a word and a futex, asleep each time; the least that a wake-up costs",
        play: |job| play::<futex::Futex, 1>(job),
        ..PLAIN
    },
];

impl Entry {
    /// Whether this can be asked of it, else why not.
    ///
    /// # Errors
    /// The reason, for the table.
    pub fn can(&self, kind: Kind, words: usize, producers: usize, consumers: usize) -> Result<(), &'static str> {
        match kind {
            Kind::Throughput if self.single => Err("one item at a time"),
            Kind::Throughput if self.socket == Some(false) && words > 512 && producers + consumers > 2 => Err("not whole above PIPE_BUF"),
            Kind::Lossy if !self.lossy => Err("not lossy"),
            Kind::Wake | Kind::Idle if !self.sleeps => Err("only polls"),
            _ => Ok(()),
        }
    }

    /// Plays a part.
    ///
    /// # Errors
    /// As the system answers.
    pub fn play(&self, job: &Job) -> Outcome<()> {
        (self.play)(job)
    }
}

/// The system of this name.
pub fn find(name: &str) -> Option<&'static Entry> {
    ALL.iter().find(|entry| entry.name == name)
}

fn sized<S: System>(job: &Job) -> Outcome<()> {
    match job.words {
        1 => play::<S, 1>(job),
        8 => play::<S, 8>(job),
        128 => play::<S, 128>(job),
        8192 => play::<S, 8192>(job),
        other => Err(format!("no items of {other} words").into()),
    }
}
