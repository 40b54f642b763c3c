//! What is wrong is said by the call that got it, with names and what to do.

use crate::support::{NONE, Stage};
use prodcon::worker::{Consumer, ConsumerOptions, Producer, ProducerOptions, WorkerError, seconds};
use prodcon::{Control, Delivery, OpenError, Options};
use std::process::Command;
use std::time::Duration;

/// An error whose text has all this in it.
fn says<T>(result: Result<T, WorkerError>, texts: &[&str]) {
    let error = result.err().expect("an error").to_string();
    assert!(texts.iter().all(|text| error.contains(text)), "{error}");
}

#[test]
fn programs_that_are_no_workers() {
    let stage = Stage::new();
    let mut consumer = stage.consumer("c", ConsumerOptions::new().start_timeout(Duration::from_millis(300)));
    says(
        consumer.start_new(Command::new("/nowhere/worker"), NONE),
        &["'c'", "/nowhere/worker", "cannot be started"],
    );
    says(consumer.start_new(Command::new("/etc/passwd"), NONE), &["/etc/passwd", "Permission denied"]);
    says(
        consumer.start_new(Command::new("true"), NONE),
        &["'true' ended", "without attaching", "--attach NAME"],
    );
    let mut sleeper = Command::new("sh");
    sleeper.args(["-c", "exec sleep 600"]);
    says(consumer.start_new(sleeper, NONE), &["'sh' did not attach within 0.3 s", "start_timeout"]);
    assert!(!consumer.is_running() && consumer.state() == prodcon::State::Stopped && !consumer.stats().unwrap().ready);
    // And it still works.
    consumer.start_new(stage.program("consumer"), NONE).unwrap();
    drop(consumer);
    stage.assert_nobody_left();
}

#[test]
fn types_that_do_not_match() {
    let stage = Stage::new();
    let mut consumer = Consumer::<u32>::create("c", &ConsumerOptions::new().directory(&stage.dir)).unwrap();
    says(consumer.start_new(stage.program("consumer"), NONE), &["'c'", "u32", "u64"]);
    let mut producer = stage.producer("p", ProducerOptions::new().subscribers(["c"]));
    says(producer.start_new(stage.program("producer"), NONE), &["'c'", "u32", "u64"]);
    let options = ConsumerOptions::new().directory(&stage.dir);
    says(Consumer::<u64>::create_or_attach("c", &options), &["'c'", "control"]);
    drop(consumer);
    let _queue = Control::create_for::<u32>("d", &Options::new(4).directory(&stage.dir)).unwrap();
    says(Consumer::<u64>::attach("d", &options), &["'d'", "u32", "u64"]);
    let mut producer = stage.producer("q", ProducerOptions::new());
    says(producer.start_new(stage.program("consumer"), NONE), &["'q' belongs to a producer"]);
}

#[test]
fn subscribers_that_are_no_queues() {
    let stage = Stage::new();
    let options = ProducerOptions::new().directory(&stage.dir);
    says(
        Producer::create("p", &options.clone().subscribers(["none"])),
        &["subscriber 'none' is no queue"],
    );
    std::fs::write(stage.dir.join("prodcon.bad"), "no segment").unwrap();
    says(Producer::create("p", &options.clone().subscribers(["bad"])), &["'bad'", "no prodcon segment"]);
    std::fs::remove_file(stage.dir.join("prodcon.bad")).unwrap();
    let mut producer = Producer::create("p", &options).unwrap();
    says(producer.set_subscribers(["p"]), &["'p' is a producer"]);
    says(producer.set_subscribers(["no/name"]), &["no/name"]);
    let consumer = stage.consumer("c", ConsumerOptions::new());
    producer.set_subscribers([consumer.name()]).unwrap();
    drop(consumer);
    says(producer.start_new(stage.program("producer"), NONE), &["subscriber 'c' is no queue"]);
    producer.set_subscribers(NONE).unwrap();
    producer.start_new(stage.program("producer"), NONE).unwrap();
    says(producer.set_subscribers(NONE), &["'p' is running", "before start_new"]);
    producer.stop().unwrap();
    producer.set_subscribers(NONE).unwrap();
}

