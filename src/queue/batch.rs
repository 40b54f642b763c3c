//! Several items in hand at once.
//!
//! Invariants: a `Batch` borrows its endpoint exclusively. Its items lie either in the one block of
//! the seat in hand (`lone`), or in blocks whose seats the endpoint has put aside, in this order.

use super::endpoint::Endpoint;
use super::held::HeldSpan;
use super::identity::ItemId;
use super::wait::{For, Until};
use super::{Item, Payload};
use crate::error::{GetError, Result};
use std::borrow::Borrow;
use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

/// Items in hand, in place, oldest first: what [`ReadyQueue::take_many`] returns and what a
/// consumer's `work` gets.
///
/// Call [`ack`](Self::ack) when the work is done. Dropped without it, the items that were not
/// acknowledged are given back (at-least-once) or count as got (at-most-once). If the process is
/// killed they are delivered again, or counted as lost.
///
/// ```
/// # use prodcon::{QueueOptions, ReadyQueue};
/// # let name = prodcon::bindings::TestName::new();
/// let options = QueueOptions::new(64).batch(256).at_least_once(true);
/// let mut samples = ReadyQueue::<f64>::create(&name, &options)?;
/// samples.put_slice(&[20.0, 21.0, 22.0])?;
/// let batch = samples.take_many(256)?;
/// let sum: f64 = batch.iter().sum();
/// batch.ack();
/// assert_eq!(sum, 63.0);
/// # Ok::<(), prodcon::Error>(())
/// ```
///
/// [`ReadyQueue::take_many`]: crate::ReadyQueue::take_many
#[must_use = "unacknowledged items go back to their queue when the batch is dropped (at-least-once): call ack() when the work is done"]
pub struct Batch<'q, T: Payload + ?Sized> {
    source: Source<'q, T>,
}

enum Source<'q, T: Payload + ?Sized> {
    InPlace(Held<'q>, PhantomData<&'q T>),
    /// Copies of items that were acknowledged when they were copied.
    Copied(&'q [T::Owned]),
}

/// Items of one block.
#[derive(Debug, Clone, Copy)]
struct Span {
    /// The first item shown, and the number of items shown.
    lot: HeldSpan,
    /// The position of the block's put.
    sequence: u64,
    /// The number of its first item in the batch, counting acknowledged items.
    start: usize,
}

struct Held<'q> {
    endpoint: &'q mut Endpoint,
    /// The size of the endpoint's type, in bytes.
    size: Option<usize>,
    /// The first span is apart from the others, so a batch of one block allocates nothing.
    first: Option<Span>,
    rest: VecDeque<Span>,
    /// The number of items acknowledged, and of items shown in all.
    done: usize,
    end: usize,
    /// The only block is in the seat in hand.
    lone: bool,
    /// All were acknowledged in place.
    settled: bool,
    /// The items were not shown to anybody yet.
    buffering: bool,
}

// SAFETY: what can be reached through `&Batch` only reads: private copies of what was taken (no
// interior mutability), the fork word (an atomic) and items, which nobody writes while they are in
// hand. The items themselves are Sync (`Payload` is sealed with that bound), and so are copies.
unsafe impl<T: Payload<Owned: Sync> + ?Sized> Sync for Batch<'_, T> {}

