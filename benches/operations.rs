//! One process, one thread, nobody in the way: what an operation costs by itself, by size of the item. Between processes measures `prodcon bench`.
//!
//! Each benchmark first asserts that what it measures does what it should.

#[path = "support/mod.rs"]
mod support;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use prodcon::{Delivery, GetError, Item, PutError, QueueOptions, ReadyQueue};
use std::hint::black_box;
use std::time::{Duration, Instant};
use support::Dir;

/// Items that the queue holds: of these sizes, 8 MiB at most.
const CAPACITY: u32 = 128;

type Word = u64;
type Line = [u64; 8];
type Page = [u64; 128];
type Frame = [[u64; 64]; 128];

fn queue<T: Item>(dir: &Dir, lossy: bool) -> ReadyQueue<T> {
    let options = QueueOptions::new(CAPACITY)
        .lossy(lossy)
        .seats(2)
        .attach(dir.attach());
    let queue = ReadyQueue::create("q", &options).expect("a queue");
    prodcon::unlink_in(&dir.0, "q").expect("its name"); // the next one may have it
    queue
}

/// An item whose bytes say which one it is.
fn item<T: Item>(number: usize) -> T {
    let mut item = T::zeroed();
    bytemuck::bytes_of_mut(&mut item).fill(number as u8);
    item
}

fn same<T: Item>(one: &T, other: &T) -> bool {
    bytemuck::bytes_of(one) == bytemuck::bytes_of(other)
}

/// A full queue takes no more, gives all back in order, and then has none.
fn assert_first_in_first_out<T: Item>(queue: &mut ReadyQueue<T>) {
    (0..CAPACITY as usize).for_each(|number| queue.try_put(&item(number)).expect("space"));
    assert!(matches!(queue.try_put(&item(0)), Err(PutError::Full)));
    (0..CAPACITY as usize).for_each(|number| {
        let taken = queue.try_take().expect("an item");
        assert!(same(&*taken, &item(number)));
        taken.ack();
    });
    assert!(matches!(queue.try_take(), Err(GetError::Empty)));
    assert!(queue.control().stats().expect("figures").adds_up());
}

/// Measures `operation` alone, a queue's capacity at a time; `between` makes room, or items, and does not count.
fn in_laps<T: Item>(
    iterations: u64,
    queue: &mut ReadyQueue<T>,
    operation: impl Fn(&mut ReadyQueue<T>),
    between: impl Fn(&mut ReadyQueue<T>),
) -> Duration {
    let (mut left, mut time) = (iterations, Duration::ZERO);
    while left > 0 {
        let lap = left.min(CAPACITY.into());
        let began = Instant::now();
        (0..lap).for_each(|_| operation(queue));
        time += began.elapsed();
        (0..lap).for_each(|_| between(queue));
        left -= lap;
    }
    time
}

fn put<T: Item>(queue: &mut ReadyQueue<T>, item: &T) {
    queue.try_put(black_box(item)).expect("space");
}

/// What is measured includes a copy of the item.
fn get<T: Item>(queue: &mut ReadyQueue<T>) {
    black_box(queue.try_get().expect("an item"));
}

fn by_size<T: Item>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    lossy: bool,
    body: impl Fn(&mut criterion::Bencher<'_, WallTime>, &mut ReadyQueue<T>),
) {
    let dir = Dir::new("operations");
    let mut queue = queue::<T>(&dir, lossy);
    group.throughput(Throughput::Bytes(size_of::<T>() as u64));
    group.bench_function(BenchmarkId::from_parameter(size_of::<T>()), |bencher| {
        body(bencher, &mut queue)
    });
    assert!(queue.control().stats().expect("figures").adds_up());
}

/// The same for each size.
macro_rules! sizes {
    ($criterion:expr, $name:literal, lossy: $lossy:literal, $body:ident) => {{
        let mut group = $criterion.benchmark_group($name);
        by_size::<Word>(&mut group, $lossy, $body);
        by_size::<Line>(&mut group, $lossy, $body);
        by_size::<Page>(&mut group, $lossy, $body);
        by_size::<Frame>(&mut group, $lossy, $body);
        group.finish();
    }};
}

