//! The systems whose processes are killed.

use crate::part::{Job, with};
use harness::Outcome;
use harness::systems::{Obvious, Prodcon, ProdconAtLeastOnce, Ringfire, Shaq};

/// What a system promises about items when a process is killed, where it promises something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// Nothing twice, and lost at most what killed consumers had in hand.
    AtMostOnce,
    /// Nothing lost, and twice at most what killed consumers had in hand.
    AtLeastOnce,
    /// It says nothing.
    None,
}

/// What there is to know about a system from outside.
pub struct Entry {
    pub name: &'static str,
    pub title: &'static str,
    pub promise: Promise,
    /// Drops what is too much.
    pub lossy: bool,
    pub play: fn(&Job) -> Outcome<()>,
}

/// Those that are crates. Python's queue and boost's are programs of their own, in `foreign`.
pub const ALL: &[Entry] = &[
    Entry {
        name: "prodcon",
        title: "prodcon, at-most-once",
        promise: Promise::AtMostOnce,
        lossy: false,
        play: with::<Prodcon>,
    },
    Entry {
        name: "prodcon-at-least-once",
        title: "prodcon, at-least-once",
        promise: Promise::AtLeastOnce,
        lossy: false,
        play: with::<ProdconAtLeastOnce>,
    },
    Entry {
        name: "obvious",
        title: "shared_memory + raw_sync",
        promise: Promise::None,
        lossy: false,
        play: with::<Obvious>,
    },
    Entry {
        name: "ringfire",
        title: "ringfire MPMC",
        promise: Promise::None,
        lossy: true,
        play: with::<Ringfire>,
    },
    Entry {
        name: "shaq",
        title: "shaq MPMC",
        promise: Promise::None,
        lossy: false,
        play: with::<Shaq>,
    },
];

/// The system of this name.
pub fn find(name: &str) -> Option<&'static Entry> {
    ALL.iter().find(|entry| entry.name == name)
}
