//! The exported functions of items in hand that have left their queue's handle.

use crate::cancel::Held;
use crate::endpoint::Queue;
use crate::failure::{Failure, output, sized_output};
use crate::handle::{Handle, Shell, close, open, with};
use crate::item_id::ItemId;
use crate::lent::Lent;
use crate::status::*;
use std::collections::VecDeque;
use std::ffi::c_void;
use std::sync::Mutex;
use std::sync::atomic::AtomicPtr;

/// An item in hand that is no longer tied to its queue's handle. Any thread may use it, one at a
/// time.
#[derive(Debug)]
pub struct Delivery(Shell<Lent>);

impl Handle for Delivery {
    type Content = Lent;
    const NAME: &'static str = "delivery";
    const MARK: u32 = u32::from_be_bytes(*b"pcD\0");

    fn name(content: &Lent) -> &str {
        content.delivery.queue_name()
    }
    fn new() -> Self {
        Self(Shell::closed(Self::CLOSED))
    }
    fn shell(&self) -> &Shell<Lent> {
        &self.0
    }
    fn last_closed() -> &'static AtomicPtr<Self> {
        static LAST: AtomicPtr<Delivery> = AtomicPtr::new(std::ptr::null_mut());
        &LAST
    }
    fn pool() -> &'static Mutex<VecDeque<&'static Self>> {
        static POOL: Mutex<VecDeque<&'static Delivery>> = Mutex::new(VecDeque::new());
        &POOL
    }
}

impl Lent {
    fn of_this_process(&self) -> Result<(), Failure> {
        if self.delivery.is_forked() {
            return Err(Failure::forked(Delivery::NAME));
        }
        Ok(())
    }
}

/// Runs a call of a delivery.
///
/// # Safety
/// As for [`with`].
unsafe fn of(
    delivery: *const Delivery,
    call: &'static str,
    work: impl FnOnce(&mut Lent) -> Result<(), Failure>,
) -> Status {
    let work = |lent: &mut Lent| {
        lent.of_this_process()?;
        work(lent)
    };
    // SAFETY: this function's contract.
    unsafe { with(delivery, call, false, work) }
}

/// Takes an item with a seat of its own. It may go to another thread, it outlives the queue's
/// handle, and several of them may be settled in any order. `*delivery` is in hand until
/// `prodcon_delivery_ack`, `prodcon_delivery_nack` or `prodcon_delivery_drop`. Meanwhile the
/// queue's handle can be used for everything else.
///
/// A handle can have up to `max_unacked` of them (see `prodcon_attach_options`). The queue must not
/// have batches.
///
/// If this process ends before that, killed or not, another consumer gets the item
/// (at-least-once), or it is counted as lost.
///
/// - Waits: as `prodcon_queue_get`; also until one of them is settled, if `max_unacked` are in
///   hand.
/// - Returns: as `prodcon_queue_take`; also `PRODCON_INVALID` if the handle was attached without
///   `max_unacked`, or if the queue has batches.
/// - Ownership: `*delivery` is yours until it is settled.
/// - Threads: one at a time on the handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_take_owned(
    queue: *mut Queue,
    delivery: *mut *mut Delivery,
    timeout_ns: i64,
) -> Status {
    let work = |endpoint: &mut <Queue as Handle>::Content| {
        let out = output(delivery, "delivery")?;
        let _held = Held::begin();
        let taken: *mut Delivery = open(endpoint.take_owned(timeout_ns)?);
        // SAFETY: the caller's variable.
        unsafe { out.write(taken) };
        Ok(())
    };
    // SAFETY: what create or attach wrote, by the contract of the C function.
    unsafe { with(queue, "take_owned", true, work) }
}

