//! The exported functions that open and close queues, put and get. Each checks its pointers and leaves
//! the rest to [`Endpoint`].

use crate::endpoint::{Endpoint, Got, Queue};
use crate::failure::{Failure, input, output, run, sized_output, string};
use crate::handle::{at_once_with, close, open, with};
use crate::item_id::ItemId;
use crate::options::{AttachOptions, Options};
use crate::status::*;
use rust::ReadyQueue;
use std::ffi::{c_char, c_void};
use std::path::Path;

/// Opens a queue for C.
///
/// # Safety
/// `name` is NULL or a C string, and `out` NULL or the address of a variable.
unsafe fn opened(
    name: *const c_char,
    out: *mut *mut Queue,
    how: impl FnOnce(&str) -> Result<ReadyQueue<[u8]>, Failure>,
) -> Status {
    run(|| {
        let out = output(out, "out")?;
        // SAFETY: a C string or NULL by this function's contract.
        let name = unsafe { string(name, "name of the queue") }?;
        let queue: *mut Queue = open(Endpoint::new(how(name)?));
        // SAFETY: the caller's variable.
        unsafe { out.write(queue) };
        Ok(())
    })
}

/// Creates a queue under a name that is not taken, and attaches to it.
///
/// - Returns: `PRODCON_EXISTS`; `PRODCON_INVALID` if a name or a number is out of range;
///   `PRODCON_NOT_FOUND` if there is no such directory or dead-letter queue; `PRODCON_OS` if
///   permission or space is missing.
/// - Ownership: `*out` is yours, to be closed with `prodcon_queue_close`. The queue itself stays
///   until `prodcon_queue_unlink` removes it. `options` and its strings may change afterwards.
/// - Threads: any. Call it in the process that uses the handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_create(
    name: *const c_char,
    options: *const Options,
    out: *mut *mut Queue,
) -> Status {
    let how = |name: &str| {
        // SAFETY: by the contract of the C function.
        let (options, named) = unsafe { Options::read(options) }?;
        Ok(match named {
            Some(item) => ReadyQueue::create_named(name, &options, item)?,
            None => ReadyQueue::create(name, &options)?,
        })
    };
    // SAFETY: the contract of the C function.
    unsafe { opened(name, out, how) }
}

/// Attaches to a queue by name. On a queue of a plain type all items have exactly the type's
/// size.
///
/// - Returns: `PRODCON_NOT_FOUND`, `PRODCON_NO_SEAT`, `PRODCON_INCOMPATIBLE`, `PRODCON_CORRUPT`,
///   `PRODCON_INVALID` if the name is not valid, `PRODCON_OS`.
/// - Ownership: `*out` is yours, to be closed with `prodcon_queue_close`.
/// - Threads: any. Call it in the process that uses the handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_attach(name: *const c_char, out: *mut *mut Queue) -> Status {
    // SAFETY: the contract of the C function.
    unsafe { opened(name, out, |name| Ok(ReadyQueue::attach(name)?)) }
}

/// Attaches to a queue in a role, with seats set aside, in another directory, with a token, or when
/// it is created.
///
/// - Waits: until the queue is created, if `options->wait_for_queue_ns` says so.
/// - Returns: as `prodcon_queue_attach`; also `PRODCON_INVALID` if an option is out of range;
///   `PRODCON_TIMED_OUT` and `PRODCON_CANCELLED` if it waits.
/// - Ownership: as `prodcon_queue_attach`. `options` and its strings may change afterwards.
/// - Threads: any. Call it in the process that uses the handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_attach_with(
    name: *const c_char,
    options: *const AttachOptions,
    out: *mut *mut Queue,
) -> Status {
    let how = |name: &str| {
        // SAFETY: by the contract of the C function.
        let options = unsafe { AttachOptions::read(options) }?;
        Ok(ReadyQueue::attach_with(name, &options)?)
    };
    // SAFETY: the contract of the C function.
    unsafe { opened(name, out, how) }
}

