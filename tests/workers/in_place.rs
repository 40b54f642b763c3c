//! Producers that fill their subscribers' memory.

use crate::fixture::{Fixture, Heard, heard_of, until, within_a_minute};
use prodcon::worker::{OnFull, Producer, ProducerOptions};
use prodcon::{AttachOptions, ErrorKind, QueueOptions, ReadyQueue};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// What `tests/workers/program.rs` fills in: nothing at each third call.
fn lines(to: u64) -> Vec<String> {
    (0..to)
        .filter(|number| number % 3 != 2)
        .map(|number| format!("line {number}{}", ".".repeat(number as usize % 7)))
        .collect()
}

fn subscriber(fixture: &Fixture, name: &str, capacity: u32) -> ReadyQueue<[u8]> {
    ReadyQueue::create(name, &fixture.options(capacity).item_size(64)).unwrap()
}

fn texts(queue: &mut ReadyQueue<[u8]>) -> Vec<String> {
    std::iter::from_fn(|| queue.try_get().ok())
        .map(|bytes| String::from_utf8(bytes).unwrap())
        .collect()
}

/// Stops it: what it said last are its counters.
fn counters(mut producer: Producer, heard: &Heard) -> String {
    let ended = within_a_minute("the end", move || producer.stop().unwrap());
    assert!(ended.success(), "{ended:?}");
    heard.lock().unwrap().pop().unwrap()
}

#[test]
fn what_is_filled_in_reaches_every_subscriber_in_order() {
    let fixture = Fixture::new();
    let names = ["a", "b", "c"];
    for count in [1, 3] {
        let mut queues = names[..count]
            .iter()
            .map(|name| subscriber(&fixture, name, 64))
            .collect::<Vec<_>>();
        let options = ProducerOptions::new().subscribers(names[..count].to_vec());
        let mut producer = fixture.producer("p", options);
        let heard = heard_of(&mut producer);
        producer
            .start_new(fixture.worker("lines", ["to=20", "counters"]))
            .unwrap();
        let expected = lines(20);
        until("all lines", || {
            queues.iter().all(|queue| queue.len() == expected.len())
        });
        for queue in &mut queues {
            assert_eq!(texts(queue), expected);
        }
        let counted = counters(producer, &heard);
        let told = format!(" items=14 put={} not_ready=0 full=0 ", 14 * count);
        assert!(counted.contains(&told), "{counted}");
        for name in &names[..count] {
            assert!(fixture.control(name).doctor().unwrap().ok());
            prodcon::unlink_in(&fixture.dir, name).unwrap();
        }
    }
    fixture.assert_nobody_left();
}

#[test]
fn without_a_subscriber_it_fills_memory_of_its_own() {
    let fixture = Fixture::new();
    let options = ProducerOptions::new()
        .items_to_results(true)
        .result_size(100);
    let mut producer = fixture.producer("p", options);
    let heard = heard_of(&mut producer);
    producer
        .start_new(fixture.worker("lines", ["to=20", "counters", "room=100"]))
        .unwrap();
    until("all lines", || heard.lock().unwrap().len() == 14);
    assert_eq!(*heard.lock().unwrap(), lines(20));
    let counted = counters(producer, &heard);
    assert!(
        counted.contains(" items=14 put=0 not_ready=0 "),
        "{counted}"
    );
    fixture.assert_nobody_left();
}

#[test]
fn frames_of_two_mebibytes_are_filled_in_and_copied_for_the_second_queue_alone() {
    const LARGE: usize = 2 << 20;
    let fixture = Fixture::new();
    let frames = |name: &str| {
        let options = fixture.options(3).seats(4);
        ReadyQueue::<[u8; LARGE]>::create(name, &options).unwrap()
    };
    let mut typed = [frames("a"), frames("b")];
    let options = ProducerOptions::new().subscribers(["a", "b"]);
    let mut producer = fixture.producer("p", options);
    producer
        .start_new(fixture.worker("frames", ["to=5"]))
        .unwrap();
    for number in 0..5 {
        for queue in &mut typed {
            let frame = queue.within(MINUTE).take().unwrap();
            assert!(frame.iter().all(|byte| *byte == number), "frame {number}");
            frame.ack();
        }
    }
    producer.stop().unwrap().into_result().unwrap();
    drop(typed);
    prodcon::unlink_in(&fixture.dir, "a").unwrap();
    prodcon::unlink_in(&fixture.dir, "b").unwrap();
    // A queue of bytes with blocks of that size.
    let options = QueueOptions::new(2).seats(4).item_size(LARGE);
    let options = options.attach(AttachOptions::new().directory(&fixture.dir));
    let mut bytes = ReadyQueue::<[u8]>::create("a", &options).unwrap();
    producer.set_subscribers(["a"]).unwrap();
    producer
        .start_new(fixture.worker("lines", ["to=2"]))
        .unwrap();
    for line in lines(2) {
        assert_eq!(*bytes.within(MINUTE).take().unwrap(), *line.as_bytes());
    }
    producer.stop().unwrap().into_result().unwrap();
    drop(producer);
    prodcon::unlink_in(&fixture.dir, "a").unwrap();
    fixture.assert_nobody_left();
}

