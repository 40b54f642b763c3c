//! The command line of `prodcon-bridge`: queues between machines, over NATS JetStream.
//!
//! `outward` carries a queue to a stream, and `inward` a stream to a queue. `message` says what a
//! message looks like, `journal` what outlives a kill, `server` what the server's answers mean, and
//! `world` how a link waits. Nothing here is `unsafe`.

#![forbid(unsafe_code)]

mod bench;
mod demo;
mod inward;
mod journal;
mod message;
mod names;
mod nats;
mod options;
mod outward;
mod quantity;
mod report;
mod serve;
mod server;
mod world;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::ExitCode;
use world::{End, World};

const STATUS: &str = "\
Everything is said on stderr. Queues are files in /dev/shm, or in the directory that PRODCON_DIR
names. Exit status: 0 the stream ended, or SIGINT or SIGTERM came; 1 somebody has to do something;
2 usage.";

/// Carries prodcon queues between machines, over NATS JetStream.
#[derive(Debug, Parser)]
#[command(name = "prodcon-bridge", version, after_help = STATUS, max_term_width = 110)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Carry the items of a queue to a stream
    Out {
        #[command(flatten)]
        out: Box<options::Out>,
        /// Where to serve figures, as Prometheus reads them
        #[arg(long, value_name = "ADDRESS:PORT")]
        metrics: Option<SocketAddr>,
    },
    /// Carry the messages of a stream to a queue
    In {
        #[command(flatten)]
        inward: Box<options::In>,
        /// Where to serve figures, as Prometheus reads them
        #[arg(long, value_name = "ADDRESS:PORT")]
        metrics: Option<SocketAddr>,
    },
    /// Show it on this machine: two queues, two bridges and a server, killed at random, and every
    /// item accounted for
    Demo(demo::Arguments),
    /// Measure both bridges and a server, beside a bare publisher with confirmations
    Bench(bench::Arguments),
    /// Carry all that a configuration file names
    Run {
        /// The configuration file
        file: PathBuf,
    },
    /// Run a program that dies with the one that started this
    #[command(hide = true)]
    Launch {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        program: Vec<std::ffi::OsString>,
    },
}

fn main() -> ExitCode {
    match run(CommandLine::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("prodcon-bridge: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    let config = match command {
        Command::Out { out, metrics } => options::Config {
            metrics,
            out: vec![*out],
            ..Default::default()
        },
        Command::In { inward, metrics } => options::Config {
            metrics,
            inward: vec![*inward],
            ..Default::default()
        },
        Command::Demo(arguments) => return demo::run(&arguments),
        Command::Bench(arguments) => return bench::run(&arguments),
        Command::Launch { program } => return launch(&program),
        Command::Run { file } => {
            let shown = file.display();
            let text = std::fs::read_to_string(&file)
                .with_context(|| format!("cannot read the configuration {shown}"))?;
            toml::from_str(&text).with_context(|| format!("the configuration {shown} is wrong"))?
        }
    };
    bridge(&config)
}

/// Runs the links until all have come to their ends.
fn bridge(config: &options::Config) -> Result<()> {
    let links = config.out.len() + config.inward.len();
    if links == 0 {
        bail!("the configuration names no queue: write [[out]] or [[in]]");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(links.clamp(1, 4))
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let world = World::new(runtime.handle().clone());
    if let Some(address) = config.metrics {
        runtime.block_on(serve::figures(address, world.figures.clone()))?;
    }
    runtime.block_on(async { serve::signals(&world) })?;
    let failed = std::thread::scope(|scope| {
        let world = &world;
        let out = config.out.iter().map(|out| {
            let name = format!("out {}", out.queue);
            (
                name,
                scope.spawn(move || {
                    end_of(&format!("out {}", out.queue), world, || {
                        outward::run(out, world)
                    })
                }),
            )
        });
        let inward = config.inward.iter().map(|inward| {
            let name = format!("in {}", inward.queue);
            (
                name,
                scope.spawn(move || {
                    end_of(&format!("in {}", inward.queue), world, || {
                        inward::run(inward, world)
                    })
                }),
            )
        });
        let all: Vec<_> = out.chain(inward).collect();
        let ends = all
            .into_iter()
            .map(|(name, link)| (name, link.join().unwrap_or(false)));
        ends.filter(|(_, ended_well)| !ended_well)
            .map(|(name, _)| name)
            .collect::<Vec<_>>()
    });
    runtime.shutdown_background();
    if !failed.is_empty() {
        bail!("ended without success: {}", failed.join(", "));
    }
    Ok(())
}

fn end_of(who: &str, world: &World, link: impl FnOnce() -> Result<End>) -> bool {
    let _timers_work = world.runtime.enter();
    match link() {
        Ok(_) => true,
        Err(error) => {
            eprintln!("prodcon-bridge: {who}: {error:#}");
            false
        }
    }
}

/// Becomes another program, which is killed when the thread that started this one ends.
fn launch(program: &[std::ffi::OsString]) -> Result<()> {
    let (name, arguments) = program.split_first().context("launch what?")?;
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .context("cannot die with the parent")?;
    let error = std::process::Command::new(name).args(arguments).exec();
    Err(error).with_context(|| format!("cannot run {}", name.display()))
}
