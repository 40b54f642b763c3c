//! The figures of queues, looked at again and again: what they are now, and what came since the last look.
//!
//! Owns a control handle for each queue, which takes no seat and writes nothing. Callers: top.

use crate::exit::End;
use prodcon::{Control, OpenError, Stats};
use std::collections::BTreeMap;
use std::time::Instant;

/// One queue at one time.
#[derive(Clone, Debug)]
pub struct Row {
    pub name: String,
    /// `None`: it has gone.
    pub stats: Option<Stats>,
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

struct Watched {
    control: Control,
    last: Option<(Instant, [u64; 3])>,
}

/// The queues that are looked at.
pub struct Sampler {
    /// Those that were named; empty: all there are.
    names: Vec<String>,
    watched: BTreeMap<String, Watched>,
}

impl Sampler {
    /// # Errors
    /// A named queue does not exist, or cannot be read.
    pub fn new(names: &[String]) -> Result<Self, End> {
        let mut sampler = Self {
            names: names.to_vec(),
            watched: BTreeMap::new(),
        };
        for name in names {
            sampler.watch(name)?;
        }
        Ok(sampler)
    }

    fn watch(&mut self, name: &str) -> Result<(), OpenError> {
        let control = Control::attach(name)?;
        self.watched.insert(name.to_owned(), Watched { control, last: None });
        Ok(())
    }

    /// Looks at each queue: at those that were named, in that order, or at all, by name.
    pub fn look(&mut self) -> Result<Vec<Row>, End> {
        let names = if self.names.is_empty() {
            prodcon::list()?
                .into_iter()
                .filter(|entry| entry.segment.is_ok())
                .map(|entry| entry.name)
                .collect()
        } else {
            self.names.clone()
        };
        // Another queue may have the name by now.
        self.watched.retain(|name, watched| names.contains(name) && !watched.control.is_removed());
        let mut rows = vec![];
        for name in names {
            if !self.watched.contains_key(&name) {
                let _ = self.watch(&name); // gone again, or not ours to read
            }
            let row = self.watched.get_mut(&name).and_then(|watched| watched.look(&name));
            match row {
                Some(row) => rows.push(row),
                None if self.names.is_empty() => {}
                None => rows.push(Row {
                    name,
                    stats: None,
                    rates: None,
                }),
            }
        }
        Ok(rows)
    }
}

impl Watched {
    fn look(&mut self, name: &str) -> Option<Row> {
        let stats = self.control.stats().ok()?;
        let (now, counts) = (Instant::now(), [stats.puts, stats.gets, stats.dropped]);
        let rates = self.last.replace((now, counts)).map(|(then, before)| {
            let seconds = (now - then).as_secs_f64().max(1e-9);
            // Counters are read while others write them: one may be behind for a moment.
            std::array::from_fn(|which| counts[which].saturating_sub(before[which]) as f64 / seconds)
        });
        Some(Row {
            name: name.to_owned(),
            stats: Some(stats),
            rates,
        })
    }
}
