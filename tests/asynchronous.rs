//! Futures under tokio, under smol and without a runtime: nothing is lost when they are dropped, and
//! they wait as everybody does beside the dead.
#![cfg(feature = "async")]

use futures_core::Stream;
use prodcon::{CancelToken, GetError, PutError, ReadyQueue, State};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

mod common;
use common::children::{Started, in_child, role};
use common::{Dice, Dir, until};

/// Counts how often it was woken, and wakes its thread.
struct Bell(AtomicU64, Thread);

impl Bell {
    fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(0), std::thread::current()))
    }

    fn rang(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
        self.1.unpark();
    }
}

/// The smallest executor.
fn block_on<F: Future>(future: F) -> F::Output {
    let bell = Bell::new();
    let (waker, mut future) = (Waker::from(bell), pin!(future));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(done) => return done,
            Poll::Pending => std::thread::park_timeout(Duration::from_secs(30)),
        }
    }
}

fn poll_once<F: Future>(future: Pin<&mut F>, bell: &Arc<Bell>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(&Waker::from(bell.clone())))
}

/// Not a test: waits in a future for one item, and takes it.
#[test]
#[ignore = "started by the other tests"]
fn child() {
    let Some((role, number)) = role() else { return };
    let mut queue = ReadyQueue::<u64>::attach("q").unwrap();
    let file = |end: &str| prodcon::directory().join(format!("{number}.{end}"));
    let mut announced = false;
    smol::block_on(async {
        let mut item = pin!(queue.as_async().take());
        let item = poll_fn(|context| {
            let polled = item.as_mut().poll(context);
            if polled.is_pending() && !std::mem::replace(&mut announced, true) {
                std::fs::write(file("waits"), b"").unwrap();
            }
            polled
        });
        let item = item.await.unwrap();
        if role == "hold" {
            std::thread::sleep(Duration::from_secs(600));
        }
        std::fs::write(file("got"), item.to_string()).unwrap();
        item.ack();
    });
}

fn files(dir: &Dir, end: &str) -> usize {
    let all = std::fs::read_dir(&dir.0).unwrap();
    all.filter(|file| {
        file.as_ref()
            .unwrap()
            .path()
            .extension()
            .is_some_and(|found| found == end)
    })
    .count()
}

/// A producer and a consumer, each in a future, on one queue of little space.
async fn produce(queue: &mut ReadyQueue<u64>) {
    for number in 0..500 {
        queue.as_async().put(&number).await.unwrap();
    }
    queue.control().set_state(State::StopAtQueueEnd).unwrap();
}

async fn consume(queue: &mut ReadyQueue<u64>) -> u64 {
    let mut sum = 0;
    loop {
        match queue.as_async().take_many(3).await {
            Ok(batch) => {
                sum += batch.iter().sum::<u64>();
                batch.ack();
            }
            Err(GetError::Stopped) => return sum,
            Err(error) => panic!("{error}"),
        }
    }
}

const SUM: u64 = 499 * 500 / 2;

#[test]
fn futures_work_without_a_runtime() {
    let dir = Dir::new();
    let mut producer = ReadyQueue::<u64>::create("q", &dir.options(2)).unwrap();
    let mut consumer = producer.try_clone().unwrap();
    let producing = std::thread::spawn(move || block_on(produce(&mut producer)));
    assert_eq!(block_on(consume(&mut consumer)), SUM);
    producing.join().unwrap();
}

#[test]
fn two_runtimes_in_one_process_exchange_items() {
    let dir = Dir::new();
    let mut producer = ReadyQueue::<u64>::create("q", &dir.at_least_once(2)).unwrap();
    let mut consumer = producer.try_clone().unwrap();
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    let consuming = tokio.spawn(async move { consume(&mut consumer).await });
    smol::block_on(produce(&mut producer));
    assert_eq!(tokio.block_on(consuming).unwrap(), SUM);
}

