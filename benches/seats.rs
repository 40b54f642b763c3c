//! Coming and going: attaching to a segment of 1 MiB, creating one, and resolving the seat of a process that died with an item in hand.
//!
//! The dead are real: this program starts itself again, and that process takes an item with each of many endpoints and ends without giving any back.

#[path = "support/mod.rs"]
mod support;

use criterion::{Criterion, SamplingMode};
use prodcon::{AttachOptions, Control, QueueOptions, ReadyQueue};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use support::Dir;

/// Endpoints of one process that dies.
const DEAD: u32 = 64;
/// In the environment of the process that is to die: where its queue is.
const VICTIM: &str = "PRODCON_BENCH_VICTIM";

fn main() {
    if let Some(dir) = std::env::var_os(VICTIM) {
        die(Path::new(&dir));
    }
    let mut criterion = Criterion::default().configure_from_args();
    attach(&mut criterion);
    recovery(&mut criterion);
    criterion.final_summary();
}

fn attach(criterion: &mut Criterion) {
    let dir = Dir::new("attach");
    let options = QueueOptions::new(1000)
        .item_size(1024 - 8)
        .seats(16)
        .attach(dir.attach());
    let mut queue = ReadyQueue::<[u8]>::create("q", &options).expect("a queue");
    let bytes = std::fs::metadata(dir.0.join("prodcon.q"))
        .expect("its file")
        .len();
    assert!(
        (900_000..1_200_000).contains(&bytes),
        "the segment has {bytes} bytes, not about 1 MiB"
    );
    let mut other = ReadyQueue::<[u8]>::attach_with("q", &dir.attach()).expect("a seat");
    queue.put(b"hello").expect("space");
    assert_eq!(other.get().expect("an item"), b"hello");
    drop(other);
    let mut group = criterion.benchmark_group("a segment of 1 MiB");
    group.bench_function("attach", |bencher| {
        bencher.iter_with_large_drop(|| {
            ReadyQueue::<[u8]>::attach_with("q", &dir.attach())
                .expect("a seat")
                .len()
        });
    });
    group.bench_function("attach without a seat", |bencher| {
        bencher.iter(|| {
            Control::attach_with("q", &dir.attach())
                .expect("the queue")
                .len()
        })
    });
    group.bench_function("create and remove", |bencher| {
        bencher.iter(|| {
            Control::create::<[u8]>("new", &options)
                .expect("a queue")
                .unlink()
                .expect("its name")
        });
    });
    group.finish();
    assert_eq!(
        queue.control().stats().expect("figures").seats_live,
        1,
        "a seat was left behind"
    );
}

/// A queue of which a dead process holds DEAD items, one in each of as many seats.
fn with_dead(dir: &Dir, at_least_once: bool) -> Control {
    let options = QueueOptions::new(DEAD)
        .seats(DEAD + 1)
        .at_least_once(at_least_once)
        .attach(dir.attach());
    let mut queue = ReadyQueue::<u64>::create("q", &options).expect("a queue");
    (0..u64::from(DEAD)).for_each(|number| queue.put(&number).expect("space"));
    let control = queue.control().try_clone().expect("the queue");
    drop(queue);
    let program = std::env::current_exe().expect("the own program");
    let status = Command::new(program)
        .env(VICTIM, &dir.0)
        .status()
        .expect("a process");
    assert!(!status.success(), "it should have been killed");
    let stats = control.stats().expect("figures");
    assert_eq!(
        (stats.unacked, stats.len, stats.seats_live),
        (DEAD.into(), 0, 0)
    );
    control
}

/// What the process does that is to die.
fn die(dir: &Path) -> ! {
    for _ in 0..DEAD {
        let mut queue = ReadyQueue::<u64>::attach_with("q", &AttachOptions::new().directory(dir))
            .expect("a seat");
        std::mem::forget(queue.try_take().expect("an item"));
        std::mem::forget(queue);
    }
    std::process::abort();
}

/// As criterion wants to have it: the time of this many, of which whole batches were measured.
fn batches(iterations: u64, mut batch: impl FnMut() -> Duration) -> Duration {
    let count = iterations.div_ceil(DEAD.into());
    let time: Duration = (0..count).map(|_| batch()).sum();
    time.mul_f64(iterations as f64 / (count * u64::from(DEAD)) as f64)
}

fn recovery(criterion: &mut Criterion) {
    let dir = Dir::new("recovery");
    let mut group = criterion.benchmark_group("a dead seat");
    // Each batch costs a process.
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    group
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    group.bench_function("recover, its item is lost", |bencher| {
        bencher.iter_custom(|iterations| {
            batches(iterations, || {
                let control = with_dead(&dir, false);
                let began = Instant::now();
                let recovered = control.recover().expect("recovery");
                let time = began.elapsed();
                let stats = control.stats().expect("figures");
                assert_eq!(
                    (recovered.recovered, stats.lost, stats.unacked),
                    (DEAD, DEAD.into(), 0)
                );
                assert!(stats.adds_up());
                control.unlink().expect("its name");
                time
            })
        });
    });
    group.bench_function("get its item, at least once", |bencher| {
        bencher.iter_custom(|iterations| {
            batches(iterations, || {
                let control = with_dead(&dir, true);
                let mut queue = ReadyQueue::<u64>::attach_with("q", &dir.attach()).expect("a seat");
                let began = Instant::now();
                let items: Vec<u64> = (0..DEAD)
                    .map(|_| queue.try_get().expect("an orphan"))
                    .collect();
                let time = began.elapsed();
                assert!(
                    items.iter().copied().eq(0..u64::from(DEAD)),
                    "orphans come oldest first: {items:?}"
                );
                let stats = control.stats().expect("figures");
                assert_eq!(
                    (stats.redelivered, stats.lost, stats.unacked),
                    (DEAD.into(), 0, 0)
                );
                drop(queue);
                control.unlink().expect("its name");
                time
            })
        });
    });
    group.finish();
}
