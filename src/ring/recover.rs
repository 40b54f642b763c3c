//! Recovery: decides what becomes of a seat whose owner died, and of the item it had in hand.
//!
//! This module resolves interrupted exchanges, settles what was counted but not recorded yet, and
//! handles orphans and their adoption. One sighting decides an interrupted exchange, because
//! exactly one of the two blocks is in circulation and a dead process changes nothing any more.
//! docs/design.md, sections 6 and 7, has the rules.
//!
//! Invariants: every write to a seat happens under its lock. One store writes the record at rest,
//! so a death in here is harmless too.

use super::seat::{Event, Kind, Seat};
use super::slot::BlockWord;
use super::{Locks, Memory, Ring, RingError};
use crate::sync::atomic::{Ordering, compiler_fence, fence, load_sc, store, store32};

/// What a pass over the seats did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Recovered {
    /// Seats put at rest, or freed of an item that was lost with its consumer.
    pub(crate) recovered: u32,
    /// Seats that cannot be decided yet because others are in mid-operation.
    pub(crate) undecided: u32,
    /// Seats in mid-exchange or with items whose lock is held. Mostly their owner holds it, but for
    /// a moment it may be another recoverer.
    pub(crate) busy: u32,
    /// Orphans announced. As many sleepers are to be woken.
    pub(crate) announced: u32,
    /// A record that contradicts the segment.
    pub(crate) corrupt: Option<&'static str>,
}

/// State of a seat that we have locked and, if need be, resolved.
enum Resolved {
    Free(Seat),
    /// Carries an item that was taken and not acknowledged (at-least-once only).
    Orphan(Seat),
    Undecided,
}

const BAD_RECORD: RingError =
    RingError::Corrupt("a seat's record names a block that does not exist");

impl<M: Memory> Ring<M> {
    /// Takes a free seat and its lock. A consumer of an at-least-once queue that finds none takes
    /// the seat of the oldest orphan, and its first get delivers that item. `skip` names seats that
    /// this endpoint holds already.
    pub(crate) fn attach(
        &self,
        locks: &mut impl Locks,
        skip: impl Fn(u32) -> bool,
        consumer: bool,
        out: &mut Recovered,
    ) -> Result<Option<Seat>, RingError> {
        *out = self.recover(locks, &skip);
        for index in self.others(&skip).filter(|index| !self.wants_care(*index)) {
            if !locks.try_lock(index) {
                continue;
            }
            match self.resolve(index, out) {
                Ok(Resolved::Free(seat)) => return Ok(Some(seat)),
                Ok(Resolved::Orphan(_)) => self.announce(locks, index, out),
                Ok(Resolved::Undecided) => locks.unlock(index),
                Err(refusal) => {
                    locks.unlock(index);
                    return Err(refusal);
                }
            }
        }
        let orphan = if consumer && self.at_least_once {
            self.keep_oldest(locks, &skip, out)
        } else {
            None
        };
        match (orphan, out.corrupt) {
            (None, Some(what)) => Err(RingError::Corrupt(what)),
            (orphan, _) => Ok(orphan),
        }
    }

    /// Looks after all seats except for ours. Resolves those whose owner is gone, and tells
    /// consumers of the orphans. It takes no orphan's lock: two processes that lock in turn only to
    /// look would keep each other, and the one that would adopt it, from it forever.
    pub(crate) fn recover(&self, locks: &mut impl Locks, skip: impl Fn(u32) -> bool) -> Recovered {
        let mut out = Recovered::default();
        self.decide(locks, &skip, &mut out);
        for index in self
            .others(&skip)
            .filter(|index| self.rests_with_items(*index))
        {
            if self.at_least_once && self.held(index) > 0 {
                if !locks.is_locked(index) {
                    self.raise(&mut out);
                }
                continue;
            }
            // Its items are settled and only the record is late, or they are lost.
            self.visit(locks, index, &mut out);
        }
        out
    }

    /// Locks the seat of the oldest orphan, so that its item can be delivered from there.
    pub(crate) fn adopt(
        &self,
        locks: &mut impl Locks,
        skip: impl Fn(u32) -> bool,
        out: &mut Recovered,
    ) -> Option<Seat> {
        self.decide(locks, &skip, out);
        self.keep_oldest(locks, &skip, out)
    }

