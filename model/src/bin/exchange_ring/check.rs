//! Deaths, and what must be true: in every state, and in every end state.

use crate::rules::*;
use crate::state::*;
use prodcon_model::ensure;

impl Scenario {
    /// Death: all locks fall, everything private is gone.
    pub fn kill(&self, s: &State, i: usize) -> Option<State> {
        let p = s.procs[i];
        let idle =
            p.at == At::Done && !self.own(s, i).any(|d| s.seat(d).rec.hold || s.seat(d).role);
        if s.deaths >= self.deaths || self.immortal >> i & 1 == 1 || p.at == At::Dead || idle {
            return None;
        }
        let mut t = *s;
        t.procs[i] = GONE;
        for lock in t
            .seats
            .iter_mut()
            .map(|q| &mut q.lock)
            .chain([&mut t.gate_lock])
            .filter(|lock| **lock == i as u8)
        {
            *lock = NONE;
        }
        t.deaths += 1;
        t.notice = self.plans.iter().any(|plan| plan.contains(&Op::Supervise));
        Some(t)
    }

    /// Invariants of every state.
    pub fn check(&self, s: &State) -> Checked<()> {
        // 1. The permutation.
        let slots = &s.slots[..self.n as usize];
        let mut there = [false; BLOCKS];
        for b in slots
            .iter()
            .map(|q| q.block)
            .chain(s.owner[..self.seats as usize].iter().copied())
        {
            ensure!(!there[b as usize], "block {b} is in two places");
            there[b as usize] = true;
        }
        // 2. Each full slot's items are in the ring, and no other.
        let count = |place| s.place.iter().filter(|q| **q == place).count();
        let full = || {
            slots
                .iter()
                .filter(|q| q.stamp % 2 == 1)
                .map(|q| &s.blocks[q.block as usize])
        };
        ensure!(
            full().all(|b| b.from(0).all(|item| s.place[item] == Place::Ring)),
            "a full slot with an item that is elsewhere"
        );
        ensure!(
            full().map(|b| b.len() as usize).sum::<usize>() == count(Place::Ring),
            "an item vanished from the ring"
        );
        ensure!(
            full().count() as u8 == s.tail - s.head,
            "the stamps are wrong"
        );
        // 3. Each seat: its record is true; `settled` and `acked` say of every item in hand what became of it; its position is known.
        for d in 0..self.seats {
            let (q, own) = (s.seat(d), s.owner[d as usize]);
            ensure!(
                own == q.rec.mine || own == q.rec.incoming,
                "the record of seat {d} is not true"
            );
            let held = count(Place::Held(d));
            let Some((len, acked)) = self.carries(s, d) else {
                ensure!(
                    held == 0,
                    "{held} items in hand in seat {d} are forgotten by its words"
                );
                continue;
            };
            ensure!(
                held as u8 == len - acked,
                "seat {d} says it has {} items in hand, it has {held}",
                len - acked
            );
            let b = s.block(d);
            ensure!(
                b.from(acked).all(|item| s.place[item] == Place::Held(d)),
                "seat {d} says it has an item that it has not"
            );
            ensure!(
                b.from(0)
                    .take(acked as usize)
                    .all(|item| s.place[item] == Place::Acked),
                "seat {d} says an item is acknowledged that is not"
            );
            ensure!(
                b.from(0).all(|item| s.put_at[item] == q.position),
                "seat {d} says position {}",
                q.position
            );
        }
        // 4. The counters are exact, with what the exchanges that happened still have to count.
        let mut sum = [0u8; 4];
        for d in 0..self.seats {
            let q = s.seat(d);
            let pending = (!q.rec.rests() && s.owner[d as usize] == q.rec.incoming)
                .then(|| (q.done()..).map_while(|k| self.event(s, d, k)));
            for (event, items) in EVENTS
                .iter()
                .map(|e| (*e, q.words[*e as usize] / 4))
                .chain(pending.into_iter().flatten())
            {
                sum[event as usize] = sum[event as usize].wrapping_add(items);
            }
        }
        let got: u8 = self.seats().map(|d| s.seat(d).got).sum();
        let put = if self.m > 1 {
            ITEMS - count(Place::Unborn)
        } else {
            0
        };
        let truth = [
            count(Place::Dropped),
            count(Place::Cleared),
            count(Place::Lost),
            put,
        ];
        ensure!(
            got as usize == count(Place::Acked),
            "got: the counters say {got}, the truth is {}",
            count(Place::Acked)
        );
        for e in EVENTS {
            ensure!(
                sum[e as usize] as usize == truth[e as usize],
                "{e:?}: the counters come to {}, the truth is {}",
                sum[e as usize],
                truth[e as usize]
            );
        }
        // 5. close_on_last: while nobody is at it, a consumer that is there finds the gate open.
        let closed = self.close_on_last && s.gate_lock == NONE && s.ready & 1 == 0;
        ensure!(
            !closed || !(0..self.plans.len()).any(|i| self.attached(s, i)),
            "the gate is closed, and there is a consumer"
        );
        Ok(())
    }
    /// A consumer with a seat, which is neither coming nor going.
    fn attached(&self, s: &State, i: usize) -> bool {
        let moving = matches!(
            self.plans[i].get(s.procs[i].op as usize),
            Some(Op::Attach | Op::Close)
        );
        self.is_consumer(i) && !moving && self.own(s, i).next().is_some()
    }
    fn seats(&self) -> std::ops::Range<u8> {
        0..self.seats
    }

