//! `ReadyQueue<T>`: the ring, a segment, leases and waiting put together.
//!
//! Owns the endpoint: one seat (for a moment a second one, with an adopted item), its cursors, its way of waiting. Invariants: an endpoint is used by one thread at a time
//! (`Send`, not `Sync`); a seat with an item in hand never exchanges; a forked copy touches nothing. Callers: everybody.

mod control;
mod guard;
mod item;
mod memory;
mod options;
mod stats;
mod wait;

pub use control::Control;
pub use guard::{Reserved, Taken, Uncommitted};
pub use item::{Item, Payload};
pub use options::{Delivery, Options, State};
pub use stats::{Member, Recovered, Report, Stats};

use crate::error::{Fault, GetError, OpenError, PartialPut, PutError, StateError};
use crate::ring::seat::{Event, Seat};
use crate::ring::{Cursors, Memory, Recovered as Pass, Refusal, Ring};
use crate::segment::{Entry, Place, Segment, directory, list as list_segments, unlink as unlink_segment};
use crate::sync::event::wake_one;
use crate::sync::futex::Kernel;
use memory::Leases;
use std::cell::Cell;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use wait::{For, GaveUp, Until};

/// Removes a queue's name. Who is attached keeps the memory.
///
/// # Errors
/// No such queue, no permission.
pub fn unlink(name: &str) -> Result<(), OpenError> {
    unlink_segment(&Place::new(None, name)?)
}

/// As [`unlink`], in another directory.
///
/// # Errors
/// As `unlink`.
pub fn unlink_in(dir: &Path, name: &str) -> Result<(), OpenError> {
    unlink_segment(&Place::new(Some(dir), name)?)
}

/// The segments in `PRODCON_DIR` or `/dev/shm`, by name.
///
/// # Errors
/// The directory cannot be read.
pub fn list() -> Result<Vec<Entry>, OpenError> {
    list_segments(&directory())
}

/// The segments in a directory, by name.
///
/// # Errors
/// The directory cannot be read.
pub fn list_in(dir: &Path) -> Result<Vec<Entry>, OpenError> {
    list_segments(dir)
}

/// An endpoint of a named queue. Takes a seat; dropping it gives the seat back at once.
#[derive(Debug)]
pub struct ReadyQueue<T: Payload + ?Sized> {
    control: Control,
    seat: Seat,
    /// A second seat, held while an item of a dead consumer is in hand.
    adopted: Option<Seat>,
    cursors: Cursors,
    /// The `orphans` word when a whole pass last found none.
    orphans: Option<u64>,
    /// Successes since the last empty or full.
    burst: u32,
    spin: Duration,
    last_care: Instant,
    idle: u32,
    _one_thread: PhantomData<Cell<()>>,
    _items: PhantomData<fn() -> Box<T>>,
}

/// An item in hand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InHand {
    block: u32,
    len: usize,
    deliveries: u32,
}

impl<T: Payload + ?Sized> ReadyQueue<T> {
    /// Creates a queue and attaches to it.
    ///
    /// # Errors
    /// The name is taken or bad, the numbers are out of range, no permission, no space.
    pub fn create(name: &str, options: &Options) -> Result<Self, OpenError> {
        Self::enter(
            Control::over(Segment::create(options.place(name)?, &options.spec(name, T::plain())?)?),
            options.spin,
        )
    }

    /// Attaches to a queue by name.
    ///
    /// # Errors
    /// No such queue, it is of another type, no seat is free, no permission, or the file is no segment.
    pub fn attach(name: &str) -> Result<Self, OpenError> {
        Self::join(Place::new(None, name)?, options::SPIN)
    }

    /// As [`attach`](Self::attach), in another directory.
    ///
    /// # Errors
    /// As `attach`.
    pub fn attach_in(dir: &Path, name: &str) -> Result<Self, OpenError> {
        Self::join(Place::new(Some(dir), name)?, options::SPIN)
    }

    /// Attaches to the queue if it is there, else creates it.
    ///
    /// # Errors
    /// As [`attach`](Self::attach) and [`create`](Self::create).
    pub fn create_or_attach(name: &str, options: &Options) -> Result<Self, OpenError> {
        loop {
            match Self::join(options.place(name)?, options.spin) {
                Err(OpenError::NotFound { .. }) => {}
                other => return other,
            }
            match Self::create(name, options) {
                Err(OpenError::Exists { .. }) => {}
                other => return other,
            }
        }
    }

