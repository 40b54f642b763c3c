//! Workers: producers and consumers as separate executables, and the process that controls them.
//!
//! A worker program implements [`Produce`], [`ProduceInPlace`] or [`Consume`] and calls `main`. It
//! is started as `PROGRAM --attach NAME [ARGUMENTS]`: by a controlling handle ([`Producer`],
//! [`Consumer`]), by hand, or by an init system. A controlling handle starts, stops and restarts
//! its processes, puts items, and is called back with results, messages and ends.
//!
//! ```no_run
//! use prodcon::worker::{BoxError, Consume, Consumer, ConsumerOptions, Context};
//! use prodcon::{Batch, QueueOptions};
//! use std::process::ExitCode;
//!
//! struct Square;
//!
//! impl Consume for Square {
//!     type Item = u64;
//!     fn on_start(_: &mut Context) -> Result<Self, BoxError> {
//!         Ok(Self)
//!     }
//!     fn work(&mut self, items: &Batch<u64>, worker: &mut Context) -> Result<(), BoxError> {
//!         for item in items {
//!             worker.send_result(format!("{item} squared is {}", item * item))?;
//!         }
//!         Ok(()) // at-least-once: acknowledged now; an error, a panic, a kill gives the items back
//!     }
//! }
//!
//! fn main() -> Result<ExitCode, BoxError> {
//!     if let Some(status) = Square::run_if_worker() {
//!         return Ok(status); // this process is the worker
//!     }
//!     let options = ConsumerOptions::new().queue(QueueOptions::new(64).at_least_once(true)).processes(4);
//!     let mut squares = Consumer::<u64>::create("squares", &options)?;
//!     squares.on_result_ready(|result| println!("{}", result.text().unwrap_or("?")));
//!     squares.start_new(Square::program()?)?;
//!     for item in 0..100 {
//!         squares.put_in_queue(&item)?;
//!     }
//!     squares.set_stop_at_queue_end()?;
//!     squares.wait()?.into_result()?;
//!     Ok(ExitCode::SUCCESS)
//! }
//! ```
//!
//! What belongs to a worker NAME lies in the segments `NAME` (a consumer's queue, and the state),
//! `NAME.results`, `NAME.in` and `NAME.out` (messages to and from it). The page `docs/workers.md`
//! says what can be lost, repeated or reordered.

// Nothing in this room is unsafe or knows the layout of a segment.
#![forbid(unsafe_code)]

mod consume;
mod consume_loop;
mod context;
mod controller;
mod failure;
mod link;
mod message;
mod produce;
mod produce_in_place;
mod program;
mod run;
mod settings;
mod state;
#[cfg(test)]
mod tests;

pub use consume::Consume;
pub use context::{Context, Counters};
pub use controller::{
    Consumer, ConsumerOptions, ProcessExit, Producer, ProducerOptions, Restart, WorkerExit,
};
pub use failure::BoxError;
pub use message::Message;
#[cfg(feature = "serde")]
pub use message::encode;
pub use produce::Produce;
pub use produce_in_place::{Filled, ProduceInPlace};
pub use program::Program;
#[doc(hidden)]
pub use settings::seconds;
pub use settings::{OnFull, Settings};

/// Ends of the names of a worker's rings.
pub(crate) const RESULTS_AND_MESSAGES: [&str; 3] = ["results", "in", "out"];

/// What a producer's own queue is of: a type that nobody puts, because it only carries the state,
/// and that no consumer takes for its own.
pub(crate) type Producing = std::mem::ManuallyDrop<u64>;
crate::item!(Producing, "prodcon.producer");

/// The name of an item type.
pub(crate) fn named<T: crate::Item>() -> String {
    T::type_name().into_owned()
}

/// The examples of the page about workers compile.
#[cfg(doctest)]
#[doc = include_str!("../../docs/workers.md")]
pub struct Page;
