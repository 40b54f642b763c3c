//! The clock that all processes share, and how long it is since a noted time.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Nanoseconds of the clock that all processes share, and that never goes back.
pub(super) fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    // Both are positive, and the sum lasts for 500 years after the start of the machine.
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Returns how long it is since then, or `None` if that was not noted.
pub(super) fn lasts(since: u64) -> Option<Duration> {
    (since != 0).then(|| Duration::from_nanos(now().saturating_sub(since)))
}
