//! Values on the command line that clap does not know: seconds, sizes, counts and file modes.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Seconds, fractions allowed: `0`, `0.5`, `30`. Not negative, not endless, not NaN.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text
        .parse()
        .map_err(|_| "expected a number of seconds such as 0.5 or 30".to_string())?;
    Duration::try_from_secs_f64(number)
        .map_err(|_| "expected seconds that are not negative, not NaN and not endless".into())
}

/// Seconds that something is to run: at least one, at most a year.
#[cfg(any(feature = "bench", feature = "demo", feature = "soak"))]
pub fn run_time(text: &str) -> Result<Duration, String> {
    let time = seconds(text)?;
    if !(Duration::from_secs(1)..=Duration::from_secs(365 * 24 * 3600)).contains(&time) {
        return Err("expected at least 1 second and at most a year".into());
    }
    Ok(time)
}

/// Minutes that something is to run: at least a second, at most a year.
#[cfg(feature = "soak")]
pub fn minutes(text: &str) -> Result<Duration, String> {
    let number: f64 = text
        .parse()
        .map_err(|_| "expected a number of minutes such as 0.5 or 30".to_string())?;
    run_time(&(number * 60.0).to_string())
        .map_err(|_| "expected at least 1 second (0.0167 minutes) and at most a year".into())
}

/// Seconds that something may take: at most a year.
#[cfg(feature = "soak")]
pub fn patience(text: &str) -> Result<Duration, String> {
    let time = seconds(text)?;
    if time > Duration::from_secs(365 * 24 * 3600) {
        return Err("expected at most a year".into());
    }
    Ok(time)
}

/// A file mode in octal: `600`, `0660`.
pub fn mode(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if mode <= 0o777 && !digits.starts_with('+') => Ok(mode),
        _ => Err("expected an octal mode from 0 to 777, such as 600 or 660".into()),
    }
}

/// What may stand behind a number of bytes.
const SIZES: [(&str, u64); 8] = [
    ("", 1),
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];
/// What may stand behind a number of things.
const COUNTS: [(&str, u64); 7] = [
    ("", 1),
    ("k", 1000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
];

/// A number of bytes: `4096`, `64KiB`, `2MB`.
pub fn bytes<N: TryFrom<u64>>(text: &str) -> Result<N, String> {
    whole(text, &SIZES).ok_or_else(|| {
        "expected a number of bytes such as 4096, 64KiB or 2MB, and not too large a one".into()
    })
}

/// A number of things: `1000`, `1k`, `64Ki`.
pub fn count<N: TryFrom<u64>>(text: &str) -> Result<N, String> {
    whole(text, &COUNTS).ok_or_else(|| {
        "expected a number such as 1000, 1k or 64Ki (65536), and not too large a one".into()
    })
}

/// A number of bytes within these limits.
#[cfg(any(feature = "bench", feature = "soak"))]
pub fn bytes_in(text: &str, range: RangeInclusive<u32>) -> Result<u32, String> {
    within(bytes(text)?, range, " bytes")
}

/// A number of things within these limits.
pub fn count_in(text: &str, range: RangeInclusive<u32>) -> Result<u32, String> {
    within(count(text)?, range, "")
}

fn within(number: u32, range: RangeInclusive<u32>, unit: &str) -> Result<u32, String> {
    if range.contains(&number) {
        return Ok(number);
    }
    let (least, most) = (range.start(), range.end());
    Err(match *most {
        u32::MAX => format!("expected at least {least}{unit}"),
        most => format!("expected {least} to {most}{unit}"),
    })
}

fn whole<N: TryFrom<u64>>(text: &str, units: &[(&str, u64)]) -> Option<N> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    N::try_from(digits.parse::<u64>().ok()?.checked_mul(*factor)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_finite_and_not_negative() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(seconds("0"), Ok(Duration::ZERO));
        for bad in ["-1", "nan", "NaN", "inf", "-inf", "1e300", "", "soon"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_and_counts_have_units_that_mean_one_thing() {
        assert_eq!(
            ["7", "7B", "2KiB", "3MiB", "1GiB", "2kB", "5MB"]
                .map(bytes::<u64>)
                .map(Result::unwrap),
            [7, 7, 2048, 3 << 20, 1 << 30, 2000, 5_000_000]
        );
        assert_eq!(
            ["7", "1k", "64Ki", "1Mi", "2M"]
                .map(count::<u32>)
                .map(Result::unwrap),
            [7, 1000, 65_536, 1 << 20, 2_000_000]
        );
        for bad in [
            "",
            "k",
            "-1",
            "+1",
            "1.5k",
            "1 k",
            "2M",
            "99999999999999999999",
            "20000000000GiB",
            "1kib",
        ] {
            assert!(bytes::<u64>(bad).is_err(), "{bad}");
        }
        assert!(
            count::<u32>("5G").is_err()
                && count::<u32>("1KiB").is_err()
                && bytes::<u32>("4GiB").is_err()
        );
    }

    #[test]
    fn limits_are_said() {
        assert_eq!(count_in("1k", 1..=2000), Ok(1000));
        assert_eq!(count_in("2001", 1..=2000), Err("expected 1 to 2000".into()));
        assert_eq!(
            count_in("0", 1..=u32::MAX),
            Err("expected at least 1".into())
        );
        assert!(count_in("x", 1..=2).unwrap_err().contains("1k or 64Ki"));
        #[cfg(any(feature = "bench", feature = "soak"))]
        assert_eq!(
            (bytes_in("64KiB", 8..=u32::MAX), bytes_in("7", 8..=9)),
            (Ok(65_536), Err("expected 8 to 9 bytes".into()))
        );
    }

    #[test]
    fn modes_are_octal() {
        assert_eq!(mode("600"), Ok(0o600));
        assert_eq!(mode("0o660"), Ok(0o660));
        for bad in ["1000", "888", "-1", "+7", "rw", ""] {
            assert!(mode(bad).is_err(), "{bad}");
        }
    }
}
