//! `prodcon get`: items to stdout.
//!
//! Invariant: an item is acknowledged after the system has taken all of it, and in no other case.
//! One that could not be written is given back, or counted as lost where nothing is taken back.

use crate::exit::{End, Outcome};
use crate::output::Items;
use crate::wait::{ForQueue, MAX_SLEEP, Patience};
use crate::{parse, signals};
use clap::Args;
use prodcon::{Delivery, ErrorKind, GetError, ReadyQueue, Role, State};
use std::time::Duration;

#[derive(Args)]
pub struct Arguments {
    /// Name of the queue
    name: String,
    /// End after N items
    #[arg(long, value_name = "N", value_parser = parse::count::<u64>)]
    count: Option<u64>,
    /// Wait for more until end of stream
    #[arg(long)]
    follow: bool,
    /// Write raw bytes, with no newline after each item
    #[arg(long)]
    frames: bool,
    /// Longest wait for one item
    #[arg(long, value_name = "S", value_parser = parse::seconds)]
    timeout: Option<Duration>,
    #[command(flatten)]
    wait: ForQueue,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let name = &arguments.name;
    let mut queue =
        ReadyQueue::<[u8]>::attach_with(name, &arguments.wait.options().role(Role::Consumer))?;
    signals::install()?;
    let mut out = Items::open()?;
    let waits = arguments
        .timeout
        .map_or(arguments.follow, |limit| !limit.is_zero());
    let mut patience = Patience::new(arguments.timeout);
    let mut got = 0u64;
    let mut line = vec![];
    while arguments.count.is_none_or(|count| got < count) {
        signals::check()?;
        out.wait_writable()?;
        let taken = if waits {
            queue.within(patience.slice().min(MAX_SLEEP)).take()
        } else {
            queue.try_take()
        };
        match taken {
            Ok(item) => {
                let written = if arguments.frames {
                    out.write(&item)
                } else {
                    line.clear();
                    line.extend_from_slice(&item);
                    line.push(b'\n');
                    out.write(&line)
                };
                if let Err((end, bytes)) = written {
                    return Err(end.after(&given_back(item, bytes)));
                }
                item.ack();
                got += 1;
                patience.renew();
            }
            // Which of the two it says depends on whether there was a moment left to wait.
            Err(GetError::TimedOut | GetError::Empty) if waits => {
                if patience.is_over() {
                    return Err(End::get(name, &GetError::TimedOut));
                }
            }
            Err(GetError::Empty) if got > 0 => return Ok(()),
            Err(GetError::Stopped) if arguments.follow || got > 0 => return Ok(()),
            Err(GetError::Stopped) => break,
            Err(error) => return Err(End::get(name, &error)),
        }
    }
    if arguments.count.is_some_and(|count| got >= count) {
        return Ok(());
    }
    // Nothing was got, and nothing will come in this state.
    if queue.control().state() == State::StopAtQueueEnd {
        return Err(End::nothing(format!(
            "queue '{name}' is empty, and its stream has ended: for another one set it to stopped and then to started (`prodcon state {name} stopped`)"
        )));
    }
    Err(End::get(name, &GetError::Stopped))
}

/// Gives back an item of which this many bytes were written, and says what becomes of it.
fn given_back(item: Delivery<'_, [u8]>, bytes: usize) -> String {
    let length = item.len();
    let part = match bytes {
        0 => "the item in hand was not written".to_owned(),
        some => format!(
            "of the item in hand {} of {length} bytes were written",
            some.min(length)
        ),
    };
    match item.nack() {
        Ok(()) => format!("{part}: it was given back and is delivered again"),
        Err(error) if error.kind() == ErrorKind::AtMostOnce => {
            format!("{part}: it is counted as lost, because the queue is at-most-once")
        }
        Err(error) => format!("{part}: {error}"),
    }
}