impl Endpoint {
    /// Takes up to `max` items; waits for the first.
    pub(super) fn take_many<T: Payload + ?Sized>(
        &mut self,
        max: usize,
        until: Until,
    ) -> Result<Batch<'_, T>, GetError> {
        self.take_many_to(max, until, false)
    }

    /// Takes one item to a buffer. Until [`Batch::show`] is called, what is in the buffer does not
    /// count as delivered, whatever happens to this process. An item that was delivered before is
    /// never added: [`Batch::take_more`] returns 0 if one comes next.
    pub(super) fn take_buffered<T: Payload + ?Sized>(
        &mut self,
        until: Until,
    ) -> Result<Batch<'_, T>, GetError> {
        self.take_many_to(1, until, true)
    }

    fn take_many_to<T: Payload + ?Sized>(
        &mut self,
        max: usize,
        until: Until,
        buffering: bool,
    ) -> Result<Batch<'_, T>, GetError> {
        self.control.readable()?;
        self.settle_forgotten();
        self.reserve_seats_for(max);
        if !self.has_seat(For::Items) {
            return Err(self.no_seat().into());
        }
        if buffering {
            self.buffer_what_comes();
        }
        let lone = self.spare.is_empty() && self.attach.max_unacked == 0;
        let mut held = Held {
            endpoint: self,
            size: T::SIZE,
            first: None,
            rest: VecDeque::new(),
            done: 0,
            end: 0,
            lone,
            settled: false,
            buffering,
        };
        if max > 0 {
            held.grow(max, until)?;
        }
        Ok(Batch {
            source: Source::InPlace(held, PhantomData),
        })
    }
}

impl Held<'_> {
    fn len(&self) -> usize {
        self.end - self.done
    }

    fn spans(&self) -> impl Iterator<Item = &Span> {
        self.first.iter().chain(&self.rest)
    }

    /// Returns the span of item `index`, and the item's place in it.
    fn find(&self, index: usize) -> Option<(&Span, u32)> {
        if index >= self.len() {
            return None;
        }
        let number = self.done + index;
        let later = self.rest.partition_point(|span| span.start <= number);
        let span = if later == 0 {
            self.first.as_ref()
        } else {
            self.rest.get(later - 1)
        }?;
        Some((span, (number - span.start) as u32))
    }

    fn bytes(&self, index: usize) -> Option<&[u8]> {
        let (span, place) = self.find(index)?;
        Some(self.endpoint.view_bytes(&span.lot, place))
    }

    fn push(&mut self, lot: HeldSpan, items: u32) {
        let span = Span {
            lot: HeldSpan { items, ..lot },
            sequence: self.endpoint.sequence_in_hand(),
            start: self.end,
        };
        self.end += items as usize;
        match self.first {
            None => self.first = Some(span),
            Some(_) => self.rest.push_back(span),
        }
    }

    /// Shows more of the last block.
    fn extend_last(&mut self, most: usize) {
        let Some(last) = self.rest.back().or(self.first.as_ref()).copied() else {
            return;
        };
        let more = if self.lone && self.endpoint.rest_is_void() {
            0
        } else if self.lone {
            let left = self.endpoint.shown.items - last.lot.items;
            left.min(u32::try_from(most).unwrap_or(u32::MAX))
        } else {
            self.endpoint.show_more(most)
        };
        self.end += more as usize;
        if let Some(last) = self.rest.back_mut().or(self.first.as_mut()) {
            last.lot.items += more;
        }
    }

    fn grow(&mut self, max: usize, until: Until) -> Result<usize, GetError> {
        let before = self.len();
        self.endpoint.control.readable()?;
        self.extend_last(max - before);
        if self.lone {
            if self.len() == 0 {
                self.endpoint.take_next(self.size, until)?;
                let lot = self.endpoint.shown;
                self.push(lot, (lot.items as usize).min(max) as u32);
            }
            self.endpoint.lent = self.len() as u32;
            return Ok(self.len() - before);
        }
        while self.len() < max && self.endpoint.can_set_aside() {
            self.endpoint.growing = true; // what is put aside is in hand, not forgotten
            self.endpoint.buffering = self.buffering;
            let until = if self.len() == before {
                until
            } else {
                Until::Now
            };
            let taken = self.endpoint.take_next(self.size, until);
            (self.endpoint.growing, self.endpoint.buffering) = (false, false);
            let awaited = std::mem::take(&mut self.endpoint.awaited);
            let lot = match taken {
                Ok(()) => self.endpoint.shown,
                Err(GetError::TimedOut) if awaited => break,
                Err(error) if self.len() == before => return Err(error),
                Err(_) => {
                    // Told again by the next call; an item of a wrong length stays in hand until
                    // then.
                    (self.endpoint.lent, self.endpoint.refused) = (0, false);
                    break;
                }
            };
            let shown = (lot.items as usize).min(max - self.len()) as u32;
            self.push(lot, shown);
            self.endpoint.set_aside(shown);
        }
        Ok(self.len() - before)
    }

    /// Stops showing the oldest `count` items.
    fn forget_first(&mut self, count: usize) {
        self.done += count;
        while let Some(first) = &mut self.first {
            let end = first.start + first.lot.items as usize;
            if self.done < end {
                let gone = (self.done - first.start) as u32;
                (first.lot.first, first.lot.items) =
                    (first.lot.first + gone, first.lot.items - gone);
                first.start = self.done;
                return;
            }
            self.first = self.rest.pop_front();
        }
    }

    fn ack_first(&mut self, count: usize) {
        let count = count.min(self.len());
        self.forget_first(count);
        if self.endpoint.control.forked() || count == 0 {
            return;
        }
        if self.lone {
            if !self.settled {
                self.endpoint.acknowledge(count as u32);
            } else if self.len() == 0 {
                self.endpoint.retire_acknowledged();
            }
            self.endpoint.lent = self.len() as u32;
            self.endpoint.shown.items -= count as u32;
            self.endpoint.shown.first += count as u32;
        } else {
            self.endpoint.acknowledge_shown(count);
        }
    }

    fn give_back(&mut self) -> Result<()> {
        self.endpoint.control.readable()?;
        let any = self.len() > 0;
        self.forget_first(self.len());
        if self.lone {
            if self.settled {
                self.endpoint.lent = 0;
                self.endpoint.retire_acknowledged();
            } else if any {
                self.endpoint.give_back()?;
            }
            return Ok(());
        }
        self.endpoint.give_all_back();
        if any && !self.settled && !self.endpoint.control.ring.at_least_once {
            return Err(self.endpoint.nothing_given_back().into());
        }
        Ok(())
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if self.endpoint.control.ring.at_least_once && !self.settled {
            // In a forked child this is an error, and nothing happens.
            let _ = self.give_back();
        } else {
            self.ack_first(usize::MAX);
        }
    }
}

