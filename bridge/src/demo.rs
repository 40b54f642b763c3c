//! The whole story in one command: two queues, two bridges and a server, all of which are killed at
//! random while items go through them, and every item accounted for.

use crate::nats::{self, Guarded};
use crate::quantity;
use anyhow::{Context, Result, bail};
use clap::Args;
use prodcon::{AttachOptions, GetError, PutError, QueueOptions, ReadyQueue, State};
use rand::Rng;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What goes through, and what is killed.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Items that go through
    #[arg(long, default_value_t = 100_000, value_parser = quantity::count::<u64>)]
    items: u64,
    /// How many times the bridges are killed, both, 50 to 300 ms apart
    #[arg(long, default_value_t = 12, value_parser = quantity::count::<u32>)]
    rounds: u32,
    /// How many times the server is killed meanwhile
    #[arg(long, default_value_t = 2, value_parser = quantity::count::<u32>)]
    server_kills: u32,
    /// Runs of all this
    #[arg(long, default_value_t = 1, value_parser = quantity::count::<u32>)]
    runs: u32,
    /// Servers: with three, each message is on all of them
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=3))]
    servers: u8,
    /// Remove the journals at each kill, to see what they are good for: items may come twice
    #[arg(long, hide = true)]
    forget: bool,
}

/// How long a run may take after the last kill.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(120);

/// A directory that goes with all that is in it.
#[derive(Debug)]
pub struct Scratch(pub PathBuf);

impl Scratch {
    /// Makes one.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn new() -> Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed); // Relaxed: the numbers only differ
        let name = format!("prodcon-bridge-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(Self(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs it.
///
/// # Errors
/// If an item is missing or came twice, or something else went wrong.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut failed = 0;
    for number in 1..=arguments.runs {
        let scratch = Scratch::new()?;
        let tally = one(arguments, &scratch.0)?;
        println!(
            "run {number}: {} items in {:.1} s; bridges killed {} times each, the server {} \
                 times; {} missing, {} twice, {} out of order",
            arguments.items,
            tally.seconds,
            tally.bridge_kills,
            tally.server_kills,
            tally.missing,
            tally.twice,
            tally.late
        );
        failed += u32::from(tally.missing > 0 || tally.twice > 0 && !arguments.forget);
    }
    if failed > 0 {
        bail!("{failed} of {} runs lost or doubled items", arguments.runs);
    }
    Ok(())
}

struct Tally {
    seconds: f64,
    bridge_kills: u32,
    server_kills: u32,
    missing: u64,
    twice: u64,
    late: u64,
}

/// Two bridges, which are started again when they are killed.
struct Bridges {
    commands: [Command; 2],
    running: [Guarded; 2],
    launcher: PathBuf,
    journals: [PathBuf; 2],
}

impl Bridges {
    fn start(launcher: &Path, dir: &Path, urls: &str, replicas: u8) -> Result<Self> {
        let command = |words: &[&str], journal: &str| {
            let mut command = Command::new(launcher);
            command
                .args(words)
                .arg("--journal")
                .arg(dir.join(journal))
                .env("PRODCON_DIR", dir);
            command
        };
        let replicas = replicas.to_string();
        let mut commands = [
            command(
                &[
                    "out",
                    "near",
                    "--to",
                    urls,
                    "--stream",
                    "demo",
                    "--replicas",
                    &replicas,
                ],
                "out.journal",
            ),
            command(
                &[
                    "in",
                    "far",
                    "--from",
                    urls,
                    "--stream",
                    "demo",
                    "--ack-wait",
                    "1s",
                    "--only-producer",
                ],
                "in.journal",
            ),
        ];
        let [out, inward] = &mut commands;
        let running = [
            Guarded::start(launcher, out)?,
            Guarded::start(launcher, inward)?,
        ];
        Ok(Self {
            commands,
            running,
            launcher: launcher.into(),
            journals: [dir.join("out.journal"), dir.join("in.journal")],
        })
    }

    /// Checks that none has given up.
    fn check(&mut self) -> Result<()> {
        for running in &mut self.running {
            if let Some(status) = running.0.try_wait()?.filter(|status| !status.success()) {
                bail!("a bridge ended by itself: {status}");
            }
        }
        Ok(())
    }

