//! Waiting for one queue while the state of another decides how long. A worker waits for space in
//! somebody else's queue, and must stop when its own state says so.
//!
//! Invariant: a wait registers on both event words before it looks again, so neither wake-up is
//! lost. A waiter that leaves without an item or space passes the queue's wake-up on. Where the
//! system cannot sleep on two words, the wait is cut into short pieces.

use super::control::Control;
use super::endpoint::Endpoint;
use super::wait::{For, Until};
use super::{Payload, ReadyQueue};
use crate::error::{Fault, GetError, PutError};
use crate::sync::event::{Futex, register, wake_one};
use crate::sys::futex::Kernel;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// The longest sleep where the system cannot sleep on two words.
const MAX_SLEEP_ON_ONE_WORD: Duration = Duration::from_millis(2);

impl<T: Payload + ?Sized> ReadyQueue<T> {
    /// Puts an item. Waits for space for at most `timeout` (`None`: forever), and as long as
    /// `goes_on` returns true. That is asked whenever the gate or state of `other` changes, and at
    /// least every 100 ms.
    ///
    /// # Errors
    /// As [`put`](Self::put), and `TimedOut` when the time was over or `goes_on` returned false.
    #[doc(hidden)]
    pub fn put_while(
        &mut self,
        item: &T,
        timeout: Option<Duration>,
        other: &Control,
        goes_on: impl FnMut() -> bool,
    ) -> Result<(), PutError> {
        let attempt =
            |endpoint: &mut Endpoint| match endpoint.try_put(item.bytes(), T::SIZE.is_some()) {
                Ok(()) => Ok(Some(())),
                Err(PutError::Full) => Ok(None),
                Err(error) => Err(error),
            };
        self.endpoint
            .wait_while(For::Space, timeout, other, goes_on, attempt)?
            .ok_or(PutError::TimedOut)
    }

    /// Gets the oldest item. Waits for one for at most `timeout` (`None`: forever), and as long as
    /// `goes_on` returns true. That is asked whenever the gate or state of `other` changes, and at
    /// least every 100 ms.
    ///
    /// # Errors
    /// As [`get`](Self::get), and `TimedOut` when the time was over or `goes_on` returned false.
    #[doc(hidden)]
    pub fn get_while(
        &mut self,
        timeout: Option<Duration>,
        other: &Control,
        goes_on: impl FnMut() -> bool,
    ) -> Result<T::Owned, GetError> {
        let attempt =
            |endpoint: &mut Endpoint| match endpoint.get_with(T::SIZE, Until::Now, T::read) {
                Ok(item) => Ok(Some(item)),
                Err(GetError::Empty) => Ok(None),
                Err(error) => Err(error),
            };
        self.endpoint
            .wait_while(For::Items, timeout, other, goes_on, attempt)?
            .ok_or(GetError::TimedOut)
    }
}

impl Endpoint {
    /// Waits. Returns `None` if the time was over, or if `goes_on` returned false.
    fn wait_while<R, E: From<Fault>>(
        &mut self,
        what: For,
        timeout: Option<Duration>,
        other: &Control,
        mut goes_on: impl FnMut() -> bool,
        mut attempt: impl FnMut(&mut Self) -> Result<Option<R>, E>,
    ) -> Result<Option<R>, E> {
        let until = timeout.map_or(Until::Forever, Until::within).fixed();
        if let Some(done) = attempt(self)? {
            return Ok(Some(done));
        }
        if let Some(done) = self.spin_until(what, until, &mut attempt)? {
            return Ok(Some(done));
        }
        loop {
            self.look_after_the_dead(what, Instant::now())?;
            let value = register(self.event(what));
            let theirs = (!other.is_read_only() && other.readable().is_ok())
                .then(|| &other.words().changed.0);
            let theirs = theirs.map(|word| (word, register(word)));
            if let Some(done) = attempt(self)? {
                return Ok(Some(done));
            }
            let left = until.left().min(self.due.longest_sleep());
            if left.is_zero() || !goes_on() {
                wake_one(self.event(what), &Kernel);
                return Ok(None);
            }
            let seat = self.control.segment.seat(self.seat.index);
            seat.asleep.store(1, Ordering::Relaxed); // Relaxed: for people
            let slept = theirs
                .is_some_and(|theirs| Kernel.wait_two([(self.event(what), value), theirs], left));
            if !slept {
                Kernel.wait(self.event(what), value, left.min(MAX_SLEEP_ON_ONE_WORD));
            }
            seat.asleep.store(0, Ordering::Relaxed);
            self.claims.restart(self.position());
            if let Some(done) = attempt(self)? {
                return Ok(Some(done));
            }
            self.control.is_there()?;
        }
    }
}