impl<'q, T: Payload + ?Sized> Batch<'q, T> {
    pub(crate) fn copied(items: &'q [T::Owned]) -> Self {
        Self {
            source: Source::Copied(items),
        }
    }

    /// The endpoint in which the items are; `None` if they were copied.
    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        match &self.source {
            Source::InPlace(held, _) => Some(held.endpoint),
            Source::Copied(_) => None,
        }
    }

    fn view(bytes: &[u8]) -> &T {
        T::view(bytes).expect("length and alignment were checked when the item was taken")
    }

    /// Returns how many items are in hand.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(8))?;
    /// queue.put_slice(&[1, 2, 3])?;
    /// assert_eq!(queue.take_many(2)?.len(), 2);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn len(&self) -> usize {
        match &self.source {
            Source::InPlace(held, _) => held.len(),
            Source::Copied(items) => items.len(),
        }
    }

    /// Returns whether no item is in hand, as after [`ack_first`](Self::ack_first) of all of them.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns item `index`, counted from the oldest.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut words = ReadyQueue::<[u8]>::create(&name, &QueueOptions::new(8).item_size(16))?;
    /// words.put(b"one")?;
    /// words.put(b"two")?;
    /// let batch = words.take_many(8)?;
    /// assert_eq!(batch.get(1), Some(&b"two"[..]));
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn get(&self, index: usize) -> Option<&T> {
        match &self.source {
            Source::InPlace(held, _) => held.bytes(index).map(Self::view),
            Source::Copied(items) => items.get(index).map(Borrow::borrow),
        }
    }

    /// Returns the items, oldest first.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(8))?;
    /// queue.put_slice(&[1, 2, 3])?;
    /// let batch = queue.take_many(8)?;
    /// assert_eq!(batch.iter().sum::<u64>(), 6);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn iter(&self) -> BatchIter<'_, T> {
        BatchIter {
            batch: self,
            next: 0,
        }
    }

    /// Returns how often item `index` has been delivered, this time included; it stops at 256. 0 if
    /// there is no such item.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(8))?;
    /// queue.put(&1)?;
    /// let batch = queue.take_many(8)?;
    /// assert_eq!((batch.delivery_count(0), batch.delivery_count(1)), (1, 0));
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn delivery_count(&self, index: usize) -> u32 {
        match &self.source {
            Source::InPlace(held, _) => held.find(index).map_or(0, |(span, _)| span.lot.deliveries),
            Source::Copied(items) => u32::from(index < items.len()),
        }
    }

    /// Returns what identifies item `index`. `None` if there is no such item, or if it was copied
    /// out of the queue (a worker's items, where there are fewer seats than its buffer has places).
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(8))?;
    /// queue.put_slice(&[1, 2])?;
    /// let batch = queue.take_many(8)?;
    /// assert_eq!(batch.id(1).map(|id| id.sequence), Some(1));
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn id(&self, index: usize) -> Option<ItemId> {
        let Source::InPlace(held, _) = &self.source else {
            return None;
        };
        let (span, place) = held.find(index)?;
        Some(ItemId {
            queue: held.endpoint.control.id(),
            sequence: span.sequence,
            index: span.lot.first + place,
        })
    }

    /// Takes more, until `max` items are in hand; waits until at least one more is, for at most
    /// `timeout`. `None` waits without a limit, and zero does not wait. Returns how many came. That
    /// is 0, without a wait, if no more can be in hand (see
    /// [`AttachOptions::max_unacked`](crate::AttachOptions::max_unacked)).
    ///
    /// # Errors
    /// Fails as [`ReadyQueue::take`](crate::ReadyQueue::take) does: with `Empty`, `TimedOut`,
    /// `Cancelled` or `Failed`. Returns `Stopped` at the end of the stream, although others still
    /// have items in hand. What is in hand stays there.
    ///
    /// ```
    /// # use prodcon::{AttachOptions, QueueOptions, ReadyQueue};
    /// # use std::time::Duration;
    /// # let name = prodcon::bindings::TestName::new();
    /// let attach = AttachOptions::new().max_unacked(8);
    /// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(8).attach(attach))?;
    /// let mut producer = ReadyQueue::<u64>::attach(&name)?;
    /// producer.put(&1)?;
    /// let mut batch = queue.take_many(8)?;
    /// producer.put(&2)?;
    /// assert_eq!(batch.take_more(8, Some(Duration::from_secs(1)))?, 1);
    /// assert_eq!(batch.iter().collect::<Vec<_>>(), [&1, &2]);
    /// batch.ack();
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn take_more(&mut self, max: usize, timeout: Option<Duration>) -> Result<usize, GetError> {
        match &mut self.source {
            Source::InPlace(held, _) if held.len() < max && !held.settled => {
                held.grow(max, timeout.map_or(Until::Forever, Until::within))
            }
            _ => Ok(0),
        }
    }

    /// Acknowledges all items.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(8).at_least_once(true))?;
    /// queue.put_slice(&[1, 2, 3])?;
    /// queue.take_many(8)?.ack();
    /// assert!(queue.is_empty());
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn ack(mut self) {
        self.ack_first(usize::MAX);
    }

    /// Acknowledges the `count` oldest items. They are no longer shown, and the others stay in
    /// hand.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(8).at_least_once(true))?;
    /// queue.put_slice(&[1, 2, 3])?;
    /// let mut batch = queue.take_many(8)?;
    /// batch.ack_first(2);
    /// assert_eq!(batch.get(0), Some(&3));
    /// drop(batch); // 3 goes back
    /// assert_eq!(queue.get()?, 3);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn ack_first(&mut self, count: usize) {
        if let Source::InPlace(held, _) = &mut self.source {
            held.ack_first(count);
        }
    }

    /// Gives all items back, for other consumers or for this endpoint's next take.
    ///
    /// # Errors
    /// Returns `AtMostOnce` if the queue takes nothing back: the items were counted as lost.
    /// Returns `Forked` in a forked child.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(8).at_least_once(true))?;
    /// queue.put_slice(&[1, 2])?;
    /// queue.take_many(8)?.nack()?;
    /// assert_eq!(queue.take()?.delivery_count(), 2);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn nack(mut self) -> Result<()> {
        match &mut self.source {
            Source::InPlace(held, _) => held.give_back(),
            Source::Copied(_) => Ok(()),
        }
    }

    /// Ends the filling of a buffer. From now on what is in hand counts as delivered.
    #[doc(hidden)]
    pub fn show(&mut self) {
        let Source::InPlace(held, _) = &mut self.source else {
            return;
        };
        if std::mem::take(&mut held.buffering) && !held.endpoint.control.forked() {
            held.endpoint.show_buffered();
        }
    }

    /// Acknowledges all items, and goes on showing them. For workers, and for the fuzzer.
    #[doc(hidden)]
    pub fn ack_in_place(&mut self) {
        let Source::InPlace(held, _) = &mut self.source else {
            return;
        };
        if held.endpoint.control.forked() || std::mem::replace(&mut held.settled, true) {
            return;
        }
        if held.lone {
            let items = held.len() as u32;
            held.endpoint.acknowledge_but_show(items);
        } else {
            held.endpoint.acknowledge_in_place();
        }
    }
}

