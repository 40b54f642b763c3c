//! What an endpoint has in hand: acknowledging it, giving it back, and settling what was forgotten.
//!
//! Invariants: items are in hand in `adopted` or else in `seat` (with `hold`), and those that a
//! [`super::Batch`] shows are in `aside`. A seat with items in hand never exchanges.

use super::backoff::MAX_SLEEP;
use super::endpoint::Endpoint;
use super::held::Aside;
use crate::error::Fault;
use crate::ring::seat::{Event, Seat};
use std::sync::atomic::Ordering;
use std::time::Instant;

/// The most seats that a `take_many` takes for itself if `max_unacked` is not set.
const MAX_UNASKED: u32 = 16;

impl Endpoint {
    /// Acknowledges the next `items` in hand.
    #[inline(always)]
    pub(super) fn acknowledge(&mut self, items: u32) {
        if self.control.forked() {
            return;
        }
        self.lent = 0;
        if self.adopted.is_some() {
            self.acknowledge_adopted(items);
        } else if self.seat.hold {
            self.seat.acknowledge(&self.control.ring.memory, items);
        }
    }

    /// Acknowledges the item of a [`Delivery`](super::Delivery). It is short enough to be inlined
    /// where the guard is dropped.
    #[inline(always)]
    pub(super) fn acknowledge_taken(&mut self) {
        let control = &self.control;
        if control.ring.single && self.seat.hold && self.adopted.is_none() && !control.forked() {
            self.lent = 0;
            self.seat.acknowledge_one(&control.ring.memory);
        } else {
            self.acknowledge_general();
        }
    }

    #[inline(never)]
    fn acknowledge_general(&mut self) {
        self.acknowledge(1);
    }

    #[cold]
    fn acknowledge_adopted(&mut self, items: u32) {
        if let Some(mut seat) = self.adopted.take() {
            seat.acknowledge(&self.control.ring.memory, items);
            if seat.hold {
                self.adopted = Some(seat);
            } else {
                self.retire_adopted(seat);
            }
        }
    }

    /// Acknowledges an item that a get refused because of its length. Returns false if none was. An
    /// item whose guard was forgotten is none: the next operation gives it back.
    pub(super) fn discard(&mut self) -> bool {
        let refused = std::mem::take(&mut self.refused) && !self.control.forked();
        if refused {
            self.acknowledge(1);
        }
        refused
    }

    /// Gives the block in hand to other consumers.
    pub(super) fn give_back(&mut self) -> Result<(), Fault> {
        self.control.readable()?;
        (self.lent, self.refused) = (0, false);
        if !self.control.ring.at_least_once {
            self.lose_block_in_hand();
            return Err(self.nothing_given_back());
        }
        match self.adopted.take() {
            Some(seat) => self.release(seat),
            // A free seat first, then the old one is left to its items. Without a free seat the
            // items are kept.
            None => match self.free_seat() {
                Some(seat) => {
                    let old = std::mem::replace(&mut self.seat, seat);
                    self.release(old);
                }
                None => self.kept = true,
            },
        }
        Ok(())
    }

    /// Settles what a guard showed that was dropped without an acknowledgement.
    #[cold]
    pub(super) fn give_back_dropped(&mut self) {
        // In a forked child this is an error, and nothing happens.
        let _ = self.give_back();
    }

    pub(super) fn nothing_given_back(&self) -> Fault {
        Fault::AtMostOnce {
            queue: self.control.shared_name(),
        }
    }

    /// Takes the seat that was in `adopted` back, or gives it up. Its items are settled.
    pub(super) fn retire_adopted(&mut self, seat: Seat) {
        if self.adopted_is_own && self.wants_spare() {
            self.spare.push(seat);
        } else {
            self.release(seat);
        }
    }

    /// Acknowledges the next `items` in hand, which go on being shown: an adopted seat keeps their
    /// block until it is retired.
    pub(super) fn acknowledge_but_show(&mut self, items: u32) {
        match &mut self.adopted {
            Some(seat) => {
                seat.acknowledge(&self.control.ring.memory, items);
                self.lent = items; // should the guard be forgotten
            }
            None => self.acknowledge(items),
        }
    }

    /// Retires an adopted seat whose items were acknowledged while they were shown. Returns whether
    /// there was one.
    pub(super) fn retire_acknowledged(&mut self) -> bool {
        let seat = self.adopted.take_if(|seat| !seat.hold);
        let found = seat.is_some();
        if let Some(seat) = seat {
            self.retire_adopted(seat);
        }
        found
    }

