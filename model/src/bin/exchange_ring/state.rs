//! What the model is made of: the words in shared memory, what a process remembers, and the truth that no process knows.
//!
//! Owns the state and everything that is a pure function of it. Every variable here is a byte, so that a state is small and its hash is cheap.

/// Upper bounds; a scenario uses fewer.
pub const SLOTS: usize = 2;
pub const SEATS: usize = 6;
pub const BLOCKS: usize = SLOTS + SEATS;
pub const PROCS: usize = 4;
/// Item 0 is none.
pub const ITEMS: usize = 9;
/// Items in a block, at most.
pub const BATCH: usize = 2;
pub const NONE: u8 = 255;
/// Put into the words of a seat at rest that nobody may read any more. It merges states, and a read of it shows.
pub const STALE: u8 = 101;

// ------------------------------------------------------------------ shared memory

/// `EMPTY(c) = 2c`, `FULL(c) = 2c + 1`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Slot {
    pub stamp: u8,
    pub block: u8,
}

/// A block: its header (epoch, length) and its items.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Block {
    pub epoch: u8,
    pub items: [u8; BATCH],
}

impl Block {
    /// How many items it holds.
    pub fn len(&self) -> u8 {
        self.items.iter().filter(|item| **item != 0).count() as u8
    }
    /// Its items from number `first` on.
    pub fn from(&self, first: u8) -> impl Iterator<Item = usize> + use<'_> {
        self.items[..self.len() as usize]
            .iter()
            .skip(first as usize)
            .map(|item| *item as usize)
    }
}

/// What the exchange under way does to what is in the slot.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// A put into an empty slot.
    Put,
    Take,
    /// A lossy put on a full ring: drops the oldest block, which is live.
    Drop,
    /// A drain throws a void block away.
    Discard,
    /// A put on a full ring takes the place of a void block.
    Replace,
}

/// What a seat counts in words of the form `items << 2 | events mod 4`. (`got` is a plain number: its store IS the acknowledgement.)
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Event {
    Dropped,
    Cleared,
    Lost,
    Put,
}

pub const EVENTS: [Event; 4] = [Event::Dropped, Event::Cleared, Event::Lost, Event::Put];

/// A seat's record: ONE atomic word. `incoming == NONE`: at rest. `seq`: the seat's when this was written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Record {
    pub mine: u8,
    pub incoming: u8,
    pub hold: bool,
    pub kind: Kind,
    pub seq: u8,
}

impl Record {
    pub fn at_rest(mine: u8, hold: bool, seq: u8) -> Self {
        let (incoming, kind) = (NONE, Kind::Put);
        Self {
            mine,
            incoming,
            hold,
            kind,
            seq,
        }
    }
    pub fn rests(&self) -> bool {
        self.incoming == NONE
    }
}

/// How often what stands first in hand was handed out (one word). It speaks of the items from `got` on, `extent` of them, and of no others.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tries {
    pub got: u8,
    pub count: u8,
    pub extent: u8,
}

impl Tries {
    pub fn none(got: u8) -> Self {
        let (count, extent) = (0, 0);
        Self { got, count, extent }
    }
}

/// A seat's line. `lock`: the process that holds it, or NONE. `role`: the owner is a consumer (kept only with `close_on_last`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Seat {
    pub rec: Record,
    pub position: u8,
    pub base: u8,
    pub outgoing: u8,
    pub tries: Tries,
    pub got: u8,
    pub words: [u8; 4],
    pub redelivered: u8,
    pub dead_lettered: u8,
    pub role: bool,
    pub lock: u8,
}

impl Seat {
    /// The sum of the event counts, mod 4.
    pub fn seq(&self) -> u8 {
        self.words.iter().sum::<u8>() % 4
    }
    /// How many events of the exchange in the record are counted already.
    pub fn done(&self) -> u8 {
        (self.seq() + 4 - self.rec.seq) % 4
    }
    /// ONE store: `items` more, and one event more.
    pub fn count(&mut self, event: Event, items: u8) {
        let word = &mut self.words[event as usize];
        *word = ((*word / 4 + items) << 2) | ((*word + 1) % 4);
    }
    /// How many items of the block in hand are acknowledged.
    pub fn acked(&self) -> u8 {
        self.got.wrapping_sub(self.base)
    }
    /// The rule for a seat at rest with `hold` whose block has `len` items: nothing of it is left, only the record is late.
    pub fn settled(&self, len: u8) -> bool {
        self.seq() != self.rec.seq || self.acked() >= len
    }
    /// ONE store: the record at rest, with `hold`.
    pub fn hold(&mut self, mine: u8) {
        self.rec = Record::at_rest(mine, true, self.seq());
    }
    /// ONE store: the record at rest, without `hold`.
    pub fn rest(&mut self, mine: u8) {
        self.rec = Record::at_rest(mine, false, self.seq());
        (self.position, self.base, self.outgoing) = (STALE, STALE, STALE);
    }
}