    /// Resolves the exchanges of the dead until nothing more can be decided. If two dead processes
    /// traded for the same block, resolving the second may decide the first, which was passed over
    /// before.
    fn decide(&self, locks: &mut impl Locks, skip: impl Fn(u32) -> bool, out: &mut Recovered) {
        loop {
            let resolved = out.recovered;
            (out.undecided, out.busy) = (0, 0);
            for index in self.others(&skip) {
                // It was in mid-exchange when last seen. It is resolved under its lock.
                if self.memory.seat(index).read_record().incoming.is_some() {
                    self.visit(locks, index, out);
                }
            }
            if out.undecided == 0 || out.recovered == resolved {
                return;
            }
        }
    }

    /// Resolves a seat under its lock, and leaves it.
    fn visit(&self, locks: &mut impl Locks, index: u32, out: &mut Recovered) {
        if !locks.try_lock(index) {
            out.busy += 1;
            return;
        }
        match self.resolve(index, out) {
            Ok(Resolved::Orphan(_)) => return self.announce(locks, index, out),
            Ok(Resolved::Free(_)) => {}
            Ok(Resolved::Undecided) => out.undecided += 1,
            Err(refusal) => out.note(refusal),
        }
        locks.unlock(index);
    }

    /// Keeps the first orphan that it can lock, beginning with the oldest.
    fn keep_oldest(
        &self,
        locks: &mut impl Locks,
        skip: impl Fn(u32) -> bool,
        out: &mut Recovered,
    ) -> Option<Seat> {
        let mut candidates: Vec<(u64, u32)> = self
            .others(skip)
            .filter(|index| self.rests_with_items(*index))
            // Relaxed: it only wishes for an order. The seat is resolved under its lock.
            .map(|index| {
                (
                    self.memory.seat(index).position.load(Ordering::Relaxed),
                    index,
                )
            })
            .collect();
        candidates.sort_unstable();
        for (_, index) in candidates {
            if !locks.try_lock(index) {
                out.busy += 1;
                continue;
            }
            match self.resolve(index, out) {
                Ok(Resolved::Orphan(seat)) => return Some(seat),
                Ok(Resolved::Free(_)) => {}
                Ok(Resolved::Undecided) => out.undecided += 1,
                Err(refusal) => out.note(refusal),
            }
            locks.unlock(index);
        }
        None
    }

    /// Prepares adopted or kept items for delivery. If they were cleared they are settled, and
    /// `None` is returned. Otherwise they count as delivered once more if they were shown to
    /// anybody. `buffered` means that they go to a buffer and are shown later.
    pub(crate) fn deliver_again(&self, seat: &mut Seat, buffered: bool) -> Option<BlockWord> {
        let block = self.memory.block(seat.block);
        // Relaxed: the block is this seat's, and the seat is ours.
        let word = BlockWord(block.load(Ordering::Relaxed));
        if self.is_void(word) {
            seat.settle(&self.memory, Event::Cleared);
            return None;
        }
        let shown = self.was_shown(seat);
        // Relaxed: read by the next holder of the seat's lock.
        store32(
            &self.memory.seat(seat.index).buffered,
            buffered.into(),
            Ordering::Relaxed,
        );
        if !shown {
            return Some(word);
        }
        let word = word.delivered_again();
        // Release: as every store of a header, see `put_slow`. It keeps the store above before it:
        // a death between the two must not count a delivery that nobody saw. The next holder of the
        // seat's lock reads it. Racy readers look at the epoch alone, which stays.
        store(block, word.0, Ordering::Release);
        let redelivered = &self.memory.seat(seat.index).redelivered;
        // Relaxed: single writer, the lock's holder.
        store(
            redelivered,
            redelivered
                .load(Ordering::Relaxed)
                .wrapping_add(seat.left().into()),
            Ordering::Relaxed,
        );
        Some(word)
    }

    /// Returns how often the items in hand were delivered, including this time if they were shown.
    /// Call it before [`deliver_again`](Self::deliver_again).
    pub(crate) fn deliveries(&self, seat: &Seat) -> u32 {
        // Relaxed: the block is this seat's, and the seat is ours.
        let before = BlockWord(self.memory.block(seat.block).load(Ordering::Relaxed)).deliveries();
        u32::from(before) + u32::from(self.was_shown(seat))
    }

    /// Returns whether the items in hand were shown, and did not only wait in a buffer.
    pub(crate) fn was_shown(&self, seat: &Seat) -> bool {
        // Relaxed: the seat is ours.
        self.memory
            .seat(seat.index)
            .buffered
            .load(Ordering::Relaxed)
            != 1
    }