/// Shows where the item is.
///
/// - Returns: `PRODCON_INVALID` if it was settled.
/// - Ownership: the bytes may be read until the delivery is settled. They are aligned to 8 bytes,
///   or as the queue's options say.
/// - Threads: one at a time on the delivery; any may read the bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_delivery_data(
    delivery: *mut Delivery,
    data: *mut *const c_void,
    len: *mut usize,
) -> Status {
    let work = |lent: &mut Lent| {
        let (data, len) = (output(data, "data")?, output(len, "len")?);
        // SAFETY: the caller's variable.
        unsafe { data.write(lent.delivery.as_ptr().cast()) };
        // SAFETY: the caller's variable.
        unsafe { len.write(lent.delivery.len()) };
        Ok(())
    };
    // SAFETY: what take_owned wrote, by the contract of the C function.
    unsafe { of(delivery, "delivery_data", work) }
}

/// Acknowledges the item: the work on it is done, and nobody else gets it.
///
/// - Returns: `PRODCON_INVALID` if it was settled.
/// - Ownership: the delivery is gone, and its bytes may not be read any more.
/// - Threads: any, one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_delivery_ack(delivery: *mut Delivery) -> Status {
    // SAFETY: what take_owned wrote, by the contract of the C function.
    let there = unsafe { of(delivery, "delivery_ack", |_| Ok(())) };
    if there != PRODCON_OK {
        return there;
    }
    let _held = Held::begin();
    // SAFETY: as above.
    unsafe { close(delivery, "delivery_ack", |lent| lent.delivery.ack()) }
}

/// Gives the item back, to another consumer of an at-least-once queue or to this one's next take.
///
/// - Returns: `PRODCON_INVALID` if it was settled, or if the queue is at-most-once. In the latter
///   case the item stays in hand.
/// - Ownership: the delivery is gone, and its bytes may not be read any more.
/// - Threads: any, one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_delivery_nack(delivery: *mut Delivery) -> Status {
    let check = |lent: &mut Lent| {
        if lent.at_least_once {
            return Ok(());
        }
        Err(Failure::invalid(
            "delivery_nack: the queue is at-most-once and takes nothing back: acknowledge the item",
        ))
    };
    // SAFETY: what take_owned wrote, by the contract of the C function.
    let there = unsafe { of(delivery, "delivery_nack", check) };
    if there != PRODCON_OK {
        return there;
    }
    let _held = Held::begin();
    // SAFETY: as above.
    unsafe { close(delivery, "delivery_nack", drop) }
}

/// Lets go of the item without saying whether the work is done. It is given back, or counts as got
/// where the queue is at-most-once. This is for destructors and for returns after an error. In a
/// forked child it frees the delivery and touches nothing else. NULL does nothing.
///
/// - Ownership: the delivery is gone, and its bytes may not be read any more.
/// - Threads: any, one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_delivery_drop(delivery: *mut Delivery) {
    if !delivery.is_null() {
        let _held = Held::begin();
        // SAFETY: what take_owned wrote, by the contract of the C function. A second drop is told
        // from the first one, and does nothing.
        let _ = unsafe { close(delivery, "delivery_drop", drop) };
    }
}

/// Gives what identifies the item, as `prodcon_queue_item_id`.
///
/// - Returns: `PRODCON_INVALID` if it was settled, or if `id->size` is less than 8 or more than
///   65536.
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_delivery_item_id(
    delivery: *mut Delivery,
    id: *mut ItemId,
) -> Status {
    let work = |lent: &mut Lent| {
        output(id, "id")?;
        let mut found = ItemId::from(lent.delivery.id());
        // SAFETY: the caller's struct, with its size in the first field; `found` is plain data without
        // padding (asserted where it is defined).
        unsafe { sized_output(id, &mut found, "id") }
    };
    // SAFETY: what take_owned wrote, by the contract of the C function.
    unsafe { of(delivery, "delivery_item_id", work) }
}

/// Says how many times the item has been delivered, this time included.
///
/// - Returns: `PRODCON_INVALID` if it was settled.
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_delivery_count(
    delivery: *mut Delivery,
    count: *mut u32,
) -> Status {
    let work = |lent: &mut Lent| {
        let count = output(count, "count")?;
        // SAFETY: the caller's variable.
        unsafe { count.write(lent.delivery.delivery_count()) };
        Ok(())
    };
    // SAFETY: what take_owned wrote, by the contract of the C function.
    unsafe { of(delivery, "delivery_count", work) }
}
