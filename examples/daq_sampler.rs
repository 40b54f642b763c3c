//! A producer for `daq`: seconds since it began, and a reading; at each call the next line of a file, or the busy part of the processors' time from `/proc/stat`.

use prodcon::worker::{BoxError, Context, Produce};
use std::process::ExitCode;
use std::time::Instant;

struct Sampler {
    began: Instant,
    lines: Option<std::vec::IntoIter<f64>>,
    before: [f64; 2],
}

impl Produce for Sampler {
    type Item = [f64; 2];

    fn on_start(worker: &mut Context) -> Result<Self, BoxError> {
        let lines = match worker.args().first() {
            Some(path) => Some(
                std::fs::read_to_string(path)?
                    .lines()
                    .map(str::parse)
                    .collect::<Result<Vec<f64>, _>>()?
                    .into_iter(),
            ),
            None => None,
        };
        Ok(Self {
            began: Instant::now(),
            lines,
            before: processor_time()?,
        })
    }

    fn work(&mut self, worker: &mut Context) -> Result<Option<[f64; 2]>, BoxError> {
        let reading = match &mut self.lines {
            Some(lines) => match lines.next() {
                Some(line) => line,
                None => return Ok(worker.stop().map(|()| None)?), // that was the last
            },
            None => {
                let [busy, all] = processor_time()?;
                let [busy_before, all_before] = std::mem::replace(&mut self.before, [busy, all]);
                100.0 * (busy - busy_before) / (all - all_before).max(1.0)
            }
        };
        Ok(Some([self.began.elapsed().as_secs_f64(), reading]))
    }
}

/// Ticks since the machine started: busy, and all.
fn processor_time() -> Result<[f64; 2], BoxError> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    let ticks: Vec<f64> = stat
        .lines()
        .next()
        .unwrap_or("")
        .split_whitespace()
        .skip(1)
        .flat_map(str::parse)
        .collect();
    let all: f64 = ticks.iter().sum();
    Ok([
        all - ticks.get(3).unwrap_or(&0.0) - ticks.get(4).unwrap_or(&0.0),
        all,
    ])
}

fn main() -> ExitCode {
    Sampler::main()
}
