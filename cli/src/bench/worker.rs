//! The processes that a benchmark measures. Each tells at its end, on stdout, what it did: one JSON object.
//!

use super::traps;
use super::workload::{Sample, label, read, stamp, sum, with};
use crate::child;
use crate::exit::{End, Outcome};
use crate::output;
use clap::{Args, ValueEnum};
use hdrhistogram::Histogram;
use prodcon::{AttachOptions, GetError, Item, PutError, PutSliceError, ReadyQueue, Role};
use serde_json::{Value, json};
use std::hint::{black_box, spin_loop};
use std::time::{Duration, Instant};

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Job {
    /// Puts as fast as it can.
    Put,
    /// Gets as fast as it can.
    Get,
    /// Puts into one queue, waits for the answer in another.
    Ping,
    /// Answers.
    Echo,
    /// Puts by the clock.
    Pace,
    /// Notes how long after that the items came.
    Note,
}

#[derive(Args)]
pub struct Worker {
    job: Job,
    queue: String,
    #[arg(long, default_value_t = 0)]
    number: u64,
    #[arg(long, default_value_t = 8)]
    item_size: usize,
    #[arg(long, default_value_t = 0.0)]
    seconds: f64,
    /// Items a second
    #[arg(long, default_value_t = 0.0)]
    rate: f64,
    #[arg(long, default_value_t = 1)]
    batch: usize,
    #[arg(long)]
    zero_copy: bool,
    /// Write and check every byte
    #[arg(long)]
    whole: bool,
    #[arg(long)]
    core: Option<usize>,
}

/// Looks at the clock once in this many items.
const OFTEN: u64 = 1024;

/// As `with!`, for plain types alone.
macro_rules! plain {
    ($size:expr, $function:ident($argument:expr)) => {
        match $size {
            8 => $function::<u64>($argument),
            64 => $function::<[u64; 8]>($argument),
            1024 => $function::<[u64; 128]>($argument),
            _ => $function::<[[u64; 64]; 128]>($argument),
        }
    };
}

pub fn work(arguments: &Worker) -> Outcome {
    child::born();
    if let Some(core) = arguments.core {
        traps::pin(core);
    }
    let told = match (arguments.job, arguments.batch) {
        (Job::Put, 2..) => plain!(arguments.item_size, produce_batches(arguments)),
        (Job::Get, 2..) => plain!(arguments.item_size, consume_batches(arguments)),
        (Job::Put, _) => with!(arguments.item_size, produce(arguments)),
        (Job::Get, _) => with!(arguments.item_size, consume(arguments)),
        (Job::Ping, _) => with!(arguments.item_size, ping(arguments)),
        (Job::Echo, _) => with!(arguments.item_size, echo(arguments)),
        (Job::Pace, _) => with!(arguments.item_size, pace(arguments)),
        (Job::Note, _) => with!(arguments.item_size, note(arguments)),
    }?;
    output::print(&format!("{told}\n"))
}

fn attach<T: Sample + ?Sized>(name: &str, role: Role) -> Result<ReadyQueue<T>, End> {
    Ok(ReadyQueue::attach_with(
        name,
        &AttachOptions::new().role(role),
    )?)
}

/// What a producer did.
struct Put {
    number: u64,
    sequence: u64,
    sum: u64,
    first: u64,
    whole: bool,
    end: Instant,
    /// Looks at the clock when it has put this many.
    look: u64,
}

impl Put {
    /// Waits for the gate to open.
    fn begin(
        arguments: &Worker,
        wait: impl FnOnce() -> prodcon::Result<bool>,
    ) -> Result<Self, End> {
        wait()?;
        Ok(Self {
            number: arguments.number,
            sequence: 0,
            sum: 0,
            first: child::now(),
            whole: arguments.whole,
            end: Instant::now() + Duration::from_secs_f64(arguments.seconds),
            look: OFTEN,
        })
    }

    #[inline]
    fn label(&self) -> u64 {
        label(self.number, self.sequence)
    }

    /// Notes that the next `count` were put. Returns true if the time is over.
    #[inline]
    fn done(&mut self, count: u64) -> bool {
        self.sum = self.sum.wrapping_add(sum(self.label(), count, self.whole));
        self.sequence += count;
        if self.sequence < self.look {
            return false;
        }
        self.look = self.sequence + OFTEN;
        Instant::now() >= self.end
    }

    fn tell(&self) -> Value {
        json!({ "producer": self.number, "put": self.sequence, "sum": self.sum, "first": self.first, "last": child::now() })
    }
}

