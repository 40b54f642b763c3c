//! The exported functions that open and close queues, put and get. Each checks its pointers and leaves the rest to [`Endpoint`].

use crate::endpoint::{Endpoint, Got};
use crate::failure::{Failure, output, run, string};
use crate::handle::{Queue, at_once_with, close, open, with};
use crate::status::*;
use rust::{Delivery, ReadyQueue};
use std::ffi::{c_char, c_void};

/// Flag: a put on the full queue drops the oldest item and never waits.
pub const PRODCON_LOSSY: u32 = 1;
/// Flag: the item that a killed consumer had in hand goes to another consumer (else it is counted as lost).
pub const PRODCON_AT_LEAST_ONCE: u32 = 2;
/// Flag, for create only: the queue begins not ready; puts answer `PRODCON_NOT_READY` until `prodcon_queue_set_ready`.
pub const PRODCON_CREATE_NOT_READY: u32 = 4;

/// How a queue is created. Set `size`, then what differs from 0: `prodcon_options options = { sizeof options, 1024, 64 };`
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct Options {
    /// sizeof this struct, as the caller was compiled. A smaller one is taken as if the rest were 0; of a larger one the rest must be 0.
    pub size: u32,
    /// Items that the queue holds, at least 1.
    pub capacity: u32,
    /// The longest item in bytes, at least 1.
    pub item_size: u32,
    /// Endpoints that can be attached at once, 1 to 1023; 0: 64.
    pub seats: u32,
    /// PRODCON_LOSSY, PRODCON_AT_LEAST_ONCE, PRODCON_CREATE_NOT_READY, or'ed.
    pub flags: u32,
    /// Permission bits of the segment's file, such as 0660; 0: 0600.
    pub mode: u32,
}

impl Options {
    /// # Safety
    /// `from` is NULL, or points to a `u32` that says how many bytes are readable there.
    unsafe fn read(from: *const Self) -> Result<Self, Failure> {
        if from.is_null() {
            return Err(Failure::invalid(
                "the options are NULL: pass the address of a prodcon_options with its size in the first field",
            ));
        }
        let own = size_of::<Self>();
        // SAFETY: not NULL, and a u32 at least by this function's contract.
        let size = unsafe { from.cast::<u32>().read_unaligned() } as usize;
        if size < 4 {
            return Err(Failure::invalid(format!("options.size is {size}: set it to sizeof(prodcon_options), {own}")));
        }
        let mut options = Self::default();
        // SAFETY: min(size, own) bytes are readable at `from` by this function's contract, and writable in `options`, which any bytes may fill.
        unsafe { std::ptr::copy_nonoverlapping(from.cast::<u8>(), (&raw mut options).cast::<u8>(), size.min(own)) };
        for at in own..size.min(4096) {
            // SAFETY: at < size.
            let byte = unsafe { from.cast::<u8>().add(at) };
            // SAFETY: as above.
            if unsafe { byte.read() } != 0 {
                return Err(Failure::invalid(format!(
                    "options.size is {size}, and byte {at} is not 0: this library ({}) knows {own} bytes; set the rest to 0, or use a newer library",
                    env!("CARGO_PKG_VERSION")
                )));
            }
        }
        if size > 4096 {
            return Err(Failure::invalid(format!("options.size is {size}: set it to sizeof(prodcon_options), {own}")));
        }
        Ok(options)
    }

    fn for_rust(self) -> Result<rust::Options, Failure> {
        let unknown = self.flags & !(PRODCON_LOSSY | PRODCON_AT_LEAST_ONCE | PRODCON_CREATE_NOT_READY);
        if unknown != 0 {
            return Err(Failure::invalid(format!(
                "options.flags has unknown bits {unknown:#x}: use PRODCON_LOSSY, PRODCON_AT_LEAST_ONCE, PRODCON_CREATE_NOT_READY"
            )));
        }
        if self.item_size == 0 {
            return Err(Failure::invalid("options.item_size is 0: set it to the longest item in bytes"));
        }
        let mut options = rust::Options::new(self.capacity).item_size(self.item_size as usize);
        options = options.lossy(self.flags & PRODCON_LOSSY != 0).ready(self.flags & PRODCON_CREATE_NOT_READY == 0);
        if self.flags & PRODCON_AT_LEAST_ONCE != 0 {
            options = options.delivery(Delivery::AtLeastOnce);
        }
        if self.seats != 0 {
            options = options.seats(self.seats);
        }
        Ok(if self.mode == 0 { options } else { options.mode(self.mode) })
    }
}

