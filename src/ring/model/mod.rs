//! Models of the real ring code, with participants that die before any store or compare-and-swap:
//! two or three of them under loom and weak memory, and three or four under shuttle.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --profile loom --lib -p prodcon -- model --nocapture` prints
//! how many executions each model has. With `PRODCON_LOOM_FENCES=0` it is the second pass, see
//! `sync/checked.rs`.
//!
//! The models explore the interleavings with at most three forced thread switches, deaths counted,
//! as far as loom takes two accesses for dependent, with the participants in both orders.
//! LOOM_MAX_PREEMPTIONS=4 goes deeper and takes hours; `.ci/long` does that.
//!
//! This module has the simulated memory and locks, participants and their deaths, and the checks
//! after each execution:
//!
//! - the permutation of blocks;
//! - `puts = got + dropped + cleared + lost + len` in items (nothing is held at the end), with puts
//!   compared with the stamps and skips too;
//! - no item is read twice, except for redelivered ones;
//! - nothing is put after the end of a stream;
//! - payloads are read and written without a race (`UnsafeCell`);
//! - no answer says that the segment is damaged;
//! - no seat is undecided once all have ended.
//!
//! `cases` has the models of the ring, `copies` those of the copy in the slot, `observers` those of
//! looks without taking, `sleepers` those of the event word, and `selects` those of waits on several
//! words. The head of `cases` lists planted bugs, each seen failing. `weaker` plants weaker orderings
//! in each run. `schedules` has all that shuttle does.

#[cfg(not(shuttle))]
mod cases;
#[cfg(not(shuttle))]
mod copies;
#[cfg(not(shuttle))]
mod explore;
#[cfg(not(shuttle))]
mod observers;
#[cfg(shuttle)]
mod schedules;
#[cfg(not(shuttle))]
mod selects;
#[cfg(not(shuttle))]
mod sleepers;
#[cfg(not(shuttle))]
mod weaker;

use super::seat::{Event, Kind, Record, Seat};
use super::slot::{BlockWord, Cursor, Ready, Shape};
use super::{Cursors, End, Ending, Locks, Memory, Recovered, Ring, RingError};
use crate::layout::SeatLine;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering, cas_sc, load_sc};
use crate::sync::mortal::live;
use crate::sync::pair::Pair;
#[cfg(not(shuttle))]
use explore::FORCED;
#[cfg(not(shuttle))]
use loom::{cell::UnsafeCell, thread};
#[cfg(shuttle)]
use schedules::UnsafeCell;
#[cfg(shuttle)]
use shuttle::thread;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering as Std};

/// Checks, just after an exchange, that no live item is discarded, and that no put that is void
/// itself drops a live one.
pub(super) fn witness<M: Memory>(memory: &M, kind: Kind, given: u32, received: u32) {
    let epoch = |block| BlockWord(memory.block(block).load(Ordering::Relaxed)).epoch();
    match kind {
        Kind::Discard | Kind::Replace => assert!(
            epoch(received) < Ready(memory.ready().load(Ordering::Relaxed)).epoch(),
            "a live item was discarded"
        ),
        Kind::Drop => assert!(
            epoch(received) <= epoch(given),
            "a void put dropped a live item"
        ),
        Kind::Put | Kind::Take | Kind::Skip => {}
    }
}

/// Checks that a verdict without a look at the header says what the header says.
pub(super) fn witness_live<M: Memory>(memory: &M, block: u32, epoch: u64, live: bool) {
    let put_in = BlockWord(memory.block(block).load(Ordering::Relaxed)).epoch();
    assert_eq!(
        live,
        put_in >= epoch,
        "put in epoch {put_in}, it is {epoch}"
    );
}

/// Checks that a copy is that of the item in the block that came with it.
pub(super) fn witness_copy<M: Memory>(memory: &M, block: u32, copy: u64) {
    assert_eq!(copy, memory.copy_of(block), "another item's copy");
}

/// A slot. The word of a pair has the lock that the others' words do without.
enum Slot {
    Word(AtomicU64),
    Pair(Pair),
}

