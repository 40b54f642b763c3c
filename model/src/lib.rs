//! Runs the scenarios of a model: what the models' programs share.
//!
//! A model is a program in `src/bin`: an executable specification of one part of the protocol, all
//! of whose states are visited. Its scenarios are small worlds (a few slots, processes, deaths);
//! those called `heavy` take minutes and gigabytes and run only when they are asked for by name.

pub mod fingerprint;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Ends a check with what was found wrong.
#[macro_export]
macro_rules! ensure {
    ($good:expr, $($message:tt)*) => {
        if !$good {
            return Err(format!($($message)*));
        }
    };
}

/// What the search of a scenario found.
#[derive(Debug)]
pub struct Outcome {
    /// The line (or, with an interleaving, the lines) to print.
    pub text: String,
    /// Whether it is what the scenario expects: no violation, or the one of a planted fault, and at
    /// least as many states as there have to be.
    pub good: bool,
    /// States that were visited.
    pub states: usize,
}

/// A small world whose states are all visited.
pub trait Explore: Sync {
    /// Returns its name, unique in its model.
    fn name(&self) -> &str;

    /// Visits all states. `trace`: an expected violation tells its interleaving too.
    fn explore(&self, trace: bool) -> Outcome;
}

/// Runs the scenarios that the command line asks for: all but the heavy ones, or those whose names
/// contain all of its words. Prints a line for each, and how many states there were.
///
/// The exit status is 1 if one is not as expected, if there were none, or if all together visited
/// fewer than `floor` states (where no words were given).
pub fn main(scenarios: &[impl Explore], floor: usize) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let trace = arguments.iter().any(|argument| argument == "--trace");
    let words: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|word| *word != "--trace")
        .collect();
    let wanted = |name: &str| match words[..] {
        [] => !name.starts_with("heavy"),
        _ => words.iter().all(|word| name.contains(word)),
    };
    let list: Vec<_> = scenarios
        .iter()
        .filter(|scenario| wanted(scenario.name()))
        .collect();
    let (next, failures, states) = (
        AtomicUsize::new(0),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    let print = Mutex::new(());
    let work = || {
        while let Some(scenario) = list.get(next.fetch_add(1, Ordering::Relaxed)) {
            let found = scenario.explore(trace);
            let _one_at_a_time = print.lock();
            println!("{}", found.text);
            failures.fetch_add(usize::from(!found.good), Ordering::Relaxed);
            states.fetch_add(found.states, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(work);
        }
    });
    let (failures, states) = (failures.into_inner(), states.into_inner());
    println!(
        "{} scenarios, {states} states, {failures} not as expected",
        list.len()
    );
    let few = words.is_empty() && states < floor;
    if few {
        println!("TOO FEW STATES: expected at least {floor}");
    }
    ExitCode::from(u8::from(failures > 0 || list.is_empty() || few))
}

/// Explores scenarios in a test.
///
/// # Panics
/// One of them is not as expected, or there is none.
pub fn assert_as_expected<'a, S: Explore + 'a>(scenarios: impl IntoIterator<Item = &'a S>) {
    let found: Vec<_> = scenarios
        .into_iter()
        .map(|scenario| scenario.explore(false))
        .collect();
    let wrong: Vec<_> = found
        .iter()
        .filter(|found| !found.good)
        .map(|found| &found.text)
        .collect();
    assert!(!found.is_empty(), "there is no such scenario");
    assert!(wrong.is_empty(), "not as expected: {wrong:#?}");
}
