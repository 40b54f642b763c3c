//! Measures what [`Claims`] learns beside both of the things that it chooses from.
//!
//! `cargo test --release -p prodcon --lib claims_measured -- --ignored --nocapture`
//!
//! One producer and one consumer, threads of one process on two processors, pass items of 64 KiB in
//! place: every word is written and read. The consumer always takes the lines, never does, or learns
//! which is better; the three alternate. A reading belongs to the state of the machine, processors
//! close or apart, that was found both before and after it, and is made again if these differ.
//! Prints medians, and what was learned divided by the better of always and never.
//! `PRODCON_TEST_SECONDS` says for how long at most (60). It ends earlier when there are enough
//! readings of both states.

use super::claims::Claims;
use super::{AttachOptions, QueueOptions, ReadyQueue, bindings};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

type Frame = [u64; 8192];
const CAPACITY: u32 = 64;
const WARM: Duration = Duration::from_millis(100);
const MEASURED: Duration = Duration::from_millis(300);
/// Of each of the three, in each state.
const ENOUGH: usize = 9;
/// Below this round trip of a cache line the two processors are close, in nanoseconds.
const CLOSE: f64 = 180.0;
/// In the first word of the last frame.
const END: u64 = u64::MAX;

#[derive(Clone, Copy)]
enum Way {
    Always,
    Never,
    Learned,
}

const WAYS: [(Way, &str); 3] = [
    (Way::Always, "always"),
    (Way::Never, "never"),
    (Way::Learned, "learned"),
];

/// Keeps this thread on one processor.
fn pin(processor: usize) {
    let mut set = CpuSet::new();
    set.set(processor);
    sched_setaffinity(None, &set).unwrap();
}

/// Returns two processors on which this process may run.
fn two_processors() -> Option<[usize; 2]> {
    let allowed = sched_getaffinity(None).ok()?;
    let mut processors = (0..CpuSet::MAX_CPU).filter(|number| allowed.is_set(*number));
    Some([processors.next()?, processors.next()?])
}

#[repr(align(128))]
struct Line(AtomicU64);

impl Line {
    fn wait_for(&self, value: u64) {
        while self.0.load(Ordering::Acquire) != value {
            spin_loop();
        }
    }
}

/// Returns the round trip of a cache line between the two, in nanoseconds: the median of batches.
fn line_trip([here, there]: [usize; 2]) -> f64 {
    const BATCHES: u64 = 15;
    const TRIPS: u64 = 400;
    let (ping, pong) = (Line(AtomicU64::new(0)), Line(AtomicU64::new(0)));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pin(there);
            for trip in 1..=BATCHES * TRIPS {
                ping.wait_for(trip);
                pong.0.store(trip, Ordering::Release);
            }
        });
        let times = scope.spawn(|| {
            pin(here);
            let batch = |number| {
                let began = Instant::now();
                for trip in number * TRIPS + 1..=(number + 1) * TRIPS {
                    ping.0.store(trip, Ordering::Release);
                    pong.wait_for(trip);
                }
                began.elapsed().as_nanos() as f64 / TRIPS as f64
            };
            median((0..BATCHES).map(batch).collect())
        });
        times.join().unwrap()
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Returns how many frames came through, in millions a second. `None` if something else held one of
/// the two up for so long that it was over before it had been measured.
fn stream(way: Way, [here, there]: [usize; 2]) -> Option<f64> {
    let name = bindings::TestName::new();
    let attach = AttachOptions::new();
    let _first =
        ReadyQueue::<Frame>::create(&name, &QueueOptions::new(CAPACITY).attach(attach)).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pin(here);
            let mut queue = ReadyQueue::<Frame>::attach(&name).unwrap();
            let end = Instant::now() + WARM + MEASURED + Duration::from_millis(100);
            for number in 0.. {
                let mut frame = queue.reserve().unwrap();
                let last = Instant::now() > end;
                let word = if last { END } else { number };
                black_box(&mut *frame).fill(word);
                frame.commit().unwrap();
                if last {
                    break;
                }
            }
        });
        let rate = scope.spawn(|| {
            pin(there);
            let mut queue = ReadyQueue::<Frame>::attach(&name).unwrap();
            let fixed = match way {
                Way::Always => Some(true),
                Way::Never => Some(false),
                Way::Learned => None,
            };
            if let Some(claims) = fixed {
                queue.endpoint.claims = Claims::fixed(claims);
                queue.endpoint.control.ring.memory.set_claims(claims);
            }
            let (began, mut count) = (Instant::now(), 0_u64);
            let (mut warm, mut rate) = (None, None);
            loop {
                let frame = queue.take().unwrap();
                let first = frame[0];
                let sum = frame
                    .iter()
                    .fold(0_u64, |sum, word| sum.wrapping_add(*word));
                frame.ack();
                assert_eq!(
                    sum,
                    first.wrapping_mul(8192),
                    "a frame is not as it was put"
                );
                if first == END {
                    break;
                }
                count += 1;
                let now = Instant::now();
                match warm {
                    None if now - began >= WARM => warm = Some((now, count)),
                    Some((since, before)) if rate.is_none() && now - since >= MEASURED => {
                        let seconds = (now - since).as_secs_f64();
                        rate = Some((count - before) as f64 / 1e6 / seconds);
                    }
                    _ => {}
                }
            }
            rate
        });
        rate.join().unwrap()
    })
}

#[test]
#[ignore = "a measurement of a minute, see the head of its file"]
fn always_never_and_learned_are_measured() {
    let Some(processors) = two_processors() else {
        println!("SKIPPED: there is only one processor");
        return;
    };
    let seconds = std::env::var("PRODCON_TEST_SECONDS").map_or(60, |text| text.parse().unwrap());
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let is_close = || line_trip(processors) < CLOSE;
    let mut readings: [[Vec<f64>; 3]; 2] = Default::default(); // by state, by way
    let (mut thrown_away, mut turn) = (0, 0);
    while Instant::now() < deadline
        && readings
            .iter()
            .flatten()
            .any(|readings| readings.len() < ENOUGH)
    {
        let way = turn % WAYS.len();
        let before = is_close();
        if readings[usize::from(before)]
            .iter()
            .all(|readings| readings.len() >= 3 * ENOUGH)
        {
            std::thread::sleep(Duration::from_millis(200)); // this state is known by now
            continue;
        }
        let rate = stream(WAYS[way].0, processors);
        match rate {
            Some(rate) if is_close() == before => {
                readings[usize::from(before)][way].push(rate);
                turn += 1;
            }
            _ => thrown_away += 1,
        }
    }
    println!(
        "64 KiB x {CAPACITY} in place, one producer, one consumer, M items/s: median (least .. most) of readings; \
         {thrown_away} thrown away"
    );
    for (state, readings) in ["apart", "close"].iter().zip(&readings) {
        if readings.iter().any(Vec::is_empty) {
            println!("processors {state}: SKIPPED, the machine was not seen in this state");
            continue;
        }
        for ((_, name), readings) in WAYS.iter().zip(readings) {
            let least = readings.iter().copied().fold(f64::MAX, f64::min);
            let most = readings.iter().copied().fold(0.0, f64::max);
            println!(
                "processors {state}: {name:8} {:.3} ({least:.3} .. {most:.3}) of {}",
                median(readings.clone()),
                readings.len()
            );
        }
        let [always, never, learned] = [0, 1, 2].map(|way| median(readings[way].clone()));
        println!(
            "processors {state}: learned divided by the better of always and never: {:.2}",
            learned / always.max(never)
        );
    }
}