/// Creates a queue of bytes under a name that is not taken, and attaches to it (one seat).
///
/// Ownership: `*out` is the caller's, to be closed with `prodcon_queue_close`. The queue itself outlives it: `prodcon_queue_unlink` removes the name.
/// NULL: `PRODCON_INVALID` for any argument. Blocks: for some milliseconds at most. Threads: any. Fork: call it in the process that uses the handle.
/// On failure `*out` is not written: `PRODCON_EXISTS`; `PRODCON_INVALID` (a bad name: use 1 to 200 of A-Z a-z 0-9 . _ -, not beginning with . or -; a number out of range);
/// `PRODCON_NOT_FOUND` (no segment directory: `/dev/shm`, or what the environment variable `PRODCON_DIR` says); `PRODCON_OS` (permission, space).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_create(name: *const c_char, options: *const Options, out: *mut *mut Queue) -> Status {
    run(|| {
        let out = output(out, "out")?;
        // SAFETY: a C string or NULL by the contract of the C function.
        let name = unsafe { string(name, "name of the queue") }?;
        // SAFETY: by the contract of the C function.
        let options = unsafe { Options::read(options) }?.for_rust()?;
        let queue: *mut Queue = open(Endpoint::new(ReadyQueue::create(name, &options)?));
        // SAFETY: the caller's variable.
        unsafe { out.write(queue) };
        Ok(())
    })
}

/// Attaches to a queue by name (one seat). A queue of a plain type can be attached to as well; its items then have exactly the type's size.
///
/// Ownership: `*out` is the caller's, to be closed with `prodcon_queue_close`. NULL: `PRODCON_INVALID` for any argument. Blocks: for some milliseconds at most.
/// Threads: any. Fork: call it in the process that uses the handle.
/// On failure `*out` is not written: `PRODCON_NOT_FOUND`, `PRODCON_NO_SEAT`, `PRODCON_INCOMPATIBLE`, `PRODCON_CORRUPT`, `PRODCON_INVALID` (bad name), `PRODCON_OS`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_attach(name: *const c_char, out: *mut *mut Queue) -> Status {
    run(|| {
        let out = output(out, "out")?;
        // SAFETY: a C string or NULL by the contract of the C function.
        let name = unsafe { string(name, "name of the queue") }?;
        let queue: *mut Queue = open(Endpoint::new(ReadyQueue::attach(name)?));
        // SAFETY: the caller's variable.
        unsafe { out.write(queue) };
        Ok(())
    })
}

/// Closes a handle and frees its seat. An item in hand is given back (at-least-once) or counted as lost; a reserved block is forgotten. Pointers from reserve and take end here.
///
/// NULL: nothing happens. Blocks: no. Threads: while another thread is inside a call on the handle nothing happens (`prodcon_last_error` says so), and it stays open.
/// Fork: in a forked child it frees the handle and leaves the parent's seat alone. A closed handle is recognised (every call answers `PRODCON_INVALID`, a second close does nothing)
/// until 64 other handles were closed, and is not to be used at any time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_close(queue: *mut Queue) {
    if !queue.is_null() {
        // SAFETY: what create or attach wrote, by the contract of the C function.
        let _ = unsafe { close(queue, "close", drop) };
    }
}

/// Removes a queue's name. Who is attached keeps the memory; who comes later does not find it.
///
/// NULL: `PRODCON_INVALID`. Blocks: no. Threads, fork: any. Fails with `PRODCON_NOT_FOUND`, `PRODCON_INVALID` (bad name), `PRODCON_OS`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_unlink(name: *const c_char) -> Status {
    run(|| {
        // SAFETY: a C string or NULL by the contract of the C function.
        Ok(rust::unlink(unsafe { string(name, "name of the queue") }?)?)
    })
}

