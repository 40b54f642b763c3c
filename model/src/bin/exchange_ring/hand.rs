//! What is in hand: delivered, acknowledged item by item or as a whole, void, given back, dead-lettered.

use crate::rules::*;
use crate::state::*;
use prodcon_model::ensure;

impl Scenario {
    /// The first item of `seat` that is not acknowledged.
    pub fn item(&self, s: &State, seat: u8) -> usize {
        s.block(seat)
            .from(s.seat(seat).acked())
            .next()
            .expect("an item in hand")
    }

    /// Loads the ready word: the rest in `seat` (the own one, or an adopted one) is void, or for the application, or for the dead-letter queue.
    pub fn open(&self, s: &State, t: &mut State, i: usize, seat: u8, began: u8) -> Checked<()> {
        self.hold_lock(s, i, seat)?;
        let (b, q) = (s.block(seat), s.seat(seat));
        let unchecked = self.has(Flaw::RestUnchecked) && q.acked() > 0;
        let void = b.epoch != s.epoch() && !unchecked;
        let speaks = q.tries.got == q.got || self.has(Flaw::TriesOfBlock);
        t.procs[i].at = if void && !q.rec.rests() {
            At::Keep { seat, began }
        } else if void {
            At::Settle {
                seat,
                how: Settle::Cleared,
                began,
            }
        } else if self.max_deliveries == 0 {
            return self.hand_over(t, i, seat, began);
        } else if speaks && q.tries.count >= self.max_deliveries {
            let all = self.has(Flaw::TriesWhole);
            let more = if all {
                b.len().saturating_sub(q.acked())
            } else {
                q.tries.extent
            }
            .saturating_sub(1);
            if self.has(Flaw::LetterAckFirst) {
                At::Settle {
                    seat,
                    how: Settle::Letter { more },
                    began,
                }
            } else {
                At::Letter { seat, began, more }
            }
        } else {
            At::Tries { seat, began }
        };
        Ok(())
    }
    /// How many items of `seat` an operation hands out.
    pub fn extent(&self, s: &State, i: usize, seat: u8) -> u8 {
        let single = matches!(
            self.plans[i][s.procs[i].op as usize],
            Op::Get(After::Ack | After::Copy) | Op::Consume(After::Ack | After::Copy)
        );
        if single {
            1
        } else {
            s.block(seat).len().saturating_sub(s.seat(seat).acked())
        }
    }
    /// What is stored before a hand-over.
    pub fn next_try(&self, s: &State, i: usize, seat: u8) -> Tries {
        let (q, extent) = (s.seat(seat), self.extent(s, i, seat));
        let old = if q.tries.got == q.got {
            q.tries
        } else {
            Tries::none(q.got)
        };
        let first = old.count == 0 || self.has(Flaw::TriesLast);
        let (got, count, extent) = (
            q.got,
            old.count + 1,
            if first {
                extent
            } else {
                extent.min(old.extent)
            },
        );
        Tries { got, count, extent }
    }

    /// The application gets one item, or all the rest.
    pub fn hand_over(&self, t: &mut State, i: usize, seat: u8, began: u8) -> Checked<()> {
        let (Op::Get(after) | Op::Consume(after)) = self.plans[i][t.procs[i].op as usize] else {
            unreachable!()
        };
        let b = t.block(seat);
        let first = if self.has(Flaw::AdoptFromStart) {
            0
        } else {
            t.seat(seat).acked()
        };
        ensure!(
            first < b.len(),
            "delivers the rest of seat {seat}, of which nothing is left"
        );
        ensure!(
            b.epoch >= began,
            "delivers an item cleared before the get began"
        );
        for item in b.from(first).take(self.extent(t, i, seat) as usize) {
            // What the application sees as the item's id: the position in the seat's line, and the place in the block, which nobody writes.
            ensure!(
                t.put_at[item] == t.seat(seat).position,
                "delivers item {item} as position {}, and it was put at {}",
                t.seat(seat).position,
                t.put_at[item]
            );
            ensure!(
                t.place[item] == Place::Held(seat),
                "delivers item {item} of seat {seat}, which is {:?}",
                t.place[item]
            );
            ensure!(
                self.at_least_once() || t.handed[item] == 0,
                "item {item} delivered twice"
            );
            t.handed[item] = t.handed[item].max(1);
        }
        match after {
            After::Ack | After::Copy => {
                let q = &mut t.seats[seat as usize];
                if self.has(Flaw::CopyRestFirst) && !q.rec.rests() {
                    q.rec = Record::at_rest(q.rec.incoming, false, q.seq());
                }
                t.procs[i].at = At::Settle {
                    seat,
                    how: Settle::One,
                    began,
                };
            }
            After::AckAll => {
                t.procs[i].at = At::Settle {
                    seat,
                    how: Settle::All,
                    began,
                }
            }
            After::Nack => self.nack(t, i, seat),
            After::Keep => {
                t.procs[i].app |= 1 << seat;
                self.finish(t, i);
            }
        }
        Ok(())
    }

