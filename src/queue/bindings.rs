//! What the bindings to languages without borrows need, and the tests. This is outside semver, and
//! no other crate should use it.
//!
//! A guard that is forgotten (`mem::forget`) leaves its item in hand until the endpoint's next put,
//! get or take settles it. Until then it can be settled from here.

use super::endpoint::Endpoint;
use super::item::Plain;
use super::memory::copy_out;
use super::wait::Until;
use super::{ItemId, OwnedDelivery, Payload, QueueOptions, ReadyQueue};
use crate::error::{GetError, OpenError, PutSliceError, Result};
use crate::sys::descriptor;
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use super::supervise::Supervision;

impl<T: Payload + ?Sized> ReadyQueue<T> {
    /// Returns whether the handle was made before a fork and this is the child, in which it answers
    /// `Forked` to everything. One load.
    #[doc(hidden)]
    #[inline]
    pub fn is_forked(&self) -> bool {
        self.endpoint.control.forked()
    }

    /// Gives the item in hand back, as [`Delivery::nack`](super::Delivery::nack) does, if its guard
    /// was forgotten. Returns false if none was in hand. To acknowledge it:
    /// [`ack_forgotten`](Self::ack_forgotten).
    ///
    /// # Errors
    /// Returns `AtMostOnce` if the item was counted as lost.
    #[doc(hidden)]
    pub fn give_back_forgotten(&mut self) -> Result<bool> {
        if self.endpoint.lent > 0 {
            self.endpoint.give_back()?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Puts an item if nothing stands in the way. Returns false if nothing was put. Then
    /// [`try_put`](Self::try_put) says why, or puts it.
    #[doc(hidden)]
    #[inline(always)]
    pub fn put_at_once(&mut self, item: &T) -> bool {
        let bytes = item.bytes();
        self.endpoint.control.ring.single
            && self
                .endpoint
                .is_ready_to_fill(bytes.len(), T::SIZE.is_some())
            && self.endpoint.put_fast(bytes)
    }

    /// Copies the oldest item by `copy` and acknowledges it, if nothing stands in the way and it
    /// has at most `max` bytes. Returns `None` if nothing was copied. Then
    /// [`try_take`](Self::try_take) says why, or takes it. `copy` must not panic: its item would
    /// not be counted.
    #[doc(hidden)]
    #[inline(always)]
    pub fn get_at_once<R>(&mut self, max: usize, copy: impl FnOnce(&[u8]) -> R) -> Option<R> {
        if self.endpoint.control.ring.single {
            self.endpoint.get_fast(T::SIZE, max, copy)
        } else {
            None
        }
    }

    /// Returns the size of the longest item, in bytes.
    #[doc(hidden)]
    pub fn item_size(&self) -> usize {
        self.endpoint.control.item_size()
    }
}

/// Copies an item that was taken, as [`ReadyQueue::get_into`] does. Both have the same length.
#[doc(hidden)]
#[inline(always)]
pub fn copy_item(item: &[u8], place: &mut [u8]) {
    copy_out(item, place);
}

impl<T: Payload + ?Sized> OwnedDelivery<T> {
    /// Returns whether it was taken before a fork and this is the child, in which it shows nothing.
    #[doc(hidden)]
    pub fn is_forked(&self) -> bool {
        self.control().forked()
    }

    /// Returns the queue's name.
    #[doc(hidden)]
    pub fn queue_name(&self) -> &str {
        self.control().name()
    }
}

/// Opens a file by `open`, at a descriptor that is no standard stream's, not even for a moment.
#[doc(hidden)]
pub fn above_streams(open: impl FnOnce() -> io::Result<File>) -> io::Result<File> {
    let make = || {
        open()
            .map(OwnedFd::from)
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
    };
    Ok(descriptor::above_streams(make)?.into())
}

/// Returns the names in a directory, which is opened as [`above_streams`] does.
///
/// # Errors
/// What the system says of the directory.
#[doc(hidden)]
pub fn names_in(directory: &Path) -> io::Result<Vec<String>> {
    Ok(crate::segment::names_in(directory)?)
}

/// A plain type that has no Rust type: what a queue's header says about its items.
#[derive(Debug, Clone)]
pub struct NamedType {
    /// 1 to 128 bytes.
    pub name: String,
    /// Bytes of an item.
    pub size: usize,
    /// A power of two.
    pub align: usize,
}

impl NamedType {
    /// Checks what the compiler sees to for Rust's own types. `queue` is for the text.
    fn plain(self, queue: &str) -> Result<Plain> {
        if !self.align.is_power_of_two() {
            let (queue, align) = (queue.into(), self.align);
            let what = format!("its items have an alignment of {align}: choose a power of two");
            return Err(OpenError::Invalid { queue, what }.into());
        }
        Ok(Plain {
            name: self.name.into(),
            size: self.size,
            align: self.align,
            layout: 0,
        })
    }
}

impl ReadyQueue<[u8]> {
    /// Creates a queue of a named type and attaches to it as a queue of bytes.
    ///
    /// # Errors
    /// Fails as [`create`](Self::create) does.
    #[doc(hidden)]
    pub fn create_named(name: &str, options: &QueueOptions, item: NamedType) -> Result<Self> {
        Endpoint::create(name, options, Some(item.plain(name)?)).map(Self::over)
    }

    /// Attaches to a queue of a named type as a queue of bytes, or creates it.
    ///
    /// # Errors
    /// Fails as [`create_or_attach`](Self::create_or_attach) does.
    #[doc(hidden)]
    pub fn create_or_attach_named(
        name: &str,
        options: &QueueOptions,
        item: NamedType,
    ) -> Result<Self> {
        let plain = item.plain(name)?;
        Endpoint::create_or_attach(name, options, || Some(plain.clone())).map(Self::over)
    }

    /// Attaches to a queue if it has these options, as
    /// [`create_or_attach_named`](Self::create_or_attach_named) does, without creating it.
    ///
    /// # Errors
    /// Returns `OptionsDiffer` if the queue was made with other options. Fails as
    /// [`attach`](Self::attach) does otherwise.
    #[doc(hidden)]
    pub fn attach_if(name: &str, options: &QueueOptions, item: Option<NamedType>) -> Result<Self> {
        let plain = item.map(|item| item.plain(name)).transpose()?;
        Endpoint::attach_if(name, options, plain.as_ref()).map(Self::over)
    }

    /// Puts `count` items of `len` bytes that lie one after the other; in a queue with batches as
    /// few blocks as can be.
    ///
    /// # Panics
    /// `items` has fewer bytes than that.
    #[doc(hidden)]
    pub fn put_items(
        &mut self,
        items: &[u8],
        len: usize,
        count: usize,
        timeout: Option<Duration>,
    ) -> std::result::Result<(), PutSliceError> {
        self.endpoint.put_items(items, len, count, until(timeout))
    }

    /// Takes the items of the next block (one item in a queue without batches) and leaves them in
    /// hand, as a forgotten guard does. Returns their bytes and their number.
    #[doc(hidden)]
    pub fn take_forgotten(
        &mut self,
        timeout: Option<Duration>,
    ) -> std::result::Result<(&[u8], usize), GetError> {
        let endpoint = &mut self.endpoint;
        endpoint.take_next(None, until(timeout))?;
        endpoint.lent = endpoint.shown.items;
        Ok((
            endpoint.view_all_bytes(&endpoint.shown),
            endpoint.shown.items as usize,
        ))
    }

    /// Acknowledges what a forgotten guard left in hand. Returns false if there is nothing.
    #[doc(hidden)]
    pub fn ack_forgotten(&mut self) -> bool {
        let items = self.endpoint.lent;
        self.endpoint.refused = false;
        if items > 0 {
            self.endpoint.acknowledge(items);
        }
        items > 0
    }

    /// Returns what identifies item `index` of those that a forgotten guard left in hand.
    #[doc(hidden)]
    pub fn id_forgotten(&self, index: usize) -> Option<ItemId> {
        let index = u32::try_from(index)
            .ok()
            .filter(|index| *index < self.endpoint.lent)?;
        Some(self.endpoint.id_in_hand(self.endpoint.shown.first + index))
    }

    /// Returns how many times what a forgotten guard left in hand has been delivered, or 0 if there
    /// is nothing.
    #[doc(hidden)]
    pub fn deliveries_forgotten(&self) -> u32 {
        if self.endpoint.lent > 0 {
            self.endpoint.shown.deliveries
        } else {
            0
        }
    }
}

fn until(timeout: Option<Duration>) -> Until {
    timeout.map_or(Until::Forever, Until::within)
}

/// A name for a test's queue that no other process uses. The queue is removed when this is dropped,
/// also when the test fails.
#[derive(Debug)]
pub struct TestName(String);

impl TestName {
    /// Makes a name.
    pub fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        // Relaxed: the numbers only have to differ.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self(format!("test-{}-{number}", std::process::id()))
    }
}

impl Default for TestName {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for TestName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Drop for TestName {
    fn drop(&mut self) {
        let _ = super::unlink(&self.0); // it may never have been created
    }
}
