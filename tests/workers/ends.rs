//! How workers end: at the queue's end, by an error, by a panic, with their handle.

use crate::fixture::{Fixture, heard, until};
use prodcon::worker::{ConsumerOptions, ProducerOptions};
use prodcon::{PutError, QueueOptions, State};
use std::time::Duration;

#[test]
fn at_the_queues_end_every_item_was_worked_on_once() {
    for workers in [1, 4] {
        for items in [0, 1, 10_000] {
            for again in [false, true] {
                let fixture = Fixture::new();
                let options = ConsumerOptions::new()
                    .processes(workers)
                    .max_buffer_size(10)
                    .queue(QueueOptions::new(10_000).at_least_once(again));
                let mut consumer =
                    fixture.consumer("c", options.work_timeout(Duration::from_secs(600)));
                consumer.start_new(fixture.program("consumer")).unwrap();
                (0..items).for_each(|item| consumer.put_in_queue(&item).unwrap());
                consumer.set_stop_at_queue_end().unwrap();
                assert!(matches!(
                    consumer.work_queue().try_put(&1),
                    Err(PutError::Stopped)
                ));
                let ended = consumer
                    .wait_timeout(Duration::from_secs(60))
                    .unwrap()
                    .expect("the end");
                assert!(ended.success() && ended.exits.len() == workers, "{ended:?}");
                assert_eq!(
                    fixture.worked(),
                    (0..items).collect::<Vec<_>>(),
                    "{workers} workers, {items} items"
                );
                let logs = fixture.logs();
                assert!(
                    logs.iter()
                        .all(|log| log.starts == 1 && log.stops.len() == 1)
                );
                assert!(
                    logs.iter()
                        .flat_map(|log| &log.calls)
                        .all(|(_, items)| (1..=10).contains(&items.len()))
                );
                assert_eq!(
                    (consumer.state(), consumer.stats().unwrap().ready),
                    (State::Stopped, false)
                );
            }
        }
    }
}

#[test]
fn on_stop_runs_once_and_the_error_is_heard() {
    let ends = [
        ("fail_at=3", "no more of 3"),
        ("panic_at=3", "work panicked: cannot stand 3"),
    ];
    for (argument, text) in ends {
        for kind in ["consumer", "producer"] {
            let fixture = Fixture::new();
            let (ended, on_exit) = if kind == "consumer" {
                let mut consumer = fixture.consumer("w", ConsumerOptions::new());
                let (send, exits) = std::sync::mpsc::channel();
                consumer.on_exit(move |exit| send.send(exit).unwrap());
                consumer
                    .start_new(fixture.worker(kind, [argument]))
                    .unwrap();
                for item in 0..6 {
                    let _ = consumer.put_in_queue(&item);
                }
                (
                    consumer
                        .wait_timeout(Duration::from_secs(60))
                        .unwrap()
                        .expect("the end"),
                    exits.recv().unwrap(),
                )
            } else {
                let mut producer = fixture.producer("w", ProducerOptions::new());
                let (send, exits) = std::sync::mpsc::channel();
                producer.on_exit(move |exit| send.send(exit).unwrap());
                producer
                    .start_new(fixture.worker(kind, [argument]))
                    .unwrap();
                (
                    producer
                        .wait_timeout(Duration::from_secs(60))
                        .unwrap()
                        .expect("the end"),
                    exits.recv().unwrap(),
                )
            };
            assert!(
                !ended.success() && ended.error().is_some_and(|error| error.contains(text)),
                "{ended:?}"
            );
            assert_eq!(ended.exits[0].status.unwrap().code(), Some(1));
            assert_eq!(on_exit.pid, ended.exits[0].pid);
            assert_eq!(fixture.log().stops.len(), 1);
            assert_eq!(
                fixture
                    .log()
                    .calls
                    .iter()
                    .flat_map(|(_, items)| items.clone())
                    .max(),
                Some(3)
            );
        }
    }
}

#[test]
fn a_panic_in_on_stop_is_heard_too() {
    let fixture = Fixture::new();
    let mut consumer = fixture.consumer("c", ConsumerOptions::new());
    consumer
        .start_new(fixture.worker("consumer", ["fail_at=0", "on_stop_panics=1"]))
        .unwrap();
    consumer.put_in_queue(&0).unwrap();
    let ended = consumer.wait().unwrap();
    assert_eq!(
        ended.error(),
        Some("no more of 0; then on_stop: on_stop panicked: no good end")
    );
}

