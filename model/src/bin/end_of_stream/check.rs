//! What must be true in every state, and in every end state.

use super::*;

impl Scenario {
    pub(super) fn check(&self, s: &Shared) -> Checked<()> {
        let mut there = [false; BLOCKS];
        for b in s.slots[..self.n as usize]
            .iter()
            .map(|x| x.block)
            .chain(s.owner[..self.seats() as usize].iter().copied())
        {
            ensure!(!there[b as usize], "block {b} twice");
            there[b as usize] = true;
        }
        for d in 0..self.seats() as usize {
            let r = s.seats[d].r;
            ensure!(
                s.owner[d] == r.mine || s.owner[d] == r.inc,
                "the record of seat {d} is not true"
            );
        }
        let full = s.slots[..self.n as usize]
            .iter()
            .filter(|x| x.stamp % 2 == 1)
            .count();
        ensure!(full as u8 == s.tail - s.head, "stamps");
        ensure!(
            s.place.iter().filter(|x| **x == Place::Ring).count() == full,
            "an item vanished"
        );
        // what the seats' counters say of skips, with what recovery would still count
        let mut sum = 0;
        for d in 0..self.seats() as usize {
            let q = s.seats[d];
            sum += q.skipped
                + (q.r.inc != NONE
                    && q.r.kind == Kind::Skip
                    && s.owner[d] == q.r.inc
                    && q.skipped % 4 == q.r.seq) as u8;
        }
        ensure!(
            sum == s.skips,
            "skips: the counters come to {sum}, the truth is {}",
            s.skips
        );
        Ok(())
    }
    pub(super) fn check_end(&self, s: &Shared) -> Checked<()> {
        for i in self.np()..self.seats() as usize {
            ensure!(
                matches!(s.p[i].at, At::Done | At::Dead),
                "consumer {i} waits for ever: {:?}",
                s.p[i].at
            );
        }
        for i in 0..self.np() {
            ensure!(
                matches!(s.p[i].at, At::Done | At::Dead),
                "producer {i} waits for ever: {:?}",
                s.p[i].at
            );
        }
        // doctor
        let mut u = *s;
        loop {
            let mut moved = false;
            for d in 0..self.seats() {
                let r = u.seats[d as usize].r;
                if r.inc != NONE && self.decidable(&u, d) {
                    let h = self.seen_block(&u, d, r.mine);
                    ensure!(h == (u.owner[d as usize] == r.inc), "doctor errs");
                    self.vrest(&mut u, d, h);
                    moved = true;
                }
            }
            if !moved {
                break;
            }
        }
        ensure!(
            (0..self.seats()).all(|d| u.seats[d as usize].r.inc == NONE),
            "doctor leaves a seat undecided"
        );
        Ok(())
    }
    /// Only whether two blocks are the same matters: slot i's is called i, seat d's n + d. Blocks that carry nothing have no item.
    pub(super) fn canon(&self, s: &Shared) -> Shared {
        let mut m = [NONE; BLOCKS];
        let mut u = *s;
        for i in 0..self.n as usize {
            if s.slots[i].stamp % 2 == 0 {
                let b = s.slots[i].block as usize;
                (u.item[b], u.ep[b]) = (0, 0);
            }
        }
        for d in 0..self.seats() as usize {
            let (b, r, l) = (s.owner[d] as usize, s.seats[d].r, s.seats[d].lock);
            let filling = l as usize == d
                && self.producer(d)
                && matches!(
                    s.p[d].at,
                    At::PutLook | At::PutState(_) | At::Announce(_) | At::Swap(_)
                )
                && s.owner[d] == r.mine;
            let carries = r.hold || r.inc != NONE && r.kind == Kind::Take && s.owner[d] == r.inc;
            if !filling && !carries {
                (u.item[b], u.ep[b]) = (0, 0);
            }
        }
        let (mut t, s) = (u, &u);
        for i in 0..self.n as usize {
            m[s.slots[i].block as usize] = i as u8;
        }
        for d in 0..self.seats() as usize {
            m[s.owner[d] as usize] = self.n + d as u8;
        }
        let f = |b: u8| if b == NONE { NONE } else { m[b as usize] };
        let g = |x: Slot| Slot {
            block: f(x.block),
            ..x
        };
        for i in 0..self.n as usize {
            t.slots[i] = g(s.slots[i]);
        }
        (t.item, t.ep) = ([0; BLOCKS], [0; BLOCKS]);
        for d in 0..self.seats() as usize {
            t.owner[d] = f(s.owner[d]);
            let r = &mut t.seats[d].r;
            (r.mine, r.inc) = (f(r.mine), f(r.inc));
            if r.inc == NONE && !r.hold {
                (t.seats[d].got, t.seats[d].base) = (0, 0);
            }
        }
        for b in 0..(self.n + self.seats()) as usize {
            t.item[f(b as u8) as usize] = s.item[b];
            t.ep[f(b as u8) as usize] = s.ep[b];
        }
        for p in &mut t.p {
            p.at = match p.at {
                At::PutState(x) => At::PutState(g(x)),
                At::Scan { k, seen, early } => At::Scan {
                    k,
                    seen: g(seen),
                    early,
                },
                At::Announce(x) => At::Announce(Exchange {
                    seen: g(x.seen),
                    ..x
                }),
                At::Swap(x) => At::Swap(Exchange {
                    seen: g(x.seen),
                    ..x
                }),
                At::CountSkip(x) => At::CountSkip(Exchange {
                    seen: g(x.seen),
                    ..x
                }),
                At::Rest(x) => At::Rest(Exchange {
                    seen: g(x.seen),
                    ..x
                }),
                other => other,
            };
        }
        t
    }
    /// Nobody reads records: what is done to them needs no step of its own.
    pub(super) fn invisible(&self, at: At) -> bool {
        self.deaths == 0
            && !self.alo
            && matches!(
                at,
                At::Announce(_)
                    | At::CountSkip(_)
                    | At::Rest(_)
                    | At::Retreat
                    | At::AckRest(_)
                    | At::Answer
                    | At::Ack(_)
            )
            || !self.ctl.contains(&Control::Clear) && matches!(at, At::Open(_))
    }
    pub(super) fn go(&self, s: &Shared, i: usize) -> Checked<Option<Shared>> {
        let Some(mut t) = self.step(s, i)? else {
            return Ok(None);
        };
        while self.invisible(t.p[i].at)
            || (self.producer(i)
                && t.p[i].at == At::Start
                && !self.has(Flaw::Today)
                && !self.has(Flaw::StateFirst)
                && !self.ctl.contains(&Control::Clear))
        {
            t = self.step(&t, i)?.expect("a step");
        }
        Ok(Some(self.canon(&t)))
    }
}
