//! loom models: every interleaving (up to a bound on preemptions) of the real ring code under weak memory, with participants that die before any store or
//! compare-and-swap. `RUSTFLAGS="--cfg loom" cargo test --profile loom --lib -p prodcon -- model`; LOOM_MAX_PREEMPTIONS=4 goes deeper and takes hours.
//!
//! Planted bugs, each seen failing: record at rest before the counter (model_put_dies, model_clear_dies); recovery that counts without looking at the parity (the same,
//! model_recoverer_dies_too); no announcement before the CAS (all with deaths); adoption without the parity check (model_adoption_loses_nothing, model_get_dies); verdict
//! inverted (all with deaths); a drain that takes any other epoch for void, and a lossy put that ignores a newer epoch (model_late_puts_and_slow_drains); a sleeper that does not
//! look again after it registered (the sleeper models). Not caught here, for the sequentially consistent accesses stand between fences: weaker orderings of the slot's CAS.
//!
//! Checked after each execution: the permutation of blocks; `puts = got + dropped + cleared + lost + held + len`; no item read twice (but redelivered ones); payloads are read
//! and written without a race (`UnsafeCell`); each producer's items in order; no seat undecided once all have ended.

use super::seat::{Event, Kind, Record, Seat};
use super::slot::{BlockWord, Ready, Shape};
use super::{Cursors, Locks, Memory, Recovered, Refusal, Ring};
use crate::layout::SeatLine;
use crate::sync::event::{Futex, register, wake_one};
use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use loom::sync::{Condvar, Mutex};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering as Std};
use std::time::Duration;

loom::thread_local! {
    /// Stores and compare-and-swaps that the thread may still do; `None`: any number.
    static LIFE: RefCell<Option<u32>> = RefCell::new(None);
}

struct Death;

/// Called before each shared store and compare-and-swap: the thread may die here.
pub(crate) fn mortal() {
    let dies = LIFE.with(|life| match &mut *life.borrow_mut() {
        Some(0) => true,
        Some(left) => {
            *left -= 1;
            false
        }
        None => false,
    });
    if dies {
        resume_unwind(Box::new(Death));
    }
}

/// Just after an exchange: no live item is discarded, and no put that is void itself drops a live one.
pub(super) fn witness<M: Memory>(memory: &M, kind: Kind, given: u32, received: u32) {
    let epoch = |block| BlockWord(memory.block(block).load(Ordering::Relaxed)).epoch();
    match kind {
        Kind::Discard => assert!(
            epoch(received) < Ready(memory.ready().load(Ordering::Relaxed)).epoch(),
            "a live item was discarded"
        ),
        Kind::Drop => assert!(epoch(received) <= epoch(given), "a void put dropped a live item"),
        Kind::Put | Kind::Take => {}
    }
}

struct Inner {
    shape: Shape,
    slots: Vec<AtomicU64>,
    seats: Vec<SeatLine>,
    blocks: Vec<AtomicU64>,
    payload: Vec<UnsafeCell<u64>>,
    words: [AtomicU64; 4], // ready, orphans, head, tail
    locks: Vec<AtomicU32>,
}

#[derive(Clone)]
struct Shared(Arc<Inner>);

// SAFETY: the payload cells are accessed by the owner of the block alone; loom checks just that.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    fn new(slots: u32, seats: u32) -> Self {
        let shape = Shape::new(slots, seats);
        let word = |value: u64| AtomicU64::new(value);
        let seat = |index: u32| SeatLine {
            record: word(Record::at_rest(slots + index).pack()),
            position: word(0),
            counts: [word(0), word(0), word(0), word(0)],
            redelivered: word(0),
            dead_lettered: word(0),
            pid: AtomicU32::new(0),
            role: AtomicU32::new(0),
            asleep: AtomicU32::new(0),
        };
        Self(Arc::new(Inner {
            shape,
            slots: (0..slots).map(|index| word(shape.pack(0, index))).collect(),
            seats: (0..seats).map(seat).collect(),
            blocks: (0..shape.blocks()).map(|_| word(0)).collect(),
            payload: (0..shape.blocks()).map(|_| UnsafeCell::new(0)).collect(),
            words: [word(1), word(0), word(0), word(0)],
            locks: (0..seats).map(|_| AtomicU32::new(0)).collect(),
        }))
    }
}

