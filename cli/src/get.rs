//! `prodcon get`: items to stdout. An item is acknowledged after it was written.

use crate::exit::{End, Outcome};
use crate::output::Items;
use crate::wait::{Patience, SLICE};
use crate::{parse, signals};
use clap::Args;
use prodcon::{Attach, GetError, ReadyQueue, Role};
use std::time::Duration;

#[derive(Args)]
pub struct Arguments {
    /// Name of the queue
    name: String,
    /// End after N items
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Wait for more until end of stream
    #[arg(long)]
    follow: bool,
    /// Raw bytes, no newline after each item
    #[arg(long)]
    frames: bool,
    /// Longest wait for one item
    #[arg(long, value_name = "S", value_parser = parse::seconds)]
    timeout: Option<Duration>,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let name = &arguments.name;
    let mut queue = ReadyQueue::<[u8]>::attach_with(name, &Attach::new().role(Role::Consumer))?;
    signals::install()?;
    let mut out = Items::open()?;
    let waits = arguments.follow || arguments.timeout.is_some();
    let mut patience = Patience::new(arguments.timeout);
    let mut got = 0u64;
    let mut line = vec![];
    while arguments.count.is_none_or(|count| got < count) {
        signals::check()?;
        out.wait_writable()?;
        let taken = if waits {
            queue.take_timeout(patience.slice().min(SLICE))
        } else {
            queue.try_take()
        };
        match taken {
            Ok(item) => {
                if arguments.frames {
                    out.write(&item)?;
                } else {
                    line.clear();
                    line.extend_from_slice(&item);
                    line.push(b'\n');
                    out.write(&line)?;
                }
                item.ack();
                got += 1;
                patience.renew();
            }
            Err(GetError::TimedOut) if !patience.is_over() => {}
            Err(GetError::Empty) if got > 0 => return Ok(()),
            Err(GetError::Stopped) if arguments.follow || got > 0 => return Ok(()),
            Err(error) => return Err(End::get(name, &error)),
        }
    }
    Ok(())
}