// ------------------------------------------------------------------ processes

/// What an application does with what it was handed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum After {
    /// A get of ONE item, acknowledged at once. The rest of a longer block stays in hand and comes with the next gets.
    Ack,
    /// As `Ack`, of a block of one item that is copied: the record of the take stays announced until then.
    Copy,
    /// All of the block, acknowledged by one store.
    AckAll,
    /// All of the block; it is given back.
    Nack,
    /// All of the block; it stays in the application's hands until a `Kept`.
    Keep,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Op {
    /// Items (the second may be 0: none), lossy.
    Put([u8; BATCH], bool),
    Get(After),
    /// Gets forever, and sleeps while there is nothing to do.
    Consume(After),
    /// Settles what is kept: the newest or the oldest; `Ack` acknowledges ONE item of it.
    Kept {
        newest: bool,
        after: After,
    },
    /// The first and the last drain afterwards.
    NotReady,
    SetReady,
    Clear,
    /// One pass over all seats.
    Recover,
    /// Does a pass after each death, and again while a dead seat can be decided, forever.
    Supervise,
    /// Takes as many seats as the process is due (waits while there are too few).
    Attach,
    /// Leaves all seats: a normal exit.
    Close,
}

/// Why a seat without a live owner is being visited (locked for a moment).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Errand {
    Recover,
    /// `order`: the seats still to be tried, oldest item first, three bits each, then 7.
    Adopt {
        began: u8,
        order: u32,
    },
    /// `orphans`: the second pass, which takes seats with orphans too.
    Attach {
        orphans: bool,
    },
    /// A nack's other seat.
    Refuge {
        old: u8,
    },
    /// A seat to exchange with in the place of one that was left.
    Spare,
}

impl Errand {
    /// The first step of a pass over all seats.
    pub fn begin(self) -> At {
        let seat = if matches!(self, Errand::Adopt { .. }) {
            NONE
        } else {
            0
        };
        At::TryLock { errand: self, seat }
    }
}

/// Where a process goes on after leaving a seat.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Then {
    Finish,
    Visit(Errand, u8),
    /// Goes on with a get.
    Look {
        began: u8,
    },
    /// Leaves the next seat.
    Leave {
        attaching: bool,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Why {
    Put,
    Get,
    Drain,
}

/// One attempt to exchange: at position `pos`, against the slot value `seen`.
/// `epoch`: put: of the own block; get: when the get began (for the checks only); drain: the epoch the drainer made.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Exchange {
    pub why: Why,
    pub kind: Kind,
    pub pos: u8,
    pub seen: Slot,
    pub epoch: u8,
}

/// The store that settles (a part of) what is in hand.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Settle {
    /// `got` + 1.
    One,
    /// `got` + the rest.
    All,
    /// `got` + 1: the item is in the dead-letter queue, and this many more have to go there.
    Letter { more: u8 },
    /// The rest is void.
    Cleared,
    /// The rest is lost with its consumer, which leaves.
    Lost,
}

/// Why a role is set or cleared.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    /// A dead consumer's, by the process that visits its seat.
    Clear(Errand),
    /// The own one, on the way out.
    Leave { attaching: bool },
    /// The own one, in a seat just taken.
    Set(Errand),
}

