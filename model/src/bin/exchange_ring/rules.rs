//! A scenario, the rules that it can switch off, and the small rules that owners, recovery and the checks share.

use crate::state::*;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    AtMostOnce,
    AtLeastOnce,
}

/// One rule switched off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flaw {
    // exchange, gate
    /// A lossy put whose own item is void already drops a live item of a newer epoch.
    LatePut,
    /// Drain takes "another epoch than mine" for void.
    DrainNotEqual,
    // counters
    /// Recovery counts all events of an exchange without looking how many are counted.
    CountTwice,
    /// The record carries one bit of the sequence: two events counted look like none.
    OneBitSeq,
    /// `outgoing` is stored after the exchange.
    OutgoingLate,
    /// Recovery reads the length of the block put from the block itself, which is somebody else's by then.
    OutgoingFromBlock,
    // what is in hand
    /// `base` is stored after the take.
    BaseLate,
    /// `position` is stored after the take.
    PositionLate,
    /// Adoption looks at `hold` only.
    AdoptSettled,
    /// A hold is settled only by `got`.
    SettledByGot,
    /// A hold is settled only by the sequence.
    SettledBySeq,
    /// A hold is settled as soon as anything of it is acknowledged.
    SettledByAny,
    /// What is lost or cleared of a hold is its block, not the rest of it.
    LostWhole,
    /// A copying get writes its record at rest before it acknowledges.
    CopyRestFirst,
    /// Acknowledging all adds the block's length, not the rest's.
    AckWhole,
    /// The rest of a longer block is delivered without a look at the epoch.
    RestUnchecked,
    /// An adopter begins with the block's first item again.
    AdoptFromStart,
    /// `redelivered` is a part of the sequence.
    RedeliveredInSeq,
    // orphans
    /// The orphans value is remembered after adopting one orphan.
    RememberAfterOne,
    /// A process that leaves a held seat raises `orphans` first and unlocks then.
    RaiseBeforeUnlock,
    /// Recovery raises `orphans` only for a seat that it has itself resolved to `hold`.
    RaiseOnlyNew,
    /// Attach never takes an orphan seat.
    NoSeatAtOrphans,
    /// A new consumer remembers the current `orphans` value unseen.
    NewcomerCurrent,
    /// Nack unlocks, then looks for another seat.
    NackUnlockFirst,
    /// A normal exit with `hold` does not raise `orphans`.
    CloseSilently,
    /// Get on an empty ring never looks for dead seats.
    NoPolledRecovery,
    // several seats
    /// Recovery and adoption do not skip the seats of their own endpoint (whose lock they get once more).
    VisitOwn,
    /// An attach that got too few seats unlocks the orphans among them without a word.
    AttachSilently,
    /// An attach for several seats does not count orphans.
    AttachNeedsFree,
    /// A seat that was left is never replaced by a spare one.
    NoSpare,
    /// A seat with something in hand exchanges.
    ExchangeHeld,
    // dead letters
    /// The count of deliveries is not bound to the item it was made for.
    TriesOfBlock,
    /// All the rest of a block is a dead letter, not only what was handed out.
    TriesWhole,
    /// What a delivery handed out is taken for what all of them did.
    TriesLast,
    /// The count is not reset before a take.
    TriesStale,
    /// An item is acknowledged before it is put into the dead-letter queue.
    LetterAckFirst,
    /// If the dead-letter queue does not take an item, it is acknowledged nevertheless.
    LetterDropped,
    // close_on_last
    /// The last role is cleared before the gate is closed.
    RoleFirst,
    /// A consumer opens the gate before it sets its role.
    OpenFirst,
    /// A consumer opens the gate only if no other role is set.
    OpenIfFirst,
    /// Nobody takes the extra lock.
    NoGateLock,
    /// Recovery leaves seats alone that are at rest and carry nothing.
    RoleUnseen,
    /// A producer takes a dead consumer's seat as it is.
    RoleTakenOver,
    /// A nack leaves the last seat that shows the consumer's role.
    RoleLeft,
    /// A consumer sets its role in its first seat only, not in the seats it takes later.
    RoleOnce,
}