impl Memory for Shared {
    fn shape(&self) -> &Shape {
        &self.0.shape
    }
    fn slot(&self, index: u32) -> &AtomicU64 {
        &self.0.slots[index as usize]
    }
    fn seat(&self, index: u32) -> &SeatLine {
        &self.0.seats[index as usize]
    }
    fn block(&self, block: u32) -> &AtomicU64 {
        &self.0.blocks[block as usize]
    }
    fn set_length(&self, _: u32, length: u64) -> u16 {
        length as u16
    }
    fn length(&self, _: u32, word: BlockWord) -> u64 {
        word.length().into()
    }
    fn ready(&self) -> &AtomicU64 {
        &self.0.words[0]
    }
    fn orphans(&self) -> &AtomicU64 {
        &self.0.words[1]
    }
    fn head(&self) -> &AtomicU64 {
        &self.0.words[2]
    }
    fn tail(&self) -> &AtomicU64 {
        &self.0.words[3]
    }
}

/// The seat locks that one participant holds. The kernel's hand-over is a release and an acquire.
struct Held {
    shared: Shared,
    mine: RefCell<Vec<u32>>,
}

impl Locks for &Held {
    fn try_lock(&mut self, seat: u32) -> bool {
        if self.mine.borrow().contains(&seat) {
            return true;
        }
        let locked = self.shared.0.locks[seat as usize]
            .compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok();
        if locked {
            self.mine.borrow_mut().push(seat);
        }
        locked
    }
    fn unlock(&mut self, seat: u32) {
        self.mine.borrow_mut().retain(|mine| *mine != seat);
        self.shared.0.locks[seat as usize].store(0, Ordering::Release);
    }
}

type Log = Arc<std::sync::Mutex<Vec<u64>>>;

/// A participant with one seat.
struct Actor<'a> {
    ring: &'a Ring<Shared>,
    held: &'a Held,
    seat: Seat,
    cursors: Cursors,
    lossy: bool,
    log: Log,
}

impl Actor<'_> {
    fn put(&mut self, item: u64) -> Result<(), Refusal> {
        // SAFETY: the block is this seat's own; loom fails if anybody else touches it.
        self.ring.memory.0.payload[self.seat.block as usize].with_mut(|cell| unsafe { *cell = item });
        self.ring.put(&mut self.cursors, &mut self.seat, 8, self.lossy)
    }
    fn read(&self, seat: &Seat) {
        // SAFETY: as in `put`.
        let item = self.ring.memory.0.payload[seat.block as usize].with(|cell| unsafe { *cell });
        self.log.lock().unwrap().push(item);
    }
    fn get(&mut self) -> Result<(), Refusal> {
        self.ring.take(&mut self.cursors, &mut self.seat)?;
        self.read(&self.seat);
        self.seat.settle(&self.ring.memory, Event::Got);
        Ok(())
    }
    fn adopt(&mut self) -> bool {
        let own = self.seat.index;
        let mut locks = self.held;
        let Some(mut seat) = self.ring.adopt(&mut locks, |index| index == own, &mut Recovered::default()) else {
            return false;
        };
        if self.ring.deliver_again(&mut seat).is_some() {
            self.read(&seat);
            seat.settle(&self.ring.memory, Event::Got);
        }
        self.ring.leave(&mut locks, seat);
        true
    }
    fn recover(&mut self) {
        let own = self.seat.index;
        let mut locks = self.held;
        assert_eq!(self.ring.recover(&mut locks, |index| index == own).corrupt, None);
    }
    fn clear(&mut self) {
        let epoch = self.ring.clear().unwrap();
        self.ring.drain(&mut self.cursors, &mut self.seat, epoch).unwrap();
    }
}

