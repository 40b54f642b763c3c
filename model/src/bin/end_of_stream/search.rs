//! The search, breadth first over all interleavings. Visited states are kept as 128-bit hashes.

use super::*;
use prodcon_model::fingerprint::{OfFingerprints, fingerprint};
use std::collections::{HashSet, VecDeque};

impl Scenario {
    pub(super) fn run(&self, trace: bool) -> Outcome {
        let init = self.init();
        let mut seen: HashSet<(u64, u64), OfFingerprints> = HashSet::default();
        let mut came: Vec<(u32, u8)> = vec![(0, 0)];
        let mut todo = VecDeque::from([(0u32, init)]);
        seen.insert(fingerprint(&init));
        let (mut ends, mut bad) = (0usize, None);
        'o: while let Some((from, s)) = todo.pop_front() {
            let mut moved = false;
            for i in 0..self.procs() {
                let k = self
                    .kill(&s, i)
                    .map(|t| (Ok(self.canon(&t)), i as u8 + 128));
                let st = self.go(&s, i).transpose();
                moved |= st.is_some();
                for (t, by) in k.into_iter().chain(st.map(|t| (t, i as u8))) {
                    let r = t.and_then(|t| {
                        if seen.insert(fingerprint(&t)) {
                            came.push((from, by));
                            todo.push_back((came.len() as u32 - 1, t));
                            self.check(&t)?;
                        }
                        Ok(())
                    });
                    if let Err(e) = r {
                        bad = Some((from, by, e));
                        break 'o;
                    }
                }
            }
            if !moved {
                ends += 1;
                if let Err(e) = self.check_end(&s) {
                    bad = Some((from, NONE, e));
                    break;
                }
            }
        }
        let short = bad.is_none() && came.len() < self.floor;
        let good =
            !short && bad.is_some() == (self.flaw.is_some() && !self.name.contains("is well"));
        let mut text = format!(
            "{:<44} {:>9} states {:>6} ends  {}",
            self.name,
            came.len(),
            ends,
            match (&bad, self.flaw) {
                _ if short => format!("TOO FEW: expected {}", self.floor),
                (None, None) => "ok".into(),
                (None, Some(f)) => format!("{} {f:?}", if good { "ok with" } else { "NOT CAUGHT" }),
                (Some((_, _, e)), Some(f)) => format!("fails as it must with {f:?}: {e}"),
                (Some((_, _, e)), None) => format!("VIOLATION {e}"),
            }
        );
        if let Some((mut last, by, _)) = bad
            && (trace || !good)
        {
            let mut path = vec![by];
            while last != 0 {
                path.push(came[last as usize].1);
                last = came[last as usize].0;
            }
            let mut s = init;
            for by in path.into_iter().rev() {
                if by == NONE {
                    break;
                }
                let i = (by & 127) as usize;
                text += &format!(
                    "\n   {} {}{:?}   state {} slots {:?}",
                    i,
                    if by > 127 { "DIES at " } else { "" },
                    s.p[i].at,
                    s.state,
                    &s.slots[..self.n as usize]
                );
                match if by > 127 {
                    Ok(self.kill(&s, i).map(|t| self.canon(&t)))
                } else {
                    self.go(&s, i)
                } {
                    Ok(Some(t)) => s = t,
                    _ => break,
                }
            }
            text += &format!("\n   {:?}", s);
        }
        Outcome {
            text,
            good,
            states: came.len(),
        }
    }
}
