//! Workers as their users have them: executables that are started, stopped, killed and heard from another process.

mod common;

#[path = "workers/bad_input.rs"]
mod bad_input;
#[path = "workers/by_hand.rs"]
mod by_hand;
#[path = "workers/callbacks.rs"]
mod callbacks;
#[path = "workers/edges.rs"]
mod edges;
#[path = "workers/ends.rs"]
mod ends;
#[path = "workers/examples.rs"]
mod examples;
#[path = "workers/fixture.rs"]
mod fixture;
#[path = "workers/in_place.rs"]
mod in_place;
#[path = "workers/innocents.rs"]
mod innocents;
#[path = "workers/kills.rs"]
mod kills;
#[path = "workers/limits.rs"]
mod limits;
#[path = "workers/ownership.rs"]
mod ownership;
#[path = "workers/pipes.rs"]
mod pipes;
#[path = "workers/semantics.rs"]
mod semantics;
#[path = "workers/signals.rs"]
mod signals;
