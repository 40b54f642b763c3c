//! The command line of `prodcon`: the commands, and the functions that carry them out.
//!
//! One file for each command; `exit` says what ends there are, and `report` is the one place where an
//! error is printed. Nothing here is `unsafe` or knows the layout of a segment: the commands use the
//! public library only, so each of them is an example of it too.

#![forbid(unsafe_code)]

#[cfg(feature = "bench")]
mod bench;
mod bridge;
#[cfg(any(feature = "bench", feature = "demo", feature = "soak"))]
#[cfg_attr(not(all(feature = "bench", feature = "soak")), allow(dead_code))] // each uses a part
mod child;
mod create;
#[cfg(feature = "demo")]
mod demo;
mod doctor;
mod exit;
mod get;
mod human;
mod ls;
mod manual;
#[cfg(feature = "metrics")]
mod metrics;
mod names;
mod output;
mod parse;
mod process;
mod put;
mod ready;
mod report;
mod rm;
mod signals;
#[cfg(feature = "soak")]
mod soak;
mod stat;
mod state;
mod table;
#[cfg(feature = "top")]
mod top;
mod wait;

use clap::{CommandFactory, Parser, Subcommand};
use std::process::ExitCode;

const STATUS: &str = "\
Data goes to stdout, everything else to stderr. Queues are files in /dev/shm, or in the directory that PRODCON_DIR names.
Exit status: 0 done; 1 could not be done; 2 usage; 3 timed out; 4 not ready; 5 empty or full without waiting.";

/// Crash-proof producer-consumer queues between processes, by name.
#[derive(Parser)]
#[command(name = "prodcon", version, after_help = STATUS, max_term_width = 110)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show it all in one command: processes exchange data, are killed, and account for every item
    #[cfg(feature = "demo")]
    Demo(demo::Arguments),
    /// Create a queue of byte strings, or of a plain type
    Create(create::Arguments),
    /// Put items from a file or stdin: a line each, or a fixed number of bytes each
    Put(put::Arguments),
    /// Get items to stdout: a line each, or raw
    Get(get::Arguments),
    /// Open the gate: from now on items may be put
    Ready(ready::Arguments),
    /// Close the gate: puts are refused, and what is in the queue is void
    NotReady(ready::Arguments),
    /// Make everything that is in the queue void, in one step
    Clear(ready::Arguments),
    /// Show the state of a queue, or set it
    State(state::Arguments),
    /// List the queues
    Ls(ls::Arguments),
    /// Show the figures of a queue
    Stat(stat::Arguments),
    /// Show what goes on in queues, again and again
    #[cfg(feature = "top")]
    Top(top::Arguments),
    /// Show the figures of queues to Prometheus: over HTTP, in a file, or printed once
    #[cfg(feature = "metrics")]
    Metrics(metrics::Arguments),
    /// Recover the seats of dead processes and check every invariant
    Doctor(doctor::Arguments),
    /// Remove queues
    Rm(rm::Arguments),
    /// Measure a queue between processes, and verify every item
    #[cfg(feature = "bench")]
    Bench(bench::Arguments),
    /// Kill and stop processes at random for as long as you like, and check every item and account
    #[cfg(feature = "soak")]
    Soak(soak::Arguments),
    /// Carry queues between machines: runs prodcon-bridge, where that is installed
    Bridge(bridge::Arguments),
    /// Print a script that lets a shell complete these commands
    Completions(manual::Completions),
    /// Print a manual page, or write all of them
    Man(manual::Pages),
    #[cfg(feature = "bench")]
    #[command(hide = true)]
    BenchWorker(bench::Worker),
    #[cfg(feature = "soak")]
    #[command(hide = true)]
    SoakWorker(soak::Worker),
}

fn main() -> ExitCode {
    #[cfg(feature = "demo")]
    if let Some(status) = demo::run_if_worker() {
        return status;
    }
    signals::outlive_file_limit();
    let line = CommandLine::parse();
    let outcome = match &line.command {
        #[cfg(feature = "demo")]
        Command::Demo(arguments) => demo::run(arguments),
        Command::Create(arguments) => create::run(arguments),
        Command::Put(arguments) => put::run(arguments),
        Command::Get(arguments) => get::run(arguments),
        Command::Ready(arguments) => ready::open(arguments),
        Command::NotReady(arguments) => ready::close(arguments),
        Command::Clear(arguments) => ready::clear(arguments),
        Command::State(arguments) => state::run(arguments),
        Command::Ls(arguments) => ls::run(arguments),
        Command::Stat(arguments) => stat::run(arguments),
        #[cfg(feature = "top")]
        Command::Top(arguments) => top::run(arguments),
        #[cfg(feature = "metrics")]
        Command::Metrics(arguments) => metrics::run(arguments),
        Command::Doctor(arguments) => doctor::run(arguments),
        Command::Rm(arguments) => rm::run(arguments),
        #[cfg(feature = "bench")]
        Command::Bench(arguments) => bench::run(arguments),
        #[cfg(feature = "soak")]
        Command::Soak(arguments) => soak::run(arguments),
        Command::Bridge(arguments) => bridge::run(arguments),
        Command::Completions(arguments) => manual::completions(arguments, CommandLine::command()),
        Command::Man(arguments) => manual::pages(arguments, CommandLine::command()),
        #[cfg(feature = "bench")]
        Command::BenchWorker(arguments) => bench::work(arguments),
        #[cfg(feature = "soak")]
        Command::SoakWorker(arguments) => soak::work(arguments),
    };
    report::report(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Arg;
    use clap::error::ErrorKind;

    /// What is said to a value of an option, if it is refused.
    fn refused(command: &str, option: &Arg, value: &str) -> Option<String> {
        let option = format!("--{}={value}", option.get_long()?);
        // Help ends it before anybody asks for what is missing.
        let words = ["prodcon", command, &option, "--help"];
        let error = CommandLine::command().try_get_matches_from(words).err()?;
        (error.kind() != ErrorKind::DisplayHelp).then(|| error.to_string())
    }

    #[test]
    fn every_number_of_bytes_or_things_takes_units() {
        // Times, a mode, dice, shapes, an address: numbers of something else.
        let others = [
            "wait", "timeout", "interval", "seconds", "minutes", "patience", "mode", "seed",
            "shapes", "listen",
        ];
        let (mut bytes, mut counts) = (0, 0);
        for command in CommandLine::command().get_subcommands() {
            let name = command.get_name();
            if command.is_hide_set() || name == "bridge" {
                continue;
            }
            for option in command
                .get_arguments()
                .filter(|o| o.get_action().takes_values())
            {
                let long = option.get_long().unwrap_or("");
                // A number is whatever takes some number, and no word.
                let is_number = ["1", "64"]
                    .iter()
                    .any(|n| refused(name, option, n).is_none());
                if !is_number || refused(name, option, "word").is_none() || others.contains(&long) {
                    continue;
                }
                // One that is too large is understood.
                let takes = |value| {
                    let said = refused(name, option, value);
                    said.is_none_or(|said| said.contains(" to "))
                };
                match (takes("1k"), takes("1KiB")) {
                    (true, false) => counts += 1,
                    (false, true) => bytes += 1,
                    both => panic!("{name} --{long}: 1k, 1KiB: {both:?}"),
                }
            }
        }
        assert!(bytes >= 2 && counts >= 5, "{bytes} {counts}");
    }
}
