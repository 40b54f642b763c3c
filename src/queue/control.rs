//! The control handle: gate, state, figures and repair, without a seat.
//!
//! It works when no seat is left, and in part when the user may only read. Every endpoint contains
//! one.

use super::Payload;
use super::backoff::{MAX_SLEEP, pauses};
use super::cancel::CancelToken;
use super::care::Care;
use super::clock::lasts;
use super::memory::{Leases, Mapped};
use super::options::{AttachOptions, QueueOptions};
use super::seat_set::SeatSet;
use super::stats::{Recovery, Report, SeatInfo, Stats};
use crate::error::{Fault, GetError, OpenError, Result, StateRefused};
use crate::layout::{SeatLine, Words};
use crate::ring::seat::Event;
use crate::ring::{Memory, Recovered as Pass, Ring, RingError};
use crate::segment::{Place, QueueId, QueueInfo, Segment};
use crate::state::{Role, State};
use crate::sync::event::{register, wake_all, wake_one};
use crate::sys::futex::{Asleep, Kernel};
use crate::sys::lease::Birth;
use crate::trace;
use std::sync::atomic::{AtomicU32, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often `doctor` looks whether everybody is at rest, with pauses of 0, 1, 2 ... ms after it.
const LOOKS: u64 = 5;

/// A handle to a queue that takes no seat: gate, state, figures and repair.
///
/// It works when no seat is left, and read-only where the user may only read. It is `Send` and
/// `Sync`.
///
/// ```
/// # use prodcon::{Control, QueueOptions, State};
/// # let name = prodcon::bindings::TestName::new();
/// let control = Control::create::<u64>(&name, &QueueOptions::new(64))?;
/// assert_eq!(control.state(), State::Started);
/// assert_eq!(control.stats()?.len, 0);
/// # Ok::<(), prodcon::Error>(())
/// ```
#[derive(Debug)]
pub struct Control {
    pub(super) ring: Ring<Mapped>, // before segment: it points into it
    pub(super) segment: Arc<Segment>,
    /// Of the segment, at hand for every operation: when this process began, and an item's length.
    birth: Birth,
    item_size: usize,
    /// The queue is of a plain type, so every item has the same length.
    pub(super) typed: bool,
    /// Seats of the endpoint that this handle belongs to.
    pub(super) own: Arc<SeatSet>,
    /// Locks of one description do not exclude each other: of the threads that share the handle one
    /// at a time looks after the dead.
    recovering: Mutex<()>,
    /// Ends the waits of this handle, and of the endpoint that it belongs to.
    pub(super) cancel: Option<CancelToken>,
    /// What its waits for several queues remember of the dead.
    pub(super) care: Care,
}

impl Control {
    /// Creates a queue of a plain type, or of bytes, without taking a seat.
    ///
    /// # Errors
    /// Fails as [`ReadyQueue::create`](crate::ReadyQueue::create) does.
    ///
    /// ```
    /// # use prodcon::{Control, QueueOptions};
    /// # let name = prodcon::bindings::TestName::new();
    /// let control = Control::create::<[u8]>(&name, &QueueOptions::new(64).item_size(100))?;
    /// assert_eq!(control.info().item_size, 100);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn create<T: Payload + ?Sized>(name: &str, options: &QueueOptions) -> Result<Self> {
        Ok(Self::over(Segment::create(
            options.place(name)?,
            &options.spec(name, T::plain())?,
        )?))
    }

    /// Opens a handle to a queue by name; read-only if the user may only read.
    ///
    /// # Errors
    /// Returns `NotFound` if there is no such queue, `PermissionDenied` if it may not be opened,
    /// `Corrupt` if the file is no queue, `InvalidName` if no queue can have the name, and `Os` if
    /// a system call failed.
    ///
    /// ```
    /// # use prodcon::{Control, QueueOptions};
    /// # let name = prodcon::bindings::TestName::new();
    /// # let made = Control::create::<u64>(&name, &QueueOptions::new(64))?;
    /// let control = Control::attach(&name)?;
    /// assert_eq!(control.info().type_name, "u64");
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn attach(name: &str) -> Result<Self> {
        Self::attach_with(name, &AttachOptions::new())
    }

    /// Opens a handle to a queue in another directory, with a token that ends its waits, or when it
    /// is created. Of the options only these count.
    ///
    /// # Errors
    /// Fails as [`attach`](Self::attach) does. If it waits for the queue, it may return `TimedOut`
    /// and `Cancelled` too.
    ///
    /// ```no_run
    /// use prodcon::{AttachOptions, Control};
    ///
    /// let options = AttachOptions::new().directory("/dev/shm/telemetry");
    /// let control = Control::attach_with("frames", &options)?;
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn attach_with(name: &str, options: &AttachOptions) -> Result<Self> {
        let place = options.place(name)?;
        let opened = options.when_it_exists(&place, || Self::open(place.clone()))?;
        Ok(Self {
            cancel: options.cancel.clone(),
            ..opened
        })
    }

    /// Opens a handle that can change nothing: the segment is mapped for reading only. It is for
    /// programs that watch queues.
    ///
    /// # Errors
    /// Fails as [`attach`](Self::attach) does.
    ///
    /// ```
    /// # use prodcon::{Control, ErrorKind, QueueOptions};
    /// # let name = prodcon::bindings::TestName::new();
    /// # let made = Control::create::<u64>(&name, &QueueOptions::new(64))?;
    /// let control = Control::attach_read_only(&name)?;
    /// assert_eq!(control.stats()?.capacity, 64);
    /// assert_eq!(control.clear().unwrap_err().kind(), ErrorKind::ReadOnly);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn attach_read_only(name: &str) -> Result<Self> {
        Ok(Self::over(Segment::attach_read_only(Place::new(
            None, name,
        )?)?))
    }

    pub(super) fn open(place: Place) -> Result<Self, OpenError> {
        match Segment::attach(place.clone()) {
            Err(OpenError::Denied { .. }) => Segment::attach_read_only(place),
            other => other,
        }
        .map(Self::over)
    }

    /// Opens another handle to the same queue.
    ///
    /// # Errors
    /// Returns `Removed` if the name was removed and the queue cannot be opened again, and `Os` if
    /// a system call failed.
    ///
    /// ```
    /// # use prodcon::{Control, QueueOptions};
    /// # let name = prodcon::bindings::TestName::new();
    /// let control = Control::create::<u64>(&name, &QueueOptions::new(64))?;
    /// assert_eq!(control.try_clone()?.id(), control.id());
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn try_clone(&self) -> Result<Self> {
        Ok(Self {
            cancel: self.cancel.clone(),
            ..Self::over(self.segment.again()?)
        })
    }

    pub(super) fn over(segment: Segment) -> Self {
        Self::of(Arc::new(segment), Arc::default())
    }

    /// Makes a handle with the same mapping, descriptor and seats. It must not look after the dead:
    /// this one's `recovering` does not keep it from that.
    pub(super) fn share(&self) -> Self {
        Self::of(self.segment.clone(), self.own.clone())
    }

    fn of(segment: Arc<Segment>, own: Arc<SeatSet>) -> Self {
        let ring = Ring {
            memory: Mapped::new(&segment),
            at_least_once: segment.header.at_least_once,
            batch: segment.geometry.batch,
            single: segment.geometry.batch == 1 && !segment.geometry.long(),
            // A reader that loses a slot to a lossy put loses the next ones too while it stays
            // away.
            contention: pauses(if segment.header.lossy { 100 } else { 1000 }),
        };
        let typed = !segment.header.type_name.is_empty();
        Self {
            ring,
            birth: segment.lease.birth(),
            item_size: segment.geometry.item_size as usize,
            segment,
            typed,
            own,
            recovering: Mutex::new(()),
            cancel: None,
            care: Care::new(),
        }
    }

    /// Returns the queue's name.
    pub fn name(&self) -> &str {
        &self.segment.place.name
    }

    /// Returns what identifies this queue, also among queues of the same name.
    ///
    /// ```
    /// # use prodcon::{Control, QueueOptions, State};
    /// # let name = prodcon::bindings::TestName::new();
    /// let control = Control::create::<u64>(&name, &QueueOptions::new(64))?;
    /// assert_eq!(Control::attach(&name)?.id(), control.id());
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn id(&self) -> QueueId {
        self.info().id
    }

    pub(super) fn shared_name(&self) -> Arc<str> {
        self.segment.place.name.clone()
    }

    /// Returns what the queue was created as.
    ///
    /// ```
    /// # use prodcon::{Control, QueueOptions};
    /// # let name = prodcon::bindings::TestName::new();
    /// let control = Control::create::<u64>(&name, &QueueOptions::new(64).lossy(true))?;
    /// assert!(control.info().lossy);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn info(&self) -> &QueueInfo {
        &self.segment.header
    }

    /// Returns whether the handle can change nothing, because the user may only read or because
    /// [`attach_read_only`](Self::attach_read_only) opened it. Changes then fail with `ReadOnly`.
    pub fn is_read_only(&self) -> bool {
        self.segment.read_only
    }

    /// Returns whether the queue's name was removed, or is another queue's by now. See
    /// [`unlink`](crate::unlink).
    ///
    /// ```
    /// # use prodcon::{Control, QueueOptions, State};
    /// # let name = prodcon::bindings::TestName::new();
    /// let control = Control::create::<u64>(&name, &QueueOptions::new(64))?;
    /// prodcon::unlink(&name)?;
    /// assert!(control.is_removed());
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn is_removed(&self) -> bool {
        self.segment.lease.links().is_ok_and(|links| links == 0)
    }

    /// Checks that the name still is this queue's, and that the program has left the descriptor
    /// alone.
    pub(super) fn is_there(&self) -> Result<(), Fault> {
        match self.segment.lease.links() {
            Ok(0) => Err(Fault::Removed {
                queue: self.shared_name(),
            }),
            Ok(_) => Ok(()),
            Err(error) => Err(self.os_fault(&error)),
        }
    }

    /// Unlinks the queue, if the name is still this queue's, as [`unlink`](crate::unlink) does.
    ///
    /// # Errors
    /// Returns `NotFound` if it is gone already, `Removed` if another queue has the name now,
    /// `TimedOut` if another process is removing it and does not come to an end, `PermissionDenied`
    /// if it may not be removed, and `Os` if a system call failed.
    ///
    /// ```
    /// # use prodcon::{Control, QueueOptions, State};
    /// # let name = prodcon::bindings::TestName::new();
    /// let control = Control::create::<u64>(&name, &QueueOptions::new(64))?;
    /// control.unlink()?;
    /// assert!(Control::attach(&name).is_err());
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn unlink(self) -> Result<()> {
        Ok(self.segment.unlink()?)
    }

    /// Returns whether the queue goes with its owner, see
    /// [`QueueOptions::owned`](crate::QueueOptions::owned).
    pub fn is_owned(&self) -> bool {
        self.info().owned
    }

    /// Returns whether the queue was left behind. That is so if it is [owned](Self::is_owned), its
    /// owner is gone, no process supervises it and none is attached. A queue that is not owned is
    /// never stale.
    ///
    /// # Errors
    /// Returns `Forked` in a forked child and `Os` if a system call failed.
    ///
    /// ```
    /// # use prodcon::{Control, QueueOptions, State};
    /// # let name = prodcon::bindings::TestName::new();
    /// let control = Control::create::<u64>(&name, &QueueOptions::new(64))?;
    /// assert!(!control.is_stale()?); // idle, and it lasts
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn is_stale(&self) -> Result<bool> {
        self.readable()?;
        Ok(self
            .segment
            .is_stale()
            .map_err(|error| self.os_fault(&error))?)
    }

    /// Unlinks the queue if it is [stale](Self::is_stale) and the name is still its own. Returns
    /// false if it is not stale. A process that attaches meanwhile prevents it, or does not find
    /// the queue.
    ///
    /// # Errors
    /// Fails as [`unlink`](Self::unlink) does.
    ///
    /// ```
    /// # use prodcon::{Control, QueueOptions, State};
    /// # let name = prodcon::bindings::TestName::new();
    /// let control = Control::create::<u64>(&name, &QueueOptions::new(64))?;
    /// assert!(!control.remove_if_stale()?);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn remove_if_stale(&self) -> Result<bool> {
        Ok(self.segment.unlink_if_stale()?)
    }

    /// Returns whether this is a forked child, in which the handle touches nothing. One load.
    #[inline(always)]
    pub(super) fn forked(&self) -> bool {
        self.birth.forked()
    }

    #[cold]
    pub(super) fn panic_forked(&self) -> ! {
        let queue = self.shared_name();
        panic!("{}", Fault::Forked { queue })
    }

    #[inline(always)]
    pub(super) fn words(&self) -> &Words {
        self.ring.memory.words()
    }

    pub(super) fn writable(&self) -> Result<(), Fault> {
        if self.forked() {
            return Err(Fault::Forked {
                queue: self.shared_name(),
            });
        }
        if self.segment.read_only {
            return Err(Fault::ReadOnly {
                queue: self.shared_name(),
            });
        }
        Ok(())
    }

    pub(super) fn readable(&self) -> Result<(), Fault> {
        if self.forked() {
            Err(Fault::Forked {
                queue: self.shared_name(),
            })
        } else {
            Ok(())
        }
    }

    pub(super) fn fault(&self, refusal: RingError) -> Fault {
        match refusal {
            RingError::Exhausted => Fault::Exhausted {
                queue: self.shared_name(),
            },
            RingError::Corrupt(what) => Fault::Corrupt {
                queue: self.shared_name(),
                what: what.into(),
            },
            other => Fault::Corrupt {
                queue: self.shared_name(),
                what: format!("unexpected answer {other:?}"),
            },
        }
    }

    /// Lets producers put.
    ///
    /// # Errors
    /// Returns `Forked` in a forked child and `ReadOnly` if the queue may only be read.
    ///
    /// ```
    /// # use prodcon::{Control, QueueOptions, State};
    /// # let name = prodcon::bindings::TestName::new();
    /// let control = Control::create::<u64>(&name, &QueueOptions::new(64).ready(false))?;
    /// control.set_ready()?;
    /// assert!(control.is_ready());
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn set_ready(&self) -> Result<()> {
        self.writable()?;
        self.ring.set_ready();
        self.changed();
        Ok(())
    }

    /// Lets producers put if nobody has kept them out so far; false if somebody has. For bindings
    /// whose queues take items before their consumer begins. A gate that was closed or cleared
    /// while nobody had opened it counts as kept shut.
    ///
    /// # Errors
    /// [`Fault`]
    #[doc(hidden)]
    pub fn open_first(&self) -> Result<bool> {
        self.writable()?;
        let open = self.ring.open_first();
        if open {
            self.changed();
        }
        Ok(open)
    }

    /// Keeps producers out and removes every item, in one step, as [`clear`](Self::clear) does.
    ///
    /// # Errors
    /// Returns `Forked` in a forked child, `ReadOnly` if the queue may only be read, and
    /// `Exhausted` after 2^40 clears of the queue.
    ///
    /// ```
    /// # use prodcon::{Control, QueueOptions, State};
    /// # let name = prodcon::bindings::TestName::new();
    /// let control = Control::create::<u64>(&name, &QueueOptions::new(64))?;
    /// control.set_not_ready()?;
    /// assert!(!control.is_ready());
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn set_not_ready(&self) -> Result<()> {
        Ok(self.gate(Ring::set_not_ready).map(drop)?)
    }

    /// Removes every item, in one step. An operation that overlaps it takes effect before it or
    /// after it. A put that takes effect before may answer `Ok` afterwards, and its item is
    /// cleared.
    ///
    /// # Errors
    /// Returns `Forked` in a forked child, `ReadOnly` if the queue may only be read, and
    /// `Exhausted` after 2^40 clears of the queue.
    ///
    /// ```
    /// # use prodcon::{Control, QueueOptions, State};
    /// # let name = prodcon::bindings::TestName::new();
    /// let control = Control::create::<u64>(&name, &QueueOptions::new(64))?;
    /// control.clear()?;
    /// assert!(control.is_empty() && control.is_ready());
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn clear(&self) -> Result<()> {
        Ok(self.gate(Ring::clear).map(drop)?)
    }

    pub(super) fn gate(
        &self,
        change: impl Fn(&Ring<Mapped>) -> Result<u64, RingError>,
    ) -> Result<u64, Fault> {
        self.writable()?;
        let epoch = change(&self.ring).map_err(|refusal| self.fault(refusal))?;
        self.changed();
        Ok(epoch)
    }

    /// Wakes all waiters, because the gate or the state changed.
    pub(super) fn changed(&self) {
        let words = self.words();
        for word in [&words.items.0, &words.space.0, &words.changed.0] {
            wake_all(word, &Kernel);
        }
    }

    /// Returns whether producers may put. A handle in a forked child answers false.
    pub fn is_ready(&self) -> bool {
        !self.forked() && self.ring.gate().is_ready()
    }

    /// Waits until the queue is ready, for at most `timeout`. Returns false if the time passed
    /// first.
    ///
    /// # Errors
    /// Returns `Cancelled` if the endpoint's token was cancelled, `Removed` if its name was
    /// removed, `Forked` in a forked child, and `Os` if a system call failed.
    ///
    /// ```
    /// # use prodcon::{Control, QueueOptions, State};
    /// # let name = prodcon::bindings::TestName::new();
    /// let control = Control::create::<u64>(&name, &QueueOptions::new(64))?;
    /// assert!(control.wait_ready(None)?);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn wait_ready(&self, timeout: Option<Duration>) -> Result<bool> {
        self.wait(timeout, Self::is_ready)
    }

    /// Waits until the state is `state`, for at most `timeout`. Returns false if the time passed
    /// first.
    ///
    /// # Errors
    /// Returns `Cancelled` if the endpoint's token was cancelled, `Removed` if its name was
    /// removed, `Forked` in a forked child, and `Os` if a system call failed.
    ///
    /// ```
    /// # use prodcon::{Control, QueueOptions, State};
    /// # let name = prodcon::bindings::TestName::new();
    /// let control = Control::create::<u64>(&name, &QueueOptions::new(64))?;
    /// let soon = std::time::Duration::from_millis(1);
    /// assert!(!control.wait_state(State::Stopped, Some(soon))?);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn wait_state(&self, state: State, timeout: Option<Duration>) -> Result<bool> {
        self.wait(timeout, |control| control.state() == state)
    }

    pub(super) fn wait(
        &self,
        timeout: Option<Duration>,
        done: impl Fn(&Self) -> bool,
    ) -> Result<bool> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            self.readable()?;
            if done(self) {
                return Ok(true);
            }
            self.is_there()?;
            let left = deadline.map_or(MAX_SLEEP, |deadline| {
                deadline
                    .saturating_duration_since(Instant::now())
                    .min(MAX_SLEEP)
            });
            if left.is_zero() {
                return Ok(false);
            }
            if self.is_cancelled() {
                return Err(GetError::Cancelled.into());
            }
            if self.segment.read_only {
                let token = self.cancel.as_ref().map(CancelToken::asleep);
                Kernel.wait_any(token.as_slice(), left.min(Duration::from_millis(5)));
                continue;
            }
            let word = &self.words().changed.0;
            let value = register(word);
            if !done(self) {
                self.sleep(Asleep::shared(word, value), left);
            }
        }
    }

    /// Sleeps on a word of the queue's, and on the token's if there is one.
    pub(super) fn sleep(&self, word: Asleep<'_>, timeout: Duration) {
        match &self.cancel {
            None => Kernel.wait_any(&[word], timeout),
            Some(token) => Kernel.wait_any(&[word, token.asleep()], timeout),
        }
    }

    /// Returns whether the handle's token was cancelled.
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancel.as_ref().is_some_and(CancelToken::is_cancelled)
    }

    /// Returns the state. A handle in a forked child answers `Stopped`.
    ///
    /// ```
    /// # use prodcon::{Control, QueueOptions, State};
    /// # let name = prodcon::bindings::TestName::new();
    /// let control = Control::create::<u64>(&name, &QueueOptions::new(64))?;
    /// assert_eq!(control.state(), State::Started);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn state(&self) -> State {
        if self.forked() {
            return State::Stopped;
        }
        State::from_word(self.words().gate.state.load(Ordering::SeqCst))
    }

    /// Returns the state, for a handle that is not forked.
    #[inline(always)]
    pub(super) fn state_word(&self) -> u32 {
        self.words().gate.state.load(Ordering::SeqCst)
    }

    /// Changes the state and wakes every process that waits. Setting the state that the queue has
    /// is allowed.
    ///
    /// # Errors
    /// Returns `StateRefused` for a change that is not allowed; its text names the way that works.
    /// Returns `Forked` in a forked child and `ReadOnly` if the queue may only be read.
    ///
    /// ```
    /// # use prodcon::{Control, QueueOptions, State};
    /// # let name = prodcon::bindings::TestName::new();
    /// let control = Control::create::<u64>(&name, &QueueOptions::new(64))?;
    /// control.set_state(State::StopAtQueueEnd)?;
    /// let error = control.set_state(State::Started).unwrap_err();
    /// assert!(error.to_string().contains("stopped first"));
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn set_state(&self, to: State) -> Result<()> {
        self.writable()?;
        let word: &AtomicU32 = &self.words().gate.state;
        let mut now = word.load(Ordering::SeqCst);
        loop {
            if now == to as u32 {
                return Ok(());
            }
            let from = State::from_word(now);
            // They are equal here: the word is damaged and reads as stopped, and it is to be
            // stopped.
            if from != to && !from.may_become(to) {
                return Err(StateRefused {
                    queue: self.shared_name(),
                    from,
                    to,
                }
                .into());
            }
            match word.compare_exchange(now, to as u32, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => break,
                Err(actual) => now = actual,
            }
        }
        self.changed();
        Ok(())
    }

    /// Returns the number of items in the queue (in queues with batches too), without those that
    /// were cleared. It is exact while no operation is under way. A handle in a forked child
    /// answers 0.
    ///
    /// ```
    /// # use prodcon::{Control, QueueOptions, State};
    /// # let name = prodcon::bindings::TestName::new();
    /// let control = Control::create::<u64>(&name, &QueueOptions::new(64))?;
    /// assert_eq!(control.len(), 0);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn len(&self) -> usize {
        if self.forked() {
            return 0;
        }
        self.ring.live_items() as usize
    }

    /// Returns whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many items the queue can hold; in queues with batches: blocks of items.
    pub fn capacity(&self) -> usize {
        self.segment.geometry.capacity as usize
    }

    /// Returns whether there is no space, not even what a put could make by discarding cleared
    /// items.
    pub fn is_full(&self) -> bool {
        !self.forked() && self.ring.live() == u64::from(self.segment.geometry.capacity)
    }

    /// Returns the longest item in bytes.
    #[inline]
    pub fn item_size(&self) -> usize {
        self.item_size
    }

    /// Returns whether a put on the full queue drops the oldest item.
    pub fn is_lossy(&self) -> bool {
        self.segment.header.lossy
    }

    pub(super) fn seats(&self) -> impl Iterator<Item = (u32, &SeatLine)> {
        (0..self.segment.geometry.seats).map(|index| (index, self.segment.seat(index)))
    }

    /// Returns the queue's figures. Reading them disturbs no other process.
    ///
    /// # Errors
    /// Returns `Forked` in a forked child and `Os` if a system call failed.
    ///
    /// ```
    /// # use prodcon::{Control, QueueOptions, State};
    /// # let name = prodcon::bindings::TestName::new();
    /// let control = Control::create::<u64>(&name, &QueueOptions::new(64))?;
    /// let stats = control.stats()?;
    /// assert_eq!((stats.puts, stats.len), (0, 0));
    /// assert!(stats.adds_up());
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn stats(&self) -> Result<Stats> {
        Ok(self.stats_but_mine(|index| self.own.has(index))?)
    }

    pub(super) fn stats_but_mine(&self, mine: impl Fn(u32) -> bool) -> Result<Stats, Fault> {
        self.readable()?;
        let gate = self.ring.gate();
        let header = self.info();
        let mut stats = Stats::new(header, gate.is_ready(), gate.epoch(), self.state());
        stats.len = self.ring.items();
        stats.removed_name = self.is_removed();
        let mut skipped = 0u64;
        for (index, line) in self.seats() {
            let (record, counts, unacked) = (
                line.read_record(),
                line.read_counts(),
                self.ring.held(index),
            );
            let live = mine(index)
                || self
                    .segment
                    .lease
                    .is_locked(index)
                    .map_err(|error| self.os_fault(&error))?;
            for (sum, items) in [
                (&mut stats.puts, counts.items(Event::Put)),
                (&mut stats.dropped, counts.items(Event::Dropped)),
                (&mut stats.cleared, counts.items(Event::Cleared)),
                (&mut stats.lost, counts.items(Event::Lost)),
                (&mut skipped, counts.items(Event::Skipped)),
                (&mut stats.gets, counts.got),
                // Relaxed, both: figures for people.
                (
                    &mut stats.redelivered,
                    line.redelivered.load(Ordering::Relaxed),
                ),
                (
                    &mut stats.dead_lettered,
                    line.dead_lettered.load(Ordering::Relaxed),
                ),
                (&mut stats.unacked, unacked.into()),
            ] {
                *sum = sum.wrapping_add(items);
            }
            stats.seats_live += u32::from(live);
            stats.seats_dead += u32::from(!live && record.incoming.is_some());
            if live {
                stats.members.push(SeatInfo {
                    seat: index,
                    pid: line.pid.load(Ordering::Relaxed),
                    role: Role::from_word(line.role.load(Ordering::Relaxed)),
                    unacked,
                    asleep: line.asleep.load(Ordering::Relaxed) == 1,
                    holding: lasts(line.since.load(Ordering::Relaxed)),
                });
            }
        }
        stats.share_the_time();
        if header.batch == 1 {
            // The slots tell the positions passed. All of them were puts, except for those at the
            // ends of streams.
            stats.puts = self
                .ring
                .memory
                .shape()
                .count(self.ring.tail())
                .saturating_sub(skipped);
        }
        Ok(stats)
    }

    /// Resolves the seats of dead processes. Attached endpoints do this by themselves; it is for
    /// programs that want it now.
    ///
    /// # Errors
    /// Returns `Forked` in a forked child, `ReadOnly` if the queue may only be read, `Corrupt` if
    /// the queue is damaged, and `Os` if a system call failed.
    ///
    /// ```
    /// # use prodcon::{Control, QueueOptions, State};
    /// # let name = prodcon::bindings::TestName::new();
    /// let control = Control::create::<u64>(&name, &QueueOptions::new(64))?;
    /// assert_eq!(control.recover()?.recovered, 0);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn recover(&self) -> Result<Recovery> {
        Ok(self.recover_pass()?)
    }

    pub(super) fn recover_pass(&self) -> Result<Recovery, Fault> {
        self.writable()?;
        let _alone = self
            .recovering
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut locks = Leases::new(&self.segment.lease);
        let pass = self.ring.recover(&mut locks, |index| self.own.has(index));
        self.wake_after(&pass);
        locks.failed().map_err(|error| self.os_fault(&error))?;
        match pass.corrupt {
            Some(what) => Err(self.fault(RingError::Corrupt(what))),
            None => Ok(Recovery {
                recovered: pass.recovered,
                undecided: pass.undecided,
            }),
        }
    }

    /// Wakes the waiters that a look after the dead concerns. That is a consumer for each orphan,
    /// and one waiter on each side for what the dead processes that were resolved may have left
    /// undone.
    pub(super) fn wake_after(&self, pass: &Pass) {
        if pass.recovered > 0 {
            trace::recovered(self.name(), pass.recovered);
        }
        for _ in 0..pass.announced + u32::from(pass.recovered > 0) {
            wake_one(&self.words().items.0, &Kernel);
        }
        if pass.recovered > 0 {
            wake_one(&self.words().space.0, &Kernel);
        }
    }

    /// Recovers what can be recovered and checks every invariant, while others go on and without
    /// keeping anything from them. [`Report::busy`] says that they were at it all the time, so that
    /// the blocks and the accounts could not be checked.
    ///
    /// # Errors
    /// Returns `Forked` in a forked child, `ReadOnly` if the queue may only be read, and `Os` if a
    /// system call failed.
    ///
    /// ```
    /// # use prodcon::{Control, QueueOptions, State};
    /// # let name = prodcon::bindings::TestName::new();
    /// let control = Control::create::<u64>(&name, &QueueOptions::new(64))?;
    /// let report = control.doctor()?;
    /// assert!(report.ok(), "{:?}", report.problems);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn doctor(&self) -> Result<Report> {
        self.writable()?;
        crate::segment::clean_temporaries(&self.segment.place.dir);
        let mut report = Report::default();
        loop {
            match self.recover_pass() {
                Ok(pass) => {
                    report.recovered += pass.recovered;
                    report.undecided = pass.undecided;
                    if pass.recovered == 0 {
                        break;
                    }
                }
                Err(Fault::Corrupt { what, .. }) => {
                    report.problems.push(what);
                    break;
                }
                Err(fault) => return Err(fault.into()),
            }
        }
        match self.check_at_rest()? {
            Some(problems) => report.problems.extend(problems),
            None => report.busy = true,
        }
        let state = self.words().gate.state.load(Ordering::Relaxed);
        if !(1..=3).contains(&state) {
            report
                .problems
                .push(format!("the state word is {state}, expected 1 to 3"));
        }
        for problem in &report.problems {
            trace::corrupt(self.name(), problem);
        }
        Ok(report)
    }

    /// Returns what contradicts the permutation of blocks and the accounts. `None` means that the
    /// queue was never at rest while everything was read twice.
    fn check_at_rest(&self) -> Result<Option<Vec<String>>, Fault> {
        for attempt in 0..LOOKS {
            let before = self.ring.census();
            if before.at_rest() {
                // Acquire, both: the loads before are complete before those after. The figures,
                // which are read between the two censuses, are of the same moment.
                fence(Ordering::Acquire);
                let accounts = self.check_accounts()?;
                fence(Ordering::Acquire);
                if before == self.ring.census() {
                    let mut problems = self.ring.permutation(&before);
                    problems.extend(accounts);
                    return Ok(Some(problems));
                }
            }
            std::thread::sleep(Duration::from_millis(attempt));
        }
        Ok(None)
    }

    /// Returns what contradicts the accounts. It is only meaningful while nobody does anything.
    fn check_accounts(&self) -> Result<Vec<String>, Fault> {
        let mut problems = vec![];
        let shape = self.ring.memory.shape();
        let (head, tail) = (shape.count(self.ring.head()), shape.count(self.ring.tail()));
        if tail < head || tail - head > u64::from(shape.slots) {
            problems.push(format!(
                "the slots say {tail} puts and {head} removals, with room for {}",
                shape.slots
            ));
        }
        let stats = self.stats_but_mine(|index| self.own.has(index))?;
        if !stats.adds_up() {
            problems.push(format!(
                "the accounts do not add up: {} puts, but {} got, {} dropped, {} cleared, {} lost, {} in hand and {} in the queue",
                stats.puts, stats.gets, stats.dropped, stats.cleared, stats.lost, stats.unacked, stats.len
            ));
        }
        Ok(problems)
    }
}

/// What the fuzzer's model needs and nobody else.
#[cfg(fuzzing)]
#[doc(hidden)]
impl Control {
    /// Returns blocks put and blocks removed, as the slots tell. The numbers are exact while no
    /// living process is in mid-operation, no matter which have died.
    pub fn positions(&self) -> (u64, u64) {
        let shape = self.ring.memory.shape();
        (shape.count(self.ring.tail()), shape.count(self.ring.head()))
    }

    /// Returns the figures without asking the kernel who lives: all seats are listed.
    pub fn glance(&self) -> Result<Stats> {
        Ok(self.stats_but_mine(|_| true)?)
    }
}
