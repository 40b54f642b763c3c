//! Executable specification of the end of a stream, beside `exchange_ring`: the state word, and the position at the tail that is skipped before anybody answers `Stopped`.
//!
//! Searched breadth first over all interleavings, sequentially consistent; every load, store and CAS of shared memory is one step, and a process may die before each of
//! them (all its locks fall at once). Producers, consumers and one controller that moves the state (and clears), at any time.
//!
//! The claim, checked at every answer and at every CAS of a put: when a consumer answers `Stopped` because it had found state 3, every put that was admitted before has taken
//! effect, and its item was taken (at-least-once: acknowledged); or it answers `Stopped`, and its item is still the caller's. Checked in EVERY state: each block in
//! one place, items and stamps agree, the count of skips is exact with what recovery would still count. In every END state: nobody waits for ever, `doctor` decides every seat.
//!
//!     cargo run --release -p prodcon-model --bin end_of_stream
//!
//! runs all scenarios but those called `heavy`, which are run by words of their names (minutes and gigabytes). Each must come to its number of states. A scenario with a `Flaw`
//! switches one rule off and must fail. A violation that was not expected, or any with `--trace`, prints its interleaving.
//!
//! Not modelled: weak memory, wake-ups, wrap-around, batches and hands.

mod check;
#[rustfmt::skip] // a table
mod scenarios;
mod search;
mod step;

use prodcon_model::{Explore, Outcome, ensure};
use std::process::ExitCode;

