//! A set of seats, by number.

use crate::layout::MAX_SEATS;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_seats_has_what_was_put_in() {
        let mut set = SeatSet::default();
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
