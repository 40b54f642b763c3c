//! Only deliveries to `work` count: an item that waited beside a poisonous one is worked on, and is no dead letter.
//!
//! `PRODCON_TEST_INNOCENTS=50` makes the random tests longer.

use crate::fixture::{Fixture, signal, until};
use prodcon::worker::{ConsumerOptions, Restart};
use prodcon::{AttachOptions, Control, QueueOptions, ReadyQueue, Role};
use std::collections::BTreeSet;
use std::process::Child;
use std::time::Duration;

const QUICK_RESTART: Restart = Restart::OnFailure {
    limit: 1000,
    backoff: Duration::from_millis(5),
};
const POISON: u64 = 1000;

fn rounds() -> u64 {
    std::env::var("PRODCON_TEST_INNOCENTS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(6)
}

#[test]
fn beside_a_poisonous_item_nothing_healthy_is_dead_lettered() {
    for round in 0..rounds() {
        for max in [2, 1] {
            let fixture = Fixture::new();
            let mut letters = ReadyQueue::<u64>::create("letters", &fixture.options(64)).unwrap();
            let options = ConsumerOptions::new().processes(2).max_buffer_size(4);
            let jobs = QueueOptions::new(1024)
                .at_least_once(true)
                .dead_letter("letters", max);
            let options = options.queue(jobs).restart(QUICK_RESTART);
            let mut consumer =
                fixture.consumer("c", options.work_timeout(Duration::from_millis(100)));
            consumer
                .start_new(fixture.worker("consumer", [format!("die_at={POISON}")]))
                .unwrap();
            let poisonous = |item: u64| item == 2 || item == 4 || item == 5 + round;
            (0..30).for_each(|item| {
                consumer
                    .put_in_queue(&if poisonous(item) { POISON } else { item })
                    .unwrap()
            });
            consumer.set_stop_at_queue_end().unwrap();
            let ended = consumer
                .wait_timeout(Duration::from_secs(60))
                .unwrap()
                .expect("the end");
            let dead: Vec<u64> = std::iter::from_fn(|| letters.try_get().ok()).collect();
            assert!(
                dead.iter().all(|item| *item == POISON),
                "max_deliveries({max}): {dead:?}, {ended:?}"
            );
            assert_eq!(
                dead.len(),
                (0..30).filter(|item| poisonous(*item)).count(),
                "{ended:?}"
            );
            let worked: BTreeSet<u64> = fixture
                .worked()
                .into_iter()
                .filter(|item| *item != POISON)
                .collect();
            assert_eq!(
                worked,
                (0..30).filter(|item| !poisonous(*item)).collect(),
                "max_deliveries({max})"
            );
            for log in fixture.logs() {
                let alone = |item: &u64| log.calls.iter().any(|(_, items)| items == &[*item]);
                assert!(
                    log.again.iter().all(alone),
                    "a redelivered item was joined with others: {log:?}"
                );
                assert!(
                    max > 1 || log.calls.iter().all(|(_, items)| items.len() == 1),
                    "{log:?}"
                );
            }
        }
    }
}

/// A producer of the queue `c`.
fn producer(fixture: &Fixture) -> ReadyQueue<u64> {
    let options = AttachOptions::new().role(Role::Producer);
    ReadyQueue::attach_with("c", &options.directory(&fixture.dir)).unwrap()
}

/// Starts a consumer of the queue `c` by hand.
fn consumer(fixture: &Fixture, buffer: &str, arguments: &[&str]) -> Child {
    fixture
        .program("consumer")
        .args(["--attach", "c"])
        .args(arguments)
        .env("PRODCON_MAX_BUFFER_SIZE", buffer)
        .env("PRODCON_WORK_TIMEOUT", "600")
        .spawn()
        .unwrap()
}

#[test]
fn what_only_waited_in_the_buffer_of_a_killed_worker_was_not_delivered() {
    let fixture = Fixture::new();
    let options = fixture.options(64).at_least_once(true);
    let queue = Control::create::<u64>("c", &options).unwrap();
    let mut producer = producer(&fixture);
    let mut patient = consumer(&fixture, "8", &[]);
    (0..3).for_each(|item| producer.put(&item).unwrap());
    until("three in its buffer", || {
        queue.stats().unwrap().unacked == 3
    });
    signal(patient.id() as i32, libc::SIGKILL);
    patient.wait().unwrap();
    let mut worker = consumer(&fixture, "1", &[]);
    until("the three", || fixture.worked() == [0, 1, 2]);
    queue.set_state(prodcon::State::StopAtQueueEnd).unwrap();
    assert!(worker.wait().unwrap().success());
    assert!(
        fixture.logs().iter().all(|log| log.again.is_empty()),
        "{:?}",
        fixture.logs()
    );
    let stats = queue.stats().unwrap();
    assert!(
        stats.redelivered == 0 && stats.adds_up() && stats.gets == 3,
        "{stats:?}"
    );
}

#[test]
fn a_redelivered_item_is_not_added_to_a_buffer_that_fills() {
    let fixture = Fixture::new();
    let options = fixture.options(64).at_least_once(true);
    let queue = Control::create::<u64>("c", &options).unwrap();
    let mut producer = producer(&fixture);
    let mut hanging = consumer(&fixture, "2", &["hang_at=1"]);
    (0..2).for_each(|item| producer.put(&item).unwrap());
    until("its call", || fixture.worked() == [0, 1]);
    let mut other = consumer(&fixture, "4", &[""]);
    producer.put(&2).unwrap();
    until("one in the other's buffer", || {
        queue.stats().unwrap().unacked == 3
    });
    signal(hanging.id() as i32, libc::SIGKILL);
    hanging.wait().unwrap();
    queue.recover().unwrap();
    until("all", || fixture.worked() == [0, 0, 1, 1, 2]);
    let logs = fixture.logs();
    let log = logs
        .iter()
        .find(|log| !log.again.is_empty())
        .expect("one that got them again");
    assert!(
        log.calls.iter().all(|(_, items)| items.len() == 1),
        "{log:?}"
    );
    queue.set_state(prodcon::State::Stopped).unwrap();
    assert!(other.wait().unwrap().success());
}