const SLOTS: usize = 2;
const SEATS: usize = 4;
const BLOCKS: usize = SLOTS + SEATS;
const PROCS: usize = 5;
const ITEMS: usize = 5;
const NONE: u8 = 255;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Flaw {
    Today,         // state before slot, and no skip: the code as it is
    StateFirst,    // skip, but the put loads the state before the slot
    ActualKept,    // the word that a failed CAS returned is used without another look at the state
    Touch,         // the skip leaves the stamp: (EMPTY(c), b) -> (EMPTY(c), own block): ABA
    SealBit, // instead of the skip: a seal on the slot, removed by who puts in state started (no generation in it)
    NoScan,  // at-least-once: Stopped although another seat may carry an item
    ScanEarly, // the seats are scanned before the slot is looked at
    ScanHold, // the scan sees `hold` alone, not takes that are announced
    SkipUncounted, // recovery forgets the event of a skip
    LateAnswer, // the skip failed (somebody was there first), Stopped all the same
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Kind {
    Put,
    Take,
    Drop,
    Replace,
    Skip,
    Seal,
    Unseal,
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Slot {
    stamp: u8,
    seal: bool,
    block: u8,
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Record {
    mine: u8,
    inc: u8,
    hold: bool,
    kind: Kind,
    seq: u8,
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Seat {
    r: Record,
    got: u8,
    base: u8,
    skipped: u8,
    lock: u8,
}

impl Seat {
    /// Leaves the record at rest, with this block and nothing announced.
    fn rest(&mut self, mine: u8) {
        self.r = Record {
            mine,
            inc: NONE,
            hold: false,
            kind: Kind::Put,
            seq: self.skipped % 4,
        };
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Exchange {
    kind: Kind,
    pos: u8,
    seen: Slot,
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum At {
    Start,
    Done,
    Dead,
    // put
    PutLook,
    PutState(Slot),
    PutWait,
    // get
    GetLook,
    Scan { k: u8, seen: Slot, early: bool },
    GetWait,
    // exchange
    Announce(Exchange),
    Swap(Exchange),
    CountSkip(Exchange),
    Rest(Exchange),
    Retreat,
    Open(u8),
    Ack(u8),
    AckRest(u8),
    Answer,
    // visits to the seats of the dead
    Visit(u8),
    Search { d: u8, k: u8 },
    Decide { d: u8, happened: bool },
    VCount { d: u8 },
    VRest { d: u8 },
    VLost(u8),
    VLostRest(u8),
    VUnlock(u8),
    // the controller
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Process {
    at: At,
    op: u8,
    seat: u8,
    put: u8,
    get: u8,
    st: u8,
    gen_: u8,
    epoch: u8,
    heard: u8,
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Place {
    Unborn,
    Ring,
    Held(u8),
    Acked,
    Dropped,
    Cleared,
    Lost,
    Refused,
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Shared {
    slots: [Slot; SLOTS],
    item: [u8; BLOCKS],
    ep: [u8; BLOCKS],
    seats: [Seat; SEATS],
    state: u8,
    ready: u8,
    p: [Process; PROCS],
    // the truth
    gen_: u8,
    owner: [u8; SEATS],
    place: [Place; ITEMS],
    adm: [u8; ITEMS],
    ended: u8,
    head: u8,
    tail: u8,
    skips: u8,
    deaths: u8,
}
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Control {
    State(u8),
    Clear,
}
#[derive(Clone)]
struct Scenario {
    name: &'static str,
    n: u8,
    puts: &'static [u8],
    cons: u8,
    hears: u8,
    ctl: &'static [Control],
    deaths: u8,
    alo: bool,
    lossy: bool,
    flaw: Option<Flaw>,
    floor: usize,
}
type Checked<T> = Result<T, String>;

impl Scenario {
    fn has(&self, f: Flaw) -> bool {
        self.flaw == Some(f)
    }
    fn np(&self) -> usize {
        self.puts.len()
    }
    fn seats(&self) -> u8 {
        self.puts.len() as u8 + self.cons
    }
    fn procs(&self) -> usize {
        self.seats() as usize + 1
    }
    fn producer(&self, i: usize) -> bool {
        i < self.np()
    }
    fn ctl_at(&self) -> usize {
        self.procs() - 1
    }
    fn item_of(&self, i: usize, op: u8) -> u8 {
        self.puts[..i].iter().sum::<u8>() + op + 1
    }
    fn init(&self) -> Shared {
        let n = self.n;
        let dead = Process {
            at: At::Done,
            op: 0,
            seat: NONE,
            put: 0,
            get: 0,
            st: 0,
            gen_: 0,
            epoch: 0,
            heard: 0,
        };
        let mut s = Shared {
            slots: std::array::from_fn(|i| Slot {
                stamp: 0,
                seal: false,
                block: i as u8,
            }),
            item: [0; BLOCKS],
            ep: [0; BLOCKS],
            seats: std::array::from_fn(|i| Seat {
                r: Record {
                    mine: n + i as u8,
                    inc: NONE,
                    hold: false,
                    kind: Kind::Put,
                    seq: 0,
                },
                got: 0,
                base: 0,
                skipped: 0,
                lock: NONE,
            }),
            state: 2,
            ready: 1,
            p: [dead; PROCS],
            gen_: 0,
            owner: std::array::from_fn(|i| n + i as u8),
            place: [Place::Unborn; ITEMS],
            adm: [0; ITEMS],
            ended: 0,
            head: 0,
            tail: 0,
            skips: 0,
            deaths: 0,
        };
        for i in 0..self.procs() {
            s.p[i].at = At::Start;
            if i < self.seats() as usize {
                s.p[i].seat = i as u8;
                s.seats[i].lock = i as u8;
            }
        }
        s
    }
    fn wants_care(&self, s: &Shared, d: u8) -> bool {
        let r = s.seats[d as usize].r;
        r.inc != NONE || r.hold
    }
    fn seen_block(&self, s: &Shared, d: u8, b: u8) -> bool {
        s.slots[..self.n as usize].iter().any(|x| x.block == b)
            || (0..self.seats()).any(|k| {
                k != d && s.seats[k as usize].r.inc == NONE && s.seats[k as usize].r.mine == b
            })
    }
    fn decidable(&self, s: &Shared, d: u8) -> bool {
        let r = s.seats[d as usize].r;
        r.inc == NONE || self.seen_block(s, d, r.mine) || self.seen_block(s, d, r.inc)
    }
    fn may_carry(&self, r: Record) -> bool {
        r.hold || (r.inc != NONE && r.kind == Kind::Take && !self.has(Flaw::ScanHold))
    }
    fn dirty(&self, s: &Shared, i: usize) -> bool {
        self.alo
            && (0..self.seats()).any(|d| {
                s.seats[d as usize].lock != i as u8 && self.may_carry(s.seats[d as usize].r)
            })
    }
    fn care_due(&self, s: &Shared) -> bool {
        (0..self.seats()).any(|d| {
            s.seats[d as usize].lock == NONE && self.wants_care(s, d) && self.decidable(s, d)
        })
    }
    fn dead_any(&self, s: &Shared) -> bool {
        s.deaths > 0 && self.care_due(s)
    }

    fn kill(&self, s: &Shared, i: usize) -> Option<Shared> {
        if s.deaths >= self.deaths || i == self.ctl_at() || matches!(s.p[i].at, At::Dead | At::Done)
        {
            return None;
        }
        let mut t = *s;
        t.p[i] = Process {
            at: At::Dead,
            op: 0,
            seat: NONE,
            put: 0,
            get: 0,
            st: 0,
            gen_: 0,
            epoch: 0,
            heard: t.p[i].heard,
        };
        for q in t.seats.iter_mut() {
            if q.lock == i as u8 {
                q.lock = NONE;
            }
        }
        t.deaths += 1;
        Some(t)
    }
    fn finish_put(&self, t: &mut Shared, i: usize) {
        let p = &mut t.p[i];
        p.op += 1;
        p.at = if p.op == self.puts[i] {
            At::Done
        } else {
            At::Start
        };
        p.st = 0;
        p.epoch = 0;
        p.gen_ = 0;
        if p.at == At::Done {
            p.put = 0;
        }
    }
    fn give_up(&self, t: &mut Shared, i: usize) -> Checked<()> {
        // put answers Stopped: the item stays the caller's
        let it = self.item_of(i, t.p[i].op) as usize;
        ensure!(
            t.place[it] == Place::Unborn,
            "put answers Stopped, but item {it} is {:?}",
            t.place[it]
        );
        t.place[it] = Place::Refused;
        if t.seats[t.p[i].seat as usize].r.inc != NONE {
            t.p[i].at = At::Retreat
        } else {
            self.finish_put(t, i)
        }
        Ok(())
    }
    fn hear(&self, t: &mut Shared, i: usize) {
        let p = &mut t.p[i];
        p.heard += 1;
        p.st = 0;
        p.gen_ = 0;
        p.at = if p.heard == self.hears {
            At::Done
        } else {
            At::Start
        };
        if p.at == At::Done {
            p.get = 0;
        }
    }
    fn answer_end(&self, t: &mut Shared, i: usize) -> Checked<()> {
        let g = t.p[i].gen_;
        for k in 1..ITEMS {
            if t.adm[k] <= g {
                ensure!(
                    t.place[k] != Place::Ring,
                    "consumer {i} answers Stopped, item {k} is in the ring"
                );
                ensure!(
                    !(self.alo && matches!(t.place[k], Place::Held(_))),
                    "consumer {i} answers Stopped, item {k} is {:?}",
                    t.place[k]
                );
            }
        }
        t.ended = t.ended.max(g + 1);
        if t.seats[t.p[i].seat as usize].r.inc != NONE {
            t.p[i].at = At::Answer
        } else {
            self.hear(t, i)
        }
        Ok(())
    }
    fn retreat_wait(&self, t: &mut Shared, i: usize) {
        if t.seats[t.p[i].seat as usize].r.inc != NONE {
            t.p[i].at = At::Retreat
        } else {
            t.p[i].at = At::GetWait
        }
    }
}

impl Explore for Scenario {
    fn name(&self) -> &str {
        self.name
    }
    fn explore(&self, trace: bool) -> Outcome {
        self.run(trace)
    }
}

fn main() -> ExitCode {
    prodcon_model::main(&scenarios::scenarios(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_small_scenarios_are_as_expected() {
        let small =
            |scenario: &&Scenario| !scenario.name.starts_with("heavy") && scenario.floor <= 200_000;
        prodcon_model::assert_as_expected(scenarios::scenarios().iter().filter(small));
    }
}