    /// Another endpoint of the same queue, with a seat of its own.
    ///
    /// # Errors
    /// As [`attach`](Self::attach); the name may have been removed.
    pub fn try_clone(&self) -> Result<Self, OpenError> {
        Self::join(self.control.segment.place.clone(), self.spin)
    }

    fn join(place: Place, spin: Duration) -> Result<Self, OpenError> {
        let segment = Segment::attach(place)?;
        let header = &segment.header;
        let differs = |what, expected: String, found: String| {
            Err(OpenError::Incompatible {
                queue: segment.place.name.clone(),
                what,
                expected,
                found,
            })
        };
        if let Some((name, size, align)) = T::plain() {
            let typed = !header.type_name.is_empty();
            if typed && header.type_name != name {
                return differs("item type", name, header.type_name.clone());
            }
            if (typed && header.item_size != size as u64) || header.item_size < size as u64 {
                return differs("item size", size.to_string(), header.item_size.to_string());
            }
            if !segment.geometry.payload_offset.is_multiple_of(align as u64)
                || !segment.geometry.block_size.is_multiple_of(align as u64)
                || !segment.geometry.blocks_offset.is_multiple_of(align as u64)
            {
                return differs("item alignment", align.to_string(), header.item_align.to_string());
            }
        }
        Self::enter(Control::over(segment), spin)
    }

    /// Takes a seat; tries for some milliseconds, because a recoverer may hold a lock for a moment.
    fn enter(control: Control, spin: Duration) -> Result<Self, OpenError> {
        let (queue, seats) = (control.shared_name(), control.segment.geometry.seats);
        let began = Instant::now();
        loop {
            let mut pass = Pass::default();
            let taken = control.ring.attach(&mut Leases(&control.segment.lease), |_| false, true, &mut pass);
            for _ in 0..pass.announced {
                wake_one(&control.words().items.0, &Kernel);
            }
            match taken {
                Ok(Some(seat)) if control.is_removed() => {
                    // Removed between our open and our lock: the name, if it is there, is another queue's.
                    control.ring.leave(&mut Leases(&control.segment.lease), seat);
                    return Self::join(control.segment.place.clone(), spin);
                }
                Ok(Some(seat)) => {
                    let line = control.segment.seat(seat.index);
                    line.pid.store(std::process::id(), Ordering::Relaxed); // Relaxed: for people
                    line.role.store(3, Ordering::Relaxed);
                    line.asleep.store(0, Ordering::Relaxed);
                    let (cursors, last_care) = (Cursors::default(), Instant::now());
                    return Ok(Self {
                        control,
                        seat,
                        adopted: None,
                        cursors,
                        orphans: None,
                        burst: 0,
                        spin,
                        last_care,
                        idle: 0,
                        _one_thread: PhantomData,
                        _items: PhantomData,
                    });
                }
                Ok(None) if began.elapsed() > Duration::from_millis(20) => return Err(OpenError::NoSeat { queue, seats }),
                Ok(None) => std::thread::sleep(Duration::from_millis(1)),
                Err(Refusal::Corrupt(what)) => return Err(OpenError::Corrupt { queue, what: what.into() }),
                Err(_) => {
                    return Err(OpenError::Corrupt {
                        queue,
                        what: "a seat answers nonsense".into(),
                    });
                }
            }
        }
    }

    // ---------------------------------------------------------------- put

    /// Puts an item if there is space now (a lossy queue makes space).
    ///
    /// # Errors
    /// [`PutError::Full`], `NotReady`, `Stopped`, `TooLarge`, `WrongLength`, `InHand`, or a [`Fault`]. The item stays the caller's.
    pub fn try_put(&mut self, item: &T) -> Result<(), PutError> {
        self.put_until(item, Until::Now)
    }

    /// Puts an item; waits while the queue is full, unless it is lossy.
    ///
    /// # Errors
    /// As [`try_put`](Self::try_put), never `Full`.
    pub fn put(&mut self, item: &T) -> Result<(), PutError> {
        self.put_until(item, Until::Forever)
    }

    /// Puts an item; waits for space at most so long.
    ///
    /// # Errors
    /// As [`try_put`](Self::try_put), with `TimedOut` for `Full`.
    pub fn put_timeout(&mut self, item: &T, timeout: Duration) -> Result<(), PutError> {
        self.put_until(item, Until::after(timeout))
    }

