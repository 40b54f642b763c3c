//! Executable specification of the exchange ring: an explicit-state model, searched breadth first.
//!
//! Memory is sequentially consistent; every load, store and CAS of shared memory is one step, and a process may die before each of them.
//! A death drops all its locks at once (the kernel's delay is the same as nobody trying these locks in between).
//!
//! Checked in EVERY state (`check.rs`): each block is in exactly one place; each item is in exactly one place, and the shared words say the same
//! as the truth about it: what is in hand, what of it is acknowledged, its position; the counters, with what recovery would still count, are exact.
//! Checked at every step: a write to a seat is made by its lock's holder; FIFO and no live item discarded, at every CAS (`exchange.rs`); what is
//! handed to the application and to the dead-letter queue (`hand.rs`). Checked in every END state: no orphan is forgotten, `doctor` resolves every
//! dead seat, exact accounts, the gate of `close_on_last`. And from every state an end can be reached without a further death.
//!
//!     rustc -O --edition 2024 docs/model/exchange_ring.rs -o target/exchange_ring_model && target/exchange_ring_model
//!
//! runs all scenarios, one line each; with words: those whose name contains all of them (those called `heavy` run only so: minutes and gigabytes).
//! A violation that was not expected, or any violation with `--trace`, prints its interleaving. A scenario with a `Flaw` switches one rule off and
//! must fail: it shows why the rule is there.
//!
//! Not modelled: weak memory, futexes and wake-ups, the bytes of an item, wrap-around of any number, forgotten guards, the `state` word and skips (see `end_of_stream.rs`), the dead-letter
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

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let trace = arguments.iter().any(|a| a == "--trace");
    let names: Vec<&String> = arguments.iter().filter(|a| *a != "--trace").collect();
    let wanted = |name: &str| {
        if names.is_empty() {
            !name.starts_with("heavy")
        } else {
            names.iter().all(|a| name.contains(a.as_str()))
        }
    };
    let list: Vec<_> = scenarios::scenarios().into_iter().filter(|x| wanted(x.name)).collect();
    let (next, failures, states, print) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(()));
    let work = || {
        while let Some(scenario) = list.get(next.fetch_add(1, Ordering::Relaxed)) {
            let found = scenario.run(trace);
            let _one_at_a_time = print.lock();
            println!("{}", found.text);
            failures.fetch_add(!found.good as usize, Ordering::Relaxed);
            states.fetch_add(found.states, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(work);
        }
    });
    let bad = failures.into_inner();
    println!("{} scenarios, {} states, {bad} not as expected", list.len(), states.into_inner());
    std::process::exit((bad > 0) as i32);
}