/// Attaches to the queue if it exists, else creates it.
///
/// - Returns: `PRODCON_DIFFERS` if it exists with other options. `prodcon_last_error` lists what
///   differs. The gate and the permission bits are not compared, seats and alignment only if they
///   are set. Otherwise as `prodcon_queue_create` and `prodcon_queue_attach`.
/// - Ownership: as `prodcon_queue_create`.
/// - Threads: any. Call it in the process that uses the handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_create_or_attach(
    name: *const c_char,
    options: *const Options,
    out: *mut *mut Queue,
) -> Status {
    let how = |name: &str| {
        // SAFETY: by the contract of the C function.
        let (options, named) = unsafe { Options::read(options) }?;
        Ok(match named {
            Some(item) => ReadyQueue::create_or_attach_named(name, &options, item)?,
            None => ReadyQueue::create_or_attach(name, &options)?,
        })
    };
    // SAFETY: the contract of the C function.
    unsafe { opened(name, out, how) }
}

/// Closes a handle and frees its seat. What is in hand is given back (at-least-once) or counted
/// as lost; a reserved block is forgotten. Pointers from reserve and take end here. A closed
/// handle must not be used; a call with one answers `PRODCON_INVALID`, until 64 other handles
/// were closed.
///
/// - Returns: nothing. NULL and a closed handle are fine.
/// - Threads: while another thread is inside a call on the handle, the handle stays open, and
///   `prodcon_last_error` says so. In a forked child it leaves the parent's seat alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_close(queue: *mut Queue) {
    if !queue.is_null() {
        // SAFETY: what create or attach wrote, by the contract of the C function.
        let _ = unsafe { close(queue, "close", drop) };
    }
}

/// Unlinks a queue. Attached handles keep its memory; new ones can no longer find it.
///
/// - Returns: `PRODCON_NOT_FOUND`; `PRODCON_INVALID` if the name is not valid; `PRODCON_TIMED_OUT`
///   if another process is removing the queue and makes no progress; `PRODCON_OS`.
/// - Threads: any, also after a fork.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_unlink(name: *const c_char) -> Status {
    run(|| {
        // SAFETY: a C string or NULL by the contract of the C function.
        Ok(rust::unlink(unsafe { string(name, "name of the queue") }?)?)
    })
}

/// Unlinks a queue in a directory, as `prodcon_queue_unlink` does.
///
/// - Returns: as `prodcon_queue_unlink`.
/// - Threads: any, also after a fork.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_unlink_in(
    directory: *const c_char,
    name: *const c_char,
) -> Status {
    run(|| {
        // SAFETY: a C string or NULL by the contract of the C function.
        let directory = Path::new(unsafe { string(directory, "directory") }?);
        // SAFETY: as above.
        Ok(rust::unlink_in(directory, unsafe {
            string(name, "name of the queue")
        }?)?)
    })
}

/// Puts a copy of an item.
///
/// - Waits: while the queue is full and not lossy.
/// - Returns: unless it is `PRODCON_OK`, nothing was put. `PRODCON_FULL` or `PRODCON_TIMED_OUT`;
///   `PRODCON_NOT_READY`; `PRODCON_STOPPED`; `PRODCON_TOO_LARGE`; `PRODCON_INVALID` if an item is
///   in hand or a block is reserved, or if the item does not have the size of the queue's type;
///   `PRODCON_NO_SEAT` if an item was given back to this handle because no other seat is free;
///   `PRODCON_NOT_FOUND` if the name was removed; `PRODCON_EXHAUSTED`, `PRODCON_CORRUPT`,
///   `PRODCON_OS`.
/// - Ownership: `data` stays yours. It may be NULL if `len` is 0: an item of no bytes.
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_put(
    queue: *mut Queue,
    data: *const c_void,
    len: usize,
    timeout_ns: i64,
) -> Status {
    // SAFETY: readable for len bytes by the contract of the C function.
    let at_once =
        |endpoint: &mut Endpoint| unsafe { endpoint.put_at_once(data.cast(), len) }.then_some(());
    // SAFETY: what create or attach wrote, by the contract of the C function.
    match unsafe { at_once_with(queue, at_once) } {
        Some(()) => PRODCON_OK,
        // SAFETY: the contract of the C function.
        None => unsafe { put_slowly(queue, data, len, timeout_ns) },
    }
}

