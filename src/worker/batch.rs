//! What `work` of a consumer gets: items in place in the blocks that the consumer's seats hold, or copies where there are fewer seats than items.
//!
//! Callers: the consumer's loop makes them; `work` reads them.

use crate::queue::{Hand, Payload};
use std::borrow::Borrow;
use std::fmt;

/// Items for one call of `work`, oldest first; at least one.
pub struct Batch<'a, T: Payload + ?Sized> {
    items: Items<'a, T>,
}

enum Items<'a, T: Payload + ?Sized> {
    InPlace(&'a Hand<'a, T>),
    Copied(&'a [T::Owned]),
}

impl<'a, T: Payload + ?Sized> Batch<'a, T> {
    pub(crate) fn in_place(hand: &'a Hand<'a, T>) -> Self {
        Self { items: Items::InPlace(hand) }
    }

    pub(crate) fn copied(items: &'a [T::Owned]) -> Self {
        Self { items: Items::Copied(items) }
    }

    /// How many.
    pub fn len(&self) -> usize {
        match self.items {
            Items::InPlace(hand) => hand.len(),
            Items::Copied(items) => items.len(),
        }
    }

    /// Never.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Item `index`, from 0.
    pub fn get(&self, index: usize) -> Option<&T> {
        match self.items {
            Items::InPlace(hand) => hand.get(index),
            Items::Copied(items) => items.get(index).map(Borrow::borrow),
        }
    }

    /// The items, oldest first.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { batch: self, next: 0 }
    }

    /// How often item `index` has been delivered, this time included; 0: there is no such item.
    pub fn deliveries(&self, index: usize) -> u32 {
        match self.items {
            Items::InPlace(hand) => hand.deliveries(index),
            Items::Copied(items) => u32::from(index < items.len()),
        }
    }
}

impl<T: Payload + ?Sized> fmt::Debug for Batch<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// The items of a [`Batch`].
#[derive(Debug)]
pub struct Iter<'a, T: Payload + ?Sized> {
    batch: &'a Batch<'a, T>,
    next: usize,
}

impl<'a, T: Payload + ?Sized> Iterator for Iter<'a, T> {
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

impl<T: Payload + ?Sized> ExactSizeIterator for Iter<'_, T> {}

impl<'a, T: Payload + ?Sized> IntoIterator for &'a Batch<'_, T> {
    type Item = &'a T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}
