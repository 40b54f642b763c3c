//! Redelivery in time: is every item in a dead consumer's seat taken over by a live consumer, although
//! that one is served all the time?
//!
//! An explicit-state model of endless processes over a ring of one slot. Memory is sequentially
//! consistent. A compare-and-swap succeeds exactly if the slot was not changed since it was looked at
//! (stamps that never wrap). Two questions are asked of the graph of all states and steps, for each
//! seat, among the states in which a dead one's item lies there and nobody has it:
//!
//! - *fair cycle*: is there a strongly connected set of states in which every live process that is not
//!   paused takes a step, or is blocked somewhere? (Weak fairness; no death and no pause inside.) Looks
//!   for a block that end undecided are left out of the cycles: an adversary could have the living in
//!   mid-exchange with that very block at each look.
//! - *trap*: is there a state from which no steps of the living lead to the item's adoption? None: it
//!   is adopted with probability 1 under every random scheduler.
//!
//! Excused is an item that waits for a process which is paused in mid-exchange, while the seat is not
//! resolved, or paused with that seat's lock.
//!
//! ```text
//! cargo run --release -p prodcon-model --bin care
//! ```
//!
//! runs all scenarios, one line each; with words: those whose name contains all of them (those called
//! `heavy` run only so: minutes and gigabytes). Each scenario names the states it must have at least,
//! and whether it must have a fair cycle or a trap: those with a planted fault must.

mod graph;
mod step;
#[rustfmt::skip] // a table
mod table;

use prodcon_model::{Explore, Outcome};
use std::process::ExitCode;

impl Explore for step::Scenario {
    fn name(&self) -> &str {
        self.name
    }
    fn explore(&self, _: bool) -> Outcome {
        graph::explore(self)
    }
}

fn main() -> ExitCode {
    prodcon_model::main(&table::scenarios(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_small_scenarios_are_as_expected() {
        let small = |scenario: &&step::Scenario| scenario.floor <= 30_000;
        prodcon_model::assert_as_expected(table::scenarios().iter().filter(small));
    }
}
