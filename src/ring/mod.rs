//! The exchange ring: the protocol itself, without an operating system, files or time.
//!
//! Owns the meaning of slots, seats, blocks and the ready word. It is handed them through [`Memory`] and seat locks through [`Locks`]; so the same
//! code runs over a mapped segment and under loom. Invariants: slots and seats together hold each block exactly once; every operation is one exchange
//! (`exchange.rs`); a cursor never runs ahead of the stamps; a seat with `hold` never exchanges; every refusal leaves the seat at rest.

mod census;
mod exchange;
mod gate;
#[cfg(all(test, loom))]
#[allow(unsafe_code)]
pub(crate) mod model;
mod recover;
pub(crate) mod seat;
pub(crate) mod slot;
#[cfg(all(test, not(loom)))]
mod tests;
mod walk;

pub(crate) use recover::Recovered;

use crate::layout::SeatLine;
use crate::sync::atomic::{AtomicU64, Ordering, load_sc, pause, store};
use exchange::Swap;
use seat::{Event, Kind, Seat};
use slot::{BlockWord, Cursor, Ready, Shape};

/// The shared words. Indices are checked by the ring before they come here.
pub(crate) trait Memory {
    fn shape(&self) -> &Shape;
    /// `index < slots`
    fn slot(&self, index: u32) -> &AtomicU64;
    /// `index < seats`
    fn seat(&self, index: u32) -> &SeatLine;
    /// First header word of a block; `block < blocks`.
    fn block(&self, block: u32) -> &AtomicU64;
    /// Notes an item's length (in queues with batches: the number of items): in the second header word if the queue has one (then returns 0), else returns what
    /// the first word takes.
    fn set_length(&self, block: u32, length: u64) -> u16;
    /// The length noted (in queues with batches: the number of items); not yet checked.
    fn length(&self, block: u32, word: BlockWord) -> u64;
    /// Several blocks lie in one cache line, and this is the first of them.
    fn is_first_in_line(&self, block: u32) -> bool;
    /// The block was read and will be somebody else's to write: if it has cache lines of its own, has them fetched for writing. Changes nothing. The block is the caller's.
    fn own_lines(&self, block: u32);
    fn ready(&self) -> &AtomicU64;
    /// The state says that items may be put. One sequentially consistent load.
    fn started(&self) -> bool;
    fn orphans(&self) -> &AtomicU64;
    fn head(&self) -> &AtomicU64;
    fn tail(&self) -> &AtomicU64;
}

/// Seat locks. An error of the operating system counts as "not locked".
pub(crate) trait Locks {
    fn try_lock(&mut self, seat: u32) -> bool;
    fn unlock(&mut self, seat: u32);
    /// Somebody else has the lock. Takes none.
    fn is_locked(&mut self, seat: u32) -> bool;
}

/// Why an operation was given up. The seat is at rest and owns the block it owned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Full,
    Empty,
    NotReady,
    /// The state admits no put.
    Stopped,
    /// Stamps or epochs have come to their end.
    Exhausted,
    /// The shared words contradict each other.
    Corrupt(&'static str),
}

/// What a consumer found who wanted to end the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It has ended.
    Ended,
    /// There is an item.
    Item,
    /// The ring is empty, but somebody has an item in hand that may come back.
    Held,
}

/// Where an endpoint stands. Never ahead of the stamps.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cursors {
    pub(crate) put: Cursor,
    pub(crate) get: Cursor,
    /// Cleared items thrown away since the caller last looked: slots that became free.
    pub(crate) discarded: u32,
}

/// The ring over its memory.
#[derive(Debug)]
pub(crate) struct Ring<M> {
    pub(crate) memory: M,
    pub(crate) at_least_once: bool,
    /// Most items in a block.
    pub(crate) batch: u32,
    /// One item in a block, whose length is in the header's first word: what nearly all queues are, so that the fast paths are compiled for it.
    pub(crate) single: bool,
    /// Pause instructions after a lost CAS, about a microsecond's worth.
    pub(crate) contention: u32,
}