    /// Puts items in order, waiting for space. Returns how many.
    ///
    /// # Errors
    /// How many were put, and why the next was not.
    pub fn put_many<'a>(&mut self, items: impl IntoIterator<Item = &'a T>) -> Result<usize, PartialPut>
    where
        T: 'a,
    {
        self.put_many_until(items, Until::Forever)
    }

    /// As [`put_many`](Self::put_many), without waiting.
    ///
    /// # Errors
    /// As `put_many`.
    pub fn try_put_many<'a>(&mut self, items: impl IntoIterator<Item = &'a T>) -> Result<usize, PartialPut>
    where
        T: 'a,
    {
        self.put_many_until(items, Until::Now)
    }

    /// As [`put_many`](Self::put_many), waiting at most so long in all.
    ///
    /// # Errors
    /// As `put_many`.
    pub fn put_many_timeout<'a>(&mut self, items: impl IntoIterator<Item = &'a T>, timeout: Duration) -> Result<usize, PartialPut>
    where
        T: 'a,
    {
        self.put_many_until(items, Until::after(timeout))
    }

    fn put_many_until<'a>(&mut self, items: impl IntoIterator<Item = &'a T>, until: Until) -> Result<usize, PartialPut>
    where
        T: 'a,
    {
        let mut put = 0;
        for item in items {
            self.put_until(item, until).map_err(|error| PartialPut { put, error })?;
            put += 1;
        }
        Ok(put)
    }

    #[inline]
    fn put_until(&mut self, item: &T, until: Until) -> Result<(), PutError> {
        let bytes = item.bytes();
        self.may_fill(bytes.len())?;
        self.own_bytes_mut(bytes.len()).copy_from_slice(bytes);
        self.put_own_block(bytes.len(), until)
    }

    /// The own block may be written: an item of this length fits, and none is in hand.
    #[inline]
    fn may_fill(&mut self, len: usize) -> Result<(), PutError> {
        self.control.readable()?;
        let (queue, max) = (|| self.control.shared_name(), self.control.item_size());
        if len > max {
            return Err(PutError::TooLarge { queue: queue(), len, max });
        }
        if len != max && !self.control.segment.header.type_name.is_empty() {
            return Err(PutError::WrongLength {
                queue: queue(),
                len,
                expected: max,
            });
        }
        if self.seat.hold && self.control.ring.at_least_once {
            return Err(PutError::InHand { queue: queue() });
        }
        self.settle_forgotten();
        Ok(())
    }

    fn put_own_block(&mut self, len: usize, until: Until) -> Result<(), PutError> {
        self.control.readable()?;
        if let Some(done) = self.attempt_put(len)? {
            return Ok(done);
        }
        if let Until::Now = until {
            return Err(PutError::Full);
        }
        match self.wait_for(For::Space, until, |queue| queue.attempt_put(len)) {
            Ok(()) => Ok(()),
            Err(GaveUp::TimedOut) => Err(PutError::TimedOut),
            Err(GaveUp::Failed(error)) => Err(error),
        }
    }

    #[inline]
    fn attempt_put(&mut self, len: usize) -> Result<Option<()>, PutError> {
        if self.control.state() != State::Started {
            return Err(PutError::Stopped);
        }
        let lossy = self.control.segment.header.lossy;
        match self.control.ring.put(&mut self.cursors, &mut self.seat, len as u64, lossy) {
            Ok(()) => {
                wake_one(&self.control.words().items.0, &Kernel);
                self.burst = self.burst.saturating_add(1);
                Ok(Some(()))
            }
            Err(Refusal::Full) => Ok(None),
            Err(Refusal::NotReady) => Err(PutError::NotReady),
            Err(other) => Err(self.control.fault(other).into()),
        }
    }

    // ---------------------------------------------------------------- get

    /// Gets the oldest item if there is one now.
    ///
    /// # Errors
    /// [`GetError::Empty`], `Stopped`, `WrongLength`, or a [`Fault`].
    pub fn try_get(&mut self) -> Result<T::Owned, GetError> {
        self.get_until(Until::Now)
    }

    /// Gets the oldest item; waits while there is none, or the queue is not ready.
    ///
    /// # Errors
    /// As [`try_get`](Self::try_get), never `Empty`.
    pub fn get(&mut self) -> Result<T::Owned, GetError> {
        self.get_until(Until::Forever)
    }

    /// Gets the oldest item; waits at most so long.
    ///
    /// # Errors
    /// As [`try_get`](Self::try_get), with `TimedOut` for `Empty`.
    pub fn get_timeout(&mut self, timeout: Duration) -> Result<T::Owned, GetError> {
        self.get_until(Until::after(timeout))
    }

    /// Waits for an item and gets what is there, at most `max`.
    ///
    /// # Errors
    /// As [`get`](Self::get), if there is not even one.
    pub fn get_many(&mut self, max: usize) -> Result<Vec<T::Owned>, GetError> {
        self.get_many_until(max, Until::Forever)
    }

    /// As [`get_many`](Self::get_many), without waiting.
    ///
    /// # Errors
    /// As [`try_get`](Self::try_get).
    pub fn try_get_many(&mut self, max: usize) -> Result<Vec<T::Owned>, GetError> {
        self.get_many_until(max, Until::Now)
    }

    /// As [`get_many`](Self::get_many), waiting for the first at most so long.
    ///
    /// # Errors
    /// As [`get_timeout`](Self::get_timeout).
    pub fn get_many_timeout(&mut self, max: usize, timeout: Duration) -> Result<Vec<T::Owned>, GetError> {
        self.get_many_until(max, Until::after(timeout))
    }

    fn get_many_until(&mut self, max: usize, until: Until) -> Result<Vec<T::Owned>, GetError> {
        let mut items = vec![];
        while items.len() < max {
            match self.get_until(if items.is_empty() { until } else { Until::Now }) {
                Ok(item) => items.push(item),
                Err(error) if items.is_empty() => return Err(error),
                Err(_) => break, // it will be told again by the next call
            }
        }
        Ok(items)
    }

    #[inline]
    fn get_until(&mut self, until: Until) -> Result<T::Owned, GetError> {
        self.take_until(until).map(|taken| Payload::to_owned(&*taken))
    }

    /// Takes the oldest item in place, if there is one now.
    ///
    /// # Errors
    /// As [`try_get`](Self::try_get).
    pub fn try_take(&mut self) -> Result<Taken<'_, T>, GetError> {
        self.take_until(Until::Now)
    }

    /// Takes the oldest item in place; waits while there is none.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn take(&mut self) -> Result<Taken<'_, T>, GetError> {
        self.take_until(Until::Forever)
    }

    /// Takes the oldest item in place; waits at most so long.
    ///
    /// # Errors
    /// As [`get_timeout`](Self::get_timeout).
    pub fn take_timeout(&mut self, timeout: Duration) -> Result<Taken<'_, T>, GetError> {
        self.take_until(Until::after(timeout))
    }

    #[inline]
    fn take_until(&mut self, until: Until) -> Result<Taken<'_, T>, GetError> {
        let hand = match self.attempt_get()? {
            Some(hand) => hand,
            None if matches!(until, Until::Now) => {
                self.idle = self.idle.wrapping_add(1);
                if self.idle.is_multiple_of(64) {
                    self.look_after_the_dead()?;
                }
                return Err(GetError::Empty);
            }
            None => match self.wait_for(For::Items, until, Self::attempt_get) {
                Ok(hand) => hand,
                Err(GaveUp::TimedOut) => return Err(GetError::TimedOut),
                Err(GaveUp::Failed(error)) => return Err(error),
            },
        };
        Ok(Taken { queue: self, hand })
    }

    #[inline]
    fn attempt_get(&mut self) -> Result<Option<InHand>, GetError> {
        self.control.readable()?;
        let state = self.control.state();
        if state == State::Stopped {
            return Err(GetError::Stopped);
        }
        self.settle_forgotten();
        if self.control.ring.at_least_once
            && let Some(hand) = self.deliver_left_over()?
        {
            return Ok(Some(hand));
        }
        let took = self.control.ring.take(&mut self.cursors, &mut self.seat);
        for _ in 0..std::mem::take(&mut self.cursors.discarded) {
            wake_one(&self.control.words().space.0, &Kernel);
        }
        match took {
            Ok(took) => {
                wake_one(&self.control.words().space.0, &Kernel);
                self.burst = self.burst.saturating_add(1);
                self.in_hand(self.seat.block, self.control.ring.memory.length(self.seat.block, took.word), 0)
                    .map(Some)
            }
            Err(Refusal::Empty) if state == State::StopAtQueueEnd && !self.others_hold() => Err(GetError::Stopped),
            Err(Refusal::Empty) => Ok(None),
            Err(other) => Err(self.control.fault(other).into()),
        }
    }

    /// At-least-once: an item this endpoint kept, or one that its consumer left behind.
    fn deliver_left_over(&mut self) -> Result<Option<InHand>, GetError> {
        let ring = &self.control.ring;
        let words = self.control.words();
        if self.seat.hold
            && let Some(word) = ring.deliver_again(&mut self.seat)
        {
            return self
                .in_hand(self.seat.block, ring.memory.length(self.seat.block, word), word.deliveries())
                .map(Some);
        }
        loop {
            let orphans = ring.memory.orphans().load(Ordering::SeqCst);
            if self.orphans == Some(orphans) {
                return Ok(None);
            }
            let mut pass = Pass::default();
            let own = self.seat.index;
            let mut leases = Leases(&self.control.segment.lease);
            let adopted = ring.adopt(&mut leases, |index| index == own, &mut pass);
            for _ in 0..pass.announced {
                wake_one(&words.items.0, &Kernel);
            }
            let Some(mut seat) = adopted else {
                self.orphans = Some(orphans);
                return Ok(None);
            };
            match ring.deliver_again(&mut seat) {
                Some(word) => {
                    let (block, len) = (seat.block, ring.memory.length(seat.block, word));
                    self.adopted = Some(seat);
                    return self.in_hand(block, len, word.deliveries()).map(Some);
                }
                None => drop(ring.leave(&mut leases, seat)),
            }
        }
    }

    fn in_hand(&self, block: u32, len: u64, again: u8) -> Result<InHand, GetError> {
        let queue = || self.control.shared_name();
        if len > self.control.item_size() as u64 {
            return Err(Fault::Corrupt {
                queue: queue(),
                what: format!("an item says it has {len} bytes"),
            }
            .into());
        }
        let len = len as usize;
        match T::plain() {
            Some((_, expected, _)) if len != expected => Err(GetError::WrongLength { queue: queue(), len, expected }),
            _ => Ok(InHand {
                block,
                len,
                deliveries: u32::from(again) + 1,
            }),
        }
    }

    /// Somebody else has an item in hand that may come back (at-least-once).
    fn others_hold(&self) -> bool {
        let own = self.seat.index;
        self.control.ring.at_least_once && self.control.ring.needs_care(|index| index == own)
    }

    /// The item in hand is done with.
    fn acknowledge(&mut self) {
        if self.control.segment.lease.forked() {
            return;
        }
        match self.adopted.take() {
            Some(mut seat) => {
                seat.settle(&self.control.ring.memory, Event::Got);
                self.release(seat);
            }
            None if self.seat.hold => self.seat.settle(&self.control.ring.memory, Event::Got),
            None => {}
        }
    }

    /// Acknowledges an item that a get refused with [`GetError::WrongLength`]. False: none was in hand.
    pub fn discard(&mut self) -> bool {
        let held = self.adopted.is_some() || self.seat.hold;
        self.acknowledge();
        held
    }

    /// The item in hand goes to somebody else.
    fn give_back(&mut self) -> Result<(), Fault> {
        self.control.readable()?;
        if !self.control.ring.at_least_once {
            self.settle_forgotten();
            return Err(Fault::Corrupt {
                queue: self.control.shared_name(),
                what: "an at-most-once queue takes nothing back; the item was counted as lost".into(),
            });
        }
        if let Some(seat) = self.adopted.take() {
            self.release(seat);
            return Ok(());
        }
        // First a refuge, then leave the seat to its item.
        let own = self.seat.index;
        let mut pass = Pass::default();
        let refuge = self
            .control
            .ring
            .attach(&mut Leases(&self.control.segment.lease), |index| index == own, false, &mut pass);
        for _ in 0..pass.announced {
            wake_one(&self.control.words().items.0, &Kernel);
        }
        if let Ok(Some(seat)) = refuge {
            let line = self.control.segment.seat(seat.index);
            line.pid.store(std::process::id(), Ordering::Relaxed); // Relaxed: for people
            line.role.store(3, Ordering::Relaxed);
            let old = std::mem::replace(&mut self.seat, seat);
            self.release(old);
        }
        Ok(())
    }

    /// A guard that was forgotten: lost under at-most-once, given back else.
    fn settle_forgotten(&mut self) {
        if let Some(seat) = self.adopted.take() {
            self.release(seat);
        }
        if self.seat.hold && !self.control.ring.at_least_once {
            self.seat.settle(&self.control.ring.memory, Event::Lost);
        }
    }

    /// Gives a seat up.
    fn release(&self, seat: Seat) {
        let line = self.control.segment.seat(seat.index);
        line.pid.store(0, Ordering::Relaxed); // Relaxed: for people
        line.role.store(0, Ordering::Relaxed);
        if self.control.ring.leave(&mut Leases(&self.control.segment.lease), seat) {
            wake_one(&self.control.words().items.0, &Kernel);
        }
    }

    // ---------------------------------------------------------------- the own block

    /// A guard made before a fork shows memory that the child does not have: better a clear end than a fault.
    fn assert_mapped(&self) {
        assert!(
            !self.control.segment.lease.forked(),
            "{}",
            Fault::Forked {
                queue: self.control.shared_name()
            }
        );
    }

    #[allow(unsafe_code)]
    fn own_bytes_mut(&mut self, len: usize) -> &mut [u8] {
        debug_assert!(!self.seat.hold);
        self.assert_mapped();
        // SAFETY: the seat owns the block it holds, len was checked by `may_fill`, and the slice borrows self exclusively.
        let bytes = unsafe { self.control.ring.memory.payload(self.seat.block, len) };
        // SAFETY: the pointer is to len mapped bytes (see `payload`); by the permutation of blocks nobody else has this block.
        unsafe { &mut *bytes }
    }

    #[allow(unsafe_code)]
    fn bytes_of(&self, block: u32, len: usize) -> &[u8] {
        self.assert_mapped();
        // SAFETY: callers pass the block of a seat that this endpoint holds, and a length that was checked; self is borrowed as long as the slice.
        let bytes = unsafe { self.control.ring.memory.payload(block, len) };
        // SAFETY: as in `own_bytes_mut`; only shared references to the block exist while self is borrowed shared.
        unsafe { &*bytes }
    }

    fn view(&self, hand: &InHand) -> &T {
        T::view(self.bytes_of(hand.block, hand.len)).expect("length and alignment were checked when the item was taken")
    }

    fn own_payload(&self, len: usize) -> &T {
        T::view(self.bytes_of(self.seat.block, len)).expect("length and alignment were checked when the block was reserved")
    }

    fn own_payload_mut(&mut self, len: usize) -> &mut T {
        T::view_mut(self.own_bytes_mut(len)).expect("length and alignment were checked when the block was reserved")
    }

    // ---------------------------------------------------------------- gate, state, figures

    /// The queue without the seat: a handle of its own.
    ///
    /// # Errors
    /// As [`Control::attach`].
    pub fn control(&self) -> Result<Control, OpenError> {
        Control::attach_in(&self.control.segment.place.dir, self.name())
    }

    /// The queue's name.
    pub fn name(&self) -> &str {
        self.control.name()
    }

    /// As [`Control::set_ready`].
    ///
    /// # Errors
    /// [`Fault`]
    pub fn set_ready(&self) -> Result<(), Fault> {
        self.control.set_ready()
    }

    /// Keeps producers out, makes every item void in one step, and drains them.
    ///
    /// # Errors
    /// [`Fault`]
    pub fn set_not_ready(&mut self) -> Result<(), Fault> {
        self.clear_by(Ring::set_not_ready)
    }

    /// Makes every item void in one step, and drains them.
    ///
    /// # Errors
    /// [`Fault`]
    pub fn clear(&mut self) -> Result<(), Fault> {
        self.clear_by(Ring::clear)
    }

    fn clear_by(&mut self, change: impl Fn(&Ring<memory::Mapped>) -> Result<u64, Refusal>) -> Result<(), Fault> {
        let epoch = self.control.gate(change)?;
        if self.seat.hold {
            return Ok(()); // a seat with an item in hand never exchanges
        }
        let drained = self.control.ring.drain(&mut self.cursors, &mut self.seat, epoch);
        for _ in 0..std::mem::take(&mut self.cursors.discarded) {
            wake_one(&self.control.words().space.0, &Kernel);
        }
        drained.map_err(|refusal| self.control.fault(refusal))
    }

    /// As [`Control::is_ready`].
    pub fn is_ready(&self) -> bool {
        self.control.is_ready()
    }

    /// As [`Control::wait_ready`].
    ///
    /// # Errors
    /// [`Fault`]
    pub fn wait_ready(&self, timeout: Option<Duration>) -> Result<bool, Fault> {
        self.control.wait_ready(timeout)
    }

    /// As [`Control::state`].
    pub fn state(&self) -> State {
        self.control.state()
    }

    /// As [`Control::set_state`].
    ///
    /// # Errors
    /// [`StateError`]
    pub fn set_state(&self, to: State) -> Result<(), StateError> {
        self.control.set_state(to)
    }

    /// As [`Control::wait_state`].
    ///
    /// # Errors
    /// [`Fault`]
    pub fn wait_state(&self, state: State, timeout: Option<Duration>) -> Result<bool, Fault> {
        self.control.wait_state(state, timeout)
    }

    /// As [`Control::len`].
    pub fn len(&self) -> usize {
        self.control.len()
    }

    /// As [`Control::is_empty`].
    pub fn is_empty(&self) -> bool {
        self.control.is_empty()
    }

    /// As [`Control::is_full`].
    pub fn is_full(&self) -> bool {
        self.control.is_full()
    }

    /// Items the queue can hold.
    pub fn capacity(&self) -> usize {
        self.control.capacity()
    }

    /// Longest item in bytes.
    pub fn item_size(&self) -> usize {
        self.control.item_size()
    }

    /// As [`Control::stats`].
    ///
    /// # Errors
    /// [`Fault::Forked`]
    pub fn stats(&self) -> Result<Stats, Fault> {
        self.control.stats_but_mine(Some(self.seat.index))
    }

    /// As [`Control::recover`].
    ///
    /// # Errors
    /// [`Fault`]
    pub fn recover(&mut self) -> Result<Recovered, Fault> {
        let (own, adopted) = (self.seat.index, self.adopted.as_ref().map(|seat| seat.index));
        self.control.recover_but(|index| index == own || Some(index) == adopted)
    }

    /// Items until end of stream.
    pub fn iter(&mut self) -> Iter<'_, T> {
        Iter { queue: self }
    }
}

