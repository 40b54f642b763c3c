//! Stdout and stderr. A reader that has gone is no error: the command ends quietly, with the status of a process that SIGPIPE ended.
//!
//! `print` is for text that is complete; [`Items`] is for the stream of `get`, where an item counts as delivered only once the system has it.

use crate::exit::{End, Outcome};
use crate::signals;
use crate::wait::SLICE;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;

const SIGPIPE: i32 = 13;
/// What a pipe that says it is writable takes without blocking.
const PIPE_BUF: usize = 4096;

/// Writes to stdout, all of it.
pub fn print(text: &str) -> Outcome {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| failed(&error))
}

/// A line on stderr, with the program's name. If stderr is closed there is nobody to tell.
pub fn note(message: &str) {
    let _ = writeln!(io::stderr().lock(), "prodcon: {message}");
}

fn failed(error: &io::Error) -> End {
    match error.kind() {
        io::ErrorKind::BrokenPipe => End::signal(SIGPIPE),
        _ => End::failed(format!("cannot write to stdout: {error}")),
    }
}

/// Stdout as a stream of items, unbuffered.
pub struct Items {
    out: File,
    /// A pipe, socket or terminal: it may block for ever, so it is written in pieces that do not.
    blocks: bool,
}

impl Items {
    pub fn open() -> Result<Self, End> {
        let out = File::from(io::stdout().as_fd().try_clone_to_owned().map_err(|error| failed(&error))?);
        let blocks = !out.metadata().map_err(|error| failed(&error))?.is_file();
        Ok(Self { out, blocks })
    }

    /// Waits until something can be written: nobody should take an item that cannot go anywhere. Ends if the reader has gone or a signal came.
    pub fn wait_writable(&self) -> Outcome {
        if !self.blocks {
            return Ok(());
        }
        loop {
            signals::check()?;
            let mut fds = [PollFd::new(&self.out, PollFlags::OUT)];
            let slice = Timespec {
                tv_sec: 0,
                tv_nsec: i64::from(SLICE.subsec_nanos()),
            };
            match poll(&mut fds, Some(&slice)) {
                Ok(0) | Err(Errno::INTR) => continue,
                Ok(_) => {}
                Err(errno) => return Err(failed(&errno.into())),
            }
            let events = fds[0].revents();
            if events.intersects(PollFlags::ERR | PollFlags::HUP) {
                return Err(failed(&io::ErrorKind::BrokenPipe.into()));
            }
            if events.contains(PollFlags::OUT) {
                return Ok(());
            }
        }
    }

    /// Writes one item, all of it; call `wait_writable` before.
    pub fn write(&mut self, item: &[u8]) -> Outcome {
        if !self.blocks {
            return self.out.write_all(item).map_err(|error| failed(&error));
        }
        for (piece, bytes) in item.chunks(PIPE_BUF).enumerate() {
            if piece > 0 {
                self.wait_writable()?;
            }
            self.out.write_all(bytes).map_err(|error| failed(&error))?;
        }
        Ok(())
    }
}