    /// Notes whether what is in a seat of ours, or what its next take brings, waits in a buffer.
    pub(crate) fn set_buffered(&self, seat: &Seat, buffered: bool) {
        let word = &self.memory.seat(seat.index).buffered;
        // Relaxed: the seat is ours.
        if word.load(Ordering::Relaxed) != u32::from(buffered) {
            // Release: what was done with the items before stays before it. The next holder of the
            // seat's lock reads it.
            store32(word, buffered.into(), Ordering::Release);
            // A death cuts in the order of instructions, so the compiler must not move a take or a
            // look at the items up.
            compiler_fence(Ordering::SeqCst);
        }
    }

    /// Returns whether the items in hand were cleared.
    pub(crate) fn holds_void(&self, seat: &Seat) -> bool {
        // Relaxed: our own block.
        self.is_void(BlockWord(
            self.memory.block(seat.block).load(Ordering::Relaxed),
        ))
    }

    /// Settles cleared items in hand. Returns true if they were cleared.
    pub(crate) fn settle_void(&self, seat: &mut Seat) -> bool {
        let void = self.holds_void(seat);
        if void {
            seat.settle(&self.memory, Event::Cleared);
        }
        void
    }

    /// Settles items in hand that nobody will deliver: cleared ones as cleared, others as lost.
    pub(crate) fn give_up(&self, seat: &mut Seat) {
        if !self.settle_void(seat) {
            seat.settle(&self.memory, Event::Lost);
        }
    }

    /// Returns how many items of another's seat were taken and not settled. It is exact while the
    /// seat's holder does nothing.
    pub(crate) fn held(&self, index: u32) -> u32 {
        let line = self.memory.seat(index);
        let record = line.read_record();
        if !record.hold || record.incoming.is_some() || record.mine >= self.memory.shape().blocks {
            return 0;
        }
        line.read_counts()
            .unsettled(&record, self.items_in(record.mine))
    }

    /// Gives a seat up. Returns true if it carries an item for others to adopt: then `orphans` was
    /// raised, and the caller wakes one sleeper.
    pub(crate) fn leave(&self, locks: &mut impl Locks, mut seat: Seat) -> bool {
        seat.retreat(&self.memory);
        if seat.hold && !self.at_least_once {
            self.give_up(&mut seat);
        }
        // Unlock, THEN raise: an adopter that looks in between must find the lock free, or the word
        // raised afterwards.
        locks.unlock(seat.index);
        if seat.hold {
            self.raise_orphans();
        }
        seat.hold
    }

    /// Tells consumers to look for orphans.
    pub(crate) fn raise_orphans(&self) {
        let word = self.memory.orphans();
        let mut seen = load_sc(word);
        while let Err(actual) = crate::sync::atomic::cas_sc(word, seen, seen.wrapping_add(1)) {
            seen = actual;
        }
    }

    /// Returns whether a seat that is not ours has, or may be about to have, an item in hand that
    /// was not cleared. Takes no lock. A caller that has found the ring empty before knows then of
    /// every item that was in it.
    pub(crate) fn others_may_carry(&self, skip: impl Fn(u32) -> bool) -> bool {
        (0..self.memory.shape().seats)
            .filter(|index| !skip(*index))
            .any(|index| {
                // Relaxed: a process that took an item announced it before its exchange, and the
                // look at the slot acquired that.
                let record = self.memory.seat(index).read_record();
                if record.incoming.is_some() {
                    return record.hold || record.kind == Kind::Take;
                }
                record.hold && !self.rests_on_void(record.mine)
            })
    }

    /// Returns whether the items in the block that a seat at rest has in hand were cleared, so that
    /// they never come back. `block` is from its record, and was not checked.
    fn rests_on_void(&self, block: u32) -> bool {
        // Acquire: pairs with the Release store of the record at rest. So the header is that of the
        // items in hand, or a later one, and those items are settled then.
        fence(Ordering::Acquire);
        block < self.memory.shape().blocks
            && self.is_void(BlockWord(self.memory.block(block).load(Ordering::Relaxed)))
    }

    /// Returns whether a seat that is not ours is in mid-exchange or carries an item. Takes no
    /// lock.
    #[cfg(all(test, loom))]
    pub(crate) fn needs_care(&self, skip: impl Fn(u32) -> bool) -> bool {
        self.others(skip).any(|index| self.wants_care(index))
    }

