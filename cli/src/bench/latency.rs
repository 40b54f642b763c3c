//! Latency between two processes: round trips, and one way by the clock. The latter without coordinated omission: an item's time counts from when it was due, not from
//! when its producer came to put it.
//!

use super::round::{Team, core};
use super::workload::Workload;
use crate::exit::End;
use hdrhistogram::Histogram;
use prodcon::State;
use serde_json::{Value, json};
use std::time::Duration;

/// Times of items in nanoseconds.
pub struct Times {
    /// Items a second that were due, or `None` for round trips, one after the other.
    pub rate: Option<f64>,
    pub histogram: Histogram<u64>,
    pub verified: bool,
}

impl Times {
    pub fn at(&self, quantile: f64) -> u64 {
        self.histogram.value_at_quantile(quantile)
    }

    /// `p50_ns` and so on.
    pub fn figures(&self) -> Value {
        let mut figures = json!({ "p50_ns": self.at(0.5), "p99_ns": self.at(0.99), "p999_ns": self.at(0.999), "max_ns": self.histogram.max(), "count": self.histogram.len() });
        if let Some(rate) = self.rate {
            figures["rate"] = rate.into();
        }
        figures
    }

    fn of(rate: Option<f64>, reports: &[Value]) -> Result<Self, End> {
        let mut histogram =
            Histogram::new_with_bounds(1, 60_000_000_000, 3).map_err(End::failed)?;
        for pair in reports
            .iter()
            .filter_map(|report| report["times"].as_array())
            .flatten()
        {
            let (value, count) = (pair[0].as_u64().unwrap_or(0), pair[1].as_u64().unwrap_or(0));
            histogram.saturating_record_n(value, count);
        }
        let verified = !histogram.is_empty() && reports.iter().all(|report| report["wrong"] == 0);
        Ok(Self {
            rate,
            histogram,
            verified,
        })
    }
}

/// One process and one queue each way: latency is measured between two.
fn pair(workload: &Workload) -> Workload {
    Workload {
        lossy: false,
        batch: 1,
        ..workload.of(workload.item_size, 1, 1)
    }
}

/// Round trips of items of this size.
pub fn round_trips(
    workload: &Workload,
    queue: &str,
    time: Duration,
    cores: &[usize],
) -> Result<Times, End> {
    let workload = pair(workload);
    let answers = format!("{queue}-answers");
    let mut team = Team::new(&[queue.to_owned(), answers.clone()]);
    let (there, back) = (workload.create(queue)?, workload.create(&answers)?);
    back.set_ready()?;
    team.start(
        &workload,
        "ping",
        queue,
        core(cores, 2, 0),
        &[format!("--seconds={}", time.as_secs_f64())],
    )?;
    team.start(&workload, "echo", queue, core(cores, 2, 1), &[])?;
    team.wait_attached(&there, 2)?;
    there.set_ready()?;
    team.wait_ended(1, time)?;
    there.set_state(State::StopAtQueueEnd)?;
    team.wait_ended(2, time)?;
    Times::of(None, &team.reports()?)
}

/// One way, with this many items a second.
pub fn paced(
    workload: &Workload,
    rate: f64,
    queue: &str,
    time: Duration,
    cores: &[usize],
) -> Result<Times, End> {
    let workload = pair(workload);
    let mut team = Team::new(&[queue.to_owned()]);
    let control = workload.create(queue)?;
    team.start(
        &workload,
        "pace",
        queue,
        core(cores, 2, 0),
        &[
            format!("--seconds={}", time.as_secs_f64()),
            format!("--rate={rate}"),
        ],
    )?;
    team.start(&workload, "note", queue, core(cores, 2, 1), &[])?;
    team.wait_attached(&control, 2)?;
    control.set_ready()?;
    team.wait_ended(1, time)?;
    control.set_state(State::StopAtQueueEnd)?;
    team.wait_ended(2, time)?;
    Times::of(Some(rate), &team.reports()?)
}
