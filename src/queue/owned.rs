//! One item in hand that may leave its endpoint, and how it leaves.
//!
//! Invariants: an owned delivery has a seat of its own, and nobody else uses that seat's line or
//! block. A seat comes back locked, through [`Loans`], or the code that ends the loan gives it up.
//! The segment stays mapped for as long as one of them lives.

use super::cancel::CancelToken;
use super::control::Control;
use super::endpoint::Endpoint;
use super::held::HeldSpan;
use super::identity::ItemId;
use super::loans::Loans;
use super::wait::{For, Until};
use super::{Item, Payload};
use crate::error::{Error, ErrorKind, Fault, GetError, OpenError, Result};
use crate::ring::seat::{Event, Seat};
use crate::state::State;
use crate::sync::event::register;
use crate::sys::futex::{Asleep, Kernel};
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

/// An item in hand that may leave the endpoint, the thread and the scope: what
/// [`ReadyQueue::take_owned`](crate::ReadyQueue::take_owned) returns.
///
/// It carries a seat of its endpoint, so an endpoint has up to
/// [`max_unacked`](crate::AttachOptions::max_unacked) of them, which can be acknowledged in any
/// order and by any thread. They stay valid when the endpoint is dropped. What happens to one that
/// is not acknowledged: as with [`Delivery`](crate::Delivery), except that one that is forgotten
/// (`mem::forget`) keeps its item and its seat until the process ends.
///
/// At the end of a stream the endpoint answers `Stopped` although deliveries of its own are out. One
/// that is given back after that comes with the endpoint's next take, or with another consumer's.
///
/// ```
/// # use prodcon::{AttachOptions, QueueOptions, ReadyQueue};
/// # let name = prodcon::bindings::TestName::new();
/// let attach = AttachOptions::new().max_unacked(4);
/// let options = QueueOptions::new(16).at_least_once(true).attach(attach);
/// let mut jobs = ReadyQueue::<u64>::create(&name, &options)?;
/// jobs.put_slice(&[1, 2, 3, 4])?;
/// let mut threads = vec![];
/// for _ in 0..4 {
///     let job = jobs.take_owned()?;
///     threads.push(std::thread::spawn(move || {
///         println!("{}", *job);
///         job.ack();
///     }));
/// }
/// threads.into_iter().for_each(|thread| thread.join().unwrap());
/// assert_eq!(jobs.control().stats()?.gets, 4);
/// # Ok::<(), prodcon::Error>(())
/// ```
#[must_use = "an unacknowledged delivery goes back to its queue when it is dropped (at-least-once): call ack() when the work is done"]
pub struct OwnedDelivery<T: Payload + ?Sized> {
    loans: Arc<Loans>,
    /// [`Seat::gone`] once the loan has ended.
    seat: Seat,
    /// The seat was a dead consumer's, and the endpoint has no use for it.
    adopted: bool,
    shown: HeldSpan,
    id: ItemId,
    _item: PhantomData<fn() -> Box<T>>,
}

/// How a loan ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Acknowledged,
    GivenBack,
    Lost,
}

impl Endpoint {
    /// Takes the oldest item with a seat of its own; waits for such a seat, and for the item.
    pub(super) fn take_owned<T: Payload + ?Sized>(
        &mut self,
        until: Until,
    ) -> Result<OwnedDelivery<T>, GetError> {
        self.control.readable()?;
        self.check_lends()?;
        self.settle_forgotten();
        let until = self.wait_for_seat(until)?;
        self.take_next(T::SIZE, until)?;
        Ok(self.lend())
    }

    /// Checks that the endpoint was attached with several seats, and that each item has one.
    fn check_lends(&self) -> Result<()> {
        let name = self.control.name();
        let text = if self.control.ring.batch > 1 {
            format!(
                "take_owned from queue '{name}', whose blocks hold up to {} items: use take_many, or create the queue without batch",
                self.control.ring.batch
            )
        } else if self.attach.max_unacked == 0 {
            format!(
                "take_owned from queue '{name}' by an endpoint with one seat: attach with AttachOptions::max_unacked"
            )
        } else {
            return Ok(());
        };
        Err(Error::other(ErrorKind::InvalidOption, name, text))
    }

    fn loans(&mut self) -> &Arc<Loans> {
        // There are never more out than the queue has seats, whatever was asked for.
        let most = self.hands.min(self.control.segment.geometry.seats);
        self.loans
            .get_or_insert_with(|| Arc::new(Loans::new(self.control.share(), most)))
    }

    /// Returns how many deliveries have left the endpoint and have not ended.
    pub(super) fn lent_out(&self) -> u32 {
        self.loans.as_ref().map_or(0, |loans| loans.desk().out)
    }

    /// Takes the seats that have come back into use again. Returns how many are still out.
    fn reclaim(&mut self) -> u32 {
        let Some(loans) = &self.loans else {
            return 0;
        };
        let mut desk = loans.desk();
        if self.seat.is_gone() {
            if let Some(seat) = desk.seats.pop() {
                self.seat = seat;
            }
        }
        self.spare.append(&mut desk.seats);
        desk.out
    }

