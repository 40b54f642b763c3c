//! The way in which an endpoint waits: pause, spin, sleep. Waiting is never a condition for
//! progress. The ring is looked at again after every wait.
//!
//! Two sides that contend for one line at the edge of empty or full lose more than anything else
//! costs. So after a burst of successes the waiter stays away until its peer is well ahead. In
//! ping-pong it never does. docs/design.md, section 9, explains the rules.

use super::backoff::{MAX_SLEEP, pauses};
use super::endpoint::Endpoint;
use crate::error::Fault;
use crate::sync::atomic::pause;
use crate::sync::event::{register, wake_one};
use crate::sys::futex::{Asleep, Kernel};
use std::hint::spin_loop;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The time until which an operation waits.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    Now,
    Forever,
    Deadline(Instant),
    /// For at most this long, from the first time that it waits.
    Within(Duration),
}

impl Until {
    /// Zero does not wait.
    #[inline(always)]
    pub(super) fn within(timeout: Duration) -> Self {
        if timeout.is_zero() {
            Self::Now
        } else {
            Self::Within(timeout)
        }
    }

    /// Turns a duration into a deadline that counts from now.
    pub(super) fn fixed(self) -> Self {
        match self {
            Self::Within(timeout) => Instant::now()
                .checked_add(timeout)
                .map_or(Self::Forever, Self::Deadline),
            other => other,
        }
    }

