//! Figures as people read them: sizes, shares, times. What a program reads is JSON.

use std::time::Duration;

/// A number of bytes, exactly, and so that `--item-size` reads it again: `1500B`, `64KiB`.
pub fn bytes(bytes: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    units
        .into_iter()
        .find(|(_, bits)| bytes > 0 && bytes.is_multiple_of(1 << bits))
        .map_or_else(
            || format!("{bytes}B"),
            |(unit, bits)| format!("{}{unit}", bytes >> bits),
        )
}

/// So many things of a kind: `1 item`, `2 items`.
pub fn many(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// What part of a whole: `35 %`, `0.1 %`. Not nothing is never shown as nothing, and not all never
/// as all.
pub fn share(part: u64, whole: u64) -> String {
    let percent = 100.0 * part as f64 / whole.max(1) as f64;
    match percent {
        p if part > 0 && p < 0.1 => "<0.1 %".into(),
        p if p < 10.0 => format!("{} %", (p * 10.0).round() / 10.0),
        p if part < whole => format!("{} %", p.round().min(99.0)),
        p => format!("{} %", p.round()),
    }
}

/// A time in two units at most: `85 ms`, `3.2 s`, `4 min 5 s`, `2 days 3 h`.
pub fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 if time.as_millis() == 0 => format!("{} us", time.as_micros()),
        0 => format!("{} ms", time.as_millis()),
        1..60 => format!("{}.{} s", seconds, time.subsec_millis() / 100),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!(
            "{} {} h",
            many(seconds / 86_400, "day"),
            seconds / 3600 % 24
        ),
    }
}

/// A moment, given as the time since 1970, in UTC: `2026-11-28 19:30:08 UTC`.
pub fn moment(since: Duration) -> String {
    let seconds = since.as_secs();
    let (year, month, day) = date(seconds / 86_400);
    let [hour, minute, second] = [seconds / 3600 % 24, seconds / 60 % 60, seconds % 60];
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// The date of a day that is counted from 1970, in the Gregorian calendar.
fn date(day: u64) -> (u64, u64, u64) {
    // Days are counted from 0000-03-01 here, so that a leap day is the last day of its year. 400
    // years have 146,097 days.
    let day = day + 719_468;
    let (cycle, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // From March on, five months have 153 days.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (400 * cycle + year + u64::from(month <= 2), month, day)
}

/// A text of foreign origin without any character that a terminal obeys.
pub fn plain(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '?' } else { c };
    text.chars().map(shown).collect()
}

/// A text of foreign origin in at most this many characters, without any that a terminal obeys.
pub fn line(text: &str, longest: usize) -> String {
    let mut line: String = plain(text).chars().take(longest + 1).collect();
    if line.chars().count() > longest {
        line.pop();
        line.pop();
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    #[test]
    fn sizes_are_exact_and_can_be_read_again() {
        let sizes = [
            0,
            1,
            1000,
            1024,
            1500,
            65_536,
            3 << 20,
            1 << 30,
            (1 << 30) + 1,
        ];
        let shown = sizes.map(bytes);
        assert_eq!(
            shown
                .clone()
                .map(|text| parse::bytes::<u64>(&text).unwrap()),
            sizes
        );
        assert_eq!(shown[2..6], ["1000B", "1KiB", "1500B", "64KiB"]);
    }

    #[test]
    fn a_share_is_all_or_nothing_only_if_it_is() {
        let cases = [
            ((0, 10), "0 %"),
            ((1, 1_000_000), "<0.1 %"),
            ((1, 300), "0.3 %"),
            ((7, 20), "35 %"),
            ((999_999, 1_000_000), "99 %"),
            ((10, 10), "100 %"),
            ((0, 0), "0 %"),
            ((20, 10), "200 %"),
        ];
        for ((part, whole), expected) in cases {
            assert_eq!(share(part, whole), expected);
        }
    }

    #[test]
    fn times_have_two_units_at_most() {
        let cases = [
            (0.000_042, "42 us"),
            (0.085, "85 ms"),
            (3.25, "3.2 s"),
            (59.99, "59.9 s"),
            (245.0, "4 min 5 s"),
            (7320.0, "2 h 2 min"),
            (90_000.0, "1 day 1 h"),
            (1e9, "11574 days 1 h"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(time(Duration::from_secs_f64(seconds)), expected);
        }
    }

    #[test]
    fn moments_are_dates() {
        let cases = [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_709_251_199, "2024-02-29 23:59:59 UTC"),
            (1_709_251_200, "2024-03-01 00:00:00 UTC"),
            (1_795_894_208, "2026-11-28 19:30:08 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(moment(Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn a_foreign_text_is_short_and_harmless() {
        assert_eq!(line("a\x1b[2Jb\n", 20), "a?[2Jb?");
        assert_eq!(line("abcdef", 6), "abcdef");
        assert_eq!(line("abcdefg", 6), "abcde…");
    }
}
