//! The demo's workers: a producer that samples, and the consumer that both of its queues have.
//!
//! An item is the producer's process, a sequence number, the time of the put, 8 bytes each, and a line of text. A consumer sees a part of each producer's items, in order
//! and none twice; what is otherwise it counts.

use crate::child::now;
use hdrhistogram::Histogram;
use prodcon::worker::{BoxError, Consume, Context, Produce};
use prodcon::{Batch, bytemuck};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Longest line of the input that is sent.
const LINE: usize = 488;
const HEAD: usize = 24;
/// Longest item.
pub const ITEM: usize = HEAD + LINE;

/// What a consumer tells: median and 99th percentile of the time from put to work in nanoseconds, and items that were wrong since the last report.
pub type Report = [u64; 3];

/// Between two reports.
const REPORT: Duration = Duration::from_millis(200);

/// Sends the lines of a file over and over, or those of this machine's counters, which it reads
/// again each time.
pub struct Sampler {
    file: bool,
    text: String,
    position: usize,
    sequence: u64,
}

fn read(path: &str) -> Result<String, BoxError> {
    Ok(std::fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))?)
}

fn counters() -> Result<String, BoxError> {
    Ok(read("/proc/stat")? + &read("/proc/self/schedstat")?)
}

impl Produce for Sampler {
    type Item = [u8];

    fn on_start(worker: &mut Context) -> Result<Self, BoxError> {
        let from = worker.arg("from");
        let text = from.map_or_else(counters, read)?;
        if text.is_empty() {
            return Err("the file given with --from has no lines: choose another".into());
        }
        Ok(Self {
            file: from.is_some(),
            text,
            position: 0,
            sequence: 0,
        })
    }

    fn work(&mut self, _: &mut Context) -> Result<Option<Vec<u8>>, BoxError> {
        if self.position >= self.text.len() {
            self.position = 0;
            if !self.file {
                self.text = counters()?;
            }
        }
        let rest = &self.text.as_bytes()[self.position..];
        let length = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .unwrap_or(rest.len());
        self.position += length + 1;
        let mut item = Vec::with_capacity(HEAD + length);
        for word in [u64::from(std::process::id()), self.sequence, now()] {
            item.extend_from_slice(&word.to_ne_bytes());
        }
        item.extend_from_slice(&rest[..length.min(LINE)]);
        self.sequence += 1;
        Ok(Some(item))
    }
}

/// Checks order, measures the time on the way, and reports now and then.
pub struct Checker {
    last: HashMap<u64, u64>,
    times: Histogram<u64>,
    wrong: u64,
    told: Instant,
}

impl Checker {
    fn report(&mut self, worker: &mut Context) -> Result<(), BoxError> {
        let [p50, p99] = [0.5, 0.99].map(|quantile| self.times.value_at_quantile(quantile));
        let report: Report = [p50, p99, std::mem::take(&mut self.wrong)];
        self.times.reset();
        self.told = Instant::now();
        Ok(worker.send_result(bytemuck::bytes_of(&report))?)
    }
}

impl Consume for Checker {
    type Item = [u8];

    fn on_start(_: &mut Context) -> Result<Self, BoxError> {
        Ok(Self {
            last: HashMap::new(),
            times: Histogram::new_with_bounds(1, 60_000_000_000, 3)?,
            wrong: 0,
            told: Instant::now(),
        })
    }

    fn work(&mut self, items: &Batch<'_, [u8]>, worker: &mut Context) -> Result<(), BoxError> {
        let now = now();
        for item in items {
            let word = |at: usize| {
                item.get(at..at + 8)
                    .and_then(|bytes| bytes.try_into().ok())
                    .map_or(u64::MAX, u64::from_ne_bytes)
            };
            let (producer, sequence) = (word(0), word(8));
            self.wrong += u64::from(
                self.last
                    .insert(producer, sequence)
                    .is_some_and(|before| before >= sequence),
            );
            self.times.saturating_record(now.saturating_sub(word(16)));
        }
        if self.told.elapsed() >= REPORT {
            self.report(worker)?;
        }
        Ok(())
    }

    fn on_stop(mut self, worker: &mut Context) -> Result<(), BoxError> {
        self.report(worker)
    }
}
