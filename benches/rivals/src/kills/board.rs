//! The ledger that all processes of a test write, beside the queue under test: what was put, what was got. It survives every kill, so that in the end each item is
//! accounted for.
//!
//! A producer writes `intent = s + 1` before it puts item s, and `done = s + 1` afterwards. One that is killed in between leaves item s in doubt: it may have been put or
//! not, both are right. Its successor goes on with `intent`. A consumer marks each item that it has got. Every item below `intent` that is not in doubt and has no mark
//! is lost; an item marked twice was delivered twice.

use crate::item;
use crate::shared::{Atomics, Shared};
use std::mem::offset_of;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::sync::atomic::{AtomicU64, Ordering};

/// Producers, and consumers.
pub const SLOTS: usize = 4;
/// Items of one producer at most: 2^26, a bit each.
const WORDS: usize = 1 << 20;
pub const MAX_ITEMS: u64 = (WORDS as u64) * 64;

/// All 0 at first.
#[repr(C)]
pub struct Board {
    /// Producers end after the item they are at.
    pub halt: Flag,
    pub producers: [Producer; SLOTS],
    pub consumers: [Consumer; SLOTS],
    marks: [[AtomicU64; WORDS]; SLOTS],
}

#[repr(C, align(128))]
pub struct Flag(pub AtomicU64);

#[repr(C, align(128))]
pub struct Producer {
    pub intent: AtomicU64,
    pub done: AtomicU64,
    /// The greatest sequence number of this producer that anybody got, and 1.
    pub seen: AtomicU64,
    /// Puts that took longer than [`SLOW`], on a queue whose puts never wait for space.
    pub slow: AtomicU64,
}

#[repr(C, align(128))]
pub struct Consumer {
    pub got: AtomicU64,
    pub twice: AtomicU64,
    pub corrupt: AtomicU64,
}

/// Nanoseconds of a put that counts as slow.
pub const SLOW: u64 = 5_000_000;

// SAFETY: nothing but atomic integers.
unsafe impl Atomics for Board {}

/// What became of the items.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    pub put: u64,
    pub lost: u64,
    pub twice: u64,
    pub corrupt: u64,
}

impl Board {
    /// Consumer `consumer` has got an item.
    pub fn mark(&self, consumer: usize, (id, intact): (u64, bool)) {
        let mine = &self.consumers[consumer];
        let (producer, sequence) = item::parts(id);
        let known = self
            .producers
            .get(producer)
            .is_some_and(|producer| sequence < producer.intent.load(Acquire));
        if !intact || !known || sequence >= MAX_ITEMS {
            mine.corrupt.fetch_add(1, Relaxed);
        } else {
            let bit = 1 << (sequence % 64);
            if self.marks[producer][(sequence / 64) as usize].fetch_or(bit, Ordering::AcqRel) & bit
                != 0
            {
                mine.twice.fetch_add(1, Relaxed);
            }
            self.producers[producer]
                .seen
                .fetch_max(sequence + 1, Relaxed);
        }
        mine.got.fetch_add(1, Relaxed);
    }

    /// Items got so far.
    pub fn got(&self) -> u64 {
        self.consumers
            .iter()
            .map(|consumer| consumer.got.load(Relaxed))
            .sum()
    }

    /// The account, once nobody does anything any more. `doubts`: producers and sequence numbers of items that may or may not have been put.
    pub fn account(&self, doubts: &[(usize, u64)]) -> Account {
        let mut account = Account::default();
        for producer in 0..SLOTS {
            let (put, lost) = self.put_and_lost(producer, doubts);
            account.put += put;
            account.lost += lost;
        }
        for consumer in &self.consumers {
            account.twice += consumer.twice.load(Relaxed);
            account.corrupt += consumer.corrupt.load(Relaxed);
        }
        account
    }

    /// Items of one producer: put, and lost.
    pub fn put_and_lost(&self, producer: usize, doubts: &[(usize, u64)]) -> (u64, u64) {
        let all = self.producers[producer].intent.load(Acquire).min(MAX_ITEMS);
        let marked = |sequence: u64| {
            self.marks[producer][(sequence / 64) as usize].load(Acquire) >> (sequence % 64) & 1 == 1
        };
        let missing = (0..all).filter(|sequence| !marked(*sequence)).count() as u64;
        let doubted = doubts
            .iter()
            .filter(|(of, sequence)| *of == producer && *sequence < all && !marked(*sequence))
            .count() as u64;
        (all - doubted, missing - doubted)
    }

    /// The item that producer `producer`, dead or stuck, was at.
    pub fn doubt(&self, producer: usize) -> Option<(usize, u64)> {
        let numbers = &self.producers[producer];
        let (intent, done) = (numbers.intent.load(Acquire), numbers.done.load(Acquire));
        (intent > done).then(|| (producer, intent - 1))
    }
}

/// Where the parts of the board lie, in bytes, for programs in other languages: halt, intent, done, got, twice, corrupt, marks; of slot `slot`.
pub fn offsets(slot: usize) -> [usize; 7] {
    let producer = offset_of!(Board, producers) + slot * size_of::<Producer>();
    let consumer = offset_of!(Board, consumers) + slot * size_of::<Consumer>();
    [
        offset_of!(Board, halt),
        producer + offset_of!(Producer, intent),
        producer + offset_of!(Producer, done),
        consumer + offset_of!(Consumer, got),
        consumer + offset_of!(Consumer, twice),
        consumer + offset_of!(Consumer, corrupt),
        offset_of!(Board, marks),
    ]
}

/// Bytes of one producer's marks.
pub const MARKS: usize = WORDS * 8;

/// The mapped board.
pub type Ledger = Shared<Board>;

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(name: &str) -> (Ledger, std::path::PathBuf) {
        let path = std::env::temp_dir().join(format!("kills-{}-{name}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        (Ledger::create(&path).unwrap(), path)
    }

    #[test]
    fn lost_doubled_and_spoiled_items_show_and_doubtful_ones_do_not() {
        let (board, path) = ledger("account");
        for (producer, count) in [(0, 10), (3, 5)] {
            board.producers[producer].intent.store(count, Relaxed);
            board.producers[producer].done.store(count, Relaxed);
            (0..count).for_each(|sequence| board.mark(1, (item::id(producer, sequence), true)));
        }
        let fine = Account {
            put: 15,
            ..Account::default()
        };
        assert_eq!(board.account(&[]), fine);
        board.mark(2, (item::id(0, 4), true));
        assert_eq!(board.account(&[]), Account { twice: 1, ..fine });
        board.producers[1].intent.store(3, Relaxed);
        board.producers[1].done.store(2, Relaxed);
        board.mark(0, (item::id(1, 0), true));
        assert_eq!(board.doubt(1), Some((1, 2)));
        let lost = Account {
            put: 17,
            lost: 1,
            twice: 1,
            corrupt: 0,
        };
        assert_eq!(board.account(&[(1, 2)]), lost);
        board.mark(0, (item::id(1, 2), true)); // the doubtful one was put after all
        assert_eq!(board.account(&[(1, 2)]), Account { put: 18, ..lost });
        board.mark(0, (item::id(2, 0), true)); // nobody meant to put that
        board.mark(0, (item::id(0, 5), false));
        assert_eq!(board.account(&[(1, 2)]).corrupt, 2);
        let _ = std::fs::remove_file(path);
    }
}