    /// Makes sure that the endpoint has a seat that exchanges: its last one may have left with an
    /// owned delivery. Returns false if none has come back and no other is free. A take takes the
    /// seat of an orphan too, and delivers that: it may be the endpoint's own, given back.
    pub(super) fn has_seat(&mut self, what: For) -> bool {
        if self.seat.is_gone() {
            self.reclaim();
        }
        if self.seat.is_gone() {
            let orphan = what == For::Items
                && self.control.ring.at_least_once
                && self.control.state() != State::Stopped;
            match self.spare.pop().or_else(|| self.lock_seat(orphan)) {
                Some(seat) => (self.kept, self.seat) = (seat.hold, seat),
                None => return false,
            }
        }
        true
    }

    /// The error of an endpoint whose last seat is out.
    pub(super) fn no_seat(&self) -> Error {
        Error::from(OpenError::NoSeat {
            queue: self.control.shared_name(),
            seats: self.control.segment.geometry.seats,
            wanted: 1,
        })
    }

    /// Returns whether one more item can leave with a seat of its own.
    fn can_lend(&mut self) -> bool {
        self.reclaim() < self.hands && self.has_seat(For::Items)
    }

    /// Waits until one more item can leave with a seat of its own. Returns until when the item may
    /// be waited for.
    fn wait_for_seat(&mut self, until: Until) -> Result<Until, GetError> {
        if self.can_lend() {
            return Ok(until);
        }
        let until = until.fixed();
        loop {
            if self.control.state() == State::Stopped {
                return Err(GetError::Stopped);
            }
            let left = until.left();
            if left.is_zero() {
                return Err(match until {
                    Until::Now => GetError::Empty,
                    _ => GetError::TimedOut,
                });
            }
            if self.control.is_cancelled() {
                return Err(GetError::Cancelled);
            }
            let loans = self.loans().clone();
            let changed = &self.control.words().changed.0;
            let mut words = vec![
                Asleep::shared(&loans.returned, register(&loans.returned)),
                Asleep::shared(changed, register(changed)),
            ];
            words.extend(self.control.cancel.as_ref().map(CancelToken::asleep));
            let stopped = self.control.state() == State::Stopped;
            fence(Ordering::SeqCst); // see `Loans::end`
            if !stopped && !self.loans_ended(&loans) {
                Kernel.wait_any(&words, left);
            }
            if self.can_lend() {
                return Ok(until);
            }
            self.control.is_there()?;
        }
    }

    /// Returns whether one more item could leave, as far as the desk knows.
    fn loans_ended(&self, loans: &Loans) -> bool {
        let desk = loans.desk();
        desk.out < self.hands && (!self.seat.is_gone() || !desk.seats.is_empty())
    }

    /// Lets the item in hand go with its seat.
    fn lend<T: Payload + ?Sized>(&mut self) -> OwnedDelivery<T> {
        let id = self.id_in_hand(self.shown.first);
        let (seat, adopted) = match self.adopted.take() {
            Some(seat) => (seat, !self.adopted_is_own),
            None => {
                self.refill();
                let next = self.spare.pop();
                let next = next.unwrap_or_else(|| Seat::gone(self.seat.index));
                (std::mem::replace(&mut self.seat, next), false)
            }
        };
        let loans = self.loans().clone();
        loans.desk().out += 1;
        OwnedDelivery {
            loans,
            seat,
            adopted,
            shown: self.shown,
            id,
            _item: PhantomData,
        }
    }

    /// Notes that no seat can come back to this endpoint any more. Returns those that have.
    pub(super) fn close_loans(&mut self) -> Vec<Seat> {
        let Some(loans) = self.loans.take() else {
            return vec![];
        };
        let mut desk = loans.desk();
        desk.closed = true;
        std::mem::take(&mut desk.seats)
    }
}

