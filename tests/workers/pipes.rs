//! Results and messages: nothing that was sent is lost, nobody is stuck, too much is refused.

use crate::fixture::{Fixture, heard, heard_of, until};
use prodcon::worker::{ConsumerOptions, ProducerOptions};
use prodcon::{Control, ErrorKind, PutError, ReadyQueue};
use std::sync::mpsc;
use std::time::Duration;

#[test]
fn what_a_worker_sent_before_it_ended_is_not_lost() {
    let fixture = Fixture::new();
    let mut consumer = fixture.consumer(
        "c",
        ConsumerOptions::new().result_capacity(2).result_size(64),
    );
    let results = heard(&mut consumer);
    consumer
        .start_new(fixture.worker("consumer", ["last_results=1000"]))
        .unwrap();
    consumer.set_stop_at_queue_end().unwrap();
    assert!(consumer.wait().unwrap().success());
    assert_eq!(
        *results.lock().unwrap(),
        (0..1000)
            .map(|number| number.to_string())
            .collect::<Vec<_>>()
    );
}

#[test]
fn results_of_a_killed_worker_arrive() {
    let fixture = Fixture::new();
    let mut producer = fixture.producer("p", ProducerOptions::new());
    let results = heard_of(&mut producer);
    producer
        .start_new(fixture.worker("producer", ["flood=1", "die_at=50"]))
        .unwrap();
    let ended = producer.wait().unwrap();
    assert!(!ended.success() && ended.error().is_none(), "{ended:?}");
    assert_eq!(
        *results.lock().unwrap(),
        (0..50).map(|number| number.to_string()).collect::<Vec<_>>()
    );
}

#[test]
fn a_worker_that_waits_for_space_for_its_results_stays_stoppable() {
    let fixture = Fixture::new();
    let mut producer = fixture.producer("p", ProducerOptions::new().result_capacity(2));
    let (go, wait) = mpsc::channel::<()>();
    let (say, first) = mpsc::channel();
    let mut got = 0;
    producer.on_result_ready(move |_| {
        got += 1;
        let _ = say.send(got);
        let _ = wait.recv();
    });
    producer
        .start_new(fixture.worker("producer", ["flood=1"]))
        .unwrap();
    first.recv().unwrap();
    let ring = fixture.control("p.results");
    until("a full ring", || ring.is_full());
    until("the call that has to wait", || {
        fixture.log().calls.len() == 4
    });
    producer.set_stopped().unwrap();
    until("its on_stop", || !fixture.log().stops.is_empty());
    drop(go);
    let ended = producer.wait().unwrap();
    // It was told that its last result was not sent, and that is how it ended.
    assert!(
        ended.error().is_some_and(|error| error.contains("stopped")),
        "{ended:?}"
    );
}

#[test]
fn results_that_are_too_large_are_refused_with_the_limit_and_its_option() {
    let fixture = Fixture::new();
    let mut producer = fixture.producer("p", ProducerOptions::new().result_size(1000));
    producer
        .start_new(fixture.worker("producer", ["result_of=1001"]))
        .unwrap();
    let ended = producer.wait().unwrap();
    let text = ended.error().unwrap();
    assert!(
        text.contains("1001")
            && text.contains("'p.results'")
            && text.contains("1000")
            && text.contains("result_size()"),
        "{text}"
    );
    let long = producer.try_send_message(vec![0; 65_537]).unwrap_err();
    assert!(
        long.kind() == ErrorKind::TooLarge && long.to_string().contains("message_size()"),
        "{long}"
    );

    let fixture = Fixture::new();
    let mut producer = fixture.producer(
        "p",
        ProducerOptions::new()
            .result_size(1_000_000)
            .result_capacity(1),
    );
    let (send, results) = mpsc::channel();
    producer.on_result_ready(move |result| send.send(result.bytes().len()).unwrap());
    producer
        .start_new(fixture.worker("producer", ["result_of=1000000"]))
        .unwrap();
    assert_eq!(results.recv().unwrap(), 1_000_000);
}

#[test]
fn what_the_library_says_among_short_results_is_taken_for_none() {
    for size in [1, 8, 20] {
        let fixture = Fixture::new();
        let mut consumer = fixture.consumer("c", ConsumerOptions::new().result_size(size));
        let results = heard(&mut consumer);
        consumer
            .start_new(fixture.worker("consumer", ["last_results=3"]))
            .unwrap();
        consumer.set_stop_at_queue_end().unwrap();
        assert!(consumer.wait().unwrap().success());
        assert_eq!(*results.lock().unwrap(), ["0", "1", "2"], "{size}");
    }
}

