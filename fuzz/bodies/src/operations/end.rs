//! An endpoint, with what it has in hand beside it; and the kinds of items.

use super::guard::{Guard, Shown};
use prodcon::{GetError, Payload, PutError, QueueOptions, ReadyQueue};
use std::borrow::Borrow;
use std::ptr::NonNull;
use std::time::Duration;

/// Items that carry a number, and show if they were torn.
pub(super) trait Kind: Payload + 'static {
    fn options(options: QueueOptions) -> QueueOptions;
    fn item(id: u64) -> Self::Owned;
    fn id(&self) -> u64;
    fn reserve(queue: &mut ReadyQueue<Self>, id: u64) -> Result<(), PutError>;
    /// Puts them in blocks of as many as a block can have. Returns how many, and why the next one was not put.
    fn put_slice(queue: &mut ReadyQueue<Self>, ids: &[u64]) -> (usize, Option<PutError>);
}

const LONGEST: usize = 24;

fn length(id: u64) -> usize {
    8 + id as usize % 17
}

impl Kind for [u8] {
    fn options(options: QueueOptions) -> QueueOptions {
        options.item_size(LONGEST)
    }
    fn item(id: u64) -> Vec<u8> {
        let mut item = vec![id as u8; length(id)];
        item[..8].copy_from_slice(&id.to_ne_bytes());
        item
    }
    fn id(&self) -> u64 {
        let id = u64::from_ne_bytes(self[..8].try_into().expect("8 bytes"));
        assert!(
            self.len() == length(id) && self[8..].iter().all(|byte| *byte == id as u8),
            "a torn item: {self:?}"
        );
        id
    }
    fn reserve(queue: &mut ReadyQueue<Self>, id: u64) -> Result<(), PutError> {
        let mut reserved = queue.reserve(LONGEST)?;
        reserved[..length(id)].copy_from_slice(&Self::item(id));
        reserved.truncate(length(id));
        reserved
            .commit_within(Duration::ZERO)
            .map_err(|refused| refused.error)
    }
    // Blocks of several items are for plain types; one by one it is the same to the model.
    fn put_slice(queue: &mut ReadyQueue<Self>, ids: &[u64]) -> (usize, Option<PutError>) {
        put_one_by_one(queue, ids)
    }
}

const MARK: u64 = 0x5a5a_0000_0000_0000;

impl Kind for u64 {
    fn options(options: QueueOptions) -> QueueOptions {
        options
    }
    fn item(id: u64) -> u64 {
        MARK | id
    }
    fn id(&self) -> u64 {
        assert_eq!(self >> 32, MARK >> 32, "a torn item");
        self ^ MARK
    }
    fn reserve(queue: &mut ReadyQueue<Self>, id: u64) -> Result<(), PutError> {
        let mut reserved = queue.reserve()?;
        *reserved = MARK | id;
        reserved
            .commit_within(Duration::ZERO)
            .map_err(|refused| refused.error)
    }
    fn put_slice(queue: &mut ReadyQueue<Self>, ids: &[u64]) -> (usize, Option<PutError>) {
        let items: Vec<_> = ids.iter().map(|id| Self::item(*id)).collect();
        match queue.within(Duration::ZERO).put_slice(&items) {
            Ok(()) => (ids.len(), None),
            Err(partial) => (partial.put, Some(partial.error)),
        }
    }
}

/// As `put_slice`, each item in a block of its own.
pub(super) fn put_one_by_one<T: Kind + ?Sized>(
    queue: &mut ReadyQueue<T>,
    ids: &[u64],
) -> (usize, Option<PutError>) {
    for (put, id) in ids.iter().enumerate() {
        if let Err(error) = queue.try_put(T::item(*id).borrow()) {
            return (put, Some(error));
        }
    }
    (ids.len(), None)
}

/// More than a queue can hold.
const ALL: usize = 64;

/// How items are taken.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    One,
    /// Whole blocks, as many as can be in hand.
    Whole,
    Several(usize),
}

/// See above. The guard borrows the queue for as long as it is there; nothing else uses the queue meanwhile.
pub(super) struct End<T: Kind + ?Sized> {
    guard: Option<Box<dyn Guard>>,
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

    pub(super) fn get(&mut self) -> Result<Vec<u64>, GetError> {
        self.queue()
            .try_get()
            .map(|item| vec![T::id(item.borrow())])
    }

    /// What was taken stays in hand.
    pub(super) fn take(&mut self, way: Way) -> Result<Vec<Shown>, GetError> {
        assert!(self.guard.is_none());
        // SAFETY: as in `queue`; the reference lives in the guard, which is gone before Drop frees the queue.
        let queue: &'static mut ReadyQueue<T> = unsafe { self.queue.as_mut() };
        let guard: Box<dyn Guard> = match way {
            Way::One => Box::new(queue.try_take()?),
            Way::Whole => Box::new(queue.within(Duration::ZERO).take_many(ALL)?),
            Way::Several(max) => Box::new(queue.within(Duration::ZERO).take_many(max)?),
        };
        Ok(self.guard.insert(guard).shown())
    }

    pub(super) fn guard(&mut self) -> &mut Box<dyn Guard> {
        self.guard.as_mut().expect("something in hand")
    }

    /// Everything shown is still whole, and then acknowledged.
    pub(super) fn ack(&mut self) {
        if let Some(guard) = self.guard.take() {
            guard.shown();
            guard.ack();
        }
    }

    pub(super) fn nack(&mut self) -> prodcon::Result<()> {
        self.guard.take().map_or(Ok(()), |guard| guard.nack())
    }

    /// Drops what shows it: given back, or counted as got.
    pub(super) fn let_go(&mut self) {
        drop(self.guard.take());
    }

    pub(super) fn forget(&mut self) {
        if let Some(guard) = self.guard.take() {
            guard.forget();
        }
    }
}

impl<T: Kind + ?Sized> Drop for End<T> {
    fn drop(&mut self) {
        // As a program that ends with items in hand: nobody acknowledges them.
        self.forget();
        // SAFETY: from Box::leak in `new`, and this is the only place that takes it back; the guard is gone.
        drop(unsafe { Box::from_raw(self.queue.as_ptr()) });
    }
}
