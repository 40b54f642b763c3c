//! Opens files, and event descriptors, at numbers that are nobody's standard streams.
//!
//! A program that was started with descriptor 0, 1 or 2 closed gets the next file that it opens
//! there, and with the next `printf` its text is in that file. So none of our files has such a
//! number, not even for a moment.

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{CWD, Mode, OFlags};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

/// The first number that is not a standard stream's.
const FIRST: RawFd = 3;

/// Opens a file as `open(2)` does, at number 3 or above and closed on exec.
pub(crate) fn open(path: &Path, flags: OFlags, mode: Mode) -> rustix::io::Result<File> {
    above_streams(|| rustix::fs::openat(CWD, path, flags | OFlags::CLOEXEC, mode)).map(File::from)
}

/// What `make` makes, at 3 or above.
pub(crate) fn above_streams(
    make: impl FnOnce() -> rustix::io::Result<OwnedFd>,
) -> rustix::io::Result<OwnedFd> {
    let _stopgaps = fill_the_low()?;
    let made = make()?;
    if made.as_raw_fd() >= FIRST {
        return Ok(made);
    }
    // Another thread has closed a low number just now.
    rustix::io::fcntl_dupfd_cloexec(&made, FIRST)
}

/// Takes whatever low numbers are free, for as long as the answer lives. The descriptors there
/// cannot be written to or read from.
fn fill_the_low() -> rustix::io::Result<Vec<OwnedFd>> {
    let mut stopgaps = vec![];
    for number in 0..FIRST {
        // SAFETY: asks the kernel about a number, which it checks.
        if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
            stopgaps.push(rustix::fs::openat(
                CWD,
                "/",
                OFlags::PATH | OFlags::CLOEXEC,
                Mode::empty(),
            )?);
        }
    }
    Ok(stopgaps)
}

/// A descriptor that is readable while it is set. Closed on exec.
#[derive(Debug)]
pub(crate) struct EventFd(OwnedFd);

impl EventFd {
    /// Makes one that is not set.
    pub(crate) fn new() -> rustix::io::Result<Self> {
        above_streams(|| eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)).map(Self)
    }

    pub(crate) fn set(&self) {
        // It fails only if it is set so often that it is full, and then it is readable.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    pub(crate) fn reset(&self) {
        // It fails if it was not set.
        let _ = rustix::io::read(&self.0, &mut [0u8; 8]);
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