#[test]
fn messages_go_both_ways() {
    for how in ["recv", "poll"] {
        let fixture = Fixture::new();
        let mut producer = fixture.producer("p", ProducerOptions::new().message_capacity(2));
        let (send, answers) = mpsc::channel();
        producer.on_message_ready(move |message| {
            send.send(message.text().unwrap().to_owned()).unwrap()
        });
        producer
            .start_new(fixture.worker("producer", [format!("echo={how}"), "quiet=1".into()]))
            .unwrap();
        for number in 0..20 {
            producer.send_message(format!("{number}")).unwrap();
        }
        assert_eq!(
            answers.iter().take(20).collect::<Vec<_>>(),
            (0..20)
                .map(|number| format!("p: {number}"))
                .collect::<Vec<_>>()
        );
        // One that waits for a message stops as well.
        assert!(producer.stop().unwrap().success());
        assert_eq!(fixture.log().stops.len(), 1);
    }
}

#[test]
fn messages_for_a_worker_that_has_ended_are_refused_when_there_is_no_space() {
    let fixture = Fixture::new();
    let mut consumer = fixture.consumer("c", ConsumerOptions::new().message_capacity(1));
    consumer.start_new(fixture.program("consumer")).unwrap();
    consumer.send_message("one").unwrap();
    assert!(matches!(
        consumer.try_send_message("two"),
        Err(PutError::Full)
    ));
    consumer.stop().unwrap().into_result().unwrap();
    let answer = consumer.send_message("three");
    assert!(matches!(answer, Err(PutError::Stopped)), "{answer:?}");
    // The next one does not get what was meant for its predecessor.
    consumer.start_new(fixture.program("consumer")).unwrap();
    consumer.try_send_message("four").unwrap();
}

#[test]
fn of_results_nobody_reads_the_oldest_are_dropped_and_counted() {
    let fixture = Fixture::new();
    let queue = Control::create::<u64>("c", &fixture.options(8)).unwrap();
    let mut results =
        ReadyQueue::<[u8]>::create("c.results", &fixture.options(3).item_size(64)).unwrap();
    let mut worker = fixture
        .program("consumer")
        .args(["--attach", "c", "results=1"])
        .spawn()
        .unwrap();
    let mut producer = fixture.queue("c");
    (1..=10).for_each(|item| producer.put(&item).unwrap());
    until("ten items", || fixture.worked().len() == 10);
    queue.set_state(prodcon::State::Stopped).unwrap();
    assert!(worker.wait().unwrap().success());
    let last: Vec<_> = std::iter::from_fn(|| results.try_get().ok())
        .map(|bytes| String::from_utf8(bytes).unwrap())
        .collect();
    assert_eq!(last, ["1 36", "1 45", "1 55"]);
    assert_eq!(results.control().stats().unwrap().dropped, 7);
}

#[test]
fn whoever_starts_again_gets_only_new_results() {
    let fixture = Fixture::new();
    let mut consumer = fixture.consumer("c", ConsumerOptions::new());
    let results = heard(&mut consumer);
    for round in 1..4 {
        consumer
            .start_new(fixture.worker("consumer", ["last_results=5"]))
            .unwrap();
        consumer.set_stop_at_queue_end().unwrap();
        assert!(
            consumer
                .wait_timeout(Duration::from_secs(60))
                .unwrap()
                .expect("the end")
                .success()
        );
        assert_eq!(results.lock().unwrap().len(), round * 5);
    }
}

#[cfg(feature = "serde")]
#[test]
fn any_serde_value_is_a_message() {
    use prodcon::worker::encode;
    let fixture = Fixture::new();
    let mut producer = fixture.producer("p", ProducerOptions::new());
    let (send, answers) = mpsc::channel();
    producer.on_message_ready(move |message| send.send(message).unwrap());
    producer
        .start_new(fixture.worker("producer", ["echo_value=1", "quiet=1"]))
        .unwrap();
    producer
        .send_message(encode(&(3u8, vec![Some("a"), None], 1.5f64)).unwrap())
        .unwrap();
    let answer = answers.recv_timeout(Duration::from_secs(60)).unwrap();
    let (number, list, float): (u8, Vec<Option<&str>>, f64) = answer.decode().unwrap();
    assert_eq!(
        (number, list, float),
        (4, vec![Some("a"), None, Some("p")], 3.0)
    );
    let error = answer
        .decode::<std::collections::BTreeMap<String, String>>()
        .unwrap_err();
    assert!(error.to_string().contains("'p.out'"), "{error}");
}
