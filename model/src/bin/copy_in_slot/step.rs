//! One step of a process: one load, store or exchange of shared memory.

use super::*;

impl Scenario {
    fn finish(&self, t: &mut State, i: usize) {
        let p = &mut t.p[i];
        p.op += 1;
        p.kept = 0;
        p.at = At::Start;
        if usize::from(p.op) == self.plans[i].len() {
            p.at = At::Done;
        }
    }

    fn look_to_get(&self) -> At {
        if self.has(Flaw::CopyFirst) {
            At::GetCopyFirst
        } else {
            At::GetLook { copy: 0 }
        }
    }

    /// Returns whether process `i` is about to deliver an item unread, after a clear.
    pub(super) fn trusts(&self, s: &State, i: usize) -> bool {
        matches!(s.p[i].at, At::Judge { .. }) && s.epoch > 0 && self.is_trusted(s, i)
    }

    /// Returns whether the item that process `i` has just taken needs no look at its header.
    fn is_trusted(&self, s: &State, i: usize) -> bool {
        let p = s.p[i];
        let cycle = (p.get - 1) / self.n;
        s.epoch == p.trust.epoch && p.trust.cycle != PENDING && cycle >= p.trust.cycle
    }

    /// Does one step of process `i`. Returns `None` if it has ended.
    pub(super) fn step(&self, s: &State, i: usize) -> Checked<Option<State>> {
        let mut t = *s;
        let (p, n) = (s.p[i], self.n);
        let put = (p.put / n, usize::from(p.put % n));
        let get = (p.get / n, usize::from(p.get % n));
        match p.at {
            At::Done => return Ok(None),
            At::Start => match self.plans[i][usize::from(p.op)] {
                Op::Put | Op::Lossy => {
                    t.blocks[usize::from(p.block)].item = Self::item(i, p.op);
                    if self.has(Flaw::GateKept) {
                        t.p[i].kept = s.epoch;
                    }
                    t.p[i].at = At::PutLook;
                }
                Op::Get => t.p[i].at = self.look_to_get(),
                Op::Skip => t.p[i].at = At::GetLook { copy: 0 },
                Op::Clear => {
                    t.epoch += 1;
                    self.finish(&mut t, i);
                }
            },
            // ------------------------------------------------------------ put
            At::PutLook => {
                let word = s.words[put.1];
                t.p[i].at = if word.stamp == 2 * put.0 {
                    At::PutGate { word, old: None }
                } else if word.stamp > 2 * put.0 {
                    // Everything up to the last position that is known to be written is passed.
                    t.p[i].put = (word.stamp - 1) / 2 * n + put.1 as u8 + 1;
                    At::PutLook
                } else {
                    ensure!(word.stamp + 1 == 2 * put.0, "put: corrupt");
                    At::PutOld(word)
                };
            }
            At::PutOld(word) => {
                let old = Some(s.blocks[usize::from(word.block)].epoch);
                t.p[i].at = At::PutGate { word, old };
            }
            At::PutGate { word, old } => {
                let epoch = if self.has(Flaw::GateKept) {
                    p.kept
                } else {
                    s.epoch
                };
                let lossy = self.plans[i][usize::from(p.op)] == Op::Lossy;
                if old.is_none_or(|old| old < epoch || lossy) {
                    t.p[i].at = At::PutHeader { word, epoch };
                } else {
                    self.finish(&mut t, i); // full
                }
            }
            At::PutHeader { word, epoch } => {
                t.blocks[usize::from(p.block)].epoch = epoch;
                t.p[i].at = At::PutCopy(word);
            }
            At::PutCopy(word) => {
                let copy = s.copies[put.1];
                t.p[i].at = At::PutSwap { word, copy };
            }
            At::PutSwap { word, copy } => {
                if s.words[put.1] != word {
                    t.p[i].at = At::PutLook;
                } else {
                    ensure!(
                        s.copies[put.1] == copy,
                        "the exchange fails although the word is the one seen"
                    );
                    t.words[put.1] = Word {
                        stamp: 2 * put.0 + 1,
                        block: p.block,
                    };
                    t.copies[put.1] = s.blocks[usize::from(p.block)].item;
                    t.p[i].block = word.block;
                    t.p[i].put += 1;
                    self.finish(&mut t, i);
                }
            }
            // ------------------------------------------------------------ get
            At::GetCopyFirst => {
                t.p[i].at = At::GetLook {
                    copy: s.copies[get.1],
                }
            }
            At::GetLook { copy } => {
                let word = s.words[get.1];
                let skips = self.plans[i][usize::from(p.op)] == Op::Skip;
                if word.stamp > 2 * get.0 + 1 {
                    t.p[i].get = (word.stamp / 2 - 1) * n + get.1 as u8 + 1;
                    t.p[i].at = if skips {
                        At::GetLook { copy: 0 }
                    } else {
                        self.look_to_get()
                    };
                } else if (word.stamp == 2 * get.0 + 1) == skips {
                    self.finish(&mut t, i); // empty; or not the end
                } else if skips {
                    t.p[i].at = At::SkipSwap(word);
                } else if self.has(Flaw::CopyFirst) || self.has(Flaw::CopyLate) {
                    t.p[i].at = At::GetSwap { word, copy };
                } else {
                    t.p[i].at = At::GetCopy(word);
                }
            }
            At::GetCopy(word) => {
                let copy = s.copies[get.1];
                t.p[i].at = At::GetSwap { word, copy };
            }
            At::GetSwap { word, copy } => {
                if s.words[get.1] != word {
                    t.p[i].at = self.look_to_get();
                } else {
                    self.pass(&mut t, i, word);
                    t.p[i].at = if self.has(Flaw::CopyLate) {
                        At::GetCopyLate
                    } else {
                        At::Judge { copy }
                    };
                }
            }
            At::GetCopyLate => {
                let copy = s.copies[usize::from((p.get - 1) % n)];
                t.p[i].at = At::Judge { copy };
            }
            At::Judge { copy } => self.judge(s, &mut t, i, copy)?,
            At::SkipSwap(word) => {
                if s.words[get.1] == word {
                    self.pass(&mut t, i, word);
                    self.finish(&mut t, i);
                } else {
                    t.p[i].at = At::GetLook { copy: 0 };
                }
            }
        }
        Ok(Some(t))
    }

