//! What is wrong is said by the call that got it, with names and what to do.

use crate::fixture::Fixture;
use prodcon::worker::{Consumer, ConsumerOptions, Producer, ProducerOptions, seconds};
use prodcon::{Control, Error, ErrorKind, QueueOptions};
use std::process::Command;
use std::time::Duration;

/// An error of this kind, whose text has all this in it.
fn says<T>(result: Result<T, Error>, kind: ErrorKind, texts: &[&str]) {
    let error = result.err().expect("an error");
    assert_eq!(error.kind(), kind, "{error}");
    let error = error.to_string();
    assert!(texts.iter().all(|text| error.contains(text)), "{error}");
}

#[test]
fn programs_that_are_no_workers() {
    let fixture = Fixture::new();
    let mut consumer = fixture.consumer(
        "c",
        ConsumerOptions::new().start_timeout(Duration::from_millis(300)),
    );
    says(
        consumer.start_new("/nowhere/worker"),
        ErrorKind::Spawn,
        &["'c'", "/nowhere/worker", "cannot be started"],
    );
    says(
        consumer.start_new("/etc/passwd"),
        ErrorKind::Spawn,
        &["/etc/passwd", "Permission denied"],
    );
    says(
        consumer.start_new("true"),
        ErrorKind::NotAWorker,
        &["'true' ended", "without attaching", "--attach NAME"],
    );
    let mut sleeper = Command::new("sh");
    sleeper.args(["-c", "exec sleep 600"]);
    says(
        consumer.start_new(sleeper),
        ErrorKind::NotAWorker,
        &["'sh' did not attach within 0.3 s", "start_timeout"],
    );
    assert!(
        !consumer.is_running()
            && consumer.state() == prodcon::State::Stopped
            && !consumer.stats().unwrap().ready
    );
    // And it still works.
    consumer.start_new(fixture.program("consumer")).unwrap();
    drop(consumer);
    fixture.assert_nobody_left();
}

#[test]
fn types_that_do_not_match() {
    let fixture = Fixture::new();
    let mut consumer =
        Consumer::<u32>::create("c", &ConsumerOptions::new().directory(&fixture.dir)).unwrap();
    says(
        consumer.start_new(fixture.program("consumer")),
        ErrorKind::WorkerFailed,
        &["'c'", "u32", "u64"],
    );
    let mut producer = fixture.producer("p", ProducerOptions::new().subscribers(["c"]));
    says(
        producer.start_new(fixture.program("producer")),
        ErrorKind::WorkerFailed,
        &["'c'", "u32", "u64"],
    );
    let options = ConsumerOptions::new().directory(&fixture.dir);
    says(
        Consumer::<u64>::create_or_attach("c", &options),
        ErrorKind::Controlled,
        &["'c'", "control"],
    );
    drop(consumer);
    let _queue = Control::create::<u32>("d", &fixture.options(4)).unwrap();
    says(
        Consumer::<u64>::attach("d", &options),
        ErrorKind::Incompatible,
        &["'d'", "u32", "u64"],
    );
    let mut producer = fixture.producer("q", ProducerOptions::new());
    says(
        producer.start_new(fixture.program("consumer")),
        ErrorKind::WorkerFailed,
        &["'q' belongs to a producer"],
    );
}

#[test]
fn subscribers_that_are_no_queues() {
    let fixture = Fixture::new();
    let options = ProducerOptions::new().directory(&fixture.dir);
    says(
        Producer::create("p", &options.clone().subscribers(["none"])),
        ErrorKind::InvalidOption,
        &["subscriber 'none' is no queue"],
    );
    std::fs::write(fixture.dir.join("prodcon.bad"), "no segment").unwrap();
    says(
        Producer::create("p", &options.clone().subscribers(["bad"])),
        ErrorKind::InvalidOption,
        &["'bad'", "no prodcon segment"],
    );
    std::fs::remove_file(fixture.dir.join("prodcon.bad")).unwrap();
    let mut producer = Producer::create("p", &options).unwrap();
    says(
        producer.set_subscribers(["p"]),
        ErrorKind::InvalidOption,
        &["'p' is a producer"],
    );
    says(
        producer.set_subscribers(["no/name"]),
        ErrorKind::InvalidOption,
        &["no/name"],
    );
    let consumer = fixture.consumer("c", ConsumerOptions::new());
    producer.set_subscribers([consumer.name()]).unwrap();
    drop(consumer);
    says(
        producer.start_new(fixture.program("producer")),
        ErrorKind::InvalidOption,
        &["subscriber 'c' is no queue"],
    );
    producer.set_subscribers([""; 0]).unwrap();
    producer.start_new(fixture.program("producer")).unwrap();
    says(
        producer.set_subscribers([""; 0]),
        ErrorKind::Running,
        &["'p' is running", "before start_new"],
    );
    producer.stop().unwrap().into_result().unwrap();
    producer.set_subscribers([""; 0]).unwrap();
}

