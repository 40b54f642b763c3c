//! prodcon for C: what `include/prodcon.h` declares.
//!
//! Owns the C names and nothing else: every function here checks what it was handed, calls the Rust
//! crate, and turns the answer into a number and a text. The header is generated from this crate by
//! cbindgen (`tests/header.rs` compares), so the comments on exported items are the C
//! documentation.
//!
//! Invariants: nothing unwinds into C ([`failure::run`]); a handle is used by one thread at a time
//! or refused; memory that holds handles is never given back, so that a closed handle can be told
//! from an open one (both: [`handle`]); outputs are written on success only.
//!
//! - [`cancel`]: no call is a cancellation point. [`status`]: the numbers and their texts.
//!   [`failure`]: an error on its way to C.
//! - [`handle`]: what a `prodcon_queue *` points to, and which thread may use it now. Each kind
//!   stands beside what is behind it.
//! - [`options`]: how C says what a queue is to be. [`endpoint`]: a queue together with what C has
//!   in hand of it. [`lent`]: an item in hand that has left its queue. [`work`]: a worker together
//!   with what C needs kept for it. [`item_id`]: what identifies an item.
//! - [`queue`], [`delivery`], [`many`], [`ready`], [`gate`], [`token`], [`wait`], [`worker`]: the
//!   exported functions.

// The contract of each exported function stands in its C documentation, which has no `# Safety`
// heading.
#![allow(clippy::missing_safety_doc)]

mod cancel;
mod delivery;
mod endpoint;
mod failure;
mod gate;
mod handle;
mod item_id;
mod lent;
mod many;
mod options;
mod queue;
mod ready;
mod status;
mod token;
mod wait;
mod work;
mod worker;
