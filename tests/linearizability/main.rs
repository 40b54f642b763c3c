//! What processes see of a queue is what they would see if each operation happened at one instant
//! between its call and its return: for `put`, `get`, the waiting forms, `take`, acknowledgements and
//! `nack`, `force_put`, lossy queues, batches, clears, the gate, the state, the end of a stream, `len`,
//! `is_empty`, `is_full` and the accounts; with pauses in mid-operation and kills.
//!
//! `round` records a history (`recorder`, `pause`; `adapter` is all that calls prodcon), `spec` says
//! what one process alone would see, and in what an operation may differ, `checker` looks for an order.
//! Small queues, few operations: thousands of short histories are checked, not few long ones.
//!
//! ```text
//! cargo test --test linearizability -- --nocapture
//! PRODCON_TEST_SECONDS=600 ...    longer than the few seconds that it takes by itself
//! PRODCON_TEST_SEED=N ...         begins with the plan of that number; the schedule is the machine's
//! ```
//!
//! It fails below a floor of histories, operations, overlaps, kills and operations that kills cut off.
//! `plant` puts faults into histories that were found good: all have to be found.

mod adapter;
mod checker;
mod history;
mod pause;
mod plant;
mod recorder;
mod round;
mod spec;

use checker::{Verdict, check};
use history::{History, Kind, Operation};
use libtest_mimic::{Arguments, Failed, Trial};
use recorder::Recorder;
use round::Plan;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Places that the search looks at before it gives up.
const LIMIT: usize = 200_000;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1); // rounds fork, so this process has one thread
    /// The functions as tests, named after their module.
    macro_rules! tests {
        ($module:ident: $($name:ident),*) => {
            [$(Trial::test(concat!(stringify!($module), "::", stringify!($name)), || {
                $module::tests::$name();
                Ok(())
            })),*]
        };
    }
    let mut trials = vec![];
    trials.extend(tests!(checker:
        it_accepts_what_happens_one_after_the_other,
        it_orders_what_overlaps_either_way,
        it_lets_a_write_of_the_same_value_wait,
        it_refuses_what_contradicts_the_clock,
        it_keeps_the_order_of_a_process_at_equal_times,
        it_gives_up_when_it_is_told_to));
    trials.extend(tests!(spec:
        it_is_first_in_first_out,
        it_is_full_only_when_it_is,
        it_drops_exactly_the_oldest,
        a_clear_takes_what_was_put_before,
        what_a_kill_cuts_off_has_happened_or_not,
        what_the_dead_had_in_hand_is_lost_or_comes_again,
        nobody_puts_after_the_end_was_heard));
    trials.push(Trial::test(
        "every_history_is_linearizable",
        every_history_is_linearizable,
    ));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable)
        .ok()
        .and_then(|text| text.parse().ok())
}

