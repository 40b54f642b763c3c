//! An endpoint, with the guard of the item that it has in hand beside it.

use prodcon::{Fault, GetError, Options, Payload, PutError, ReadyQueue, Taken};
use std::ptr::NonNull;

/// Items that carry a number, and show if they were torn.
pub(super) trait Kind: Payload + 'static {
    type Own: AsRef<Self>;
    fn options(options: Options) -> Options;
    fn item(id: u64) -> Self::Own;
    fn id(&self) -> u64;
    fn owned(item: Self::Owned) -> Self::Own;
    fn reserve(queue: &mut ReadyQueue<Self>, id: u64) -> Result<(), PutError>;
}

const LONGEST: usize = 24;

fn length(id: u64) -> usize {
    8 + id as usize % 17
}

impl Kind for [u8] {
    type Own = Vec<u8>;
    fn options(options: Options) -> Options {
        options.item_size(LONGEST)
    }
    fn item(id: u64) -> Vec<u8> {
        let mut item = vec![id as u8; length(id)];
        item[..8].copy_from_slice(&id.to_ne_bytes());
        item
    }
    fn id(&self) -> u64 {
        let id = u64::from_ne_bytes(self[..8].try_into().expect("8 bytes"));
        assert_eq!(self, Self::item(id), "a torn item");
        id
    }
    fn owned(item: Vec<u8>) -> Vec<u8> {
        item
    }
    fn reserve(queue: &mut ReadyQueue<Self>, id: u64) -> Result<(), PutError> {
        let mut reserved = queue.reserve(LONGEST)?;
        reserved[..length(id)].copy_from_slice(&Self::item(id));
        reserved.truncate(length(id));
        reserved.try_commit().map_err(|uncommitted| uncommitted.error)
    }
}

/// What the typed queue holds.
#[derive(Clone, Copy)]
pub(super) struct Number(u64);

impl AsRef<u64> for Number {
    fn as_ref(&self) -> &u64 {
        &self.0
    }
}

const MARK: u64 = 0x5a5a_0000_0000_0000;

impl Kind for u64 {
    type Own = Number;
    fn options(options: Options) -> Options {
        options
    }
    fn item(id: u64) -> Number {
        Number(MARK | id)
    }
    fn id(&self) -> u64 {
        assert_eq!(self >> 32, MARK >> 32, "a torn item");
        self ^ MARK
    }
    fn owned(item: u64) -> Number {
        Number(item)
    }
    fn reserve(queue: &mut ReadyQueue<Self>, id: u64) -> Result<(), PutError> {
        let mut reserved = queue.reserve_item()?;
        *reserved = MARK | id;
        reserved.try_commit().map_err(|uncommitted| uncommitted.error)
    }
}

/// What a get gave: the item's number and, of a guard, how often it was delivered.
pub(super) type Got = Result<(u64, Option<u32>), GetError>;

/// See above. The guard borrows the queue for as long as it is there; nothing else uses the queue meanwhile.
pub(super) struct End<T: Kind + ?Sized> {
    guard: Option<Taken<'static, T>>,
    queue: NonNull<ReadyQueue<T>>,
}

impl<T: Kind + ?Sized> End<T> {
    pub(super) fn new(queue: ReadyQueue<T>) -> Self {
        Self {
            guard: None,
            queue: NonNull::from(Box::leak(Box::new(queue))),
        }
    }

    pub(super) fn has_guard(&self) -> bool {
        self.guard.is_some()
    }

    pub(super) fn queue(&mut self) -> &mut ReadyQueue<T> {
        assert!(self.guard.is_none());
        // SAFETY: from Box::leak in `new`, freed by Drop alone; the only other reference would be the guard's, and there is none.
        unsafe { self.queue.as_mut() }
    }

    pub(super) fn take(&mut self) -> Got {
        assert!(self.guard.is_none());
        // SAFETY: as in `queue`; the reference lives in the guard, which Drop drops before it frees the queue.
        let queue: &'static mut ReadyQueue<T> = unsafe { self.queue.as_mut() };
        let guard = queue.try_take()?;
        let got = (T::id(&guard), Some(guard.deliveries()));
        self.guard = Some(guard);
        Ok(got)
    }

    pub(super) fn acknowledge(&mut self) {
        if let Some(guard) = self.guard.take() {
            let _ = T::id(&guard); // still whole
            guard.ack();
        }
    }

    pub(super) fn nack(&mut self) -> Result<(), Fault> {
        self.guard.take().map_or(Ok(()), Taken::nack)
    }

    pub(super) fn forget(&mut self) {
        std::mem::forget(self.guard.take());
    }
}

impl<T: Kind + ?Sized> Drop for End<T> {
    fn drop(&mut self) {
        // As a program that ends with an item in hand: nobody acknowledges it.
        std::mem::forget(self.guard.take());
        // SAFETY: from Box::leak in `new`, and this is the only place that takes it back; the guard is gone.
        drop(unsafe { Box::from_raw(self.queue.as_ptr()) });
    }
}
