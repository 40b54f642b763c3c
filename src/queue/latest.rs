//! Looking at items without taking them: the newest one, and the oldest one.
//!
//! Invariant: a look needs no seat and no permission to write, and changes nothing. `ring::observe`
//! says why what it copies is whole.

use super::control::Control;
use super::endpoint::fits;
use super::identity::ItemId;
use super::item::{Item, Payload, TOO_LARGE};
use super::ready_queue::ReadyQueue;
use crate::error::{Error, Fault, Length, Result};
use crate::ring::slot::BlockWord;
use crate::ring::{End, Memory};

/// Where an item lies in its block: its number and its length.
type Place = (u32, usize);

impl Control {
    /// Returns a copy of the newest item, without taking it.
    ///
    /// It needs no seat and no permission to write. A lossy queue from which no consumer takes is a
    /// register that always has the latest value. It answers `None` if there is no item because it
    /// was taken already or cleared. It also answers `None` if each of several attempts was
    /// overtaken, as can happen with large items under heavy traffic.
    ///
    /// # Errors
    /// Returns `Incompatible` if the queue is of another type, `WrongLength` if an item of a queue
    /// of bytes is not as long as the type, `Forked` in a forked child, and `Corrupt` if the queue
    /// is damaged.
    ///
    /// ```
    /// # use prodcon::{Control, QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let options = QueueOptions::new(1).lossy(true);
    /// let mut thermometer = ReadyQueue::<f64>::create(&name, &options)?;
    /// thermometer.put(&20.5)?;
    /// thermometer.put(&21.0)?;
    ///
    /// let display = Control::attach(&name)?; // as many as you like
    /// let (id, celsius) = display.latest::<f64>()?.expect("was put");
    /// assert_eq!((id.sequence, celsius), (1, 21.0));
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn latest<T: Payload + ?Sized>(&self) -> Result<Option<(ItemId, T::Owned)>> {
        const { assert!(T::FITS_BY_VALUE, "{}", TOO_LARGE) };
        self.check_type::<T>()?;
        self.observe_value::<T>(End::Newest)
    }

    /// Copies the newest item to `place`, without taking it, as [`latest`](Self::latest) does. For
    /// large items. After `None` the value of `place` is not specified.
    ///
    /// # Errors
    /// Fails as [`latest`](Self::latest) does.
    ///
    /// ```
    /// # use prodcon::{Control, QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let options = QueueOptions::new(4).lossy(true);
    /// let mut camera = ReadyQueue::<[u8; 100_000]>::create(&name, &options)?;
    /// let mut frame = Box::new([0u8; 100_000]);
    /// assert!(camera.control().latest_into(&mut *frame)?.is_none());
    /// camera.reserve()?.commit()?;
    /// let id = camera.control().latest_into(&mut *frame)?.expect("was put");
    /// assert_eq!(id.sequence, 0);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn latest_into<T: Item>(&self, place: &mut T) -> Result<Option<ItemId>> {
        self.check_type::<T>()?;
        self.observe_into(End::Newest, place)
    }

    /// Returns a copy of the oldest item, without taking it. It answers as
    /// [`latest`](Self::latest) does.
    ///
    /// # Errors
    /// Fails as [`latest`](Self::latest) does.
    ///
    /// ```
    /// # use prodcon::{Control, QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(8))?;
    /// queue.put_slice(&[1, 2, 3])?;
    /// let (_, first) = Control::attach(&name)?.peek::<u64>()?.expect("was put");
    /// assert_eq!(first, 1);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn peek<T: Payload + ?Sized>(&self) -> Result<Option<(ItemId, T::Owned)>> {
        const { assert!(T::FITS_BY_VALUE, "{}", TOO_LARGE) };
        self.check_type::<T>()?;
        self.observe_value::<T>(End::Oldest)
    }

    fn check_type<T: Payload + ?Sized>(&self) -> Result<()> {
        Ok(T::plain().map_or(Ok(()), |plain| fits(&self.segment, &plain))?)
    }

    fn observe_value<T: Payload + ?Sized>(&self, end: End) -> Result<Option<(ItemId, T::Owned)>> {
        self.observe(end, T::SIZE, |block, (index, len)| {
            T::filled(len, |bytes| self.copy_item(block, (index, len), bytes))
        })
    }

    fn observe_into<T: Item>(&self, end: End, place: &mut T) -> Result<Option<ItemId>> {
        let copy = |block, at| self.copy_item(block, at, bytemuck::bytes_of_mut(place));
        Ok(self.observe(end, T::SIZE, copy)?.map(|(id, ())| id))
    }

    fn copy_item(&self, block: u32, (index, len): Place, to: &mut [u8]) {
        let offset = index as usize * self.item_size(); // beyond the first: in batches, of one size
        self.ring.memory.copy_racily(block, offset, &mut to[..len]);
    }

    /// Finds an item, and copies it by `copy`. `size` is that of the type, or `None` for bytes.
    fn observe<R>(
        &self,
        end: End,
        size: Option<usize>,
        mut copy: impl FnMut(u32, Place) -> R,
    ) -> Result<Option<(ItemId, R)>> {
        self.readable()?;
        let seen = self.ring.observe(end, |word, block| {
            let place @ (index, len) = self.place(end, word, block);
            // What lies there may be another item by now, so its length is checked in any case, and
            // an error counts only if the item does.
            if len > self.item_size() {
                return Err(Error::from(Fault::Corrupt {
                    queue: self.shared_name(),
                    what: format!("an item says it has {len} bytes"),
                }));
            }
            match size {
                Some(expected) if len != expected => Err(Error::from(Length::Wrong {
                    queue: self.shared_name(),
                    len,
                    expected,
                })),
                _ => Ok((index, copy(block, place))),
            }
        });
        let Some((at, copied)) = seen.map_err(|refusal| self.fault(refusal))? else {
            return Ok(None);
        };
        let (index, copied) = copied?;
        let id = ItemId {
            queue: self.id(),
            sequence: self.ring.memory.shape().count(at),
            index,
        };
        Ok(Some((id, copied)))
    }

    /// Returns which item of a block is meant, and how long it is.
    fn place(&self, end: End, word: BlockWord, block: u32) -> Place {
        let ring = &self.ring;
        if ring.batch == 1 {
            return (0, ring.memory.length(block, word) as usize);
        }
        let index = match end {
            End::Oldest => 0,
            End::Newest => u32::from(word.length()).clamp(1, ring.batch) - 1,
        };
        (index, self.item_size())
    }
}

