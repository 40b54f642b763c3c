//! The numbers that functions answer, and what they mean. Frozen: programs outside are compiled
//! against them.

use std::ffi::{CStr, c_char};

/// What a function returns: `PRODCON_OK` (0), or another of the `PRODCON_` numbers. These numbers
/// never change. Later versions may have more of them.
pub type Status = i32;

/// Done.
pub const PRODCON_OK: i32 = 0;
/// No space, and the call was not to wait.
pub const PRODCON_FULL: i32 = 1;
/// No item, and the call was not to wait.
pub const PRODCON_EMPTY: i32 = 2;
/// What was waited for did not happen in the time given.
pub const PRODCON_TIMED_OUT: i32 = 3;
/// The queue is not ready: its consumer has to set it ready.
pub const PRODCON_NOT_READY: i32 = 4;
/// The queue is stopped, or at its end (end of stream).
pub const PRODCON_STOPPED: i32 = 5;
/// The item is longer than the queue's items can be, than the buffer, or than what was reserved.
pub const PRODCON_TOO_LARGE: i32 = 6;
/// No such queue, or its name was removed while attached.
pub const PRODCON_NOT_FOUND: i32 = 7;
/// A queue of that name exists already.
pub const PRODCON_EXISTS: i32 = 8;
/// The queue was made for something else, or by another version.
pub const PRODCON_INCOMPATIBLE: i32 = 9;
/// All seats of the queue are taken.
pub const PRODCON_NO_SEAT: i32 = 10;
/// The queue's memory contradicts itself.
pub const PRODCON_CORRUPT: i32 = 11;
/// The handle was made before a fork, and this is the child: attach again.
pub const PRODCON_FORKED: i32 = 12;
/// The call makes no sense: NULL, a bad name or number, a closed handle, two threads at once, or
/// not now (an item is in hand, a block is reserved).
pub const PRODCON_INVALID: i32 = 13;
/// The operating system refused: permission, space, descriptors. `prodcon_last_error` says which.
pub const PRODCON_OS: i32 = 14;
/// A bug inside prodcon. The handle can only be closed.
pub const PRODCON_PANIC: i32 = 15;
/// The queue's positions are used up, after years of use: remove the queue and create it again.
pub const PRODCON_EXHAUSTED: i32 = 16;
/// The wait was ended, because the handle's token was cancelled.
pub const PRODCON_CANCELLED: i32 = 17;
/// The queue exists with other options; `prodcon_last_error` lists the differences.
pub const PRODCON_DIFFERS: i32 = 18;

/// Says in a few English words what a status means.
///
/// - Returns: the text; "unknown status" for a number that this version does not know. Never
///   NULL.
/// - Ownership: static, not to be freed.
/// - Threads: any, also after a fork.
#[unsafe(no_mangle)]
pub extern "C" fn prodcon_status_text(status: Status) -> *const c_char {
    text(status).as_ptr()
}

fn text(status: Status) -> &'static CStr {
    match status {
        PRODCON_OK => c"ok",
        PRODCON_FULL => c"the queue is full",
        PRODCON_EMPTY => c"the queue is empty",
        PRODCON_TIMED_OUT => c"timed out",
        PRODCON_NOT_READY => c"the queue is not ready",
        PRODCON_STOPPED => c"the queue is stopped, or at its end",
        PRODCON_TOO_LARGE => c"too large",
        PRODCON_NOT_FOUND => c"no such queue",
        PRODCON_EXISTS => c"the queue exists already",
        PRODCON_INCOMPATIBLE => c"the queue does not fit",
        PRODCON_NO_SEAT => c"no free seat",
        PRODCON_CORRUPT => c"the queue is damaged",
        PRODCON_FORKED => c"the handle belongs to the parent process",
        PRODCON_INVALID => c"invalid call",
        PRODCON_OS => c"the operating system refused",
        PRODCON_PANIC => c"a bug inside prodcon",
        PRODCON_EXHAUSTED => c"positions or epochs are used up",
        PRODCON_CANCELLED => c"cancelled",
        PRODCON_DIFFERS => c"the queue has other options",
        _ => c"unknown status",
    }
}

/// Gives the version of the library that runs.
///
/// - Returns: a text such as "0.2.0". Never NULL.
/// - Ownership: static, not to be freed.
/// - Threads: any, also after a fork.
#[unsafe(no_mangle)]
pub extern "C" fn prodcon_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