type Plan = fn(&mut Actor<'_>);

#[derive(Clone)]
struct Case {
    slots: u32,
    lossy: bool,
    at_least_once: bool,
    filled: u64,
    /// What each participant does, and after how many stores it dies.
    plans: Vec<(Plan, Option<u32>)>,
}

fn case(slots: u32, plans: &[Plan]) -> Case {
    Case {
        slots,
        lossy: false,
        at_least_once: false,
        filled: 0,
        plans: plans.iter().map(|plan| (*plan, None)).collect(),
    }
}

fn participant(shared: Shared, case: &Case, plan: Plan, life: Option<u32>, seat: u32, log: Log, died: &AtomicBool) {
    let ring = Ring {
        memory: shared.clone(),
        at_least_once: case.at_least_once,
        contention: 0,
    };
    let held = Held {
        shared: shared.clone(),
        mine: RefCell::new(vec![]),
    };
    assert!((&held).try_lock(seat));
    let end = catch_unwind(AssertUnwindSafe(|| {
        let own = Seat::adopt(seat, shared.seat(seat));
        let mut actor = Actor {
            ring: &ring,
            held: &held,
            seat: own,
            cursors: Cursors::default(),
            lossy: case.lossy,
            log,
        };
        LIFE.with(|left| *left.borrow_mut() = life);
        plan(&mut actor);
    }));
    LIFE.with(|left| *left.borrow_mut() = None);
    if let Err(cause) = end {
        if !cause.is::<Death>() {
            resume_unwind(cause);
        }
        died.store(true, Std::Relaxed);
    }
    let mine: Vec<u32> = held.mine.borrow().clone();
    for seat in mine {
        (&held).unlock(seat); // the kernel drops a dead process's locks; a live one leaves at rest
    }
}

/// Runs all interleavings; true if somebody died in one of them.
fn explore(case: &Case) -> bool {
    let died = Arc::new(AtomicBool::new(false));
    let outer = died.clone();
    let case = case.clone();
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 100_000;
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.check(move || {
        let shared = Shared::new(case.slots, case.plans.len() as u32 + 1);
        let log: Log = Default::default();
        let filler = case.plans.len() as u32;
        let none = AtomicBool::new(false);
        for item in 0..case.filled {
            let put: Plan = |actor| {
                let _ = actor.put(u64::from(actor.ring.tail().index) + 2 * actor.ring.tail().cycle);
            };
            let _ = item;
            participant(shared.clone(), &case, put, None, filler, log.clone(), &none);
        }
        let threads: Vec<_> = case.plans[1..]
            .iter()
            .enumerate()
            .map(|(index, (plan, life))| {
                let (shared, case, log, died, plan, life) = (shared.clone(), case.clone(), log.clone(), died.clone(), *plan, *life);
                loom::thread::spawn(move || participant(shared, &case, plan, life, index as u32 + 1, log, &died))
            })
            .collect();
        let (plan, life) = case.plans[0];
        participant(shared.clone(), &case, plan, life, 0, log.clone(), &died);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        // Afterwards: everything can be resolved, adopted and accounted for.
        participant(
            shared.clone(),
            &case,
            |actor| (0..3).for_each(|_| actor.recover()),
            None,
            filler,
            log.clone(),
            &none,
        );
        if case.at_least_once {
            participant(shared.clone(), &case, |actor| while actor.adopt() {}, None, filler, log.clone(), &none);
        }
        let ring = Ring {
            memory: shared.clone(),
            at_least_once: case.at_least_once,
            contention: 0,
        };
        assert!(!ring.needs_care(|_| false), "a seat stays undecided or holds an item");
        assert_eq!(ring.permutation(), Vec::<String>::new());
        let counts = shared
            .0
            .seats
            .iter()
            .map(SeatLine::read_counts)
            .fold([0; 4], |sum: [u64; 4], c| [0, 1, 2, 3].map(|i| sum[i] + c[i]));
        let (head, tail) = (shared.0.shape.count(ring.head()), shared.0.shape.count(ring.tail()));
        assert_eq!(counts.iter().sum::<u64>(), head, "accounts {counts:?}");
        assert!(head <= tail && tail - head <= u64::from(case.slots));
        let mut items = log.lock().unwrap().clone();
        let read = items.len();
        items.sort_unstable();
        items.dedup();
        if case.at_least_once {
            assert!(counts[Event::Lost as usize] == 0, "an item was lost");
        } else {
            assert_eq!(items.len(), read, "an item was read twice");
        }
        assert!(items.len() as u64 >= counts[Event::Got as usize], "an acknowledged item was never read");
    });
    outer.load(Std::Relaxed)
}

/// The case with participant `who` dying before its k-th store, for every k until it survives.
fn each_death(case: &Case, who: usize) {
    for k in 0..100 {
        let mut mortal = case.clone();
        mortal.plans[who].1 = Some(k);
        if !explore(&mortal) {
            assert!(k > 2, "nobody died");
            return;
        }
    }
    panic!("it never survives");
}

const PUT_A: Plan = |actor| {
    let _ = actor.put(100);
};
const PUT_B: Plan = |actor| {
    let _ = actor.put(200);
};
const GET: Plan = |actor| {
    let _ = actor.get();
};
const CLEAR: Plan = |actor| actor.clear();
const RECOVER_THEN_GET: Plan = |actor| {
    actor.recover();
    let _ = actor.get();
};
const RECOVER_THEN_PUT: Plan = |actor| {
    actor.recover();
    let _ = actor.put(300);
};
const ADOPT: Plan = |actor| {
    let _ = actor.adopt();
};

#[test]
fn model_put_put() {
    (1..=2).for_each(|n| {
        explore(&case(n, &[PUT_A, PUT_B]));
    });
}

#[test]
fn model_put_get() {
    (1..=2).for_each(|n| {
        explore(&case(n, &[PUT_A, GET]));
    });
    explore(&Case {
        filled: 1,
        ..case(1, &[PUT_A, GET])
    });
}

#[test]
fn model_get_get() {
    (1..=2).for_each(|n| {
        explore(&Case {
            filled: u64::from(n),
            ..case(n, &[GET, GET])
        });
    });
}

#[test]
fn model_lossy_overwrite_against_get() {
    (1..=2).for_each(|n| {
        explore(&Case {
            filled: u64::from(n),
            lossy: true,
            ..case(n, &[PUT_A, GET])
        });
    });
    explore(&Case {
        filled: 1,
        lossy: true,
        ..case(1, &[PUT_A, PUT_B, GET])
    });
}

#[test]
fn model_clear_and_drain() {
    (1..=2).for_each(|n| {
        explore(&Case {
            filled: 1,
            ..case(n, &[CLEAR, PUT_A])
        });
    });
    (1..=2).for_each(|n| {
        explore(&Case {
            filled: 1,
            ..case(n, &[CLEAR, GET])
        });
    });
    explore(&Case {
        filled: 1,
        lossy: true,
        ..case(1, &[CLEAR, CLEAR, PUT_A])
    });
}

#[test]
fn model_late_puts_and_slow_drains() {
    explore(&Case {
        lossy: true,
        ..case(1, &[PUT_A, CLEAR, PUT_B])
    });
    explore(&case(1, &[CLEAR, CLEAR, PUT_A]));
    explore(&Case {
        filled: 1,
        ..case(2, &[CLEAR, CLEAR, PUT_A])
    });
}

/// `victim` dies before each of its stores, beside each of the others, at both capacities, with the ring empty and full.
fn dies_beside(victim: Plan, others: &[Plan], lossy: bool) {
    for other in others {
        for slots in 1..=2 {
            for filled in [0, u64::from(slots)] {
                let both = Case {
                    filled,
                    lossy,
                    ..case(slots, &[victim, *other])
                };
                // A get on an empty ring changes nothing it could die in.
                let mut dead = false;
                for k in 0..100 {
                    let mut mortal = both.clone();
                    mortal.plans[0].1 = Some(k);
                    if !explore(&mortal) {
                        break;
                    }
                    dead = true;
                }
                assert!(dead || filled == 0, "nobody died");
            }
        }
    }
}

const ALL: &[Plan] = &[PUT_B, GET, CLEAR, RECOVER_THEN_PUT, RECOVER_THEN_GET];

#[test]
fn model_put_dies() {
    dies_beside(PUT_A, ALL, true);
    each_death(&case(1, &[PUT_A, RECOVER_THEN_GET]), 0);
    each_death(&case(2, &[PUT_A, PUT_B]), 0);
}

#[test]
fn model_get_dies() {
    dies_beside(GET, ALL, false);
    dies_beside(GET, &[PUT_B], true);
}

#[test]
fn model_clear_dies() {
    dies_beside(CLEAR, ALL, false);
}

#[test]
fn model_recoverer_dies_too() {
    for first in 3..7 {
        let mut two = Case {
            filled: 1,
            lossy: true,
            ..case(1, &[PUT_A, RECOVER_THEN_PUT])
        };
        two.plans[0].1 = Some(first);
        for second in 0..4 {
            two.plans[1].1 = Some(second);
            explore(&two);
        }
    }
}

#[test]
fn model_adoption_loses_nothing() {
    each_death(
        &Case {
            filled: 1,
            at_least_once: true,
            ..case(1, &[GET, ADOPT])
        },
        0,
    );
    let mut two = Case {
        filled: 1,
        at_least_once: true,
        ..case(1, &[GET, ADOPT, ADOPT])
    };
    for life in 3..6 {
        two.plans[0].1 = Some(life);
        explore(&two);
    }
    for life in 0..12 {
        let mut adopter_dies = Case {
            filled: 1,
            at_least_once: true,
            ..case(1, &[GET, ADOPT])
        };
        adopter_dies.plans[0].1 = Some(4);
        adopter_dies.plans[1].1 = Some(life);
        explore(&adopter_dies);
    }
}

// ---------------------------------------------------------------- the event word

/// A futex: compare under the lock, then sleep.
struct Simulated(Mutex<u32>, Condvar);

impl Futex for Simulated {
    fn wait(&self, word: &AtomicU32, expected: u32, _: Duration) {
        let mut sleepers = self.0.lock().unwrap();
        if word.load(Ordering::SeqCst) == expected {
            *sleepers += 1;
            let _woken = self.1.wait(sleepers).unwrap();
        }
    }
    fn wake(&self, _: &AtomicU32, count: u32) -> u32 {
        let mut sleepers = self.0.lock().unwrap();
        let woken = count.min(*sleepers);
        *sleepers -= woken;
        (0..woken).for_each(|_| self.1.notify_one());
        woken
    }
}

/// A lost wake-up shows as loom's "deadlock".
fn sleepers_and_wakers(sleepers: usize, killed: bool) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.check(move || {
        let all = loom::sync::Arc::new((AtomicU32::new(0), AtomicU64::new(0), Simulated(Mutex::new(0), Condvar::new())));
        let threads: Vec<_> = (0..sleepers)
            .map(|_| {
                let all = all.clone();
                loom::thread::spawn(move || {
                    let (word, items, futex) = &*all;
                    let take = || {
                        let mut seen = crate::sync::atomic::load_sc(items);
                        while seen > 0 {
                            match crate::sync::atomic::cas_sc(items, seen, seen - 1) {
                                Ok(_) => return true,
                                Err(actual) => seen = actual,
                            }
                        }
                        false
                    };
                    while !take() {
                        let value = register(word);
                        if take() {
                            return;
                        }
                        futex.wait(word, value, Duration::ZERO);
                    }
                })
            })
            .collect();
        let (word, items, futex) = &*all;
        if killed {
            register(word); // and dies before it sleeps: its registration stays
        }
        for _ in 0..sleepers {
            let mut seen = crate::sync::atomic::load_sc(items);
            while let Err(actual) = crate::sync::atomic::cas_sc(items, seen, seen + 1) {
                seen = actual;
            }
            wake_one(word, futex);
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn model_one_sleeper_is_woken() {
    sleepers_and_wakers(1, false);
    sleepers_and_wakers(1, true);
}

#[test]
fn model_two_sleepers_are_woken() {
    sleepers_and_wakers(2, false);
    sleepers_and_wakers(2, true);
}