fn puts(criterion: &mut Criterion) {
    fn body<T: Item>(bencher: &mut criterion::Bencher<'_, WallTime>, queue: &mut ReadyQueue<T>) {
        assert_first_in_first_out(queue);
        let item = item(1);
        bencher
            .iter_custom(|iterations| in_laps(iterations, queue, |queue| put(queue, &item), get));
    }
    sizes!(criterion, "put", lossy: false, body);
}

fn gets(criterion: &mut Criterion) {
    fn body<T: Item>(bencher: &mut criterion::Bencher<'_, WallTime>, queue: &mut ReadyQueue<T>) {
        assert_first_in_first_out(queue);
        let item = item(1);
        bencher.iter_custom(|iterations| {
            (0..CAPACITY).for_each(|_| put(queue, &item));
            let time = in_laps(iterations, queue, get, |queue| put(queue, &item));
            (0..CAPACITY).for_each(|_| get(queue));
            time
        });
    }
    sizes!(criterion, "get", lossy: false, body);
}

fn puts_and_gets(criterion: &mut Criterion) {
    fn body<T: Item>(bencher: &mut criterion::Bencher<'_, WallTime>, queue: &mut ReadyQueue<T>) {
        assert_first_in_first_out(queue);
        let item = item(1);
        bencher.iter(|| {
            put(queue, &item);
            get(queue);
        });
    }
    sizes!(criterion, "put and get", lossy: false, body);
}

/// A put on a full queue that is lossy: the oldest goes, the newest comes.
fn overwrites(criterion: &mut Criterion) {
    fn body<T: Item>(bencher: &mut criterion::Bencher<'_, WallTime>, queue: &mut ReadyQueue<T>) {
        while queue.try_take().map(Delivery::ack).is_ok() {}
        let dropped = queue.control().stats().expect("figures").dropped;
        (0..CAPACITY as usize + 3)
            .for_each(|number| queue.try_put(&item(number)).expect("a lossy put"));
        assert_eq!(
            queue.control().stats().expect("figures").dropped - dropped,
            3
        );
        let oldest = queue.try_take().expect("an item");
        assert!(same(&*oldest, &item(3)));
        oldest.ack();
        queue.try_put(&item(0)).expect("space");
        let (item, before) = (item(1), queue.control().stats().expect("figures"));
        bencher.iter(|| put(queue, &item));
        let after = queue.control().stats().expect("figures");
        assert_eq!(
            (after.puts - before.puts, after.len),
            (after.dropped - before.dropped, CAPACITY.into())
        );
    }
    sizes!(criterion, "overwrite", lossy: true, body);
}

/// A put without a copy: the block is reserved, its first byte is written, and it is committed.
fn commits(criterion: &mut Criterion) {
    fn commit<T: Item>(queue: &mut ReadyQueue<T>) {
        let mut block = queue.reserve().expect("a block");
        bytemuck::bytes_of_mut(&mut *block)[0] = 7;
        assert!(block.commit_within(Duration::ZERO).is_ok());
    }
    fn take<T: Item>(queue: &mut ReadyQueue<T>) {
        let taken = queue.try_take().expect("an item");
        black_box(&*taken);
        taken.ack();
    }
    fn body<T: Item>(bencher: &mut criterion::Bencher<'_, WallTime>, queue: &mut ReadyQueue<T>) {
        assert_first_in_first_out(queue);
        commit(queue);
        let taken = queue.try_take().expect("an item");
        assert_eq!(bytemuck::bytes_of(&*taken)[0], 7);
        taken.ack();
        bencher.iter_custom(|iterations| in_laps(iterations, queue, commit, take));
    }
    sizes!(criterion, "reserve and commit", lossy: false, body);
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for measure in [puts, gets, puts_and_gets, overwrites, commits] {
        measure(&mut criterion);
    }
    criterion.final_summary();
}
