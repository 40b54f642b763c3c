//! Taking seats: how an endpoint gets them, and gives them up.

use super::control::Control;
use super::due::Due;
use super::endpoint::Endpoint;
use super::get::Lot;
use super::item::Plain;
use super::memory::Leases;
use super::options::AttachOptions;
use super::wait::LITTLE_PATIENCE;
use crate::error::OpenError;
use crate::layout::MAX_SEATS;
use crate::ring::seat::Seat;
use crate::ring::{Cursors, Recovered as Pass, Refusal};
use crate::state::Role;
use crate::sync::event::wake_one;
use crate::sync::futex::Kernel;
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long an attach that finds no seat goes on looking: somebody may have the free one for as long as
/// it takes to recover it. (The fuzzer runs alone: nobody holds a lock for a moment.)
const PATIENCE: Duration = Duration::from_millis(if cfg!(fuzzing) { 0 } else { 200 });

/// A set of seats.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SeatSet([u64; MAX_SEATS as usize / 64 + 1]);

impl SeatSet {
    pub(super) fn has(&self, seat: u32) -> bool {
        self.0[seat as usize / 64] >> (seat % 64) & 1 == 1
    }
    pub(super) fn insert(&mut self, seat: u32) {
        self.0[seat as usize / 64] |= 1 << (seat % 64);
    }
    pub(super) fn remove(&mut self, seat: u32) {
        self.0[seat as usize / 64] &= !(1 << (seat % 64));
    }
}

impl Control {
    /// Takes a free seat that is not in `own`; an orphan's if `orphan` and there is no other.
    pub(super) fn lock_seat(&self, own: &SeatSet, role: Role, orphan: bool) -> Result<Option<Seat>, Refusal> {
        let mut pass = Pass::default();
        let taken = self.ring.attach(&mut Leases(&self.segment.lease), |index| own.has(index), orphan, &mut pass);
        self.wake_after(&pass);
        if let Ok(Some(seat)) = &taken {
            let line = self.segment.seat(seat.index);
            line.pid.store(std::process::id(), Ordering::Relaxed); // Relaxed, these three: for people
            line.role.store(role as u32, Ordering::Relaxed);
            line.asleep.store(0, Ordering::Relaxed);
        }
        taken
    }

    /// Seats not in `own` that nobody holds and that carry items (at-least-once).
    fn orphans(&self, own: &SeatSet) -> usize {
        let orphan = |index: &u32| !own.has(*index) && self.ring.held(*index) > 0 && !self.segment.lease.is_locked(*index).unwrap_or(true);
        (0..self.segment.geometry.seats).filter(orphan).count()
    }

    /// Gives a seat up.
    pub(super) fn release(&self, seat: Seat) {
        let line = self.segment.seat(seat.index);
        line.pid.store(0, Ordering::Relaxed); // Relaxed, both: for people
        line.role.store(0, Ordering::Relaxed);
        if self.ring.leave(&mut Leases(&self.segment.lease), seat) {
            wake_one(&self.words().items.0, &Kernel);
        }
    }
}

impl Endpoint {
    /// Takes the seats; tries for some milliseconds, because a recoverer may hold a lock for a moment.
    pub(super) fn enter(mut control: Control, attach: &AttachOptions, plain: Option<Plain>) -> Result<Self, OpenError> {
        let (queue, seats) = (control.shared_name(), control.segment.geometry.seats);
        let (wanted, content) = attach.seats();
        let (mut own, mut taken) = (SeatSet::default(), Vec::<Seat>::new());
        let mut deadline = Instant::now() + PATIENCE;
        let leave = |taken: Vec<Seat>| taken.into_iter().for_each(|seat| control.release(seat));
        while taken.len() < wanted as usize {
            let orphan = taken.is_empty() && attach.role != Role::Producer;
            match control.lock_seat(&own, attach.role, orphan) {
                Ok(Some(seat)) => {
                    own.insert(seat.index);
                    taken.push(seat);
                    deadline = Instant::now() + PATIENCE;
                }
                Ok(None) if taken.len() >= content as usize => break,
                // The seats of orphans count: their items are the first that its gets deliver, and then the seats are free.
                Ok(None) if attach.role != Role::Producer && !taken.is_empty() && taken.len() + control.orphans(&own) >= wanted as usize => break,
                Ok(None) if wanted <= seats && Instant::now() < deadline => std::thread::sleep(Duration::from_millis(1)),
                Ok(None) => {
                    leave(taken);
                    return Err(OpenError::NoSeat { queue, seats, wanted });
                }
                Err(refusal) => {
                    leave(taken);
                    return Err(OpenError::Corrupt {
                        what: match refusal {
                            Refusal::Corrupt(what) => what.into(),
                            other => format!("a seat answers {other:?}"),
                        },
                        queue,
                    });
                }
            }
        }
        let removed = control.segment.was_removed();
        if let Err(error) = &removed {
            leave(taken);
            return Err(OpenError::Os {
                queue,
                call: "fcntl",
                errno: error.raw_os_error().unwrap_or(libc::EIO),
            });
        }
        if matches!(removed, Ok(true)) {
            // Removed between our open and our lock: the name, if it is there, is another queue's.
            leave(taken);
            return Self::join(control.segment.place.clone(), attach, plain);
        }
        // The first may carry an orphan; it is the one whose item is in hand then.
        let seat = taken.remove(0);
        control.own = own;
        Ok(Self {
            control,
            kept: seat.hold,
            seat,
            adopted: None,
            spare: taken,
            aside: VecDeque::new(),
            growing: false,
            short: None,
            hands: attach.max_unacked,
            attach: attach.clone(),
            cursors: Cursors::default(),
            shown: Lot::default(),
            lent: 0,
            orphans: None,
            dead_letters: None,
            burst: 0,
            care_at: Due::FIRST,
            due: Due::new(),
            singles: 0,
            patience: LITTLE_PATIENCE,
            drops: 0,
            vain_spins: 0,
            _one_thread: PhantomData,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_seats_has_what_was_put_in() {
        let mut set = SeatSet::default();
        [0, 63, 64, 1022].into_iter().for_each(|seat| set.insert(seat));
        set.remove(64);
        assert_eq!((0..MAX_SEATS).filter(|seat| set.has(*seat)).collect::<Vec<_>>(), [0, 63, 1022]);
    }
}
