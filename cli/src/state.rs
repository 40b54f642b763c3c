//! `prodcon state`: shows the state of a queue, or sets it.

use crate::exit::Outcome;
use crate::output;
use crate::wait::ForQueue;
use clap::Args;
use prodcon::State;

#[derive(Args)]
pub struct Arguments {
    /// Name of the queue
    name: String,
    /// stopped, started or stop_at_queue_end
    state: Option<State>,
    #[command(flatten)]
    wait: ForQueue,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let control = arguments.wait.control(&arguments.name)?;
    match arguments.state {
        Some(state) => Ok(control.set_state(state)?),
        None => output::print(&format!("{}\n", control.state())),
    }
}