/// Input that C says is `len` bytes long.
#[inline(always)]
pub(crate) fn input(data: *const c_void, len: usize, what: &'static str) -> Result<*const u8, Failure> {
    if data.is_null() { no_input(len, what) } else { Ok(data.cast()) }
}

#[cold]
fn no_input(len: usize, what: &'static str) -> Result<*const u8, Failure> {
    if len == 0 {
        return Ok(std::ptr::dangling());
    }
    Err(Failure::invalid(format!("'{what}' is NULL, but its length is {len}")))
}

/// Puts a copy of an item.
///
/// Ownership: `data` stays the caller's. NULL: `PRODCON_INVALID`, but `data` may be NULL if `len` is 0 (an item of no bytes). Blocks: while the queue is full and not lossy, for `timeout_ns`
/// (0: not at all, `PRODCON_FULL`; negative: as long as it takes; else `PRODCON_TIMED_OUT`). Threads: one at a time on a handle. Fork: `PRODCON_FORKED` in a child.
/// Nothing was put if it does not answer `PRODCON_OK`: also `PRODCON_NOT_READY`, `PRODCON_STOPPED`, `PRODCON_TOO_LARGE`, `PRODCON_INVALID` (a block is reserved; an item in hand; not the
/// exact size on a queue of a plain type), `PRODCON_NOT_FOUND` (the name was removed while it slept), `PRODCON_EXHAUSTED`, `PRODCON_CORRUPT`, `PRODCON_OS`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_put(queue: *mut Queue, data: *const c_void, len: usize, timeout_ns: i64) -> Status {
    // SAFETY: readable for len bytes by the contract of the C function.
    let at_once = |endpoint: &mut Endpoint| unsafe { endpoint.put_at_once(data.cast(), len) }.then_some(());
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
unsafe fn put_slowly(queue: *mut Queue, data: *const c_void, len: usize, timeout_ns: i64) -> Status {
    let work = |endpoint: &mut Endpoint| {
        let data = input(data, len, "data")?;
        // SAFETY: readable for len bytes by the contract of the C function.
        unsafe { endpoint.put(data, len, timeout_ns) }
    };
    // SAFETY: what create or attach wrote, by the contract of the C function.
    unsafe { with(queue, "put", true, work) }
}

