//! `prodcon create`: a queue of byte strings, or of a plain type, without taking a seat.

use crate::exit::Outcome;
use crate::{human, output, parse};
use clap::{Args, ValueEnum};
use prodcon::{Control, QueueOptions};

#[derive(Args)]
pub struct Arguments {
    /// Name of the queue
    name: String,
    /// Items it holds; with --batch, blocks of items
    #[arg(long, value_name = "N", value_parser = parse::count::<u32>)]
    capacity: u32,
    /// Longest item
    #[arg(long, value_name = "BYTES", required_unless_present = "type", value_parser = parse::bytes::<usize>)]
    item_size: Option<usize>,
    /// Type of the items; without it they are byte strings
    #[arg(long, value_name = "TYPE", conflicts_with = "item_size")]
    r#type: Option<Plain>,
    /// Up to M items in one block, for programs that put and get several at once; needs --type
    #[arg(long, value_name = "M", requires = "type", value_parser = |text: &str| parse::count_in(text, 1..=65_535))]
    batch: Option<u32>,
    /// Keep no copies of items in slots; for items of at most 8 bytes that are taken in place
    #[arg(long, conflicts_with = "item_size")]
    no_copy_in_slot: bool,
    /// Let a put on the full queue drop the oldest item
    #[arg(long)]
    lossy: bool,
    /// Endpoints that can be attached at once
    #[arg(long, default_value_t = 64, value_parser = parse::count::<u32>)]
    seats: u32,
    /// Permissions of the file
    #[arg(long, value_name = "OCTAL", value_parser = parse::mode, default_value = "600")]
    mode: u32,
    /// Deliver again what killed consumers had in hand
    #[arg(long)]
    at_least_once: bool,
    /// Move an item that was delivered N times and came back to the --dead-letter queue
    #[arg(
        long,
        value_name = "N",
        requires_all = ["dead_letter", "at_least_once"],
        value_parser = |text: &str| parse::count_in(text, 1..=255).map(|times| times as u8)
    )]
    max_deliveries: Option<u8>,
    /// The queue for such items; it must exist
    #[arg(long, value_name = "NAME", requires = "max_deliveries")]
    dead_letter: Option<String>,
    /// Refuse puts until `prodcon ready`
    #[arg(long)]
    not_ready: bool,
}

/// The numbers of Rust.
macro_rules! plain {
    ($($name:ident $type:ty),*) => {
        #[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
        enum Plain {
            $($name),*
        }

        impl Plain {
            fn create(self, name: &str, options: &QueueOptions) -> prodcon::Result<Control> {
                match self {
                    $(Self::$name => Control::create::<$type>(name, options)),*
                }
            }
        }
    };
}
plain!(U8 u8, U16 u16, U32 u32, U64 u64, U128 u128, I8 i8, I16 i16, I32 i32, I64 i64, I128 i128, F32 f32, F64 f64);

pub fn run(arguments: &Arguments) -> Outcome {
    let mut options = QueueOptions::new(arguments.capacity)
        .lossy(arguments.lossy)
        .seats(arguments.seats);
    options = options
        .mode(arguments.mode)
        .at_least_once(arguments.at_least_once)
        .ready(!arguments.not_ready)
        .copy_in_slot(!arguments.no_copy_in_slot);
    if let (Some(times), Some(name)) = (arguments.max_deliveries, &arguments.dead_letter) {
        options = options.dead_letter(name, times);
    }
    if let Some(batch) = arguments.batch {
        options = options.batch(batch);
    }
    if let Some(bytes) = arguments.item_size {
        options = options.item_size(bytes);
    }
    let control = match arguments.r#type {
        Some(plain) => plain.create(&arguments.name, &options)?,
        None => Control::create::<[u8]>(&arguments.name, &options)?,
    };
    let what = match control.info().type_name.as_str() {
        "" => format!(
            "items of up to {}",
            human::bytes(control.item_size() as u64)
        ),
        name => format!("items of type {name}"),
    };
    let blocks = arguments
        .batch
        .map_or(String::new(), |batch| format!("blocks of up to {batch} "));
    output::note(&format!(
        "created '{}': {} {blocks}{what}",
        control.name(),
        control.capacity()
    ));
    Ok(())
}
