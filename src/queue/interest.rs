//! What can be waited for: items, space, a cancel.
//!
//! [`Interest`] is the public one and borrows its endpoint. [`View`] is what it says of a queue,
//! and [`Watched`] is the same for another thread, with a handle of its own.
//!
//! A wait has four steps: look; register; look again; sleep on the word with exactly the value that
//! was registered. docs/design.md, section 9, says why each of them is needed. A waiter that leaves
//! without looking passes on a wake-up that may have been meant for it.
//!
//! Invariant: looking takes nothing. What is found may be gone when the caller tries.

use super::cancel::CancelToken;
use super::control::Control;
use super::endpoint::Endpoint;
use super::seat_set::SeatSet;
use super::wait::For;
use crate::error::{Fault, Result};
use crate::ring::Memory;
use crate::state::State;
use crate::sync::event::{pass_on, register, wake_one};
use crate::sys::futex::{Asleep, Kernel};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// An interest in a queue: a handle to it, and what is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    control: &'a Control,
    /// The seats of the endpoint that waits. What these have in hand it does not wait for.
    own: &'a SeatSet,
    what: For,
}

impl<'a> View<'a> {
    pub(super) fn new(control: &'a Control, what: For) -> Self {
        let own = &control.own;
        Self { control, own, what }
    }

    fn word(self) -> &'a AtomicU32 {
        match self.what {
            For::Items => &self.control.words().items.0,
            For::Space => &self.control.words().space.0,
        }
    }

    /// Returns whether the word has another value than `value`, which was registered.
    pub(super) fn changed(self, value: u32) -> bool {
        // SeqCst: as the waker's change of it.
        self.word().load(Ordering::SeqCst) != value
    }

    /// Wakes another waiter, for one that was woken and leaves without having tried.
    pub(super) fn wake_another(self) {
        if self.control.readable().is_ok() {
            wake_one(self.word(), &Kernel);
        }
    }

    /// Returns for how many waiters there is something: items, or space, or something else that
    /// concerns them all. 0: nothing [is ready](Self::is_ready).
    pub(super) fn available(self) -> Result<usize, Fault> {
        if !self.is_ready()? {
            return Ok(0);
        }
        let control = self.control;
        let live = control.ring.live() as usize;
        let count = match self.what {
            For::Items if control.state() != State::Stopped => live,
            For::Space if !control.is_lossy() && control.state() == State::Started => {
                control.capacity().saturating_sub(live)
            }
            _ => 0,
        };
        Ok(if count == 0 { usize::MAX } else { count })
    }

    /// Returns whether both sleep on the same word, in whatever mapping.
    pub(super) fn shares_word(self, other: View<'_>) -> bool {
        self.what == other.what
            && self.control.segment.lease.identity() == other.control.segment.lease.identity()
    }

    /// Announces that the caller is about to sleep. Returns the value to sleep on; the caller
    /// [looks](Self::is_ready) again before it does. A second registration makes the first one
    /// stale, so a sleep on several words has one for each word.
    pub(super) fn register(self) -> u32 {
        register(self.word())
    }

    /// Returns the word to sleep on, with the value that was registered.
    pub(super) fn asleep(self, value: u32) -> Asleep<'a> {
        Asleep::shared(self.word(), value)
    }

    /// Passes on a wake-up that may have come since `value` was registered. For a waiter that has
    /// slept and leaves without having looked.
    pub(super) fn pass_on(self, value: u32) {
        if self.control.readable().is_ok() {
            pass_on(self.word(), value, &Kernel);
        }
    }

    /// Returns whether an operation would not wait now: it would succeed, or would answer something
    /// else than `Empty` or `Full`.
    pub(super) fn is_ready(self) -> Result<bool, Fault> {
        self.control.readable()?;
        match self.what {
            For::Items => self.has_items(),
            For::Space => Ok(self.control.is_lossy()
                || self.control.state() != State::Started
                || !self.control.ring.gate().is_ready()
                || self.control.ring.has_space()),
        }
    }

    fn has_items(self) -> Result<bool, Fault> {
        let (control, ring) = (self.control, &self.control.ring);
        // Before the look at the ring, as in a get: at the end of a stream the ring was empty when
        // no put could succeed any more.
        let state = control.state();
        if state == State::Stopped || ring.has_item() || self.finds_orphan() {
            return Ok(true);
        }
        // The get that ends the stream answers `Stopped`, and so does not wait.
        Ok(state == State::StopAtQueueEnd
            && !(ring.at_least_once && ring.others_may_carry(|index| self.own.has(index))))
    }

    /// Returns whether there is an item that a dead consumer left. If so, tells the consumers, so
    /// that the next take looks for it.
    fn finds_orphan(self) -> bool {
        let (control, ring) = (self.control, &self.control.ring);
        if !ring.at_least_once {
            return false;
        }
        let orphans = ring.memory.orphans().load(Ordering::SeqCst);
        let mut memo = control.care.memo();
        if memo.orphans == Some(orphans) {
            return false;
        }
        let found = control.orphans(&control.own) > 0;
        if found {
            ring.raise_orphans();
        } else {
            memo.orphans = Some(orphans);
        }
        found
    }

    /// Looks after the dead if it is time. It resolves interrupted exchanges and tells consumers of
    /// the orphans. It keeps no seat.
    pub(super) fn look_after_the_dead(self, now: Instant) -> Result<(), Fault> {
        let is_due = self.control.care.memo().due.is_due(now);
        if is_due {
            let undecided = self.control.recover_pass()?.undecided;
            self.control.care.memo().due.has_left(undecided > 0, false);
        }
        Ok(())
    }

    /// Checks that the queue still has its name. A waiter does so after each sleep.
    pub(super) fn is_there(self) -> Result<(), Fault> {
        self.control.is_there()
    }

    /// Returns the longest time that a sleep may last.
    pub(super) fn longest_sleep(self) -> Duration {
        self.control.care.memo().due.longest_sleep()
    }
}

