//! One run of one system: starts the processes, lets them work for a while, ends them whatever happens, and checks what they tell.

use super::job::{Board, DONE, Job, Kind, MEASURED, OPEN, READY, STOPPED, WARM, Worker};
use crate::item::Stream;
use crate::place::Place;
use crate::processes::{self, ProcessGroup};
use crate::shared::Shared;
use crate::systems::{Entry, descriptors};
use crate::{Outcome, cpu};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::{Duration, Instant};

/// What to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    pub kind: Kind,
    pub words: usize,
    pub producers: usize,
    pub consumers: usize,
}

/// How to run it.
pub struct Limits {
    pub capacity: u32,
    /// Before it is measured.
    pub warm: Duration,
    pub duration: Duration,
    /// How much longer than that before a run counts as never finished.
    pub patience: Duration,
}

/// What a run gave.
#[derive(Debug, Clone, Copy)]
pub enum Reading {
    Rate {
        /// Items got in a second.
        per_second: f64,
        /// Part of the items put that were got.
        kept: f64,
        /// Processor seconds of all processes for a million items.
        cpu: f64,
    },
    /// Nanoseconds.
    Times {
        p50: f64,
        p99: f64,
        p999: f64,
        max: f64,
    },
    /// Part of one processor that a blocked consumer uses.
    Idle(f64),
}

/// Why it gave nothing.
#[derive(Debug, Clone)]
pub enum Failure {
    NeverFinished,
    /// Died or answered with an error.
    Failed(String),
    /// Ran, but the items were not what they have to be.
    Wrong(String),
}

/// Runs it. The outer error is the program's own end (a signal, no memory).
///
/// # Errors
/// A signal came; the system refuses files or processes.
pub fn run(
    place: &Place,
    entry: &Entry,
    cell: Cell,
    limits: &Limits,
) -> Outcome<Result<Reading, Failure>> {
    place.scrub()?;
    let result = Run::start(place, entry, cell, limits).and_then(|mut run| {
        let result = run.work(limits);
        run.end(result.as_ref().is_ok_and(Result::is_ok));
        result
    });
    place.scrub()?;
    result
}

struct Run<'a> {
    entry: &'a Entry,
    cell: Cell,
    jobs: Vec<Job>,
    board: Shared<Board>,
    group: ProcessGroup,
    descriptors: Vec<[i32; 2]>,
}

impl<'a> Run<'a> {
    fn start(place: &Place, entry: &'a Entry, cell: Cell, limits: &Limits) -> Outcome<Self> {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let board = Shared::<Board>::create(&place.dir().join("board"))?;
        let mut run = Self {
            entry,
            cell,
            jobs: vec![],
            board,
            group: ProcessGroup::default(),
            descriptors: vec![],
        };
        if let Some(socket) = entry.socket {
            for _ in 0..2 {
                run.descriptors
                    .push(descriptors::make(socket, limits.capacity, cell.words * 8)?);
            }
        }
        let (cores, total) = (cpu::cores(), cell.producers + cell.consumers);
        let prefix = format!("{}-{}", place.prefix(), RUNS.fetch_add(1, Relaxed));
        run.jobs = (0..total)
            .map(|index| Job {
                system: entry.name.into(),
                kind: cell.kind,
                words: cell.words,
                producers: cell.producers,
                consumers: cell.consumers,
                capacity: limits.capacity,
                index,
                core: core(&cores, index, cell.producers, cell.consumers),
                alone: cores.len() >= total,
                dir: place.dir(),
                prefix: prefix.clone(),
                descriptors: [0, 1]
                    .map(|queue| run.descriptors.get(queue).copied().unwrap_or_default()),
                thread: entry.threads,
            })
            .collect();
        for jobs in run.jobs.chunks(if entry.threads { total } else { 1 }) {
            run.group
                .0
                .push(processes::start(processes::own("throughput", &jobs)?)?);
        }
        Ok(run)
    }

    fn workers(&self) -> &[Worker] {
        &self.board.workers[..self.jobs.len()]
    }

