//! A seat: the record that makes a death readable, and the counters that survive it.
//!
//! Owns the packing of the record word and [`Seat`], the private copy that the seat's holder works from: nothing a live holder
//! needs is read back from shared memory. Only the holder of a seat's lock calls what writes here.

use super::Memory;
use super::slot::Cursor;
use crate::layout::SeatLine;
use crate::sync::atomic::{Ordering, compiler_fence, store};

/// What an exchange does to the item in the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// There is none.
    Put = 0,
    /// Taken for delivery.
    Take = 1,
    /// A live item dropped by a lossy put.
    Drop = 2,
    /// A cleared item thrown away.
    Discard = 3,
}

/// What a seat counts; the index of its counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Live items dropped by lossy puts.
    Dropped = 0,
    /// Items cleared before they were delivered.
    Cleared = 1,
    /// Items acknowledged.
    Got = 2,
    /// Items lost with their consumer (at-most-once).
    Lost = 3,
}

/// The record: ONE word, `mine 24 | incoming 24 | hold 1 | kind 2 | parity 1` from the low bits up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// The block this seat owns.
    pub(crate) mine: u32,
    /// The block it is about to receive; `None`: the seat is at rest.
    pub(crate) incoming: Option<u32>,
    /// The block carries an item taken and not yet acknowledged.
    pub(crate) hold: bool,
    /// Of the exchange under way.
    pub(crate) kind: Kind,
    /// Parity of the sum of the counters when this was written.
    pub(crate) parity: bool,
}

const NONE: u64 = (1 << 24) - 1;

impl Record {
    pub(crate) fn at_rest(mine: u32) -> Self {
        Self {
            mine,
            incoming: None,
            hold: false,
            kind: Kind::Put,
            parity: false,
        }
    }

    #[inline(always)]
    pub(crate) fn pack(self) -> u64 {
        let incoming = match self.incoming {
            Some(block) => u64::from(block),
            None => NONE,
        };
        u64::from(self.mine) | incoming << 24 | u64::from(self.hold) << 48 | (self.kind as u64) << 49 | u64::from(self.parity) << 51
    }

    pub(crate) fn unpack(word: u64) -> Self {
        let incoming = word >> 24 & NONE;
        Self {
            mine: (word & NONE) as u32,
            incoming: (incoming != NONE).then_some(incoming as u32),
            hold: word >> 48 & 1 == 1,
            kind: [Kind::Put, Kind::Take, Kind::Drop, Kind::Discard][(word >> 49 & 3) as usize],
            parity: word >> 51 & 1 == 1,
        }
    }
}

impl SeatLine {
    // Relaxed: read under the seat's lock (whose hand-over is the happens-before), or as a hint of what to look at under it.
    pub(crate) fn read_record(&self) -> Record {
        Record::unpack(self.record.load(Ordering::Relaxed))
    }

    pub(crate) fn read_counts(&self) -> [u64; 4] {
        // Relaxed: as read_record.
        [0, 1, 2, 3].map(|event| self.counts[event].load(Ordering::Relaxed))
    }
}

/// The parity of the sum of a seat's counters.
pub(crate) fn parity(counts: &[u64; 4]) -> bool {
    counts.iter().fold(0, |sum, count| sum ^ count) & 1 == 1
}

/// A seat whose lock we hold.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) index: u32,
    /// The block it owns.
    pub(crate) block: u32,
    /// It carries an item taken and not acknowledged: it never exchanges.
    pub(crate) hold: bool,
    /// An exchange was announced and not yet given up.
    pub(super) announced: bool,
    pub(super) counts: [u64; 4],
    pub(super) parity: bool,
}

impl Seat {
    /// The private copy of a seat that is locked by us and at rest.
    pub(super) fn adopt(index: u32, line: &SeatLine) -> Self {
        let (record, counts) = (line.read_record(), line.read_counts());
        Self {
            index,
            block: record.mine,
            hold: record.hold,
            announced: false,
            counts,
            parity: parity(&counts),
        }
    }

    /// Stands in for a seat that was given up.
    pub(crate) fn gone(index: u32) -> Self {
        Self {
            index,
            block: 0,
            hold: false,
            announced: false,
            counts: [0; 4],
            parity: false,
        }
    }

    fn record(&self, incoming: Option<u32>, hold: bool, kind: Kind) -> u64 {
        Record {
            mine: self.block,
            incoming,
            hold,
            kind,
            parity: self.parity,
        }
        .pack()
    }

    #[inline(always)]
    pub(super) fn announce<M: Memory>(&mut self, memory: &M, incoming: u32, kind: Kind) {
        // Relaxed: the slot's CAS, which follows, releases it.
        store(&memory.seat(self.index).record, self.record(Some(incoming), false, kind), Ordering::Relaxed);
        self.announced = true;
    }

    /// The record at rest.
    #[inline(always)]
    pub(super) fn rest<M: Memory>(&mut self, memory: &M) {
        // Release keeps the counter store before it: a death between the two must show the counter, never the record alone. Pairs with: the lock's hand-over.
        store(&memory.seat(self.index).record, self.record(None, self.hold, Kind::Put), Ordering::Release);
        self.announced = false;
    }

    /// Gives up an announced exchange, if there is one.
    #[inline(always)]
    pub(super) fn retreat<M: Memory>(&mut self, memory: &M) {
        if self.announced {
            self.rest(memory);
        }
    }

    /// Counts an event: one store to the own line.
    #[inline(always)]
    pub(super) fn count<M: Memory>(&mut self, memory: &M, event: Event) {
        let count = &mut self.counts[event as usize];
        *count = count.wrapping_add(1);
        self.parity = !self.parity;
        // Release: what was read from the block happens before its acknowledgement. Pairs with: the lock's hand-over.
        store(&memory.seat(self.index).counts[event as usize], *count, Ordering::Release);
    }

    /// Settles the item in hand: the counter store IS the event, the record follows.
    #[inline(always)]
    pub(crate) fn settle<M: Memory>(&mut self, memory: &M, event: Event) {
        debug_assert!(self.hold);
        self.count(memory, event);
        self.hold = false;
        self.rest(memory);
        // A death cuts in instruction order: no store of the next payload into this block may be moved up by the compiler.
        compiler_fence(Ordering::SeqCst);
    }

    /// Notes where the item about to be taken stands.
    #[inline(always)]
    pub(super) fn note_position<M: Memory>(&self, memory: &M, at: Cursor) {
        // Relaxed: read under the lock; the CAS that follows releases it.
        store(&memory.seat(self.index).position, memory.shape().position(at), Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn records_come_apart_as_they_were_put_together() {
        for kind in [Kind::Put, Kind::Take, Kind::Drop, Kind::Discard] {
            for (incoming, hold, parity) in [(None, true, false), (Some(0), false, true), (Some((1 << 20) - 1), true, true)] {
                let record = Record {
                    mine: 77,
                    incoming,
                    hold,
                    kind,
                    parity,
                };
                assert_eq!(Record::unpack(record.pack()), record);
            }
        }
    }
}
