//! Workers that no controlling handle has started.

use crate::fixture::{Fixture, heard, until};
use prodcon::worker::ConsumerOptions;
use prodcon::{Control, ReadyQueue, State};
use std::process::{Command, Stdio};

fn output(mut command: Command) -> (Option<i32>, String) {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn a_worker_needs_only_a_queue() {
    let fixture = Fixture::new();
    let options = fixture.options(64);
    let control = Control::create::<u64>("sum", &options).unwrap();
    let carrier = Control::create::<[u8]>("ramp", &options.item_size(8)).unwrap();
    let mut consumer = fixture
        .program("consumer")
        .args(["--attach", "sum"])
        .env("PRODCON_MAX_BUFFER_SIZE", "4")
        .spawn()
        .unwrap();
    let mut producer = fixture.program("producer");
    producer
        .args(["--attach", "ramp", "to=100"])
        .env("PRODCON_SUBSCRIBERS", "sum")
        .env("PRODCON_WORK_TIMEOUT", "0.001");
    let mut producer = producer.spawn().unwrap();
    until("100 items", || control.stats().unwrap().puts == 100);
    carrier.set_state(State::Stopped).unwrap();
    control.set_state(State::StopAtQueueEnd).unwrap();
    assert!(consumer.wait().unwrap().success() && producer.wait().unwrap().success());
    let logs = fixture.logs();
    let consumer = logs.iter().find(|log| {
        log.calls
            .iter()
            .map(|(_, items)| items.len())
            .sum::<usize>()
            == 100
            && log.calls.len() < 100
    });
    assert!(
        consumer.is_some_and(|log| log.calls.iter().all(|(_, items)| items.len() <= 4)),
        "{logs:?}"
    );
    assert!(logs.iter().all(|log| log.stops.len() == 1));
    let mut left = fixture.left();
    left.sort();
    assert_eq!(
        left,
        ["prodcon.ramp", "prodcon.sum"],
        "whoever made them removes them"
    );
}

#[test]
fn a_controlling_handle_serves_workers_that_others_start() {
    let fixture = Fixture::new();
    let mut handle = fixture.consumer("c", ConsumerOptions::new());
    let results = heard(&mut handle);
    let start = || {
        fixture
            .program("consumer")
            .args(["--attach", "c", "results=1"])
            .spawn()
            .unwrap()
    };
    handle.start_external().unwrap();
    let mut workers = [start(), start()];
    // Else the first may have done it all, and the stream has ended, before the second one attaches.
    until("both workers", || fixture.logs().len() == 2);
    (0..100).for_each(|item| handle.put_in_queue(&item).unwrap());
    until("the results", || results.lock().unwrap().len() == 100);
    handle.set_stop_at_queue_end().unwrap();
    handle.wait().unwrap().into_result().unwrap();
    workers
        .iter_mut()
        .for_each(|worker| assert!(worker.wait().unwrap().success()));
    assert_eq!(fixture.worked(), (0..100).collect::<Vec<_>>());
    assert_eq!(handle.state(), State::Stopped);
    drop(handle);
    fixture.assert_nobody_left();
}

#[test]
fn a_worker_by_hand_works_beside_those_that_the_handle_started() {
    let fixture = Fixture::new();
    let mut handle = fixture.consumer("c", ConsumerOptions::new());
    handle
        .start_new(fixture.worker("consumer", ["pause_us=1000"]))
        .unwrap();
    let mut helper = fixture
        .program("consumer")
        .args(["--attach", "c", "pause_us=1000"])
        .spawn()
        .unwrap();
    until("both", || {
        (0..10).for_each(|item| handle.put_in_queue(&item).unwrap());
        fixture
            .logs()
            .iter()
            .filter(|log| !log.calls.is_empty())
            .count()
            == 2
    });
    handle.stop().unwrap().into_result().unwrap();
    assert!(helper.wait().unwrap().success());
}

#[test]
fn a_worker_by_hand_outlives_the_controlling_process_but_not_its_segment() {
    let fixture = Fixture::new();
    let _queue = ReadyQueue::<u64>::create("c", &fixture.options(4)).unwrap();
    let mut worker = fixture
        .program("consumer")
        .args(["--attach", "c"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until("it attached", || fixture.log().starts == 1);
    prodcon::unlink_in(&fixture.dir, "c").unwrap();
    let status = worker.wait().unwrap();
    assert_eq!(status.code(), Some(1));
    assert_eq!(fixture.log().stops.len(), 1);
    let error = std::io::read_to_string(worker.stderr.take().unwrap()).unwrap();
    assert!(
        error.contains("'c'") && error.contains("removed"),
        "{error}"
    );
}

#[test]
fn what_is_wrong_is_said_on_stderr() {
    let fixture = Fixture::new();
    let queue = ReadyQueue::<u64>::create("c", &fixture.options(4)).unwrap();
    ReadyQueue::<u32>::create("small", &fixture.options(4)).unwrap();
    let args = |kind: &str, arguments: &[&str], variable: Option<(&str, &str)>| {
        let mut command = fixture.program(kind);
        command.args(arguments).envs(variable);
        output(command)
    };
    let expect = |(status, error): (Option<i32>, String), expected: i32, texts: &[&str]| {
        assert_eq!(status, Some(expected), "{error}");
        assert!(
            texts.iter().all(|text| error.contains(text)) && !error.contains("panicked"),
            "{error}"
        );
    };
    expect(args("consumer", &[], None), 2, &["usage", "--attach NAME"]);
    expect(args("consumer", &["--attach"], None), 2, &["name"]);
    expect(
        args("consumer", &["--attach", "none"], None),
        1,
        &["'none'", "create"],
    );
    expect(
        args("consumer", &["--attach", "small"], None),
        1,
        &["'small'", "u32", "u64"],
    );
    expect(
        args(
            "consumer",
            &["--attach", "c"],
            Some(("PRODCON_MAX_BUFFER_SIZE", "0")),
        ),
        1,
        &["max_buffer_size of 0"],
    );
    expect(
        args(
            "consumer",
            &["--attach", "c"],
            Some(("PRODCON_MAX_BUFFER_SIZE", "many")),
        ),
        1,
        &["PRODCON_MAX_BUFFER_SIZE=many"],
    );
    expect(
        args(
            "consumer",
            &["--attach", "c"],
            Some(("PRODCON_WORK_TIMEOUT", "-1")),
        ),
        1,
        &["-1 s"],
    );
    expect(
        args(
            "consumer",
            &["--attach", "c"],
            Some(("PRODCON_WORK_TIMEOUT", "1e30")),
        ),
        1,
        &["31536000"],
    );
    expect(
        args(
            "producer",
            &["--attach", "c"],
            Some(("PRODCON_ON_FULL", "cry")),
        ),
        1,
        &["PRODCON_ON_FULL=cry", "wait or skip"],
    );
    expect(
        args(
            "producer",
            &["--attach", "c"],
            Some(("PRODCON_SUBSCRIBERS", "none")),
        ),
        1,
        &["subscriber", "'none'"],
    );
    expect(
        args(
            "producer",
            &["--attach", "c"],
            Some(("PRODCON_SUBSCRIBERS", "small")),
        ),
        1,
        &["'small'", "u32"],
    );
    queue.control().set_state(State::Stopped).unwrap();
    expect(
        args("consumer", &["--attach", "c"], None),
        1,
        &["'c' is stopped", "prodcon state c started"],
    );
    assert!(fixture.logs().is_empty(), "nothing was started");
}
