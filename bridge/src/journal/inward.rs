//! The journal of `in`: which items are in the queue, and which are about to be put.
//!
//! Invariants: items are noted before the first of them is put, together with how many puts the
//! queue had seen. After the last one is put it is noted that they are there, and only then does
//! the stream hear of it. An item that is noted as put is in this very queue, or was: the journal
//! of another queue, of the same name too, does not count.

use super::{Ids, Log, Span};
use anyhow::Result;
use prodcon::QueueId;
use std::collections::HashMap;
use std::path::Path;

/// Items of one origin with consecutive numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The queue they come from, or the stream, if no bridge published them.
    pub origin: String,
    /// Their numbers. Those behind the last item belong to no item.
    pub span: Span,
    /// How many items there are.
    pub items: u64,
}

/// Items that may have been put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The puts that the queue had seen before, where the bridge is its only producer.
    pub puts: Option<u64>,
    /// The items, in the order in which they are put.
    pub runs: Vec<Run>,
}

impl Intent {
    fn line(&self) -> String {
        let mut line = "i ".to_owned() + &self.puts.map_or("-".into(), |puts| puts.to_string());
        for Run {
            origin,
            span,
            items,
        } in &self.runs
        {
            line += &format!(" {origin} {span} {items}");
        }
        line
    }

    fn read(words: &[&str]) -> Option<Self> {
        let (puts, runs) = words.split_first()?;
        let mut intent = Self {
            puts: puts.parse().ok(),
            runs: vec![],
        };
        for run in runs.chunks(3) {
            let [origin, span, items] = run else {
                return None;
            };
            intent.runs.push(Run {
                origin: (*origin).into(),
                span: span.parse().ok()?,
                items: items.parse().ok()?,
            });
        }
        Some(intent)
    }

    /// Returns how many items there are.
    pub fn items(&self) -> u64 {
        self.runs.iter().map(|run| run.items).sum()
    }
}

/// What `in` remembers.
#[derive(Debug)]
pub struct Inward {
    log: Log,
    head: String,
    known: HashMap<String, Ids>,
    ends: HashMap<String, u64>,
    intent: Option<Intent>,
}

impl Inward {
    /// Opens the journal of a queue. Returns too whether it was another queue's, which does not
    /// count.
    pub fn open(path: &Path, queue: QueueId) -> Result<(Self, bool)> {
        let (log, lines) = Log::open(path)?;
        let mut this = Self {
            log,
            head: format!("in {queue}"),
            known: HashMap::new(),
            ends: HashMap::new(),
            intent: None,
        };
        let others = lines.first().is_some_and(|line| *line != this.head);
        if !others {
            for line in &lines {
                this.read(line);
            }
        }
        this.rewrite()?;
        Ok((this, others))
    }

