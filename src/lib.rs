//! Crash-proof producer-consumer queues between processes, over named shared memory.
//!
//! ```
//! use prodcon::{QueueOptions, ReadyQueue};
//!
//! # let name = prodcon::bindings::TestName::new();
//! let options = QueueOptions::new(1024).at_least_once(true);
//! let mut producer = ReadyQueue::<u64>::create_or_attach(&name, &options)?;
//! let mut consumer = ReadyQueue::<u64>::attach(&name)?; // usually in another process
//!
//! producer.put(&21)?; // waits while the queue is full
//! let job = consumer.take()?; // read in place, not copied
//! assert_eq!(*job, 21);
//! job.ack(); // killed before this line? then another consumer gets the job
//! # Ok::<(), prodcon::Error>(())
//! ```
//!
//! # Guarantees
//! - Any process may be paused or killed at any instruction: nobody else stops. A full queue that is not lossy makes its producers wait for its consumers, of course.
//! - Every item is delivered once, in order, but what a killed process had in hand: that is counted as lost (at-most-once) or delivered again (at-least-once).
//! - The accounts add up, whatever was killed: `puts = gets + dropped + cleared + lost + held + len` ([`Stats`]).
//! - While nobody sleeps, put and get make no system call.
//!
//! # Limits
//! Linux on x86_64 and aarch64.
//!
//! Permission to write a segment is inside the safety boundary: everybody who has it is trusted to write through this library alone. Who writes
//! other bytes into a segment in use can spoil data, give two endpoints references to the same memory (undefined behaviour, whichever
//! of them is safe Rust), and cause SIGBUS by truncating the file. Bytes that are found in a file never lead outside the mapping;
//! what is seen to be impossible gives `Corrupt`. See [`QueueOptions::mode`].
//!
//! An endpoint belongs to one thread at a time, and to the process that made it: in a forked child it answers [`ErrorKind::Forked`].

#![deny(unsafe_code)]
#![cfg_attr(all(test, loom), allow(dead_code, unused_imports))]

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
compile_error!("prodcon needs Linux on x86_64 or aarch64: 64-bit atomics, shared futexes, open-file-description locks");

#[cfg(not(all(test, loom)))]
mod error;
#[allow(unsafe_code)]
mod layout;
#[cfg(not(all(test, loom)))]
#[allow(unsafe_code)]
mod queue;
mod ring;
#[cfg(not(all(test, loom)))]
#[allow(unsafe_code)]
mod segment;
#[cfg(not(all(test, loom)))]
mod state;
#[allow(unsafe_code)]
mod sync;
#[cfg(not(all(test, loom)))]
pub mod worker;

#[cfg(not(all(test, loom)))]
pub use error::{Difference, Error, ErrorKind, GetError, ParseStateError, PutError, PutSliceError, Result};
#[cfg(not(all(test, loom)))]
pub use queue::{
    AttachOptions, Batch, BatchIter, CommitError, Control, Delivery, ItemId, Iter, Payload, QueueOptions, ReadyQueue, Recovery, Report, Reservation, SeatInfo,
    Stats, Within, list, list_in, unlink, unlink_in,
};
#[cfg(not(all(test, loom)))]
#[doc(hidden)]
pub use queue::{bindings, item_layout};
#[cfg(not(all(test, loom)))]
pub use segment::{ListEntry, QueueId, QueueInfo, directory};
#[cfg(not(all(test, loom)))]
pub use state::{Role, State};

/// The crate that [`Item`] builds on, for types that implement `Pod` by themselves.
pub use bytemuck;

#[cfg(all(feature = "derive", not(all(test, loom))))]
pub use prodcon_derive::Item;
/// The trait of items, and the derive macro of the same name.
#[cfg(not(all(test, loom)))]
pub use queue::Item;

/// Simulated kills, and a pretended kernel, for the fuzzer.
#[cfg(fuzzing)]
#[doc(hidden)]
pub use sync::{mortal, pretend};

/// The README's example compiles and runs.
#[cfg(any())]
#[doc = include_str!("../README.md")]
pub struct Readme;
