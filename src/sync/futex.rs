//! Shared futexes of the Linux kernel. Never `FUTEX_PRIVATE_FLAG`: the sleepers are other processes.

use super::atomic::AtomicU32;
use super::event::Futex;
use core::time::Duration;
use rustix::thread::futex;

/// The kernel's futexes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kernel;

impl Futex for Kernel {
    fn wait(&self, word: &AtomicU32, expected: u32, timeout: Duration) {
        let timeout = futex::Timespec {
            tv_sec: timeout.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        // Woken, changed, interrupted, timed out: the caller looks whatever the reason.
        let _ = futex::wait(word, futex::Flags::empty(), expected, Some(&timeout));
    }

    fn wake(&self, word: &AtomicU32, count: u32) -> u32 {
        futex::wake(word, futex::Flags::empty(), count).unwrap_or(0) as u32
    }
}
