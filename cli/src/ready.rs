//! `prodcon ready`, `not-ready` and `clear`: the gate, without a seat.

use crate::exit::Outcome;
use crate::wait::ForQueue;
use clap::Args;

#[derive(Args)]
pub struct Arguments {
    /// Name of the queue
    name: String,
    #[command(flatten)]
    wait: ForQueue,
}

pub fn open(arguments: &Arguments) -> Outcome {
    Ok(arguments.wait.control(&arguments.name)?.set_ready()?)
}

pub fn close(arguments: &Arguments) -> Outcome {
    Ok(arguments.wait.control(&arguments.name)?.set_not_ready()?)
}

pub fn clear(arguments: &Arguments) -> Outcome {
    Ok(arguments.wait.control(&arguments.name)?.clear()?)
}