/// Which cursor a walk moves, and which hint helps it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Put,
    Get,
}

/// Bookkeeping of one walk along the slots.
struct Walk {
    side: Side,
    steps: u32,
    /// The cursor was taken from the stamps once; hints are not trusted any more.
    rescanned: bool,
}

impl Walk {
    fn new(side: Side) -> Self {
        Self {
            side,
            steps: 0,
            rescanned: false,
        }
    }
}

const IMPOSSIBLE: Refusal = Refusal::Corrupt("a slot's stamp is older than any it can have");

impl<M: Memory> Ring<M> {
    /// Items in a block that carries some; the header is read if there can be more than one. A damaged header gives a number from 1 to `batch` too.
    #[inline(always)]
    pub(crate) fn items_in(&self, block: u32) -> u32 {
        if self.batch == 1 {
            return 1;
        }
        // Relaxed: the block is ours alone, or the figure decides nothing.
        let word = BlockWord(self.memory.block(block).load(Ordering::Relaxed));
        u32::from(word.length()).clamp(1, self.batch)
    }

    /// The usual put: the cursor is right, the slot is free, nobody interferes. `header`: of the seat's block. False: nothing has happened, and [`put`](Self::put) finds out why.
    #[inline(always)]
    pub(crate) fn put_here<const SINGLE: bool>(&self, c: &mut Cursors, seat: &mut Seat, header: &AtomicU64, length: u64) -> bool {
        debug_assert!(!SINGLE || self.single);
        let (memory, shape, at, batches) = (&self.memory, self.memory.shape(), c.put, !SINGLE && self.batch > 1);
        // Looked up once, before the ordered accesses, over which the compiler keeps nothing.
        let (line, slot) = (memory.seat(seat.index), memory.slot(at.index));
        let short = if SINGLE { length as u16 } else { memory.set_length(seat.block, length) };
        let Some(seen) = shape.slot_of_cycle(load_sc(slot), at.cycle, false) else {
            return false;
        };
        // After the slot's word; Acquire, Release: all as in `put_announced`.
        let gate = Ready(memory.ready().load(Ordering::Acquire));
        if !memory.started() || !gate.is_ready() {
            return false;
        }
        store(header, BlockWord::new(gate.epoch(), 0, short).0, Ordering::Release);
        let items = if batches { length as u32 } else { 1 };
        if !matches!(self.trade(line, slot, seat, at, seen, Kind::Put, items, batches, false), Ok(Ok(()))) {
            self.back_off(seat);
            return false;
        }
        c.put.advance(at, shape.slots);
        self.hint(memory.tail(), c.put);
        true
    }

    /// Somebody was faster: waits a little, for they will be there for the next slot too.
    #[cold]
    fn back_off(&self, seat: &mut Seat) {
        pause(self.contention);
        seat.retreat(&self.memory);
    }

    /// The usual take: the cursor is right, there is an item, nobody interferes. Returns the header, and the block, which is the seat's now. `None`: at most a cleared block was thrown away, and
    /// [`take`](Self::take) goes on.
    #[inline(always)]
    pub(crate) fn take_here<const SINGLE: bool>(&self, c: &mut Cursors, seat: &mut Seat) -> Option<(BlockWord, u32)> {
        debug_assert!(!SINGLE || self.single);
        let (_, word, block) = self.win::<SINGLE>(c, seat, false)?;
        if !SINGLE && self.batch > 1 {
            seat.items = self.items_in(block);
        }
        if self.is_void(word) {
            self.throw_away(c, seat);
            return None;
        }
        Some((word, block))
    }

