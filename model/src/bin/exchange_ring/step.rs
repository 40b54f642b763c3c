//! One step of a process in its own operations: put, get, acknowledgement, gate, drain. The exchange itself is in `exchange.rs`.
//!
//! Each `At` is ONE load, store or CAS of shared memory. What a process does to a seat that it visits is in `visit.rs`.

use crate::rules::*;
use crate::state::*;
use prodcon_model::ensure;

impl Scenario {
    /// Every write to a seat is made by its lock's holder.
    pub fn hold_lock(&self, s: &State, i: usize, seat: u8) -> Checked<()> {
        ensure!(
            seat != NONE && s.seat(seat).lock == i as u8,
            "process {i} writes to seat {seat} without its lock"
        );
        Ok(())
    }
    pub fn finish(&self, t: &mut State, i: usize) {
        let p = &mut t.procs[i];
        if !matches!(self.plans[i][p.op as usize], Op::Consume(_) | Op::Supervise) {
            p.op += 1;
        }
        p.at = At::Start;
        if p.op as usize == self.plans[i].len() {
            *p = Proc {
                at: At::Done,
                op: p.op,
                seat: p.seat,
                app: p.app,
                ..GONE
            };
        }
    }
    /// Gives up an operation. If an exchange had been announced, the record must be put at rest first.
    fn give_up(&self, t: &mut State, i: usize) {
        let seat = t.procs[i].seat;
        if seat != NONE && !t.seat(seat).rec.rests() {
            t.procs[i].at = At::Retreat
        } else {
            self.finish(t, i)
        }
    }
    pub fn go(&self, t: &mut State, i: usize, then: Then) -> Checked<()> {
        match then {
            Then::Finish => self.finish(t, i),
            Then::Visit(errand, seat) => t.procs[i].at = At::TryLock { errand, seat },
            Then::Look { began } => self.look(t, i, began)?,
            Then::Leave { attaching } => t.procs[i].at = At::Leave { attaching },
        }
        Ok(())
    }
    /// Goes on with a get at the ring, with a seat that is free, if the endpoint has one or gets one.
    pub fn look(&self, t: &mut State, i: usize, began: u8) -> Checked<()> {
        t.procs[i].at = match self.free_seat(t, i) {
            Some(seat) => {
                t.procs[i].seat = seat;
                At::GetLook { began }
            }
            None if self.lacks_seat(t, i) => Errand::Spare.begin(),
            None => return self.refuse(t, i),
        };
        Ok(())
    }
    /// All that the endpoint has carries items.
    fn refuse(&self, t: &mut State, i: usize) -> Checked<()> {
        let free = (0..self.seats).any(|d| t.seat(d).lock == NONE && !self.wants_care(t.seat(d)));
        ensure!(
            !free || self.own(t, i).count() >= self.due[i] as usize,
            "refused for want of a seat, and one is free"
        );
        self.finish(t, i);
        Ok(())
    }
    fn lacks_seat(&self, s: &State, i: usize) -> bool {
        self.own(s, i).count() < self.due[i] as usize && !self.has(Flaw::NoSpare)
    }