    /// Returns all seats except for those to be skipped.
    fn others(&self, skip: impl Fn(u32) -> bool) -> impl Iterator<Item = u32> {
        (0..self.memory.shape().seats).filter(move |index| !skip(*index))
    }

    /// Returns whether the seat is at rest with items in hand. Read without the lock.
    fn rests_with_items(&self, index: u32) -> bool {
        let record = self.memory.seat(index).read_record();
        record.incoming.is_none() && record.hold
    }

    /// Returns whether there is something to resolve or adopt. Read without the lock.
    fn wants_care(&self, index: u32) -> bool {
        let record = self.memory.seat(index).read_record();
        record.incoming.is_some() || record.hold
    }

    /// Leaves a locked seat to its item: unlocks it, then raises `orphans`. That is done for every
    /// held seat that recovery visits, announced before or not.
    fn announce(&self, locks: &mut impl Locks, index: u32, out: &mut Recovered) {
        locks.unlock(index);
        self.raise(out);
    }

    fn raise(&self, out: &mut Recovered) {
        self.raise_orphans();
        out.announced += 1;
    }

    /// Resolves the exchange of a seat that we have just locked, settles what is only late, and
    /// counts what is lost.
    fn resolve(&self, index: u32, out: &mut Recovered) -> Result<Resolved, RingError> {
        let line = self.memory.seat(index);
        // Read once: a process that may write to the segment may do so at any time, so what was
        // checked is what is used.
        let record = line.read_record();
        let blocks = self.memory.shape().blocks;
        if record.mine >= blocks || record.incoming.is_some_and(|incoming| incoming >= blocks) {
            return Err(BAD_RECORD);
        }
        let counts = line.read_counts();
        let mut seat = Seat::adopt(index, &record, counts, self.items_in(record.mine));
        if let Some(incoming) = record.incoming {
            let Some(happened) = self.find_outcome(index, record.mine, incoming) else {
                return Ok(Resolved::Undecided);
            };
            if happened {
                seat.receive(incoming, record.kind == Kind::Take, self.items_in(incoming));
                // The difference of the sequences is what its owner counted before it died. Each
                // further event is one store, so a death in here is seen too.
                let done = counts.sequence().wrapping_sub(record.sequence) & 3;
                for event in self
                    .events(record.kind)
                    .into_iter()
                    .flatten()
                    .skip(done.into())
                {
                    let outgoing = line.read_outgoing().clamp(1, self.batch.into()) as u32;
                    seat.count(line, event, self.items_of(event, outgoing, incoming).into());
                }
            }
            seat.rest(&self.memory);
            out.recovered += 1;
        }
        if !seat.hold {
            return Ok(Resolved::Free(seat));
        }
        // The sequence of a record that was just put at rest is right.
        let unsettled = if record.incoming.is_some() {
            seat.left()
        } else {
            counts.unsettled(&record, seat.items)
        };
        if unsettled == 0 {
            // Acknowledged, or counted as lost or cleared. Only the record is late.
            seat.let_go(&self.memory);
            return Ok(Resolved::Free(seat));
        }
        if self.at_least_once {
            return Ok(Resolved::Orphan(seat));
        }
        self.give_up(&mut seat);
        out.recovered += 1;
        Ok(Resolved::Free(seat))
    }

    /// Returns whether `mine` is in circulation (the exchange happened) or `incoming` (it did not).
    /// In circulation means in a slot, or the resting block of another seat.
    fn find_outcome(&self, dead: u32, mine: u32, incoming: u32) -> Option<bool> {
        let shape = self.memory.shape();
        let verdict = |block: u32| {
            if block == mine {
                Some(true)
            } else if block == incoming {
                Some(false)
            } else {
                None
            }
        };
        for index in 0..shape.slots {
            if let Some(happened) = verdict(shape.slot(load_sc(self.memory.slot(index))).block) {
                return Some(happened);
            }
        }
        (0..shape.seats)
            .filter(|index| *index != dead)
            .find_map(|index| {
                let record = self.memory.seat(index).read_record();
                if record.incoming.is_none() {
                    verdict(record.mine)
                } else {
                    None
                }
            })
    }
}

impl Recovered {
    fn note(&mut self, refusal: RingError) {
        if let RingError::Corrupt(what) = refusal {
            self.corrupt = Some(what);
        }
    }
}
