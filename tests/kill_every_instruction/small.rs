//! Items of eight bytes, of which a slot has a copy.

/// A number of less than 2^32, and its seal.
pub(crate) type Item = u64;

pub(crate) fn item(number: u64) -> Item {
    number | !number << 32
}

/// The number in an item.
pub(crate) fn number(found: &Item) -> u64 {
    let number = *found & u64::from(u32::MAX);
    assert_eq!(*found, item(number), "an item that nobody put");
    number
}
