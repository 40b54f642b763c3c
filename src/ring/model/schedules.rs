//! Random schedules of three and four participants under shuttle, more of them than loom can try in
//! every order. Half of the schedules are uniformly random, the others those of probabilistic
//! concurrency testing (Burckhardt et al., ASPLOS 2010), which finds a fault that needs few thread
//! switches with a known probability.
//!
//! `RUSTFLAGS="--cfg loom --cfg shuttle" cargo test --profile loom --lib -p prodcon -- schedules
//! --nocapture` prints how many schedules each test ran. `PRODCON_SCHEDULES=100000` asks for more of
//! each case than the usual 1000, and `PRODCON_TEST_SEED` for others. The checks are those of
//! `model`, and a payload that two touch at a time fails. All accesses are sequentially consistent
//! here: orderings are tested by loom alone.

use super::{Case, End, Plan, STARTED, STOP_AT_QUEUE_END, case, play};
use crate::sync::atomic::{Weaker, weaken};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::sync::atomic::{AtomicU32, Ordering};
use shuttle::{Config, Runner};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering as Std};

/// Thread switches that a schedule of probabilistic concurrency testing is made for.
const SWITCHES: usize = 4;
/// Of one case, unless PRODCON_SCHEDULES says otherwise.
const SCHEDULES: usize = 1000;
/// More stores than a plan has.
const MAX_LIFE: u32 = 100;

/// A payload, for one writer or several readers at a time.
pub(super) struct UnsafeCell<T> {
    value: std::cell::UnsafeCell<T>,
    users: AtomicU32,
}

const WRITER: u32 = 1 << 16;

impl<T> UnsafeCell<T> {
    pub(super) fn new(value: T) -> Self {
        Self {
            value: std::cell::UnsafeCell::new(value),
            users: AtomicU32::new(0),
        }
    }

    pub(super) fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
        let others = self.users.fetch_add(1, Ordering::SeqCst);
        assert!(others < WRITER, "a payload is read while it is written");
        let result = read(self.value.get());
        self.users.fetch_sub(1, Ordering::SeqCst);
        result
    }

    pub(super) fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
        let others = self.users.fetch_add(WRITER, Ordering::SeqCst);
        assert_eq!(others, 0, "a payload is written while others use it");
        let result = write(self.value.get());
        self.users.fetch_sub(WRITER, Ordering::SeqCst);
        result
    }
}

fn number(variable: &str, usual: usize) -> usize {
    std::env::var(variable).map_or(usual, |text| text.parse().expect(variable))
}

/// Counts the schedules of a test.
#[derive(Default)]
struct Schedules(usize);

impl Schedules {
    /// Runs the case. Returns true if somebody died in one of the schedules.
    fn run(&mut self, case: &Case) -> bool {
        let each = number("PRODCON_SCHEDULES", SCHEDULES) / 2;
        let seed = (number("PRODCON_TEST_SEED", 1) + self.0) as u64;
        let random = RandomScheduler::new_from_seed(seed, each);
        let few_switches = PctScheduler::new_from_seed(seed, SWITCHES, each);
        let before = self.0;
        let died = self.run_with(random, case);
        let died = self.run_with(few_switches, case) || died;
        assert_eq!(self.0 - before, 2 * each, "schedules");
        died
    }

    fn run_with(&mut self, scheduler: impl Scheduler + 'static, case: &Case) -> bool {
        let died = Arc::new(AtomicBool::new(false));
        let (case, seen) = (case.clone(), died.clone());
        let mut config = Config::new();
        config.stack_size = 1 << 17;
        config.silence_warnings = true;
        self.0 += Runner::new(scheduler, config).run(move || play(&case, &seen));
        died.load(Std::Relaxed)
    }

    /// Runs the case with participant `who` dying before its k-th store, for every k until it
    /// survives.
    fn run_deaths(&mut self, case: &Case, who: usize) {
        let survives = (0..MAX_LIFE).find(|life| {
            let mut mortal = case.clone();
            mortal.plans[who].1 = Some(*life);
            !self.run(&mortal)
        });
        assert!(survives > Some(2), "nobody died, or nobody survived");
    }
}

impl Drop for Schedules {
    fn drop(&mut self) {
        let thread = std::thread::current();
        let name = thread.name().and_then(|name| name.rsplit("::").next());
        println!("schedules {} {}", name.unwrap_or_default(), self.0);
    }
}

