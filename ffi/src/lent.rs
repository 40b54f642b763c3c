//! An item in hand that has left its queue's handle, as C has it.

use rust::OwnedDelivery;

/// What a `prodcon_delivery *` stands for.
#[derive(Debug)]
pub struct Lent {
    pub delivery: OwnedDelivery<[u8]>,
    pub at_least_once: bool,
}