    /// One step of process `i`; None: it waits.
    pub fn step(&self, s: &State, i: usize) -> Checked<Option<State>> {
        let mut t = *s;
        let p = s.procs[i];
        let (me, n) = (p.seat as usize, self.n);
        match p.at {
            At::Done | At::Dead => return Ok(None),
            At::Start => {
                return Ok(if self.start(&mut t, i)? {
                    Some(t)
                } else {
                    None
                });
            }

            // ------------------------------------------------------ put
            At::Fill { epoch } => {
                self.hold_lock(s, i, p.seat)?;
                ensure!(
                    self.carries(s, p.seat).is_none(),
                    "put writes over an item in hand"
                );
                let Op::Put(items, _) = self.plans[i][p.op as usize] else {
                    unreachable!()
                };
                t.blocks[s.owner[me] as usize] = Block { epoch, items };
                t.procs[i].at = if self.m > 1 && !self.has(Flaw::OutgoingLate) {
                    At::Outgoing { epoch }
                } else {
                    At::PutLook { epoch }
                };
            }
            At::Outgoing { epoch } => {
                self.hold_lock(s, i, p.seat)?;
                t.seats[me].outgoing = s.block(p.seat).len();
                t.procs[i].at = At::PutLook { epoch };
            }
            At::PutLook { epoch } => {
                let (c, idx) = (p.put_cursor / n, p.put_cursor % n);
                let seen = s.slots[idx as usize];
                if seen.stamp == 2 * c {
                    t.procs[i].at = self.announce(Why::Put, Kind::Put, p.put_cursor, seen, epoch);
                } else if seen.stamp > 2 * c {
                    // Somebody was here first: FULL(c') -> behind (c', i), EMPTY(c') -> behind (c' - 1, i).
                    t.procs[i].put_cursor = (if seen.stamp % 2 == 1 {
                        seen.stamp / 2
                    } else {
                        seen.stamp / 2 - 1
                    }) * n
                        + idx
                        + 1;
                } else {
                    ensure!(seen.stamp + 1 == 2 * c, "put: corrupt");
                    t.procs[i].at = At::PutJudge { epoch, seen };
                }
            }
            At::PutJudge { epoch, seen } => {
                // Full: the oldest block's epoch; proof only if the CAS succeeds.
                let Op::Put(_, lossy) = self.plans[i][p.op as usize] else {
                    unreachable!()
                };
                let old = s.blocks[seen.block as usize].epoch;
                if old < epoch {
                    t.procs[i].at =
                        self.announce(Why::Put, Kind::Replace, p.put_cursor, seen, epoch);
                } else if old > epoch && !self.has(Flaw::LatePut) {
                    t.procs[i].at = At::Start; // our own block is void: load ready again
                } else if lossy {
                    t.procs[i].at = self.announce(Why::Put, Kind::Drop, p.put_cursor, seen, epoch);
                } else {
                    self.give_up(&mut t, i);
                }
            }

            // ------------------------------------------------------ get
            At::GetLook { began } => {
                let (c, idx) = (p.get_cursor / n, p.get_cursor % n);
                let seen = s.slots[idx as usize];
                if seen.stamp == 2 * c + 1 {
                    t.procs[i].at = self.announce(Why::Get, Kind::Take, p.get_cursor, seen, began);
                } else if seen.stamp < 2 * c + 1 {
                    ensure!(seen.stamp == 2 * c, "get: corrupt");
                    ensure!(s.head == s.tail, "get said Empty but there are items");
                    self.give_up(&mut t, i);
                } else {
                    t.procs[i].get_cursor = (seen.stamp / 2 - 1) * n + idx + 1; // everything up to (c' - 1, i) is gone
                }
            }
            At::Open { seat, began } => self.open(s, &mut t, i, seat, began)?,
            // A copying get whose item was cleared: as if it did not copy.
            At::Keep { seat, began } => {
                self.hold_lock(s, i, seat)?;
                let q = &mut t.seats[seat as usize];
                q.hold(q.rec.incoming);
                t.procs[i].at = At::Open { seat, began };
            }
            // Only where deliveries are limited: what is about to be handed out, and how often it was.
            At::Tries { seat, began } => {
                self.hold_lock(s, i, seat)?;
                t.seats[seat as usize].tries = self.next_try(s, i, seat);
                for item in s
                    .block(seat)
                    .from(s.seat(seat).acked())
                    .take(self.extent(s, i, seat) as usize)
                {
                    t.handed[item] += 1; // who dies between this store and the hand-over was given it nevertheless
                }
                t.procs[i].at = At::Redelivered { seat, began };
                if t.seat(seat).tries.count == 1 {
                    self.hand_over(&mut t, i, seat, began)?;
                }
            }
            At::Redelivered { seat, began } => {
                self.hold_lock(s, i, seat)?;
                let q = &mut t.seats[seat as usize];
                q.redelivered += q.tries.extent;
                self.hand_over(&mut t, i, seat, began)?;
            }
            At::Letter { seat, began, more } => {
                let item = self.item(s, seat);
                ensure!(
                    s.handed[item] >= self.max_deliveries,
                    "item {item} becomes a dead letter, after {} of {} deliveries",
                    s.handed[item],
                    self.max_deliveries
                );
                t.procs[i].at = if s.block(seat).epoch != s.epoch() {
                    At::Open { seat, began }
                } else if s.letters.iter().sum::<u8>() < self.letters {
                    t.letters[item] += 1;
                    At::Lettered { seat, began, more }
                } else if self.has(Flaw::LetterDropped) {
                    At::Settle {
                        seat,
                        how: Settle::Letter { more },
                        began,
                    }
                } else {
                    At::Tries { seat, began } // full: it is delivered once more
                };
            }
            At::Lettered { seat, began, more } => {
                self.hold_lock(s, i, seat)?;
                t.seats[seat as usize].dead_lettered += 1;
                t.procs[i].at = At::Settle {
                    seat,
                    how: Settle::Letter { more },
                    began,
                };
            }
            // Acknowledgement (or discard of a void rest): the counter store is the event ...
            At::Settle { seat, how, began } => {
                self.hold_lock(s, i, seat)?;
                self.settle(&mut t, seat, how)?;
                let over = t.seat(seat).settled(s.block(seat).len());
                t.procs[i].at = At::Unhold { seat, how, began };
                if !over {
                    match how {
                        // The next of those that were handed out together; or what was not.
                        Settle::Letter { more: 0 } => t.procs[i].at = At::Open { seat, began },
                        Settle::Letter { more } => {
                            t.procs[i].at = At::Letter {
                                seat,
                                began,
                                more: more - 1,
                            }
                        }
                        _ => self.finish(&mut t, i), // the rest stays in hand
                    }
                }
            }
            // ... the record at rest follows.
            At::Unhold { seat, how, began } => {
                self.hold_lock(s, i, seat)?;
                let q = &mut t.seats[seat as usize];
                q.rest(if q.rec.rests() {
                    q.rec.mine
                } else {
                    q.rec.incoming
                });
                t.procs[i].app &= !(1 << seat);
                let then = match how {
                    Settle::One | Settle::All => Then::Finish,
                    _ if began == NONE => Then::Leave { attaching: false },
                    Settle::Letter { .. } | Settle::Cleared | Settle::Lost => Then::Look { began },
                };
                // An adopted seat is given up, unless the endpoint lacks one.
                let spare = seat == p.seat || self.own(&t, i).count() <= self.due[i] as usize;
                if spare {
                    self.go(&mut t, i, then)?
                } else {
                    t.procs[i].at = At::Unlock {
                        seat,
                        raise: false,
                        then,
                    }
                }
            }

            // ------------------------------------------------------ gate and drain
            At::Gate { old, new } => {
                if s.ready != old {
                    t.procs[i].at = At::Start;
                } else {
                    t.ready = new;
                    match self.free_seat(s, i) {
                        Some(seat) if new / 2 != old / 2 => {
                            (t.procs[i].seat, t.procs[i].at) =
                                (seat, At::DrainLook { epoch: new / 2 })
                        }
                        _ => self.finish(&mut t, i),
                    }
                }
            }
            At::DrainLook { epoch } => {
                let (c, idx) = (p.get_cursor / n, p.get_cursor % n);
                let seen = s.slots[idx as usize];
                if seen.stamp == 2 * c + 1 {
                    t.procs[i].at = At::DrainJudge { epoch, seen };
                } else if seen.stamp < 2 * c + 1 {
                    self.give_up(&mut t, i);
                } else {
                    t.procs[i].get_cursor = (seen.stamp / 2 - 1) * n + idx + 1;
                }
            }
            At::DrainJudge { epoch, seen } => {
                // Void = OLDER than the drainer's epoch; proof only if the CAS succeeds.
                let old = s.blocks[seen.block as usize].epoch;
                if old < epoch || (old != epoch && self.has(Flaw::DrainNotEqual)) {
                    t.procs[i].at =
                        self.announce(Why::Drain, Kind::Discard, p.get_cursor, seen, epoch);
                } else {
                    self.give_up(&mut t, i);
                }
            }

            At::Note(_)
            | At::Announce(_)
            | At::Swap(_)
            | At::Count(..)
            | At::Rest(_)
            | At::Retreat => self.exchange(s, &mut t, i)?,
            // Waits for the lock.
            At::RoleLock { .. } if s.gate_lock != NONE && !self.has(Flaw::NoGateLock) => {
                return Ok(None);
            }
            _ => self.visit(s, &mut t, i)?,
        }
        Ok(Some(t))
    }

