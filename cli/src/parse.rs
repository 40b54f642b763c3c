//! Values on the command line that clap does not know: seconds and file modes.

use std::time::Duration;

/// Seconds, fractions allowed: `0`, `0.5`, `30`. Not negative, not endless, not NaN.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "expected a number of seconds such as 0.5 or 30".to_string())?;
    Duration::try_from_secs_f64(number).map_err(|_| "expected seconds that are not negative, not NaN and not endless".into())
}

/// Seconds that something is to run: at least one, at most a year.
pub fn run_time(text: &str) -> Result<Duration, String> {
    let time = seconds(text)?;
    if !(Duration::from_secs(1)..=Duration::from_secs(365 * 24 * 3600)).contains(&time) {
        return Err("expected at least 1 second and at most a year".into());
    }
    Ok(time)
}

/// Minutes that something is to run: at least a second, at most a year.
pub fn minutes(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "expected a number of minutes such as 0.5 or 30".to_string())?;
    run_time(&(number * 60.0).to_string()).map_err(|_| "expected at least 1 second (0.0167 minutes) and at most a year".into())
}

/// A file mode in octal: `600`, `0660`.
pub fn mode(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if mode <= 0o777 && !digits.starts_with('+') => Ok(mode),
        _ => Err("expected an octal mode from 0 to 777, such as 600 or 660".into()),
    }
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
    fn modes_are_octal() {
        assert_eq!(mode("600"), Ok(0o600));
        assert_eq!(mode("0o660"), Ok(0o660));
        for bad in ["1000", "888", "-1", "+7", "rw", ""] {
            assert!(mode(bad).is_err(), "{bad}");
        }
    }
}