#[test]
fn on_stop_is_not_called_where_on_start_failed() {
    let fixture = Fixture::new();
    let mut consumer = fixture.consumer("c", ConsumerOptions::new());
    consumer
        .start_new(fixture.worker("consumer", ["fail_on_start"]))
        .unwrap();
    let ended = consumer.wait().unwrap();
    assert_eq!(ended.error(), Some("not today"));
    assert!(fixture.log().stops.is_empty());
}

#[test]
fn dropping_the_handle_stops_the_worker_and_removes_everything() {
    let fixture = Fixture::new();
    let mut consumer = fixture.consumer("c", ConsumerOptions::new());
    let mut producer = fixture.producer(
        "p",
        ProducerOptions::new()
            .subscribers(["c"])
            .work_timeout(Duration::from_secs(3600)),
    );
    consumer.start_new(fixture.program("consumer")).unwrap();
    producer
        .start_new(fixture.worker("producer", ["quiet=1"]))
        .unwrap();
    until("a call", || fixture.worked() == [0]);
    assert_eq!(fixture.left().len(), 8);
    drop(producer);
    drop(consumer);
    assert_eq!(
        fixture
            .logs()
            .iter()
            .map(|log| log.stops.len())
            .sum::<usize>(),
        2
    );
    fixture.assert_nobody_left();
}

#[test]
fn who_does_not_end_in_time_is_killed() {
    let fixture = Fixture::new();
    let mut consumer = fixture.consumer(
        "c",
        ConsumerOptions::new().stop_timeout(Duration::from_millis(200)),
    );
    consumer
        .start_new(fixture.worker("consumer", ["hang_at=1"]))
        .unwrap();
    consumer.put_in_queue(&1).unwrap();
    until("the call", || fixture.log().calls.len() == 1);
    let ended = consumer.stop().unwrap();
    assert!(
        !ended.success() && ended.exits[0].status.unwrap().code().is_none(),
        "{ended:?}"
    );
    let stats = consumer.stats().unwrap();
    assert!(
        stats.adds_up() && stats.gets == 1 && stats.lost == 0,
        "acknowledged when it was handed over: {stats:?}"
    );
}

#[test]
fn a_stopped_worker_hands_nothing_over_any_more() {
    for again in [false, true] {
        let fixture = Fixture::new();
        let options = ConsumerOptions::new()
            .max_buffer_size(10)
            .work_timeout(Duration::from_secs(3600))
            .queue(QueueOptions::new(1024).at_least_once(again));
        let mut consumer = fixture.consumer("c", options);
        let counters = heard(&mut consumer);
        consumer
            .start_new(fixture.worker("consumer", ["counters=1"]))
            .unwrap();
        (0..5).for_each(|item| consumer.put_in_queue(&item).unwrap());
        until("five in its buffer", || {
            consumer.stats().unwrap().unacked == 5
        });
        assert!(consumer.stop().unwrap().success());
        let stats = consumer.stats().unwrap();
        assert!(stats.adds_up() && stats.gets == 0, "{stats:?}");
        let left = if !again {
            stats.lost
        } else {
            stats.cleared + stats.len + stats.unacked
        };
        assert_eq!(left, 5, "{stats:?}");
        let said = counters.lock().unwrap().join("");
        assert!(
            said.contains(if !again { "unworked=5" } else { "unworked=0" }),
            "{said}"
        );
        assert!(fixture.log().calls.is_empty());
    }
}

#[test]
fn a_loop_of_ones_own_ends_well_when_it_is_stopped_and_its_failure_is_heard() {
    for fails in [false, true] {
        let fixture = Fixture::new();
        let mut producer = fixture.producer("w", ProducerOptions::new());
        let (send, answers) = std::sync::mpsc::channel();
        producer.on_message_ready(move |message| {
            send.send(message.text().unwrap().to_owned()).unwrap()
        });
        producer
            .start_new(fixture.worker("own_loop", ["prefix=heard"]))
            .unwrap();
        producer.send_message("hello").unwrap();
        assert_eq!(
            answers.recv_timeout(Duration::from_secs(60)).unwrap(),
            "heard hello"
        );
        let ended = if fails {
            producer.send_message("fail").unwrap();
            producer
                .wait_timeout(Duration::from_secs(60))
                .unwrap()
                .expect("the end")
        } else {
            producer.stop().unwrap()
        };
        assert_eq!(
            ended.exits[0].status.unwrap().code(),
            Some(i32::from(fails))
        );
        assert_eq!(ended.error(), fails.then_some("as it was told"));
        let said = std::fs::read_to_string(fixture.dir.join("stderr")).unwrap();
        assert_eq!(said.contains("failed: as it was told"), fails, "{said}");
        assert_eq!(ended.into_result().is_err(), fails);
        drop(producer);
        fixture.assert_nobody_left();
    }
}