    /// As `take_here`, where the item is copied at once and then acknowledged. Until then the seat's record stays announced: to the others this is a longer exchange, and one store less.
    /// `copy` answers to header and block whether the item can be copied, and copies it; if not, it stays in hand. It does not panic: the seat's private copy is not up to date meanwhile.
    #[inline(always)]
    pub(crate) fn get_here<R>(&self, c: &mut Cursors, seat: &mut Seat, copy: impl FnOnce(BlockWord, u32) -> Option<R>) -> Option<R> {
        debug_assert!(self.single);
        let (line, word, block) = self.win::<true>(c, seat, true)?;
        if !self.is_void(word) {
            if let Some(copied) = copy(word, block) {
                self.memory.own_lines(block);
                seat.acknowledge_open(line);
                return Some(copied);
            }
        }
        self.keep_open(c, seat, word);
        None
    }

    /// A get that was not usual: its item was cleared, or stays in hand.
    #[cold]
    fn keep_open(&self, c: &mut Cursors, seat: &mut Seat, word: BlockWord) {
        seat.keep(&self.memory);
        if self.is_void(word) {
            self.throw_away(c, seat);
        }
    }

    /// What `take_here` and `get_here` have in common: the exchange. Returns the seat's line, the header and the block. `open`: the record is announced still.
    #[inline(always)]
    fn win<const SINGLE: bool>(&self, c: &mut Cursors, seat: &mut Seat, open: bool) -> Option<(&SeatLine, BlockWord, u32)> {
        let (memory, shape, at, batches) = (&self.memory, self.memory.shape(), c.get, !SINGLE && self.batch > 1);
        // Looked up once, before the ordered accesses, over which the compiler keeps nothing.
        let (line, slot) = (memory.seat(seat.index), memory.slot(at.index));
        let seen = shape.slot_of_cycle(load_sc(slot), at.cycle, true)?;
        if !matches!(self.trade(line, slot, seat, at, seen, Kind::Take, 0, batches, open), Ok(Ok(()))) {
            self.back_off(seat);
            return None;
        }
        c.get.advance(at, shape.slots);
        self.hint(memory.head(), c.get);
        let header = memory.block(seen.block);
        // Relaxed, both: the block is ours alone; the CAS acquired what its putter wrote.
        let word = BlockWord(header.load(Ordering::Relaxed));
        if memory.is_first_in_line(seen.block) {
            // Nothing changes but that we have the cache line for ourselves. A line that a consumer has only read stays with both processors, and the producer's next write to it takes several times
            // as long (docs/performance.md). Release: as every store of a header, see `put_announced`.
            store(header, word.0, Ordering::Release);
        }
        Some((line, word, seen.block))
    }

    /// The block taken was cleared.
    #[cold]
    fn throw_away(&self, c: &mut Cursors, seat: &mut Seat) {
        seat.settle(&self.memory, Event::Cleared);
        c.discarded += 1;
    }

    /// Puts the item that lies in `seat`'s block, if the state and the gate admit it. `length` in bytes; in queues with batches: in items. `lossy`: on a full ring drops the oldest block in the same step.
    #[inline]
    pub(crate) fn put(&self, c: &mut Cursors, seat: &mut Seat, length: u64, lossy: bool) -> Result<(), Refusal> {
        let result = self.put_announced(c, seat, length, lossy);
        if result.is_err() {
            seat.retreat(&self.memory);
        }
        result
    }

