//! `prodcon rm`: removes the names of queues. Who is attached keeps the memory.

use crate::exit::Outcome;
use clap::Args;

#[derive(Args)]
pub struct Arguments {
    /// Names of the queues
    #[arg(required = true)]
    names: Vec<String>,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let mut outcome = Ok(());
    for name in &arguments.names {
        if let Err(error) = prodcon::unlink(name) {
            outcome = Err(error.into());
        }
    }
    outcome
}