    pub(super) fn left(self) -> Duration {
        match self {
            Self::Now => Duration::ZERO,
            Self::Forever => MAX_SLEEP,
            Self::Deadline(at) => at.saturating_duration_since(Instant::now()).min(MAX_SLEEP),
            Self::Within(timeout) => timeout.min(MAX_SLEEP),
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
    Cancelled,
    Failed(E),
}

/// Rounds of polling between two attempts, looks at the clock and yields of the processor.
const POLLS_PER_ATTEMPT: u32 = 16;
/// Polls for an answer that comes at once.
const REPLY_POLLS: u32 = 64;
/// After this many fruitless spins an endpoint sleeps at once. Every few waits it spins
/// nevertheless.
const MAX_FAILED_SPINS: u32 = 8;
/// In nanoseconds, measured on two cores: the most that one further slot costs a peer that keeps
/// its rate, the time it takes to get going, and the first wait for it.
const NS_PER_SLOT: u32 = 75;
const NS_TO_START: u32 = 150;
const FIRST_DISTANCE_NS: u32 = 200;
/// Single successes in a row after which a distance is tried: as long as it helps, and at most.
pub(super) const MIN_SINGLES: u32 = 4;
const MAX_SINGLES: u32 = 1024;

impl Endpoint {
    /// Tries again until it succeeds, fails, or the time is over. `attempt` returns `Ok(None)` if
    /// waiting may help.
    pub(super) fn wait_for<R, E: From<Fault>>(
        &mut self,
        what: For,
        until: Until,
        mut attempt: impl FnMut(&mut Self) -> Result<Option<R>, E>,
    ) -> Result<R, GaveUp<E>> {
        if self.control.is_cancelled() {
            return Err(GaveUp::Cancelled);
        }
        let until = until.fixed();
        match self.spin_until(what, until, &mut attempt) {
            Ok(Some(done)) => Ok(done),
            Ok(None) => self.sleep(what, until, &mut attempt),
            Err(error) => Err(GaveUp::Failed(error)),
        }
    }

    /// Tries again as long as that is cheaper than sleeping.
    pub(super) fn spin_until<R, E: From<Fault>>(
        &mut self,
        what: For,
        until: Until,
        attempt: &mut impl FnMut(&mut Self) -> Result<Option<R>, E>,
    ) -> Result<Option<R>, E> {
        if !self.keep_distance(what) {
            spin_loop();
        }
        // After several fruitless spins, sleep at once and spin again only occasionally. How long
        // it slept says little, because a wake-up takes its time.
        let limit =
            if self.failed_spins < MAX_FAILED_SPINS || self.failed_spins % MAX_FAILED_SPINS == 0 {
                self.attach.spin_limit
            } else {
                Duration::ZERO
            };
        let spun = self.spin(what, until, limit, attempt)?;
        self.failed_spins = if spun.is_some() {
            0
        } else {
            self.failed_spins.wrapping_add(1)
        };
        Ok(spun)
    }

    /// Keeps the distance, and polls the slot at the cursor for about a microsecond. Returns
    /// whether there is an item now.
    pub(super) fn item_arrives(&mut self) -> bool {
        if !self.keep_distance(For::Items) {
            spin_loop();
        }
        let full = 2 * self.cursors.get.cycle + 1;
        for _ in 0..REPLY_POLLS {
            if self.peek(For::Items, 0) == full {
                self.failed_spins = 0;
                return true;
            }
            spin_loop();
        }
        false
    }

    /// Polls the slot at the cursor. Makes a full attempt when it changes, and now and then,
    /// because what it waits for may come another way (gate, state, orphans). The clock is first
    /// read after a fraction of a microsecond.
    fn spin<R, E: From<Fault>>(
        &mut self,
        what: For,
        until: Until,
        limit: Duration,
        attempt: &mut impl FnMut(&mut Self) -> Result<Option<R>, E>,
    ) -> Result<Option<R>, E> {
        let (mut seen, mut began) = (None, None);
        for round in 1u32.. {
            let now = Some(self.peek(what, 0));
            if seen != now || round % POLLS_PER_ATTEMPT == 0 {
                seen = now;
                if let Some(done) = attempt(self)? {
                    return Ok(Some(done));
                }
            }
            if round % POLLS_PER_ATTEMPT == 0 {
                let now = Instant::now();
                if now.saturating_duration_since(*began.get_or_insert(now))
                    >= limit.min(until.left())
                    || self.control.is_cancelled()
                {
                    break;
                }
                self.look_after_the_dead(what, now)?;
                std::thread::yield_now();
            }
            spin_loop();
        }
        Ok(None)
    }

    /// Sleeps on the event word, in slices, until an attempt succeeds.
    fn sleep<R, E: From<Fault>>(
        &mut self,
        what: For,
        until: Until,
        attempt: &mut impl FnMut(&mut Self) -> Result<Option<R>, E>,
    ) -> Result<R, GaveUp<E>> {
        let failed = |fault: Fault| GaveUp::Failed(E::from(fault));
        loop {
            let (cancelled, over) = (self.control.is_cancelled(), until.left().is_zero());
            if cancelled || over {
                // A waiter that leaves passes on a wake-up that may have been meant for it.
                wake_one(self.event(what), &Kernel);
                return Err(if cancelled {
                    GaveUp::Cancelled
                } else {
                    GaveUp::TimedOut
                });
            }
            self.look_after_the_dead(what, Instant::now())
                .map_err(failed)?;
            let value = register(self.event(what));
            if let Some(done) = attempt(self).map_err(GaveUp::Failed)? {
                return Ok(done);
            }
            let seat = self.control.segment.seat(self.seat.index);
            seat.asleep.store(1, Ordering::Relaxed); // Relaxed: for people
            self.control.sleep(
                Asleep::shared(self.event(what), value),
                until.left().min(self.due.longest_sleep()),
            );
            seat.asleep.store(0, Ordering::Relaxed);
            self.claims.restart(self.position());
            if let Some(done) = attempt(self).map_err(GaveUp::Failed)? {
                return Ok(done);
            }
            self.control.is_there().map_err(failed)?;
        }
    }

    pub(super) fn event(&self, what: For) -> &AtomicU32 {
        match what {
            For::Items => &self.control.words().items.0,
            For::Space => &self.control.words().space.0,
        }
    }

    /// Returns the stamp of the slot `ahead` places behind the cursor.
    #[inline(always)]
    fn peek(&self, what: For, ahead: u32) -> u64 {
        let cursor = match what {
            For::Items => self.cursors.get,
            For::Space => self.cursors.put,
        };
        self.control.ring.memory.peek(cursor.index, ahead)
    }

    /// Waits at the edge of full or empty until the peer is a good piece ahead. It waits only as
    /// long as the peer keeps its rate, and for some microseconds at most.
    ///
    /// After a burst this pays at once. After a single success nobody can tell a peer that answers
    /// (ping-pong, where any wait is lost time) from one that streams and is held up by our looking
    /// at the very line that it writes (lockstep). So it is tried now and then, and less often the
    /// less it helped.
    ///
    /// Returns whether it has waited, so that another attempt is worth it.
    pub(super) fn keep_distance(&mut self, what: For) -> bool {
        let capacity = self.control.segment.geometry.capacity;
        let far = (capacity / 8).min(128);
        let burst = self.end_burst();
        let lockstep = burst == 1 && self.singles >= self.patience;
        self.singles = match burst {
            0 => self.singles, // still the same empty or full
            1 if !lockstep => self.singles.saturating_add(1),
            _ => 0,
        };
        if capacity < 64 || burst < 2 && !lockstep && self.drops == 0 {
            return false;
        }
        let wanted = u64::from(what == For::Items); // FULL, or EMPTY
        let (first, start, per_slot) = (
            pauses(FIRST_DISTANCE_NS),
            pauses(NS_TO_START),
            pauses(NS_PER_SLOT),
        );
        let (mut waited, mut next) = (0, first);
        let kept = loop {
            pause(next);
            waited += next;
            if self.peek(what, far) & 1 == wanted {
                break true;
            }
            let due = (waited.saturating_sub(start) / per_slot).max(1);
            if due >= far || self.peek(what, due) & 1 != wanted {
                break false;
            }
            next = waited.min(2 * first);
        };
        if kept {
            self.patience = MIN_SINGLES;
        } else if lockstep {
            self.patience = (2 * self.patience).min(MAX_SINGLES);
        }
        true
    }
}
