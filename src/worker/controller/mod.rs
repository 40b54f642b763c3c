//! The controlling side of a worker: its handles, and what they are made of.

mod core;
pub(super) mod exit;
mod handle;
pub(super) mod listener;
pub(super) mod options;
mod process;
mod segments;

pub use exit::{ProcessExit, Restart, WorkerExit};
pub use handle::{Consumer, Producer};
pub use options::{ConsumerOptions, ProducerOptions};
