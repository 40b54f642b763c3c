//! The journal of `out`: what it is about to publish, and what the stream has confirmed.
//!
//! Invariants: what is about to be published is noted before, so that after a kill the same items
//! make the same message with the same id. What is confirmed is noted before the queue hears of
//! it, so that an item the stream has is not published again. A confirmation counts only for the
//! stream that gave it, and only while that stream still has reached its sequence.

use super::{Ids, Log, Span};
use anyhow::Result;
use prodcon::QueueId;
use std::collections::BTreeMap;
use std::path::Path;

/// What `out` remembers.
#[derive(Debug)]
pub struct Outward {
    log: Log,
    head: String,
    /// Messages that may have been published: their numbers, and how many items they have.
    intended: BTreeMap<u64, (Span, u64)>,
    confirmed: Ids,
    /// The highest sequence of the stream that confirmed something.
    sequence: u64,
}

impl Outward {
    /// Opens the journal of a queue and a stream. `stream` tells it from others of its name, and
    /// `sequence` is the last one it has. Returns too why what the stream had confirmed does not
    /// count any more, if so.
    pub fn open(
        path: &Path,
        queue: QueueId,
        stream: &str,
        sequence: u64,
    ) -> Result<(Self, Option<String>)> {
        let (log, lines) = Log::open(path)?;
        let head = format!("out {queue} {stream}");
        let mut this = Self {
            log,
            head,
            intended: BTreeMap::new(),
            confirmed: Ids::default(),
            sequence: 0,
        };
        let mut lines = lines.iter();
        let before = lines.next();
        let same_queue = before.is_some_and(|line| line.starts_with(&format!("out {queue} ")));
        if same_queue {
            for line in lines {
                this.read(line);
            }
        }
        let mut voided = None;
        if same_queue && before != Some(&this.head) {
            voided = Some("the stream was made again".to_owned());
        } else if this.sequence > sequence {
            voided = Some(format!(
                "the stream went back: its last sequence is {sequence}, and it had confirmed {}",
                this.sequence
            ));
        }
        if voided.is_some() {
            (this.confirmed, this.sequence) = (Ids::default(), 0);
        }
        this.rewrite()?;
        Ok((this, voided))
    }

