//! `prodcon put`: items from a file or stdin, a line each or a number of bytes each. What was read is put before more is read.

use crate::exit::{End, Outcome};
use crate::wait::Patience;
use crate::{output, parse, signals};
use clap::Args;
use prodcon::{Attach, PutError, ReadyQueue, Role};
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Args)]
pub struct Arguments {
    /// Name of the queue
    name: String,
    /// Read from FILE, not from stdin
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// An item is BYTES bytes, not a line
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..))]
    frames: Option<u32>,
    /// Longest wait for space for one item
    #[arg(long, value_name = "S", value_parser = parse::seconds)]
    timeout: Option<Duration>,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let name = &arguments.name;
    let mut queue = ReadyQueue::<[u8]>::attach_with(name, &Attach::new().role(Role::Producer))?;
    signals::install()?;
    let input: Box<dyn Read> = match &arguments.from {
        Some(path) => Box::new(File::open(path).map_err(|error| End::failed(format!("cannot read {}: {error}", path.display())))?),
        None => Box::new(io::stdin()),
    };
    let mut input = BufReader::new(input);
    let mut item = vec![];
    for number in 1u64.. {
        if !next(&mut input, arguments.frames, queue.item_size(), &mut item)? {
            break;
        }
        put(&mut queue, &item, arguments.timeout).map_err(|end| end.after(&format!("item {number} was not put, {} before it were", number - 1)))?;
    }
    Ok(())
}

/// The next item; false at the end. Interrupted by a signal: ends.
fn next(input: &mut impl BufRead, frames: Option<u32>, longest: usize, item: &mut Vec<u8>) -> Result<bool, End> {
    item.clear();
    loop {
        signals::check()?;
        let buffer = match input.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(End::failed(format!("cannot read the items: {error}"))),
        };
        if buffer.is_empty() {
            if let Some(bytes) = frames.filter(|_| !item.is_empty()) {
                output::note(&format!("the last frame has {} of {bytes} bytes", item.len()));
            }
            return Ok(!item.is_empty());
        }
        let (used, done) = match frames {
            Some(bytes) => {
                let used = buffer.len().min(bytes as usize - item.len());
                (used, item.len() + used == bytes as usize)
            }
            None => buffer.iter().position(|byte| *byte == b'\n').map_or((buffer.len(), false), |at| (at + 1, true)),
        };
        item.extend_from_slice(&buffer[..used]);
        input.consume(used);
        if done {
            if frames.is_none() {
                item.pop();
            }
            return Ok(true);
        }
        if item.len() > longest.saturating_add(1 << 16) {
            return Ok(true); // too long whatever follows: the put says so
        }
    }
}

fn put(queue: &mut ReadyQueue<[u8]>, item: &[u8], timeout: Option<Duration>) -> Outcome {
    let patience = Patience::new(timeout);
    loop {
        signals::check()?;
        match queue.put_timeout(item, patience.slice()) {
            Ok(()) => return Ok(()),
            Err(PutError::TimedOut | PutError::Full) if !patience.is_over() => {}
            Err(error) => return Err(End::put(queue.name(), &error)),
        }
    }
}
