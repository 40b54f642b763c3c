//! Crash-proof producer-consumer queues between processes, over named shared memory.
//!
//! ```
//! use prodcon::{Options, ReadyQueue};
//! # let dir = std::env::temp_dir().join(format!("prodcon-doc-{}", std::process::id()));
//! # std::fs::create_dir_all(&dir)?;
//! # let options = Options::new(1024).directory(&dir);
//! # #[cfg(any())]
//! let options = Options::new(1024); // not lossy, ready at once
//! let mut producer = ReadyQueue::<u64>::create("temperatures", &options)?;
//! let mut consumer = producer.try_clone()?; // usually another process: ReadyQueue::<u64>::attach("temperatures")?
//! producer.put(&21)?;
//! assert_eq!(consumer.get()?, 21);
//! consumer.control()?.unlink()?;
//! # std::fs::remove_dir(&dir)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
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
//! what is seen to be impossible gives `Corrupt`. See [`Options::mode`].
//!
//! An endpoint belongs to one thread at a time, and to the process that made it: in a forked child it answers [`Fault::Forked`].

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
#[allow(unsafe_code)]
mod sync;
#[cfg(not(all(test, loom)))]
pub mod worker;

#[cfg(not(all(test, loom)))]
pub use error::{Fault, GetError, OpenError, PartialPut, PutError, StateError};
#[cfg(not(all(test, loom)))]
pub use queue::{
    Attach, Control, Delivery, Hand, Item, Iter, Member, Options, Payload, ReadyQueue, Recovered, Report, Reserved, Role, State, Stats, Supervision, Taken,
    TakenBatch, Uncommitted, list, list_in, unlink, unlink_in,
};
#[cfg(not(all(test, loom)))]
pub use segment::{Entry, Header, QueueId, directory};

/// Simulated kills, and a pretended kernel, for the fuzzer.
#[cfg(fuzzing)]
#[doc(hidden)]
pub use sync::{mortal, pretend};

/// The README's example compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
