//! The raw round trip of one cache line between two processors: the ruler for everything else, and the check that the ruler has not changed.

use crate::cpu;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

#[repr(align(128))]
struct Line(AtomicU64);

/// Median round trip in nanoseconds between two processors. 0 if there is only one.
pub fn raw(cores: &[usize]) -> f64 {
    let &[here, there, ..] = cores else {
        return 0.0;
    };
    const BATCHES: usize = 21;
    const TRIPS: u64 = 400;
    let (ping, pong) = (Line(AtomicU64::new(0)), Line(AtomicU64::new(0)));
    let last = (BATCHES as u64 + 1) * TRIPS;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            cpu::pin(there);
            for trip in 1..=last {
                await_value(&ping.0, trip);
                pong.0.store(trip, Ordering::Release);
            }
        });
        let times = scope.spawn(|| {
            cpu::pin(here);
            let mut times = vec![];
            for batch in 0..=BATCHES as u64 {
                let began = Instant::now();
                for trip in batch * TRIPS + 1..=(batch + 1) * TRIPS {
                    ping.0.store(trip, Ordering::Release);
                    await_value(&pong.0, trip);
                }
                times.push(began.elapsed().as_nanos() as f64 / TRIPS as f64);
            }
            let mut times = times.split_off(1); // the first warms up
            times.sort_by(f64::total_cmp);
            times[BATCHES / 2]
        });
        times.join().unwrap_or(0.0)
    })
}

fn await_value(word: &AtomicU64, value: u64) {
    let mut rounds = 0u32;
    while word.load(Ordering::Acquire) != value {
        rounds += 1;
        if rounds.is_multiple_of(1 << 14) {
            std::thread::yield_now(); // somebody else is on the other processor
        } else {
            spin_loop();
        }
    }
}