#[test]
fn a_full_subscriber_is_left_out_or_waited_for_until_the_worker_is_stopped() {
    let fixture = Fixture::new();
    let (mut small, mut large) = (subscriber(&fixture, "a", 2), subscriber(&fixture, "b", 64));
    let expected = lines(20);
    for on_full in [OnFull::Skip, OnFull::Wait] {
        let options = ProducerOptions::new().subscribers(["a", "b"]);
        let mut producer = fixture.producer("p", options.on_full(on_full));
        let heard = heard_of(&mut producer);
        producer
            .start_new(fixture.worker("lines", ["to=20", "counters"]))
            .unwrap();
        if on_full == OnFull::Skip {
            until("all lines", || large.len() == expected.len());
            let counted = counters(producer, &heard);
            assert!(
                counted.contains(" items=14 put=16 not_ready=0 full=12 "),
                "{counted}"
            );
            assert_eq!(texts(&mut small), expected[..2]);
            assert_eq!(texts(&mut large), expected);
        } else {
            until("two lines", || large.len() == 2 && small.is_full());
            // It waits with the third one, which the other queue does not get before. It puts it as
            // soon as there is space.
            for line in &expected[..2] {
                assert_eq!(small.try_get().unwrap(), line.as_bytes());
            }
            until("two more", || large.len() == 4 && small.is_full());
            let counted = counters(producer, &heard);
            // The fifth is left out where it has no space, and put where it has.
            assert!(counted.contains(" put=9 not_ready=0 full=1 "), "{counted}");
            assert_eq!(texts(&mut small), expected[2..4]);
            assert_eq!(texts(&mut large), expected[..5]);
        }
    }
    for name in ["a", "b"] {
        assert!(fixture.control(name).doctor().unwrap().ok());
        prodcon::unlink_in(&fixture.dir, name).unwrap();
    }
    fixture.assert_nobody_left();
}

#[test]
fn a_subscriber_that_is_removed_is_left_out() {
    let fixture = Fixture::new();
    let lossy = |name: &str| {
        let options = fixture.options(8).item_size(64).lossy(true);
        ReadyQueue::<[u8]>::create(name, &options).unwrap()
    };
    let (first, second) = (lossy("a"), lossy("b"));
    let puts = |queue: &ReadyQueue<[u8]>| queue.control().stats().unwrap().puts;
    let options = ProducerOptions::new().subscribers(["a", "b"]);
    let mut producer = fixture.producer("p", options);
    producer
        .start_new(fixture.worker("lines", [""; 0]))
        .unwrap();
    until("the first lines", || puts(&first) > 100);
    prodcon::unlink_in(&fixture.dir, "a").unwrap();
    let mut before = 0;
    until("the end of the lines for it", || {
        std::thread::sleep(Duration::from_millis(20));
        let now = puts(&first);
        std::mem::replace(&mut before, now) == now || !producer.is_running()
    });
    let before = puts(&second);
    until("more lines for the other one", || {
        puts(&second) > before + 1000 || !producer.is_running()
    });
    producer.stop().unwrap().into_result().unwrap();
    drop(producer);
    prodcon::unlink_in(&fixture.dir, "b").unwrap();
    fixture.assert_nobody_left();
}

#[test]
fn an_answer_that_cannot_be_is_a_failure_and_puts_nothing() {
    let fixture = Fixture::new();
    let (queue, typed) = (
        subscriber(&fixture, "a", 8),
        ReadyQueue::<[u8; 2 << 20]>::create("b", &fixture.options(1).seats(3)).unwrap(),
    );
    for (kind, name, said) in [
        (
            "lines",
            "a",
            "fill answered Bytes(65), but the block has 64 bytes",
        ),
        (
            "frames",
            "b",
            "fill answered Bytes(65) of an item of 2097152 bytes",
        ),
    ] {
        let mut producer = fixture.producer("p", ProducerOptions::new().subscribers([name]));
        producer
            .start_new(fixture.worker(kind, ["claim=65"]))
            .unwrap();
        let ended = within_a_minute("the end", move || producer.wait().unwrap());
        let error = ended.into_result().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WorkerFailed);
        assert!(error.to_string().contains(said), "{error}");
    }
    assert!(queue.is_empty() && typed.is_empty());
    for name in ["a", "b"] {
        prodcon::unlink_in(&fixture.dir, name).unwrap();
    }
    fixture.assert_nobody_left();
}
