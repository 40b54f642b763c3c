//! `prodcon put`: items from a file or stdin, a line each or a number of bytes each. What was read
//! is put before more is read.
//!
//! Invariant: whatever ends it early, the message says which item was not put and how many were.

use crate::exit::{End, Outcome};
use crate::wait::{self, ForQueue, Patience};
use crate::{output, parse, signals};
use clap::Args;
use prodcon::{AttachOptions, ErrorKind as Kind, PutError, ReadyQueue, Role};
use rustix::event::PollFlags;
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Args)]
pub struct Arguments {
    /// Name of the queue
    name: String,
    /// Read from FILE, not from stdin
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Read items of BYTES bytes, not lines
    #[arg(long, value_name = "BYTES", value_parser = frame)]
    frames: Option<u32>,
    /// Longest wait for space for one item
    #[arg(long, value_name = "S", value_parser = parse::seconds)]
    timeout: Option<Duration>,
    /// Wait while the queue is not ready, as while it is full
    #[arg(long)]
    wait_ready: bool,
    #[command(flatten)]
    wait: ForQueue,
}

fn frame(text: &str) -> Result<u32, String> {
    match parse::bytes(text)? {
        0 => Err("expected at least 1 byte".into()),
        bytes => Ok(bytes),
    }
}

pub fn run(arguments: &Arguments) -> Outcome {
    let name = &arguments.name;
    // This is said at once, because opening a named pipe waits for a writer.
    let typed = !arguments.wait.control(name)?.info().type_name.is_empty();
    let (input, source) = match &arguments.from {
        Some(path) => (File::open(path), path.display().to_string()),
        None => (
            io::stdin().as_fd().try_clone_to_owned().map(File::from),
            "stdin".to_owned(),
        ),
    };
    let input = input
        .map_err(|error| End::failed(format!("cannot read {source}: {error}; nothing was put")))?;
    let mut queue =
        ReadyQueue::<[u8]>::attach_with(name, &AttachOptions::new().role(Role::Producer))?;
    signals::install()?;
    let mut items = Items {
        input: BufReader::new(input),
        source,
        frames: arguments.frames,
        longest: queue.control().item_size(),
        typed,
        number: 0,
        item: vec![],
    };
    loop {
        let found = items.next().map_err(|end| items.not_put(end))?;
        if found == Found::End {
            return Ok(());
        }
        put(&mut queue, &items, arguments).map_err(|end| items.not_put(end))?;
        if let (Found::Short, Some(bytes)) = (found, items.frames) {
            let (number, length) = (items.number, items.item.len());
            output::note(&format!(
                "the last frame, {number}, has {length} of {bytes} bytes: it was put as it is"
            ));
        }
    }
}

/// What is there to be put.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Item,
    /// A last frame that is not whole.
    Short,
    End,
}

/// The input, cut into items.
struct Items {
    input: BufReader<File>,
    source: String,
    frames: Option<u32>,
    /// Longest item of the queue.
    longest: usize,
    /// And the only length it takes.
    typed: bool,
    /// Of the item that was looked for last, from 1.
    number: u64,
    item: Vec<u8>,
}