    /// The counter store that settles one item of `seat`, or its rest.
    pub fn settle(&self, t: &mut State, seat: u8, how: Settle) -> Checked<()> {
        let (b, first) = (t.block(seat), t.seat(seat).acked());
        let rest = b.len().wrapping_sub(first);
        let letter = matches!(how, Settle::Letter { .. });
        let number = if letter || how == Settle::One {
            1
        } else {
            rest
        };
        let place = match how {
            Settle::One | Settle::All | Settle::Letter { .. } => Place::Acked,
            Settle::Cleared => Place::Cleared,
            Settle::Lost => Place::Lost,
        };
        ensure!(
            first < b.len(),
            "settles {how:?} in seat {seat}, of which nothing is left"
        );
        for item in b.from(first).take(number as usize) {
            ensure!(
                t.place[item] == Place::Held(seat),
                "settles item {item} of seat {seat} as {place:?}, but it is {:?}",
                t.place[item]
            );
            ensure!(
                !letter || t.letters[item] > 0,
                "item {item} is not in the dead-letter queue"
            );
            ensure!(
                place != Place::Lost || !self.at_least_once(),
                "item {item} is lost under at-least-once"
            );
            t.place[item] = place;
        }
        let whole = if how == Settle::All {
            self.has(Flaw::AckWhole)
        } else {
            self.has(Flaw::LostWhole)
        };
        let q = &mut t.seats[seat as usize];
        match how {
            Settle::One | Settle::Letter { .. } => q.got += 1,
            Settle::All => q.got += if whole { b.len() } else { rest },
            Settle::Cleared => q.count(Event::Cleared, if whole { b.len() } else { rest }),
            Settle::Lost => q.count(Event::Lost, if whole { b.len() } else { rest }),
        }
        Ok(())
    }

    /// Gives back what is left of `seat`: first a refuge, if the endpoint has no other seat, then the seat is left to its items.
    pub fn nack(&self, t: &mut State, i: usize, seat: u8) {
        t.procs[i].app &= !(1 << seat);
        // Another seat of the endpoint; with close_on_last rather one that shows its role.
        let other = self
            .own(t, i)
            .filter(|d| *d != seat)
            .max_by_key(|d| t.seat(*d).role);
        t.procs[i].at = if let Some(other) = other {
            if t.procs[i].seat == seat {
                t.procs[i].seat = other;
            }
            if self.close_on_last && !t.seat(other).role && !self.has(Flaw::RoleLeft) {
                At::RoleLock {
                    seat: other,
                    role: Role::Set(Errand::Refuge { old: seat }),
                }
            } else {
                self.leave_held(seat, Then::Finish)
            }
        } else if self.has(Flaw::NackUnlockFirst) {
            t.procs[i].seat = NONE;
            self.leave_held(seat, Then::Visit(Errand::Refuge { old: NONE }, 0))
        } else {
            Errand::Refuge { old: seat }.begin()
        };
    }

    /// Leaves a seat that carries something: UNLOCK, THEN RAISE.
    pub fn leave_held(&self, seat: u8, then: Then) -> At {
        if self.has(Flaw::RaiseBeforeUnlock) {
            At::Raise { unlock: seat, then }
        } else {
            At::Unlock {
                seat,
                raise: true,
                then,
            }
        }
    }
}
