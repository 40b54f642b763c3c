//! How one attaches: the role, the number of items in hand, the way of waiting; and taking the seats for it.
//!
//! Callers: the queue room; [`Attach`] is everybody's.

use super::due::Due;
use super::get::Lot;
use super::memory::Leases;
use super::wait::LITTLE_PATIENCE;
use super::{Control, Payload, ReadyQueue};
use crate::error::{Fault, OpenError};
use crate::layout::MAX_SEATS;
use crate::ring::seat::Seat;
use crate::ring::{Cursors, Recovered as Pass};
use crate::segment::{Place, Segment};
use crate::sync::event::wake_one;
use crate::sync::futex::Kernel;
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::atomic::{Ordering, fence};
use std::time::{Duration, Instant};

/// What an endpoint is for. For people, and: where no seat is free, a consumer of an at-least-once queue takes one that still carries the item of a dead consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// It puts.
    Producer = 1,
    /// It gets.
    Consumer = 2,
    /// It does both, or has not said.
    #[default]
    Both = 3,
}

impl Role {
    /// A damaged word reads as both.
    pub(super) fn from_word(word: u32) -> Self {
        match word {
            1 => Self::Producer,
            2 => Self::Consumer,
            _ => Self::Both,
        }
    }
}

/// How one attaches.
///
/// ```
/// use prodcon::{Attach, Role};
/// let attach = Attach::new().role(Role::Consumer).in_hand(16);
/// ```
#[derive(Debug, Clone)]
pub struct Attach {
    pub(super) role: Role,
    /// 0: one seat.
    pub(super) hands: u32,
    fewer: bool,
    pub(super) spin: Duration,
    pub(super) directory: Option<PathBuf>,
}

/// Spin limit unless told otherwise.
const SPIN: Duration = Duration::from_micros(20);

/// How long an attach that finds no seat goes on looking: somebody may have the free one for as long as
/// it takes to recover it. (The fuzzer runs alone: nobody holds a lock for a moment.)
const PATIENCE: Duration = Duration::from_millis(if cfg!(fuzzing) { 0 } else { 200 });

impl Attach {
    /// Both roles, one seat, 20 us of spinning before it sleeps, in `PRODCON_DIR` or `/dev/shm`.
    pub fn new() -> Self {
        Self {
            role: Role::Both,
            hands: 0,
            fewer: false,
            spin: SPIN,
            directory: None,
        }
    }
    /// What the endpoint is for.
    pub fn role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }
    /// Up to so many items in hand at once, see [`ReadyQueue::take_many`]: takes one seat more than that. Attaching fails if fewer are free.
    pub fn in_hand(mut self, items: u32) -> Self {
        (self.hands, self.fewer) = (items, false);
        self
    }
    /// As [`in_hand`](Self::in_hand), but content with the seats that are free, with one if need be; it takes more when they become free.
    pub fn in_hand_at_most(mut self, items: u32) -> Self {
        (self.hands, self.fewer) = (items, true);
        self
    }
    /// How long the endpoint spins before it sleeps.
    pub fn spin(mut self, limit: Duration) -> Self {
        self.spin = limit;
        self
    }
    /// Another directory than `PRODCON_DIR` or `/dev/shm`.
    pub fn directory(mut self, dir: impl Into<PathBuf>) -> Self {
        self.directory = Some(dir.into());
        self
    }

    pub(super) fn place(&self, name: &str) -> Result<Place, OpenError> {
        Place::new(self.directory.as_deref().map(Path::new), name)
    }
}

