//! `prodcon ready`, `not-ready` and `clear`: the gate, without a seat.

use crate::exit::Outcome;
use clap::Args;
use prodcon::Control;

#[derive(Args)]
pub struct Arguments {
    /// Name of the queue
    name: String,
}

pub fn open(arguments: &Arguments) -> Outcome {
    Ok(Control::attach(&arguments.name)?.set_ready()?)
}

pub fn close(arguments: &Arguments) -> Outcome {
    Ok(Control::attach(&arguments.name)?.set_not_ready()?)
}

pub fn clear(arguments: &Arguments) -> Outcome {
    Ok(Control::attach(&arguments.name)?.clear()?)
}
