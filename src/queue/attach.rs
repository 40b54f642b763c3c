//! Takes seats for an endpoint, and gives them up.
//!
//! Invariant: a seat leaves the set of its endpoint's own seats when its lock is given back, and
//! not before.

use super::claims::Claims;
use super::control::Control;
use super::due::Due;
use super::endpoint::Endpoint;
use super::held::HeldSpan;
use super::memory::Leases;
use super::options::AttachOptions;
use super::seat_set::SeatSet;
use super::wait::MIN_SINGLES;
use crate::error::{Fault, OpenError};
use crate::ring::seat::Seat;
use crate::ring::{Cursors, Locks, Recovered as Pass};
use crate::state::Role;
use crate::sync::event::wake_one;
use crate::sys::futex::Kernel;
use crate::trace;
use std::cell::OnceCell;
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::sync::atomic::{Ordering, fence};
use std::time::{Duration, Instant};

/// How long an attach that finds no seat goes on looking. Another process may hold the lock of a
/// free one for as long as it takes to recover it. (The fuzzer runs alone, so no lock is held for a
/// moment.)
const SEAT_WAIT: Duration = Duration::from_millis(if cfg!(fuzzing) { 0 } else { 200 });

/// Seat locks that leave the set of their endpoint's seats when they are given back, and not
/// before.
struct Returned<'a> {
    leases: Leases<'a>,
    own: &'a SeatSet,
}

impl Locks for Returned<'_> {
    fn try_lock(&mut self, seat: u32) -> bool {
        self.leases.try_lock(seat)
    }
    fn unlock(&mut self, seat: u32) {
        self.leases.unlock(seat);
        self.own.remove(seat);
    }
    fn is_locked(&mut self, seat: u32) -> bool {
        self.leases.is_locked(seat)
    }
}

impl Control {
    /// Takes a free seat that is not in `own`. Takes an orphan's if `orphan` is set and no other is
    /// free.
    pub(super) fn lock_seat(
        &self,
        own: &SeatSet,
        role: Role,
        orphan: bool,
    ) -> Result<Option<Seat>, Fault> {
        let (mut pass, mut locks) = (Pass::default(), Leases::new(&self.segment.lease));
        let taken = self
            .ring
            .attach(&mut locks, |index| own.has(index), orphan, &mut pass);
        self.wake_after(&pass);
        if !matches!(taken, Ok(Some(_))) {
            locks.failed().map_err(|error| self.os_fault(&error))?;
        }
        if let Ok(Some(seat)) = &taken {
            self.occupy(seat, role);
            if !seat.hold {
                self.ring.set_buffered(seat, false); // of its last holder
            }
        }
        taken.map_err(|refusal| self.fault(refusal))
    }

    /// Notes in a seat that was just locked who has it now.
    pub(super) fn occupy(&self, seat: &Seat, role: Role) {
        let line = self.segment.seat(seat.index);
        // Relaxed, these three: for people, and for a controlling process that limits work.
        line.pid.store(std::process::id(), Ordering::Relaxed);
        line.role.store(role as u32, Ordering::Relaxed);
        line.asleep.store(0, Ordering::Relaxed);
        self.end_work(seat.index); // its last holder may have been killed in it
    }

    /// Returns how many seats that are not in `own` nobody holds, and carry items (at-least-once).
    pub(super) fn orphans(&self, own: &SeatSet) -> usize {
        // A seat whose lock cannot be tested is no orphan for this count. `lock_seat` reports the
        // error.
        let left = |index| matches!(self.segment.lease.is_locked(index), Ok(false));
        let orphan = |index: &u32| !own.has(*index) && self.ring.held(*index) > 0 && left(*index);
        (0..self.segment.geometry.seats).filter(orphan).count()
    }

