//! Executable specification of the exchange ring: an explicit-state model, searched breadth first.
//!
//! Memory is sequentially consistent; every load, store and CAS of shared memory is one step, and a process may die before each of them.
//! A death drops all its locks at once (the kernel's delay is the same as nobody trying these locks in between).
//!
//! Checked in EVERY state (`check.rs`): each block is in exactly one place; each item is in exactly one place, and the shared words say the same
//! as the truth about it: what is in hand, what of it is acknowledged, its position; the counters, with what recovery would still count, are exact.
//! Checked at every step: a write to a seat is made by its lock's holder; FIFO and no live item discarded, at every CAS (`exchange.rs`); what is
//! handed to the application, with the same id at each delivery, through adoption and giving back too, and to the dead-letter queue (`hand.rs`). Checked in every END state: no orphan is forgotten, `doctor` resolves every
//! dead seat, exact accounts, the gate of `close_on_last`. And from every state an end can be reached without a further death.
//!
//!     cargo run --release -p prodcon-model --bin exchange_ring
//!
//! runs all scenarios, one line each; with words: those whose name contains all of them (those called `heavy` run only so: minutes and gigabytes).
//! A violation that was not expected, or any violation with `--trace`, prints its interleaving. A scenario with a `Flaw` switches one rule off and
//! must fail: it shows why the rule is there.
//!
//! Not modelled: weak memory, futexes and wake-ups, the bytes of an item, wrap-around of any number, forgotten guards, the `state` word and skips (see `end_of_stream`), the dead-letter
//! queue's inside (a put into it is one step). An adopter reads the seats' positions in one go: they are a wish about the order only.

mod check;
mod exchange;
mod hand;
mod rules;
#[rustfmt::skip] // a table
mod scenarios;
mod search;
mod state;
mod step;
mod visit;

use prodcon_model::{Explore, Outcome};
use std::process::ExitCode;

impl Explore for rules::Scenario {
    fn name(&self) -> &str {
        self.name
    }
    fn explore(&self, trace: bool) -> Outcome {
        self.run(trace)
    }
}

/// States of all scenarios that are not heavy, at least: 35,934,864 when this was written.
const FLOOR: usize = 35_000_000;

fn main() -> ExitCode {
    prodcon_model::main(&scenarios::scenarios(), FLOOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_scenarios_hold() {
        const SMALL: [&str; 9] = [
            "core lossless 2P1C n=1",
            "core lossy 2P1C n=1",
            "recovery killed while it counts d2",
            "newcomer after the announcement d1",
            "lossy with adoption n=1 d2",
            "batch close with the rest in hand d2",
            "letters: the rest was not handed out d1",
            "several: put by the same endpoint d1",
            "roles: the only consumer gives back d1",
        ];
        let scenarios = scenarios::scenarios();
        let small: Vec<_> = scenarios
            .iter()
            .filter(|scenario| scenario.flaw.is_none() && SMALL.contains(&scenario.name))
            .collect();
        assert_eq!(small.len(), SMALL.len(), "a scenario has another name now");
        prodcon_model::assert_as_expected(small);
    }

    #[test]
    fn every_rule_that_is_switched_off_shows() {
        let flawed = |scenario: &&rules::Scenario| {
            scenario.flaw.is_some() && !scenario.name.starts_with("heavy")
        };
        prodcon_model::assert_as_expected(scenarios::scenarios().iter().filter(flawed));
    }
}