    fn kill(&mut self, forget: bool) -> Result<()> {
        self.check()?;
        self.running.iter_mut().for_each(Guarded::kill);
        if forget {
            for journal in &self.journals {
                // It may not have been made yet.
                let _ = std::fs::remove_file(journal);
            }
        }
        for (running, command) in self.running.iter_mut().zip(&mut self.commands) {
            *running = Guarded::start(&self.launcher, command)?;
        }
        Ok(())
    }
}

fn one(arguments: &Arguments, dir: &Path) -> Result<Tally> {
    let launcher = std::env::current_exe().context("cannot find this program")?;
    let mut servers = servers(&launcher, dir, arguments.servers)?;
    let urls: Vec<String> = servers.iter().map(nats::Server::url).collect();
    let attach = AttachOptions::new().directory(dir);
    let options = QueueOptions::new(4096)
        .seats(128)
        .at_least_once(true)
        .attach(attach.clone());
    let mut near = ReadyQueue::<u64>::create("near", &options)?;
    let mut far = ReadyQueue::<u64>::create("far", &options)?;
    let began = Instant::now();
    let mut bridges = Bridges::start(&launcher, dir, &urls.join(","), arguments.servers)?;
    let (got, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let items = arguments.items;
    // The items come as the kills do, so that each kill finds some on their way.
    let pause = Duration::from_millis(250 * u64::from(arguments.rounds))
        .div_f64(items.max(1) as f64 / 64.0);
    let (counts, late, kills) = std::thread::scope(|scope| -> Result<_> {
        let (got, stop) = (&got, &stop);
        let stopped = || stop.load(Ordering::Relaxed); // Relaxed: a flag on its own
        scope.spawn(move || {
            let mut next = 0;
            while next < items && !stopped() {
                match near.within(Duration::from_millis(100)).put(&next) {
                    Ok(()) => next += 1,
                    Err(PutError::TimedOut) => continue,
                    Err(error) => return eprintln!("{error}"),
                }
                if next % 64 == 0 {
                    std::thread::sleep(pause);
                }
            }
            if let Err(error) = near.control().set_state(State::StopAtQueueEnd) {
                eprintln!("{error}");
            }
        });
        let consumer = scope.spawn(move || {
            let (mut counts, mut late, mut highest) = (vec![0u32; items as usize], 0, 0);
            loop {
                match far.within(Duration::from_millis(100)).get() {
                    Ok(item) => {
                        if let Some(count) = counts.get_mut(item as usize) {
                            *count += 1;
                        }
                        late += u64::from(item < highest);
                        highest = highest.max(item);
                        got.fetch_add(1, Ordering::Relaxed); // Relaxed: for people
                    }
                    Err(GetError::TimedOut) if stopped() => break,
                    Err(GetError::TimedOut) => {}
                    Err(_) => break, // the end of the stream
                }
            }
            (counts, late)
        });
        let mut kills = kill(arguments, &mut bridges, &mut servers);
        let until = Instant::now() + DRAIN_TIMEOUT;
        while !consumer.is_finished() && Instant::now() < until && kills.is_ok() {
            kills = bridges.check().and(kills);
            std::thread::sleep(Duration::from_millis(20));
        }
        stop.store(true, Ordering::Relaxed); // Relaxed: a flag on its own
        let (counts, late) = consumer.join().unwrap_or_default();
        Ok((counts, late, kills?))
    })?;
    Ok(Tally {
        seconds: began.elapsed().as_secs_f64(),
        bridge_kills: kills.0,
        server_kills: kills.1,
        missing: items - counts.iter().filter(|count| **count > 0).count() as u64,
        twice: counts
            .iter()
            .map(|count| u64::from(count.saturating_sub(1)))
            .sum(),
        late,
    })
}

/// Kills bridges and servers at random. Returns how often each.
fn kill(
    arguments: &Arguments,
    bridges: &mut Bridges,
    servers: &mut [nats::Server],
) -> Result<(u32, u32)> {
    let mut rng = rand::rng();
    let mut server_kills = 0;
    for round in 0..arguments.rounds {
        std::thread::sleep(Duration::from_millis(rng.random_range(50..=300)));
        bridges.kill(arguments.forget)?;
        let due =
            u64::from(arguments.server_kills) * u64::from(round + 1) / u64::from(arguments.rounds);
        if u64::from(server_kills) < due {
            let chosen = rng.random_range(0..servers.len());
            servers[chosen].restart()?;
            server_kills += 1;
        }
    }
    Ok((arguments.rounds, server_kills))
}

/// Starts one server, or a cluster of several.
///
/// # Errors
/// If one does not start.
pub fn servers(launcher: &Path, dir: &Path, count: u8) -> Result<Vec<nats::Server>> {
    if count == 1 {
        return Ok(vec![nats::Server::start(launcher, dir, "")?]);
    }
    let ports = nats::free_ports(2 * usize::from(count))?;
    let (clients, routes) = ports.split_at(count.into());
    let list: Vec<String> = routes
        .iter()
        .map(|port| format!("nats://127.0.0.1:{port}"))
        .collect();
    let mut out = vec![];
    for (number, (client, route)) in clients.iter().zip(routes).enumerate() {
        let store = dir.join(format!("jetstream-{client}"));
        let text = format!(
            "server_name: n{number}\nlisten: 127.0.0.1:{client}\njetstream {{ store_dir: '{}', \
                 sync_interval: always }}\nmax_payload: 8MB\ncluster {{ name: c, listen: \
                 127.0.0.1:{route}, routes: [{}] }}\n",
            store.display(),
            list.join(", ")
        );
        out.push(nats::Server::configured(launcher, dir, *client, &text)?);
    }
    Ok(out)
}