/// The next step of a process.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum At {
    Start,
    Done,
    Dead,
    // put
    Fill {
        epoch: u8,
    },
    Outgoing {
        epoch: u8,
    },
    PutLook {
        epoch: u8,
    },
    PutJudge {
        epoch: u8,
        seen: Slot,
    },
    // get and what follows
    GetLook {
        began: u8,
    },
    Note(Exchange),
    Open {
        seat: u8,
        began: u8,
    },
    Keep {
        seat: u8,
        began: u8,
    },
    Tries {
        seat: u8,
        began: u8,
    },
    Redelivered {
        seat: u8,
        began: u8,
    },
    Letter {
        seat: u8,
        began: u8,
        more: u8,
    },
    Lettered {
        seat: u8,
        began: u8,
        more: u8,
    },
    Settle {
        seat: u8,
        how: Settle,
        began: u8,
    },
    Unhold {
        seat: u8,
        how: Settle,
        began: u8,
    },
    // gate and drain
    Gate {
        old: u8,
        new: u8,
    },
    DrainLook {
        epoch: u8,
    },
    DrainJudge {
        epoch: u8,
        seen: Slot,
    },
    // the exchange
    Announce(Exchange),
    Swap(Exchange),
    Count(Exchange, u8),
    Rest(Exchange),
    Retreat,
    // a visit to a seat
    TryLock {
        errand: Errand,
        seat: u8,
    },
    Search {
        errand: Errand,
        seat: u8,
        k: u8,
    },
    Decide {
        errand: Errand,
        seat: u8,
        happened: bool,
        next: u8,
    },
    CountHold {
        errand: Errand,
        seat: u8,
        event: Event,
    },
    Resolve {
        errand: Errand,
        seat: u8,
    },
    Unlock {
        seat: u8,
        raise: bool,
        then: Then,
    },
    Raise {
        unlock: u8,
        then: Then,
    },
    Leave {
        attaching: bool,
    },
    // close_on_last: under the extra lock
    RoleLock {
        seat: u8,
        role: Role,
    },
    RoleStep {
        seat: u8,
        role: Role,
        k: u8,
        last: bool,
    },
    RoleUnlock {
        seat: u8,
        role: Role,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Proc {
    pub at: At,
    /// Index into its plan.
    pub op: u8,
    /// The seat it exchanges with; NONE before Attach. (All its seats: those whose lock it holds.)
    pub seat: u8,
    /// Bit set of seats: what is in them was handed to the application, which keeps it.
    pub app: u8,
    /// Positions, `c * n + i`.
    pub put_cursor: u8,
    pub get_cursor: u8,
    /// `orphans` differs from the value this consumer remembers. (Only this comparison matters, so the sequence word is modelled by one bit
    /// per consumer: remembering the value loaded BEFORE a pass = clearing the bit before it; raising the word = setting the bit of all.)
    pub news: bool,
}

pub const GONE: Proc = Proc {
    at: At::Dead,
    op: 0,
    seat: NONE,
    app: 0,
    put_cursor: 0,
    get_cursor: 0,
    news: false,
};

// ------------------------------------------------------------------ the truth, unknown to the processes

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Place {
    Unborn,
    Ring,
    Held(u8),
    Acked,
    Dropped,
    Cleared,
    Lost,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct State {
    pub slots: [Slot; SLOTS],
    pub blocks: [Block; BLOCKS],
    pub seats: [Seat; SEATS],
    pub ready: u8,
    /// The extra lock of `close_on_last`.
    pub gate_lock: u8,
    pub procs: [Proc; PROCS],
    /// The block each seat really owns.
    pub owner: [u8; SEATS],
    /// Positions of the oldest block and of the next put.
    pub head: u8,
    pub tail: u8,
    /// Of each item: where it is, and the position it was put at.
    pub place: [Place; ITEMS],
    pub put_at: [u8; ITEMS],
    /// How often each item was handed out (if deliveries are not limited: whether) and put into the dead-letter queue.
    pub handed: [u8; ITEMS],
    pub letters: [u8; ITEMS],
    pub deaths: u8,
    /// A death the supervisor has not yet acted on.
    pub notice: bool,
}

impl State {
    pub fn epoch(&self) -> u8 {
        self.ready / 2
    }
    /// The block in a seat's hand, or at its disposal.
    pub fn block(&self, seat: u8) -> Block {
        self.blocks[self.owner[seat as usize] as usize]
    }
    pub fn seat(&self, seat: u8) -> &Seat {
        &self.seats[seat as usize]
    }
    pub fn place_all(&mut self, block: Block, place: Place) {
        for item in block.from(0) {
            self.place[item] = place;
        }
    }
}
