//! `prodcon demo`: processes that find each other by name, exchange real data, are killed, and account for every item.
//!
//! One producer samples this machine's counters into a lossy queue and one that is not; two consumers work on each. In the middle the producer and a consumer are
//! killed with SIGKILL and started again. At the end the accounts of both queues must add up; every consumer has checked that no item came twice or out of order.

use crate::child::{self, Crew};
use crate::exit::{End, Outcome};
use crate::{output, parse, signals};
use clap::Args;
use hdrhistogram::Histogram;
use prodcon::{Control, GetError, Options, PutError, ReadyQueue, State, Stats};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Longest line of the input that is sent.
const LINE: usize = 488;
/// Producer's number, sequence number, time of the put; 8 bytes each.
const HEAD: usize = 24;

#[derive(Args)]
pub struct Arguments {
    /// How long
    #[arg(long, value_name = "S", value_parser = parse::run_time, default_value = "10")]
    seconds: Duration,
    /// Send the lines of FILE, over and over, instead of this machine's counters
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Kill nobody
    #[arg(long)]
    no_kill: bool,
}

#[derive(Args)]
pub struct Worker {
    role: String,
    number: u64,
    base: String,
    #[arg(long)]
    from: Option<PathBuf>,
}

pub fn run(arguments: &Arguments) -> Outcome {
    signals::install()?;
    let base = format!("demo-{}", std::process::id());
    let names = ["lossy", "whole"].map(|kind| format!("{base}-{kind}"));
    let mut crew = Crew::default();
    let options = Options::new(1024).item_size(HEAD + LINE).seats(16);
    let mut controls = vec![];
    for (name, lossy) in names.iter().zip([true, false]) {
        controls.push(Control::create(name, &options.clone().lossy(lossy))?);
        crew.queues.push(name.clone());
    }
    let reports_name = format!("{base}-reports");
    let mut reports = ReadyQueue::<[u64; 5]>::create(&reports_name, &Options::new(256).lossy(true).seats(16))?;
    crew.queues.push(reports_name);
    let start = |role: &str, number: u64| {
        let mut line = ["demo-worker", role, &number.to_string(), &base].map(str::to_owned).to_vec();
        if let Some(path) = &arguments.from {
            line.extend(["--from".into(), path.display().to_string()]);
        }
        child::start(&line)
    };
    let source = arguments
        .from
        .as_ref()
        .map_or("/proc/stat and /proc/self/schedstat".into(), |path| path.display().to_string());
    output::print(&format!(
        "1 producer samples {source} into two queues, 2 consumers work on each: 5 processes that attach by name.\n  {}: 1024 items, lossy (never waits, keeps the newest)\n  {}: 1024 items, not lossy (waits for its consumers)\n",
        names[0], names[1]
    ))?;
    for (role, number) in [
        ("consume-lossy", 1),
        ("consume-lossy", 2),
        ("consume-whole", 3),
        ("consume-whole", 4),
        ("produce", 0),
    ] {
        crew.children.push(start(role, number)?);
    }
    let (began, mut kills, mut wrong, mut second) = (Instant::now(), 0u64, 0u64, 0);
    let mut before = [0u64; 2];
    let mut latency = [[0u64; 2]; 2];
    while began.elapsed() < arguments.seconds {
        signals::check()?;
        std::thread::sleep(Duration::from_millis(20));
        wrong += collect(&mut reports, &mut latency);
        if !arguments.no_kill && kills == 0 && began.elapsed() >= arguments.seconds / 2 {
            for (place, role, number) in [(4, "produce", 10u64), (2, "consume-whole", 13)] {
                let victim = &mut crew.children[place];
                let pid = victim.id();
                victim
                    .kill()
                    .and_then(|()| victim.wait())
                    .map_err(|error| End::failed(format!("cannot kill process {pid}: {error}")))?;
                output::print(&format!(
                    "  SIGKILL to process {pid} ({}); another one takes its place, the others never stopped\n",
                    &role[..7]
                ))?;
                crew.children[place] = start(role, number)?;
                kills += 1;
            }
        }
        if began.elapsed().as_secs() > second {
            second = began.elapsed().as_secs();
            let mut line = format!("{second:>3} s");
            for (which, control) in controls.iter().enumerate() {
                let stats = control.stats()?;
                let done = stats.gets - std::mem::replace(&mut before[which], stats.gets);
                let [p50, p99] = latency[which].map(|ns| ns as f64 / 1000.0);
                line += &format!(
                    " | {}: {done:>8} items/s, dropped {:>9}, length {:>4}, p50 {p50:>7.1} us, p99 {p99:>7.1} us",
                    ["lossy", "whole"][which],
                    stats.dropped,
                    stats.len
                );
            }
            output::print(&(line + "\n"))?;
        }
        if let Some(child) = crew.children.iter_mut().find_map(|child| child.try_wait().ok().flatten()) {
            return Err(End::failed(format!("a process of the demo ended early ({child})")));
        }
    }
    for control in &controls {
        control.set_state(State::StopAtQueueEnd)?;
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while crew.children.iter_mut().any(|child| !matches!(child.try_wait(), Ok(Some(_)))) {
        if Instant::now() > deadline {
            return Err(End::failed(
                "the processes of the demo did not end within 20 s: this is a bug, please report it",
            ));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    wrong += collect(&mut reports, &mut latency);
    let mut bad = wrong > 0;
    output::print(&format!(
        "\n{:<6} {:>10} = {:>10} + {:>9} + {:>7} + {:>4} + {:>4} + {:>4}\n",
        "queue", "puts", "gets", "dropped", "cleared", "lost", "held", "len"
    ))?;
    for (kind, control) in ["lossy", "whole"].iter().zip(&controls) {
        let report = control.doctor()?;
        let s: Stats = control.stats()?;
        let ok = s.adds_up() && report.ok() && s.lost <= kills && s.held == 0 && s.seats_live + s.seats_dead == 0 && s.puts > 0 && (s.lossy || s.dropped == 0);
        bad |= !ok;
        let verdict = if ok { "adds up" } else { "DOES NOT ADD UP" };
        output::print(&format!(
            "{kind:<6} {:>10} = {:>10} + {:>9} + {:>7} + {:>4} + {:>4} + {:>4}   {verdict}\n",
            s.puts, s.gets, s.dropped, s.cleared, s.lost, s.held, s.len
        ))?;
        for problem in &report.problems {
            output::print(&format!("  {problem}\n"))?;
        }
    }
    output::print(&format!("{kills} processes were killed; {wrong} items came twice or out of order.\n"))?;
    if bad {
        Err(End::failed("the accounts of the demo do not add up: this is a bug, please report it"))
    } else {
        Ok(())
    }
}

/// Reads what consumers reported: returns the number of items that were wrong.
fn collect(reports: &mut ReadyQueue<[u64; 5]>, latency: &mut [[u64; 2]; 2]) -> u64 {
    let mut wrong = 0;
    while let Ok([which, p50, p99, bad, _]) = reports.try_get() {
        latency[usize::from(which == 1)] = [p50, p99];
        wrong += bad;
    }
    wrong
}

pub fn work(arguments: &Worker) -> Outcome {
    child::born();
    let queue = |kind: &str| ReadyQueue::<[u8]>::attach(&format!("{}-{kind}", arguments.base));
    match arguments.role.as_str() {
        "produce" => produce(arguments, [queue("lossy")?, queue("whole")?]),
        role => consume(arguments, queue(role.trim_start_matches("consume-"))?, u64::from(role == "consume-whole")),
    }
}

fn produce(arguments: &Worker, mut queues: [ReadyQueue<[u8]>; 2]) -> Outcome {
    let read = |path: &std::path::Path| std::fs::read_to_string(path).map_err(|error| End::failed(format!("cannot read {}: {error}", path.display())));
    let file = arguments.from.as_deref().map(read).transpose()?;
    if file.as_ref().is_some_and(|text| text.lines().next().is_none()) {
        return Err(End::failed("the file given with --from has no lines: choose another"));
    }
    let (mut sequence, mut over) = (0u64, [false; 2]);
    loop {
        let sample;
        let text = match &file {
            Some(text) => text,
            None => {
                sample = read("/proc/stat".as_ref())? + &read("/proc/self/schedstat".as_ref())?;
                &sample
            }
        };
        for line in text.lines() {
            let line = &line.as_bytes()[..line.len().min(LINE)];
            for (queue, over) in queues.iter_mut().zip(&mut over) {
                let mut block = queue.reserve(HEAD + line.len()).map_err(End::failed)?;
                block[..8].copy_from_slice(&arguments.number.to_ne_bytes());
                block[8..16].copy_from_slice(&sequence.to_ne_bytes());
                block[16..24].copy_from_slice(&child::now().to_ne_bytes());
                block[HEAD..].copy_from_slice(line);
                match block.commit() {
                    Ok(()) => {}
                    Err(refused) if refused.error == PutError::Stopped => *over = true,
                    Err(refused) => return Err(End::failed(refused.error)),
                }
            }
            sequence += 1;
        }
        if over == [true; 2] {
            return Ok(());
        }
    }
}

fn consume(arguments: &Worker, mut queue: ReadyQueue<[u8]>, which: u64) -> Outcome {
    let mut reports = ReadyQueue::<[u64; 5]>::attach(&format!("{}-reports", arguments.base))?;
    let mut times = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3).map_err(End::failed)?;
    let (mut wrong, mut told) = (0u64, Instant::now());
    let mut last = std::collections::HashMap::new();
    loop {
        let over = match queue.take_timeout(Duration::from_millis(100)) {
            Ok(item) => {
                let word = |at: usize| {
                    item.get(at..at + 8)
                        .and_then(|bytes| bytes.try_into().ok())
                        .map_or(u64::MAX, u64::from_ne_bytes)
                };
                // A consumer sees a part of each producer's items, in order and none twice.
                let (producer, sequence) = (word(0), word(8));
                wrong += u64::from(last.insert(producer, sequence).is_some_and(|before| before >= sequence));
                times.saturating_record(child::now().saturating_sub(word(16)));
                false
            }
            Err(GetError::TimedOut) => false,
            Err(GetError::Stopped) => true,
            Err(error) => return Err(End::failed(error)),
        };
        if over || told.elapsed() >= Duration::from_millis(200) {
            told = Instant::now();
            let report = [
                which,
                times.value_at_quantile(0.5),
                times.value_at_quantile(0.99),
                std::mem::take(&mut wrong),
                0,
            ];
            times.reset();
            reports.put(&report).map_err(End::failed)?;
        }
        if over {
            return Ok(());
        }
    }
}
