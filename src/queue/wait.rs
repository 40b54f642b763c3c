//! How an endpoint waits: pause, spin, sleep. Never a condition for progress; the ring is looked at again after every wait.
//!
//! Two sides that fight over one line at the edge of empty or full lose more than anything else costs: after a burst of successes the waiter stays away until
//! its peer is well ahead. In ping-pong it never does.

use super::ReadyQueue;
use super::control::SLICE;
use super::item::Payload;
use crate::error::Fault;
use crate::sync::event::{Futex, register, wake_one};
use crate::sync::futex::Kernel;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Until when an operation waits.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    Now,
    Forever,
    Deadline(Instant),
}

impl Until {
    pub(super) fn after(timeout: Duration) -> Self {
        Instant::now().checked_add(timeout).map_or(Self::Forever, Self::Deadline)
    }
    fn left(self) -> Duration {
        match self {
            Self::Now => Duration::ZERO,
            Self::Forever => SLICE,
            Self::Deadline(at) => at.saturating_duration_since(Instant::now()).min(SLICE),
        }
    }
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    Items,
    Space,
}

/// Why waiting ended without success.
pub(super) enum GaveUp<E> {
    TimedOut,
    Failed(E),
}

/// Rounds of polling between two looks at the clock.
const ROUNDS: u32 = 16;

impl<T: Payload + ?Sized> ReadyQueue<T> {
    /// Tries again until it succeeds, fails, or the time is over. `attempt` answers `Ok(None)` where waiting may help.
    pub(super) fn wait_for<R, E: From<Fault>>(
        &mut self,
        what: For,
        until: Until,
        mut attempt: impl FnMut(&mut Self) -> Result<Option<R>, E>,
    ) -> Result<R, GaveUp<E>> {
        self.keep_distance(what);
        let began = Instant::now();
        let mut rounds = 0u32;
        loop {
            if let Some(done) = attempt(self).map_err(GaveUp::Failed)? {
                return Ok(done);
            }
            rounds += 1;
            if rounds.is_multiple_of(ROUNDS) {
                if began.elapsed() >= self.attach.spin.min(until.left()) {
                    break;
                }
                std::thread::yield_now();
            }
            spin_loop();
        }
        loop {
            if until.left().is_zero() {
                // Whoever leaves hands on a wake-up that may have been meant for it.
                wake_one(self.event(what), &Kernel);
                return Err(GaveUp::TimedOut);
            }
            let value = register(self.event(what));
            if let Some(done) = attempt(self).map_err(GaveUp::Failed)? {
                return Ok(done);
            }
            let seat = self.control.segment.seat(self.seat.index);
            seat.asleep.store(1, Ordering::Relaxed); // Relaxed: for people
            Kernel.wait(self.event(what), value, until.left());
            seat.asleep.store(0, Ordering::Relaxed);
            if let Some(done) = attempt(self).map_err(GaveUp::Failed)? {
                return Ok(done);
            }
            self.look_after_the_dead().map_err(|fault| GaveUp::Failed(fault.into()))?;
            if self.control.is_removed() {
                return Err(GaveUp::Failed(
                    Fault::Removed {
                        queue: self.control.shared_name(),
                    }
                    .into(),
                ));
            }
        }
    }

    /// A recovery pass, at most every 50 ms.
    pub(super) fn look_after_the_dead(&mut self) -> Result<(), Fault> {
        if self.last_care.elapsed() >= SLICE / 2 {
            self.last_care = Instant::now();
            self.recover()?;
        }
        Ok(())
    }

    fn event(&self, what: For) -> &AtomicU32 {
        match what {
            For::Items => &self.control.words().items.0,
            For::Space => &self.control.words().space.0,
        }
    }

    /// At the edge after a burst: waits until the peer is a good piece ahead, as long as it keeps its rate; about 8 us at most.
    fn keep_distance(&mut self, what: For) {
        let capacity = self.control.segment.geometry.capacity;
        let far = (capacity / 8).min(128);
        if std::mem::take(&mut self.burst) < 2 || capacity < 64 {
            spin_loop();
            return;
        }
        let (mut n, mut k) = (0u32, 8u32);
        loop {
            (0..k).for_each(|_| spin_loop());
            n += k;
            let ahead = (n / 3).min(far);
            let (cursor, wanted) = match what {
                For::Items => (self.cursors.get, 1),
                For::Space => (self.cursors.put, 0),
            };
            if self.control.ring.memory.peek(cursor.index, ahead) & 1 != wanted || ahead == far {
                return;
            }
            k = n;
        }
    }
}