    #[inline]
    fn put_announced(&self, c: &mut Cursors, seat: &mut Seat, length: u64, lossy: bool) -> Result<(), Refusal> {
        let short = self.memory.set_length(seat.block, length);
        let items = if self.batch == 1 { 1 } else { length as u32 };
        let mut walk = Walk::new(Side::Put);
        let mut seen = self.look(c.put.index)?;
        loop {
            let at = c.put;
            let empty = 2 * at.cycle;
            if seen.stamp > empty {
                let passed = Cursor {
                    cycle: (seen.stamp - 1) / 2,
                    index: at.index,
                };
                seen = self.step(c, &mut walk, seen.stamp, passed)?;
                continue;
            }
            if seen.stamp + 1 < empty {
                seen = self.rescan(c, &mut walk)?;
                continue;
            }
            // The epoch of the oldest item, if the ring is full. Proof only if the CAS succeeds: else the block may be in its next life.
            // Acquire: pairs with the Release stores of headers. Whoever wrote this epoch had loaded it from the gate, so the load that follows is no older.
            let old = (seen.stamp < empty).then(|| BlockWord(self.memory.block(seen.block).load(Ordering::Acquire)).epoch());
            // The rule of the state: it is loaded after the slot's word that the CAS compares with. Whoever ended the stream has passed this position, or has found
            // our item: see `end`.
            if !self.memory.started() {
                return Err(Refusal::Stopped);
            }
            // The rule of the gate is the same. While that word stands nobody puts, so an item in front of ours was put before, and its epoch is not newer than
            // the one loaded here: along the ring epochs never fall, and cleared items are always the oldest.
            // Acquire: pairs with the CAS that changes the gate; what its writer did before is seen by who is admitted by it.
            let gate = Ready(self.memory.ready().load(Ordering::Acquire));
            if !gate.is_ready() {
                return Err(Refusal::NotReady);
            }
            let epoch = gate.epoch();
            let kind = match old {
                None => Kind::Put,
                Some(old) if old < epoch => Kind::Replace,
                Some(old) if old > epoch => return Err(Refusal::Corrupt("an item's epoch is newer than the queue's")),
                Some(_) if lossy => Kind::Drop,
                Some(_) => {
                    // Full only if that was the epoch of the item that stands there, and not of the block's next life.
                    let now = self.look(at.index)?;
                    if now == seen {
                        return Err(Refusal::Full);
                    }
                    seen = now;
                    continue;
                }
            };
            // Release: pairs with the Acquire load above, of a racy reader who finds this block in a slot that it has left.
            store(self.memory.block(seat.block), BlockWord::new(epoch, 0, short).0, Ordering::Release);
            match self.exchange(seat, at, seen, kind, items)? {
                Swap::Done => {
                    c.put = at.next(self.memory.shape().slots);
                    self.hint(self.memory.tail(), c.put);
                    return Ok(());
                }
                Swap::Lost(actual) => seen = actual,
            }
        }
    }

    /// Takes the oldest block that was not cleared; it is then `seat`'s, and the seat holds its items. Cleared ones are thrown away on the way.
    #[inline]
    pub(crate) fn take(&self, c: &mut Cursors, seat: &mut Seat) -> Result<BlockWord, Refusal> {
        let result = self.take_announced(c, seat);
        if result.is_err() {
            seat.retreat(&self.memory);
        }
        result
    }

    #[inline]
    fn take_announced(&self, c: &mut Cursors, seat: &mut Seat) -> Result<BlockWord, Refusal> {
        let mut walk = Walk::new(Side::Get);
        let mut seen = self.look(c.get.index)?;
        loop {
            let oldest = self.oldest(c, &mut walk, seen)?;
            if !oldest.is_full() {
                return Err(Refusal::Empty);
            }
            let at = c.get;
            match self.exchange(seat, at, oldest, Kind::Take, 0)? {
                Swap::Done => {
                    c.get = at.next(self.memory.shape().slots);
                    self.hint(self.memory.head(), c.get);
                    // Relaxed: the block is ours alone; the CAS acquired what its putter wrote.
                    let word = BlockWord(self.memory.block(seat.block).load(Ordering::Relaxed));
                    seat.items = self.items_in(seat.block);
                    if !self.is_void(word) {
                        return Ok(word);
                    }
                    self.throw_away(c, seat);
                    seen = self.look(c.get.index)?;
                }
                Swap::Lost(actual) => seen = actual,
            }
        }
    }

    /// Ends the stream, if the ring is empty: passes the position at the tail as a put and a get would that leave nothing there. The caller had seen before that the state is *stop at queue
    /// end*. `carry`: whether others have items in hand that may come back; asked after the look at the slot.
    ///
    /// A put loads the state after the word of its slot, and that word stands until its exchange. If it looked after we passed, it saw this state or a later stream's. If its exchange came
    /// before, the ring was empty after it: its item was taken. In between it cannot be: the position it saw was at or before the one we pass, and it would be the one behind it.
    pub(crate) fn end(&self, c: &mut Cursors, seat: &mut Seat, carry: impl Fn(&Self) -> bool) -> Result<Ending, Refusal> {
        let ending = self.end_announced(c, seat, carry);
        if ending != Ok(Ending::Ended) {
            seat.retreat(&self.memory);
        }
        ending
    }

