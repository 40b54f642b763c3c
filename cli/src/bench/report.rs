//! The figures of a benchmark, as text and as JSON.

use super::latency::Times;
use super::round::{Run, median};
use super::workload::Workload;
use crate::table::{Side, columns};
use serde_json::{Value, json};

/// A workload and its runs.
pub struct Measured {
    pub workload: Workload,
    /// The run in which every byte was checked went well.
    pub checked: bool,
    runs: Vec<Run>,
    /// A cache line's round trip before each run, in nanoseconds.
    lines: Vec<Option<f64>>,
}

impl Measured {
    pub fn new(workload: Workload) -> Self {
        Self {
            workload,
            checked: false,
            runs: vec![],
            lines: vec![],
        }
    }

    pub fn add(&mut self, run: Run, line: Option<f64>) {
        self.runs.push(run);
        self.lines.push(line);
    }

    fn rates(&self) -> Vec<f64> {
        self.runs.iter().map(|run| run.rate).collect()
    }

    /// Items a second: the least, the median, the most of all runs.
    pub fn spread(&self) -> [f64; 3] {
        let rates = self.rates();
        let least = rates.iter().copied().fold(f64::INFINITY, f64::min);
        [
            least,
            median(&rates),
            rates.iter().copied().fold(0.0, f64::max),
        ]
    }

    pub fn verified(&self) -> bool {
        self.checked && !self.runs.is_empty() && self.runs.iter().all(|run| run.verified)
    }

    fn sum(&self, of: impl Fn(&Run) -> u64) -> u64 {
        self.runs.iter().map(of).sum()
    }

    fn json(&self, cores: usize) -> Value {
        let workload = &self.workload;
        let [least, middle, most] = self.spread();
        let runs: Vec<Value> = self
            .runs
            .iter()
            .zip(&self.lines)
            .map(|(run, line)| json!({ "msgs_per_s": run.rate, "line_ns": line }))
            .collect();
        json!({
            "producers": workload.producers, "consumers": workload.consumers, "item_size": workload.item_size, "capacity": workload.capacity, "lossy": workload.lossy,
            "batch": workload.batch, "zero_copy": workload.zero_copy, "pinned": workload.processes() <= cores,
            "msgs_per_s": middle, "msgs_per_s_min": least, "msgs_per_s_max": most, "bytes_per_s": middle * f64::from(workload.item_size),
            "put": self.sum(|run| run.put), "delivered": self.sum(|run| run.delivered), "dropped": self.sum(|run| run.dropped),
            "verified": self.verified(), "rounds": runs,
        })
    }
}

/// The workload that was asked for at the top, the whole sweep below.
pub fn json(
    all: &[Measured],
    asked: usize,
    sweep: bool,
    times: &[Times],
    lines: &[f64],
    warnings: &[String],
    cores: usize,
) -> Value {
    let mut object = all[asked].json(cores);
    object["cores"] = cores.into();
    object["line_ns"] = json!(lines);
    object["warnings"] = json!(warnings);
    for times in times {
        let figures = times.figures();
        if times.rate.is_some() {
            match &mut object["paced"] {
                Value::Array(list) => list.push(figures),
                empty => *empty = json!([figures]),
            }
        } else {
            for key in ["p50_ns", "p99_ns", "p999_ns", "max_ns"] {
                object[key] = figures[key].clone();
            }
            object["round_trips"] = figures["count"].clone();
        }
    }
    if sweep {
        object["sweep"] = all.iter().map(|measured| measured.json(cores)).collect();
    }
    let verified = all.iter().all(Measured::verified) && times.iter().all(|times| times.verified);
    object["verified"] = verified.into();
    object
}

/// Nanoseconds for people.
fn time(ns: u64) -> String {
    match ns {
        0..10_000 => format!("{ns} ns"),
        10_000..10_000_000 => format!("{:.1} us", ns as f64 / 1e3),
        _ => format!("{:.1} ms", ns as f64 / 1e6),
    }
}

pub fn text(all: &[Measured], times: &[Times]) -> String {
    let head = [
        "producers",
        "consumers",
        "bytes",
        "M items/s",
        "least",
        "most",
        "GB/s",
        "arrived",
        "",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for measured in all {
        let workload = &measured.workload;
        let [least, middle, most] = measured.spread().map(|rate| rate / 1e6);
        let arrived = 100.0 * measured.sum(|run| run.delivered) as f64
            / measured.sum(|run| run.put).max(1) as f64;
        let mut bytes = workload.item_size.to_string();
        if workload.batch > 1 {
            bytes += &format!(" x {}", workload.batch);
        }
        rows.push(vec![
            workload.producers.to_string(),
            workload.consumers.to_string(),
            bytes,
            format!("{middle:.3}"),
            format!("{least:.3}"),
            format!("{most:.3}"),
            format!("{:.3}", middle * f64::from(workload.item_size) / 1e3),
            format!("{arrived:.1} %"),
            if measured.verified() {
                "verified: exactly once, in order, intact".into()
            } else {
                "NOT VERIFIED".into()
            },
        ]);
    }
    let mut sides = [Side::Right; 9];
    sides[8] = Side::Left;
    let mut text = columns(&sides, &rows);
    if times.is_empty() {
        return text;
    }
    let mut rows = vec![
        ["", "items", "p50", "p99", "p99.9", "max"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for times in times {
        let name = times.rate.map_or("round trip".into(), |rate| {
            format!("one way, {rate} items/s")
        });
        let mut row = vec![name, times.histogram.len().to_string()];
        row.extend([0.5, 0.99, 0.999].map(|quantile| time(times.at(quantile))));
        row.push(time(times.histogram.max()));
        rows.push(row);
    }
    let mut sides = [Side::Right; 6];
    sides[0] = Side::Left;
    text.push('\n');
    text += &columns(&sides, &rows);
    text
}
