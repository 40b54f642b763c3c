//! One step of a process.

use super::*;

impl Scenario {
    pub(super) fn step(&self, s: &Shared, i: usize) -> Checked<Option<Shared>> {
        let mut t = *s;
        let p = s.p[i];
        let n = self.n;
        if i == self.ctl_at() {
            if p.at != At::Start {
                return Ok(None);
            }
            match self.ctl[p.op as usize] {
                Control::State(x) => {
                    if s.state == 1 && x == 2 {
                        t.gen_ += 1;
                    }
                    t.state = x;
                }
                Control::Clear => t.ready += 1,
            }
            t.p[i].op += 1;
            if t.p[i].op as usize == self.ctl.len() {
                t.p[i].at = At::Done;
            }
            return Ok(Some(t));
        }
        let me = p.seat as usize;
        let early_state = self.has(Flaw::StateFirst) || self.has(Flaw::Today);
        match p.at {
            At::Done | At::Dead => return Ok(None),
            At::Start if self.producer(i) => {
                // the ready word, and the header of the own block (nobody reads it yet); the flaw: the state too, here
                t.p[i].epoch = s.ready;
                let b = s.owner[me] as usize;
                t.item[b] = self.item_of(i, p.op);
                t.ep[b] = s.ready;
                if early_state {
                    t.p[i].st = s.state;
                    t.p[i].gen_ = s.gen_;
                    if s.state != 2 {
                        self.give_up(&mut t, i)?;
                        return Ok(Some(t));
                    }
                }
                t.p[i].at = At::PutLook;
            }
            At::PutLook => {
                let (seen, c, idx) = (s.slots[(p.put % n) as usize], p.put / n, p.put % n);
                if seen.stamp > 2 * c {
                    t.p[i].put = ((seen.stamp - 1) / 2) * n + idx + 1;
                } else {
                    t.p[i].at = At::PutState(seen);
                }
            }
            At::PutState(seen) => {
                let c = p.put / n;
                // THE RULE: the state is loaded after the word that the CAS compares with.
                if !early_state {
                    t.p[i].st = s.state;
                    t.p[i].gen_ = s.gen_;
                    if s.state != 2 {
                        self.give_up(&mut t, i)?;
                        return Ok(Some(t));
                    }
                }
                let kind = if seen.stamp == 2 * c {
                    if seen.seal { Kind::Unseal } else { Kind::Put }
                } else {
                    ensure!(seen.stamp + 1 == 2 * c, "impossible stamp");
                    let old = s.ep[seen.block as usize];
                    if old > p.epoch {
                        t.p[i].at = At::Start;
                        return Ok(Some(t));
                    }
                    if old < p.epoch {
                        Kind::Replace
                    } else if self.lossy {
                        Kind::Drop
                    } else {
                        if s.seats[me].r.inc != NONE {
                            t.seats[me].r = Record {
                                mine: s.seats[me].r.mine,
                                inc: NONE,
                                hold: false,
                                kind: Kind::Put,
                                seq: 0,
                            };
                        }
                        t.p[i].at = At::PutWait;
                        t.p[i].st = 0;
                        t.p[i].gen_ = 0;
                        return Ok(Some(t));
                    }
                };
                let x = Exchange {
                    kind,
                    pos: p.put,
                    seen,
                };
                t.p[i].at = if matches!(kind, Kind::Unseal) {
                    At::Swap(x)
                } else {
                    At::Announce(x)
                };
            }
            At::PutWait => {
                if s.tail - s.head < n
                    || s.state != 2
                    || s.slots[..n as usize]
                        .iter()
                        .any(|x| s.ep[x.block as usize] < s.ready && x.stamp % 2 == 1)
                {
                    t.p[i].at = At::Start
                } else {
                    return Ok(None);
                }
            }
            // ------------------------------------------------------------ get
            At::Start => {
                t.p[i].st = s.state;
                t.p[i].gen_ = s.gen_;
                if s.state == 1 {
                    if s.seats[me].r.inc != NONE {
                        t.seats[me].rest(s.seats[me].r.mine);
                    }
                    self.hear(&mut t, i);
                    return Ok(Some(t));
                }
                t.p[i].at = if self.has(Flaw::ScanEarly) && self.alo && s.state == 3 {
                    At::Scan {
                        k: 0,
                        seen: s.slots[0],
                        early: true,
                    }
                } else {
                    At::GetLook
                };
            }
            At::GetLook => {
                let (c, idx) = (p.get / n, p.get % n);
                let seen = s.slots[idx as usize];
                if seen.stamp == 2 * c + 1 {
                    t.p[i].at = At::Announce(Exchange {
                        kind: Kind::Take,
                        pos: p.get,
                        seen,
                    })
                } else if seen.stamp > 2 * c + 1 {
                    t.p[i].get = (seen.stamp / 2 - 1) * n + idx + 1;
                } else {
                    ensure!(seen.stamp == 2 * c, "impossible stamp");
                    if p.st != 3 {
                        self.retreat_wait(&mut t, i)
                    } else if self.alo && !self.has(Flaw::NoScan) && !self.has(Flaw::ScanEarly) {
                        t.p[i].at = At::Scan {
                            k: 0,
                            seen,
                            early: false,
                        }
                    } else {
                        self.end(&mut t, i, seen)?;
                    }
                }
            }
            At::Scan { k, seen, early } => {
                let own = k < self.seats() && s.seats[k as usize].lock == i as u8;
                if k == self.seats() {
                    if early {
                        t.p[i].at = At::GetLook
                    } else {
                        self.end(&mut t, i, seen)?
                    }
                } else if !own && self.may_carry(s.seats[k as usize].r) {
                    self.retreat_wait(&mut t, i)
                } else {
                    t.p[i].at = At::Scan {
                        k: k + 1,
                        seen,
                        early,
                    }
                }
            }
            At::GetWait => {
                let go = s.tail > s.head
                    || s.state == 1
                    || (s.state == 3 && (p.st != 3 || !self.dirty(s, i)));
                if (self.alo || s.state == 3) && self.dead_any(s) {
                    t.p[i].at = At::Visit(0)
                } else if go {
                    t.p[i].at = At::Start
                } else {
                    return Ok(None);
                }
            }
            // ------------------------------------------------------------ the exchange
            At::Announce(x) => {
                let q = &mut t.seats[me];
                ensure!(
                    q.lock == i as u8 && !(q.r.inc == NONE && q.r.hold),
                    "exchanges with hold"
                );
                if x.kind == Kind::Take {
                    q.base = q.got;
                }
                q.r = Record {
                    mine: q.r.mine,
                    inc: x.seen.block,
                    hold: false,
                    kind: x.kind,
                    seq: q.skipped % 4,
                };
                t.p[i].at = At::Swap(x);
            }
            At::Swap(x) => {
                let idx = (x.pos % n) as usize;
                if s.slots[idx] != x.seen {
                    t.p[i].at = match x.kind {
                        Kind::Take => At::GetLook,
                        Kind::Skip | Kind::Seal if self.has(Flaw::LateAnswer) => {
                            self.answer_end(&mut t, i)?;
                            return Ok(Some(t));
                        }
                        Kind::Skip | Kind::Seal => At::GetLook,
                        _ if self.has(Flaw::ActualKept) => {
                            // goes on with the word returned, the state as loaded before
                            let seen = s.slots[idx];
                            let c = x.pos / n;
                            if seen.stamp == 2 * c {
                                At::Announce(Exchange {
                                    kind: Kind::Put,
                                    pos: x.pos,
                                    seen,
                                })
                            } else if seen.stamp > 2 * c && n == 1 {
                                let pos = ((seen.stamp - 1) / 2) + 1;
                                t.p[i].put = pos;
                                if seen.stamp == 2 * pos {
                                    At::Announce(Exchange {
                                        kind: Kind::Put,
                                        pos,
                                        seen,
                                    })
                                } else {
                                    At::PutLook
                                }
                            } else {
                                At::PutLook
                            }
                        }
                        _ => At::PutLook,
                    };
                    return Ok(Some(t));
                }
                self.swap(s, &mut t, i, x)?;
            }
            At::CountSkip(x) => {
                t.seats[me].skipped += 1;
                t.p[i].at = At::Rest(x);
            }
            At::Rest(x) => {
                let q = &mut t.seats[me];
                q.rest(x.seen.block);
                if x.kind == Kind::Skip {
                    t.p[i].get = x.pos + 1;
                    self.answer_end(&mut t, i)?;
                } else {
                    t.p[i].put = x.pos + 1;
                    self.finish_put(&mut t, i);
                }
            }
            At::Retreat | At::Answer => {
                let q = &mut t.seats[me];
                q.rest(q.r.mine);
                if p.at == At::Answer {
                    self.hear(&mut t, i)
                } else if self.producer(i) {
                    self.finish_put(&mut t, i)
                } else {
                    t.p[i].at = At::GetWait
                }
            }
            At::Open(d) => {
                let b = s.owner[d as usize] as usize;
                let it = s.item[b] as usize;
                ensure!(
                    s.place[it] == Place::Held(d),
                    "delivers item {it}, which is {:?}",
                    s.place[it]
                );
                // cleared: settled by the same store (the counters of cleared items are not modelled)
                t.p[i].st = if s.ep[b] < s.ready { 9 } else { 0 };
                t.p[i].gen_ = 0;
                t.p[i].at = At::Ack(d);
            }
            At::Ack(d) => {
                let it = s.item[s.owner[d as usize] as usize] as usize;
                t.place[it] = if p.st == 9 {
                    Place::Cleared
                } else {
                    Place::Acked
                };
                t.seats[d as usize].got += 1;
                t.p[i].at = At::AckRest(d);
            }
            At::AckRest(d) => {
                let b = s.owner[d as usize];
                let q = &mut t.seats[d as usize];
                q.rest(b);
                t.p[i].st = 0;
                t.p[i].at = if d as usize == me {
                    At::Start
                } else {
                    At::VUnlock(d)
                };
            }
            // ------------------------------------------------------------ the dead
            At::Visit(d) => {
                if d == self.seats() {
                    t.p[i].at = At::Start
                } else if s.seats[d as usize].lock != NONE || !self.wants_care(s, d) {
                    t.p[i].at = At::Visit(d + 1)
                } else {
                    t.seats[d as usize].lock = i as u8;
                    self.judge(&mut t, i, d);
                }
            }
            At::Search { d, k } => {
                let r = s.seats[d as usize].r;
                let b = if k < n {
                    Some(s.slots[k as usize].block)
                } else if k < n + self.seats() {
                    let q = k - n;
                    let o = s.seats[q as usize].r;
                    (q != d && o.inc == NONE).then_some(o.mine)
                } else {
                    t.p[i].at = At::VUnlock(d);
                    return Ok(Some(t));
                };
                t.p[i].at = if b == Some(r.mine) {
                    At::Decide { d, happened: true }
                } else if b == Some(r.inc) {
                    At::Decide { d, happened: false }
                } else {
                    At::Search { d, k: k + 1 }
                };
            }
            At::Decide { d, happened } => {
                let r = s.seats[d as usize].r;
                ensure!(
                    happened == (s.owner[d as usize] == r.inc),
                    "wrong verdict on seat {d}"
                );
                if happened
                    && r.kind == Kind::Skip
                    && s.seats[d as usize].skipped % 4 == r.seq
                    && !self.has(Flaw::SkipUncounted)
                {
                    t.p[i].at = At::VCount { d }
                } else {
                    self.vrest(&mut t, d, happened);
                    self.judge(&mut t, i, d);
                }
            }
            At::VCount { d } => {
                t.seats[d as usize].skipped += 1;
                t.p[i].at = At::VRest { d };
            }
            At::VRest { d } => {
                self.vrest(&mut t, d, true);
                self.judge(&mut t, i, d);
            }
            At::VLost(d) => {
                let it = s.item[s.owner[d as usize] as usize] as usize;
                ensure!(
                    s.place[it] == Place::Held(d),
                    "loses item {it}, which is {:?}",
                    s.place[it]
                );
                t.place[it] = Place::Lost;
                t.seats[d as usize].got += 1;
                t.p[i].at = At::VLostRest(d);
            }
            At::VLostRest(d) => {
                let q = &mut t.seats[d as usize];
                q.rest(q.r.mine);
                t.p[i].at = At::VUnlock(d);
            }
            At::VUnlock(d) => {
                t.seats[d as usize].lock = NONE;
                t.p[i].at = At::Visit(d + 1);
            }
        }
        Ok(Some(t))
    }
    pub(super) fn vrest(&self, t: &mut Shared, d: u8, happened: bool) {
        let q = &mut t.seats[d as usize];
        q.r = Record {
            mine: if happened { q.r.inc } else { q.r.mine },
            inc: NONE,
            hold: happened && q.r.kind == Kind::Take,
            kind: Kind::Put,
            seq: q.skipped % 4,
        };
    }
    /// A seat that we have locked.
    pub(super) fn judge(&self, t: &mut Shared, i: usize, d: u8) {
        let q = t.seats[d as usize];
        t.p[i].at = if q.r.inc != NONE {
            At::Search { d, k: 0 }
        } else if !q.r.hold {
            At::VUnlock(d)
        } else if q.got != q.base {
            At::VLostRest(d)
        }
        // settled, the record is late
        else if self.alo {
            At::Open(d)
        } else {
            At::VLost(d)
        };
    }
    /// The ring was found empty in state 3.
    pub(super) fn end(&self, t: &mut Shared, i: usize, seen: Slot) -> Checked<()> {
        let pos = t.p[i].get;
        if self.has(Flaw::Today) {
            return self.answer_end(t, i);
        }
        if self.has(Flaw::SealBit) {
            if seen.seal {
                return self.answer_end(t, i);
            }
            t.p[i].at = At::Swap(Exchange {
                kind: Kind::Seal,
                pos,
                seen,
            });
            return Ok(());
        }
        t.p[i].at = At::Announce(Exchange {
            kind: Kind::Skip,
            pos,
            seen,
        });
        Ok(())
    }
    pub(super) fn swap(&self, s: &Shared, t: &mut Shared, i: usize, x: Exchange) -> Checked<()> {
        let (n, me) = (self.n, s.p[i].seat as usize);
        let (idx, c, p) = ((x.pos % n) as usize, x.pos / n, s.p[i]);
        if matches!(x.kind, Kind::Seal | Kind::Unseal) {
            t.slots[idx].seal = x.kind == Kind::Seal;
            if x.kind == Kind::Seal {
                return self.answer_end(t, i);
            }
            t.p[i].at = At::PutLook;
            return Ok(());
        }
        let mine = s.owner[me];
        t.owner[me] = x.seen.block;
        let stamp = match x.kind {
            Kind::Take => 2 * c + 2,
            Kind::Skip if self.has(Flaw::Touch) => 2 * c,
            Kind::Skip => 2 * c + 2,
            _ => 2 * c + 1,
        };
        t.slots[idx] = Slot {
            stamp,
            seal: false,
            block: mine,
        };
        if x.seen.stamp % 2 == 1 {
            let old = if x.kind == Kind::Take {
                x.pos
            } else {
                x.pos - n
            };
            ensure!(
                old == s.head && s.head < s.tail,
                "removes position {old}, the oldest is {}",
                s.head
            );
            let it = s.item[x.seen.block as usize] as usize;
            ensure!(
                s.place[it] == Place::Ring,
                "removes item {it}, which is {:?}",
                s.place[it]
            );
            t.head += 1;
            t.place[it] = match x.kind {
                Kind::Take => Place::Held(me as u8),
                Kind::Drop => Place::Dropped,
                _ => Place::Cleared,
            };
        }
        match x.kind {
            Kind::Put | Kind::Drop | Kind::Replace => {
                ensure!(x.pos == s.tail, "put at {}, the tail is {}", x.pos, s.tail);
                let it = s.item[mine as usize] as usize;
                ensure!(
                    p.gen_ >= s.ended,
                    "put of item {it} by {i} takes effect and will answer Ok, but stream {} has ended (admitted in stream {})",
                    s.ended - 1,
                    p.gen_
                );
                ensure!(s.place[it] == Place::Unborn, "puts item {it} twice");
                t.place[it] = Place::Ring;
                t.adm[it] = p.gen_;
                t.tail += 1;
                ensure!(t.tail - t.head <= n, "over capacity");
                t.p[i].at = At::Rest(x);
            }
            Kind::Take => {
                t.p[i].get = x.pos + 1;
                t.p[i].at = At::Open(me as u8);
            }
            _ => {
                if !self.has(Flaw::Touch) {
                    ensure!(
                        x.pos == s.tail && s.head == s.tail,
                        "skips {} of {}..{}",
                        x.pos,
                        s.head,
                        s.tail
                    );
                    t.head += 1;
                    t.tail += 1;
                    t.skips += 1;
                    t.p[i].at = At::CountSkip(x);
                } else {
                    let g = t.p[i].get;
                    t.seats[me].r = Record {
                        mine: x.seen.block,
                        inc: NONE,
                        hold: false,
                        kind: Kind::Put,
                        seq: 0,
                    };
                    self.answer_end(t, i)?;
                    t.p[i].get = g;
                }
            }
        }
        Ok(())
    }
}