impl<T: Payload + ?Sized> OwnedDelivery<T> {
    /// Acknowledges the item. The work on it is done, and no consumer gets it again. It cannot
    /// fail.
    ///
    /// ```
    /// # use prodcon::{AttachOptions, QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// # let options = QueueOptions::new(16).attach(AttachOptions::new().max_unacked(2));
    /// let mut jobs = ReadyQueue::<u64>::create(&name, &options)?;
    /// jobs.put_slice(&[1, 2])?;
    /// let (first, second) = (jobs.take_owned()?, jobs.take_owned()?);
    /// second.ack();
    /// first.ack();
    /// assert_eq!(jobs.control().stats()?.gets, 2);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn ack(mut self) {
        self.end(End::Acknowledged);
    }

    /// Gives the item back, for another consumer or for the endpoint's next take.
    ///
    /// # Errors
    /// Returns `AtMostOnce` if the queue takes nothing back: the item was counted as lost. Returns
    /// `Forked` in a forked child.
    ///
    /// ```
    /// # use prodcon::{AttachOptions, QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// # let attach = AttachOptions::new().max_unacked(2);
    /// # let options = QueueOptions::new(16).at_least_once(true).attach(attach);
    /// let mut jobs = ReadyQueue::<u64>::create(&name, &options)?;
    /// jobs.put(&1)?;
    /// jobs.take_owned()?.nack()?;
    /// assert_eq!(*jobs.take_owned()?, 1);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn nack(mut self) -> Result<()> {
        let control = &self.loans.control;
        control.readable()?;
        if control.ring.at_least_once {
            self.end(End::GivenBack);
            return Ok(());
        }
        let queue = control.shared_name();
        self.end(End::Lost);
        Err(Fault::AtMostOnce { queue }.into())
    }

    /// Returns how often the item has been delivered, this time included; it stops at 256.
    ///
    /// ```
    /// # use prodcon::{AttachOptions, QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// # let options = QueueOptions::new(16).attach(AttachOptions::new().max_unacked(2));
    /// let mut jobs = ReadyQueue::<u64>::create(&name, &options)?;
    /// jobs.put(&1)?;
    /// assert_eq!(jobs.take_owned()?.delivery_count(), 1);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn delivery_count(&self) -> u32 {
        self.shown.deliveries
    }

    /// Returns what identifies the item: the same at each delivery.
    ///
    /// ```
    /// # use prodcon::{AttachOptions, QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// # let options = QueueOptions::new(16).attach(AttachOptions::new().max_unacked(2));
    /// let mut jobs = ReadyQueue::<u64>::create(&name, &options)?;
    /// jobs.put(&1)?;
    /// assert_eq!(jobs.take_owned()?.id().sequence, 0);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn id(&self) -> ItemId {
        self.id
    }

    pub(super) fn control(&self) -> &Control {
        &self.loans.control
    }

    fn bytes(&self) -> &[u8] {
        let control = &self.loans.control;
        if control.forked() {
            control.panic_forked();
        }
        // SAFETY: the seat owns the block it holds until the loan ends, which needs `self`;
        // `payload` checks the length.
        let bytes = unsafe {
            control
                .ring
                .memory
                .payload(self.shown.block, 0, self.shown.len)
        };
        // SAFETY: the pointer is to mapped bytes (see `payload`; `loans` keeps the mapping, and
        // this is no forked child). By the permutation of blocks nobody else has this block, and
        // while the seat is out this process only reads it, here.
        unsafe { &*bytes }
    }

    fn end(&mut self, end: End) {
        let control = &self.loans.control;
        if self.seat.is_gone() || control.forked() {
            return;
        }
        let gone = Seat::gone(self.seat.index);
        let mut seat = std::mem::replace(&mut self.seat, gone);
        match end {
            End::Acknowledged => seat.acknowledge_one(&control.ring.memory),
            End::Lost => seat.settle(&control.ring.memory, Event::Lost),
            End::GivenBack => {}
        }
        self.loans.end(seat, !self.adopted && end != End::GivenBack);
    }
}

impl<T: Item> OwnedDelivery<T> {
    /// Copies the item into a box of its own, never by way of the stack, and acknowledges it.
    ///
    /// ```
    /// # use prodcon::{AttachOptions, QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// # let options = QueueOptions::new(2).attach(AttachOptions::new().max_unacked(2));
    /// let mut frames = ReadyQueue::<[u32; 1 << 18]>::create(&name, &options)?;
    /// frames.reserve()?.commit()?; // a frame of 1 MiB, as the memory was
    /// let frame: Box<[u32; 1 << 18]> = frames.take_owned()?.into_box();
    /// assert_eq!(frame[0], 0);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn into_box(self) -> Box<T> {
        let mut copy = bytemuck::zeroed_box::<T>();
        self.copy_into(&mut copy);
        copy
    }

    /// Copies the item to `place` and acknowledges it.
    ///
    /// ```
    /// # use prodcon::{AttachOptions, QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// # let options = QueueOptions::new(4).attach(AttachOptions::new().max_unacked(2));
    /// let mut frames = ReadyQueue::<[u8; 4096]>::create(&name, &options)?;
    /// frames.put(&[7; 4096])?;
    /// let mut frame = [0; 4096];
    /// frames.take_owned()?.copy_into(&mut frame);
    /// assert_eq!(frame[4095], 7);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn copy_into(self, place: &mut T) {
        bytemuck::bytes_of_mut(place).copy_from_slice(self.bytes());
        self.ack();
    }
}

impl<T: Payload + ?Sized> Deref for OwnedDelivery<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        T::view(self.bytes()).expect("length and alignment were checked when the item was taken")
    }
}

impl<T: Payload + ?Sized> fmt::Debug for OwnedDelivery<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedDelivery")
            .field("queue", &self.loans.control.name())
            .field("bytes", &self.shown.len)
            .field("delivery_count", &self.delivery_count())
            .finish_non_exhaustive()
    }
}

impl<T: Payload + ?Sized> Drop for OwnedDelivery<T> {
    fn drop(&mut self) {
        let end = if self.loans.control.ring.at_least_once {
            End::GivenBack
        } else {
            End::Acknowledged
        };
        self.end(end);
    }
}