/// The whole of `prodcon_queue_put`.
///
/// # Safety
/// As there.
#[inline(never)]
unsafe fn put_slowly(
    queue: *mut Queue,
    data: *const c_void,
    len: usize,
    timeout_ns: i64,
) -> Status {
    let work = |endpoint: &mut Endpoint| {
        let data = input(data, len, "data")?;
        // SAFETY: readable for len bytes by the contract of the C function.
        unsafe { endpoint.put(data, len, timeout_ns) }
    };
    // SAFETY: what create or attach wrote, by the contract of the C function.
    unsafe { with(queue, "put", true, work) }
}

/// Gets a copy of the oldest item and acknowledges it. If the work on an item must survive a crash
/// of this process, use `prodcon_queue_take` instead. `*len` is the item's length.
///
/// An item that is longer than `size` is in hand afterwards, and `*len` is its length. The next
/// get with a large enough buffer gives it; `prodcon_queue_ack` throws it away,
/// `prodcon_queue_nack` gives it back.
///
/// - Waits: while there is no item, also in a queue that is not ready.
/// - Returns: `PRODCON_EMPTY` or `PRODCON_TIMED_OUT`; `PRODCON_STOPPED` at the end of the stream;
///   `PRODCON_TOO_LARGE`, see above; `PRODCON_INVALID` if an item is in hand or a block reserved;
///   `PRODCON_NOT_FOUND` if the name was removed; `PRODCON_EXHAUSTED`, `PRODCON_CORRUPT`,
///   `PRODCON_OS`.
/// - Ownership: `buffer` is yours. It may be NULL if `size` is 0.
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_get(
    queue: *mut Queue,
    buffer: *mut c_void,
    size: usize,
    len: *mut usize,
    timeout_ns: i64,
) -> Status {
    if !len.is_null() {
        // SAFETY: writable for size bytes by the contract of the C function.
        let at_once =
            |endpoint: &mut Endpoint| unsafe { endpoint.get_at_once(buffer.cast(), size) };
        // SAFETY: what create or attach wrote, by the contract of the C function.
        if let Some(copied) = unsafe { at_once_with(queue, at_once) } {
            // SAFETY: not NULL, the caller's variable; it need not be aligned.
            unsafe { len.write_unaligned(copied) };
            return PRODCON_OK;
        }
    }
    // SAFETY: the contract of the C function.
    unsafe { get_slowly(queue, buffer, size, len, timeout_ns) }
}

/// The whole of `prodcon_queue_get`.
///
/// # Safety
/// As there.
#[inline(never)]
unsafe fn get_slowly(
    queue: *mut Queue,
    buffer: *mut c_void,
    size: usize,
    len: *mut usize,
    timeout_ns: i64,
) -> Status {
    let work = |endpoint: &mut Endpoint| {
        let to = input(buffer, size, "buffer")?.cast_mut();
        let len = output(len, "len")?;
        // SAFETY: writable for size bytes by the contract of the C function.
        let (value, done) = match unsafe { endpoint.get(to, size, timeout_ns) }? {
            Got::Copied(copied) => (copied, Ok(())),
            Got::TooLong(long) => (long, Err(endpoint.too_long(long, size))),
        };
        // SAFETY: the caller's variable.
        unsafe { len.write(value) };
        done
    };
    // SAFETY: what create or attach wrote, by the contract of the C function.
    unsafe { with(queue, "get", true, work) }
}

