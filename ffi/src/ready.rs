//! The exported functions that wait without a call of ours: descriptors that become readable, and
//! looks at items that stay where they are.

use crate::endpoint::{Endpoint, Queue};
use crate::failure::{Failure, input, output, sized_output};
use crate::handle::{Handle, Shell, close, open, with};
use crate::item_id::ItemId;
use crate::status::*;
use crate::wait::{PRODCON_READABLE, PRODCON_WRITABLE};
use rust::ReadyFd;
use std::collections::VecDeque;
use std::ffi::{c_int, c_void};
use std::os::fd::AsRawFd;
use std::sync::Mutex;
use std::sync::atomic::AtomicPtr;

/// What is behind a `prodcon_fd *`.
#[derive(Debug)]
pub struct Ready {
    ready: ReadyFd,
    /// The queue's name.
    pub(crate) name: String,
}

/// A descriptor that becomes readable when a get or a put on a queue is worth a try. One thread at
/// a time may use it, in the process that made it.
#[derive(Debug)]
pub struct Fd(Shell<Ready>);

impl Handle for Fd {
    type Content = Ready;
    const NAME: &'static str = "descriptor";
    const MARK: u32 = u32::from_be_bytes(*b"pcF\0");

    fn name(content: &Ready) -> &str {
        &content.name
    }
    fn new() -> Self {
        Self(Shell::closed(Self::CLOSED))
    }
    fn shell(&self) -> &Shell<Ready> {
        &self.0
    }
    fn last_closed() -> &'static AtomicPtr<Self> {
        static LAST: AtomicPtr<Fd> = AtomicPtr::new(std::ptr::null_mut());
        &LAST
    }
    fn pool() -> &'static Mutex<VecDeque<&'static Self>> {
        static POOL: Mutex<VecDeque<&'static Fd>> = Mutex::new(VecDeque::new());
        &POOL
    }
}

/// Makes a descriptor that becomes readable when a get (`PRODCON_READABLE`) or a put
/// (`PRODCON_WRITABLE`) is worth a try, for poll, epoll and event loops. Nothing happens until
/// `prodcon_fd_arm`.
///
/// The first armed descriptor of a process starts a thread, `prodcon-wait`, in which all signals are
/// blocked. It waits for all descriptors, and looks after dead processes meanwhile.
///
/// It looks at the queue, and not at the handle. So get until `PRODCON_EMPTY` before arming it: the
/// rest of a block of several items does not make it readable.
///
/// - Returns: `PRODCON_INVALID` for another `interest`; `PRODCON_NOT_FOUND` if the queue's name was
///   removed and it cannot be opened a second time; `PRODCON_OS`.
/// - Ownership: close it with `prodcon_fd_close`, before or after the queue.
/// - Threads: one at a time on the queue's handle, and one at a time on the `prodcon_fd`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_ready_fd(
    queue: *mut Queue,
    interest: u32,
    fd: *mut *mut Fd,
) -> Status {
    let work = |endpoint: &mut Endpoint| {
        let fd = output(fd, "fd")?;
        endpoint.nothing_reserved("ready_fd")?;
        let interest = match interest {
            PRODCON_READABLE => endpoint.queue.readable(),
            PRODCON_WRITABLE => endpoint.queue.writable(),
            other => {
                return Err(Failure::invalid(format!(
                    "ready_fd: {other} is no interest: use PRODCON_READABLE or PRODCON_WRITABLE"
                )));
            }
        };
        let ready = interest.fd()?;
        let name = endpoint.name().to_owned();
        // SAFETY: the caller's variable.
        unsafe { fd.write(open(Ready { ready, name })) };
        Ok(())
    };
    // SAFETY: what create or attach wrote, by the contract of the C function.
    unsafe { with(queue, "ready_fd", false, work) }
}

/// Gives the number of the descriptor. Poll it for POLLIN; do not read, write or close it.
///
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_fd_number(fd: *mut Fd, number: *mut c_int) -> Status {
    let work = |fd: &mut Ready| {
        let number = output(number, "number")?;
        // SAFETY: the caller's variable.
        unsafe { number.write(fd.ready.as_raw_fd()) };
        Ok(())
    };
    // SAFETY: what prodcon_queue_ready_fd wrote, by the contract of the C function.
    unsafe { with(fd, "fd_number", false, work) }
}

