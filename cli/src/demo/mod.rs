//! `prodcon demo`: workers that find each other by name, exchange real data, are killed, and account for every item.
//!
//! One producer samples this machine's counters into a lossy queue and one that is not; two consumers work on each. In the middle the producer and a consumer are
//! killed with SIGKILL; their controlling handles start others in their place. At the end the accounts of both queues must add up; every consumer has checked that no
//! item came twice or out of order.

mod worker;

use crate::exit::{End, Outcome};
use crate::{human, output, parse, signals};
use clap::Args;
use prodcon::worker::{
    Consume, Consumer, ConsumerOptions, ProcessExit, Produce, Producer, ProducerOptions, Restart,
    WorkerExit,
};
use prodcon::{Control, QueueOptions};
use rustix::process::{Pid, Signal, kill_process};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use worker::{Checker, Report, Sampler};

/// The most items that a consumer has in hand, and so the most that can be lost with it.
const BUFFER: usize = 16;

#[derive(Args)]
pub struct Arguments {
    /// How long to run
    #[arg(long, value_name = "S", value_parser = parse::run_time, default_value = "10")]
    seconds: Duration,
    /// Send the lines of FILE, over and over, instead of this machine's counters
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Kill no process
    #[arg(long)]
    no_kill: bool,
}

/// The exit status, if this process was started as one of the demo's workers.
pub fn run_if_worker() -> Option<ExitCode> {
    std::env::var_os("PRODCON_WORKER")?; // nobody else starts this program so
    Sampler::run_if_worker().or_else(Checker::run_if_worker)
}

/// One of the two queues, with its consumers.
struct Side {
    label: &'static str,
    consumer: Consumer<[u8]>,
    reports: Arc<Mutex<(u64, Report)>>, // wrong items so far; the last report
    gets: u64,
}

impl Side {
    fn open(label: &'static str, base: &str, lossy: bool) -> prodcon::Result<Self> {
        let queue = QueueOptions::new(1024).item_size(worker::ITEM).lossy(lossy);
        let options = ConsumerOptions::new()
            .queue(queue)
            .processes(2)
            .restart(RESTART);
        let options = options.max_buffer_size(BUFFER).work_timeout(Duration::ZERO);
        let mut consumer = Consumer::create(&format!("{base}-{label}"), &options)?;
        let reports = Arc::new(Mutex::new((0, [0; 3])));
        let shared = reports.clone();
        consumer.on_result_ready(move |result| {
            if let Ok(report) = result.item::<Report>() {
                let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
                *shared = (shared.0 + report[2], report);
            }
        });
        Ok(Self {
            label,
            consumer,
            reports,
            gets: 0,
        })
    }

