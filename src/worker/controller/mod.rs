//! The controlling side of a worker. `handle` has the public handles over the untyped `core`,
//! `process` starts and watches the processes, `listener` reads what they send, and `segments` owns
//! the worker's queue and rings. `options` and `exit` are plain values.

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