    /// Returns whether there are fewer spare seats than were asked for.
    fn wants_spare(&self) -> bool {
        self.spare.len() + (self.lent_out() as usize) < self.hands as usize
    }

    fn lose_block_in_hand(&mut self) {
        if let Some(mut seat) = self.adopted.take() {
            seat.settle(&self.control.ring.memory, Event::Lost);
            self.retire_adopted(seat);
        } else if self.seat.hold && !self.seat.is_gone() {
            self.seat.settle(&self.control.ring.memory, Event::Lost);
        }
    }

    /// Returns whether the next get finds something in a seat of this endpoint.
    pub(super) fn has_left_over(&self) -> bool {
        self.seat.hold || self.adopted.is_some() || !self.aside.is_empty()
    }

    /// Returns a spare seat, or one that is free now.
    pub(super) fn free_seat(&mut self) -> Option<Seat> {
        self.spare.pop().or_else(|| self.lock_seat(false))
    }

    /// Locks a seat that is free now, or with `orphan` that of the oldest orphan if none is.
    pub(super) fn lock_seat(&mut self, orphan: bool) -> Option<Seat> {
        let control = &mut self.control;
        let seat = control.lock_seat(&control.own, self.attach.role, orphan);
        let seat = seat.ok().flatten()?;
        control.own.insert(seat.index);
        Some(seat)
    }

    /// Makes `seat` free for an exchange although items are in hand there, or leaves it to items
    /// that were given back. Returns false if no other seat is free.
    #[cold]
    pub(super) fn step_aside(&mut self) -> bool {
        let Some(free) = self.free_seat() else {
            return false;
        };
        let old = std::mem::replace(&mut self.seat, free);
        if std::mem::take(&mut self.kept) {
            self.release(old); // it is to go back, and now there is a seat for that
        } else {
            (self.adopted, self.adopted_is_own) = (Some(old), true);
        }
        true
    }

    /// Settles guards that were forgotten: lost under at-most-once, otherwise given back.
    #[inline(always)]
    pub(super) fn settle_forgotten(&mut self) {
        if !self.nothing_forgotten() {
            self.settle_forgotten_slow();
        }
    }

    #[inline(always)]
    pub(super) fn nothing_forgotten(&self) -> bool {
        self.lent == 0 && (self.aside.is_empty() || self.growing)
    }

    #[cold]
    fn settle_forgotten_slow(&mut self) {
        self.refused = false;
        if !self.growing {
            self.give_all_back();
        }
        if std::mem::take(&mut self.lent) == 0 {
            return;
        }
        if self.retire_acknowledged() {
            return;
        }
        if !self.control.ring.at_least_once {
            self.lose_block_in_hand();
        } else if let Some(seat) = self.adopted.take() {
            self.release(seat);
        } else {
            self.kept = self.seat.hold;
        }
    }

    // ---------------------------------------------------------------- several blocks in hand

    /// Prepares for `max` items in hand.
    pub(super) fn reserve_seats_for(&mut self, max: usize) {
        if self.attach.max_unacked == 0 && self.control.ring.batch == 1 && max > 1 {
            let wanted = u32::try_from(max).unwrap_or(u32::MAX).min(MAX_UNASKED);
            if wanted > self.hands {
                self.hands = wanted;
                self.short = None;
            }
        }
        self.refill();
    }

    /// Returns the number of blocks that can be put aside at once, at least 1.
    pub(super) fn in_hand(&self) -> usize {
        self.hands.max(1) as usize
    }

    /// Returns whether an endpoint that did not ask for several seats when it attached may take one
    /// more. The last free ones are left to others.
    fn leaves_enough(&self) -> bool {
        if self.attach.max_unacked > 0 {
            return true;
        }
        let seats = self.control.segment.geometry.seats;
        // Relaxed: the figure serves a choice that others may overtake.
        let free = self
            .control
            .seats()
            .filter(|(_, line)| line.pid.load(Ordering::Relaxed) == 0)
            .count();
        free > (seats / 4).max(2) as usize
    }

    /// Locks spare seats until there are as many as were asked for, or no more are free. After that
    /// it does not try again for a while.
    pub(super) fn refill(&mut self) {
        while self.wants_spare() && self.short.is_none_or(|since| since.elapsed() >= MAX_SLEEP) {
            let free = self.leaves_enough();
            let Some(seat) = free.then(|| self.lock_seat(false)).flatten() else {
                self.short = Some(Instant::now());
                return;
            };
            self.short = None;
            self.spare.push(seat);
        }
    }