/// Removed with all that is in it.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let dir =
            std::env::temp_dir().join(format!("prodcon-linearizability-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        Self(dir)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Faults of each kind that have to be found at least.
const PLANTED: usize = 3;

/// What was checked.
#[derive(Debug, Default)]
struct Tally {
    histories: usize,
    operations: usize,
    /// Pairs of operations.
    overlaps: usize,
    /// In the middle of operations.
    paused: usize,
    kills: usize,
    cut_off: usize,
    undecided: usize,
    /// Faults planted and found, by kind.
    found: BTreeMap<&'static str, usize>,
}

impl Tally {
    fn add(&mut self, history: &History) {
        let operations = &history.operations;
        let others = |one: usize| {
            operations[one + 1..]
                .iter()
                .filter(move |other| other.process != operations[one].process)
        };
        self.histories += 1;
        self.operations += operations.len();
        self.overlaps += (0..operations.len())
            .map(|one| {
                others(one)
                    .filter(|other| other.overlaps(&operations[one]))
                    .count()
            })
            .sum::<usize>();
        self.kills += operations
            .iter()
            .filter(|operation| operation.kind == Kind::Die)
            .count();
        self.cut_off += operations
            .iter()
            .filter(|operation| operation.answer.is_none())
            .count();
    }

    /// What is missing to be worth anything.
    fn missing(&self) -> Option<String> {
        let floors = [
            ("histories", self.histories, 150),
            ("operations", self.operations, 3000),
            ("overlaps", self.overlaps, 1000),
            ("pauses", self.paused, if pause::SURE { 100 } else { 0 }),
            ("kills", self.kills, 10),
            ("operations cut off", self.cut_off, 3),
        ];
        let below = floors.into_iter().find(|(_, count, floor)| count < floor);
        let below =
            below.map(|(what, count, floor)| format!("{count} {what}, of at least {floor}"));
        let found = |kind: &&str| self.found.get(*kind).copied().unwrap_or(0) < PLANTED;
        let planted = || {
            plant::KINDS
                .into_iter()
                .find(found)
                .map(|kind| format!("too few faults planted: {kind}"))
        };
        below.or_else(planted)
    }
}

fn verdict(history: &History) -> Verdict {
    check(&spec::Queue::new(history), LIMIT)
}

fn every_history_is_linearizable() -> Result<(), Failed> {
    let began = Instant::now();
    let time = Duration::from_secs(number("PRODCON_TEST_SECONDS").unwrap_or(5));
    let dir = Directory::new();
    let recorder = Recorder::new(spec::PROCESSES);
    let mut tally = Tally::default();
    let mut seed = number("PRODCON_TEST_SEED").unwrap_or_else(|| recorder::now() >> 10);
    println!("PRODCON_TEST_SEED={seed}");
    while began.elapsed() < time || tally.missing().is_some() {
        if began.elapsed() > time + Duration::from_secs(100) {
            return Err(tally.missing().unwrap_or_default().into());
        }
        let plan = Plan::of(seed);
        seed += 1;
        let history =
            round::run(&plan, &recorder, &dir.0).map_err(|error| format!("{plan:?}: {error}"))?;
        tally.add(&history);
        tally.paused += recorder.hits().load(Ordering::Relaxed) as usize;
        match verdict(&history) {
            Verdict::Linearizable => find_planted(&history, &mut tally)?,
            Verdict::Undecided => tally.undecided += 1,
            Verdict::Violation(_) => return Err(complaint(&plan, history).into()),
        }
    }
    println!(
        "{tally:?}, in {:.1} s: every one is linearizable",
        began.elapsed().as_secs_f64()
    );
    if tally.undecided * 50 > tally.histories {
        return Err(format!("{} of {} are undecided", tally.undecided, tally.histories).into());
    }
    Ok(())
}

/// The history is good; with a fault it must not be.
fn find_planted(history: &History, tally: &mut Tally) -> Result<(), Failed> {
    // All now and then; else the one that was found least, and those not found often enough.
    let found = |kind: &str| tally.found.get(kind).copied().unwrap_or(0);
    let least = plant::KINDS
        .into_iter()
        .map(found)
        .min()
        .unwrap_or(0)
        .max(PLANTED - 1);
    let all = tally.histories % 16 == 0;
    let kinds: Vec<&str> = plant::KINDS
        .into_iter()
        .filter(|kind| all || found(kind) <= least)
        .collect();
    for kind in kinds {
        let Some(planted) = plant::plant(kind, history) else {
            continue;
        };
        match verdict(&planted) {
            Verdict::Violation(_) => *tally.found.entry(kind).or_default() += 1,
            Verdict::Undecided => {}
            Verdict::Linearizable => {
                return Err(format!(
                    "the checker did not find what was planted, {kind}, in\n{}\nwhich was\n{}",
                    planted.text(),
                    history.text()
                )
                .into());
            }
        }
    }
    Ok(())
}

/// What is wrong, with as few operations as show it: those that change nothing can be left out.
fn complaint(plan: &Plan, mut history: History) -> String {
    let whole = history.text();
    let nothing = |operation: &Operation| {
        operation.kind.observes()
            || operation.kind.puts() && !operation.is_done()
            || operation.kind.gets() && operation.items().is_empty()
    };
    for place in (0..history.operations.len()).rev() {
        if history.operations[place].answer.is_some() && nothing(&history.operations[place]) {
            let mut less = history.clone();
            less.operations.remove(place);
            if matches!(verdict(&less), Verdict::Violation(_)) {
                history = less;
            }
        }
    }
    let Verdict::Violation(order) = verdict(&history) else {
        unreachable!("it was one")
    };
    let order: Vec<String> = order
        .into_iter()
        .map(|index| history.operations[index].to_string())
        .collect();
    format!(
        "not linearizable: {plan:?}\n{whole}\nless of it:\n{}\nthe most that can be ordered:\n{}",
        history.text(),
        order.join("\n")
    )
}
