//! The search, breadth first over all interleavings. Visited states are kept as 128-bit hashes.

use super::*;
use prodcon_model::fingerprint::{OfFingerprints, fingerprint};
use std::collections::{HashSet, VecDeque};

impl Scenario {
    pub(super) fn run(&self, trace: bool) -> Outcome {
        let init = self.init();
        let mut seen: HashSet<(u64, u64), OfFingerprints> = HashSet::default();
        // How each state was come to: from which one, by whose step.
        let mut came: Vec<(u32, u8)> = vec![(0, 0)];
        let mut todo = VecDeque::from([(0u32, init)]);
        seen.insert(fingerprint(&init));
        let (mut unread, mut bad) = (0usize, None);
        'search: while let Some((from, s)) = todo.pop_front() {
            for i in 0..self.plans.len() {
                unread += usize::from(self.trusts(&s, i));
                let next = self.step(&s, i).and_then(|next| {
                    let Some(next) = next else { return Ok(()) };
                    if seen.insert(fingerprint(&next)) {
                        came.push((from, i as u8));
                        todo.push_back((came.len() as u32 - 1, next));
                        self.check(&next)?;
                    }
                    Ok(())
                });
                if let Err(what) = next {
                    bad = Some((from, i as u8, what));
                    break 'search;
                }
            }
        }
        let states = came.len();
        let short = bad.is_none() && (states < self.floor || unread == 0);
        let good = !short && bad.is_some() == self.flaw.is_some();
        let told = match (&bad, self.flaw) {
            _ if short => format!("TOO FEW: expected {} and deliveries unread", self.floor),
            (None, None) => "ok".into(),
            (None, Some(flaw)) => format!("NOT CAUGHT {flaw:?}"),
            (Some((_, _, what)), Some(flaw)) => format!("fails as it must with {flaw:?}: {what}"),
            (Some((_, _, what)), None) => format!("VIOLATION {what}"),
        };
        let mut text = format!(
            "{:<44} {states:>9} states {unread:>8} deliveries unread  {told}",
            self.name
        );
        if let Some((last, by, _)) = bad
            && (trace || !good)
        {
            text += &self.told(&came, last, by);
        }
        Outcome { text, good, states }
    }

    /// Returns the interleaving that leads to state `last`, and the step after it.
    fn told(&self, came: &[(u32, u8)], mut last: u32, by: u8) -> String {
        let mut path = vec![by];
        while last != 0 {
            path.push(came[last as usize].1);
            last = came[last as usize].0;
        }
        let (mut s, mut text) = (self.init(), String::new());
        for by in path.into_iter().rev() {
            let i = usize::from(by);
            text += &format!(
                "\n   {i} {:?}   epoch {} words {:?} copies {:?} trust {:?}",
                s.p[i].at,
                s.epoch,
                &s.words[..self.n.into()],
                &s.copies[..self.n.into()],
                s.p[i].trust
            );
            match self.step(&s, i) {
                Ok(Some(next)) => s = next,
                _ => break,
            }
        }
        text
    }
}
