//! loom models: every interleaving (up to a bound on preemptions) of the real ring code under weak memory, with participants that die before any store or
//! compare-and-swap. `RUSTFLAGS="--cfg loom" cargo test --profile loom --lib -p prodcon -- model`; LOOM_MAX_PREEMPTIONS=4 goes deeper and takes hours.
//!
//! Owns the simulated memory and locks, participants and their deaths, and what is checked after each execution: the permutation of blocks; `puts = got + dropped + cleared +
//! lost + len` in items (nothing is held at the end), puts also against the stamps; no item read twice (but redelivered ones); payloads are read and written without a race
//! (`UnsafeCell`); no seat undecided once all have ended. `cases` has the models of the ring, `sleepers` those of the event word.
//!
//! Planted bugs, each seen failing: see `cases`. Not caught here, for the sequentially consistent accesses stand between fences: weaker orderings of the slot's CAS.

mod cases;
mod sleepers;

use super::seat::{Event, Kind, Record, Seat};
use super::slot::{BlockWord, Ready, Shape};
use super::{Cursors, Locks, Memory, Recovered, Refusal, Ring};
use crate::layout::SeatLine;
use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering as Std};

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
        Kind::Discard | Kind::Replace => assert!(
            epoch(received) < Ready(memory.ready().load(Ordering::Relaxed)).epoch(),
            "a live item was discarded"
        ),
        Kind::Drop => assert!(epoch(received) <= epoch(given), "a void put dropped a live item"),
        Kind::Put | Kind::Take | Kind::Skip => {}
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
            got: word(0),
            base: word(0),
            outgoing: word(0),
            counts: [word(0), word(0), word(0), word(0)],
            redelivered: word(0),
            dead_lettered: word(0),
            pid: AtomicU32::new(0),
            role: AtomicU32::new(0),
            asleep: AtomicU32::new(0),
            buffered: AtomicU32::new(0),
            skipped: AtomicU64::new(0),
            not_before: AtomicU64::new(0),
            since: AtomicU64::new(0),
        };
        Self(Arc::new(Inner {
            shape,
            slots: (0..slots).map(|index| word(shape.pack(0, index))).collect(),
            seats: (0..seats).map(seat).collect(),
            blocks: (0..shape.blocks).map(|_| word(0)).collect(),
            payload: (0..shape.blocks).map(|_| UnsafeCell::new(0)).collect(),
            words: [word(1), word(0), word(0), word(0)],
            locks: (0..seats).map(|seat| AtomicU32::new(u32::from(seat + 1 < seats))).collect(), // all but the last one, which is free
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
    fn is_first_in_line(&self, _: u32) -> bool {
        true
    }
    fn own_lines(&self, _: u32) {}
    fn ready(&self) -> &AtomicU64 {
        &self.0.words[0]
    }
    fn started(&self) -> bool {
        true
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
    fn is_locked(&mut self, seat: u32) -> bool {
        let mine = self.mine.borrow().contains(&seat);
        // Acquire: the kernel's answer comes after what the holder did before it let go.
        !mine && self.shared.0.locks[seat as usize].load(Ordering::Acquire) != 0
    }
}

type Log = Arc<std::sync::Mutex<Vec<u64>>>;

/// A participant. Items are numbers; a block put as `n` carries the items `10 n` to `10 n + batch - 1`.
struct Actor<'a> {
    ring: &'a Ring<Shared>,
    held: &'a Held,
    seat: Seat,
    cursors: Cursors,
    lossy: bool,
    log: Log,
}

impl Actor<'_> {
    fn put(&mut self, block: u64) -> Result<(), Refusal> {
        // SAFETY: the block is this seat's own; loom fails if anybody else touches it.
        self.ring.memory.0.payload[self.seat.block as usize].with_mut(|cell| unsafe { *cell = block });
        let length = if self.ring.batch == 1 { 8 } else { self.ring.batch.into() };
        let header = self.ring.memory.block(self.seat.block);
        let done = if self.ring.single {
            self.ring.put_here::<true>(&mut self.cursors, &mut self.seat, header, length)
        } else {
            self.ring.put_here::<false>(&mut self.cursors, &mut self.seat, header, length)
        };
        if done {
            return Ok(());
        }
        self.ring.put(&mut self.cursors, &mut self.seat, length, self.lossy)
    }
    /// Reads the next item in hand.
    fn read(&self, seat: &Seat) {
        // SAFETY: as in `put`.
        let block = self.ring.memory.0.payload[seat.block as usize].with(|cell| unsafe { *cell });
        self.log.lock().unwrap().push(block * 10 + u64::from(seat.acknowledged()));
    }
    /// Reads and acknowledges up to `items` of those in hand, one by one, each only if it was not cleared meanwhile.
    fn consume(&self, seat: &mut Seat, items: u32) {
        for _ in 0..items {
            if !seat.hold || self.ring.settle_void(seat) {
                return;
            }
            self.read(seat);
            seat.acknowledge(&self.ring.memory, 1);
        }
    }
    fn take(&mut self) -> Result<(), Refusal> {
        let usual = if self.ring.single {
            self.ring.take_here::<true>(&mut self.cursors, &mut self.seat)
        } else {
            self.ring.take_here::<false>(&mut self.cursors, &mut self.seat)
        };
        if usual.is_some() {
            return Ok(());
        }
        self.ring.take(&mut self.cursors, &mut self.seat).map(drop)
    }
    fn get(&mut self) -> Result<(), Refusal> {
        if self.ring.single {
            let got = self.ring.get_here(&mut self.cursors, &mut self.seat, |_, block| {
                // SAFETY: as in `put`.
                let item = self.ring.memory.0.payload[block as usize].with(|cell| unsafe { *cell });
                self.log.lock().unwrap().push(item * 10);
                Some(())
            });
            if got.is_some() {
                return Ok(());
            }
        }
        self.take()?;
        let mut seat = std::mem::replace(&mut self.seat, Seat::gone(0));
        self.read(&seat); // just taken: not void
        seat.acknowledge(&self.ring.memory, 1);
        self.consume(&mut seat, self.ring.batch - 1);
        self.seat = seat;
        Ok(())
    }
    fn adopt(&mut self) -> bool {
        let own = self.seat.index;
        let mut locks = self.held;
        let Some(mut seat) = self.ring.adopt(&mut locks, |index| index == own, &mut Recovered::default()) else {
            return false;
        };
        if self.ring.deliver_again(&mut seat, false).is_some() {
            let all = self.ring.batch;
            self.consume(&mut seat, all);
        }
        self.ring.leave(&mut locks, seat);
        true
    }
    /// A second seat, if one is free.
    fn second_seat(&mut self) -> Option<Seat> {
        let own = self.seat.index;
        let mut locks = self.held;
        self.ring.attach(&mut locks, |index| index == own, false, &mut Recovered::default()).unwrap()
    }
    fn leave(&self, seat: Seat) {
        let mut locks = self.held;
        self.ring.leave(&mut locks, seat);
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
    /// Items in each block.
    batch: u32,
    filled: u64,
    /// What each participant does, and after how many stores it dies.
    plans: Vec<(Plan, Option<u32>)>,
}

impl Case {
    /// The seat of who fills the ring before, and repairs and empties it afterwards.
    fn filler(&self) -> u32 {
        self.plans.len() as u32
    }

    fn ring(&self, shared: &Shared) -> Ring<Shared> {
        Ring {
            memory: shared.clone(),
            at_least_once: self.at_least_once,
            batch: self.batch,
            single: self.batch == 1,
            contention: 0,
        }
    }
}

fn case(slots: u32, plans: &[Plan]) -> Case {
    Case {
        slots,
        lossy: false,
        at_least_once: false,
        batch: 1,
        filled: 0,
        plans: plans.iter().map(|plan| (*plan, None)).collect(),
    }
}

fn participant(shared: Shared, case: &Case, plan: Plan, life: Option<u32>, seat: u32, log: Log, died: &AtomicBool) {
    let ring = case.ring(&shared);
    let held = Held {
        shared: shared.clone(),
        mine: RefCell::new(vec![]),
    };
    held.mine.borrow_mut().push(seat); // locked from the beginning: nobody else takes it
    let end = catch_unwind(AssertUnwindSafe(|| {
        let line = shared.seat(seat);
        let own = Seat::adopt(seat, &line.read_record(), line.read_counts(), 1); // free: nothing in hand
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
    let keeps = seat == case.filler();
    for seat in mine.into_iter().filter(|mine| !keeps || *mine != seat) {
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
        let shared = Shared::new(case.slots, case.plans.len() as u32 + 2);
        let log: Log = Default::default();
        let filler = case.filler();
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
        let ring = case.ring(&shared);
        assert!(!ring.needs_care(|_| false), "a seat stays undecided or holds an item");
        assert_eq!(ring.permutation(&ring.census()), Vec::<String>::new());
        let seats: Vec<_> = shared.0.seats.iter().map(SeatLine::read_counts).collect();
        let sum = |event| seats.iter().map(|counts| counts.items(event)).sum::<u64>();
        let got = seats.iter().map(|counts| counts.got).sum::<u64>();
        let (head, tail) = (shared.0.shape.count(ring.head()), shared.0.shape.count(ring.tail()));
        let removed = got + sum(Event::Dropped) + sum(Event::Cleared) + sum(Event::Lost);
        assert_eq!(removed, head * u64::from(case.batch), "accounts {seats:?}");
        assert_eq!(
            sum(Event::Put),
            if case.batch == 1 { 0 } else { tail * u64::from(case.batch) },
            "puts {seats:?}"
        );
        assert!(head <= tail && tail - head <= u64::from(case.slots) && ring.items() == (tail - head) * u64::from(case.batch));
        let mut items = log.lock().unwrap().clone();
        let read = items.len();
        items.sort_unstable();
        items.dedup();
        if case.at_least_once {
            assert!(sum(Event::Lost) == 0, "an item was lost");
        } else {
            assert_eq!(items.len(), read, "an item was read twice");
        }
        assert!(items.len() as u64 >= got, "an acknowledged item was never read");
    });
    outer.load(Std::Relaxed)
}

/// The case with its first two participants dying, each before each of its stores.
fn two_deaths(case: &Case) {
    for k in 0..100 {
        let mut mortal = case.clone();
        mortal.plans[0].1 = Some(k);
        if !explore(&mortal) {
            return;
        }
        for l in 0..100 {
            mortal.plans[0].1 = None;
            mortal.plans[1].1 = Some(l);
            let second_dies = explore(&mortal);
            mortal.plans[0].1 = Some(k);
            explore(&mortal);
            if !second_dies {
                break;
            }
        }
    }
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
