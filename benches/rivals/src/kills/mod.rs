//! Kills: what happens when processes that use a queue are killed, the same test for prodcon and for others.

mod board;
mod directed;
mod foreign;
mod part;
mod random;
mod report;

use crate::place::Place;
use crate::processes::{self, ProcessGroup};
use crate::report as common;
use crate::systems::{self, Entry, Promise};
use crate::{Outcome, cpu};
use board::Ledger;
use clap::Args;
use part::{Job, Role};
use prodcon::{AttachOptions, Control};
use random::{Cast, Outturn, own};
use report::{Random, Steps};
use std::time::{Duration, Instant};

/// The command line.
#[derive(Args)]
pub struct Arguments {
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
const FOREIGN: [(&str, &str); 2] = [
    ("python", "Python multiprocessing.Queue"),
    ("boost", "boost::interprocess message_queue"),
];

/// Kills, or plays a part. Returns `false` if prodcon broke a promise.
///
/// # Errors
/// A signal came; the system refuses files or processes; a name that no system has.
pub fn main(arguments: &Arguments) -> Outcome<bool> {
    match &arguments.part {
        Some(job) => part::play(&serde_json::from_str(job)?).map(|()| true),
        None => test(arguments),
    }
}

/// Whether prodcon kept its promises.
fn test(arguments: &Arguments) -> Outcome<bool> {
    let names: Vec<_> = systems::mortal()
        .map(|(entry, _)| entry.name)
        .chain(FOREIGN.map(|(name, _)| name))
        .collect();
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
    let seed = arguments.seed.unwrap_or_else(cpu::now);
    let wanted =
        |name: &str| arguments.only.is_empty() || arguments.only.iter().any(|only| only == name);
    let say = |what: &str| {
        if !arguments.markdown {
            eprintln!("{what}");
        }
    };
    let (mut random, mut steps) = (vec![], vec![]);
    for (entry, promise) in systems::mortal().filter(|(entry, _)| wanted(entry.name)) {
        say(&format!("{}: random kills", entry.title));
        random.push(Random {
            title: title(entry, promise),
            promise,
            outturn: row(kill_at_random(&place, entry, promise, arguments.seconds, seed).map(Ok))?,
        });
        for role in [Role::StepPut, Role::StepGet]
            .into_iter()
            .filter(|_| arguments.points > 0)
        {
            say(&format!(
                "{}: killed at every instruction of {}",
                entry.title,
                if role == Role::StepPut { "put" } else { "get" }
            ));
            steps.push(Steps {
                title: title(entry, promise),
                promise,
                role,
                outturn: row(directed::run(&place, entry.name, role, arguments.points).map(Ok))?,
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
            outturn: row(outturn)?,
        });
    }
    drop(place);
    let tables = report::markdown(&common::command(), seed, arguments.seconds, &random, &steps);
    print!("{tables}");
    Ok(random.iter().all(Random::kept) && steps.iter().all(Steps::kept))
}

/// Only prodcon promises anything.
fn title(entry: &Entry, promise: Promise) -> &'static str {
    match promise {
        Promise::AtMostOnce => "prodcon, at-most-once",
        Promise::AtLeastOnce => "prodcon, at-least-once",
        Promise::None => entry.title,
    }
}

/// A system that failed or was skipped is a row of the table; only a signal ends everything.
fn row<T>(outturn: Outcome<Result<T, String>>) -> Outcome<Result<T, String>> {
    processes::check_signals()?;
    Ok(match outturn {
        Ok(outturn) => outturn.map_err(|why| format!("SKIPPED: {why}")),
        Err(error) => Err(format!("FAILED: {error}")),
    })
}

fn kill_at_random(
    place: &Place,
    entry: &Entry,
    promise: Promise,
    seconds: f64,
    seed: u64,
) -> Outcome<Outturn> {
    place.scrub()?;
    let job = |role, slot| Job {
        system: entry.name.into(),
        role,
        slot,
        dir: place.dir(),
        name: format!("{}-{}", place.prefix(), entry.name),
        capacity: CAPACITY,
        hold_back: entry.always_lossy,
    };
    let keep = job(Role::Keep, 0);
    let board = Ledger::create(&keep.board())?;
    let mut keeper = ProcessGroup(vec![processes::start(own(&keep)?)?]);
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
    if promise != Promise::None {
        outturn.books = Some(books(&keep)?);
    }
    drop(keeper);
    place.scrub()?;
    Ok(outturn)
}

/// What prodcon's own accounts say after recovery.
fn books(job: &Job) -> Outcome<String> {
    let control = Control::attach_with(&job.name, &AttachOptions::new().directory(&job.dir))?;
    let report = control.doctor()?;
    let stats = control.stats()?;
    let exact = if report.ok() && stats.adds_up() {
        "exact"
    } else {
        "**do not add up**"
    };
    Ok(format!(
        "{exact}: {} put = {} got + {} lost + {} unacknowledged + {} left{}; {} delivered again",
        stats.puts,
        stats.gets,
        stats.lost,
        stats.unacked,
        stats.len,
        report
            .problems
            .first()
            .map_or_else(String::new, |problem| format!(" ({problem})")),
        stats.redelivered
    ))
}
