//! The types that a block can be filled with in place: one value, or a slice of them.

use std::ptr::NonNull;

/// What a reservation can be of.
#[doc(hidden)]
pub trait Elements {
    #[doc(hidden)]
    fn count(place: NonNull<Self>) -> usize;
    /// The first `len` elements; all if it is no slice.
    #[doc(hidden)]
    fn first(place: NonNull<Self>, len: usize) -> NonNull<Self>;
}
impl<T> Elements for T {
    fn count(_: NonNull<Self>) -> usize {
        1
    }
    fn first(place: NonNull<Self>, _: usize) -> NonNull<Self> {
        place
    }
}
impl<T> Elements for [T] {
    fn count(place: NonNull<Self>) -> usize {
        place.len()
    }
    fn first(place: NonNull<Self>, len: usize) -> NonNull<Self> {
        NonNull::slice_from_raw_parts(place.cast(), len.min(place.len()))
    }
}
