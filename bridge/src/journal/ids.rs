//! Sets of item numbers, as ranges. Items of one queue that came without a gap are one range.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Ranges that a set has at most. The lowest are forgotten first. What was forgotten counts as
/// unknown, so it may come twice; nothing is lost by it.
const MAX_RANGES: usize = 4096;

/// The numbers from `first` to before `first + len`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The first number.
    pub first: u64,
    /// How many.
    pub len: u64,
}

impl Span {
    fn end(self) -> u64 {
        self.first.saturating_add(self.len)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.first, self.len)
    }
}

impl FromStr for Span {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (first, len) = text.split_once('+').ok_or(())?;
        Ok(Self {
            first: first.parse().map_err(drop)?,
            len: len.parse().map_err(drop)?,
        })
    }
}

/// A set of numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ids(BTreeMap<u64, u64>); // first -> end; no two touch

impl Ids {
    /// Adds numbers.
    pub fn insert(&mut self, span: Span) {
        let (mut first, mut end) = (span.first, span.end());
        if first >= end {
            return;
        }
        while let Some((&low, &high)) = self.0.range(..=end).next_back() {
            if high < first {
                break;
            }
            self.0.remove(&low);
            (first, end) = (first.min(low), end.max(high));
        }
        self.0.insert(first, end);
        if self.0.len() > MAX_RANGES {
            self.0.pop_first();
        }
    }

    /// Returns whether the number is in it.
    pub fn contains(&self, number: u64) -> bool {
        let below = self.0.range(..=number).next_back();
        below.is_some_and(|(_, end)| number < *end)
    }

    /// Returns the highest number in it.
    pub fn highest(&self) -> Option<u64> {
        self.0.last_key_value().map(|(_, end)| end - 1)
    }

    /// Returns its ranges, lowest first.
    pub fn spans(&self) -> impl Iterator<Item = Span> {
        self.0.iter().map(|(&first, &end)| Span {
            first,
            len: end - first,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(first: u64, len: u64) -> Span {
        Span { first, len }
    }

    #[test]
    fn ranges_that_touch_become_one_and_others_stay_apart() {
        let mut ids = Ids::default();
        for at in [span(10, 5), span(20, 5), span(0, 0)] {
            ids.insert(at);
        }
        assert_eq!(ids.spans().collect::<Vec<_>>(), [span(10, 5), span(20, 5)]);
        ids.insert(span(15, 5));
        assert_eq!(ids.spans().collect::<Vec<_>>(), [span(10, 15)]);
        ids.insert(span(5, 100));
        assert_eq!(ids.spans().collect::<Vec<_>>(), [span(5, 100)]);
        for (number, known) in [(4, false), (5, true), (104, true), (105, false)] {
            assert_eq!(ids.contains(number), known, "{number}");
        }
    }

    #[test]
    fn a_set_of_ranges_says_what_a_set_of_numbers_says() {
        let (mut ids, mut plain) = (Ids::default(), std::collections::BTreeSet::new());
        let mut dice = 1u64;
        let mut roll = |sides: u64| {
            dice = dice
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (dice >> 33) % sides
        };
        for _ in 0..2000 {
            let at = span(roll(3000), roll(6));
            ids.insert(at);
            plain.extend(at.first..at.end());
        }
        for number in 0..3010 {
            assert_eq!(ids.contains(number), plain.contains(&number), "{number}");
        }
    }

    #[test]
    fn what_is_too_much_is_forgotten_from_below_and_never_made_up() {
        let mut ids = Ids::default();
        for number in 0..MAX_RANGES as u64 + 10 {
            ids.insert(span(2 * number, 1));
        }
        assert_eq!(ids.spans().count(), MAX_RANGES);
        assert!(!ids.contains(0) && ids.contains(2 * MAX_RANGES as u64));
        assert!((0..MAX_RANGES as u64).all(|number| !ids.contains(2 * number + 1)));
    }
}
