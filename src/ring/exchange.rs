//! The one primitive: trade the seat's block for the slot's block with a single compare-and-swap.
//!
//! Before the CAS nothing has happened; after it everything has. What may be left unfinished by a death, counters and the record at rest, is
//! for `recover` to finish. Called by `put`, `take` and `drain` of this room alone.

use super::seat::{Event, Kind, Seat};
use super::slot::{Cursor, Slot};
use super::{Memory, Refusal, Ring};
use crate::sync::atomic::{cas_sc, load_sc, pause};

/// How an exchange ended that did not fail for good.
pub(super) enum Swap {
    /// It happened; the seat owns the slot's former block and is at rest.
    Done,
    /// Somebody was faster: this is what the slot holds now. The record is still announced.
    Lost(Slot),
}

impl<M: Memory> Ring<M> {
    /// What slot `index` holds.
    #[inline(always)]
    pub(super) fn look(&self, index: u32) -> Result<Slot, Refusal> {
        self.checked(load_sc(self.memory.slot(index)))
    }

    /// A block number read from shared memory is never used unchecked.
    #[inline(always)]
    fn checked(&self, raw: u64) -> Result<Slot, Refusal> {
        let slot = self.memory.shape().slot(raw);
        if slot.block < self.memory.shape().blocks {
            Ok(slot)
        } else {
            Err(Refusal::Corrupt("a slot names a block that does not exist"))
        }
    }

    /// What happens to whom by an exchange of this kind, in the order in which it is counted. A take counts nothing yet.
    #[inline(always)]
    pub(super) fn events(&self, kind: Kind) -> [Option<Event>; 2] {
        let put = (self.batch > 1).then_some(Event::Put);
        match kind {
            Kind::Put => [put, None],
            Kind::Take => [None, None],
            Kind::Drop => [Some(Event::Dropped), put],
            Kind::Discard => [Some(Event::Cleared), None],
            Kind::Replace => [Some(Event::Cleared), put],
        }
    }

    /// Trades `seat`'s block for the block of `seen` in slot `at.index`, whose stamp becomes `stamp`. `outgoing`: items in the seat's block, of a put.
    /// A take leaves the seat with `hold`; the seat must have none before.
    #[inline(always)]
    pub(super) fn exchange(&self, seat: &mut Seat, at: Cursor, seen: Slot, stamp: u64, kind: Kind, outgoing: u32) -> Result<Swap, Refusal> {
        debug_assert!(!seat.hold, "a seat with an item in hand exchanges");
        let shape = self.memory.shape();
        if stamp > shape.last_stamp {
            return Err(Refusal::Exhausted);
        }
        // All that is needed after the CAS is at hand before it.
        let (line, slot, mine, batches) = (self.memory.seat(seat.index), self.memory.slot(at.index), seat.block, self.batch > 1);
        if kind == Kind::Take {
            seat.prepare_take(line, shape.position(at));
        } else if batches {
            seat.prepare_put(line, outgoing);
        }
        seat.announce(line, seen.block, kind);
        // SeqCst: pairs with every look and exchange of the others; with less, two dead seats can become undecidable for ever,
        // and the event word's proof needs the slot in the one order of all.
        match cas_sc(slot, seen.raw, shape.pack(stamp, mine)) {
            Ok(_) => {
                #[cfg(all(test, loom))]
                super::model::witness(&self.memory, kind, mine, seen.block);
                seat.block = seen.block;
                seat.hold = kind == Kind::Take;
                if batches || !matches!(kind, Kind::Put | Kind::Take) {
                    for event in self.events(kind).into_iter().flatten() {
                        let items = if event == Event::Put { outgoing } else { self.items_in(seen.block) };
                        seat.count(line, event, items.into());
                    }
                }
                seat.rest_at(line);
                Ok(Swap::Done)
            }
            Err(actual) => {
                pause(self.contention);
                self.checked(actual).map(Swap::Lost)
            }
        }
    }
}