    /// What must be true in an end state, in which nobody can move.
    pub fn check_end(&self, s: &State) -> Checked<()> {
        // 1. No orphan is forgotten while a consumer keeps calling get (or keeps trying to attach).
        let served =
            (0..self.plans.len()).any(|i| s.procs[i].at == At::Start && self.is_consumer(i));
        for d in self.seats() {
            if s.seat(d).lock == NONE {
                let forgotten = served && self.at_least_once() && self.carries(s, d).is_some();
                ensure!(!forgotten, "the orphan in seat {d} is forgotten for ever");
            } else {
                ensure!(s.seat(d).rec.rests(), "a live seat is not at rest");
            }
        }
        // 2. close_on_last: the gate is open if and only if there is a consumer.
        if self.close_on_last
            && (served || self.plans.iter().any(|plan| plan.contains(&Op::Supervise)))
        {
            let consumers = (0..self.plans.len())
                .filter(|i| self.attached(s, *i))
                .count();
            ensure!(
                (s.ready & 1 == 1) == (consumers > 0),
                "{consumers} consumers, and the ready word is {}",
                s.ready
            );
            ensure!(
                self.seats()
                    .all(|d| !s.seat(d).role || s.seat(d).lock != NONE),
                "a dead consumer's role is still set"
            );
        }
        // 3. `doctor`, repeating until nothing changes, resolves every dead seat, and rightly.
        let mut t = *s;
        let dead = |t: &State| {
            self.seats()
                .filter(|d| t.seat(*d).lock == NONE && !t.seat(*d).rec.rests())
                .find_map(|d| Some((d, self.decidable(t, d)?)))
        };
        while let Some((d, happened)) = dead(&t) {
            let (r, take) = (t.seat(d).rec, t.seat(d).rec.kind == Kind::Take);
            let now = if happened { r.incoming } else { r.mine };
            ensure!(
                now == t.owner[d as usize],
                "doctor resolves seat {d} wrongly"
            );
            while let Some((event, items)) =
                self.event(&t, d, t.seat(d).done()).filter(|_| happened)
            {
                t.seats[d as usize].count(event, items);
            }
            let q = &mut t.seats[d as usize];
            if happened && take {
                q.hold(now)
            } else {
                q.rest(now)
            }
        }
        ensure!(
            self.seats().all(|d| t.seat(d).rec.rests()),
            "a dead seat stays undecidable"
        );
        if !self.at_least_once() {
            for d in self.seats().filter(|d| s.seat(*d).lock == NONE) {
                if self.carries(&t, d).is_some() {
                    let void = t.block(d).epoch < t.epoch();
                    self.settle(&mut t, d, if void { Settle::Cleared } else { Settle::Lost })?;
                    let mine = t.seat(d).rec.mine;
                    t.seats[d as usize].rest(mine);
                }
            }
        }
        self.check(&t)?;
        // 4. The accounts, by the words alone: puts = got + dropped + cleared + lost + held + len.
        let sum = |event: Event| {
            self.seats()
                .map(|d| t.seat(d).words[event as usize] / 4)
                .sum::<u8>()
        };
        let held: u8 = self
            .seats()
            .filter_map(|d| self.carries(&t, d))
            .map(|(len, acked)| len - acked)
            .sum();
        let got: u8 = self.seats().map(|d| t.seat(d).got).sum();
        let removed = got + sum(Event::Dropped) + sum(Event::Cleared) + sum(Event::Lost) + held;
        let full = t.slots[..self.n as usize]
            .iter()
            .filter(|q| q.stamp % 2 == 1);
        let len: u8 = full.map(|q| t.blocks[q.block as usize].len()).sum();
        let puts = if self.m > 1 { sum(Event::Put) } else { t.tail };
        ensure!(
            puts == removed + len,
            "accounts: {puts} put, {removed} removed, {len} in the queue"
        );
        // 5. What was acknowledged was handed out, or is a dead letter. These are counted, except
        //    for one at each death between the put and the count.
        ensure!(
            (1..ITEMS).all(|i| t.place[i] != Place::Acked || t.letters[i] > 0 || t.handed[i] > 0),
            "acknowledged, and nobody saw it"
        );
        let counted: u8 = self.seats().map(|d| t.seat(d).dead_lettered).sum();
        let (there, all) = (
            t.letters.iter().filter(|n| **n > 0).count() as u8,
            t.letters.iter().sum::<u8>(),
        );
        ensure!(
            counted <= all && all <= counted + t.deaths,
            "{counted} dead letters counted, {all} in the queue, {} deaths",
            t.deaths
        );
        ensure!(
            all <= there + t.deaths,
            "{there} items are dead letters {all} times, {} deaths",
            t.deaths
        );
        Ok(())
    }
}