/// Puts until the time is over or the queue is stopped.
fn produce<T: Sample + ?Sized>(arguments: &Worker) -> Result<Value, End> {
    let mut queue = attach::<T>(&arguments.queue, Role::Producer)?;
    let mut item = T::zeros(arguments.item_size);
    let mut put = Put::begin(arguments, || queue.wait_ready(None))?;
    loop {
        let done = if arguments.zero_copy {
            T::put_in_place(&mut queue, arguments.item_size, |bytes| {
                bytes.fill(put.sequence as u8); // somebody has to write it, in place of the copy
                stamp(bytes, put.label(), put.whole);
            })
        } else {
            stamp(item.raw_mut(), put.label(), put.whole);
            queue.put(&item)
        };
        match done {
            Ok(()) if put.done(1) => return Ok(put.tell()),
            Ok(()) => {}
            Err(PutError::Stopped) => return Ok(put.tell()),
            Err(error) => return Err(End::put(queue.name(), &error)),
        }
    }
}

fn produce_batches<T: Item>(arguments: &Worker) -> Result<Value, End> {
    let mut queue = attach::<T>(&arguments.queue, Role::Producer)?;
    let mut items = vec![T::zeroed(); arguments.batch];
    let mut put = Put::begin(arguments, || queue.wait_ready(None))?;
    loop {
        items
            .iter_mut()
            .zip(put.label()..)
            .for_each(|(item, label)| stamp(item.raw_mut(), label, put.whole));
        match queue.put_slice(&items) {
            Ok(()) if put.done(items.len() as u64) => return Ok(put.tell()),
            Ok(()) => {}
            Err(PutSliceError {
                put: 0,
                error: PutError::Stopped,
                ..
            }) => return Ok(put.tell()),
            Err(error) => return Err(End::failed(error)),
        }
    }
}

/// What a consumer saw.
struct Got {
    whole: bool,
    /// Of each producer: items, their sum, the last label plus one.
    producers: Vec<(u64, u64, u64)>,
    wrong: u64,
    all: u64,
    first: u64,
    /// Items and time when the clock was last looked at.
    counted: u64,
    last: u64,
    look: u64,
}

impl Got {
    fn new(arguments: &Worker) -> Self {
        Self {
            whole: arguments.whole,
            producers: vec![(0, 0, 0); 256],
            wrong: 0,
            all: 0,
            first: 0,
            counted: 0,
            last: 0,
            look: 0,
        }
    }

    /// Items that were put at once: one producer's, in a row.
    #[inline]
    fn see<'a, T: Sample + ?Sized + 'a>(
        &mut self,
        items: impl ExactSizeIterator<Item = &'a T> + Clone,
    ) {
        let count = items.len() as u64;
        let first = items
            .clone()
            .next()
            .map_or(0, |item| read(item.raw(), false).0);
        let whole = self.whole;
        // No early end: so the compiler may look at many at once.
        let wrong = items.zip(first..).fold(0, |wrong, (item, label)| {
            wrong + u64::from(read(item.raw(), whole) != (label, true))
        });
        let (seen, total, next) = &mut self.producers[(first >> 48) as usize & 255];
        self.wrong += wrong + u64::from(first < *next);
        (*seen, *total, *next) = (
            *seen + count,
            total.wrapping_add(sum(first, count, whole)),
            first + count,
        );
        self.all += count;
        if self.all >= self.look {
            self.look = self.all + 64;
            (self.counted, self.last) = (self.all, child::now());
            if self.first == 0 {
                self.first = self.last;
            }
        }
    }

    fn tell(&self) -> Value {
        let producers = self
            .producers
            .iter()
            .enumerate()
            .filter(|(_, (count, ..))| *count > 0);
        let producers: Vec<Value> = producers
            .map(|(number, (count, sum, _))| json!([number, count, sum]))
            .collect();
        json!({ "wrong": self.wrong, "got": self.all, "first": self.first, "counted": self.counted, "last": self.last, "producers": producers })
    }
}

/// Gets until the stream ends.
fn consume<T: Sample + ?Sized>(arguments: &Worker) -> Result<Value, End> {
    let mut queue = attach::<T>(&arguments.queue, Role::Consumer)?;
    let mut got = Got::new(arguments);
    let mut copy = T::zeros(arguments.item_size);
    loop {
        match queue.take() {
            Ok(item) if arguments.zero_copy => {
                // Somebody has to read it, in place of the copy.
                let words = item
                    .raw()
                    .chunks_exact(8)
                    .map(|word| word.try_into().map_or(0, u64::from_ne_bytes));
                black_box(words.fold(0, u64::wrapping_add));
                got.see(std::iter::once(&*item));
            }
            Ok(item) => {
                copy.raw_mut().copy_from_slice(item.raw());
                item.ack();
                got.see(std::iter::once(black_box(&*copy))); // else nobody would read the copy, and the compiler would leave it out
            }
            Err(GetError::Stopped) => return Ok(got.tell()),
            Err(error) => return Err(End::failed(error)),
        }
    }
}

