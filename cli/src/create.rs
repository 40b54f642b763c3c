//! `prodcon create`: a queue of byte strings, without taking a seat.

use crate::exit::Outcome;
use crate::{output, parse};
use clap::Args;
use prodcon::{Control, Delivery, Options};

#[derive(Args)]
pub struct Arguments {
    /// Name of the queue
    name: String,
    /// Items it holds
    #[arg(long)]
    capacity: u32,
    /// Longest item
    #[arg(long, value_name = "BYTES")]
    item_size: usize,
    /// A put on the full queue drops the oldest item
    #[arg(long)]
    lossy: bool,
    /// Endpoints that can be attached at once
    #[arg(long, default_value_t = 64)]
    seats: u32,
    /// Permissions of the file
    #[arg(long, value_name = "OCTAL", value_parser = parse::mode, default_value = "600")]
    mode: u32,
    /// Items in the hands of killed consumers are delivered again
    #[arg(long)]
    at_least_once: bool,
    /// Puts are refused until `prodcon ready`
    #[arg(long)]
    not_ready: bool,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let delivery = if arguments.at_least_once {
        Delivery::AtLeastOnce
    } else {
        Delivery::AtMostOnce
    };
    let options = Options::new(arguments.capacity)
        .item_size(arguments.item_size)
        .lossy(arguments.lossy)
        .seats(arguments.seats);
    let options = options.mode(arguments.mode).delivery(delivery).ready(!arguments.not_ready);
    let control = Control::create(&arguments.name, &options)?;
    output::note(&format!(
        "created '{}': {} items of up to {} bytes",
        control.name(),
        control.capacity(),
        control.item_size()
    ));
    Ok(())
}
