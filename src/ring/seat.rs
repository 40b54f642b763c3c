//! A seat: the record that shows what a dead process was doing, and the counters that survive it.
//!
//! This module owns the packing of the record word, and [`Seat`], the private copy that the seat's
//! holder works from. A live holder reads nothing back from shared memory. Only the holder of a
//! seat's lock calls what writes here. docs/design.md, sections 2 and 8, explains record and
//! counters.

use super::Memory;
use crate::layout::SeatLine;
use crate::sync::atomic::{AtomicU64, Ordering, compiler_fence, fence, store};

/// What an exchange does to the block in the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A put: there is no item in it.
    Put = 0,
    /// A take for delivery.
    Take = 1,
    /// A lossy put drops live items.
    Drop = 2,
    /// Cleared items are discarded.
    Discard = 3,
    /// A put discards cleared items in the same step.
    Replace = 4,
    /// There is no item in it, and the position is passed: the end of a stream.
    Skip = 5,
}

/// What a seat counts beside acknowledgements. The value is the index of its counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Items put. Counted in queues with batches only; elsewhere the stamps tell.
    Put = 0,
    /// Live items dropped by lossy puts.
    Dropped = 1,
    /// Items cleared before they were delivered.
    Cleared = 2,
    /// Items lost with their consumer (at-most-once).
    Lost = 3,
    /// Positions passed without an item, at the end of a stream.
    Skipped = 4,
}

/// A counter word: `items << 2 | events mod 4`. One store counts an event and says that it was
/// counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Count(u64);

impl Count {
    pub(crate) fn items(self) -> u64 {
        self.0 >> 2
    }

    #[inline(always)]
    fn plus(self, items: u64) -> Self {
        Self((self.0 >> 2).wrapping_add(items) << 2 | self.0.wrapping_add(1) & 3)
    }
}

/// The record: ONE word, `mine 24 | incoming 24 | hold 1 | kind 3 | sequence 2` from the low bits
/// up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// The block this seat owns.
    pub(crate) mine: u32,
    /// The block it is about to receive. `None` means that the seat is at rest.
    pub(crate) incoming: Option<u32>,
    /// The block carries items that were taken and are not acknowledged yet.
    pub(crate) hold: bool,
    /// The kind of the exchange under way.
    pub(crate) kind: Kind,
    /// Events that the seat had counted when this was written, mod 4.
    pub(crate) sequence: u8,
}

const NONE: u64 = (1 << 24) - 1;
/// Where the parts of a record begin, in bits.
const INCOMING: u32 = 24;
const HOLD: u32 = 48;
const KIND: u32 = 49;
const SEQUENCE: u32 = 52;

/// `sequence` is in its place already.
#[inline(always)]
fn pack(mine: u32, incoming: u64, hold: bool, kind: Kind, sequence: u64) -> u64 {
    u64::from(mine)
        | incoming << INCOMING
        | u64::from(hold) << HOLD
        | (kind as u64) << KIND
        | sequence
}

impl Record {
    pub(crate) fn at_rest(mine: u32) -> Self {
        Self {
            mine,
            incoming: None,
            hold: false,
            kind: Kind::Put,
            sequence: 0,
        }
    }

    pub(crate) fn pack(self) -> u64 {
        let incoming = self.incoming.map_or(NONE, u64::from);
        pack(
            self.mine,
            incoming,
            self.hold,
            self.kind,
            u64::from(self.sequence) << SEQUENCE,
        )
    }

    pub(crate) fn unpack(word: u64) -> Self {
        let incoming = word >> INCOMING & NONE;
        Self {
            mine: (word & NONE) as u32,
            incoming: (incoming != NONE).then_some(incoming as u32),
            hold: word >> HOLD & 1 == 1,
            // Only six are ever written. Any other value means that the word was damaged, and any
            // answer will do.
            kind: [
                Kind::Put,
                Kind::Take,
                Kind::Drop,
                Kind::Discard,
                Kind::Replace,
                Kind::Skip,
                Kind::Put,
                Kind::Put,
            ][(word >> KIND & 7) as usize],
            sequence: (word >> SEQUENCE & 3) as u8,
        }
    }
}

