//! Runs models under loom, and counts their executions.

use super::{Case, play};
use crate::sync::atomic::{Pass, pass};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64 as Tally, Ordering as Std};

thread_local! {
    /// Executions of this test's models so far.
    static EXECUTIONS: Cell<u64> = const { Cell::new(0) };
}

/// Runs the models of a test and prints how many executions loom found. Fails if they are fewer
/// than `fenced` and `bare`, which each pass was seen to have: a change that hides accesses from
/// loom shows here.
pub(super) fn at_least(fenced: u64, bare: u64, models: impl FnOnce()) {
    EXECUTIONS.set(0);
    models();
    let (found, thread) = (EXECUTIONS.get(), std::thread::current());
    let name = thread
        .name()
        .unwrap_or_default()
        .rsplit("::")
        .next()
        .unwrap_or_default();
    println!("executions {:?} {name} {found}", pass());
    let floor = if pass() == Pass::Fenced { fenced } else { bare };
    assert_executions(found, floor);
}

pub(super) fn assert_executions(found: u64, floor: u64) {
    let bound = loom::model::Builder::new()
        .preemption_bound
        .unwrap_or(FORCED);
    assert!(
        bound < FORCED || found >= floor,
        "loom ran {found} executions of at least {floor}"
    );
}

/// The most thread switches and deaths that are forced in one execution, unless
/// LOOM_MAX_PREEMPTIONS has another number of switches.
pub(super) const FORCED: usize = 3;

/// Runs the executions that loom finds, and counts them.
pub(super) fn check(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let executions = Arc::new(Tally::new(0));
    let ran = executions.clone();
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 100_000;
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.check(move || {
        ran.fetch_add(1, Std::Relaxed);
        model();
    });
    let ran = executions.load(Std::Relaxed);
    EXECUTIONS.set(EXECUTIONS.get() + ran);
    if std::env::var_os("PRODCON_LOOM_VERBOSE").is_some() {
        println!("  {:?}: {ran}", std::thread::current().name());
    }
}

/// Runs the executions that loom finds, with the participants in this order and in the reverse one,
/// because loom does not treat them alike. Returns true if somebody died in one of them.
pub(super) fn explore(case: &Case) -> bool {
    let died = explore_as_listed(case);
    explore_as_listed(&reversed(case)) || died
}

fn reversed(case: &Case) -> Case {
    let mut reversed = case.clone();
    reversed.plans.reverse();
    reversed
}

/// Explores as `explore` does, and fails if loom runs fewer executions than this in the first
/// order.
pub(super) fn explore_at_least(executions: u64, case: &Case) {
    let before = EXECUTIONS.get();
    explore_as_listed(case);
    assert_executions(EXECUTIONS.get() - before, executions);
    explore_as_listed(&reversed(case));
}

fn explore_as_listed(case: &Case) -> bool {
    let died = Arc::new(AtomicBool::new(false));
    let outer = died.clone();
    let case = case.clone();
    let deaths = case.plans.iter().filter(|(_, life)| life.is_some()).count();
    check(case.forced - deaths, move || play(&case, &died));
    outer.load(Std::Relaxed)
}

/// Runs the case with its first two participants dying, one of them and both, each before each of
/// its stores.
pub(super) fn two_deaths(case: &Case) {
    let [first, second] = [0, 1].map(|who| deaths(case, who));
    for k in 0..first {
        for l in 0..second {
            let mut mortal = case.clone();
            (mortal.plans[0].1, mortal.plans[1].1) = (Some(k), Some(l));
            explore(&mortal);
        }
    }
}

/// Runs the case with participant `who` dying before its k-th store, for every k until it survives.
/// Returns how many there are.
pub(super) fn deaths(case: &Case, who: usize) -> u32 {
    for k in 0..100 {
        let mut mortal = case.clone();
        mortal.plans[who].1 = Some(k);
        if !explore(&mortal) {
            return k;
        }
    }
    panic!("it never survives");
}

/// Runs `deaths` for a participant that stores something.
pub(super) fn each_death(case: &Case, who: usize) {
    assert!(deaths(case, who) > 2, "nobody died");
}