impl Default for Attach {
    fn default() -> Self {
        Self::new()
    }
}

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
    pub(super) fn lock_seat(&self, own: &SeatSet, role: Role, orphan: bool) -> Result<Option<Seat>, Fault> {
        let (mut pass, mut locks) = (Pass::default(), Leases::new(&self.segment.lease));
        let taken = self.ring.attach(&mut locks, |index| own.has(index), orphan, &mut pass);
        self.wake_after(&pass);
        if !matches!(taken, Ok(Some(_))) {
            locks.failed().map_err(|error| self.os_fault(&error))?;
        }
        if let Ok(Some(seat)) = &taken {
            let line = self.segment.seat(seat.index);
            line.pid.store(std::process::id(), Ordering::Relaxed); // Relaxed, these three: for people
            line.role.store(role as u32, Ordering::Relaxed);
            line.asleep.store(0, Ordering::Relaxed);
            if !seat.hold {
                self.ring.set_buffered(seat, false); // of its last holder
            }
        }
        taken.map_err(|refusal| self.fault(refusal))
    }

    /// Seats not in `own` that nobody holds and that carry items (at-least-once).
    pub(super) fn orphans(&self, own: &SeatSet) -> usize {
        // What cannot be told is no orphan for this count; `lock_seat` has told the error, or will.
        let left = |index| matches!(self.segment.lease.is_locked(index), Ok(false));
        let orphan = |index: &u32| !own.has(*index) && self.ring.held(*index) > 0 && left(*index);
        (0..self.segment.geometry.seats).filter(orphan).count()
    }

    /// Refuses a segment in which two slots or seats name one block: two endpoints would then have the
    /// same memory. Only while all seats are free; where others are attached, one of them has looked.
    fn check_blocks(&self) -> Result<(), OpenError> {
        let free = |seat: u32| !self.segment.lease.is_locked(seat).unwrap_or(true);
        let mut before = None;
        // Two looks that agree, with all seats free, are of a ring at rest. Somebody who comes meanwhile makes them differ.
        for _ in 0..4 {
            if !(0..self.segment.geometry.seats).all(free) {
                break;
            }
            let census = self.ring.census();
            let Some(what) = self.ring.contradiction(&census) else { break };
            // Acquire: this look's loads are done before those of the next one.
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
        let line = self.segment.seat(seat.index);
        line.pid.store(0, Ordering::Relaxed); // Relaxed, both: for people
        line.role.store(0, Ordering::Relaxed);
        if self.ring.leave(&mut Leases::new(&self.segment.lease), seat) {
            wake_one(&self.words().items.0, &Kernel);
        }
    }
}

impl<T: Payload + ?Sized> ReadyQueue<T> {
    pub(super) fn join(place: Place, attach: &Attach) -> Result<Self, OpenError> {
        loop {
            match Self::join_whose_name_it_is(place.clone(), attach) {
                // Removed between our open and our lock: the name, if it is there, is another queue's.
                Err(OpenError::Removed { .. }) => {}
                joined => return joined,
            }
        }
    }

    fn join_whose_name_it_is(place: Place, attach: &Attach) -> Result<Self, OpenError> {
        let segment = Segment::attach(place)?;
        let header = &segment.header;
        let differs = |what, expected: String, found: String| {
            Err(OpenError::Incompatible {
                queue: segment.place.name.clone(),
                what,
                expected,
                found,
            })
        };
        if let Some((name, size, align)) = T::plain() {
            let typed = !header.type_name.is_empty();
            if typed && header.type_name != name {
                return differs("item type", name, header.type_name.clone());
            }
            if (typed && header.item_size != size as u64) || header.item_size < size as u64 {
                return differs("item size", size.to_string(), header.item_size.to_string());
            }
            if segment.geometry.payload_offset % align as u64 != 0
                || segment.geometry.block_size % align as u64 != 0
                || segment.geometry.blocks_offset % align as u64 != 0
            {
                return differs("item alignment", align.to_string(), header.item_align.to_string());
            }
        }
        let control = Control::over(segment);
        control.check_blocks()?;
        Self::enter(control, attach)
    }

    /// Takes the seats; tries for some milliseconds, because a recoverer may hold a lock for a moment.
    pub(super) fn enter(control: Control, attach: &Attach) -> Result<Self, OpenError> {
        let (queue, seats) = (control.shared_name(), control.segment.geometry.seats);
        let wanted = if attach.hands == 0 { 1 } else { attach.hands.saturating_add(1) };
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
                Ok(None) if attach.fewer && !taken.is_empty() => break,
                // The seats of orphans count: their items are the first that its gets deliver, and then the seats are free.
                Ok(None) if attach.role != Role::Producer && !taken.is_empty() && taken.len() + control.orphans(&own) >= wanted as usize => break,
                Ok(None) if wanted <= seats && Instant::now() < deadline => std::thread::sleep(Duration::from_millis(1)),
                Ok(None) => {
                    leave(taken);
                    return Err(OpenError::NoSeat { queue, seats, wanted });
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
                return Err(removed.map_or_else(|error| control.os_fault(&error).of_opening(), |_| OpenError::Removed { queue }));
            }
        }
        // The first may carry an orphan; it is the one whose item is in hand then.
        let seat = taken.remove(0);
        Ok(Self {
            control,
            kept: seat.hold,
            seat,
            adopted: None,
            spare: taken,
            aside: VecDeque::new(),
            growing: false,
            short: None,
            own,
            attach: attach.clone(),
            cursors: Cursors::default(),
            shown: Lot::default(),
            lent: 0,
            buffering: false,
            awaited: false,
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
            _items: PhantomData,
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