    /// Exchanges the word at the get cursor alone: the copy stays behind.
    fn pass(&self, t: &mut State, i: usize, word: Word) {
        let p = &mut t.p[i];
        t.words[usize::from(p.get % self.n)] = Word {
            stamp: 2 * (p.get / self.n) + 2,
            block: p.block,
        };
        p.block = word.block;
        p.get += 1;
    }

    /// Loads the ready word, after the exchange, and delivers the copy or discards the item.
    fn judge(&self, s: &State, t: &mut State, i: usize, copy: u8) -> Checked<()> {
        let (p, epoch) = (s.p[i], s.epoch);
        let cycle = (p.get - 1) / self.n;
        let block = s.blocks[usize::from(p.block)];
        let trusted = self.is_trusted(s, i);
        if trusted {
            ensure!(
                block.epoch == epoch,
                "delivers item {} of epoch {} unread, the queue's is {epoch}",
                block.item,
                block.epoch
            );
        } else {
            t.p[i].trust = if epoch != p.trust.epoch {
                Trust {
                    epoch,
                    cycle: if self.has(Flaw::NoPending) {
                        cycle + 2
                    } else {
                        PENDING
                    },
                }
            } else if p.trust.cycle == PENDING {
                let more = if self.has(Flaw::NextCycle) { 1 } else { 2 };
                Trust {
                    epoch,
                    cycle: cycle + more,
                }
            } else {
                p.trust
            };
            if block.epoch < epoch {
                t.p[i].at = self.look_to_get();
                return Ok(());
            }
        }
        ensure!(
            copy == block.item,
            "delivers {copy} for item {}",
            block.item
        );
        self.finish(t, i);
        Ok(())
    }
}
