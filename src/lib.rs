//! Queues between Linux processes that keep working when one of the processes is killed.
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
//! # Putting and getting
//!
//! A queue is a named file in shared memory. Any number of processes attach to it with a
//! [`ReadyQueue`]; each item goes to one of them.
//!
//! | | waits | does not wait | waits for a limited time |
//! | --- | --- | --- | --- |
//! | put a copy | [`put`](ReadyQueue::put) | [`try_put`](ReadyQueue::try_put), [`force_put`](ReadyQueue::force_put) | `within(d).put(..)` |
//! | get a copy, acknowledged when the call returns | [`get`](ReadyQueue::get), [`iter`](ReadyQueue::iter) | [`try_get`](ReadyQueue::try_get) | `within(d).get()` |
//! | take in place, acknowledged by you | [`take`](ReadyQueue::take), [`take_many`](ReadyQueue::take_many), [`take_owned`](ReadyQueue::take_owned) | [`try_take`](ReadyQueue::try_take) | `within(d).take()` |
//!
//! What a running program has to expect (`Full`, `Empty`, `TimedOut`, `NotReady`, `Stopped`,
//! `Cancelled`) is a variant of [`PutError`] or [`GetError`]; everything else is an [`Error`]. All of
//! them convert to [`Error`], so that `fn main() -> prodcon::Result<()>` works.
//!
//! # What happens when a process dies
//!
//! Any process may be paused or killed at any instruction, and no other process stops. A full queue
//! that is not lossy makes its producers wait for its consumers, of course.
//!
//! | who is killed or paused | at-most-once | at-least-once |
//! | --- | --- | --- |
//! | a producer before its put took effect | the item was never put | the same |
//! | a producer after that | nothing | nothing |
//! | a consumer with items in hand | they are counted as lost | they are delivered again |
//! | a process that waits | another one is woken, within 100 ms at the latest | the same |
//!
//! Under at-least-once an item is only gone after [`Delivery::ack`] (or [`Batch::ack`]). An early
//! return with `?`, a panic and a plain drop give it back. The figures add up whatever was killed:
//! `puts = gets + dropped + cleared + lost + unacked + len` ([`Stats`]).
//!
//! # Zero copy
//!
//! [`reserve`](ReadyQueue::reserve) gives a block that is filled in place and then committed;
//! [`take`](ReadyQueue::take) shows an item in the block that it was put in. Queues with
//! [batches](QueueOptions::batch) move whole slices:
//! [`put_slice`](ReadyQueue::put_slice), [`reserve_slice`](ReadyQueue::reserve_slice) and
//! [`Batch::slices`].
//!
//! # Your own types
//!
//! A queue is of byte strings (`ReadyQueue<[u8]>`) or of a plain type: an integer, a float, an
//! array of them, or a struct with [`#[derive(prodcon::Item)]`](Item).
//!
//! # Waiting
//!
//! A wait spins for some microseconds and then sleeps in the kernel. While no process sleeps, puts
//! and gets make no system call. A wait ends when the queue is stopped, closed or removed, and it
//! looks after dead processes.
//!
//! A [`CancelToken`] ends the waits of the endpoints that were
//! [attached](AttachOptions::cancel) with it, from another thread or from a signal handler.
//! [`select`] waits for the first of several queues, and
//! [`wait_for_queue`](AttachOptions::wait_for_queue) for a queue that is not there yet.
//!
//! # Queue options
//!
//! [Lossy](QueueOptions::lossy) queues drop exactly the oldest item when they are full.
//! [At-least-once](QueueOptions::at_least_once) delivers the items of a killed consumer again, and
//! [dead letters](QueueOptions::dead_letter) end what always fails. The
//! [ready gate](ReadyQueue::set_not_ready) keeps producers out and clears the queue in one step.
//!
//! # Workers
//!
//! [`worker`] runs producers and consumers as programs of their own, started, stopped and watched
//! from a controlling process.
//!
//! # Looking inside
//!
//! [`Control`] is a handle without a seat: state, gate, [`Stats`], repair. The `prodcon` command
//! shows the same from a shell.
//!
//! # Guarantees and limits
//!
//! Linux on x86_64 and aarch64. Every operation is lock-free, not wait-free: some process always
//! gets on, and a single one may be overtaken for a while. The project's `docs/reliability.md` says
//! line by line what is guaranteed, and which test shows it.
//!
//! Permission to write a queue's file is inside the safety boundary: every process that has it is
//! trusted to write through this library alone. A process that writes other bytes into a queue in
//! use can spoil items, give two endpoints references to the same memory (undefined behaviour, in
//! safe Rust too), and cause SIGBUS by truncating the file. Bytes that are found in a file never
//! lead outside the mapping; what is seen to be impossible gives `Corrupt`. See
//! [`QueueOptions::mode`].
//!
//! An endpoint belongs to one thread at a time, and to the process that made it: in a forked child
//! it answers [`ErrorKind::Forked`].
//!
//! # Features
//!
//! | feature | default | brings |
//! | --- | --- | --- |
//! | `derive` | yes | `#[derive(prodcon::Item)]` |
//! | `async` | no | `ReadyQueue::as_async`: futures and a stream, for any runtime |
//! | `signals` | yes | SIGINT and SIGTERM end a worker well |
//! | `serde` | no | results and messages of any serde type, `Serialize` for figures |
//! | `tracing` | no | events for the `tracing` crate, none of them on the way of a put or get |
//!
//! The events have the target `prodcon`; the project's `docs/monitoring.md` lists them. A
//! subscriber must not call the handle whose event it receives.

#![deny(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(all(test, loom), allow(dead_code, unused_imports))]

#[cfg(not(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
compile_error!(
    "prodcon needs Linux on x86_64 or aarch64: 64-bit atomics, shared futexes, open-file-description locks"
);

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
#[allow(unsafe_code)]
mod sys;
#[cfg(not(all(test, loom)))]
mod trace;
#[cfg(not(all(test, loom)))]
pub mod worker;

#[cfg(not(all(test, loom)))]
pub use error::{Difference, Error, ErrorKind, GetError, PutError, PutSliceError, Result};
#[cfg(all(feature = "async", not(all(test, loom))))]
pub use queue::{Async, ItemStream};
#[cfg(not(all(test, loom)))]
pub use queue::{
    AttachOptions, Batch, BatchIter, CancelToken, CommitError, Control, Delivery, Interest, ItemId,
    Iter, OwnedDelivery, Payload, QueueOptions, ReadyFd, ReadyQueue, Recovery, Report, Reservation,
    SeatInfo, Stats, Within, list, list_in, select, unlink, unlink_in,
};
#[cfg(not(all(test, loom)))]
#[doc(hidden)]
pub use queue::{bindings, item_layout};
#[cfg(not(all(test, loom)))]
pub use segment::{ListEntry, QueueId, QueueInfo, directory};
#[cfg(not(all(test, loom)))]
pub use state::{ParseStateError, Role, State};

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
pub use sync::mortal;
#[cfg(fuzzing)]
#[doc(hidden)]
pub use sys::pretend;