    /// The first step of an operation; false: it waits.
    fn start(&self, t: &mut State, i: usize) -> Checked<bool> {
        let p = t.procs[i];
        let (old, epoch) = (t.ready, t.epoch());
        let gate = |new: u8| At::Gate { old, new };
        let op = self.plans[i][p.op as usize];
        match op {
            Op::Put(..) => match self.free_seat(t, i) {
                _ if t.ready & 1 == 0 => self.give_up(t, i),
                Some(seat) => (t.procs[i].seat, t.procs[i].at) = (seat, At::Fill { epoch }),
                None if self.lacks_seat(t, i) => t.procs[i].at = Errand::Spare.begin(),
                None => self.refuse(t, i)?, // "an item is in hand": such a seat never exchanges
            },
            Op::Get(_) | Op::Consume(_) => {
                let care =
                    self.idle_recovery && !self.has(Flaw::NoPolledRecovery) && self.needs_care(t);
                let rest = self.to_deliver(t, i);
                if matches!(op, Op::Consume(_))
                    && rest.is_none()
                    && !p.news
                    && !care
                    && t.head == t.tail
                {
                    return Ok(false); // asleep
                }
                if p.app.count_ones() >= self.in_hand(i) {
                    self.finish(t, i);
                } else if let Some(seat) = rest {
                    t.procs[i].at = At::Open { seat, began: epoch };
                } else if p.news || care {
                    t.procs[i].news = false; // the word's value from BEFORE the pass will be the one remembered
                    t.procs[i].at = Errand::Adopt {
                        began: epoch,
                        order: 0,
                    }
                    .begin();
                } else {
                    self.look(t, i, epoch)?;
                }
            }
            Op::Kept { newest, after } => match self.kept(t, i, newest) {
                None => self.finish(t, i),
                Some(seat) if after == After::Nack => self.nack(t, i, seat),
                Some(seat) => {
                    let how = if after == After::Ack {
                        Settle::One
                    } else {
                        Settle::All
                    };
                    t.procs[i].at = At::Settle {
                        seat,
                        how,
                        began: epoch,
                    };
                }
            },
            Op::NotReady if t.ready & 1 == 0 => self.finish(t, i),
            Op::NotReady => t.procs[i].at = gate(2 * (epoch + 1)),
            Op::Clear => t.procs[i].at = gate(t.ready + 2),
            Op::SetReady => t.procs[i].at = gate(t.ready | 1),
            Op::Recover => t.procs[i].at = Errand::Recover.begin(),
            Op::Supervise if !t.notice && !self.to_recover(t) => return Ok(false),
            Op::Supervise => {
                t.notice = false;
                t.procs[i].at = Errand::Recover.begin();
            }
            Op::Attach => {
                if self.usable_seats(t, i) < self.due[i] as usize {
                    return Ok(false); // NoSeat; tries again when that may have changed
                }
                t.procs[i].at = Errand::Attach { orphans: false }.begin();
            }
            Op::Close => t.procs[i].at = At::Leave { attaching: false },
        }
        Ok(true)
    }
}