/// A seat's counters, read together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) got: u64,
    base: u64,
    events: [Count; 5],
}

impl Counts {
    /// Returns the number of items counted as this.
    pub(crate) fn items(&self, event: Event) -> u64 {
        self.events[event as usize].items()
    }

    /// Returns the number of events counted, mod 4.
    pub(super) fn sequence(&self) -> u8 {
        (self
            .events
            .iter()
            .fold(0, |sum: u64, count| sum.wrapping_add(count.0))
            & 3) as u8
    }

    /// Returns how many of `items` in a block, taken when `base` was written, are not acknowledged.
    #[inline(always)]
    fn left(&self, items: u32) -> u32 {
        let done = self.got.wrapping_sub(self.base);
        if done >= u64::from(items) {
            0
        } else {
            items - done as u32
        }
    }

    /// Returns how many items in hand nobody has settled, for a seat with this record whose block
    /// has `items`.
    pub(crate) fn unsettled(&self, record: &Record, items: u32) -> u32 {
        // Another sequence: the rest was counted as lost or cleared, and only the record is late.
        if record.hold && record.sequence == self.sequence() {
            self.left(items)
        } else {
            0
        }
    }
}

impl SeatLine {
    // Relaxed: read under the seat's lock, whose hand-over is the happens-before, or as a hint of
    // what to look at under it.
    pub(crate) fn read_record(&self) -> Record {
        Record::unpack(self.record.load(Ordering::Relaxed))
    }

    pub(crate) fn read_counts(&self) -> Counts {
        // Relaxed: as read_record.
        Counts {
            got: self.got.load(Ordering::Relaxed),
            base: self.base.load(Ordering::Relaxed),
            events: [
                Event::Put,
                Event::Dropped,
                Event::Cleared,
                Event::Lost,
                Event::Skipped,
            ]
            .map(|event| Count(self.counter(event).load(Ordering::Relaxed))),
        }
    }

    #[inline(always)]
    fn counter(&self, event: Event) -> &AtomicU64 {
        self.counts.get(event as usize).unwrap_or(&self.skipped)
    }

    /// Returns the number of items of the put under way.
    pub(super) fn read_outgoing(&self) -> u64 {
        // Relaxed: as read_record.
        self.outgoing.load(Ordering::Relaxed)
    }
}

/// A seat whose lock we hold.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) index: u32,
    /// The block it owns.
    pub(crate) block: u32,
    /// The block carries items that were taken and are not acknowledged. Such a seat never
    /// exchanges.
    pub(crate) hold: bool,
    /// With `hold`: the number of items in the block.
    pub(super) items: u32,
    /// An exchange was announced, has failed, and was not given up yet.
    announced: bool,
    /// The sequence of `counts`, where it stands in a record.
    sequence: u64,
    counts: Counts,
}

impl Seat {
    /// Makes the private copy of a seat that we have locked. `record` is its own, was checked, and
    /// is never read again; it is at rest or about to be. `items` are those in its block.
    pub(super) fn adopt(index: u32, record: &Record, counts: Counts, items: u32) -> Self {
        // Release: as after an exchange. The former owner's exchange came before its lock's
        // hand-over, and our writes into the block it received come after this.
        fence(Ordering::Release);
        Self {
            index,
            block: record.mine,
            hold: record.hold,
            items,
            announced: false,
            sequence: u64::from(counts.sequence()) << SEQUENCE,
            counts,
        }
    }

    /// Makes a stand-in for a seat that was given up or put aside. It never exchanges.
    pub(crate) fn gone(index: u32) -> Self {
        Self {
            index,
            block: 0,
            hold: true,
            items: 0,
            announced: false,
            sequence: 0,
            counts: Counts::default(),
        }
    }

    /// Returns the number of items that this seat has counted so.
    pub(crate) fn counted(&self, event: Event) -> u64 {
        self.counts.items(event)
    }

    /// Returns whether this was made by [`gone`](Self::gone).
    pub(crate) fn is_gone(&self) -> bool {
        self.hold && self.items == 0
    }

    /// Returns the number of items in hand that are not acknowledged.
    #[inline(always)]
    pub(crate) fn left(&self) -> u32 {
        if self.hold {
            self.counts.left(self.items)
        } else {
            0
        }
    }

