//! Stdout and stderr. A reader that has gone is no error: the command ends quietly, with the status of a process that SIGPIPE ended.
//!
//! `print` is for text that is complete; [`Items`] is for the stream of `get`, where an item counts as delivered only once the system has it.

use crate::exit::{End, Outcome};
use crate::{human, signals, wait};
use rustix::event::PollFlags;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;

const SIGPIPE: i32 = 13;
/// What a pipe that says it is writable takes without blocking.
const PIPE_BUF: usize = 4096;

/// Writes to stdout, all of it.
pub fn print(text: &str) -> Outcome {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| failed(&error))
}

/// A line on stderr, with the program's name. If stderr is closed there is nobody to tell. An error
/// may quote what some program has written into a queue.
pub fn note(message: &str) {
    let lines: Vec<String> = message.lines().map(human::plain).collect();
    let _ = writeln!(io::stderr().lock(), "prodcon: {}", lines.join("\n"));
}

fn failed(error: &io::Error) -> End {
    match error.kind() {
        io::ErrorKind::BrokenPipe => End::signal(SIGPIPE),
        io::ErrorKind::FileTooLarge => End::failed(format!(
            "cannot write to stdout: {error}; `ulimit -f` or the file system sets the limit"
        )),
        _ => End::failed(format!("cannot write to stdout: {error}")),
    }
}

/// Stdout as a stream of items, unbuffered.
pub struct Items {
    out: File,
    /// A pipe, socket or terminal. It may block forever, so it is written in pieces that do not.
    blocks: bool,
}

impl Items {
    pub fn open() -> Result<Self, End> {
        let out = File::from(
            io::stdout()
                .as_fd()
                .try_clone_to_owned()
                .map_err(|error| failed(&error))?,
        );
        let blocks = !out.metadata().map_err(|error| failed(&error))?.is_file();
        Ok(Self { out, blocks })
    }

    /// Waits until something can be written: nobody should take an item that cannot go anywhere.
    /// Ends if the reader has gone or a signal came.
    pub fn wait_writable(&self) -> Outcome {
        if !self.blocks {
            return Ok(());
        }
        loop {
            signals::check()?;
            let events =
                wait::ready(&self.out, PollFlags::OUT).map_err(|errno| failed(&errno.into()))?;
            if events.intersects(PollFlags::ERR | PollFlags::HUP) {
                return Err(failed(&io::ErrorKind::BrokenPipe.into()));
            }
            if events.contains(PollFlags::OUT) {
                return Ok(());
            }
        }
    }

    /// Writes one item, all of it; call `wait_writable` before. When it returns, the system has
    /// the item: nothing is kept back.
    ///
    /// # Errors
    /// Why it could not be written, and how many of its bytes were.
    pub fn write(&mut self, item: &[u8]) -> Result<(), (End, usize)> {
        let mut written = 0;
        while written < item.len() {
            let longest = if self.blocks { PIPE_BUF } else { usize::MAX };
            let piece = &item[written..];
            let outcome = match self.out.write(&piece[..piece.len().min(longest)]) {
                Ok(0) => Err(failed(&io::ErrorKind::WriteZero.into())),
                Ok(some) => {
                    written += some;
                    // The last piece is out. A reader that is gone now was there to get it.
                    if written < item.len() {
                        self.wait_writable()
                    } else {
                        Ok(())
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait_writable(),
                Err(error) => Err(failed(&error)),
            };
            outcome.map_err(|end| (end, written))?;
        }
        Ok(())
    }
}