pub struct Scenario {
    pub name: &'static str,
    /// Slots, seats, items in a block.
    pub n: u8,
    pub seats: u8,
    pub m: u8,
    pub mode: Mode,
    pub plans: Vec<Vec<Op>>,
    /// Seats that each process is due.
    pub due: [u8; PROCS],
    /// How many processes may die.
    pub deaths: u8,
    /// Bit set of processes that do not.
    pub immortal: u8,
    /// The ready word at first.
    pub ready: u8,
    /// Idle gets look for dead seats.
    pub idle_recovery: bool,
    /// 0: deliveries are not counted.
    pub max_deliveries: u8,
    /// Room in the dead-letter queue.
    pub letters: u8,
    pub close_on_last: bool,
    pub flaw: Option<Flaw>,
}

pub type Checked<T> = Result<T, String>;

impl Scenario {
    pub fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }
    pub fn at_least_once(&self) -> bool {
        self.mode == Mode::AtLeastOnce
    }
    pub fn is_consumer(&self, i: usize) -> bool {
        self.plans[i]
            .iter()
            .any(|op| matches!(op, Op::Get(_) | Op::Consume(_)))
    }

    pub fn init(&self) -> State {
        let seat = |i: usize| Seat {
            rec: Record::at_rest(self.n + i as u8, false, 0),
            position: STALE,
            base: STALE,
            outgoing: STALE,
            got: 0,
            words: [0; 4],
            tries: Tries::none(0),
            redelivered: 0,
            dead_lettered: 0,
            role: false,
            lock: NONE,
        };
        let mut s = State {
            slots: std::array::from_fn(|i| Slot {
                stamp: 0,
                block: i as u8,
            }),
            blocks: [Block {
                epoch: 0,
                items: [0; BATCH],
            }; BLOCKS],
            seats: std::array::from_fn(seat),
            ready: self.ready,
            gate_lock: NONE,
            procs: [Proc {
                at: At::Done,
                ..GONE
            }; PROCS],
            owner: std::array::from_fn(|i| self.n + i as u8),
            head: 0,
            tail: 0,
            place: [Place::Unborn; ITEMS],
            put_at: [STALE; ITEMS],
            handed: [0; ITEMS],
            letters: [0; ITEMS],
            deaths: 0,
            notice: false,
        };
        let mut next = 0;
        for (i, plan) in self.plans.iter().enumerate() {
            s.procs[i].at = At::Start;
            if plan[0] != Op::Attach {
                s.procs[i].seat = next;
                for seat in &mut s.seats[next as usize..][..self.due[i] as usize] {
                    seat.lock = i as u8;
                    seat.role = self.close_on_last && self.is_consumer(i);
                }
                next += self.due[i];
            }
        }
        assert!(
            next <= self.seats && self.seats as usize <= SEATS && self.n as usize <= SLOTS,
            "{}",
            self.name
        );
        s
    }

    // -------------------------------------------------------------- the seats of a process
    pub fn own(&self, s: &State, i: usize) -> impl Iterator<Item = u8> {
        let locks = s.seats.map(|seat| seat.lock);
        (0..self.seats).filter(move |d| locks[*d as usize] == i as u8)
    }
    /// A seat to exchange with: the last one used, or another one without `hold`.
    pub fn free_seat(&self, s: &State, i: usize) -> Option<u8> {
        let last = s.procs[i].seat;
        if last != NONE && self.has(Flaw::ExchangeHeld) {
            return Some(last);
        }
        let free = |d: &u8| !s.seat(*d).rec.hold;
        if last != NONE && s.seat(last).lock == i as u8 && free(&last) {
            Some(last)
        } else {
            self.own(s, i).find(free)
        }
    }
    /// A seat with something that the next get delivers: the rest of a longer block, what a nack had to keep, an orphan taken at attach. The oldest.
    pub fn to_deliver(&self, s: &State, i: usize) -> Option<u8> {
        self.own(s, i)
            .filter(|d| s.seat(*d).rec.hold && s.procs[i].app >> d & 1 == 0)
            .min_by_key(|d| s.seat(*d).position)
    }
    pub fn kept(&self, s: &State, i: usize, newest: bool) -> Option<u8> {
        let kept = (0..self.seats).filter(|d| s.procs[i].app >> d & 1 == 1);
        if newest {
            kept.max_by_key(|d| s.seat(*d).position)
        } else {
            kept.min_by_key(|d| s.seat(*d).position)
        }
    }
    /// It copies: the record of its take stays announced until the item is acknowledged.
    pub fn copies(&self, s: &State, i: usize) -> bool {
        matches!(
            self.plans[i][s.procs[i].op as usize],
            Op::Get(After::Copy) | Op::Consume(After::Copy)
        )
    }
    /// How many blocks it may have in hand.
    pub fn in_hand(&self, i: usize) -> u32 {
        self.due[i].saturating_sub(1).max(1) as u32
    }

    // -------------------------------------------------------------- events of an exchange, and the part of them not yet counted
    pub fn events(&self, kind: Kind) -> &'static [Event] {
        match (kind, self.m > 1) {
            (Kind::Put, true) => &[Event::Put],
            (Kind::Put, false) | (Kind::Take, _) => &[],
            (Kind::Drop, true) => &[Event::Dropped, Event::Put],
            (Kind::Drop, false) => &[Event::Dropped],
            (Kind::Replace, true) => &[Event::Cleared, Event::Put],
            (Kind::Replace, false) | (Kind::Discard, _) => &[Event::Cleared],
        }
    }
    /// Event number `k` of the exchange that seat `d` has announced and that happened, with its items.
    pub fn event(&self, s: &State, d: u8, k: u8) -> Option<(Event, u8)> {
        let q = s.seat(d);
        let event = *self.events(q.rec.kind).get(k as usize)?;
        Some((
            event,
            if event == Event::Put {
                q.outgoing
            } else {
                s.blocks[q.rec.incoming as usize].len()
            },
        ))
    }
    /// The first event that recovery has to count.
    pub fn first_uncounted(&self, s: &State, d: u8) -> u8 {
        match self.flaw {
            Some(Flaw::CountTwice) => 0,
            Some(Flaw::OneBitSeq) => s.seat(d).done() % 2,
            _ => s.seat(d).done(),
        }
    }
    /// Is the `hold` of a seat at rest settled?
    pub fn settled(&self, s: &State, d: u8) -> bool {
        let q = s.seat(d);
        let len = s.blocks[q.rec.mine as usize].len();
        match self.flaw {
            Some(Flaw::AdoptSettled) => false,
            Some(Flaw::SettledByGot) => q.acked() >= len,
            Some(Flaw::SettledBySeq) => q.seq() != q.rec.seq,
            Some(Flaw::SettledByAny) => q.settled(len) || q.acked() > 0,
            Some(Flaw::RedeliveredInSeq) => q.settled(len) || q.redelivered > 0,
            _ => q.settled(len),
        }
    }

    // -------------------------------------------------------------- what can be seen of a seat
    /// Recovery's sighting rule on one instant; the processes read word by word (`At::Search`).
    pub fn decidable(&self, s: &State, d: u8) -> Option<bool> {
        let r = s.seat(d).rec;
        let seen = |b: u8| {
            s.slots[..self.n as usize]
                .iter()
                .any(|slot| slot.block == b)
                || (0..self.seats)
                    .any(|k| k != d && s.seat(k).rec.rests() && s.seat(k).rec.mine == b)
        };
        match (seen(r.mine), seen(r.incoming)) {
            (true, _) => Some(true),
            (false, true) => Some(false),
            (false, false) => None,
        }
    }
    /// Read without the lock: is there something to resolve, to adopt, to clear?
    pub fn wants_care(&self, q: &Seat) -> bool {
        !q.rec.rests() || q.rec.hold || (q.role && !self.has(Flaw::RoleUnseen))
    }
    /// A free lock under which there is something to resolve or adopt: what a blocked waiter or a polling get finds sooner or later.
    pub fn needs_care(&self, s: &State) -> bool {
        (0..self.seats).any(|d| {
            s.seat(d).lock == NONE
                && self.wants_care(s.seat(d))
                && (s.seat(d).rec.rests() || self.decidable(s, d).is_some())
        })
    }
    /// What a supervisor waits for besides deaths.
    pub fn to_recover(&self, s: &State) -> bool {
        let role = |q: &Seat| q.role && !self.has(Flaw::RoleUnseen);
        (0..self.seats).any(|d| {
            s.seat(d).lock == NONE
                && if s.seat(d).rec.rests() {
                    role(s.seat(d))
                } else {
                    self.decidable(s, d).is_some()
                }
        })
    }
    /// The truth: how many items of its block (the first of them acknowledged) seat `d` has in hand: (length, acknowledged).
    pub fn carries(&self, s: &State, d: u8) -> Option<(u8, u8)> {
        let q = s.seat(d);
        let taken = if q.rec.rests() {
            q.rec.hold
        } else {
            q.rec.kind == Kind::Take && s.owner[d as usize] == q.rec.incoming
        };
        let len = s.block(d).len();
        (taken && !q.settled(len)).then(|| (len, q.acked()))
    }
}