/// Resets the descriptor and arms it: it becomes readable once, when there is something to try.
/// `*ready` is true if there is something already; then it is not armed, so try and do not poll.
///
/// The loop is: get (or put) with timeout 0 until `PRODCON_EMPTY` (or `PRODCON_FULL`); arm; unless
/// `*ready`, poll. Another process may be faster, so the next try may find nothing.
///
/// - Returns: `PRODCON_NOT_FOUND` if the queue's name was removed; `PRODCON_CANCELLED`;
///   `PRODCON_OS`.
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_fd_arm(fd: *mut Fd, ready: *mut bool) -> Status {
    let work = |fd: &mut Ready| {
        let ready = output(ready, "ready")?;
        let now = fd.ready.arm()?;
        // SAFETY: the caller's variable.
        unsafe { ready.write(now) };
        Ok(())
    };
    // SAFETY: what prodcon_queue_ready_fd wrote, by the contract of the C function.
    unsafe { with(fd, "fd_arm", false, work) }
}

/// Closes a descriptor. If it is armed, or became readable and was not armed again, another waiter
/// is woken instead. NULL is fine.
///
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_fd_close(fd: *mut Fd) {
    if !fd.is_null() {
        // SAFETY: what prodcon_queue_ready_fd wrote, by the contract of the C function.
        let _ = unsafe { close(fd, "fd_close", drop) };
    }
}

/// Copies the newest item without taking it. `*len` is its length, and `*id`, unless `id` is NULL,
/// says which item it is: set `id->size` first. A lossy queue from which no one takes is a register
/// that always has the latest value. The call changes nothing, and you may make it while an item is
/// in hand.
///
/// - Returns: `PRODCON_EMPTY` if there is no item, or if each of several attempts was overtaken, as
///   can happen with large items under heavy traffic; `PRODCON_TOO_LARGE` if the item is longer than
///   `size` (`*len` is its length); `PRODCON_CORRUPT`.
/// - Ownership: `buffer` is yours. It may be NULL if `size` is 0.
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_latest(
    queue: *mut Queue,
    buffer: *mut c_void,
    size: usize,
    len: *mut usize,
    id: *mut ItemId,
) -> Status {
    // SAFETY: the contract of the C function.
    unsafe { observe(queue, "latest", buffer, size, len, id) }
}

/// Copies the oldest item without taking it. The next get gets this item, unless another consumer
/// is faster or an item comes back. In all else it works as `prodcon_queue_latest`.
///
/// - Returns: as `prodcon_queue_latest`.
/// - Ownership: `buffer` is yours. It may be NULL if `size` is 0.
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_peek(
    queue: *mut Queue,
    buffer: *mut c_void,
    size: usize,
    len: *mut usize,
    id: *mut ItemId,
) -> Status {
    // SAFETY: the contract of the C function.
    unsafe { observe(queue, "peek", buffer, size, len, id) }
}

/// # Safety
/// As `prodcon_queue_latest`.
unsafe fn observe(
    queue: *mut Queue,
    call: &'static str,
    buffer: *mut c_void,
    size: usize,
    len: *mut usize,
    id: *mut ItemId,
) -> Status {
    let work = |endpoint: &mut Endpoint| {
        let to = input(buffer, size, "buffer")?.cast_mut();
        let len = output(len, "len")?;
        endpoint.nothing_reserved(call)?;
        let seen = if call == "latest" {
            endpoint.queue.latest()?
        } else {
            endpoint.queue.peek()?
        };
        let Some((which, item)) = seen else {
            return Err(Failure::answer(PRODCON_EMPTY, "shows no item"));
        };
        if item.len() <= size {
            // First what may be refused.
            if !id.is_null() {
                let mut which = ItemId::from(which);
                // SAFETY: the caller's struct, with its size in the first field; `which` is plain data
                // without padding.
                unsafe { sized_output(id, &mut which, "id") }?;
            }
            // SAFETY: writable for size bytes by the contract of the C function; the copy is our own.
            unsafe { std::ptr::copy_nonoverlapping(item.as_ptr(), to, item.len()) };
        }
        // SAFETY: the caller's variable.
        unsafe { len.write(item.len()) };
        if item.len() > size {
            return Err(Failure::with(
                PRODCON_TOO_LARGE,
                format!(
                    "{call}: the item in queue '{}' has {} bytes, the buffer {size}: use a larger buffer",
                    endpoint.name(),
                    item.len()
                ),
            ));
        }
        Ok(())
    };
    // SAFETY: what create or attach wrote, by the contract of the C function.
    unsafe { with(queue, call, false, work) }
}