#[test]
fn a_stream_ends_with_the_stream() {
    let dir = Dir::new();
    let mut producer = ReadyQueue::<u64>::create("q", &dir.options(2)).unwrap();
    let mut consumer = producer.try_clone().unwrap();
    let tokio = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let producing = std::thread::spawn(move || smol::block_on(produce(&mut producer)));
    let sum = tokio.block_on(async {
        let (mut sum, mut items) = (0, pin!(consumer.as_async().stream()));
        while let Some(item) = poll_fn(|context| items.as_mut().poll_next(context)).await {
            sum += item.unwrap();
        }
        sum
    });
    assert_eq!(sum, SUM);
    producing.join().unwrap();
}

#[test]
fn a_delivery_is_held_across_an_await_in_a_task_that_moves() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.at_least_once(8)).unwrap();
    queue.put_slice(&[1, 2]).unwrap();
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    let queue = tokio.block_on(async {
        // `spawn` takes only what is Send.
        let task = tokio::spawn(async move {
            let item = queue.as_async().take().await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert_eq!(*item, 1);
            item.ack();
            queue
        });
        let mut queue = task.await.unwrap();
        // The task is dropped while it has an item: the item goes back.
        let work = async {
            let item = queue.as_async().take().await.unwrap();
            tokio::time::sleep(Duration::from_secs(600)).await;
            item.ack();
        };
        let timeout = Duration::from_millis(5);
        assert!(tokio::time::timeout(timeout, work).await.is_err());
        queue
    });
    let mut queue = queue;
    let again = queue.try_take().unwrap();
    assert_eq!((*again, again.delivery_count()), (2, 2));
    again.ack();
}

#[test]
fn a_future_that_is_dropped_or_times_out_loses_nothing() {
    let dir = Dir::new();
    let mut producer = ReadyQueue::<u64>::create("q", &dir.options(2)).unwrap();
    let mut consumer = producer.try_clone().unwrap();
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let mut dice = Dice::new();
    let producing = std::thread::spawn(move || {
        for number in 0..300 {
            producer.put(&number).unwrap();
            std::thread::sleep(Duration::from_micros(number % 5 * 50));
        }
    });
    let mut timeouts = 0;
    tokio.block_on(async {
        for number in 0..300 {
            loop {
                let timeout = Duration::from_micros(dice.roll(300));
                match tokio::time::timeout(timeout, consumer.as_async().get()).await {
                    Ok(item) => break assert_eq!(item.unwrap(), number),
                    Err(_) => timeouts += 1,
                }
            }
        }
    });
    println!("{timeouts} timeouts");
    assert!(matches!(consumer.try_get(), Err(GetError::Empty)));
    producing.join().unwrap();
}

#[test]
fn a_future_that_was_woken_and_is_dropped_wakes_another_one() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.options(2)).unwrap();
    let (mut one, mut two) = (queue.try_clone().unwrap(), queue.try_clone().unwrap());
    let bells = [Bell::new(), Bell::new()];
    let mut first = Box::pin(one.as_async().get());
    let mut second = Box::pin(two.as_async().get());
    assert!(poll_once(first.as_mut(), &bells[0]).is_pending());
    assert!(poll_once(second.as_mut(), &bells[1]).is_pending());
    queue.put(&1).unwrap();
    until("that a task is woken", || {
        bells.iter().any(|bell| bell.rang() > 0)
    });
    if bells[0].rang() > 0 {
        drop(first);
        until("that the other is woken", || bells[1].rang() > 0);
        assert!(matches!(
            poll_once(second.as_mut(), &bells[1]),
            Poll::Ready(Ok(1))
        ));
    } else {
        drop(second);
        until("that the other is woken", || bells[0].rang() > 0);
        assert!(matches!(
            poll_once(first.as_mut(), &bells[0]),
            Poll::Ready(Ok(1))
        ));
    }
}

