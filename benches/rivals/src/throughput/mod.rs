//! prodcon beside other queues: the same work, between processes, verified, in alternating rounds. See README.md.

mod figures;
mod job;
mod plan;
mod plot;
mod report;
mod run;
mod systems;
mod trip;
mod watch;
mod work;

use clap::Parser;
use harness::place::Place;
use harness::{Outcome, crew};
use job::Job;
use plan::Wishes;
use std::path::PathBuf;
use std::process::ExitCode;

/// prodcon beside other queues: the same work, between processes, verified, in alternating rounds
#[derive(Parser)]
#[command(name = "peers")]
struct Arguments {
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

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.part {
        Some(jobs) => part(jobs),
        None => compare(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A process that the first one started: plays its part, or several as threads.
fn part(jobs: &str) -> Outcome<()> {
    let jobs: Vec<Job> = serde_json::from_str(jobs)?;
    std::thread::scope(|scope| {
        for job in &jobs[1..] {
            scope.spawn(|| play(job));
        }
        play(&jobs[0]);
    });
    Ok(())
}

fn play(job: &Job) {
    let done = systems::find(&job.system)
        .ok_or_else(|| "no such system".into())
        .and_then(|entry| entry.play(job));
    if let Err(error) = done {
        let _ = std::fs::write(job.complaint(), error.to_string());
    }
}

fn compare(arguments: &Arguments) -> Outcome<()> {
    if let Some(name) = arguments.only.iter().find(|name| systems::find(name).is_none()) {
        let names: Vec<_> = systems::ALL.iter().map(|entry| entry.name).collect();
        return Err(format!("no system is called '{name}': there are {}", names.join(", ")).into());
    }
    crew::mind_signals()?;
    let place = Place::new("peers")?;
    let wishes = Wishes {
        rounds: arguments.rounds.unwrap_or(if arguments.quick { 2 } else { 5 }) as usize,
        quick: arguments.quick,
        only: arguments.only.clone(),
        least_trip: arguments.least_trip,
        say: !arguments.markdown,
    };
    let results = plan::measure(&place, &wishes)?;
    drop(place);
    let words: Vec<String> = std::env::args().skip(1).collect();
    let command = format!("cargo run --release --manifest-path benches/peers/Cargo.toml -- {}", words.join(" "));
    if let Some(file) = &arguments.plot {
        plot::draw(&results, file)?;
    }
    if arguments.json {
        println!("{}", report::json(&results, command.trim()));
    } else {
        print!("{}", report::markdown(&results, command.trim().trim_end_matches(" --")));
    }
    // Others may fail; that is told. prodcon may not.
    let failed = results
        .series
        .iter()
        .find(|series| series.entry.package == "prodcon" && !series.failures.is_empty());
    failed.map_or(Ok(()), |series| {
        Err(format!("{} failed: {}", series.entry.title, plan::title(series.cell)).into())
    })
}
