//! The one primitive: announce, CAS, count, record at rest. Here, at the CAS, the truth changes, and FIFO and "no live item is discarded" are checked.

use crate::rules::*;
use crate::state::*;
use prodcon_model::ensure;

impl Scenario {
    pub fn exchange(&self, s: &State, t: &mut State, i: usize) -> Checked<()> {
        let p = s.procs[i];
        let me = p.seat as usize;
        match p.at {
            At::Note(x) => {
                // Position, base and tries are three stores; none is read before the record names a take.
                self.hold_lock(s, i, p.seat)?;
                self.note(t, p.seat, x, true);
                t.procs[i].at = At::Announce(x);
            }
            At::Announce(x) => {
                self.hold_lock(s, i, p.seat)?;
                let q = &mut t.seats[me];
                ensure!(!(q.rec.rests() && q.rec.hold), "a seat with hold exchanges");
                q.rec = Record {
                    mine: q.rec.mine,
                    incoming: x.seen.block,
                    hold: false,
                    kind: x.kind,
                    seq: q.seq(),
                };
                t.procs[i].at = At::Swap(x);
            }
            At::Swap(x) => {
                if s.slots[(x.pos % self.n) as usize] == x.seen {
                    self.ring_cas(s, t, i, x)?;
                } else {
                    t.procs[i].at = match x.why {
                        Why::Put => At::PutLook { epoch: x.epoch },
                        Why::Get => At::GetLook { began: x.epoch },
                        Why::Drain => At::DrainLook { epoch: x.epoch },
                    }
                }
            }
            At::Count(x, k) => {
                self.hold_lock(s, i, p.seat)?;
                if self.has(Flaw::OutgoingLate) {
                    let Op::Put(items, _) = self.plans[i][p.op as usize] else {
                        unreachable!()
                    };
                    t.seats[me].outgoing = Block { epoch: 0, items }.len();
                }
                let (event, items) = self.event(t, p.seat, k).expect("an event");
                t.seats[me].count(event, items);
                t.procs[i].at = if self.event(t, p.seat, k + 1).is_some() {
                    At::Count(x, k + 1)
                } else {
                    At::Rest(x)
                };
            }
            At::Rest(x) => {
                self.hold_lock(s, i, p.seat)?;
                let take = x.kind == Kind::Take;
                if take {
                    self.note(t, p.seat, x, false);
                    t.seats[me].hold(x.seen.block);
                } else {
                    t.seats[me].rest(x.seen.block);
                }
                match x.why {
                    Why::Put => {
                        t.procs[i].put_cursor = x.pos + 1;
                        self.finish(t, i);
                    }
                    Why::Get => {
                        t.procs[i].get_cursor = x.pos + 1;
                        t.procs[i].at = At::Open {
                            seat: p.seat,
                            began: x.epoch,
                        };
                    }
                    Why::Drain => {
                        t.procs[i].get_cursor = x.pos + 1;
                        t.procs[i].at = At::DrainLook { epoch: x.epoch };
                    }
                }
            }
            At::Retreat => {
                self.hold_lock(s, i, p.seat)?;
                let q = &mut t.seats[me];
                q.rest(q.rec.mine);
                self.finish(t, i);
            }
            _ => unreachable!(),
        }
        Ok(())
    }

    pub fn announce(&self, why: Why, kind: Kind, pos: u8, seen: Slot, epoch: u8) -> At {
        let x = Exchange {
            why,
            kind,
            pos,
            seen,
            epoch,
        };
        if kind == Kind::Take {
            At::Note(x)
        } else {
            At::Announce(x)
        }
    }
    /// Where the block about to be taken stands, the value of `got` that its acknowledgements are counted from, no deliveries yet.
    fn note(&self, t: &mut State, seat: u8, x: Exchange, early: bool) {
        let q = &mut t.seats[seat as usize];
        if early != self.has(Flaw::PositionLate) {
            q.position = x.pos;
        }
        if early != self.has(Flaw::BaseLate) {
            q.base = q.got;
        }
        if self.max_deliveries > 0 && early && !self.has(Flaw::TriesStale) {
            q.tries = Tries::none(q.got);
        }
    }

    /// The slot's CAS has succeeded: the operation happens here.
    fn ring_cas(&self, s: &State, t: &mut State, i: usize, x: Exchange) -> Checked<()> {
        let n = self.n;
        let (seat, idx) = (s.procs[i].seat, (x.pos % n) as usize);
        self.hold_lock(s, i, seat)?;
        let mine = s.seat(seat).rec.mine;
        t.slots[idx] = Slot {
            stamp: 2 * (x.pos / n) + if x.why == Why::Put { 1 } else { 2 },
            block: mine,
        };
        t.owner[seat as usize] = x.seen.block;
        if x.seen.stamp % 2 == 1 {
            // A block leaves the ring.
            let (old, b) = (
                if x.why == Why::Put { x.pos - n } else { x.pos },
                s.blocks[x.seen.block as usize],
            );
            ensure!(
                s.head < s.tail && old == s.head,
                "{:?} removes position {old}, the oldest is {}",
                x.kind,
                s.head
            );
            ensure!(
                b.from(0)
                    .all(|item| s.put_at[item] == old && s.place[item] == Place::Ring),
                "a wrong item in the slot"
            );
            ensure!(
                !matches!(x.kind, Kind::Discard | Kind::Replace) || b.epoch < s.epoch(),
                "{:?} discards live items",
                x.why
            );
            ensure!(
                x.kind != Kind::Drop || b.epoch <= x.epoch,
                "a put that is void itself (epoch {}) drops a live block",
                x.epoch
            );
            t.head += 1;
            let place = match x.kind {
                Kind::Take => Place::Held(seat),
                Kind::Drop => Place::Dropped,
                Kind::Discard | Kind::Replace => Place::Cleared,
                Kind::Put => return Err("put over an item".into()),
            };
            t.place_all(b, place);
        }
        if x.why == Why::Put {
            let b = s.blocks[mine as usize];
            ensure!(x.pos == s.tail, "put at {}, the tail is {}", x.pos, s.tail);
            ensure!(
                b.epoch == x.epoch && b.from(0).all(|item| s.place[item] == Place::Unborn),
                "puts an item a second time"
            );
            t.tail += 1;
            ensure!(t.tail - t.head <= n, "over capacity");
            t.place_all(b, Place::Ring);
            for item in b.from(0) {
                t.put_at[item] = x.pos;
            }
        }
        t.procs[i].at = if x.why == Why::Get && self.copies(s, i) {
            t.procs[i].get_cursor = x.pos + 1;
            At::Open {
                seat,
                began: x.epoch,
            }
        } else if self.events(x.kind).is_empty() {
            At::Rest(x)
        } else {
            At::Count(x, 0)
        };
        Ok(())
    }
}
