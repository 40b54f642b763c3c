//! What happens when processes are killed: the same test for prodcon and for others. See README.md.

mod board;
mod directed;
mod foreign;
mod part;
mod random;
mod report;
mod systems;

use board::Ledger;
use clap::Parser;
use harness::crew::{self, Crew};
use harness::place::Place;
use harness::{Outcome, cpu};
use part::{Job, Role};
use prodcon::Control;
use random::{Cast, Outturn, own, spawn};
use report::{Random, Steps};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use systems::{ALL, Entry, Promise};

/// What happens when processes are killed: the same test for prodcon and for others
#[derive(Parser)]
#[command(name = "kills")]
struct Arguments {
    /// How long each system's processes are killed
    #[arg(long, value_name = "N", default_value_t = 8.0)]
    seconds: f64,
    /// Instructions of put, and of get, at which a process is killed; 0: none
    #[arg(long, value_name = "N", default_value_t = 60)]
    points: u64,
    /// Of the random kills [default: of the clock]
    #[arg(long)]
    seed: Option<u64>,
    /// Only these systems
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    only: Vec<String>,
    /// Nothing on stderr while it runs, only the tables on stdout
    #[arg(long)]
    markdown: bool,
    /// A part in a test (for the program itself)
    #[arg(long, hide = true)]
    part: Option<String>,
}

const CAPACITY: u32 = 1024;
const FOREIGN: [(&str, &str); 2] = [("python", "Python multiprocessing.Queue"), ("boost", "boost::interprocess message_queue")];

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.part {
        Some(job) => serde_json::from_str(job).map_err(Into::into).and_then(|job| part::play(&job)).map(|()| true),
        None => test(&arguments),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("kills: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether prodcon kept its promises.
fn test(arguments: &Arguments) -> Outcome<bool> {
    let names: Vec<_> = ALL.iter().map(|entry| entry.name).chain(FOREIGN.map(|(name, _)| name)).collect();
    if let Some(name) = arguments.only.iter().find(|name| !names.contains(&name.as_str())) {
        return Err(format!("no system is called '{name}': there are {}", names.join(", ")).into());
    }
    crew::mind_signals()?;
    let place = Place::new("kills")?;
    let seed = arguments.seed.unwrap_or_else(cpu::now);
    let wanted = |name: &str| arguments.only.is_empty() || arguments.only.iter().any(|only| only == name);
    let say = |what: &str| {
        if !arguments.markdown {
            eprintln!("{what}");
        }
    };
    let (mut random, mut steps) = (vec![], vec![]);
    for entry in ALL.iter().filter(|entry| wanted(entry.name)) {
        say(&format!("{}: random kills", entry.title));
        random.push(Random {
            title: entry.title,
            promise: entry.promise,
            outturn: told(kill_at_random(&place, entry, arguments.seconds, seed).map(Ok))?,
        });
        for role in [Role::StepPut, Role::StepGet].into_iter().filter(|_| arguments.points > 0) {
            say(&format!(
                "{}: killed at every instruction of {}",
                entry.title,
                if role == Role::StepPut { "put" } else { "get" }
            ));
            steps.push(Steps {
                title: entry.title,
                promise: entry.promise,
                role,
                outturn: told(directed::run(&place, entry.name, role, arguments.points).map(Ok))?,
            });
        }
    }
    for (name, title) in FOREIGN.into_iter().filter(|(name, _)| wanted(name)) {
        say(&format!("{title}: random kills"));
        let outturn = if name == "python" {
            foreign::python(&place, arguments.seconds, seed)
        } else {
            foreign::boost(&place, arguments.seconds, seed)
        };
        random.push(Random {
            title,
            promise: Promise::None,
            outturn: told(outturn)?,
        });
    }
    drop(place);
    let words: Vec<String> = std::env::args().skip(1).collect();
    let command = format!("cargo run --release --manifest-path benches/kills/Cargo.toml -- {}", words.join(" "));
    print!(
        "{}",
        report::markdown(command.trim().trim_end_matches(" --"), seed, arguments.seconds, &random, &steps)
    );
    Ok(random.iter().all(Random::kept) && steps.iter().all(Steps::kept))
}

/// A system that failed or was skipped is a row of the table; only a signal ends everything.
fn told<T>(outturn: Outcome<Result<T, String>>) -> Outcome<Result<T, String>> {
    crew::check_signals()?;
    Ok(match outturn {
        Ok(outturn) => outturn.map_err(|why| format!("SKIPPED: {why}")),
        Err(error) => Err(format!("FAILED: {error}")),
    })
}

fn kill_at_random(place: &Place, entry: &Entry, seconds: f64, seed: u64) -> Outcome<Outturn> {
    place.scrub()?;
    let job = |role, slot| Job {
        system: entry.name.into(),
        role,
        slot,
        dir: place.dir(),
        name: format!("{}-{}", place.prefix(), entry.name),
        capacity: CAPACITY,
        hold_back: entry.lossy,
    };
    let keep = job(Role::Keep, 0);
    let board = Ledger::create(&keep.board())?;
    let mut keeper = Crew(vec![spawn(own(&keep)?)?]);
    let deadline = Instant::now() + Duration::from_secs(20);
    while !keep.made().exists() {
        if Instant::now() > deadline || keeper.alive() == 0 {
            return Err(format!("{}: the queue was not made", entry.name).into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let cast = Cast {
        command: Box::new(|role, slot| own(&job(role, slot))),
    };
    let mut outturn = random::run(&board, &cast, seconds, seed)?;
    if entry.promise != Promise::None {
        outturn.books = Some(books(&keep)?);
    }
    drop(keeper);
    place.scrub()?;
    Ok(outturn)
}

/// What prodcon's own accounts say after recovery.
fn books(job: &Job) -> Outcome<String> {
    let control = Control::attach_in(&job.dir, &job.name)?;
    let report = control.doctor()?;
    let stats = control.stats()?;
    let exact = if report.ok() && stats.adds_up() { "exact" } else { "**do not add up**" };
    Ok(format!(
        "{exact}: {} put = {} got + {} lost + {} held + {} left{}; {} delivered again",
        stats.puts,
        stats.gets,
        stats.lost,
        stats.held,
        stats.len,
        report.problems.first().map_or_else(String::new, |problem| format!(" ({problem})")),
        stats.redelivered
    ))
}