impl<T: Payload + ?Sized> ReadyQueue<T> {
    /// Returns a copy of the oldest item, without taking it. The next get gets this item, unless
    /// another consumer is faster or an item comes back.
    ///
    /// It answers `None` if there is no item, and if each of several attempts was overtaken, as can
    /// happen with large items under heavy traffic.
    ///
    /// # Errors
    /// Returns `WrongLength` if an item of a queue of bytes is not as long as the type, `Forked` in
    /// a forked child, and `Corrupt` if the queue is damaged.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(8))?;
    /// queue.put_slice(&[1, 2, 3])?;
    /// let (id, first) = queue.peek()?.expect("was put");
    /// let taken = queue.take()?;
    /// assert_eq!((id, first), (taken.id(), *taken));
    /// # taken.ack();
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn peek(&self) -> Result<Option<(ItemId, T::Owned)>> {
        const { assert!(T::FITS_BY_VALUE, "{}", TOO_LARGE) };
        self.control().observe_value::<T>(End::Oldest)
    }

    /// Returns a copy of the newest item, without taking it. A lossy queue from which no consumer
    /// takes is a register that always has the latest value. [`Control::latest`] needs no seat for
    /// it.
    ///
    /// # Errors
    /// Fails as [`peek`](Self::peek) does.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut pose = ReadyQueue::<[f32; 3]>::create(&name, &QueueOptions::new(1).lossy(true))?;
    /// assert!(pose.latest()?.is_none());
    /// pose.put(&[0.0, 0.0, 1.5])?;
    /// assert_eq!(pose.latest()?.unwrap().1, [0.0, 0.0, 1.5]);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn latest(&self) -> Result<Option<(ItemId, T::Owned)>> {
        const { assert!(T::FITS_BY_VALUE, "{}", TOO_LARGE) };
        self.control().observe_value::<T>(End::Newest)
    }
}

impl<T: Item> ReadyQueue<T> {
    /// Copies the newest item to `place`, without taking it. For large items. After `None` the
    /// value of `place` is not specified.
    ///
    /// # Errors
    /// Fails as [`peek`](Self::peek) does.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut pose = ReadyQueue::<[f32; 3]>::create(&name, &QueueOptions::new(1).lossy(true))?;
    /// pose.put(&[0.0, 0.0, 1.5])?;
    /// let mut place = [0.0; 3];
    /// assert!(pose.latest_into(&mut place)?.is_some());
    /// assert_eq!(place, [0.0, 0.0, 1.5]);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn latest_into(&self, place: &mut T) -> Result<Option<ItemId>> {
        self.control().observe_into(End::Newest, place)
    }
}