struct Inner {
    shape: Shape,
    /// Somebody changes the state.
    ends: bool,
    slots: Vec<Slot>,
    seats: Vec<SeatLine>,
    blocks: Vec<AtomicU64>,
    payload: Vec<UnsafeCell<u64>>,
    /// The payload where an observer reads it while it may be written. It is two words, which have
    /// one value in every item.
    observed: Option<Vec<[AtomicU64; 2]>>,
    words: [AtomicU64; 5], // ready, orphans, head, tail, state
    locks: Vec<AtomicU32>,
}

/// States, as the real ones.
const STOPPED: u64 = 1;
const STARTED: u64 = 2;
const STOP_AT_QUEUE_END: u64 = 3;

#[derive(Clone)]
struct Shared(Arc<Inner>);

// SAFETY: the payload cells are accessed by the owner of the block alone; the models check just that.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    fn new(case: &Case) -> Self {
        let (slots, seats) = (case.slots, case.plans.len() as u32 + 2);
        let (ends, observed, copies) = (case.ends, case.observed, case.copies);
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
            ends,
            slots: (0..slots)
                .map(|index| shape.pack(0, index))
                .map(|raw| {
                    if copies {
                        Slot::Pair(Pair::new(raw))
                    } else {
                        Slot::Word(word(raw))
                    }
                })
                .collect(),
            seats: (0..seats).map(seat).collect(),
            blocks: (0..shape.blocks).map(|_| word(0)).collect(),
            payload: (0..shape.blocks).map(|_| UnsafeCell::new(0)).collect(),
            observed: observed.then(|| (0..shape.blocks).map(|_| [word(0), word(0)]).collect()),
            words: [word(1), word(0), word(0), word(0), word(STARTED)],
            locks: (0..seats)
                .map(|seat| AtomicU32::new(u32::from(seat + 1 < seats)))
                .collect(), // all but the last one, which is free
        }))
    }
}

