//! One step of a visit to a seat that nobody holds: recovery, adoption, attach, a nack's refuge, a spare; leaving a seat; roles (`close_on_last`).

use crate::rules::*;
use crate::state::*;
use prodcon_model::ensure;

/// Ends `order` of `Errand::Adopt`.
const END: u8 = 7;

impl Scenario {
    pub fn visit(&self, s: &State, t: &mut State, i: usize) -> Checked<()> {
        match s.procs[i].at {
            At::TryLock {
                errand: Errand::Adopt { began, .. },
                seat: NONE,
            } => {
                // Read without locks: which seat needs recovery, and how old is what it carries (a
                // wish about the order; each seat is judged under its lock).
                let own = |d: &u8| s.seat(*d).lock == i as u8 && !self.has(Flaw::VisitOwn);
                let mut list: Vec<u8> = (0..self.seats)
                    .filter(|d| !own(d) && self.wants_care(s.seat(*d)))
                    .collect();
                list.sort_by_key(|d| s.seat(*d).position);
                let order = list
                    .iter()
                    .rev()
                    .fold(END as u32, |order, d| order << 3 | *d as u32);
                self.next_seat(t, i, Errand::Adopt { began, order }, 0);
            }
            At::TryLock { errand, seat } => {
                let last = if matches!(errand, Errand::Adopt { .. }) {
                    END
                } else {
                    self.seats
                };
                if seat == last {
                    return self.end_of_pass(t, i, errand);
                }
                let q = s.seat(seat);
                let ours = q.lock == i as u8;
                if (q.lock != NONE && !ours)
                    || (ours
                        && !(self.has(Flaw::VisitOwn)
                            && matches!(errand, Errand::Recover | Errand::Adopt { .. })))
                {
                    self.next_seat(t, i, errand, seat); // somebody has it, or we
                } else if matches!(errand, Errand::Recover) && !self.wants_care(q) {
                    self.next_seat(t, i, errand, seat);
                } else {
                    t.seats[seat as usize].lock = i as u8; // nobody else writes its record from here on: reading it is part of this step
                    if q.rec.rests() {
                        self.judge(t, i, errand, seat, false)
                    } else {
                        t.procs[i].at = At::Search { errand, seat, k: 0 }
                    }
                }
            }
            At::Search { errand, seat, k } => {
                // One slot, or one other record, per step.
                let r = s.seat(seat).rec;
                let sighted = if k < self.n {
                    Some(s.slots[k as usize].block)
                } else {
                    let other = s.seat(k - self.n).rec;
                    (k - self.n != seat && other.rests()).then_some(other.mine)
                };
                if sighted == Some(r.mine) || sighted == Some(r.incoming) {
                    let happened = sighted == Some(r.mine);
                    let now = if happened { r.incoming } else { r.mine };
                    ensure!(
                        s.owner[seat as usize] == now,
                        "recovery of seat {seat} says block {now}, the truth is {}",
                        s.owner[seat as usize]
                    );
                    t.procs[i].at = At::Decide {
                        errand,
                        seat,
                        happened,
                        next: self.first_uncounted(s, seat),
                    };
                } else if k + 1 < self.n + self.seats {
                    t.procs[i].at = At::Search {
                        errand,
                        seat,
                        k: k + 1,
                    };
                } else {
                    t.procs[i].at = self.unlock(errand, seat); // undecided: later
                }
            }
            // The events that are still to be counted, one store each; then the record at rest.
            At::Decide {
                errand,
                seat,
                happened,
                next,
            } => {
                self.hold_lock(s, i, seat)?;
                let r = s.seat(seat).rec;
                let q = &mut t.seats[seat as usize];
                match self.event(s, seat, next) {
                    Some((event, items)) if happened => {
                        let from_block = event == Event::Put && self.has(Flaw::OutgoingFromBlock);
                        q.count(
                            event,
                            if from_block {
                                s.blocks[r.mine as usize].len()
                            } else {
                                items
                            },
                        );
                        t.procs[i].at = At::Decide {
                            errand,
                            seat,
                            happened,
                            next: next + 1,
                        };
                    }
                    _ => {
                        let now = if happened { r.incoming } else { r.mine };
                        if happened && r.kind == Kind::Take {
                            q.hold(now)
                        } else {
                            q.rest(now)
                        }
                        self.judge(t, i, errand, seat, true);
                    }
                }
            }
            At::CountHold {
                errand,
                seat,
                event,
            } => {
                self.hold_lock(s, i, seat)?;
                self.settle(
                    t,
                    seat,
                    if event == Event::Lost {
                        Settle::Lost
                    } else {
                        Settle::Cleared
                    },
                )?;
                t.procs[i].at = At::Resolve { errand, seat };
            }
            At::Resolve { errand, seat } => {
                self.hold_lock(s, i, seat)?;
                let q = &mut t.seats[seat as usize];
                q.rest(q.rec.mine);
                self.judge(t, i, errand, seat, true);
            }
            At::Unlock { seat, raise, then } => {
                self.hold_lock(s, i, seat)?;
                t.seats[seat as usize].lock = NONE;
                if raise {
                    t.procs[i].at = At::Raise { unlock: NONE, then }
                } else {
                    self.go(t, i, then)?
                }
            }
            At::Raise { unlock, then } => {
                for q in (0..self.plans.len()).filter(|q| {
                    self.is_consumer(*q) && !matches!(s.procs[*q].at, At::Done | At::Dead)
                }) {
                    t.procs[q].news = true;
                }
                if unlock == NONE {
                    self.go(t, i, then)?
                } else {
                    t.procs[i].at = At::Unlock {
                        seat: unlock,
                        raise: false,
                        then,
                    }
                }
            }
            At::Leave { attaching } => self.leave(t, i, attaching),
            // A process that recovers or gives up a role looks for others, closes the gate if there
            // is none, and clears the role. One that takes a role sets it and opens the gate.
            At::RoleLock { seat, role } => {
                t.gate_lock = i as u8;
                t.procs[i].at = At::RoleStep {
                    seat,
                    role,
                    k: matches!(role, Role::Set(_)) as u8,
                    last: false,
                };
            }
            At::RoleStep {
                seat, role, k: 0, ..
            } => {
                let last = (0..self.seats).all(|d| d == seat || !s.seat(d).role);
                t.procs[i].at = At::RoleStep {
                    seat,
                    role,
                    k: 1,
                    last,
                };
            }
            At::RoleStep {
                seat,
                role,
                k,
                last,
            } => {
                self.hold_lock(s, i, seat)?;
                let gate = match role {
                    Role::Set(_) => (k == 2) != self.has(Flaw::OpenFirst),
                    Role::Clear(_) | Role::Leave { .. } => (k == 1) != self.has(Flaw::RoleFirst),
                };
                self.change_role(t, seat, role, gate, last);
                t.procs[i].at = if k == 1 {
                    At::RoleStep {
                        seat,
                        role,
                        k: 2,
                        last,
                    }
                } else {
                    At::RoleUnlock { seat, role }
                };
            }
            At::RoleUnlock { seat, role } => {
                t.gate_lock = NONE;
                match role {
                    Role::Set(errand) => self.taken(t, i, errand, seat),
                    Role::Clear(errand) => self.judge(t, i, errand, seat, false),
                    Role::Leave { attaching } => t.procs[i].at = At::Leave { attaching },
                }
            }
            _ => unreachable!(),
        }
        Ok(())
    }

