//! Whose queue is it? A worker and its handle remove what the handle made, and nothing else.

use crate::fixture::{Fixture, until};
use prodcon::worker::{Consumer, ConsumerOptions, ProducerOptions};
use prodcon::{ErrorKind, ReadyQueue};
use std::time::Duration;

fn lasting(fixture: &Fixture, name: &str) -> ReadyQueue<u64> {
    let mut queue = ReadyQueue::create(name, &fixture.options(16)).unwrap();
    queue.put(&77).unwrap();
    queue
}

#[test]
fn a_worker_started_by_hand_inside_a_worker_is_nobodys() {
    let fixture = Fixture::new();
    drop(lasting(&fixture, "other"));
    let mut consumer = fixture.consumer(
        "c",
        ConsumerOptions::new()
            .max_buffer_size(4)
            .work_timeout(Duration::from_secs(600)),
    );
    consumer
        .start_new(fixture.worker("consumer", ["start_by_hand=other"]))
        .unwrap();
    // With settings of its own too: the outer one would wait for a full buffer of 4.
    until("the call of the inner one", || fixture.worked() == [77]);
    assert!(consumer.stop().unwrap().success());
    drop(consumer);
    // It outlives the outer one and its controlling process, and is stopped as every worker by hand.
    let control = fixture.control("other");
    let mut queue = fixture.queue("other");
    queue.put(&78).unwrap();
    until("another call of the inner one", || {
        fixture.worked() == [77, 78]
    });
    drop(queue);
    control.set_state(prodcon::State::Stopped).unwrap();
    until("two ends", || {
        fixture
            .logs()
            .iter()
            .map(|log| log.stops.len())
            .sum::<usize>()
            == 2
    });
    until("its end", || control.stats().unwrap().seats_live == 0);
    assert!(!control.is_removed(), "it belongs to whoever made it");
    control.unlink().unwrap();
    fixture.assert_nobody_left();
}

#[test]
fn names_of_others_are_not_taken() {
    for end in ["results", "in", "out"] {
        let fixture = Fixture::new();
        let name = format!("w.{end}");
        let mut queue = lasting(&fixture, &name);
        let options = ConsumerOptions::new().directory(&fixture.dir);
        let own = ReadyQueue::<u64>::create("v", &fixture.options(4)).unwrap();
        let vname = format!("v.{end}");
        let mut other = lasting(&fixture, &vname);
        for (taken, handle) in [
            (&name, Consumer::<u64>::create("w", &options)),
            (&name, Consumer::<u64>::create_or_attach("w", &options)),
            (&vname, Consumer::<u64>::attach("v", &options)),
        ] {
            let error = handle.expect_err("an error");
            assert_eq!(
                (error.kind(), error.queue()),
                (ErrorKind::AlreadyExists, Some(taken.as_str())),
                "{error}"
            );
        }
        assert_eq!(
            (queue.try_get().unwrap(), other.try_get().unwrap()),
            (77, 77),
            "they are still theirs"
        );
        assert!(
            [queue, other, own]
                .iter()
                .all(|queue| !queue.control().is_removed())
        );
        assert_eq!(fixture.left().len(), 3, "{:?}", fixture.left());
    }
}

#[test]
fn a_living_workers_queue_is_not_taken_for_a_ring() {
    let fixture = Fixture::new();
    let first = fixture.consumer("w.results", ConsumerOptions::new());
    let options = ConsumerOptions::new().directory(&fixture.dir);
    assert!(Consumer::<u64>::create("w", &options).is_err());
    assert!(Consumer::<u64>::create_or_attach("w", &options).is_err());
    assert!(first.stats().is_ok_and(|stats| !stats.removed_name));
    drop(first);
    fixture.assert_nobody_left();
}

#[test]
fn a_queue_that_was_made_later_under_a_subscribed_name_stays() {
    let fixture = Fixture::new();
    let consumer = fixture.consumer("c", ConsumerOptions::new());
    let options = ProducerOptions::new()
        .subscribers(["c"])
        .work_timeout(Duration::from_millis(1));
    let mut producer = fixture.producer("p", options);
    producer.start_new(fixture.program("producer")).unwrap();
    until("some calls", || fixture.log().calls.len() > 3);
    drop(consumer);
    let mut later = ReadyQueue::<u64>::create("c", &fixture.options(64)).unwrap();
    later.within(Duration::from_secs(60)).get().unwrap();
    drop(later);
    assert!(producer.stop().unwrap().success());
    drop(producer);
    assert_eq!(
        fixture.left(),
        ["prodcon.c"],
        "it belongs to whoever made it"
    );
}

#[test]
fn an_old_handle_removes_nothing_that_was_made_later_under_its_names() {
    let fixture = Fixture::new();
    let old = fixture.consumer("c", ConsumerOptions::new());
    let names = ["c", "c.results", "c.in", "c.out"];
    names
        .iter()
        .for_each(|name| prodcon::unlink_in(&fixture.dir, name).unwrap());
    names.iter().for_each(|name| drop(lasting(&fixture, name)));
    drop(old);
    assert_eq!(fixture.left().len(), 4, "{:?}", fixture.left());
    for name in names {
        assert_eq!(fixture.queue(name).try_get().unwrap(), 77);
    }
}

#[test]
fn an_old_handle_clears_nothing_that_was_made_later_under_its_name() {
    let fixture = Fixture::new();
    let mut old = fixture.consumer("c", ConsumerOptions::new());
    old.start_external().unwrap();
    prodcon::unlink_in(&fixture.dir, "c").unwrap();
    drop(lasting(&fixture, "c"));
    drop(old.stop().unwrap());
    drop(old);
    assert!(fixture.control("c").is_ready());
    assert_eq!(fixture.queue("c").try_get().unwrap(), 77);
}

#[test]
fn a_lasting_queue_that_a_handle_takes_over_lasts() {
    let fixture = Fixture::new();
    drop(lasting(&fixture, "c"));
    let options = ConsumerOptions::new().directory(&fixture.dir);
    for create in [true, false] {
        let mut handle = if create {
            Consumer::<u64>::create_or_attach("c", &options).unwrap()
        } else {
            Consumer::<u64>::attach("c", &options).unwrap()
        };
        handle.start_new(fixture.program("consumer")).unwrap();
        handle.stop().unwrap().into_result().unwrap();
        drop(handle);
        assert_eq!(
            fixture.left(),
            ["prodcon.c"],
            "it belongs to whoever made it"
        );
    }
}