    /// Returns how many items of the block in hand were acknowledged, which is the number of the
    /// next one.
    #[inline(always)]
    pub(crate) fn acknowledged(&self) -> u32 {
        self.items - self.counts.left(self.items)
    }

    /// Announces what the exchange that follows will do. If that fails, see `failed`.
    #[inline(always)]
    pub(super) fn announce(&self, line: &SeatLine, incoming: u32, kind: Kind) {
        // Relaxed: the slot's CAS, which follows, releases it.
        store(
            &line.record,
            pack(self.block, incoming.into(), false, kind, self.sequence),
            Ordering::Relaxed,
        );
    }

    /// Notes that the exchange announced has failed. It is announced still, until `retreat`, or
    /// until another attempt `succeeded`.
    #[inline(always)]
    pub(super) fn failed(&mut self) {
        self.announced = true;
    }

    /// Notes that an exchange has happened that may have failed before. The record is at rest.
    pub(super) fn succeeded(&mut self) {
        self.announced = false;
    }

    /// Notes that the exchange announced has happened and was a take: the block's items are in
    /// hand.
    #[inline(always)]
    pub(super) fn take_hold(&mut self) {
        self.hold = true; // it was false, else there is no exchange
        self.counts.base = self.counts.got; // as `prepare_take` has noted
    }

    /// Notes that the items of a take that is announced still are in hand.
    #[inline(always)]
    pub(super) fn keep<M: Memory>(&mut self, memory: &M) {
        self.take_hold();
        self.rest(memory);
    }

    /// Notes that a dead owner's exchange happened: this is the seat's block now.
    pub(super) fn receive(&mut self, block: u32, hold: bool, items: u32) {
        (self.block, self.hold, self.items) = (block, hold, items);
    }

    /// Writes the record at rest.
    #[inline(always)]
    pub(super) fn rest<M: Memory>(&mut self, memory: &M) {
        self.announced = false;
        self.rest_at(memory.seat(self.index), self.hold);
    }

    /// Does the same as `rest`, with the own line and whether the seat holds items at hand.
    #[inline(always)]
    pub(super) fn rest_at(&self, line: &SeatLine, hold: bool) {
        debug_assert_eq!(hold, self.hold);
        Self::write_at_rest(line, self.packed_at_rest(hold));
    }

    #[inline(always)]
    fn packed_at_rest(&self, hold: bool) -> u64 {
        pack(self.block, NONE, hold, Kind::Put, self.sequence)
    }

    #[inline(always)]
    fn write_at_rest(line: &SeatLine, record: u64) {
        // Release keeps the counter store before it: a death between the two must show the counter,
        // never the record alone. It pairs with the lock's hand-over.
        store(&line.record, record, Ordering::Release);
    }

    /// Gives up an announced exchange, if there is one.
    #[inline(always)]
    pub(super) fn retreat<M: Memory>(&mut self, memory: &M) {
        if self.announced {
            self.rest(memory);
        }
    }

    /// Counts an event, by one store to the own line.
    #[inline(always)]
    pub(super) fn count(&mut self, line: &SeatLine, event: Event, items: u64) {
        let count = &mut self.counts.events[event as usize];
        *count = count.plus(items);
        self.sequence = (self.sequence + (1 << SEQUENCE)) & 3 << SEQUENCE;
        // Release: what was read from the block happens before. Pairs with: the lock's hand-over.
        store(line.counter(event), count.0, Ordering::Release);
    }

    /// Acknowledges the next `items` in hand. The counter store IS the acknowledgement. The record
    /// follows if it was the last one.
    #[inline(always)]
    pub(crate) fn acknowledge<M: Memory>(&mut self, memory: &M, items: u32) {
        debug_assert!(self.hold && items <= self.left());
        let line = memory.seat(self.index);
        let last = self.items == items || self.left() == items;
        if last {
            memory.claim_cache_lines(self.block);
        }
        self.got(line, items);
        if last {
            self.let_go_at(line);
        }
    }

