//! All states and steps of a scenario, and the two questions asked of them.

use crate::step::{At, NONE, Scenario, State, Who};
use prodcon_model::Outcome;
use prodcon_model::fingerprint::{OfFingerprints, fingerprint};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};

/// What is known of a state; sets of seats and of processes are bits.
struct Facts {
    orphans: u8,
    /// Processes that can take a step, and those that live and are not paused.
    able: u8,
    live: u8,
    /// Seats whose item nobody need take over now.
    excused: u8,
}

/// A step of the living.
struct Edge {
    from: u32,
    to: u32,
    by: u8,
    /// A look for a block that ended undecided.
    in_vain: bool,
}

struct Graph {
    facts: Vec<Facts>,
    /// In order of `from`.
    edges: Vec<Edge>,
    /// Where a state's edges begin.
    first: Vec<u32>,
}

pub fn explore(scenario: &Scenario) -> Outcome {
    let graph = Graph::of(scenario);
    let states = graph.facts.len();
    let (mut fair, mut traps, mut excused) = (0, 0, 0);
    for seat in 0..scenario.processes() {
        let (bad, waits) = graph.traps(seat);
        traps += bad;
        excused += waits;
        fair += graph.fair_cycles(seat);
    }
    let good =
        (fair > 0) == scenario.fair && (traps > 0) == scenario.trap && states >= scenario.floor;
    let verdict = match (good, states >= scenario.floor) {
        (true, _) => "",
        (false, true) => "   NOT AS EXPECTED",
        (false, false) => "   TOO FEW STATES",
    };
    let text = format!(
        "{:<58} {states:>8} states, fair cycles {fair}, traps {traps}, excused {excused}{verdict}",
        scenario.name
    );
    Outcome { text, good, states }
}

impl Graph {
    fn of(scenario: &Scenario) -> Self {
        let start = scenario.canonical(&scenario.start());
        let mut numbers: HashMap<(u64, u64), u32, OfFingerprints> = HashMap::default();
        numbers.insert(fingerprint(&start), 0);
        let (mut facts, mut edges) = (vec![], vec![]);
        let (mut todo, mut count) = (VecDeque::from([(0, start)]), 1);
        while let Some((from, s)) = todo.pop_front() {
            let mut known = Facts::of(scenario, &s);
            let mut visit = |t: State, by: Option<u8>| {
                let t = scenario.canonical(&t);
                let to = match numbers.entry(fingerprint(&t)) {
                    Entry::Occupied(there) => *there.get(),
                    Entry::Vacant(place) => {
                        place.insert(count);
                        todo.push_back((count, t));
                        count += 1;
                        count - 1
                    }
                };
                let Some(by) = by else { return };
                let at = |s: &State| s.processes[by as usize].at;
                let in_vain = matches!(at(&s), At::Search(..)) && matches!(at(&t), At::Unlock(..));
                edges.push(Edge {
                    from,
                    to,
                    by,
                    in_vain,
                });
            };
            for i in 0..scenario.processes() {
                if let Some(t) = scenario.step(&s, i) {
                    visit(t, Some(i as u8));
                    known.able |= 1 << i;
                }
                if let Some(t) = scenario.kill(&s, i) {
                    visit(t, None);
                }
                if s.paused == NONE && s.pauses < scenario.pauses && s.processes[i].at != At::Dead {
                    let (paused, pauses) = (i as u8, s.pauses + 1);
                    visit(
                        State {
                            paused,
                            pauses,
                            ..s
                        },
                        None,
                    );
                }
            }
            if s.paused != NONE {
                visit(State { paused: NONE, ..s }, None);
            }
            facts.push(known);
        }
        let mut first = vec![0; facts.len() + 1];
        edges
            .iter()
            .for_each(|edge: &Edge| first[edge.from as usize + 1] += 1);
        (0..facts.len()).for_each(|v| first[v + 1] += first[v]);
        Self {
            facts,
            edges,
            first,
        }
    }

    fn out(&self, v: u32) -> &[Edge] {
        &self.edges[self.first[v as usize] as usize..self.first[v as usize + 1] as usize]
    }

    fn is_orphan(&self, v: u32, seat: usize) -> bool {
        self.facts[v as usize].orphans >> seat & 1 == 1
    }

    fn is_excused(&self, v: u32, seat: usize) -> bool {
        self.facts[v as usize].excused >> seat & 1 == 1
    }