/// Gets the oldest item into a buffer and acknowledges it; `*len` is its length.
///
/// Ownership: `buffer` is the caller's. NULL: `PRODCON_INVALID`, but `buffer` may be NULL if `size` is 0. Blocks: while there is no item, or the queue is not ready, for `timeout_ns`
/// (0: not at all, `PRODCON_EMPTY`; negative: as long as it takes; else `PRODCON_TIMED_OUT`). Threads: one at a time on a handle. Fork: `PRODCON_FORKED` in a child.
/// An item longer than `size` gives `PRODCON_TOO_LARGE`, with `*len` its length: it is in hand now, and the next get with a buffer that is large enough gives it
/// (`prodcon_queue_release` throws it away, `prodcon_queue_nack` gives it back). On any other failure `*len` and the buffer are not written: also
/// `PRODCON_STOPPED` (end of stream), `PRODCON_INVALID` (a block is reserved, an item was taken and not released), `PRODCON_NOT_FOUND`, `PRODCON_EXHAUSTED`, `PRODCON_CORRUPT`, `PRODCON_OS`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_get(queue: *mut Queue, buffer: *mut c_void, size: usize, len: *mut usize, timeout_ns: i64) -> Status {
    if !len.is_null() {
        // SAFETY: writable for size bytes by the contract of the C function.
        let at_once = |endpoint: &mut Endpoint| unsafe { endpoint.get_at_once(buffer.cast(), size) };
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
unsafe fn get_slowly(queue: *mut Queue, buffer: *mut c_void, size: usize, len: *mut usize, timeout_ns: i64) -> Status {
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

/// Zero-copy put, first step: `*data` is a block of `len` bytes inside the queue, to be filled and then committed. It shows what some earlier item left there.
///
/// Ownership: the block is the caller's until commit succeeds, cancel or close. It is aligned to 8 bytes. NULL: `PRODCON_INVALID`. Blocks: no. Threads: one at a time on a handle.
/// Fork: `PRODCON_FORKED` in a child, which has no access to the block either. While a block is reserved, everything but commit and cancel (and close) answers `PRODCON_INVALID` on this handle.
/// On failure `*data` is not written: `PRODCON_TOO_LARGE`, `PRODCON_INVALID` (a block is reserved already, an item in hand, not the exact size on a queue of a plain type).
/// Whether the queue is ready, full or stopped counts at the commit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_reserve(queue: *mut Queue, len: usize, data: *mut *mut c_void) -> Status {
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

/// Zero-copy put, second step: puts the first `len` bytes of the reserved block, at most as many as were reserved. After `PRODCON_OK` the block is not the caller's any more.
///
/// NULL: `PRODCON_INVALID`. Blocks, threads, fork, failures: as `prodcon_queue_put`; `PRODCON_INVALID` if no block is reserved, `PRODCON_TOO_LARGE` if `len` is more than was reserved.
/// After a failure the block is still reserved, with what is in it: commit again, or cancel.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_commit(queue: *mut Queue, len: usize, timeout_ns: i64) -> Status {
    // SAFETY: what create or attach wrote, by the contract of the C function.
    unsafe { with(queue, "commit", true, |endpoint| endpoint.commit(len, timeout_ns)) }
}

/// Forgets the reserved block; nothing is put.
///
/// NULL: `PRODCON_INVALID`. Blocks: no. Threads: one at a time on a handle. Fork: `PRODCON_FORKED` in a child. `PRODCON_INVALID` if no block is reserved.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_cancel(queue: *mut Queue) -> Status {
    // SAFETY: what create or attach wrote, by the contract of the C function.
    unsafe { with(queue, "cancel", true, Endpoint::cancel) }
}

/// Zero-copy get: `*data` and `*len` are the oldest item, inside the queue. It is in hand until `prodcon_queue_release` (acknowledged) or `prodcon_queue_nack`.
///
/// Ownership: the bytes may be read until release, nack or close. They are aligned to 8 bytes. NULL: `PRODCON_INVALID`. Blocks: as `prodcon_queue_get`. Threads: one at a time on a handle; other threads may
/// read the bytes. Fork: `PRODCON_FORKED` in a child, which has no access to the bytes either. While the item is in hand, put, get, reserve and take answer `PRODCON_INVALID` on this handle.
/// If this process is killed with the item in hand, another consumer gets it (at-least-once), or it is counted as lost.
/// On failure nothing is written; the failures are those of `prodcon_queue_get` but for `PRODCON_TOO_LARGE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_take(queue: *mut Queue, data: *mut *const c_void, len: *mut usize, timeout_ns: i64) -> Status {
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

/// Acknowledges the item in hand (from take, or from a get whose buffer was too small). Its bytes may not be read any more.
///
/// NULL: `PRODCON_INVALID`. Blocks: no. Threads: one at a time on a handle. Fork: `PRODCON_FORKED` in a child. `PRODCON_INVALID` if no item is in hand.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_release(queue: *mut Queue) -> Status {
    // SAFETY: what create or attach wrote, by the contract of the C function.
    unsafe { with(queue, "release", true, Endpoint::release) }
}

/// Gives the item in hand back, for another consumer of an at-least-once queue (or for this handle's next get, if the queue has no free seat). Its bytes may not be read any more.
///
/// NULL: `PRODCON_INVALID`. Blocks: no. Threads: one at a time on a handle. Fork: `PRODCON_FORKED` in a child.
/// `PRODCON_INVALID` if no item is in hand, or if the queue is at-most-once: then the item stays in hand.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_nack(queue: *mut Queue) -> Status {
    // SAFETY: what create or attach wrote, by the contract of the C function.
    unsafe { with(queue, "nack", true, Endpoint::nack) }
}
