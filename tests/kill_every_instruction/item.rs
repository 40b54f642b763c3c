//! The items of most scenes: longer than a word, so that one may be torn.

/// A number with a seal.
pub(crate) type Item = [u64; 4];

pub(crate) fn item(number: u64) -> Item {
    [
        number,
        !number,
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        number.rotate_left(32) ^ 0x5555,
    ]
}

/// The number in an item.
pub(crate) fn number(found: &Item) -> u64 {
    assert_eq!(*found, item(found[0]), "a torn item");
    found[0]
}
