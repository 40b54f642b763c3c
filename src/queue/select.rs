//! Waits for the first of several interests.
//!
//! Invariants: each word has one registration at a time, however many interests share it. Between
//! the registration and the sleep every interest is looked at. After a sleep, every word that is
//! not reported passes its wake-up on, whichever way the wait ends.

use super::cancel::CancelToken;
use super::interest::{Interest, Kind, View};
use crate::error::{Error, ErrorKind, GetError, Reason, Result};
use crate::sys::futex::{Asleep, Kernel, MAX_WORDS};
use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::backoff::MAX_SLEEP;

/// The most interests of one [`select`].
const MAX_INTERESTS: usize = MAX_WORDS - 1;

/// Waits until one of the interests is ready, for at most `timeout`, or without a limit if that is
/// `None`. Returns its index, or `None` if the time passed first. With a timeout of zero it only
/// looks.
///
/// Ready means that an operation is worth a `try_`. Another consumer may be faster, so try, and
/// wait again after `Empty` or `Full`. If several are ready, selects of the same interests in one
/// thread report them in turn.
/// It passes on every wake-up that it does not report.
///
/// It takes up to 127 interests. While it waits it looks after dead processes, as every wait does.
///
/// # Errors
/// Returns `InvalidOption` for more than 127 interests, or for none and no timeout. Returns
/// `Cancelled` if the token of one of the endpoints was cancelled and nothing is ready. Returns
/// `Removed` if a queue's name was removed, `Forked` in a forked child, `Corrupt` if a queue is
/// damaged, and `Os` if a system call failed.
///
/// ```
/// # use prodcon::{GetError, QueueOptions, ReadyQueue, select};
/// # use prodcon::bindings::TestName;
/// # let (first, second) = (TestName::new(), TestName::new());
/// let mut frames = ReadyQueue::<u64>::create(&first, &QueueOptions::new(8))?;
/// let mut jobs = ReadyQueue::<u32>::create(&second, &QueueOptions::new(8))?;
/// jobs.put(&7)?;
/// match select(&[frames.readable(), jobs.readable()], None)? {
///     Some(0) => match frames.try_get() {
///         Ok(frame) => println!("frame {frame}"),
///         Err(GetError::Empty) => {} // another consumer was faster
///         Err(error) => return Err(error.into()),
///     },
///     Some(_) => assert_eq!(jobs.try_get()?, 7),
///     None => unreachable!("there is no timeout"),
/// }
/// # Ok::<(), prodcon::Error>(())
/// ```
pub fn select(interests: &[Interest<'_>], timeout: Option<Duration>) -> Result<Option<usize>> {
    check(interests.len(), timeout)?;
    let turn = Turn::of(interests);
    let mut select = Select {
        interests,
        first: turn.first(interests.len()),
        registered: Vec::new(),
        slept: false,
    };
    let ready = select.wait(timeout)?;
    if let Some(index) = ready {
        turn.has_reported(index);
    }
    Ok(ready)
}

fn check(interests: usize, timeout: Option<Duration>) -> Result<()> {
    let refused = |text| Err(Error::new(Reason::Answer(ErrorKind::InvalidOption, text)));
    if interests > MAX_INTERESTS {
        return refused(
            "select takes at most 127 interests: wait for fewer, or in several threads",
        );
    }
    if interests == 0 && timeout.is_none() {
        return refused("a select of nothing never ends: give it an interest or a timeout");
    }
    Ok(())
}

/// Whose turn it is among some interests: that of the one after the last one reported. One number
/// for all selects of a thread would not do. Where two selects take turns each would always begin
/// at the same interest, and the others would starve.
struct Turn {
    /// What the interests are, as a number.
    interests: u64,
}

/// What a thread remembers of its last selects: their interests, and where they go on.
const REMEMBERED: usize = 64;

thread_local! {
    static TURNS: [Cell<(u64, usize)>; REMEMBERED] =
        const { [const { Cell::new((0, 0)) }; REMEMBERED] };
    /// The number of selects of which nothing was remembered.
    static UNKNOWN: Cell<u64> = const { Cell::new(0) };
}

impl Turn {
    fn of(interests: &[Interest<'_>]) -> Self {
        let numbers = interests.iter().map(Interest::number);
        Self {
            interests: numbers.fold(0, mix),
        }
    }

    fn with<R>(&self, act: impl FnOnce(&Cell<(u64, usize)>) -> R) -> R {
        TURNS.with(|turns| act(&turns[self.interests as usize % REMEMBERED]))
    }

    /// Returns where the look begins. If nothing is remembered that is anywhere.
    fn first(&self, interests: usize) -> usize {
        let (known, next) = self.with(Cell::get);
        let first = if known == self.interests {
            next
        } else {
            let unknown = UNKNOWN.get().wrapping_add(1);
            UNKNOWN.set(unknown);
            mix(0, unknown) as usize
        };
        first.checked_rem(interests).unwrap_or(0)
    }

    fn has_reported(&self, index: usize) {
        self.with(|turn| turn.set((self.interests, index + 1)));
    }
}

/// Mixes a number in, so that any bit of it changes all of them.
fn mix(all: u64, number: u64) -> u64 {
    let mixed = (all ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^ mixed >> 32
}

/// One wait. When it is dropped, what it has slept on and does not report passes its wake-up on.
struct Select<'s, 'q> {
    interests: &'s [Interest<'q>],
    /// Where a look begins.
    first: usize,
    /// The words that it sleeps on, each once, with the values registered.
    registered: Vec<(View<'q>, u32)>,
    /// It may have been woken since it registered.
    slept: bool,
}

impl<'q> Select<'_, 'q> {
    fn wait(&mut self, timeout: Option<Duration>) -> Result<Option<usize>> {
        let began = Instant::now();
        if let Some(index) = self.look()? {
            self.look_after_the_dead(began)?;
            return Ok(Some(index));
        }
        if timeout == Some(Duration::ZERO) {
            // It registers nowhere, so that no peer makes a system call for it.
            self.look_after_the_dead(began)?;
            return self.look();
        }
        let deadline = timeout.and_then(|timeout| began.checked_add(timeout));
        let mut now = began;
        loop {
            self.look_after_the_dead(now)?;
            self.register();
            if let Some(index) = self.look()? {
                return Ok(Some(index));
            }
            if self.tokens().any(CancelToken::is_cancelled) {
                return Err(GetError::Cancelled.into());
            }
            let left = deadline.map_or(MAX_SLEEP, |at| at.saturating_duration_since(now));
            if left.is_zero() {
                return Ok(None);
            }
            self.sleep(left.min(MAX_SLEEP));
            if let Some(index) = self.look()? {
                self.reports(index);
                return Ok(Some(index));
            }
            for view in self.views() {
                view.is_there()?;
            }
            now = Instant::now();
        }
    }

    fn views(&self) -> impl Iterator<Item = View<'q>> {
        self.interests.iter().filter_map(Interest::view)
    }

    /// Returns the tokens of the endpoints, each perhaps several times.
    fn tokens(&self) -> impl Iterator<Item = &'q CancelToken> {
        self.interests
            .iter()
            .filter_map(|interest| interest.endpoint()?.control.cancel.as_ref())
    }

    fn look_after_the_dead(&self, now: Instant) -> Result<()> {
        for view in self.views() {
            view.look_after_the_dead(now)?;
        }
        Ok(())
    }

    /// Returns the first interest that is ready, from `first` on.
    fn look(&self) -> Result<Option<usize>> {
        let all = self.interests.len();
        for index in (self.first..all).chain(0..self.first) {
            if self.interests[index].is_worth_a_try()? {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    /// Announces the sleep, once for each word. What was looked at since the last sleep has nothing
    /// to pass on.
    fn register(&mut self) {
        self.registered.clear();
        self.slept = false;
        for interest in self.interests {
            let Some(view) = interest.view() else {
                continue;
            };
            let known = |(other, _): &(View<'_>, u32)| view.shares_word(*other);
            if !self.registered.iter().any(known) {
                self.registered.push((view, view.register()));
            }
        }
    }

    fn sleep(&mut self, timeout: Duration) {
        let mut words: Vec<Asleep<'_>> = self
            .registered
            .iter()
            .map(|(view, value)| view.asleep(*value))
            .collect();
        let mut tokens: Vec<&CancelToken> = vec![];
        let own = self
            .interests
            .iter()
            .filter_map(|interest| match interest.0 {
                Kind::Token(token) => Some(token),
                Kind::Queue { .. } => None,
            });
        for token in own.chain(self.tokens()) {
            if !tokens.iter().any(|other| other.is(token)) {
                tokens.push(token);
                words.push(token.asleep());
            }
        }
        let timeout = self
            .views()
            .map(View::longest_sleep)
            .fold(timeout, Duration::min);
        self.shows_asleep(true);
        Kernel.wait_any(&words, timeout);
        self.slept = true;
        self.shows_asleep(false);
    }

    /// Notes in the seats whether their owner sleeps.
    fn shows_asleep(&self, asleep: bool) {
        for endpoint in self.interests.iter().filter_map(Interest::endpoint) {
            let seat = endpoint.control.segment.seat(endpoint.seat.index);
            seat.asleep.store(asleep.into(), Ordering::Relaxed); // Relaxed: for people
        }
    }

    /// Keeps the wake-up of what is reported.
    fn reports(&mut self, index: usize) {
        if let Some(view) = self.interests[index].view() {
            self.registered
                .retain(|(other, _)| !view.shares_word(*other));
        }
    }
}

impl Drop for Select<'_, '_> {
    fn drop(&mut self) {
        if self.slept {
            for (view, value) in &self.registered {
                view.pass_on(*value);
            }
        }
    }
}
