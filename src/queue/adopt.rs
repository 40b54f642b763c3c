//! Looks for what dead consumers left, and adopts it.
//!
//! `due` says when it is time to look. docs/design.md, sections 6 and 7, explains the rules and why
//! an orphan never depends on luck.
//!
//! Invariant: every path that ends with the seat of another process gives it up or makes it this
//! endpoint's own.

use super::endpoint::Endpoint;
use super::memory::Leases;
use super::wait::For;
use crate::error::Fault;
use crate::ring::seat::Seat;
use crate::ring::slot::BlockWord;
use crate::ring::{Memory, Recovered as Pass, RingError};
use crate::trace;
use std::sync::atomic::Ordering;
use std::time::Instant;

impl Endpoint {
    /// Returns what is to be delivered before anything in the ring: the rest of a block, an item
    /// that was kept, or one that a dead consumer left.
    #[cold]
    pub(super) fn left_over(&mut self) -> Result<Option<BlockWord>, Fault> {
        loop {
            if let Some(mut seat) = self.adopted.take() {
                let word = self.word_of(&mut seat);
                if word.is_some() {
                    self.adopted = Some(seat);
                    return Ok(word);
                }
                self.retire_adopted(seat);
            } else if self.seat.hold {
                let mut seat = std::mem::replace(&mut self.seat, Seat::gone(0));
                let word = self.word_of(&mut seat);
                self.seat = seat;
                if word.is_some() {
                    return Ok(word);
                }
            }
            if !self.control.ring.at_least_once || !self.adopt()? {
                return Ok(None);
            }
        }
    }

    /// Returns the header of the block in a seat of ours, if its items can be delivered now. `None`
    /// means that they were cleared, or went to the dead letters.
    fn word_of(&mut self, seat: &mut Seat) -> Option<BlockWord> {
        let ring = &self.control.ring;
        if !std::mem::take(&mut self.kept) {
            // Relaxed: our own block.
            return (!ring.settle_void(seat))
                .then(|| BlockWord(ring.memory.block(seat.block).load(Ordering::Relaxed)));
        }
        let limit = u32::from(self.control.info().max_deliveries);
        if limit > 0 && ring.deliveries(seat) >= limit && !ring.settle_void(seat) {
            self.dead_letter_items(seat);
        }
        if seat.hold {
            let again = self.control.ring.was_shown(seat);
            let word = self.control.ring.deliver_again(seat, self.buffering);
            if let (true, Some(word)) = (again, word) {
                let deliveries = u32::from(word.deliveries()) + 1;
                trace::redelivered(self.control.name(), seat.left(), deliveries);
            }
            word
        } else {
            None
        }
    }

    /// Called when a lap has ended or an endpoint is about to wait. Looks at the clock and, if it
    /// is time, after the dead.
    #[cold]
    pub(super) fn look_at_the_clock(&mut self, what: For) -> Result<(), Fault> {
        let now = Instant::now();
        // Two are as many as a thousand to `keep_distance`, and so the sum never wraps.
        self.burst = self.burst.min(2);
        self.care_at = self.burst + self.due.next_lap(now);
        if what == For::Items {
            self.learn_to_claim(now);
        }
        self.look_after_the_dead(what, now)
    }

    /// Decides whether the cache lines of what was read are taken.
    fn learn_to_claim(&mut self, now: Instant) {
        let memory = &self.control.ring.memory;
        if memory.has_own_lines() {
            let (at, capacity) = (self.position(), memory.shape().slots.into());
            let claims = self.claims.look(now, at, capacity);
            self.control.ring.memory.set_claims(claims);
        }
    }

    /// Returns the number of blocks taken before the one at which this consumer stands.
    pub(super) fn position(&self) -> u64 {
        self.control.ring.memory.shape().count(self.cursors.get)
    }

    /// Looks after the dead if it is time. A consumer does so by adopting: it forgets that there
    /// was no orphan, and its next attempt looks again and keeps what it finds. Everybody else
    /// tells the consumers.
    pub(super) fn look_after_the_dead(&mut self, what: For, now: Instant) -> Result<(), Fault> {
        if !self.due.is_due(now) {
            return Ok(());
        }
        // Items are got as long as there are any, even if another queue has the name now.
        match self.control.is_there() {
            Err(Fault::Removed { .. }) if what == For::Items => {}
            told => told?,
        }
        if what == For::Items && self.control.ring.at_least_once {
            self.orphans = None;
            return Ok(());
        }
        let undecided = self.control.recover_pass()?.undecided;
        self.due.has_left(undecided > 0, false);
        Ok(())
    }

    /// Returns the successes since the last empty or full, and starts counting them again. The lap
    /// goes on.
    pub(super) fn end_burst(&mut self) -> u32 {
        let burst = std::mem::take(&mut self.burst);
        self.care_at = self.care_at.saturating_sub(burst);
        burst
    }

    /// Adopts the oldest orphan: its items are in hand then. Returns false if there is none.
    fn adopt(&mut self) -> Result<bool, Fault> {
        let ring = &self.control.ring;
        let orphans = ring.memory.orphans().load(Ordering::SeqCst);
        if self.orphans == Some(orphans) {
            return Ok(false);
        }
        let mut pass = Pass::default();
        let mut locks = Leases::new(&self.control.segment.lease);
        let adopted = ring.adopt(&mut locks, |index| self.control.own.has(index), &mut pass);
        let failed = locks.failed();
        self.control.wake_after(&pass);
        match adopted {
            Some(seat) => {
                self.control.own.insert(seat.index);
                self.control.occupy(&seat, self.attach.role);
                (self.adopted, self.adopted_is_own) = (Some(seat), false);
                self.kept = true;
                Ok(true)
            }
            None => {
                failed.map_err(|error| self.control.os_fault(&error))?;
                self.orphans = Some(orphans);
                self.due.has_left(pass.undecided > 0, pass.busy > 0);
                pass.corrupt.map_or(Ok(false), |what| {
                    Err(self.control.fault(RingError::Corrupt(what)))
                })
            }
        }
    }

    /// Returns whether an orphan waits. It must not be added to a buffer that fills: the next take
    /// adopts it.
    pub(super) fn orphan_waits(&mut self) -> Result<bool, Fault> {
        let ring = &self.control.ring;
        let orphans = ring.memory.orphans().load(Ordering::SeqCst);
        if !ring.at_least_once || self.orphans == Some(orphans) {
            return Ok(false);
        }
        let pass = self.control.recover_pass()?;
        self.due.has_left(pass.undecided > 0, false); // what is undecided may be one
        let waits = self.control.orphans(&self.control.own) > 0;
        if !waits {
            self.orphans = Some(orphans);
        }
        Ok(waits)
    }

    /// Gives a seat up.
    pub(super) fn release(&mut self, seat: Seat) {
        self.control.release(seat);
    }
}