const PUT_TWO: Plan = |actor| {
    for block in [10, 11] {
        let _ = actor.put(block);
    }
};
const PUT_TWO_MORE: Plan = |actor| {
    for block in [20, 21] {
        let _ = actor.put(block);
    }
};
const GET_TWO: Plan = |actor| {
    for _ in 0..2 {
        let _ = actor.get();
    }
};
const CLEAR: Plan = |actor| actor.clear();
const CLEAR_THEN_PUT: Plan = |actor| {
    let _ = actor.ring.clear();
    let _ = actor.put(30);
};
const LOOK: Plan = |actor| {
    actor.observe(End::Oldest);
    actor.observe(End::Newest);
};
const RECOVER_THEN_GET: Plan = |actor| {
    actor.recover();
    let _ = actor.get();
};
const ADOPT_THEN_GET: Plan = |actor| {
    let _ = actor.adopt();
    let _ = actor.get();
};
const END: Plan = |actor| actor.set_state(STARTED, STOP_AT_QUEUE_END);
const GET_TO_THE_END: Plan = |actor| {
    for _ in 0..3 {
        actor.get_to_the_end(false);
    }
};

/// Both capacities, empty and full, with blocks of one item and of two.
fn cases(plans: &[Plan]) -> Vec<Case> {
    let mut cases = vec![];
    for slots in 1..=2 {
        for batch in 1..=2 {
            for filled in [0, slots.into()] {
                cases.push(Case {
                    batch,
                    filled,
                    ..case(slots, plans)
                });
            }
        }
    }
    cases
}

fn lossy(case: &Case) -> Case {
    Case {
        lossy: true,
        ..case.clone()
    }
}

#[test]
fn schedules_of_two_producers_and_two_consumers() {
    let mut schedules = Schedules::default();
    for case in cases(&[PUT_TWO, PUT_TWO_MORE, GET_TWO, GET_TWO]) {
        schedules.run(&case);
        schedules.run(&lossy(&case));
    }
}

#[test]
fn schedules_of_clears_beside_puts_and_gets() {
    let mut schedules = Schedules::default();
    for plans in [
        [PUT_TWO, CLEAR, GET_TWO, PUT_TWO_MORE],
        [CLEAR, CLEAR_THEN_PUT, PUT_TWO, GET_TWO],
    ] {
        for case in cases(&plans) {
            schedules.run(&case);
            schedules.run(&lossy(&case));
        }
    }
}

#[test]
fn schedules_of_slots_with_copies() {
    let mut schedules = Schedules::default();
    for plans in [
        [PUT_TWO, PUT_TWO_MORE, GET_TWO, GET_TWO],
        [PUT_TWO, CLEAR, GET_TWO, PUT_TWO_MORE],
    ] {
        for case in cases(&plans) {
            let case = Case {
                copies: true,
                batch: 1,
                ..case
            };
            schedules.run(&case);
            schedules.run(&lossy(&case));
        }
    }
}

#[test]
fn schedules_of_looks_beside_puts_and_gets() {
    let mut schedules = Schedules::default();
    for case in cases(&[PUT_TWO, GET_TWO, LOOK, LOOK]) {
        let case = Case {
            observed: true,
            batch: 1,
            ..case
        };
        schedules.run(&case);
        schedules.run(&lossy(&case));
    }
}

#[test]
fn schedules_of_the_end_of_a_stream() {
    let mut schedules = Schedules::default();
    for case in cases(&[PUT_TWO, PUT_TWO_MORE, END, GET_TO_THE_END]) {
        let case = Case { ends: true, ..case };
        schedules.run(&case);
        schedules.run(&lossy(&case));
    }
}

#[test]
fn schedules_of_deaths_beside_three_others() {
    let mut schedules = Schedules::default();
    for victim in [PUT_TWO, GET_TWO, CLEAR_THEN_PUT] {
        let plans = [victim, RECOVER_THEN_GET, PUT_TWO_MORE, GET_TWO];
        for slots in 1..=2 {
            let case = Case {
                filled: 1,
                lossy: true,
                ..case(slots, &plans)
            };
            schedules.run_deaths(&case, 0);
        }
    }
}

#[test]
fn schedules_of_orphans_and_two_adopters() {
    let mut schedules = Schedules::default();
    for batch in 1..=2 {
        let case = Case {
            filled: 2,
            at_least_once: true,
            batch,
            ..case(2, &[GET_TWO, ADOPT_THEN_GET, ADOPT_THEN_GET, PUT_TWO])
        };
        schedules.run_deaths(&case, 0);
    }
}

#[test]
fn schedules_of_two_deaths_and_a_recoverer() {
    let mut schedules = Schedules::default();
    let plans = [PUT_TWO, RECOVER_THEN_GET, RECOVER_THEN_GET];
    for (first, second) in (0..12).flat_map(|k| (0..12).map(move |l| (k, l))) {
        let mut case = Case {
            filled: 1,
            lossy: true,
            ..case(1, &plans)
        };
        (case.plans[0].1, case.plans[1].1) = (Some(first), Some(second));
        schedules.run(&case);
    }
}

/// How the fault shows depends on the schedule.
#[test]
#[should_panic]
fn schedules_fail_by_a_compare_and_swap_in_two_steps() {
    let _weaker = weaken(Weaker::TwoSteps);
    Schedules::default().run(&case(1, &[PUT_TWO, PUT_TWO_MORE, GET_TWO, GET_TWO]));
}