    fn read(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["i", ..] => self.intent = Intent::read(&words[1..]),
            ["d", put] => self.note(put.parse().unwrap_or(0)),
            ["k", origin, span] => {
                if let Ok(span) = span.parse() {
                    self.known.entry(origin.into()).or_default().insert(span);
                }
            }
            ["e", origin, puts] => {
                let last = self.ends.entry(origin.into()).or_default();
                *last = (*last).max(puts.parse().unwrap_or(0));
            }
            _ => {}
        }
    }

    fn note(&mut self, mut put: u64) {
        for run in self
            .intent
            .take()
            .into_iter()
            .flat_map(|intent| intent.runs)
        {
            let len = if put >= run.items { run.span.len } else { put };
            put = put.saturating_sub(run.items);
            let first = run.span.first;
            self.known
                .entry(run.origin)
                .or_default()
                .insert(Span { first, len });
        }
    }

    fn rewrite(&mut self) -> Result<()> {
        let mut lines = vec![self.head.clone()];
        for (origin, ids) in &self.known {
            lines.extend(ids.spans().map(|span| format!("k {origin} {span}")));
        }
        lines.extend(
            self.ends
                .iter()
                .map(|(origin, puts)| format!("e {origin} {puts}")),
        );
        lines.extend(self.intent.iter().map(Intent::line));
        self.log.replace(&lines)
    }

    /// Returns what may have been put, and was not noted as put. [`done`](Self::done) settles it.
    pub fn intent(&self) -> Option<&Intent> {
        self.intent.as_ref()
    }

    /// Notes items that are about to be put.
    pub fn intend(&mut self, intent: Intent) -> Result<()> {
        self.log.append(&[intent.line()])?;
        self.intent = Some(intent);
        Ok(())
    }

    /// Notes that the first `put` items of the intent are in the queue.
    pub fn done(&mut self, put: u64) -> Result<()> {
        self.log.append(&[format!("d {put}")])?;
        self.note(put);
        if self.log.is_long() {
            self.rewrite()?;
        }
        Ok(())
    }

    /// Returns whether the item is in the queue, or was.
    pub fn knows(&self, origin: &str, number: u64) -> bool {
        self.known
            .get(origin)
            .is_some_and(|ids| ids.contains(number))
    }

    /// Returns the highest number that is known of an origin.
    pub fn highest(&self, origin: &str) -> Option<u64> {
        self.known.get(origin)?.highest()
    }

    /// Forgets the items of origins that `keep` refuses.
    pub fn keep(&mut self, keep: impl Fn(&str) -> bool) -> Result<()> {
        self.known.retain(|origin, _| keep(origin));
        self.rewrite()
    }

    /// Returns whether the end of the stream of that origin, at that many puts, was carried over.
    pub fn has_ended(&self, origin: &str, puts: u64) -> bool {
        self.ends.get(origin).is_some_and(|last| puts <= *last)
    }

    /// Notes that it was.
    pub fn end(&mut self, origin: &str, puts: u64) -> Result<()> {
        let line = format!("e {origin} {puts}");
        self.read(&line);
        self.log.append(&[line])
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Place;
    use super::*;

    fn id(digit: char) -> QueueId {
        digit.to_string().repeat(32).parse().unwrap()
    }

    fn run(origin: &str, first: u64, len: u64, items: u64) -> Run {
        let (origin, span) = (origin.into(), Span { first, len });
        Run {
            origin,
            span,
            items,
        }
    }

    #[test]
    fn an_intent_is_there_after_a_death_and_its_first_items_can_be_noted() {
        let place = Place::new("in");
        let intent = Intent {
            puts: Some(5),
            runs: vec![run("a", 0, 4, 3), run("b", 10, 2, 2)],
        };
        let (mut inward, _) = Inward::open(&place.0, id('1')).unwrap();
        inward.intend(intent.clone()).unwrap();
        drop(inward);
        let (mut inward, others) = Inward::open(&place.0, id('1')).unwrap();
        assert!(!others && inward.intent() == Some(&intent) && intent.items() == 5);
        assert!(!inward.knows("a", 0));
        inward.done(4).unwrap();
        drop(inward);
        let (inward, _) = Inward::open(&place.0, id('1')).unwrap();
        assert_eq!(inward.intent(), None);
        assert!(inward.knows("a", 3) && inward.knows("b", 10) && !inward.knows("b", 11));
    }

    #[test]
    fn an_intent_of_which_nothing_was_put_leaves_nothing_known() {
        let place = Place::new("none");
        let (mut inward, _) = Inward::open(&place.0, id('1')).unwrap();
        let runs = vec![run("a", 7, 1, 1)];
        inward.intend(Intent { puts: None, runs }).unwrap();
        inward.done(0).unwrap();
        assert!(!inward.knows("a", 7) && inward.intent().is_none());
    }

    #[test]
    fn the_journal_of_a_queue_that_was_made_again_does_not_count() {
        let place = Place::new("again");
        let (mut inward, _) = Inward::open(&place.0, id('1')).unwrap();
        let runs = vec![run("a", 7, 1, 1)];
        inward.intend(Intent { puts: None, runs }).unwrap();
        inward.done(1).unwrap();
        drop(inward);
        let (inward, others) = Inward::open(&place.0, id('2')).unwrap();
        assert!(others && !inward.knows("a", 7));
    }

    #[test]
    fn an_end_is_carried_over_once() {
        let place = Place::new("end");
        let (mut inward, _) = Inward::open(&place.0, id('1')).unwrap();
        assert!(!inward.has_ended("a", 10));
        inward.end("a", 10).unwrap();
        drop(inward);
        let (inward, _) = Inward::open(&place.0, id('1')).unwrap();
        assert!(inward.has_ended("a", 10) && !inward.has_ended("a", 11));
        assert!(!inward.has_ended("b", 10));
    }
}