    fn read(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["p", span, items] => {
                if let (Ok(span), Ok(items)) = (span.parse::<Span>(), items.parse()) {
                    self.intended.insert(span.first, (span, items));
                }
            }
            ["d", span, sequence] => {
                if let (Ok(span), Ok(sequence)) = (span.parse(), sequence.parse::<u64>()) {
                    self.note(span, sequence);
                }
            }
            _ => {}
        }
    }

    fn note(&mut self, span: Span, sequence: u64) {
        // Messages that were intended once may have been divided otherwise since.
        let within = self
            .intended
            .range(span.first..span.first.saturating_add(span.len));
        for first in within.map(|(first, _)| *first).collect::<Vec<_>>() {
            self.intended.remove(&first);
        }
        self.confirmed.insert(span);
        self.sequence = self.sequence.max(sequence);
    }

    fn rewrite(&mut self) -> Result<()> {
        let mut lines = vec![self.head.clone()];
        let sequence = self.sequence;
        lines.extend(
            self.intended
                .values()
                .map(|(span, items)| format!("p {span} {items}")),
        );
        lines.extend(
            self.confirmed
                .spans()
                .map(|span| format!("d {span} {sequence}")),
        );
        self.log.replace(&lines)
    }

    /// Notes messages that are about to be published.
    pub fn intend(&mut self, messages: &[(Span, u64)]) -> Result<()> {
        let lines: Vec<String> = messages
            .iter()
            .map(|(span, items)| format!("p {span} {items}"))
            .collect();
        self.log.append(&lines)?;
        for (span, items) in messages {
            self.intended.insert(span.first, (*span, *items));
        }
        Ok(())
    }

    /// Notes messages that the stream has, with the sequence that it gave.
    pub fn confirm(&mut self, messages: &[(Span, u64)]) -> Result<()> {
        let lines: Vec<String> = messages
            .iter()
            .map(|(span, sequence)| format!("d {span} {sequence}"))
            .collect();
        self.log.append(&lines)?;
        for (span, sequence) in messages {
            self.note(*span, *sequence);
        }
        if self.log.is_long() {
            self.rewrite()?;
        }
        Ok(())
    }

    /// Returns the message that begins with this number and may have been published: its numbers,
    /// and how many items it has.
    pub fn intended(&self, first: u64) -> Option<(Span, u64)> {
        self.intended.get(&first).copied()
    }

    /// Returns whether any message may have been published without being confirmed.
    pub fn is_unsettled(&self) -> bool {
        !self.intended.is_empty()
    }

    /// Returns whether the stream has the item with this number.
    pub fn is_confirmed(&self, number: u64) -> bool {
        self.confirmed.contains(number)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Place;
    use super::*;

    fn id(digit: char) -> QueueId {
        digit.to_string().repeat(32).parse().unwrap()
    }

    fn span(first: u64, len: u64) -> Span {
        Span { first, len }
    }

    #[test]
    fn what_was_intended_and_what_was_confirmed_is_there_after_a_death() {
        let place = Place::new("out");
        let (mut out, voided) = Outward::open(&place.0, id('1'), "s 7", 0).unwrap();
        assert_eq!(voided, None);
        out.intend(&[(span(0, 4), 4), (span(4, 2), 2)]).unwrap();
        out.confirm(&[(span(0, 4), 9)]).unwrap();
        drop(out);
        for _ in 0..2 {
            let (out, voided) = Outward::open(&place.0, id('1'), "s 7", 9).unwrap();
            assert_eq!(voided, None);
            assert!(out.is_confirmed(3) && !out.is_confirmed(4));
            assert_eq!(
                (out.intended(0), out.intended(4)),
                (None, Some((span(4, 2), 2)))
            );
        }
    }

    #[test]
    fn what_is_confirmed_in_other_messages_is_not_intended_any_more() {
        let place = Place::new("divided");
        let (mut out, _) = Outward::open(&place.0, id('1'), "s 7", 0).unwrap();
        out.intend(&[(span(0, 4), 4), (span(4, 4), 4), (span(8, 1), 1)])
            .unwrap();
        out.confirm(&[(span(0, 8), 1)]).unwrap();
        assert_eq!((out.intended(4), out.is_unsettled()), (None, true));
        out.confirm(&[(span(8, 1), 2)]).unwrap();
        assert!(!out.is_unsettled());
    }

    #[test]
    fn a_stream_that_went_back_or_was_made_again_confirms_nothing() {
        for (stream, sequence, says) in [("s 7", 8, "went back"), ("s 8", 9, "made again")] {
            let place = Place::new("back");
            let (mut out, _) = Outward::open(&place.0, id('1'), "s 7", 0).unwrap();
            out.intend(&[(span(0, 4), 4)]).unwrap();
            out.confirm(&[(span(0, 4), 9)]).unwrap();
            drop(out);
            let (out, voided) = Outward::open(&place.0, id('1'), stream, sequence).unwrap();
            assert!(voided.unwrap().contains(says));
            assert!(!out.is_confirmed(0));
        }
    }

    #[test]
    fn the_journal_of_a_queue_that_was_made_again_begins_anew() {
        let place = Place::new("other");
        let (mut out, _) = Outward::open(&place.0, id('1'), "s 7", 0).unwrap();
        out.confirm(&[(span(0, 4), 1)]).unwrap();
        drop(out);
        let (out, voided) = Outward::open(&place.0, id('2'), "s 7", 5).unwrap();
        assert!(voided.is_none() && !out.is_confirmed(0));
    }

    #[test]
    fn a_long_journal_is_written_anew_and_says_the_same() {
        let place = Place::new("long");
        let (mut out, _) = Outward::open(&place.0, id('1'), "s 7", 0).unwrap();
        for at in 0..60_000 {
            out.intend(&[(span(at, 1), 1)]).unwrap();
            out.confirm(&[(span(at, 1), at + 1)]).unwrap();
        }
        assert!(std::fs::metadata(&place.0).unwrap().len() < super::super::MAX_BYTES + 1000);
        drop(out);
        let (out, _) = Outward::open(&place.0, id('1'), "s 7", 60_000).unwrap();
        assert!(out.is_confirmed(59_999) && !out.is_confirmed(60_000));
    }
}