fn consume_batches<T: Item>(arguments: &Worker) -> Result<Value, End> {
    let mut queue = attach::<T>(&arguments.queue, Role::Consumer)?;
    let mut got = Got::new(arguments);
    let mut copy = vec![T::zeroed(); arguments.batch];
    loop {
        match queue.take_many(arguments.batch) {
            Ok(items) => {
                // A slice is of one producer: they lie in one block.
                for slice in items.slices() {
                    let copy = &mut copy[..slice.len()];
                    copy.copy_from_slice(slice);
                    got.see(black_box(&*copy).iter());
                }
                items.ack();
            }
            Err(GetError::Stopped) => return Ok(got.tell()),
            Err(error) => return Err(End::failed(error)),
        }
    }
}

/// Longest wait of a latency measurement for one item.
const MAX_ITEM_WAIT: Duration = Duration::from_secs(10);

fn histogram() -> Result<Histogram<u64>, End> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).map_err(End::failed)
}

/// Values and how often each came.
fn tell(times: &Histogram<u64>, wrong: u64) -> Value {
    let pairs: Vec<Value> = times
        .iter_recorded()
        .map(|entry| json!([entry.value_iterated_to(), entry.count_at_value()]))
        .collect();
    json!({ "times": pairs, "wrong": wrong })
}

/// The queue of answers.
fn answers(queue: &str) -> String {
    format!("{queue}-answers")
}

fn ping<T: Sample + ?Sized>(arguments: &Worker) -> Result<Value, End> {
    let mut there = attach::<T>(&arguments.queue, Role::Producer)?;
    let mut back = attach::<T>(&answers(&arguments.queue), Role::Consumer)?;
    there.wait_ready(None)?;
    let (mut times, mut wrong) = (histogram()?, 0);
    let mut item = T::zeros(arguments.item_size);
    let began = Instant::now();
    let (warm, end) = (
        Duration::from_secs_f64(arguments.seconds / 10.0),
        Duration::from_secs_f64(arguments.seconds),
    );
    for number in 0.. {
        stamp(item.raw_mut(), number, arguments.whole);
        let start = Instant::now();
        there.put(&item).map_err(End::failed)?;
        let answer = back.within(MAX_ITEM_WAIT).take().map_err(End::failed)?;
        let time = start.elapsed();
        wrong += u64::from(read(black_box(answer.raw()), arguments.whole) != (number, true));
        // The first ones find everything cold.
        if number >= 1000 || start - began >= warm {
            times.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        }
        if start - began >= end {
            break;
        }
    }
    Ok(tell(&times, wrong))
}

fn echo<T: Sample + ?Sized>(arguments: &Worker) -> Result<Value, End> {
    let mut there = attach::<T>(&arguments.queue, Role::Consumer)?;
    let mut back = attach::<T>(&answers(&arguments.queue), Role::Producer)?;
    let mut copy = T::zeros(arguments.item_size);
    loop {
        match there.take() {
            Ok(item) => copy.raw_mut().copy_from_slice(item.raw()),
            Err(GetError::Stopped) => return Ok(json!({ "wrong": 0 })),
            Err(error) => return Err(End::failed(error)),
        }
        back.put(&copy).map_err(End::failed)?;
    }
}

/// Puts each item at its time, or as soon after that as it can; the item says when its time was, so that a delay of one is counted for all that had to wait.
fn pace<T: Sample + ?Sized>(arguments: &Worker) -> Result<Value, End> {
    let mut queue = attach::<T>(&arguments.queue, Role::Producer)?;
    queue.wait_ready(None)?;
    let mut item = T::zeros(arguments.item_size);
    let gap = 1e9 / arguments.rate;
    let begin = child::now() + 1_000_000;
    let count = (arguments.seconds * arguments.rate).max(1.0) as u64;
    for number in 0..count {
        let due = begin + (number as f64 * gap) as u64;
        let early = due.saturating_sub(child::now());
        if early > 200_000 {
            std::thread::sleep(Duration::from_nanos(early - 100_000));
        }
        while child::now() < due {
            spin_loop();
        }
        stamp(item.raw_mut(), due, false);
        queue
            .put(&item)
            .map_err(|error| End::put(queue.name(), &error))?;
    }
    Ok(json!({ "put": count, "wrong": 0 }))
}

fn note<T: Sample + ?Sized>(arguments: &Worker) -> Result<Value, End> {
    let mut queue = attach::<T>(&arguments.queue, Role::Consumer)?;
    let (mut times, mut wrong, mut last) = (histogram()?, 0, 0);
    loop {
        match queue.take() {
            Ok(item) => {
                let now = child::now();
                let (due, right) = read(black_box(item.raw()), false);
                wrong += u64::from(!right || due < last);
                last = due;
                times.saturating_record(now.saturating_sub(due));
            }
            Err(GetError::Stopped) => return Ok(tell(&times, wrong)),
            Err(error) => return Err(End::failed(error)),
        }
    }
}
