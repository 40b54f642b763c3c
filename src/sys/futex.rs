//! Shared futexes of the Linux kernel. Never `FUTEX_PRIVATE_FLAG`: the sleepers are other processes.

use crate::sync::atomic::AtomicU32;
use crate::sync::event::Futex;
use core::time::Duration;
use rustix::io::Errno;
use rustix::thread::futex;
use rustix::time::{ClockId, clock_gettime};

/// How long is slept where the kernel refuses a futex.
const WITHOUT: Duration = Duration::from_millis(1);

/// The kernel's futexes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kernel;

impl Futex for Kernel {
    fn wait(&self, word: &AtomicU32, expected: u32, timeout: Duration) {
        let limit = futex::Timespec {
            tv_sec: timeout.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        match futex::wait(word, futex::Flags::empty(), expected, Some(&limit)) {
            // Woken, changed, interrupted, timed out: the caller looks whatever the reason.
            Ok(()) | Err(Errno::AGAIN | Errno::INTR | Errno::TIMEDOUT) => {}
            // Forbidden, as by a seccomp filter: nobody wakes us, but nor do we burn a processor.
            Err(_) => std::thread::sleep(timeout.min(WITHOUT)),
        }
    }

    fn wake(&self, word: &AtomicU32, count: u32) -> u32 {
        futex::wake(word, futex::Flags::empty(), count).unwrap_or(0) as u32
    }
}

impl Kernel {
    /// Sleeps while both words have these values; returns for any reason. False: this system cannot (it has no `futex_waitv`, or forbids it).
    pub(crate) fn wait_two(&self, words: [(&AtomicU32, u32); 2], timeout: Duration) -> bool {
        // Of this call the timeout is a point in time.
        let now = clock_gettime(ClockId::Monotonic);
        let Some(until) = Duration::try_from(now)
            .ok()
            .and_then(|now| now.checked_add(timeout))
        else {
            return false;
        };
        let until = futex::Timespec {
            tv_sec: until.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: until.subsec_nanos().into(),
        };
        let waiters = words.map(|(word, expected)| {
            let mut wait = futex::Wait::new();
            wait.val = expected.into();
            wait.uaddr = futex::WaitPtr::new(word.as_ptr().cast());
            wait.flags = futex::WaitFlags::SIZE_U32;
            wait
        });
        !matches!(
            futex::waitv(
                &waiters,
                futex::WaitvFlags::empty(),
                Some(&until),
                ClockId::Monotonic
            ),
            Err(Errno::NOSYS | Errno::PERM | Errno::INVAL)
        )
    }
}
