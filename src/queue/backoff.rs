//! The lengths of a waiter's pauses and sleeps.
//!
//! Invariant: no sleep lasts longer than [`MAX_SLEEP`] without a look, so the death of a process
//! that would have sent a wake-up delays a waiter by no more than that.

use crate::sync::atomic::pause;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The longest sleep without a look. It covers sleepers and wakers that were killed.
pub(super) const MAX_SLEEP: Duration = Duration::from_millis(100);

/// Returns how many pause instructions take about `nanoseconds`. One takes 4 to 60 ns, depending on
/// the processor; this is measured once in a process.
pub(super) fn pauses(nanoseconds: u32) -> u32 {
    static PER_MICROSECOND: OnceLock<u32> = OnceLock::new();
    let rate = *PER_MICROSECOND.get_or_init(|| {
        const TIMES: u32 = 256;
        let once = |_| {
            let began = Instant::now();
            pause(TIMES);
            began.elapsed().as_nanos() as u32
        };
        // The shortest: the others were interrupted.
        let shortest = (0..4).map(once).min().unwrap_or(0).max(1);
        (TIMES * 1000 / shortest).clamp(10, 1000)
    });
    (nanoseconds * rate / 1000).max(1)
}
