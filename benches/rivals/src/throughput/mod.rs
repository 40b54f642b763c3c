//! Throughput: the same work, between processes, verified, in alternating rounds.

mod figures;
mod job;
mod plan;
mod plot;
mod report;
mod run;
mod trip;
mod watch;
mod work;

use crate::place::Place;
use crate::{Outcome, processes, report as common, systems};
use clap::Args;
use job::Job;
use plan::Wishes;
use std::path::PathBuf;
use std::time::Duration;

/// The command line.
#[derive(Args)]
pub struct Arguments {
    /// Short runs and two rounds: less than two minutes, and figures to match
    #[arg(long)]
    quick: bool,
    /// How often each system runs in each cell [default: 5, quick: 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    rounds: Option<u64>,
    /// Nothing on stderr while it runs, only the tables on stdout
    #[arg(long)]
    markdown: bool,
    /// Draw a picture
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Only these systems
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    only: Vec<String>,
    /// Items of these sizes: 8, 64, 256, 1024, 4KiB, 64KiB, 1MiB, 2MiB
    #[arg(long, value_name = "BYTES,...", value_delimiter = ',', value_parser = plan::parse_size, default_values = ["8", "64", "256", "1024", "4KiB", "64KiB", "1MiB"])]
    sizes: Vec<usize>,
    /// How long each run is measured, except for wake-ups [default: 0.4, quick: 0.1]
    #[arg(long, value_name = "S", value_parser = seconds)]
    seconds: Option<Duration>,
    /// How long it goes on for readings that are missing when processors are close, and apart
    /// [default: a third of the time each]
    #[arg(long, value_name = "S", value_parser = seconds)]
    patience: Option<Duration>,
    /// One JSON object instead of the tables
    #[arg(long)]
    json: bool,
    /// Below this round trip of a cache line the two processors are close (siblings, neighbours): a world of its own
    #[arg(long, value_name = "NS", default_value_t = 180.0)]
    least_trip: f64,
    /// A part in a run (for the program itself)
    #[arg(long, hide = true)]
    part: Option<String>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds is wanted")?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// Compares, or plays a part. Returns `false` if prodcon failed.
///
/// # Errors
/// A signal came; the system refuses files or processes; a name that no system has.
pub fn main(arguments: &Arguments) -> Outcome<bool> {
    match &arguments.part {
        Some(jobs) => part(jobs).map(|()| true),
        None => compare(arguments),
    }
}

/// Systems that copy have items of up to 2 MiB on their stacks.
const STACK: usize = 128 << 20;

/// A process that the first one started: plays its part, or several, each in a thread.
fn part(jobs: &str) -> Outcome<()> {
    let jobs: Vec<Job> = serde_json::from_str(jobs)?;
    std::thread::scope(|scope| -> Outcome<()> {
        for job in &jobs {
            std::thread::Builder::new()
                .stack_size(STACK)
                .spawn_scoped(scope, || play(job))?;
        }
        Ok(())
    })
}

fn play(job: &Job) {
    let done = systems::find(&job.system)
        .ok_or_else(|| "no such system".into())
        .and_then(|entry| entry.visit(work::Part(job)));
    if let Err(error) = done {
        let _ = std::fs::write(job.complaint(), error.to_string());
    }
}

fn compare(arguments: &Arguments) -> Outcome<bool> {
    let names: Vec<_> = systems::racing().map(|entry| entry.name).collect();
    if let Some(name) = arguments
        .only
        .iter()
        .find(|name| !names.contains(&name.as_str()))
    {
        return Err(format!(
            "no system is called '{name}': there are {}",
            names.join(", ")
        )
        .into());
    }
    processes::mind_signals()?;
    let place = Place::new("rivals")?;
    let wishes = Wishes {
        rounds: arguments
            .rounds
            .unwrap_or(if arguments.quick { 2 } else { 5 }) as usize,
        quick: arguments.quick,
        only: arguments.only.clone(),
        sizes: plan::in_order(&arguments.sizes),
        seconds: arguments.seconds,
        patience: arguments.patience,
        least_trip: arguments.least_trip,
        say: !arguments.markdown,
    };
    let results = plan::measure(&place, &wishes)?;
    drop(place);
    let command = common::command();
    if let Some(file) = &arguments.plot {
        plot::draw(&results, file)?;
    }
    if arguments.json {
        println!("{}", report::json(&results, &command));
    } else {
        print!("{}", report::markdown(&results, &command));
    }
    // Others may fail; that is told. prodcon may not.
    let failed = results
        .series
        .iter()
        .find(|series| series.entry.package == "prodcon" && !series.failures.is_empty());
    if let Some(series) = failed {
        eprintln!(
            "rivals: {} failed: {}",
            series.entry.title,
            plan::title(series.cell)
        );
    }
    Ok(failed.is_none())
}