/// Begins a put without a copy: `*data` is a block of `len` bytes inside the queue, to be filled
/// and committed. At first it contains what an earlier item left there. Until commit or cancel
/// every other call on the handle but close answers `PRODCON_INVALID`.
///
/// - Waits: no. Whether the queue is full, ready or stopped matters at the commit only.
/// - Returns: `PRODCON_TOO_LARGE`; `PRODCON_INVALID` if an item is in hand, a block is reserved
///   already, or `len` is not the size of the queue's type; `PRODCON_NO_SEAT` as
///   `prodcon_queue_put`.
/// - Ownership: the block is yours until commit succeeds, cancel or close. It is aligned to 8
///   bytes, or as the queue's options say.
/// - Threads: one at a time on the handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_reserve(
    queue: *mut Queue,
    len: usize,
    data: *mut *mut c_void,
) -> Status {
    let work = |endpoint: &mut Endpoint| {
        let data = output(data, "data")?;
        let block = endpoint.reserve(len)?;
        // SAFETY: the caller's variable.
        unsafe { data.write(block.cast()) };
        Ok(())
    };
    // SAFETY: what create or attach wrote, by the contract of the C function.
    unsafe { with(queue, "reserve", true, work) }
}

/// Puts the first `len` bytes of the reserved block, at most as many as were reserved.
///
/// - Waits: as `prodcon_queue_put`.
/// - Returns: unless it is `PRODCON_OK`, nothing was put, and the block is still reserved with what
///   is in it. Commit it again, or cancel it. `PRODCON_INVALID` if no block is reserved,
///   `PRODCON_TOO_LARGE` if `len` is more than was reserved; else as `prodcon_queue_put`.
/// - Ownership: after `PRODCON_OK` the block is no longer yours.
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_commit(
    queue: *mut Queue,
    len: usize,
    timeout_ns: i64,
) -> Status {
    // SAFETY: what create or attach wrote, by the contract of the C function.
    unsafe {
        with(queue, "commit", true, |endpoint| {
            endpoint.commit(len, timeout_ns)
        })
    }
}

/// Forgets the reserved block; nothing is put.
///
/// - Returns: `PRODCON_INVALID` if no block is reserved.
/// - Ownership: the block is no longer yours.
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_cancel(queue: *mut Queue) -> Status {
    // SAFETY: what create or attach wrote, by the contract of the C function.
    unsafe { with(queue, "cancel", true, Endpoint::cancel) }
}

/// Takes the oldest item in place: `*data` and `*len` say where it is, inside the queue. It is in
/// hand until it is settled: by `prodcon_queue_ack` when the work is done, by
/// `prodcon_queue_nack`, or by `prodcon_queue_drop`. Meanwhile put, get, reserve and take answer
/// `PRODCON_INVALID` on this handle.
///
/// If this process ends before that, killed or not, another consumer gets the item
/// (at-least-once), or it is counted as lost.
///
/// - Waits: as `prodcon_queue_get`.
/// - Returns: as `prodcon_queue_get`, except for `PRODCON_TOO_LARGE`.
/// - Ownership: the bytes may be read until the item is settled or the handle closed. They are
///   aligned to 8 bytes, or as the queue's options say.
/// - Threads: one at a time on the handle; any may read the bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_take(
    queue: *mut Queue,
    data: *mut *const c_void,
    len: *mut usize,
    timeout_ns: i64,
) -> Status {
    let work = |endpoint: &mut Endpoint| {
        let (data, len) = (output(data, "data")?, output(len, "len")?);
        let (item, length) = endpoint.take(timeout_ns)?;
        // SAFETY: the caller's variable.
        unsafe { data.write(item.cast()) };
        // SAFETY: the caller's variable.
        unsafe { len.write(length) };
        Ok(())
    };
    // SAFETY: what create or attach wrote, by the contract of the C function.
    unsafe { with(queue, "take", true, work) }
}

