//! Workers as their users have them: executables that are started, stopped, killed and heard from another process.

#[path = "workers/bad_input.rs"]
mod bad_input;
#[path = "workers/by_hand.rs"]
mod by_hand;
#[path = "workers/ends.rs"]
mod ends;
#[path = "workers/examples.rs"]
mod examples;
#[path = "workers/innocents.rs"]
mod innocents;
#[path = "workers/kills.rs"]
mod kills;
#[path = "workers/pipes.rs"]
mod pipes;
#[path = "workers/semantics.rs"]
mod semantics;
#[path = "workers/support.rs"]
mod support;