impl Items {
    /// Reads the next item.
    ///
    /// # Errors
    /// Fails if the input cannot be read, or if a signal came.
    fn next(&mut self) -> Result<Found, End> {
        self.item.clear();
        self.number += 1;
        loop {
            signals::check()?;
            // A read that waits would go on waiting after a signal.
            if self.input.buffer().is_empty() && self.wait()?.is_empty() {
                continue;
            }
            let buffer = match self.input.fill_buf() {
                Ok(buffer) => buffer,
                Err(error)
                    if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) =>
                {
                    continue;
                }
                Err(error) => return Err(self.unreadable(&error)),
            };
            if buffer.is_empty() {
                return Ok(match (self.item.is_empty(), self.frames) {
                    (true, _) => Found::End,
                    (false, Some(_)) => Found::Short,
                    (false, None) => Found::Item,
                });
            }
            let (used, done) = match self.frames {
                Some(bytes) => {
                    let used = buffer.len().min(bytes as usize - self.item.len());
                    (used, self.item.len() + used == bytes as usize)
                }
                None => {
                    let end = buffer.iter().position(|byte| *byte == b'\n');
                    end.map_or((buffer.len(), false), |at| (at + 1, true))
                }
            };
            self.item.extend_from_slice(&buffer[..used]);
            self.input.consume(used);
            if done {
                if self.frames.is_none() {
                    self.item.pop();
                }
                return Ok(Found::Item);
            }
            if self.is_cut() {
                return Ok(Found::Item); // too long whatever follows: the put says so
            }
        }
    }

    fn wait(&self) -> Result<PollFlags, End> {
        wait::ready(self.input.get_ref(), PollFlags::IN)
            .map_err(|errno| self.unreadable(&errno.into()))
    }

    fn unreadable(&self, error: &io::Error) -> End {
        End::failed(format!("cannot read {}: {error}", self.source))
    }

    /// Returns whether the line was too long to be read to its end.
    fn is_cut(&self) -> bool {
        self.item.len() > self.longest.saturating_add(1 << 16)
    }

    /// "line 3".
    fn which(&self) -> String {
        format!(
            "{} {}",
            if self.frames.is_some() {
                "frame"
            } else {
                "line"
            },
            self.number
        )
    }

    /// Adds to an end what it means for the items.
    fn not_put(&self, end: End) -> End {
        let before = match self.number - 1 {
            0 => "nothing was put".to_owned(),
            1 => "the one before it was".to_owned(),
            count => format!("the {count} before it were"),
        };
        end.or_say("interrupted").after(&format!(
            "{} and what follows it were not put, {before}",
            self.which()
        ))
    }

    /// Why an item does not fit a queue, in words that fit the command line.
    fn unfit(&self, queue: &str, error: &PutError) -> Option<End> {
        if !matches!(error, PutError::Failed(error) if matches!(error.kind(), Kind::TooLarge | Kind::WrongLength))
        {
            return None;
        }
        let fits = self.longest;
        let (which, length) = (self.which(), self.item.len());
        let least = if self.is_cut() { "at least " } else { "" };
        let (room, remedy) = match (self.typed, self.frames) {
            (false, _) => (
                "at most",
                "shorten it, or create the queue with a larger --item-size".to_owned(),
            ),
            (true, Some(bytes)) if bytes as usize == fits => {
                ("exactly", "is the input complete?".to_owned())
            }
            (true, _) => ("exactly", format!("use --frames {fits}, or another queue")),
        };
        Some(End::failed(format!(
            "{which} has {least}{length} bytes, and an item of queue '{queue}' has {room} {fits}: {remedy}"
        )))
    }
}

fn put(queue: &mut ReadyQueue<[u8]>, items: &Items, arguments: &Arguments) -> Outcome {
    let patience = Patience::new(arguments.timeout);
    loop {
        signals::check()?;
        match queue.within(patience.slice()).put(&items.item) {
            Ok(()) => return Ok(()),
            Err(PutError::TimedOut | PutError::Full) if !patience.is_over() => {}
            // Which of the two it says depends on whether there was a moment left to wait.
            Err(PutError::TimedOut | PutError::Full) => {
                let answer = if patience.is_none() {
                    PutError::Full
                } else {
                    PutError::TimedOut
                };
                return Err(End::put(queue.name(), &answer));
            }
            Err(PutError::NotReady) if arguments.wait_ready => {
                // It may close again before the next put: then this goes round.
                if !queue.wait_ready(Some(patience.slice()))? && patience.is_over() {
                    let name = queue.name();
                    return Err(End::timed_out(format!(
                        "timed out: queue '{name}' did not become ready; its consumer has to open it (`prodcon ready {name}`)"
                    )));
                }
            }
            Err(error) => {
                let name = queue.name();
                return Err(items
                    .unfit(name, &error)
                    .unwrap_or_else(|| End::put(name, &error)));
            }
        }
    }
}