    fn reports(&self) -> (u64, Report) {
        *self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What happened in the last second.
    fn second(&mut self) -> Result<String, End> {
        let stats = self.consumer.stats()?;
        let done = stats.gets - std::mem::replace(&mut self.gets, stats.gets);
        let (_, [p50, p99, _]) = self.reports();
        let [p50, p99] = [p50, p99].map(|ns| ns as f64 / 1000.0);
        Ok(format!(
            " | {}: {done:>8} items/s, dropped {:>9}, length {:>4}, p50 {p50:>7.1} us, p99 {p99:>7.1} us",
            self.label, stats.dropped, stats.len
        ))
    }

    /// The account, and whether it adds up.
    fn account(&self, kills: u64) -> Result<(String, bool), End> {
        let control = Control::attach(self.consumer.name())?;
        let (report, s) = (control.doctor()?, control.stats()?);
        // This handle has a seat itself.
        let left = s
            .members
            .iter()
            .filter(|member| member.pid != std::process::id())
            .count();
        let ok = s.adds_up()
            && report.ok()
            && s.lost <= kills * BUFFER as u64
            && s.unacked == 0
            && left == 0
            && s.puts > 0
            && (s.lossy || s.dropped == 0);
        let verdict = if ok { "adds up" } else { "DOES NOT ADD UP" };
        let mut text = format!(
            "{:<6} {:>10} = {:>10} + {:>9} + {:>7} + {:>4} + {:>4} + {:>4}   {verdict}\n",
            self.label, s.puts, s.gets, s.dropped, s.cleared, s.lost, s.unacked, s.len
        );
        for problem in &report.problems {
            text += &format!("  {problem}\n");
        }
        Ok((text, ok))
    }
}

/// A process that is killed is replaced at once.
const RESTART: Restart = Restart::OnFailure {
    limit: 100,
    backoff: Duration::from_millis(10),
};

pub fn run(arguments: &Arguments) -> Outcome {
    signals::install()?;
    let outcome = play(arguments);
    // The signal reaches the workers too, and that one of them did not start is its doing.
    signals::check().and(outcome)
}

fn play(arguments: &Arguments) -> Outcome {
    let base = format!("demo-{}", std::process::id());
    let mut sides = [
        Side::open("lossy", &base, true)?,
        Side::open("whole", &base, false)?,
    ];
    let options = ProducerOptions::new()
        .subscribers(sides.iter().map(|side| side.consumer.name()))
        .restart(RESTART);
    let mut sampler = Producer::create(&format!("{base}-sampler"), &options)?;
    let (say, exits) = channel();
    let on_exit = |say: &std::sync::mpsc::Sender<ProcessExit>| {
        let say = say.clone();
        move |exit| drop(say.send(exit))
    };
    let from = from(arguments)?;
    let source = from
        .as_deref()
        .unwrap_or("/proc/stat and /proc/self/schedstat");
    let plan = if arguments.no_kill {
        "at the end every item must be accounted for"
    } else {
        "halfway two of them are killed, others take their places, and at the end every item must be accounted for"
    };
    let [lossy, whole] = [0, 1].map(|side: usize| sides[side].consumer.name());
    output::print(&format!(
        "For {} one producer and four consumers, each a process, exchange data through two queues: {plan}.\n1 producer samples {source} into the queues, 2 consumers work on each.\n  {lossy}: 1024 items, lossy (never waits, keeps the newest)\n  {whole}: 1024 items, not lossy (waits for its consumers)\n",
        human::time(arguments.seconds)
    ))?;
    for side in &mut sides {
        side.consumer.on_exit(on_exit(&say));
        side.consumer
            .start_new(Checker::program().map_err(End::failed)?)?;
    }
    sampler.on_exit(on_exit(&say));
    let argument = from.map(|path| format!("from={path}"));
    sampler.start_new(Sampler::program().map_err(End::failed)?.args(argument))?;

    let (began, mut kills, mut second) = (Instant::now(), 0, 0);
    while began.elapsed() < arguments.seconds {
        signals::check()?;
        std::thread::sleep(Duration::from_millis(20));
        if !arguments.no_kill && kills == 0 && began.elapsed() >= arguments.seconds / 2 {
            for (role, pids) in [
                ("produce", sampler.pids()),
                ("consume", sides[1].consumer.pids()),
            ] {
                kills += kill(role, &pids, &exits)?;
            }
        }
        if began.elapsed().as_secs() > second {
            second = began.elapsed().as_secs();
            let line = sides
                .iter_mut()
                .map(Side::second)
                .collect::<Result<String, End>>()?;
            output::print(&format!("{second:>3} s{line}\n"))?;
        }
        if let Ok(exit) = exits.try_recv() {
            signals::check()?;
            let why = exit.error.unwrap_or_else(|| "without a reason".into());
            return Err(End::failed(format!(
                "process {} of the demo ended early: {why}",
                exit.pid
            )));
        }
    }

    // The producer first: then nothing is on its way any more when the queues end.
    ended(&sampler.stop()?)?;
    let mut bad = false;
    let mut accounts = String::new();
    for side in &mut sides {
        side.consumer.set_stop_at_queue_end()?;
        ended(&side.consumer.wait()?)?;
        let (account, ok) = side.account(kills)?;
        accounts += &account;
        bad |= !ok;
    }
    let wrong: u64 = sides.iter().map(|side| side.reports().0).sum();
    bad |= wrong > 0;
    output::print(&format!(
        "\n{:<6} {:>10} = {:>10} + {:>9} + {:>7} + {:>4} + {:>4} + {:>4}\n{accounts}{kills} processes were killed; {wrong} items came twice or out of order.\n",
        "queue", "puts", "gets", "dropped", "cleared", "lost", "held", "len"
    ))?;
    if bad {
        Err(End::failed(
            "the accounts of the demo do not add up: this is a bug, please report it",
        ))
    } else {
        Ok(())
    }
}

/// The file that is sent, as an argument can carry it.
fn from(arguments: &Arguments) -> Result<Option<String>, End> {
    let Some(path) = &arguments.from else {
        return Ok(None);
    };
    match path.to_str() {
        Some(text) => Ok(Some(text.into())),
        None => Err(End::failed(format!(
            "the path {} is not UTF-8: rename the file",
            path.display()
        ))),
    }
}

/// Kills the first of these processes, and waits until its handle has heard it.
fn kill(role: &str, pids: &[u32], exits: &Receiver<ProcessExit>) -> Result<u64, End> {
    let pid = pids
        .first()
        .and_then(|pid| Pid::from_raw(i32::try_from(*pid).ok()?));
    let pid =
        pid.ok_or_else(|| End::failed(format!("there is no process to kill that could {role}")))?;
    let cannot =
        |error: &dyn std::fmt::Display| End::failed(format!("cannot kill process {pid}: {error}"));
    kill_process(pid, Signal::KILL).map_err(|error| cannot(&error))?;
    let exit = exits
        .recv_timeout(Duration::from_secs(20))
        .map_err(|error| cannot(&error))?;
    if exit.pid != pid.as_raw_pid().unsigned_abs() || !exit.restarts {
        return Err(End::failed(format!(
            "process {} of the demo ended early",
            exit.pid
        )));
    }
    output::print(&format!(
        "  SIGKILL to process {pid} ({role}); another one takes its place, the others never stopped\n"
    ))?;
    Ok(1)
}

/// Every process that was not killed ended well.
fn ended(ended: &WorkerExit) -> Outcome {
    if ended.success() {
        return Ok(());
    }
    let why = ended.error().unwrap_or("it was killed");
    Err(End::failed(format!(
        "a process of the demo did not end well: {why}"
    )))
}