    /// States from which no steps of the living lead to the adoption; and as many that are excused.
    fn traps(&self, seat: usize) -> (usize, usize) {
        let size = self.facts.len();
        let mut first = vec![0u32; size + 1];
        self.edges
            .iter()
            .for_each(|edge| first[edge.to as usize + 1] += 1);
        (0..size).for_each(|v| first[v + 1] += first[v]);
        let (mut into, mut place) = (vec![0u32; self.edges.len()], first.clone());
        for edge in &self.edges {
            into[place[edge.to as usize] as usize] = edge.from;
            place[edge.to as usize] += 1;
        }
        let mut good: Vec<bool> = (0..size as u32).map(|v| !self.is_orphan(v, seat)).collect();
        let mut todo: Vec<u32> = (0..size as u32).filter(|v| good[*v as usize]).collect();
        while let Some(v) = todo.pop() {
            for u in &into[first[v as usize] as usize..first[v as usize + 1] as usize] {
                if !good[*u as usize] {
                    good[*u as usize] = true;
                    todo.push(*u);
                }
            }
        }
        let bad = (0..size as u32).filter(|v| !good[*v as usize]);
        let (excused, traps): (Vec<_>, Vec<_>) = bad.partition(|v| self.is_excused(*v, seat));
        (traps.len(), excused.len())
    }

    /// Strongly connected sets (Tarjan) in which every live process moves or is blocked.
    fn fair_cycles(&self, seat: usize) -> usize {
        let size = self.facts.len();
        let (mut number, mut low, mut on) = (vec![0u32; size], vec![0u32; size], vec![false; size]);
        let (mut time, mut stack, mut fair) = (0, vec![], 0);
        for root in 0..size as u32 {
            if !self.is_orphan(root, seat) || number[root as usize] != 0 {
                continue;
            }
            let mut calls = vec![(root, 0usize)];
            while let Some((v, at)) = calls.pop() {
                if at == 0 {
                    time += 1;
                    (number[v as usize], low[v as usize], on[v as usize]) = (time, time, true);
                    stack.push(v);
                }
                if let Some(edge) = self.out(v).get(at) {
                    calls.push((v, at + 1));
                    let w = edge.to;
                    if edge.in_vain || !self.is_orphan(w, seat) {
                        continue;
                    }
                    if number[w as usize] == 0 {
                        calls.push((w, 0));
                    } else if on[w as usize] {
                        low[v as usize] = low[v as usize].min(number[w as usize]);
                    }
                    continue;
                }
                if let Some((u, _)) = calls.last() {
                    low[*u as usize] = low[*u as usize].min(low[v as usize]);
                }
                if low[v as usize] == number[v as usize] {
                    let begins = stack
                        .iter()
                        .rposition(|w| *w == v)
                        .expect("it is on the stack");
                    let set = stack.split_off(begins);
                    set.iter().for_each(|w| on[*w as usize] = false);
                    fair += usize::from(self.is_fair(&set, seat));
                }
            }
        }
        fair
    }

    /// Nobody is left out in this set, and it is not excused.
    fn is_fair(&self, set: &[u32], seat: usize) -> bool {
        let inside: HashSet<u32> = set.iter().copied().collect();
        let (mut moved, mut blocked) = (0u8, 0u8);
        for v in set {
            let facts = &self.facts[*v as usize];
            blocked |= facts.live & !facts.able;
            for edge in self.out(*v) {
                if inside.contains(&edge.to) && !edge.in_vain {
                    moved |= 1 << edge.by;
                }
            }
        }
        let facts = &self.facts[set[0] as usize];
        let stuck = set.len() == 1 && facts.able == 0;
        let fair = moved != 0 && facts.live & !(moved | blocked) == 0 || stuck;
        fair && !set.iter().all(|v| self.is_excused(*v, seat))
    }
}

impl Facts {
    fn of(scenario: &Scenario, s: &State) -> Self {
        let (mut orphans, mut live, mut excused, mut served) = (0, 0, 0, false);
        for i in 0..scenario.processes() {
            if s.processes[i].at != At::Dead && s.paused != i as u8 {
                live |= 1 << i;
                served |= scenario.who[i] == Who::Consumer;
            }
        }
        for seat in 0..scenario.processes() {
            if scenario.is_orphan(s, seat) {
                orphans |= 1 << seat;
                excused |= u8::from(!served || scenario.waits_for_the_paused(s, seat)) << seat;
            }
        }
        Self {
            orphans,
            able: 0,
            live,
            excused,
        }
    }
}
