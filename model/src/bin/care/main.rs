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
//! rustc -O --edition 2024 docs/model/care.rs -o target/care_model && target/care_model
//! ```
//!
//! runs all scenarios, one line each; with words: those whose name contains all of them (those called
//! `heavy` run only so: minutes and gigabytes). Each scenario names the states it must have at least,
//! and whether it must have a fair cycle or a trap: those with a planted fault must.

#[path = "care/graph.rs"]
mod graph;
#[path = "care/step.rs"]
mod step;
#[rustfmt::skip] // a table
#[path = "care/table.rs"]
mod table;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |name: &str| {
        if words.is_empty() {
            !name.starts_with("heavy")
        } else {
            words.iter().all(|word| name.contains(word.as_str()))
        }
    };
    let (mut count, mut failures, mut states) = (0, 0, 0);
    for scenario in table::scenarios().iter().filter(|scenario| wanted(scenario.name)) {
        let found = graph::explore(scenario);
        println!("{}", found.text);
        count += 1;
        failures += usize::from(!found.good);
        states += found.states;
    }
    println!("{count} scenarios, {states} states, {failures} not as expected");
    std::process::exit(i32::from(failures > 0 || count == 0));
}