/// Takes all items of the oldest block in place, in a queue of a plain type: `*data` is an array
/// of `*count` of them. In a queue without batches that is one item. They are in hand together:
/// ack, nack and drop settle them all.
///
/// - Waits: as `prodcon_queue_get`, until a block is there. It does not wait for the block to be
///   full.
/// - Returns: as `prodcon_queue_take`; also `PRODCON_INVALID` if the queue's items are bytes.
/// - Ownership: as `prodcon_queue_take`.
/// - Threads: one at a time on the handle; any may read the items.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_take_slice(
    queue: *mut Queue,
    data: *mut *const c_void,
    count: *mut usize,
    timeout_ns: i64,
) -> Status {
    let work = |endpoint: &mut Endpoint| {
        let (data, count) = (output(data, "data")?, output(count, "count")?);
        let (items, number) = endpoint.take_slice(timeout_ns)?;
        // SAFETY: the caller's variable.
        unsafe { data.write(items.cast()) };
        // SAFETY: the caller's variable.
        unsafe { count.write(number) };
        Ok(())
    };
    // SAFETY: what create or attach wrote, by the contract of the C function.
    unsafe { with(queue, "take_slice", true, work) }
}

/// Acknowledges what is in hand: the work on it is done, and nobody else gets it. What is in hand
/// comes from take, from take_slice, or from a get whose buffer was too small.
///
/// - Returns: `PRODCON_INVALID` if nothing is in hand.
/// - Ownership: the bytes may not be read any more.
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_ack(queue: *mut Queue) -> Status {
    // SAFETY: what create or attach wrote, by the contract of the C function.
    unsafe { with(queue, "ack", true, Endpoint::ack) }
}

/// Gives back what is in hand, to another consumer of an at-least-once queue. Where the queue has
/// no free seat, this handle's next take or get has it again, and until then puts answer
/// `PRODCON_NO_SEAT`. In a queue with batches the rest of the block goes with it.
///
/// - Returns: `PRODCON_INVALID` if nothing is in hand, or if the queue is at-most-once. In the
///   latter case the item stays in hand.
/// - Ownership: the bytes may not be read any more.
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_nack(queue: *mut Queue) -> Status {
    // SAFETY: what create or attach wrote, by the contract of the C function.
    unsafe { with(queue, "nack", true, Endpoint::nack) }
}

/// Lets go of what is in hand without saying whether the work is done. It is given back, as by
/// `prodcon_queue_nack`, or counts as got where the queue is at-most-once. This is for destructors
/// and for returns after an error.
///
/// - Returns: `PRODCON_INVALID` if nothing is in hand.
/// - Ownership: the bytes may not be read any more.
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_drop(queue: *mut Queue) -> Status {
    // SAFETY: what create or attach wrote, by the contract of the C function.
    unsafe { with(queue, "drop", true, Endpoint::drop_in_hand) }
}

/// Says what identifies an item in hand. `number` counts those in hand from 0: after take and get
/// there is one. Set `id->size` first.
///
/// - Returns: `PRODCON_INVALID` if no such item is in hand, or if `id->size` is less than 8 or
///   more than 65536.
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_item_id(
    queue: *mut Queue,
    number: usize,
    id: *mut ItemId,
) -> Status {
    let work = |endpoint: &mut Endpoint| {
        output(id, "id")?;
        let mut found = ItemId::from(endpoint.item_id(number)?);
        // SAFETY: the caller's struct, with its size in the first field; `found` is plain data without
        // padding (asserted where it is defined).
        unsafe { sized_output(id, &mut found, "id") }
    };
    // SAFETY: what create or attach wrote, by the contract of the C function.
    unsafe { with(queue, "item_id", true, work) }
}

/// Says how many times what is in hand has been delivered, this time included. If it is more than
/// 1, a consumer was killed with it or gave it back.
///
/// - Returns: `PRODCON_INVALID` if nothing is in hand.
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_delivery_count(
    queue: *mut Queue,
    count: *mut u32,
) -> Status {
    let work = |endpoint: &mut Endpoint| {
        let count = output(count, "count")?;
        let number = endpoint.delivery_count()?;
        // SAFETY: the caller's variable.
        unsafe { count.write(number) };
        Ok(())
    };
    // SAFETY: what create or attach wrote, by the contract of the C function.
    unsafe { with(queue, "delivery_count", true, work) }
}
