//! Ways to wait: the round trip between two processes that block in threads, in futures and in
//! descriptors; tokio's own channel between two threads, for scale; and what it costs to wait for 100
//! idle queues.
//!
//! `cargo bench --bench waiting --features async`. Everything is measured in one run, the ways in
//! turns. The partner is this program, started again.

#[path = "support/mod.rs"]
mod support;

use prodcon::{GetError, QueueOptions, ReadyFd, ReadyQueue};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use support::Dir;

/// In the environment of the partner: where the queues are, and how it waits.
const DIR: &str = "PRODCON_BENCH_DIR";
const WAY: &str = "PRODCON_BENCH_WAY";

const ROUNDS: usize = 7;
const TRIPS: usize = 400;
const IDLE_QUEUES: usize = 100;
const IDLE_TIME: Duration = Duration::from_secs(3);

#[derive(Clone, Copy)]
enum Way {
    /// A thread that polls for up to 20 us before it sleeps, as endpoints do unless told otherwise.
    Spinning,
    /// A thread that sleeps at once.
    Sleeping,
    Future,
    Descriptor,
}

const WAYS: [(Way, &str); 4] = [
    (Way::Spinning, "a thread in get, which polls first"),
    (Way::Sleeping, "a thread in get, without polling"),
    (Way::Future, "a future, tokio's current-thread runtime"),
    (Way::Descriptor, "a descriptor, poll(2)"),
];

fn main() {
    if let (Some(dir), Ok(way)) = (std::env::var_os(DIR), std::env::var(WAY)) {
        let (way, _) = WAYS[way.parse::<usize>().expect("a number")];
        let mut end = End::attach(Path::new(&dir), "there", "back", way);
        while let Some(number) = Some(end.get()).filter(|number| *number > 0) {
            end.answers.put(&number).expect("space");
        }
        return;
    }
    let test = std::env::args().any(|argument| argument == "--test");
    let (rounds, trips) = if test { (1, 3) } else { (ROUNDS, TRIPS) };
    round_trips(rounds, trips);
    idle(if test {
        Duration::from_millis(10)
    } else {
        IDLE_TIME
    });
}

/// One end: it gets from one queue and puts into the other one.
struct End {
    items: ReadyQueue<u64>,
    answers: ReadyQueue<u64>,
    way: Way,
    ready: ReadyFd,
    runtime: tokio::runtime::Runtime,
}

impl End {
    fn attach(dir: &Path, items: &str, answers: &str, way: Way) -> Self {
        let spin = match way {
            Way::Spinning => Duration::from_micros(20),
            _ => Duration::ZERO,
        };
        let attach = prodcon::AttachOptions::new()
            .directory(dir)
            .spin_limit(spin);
        let items = ReadyQueue::attach_with(items, &attach).expect("a seat");
        let ready = items.readable().fd().expect("a descriptor");
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        Self {
            items,
            answers: ReadyQueue::attach_with(answers, &attach).expect("a seat"),
            way,
            ready,
            runtime: runtime.expect("a runtime"),
        }
    }

    fn get(&mut self) -> u64 {
        match self.way {
            Way::Spinning | Way::Sleeping => self.items.get().expect("an item"),
            Way::Future => {
                let get = self.items.as_async().get();
                self.runtime.block_on(get).expect("an item")
            }
            Way::Descriptor => loop {
                match self.items.try_get() {
                    Ok(number) => return number,
                    Err(GetError::Empty) => {}
                    Err(error) => panic!("{error}"),
                }
                if !self.ready.arm().expect("armed") {
                    wait_readable(&self.ready);
                }
            },
        }
    }

    fn trip(&mut self, number: u64) -> Duration {
        let began = Instant::now();
        self.answers.put(&number).expect("space");
        assert_eq!(self.get(), number);
        began.elapsed()
    }
}

fn wait_readable(ready: &ReadyFd) {
    let mut fd = libc::pollfd {
        fd: ready.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one pollfd.
    unsafe { libc::poll(&mut fd, 1, -1) };
}

/// The partner, ended by an item 0.
struct Partner(Child);

impl Partner {
    fn start(dir: &Dir, way: usize) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.env(DIR, &dir.0).env(WAY, way.to_string());
        Self(command.spawn().expect("a process"))
    }
}