    /// Waits until all have reached a state.
    fn until(&mut self, state: u64, deadline: Instant) -> Outcome<Result<(), Failure>> {
        let expected = self.group.0.len();
        while !self
            .workers()
            .iter()
            .all(|worker| worker.state.load(Acquire) >= state)
        {
            processes::check_signals()?;
            if self.group.alive() < expected || self.jobs.iter().any(|job| job.complaint().exists())
            {
                std::thread::sleep(Duration::from_millis(20)); // the complaint may be half written
                let complaint = self
                    .jobs
                    .iter()
                    .find_map(|job| std::fs::read_to_string(job.complaint()).ok());
                return Ok(Err(Failure::Failed(
                    complaint.unwrap_or_else(|| "a process ended".into()),
                )));
            }
            if Instant::now() > deadline {
                return Ok(Err(Failure::NeverFinished));
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        Ok(Ok(()))
    }

    fn work(&mut self, limits: &Limits) -> Outcome<Result<Reading, Failure>> {
        for state in [OPEN, READY] {
            if let Err(failure) = self.until(state, Instant::now() + limits.patience)? {
                return Ok(Err(match failure {
                    Failure::NeverFinished => {
                        Failure::Failed("the processes did not get ready".into())
                    }
                    other => other,
                }));
            }
            self.board.opened.0.store(1, Release);
        }
        let sleeper = self.group.0.last().map(std::process::Child::id);
        let used = |pid| Some((cpu::used_by(pid?)?, Instant::now()));
        self.board.phase.0.store(WARM, Release);
        std::thread::sleep(limits.warm);
        let began = cpu::now();
        self.board.phase.0.store(MEASURED, Release);
        let before = used(sleeper);
        std::thread::sleep(limits.duration);
        let after = used(sleeper);
        self.board.phase.0.store(STOPPED, Relaxed);
        if let Err(failure) = self.until(DONE, Instant::now() + limits.patience)? {
            return Ok(Err(failure));
        }
        let wrong: u64 = self
            .workers()
            .iter()
            .map(|worker| worker.wrong.load(Relaxed))
            .sum();
        if wrong > 0 {
            return Ok(Err(Failure::Wrong(format!(
                "{wrong} items not intact, out of order or doubled"
            ))));
        }
        Ok(match self.cell.kind {
            Kind::Throughput | Kind::Lossy => self.rate(began),
            Kind::RoundTrip | Kind::Wake => self.times(),
            Kind::Idle => match (before, after) {
                (Some((before, then)), Some((after, now))) => Ok(Reading::Idle(
                    (after - before).as_secs_f64() / (now - then).as_secs_f64(),
                )),
                _ => Err(Failure::Failed(
                    "the kernel does not tell processor time (schedstat)".into(),
                )),
            },
        })
    }

    /// Exactly once, in order and intact, or (lossy) at most once, in order and intact; then the rate.
    fn rate(&self, began: u64) -> Result<Reading, Failure> {
        let (producers, consumers) = self.workers().split_at(self.cell.producers);
        let lossy = self.cell.kind == Kind::Lossy || self.entry.always_lossy;
        let wrong = |what: String| Err(Failure::Wrong(what));
        let told = |consumer: &Worker, producer: usize| {
            consumer.streams[producer]
                .each_ref()
                .map(|word| word.load(Relaxed))
        };
        let (mut put, mut got) = (0, 0);
        for (number, producer) in producers.iter().enumerate() {
            let whole = Stream::whole(producer.count.load(Relaxed));
            put += whole.count;
            let all = [whole.count, whole.sum];
            let each = consumers.iter().map(|consumer| told(consumer, number));
            if self.entry.fans_out && !lossy && each.clone().any(|one| one != all) {
                let counts: Vec<_> = each.map(|one| one[0]).collect();
                return wrong(format!(
                    "of {} items of producer {number}, consumers got {counts:?}, or others",
                    all[0]
                ));
            }
            let sum = each.fold([0u64; 2], |sum, one| {
                [sum[0] + one[0], sum[1].wrapping_add(one[1])]
            });
            got += sum[0];
            if !lossy && !self.entry.fans_out && sum != all {
                return wrong(format!(
                    "of {} items of producer {number}, {} were got, or others",
                    all[0], sum[0]
                ));
            }
            if lossy && !self.entry.fans_out && sum[0] > all[0] {
                return wrong(format!("more items of producer {number} got than put"));
            }
        }
        let dropped = producers[0].dropped.load(Relaxed);
        if dropped > 0 && got + (dropped - 1) != put {
            return wrong(format!(
                "{put} put, but {got} got and {} said to be dropped",
                dropped - 1
            ));
        }
        if got == 0 {
            return wrong("nothing was got".into());
        }
        let all = |of: fn(&Worker) -> &AtomicU64| {
            self.workers()
                .iter()
                .map(|worker| of(worker).load(Relaxed))
                .sum::<u64>()
        };
        let measured = got
            - consumers
                .iter()
                .map(|worker| worker.before.load(Relaxed))
                .sum::<u64>();
        let ended = consumers
            .iter()
            .map(|worker| worker.ended.load(Relaxed))
            .max()
            .unwrap_or(began);
        if measured == 0 {
            return Err(Failure::Failed(
                "nothing was got in the time that was measured".into(),
            ));
        }
        let copies = if self.entry.fans_out {
            self.cell.consumers
        } else {
            1
        };
        Ok(Reading::Rate {
            per_second: measured as f64 / (ended - began) as f64 * 1e9,
            kept: got as f64 / (put * copies as u64) as f64,
            cpu: all(|worker| &worker.used) as f64 / 1e9 / measured as f64 * 1e6,
        })
    }

    fn times(&self) -> Result<Reading, Failure> {
        let teller = &self.workers()[if self.cell.kind == Kind::RoundTrip {
            0
        } else {
            1
        }];
        let samples = teller.samples.load(Relaxed);
        if samples < 20 {
            return Err(Failure::Failed(format!(
                "only {samples} times were measured"
            )));
        }
        let [p50, p99, p999, max] = teller
            .quantiles
            .each_ref()
            .map(|time| time.load(Relaxed) as f64);
        Ok(Reading::Times {
            p50,
            p99,
            p999,
            max,
        })
    }

    /// Lets the processes leave in order if all went well; else, or if they do not leave, kills them.
    fn end(&mut self, well: bool) {
        self.board.exit.0.store(1, Release);
        let deadline = Instant::now() + Duration::from_secs(2);
        while well && self.group.alive() > 0 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_micros(500));
        }
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.group = ProcessGroup::default(); // kills what is still there
        for ends in self.descriptors.drain(..) {
            descriptors::close(ends);
        }
    }
}

/// Producers on one half of the processors, consumers on the other, each on its own if there are
/// enough. They are free where there is only one.
fn core(cores: &[usize], index: usize, producers: usize, consumers: usize) -> Option<usize> {
    let half = match cores.len() {
        0 | 1 => return None,
        many if many >= producers + consumers => producers,
        many => many / 2,
    };
    let (one, other) = cores.split_at(half);
    Some(if index < producers {
        one[index % one.len()]
    } else {
        other[(index - producers) % other.len()]
    })
}