#[test]
fn numbers_out_of_range() {
    let stage = Stage::new();
    let consumer = |options: ConsumerOptions| Consumer::<u64>::create("c", &options.directory(&stage.dir));
    let new = ConsumerOptions::new;
    says(consumer(new().max_buffer_size(0)), &["'c'", "max_buffer_size of 0"]);
    says(consumer(new().workers(0)), &["'c'", "0 processes"]);
    says(consumer(new().capacity(0)), &["'c'"]);
    says(consumer(new().work_timeout(Duration::MAX)), &["31536000 s (a year)"]);
    says(
        consumer(new().delivery(Delivery::AtLeastOnce).max_buffer_size(300).workers(4)),
        &["1222 seats", "1023"],
    );
    says(consumer(new().max_deliveries(3)), &["dead_letter"]);
    consumer(new().max_buffer_size(300).workers(4)).unwrap();
    says(Consumer::<[u8]>::create("c", &new().directory(&stage.dir)), &["'c'", "item size"]);
    for wrong in [-1.0, f64::NAN, f64::INFINITY, 1e300, 31_536_001.0] {
        says(seconds(wrong), &[&wrong.to_string(), "a year"]);
    }
    says(
        Producer::create("p", &ProducerOptions::new().directory(&stage.dir).work_timeout(Duration::MAX)),
        &["a year"],
    );
    assert_eq!(stage.left(), [""; 0], "nothing was made");
}

#[test]
fn arguments_too_large() {
    let stage = Stage::new();
    let mut consumer = stage.consumer("c", ConsumerOptions::new());
    says(
        consumer.start_new(stage.program("consumer"), ["x".repeat(1 << 20)]),
        &["'c'", "arguments", "too large", "message"],
    );
    says(consumer.start_new(stage.program("consumer"), vec!["x".repeat(100_000); 100]), &["too large"]);
    assert!(!consumer.is_running());
}

#[test]
fn names_that_are_taken_or_gone() {
    let stage = Stage::new();
    let first = stage.consumer("c", ConsumerOptions::new());
    let options = ConsumerOptions::new().directory(&stage.dir);
    let again = Consumer::<u64>::create("c", &options);
    assert!(matches!(again, Err(WorkerError::Open(OpenError::Exists { .. }))));
    says(Consumer::<u64>::attach("c", &options), &["'c' has a living controlling process"]);
    says(Consumer::<u64>::attach("none", &options), &["'none'"]);
    says(Consumer::<u64>::create(".c", &options), &["'.c'"]);
    says(Consumer::<u64>::create(&"x".repeat(200), &options), &["xxx.results"]);
    assert_eq!(stage.left().len(), 4, "the first one's are still there, and nothing else");
    drop(first);
}

#[test]
fn a_segment_that_is_gone() {
    let stage = Stage::new();
    let mut consumer = stage.consumer("c", ConsumerOptions::new());
    consumer.start_new(stage.program("consumer"), NONE).unwrap();
    prodcon::unlink_in(&stage.dir, "c").unwrap();
    let ended = consumer.wait_timeout(Duration::from_secs(60)).unwrap().expect("the end");
    assert!(
        ended.error().is_some_and(|error| error.contains("'c'") && error.contains("removed")),
        "{ended:?}"
    );
    says(consumer.start_new(stage.program("consumer"), NONE), &["'c'"]);
    drop(consumer);
    stage.assert_nobody_left();
}

#[test]
fn a_state_that_cannot_be_set() {
    let stage = Stage::new();
    let consumer = stage.consumer("c", ConsumerOptions::new());
    let error = consumer.set_stop_at_queue_end().unwrap_err().to_string();
    assert!(error.contains("'c' is stopped and cannot become stop_at_queue_end"), "{error}");
    consumer.set_stopped().unwrap();
}
