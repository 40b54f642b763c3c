mod check;
mod hand;
mod rules;
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
    let wanted = |name: &str| if names.is_empty() { !name.starts_with("heavy") } else { names.iter().all(|a| name.contains(a.as_str())) };
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