    /// Acknowledges as `acknowledge` does, where a block has one item.
    #[inline(always)]
    pub(crate) fn acknowledge_one<M: Memory>(&mut self, memory: &M) {
        debug_assert!(self.hold && self.items == 1 && self.left() == 1);
        let line = memory.seat(self.index);
        memory.claim_cache_lines(self.block);
        self.got(line, 1);
        self.let_go_at(line);
    }

    /// Acknowledges the one item of a take that is announced still. After a death before the second
    /// store the exchange has happened, and nothing of the block is left.
    #[inline(always)]
    pub(super) fn acknowledge_open(&mut self, line: &SeatLine) {
        // Packed first: the compiler keeps nothing across the ordered store.
        let record = self.packed_at_rest(false);
        self.got(line, 1);
        Self::rest_free(line, record);
    }

    #[inline(always)]
    fn got(&mut self, line: &SeatLine, items: u32) {
        self.counts.got = self.counts.got.wrapping_add(u64::from(items));
        // Release: what was read from the block happens before its acknowledgement. It pairs with
        // the lock's hand-over.
        store(&line.got, self.counts.got, Ordering::Release);
    }

    /// Settles all that is in hand and not acknowledged as lost or cleared. The counter store IS
    /// the event; the record follows.
    #[inline(always)]
    pub(crate) fn settle<M: Memory>(&mut self, memory: &M, event: Event) {
        debug_assert!(self.hold);
        self.count(memory.seat(self.index), event, self.left().into());
        self.let_go(memory);
    }

    #[inline(always)]
    pub(super) fn let_go<M: Memory>(&mut self, memory: &M) {
        self.let_go_at(memory.seat(self.index));
    }

    #[inline(always)]
    fn let_go_at(&mut self, line: &SeatLine) {
        self.hold = false;
        let record = self.packed_at_rest(false);
        Self::rest_free(line, record);
    }

    /// Writes `record`, which is at rest, of a block that the next put may fill.
    #[inline(always)]
    fn rest_free(line: &SeatLine, record: u64) {
        Self::write_at_rest(line, record);
        // A death cuts in the order of instructions, so the compiler must not move a store of the
        // next payload into this block up.
        compiler_fence(Ordering::SeqCst);
    }

    /// Notes where the block about to be taken stands, and how far the acknowledgements have come.
    #[inline(always)]
    pub(super) fn prepare_take(&self, line: &SeatLine, position: u64) {
        // Relaxed, both: read under the lock; the CAS that follows releases them.
        store(&line.base, self.counts.got, Ordering::Relaxed);
        store(&line.position, position, Ordering::Relaxed);
    }

    /// Notes how many items are about to be put. After the exchange the block belongs to another
    /// seat.
    #[inline(always)]
    pub(super) fn prepare_put(&self, line: &SeatLine, items: u32) {
        // Relaxed: as above.
        store(&line.outgoing, items.into(), Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn records_come_apart_as_they_were_put_together() {
        for kind in [
            Kind::Put,
            Kind::Take,
            Kind::Drop,
            Kind::Discard,
            Kind::Replace,
            Kind::Skip,
        ] {
            for (incoming, hold, sequence) in [
                (None, true, 0),
                (Some(0), false, 3),
                (Some((1 << 20) - 1), true, 2),
            ] {
                let record = Record {
                    mine: 77,
                    incoming,
                    hold,
                    kind,
                    sequence,
                };
                assert_eq!(Record::unpack(record.pack()), record);
            }
        }
    }

    #[test]
    fn counters_tell_items_and_events() {
        let mut counts = Counts::default();
        for (event, items) in [
            (Event::Put, 5),
            (Event::Dropped, 4),
            (Event::Put, 1),
            (Event::Lost, 64),
            (Event::Cleared, 0),
            (Event::Skipped, 1),
        ] {
            let before = counts.sequence();
            counts.events[event as usize] = counts.events[event as usize].plus(items);
            assert_eq!(counts.sequence(), (before + 1) % 4);
        }
        assert_eq!(
            [
                Event::Put,
                Event::Dropped,
                Event::Cleared,
                Event::Lost,
                Event::Skipped
            ]
            .map(|event| counts.items(event)),
            [6, 4, 0, 64, 1]
        );
    }
}