impl Memory for Shared {
    fn shape(&self) -> &Shape {
        &self.0.shape
    }
    fn slot(&self, index: u32) -> &AtomicU64 {
        match &self.0.slots[index as usize] {
            Slot::Word(word) => word,
            Slot::Pair(pair) => &pair.word,
        }
    }
    fn pair(&self, index: u32) -> Option<&Pair> {
        match &self.0.slots[index as usize] {
            Slot::Word(_) => None,
            Slot::Pair(pair) => Some(pair),
        }
    }
    fn fetch_ahead(&self, _: u32) {}
    fn copy_of(&self, block: u32) -> u64 {
        // SAFETY: the caller owns the block; a model fails if anybody else writes to it.
        self.0.payload[block as usize].with(|cell| unsafe { *cell })
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
    fn claim_cache_lines(&self, _: u32) {}
    fn ready(&self) -> &AtomicU64 {
        &self.0.words[0]
    }
    fn started(&self) -> bool {
        // Where nobody changes the state, its loads would only add executions.
        !self.0.ends || load_sc(&self.0.words[4]) == STARTED
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

/// What the participants have reported, in the order of the execution. Loom does not see it.
#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Reports>>);

#[derive(Default)]
struct Reports {
    /// Items read.
    read: Vec<u64>,
    /// Blocks whose put answered Ok.
    put: Vec<u64>,
    /// Where which block was put, and where which one was observed.
    put_at: Vec<(Cursor, u64)>,
    observed_at: Vec<(Cursor, u64)>,
    /// The state was *stop at queue end*, and a consumer has ended the stream.
    ended: bool,
}

impl Log {
    fn read(&self, item: u64) {
        self.0.lock().unwrap().read.push(item);
    }
}

/// A participant. Items are numbers; a block put as `n` carries the items `10 n` to
/// `10 n + batch - 1`.
struct Actor<'a> {
    ring: &'a Ring<Shared>,
    held: &'a Held,
    seat: Seat,
    cursors: Cursors,
    lossy: bool,
    log: Log,
}

/// Returns the answer. It fails if the answer finds a contradiction in a segment that nobody
/// damaged.
fn checked(answer: Result<(), RingError>) -> Result<(), RingError> {
    let plain = matches!(
        answer,
        Ok(()) | Err(RingError::Full | RingError::Empty | RingError::NotReady | RingError::Stopped)
    );
    assert!(plain, "{answer:?}");
    answer
}

impl Actor<'_> {
    fn put(&mut self, block: u64) -> Result<(), RingError> {
        let answer = self.put_unlogged(block);
        if answer.is_ok() {
            let mut log = self.log.0.lock().unwrap();
            log.put.push(block);
            // Only the cursor knows where a put that was overtaken went.
            let at = self.cursors.put.previous(self.ring.memory.0.shape.slots);
            log.put_at.push((at.unwrap(), block));
        }
        answer
    }
    fn put_unlogged(&mut self, block: u64) -> Result<(), RingError> {
        if let Some(observed) = &self.ring.memory.0.observed {
            for word in &observed[self.seat.block as usize] {
                word.store(block, Ordering::Relaxed);
            }
        }
        // SAFETY: the block is this seat's own; a model fails if anybody else touches it.
        self.ring.memory.0.payload[self.seat.block as usize]
            .with_mut(|cell| unsafe { *cell = block });
        let length = if self.ring.batch == 1 {
            8
        } else {
            self.ring.batch.into()
        };
        let header = self.ring.memory.block(self.seat.block);
        let (cursors, seat) = (&mut self.cursors, &mut self.seat);
        let pair = self.ring.memory.pair(cursors.put.index);
        let done = if self.ring.single {
            self.ring
                .put_fast::<true>(cursors, seat, header, length, pair, || block)
        } else {
            self.ring
                .put_fast::<false>(cursors, seat, header, length, pair, || block)
        };
        if done {
            return Ok(());
        }
        checked(
            self.ring
                .put(&mut self.cursors, &mut self.seat, length, self.lossy),
        )
    }
    /// Reads the next item in hand.
    fn read(&self, seat: &Seat) {
        // SAFETY: as in `put`.
        let block = self.ring.memory.0.payload[seat.block as usize].with(|cell| unsafe { *cell });
        self.log.read(block * 10 + u64::from(seat.acknowledged()));
    }
    /// Reads and acknowledges up to `items` of those in hand, one by one, each only if it was not
    /// cleared meanwhile.
    fn consume(&self, seat: &mut Seat, items: u32) {
        for _ in 0..items {
            if !seat.hold || self.ring.settle_void(seat) {
                return;
            }
            self.read(seat);
            seat.acknowledge(&self.ring.memory, 1);
        }
    }
    fn take(&mut self) -> Result<(), RingError> {
        let usual = if self.ring.single {
            self.ring
                .take_fast::<true>(&mut self.cursors, &mut self.seat)
        } else {
            self.ring
                .take_fast::<false>(&mut self.cursors, &mut self.seat)
        };
        if usual.is_some() {
            return Ok(());
        }
        checked(self.ring.take(&mut self.cursors, &mut self.seat).map(drop))
    }
    /// Gets by a copy. Returns `None` if there was nothing, or if a cleared item was discarded.
    fn get_by_copy(&mut self) -> Option<()> {
        let log = self.log.clone();
        let (cursors, seat) = (&mut self.cursors, &mut self.seat);
        let pair = self.ring.memory.pair(cursors.get.index)?;
        self.ring
            .get_copy(cursors, seat, pair, |block| log.read(block * 10))
    }
    fn get(&mut self) -> Result<(), RingError> {
        if self.ring.memory.pair(0).is_some() {
            if self.get_by_copy().is_some() {
                return Ok(());
            }
        } else if self.ring.single {
            let got = self
                .ring
                .get_fast(&mut self.cursors, &mut self.seat, |_, block| {
                    // SAFETY: as in `put`.
                    let item =
                        self.ring.memory.0.payload[block as usize].with(|cell| unsafe { *cell });
                    self.log.read(item * 10);
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
        let Some(mut seat) =
            self.ring
                .adopt(&mut locks, |index| index == own, &mut Recovered::default())
        else {
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
        self.ring
            .attach(
                &mut locks,
                |index| index == own,
                false,
                &mut Recovered::default(),
            )
            .unwrap()
    }
    fn leave(&self, seat: Seat) {
        let mut locks = self.held;
        self.ring.leave(&mut locks, seat);
    }
    fn recover(&mut self) {
        let own = self.seat.index;
        let mut locks = self.held;
        assert_eq!(
            self.ring.recover(&mut locks, |index| index == own).corrupt,
            None
        );
    }
    fn set_state(&self, from: u64, to: u64) {
        cas_sc(&self.ring.memory.0.words[4], from, to).unwrap();
    }
    /// Gets until the ring is empty, and ends the stream if the state said so before. With `sole`
    /// there is no other consumer, so this one has read all that was put so far.
    fn get_to_the_end(&mut self, sole: bool) {
        loop {
            let ends = load_sc(&self.ring.memory.0.words[4]) == STOP_AT_QUEUE_END;
            match self.get() {
                Ok(()) => continue,
                Err(refusal) => assert_eq!(refusal, RingError::Empty),
            }
            if !ends {
                return;
            }
            if self
                .ring
                .end(&mut self.cursors, &mut self.seat, |_| false)
                .unwrap()
                == Ending::Ended
            {
                let mut log = self.log.0.lock().unwrap();
                log.ended = true;
                let unread: Vec<_> = log
                    .put
                    .iter()
                    .filter(|block| !log.read.contains(&(*block * 10)))
                    .collect();
                assert!(
                    !sole || self.lossy || unread.is_empty(),
                    "put before the end of the stream and never got: {unread:?}"
                );
                return;
            }
        }
    }
    /// Looks at an item. It must be whole, and the one of its position.
    fn observe(&self, end: End) {
        let memory = &self.ring.memory;
        let observed = memory.0.observed.as_ref().unwrap();
        let look = |_, block: u32| {
            // Relaxed: as a copy of plain memory is.
            [0, 1].map(|word: usize| observed[block as usize][word].load(Ordering::Relaxed))
        };
        if let Some((at, [first, second])) = self.ring.observe(end, look).unwrap() {
            assert_eq!(first, second, "an observer saw a torn item");
            self.log.0.lock().unwrap().observed_at.push((at, first));
        }
    }
    fn clear(&mut self) {
        let epoch = self.ring.clear().unwrap();
        self.ring
            .drain(&mut self.cursors, &mut self.seat, epoch)
            .unwrap();
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
    /// Somebody changes the state.
    ends: bool,
    /// Slots have copies of their items.
    copies: bool,
    /// Somebody observes.
    observed: bool,
    /// The most thread switches and deaths that loom forces.
    #[cfg(not(shuttle))]
    forced: usize,
    /// What each participant does, and after how many stores it dies.
    plans: Vec<(Plan, Option<u32>)>,
}

impl Case {
    /// Returns the seat of the participant that fills the ring before, and repairs and empties it
    /// afterwards.
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
        ends: false,
        copies: false,
        observed: false,
        #[cfg(not(shuttle))]
        forced: FORCED,
        plans: plans.iter().map(|plan| (*plan, None)).collect(),
    }
}

fn participant(
    shared: Shared,
    case: &Case,
    plan: Plan,
    life: Option<u32>,
    seat: u32,
    log: Log,
    died: &AtomicBool,
) {
    let ring = case.ring(&shared);
    let held = Held {
        shared: shared.clone(),
        mine: RefCell::new(vec![]),
    };
    held.mine.borrow_mut().push(seat); // locked from the beginning: nobody else takes it
    let end = live(life.unwrap_or(u32::MAX), || {
        let line = shared.seat(seat);
        // Free: nothing in hand.
        let own = Seat::adopt(seat, &line.read_record(), line.read_counts(), 1);
        plan(&mut Actor {
            ring: &ring,
            held: &held,
            seat: own,
            cursors: Cursors::default(),
            lossy: case.lossy,
            log,
        });
    });
    if end.is_none() {
        died.store(true, Std::Relaxed);
    }
    let mine: Vec<u32> = held.mine.borrow().clone();
    let keeps = seat == case.filler();
    for seat in mine.into_iter().filter(|mine| !keeps || *mine != seat) {
        (&held).unlock(seat); // the kernel drops a dead process's locks; a live one leaves at rest
    }
}

/// Plays the case through once, in the engine's schedule, and checks what is left in the end. Sets
/// `died` if somebody died.
fn play(case: &Case, died: &Arc<AtomicBool>) {
    let shared = Shared::new(case);
    let log: Log = Default::default();
    let filler = case.filler();
    let none = AtomicBool::new(false);
    for item in 0..case.filled {
        let put: Plan = |actor| {
            let _ = actor.put(u64::from(actor.ring.tail().index) + 2 * actor.ring.tail().cycle);
        };
        let _ = item;
        participant(shared.clone(), case, put, None, filler, log.clone(), &none);
    }
    let threads: Vec<_> = case.plans[1..]
        .iter()
        .enumerate()
        .map(|(index, (plan, life))| {
            let (shared, case, log, died, plan, life) = (
                shared.clone(),
                case.clone(),
                log.clone(),
                died.clone(),
                *plan,
                *life,
            );
            thread::spawn(move || {
                participant(shared, &case, plan, life, index as u32 + 1, log, &died)
            })
        })
        .collect();
    let (plan, life) = case.plans[0];
    participant(shared.clone(), case, plan, life, 0, log.clone(), died);
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    // Afterwards: everything can be resolved, adopted and accounted for.
    participant(
        shared.clone(),
        case,
        |actor| (0..3).for_each(|_| actor.recover()),
        None,
        filler,
        log.clone(),
        &none,
    );
    if case.at_least_once {
        participant(
            shared.clone(),
            case,
            |actor| while actor.adopt() {},
            None,
            filler,
            log.clone(),
            &none,
        );
    }
    let ring = case.ring(&shared);
    assert!(
        !ring.needs_care(|_| false),
        "a seat stays undecided or holds an item"
    );
    assert_eq!(ring.permutation(&ring.census()), Vec::<String>::new());
    let seats: Vec<_> = shared.0.seats.iter().map(SeatLine::read_counts).collect();
    let sum = |event| seats.iter().map(|counts| counts.items(event)).sum::<u64>();
    let got = seats.iter().map(|counts| counts.got).sum::<u64>();
    let (head, tail) = (
        shared.0.shape.count(ring.head()),
        shared.0.shape.count(ring.tail()),
    );
    let (removed, skipped) = (
        got + sum(Event::Dropped) + sum(Event::Cleared) + sum(Event::Lost),
        sum(Event::Skipped),
    );
    assert_eq!(
        removed,
        (head - skipped) * u64::from(case.batch),
        "accounts {seats:?}"
    );
    assert_eq!(
        sum(Event::Put),
        if case.batch == 1 {
            0
        } else {
            (tail - skipped) * u64::from(case.batch)
        },
        "puts {seats:?}"
    );
    assert!(
        head <= tail
            && tail - head <= u64::from(case.slots)
            && ring.items() == (tail - head) * u64::from(case.batch)
    );
    let log = log.0.lock().unwrap();
    if log.ended && load_sc(&shared.0.words[4]) == STOP_AT_QUEUE_END {
        assert_eq!(ring.items(), 0, "put after the end of the stream");
    }
    if case.plans.iter().all(|(_, life)| life.is_none()) {
        for seen in &log.observed_at {
            assert!(
                log.put_at.contains(seen),
                "{seen:?} observed of {:?}",
                log.put_at
            );
        }
    }
    let mut items = log.read.clone();
    let read = items.len();
    items.sort_unstable();
    items.dedup();
    if case.at_least_once {
        assert!(sum(Event::Lost) == 0, "an item was lost");
    } else {
        assert_eq!(items.len(), read, "an item was read twice");
    }
    assert!(
        items.len() as u64 >= got,
        "an acknowledged item was never read"
    );
}
