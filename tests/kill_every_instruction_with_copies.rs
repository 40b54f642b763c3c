//! Kills a child after each instruction of an operation, as `kill_every_instruction` does, where items have eight bytes and slots copies of them: the exchange of both words at once, the get that
//! never touches the block, and the recovery of both.
//!
//! ```text
//! cargo test --test kill_every_instruction_with_copies -- [PART OF A NAME]
//! ```
//!
//! The switches are those of `kill_every_instruction`. Planted bugs, each seen failing (in brackets one of the scenes that failed): a put that writes the
//! copy and not the block, from which a take and an adopter read (get_at_least_once).

#[path = "kill_every_instruction/alike.rs"]
mod alike;
#[path = "kill_every_instruction/fixture.rs"]
mod fixture;
#[path = "kill_every_instruction/small.rs"]
mod item;
#[path = "kill_every_instruction/many.rs"]
mod many;
#[path = "kill_every_instruction/plays.rs"]
mod plays;
#[path = "kill_every_instruction/program.rs"]
mod program;
#[path = "kill_every_instruction/scenes.rs"]
mod scenes;
#[path = "kill_every_instruction/stops.rs"]
mod stops;
#[path = "kill_every_instruction/sweep.rs"]
mod sweep;
#[path = "kill_every_instruction/trace.rs"]
mod trace;

use std::process::ExitCode;

/// The scenes that exchange a copy or get by one, and what a death in them leaves.
const SCENES: [&str; 13] = [
    "put",
    "put_bytes",
    "overwrite",
    "void_put",
    "reserve_and_commit",
    "get",
    "get_at_least_once",
    "get_bytes",
    "get_behind_a_cleared_item",
    "get_then_put",
    "clear",
    "recovery_of_put",
    "recovery_of_get_at_least_once",
];

/// Added in the long form. Recovery looks at words alone.
const MORE: [&str; 2] = ["recovery_of_overwrite", "recovery_of_get"];

fn main() -> ExitCode {
    program::main(|| {
        let long = std::env::var_os("PRODCON_EVERY_INSTRUCTION").is_some();
        let wanted = [&SCENES[..], if long { &MORE } else { &[] }].concat();
        let mut plays = plays::all();
        plays.retain(|play| wanted.contains(&play.name.as_str()));
        assert_eq!(plays.len(), wanted.len(), "a scene has another name now");
        plays
    })
}