/// An interest in a queue that may be sent to another thread and outlives its endpoint.
///
/// It has a handle to the queue of its own, so that the thread looks after the dead as an endpoint
/// does.
#[derive(Debug, Clone)]
pub(super) struct Watched {
    control: Arc<Control>,
    /// The seats of the endpoint, which may be gone by now.
    own: Arc<SeatSet>,
    what: For,
}

impl Watched {
    /// Opens a handle for an endpoint's queue, once for each endpoint.
    pub(super) fn new(endpoint: &Endpoint, what: For) -> Result<Self> {
        endpoint.control.readable()?;
        let control = match endpoint.watch.get() {
            Some(control) => control.clone(),
            None => {
                let control = Arc::new(endpoint.control.try_clone()?);
                endpoint.watch.get_or_init(|| control).clone()
            }
        };
        let own = endpoint.control.own.clone();
        Ok(Self { control, own, what })
    }

    /// Returns the token of the endpoint.
    pub(super) fn token(&self) -> Option<&CancelToken> {
        self.control.cancel.as_ref()
    }

    pub(super) fn name(&self) -> &str {
        self.control.name()
    }

    /// Returns what is waited for, with all that a waiter does.
    pub(super) fn view(&self) -> View<'_> {
        View {
            control: &self.control,
            own: &self.own,
            what: self.what,
        }
    }
}

/// Something to wait for with [`select`](crate::select): items, space, or a cancel.
///
/// Made by [`ReadyQueue::readable`](crate::ReadyQueue::readable),
/// [`ReadyQueue::writable`](crate::ReadyQueue::writable) and
/// [`CancelToken::cancelled`]. It borrows its queue or token.
///
/// ```
/// # use prodcon::{QueueOptions, ReadyQueue};
/// # let name = prodcon::bindings::TestName::new();
/// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(1))?;
/// assert!(queue.writable().is_ready()? && !queue.readable().is_ready()?);
/// queue.put(&1)?;
/// assert!(queue.readable().is_ready()? && !queue.writable().is_ready()?);
/// # Ok::<(), prodcon::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct Interest<'a>(pub(super) Kind<'a>);

#[derive(Clone, Copy)]
pub(super) enum Kind<'a> {
    Queue { endpoint: &'a Endpoint, what: For },
    Token(&'a CancelToken),
}

impl CancelToken {
    /// Returns the interest in the cancel, for [`select`](crate::select).
    ///
    /// ```
    /// # use prodcon::{CancelToken, QueueOptions, ReadyQueue, select};
    /// # let name = prodcon::bindings::TestName::new();
    /// let queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(8))?;
    /// let token = CancelToken::new();
    /// token.cancel();
    /// assert_eq!(select(&[token.cancelled(), queue.readable()], None)?, Some(0));
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn cancelled(&self) -> Interest<'_> {
        Interest::of_token(self)
    }
}

impl<'a> Interest<'a> {
    pub(super) fn of_queue(endpoint: &'a Endpoint, what: For) -> Self {
        Self(Kind::Queue { endpoint, what })
    }

    pub(super) fn of_token(token: &'a CancelToken) -> Self {
        Self(Kind::Token(token))
    }

    /// Returns whether an operation is worth a try now: `try_get` or `try_put` would succeed, or
    /// would answer something else than `Empty` or `Full`. For a token it returns whether that was
    /// cancelled.
    ///
    /// # Errors
    /// Returns `Forked` in a forked child.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue, State};
    /// # let name = prodcon::bindings::TestName::new();
    /// let queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(8))?;
    /// assert!(!queue.readable().is_ready()?);
    /// queue.control().set_state(State::StopAtQueueEnd)?;
    /// assert!(queue.readable().is_ready()?); // a get answers Stopped
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn is_ready(&self) -> Result<bool> {
        Ok(self.is_worth_a_try()?)
    }

    pub(super) fn is_worth_a_try(&self) -> Result<bool, Fault> {
        match self.0 {
            Kind::Token(token) => Ok(token.is_cancelled()),
            Kind::Queue { endpoint, what } => {
                let ready = View::new(&endpoint.control, what).is_ready()?;
                Ok(ready || what == For::Items && endpoint.has_left_over())
            }
        }
    }

    /// Returns a number for it, which no other interest has as long as its queue or token lives.
    pub(super) fn number(&self) -> u64 {
        match self.0 {
            // An address is even.
            Kind::Queue { endpoint, what } => {
                Arc::as_ptr(&endpoint.control.segment) as u64 | u64::from(what == For::Space)
            }
            Kind::Token(token) => token.number(),
        }
    }

    /// Returns the interest in the queue, if it is one in a queue.
    pub(super) fn view(&self) -> Option<View<'a>> {
        match self.0 {
            Kind::Queue { endpoint, what } => Some(View::new(&endpoint.control, what)),
            Kind::Token(_) => None,
        }
    }

    /// Returns the endpoint, if it is an interest in a queue.
    pub(super) fn endpoint(&self) -> Option<&'a Endpoint> {
        match self.0 {
            Kind::Queue { endpoint, .. } => Some(endpoint),
            Kind::Token(_) => None,
        }
    }
}

impl fmt::Debug for Interest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Kind::Token(_) => f.write_str("Interest(cancelled)"),
            Kind::Queue { endpoint, what } => {
                let name = endpoint.control.name();
                write!(f, "Interest({what:?} of '{name}')")
            }
        }
    }
}
