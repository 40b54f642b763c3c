//! Calls of `work` that take too long, and those that only take long.

use crate::fixture::{Fixture, pid, until, within_a_minute};
use prodcon::QueueOptions;
use prodcon::worker::{ConsumerOptions, ProcessExit, Restart};
use prodcon::{ErrorKind, ReadyQueue, SeatInfo};
use std::sync::mpsc;
use std::time::Duration;

const QUICK_RESTART: Restart = Restart::OnFailure {
    limit: 10,
    backoff: Duration::from_millis(1),
};

/// Longer than a loaded machine keeps a process from its processor.
const LIMIT: Duration = Duration::from_millis(500);

#[test]
fn a_worker_that_hangs_is_killed_and_started_again_and_its_item_is_redelivered() {
    let fixture = Fixture::new();
    let options = ConsumerOptions::new()
        .queue(QueueOptions::new(16).at_least_once(true))
        .restart(QUICK_RESTART)
        .work_limit(LIMIT);
    let mut consumer = fixture.consumer("c", options);
    let (send, exits) = mpsc::channel::<ProcessExit>();
    consumer.on_exit(move |exit| send.send(exit).unwrap());
    consumer
        .start_new(fixture.worker("consumer", ["hang_first_at=3"]))
        .unwrap();
    let hung = pid(&consumer.pids());
    (1..=5).for_each(|item| consumer.put_in_queue(&item).unwrap());
    until("the fifth item", || consumer.stats().unwrap().gets == 5);
    let exit = exits.recv_timeout(Duration::from_secs(60)).unwrap();
    assert_eq!((exit.pid as i32, exit.restarts), (hung, true), "{exit:?}");
    let told = exit.error.as_deref().unwrap();
    assert_eq!(told, "its work took longer than 0.5 s and it was killed");
    consumer.set_stop_at_queue_end().unwrap();
    let ended = within_a_minute("the end", move || consumer.wait().unwrap());
    assert!(ended.success() && ended.restarts() >= 1, "{ended:?}");
    assert_eq!(fixture.worked(), [1, 2, 3, 3, 4, 5]);
    let again: Vec<u64> = fixture
        .logs()
        .iter()
        .flat_map(|log| log.again.clone())
        .collect();
    assert_eq!(again, [3]);
    fixture.assert_nobody_left();
}

#[test]
fn a_worker_that_hangs_on_what_another_hung_on_is_killed_too() {
    let fixture = Fixture::new();
    let mut letters = ReadyQueue::<u64>::create("letters", &fixture.options(8)).unwrap();
    let queue = QueueOptions::new(16).at_least_once(true);
    let options = ConsumerOptions::new()
        .queue(queue.dead_letter("letters", 2))
        .restart(QUICK_RESTART)
        .work_limit(LIMIT);
    let mut consumer = fixture.consumer("c", options);
    consumer
        .start_new(fixture.worker("consumer", ["hang_at=2"]))
        .unwrap();
    (1..=3).for_each(|item| consumer.put_in_queue(&item).unwrap());
    assert_eq!(letters.within(Duration::from_secs(60)).get().unwrap(), 2);
    consumer.set_stop_at_queue_end().unwrap();
    let ended = within_a_minute("the end", move || consumer.wait().unwrap());
    assert!(ended.success() && ended.restarts() == 2, "{ended:?}");
    assert_eq!(fixture.worked(), [1, 2, 2, 3]);
}

#[test]
fn a_worker_that_hangs_on_a_copy_is_killed_and_stays_dead_without_a_restart() {
    let fixture = Fixture::new();
    let mut consumer = fixture.consumer("c", ConsumerOptions::new().work_limit(LIMIT));
    consumer
        .start_new(fixture.worker("consumer", ["hang_at=1"]))
        .unwrap();
    consumer.put_in_queue(&1).unwrap();
    let ended = within_a_minute("the end", move || {
        until("the kill", || !consumer.is_running());
        consumer.stop().unwrap()
    });
    assert_eq!((ended.success(), ended.restarts()), (false, 0), "{ended:?}");
    let error = ended.into_result().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WorkerFailed);
    assert!(error.to_string().contains("longer than 0.5 s"), "{error}");
    fixture.assert_nobody_left();
}

#[test]
fn work_that_is_kept_alive_or_short_is_never_killed_and_shows_how_long_it_has_held() {
    let fixture = Fixture::new();
    let options = ConsumerOptions::new()
        .queue(QueueOptions::new(64).at_least_once(true))
        .max_buffer_size(2)
        .work_timeout(Duration::ZERO)
        .work_limit(LIMIT);
    let mut consumer = fixture.consumer("c", options);
    // 1000 ms with one item, which is twice the limit.
    consumer
        .start_new(fixture.worker("consumer", ["alive_at=1", "alive_ms=1000"]))
        .unwrap();
    let worker = consumer.pids();
    consumer.put_in_queue(&1).unwrap();
    let held = |seat: &SeatInfo| seat.unacked > 0 && seat.pid == worker[0];
    let mut longest = Duration::ZERO;
    until("the item's end", || {
        let stats = consumer.stats().unwrap();
        let holding = stats.members.iter().filter(|seat| held(seat));
        longest = holding
            .filter_map(|seat| seat.holding)
            .fold(longest, Duration::max);
        stats.gets == 1
    });
    assert!(!longest.is_zero(), "nothing was seen of it");
    let others = |seat: &SeatInfo| seat.holding.is_some();
    assert!(!consumer.stats().unwrap().members.iter().any(others));
    (0..40).for_each(|item| consumer.put_in_queue(&(item + 10)).unwrap());
    until("the others", || consumer.stats().unwrap().gets == 41);
    assert_eq!(consumer.pids(), worker);
    consumer.set_stop_at_queue_end().unwrap();
    let ended = within_a_minute("the end", move || consumer.wait().unwrap());
    assert!(ended.success() && ended.exits.len() == 1, "{ended:?}");
    fixture.assert_nobody_left();
}

#[test]
fn a_limit_of_nothing_is_refused() {
    let fixture = Fixture::new();
    let options = ConsumerOptions::new()
        .directory(&fixture.dir)
        .work_limit(Duration::ZERO);
    let made = prodcon::worker::Consumer::<u64>::create("c", &options);
    let error = made.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidOption, "{error}");
    assert!(error.to_string().contains("'c'"), "{error}");
    assert_eq!(fixture.left(), [""; 0]);
}