impl Drop for Partner {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.0.kill();
        }
        let _ = self.0.wait();
    }
}

fn round_trips(rounds: usize, trips: usize) {
    let dir = Dir::new("waiting");
    let options = QueueOptions::new(8).attach(dir.attach());
    for name in ["there", "back"] {
        prodcon::Control::create::<u64>(name, &options).expect("a queue");
    }
    let mut took: Vec<Vec<Duration>> = vec![vec![]; WAYS.len() + 1];
    for _ in 0..rounds {
        for (number, (way, _)) in WAYS.iter().enumerate() {
            let _partner = Partner::start(&dir, number);
            let mut end = End::attach(&dir.0, "back", "there", *way);
            (0..trips / 10 + 1).for_each(|_| {
                end.trip(1);
            });
            took[number].extend((0..trips).map(|_| end.trip(1)));
            end.answers.put(&0).expect("space");
        }
        took[WAYS.len()].extend(channel(trips));
    }
    println!(
        "| round trip of one 8-byte item, {rounds} times {trips} | median | 90th percentile |"
    );
    println!("| --- | --- | --- |");
    let names = WAYS.iter().map(|(_, name)| *name);
    let scale = "tokio's mpsc channel, two threads of one process, for scale";
    for (name, mut took) in names.chain([scale]).zip(took) {
        took.sort_unstable();
        let at = |part: usize| took[(took.len() - 1) * part / 100].as_nanos() as f64 / 1000.0;
        println!("| {name} | {:.1} us | {:.1} us |", at(50), at(90));
    }
}

/// Round trips between two tasks in two threads, by tokio's own channel.
fn channel(trips: usize) -> Vec<Duration> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build();
    let runtime = runtime.expect("a runtime");
    let (there, mut items) = tokio::sync::mpsc::channel::<u64>(8);
    let (back, mut answers) = tokio::sync::mpsc::channel::<u64>(8);
    runtime.spawn(async move {
        while let Some(item) = items.recv().await {
            if back.send(item).await.is_err() {
                break;
            }
        }
    });
    let measured = runtime.spawn(async move {
        let mut took = vec![];
        for number in 0..trips as u64 {
            let began = Instant::now();
            there.send(number).await.expect("a receiver");
            assert_eq!(answers.recv().await, Some(number));
            took.push(began.elapsed());
        }
        took
    });
    runtime.block_on(measured).expect("a result")
}

/// Processor time of this process, user and system.
fn processor_time() -> Duration {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: there is room for what is written.
    let failed = unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) };
    assert_eq!(failed, 0);
    // SAFETY: the call succeeded, so it has written the whole.
    let usage = unsafe { usage.assume_init() };
    let of = |time: libc::timeval| {
        Duration::from_micros(time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64)
    };
    of(usage.ru_utime) + of(usage.ru_stime)
}

fn idle(time: Duration) {
    let dir = Dir::new("idle");
    let options = QueueOptions::new(64).attach(dir.attach());
    let queues: Vec<_> = (0..IDLE_QUEUES)
        .map(|number| ReadyQueue::<u64>::create(&format!("q{number}"), &options).expect("a queue"))
        .collect();
    let all: Vec<ReadyFd> = queues
        .iter()
        .map(|queue| queue.readable().fd().expect("a descriptor"))
        .collect();
    let measured = |what: &str| {
        let (began, before) = (Instant::now(), processor_time());
        std::thread::sleep(time);
        let (used, passed) = (processor_time() - before, began.elapsed());
        println!(
            "{IDLE_QUEUES} idle queues, {what}: {:.2} % of a processor ({used:.1?} in {passed:.1?})",
            100.0 * used.as_secs_f64() / passed.as_secs_f64()
        );
    };
    println!();
    measured("a descriptor each, none armed");
    for ready in &all {
        assert!(!ready.arm().expect("armed"));
    }
    std::thread::sleep(Duration::from_millis(100));
    measured("all armed");
}
