//! Learns whether a consumer should take the cache lines that it has read.
//!
//! To write a word of each line back is worth several times its cost, or is lost, depending on the
//! size of the ring and on where the processors are (docs/performance.md). So a consumer looks: it
//! does the other for a while, and stays with it if more items come through. This module knows no
//! queue.

use std::time::{Duration, Instant};

/// The shortest window. It also lasts until the ring has gone around once, so that each block was
/// treated alike.
const WINDOW: Duration = Duration::from_millis(1);
/// Windows before the first look, and between two looks. A look costs two windows, so looks that
/// have changed nothing become rarer.
const FIRST: u32 = 2;
const RARELY: u32 = 250;
const MOST_RARELY: u32 = 2000;

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The better way is used, for this many windows more.
    Stay(u32),
    /// The other has begun. The blocks in the ring were treated in the former way.
    Settle,
    /// The other is measured.
    Try,
}

/// What one consumer knows about it.
#[derive(Debug)]
pub(super) struct Claims {
    /// Take the lines?
    claims: bool,
    phase: Phase,
    /// When this window began, and where the consumer stood then.
    began: Instant,
    from: u64,
    /// The time of an item, in nanoseconds, when the other had not been begun.
    usual: f64,
    /// Windows until the next look.
    between: u32,
}

impl Claims {
    pub(super) fn new() -> Self {
        Self {
            claims: true,
            phase: Phase::Stay(FIRST),
            began: Instant::now(),
            from: 0,
            usual: 0.0,
            between: RARELY,
        }
    }

    /// Does one or the other, for longer than anybody measures.
    #[cfg(test)]
    pub(super) fn fixed(claims: bool) -> Self {
        let phase = Phase::Stay(u32::MAX);
        Self {
            claims,
            phase,
            ..Self::new()
        }
    }

    /// Begins the window again: what it would have measured is not the work. `at` is the number of
    /// items that have come through so far.
    pub(super) fn restart(&mut self, at: u64) {
        (self.began, self.from) = (Instant::now(), at);
    }

    /// Returns whether the lines are to be taken. `at` is as in `restart`; the ring has `capacity`
    /// blocks.
    pub(super) fn look(&mut self, now: Instant, at: u64, capacity: u64) -> bool {
        let took = now.saturating_duration_since(self.began);
        let items = at.saturating_sub(self.from);
        if took < WINDOW || items < capacity {
            return self.claims;
        }
        (self.began, self.from) = (now, at);
        let time = took.as_nanos() as f64 / items as f64;
        self.phase = match self.phase {
            Phase::Stay(0) => {
                self.usual = time;
                self.claims = !self.claims;
                Phase::Settle
            }
            Phase::Stay(windows) => Phase::Stay(windows - 1),
            Phase::Settle => Phase::Try,
            Phase::Try => {
                if time < 0.9 * self.usual {
                    self.between = RARELY;
                } else {
                    self.claims = !self.claims;
                    self.between = (2 * self.between).min(MOST_RARELY);
                }
                Phase::Stay(self.between)
            }
        };
        self.claims
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPACITY: u64 = 64;

    /// Consumes for this many windows, with the nanoseconds that an item takes with and without.
    /// Returns how many items were consumed with and without.
    fn consume(
        claims: &mut Claims,
        at: &mut (Instant, u64),
        windows: u32,
        ns: [u64; 2],
    ) -> [u64; 2] {
        let mut items = [0; 2];
        let end = at.0 + windows * WINDOW;
        while at.0 < end {
            let with = claims.look(at.0, at.1, CAPACITY);
            let way = usize::from(!with);
            at.0 += Duration::from_nanos(16 * ns[way]);
            at.1 += 16;
            items[way] += 16;
        }
        items
    }

    #[test]
    fn the_better_of_two_ways_is_found_and_found_again_when_it_changes() {
        let mut claims = Claims::new();
        let mut at = (claims.began, 0);
        consume(&mut claims, &mut at, 10, [5600, 4000]);
        let [with, without] = consume(&mut claims, &mut at, 200, [5600, 4000]);
        assert!(with == 0 && without > 0, "{with} {without}");
        consume(&mut claims, &mut at, 600, [4000, 26_000]); // its windows are longer
        let [with, without] = consume(&mut claims, &mut at, 200, [4000, 26_000]);
        assert!(with > 0 && without == 0, "{with} {without}");
    }

    #[test]
    fn a_difference_of_a_few_per_cent_changes_nothing_and_looks_become_rare() {
        let mut claims = Claims::new();
        let mut at = (claims.began, 0);
        let [with, without] = consume(&mut claims, &mut at, 5000, [4000, 3800]);
        assert!(without * 200 < with, "{with} {without}");
    }

    #[test]
    fn time_asleep_is_not_measured() {
        let mut claims = Claims::new();
        let mut at = (claims.began, 0);
        consume(&mut claims, &mut at, 2, [4000, 26_000]);
        // Before the first look it sleeps for long, which makes the other way look good.
        at.0 += Duration::from_secs(1);
        claims.began = at.0; // what `restart` does, at a time of its own
        claims.from = at.1;
        consume(&mut claims, &mut at, 20, [4000, 26_000]);
        let [with, without] = consume(&mut claims, &mut at, 100, [4000, 26_000]);
        assert!(with > 0 && without == 0, "{with} {without}");
    }
}
