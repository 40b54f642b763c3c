//! A set of seats, by number, that threads share.
//!
//! Invariant: a seat is in its endpoint's set from after its lock was taken until after it was
//! given back. Locks of one description do not exclude each other: for a seat that leaves the set
//! while it is locked, the endpoint would take the lock a second time, and lose it in silence.

use crate::layout::MAX_SEATS;
use std::sync::atomic::{AtomicU64, Ordering};

/// A set of seats.
#[derive(Debug, Default)]
pub(super) struct SeatSet([AtomicU64; MAX_SEATS as usize / 64 + 1]);

impl SeatSet {
    pub(super) fn has(&self, seat: u32) -> bool {
        // Acquire: pairs with `remove`, so that a lock that is tried for a seat that is not in the
        // set is tried after it was given back.
        self.word(seat).load(Ordering::Acquire) >> (seat % 64) & 1 == 1
    }

    /// Called after the seat's lock was taken.
    pub(super) fn insert(&self, seat: u32) {
        // Relaxed: only the endpoint's own thread inserts, and it alone takes locks.
        self.word(seat)
            .fetch_or(1 << (seat % 64), Ordering::Relaxed);
    }

    /// Called after the seat's lock was given back.
    pub(super) fn remove(&self, seat: u32) {
        // Release: see `has`.
        self.word(seat)
            .fetch_and(!(1 << (seat % 64)), Ordering::Release);
    }

    fn word(&self, seat: u32) -> &AtomicU64 {
        &self.0[seat as usize / 64]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_seats_has_what_was_put_in() {
        let set = SeatSet::default();
        [0, 63, 64, 1022]
            .into_iter()
            .for_each(|seat| set.insert(seat));
        set.remove(64);
        assert_eq!(
            (0..MAX_SEATS)
                .filter(|seat| set.has(*seat))
                .collect::<Vec<_>>(),
            [0, 63, 1022]
        );
    }
}