impl ReadyQueue<[u8]> {
    /// A block for an item of `len` bytes, to be filled in place.
    ///
    /// # Errors
    /// As [`try_put`](Self::try_put), but for the state of the queue, which counts at the commit.
    pub fn reserve(&mut self, len: usize) -> Result<Reserved<'_, [u8]>, PutError> {
        self.may_fill(len)?;
        Ok(Reserved { queue: self, len })
    }
}

impl<T: Item> ReadyQueue<T> {
    /// A block for an item, to be filled in place.
    ///
    /// # Errors
    /// As [`try_put`](Self::try_put), but for the state of the queue, which counts at the commit.
    pub fn reserve_item(&mut self) -> Result<Reserved<'_, T>, PutError> {
        let len = size_of::<T>();
        self.may_fill(len)?;
        Ok(Reserved { queue: self, len })
    }
}

impl<T: Payload + ?Sized> Drop for ReadyQueue<T> {
    fn drop(&mut self) {
        if self.control.segment.lease.forked() {
            return;
        }
        if let Some(seat) = self.adopted.take() {
            self.release(seat);
        }
        let index = self.seat.index;
        let seat = std::mem::replace(&mut self.seat, Seat::gone(index));
        self.release(seat);
        // A wake-up that was meant for us goes to the next.
        wake_one(&self.control.words().items.0, &Kernel);
        wake_one(&self.control.words().space.0, &Kernel);
    }
}

/// Items of a queue until end of stream. Made by [`ReadyQueue::iter`].
#[derive(Debug)]
pub struct Iter<'a, T: Payload + ?Sized> {
    queue: &'a mut ReadyQueue<T>,
}

impl<T: Payload + ?Sized> Iterator for Iter<'_, T> {
    type Item = Result<T::Owned, GetError>;
    fn next(&mut self) -> Option<Self::Item> {
        match self.queue.get() {
            Err(GetError::Stopped) => None,
            other => Some(other),
        }
    }
}
