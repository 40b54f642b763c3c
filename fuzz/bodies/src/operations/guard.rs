//! What an endpoint has in hand, whichever way it took it: one item, a block, or several.

use super::end::Kind;
use prodcon::{Fault, GetError, Hand, Item, Taken, TakenBatch};
use std::time::Duration;

/// An item's number, and how often it was delivered.
pub(super) type Shown = (u64, u32);

/// A guard of any kind.
pub(super) trait Guard {
    /// What it shows, oldest first.
    fn shown(&self) -> Vec<Shown>;
    fn ack(self: Box<Self>);
    fn nack(self: Box<Self>) -> Result<(), Fault>;
    fn forget(self: Box<Self>);
    /// Several items: takes more, until there are so many. `None`: it cannot.
    fn more(&mut self, _: usize) -> Option<Result<usize, GetError>> {
        None
    }
    /// Several items: acknowledges the oldest ones. False: it cannot.
    fn ack_first(&mut self, _: usize) -> bool {
        false
    }
    /// Several items: acknowledges and goes on showing them.
    fn ack_in_place(&mut self) -> bool {
        false
    }
}

impl<T: Kind + ?Sized> Guard for Taken<'static, T> {
    fn shown(&self) -> Vec<Shown> {
        vec![(T::id(self), self.deliveries())]
    }
    fn ack(self: Box<Self>) {
        Taken::ack(*self);
    }
    fn nack(self: Box<Self>) -> Result<(), Fault> {
        Taken::nack(*self)
    }
    fn forget(self: Box<Self>) {
        std::mem::forget(*self);
    }
}

impl<T: Kind + Item> Guard for TakenBatch<'static, T> {
    fn shown(&self) -> Vec<Shown> {
        self.iter().map(|item| (T::id(item), self.deliveries())).collect()
    }
    fn ack(self: Box<Self>) {
        TakenBatch::ack(*self);
    }
    fn nack(self: Box<Self>) -> Result<(), Fault> {
        TakenBatch::nack(*self)
    }
    fn forget(self: Box<Self>) {
        std::mem::forget(*self);
    }
}

impl<T: Kind + ?Sized> Guard for Hand<'static, T> {
    fn shown(&self) -> Vec<Shown> {
        self.iter().enumerate().map(|(index, item)| (T::id(item), self.deliveries(index))).collect()
    }
    fn ack(self: Box<Self>) {
        Hand::ack(*self);
    }
    fn nack(self: Box<Self>) -> Result<(), Fault> {
        Hand::nack(*self)
    }
    fn forget(self: Box<Self>) {
        std::mem::forget(*self);
    }
    fn more(&mut self, max: usize) -> Option<Result<usize, GetError>> {
        Some(self.take_more(max, Some(Duration::ZERO)))
    }
    fn ack_first(&mut self, count: usize) -> bool {
        Hand::ack_first(self, count);
        true
    }
    fn ack_in_place(&mut self) -> bool {
        Hand::ack_in_place(self);
        true
    }
}