#[test]
fn a_future_takes_nothing_until_it_is_ready() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.options(1)).unwrap();
    let mut other = queue.try_clone().unwrap();
    let bell = Bell::new();
    let mut get = Box::pin(other.as_async().get());
    assert!(poll_once(get.as_mut(), &bell).is_pending());
    queue.put(&1).unwrap();
    until("that the task is woken", || bell.rang() > 0);
    assert_eq!(
        (queue.len(), queue.control().stats().unwrap().unacked),
        (1, 0)
    );
    drop(get);
    assert_eq!(queue.len(), 1);
    let mut put = Box::pin(other.as_async().put(&2));
    assert!(poll_once(put.as_mut(), &bell).is_pending());
    drop(put);
    assert_eq!((queue.get().unwrap(), queue.len()), (1, 0));
}

#[test]
fn a_cancelled_token_ends_futures() {
    let dir = Dir::new();
    let token = CancelToken::new();
    let made = ReadyQueue::<u64>::create("q", &dir.options(1)).unwrap();
    let attach = dir.attach().cancel(&token);
    let mut queue = ReadyQueue::<u64>::attach_with("q", &attach).unwrap();
    let bell = Bell::new();
    let mut get = Box::pin(queue.as_async().get());
    assert!(poll_once(get.as_mut(), &bell).is_pending());
    token.cancel();
    until("that the task is woken", || bell.rang() > 0);
    assert!(matches!(
        poll_once(get.as_mut(), &bell),
        Poll::Ready(Err(GetError::Cancelled))
    ));
    drop(get);
    block_on(queue.as_async().put(&1)).unwrap(); // what need not wait still works
    assert!(matches!(
        block_on(queue.as_async().put(&2)),
        Err(PutError::Cancelled)
    ));
    drop(made);
}

#[test]
fn of_64_processes_that_wait_in_futures_40_are_killed_and_the_others_are_all_woken() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.options(64).seats(80)).unwrap();
    let mut children: Vec<_> = (0..64)
        .map(|number| Started::new(&dir, "one", number))
        .collect();
    until("that all wait", || files(&dir, "waits") == 64);
    let rest = children.split_off(40);
    drop(children); // killed
    for number in 0..24 {
        queue.put(&number).unwrap();
    }
    until("that all the others get their item", || {
        files(&dir, "got") == 24
    });
    drop(rest);
}

#[test]
fn what_a_dead_consumer_had_in_hand_wakes_a_future() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.at_least_once(8)).unwrap();
    queue.put(&7).unwrap();
    let victim = Started::new(&dir, "hold", 0);
    until("that the victim has it in hand", || {
        queue.control().stats().unwrap().unacked == 1
    });
    let bell = Bell::new();
    let mut take = Box::pin(queue.as_async().take());
    assert!(poll_once(take.as_mut(), &bell).is_pending());
    let killed = std::time::Instant::now();
    drop(victim);
    let item = block_on(take).unwrap();
    println!("{:?} after the kill", killed.elapsed());
    assert_eq!((*item, item.delivery_count()), (7, 2));
    item.ack();
}

#[test]
fn a_forked_child_has_futures_of_its_own() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.options(1)).unwrap();
    let mut other = queue.try_clone().unwrap();
    let bell = Bell::new();
    let mut get = Box::pin(other.as_async().get());
    assert!(poll_once(get.as_mut(), &bell).is_pending());
    let child = in_child(|| {
        let mut consumer = ReadyQueue::<u64>::create("own", &dir.options(1)).unwrap();
        let mut producer = consumer.try_clone().unwrap();
        let producing = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(5));
            producer.put(&5).unwrap();
        });
        let got = block_on(consumer.as_async().get()).unwrap();
        producing.join().unwrap();
        got == 5
    });
    assert_eq!(child, 0);
    queue.put(&1).unwrap();
    until("that the parent's task is woken", || bell.rang() > 0);
    assert!(matches!(poll_once(get.as_mut(), &bell), Poll::Ready(Ok(1))));
}
