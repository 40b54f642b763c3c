//! The figures of queues, looked at again and again: what they are now, and what came since the last look.
//!
//! Invariant: between two looks nothing is open, and during a look one queue at most: there may be more queues than a process may have descriptors.

use crate::exit::End;
use crate::names;
use prodcon::{Control, Error, ErrorKind, QueueId, Stats};
use std::collections::HashMap;
use std::time::Instant;

/// One queue at one time.
#[derive(Clone, Debug)]
pub struct Row {
    pub name: String,
    /// Or, in a word, why there are none.
    pub stats: Result<Stats, &'static str>,
    /// Items a second since the last look: puts, gets, drops. `None`: this is the first.
    pub rates: Option<[f64; 3]>,
}

impl Row {
    /// Items that the queue holds when it is full.
    pub fn room(stats: &Stats) -> u64 {
        u64::from(stats.capacity) * u64::from(stats.batch.max(1))
    }

    pub fn asleep(stats: &Stats) -> usize {
        stats.members.iter().filter(|member| member.asleep).count()
    }
}

/// What a queue had counted at a look.
struct Before {
    id: QueueId,
    at: Instant,
    counts: [u64; 3],
}

/// The queues that are looked at.
pub struct Sampler {
    /// Names and patterns; empty: all there are.
    names: Vec<String>,
    before: HashMap<String, Before>,
}

impl Sampler {
    /// # Errors
    /// A named queue does not exist, or cannot be read.
    pub fn new(names: &[String]) -> Result<Self, End> {
        for name in names.iter().filter(|name| !names::is_pattern(name)) {
            Control::attach(name)?;
        }
        Ok(Self {
            names: names.to_vec(),
            before: HashMap::new(),
        })
    }

    /// Looks at each queue: at those that were named, in that order, or at all, by name.
    pub fn look(&mut self) -> Result<Vec<Row>, End> {
        let names = self.names()?;
        let mut before = std::mem::take(&mut self.before);
        let mut rows = vec![];
        for name in names {
            let row = match Control::attach(&name) {
                Ok(control) => self.row(&control, before.remove(&name)),
                Err(error) => Err(word(&error)),
            };
            match row {
                Ok(row) => rows.push(row),
                Err("gone") if !self.names.contains(&name) => {}
                Err(why) => rows.push(Row {
                    name,
                    stats: Err(why),
                    rates: None,
                }),
            }
        }
        Ok(rows)
    }

    /// Those that are named, gone or not, and those that fit a pattern now.
    fn names(&self) -> Result<Vec<String>, End> {
        let mut names: Vec<String> = self
            .names
            .iter()
            .filter(|name| !names::is_pattern(name))
            .cloned()
            .collect();
        let patterns: Vec<&[u8]> = self
            .names
            .iter()
            .filter(|name| names::is_pattern(name))
            .map(|name| name.as_bytes())
            .collect();
        if names.is_empty() || !patterns.is_empty() {
            for entry in prodcon::list()?
                .into_iter()
                .filter(|entry| entry.segment.is_ok())
            {
                let fits = patterns.is_empty()
                    || patterns
                        .iter()
                        .any(|pattern| names::fits(pattern, entry.name.as_bytes()));
                if fits && !self.names.contains(&entry.name) {
                    names.push(entry.name);
                }
            }
        }
        Ok(names)
    }

    fn row(&mut self, control: &Control, before: Option<Before>) -> Result<Row, &'static str> {
        let stats = control.stats().map_err(|_| "error")?;
        let (at, id) = (Instant::now(), control.id());
        let counts = [stats.puts, stats.gets, stats.dropped];
        // Another queue may have the name by now.
        let rates = before.filter(|before| before.id == id).map(|before| {
            let seconds = (at - before.at).as_secs_f64().max(1e-9);
            // Counters are read while others write them: one may be behind for a moment.
            std::array::from_fn(|which| {
                counts[which].saturating_sub(before.counts[which]) as f64 / seconds
            })
        });
        let name = control.name().to_owned();
        self.before.insert(name.clone(), Before { id, at, counts });
        Ok(Row {
            name,
            stats: Ok(stats),
            rates,
        })
    }
}

/// Why a queue cannot be looked at.
fn word(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::NotFound => "gone",
        ErrorKind::PermissionDenied => "denied",
        ErrorKind::Corrupt | ErrorKind::Incompatible => "damaged",
        _ => "error",
    }
}
