//! Holds off `pthread_cancel` while a call is inside the library.
//!
//! A cancellation is an unwinding that begins in a function of the C library, such as `open`. It must not go
//! through Rust: `catch_unwind` ends the process, and what a call has half done would stay so.
//!
//! Claim: no call of this crate is a cancellation point. The C library has them in few functions (`open`, `close`,
//! `read`, `write`, `nanosleep`, `getrandom`, ...), and whatever reaches one of these runs under a [`Held`]. The
//! short ways, which put and get what is there, reach none, so they go without: two calls of the C library, each
//! with an atomic exchange, would cost as much as the put. `c/tests/cancel.c` calls everything with a cancellation
//! pending, which the first point would take.

use std::ffi::c_int;

const DISABLE: c_int = 1; // PTHREAD_CANCEL_DISABLE, of glibc and of musl

unsafe extern "C" {
    // The crate libc does not have it for Linux.
    fn pthread_setcancelstate(state: c_int, old: *mut c_int) -> c_int;
}

/// This thread is not cancelled before it is dropped; then its state is what it was.
#[derive(Debug)]
#[must_use]
pub struct Held(c_int);

impl Held {
    /// Begins.
    pub fn begin() -> Self {
        let mut old = DISABLE;
        // SAFETY: writes the old state to a variable of ours, and changes nothing but this thread's state.
        let _ = unsafe { pthread_setcancelstate(DISABLE, &raw mut old) }; // fails for unknown states only
        Self(old)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: as in `begin`; NULL says that the old state is not wanted. It is no cancellation point: one that
        // is pending comes later, unless the thread's type is asynchronous, with which nothing here may be called.
        let _ = unsafe { pthread_setcancelstate(self.0, std::ptr::null_mut()) };
    }
}
