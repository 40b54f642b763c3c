//! `prodcon bench`: throughput and latency between processes. Every item is checked: first each byte of it, in a run of its own, then its number, its place in the order
//! and its ends, in the runs that are measured.
//!
//! `workload` is what is measured, `worker` what the processes do, `round` one run, `latency` round
//! trips and paced items, `traps` what makes figures worthless, `report` and `plot` what is shown,
//! and `evidence` what is said about how it was measured.

mod evidence;
mod latency;
mod plot;
mod report;
mod round;
mod traps;
mod worker;
mod workload;

pub use worker::{Worker, work};

use crate::exit::{End, Outcome};
use crate::{output, parse, signals};
use clap::Args;
use evidence::Evidence;
use indicatif::{ProgressBar, ProgressStyle};
use report::Measured;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;
use traps::Watch;
use workload::Workload;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    workload: Workload,
    /// How long to measure each shape, and each latency
    #[arg(long, value_name = "S", value_parser = parse::run_time, default_value = "3")]
    seconds: Duration,
    /// Runs of each shape that share this time; their median counts
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = |text: &str| parse::count_in(text, 1..=1000))]
    rounds: u32,
    /// Measure latencies as well: round trips, and items put by the clock
    #[arg(long)]
    latency: bool,
    /// Items a second that are put by the clock
    #[arg(long, value_name = "RATES", value_delimiter = ',', value_parser = rate, default_value = "1000,10000,100000,1000000")]
    rates: Vec<f64>,
    /// Measure all of --sizes and --shapes
    #[arg(long)]
    sweep: bool,
    /// Bytes of an item, for --sweep
    #[arg(long, value_name = "BYTES", value_delimiter = ',', default_value = "8,64,1024,65536", value_parser = |text: &str| parse::bytes_in(text, 8..=u32::MAX))]
    sizes: Vec<u32>,
    /// Producers and consumers, for --sweep
    #[arg(
        long,
        value_name = "PxC",
        value_delimiter = ',',
        default_value = "1x1,2x2,4x4"
    )]
    shapes: Vec<Processes>,
    /// Print one JSON object on stdout
    #[arg(long)]
    json: bool,
    /// Draw throughput by size and the percentiles of latency; does --sweep and --latency
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

/// `2x3`: 2 producers, 3 consumers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Processes(u32, u32);

impl FromStr for Processes {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse().ok().filter(|count| (1..=200).contains(count));
        let both = text
            .split_once('x')
            .and_then(|(producers, consumers)| Some(Self(number(producers)?, number(consumers)?)));
        both.ok_or_else(|| "expected producers and consumers, such as 2x3; at most 200 each".into())
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text
        .parse()
        .ok()
        .or_else(|| Some(parse::count::<u32>(text).ok()?.into()))
        .ok_or("expected items a second, such as 100000 or 100k")?;
    if (0.1..=1e8).contains(&rate) {
        Ok(rate)
    } else {
        Err("expected 0.1 to 100000000 items a second".into())
    }
}

pub fn run(arguments: &Arguments) -> Outcome {
    signals::install()?;
    let (sweep, latency) = (
        arguments.sweep || arguments.plot.is_some(),
        arguments.latency || arguments.plot.is_some(),
    );
    // The one that was asked for, then the others.
    let mut all = vec![Measured::new(arguments.workload.clone())];
    if sweep {
        for Processes(producers, consumers) in &arguments.shapes {
            all.extend(
                arguments.sizes.iter().map(|size| {
                    Measured::new(arguments.workload.of(*size, *producers, *consumers))
                }),
            );
        }
        if all[1..]
            .iter()
            .any(|other| other.workload == all[0].workload)
        {
            all.remove(0);
        }
    }
    let cores = traps::cores();
    let mut watch = Watch::new(&cores);
    let bar = ProgressBar::new(
        (u64::from(arguments.rounds) + 1) * all.len() as u64
            + if latency {
                1 + arguments.rates.len() as u64
            } else {
                0
            },
    );
    bar.set_style(
        ProgressStyle::with_template("{bar:40} {pos}/{len} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let base = format!("bench-{}", std::process::id());
    for measured in &mut all {
        bar.set_message(format!(
            "checking every byte: {}",
            measured.workload.describe()
        ));
        let time = (arguments.seconds / 10).min(Duration::from_millis(500));
        let run = round::run(
            &measured.workload,
            &format!("{base}-check"),
            time,
            true,
            &cores,
        )?;
        measured.checked = run.verified;
        bar.inc(1);
    }
    let time = arguments.seconds / arguments.rounds;
    for number in 0..arguments.rounds {
        for measured in &mut all {
            bar.set_message(format!(
                "round {}: {}",
                number + 1,
                measured.workload.describe()
            ));
            let line = watch.look();
            let run = round::run(
                &measured.workload,
                &format!("{base}-run"),
                time,
                false,
                &cores,
            )?;
            measured.add(run, line);
            bar.inc(1);
        }
    }
    let mut times = vec![];
    if latency {
        bar.set_message("round trips");
        watch.look();
        times.push(latency::round_trips(
            &arguments.workload,
            &format!("{base}-trip"),
            arguments.seconds,
            &cores,
        )?);
        bar.inc(1);
        for rate in &arguments.rates {
            bar.set_message(format!("{rate} items a second"));
            let time = arguments.seconds / u32::try_from(arguments.rates.len()).unwrap_or(1);
            times.push(latency::paced(
                &arguments.workload,
                *rate,
                &format!("{base}-paced"),
                time,
                &cores,
            )?);
            bar.inc(1);
        }
    }
    watch.look();
    bar.finish_and_clear();
    let most = all
        .iter()
        .map(|measured| measured.workload.processes())
        .max()
        .unwrap_or(0);
    let warnings = watch.warnings(most);
    warnings
        .iter()
        .for_each(|warning| output::note(&format!("warning: {warning}")));
    let asked = all
        .iter()
        .position(|measured| measured.workload.same_load(&arguments.workload))
        .unwrap_or(0);
    if arguments.json {
        output::print(&format!(
            "{}\n",
            report::json(
                &all,
                asked,
                sweep,
                &times,
                watch.lines(),
                &warnings,
                cores.len()
            )
        ))?;
    } else {
        output::print(&report::text(&all, &times))?;
    }
    let verified = all.iter().all(Measured::verified) && times.iter().all(|times| times.verified);
    if let Some(path) = &arguments.plot {
        let evidence = Evidence {
            workloads: all
                .iter()
                .map(|measured| measured.workload.clone())
                .collect(),
            cores: cores.len(),
            rounds: arguments.rounds,
            verified,
            lines: watch.lines().to_vec(),
            load: watch.load(),
            warnings,
        };
        plot::draw(path, &all, &times, &evidence.lines())?;
        output::note(&format!("drawn: {}", path.display()));
    }
    if verified {
        Ok(())
    } else {
        Err(End::failed(
            "the benchmark's items did not arrive exactly once, in order and intact: this is a bug, please report it",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_two_numbers() {
        assert_eq!("2x30".parse(), Ok(Processes(2, 30)));
        for bad in ["", "2", "x", "2x", "0x1", "2x201", "2x3x4", "-1x2"] {
            assert!(bad.parse::<Processes>().is_err(), "{bad}");
        }
        assert!(
            rate("1e5") == rate("100k")
                && rate("1e5").is_ok()
                && rate("0").is_err()
                && rate("nan").is_err()
        );
    }
}