    fn end_announced(&self, c: &mut Cursors, seat: &mut Seat, carry: impl Fn(&Self) -> bool) -> Result<Ending, Refusal> {
        let mut walk = Walk::new(Side::Get);
        let mut seen = self.look(c.get.index)?;
        loop {
            let last = self.oldest(c, &mut walk, seen)?;
            if last.is_full() {
                return Ok(Ending::Item);
            }
            if carry(self) {
                return Ok(Ending::Held);
            }
            let at = c.get;
            match self.exchange(seat, at, last, Kind::Skip, 0)? {
                Swap::Done => {
                    c.get = at.next(self.memory.shape().slots);
                    // Both: a producer would walk over all that was skipped.
                    self.hint(self.memory.head(), c.get);
                    self.hint(self.memory.tail(), c.get);
                    return Ok(Ending::Ended);
                }
                Swap::Lost(actual) => seen = actual,
            }
        }
    }

    /// Walks the get cursor from `seen`, which is what its slot holds, to the oldest block; if the ring is empty, to the position of the next put.
    #[inline(always)]
    fn oldest(&self, c: &mut Cursors, walk: &mut Walk, mut seen: slot::Slot) -> Result<slot::Slot, Refusal> {
        loop {
            let full = 2 * c.get.cycle + 1;
            if seen.stamp == full || seen.stamp + 1 == full {
                return Ok(seen);
            }
            seen = if seen.stamp < full {
                self.rescan(c, walk)?
            } else {
                let passed = Cursor {
                    cycle: seen.stamp / 2 - 1,
                    index: c.get.index,
                };
                self.step(c, walk, seen.stamp, passed)?
            };
        }
    }

    /// Moves the walk's cursor behind `passed`, the last position known to be done, and further if the hint knows more. Returns what is there.
    fn step(&self, c: &mut Cursors, walk: &mut Walk, stamp: u64, passed: Cursor) -> Result<slot::Slot, Refusal> {
        let shape = self.memory.shape();
        let (two_ahead, cursor, word) = match walk.side {
            Side::Put => (2 * c.put.cycle + 2, &mut c.put, self.memory.tail()),
            Side::Get => (2 * c.get.cycle + 3, &mut c.get, self.memory.head()),
        };
        *cursor = passed.next(shape.slots);
        walk.steps = walk.steps.wrapping_add(1);
        if !walk.rescanned && (stamp >= two_ahead || walk.steps % 8 == 0) {
            // Acquire: pairs with the Release store of whoever passed that position; Relaxed gave a spurious Empty.
            if let Some(hint) = shape.cursor(word.load(Ordering::Acquire)) {
                *cursor = hint.max(*cursor);
            }
        }
        let index = cursor.index;
        self.look(index)
    }

    /// The cursor contradicts the stamps: a hint was damaged, or the stamps are. Starts from the stamps, once.
    #[cold]
    fn rescan(&self, c: &mut Cursors, walk: &mut Walk) -> Result<slot::Slot, Refusal> {
        if walk.rescanned {
            return Err(IMPOSSIBLE);
        }
        walk.rescanned = true;
        let cursor = match walk.side {
            Side::Put => &mut c.put,
            Side::Get => &mut c.get,
        };
        *cursor = self.scan(walk.side);
        let index = cursor.index;
        self.look(index)
    }

    /// Now and then tells newcomers and laggards how far we have come. `at` is a position we have passed.
    #[inline(always)]
    fn hint(&self, word: &AtomicU64, at: Cursor) {
        if at.index % 32 == 0 {
            // Release: pairs with the Acquire load in `step` and `walk`.
            store(word, self.memory.shape().position(at), Ordering::Release);
        }
    }
}