    fn next_seat(&self, t: &mut State, i: usize, errand: Errand, seat: u8) {
        t.procs[i].at = match errand {
            Errand::Adopt { began, order } => At::TryLock {
                errand: Errand::Adopt {
                    began,
                    order: order >> 3,
                },
                seat: order as u8 & 7,
            },
            _ => At::TryLock {
                errand,
                seat: seat + 1,
            },
        }
    }
    fn then_next(&self, errand: Errand, seat: u8) -> Then {
        match errand {
            Errand::Adopt { began, order } => Then::Visit(
                Errand::Adopt {
                    began,
                    order: order >> 3,
                },
                order as u8 & 7,
            ),
            _ => Then::Visit(errand, seat + 1),
        }
    }
    fn unlock(&self, errand: Errand, seat: u8) -> At {
        At::Unlock {
            seat,
            raise: false,
            then: self.then_next(errand, seat),
        }
    }

    /// A seat at rest, under our lock: what to do with it. `turned`: we have just resolved it.
    fn judge(&self, t: &mut State, i: usize, errand: Errand, seat: u8, turned: bool) {
        let q = *t.seat(seat);
        let next = self.then_next(errand, seat);
        let takes = matches!(
            errand,
            Errand::Attach { .. } | Errand::Refuge { .. } | Errand::Spare
        );
        t.procs[i].at = if self.close_on_last
            && q.role
            && !(self.has(Flaw::RoleTakenOver) && takes && !self.is_consumer(i))
        {
            At::RoleLock {
                seat,
                role: Role::Clear(errand),
            }
        } else if !q.rec.hold {
            if takes {
                return self.take(t, i, errand, seat);
            }
            self.unlock(errand, seat)
        } else if self.settled(t, seat) {
            At::Resolve { errand, seat } // only the record is late
        } else if !self.at_least_once() {
            let void = t.block(seat).epoch < t.epoch();
            At::CountHold {
                errand,
                seat,
                event: if void { Event::Cleared } else { Event::Lost },
            }
        } else {
            // An orphan.
            match errand {
                Errand::Adopt { began, .. } => {
                    t.procs[i].news |= !self.has(Flaw::RememberAfterOne); // there may be more: nothing is remembered
                    At::Open { seat, began }
                }
                Errand::Attach { orphans: true } => return self.take(t, i, errand, seat), // its first get delivers what is there
                Errand::Recover if self.has(Flaw::RaiseOnlyNew) && !turned => {
                    self.unlock(errand, seat)
                }
                _ => self.leave_held(seat, next),
            }
        };
    }