impl<T: Item> Batch<'_, T> {
    /// Returns the items as slices, one for each block.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut queue = ReadyQueue::<f32>::create(&name, &QueueOptions::new(8).batch(4))?;
    /// queue.put_slice(&[1.0, 2.0, 3.0])?;
    /// let batch = queue.take_many(100)?;
    /// let sum: f32 = batch.slices().flatten().sum();
    /// assert_eq!(sum, 6.0);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn slices(&self) -> impl Iterator<Item = &[T]> {
        let (held, copied) = match &self.source {
            Source::InPlace(held, _) => (Some(held), None),
            Source::Copied(items) => (None, Some(*items)),
        };
        let blocks = held
            .into_iter()
            .flat_map(|held| held.spans().map(|span| held.slice(span)));
        blocks.chain(copied)
    }

    /// Returns the items as one slice, if they lie in one block.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut queue = ReadyQueue::<f32>::create(&name, &QueueOptions::new(8).batch(4))?;
    /// queue.put_slice(&[1.0, 2.0, 3.0])?;
    /// let batch = queue.take_many(100)?;
    /// assert_eq!(batch.as_slice(), Some(&[1.0, 2.0, 3.0][..]));
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn as_slice(&self) -> Option<&[T]> {
        let mut slices = self.slices();
        let first = slices.next().unwrap_or_default();
        slices.next().is_none().then_some(first)
    }
}

