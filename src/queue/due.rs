//! Decides when an endpoint looks after the dead: often enough that nobody waits long for what they
//! left, and seldom enough that it costs nothing.
//!
//! The clock is not read with each operation, but after a *lap* of successes or of fruitless polls.
//! A fast endpoint has long laps, and a slow one, which has the time, looks after each operation.
//! The clock is also looked at before each sleep, and wherever a waiter reads it anyway. This
//! module knows no queue.

use super::backoff::MAX_SLEEP;
use std::time::{Duration, Instant};

/// The time between two looks after the dead. The fuzzer's reference model cannot know what time it
/// is.
const PERIOD: Duration = if cfg!(fuzzing) {
    Duration::MAX
} else {
    Duration::from_millis(50)
};
/// Replaces `PERIOD` if the last look has left a seat undecided, or found it locked.
const UNDECIDED_PERIOD: Duration = if cfg!(fuzzing) {
    Duration::MAX
} else {
    Duration::from_millis(20)
};
/// An endpoint that needs less than this for a lap makes longer laps.
const SHORT_LAP: Duration = Duration::from_millis(1);
/// The number of operations in the longest lap.
const MAX_LAP: u32 = 64;

/// When an endpoint looked last, and when it has to look again.
#[derive(Debug)]
pub(super) struct Due {
    looked: Instant,
    lap_began: Instant,
    lap: u32,
    /// The fruitless polls of this lap.
    polls: u32,
    /// The dead are to be looked after again soon.
    again: bool,
    /// The last look was such a repetition.
    repeated: bool,
}

impl Due {
    /// Returns the number of operations in the first lap.
    pub(super) const FIRST: u32 = 1;

    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            looked: now,
            lap_began: now,
            lap: Self::FIRST,
            polls: 0,
            again: false,
            repeated: false,
        }
    }

    /// Counts a fruitless poll. Returns true at the end of a lap.
    pub(super) fn polled(&mut self) -> bool {
        self.polls += 1;
        self.polls >= self.lap
    }

    /// Ends a lap. Returns how long the next one is.
    pub(super) fn next_lap(&mut self, now: Instant) -> u32 {
        let took = now.saturating_duration_since(self.lap_began);
        self.lap = if took < SHORT_LAP {
            (2 * self.lap).min(MAX_LAP)
        } else {
            1
        };
        (self.lap_began, self.polls) = (now, 0);
        self.lap
    }

    /// Returns true when it is time to look. The look then counts as done.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let wait = if self.again { UNDECIDED_PERIOD } else { PERIOD };
        let due = now.saturating_duration_since(self.looked) >= wait;
        if due {
            (self.looked, self.repeated, self.again) = (now, self.again, false);
        }
        due
    }

    /// Notes what the look has left. A seat that somebody has locked is mostly its living owner's,
    /// so one repetition has to do. An undecided seat is a dead process's.
    pub(super) fn has_left(&mut self, undecided: bool, locked: bool) {
        self.again = undecided || locked && !self.repeated;
    }

    /// Returns the longest time that a sleep may last.
    pub(super) fn longest_sleep(&self) -> Duration {
        if self.again {
            UNDECIDED_PERIOD.min(MAX_SLEEP)
        } else {
            MAX_SLEEP
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn laps_grow_for_the_fast_and_are_single_steps_for_the_slow() {
        let mut due = Due::new();
        let began = due.lap_began;
        let laps: Vec<u32> = (0..8).map(|_| due.next_lap(began)).collect();
        assert_eq!(laps, [2, 4, 8, 16, 32, 64, 64, 64]);
        assert_eq!(due.next_lap(began + MS), 1);
        assert!(due.polled());
    }

    #[test]
    fn two_looks_are_a_period_apart_and_one_that_left_something_is_repeated_soon() {
        let mut due = Due::new();
        let at = |ms: u32| due_base() + ms * MS;
        due.looked = at(0);
        assert!(!due.is_due(at(49)) && due.is_due(at(50)) && !due.is_due(at(99)));
        due.has_left(false, true);
        assert!(!due.is_due(at(69)) && due.is_due(at(70)));
        due.has_left(false, true);
        assert!(
            !due.is_due(at(119)),
            "a lock is looked at again once, not all the time"
        );
        assert!(due.is_due(at(120)));
        for round in 0..3 {
            due.has_left(true, false);
            assert!(due.longest_sleep() < MAX_SLEEP && due.is_due(at(140 + 20 * round)));
        }
    }

    fn due_base() -> Instant {
        static BASE: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *BASE.get_or_init(Instant::now)
    }
}
