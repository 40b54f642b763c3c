//! The exported functions for several items at once.

use crate::cancel::Held;
use crate::endpoint::{Endpoint, Got, Queue};
use crate::failure::{Failure, input, output};
use crate::handle::with;
use crate::status::*;
use std::ffi::c_void;

/// The bytes of `count` items, if that is a number that memory can have.
fn bytes(count: usize, len: usize) -> Result<usize, Failure> {
    let bytes = count
        .checked_mul(len)
        .filter(|bytes| isize::try_from(*bytes).is_ok());
    bytes.ok_or_else(|| {
        Failure::invalid(format!(
            "{count} items of {len} bytes are more than memory can hold"
        ))
    })
}

/// Puts copies of `count` items of `item_len` bytes each, which lie one after the other, in order.
/// In a queue with batches they take as few blocks as possible.
///
/// - Waits: as `prodcon_queue_put`; the time is for all together.
/// - Returns: `PRODCON_OK` if all were put. Otherwise the first `*put` items were put, and the
///   number says why the next one was not, as of `prodcon_queue_put`. `*put` is always written,
///   unless the handle is NULL, closed or busy, or the call makes no sense at all (`data` is NULL,
///   or no memory has so many bytes).
/// - Ownership: `data` stays yours. It may be NULL if there are no bytes.
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_put_many(
    queue: *mut Queue,
    data: *const c_void,
    item_len: usize,
    count: usize,
    put: *mut usize,
    timeout_ns: i64,
) -> Status {
    let work = |endpoint: &mut Endpoint| {
        let put = output(put, "put")?;
        let data = input(data, bytes(count, item_len)?, "data")?;
        // SAFETY: readable for so many bytes by the contract of the C function; `bytes` checked the number.
        let (number, done) = unsafe { endpoint.put_many(data, item_len, count, timeout_ns) };
        // SAFETY: the caller's variable.
        unsafe { put.write(number) };
        done
    };
    // SAFETY: what create or attach wrote, by the contract of the C function.
    unsafe { with(queue, "put_many", true, work) }
}

/// Waits for an item, then gets copies of what is there, at most `count` items, and acknowledges
/// them. Item i is at `buffer + i * item_len` and has `lens[i]` bytes; `*got` is how many there
/// are.
///
/// An item longer than `item_len` ends the call, and is in hand as after `prodcon_queue_get`. If
/// it is the first one, `*got` is 0 and `lens[0]` is its length.
///
/// - Waits: for the first item, as `prodcon_queue_get`. A `count` of 0 does not wait.
/// - Returns: as `prodcon_queue_get`; `PRODCON_TOO_LARGE` for the first item only.
/// - Ownership: all memory is yours. `buffer` may be NULL if `item_len` is 0, and `lens` if the
///   lengths are not wanted.
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_get_many(
    queue: *mut Queue,
    buffer: *mut c_void,
    item_len: usize,
    count: usize,
    lens: *mut usize,
    got: *mut usize,
    timeout_ns: i64,
) -> Status {
    let work = |endpoint: &mut Endpoint| {
        let got = output(got, "got")?;
        let to = input(buffer, bytes(count, item_len)?, "buffer")?.cast_mut();
        let (mut number, mut done) = (0, Ok(()));
        let _held = Held::begin(); // once for all
        while number < count {
            // SAFETY: number < count, so there are item_len bytes from here by the contract of the C function.
            let place = unsafe { to.add(number * item_len) };
            let timeout_ns = if number == 0 { timeout_ns } else { 0 };
            // SAFETY: as above.
            let (len, long) = match unsafe { endpoint.get(place, item_len, timeout_ns) } {
                Ok(Got::Copied(len)) => (len, false),
                Ok(Got::TooLong(len)) => (len, true),
                Err(failure) if number == 0 => return Err(failure),
                Err(_) => break, // it will be told again by the next call
            };
            if !lens.is_null() && (!long || number == 0) {
                // SAFETY: number < count, the length of the array by the contract of the C function.
                let place = unsafe { lens.add(number) };
                // SAFETY: as above; it need not be aligned.
                unsafe { place.write_unaligned(len) };
            }
            if long {
                if number == 0 {
                    done = Err(endpoint.too_long(len, item_len));
                }
                break;
            }
            number += 1;
        }
        // SAFETY: the caller's variable.
        unsafe { got.write(number) };
        done
    };
    // SAFETY: what create or attach wrote, by the contract of the C function.
    unsafe { with(queue, "get_many", true, work) }
}
