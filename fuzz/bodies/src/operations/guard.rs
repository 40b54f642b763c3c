//! What an endpoint has in hand, whichever way it took it: one item or several.

use super::kind::Kind;
use prodcon::{Batch, Delivery, GetError};
use std::time::Duration;

/// An item's number, and how often it was delivered.
pub(super) type Shown = (u64, u32);

/// A guard of any kind.
pub(super) trait Guard {
    /// What it shows, oldest first.
    fn shown(&self) -> Vec<Shown>;
    fn ack(self: Box<Self>);
    fn nack(self: Box<Self>) -> prodcon::Result<()>;
    fn forget(self: Box<Self>);
    /// For several items, takes more until there are that many. Returns `None` if it cannot.
    fn more(&mut self, _: usize) -> Option<Result<usize, GetError>> {
        None
    }
    /// For several items, acknowledges the oldest ones. Returns false if it cannot.
    fn ack_first(&mut self, _: usize) -> bool {
        false
    }
    /// Several items: acknowledges and goes on showing them.
    fn ack_in_place(&mut self) -> bool {
        false
    }
}

impl<T: Kind + ?Sized> Guard for Delivery<'static, T> {
    fn shown(&self) -> Vec<Shown> {
        vec![(T::id(self), self.delivery_count())]
    }
    fn ack(self: Box<Self>) {
        Delivery::ack(*self);
    }
    fn nack(self: Box<Self>) -> prodcon::Result<()> {
        Delivery::nack(*self)
    }
    fn forget(self: Box<Self>) {
        std::mem::forget(*self);
    }
}

impl<T: Kind + ?Sized> Guard for Batch<'static, T> {
    fn shown(&self) -> Vec<Shown> {
        self.iter()
            .enumerate()
            .map(|(index, item)| (T::id(item), self.delivery_count(index)))
            .collect()
    }
    fn ack(self: Box<Self>) {
        Batch::ack(*self);
    }
    fn nack(self: Box<Self>) -> prodcon::Result<()> {
        Batch::nack(*self)
    }
    fn forget(self: Box<Self>) {
        std::mem::forget(*self);
    }
    fn more(&mut self, max: usize) -> Option<Result<usize, GetError>> {
        Some(self.take_more(max, Some(Duration::ZERO)))
    }
    fn ack_first(&mut self, count: usize) -> bool {
        Batch::ack_first(self, count);
        true
    }
    fn ack_in_place(&mut self) -> bool {
        Batch::ack_in_place(self);
        true
    }
}
