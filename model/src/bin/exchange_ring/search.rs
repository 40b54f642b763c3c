//! The search: breadth first over all interleavings of a scenario; then the proof that from every state an end can be reached.
//!
//! Visited states are kept as 128-bit hashes (two states that share one would hide each other: at 10^8 states the odds are 10^-22).

use crate::rules::*;
use crate::state::*;
use prodcon_model::Outcome;
use prodcon_model::fingerprint::{OfFingerprints, fingerprint};
use std::collections::{HashMap, VecDeque};

const NOBODY: u32 = u32::MAX;
/// Added to a process's number: its death.
const DEATH: u8 = 128;

impl Scenario {
    pub fn run(&self, trace: bool) -> Outcome {
        let init = self.init();
        let mut index: HashMap<(u64, u64), u32, OfFingerprints> = HashMap::default();
        let mut came: Vec<(u32, u8)> = vec![(0, 0)]; // per state: from which one; by which process
        let mut steps: Vec<(u32, u32)> = vec![]; // (from, the next step into the same state)
        let mut into: Vec<u32> = vec![NOBODY]; // per state: the last step into it
        let (mut ends, mut violation) = (vec![], None);
        let mut todo = VecDeque::from([(0, init)]);
        index.insert(fingerprint(&init), 0);
        'search: while let Some((from, s)) = todo.pop_front() {
            let mut moved = false;
            for i in 0..self.plans.len() {
                let (killed, stepped) = (self.kill(&s, i), self.step(&s, i).transpose());
                moved |= stepped.is_some();
                for (next, by) in killed
                    .map(|t| (Ok(t), i as u8 + DEATH))
                    .into_iter()
                    .chain(stepped.map(|t| (t, i as u8)))
                {
                    let found = next.and_then(|t| {
                        let to = *index.entry(fingerprint(&t)).or_insert(came.len() as u32);
                        if to as usize == came.len() {
                            came.push((from, by));
                            into.push(NOBODY);
                            todo.push_back((to, t));
                            self.check(&t)?;
                        }
                        Ok(to)
                    });
                    let to = match found {
                        Ok(to) => to,
                        Err(e) => {
                            violation = Some((from, format!("{e} (process {i})")));
                            break 'search;
                        }
                    };
                    if by < DEATH {
                        steps.push((
                            from,
                            std::mem::replace(&mut into[to as usize], steps.len() as u32),
                        ));
                    }
                }
            }
            if !moved {
                ends.push(from);
                if let Err(e) = self.check_end(&s) {
                    violation = Some((from, e));
                    break;
                }
            }
        }
        if violation.is_none() {
            // No livelock: from every state an end state can be reached without a further death.
            let (mut reaches, mut stack) = (vec![false; came.len()], ends.clone());
            for end in &ends {
                reaches[*end as usize] = true;
            }
            while let Some(state) = stack.pop() {
                let mut step = into[state as usize];
                while step != NOBODY {
                    let (from, next) = steps[step as usize];
                    if !std::mem::replace(&mut reaches[from as usize], true) {
                        stack.push(from);
                    }
                    step = next;
                }
            }
            if let Some(trap) = reaches.iter().position(|r| !r) {
                violation = Some((trap as u32, "no end state can be reached any more".into()));
            }
        }
        let good = violation.is_some() == self.flaw.is_some();
        let verdict = match (&violation, self.flaw) {
            (None, None) => "ok".to_string(),
            (None, Some(flaw)) => format!("NOT CAUGHT: {flaw:?}"),
            (Some((_, e)), Some(flaw)) => format!("fails as it must with {flaw:?}: {e}"),
            (Some((_, e)), None) => format!("VIOLATION {e}"),
        };
        let mut text = format!(
            "{:<46} {:>9} states {:>6} ends  {verdict}",
            self.name,
            came.len(),
            ends.len()
        );
        if let Some((last, _)) = violation.filter(|_| trace || !good) {
            text += &self.explain(init, last, &came);
        }
        Outcome {
            text,
            good,
            states: came.len(),
        }
    }

    /// The interleaving that leads to state `last`, one step a line.
    fn explain(&self, mut s: State, mut last: u32, came: &[(u32, u8)]) -> String {
        let mut path = vec![];
        while last != 0 {
            path.push(came[last as usize].1);
            last = came[last as usize].0;
        }
        let mut text = String::new();
        for by in path.into_iter().rev() {
            let i = (by % DEATH) as usize;
            if by >= DEATH {
                text += &format!("\n    {i} DIES");
                s = self.kill(&s, i).expect("a death");
            } else {
                text += &format!(
                    "\n    {i} {:?}: {:?}",
                    self.plans[i].get(s.procs[i].op as usize),
                    s.procs[i].at
                );
                s = self.step(&s, i).expect("a step").expect("not waiting");
            }
        }
        text += &format!("\n    at the end: {:?}", s.procs.map(|p| p.at));
        for seat in &s.seats[..self.seats as usize] {
            text += &format!("\n    {seat:?}");
        }
        text + &format!(
            "\n    slots {:?} blocks {:?} ready {} place {:?}",
            &s.slots[..self.n as usize],
            s.blocks,
            s.ready,
            s.place
        )
    }
}
