//! The figures of queues, looked at again and again: what they are now, and what came since the last look.
//!
//! Invariant: between two looks nothing is open, and during a look one queue at most, because there
//! may be more queues than a process may have descriptors.

use crate::exit::End;
use crate::names::Watched;
use prodcon::{Control, Error, ErrorKind, QueueId, Stats};
use std::collections::HashMap;
use std::time::Instant;

/// One queue at one time.
#[derive(Clone, Debug)]
pub struct Row {
    pub name: String,
    /// Or, in a word, why there are none.
    pub stats: Result<Stats, &'static str>,
    /// Items a second since the last look: puts, gets, drops. `None` if this is the first look.
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
    watched: Watched,
    before: HashMap<String, Before>,
}

impl Sampler {
    /// # Errors
    /// A named queue does not exist, or cannot be read.
    pub fn new(names: &[String]) -> Result<Self, End> {
        let watched = Watched::new(names);
        for name in watched.named() {
            Control::attach_read_only(name)?;
        }
        Ok(Self {
            watched,
            before: HashMap::new(),
        })
    }

    /// Looks at each queue: at those that were named, in that order, or at all, by name.
    pub fn look(&mut self) -> Result<Vec<Row>, End> {
        let names = self.watched.now(false)?;
        let mut before = std::mem::take(&mut self.before);
        let mut rows = vec![];
        for name in names {
            let row = match Control::attach_read_only(&name) {
                Ok(control) => self.row(&control, before.remove(&name)),
                Err(error) => Err(word(&error)),
            };
            match row {
                Ok(row) => rows.push(row),
                Err("gone") if !self.watched.named().any(|named| *named == name) => {}
                Err(why) => rows.push(Row {
                    name,
                    stats: Err(why),
                    rates: None,
                }),
            }
        }
        Ok(rows)
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
