//! The errors and panics of a worker's own code, and the texts in which others are told of them.
//!
//! Invariant: no panic of the user's code leaves [`guard`] or [`text`].

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What `on_start`, `work` and `on_stop` may fail with: any error (`?`), or a text
/// (`"no camera".into()`).
///
/// ```
/// use prodcon::worker::BoxError;
///
/// fn calibrate(text: &str) -> Result<f64, BoxError> {
///     let factor: f64 = text.parse()?;
///     if factor > 0.0 { Ok(factor) } else { Err("the factor has to be positive".into()) }
/// }
/// assert!(calibrate("1.5").is_ok() && calibrate("-1").is_err() && calibrate("x").is_err());
/// ```
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A panic in the user's code.
#[derive(Debug)]
struct Panicked {
    what: &'static str,
    text: String,
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} panicked: {}", self.what, self.text)
    }
}

impl std::error::Error for Panicked {}

/// Calls the user's code; a panic there becomes an error.
pub(crate) fn guard<R>(
    what: &'static str,
    call: impl FnOnce() -> Result<R, BoxError>,
) -> Result<R, BoxError> {
    // Unwind safety: after a panic the worker value is only handed to `on_stop`, whose author knows
    // what `work` may leave behind.
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|payload| {
        let text = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "(no text)".into());
        std::mem::forget(payload); // dropping it may panic again
        Err(Panicked { what, text }.into())
    })
}

/// A failure with what it was caused by. Its author's code may panic here too.
pub(crate) fn text(failure: &BoxError) -> String {
    let text = || {
        let causes = std::iter::successors(failure.source(), |cause| cause.source());
        causes.fold(failure.to_string(), |text, cause| {
            format!("{text}: {cause}")
        })
    };
    catch_unwind(AssertUnwindSafe(text)).unwrap_or_else(|payload| {
        std::mem::forget(payload); // dropping it may panic again
        "an error whose text cannot be shown: it panics".into()
    })
}