    /// Refuses a segment in which two slots or seats name one block: two endpoints would then have
    /// the same memory. It looks only while all seats are free. If others are attached, one of them
    /// has looked.
    pub(super) fn check_blocks(&self) -> Result<(), OpenError> {
        let free = |seat: u32| !self.segment.lease.is_locked(seat).unwrap_or(true);
        let mut before = None;
        // Two looks that agree, with all seats free, see a ring at rest. A process that comes
        // meanwhile makes them differ.
        for _ in 0..4 {
            if !(0..self.segment.geometry.seats).all(free) {
                break;
            }
            let census = self.ring.census();
            let Some(what) = self.ring.contradiction(&census) else {
                break;
            };
            // Acquire: this look's loads are complete before those of the next one.
            fence(Ordering::Acquire);
            // The fuzzer goes on, to see what the others make of it.
            if before.as_ref() == Some(&census) && !cfg!(fuzzing) {
                return Err(OpenError::Corrupt {
                    queue: self.shared_name(),
                    what,
                });
            }
            before = Some(census);
        }
        Ok(())
    }

    /// Gives a seat up.
    pub(super) fn release(&self, seat: Seat) {
        let index = seat.index;
        let line = self.segment.seat(index);
        line.pid.store(0, Ordering::Relaxed); // Relaxed, both: for people
        line.role.store(0, Ordering::Relaxed);
        let mut locks = Returned {
            leases: Leases::new(&self.segment.lease),
            own: &self.own,
        };
        if self.ring.leave(&mut locks, seat) {
            wake_one(&self.words().items.0, &Kernel);
        }
    }
}

impl Endpoint {
    /// Takes the seats. Tries for some milliseconds, because a recoverer may hold a lock for a
    /// moment.
    pub(super) fn enter(mut control: Control, attach: &AttachOptions) -> Result<Self, OpenError> {
        let (queue, seats) = (control.shared_name(), control.segment.geometry.seats);
        let (wanted, content) = attach.seats();
        let own = control.own.clone();
        let mut taken = Vec::<Seat>::new();
        let mut deadline = Instant::now() + SEAT_WAIT;
        let leave = |taken: Vec<Seat>| taken.into_iter().for_each(|seat| control.release(seat));
        while taken.len() < wanted as usize {
            let orphan = taken.is_empty() && attach.role != Role::Producer;
            match control.lock_seat(&own, attach.role, orphan) {
                Ok(Some(seat)) => {
                    own.insert(seat.index);
                    taken.push(seat);
                    deadline = Instant::now() + SEAT_WAIT;
                }
                Ok(None) if taken.len() >= content as usize => break,
                // The seats of orphans count: their items are the first that the gets of this
                // endpoint deliver, and then the seats are free.
                Ok(None)
                    if attach.role != Role::Producer
                        && !taken.is_empty()
                        && taken.len() + control.orphans(&own) >= wanted as usize =>
                {
                    break;
                }
                Ok(None) if wanted <= seats && Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(1))
                }
                Ok(None) => {
                    leave(taken);
                    return Err(OpenError::NoSeat {
                        queue,
                        seats,
                        wanted,
                    });
                }
                Err(fault) => {
                    leave(taken);
                    return Err(fault.of_opening());
                }
            }
        }
        match control.segment.was_removed() {
            Ok(false) => {}
            removed => {
                leave(taken);
                return Err(removed.map_or_else(
                    |error| control.os_fault(&error).of_opening(),
                    |_| OpenError::Removed { queue },
                ));
            }
        }
        // The first seat may carry an orphan. It is the one whose item is in hand then.
        let seat = taken.remove(0);
        control.cancel.clone_from(&attach.cancel);
        trace::attached(control.name(), seat.index, attach.role);
        Ok(Self {
            control,
            kept: seat.hold,
            seat,
            adopted: None,
            adopted_is_own: false,
            spare: taken,
            aside: VecDeque::new(),
            growing: false,
            short: None,
            hands: attach.max_unacked,
            loans: None,
            attach: attach.clone(),
            cursors: Cursors::default(),
            shown: HeldSpan::default(),
            lent: 0,
            refused: false,
            buffering: false,
            awaited: false,
            orphans: None,
            dead_letters: None,
            burst: 0,
            claims: Claims::new(),
            care_at: Due::FIRST,
            usual: false,
            due: Due::new(),
            singles: 0,
            patience: MIN_SINGLES,
            drops: 0,
            failed_spins: 0,
            watch: OnceCell::new(),
            _one_thread: PhantomData,
        })
    }
}