#[test]
fn numbers_out_of_range() {
    let fixture = Fixture::new();
    let consumer =
        |options: ConsumerOptions| Consumer::<u64>::create("c", &options.directory(&fixture.dir));
    let new = ConsumerOptions::new;
    says(
        consumer(new().max_buffer_size(0)),
        ErrorKind::InvalidOption,
        &["'c'", "max_buffer_size of 0"],
    );
    says(
        consumer(new().processes(0)),
        ErrorKind::InvalidOption,
        &["'c'", "0 processes"],
    );
    says(
        consumer(new().queue(QueueOptions::new(0))),
        ErrorKind::InvalidOption,
        &["'c'"],
    );
    says(
        consumer(new().work_timeout(Duration::MAX)),
        ErrorKind::InvalidOption,
        &["31536000 s (a year)"],
    );
    says(
        consumer(
            new()
                .queue(QueueOptions::new(64).at_least_once(true))
                .max_buffer_size(300)
                .processes(4),
        ),
        ErrorKind::InvalidOption,
        &["1222 seats", "1023"],
    );
    says(
        consumer(new().queue(QueueOptions::new(64).dead_letter("none", 3))),
        ErrorKind::InvalidOption,
        &["at_least_once"],
    );
    consumer(new().max_buffer_size(300).processes(4)).unwrap();
    says(
        Consumer::<[u8]>::create("c", &new().directory(&fixture.dir)),
        ErrorKind::InvalidOption,
        &["'c'", "item_size"],
    );
    for wrong in [-1.0, f64::NAN, f64::INFINITY, 1e300, 31_536_001.0] {
        says(
            seconds(wrong),
            ErrorKind::InvalidOption,
            &[&wrong.to_string(), "a year"],
        );
    }
    says(
        Producer::create(
            "p",
            &ProducerOptions::new()
                .directory(&fixture.dir)
                .work_timeout(Duration::MAX),
        ),
        ErrorKind::InvalidOption,
        &["a year"],
    );
    assert_eq!(fixture.left(), [""; 0], "nothing was made");
}

#[test]
fn arguments_too_large() {
    let fixture = Fixture::new();
    let mut consumer = fixture.consumer("c", ConsumerOptions::new());
    says(
        consumer.start_new(fixture.worker("consumer", ["x".repeat(1 << 20)])),
        ErrorKind::Spawn,
        &["'c'", "arguments", "too large", "message"],
    );
    says(
        consumer.start_new(fixture.worker("consumer", vec!["x".repeat(100_000); 100])),
        ErrorKind::Spawn,
        &["too large"],
    );
    assert!(!consumer.is_running());
}

#[test]
fn names_that_are_taken_or_gone() {
    let fixture = Fixture::new();
    let first = fixture.consumer("c", ConsumerOptions::new());
    let options = ConsumerOptions::new().directory(&fixture.dir);
    let again = Consumer::<u64>::create("c", &options);
    says(again, ErrorKind::AlreadyExists, &["'c'", "prodcon rm c"]);
    says(
        Consumer::<u64>::attach("c", &options),
        ErrorKind::Controlled,
        &["'c' has a living controlling process"],
    );
    says(
        Consumer::<u64>::attach("none", &options),
        ErrorKind::NotFound,
        &["'none'"],
    );
    says(
        Consumer::<u64>::create(".c", &options),
        ErrorKind::InvalidName,
        &["'.c'"],
    );
    says(
        Consumer::<u64>::create(&"x".repeat(200), &options),
        ErrorKind::InvalidName,
        &["xxx.results"],
    );
    assert_eq!(
        fixture.left().len(),
        4,
        "the first one's are still there, and nothing else"
    );
    drop(first);
}

#[test]
fn a_segment_that_is_gone() {
    let fixture = Fixture::new();
    let mut consumer = fixture.consumer("c", ConsumerOptions::new());
    consumer.start_new(fixture.program("consumer")).unwrap();
    prodcon::unlink_in(&fixture.dir, "c").unwrap();
    let ended = consumer
        .wait_timeout(Duration::from_secs(60))
        .unwrap()
        .expect("the end");
    assert!(
        ended
            .error()
            .is_some_and(|error| error.contains("'c'") && error.contains("removed")),
        "{ended:?}"
    );
    says(
        consumer.start_new(fixture.program("consumer")),
        ErrorKind::WorkerFailed,
        &["'c'"],
    );
    drop(consumer);
    fixture.assert_nobody_left();
}

#[test]
fn a_state_that_cannot_be_set() {
    let fixture = Fixture::new();
    let consumer = fixture.consumer("c", ConsumerOptions::new());
    let error = consumer.set_stop_at_queue_end().unwrap_err().to_string();
    assert!(
        error.contains("'c' is stopped and cannot become stop_at_queue_end"),
        "{error}"
    );
    consumer.set_stopped().unwrap();
}
