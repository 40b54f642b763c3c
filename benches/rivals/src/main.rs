//! prodcon beside other queues: the same work, and the same deaths, for each. See README.md.
//!
//! Two comparisons, `throughput` and `kills`, over one set of systems (`systems`), each brought behind
//! the two traits of `ends`. What both need stands here once: processes and their end, processors and
//! clocks, the items and how they are checked, a place for files, tables. Arrows point down only:
//! `throughput`, `kills` -> `systems` -> `ends`; no system knows what is measured.

mod cpu;
mod ends;
mod item;
mod kills;
mod place;
mod processes;
mod report;
mod shared;
mod systems;
mod throughput;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// What everything here answers: any error, as text for people.
type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// prodcon beside other queues
#[derive(Parser)]
#[command(name = "rivals")]
struct Arguments {
    #[command(subcommand)]
    comparison: Comparison,
}

#[derive(Subcommand)]
enum Comparison {
    /// The same work, between processes, verified, in alternating rounds
    Throughput(throughput::Arguments),
    /// What happens when processes are killed: the same test for each
    Kills(kills::Arguments),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().comparison {
        Comparison::Throughput(arguments) => throughput::main(&arguments),
        Comparison::Kills(arguments) => kills::main(&arguments),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("rivals: {error}");
            ExitCode::FAILURE
        }
    }
}