impl Held<'_> {
    fn slice<T: Item>(&self, span: &Span) -> &[T] {
        if span.lot.items == 1 {
            // This holds for a type without bytes too.
            return std::slice::from_ref(Batch::<T>::view(self.endpoint.view_bytes(&span.lot, 0)));
        }
        bytemuck::try_cast_slice(self.endpoint.view_all_bytes(&span.lot))
            .expect("length and alignment were checked when the block was taken")
    }
}

impl<T: Payload + ?Sized> fmt::Debug for Batch<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// The items of a [`Batch`].
#[derive(Debug)]
pub struct BatchIter<'a, T: Payload + ?Sized> {
    batch: &'a Batch<'a, T>,
    next: usize,
}

impl<'a, T: Payload + ?Sized> Iterator for BatchIter<'a, T> {
    type Item = &'a T;

    #[inline]
    fn next(&mut self) -> Option<&'a T> {
        let item = self.batch.get(self.next)?;
        self.next += 1;
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.batch.len() - self.next;
        (left, Some(left))
    }
}

impl<T: Payload + ?Sized> ExactSizeIterator for BatchIter<'_, T> {}

impl<'a, T: Payload + ?Sized> IntoIterator for &'a Batch<'_, T> {
    type Item = &'a T;
    type IntoIter = BatchIter<'a, T>;

    fn into_iter(self) -> BatchIter<'a, T> {
        self.iter()
    }
}
