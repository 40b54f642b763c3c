//! The one primitive: a single compare-and-swap exchanges the seat's block for the slot's block.
//!
//! Before the CAS nothing has happened; after it everything has. A death after it may leave the
//! counters and the record at rest unfinished. `recover` finishes them. docs/design.md, section 3,
//! has the protocol.

use super::seat::{Event, Kind, Seat};
use super::slot::{Cursor, Slot};
use super::{Memory, Ring, RingError};
use crate::layout::SeatLine;
use crate::sync::atomic::{AtomicU64, Ordering, cas_sc, fence, load_sc, pause};
use crate::sync::pair::{Both, Pair};

/// How an exchange ended, unless it failed for good.
pub(super) enum Exchanged {
    /// It happened. The seat owns the slot's former block and is at rest.
    Done,
    /// Another process was faster. This is what the slot holds now, and the record is still
    /// announced.
    Lost(Slot),
}

/// What an exchange does to the copy in a slot that has one.
#[derive(Clone, Copy)]
pub(super) struct Copies<'a> {
    pair: &'a Pair,
    /// Loaded after the slot's word. It is that word's, or the word is not there any more.
    seen: u64,
    /// Of the item in the seat's block.
    new: u64,
}

impl<'a> Copies<'a> {
    /// Looks at the copy. The caller has looked at the word before.
    #[inline(always)]
    pub(super) fn look(pair: &'a Pair, new: u64) -> Self {
        let seen = pair.copy();
        Self { pair, seen, new }
    }
}

impl<M: Memory> Ring<M> {
    /// Returns what slot `index` holds.
    #[inline(always)]
    pub(super) fn look(&self, index: u32) -> Result<Slot, RingError> {
        self.checked(load_sc(self.memory.slot(index)))
    }

    /// Checks a block number that was read from shared memory. None is ever used unchecked.
    #[inline(always)]
    fn checked(&self, raw: u64) -> Result<Slot, RingError> {
        let slot = self.memory.shape().slot(raw);
        if slot.block < self.memory.shape().blocks {
            Ok(slot)
        } else {
            Err(RingError::Corrupt(
                "a slot names a block that does not exist",
            ))
        }
    }

    /// Returns what an exchange of this kind counts, in the order in which it is counted. A take
    /// counts nothing yet.
    #[inline(always)]
    pub(super) fn events(&self, kind: Kind) -> [Option<Event>; 2] {
        let put = (self.batch > 1).then_some(Event::Put);
        match kind {
            Kind::Put => [put, None],
            Kind::Take => [None, None],
            Kind::Drop => [Some(Event::Dropped), put],
            Kind::Discard => [Some(Event::Cleared), None],
            Kind::Replace => [Some(Event::Cleared), put],
            Kind::Skip => [Some(Event::Skipped), None],
        }
    }

    /// Returns how many items this event counts. `outgoing` are those of a put; `received` is the
    /// block that came out of the slot.
    #[inline(always)]
    pub(super) fn items_of(&self, event: Event, outgoing: u32, received: u32) -> u32 {
        match event {
            Event::Put => outgoing,
            Event::Skipped => 1, // there was no item, and the header is some former one's
            Event::Dropped | Event::Cleared | Event::Lost => self.items_in(received),
        }
    }

    /// Trades `seat`'s block for the block of `seen` in slot `at.index`, whose stamp becomes the
    /// next of its kind. `outgoing` is the number of items in the seat's block, for a put. A take
    /// leaves the seat with `hold`, and the seat must have no `hold` before.
    #[inline]
    pub(super) fn exchange(
        &self,
        seat: &mut Seat,
        at: Cursor,
        seen: Slot,
        kind: Kind,
        outgoing: u32,
    ) -> Result<Exchanged, RingError> {
        let (line, slot) = (self.memory.seat(seat.index), self.memory.slot(at.index));
        // Only a put brings an item. The others leave the copy, which means nothing then.
        let copies = match kind {
            Kind::Put | Kind::Drop | Kind::Replace => self.memory.pair(at.index),
            Kind::Take | Kind::Discard | Kind::Skip => None,
        }
        .map(|pair| Copies::look(pair, self.memory.copy_of(seat.block)));
        match self.exchange_at(
            line,
            slot,
            copies,
            seat,
            at,
            seen,
            kind,
            outgoing,
            self.batch > 1,
            false,
        )? {
            Ok(()) => {
                seat.succeeded();
                Ok(Exchanged::Done)
            }
            Err(actual) => {
                pause(self.contention);
                self.checked(actual).map(Exchanged::Lost)
            }
        }
    }

    /// Does the same as `exchange`, with all that is needed at hand: the seat's line, the slot
    /// `at.index`, what a put does to the copy there, and whether a block may have several items.
    /// `Err` means that another process was faster: it contains what the slot holds now, and the
    /// record is still announced. With `open` the record also stays announced after a take that
    /// happened, and the caller finishes it.
    #[inline(always)]
    #[expect(
        clippy::too_many_arguments,
        reason = "what the fast paths have in registers already"
    )]
    pub(super) fn exchange_at(
        &self,
        line: &SeatLine,
        slot: &AtomicU64,
        copies: Option<Copies>,
        seat: &mut Seat,
        at: Cursor,
        seen: Slot,
        kind: Kind,
        outgoing: u32,
        batches: bool,
        open: bool,
    ) -> Result<Result<(), u64>, RingError> {
        debug_assert!(!seat.hold, "a seat with an item in hand exchanges");
        let shape = self.memory.shape();
        // A put onto an item goes from FULL to the next FULL, a skip from EMPTY to the next EMPTY.
        let more = if matches!(kind, Kind::Drop | Kind::Replace | Kind::Skip) {
            2
        } else {
            1
        };
        let Some(new) = shape.follow(seen, more, seat.block) else {
            return Err(RingError::Exhausted);
        };
        if kind == Kind::Take {
            seat.prepare_take(line, shape.position(at));
        } else if batches {
            seat.prepare_put(line, outgoing);
        }
        seat.announce(line, seen.block, kind);
        // SeqCst: pairs with every look and exchange of the others. With less, two dead seats can
        // become undecidable forever, and the event word's proof needs the slot in the one order of
        // all.
        let swapped = match copies {
            None => cas_sc(slot, seen.raw, new).map(drop),
            Some(copies) => {
                let (old, new) = ((seen.raw, copies.seen), (new, copies.new));
                let both = |(word, copy)| Both { word, copy };
                copies.pair.exchange(both(old), both(new))
            }
        };
        match swapped {
            Ok(()) => {
                #[cfg(all(test, loom))]
                super::model::witness(&self.memory, kind, seat.block, seen.block);
                // Release: pairs with the acquire fence in `Ring::still`. An observer that sees
                // what is written into this block from now on sees also that it has left the slot.
                fence(Ordering::Release);
                seat.block = seen.block;
                if open {
                    return Ok(Ok(()));
                }
                if kind == Kind::Take {
                    seat.take_hold();
                }
                if batches || !matches!(kind, Kind::Put | Kind::Take) {
                    for event in self.events(kind).into_iter().flatten() {
                        seat.count(
                            line,
                            event,
                            self.items_of(event, outgoing, seen.block).into(),
                        );
                    }
                }
                seat.rest_at(line, kind == Kind::Take);
                Ok(Ok(()))
            }
            Err(actual) => {
                seat.failed();
                Ok(Err(actual))
            }
        }
    }
}