    /// Puts the block in hand aside, with `shown` items for a `Batch`. From now on a spare seat
    /// exchanges.
    pub(super) fn set_aside(&mut self, shown: u32) {
        let (seat, adopted) = match self.adopted.take() {
            Some(seat) => (seat, !self.adopted_is_own),
            None => {
                let next = self
                    .spare
                    .pop()
                    .unwrap_or_else(|| Seat::gone(self.seat.index));
                (std::mem::replace(&mut self.seat, next), false)
            }
        };
        self.aside.push_back(Aside {
            seat,
            adopted,
            shown,
            done: false,
        });
    }

    /// Notes, before it is taken, that what the own seats take from now on waits in a buffer.
    pub(super) fn buffer_what_comes(&mut self) {
        if self.control.ring.at_least_once {
            let seats = self
                .spare
                .iter()
                .chain([&self.seat])
                .filter(|seat| !seat.hold);
            seats.for_each(|seat| self.control.ring.set_buffered(seat, true));
        }
    }

    /// Notes that what was put aside is about to be shown.
    pub(super) fn show_buffered(&mut self) {
        if self.control.ring.at_least_once {
            self.aside
                .iter()
                .for_each(|aside| self.control.ring.set_buffered(&aside.seat, false));
        }
    }

    /// Shows up to `items` more of the block put aside last. A cleared rest is not shown:
    /// `put_back` settles it.
    pub(super) fn show_more(&mut self, items: usize) -> u32 {
        let ring = &self.control.ring;
        let Some(last) = self
            .aside
            .back_mut()
            .filter(|last| !ring.holds_void(&last.seat))
        else {
            return 0;
        };
        let more = (last.seat.left() - last.shown).min(u32::try_from(items).unwrap_or(u32::MAX));
        last.shown += more;
        more
    }

    /// Returns whether the block in hand was cleared: then what was not shown of it is not shown.
    pub(super) fn rest_is_void(&self) -> bool {
        self.control
            .ring
            .holds_void(self.adopted.as_ref().unwrap_or(&self.seat))
    }

    /// Returns whether one more block can be put aside.
    pub(super) fn can_set_aside(&self) -> bool {
        self.aside.len() < self.in_hand() && !self.seat.is_gone()
    }

    /// Acknowledges the first `items` of those shown.
    pub(super) fn acknowledge_shown(&mut self, mut items: usize) {
        while let Some(first) = self.aside.front_mut() {
            let now = items.min(first.shown as usize);
            first.acknowledge(&self.control.ring.memory, now as u32);
            first.shown -= now as u32;
            items -= now;
            if first.shown > 0 {
                return;
            }
            if let Some(first) = self.aside.pop_front() {
                self.put_back(first);
            }
        }
    }

    /// Acknowledges all that are shown. They can still be looked at.
    pub(super) fn acknowledge_in_place(&mut self) {
        for aside in &mut self.aside {
            aside.acknowledge(&self.control.ring.memory, aside.shown);
            aside.done = true;
        }
    }

    /// Takes a seat that was put aside into use again.
    fn put_back(&mut self, aside: Aside) {
        let Aside {
            mut seat, adopted, ..
        } = aside;
        let rest = seat.hold && !self.control.ring.settle_void(&mut seat);
        if rest && (adopted || !self.seat.is_gone()) {
            // A block of which a part was shown: the last one, so nothing else is in hand.
            (self.adopted, self.adopted_is_own) = (Some(seat), !adopted);
        } else if self.seat.is_gone() && !adopted {
            self.seat = seat;
        } else if !adopted && self.wants_spare() {
            self.spare.push(seat);
        } else {
            self.release(seat);
        }
    }

    /// Gives what a `Batch` shows to others (at-least-once), or counts it as lost.
    pub(super) fn give_all_back(&mut self) {
        while let Some(mut aside) = self.aside.pop_front() {
            if aside.done || !self.control.ring.at_least_once {
                if !aside.done {
                    aside.seat.settle(&self.control.ring.memory, Event::Lost);
                }
                self.put_back(aside);
            } else if self.seat.is_gone() && !aside.adopted {
                match self.free_seat() {
                    Some(free) => {
                        self.seat = free;
                        self.release(aside.seat);
                    }
                    None => {
                        self.seat = aside.seat;
                        self.kept = true;
                    }
                }
            } else {
                self.release(aside.seat);
            }
        }
    }
}
