//! The processes: what each may do next.

pub const SEATS: usize = 4;
pub const NONE: u8 = 255;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    Producer,
    Consumer,
    /// Makes passes, and nothing else.
    Supervisor,
}

/// What a consumer does when care is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Care {
    Never,
    /// A pass that tells the others.
    Tell,
    /// It forgets that there was no orphan, and so adopts.
    Adopt,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flaw {
    /// Orphans are raised before the unlock.
    RaiseFirst,
    /// Only who has resolved the seat raises.
    RaiseOnce,
    /// Each wait restarts the count of successes.
    BurstReset,
}

/// A seat's record.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Record {
    pub mine: u8,
    pub incoming: u8,
    pub hold: bool,
    pub take: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Seat {
    pub record: Record,
    pub acked: bool,
    /// The process that has it.
    pub lock: u8,
    /// Its item is in the hand of another.
    pub adopted: bool,
}

/// What a pass is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Pass {
    Tell,
    Adopt,
}

/// Where a pass is: first all exchanges of the dead are decided, then their items are looked at.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Visit {
    pub seat: u8,
    pub pass: Pass,
    pub deciding: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum At {
    Top,
    Dead,
    Look,
    Wait,
    Announce(u8),
    Swap(u8),
    Rest(u8),
    Acknowledge(u8),
    LetGo(u8),
    Visit(Visit),
    /// Looks for the two blocks of an interrupted exchange; `place` 0 is the slot.
    Search(Visit, u8),
    Settle(Visit, bool),
    LateRest(Visit),
    Unlock(Visit, bool),
    Raise(Visit, bool),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Process {
    pub at: At,
    /// The slot was not changed since it was looked at.
    pub valid: bool,
    /// `orphans` is not the value remembered.
    pub news: bool,
    pub successes: u8,
    /// Of the pass under way: something was resolved, something was undecided.
    pub resolved: bool,
    pub undecided: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct State {
    pub full: bool,
    /// In the slot.
    pub block: u8,
    pub seats: [Seat; SEATS],
    pub processes: [Process; SEATS],
    /// The truth: whose block is which.
    pub owner: [u8; SEATS],
    pub deaths: u8,
    pub paused: u8,
    pub pauses: u8,
}

#[derive(Clone)]
pub struct Scenario {
    pub name: &'static str,
    pub who: &'static [Who],
    pub deaths: u8,
    pub pauses: u8,
    pub care: Care,
    /// A process that tells the others asks whether a seat is locked. Otherwise it locks the seat
    /// to see.
    pub asks: bool,
    /// A look for a block reads all places at once.
    pub atomic: bool,
    /// Bits: who may die.
    pub mortal: u8,
    pub producers_recover: bool,
    pub flaw: Option<Flaw>,
    /// Successes between two looks.
    pub lap: u8,
    /// Expected.
    pub fair: bool,
    pub trap: bool,
    pub floor: usize,
}

const IDLE: Process = Process {
    at: At::Top,
    valid: false,
    news: false,
    successes: 0,
    resolved: false,
    undecided: false,
};

impl Scenario {
    pub fn processes(&self) -> usize {
        self.who.len()
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    pub fn start(&self) -> State {
        let seat = |i: usize| Seat {
            record: Record {
                mine: 1 + i as u8,
                incoming: NONE,
                hold: false,
                take: false,
            },
            acked: true,
            lock: if i < self.processes() { i as u8 } else { NONE },
            adopted: false,
        };
        State {
            full: false,
            block: 0,
            seats: std::array::from_fn(seat),
            processes: [IDLE; SEATS],
            owner: std::array::from_fn(|i| 1 + i as u8),
            deaths: 0,
            paused: NONE,
            pauses: 0,
        }
    }

    /// An item lies in this seat, taken and not acknowledged.
    fn carries(&self, s: &State, seat: usize) -> bool {
        let q = s.seats[seat];
        let took = q.record.incoming != NONE && q.record.take && s.owner[seat] == q.record.incoming;
        !q.acked && (q.record.hold || took)
    }

    pub fn is_orphan(&self, s: &State, seat: usize) -> bool {
        s.processes[seat].at == At::Dead && self.carries(s, seat) && !s.seats[seat].adopted
    }

    /// A process is paused in mid-exchange and the seat is not resolved, or with the seat's lock.
    pub fn waits_for_the_paused(&self, s: &State, seat: usize) -> bool {
        if s.paused == NONE {
            return false;
        }
        let unresolved = |q: &Seat| q.record.incoming != NONE;
        let exchanging = unresolved(&s.seats[s.paused as usize]);
        let recovering = s.seats.iter().any(|q| q.lock == s.paused && unresolved(q));
        let open = unresolved(&s.seats[seat]);
        open && (exchanging || recovering) || s.seats[seat].lock == s.paused
    }

    fn wants_care(&self, s: &State, seat: usize) -> bool {
        s.seats[seat].record.incoming != NONE || s.seats[seat].record.hold
    }

    fn somebody_died(&self, s: &State) -> bool {
        (0..self.processes()).any(|seat| s.seats[seat].lock == NONE && self.wants_care(s, seat))
    }

    pub fn kill(&self, s: &State, i: usize) -> Option<State> {
        if s.deaths == self.deaths || self.mortal >> i & 1 == 0 || s.processes[i].at == At::Dead {
            return None;
        }
        let mut t = *s;
        t.processes[i] = Process {
            at: At::Dead,
            ..IDLE
        };
        for seat in t.seats.iter_mut().filter(|seat| seat.lock == i as u8) {
            (seat.lock, seat.adopted) = (NONE, false);
        }
        t.deaths += 1;
        if t.paused == i as u8 {
            t.paused = NONE;
        }
        Some(t)
    }

    fn raise(&self, t: &mut State) {
        for i in 0..self.processes() {
            if self.who[i] == Who::Consumer && t.processes[i].at != At::Dead {
                t.processes[i].news = true;
            }
        }
    }

    fn begin_pass(p: &mut Process, pass: Pass) {
        (p.resolved, p.undecided) = (false, false);
        p.at = At::Visit(Visit {
            seat: 0,
            pass,
            deciding: true,
        });
    }

    /// Does one step of process `i`. Returns `None` if it is blocked, dead or paused.
    pub fn step(&self, s: &State, i: usize) -> Option<State> {
        if s.paused == i as u8 {
            return None;
        }
        let mut t = *s;
        let p = s.processes[i];
        match p.at {
            At::Dead => return None,
            At::Top => return self.top(s, i),
            At::Wait => return self.wait(s, i),
            At::Visit(visit) => self.visit(s, &mut t, i, visit),
            At::Search(visit, place) => self.search(s, &mut t, i, visit, place),
            At::Look => {
                if s.full == (self.who[i] == Who::Consumer) {
                    t.processes[i].valid = true;
                    t.processes[i].at = At::Announce(s.block);
                } else {
                    t.seats[i].record.incoming = NONE;
                    t.seats[i].record.take = false;
                    t.processes[i].at = At::Wait;
                }
            }
            At::Announce(block) => {
                let take = self.who[i] == Who::Consumer;
                let mine = s.seats[i].record.mine;
                t.seats[i].record = Record {
                    mine,
                    incoming: block,
                    hold: false,
                    take,
                };
                if take {
                    t.seats[i].acked = false;
                }
                t.processes[i].at = At::Swap(block);
            }
            At::Swap(_) if !p.valid => t.processes[i].at = At::Look,
            At::Swap(block) => {
                t.processes.iter_mut().for_each(|p| p.valid = false);
                let take = self.who[i] == Who::Consumer;
                (t.full, t.block, t.owner[i]) = (!take, s.owner[i], block);
                t.processes[i].at = if take {
                    At::Acknowledge(i as u8)
                } else {
                    At::Rest(block)
                };
            }
            At::Rest(block) => {
                t.seats[i].record = at_rest(block, false);
                t.processes[i].at = At::Top;
            }
            At::Acknowledge(seat) => {
                t.seats[seat as usize].acked = true;
                t.processes[i].at = At::LetGo(seat);
            }
            At::LetGo(seat) => {
                let q = &mut t.seats[seat as usize];
                q.record = at_rest(s.owner[seat as usize], false);
                q.adopted = false;
                if seat as usize == i {
                    t.processes[i].successes = (p.successes + 1).min(self.lap);
                    t.processes[i].at = At::Top;
                } else {
                    t.processes[i].news = true;
                    let visit = Visit {
                        seat,
                        pass: Pass::Adopt,
                        deciding: false,
                    };
                    t.processes[i].at = At::Unlock(visit, false);
                }
            }
            At::Settle(visit, happened) => {
                let q = &mut t.seats[visit.seat as usize];
                let block = if happened {
                    q.record.incoming
                } else {
                    q.record.mine
                };
                q.record = at_rest(block, happened && q.record.take);
                if !q.record.hold {
                    q.acked = true;
                }
                t.processes[i].resolved = true;
                self.judge(&mut t, i, visit, true);
            }
            At::LateRest(visit) => {
                t.seats[visit.seat as usize].record.hold = false;
                t.processes[i].at = At::Unlock(visit, false);
            }
            At::Unlock(visit, raise) => {
                // An adopted seat was given up: the next get looks again.
                let adopting = visit.pass == Pass::Adopt && !visit.deciding;
                let back = adopting && !raise && s.seats[visit.seat as usize].acked && p.news;
                t.seats[visit.seat as usize].lock = NONE;
                t.processes[i].at = if raise {
                    At::Raise(visit, false)
                } else if back {
                    At::Top
                } else {
                    At::Visit(next(visit))
                };
            }
            At::Raise(visit, unlock) => {
                self.raise(&mut t);
                t.processes[i].at = if unlock {
                    At::Unlock(visit, false)
                } else {
                    At::Visit(next(visit))
                };
            }
        }
        Some(t)
    }

    fn top(&self, s: &State, i: usize) -> Option<State> {
        let mut t = *s;
        let p = &mut t.processes[i];
        match self.who[i] {
            Who::Producer => p.at = At::Look,
            Who::Supervisor if self.somebody_died(s) => Self::begin_pass(p, Pass::Tell),
            Who::Supervisor => return None,
            Who::Consumer => {
                if p.successes >= self.lap && self.care != Care::Never {
                    p.successes = 0;
                    if self.care == Care::Tell {
                        Self::begin_pass(p, Pass::Tell);
                        return Some(t);
                    }
                    p.news = true;
                }
                if p.news {
                    p.news = false;
                    Self::begin_pass(p, Pass::Adopt);
                } else {
                    p.at = At::Look;
                }
            }
        }
        Some(t)
    }

    fn wait(&self, s: &State, i: usize) -> Option<State> {
        let mut t = *s;
        let consumer = self.who[i] == Who::Consumer;
        let p = &mut t.processes[i];
        if s.full == consumer {
            if self.has(Flaw::BurstReset) {
                p.successes = 0;
            }
            p.at = At::Top;
        } else if consumer && p.news {
            p.at = At::Top;
        } else if self.somebody_died(s) && consumer && self.care == Care::Adopt {
            (p.news, p.at) = (true, At::Top);
        } else if self.somebody_died(s) && (consumer || self.producers_recover) {
            Self::begin_pass(p, Pass::Tell);
        } else {
            return None;
        }
        Some(t)
    }

    fn visit(&self, s: &State, t: &mut State, i: usize, visit: Visit) {
        let (seat, p) = (visit.seat as usize, &mut t.processes[i]);
        if seat == self.processes() {
            if visit.deciding && p.resolved && p.undecided {
                Self::begin_pass(p, visit.pass); // what was resolved may decide the others
            } else if visit.deciding {
                p.at = At::Visit(Visit {
                    seat: 0,
                    deciding: false,
                    ..visit
                });
            } else {
                (p.resolved, p.undecided) = (false, false);
                p.at = if visit.pass == Pass::Adopt {
                    At::Look
                } else {
                    At::Top
                };
            }
            return;
        }
        let q = s.seats[seat];
        let open = q.record.incoming != NONE;
        let of_interest = if visit.deciding {
            open
        } else {
            !open && q.record.hold
        };
        let tells = !visit.deciding && visit.pass == Pass::Tell && self.asks && !q.acked;
        if seat == i || !of_interest || q.lock != NONE {
            p.at = At::Visit(next(visit));
        } else if tells {
            p.at = At::Raise(visit, false); // it has only asked whether the seat is locked
        } else {
            t.seats[seat].lock = i as u8;
            self.judge(t, i, visit, false);
        }
    }

    fn search(&self, s: &State, t: &mut State, i: usize, visit: Visit, place: u8) {
        let record = s.seats[visit.seat as usize].record;
        let block_at = |place: u8| {
            if place == 0 {
                return Some(s.block);
            }
            let other = s.seats[place as usize - 1].record;
            (place - 1 != visit.seat && other.incoming == NONE).then_some(other.mine)
        };
        let verdict = |place: u8| match block_at(place) {
            Some(block) if block == record.mine => Some(true),
            Some(block) if block == record.incoming => Some(false),
            _ => None,
        };
        let places = self.processes() as u8 + 1;
        let found = if self.atomic {
            (0..places).find_map(verdict)
        } else {
            verdict(place)
        };
        t.processes[i].at = match found {
            Some(happened) => {
                let truth = s.owner[visit.seat as usize] == record.incoming;
                assert!(happened == truth, "a sighting is wrong");
                At::Settle(visit, happened)
            }
            None if self.atomic || place + 1 == places => {
                t.processes[i].undecided = true;
                At::Unlock(visit, false)
            }
            None => At::Search(visit, place + 1),
        };
    }

    /// What becomes of a seat that was just locked (`turned`: and resolved).
    fn judge(&self, t: &mut State, i: usize, visit: Visit, turned: bool) {
        let q = &mut t.seats[visit.seat as usize];
        t.processes[i].at = if q.record.incoming != NONE {
            At::Search(visit, 0)
        } else if !q.record.hold {
            At::Unlock(visit, false)
        } else if q.acked {
            At::LateRest(visit)
        } else if visit.pass == Pass::Adopt && !visit.deciding {
            q.adopted = true;
            At::Acknowledge(visit.seat)
        } else if self.has(Flaw::RaiseOnce) && !turned {
            At::Unlock(visit, false)
        } else if self.has(Flaw::RaiseFirst) {
            At::Raise(visit, true)
        } else {
            At::Unlock(visit, true)
        };
    }

    /// Blocks renamed: only whether two are the same matters.
    pub fn canonical(&self, s: &State) -> State {
        let mut names = [NONE; SEATS + 1];
        let mut t = *s;
        names[s.block as usize] = 0;
        for seat in 0..self.processes() {
            names[s.owner[seat] as usize] = 1 + seat as u8;
        }
        let name = |block: u8| {
            if block == NONE {
                NONE
            } else {
                names[block as usize]
            }
        };
        t.block = 0;
        for seat in 0..self.processes() {
            let q = &mut t.seats[seat];
            t.owner[seat] = name(s.owner[seat]);
            q.record.mine = name(q.record.mine);
            q.record.incoming = name(q.record.incoming);
            if q.record.incoming == NONE && !q.record.hold {
                q.acked = true;
            }
        }
        for p in &mut t.processes {
            p.at = match p.at {
                At::Announce(block) => At::Announce(name(block)),
                At::Swap(block) => At::Swap(name(block)),
                At::Rest(block) => At::Rest(name(block)),
                other => other,
            };
        }
        t
    }
}

fn at_rest(mine: u8, hold: bool) -> Record {
    Record {
        mine,
        incoming: NONE,
        hold,
        take: false,
    }
}

fn next(visit: Visit) -> Visit {
    Visit {
        seat: visit.seat + 1,
        ..visit
    }
}
