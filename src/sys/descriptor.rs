//! Opens files at numbers that are nobody's standard streams.
//!
//! A program that was started with descriptor 0, 1 or 2 closed gets the next file that it opens
//! there, and with the next `printf` its text is in that file. So none of our files has such a
//! number, not even for a moment.

use rustix::fs::{CWD, Mode, OFlags};
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::Path;

/// The first number that is not a standard stream's.
const FIRST: RawFd = 3;

/// Opens a file as `open(2)` does, at number 3 or above and closed on exec.
pub(crate) fn open(path: &Path, flags: OFlags, mode: Mode) -> rustix::io::Result<File> {
    let _stopgaps = fill_the_low()?;
    let file = rustix::fs::openat(CWD, path, flags | OFlags::CLOEXEC, mode)?;
    if file.as_raw_fd() >= FIRST {
        return Ok(file.into());
    }
    // Another thread has closed a low number just now.
    rustix::io::fcntl_dupfd_cloexec(&file, FIRST).map(File::from)
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
