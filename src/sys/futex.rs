//! Futexes of the Linux kernel.
//!
//! Event words lie in segments and their sleepers are other processes, so they are shared futexes.
//! A cancel token's word is this process's own. One sleep may be on words of both kinds.

use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::event::Futex;
use core::time::Duration;
use rustix::io::Errno;
use rustix::thread::futex;
use rustix::time::{ClockId, clock_gettime};

/// How long a wait sleeps where the kernel refuses futexes.
const WITHOUT: Duration = Duration::from_millis(1);

/// The longest sleep where the kernel cannot sleep on all the words (no `futex_waitv` before Linux
/// 5.16 and under some filters, or too many words).
const MAX_SLEEP_ON_ONE_WORD: Duration = Duration::from_millis(2);

/// The most words that the kernel takes for one sleep.
pub(crate) const MAX_WORDS: usize = 128;

/// The kernel's futexes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kernel;

/// A word to sleep on for as long as it has this value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asleep<'a> {
    word: &'a AtomicU32,
    value: u32,
    /// True if the word is this process's own.
    private: bool,
}

impl<'a> Asleep<'a> {
    /// Names a word in a segment.
    pub(crate) fn shared(word: &'a AtomicU32, value: u32) -> Self {
        Self {
            word,
            value,
            private: false,
        }
    }

    /// Names a word of this process.
    pub(crate) fn private(word: &'a AtomicU32, value: u32) -> Self {
        Self {
            word,
            value,
            private: true,
        }
    }

    fn flags(&self) -> futex::Flags {
        if self.private {
            futex::Flags::PRIVATE
        } else {
            futex::Flags::empty()
        }
    }

    fn wait(&self) -> futex::Wait {
        let mut wait = futex::Wait::new();
        wait.val = self.value.into();
        wait.uaddr = futex::WaitPtr::new(self.word.as_ptr().cast());
        wait.flags = futex::WaitFlags::SIZE_U32;
        if self.private {
            wait.flags |= futex::WaitFlags::PRIVATE;
        }
        wait
    }
}

impl Futex for Kernel {
    fn wake(&self, word: &AtomicU32, count: u32) -> u32 {
        futex::wake(word, futex::Flags::empty(), count).unwrap_or(0) as u32
    }
}

impl Kernel {
    fn wait_one(self, asleep: Asleep<'_>, timeout: Duration) {
        let limit = timespec(timeout);
        match futex::wait(asleep.word, asleep.flags(), asleep.value, Some(&limit)) {
            // Woken, changed, interrupted, timed out: the caller looks whatever the reason.
            Ok(()) | Err(Errno::AGAIN | Errno::INTR | Errno::TIMEDOUT) => {}
            // It is forbidden, for example by a seccomp filter. Nobody wakes us then, but we do not
            // burn a processor either.
            Err(_) => std::thread::sleep(timeout.min(WITHOUT)),
        }
    }

    /// Sleeps while all words have their values, and may return for any reason. Where the kernel
    /// cannot sleep on several words, it sleeps on the first one, for at most two milliseconds.
    pub(crate) fn wait_any(self, words: &[Asleep<'_>], timeout: Duration) {
        match words {
            [] => std::thread::sleep(timeout),
            [only] => self.wait_one(*only, timeout),
            [first, ..] => {
                if !wait_all_words(words, timeout) {
                    self.wait_one(*first, timeout.min(MAX_SLEEP_ON_ONE_WORD));
                }
            }
        }
    }

    /// Sets a word of this process to 1 and wakes all threads that sleep on it. It is
    /// async-signal-safe: a store and one system call, which leaves `errno` alone.
    pub(crate) fn raise(self, word: &AtomicU32) {
        // SeqCst: it comes before the wake in the order of all of them. A waiter whose look misses
        // it finds another value in the kernel than it expects, or is woken.
        word.store(1, Ordering::SeqCst);
        self.wake_private(word);
    }

    /// Wakes all threads that sleep on a word of this process. It is async-signal-safe: one system
    /// call, which leaves `errno` alone.
    pub(crate) fn wake_private(self, word: &AtomicU32) {
        // An error means that the kernel refuses futexes, and then nobody sleeps long.
        let _ = futex::wake(word, futex::Flags::PRIVATE, i32::MAX as u32);
    }
}

/// Sleeps while all words have their values. Returns false if this system cannot do that.
fn wait_all_words(words: &[Asleep<'_>], timeout: Duration) -> bool {
    if words.len() > MAX_WORDS {
        return false;
    }
    // The timeout of this call is a point in time.
    let now = clock_gettime(ClockId::Monotonic);
    let Some(until) = Duration::try_from(now)
        .ok()
        .and_then(|now| now.checked_add(timeout))
    else {
        return false;
    };
    let mut waiters = [futex::Wait::new(); MAX_WORDS];
    for (waiter, word) in waiters.iter_mut().zip(words) {
        *waiter = word.wait();
    }
    let answer = futex::waitv(
        &waiters[..words.len()],
        futex::WaitvFlags::empty(),
        Some(&timespec(until)),
        ClockId::Monotonic,
    );
    // Any other error means that there is no such call, or that it is forbidden.
    matches!(
        answer,
        Ok(_) | Err(Errno::AGAIN | Errno::INTR | Errno::TIMEDOUT)
    )
}

pub(crate) fn timespec(time: Duration) -> futex::Timespec {
    futex::Timespec {
        tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    }
}
