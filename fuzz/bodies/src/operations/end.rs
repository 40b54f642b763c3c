//! An endpoint, with what it has in hand beside it.

use super::guard::{Guard, Shown};
use super::kind::Kind;
use prodcon::{GetError, ReadyQueue};
use std::borrow::Borrow;
use std::ptr::NonNull;
use std::time::Duration;

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

    /// Takes one item with a seat of its own, and at once acknowledges it or lets it go.
    pub(super) fn own(&mut self, ack: bool) -> Result<Shown, GetError> {
        let owned = self.queue().within(Duration::ZERO).take_owned()?;
        let shown = (T::id(&owned), owned.delivery_count());
        if ack {
            owned.ack();
        }
        Ok(shown)
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