    /// A seat becomes the endpoint's: its role is set first.
    fn take(&self, t: &mut State, i: usize, errand: Errand, seat: u8) {
        let first = matches!(errand, Errand::Attach { .. }) && self.own(t, i).count() == 1;
        if self.close_on_last && self.is_consumer(i) && (first || !self.has(Flaw::RoleOnce)) {
            t.procs[i].at = At::RoleLock {
                seat,
                role: Role::Set(errand),
            };
        } else {
            self.taken(t, i, errand, seat);
        }
    }
    fn taken(&self, t: &mut State, i: usize, errand: Errand, seat: u8) {
        t.procs[i].seat = seat;
        match errand {
            Errand::Attach { .. } if self.own(t, i).count() < self.due[i] as usize => {
                self.next_seat(t, i, errand, seat)
            }
            Errand::Attach { .. } => {
                let orphans = self.to_deliver(t, i).is_some();
                t.procs[i].news = self.is_consumer(i)
                    && self.at_least_once()
                    && (orphans || !self.has(Flaw::NewcomerCurrent));
                self.finish(t, i);
            }
            Errand::Refuge { old: NONE } => self.finish(t, i),
            Errand::Refuge { old } => t.procs[i].at = self.leave_held(old, Then::Finish),
            Errand::Spare => t.procs[i].at = At::Start,
            Errand::Recover | Errand::Adopt { .. } => unreachable!(),
        }
    }

    fn end_of_pass(&self, t: &mut State, i: usize, errand: Errand) -> Checked<()> {
        match errand {
            Errand::Recover | Errand::Spare => self.finish(t, i),
            Errand::Adopt { began, .. } => self.look(t, i, began)?,
            Errand::Attach { orphans: false } if self.takes_orphans(i) => {
                t.procs[i].at = Errand::Attach { orphans: true }.begin()
            }
            Errand::Attach { .. } => t.procs[i].at = At::Leave { attaching: true },
            Errand::Refuge { old } => {
                ensure!(old != NONE, "nack left its endpoint without a seat");
                self.finish(t, i); // none: keeps it, delivers it to itself next
            }
        }
        Ok(())
    }
    fn takes_orphans(&self, i: usize) -> bool {
        let refuses =
            self.has(Flaw::NoSeatAtOrphans) || (self.has(Flaw::AttachNeedsFree) && self.due[i] > 1);
        self.at_least_once() && self.is_consumer(i) && !refuses
    }
    /// How many seats an attach could take now.
    pub fn usable_seats(&self, s: &State, i: usize) -> usize {
        let usable = |d: &u8| {
            let q = s.seat(*d);
            let resolvable = if q.rec.rests() {
                !q.rec.hold || self.settled(s, *d)
            } else {
                self.decidable(s, *d).is_some()
            };
            q.lock == NONE
                && (resolvable || (q.rec.hold && (self.takes_orphans(i) || !self.at_least_once())))
        };
        (0..self.seats).filter(usable).count()
    }

    /// A normal exit, or an attach that got too few seats: leaves one seat after the other.
    fn leave(&self, t: &mut State, i: usize, attaching: bool) {
        let Some(seat) = self.own(t, i).next() else {
            if attaching {
                t.procs[i].at = At::Start
            } else {
                self.finish(t, i)
            }
            return;
        };
        let (q, void) = (*t.seat(seat), t.block(seat).epoch < t.epoch());
        let p = &mut t.procs[i];
        (p.seat, p.app) = (NONE, 0);
        let silent = self.has(if attaching {
            Flaw::AttachSilently
        } else {
            Flaw::CloseSilently
        });
        t.procs[i].at = if q.role {
            At::RoleLock {
                seat,
                role: Role::Leave { attaching },
            }
        } else if q.rec.hold && !self.at_least_once() {
            At::Settle {
                seat,
                how: if void { Settle::Cleared } else { Settle::Lost },
                began: NONE,
            }
        } else if q.rec.hold && !silent {
            self.leave_held(seat, Then::Leave { attaching })
        } else {
            At::Unlock {
                seat,
                raise: false,
                then: Then::Leave { attaching },
            }
        };
    }

    /// One of the two stores made under the extra lock: to the gate, or to the role.
    fn change_role(&self, t: &mut State, seat: u8, role: Role, gate: bool, last: bool) {
        let role_is_set = (0..self.seats).any(|d| d != seat && t.seat(d).role);
        match role {
            Role::Set(_) if !gate => t.seats[seat as usize].role = true,
            Role::Set(Errand::Attach { .. }) if !(self.has(Flaw::OpenIfFirst) && role_is_set) => {
                t.ready |= 1
            }
            Role::Set(_) => {} // of an endpoint that has its role in another seat
            _ if !gate => t.seats[seat as usize].role = false,
            _ if last && t.ready & 1 == 1 => t.ready = 2 * (t.epoch() + 1),
            _ => {}
        }
    }
}
