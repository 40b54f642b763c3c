//! The examples in C and C++ do what they say.

mod support;

use std::process::Stdio;
use support::{Fixture, have, succeeds, until};

/// The queue is there.
fn made(fixture: &Fixture, queue: &str) {
    let file = fixture.queues().join(format!("prodcon.{queue}"));
    until("the queue", || file.exists());
}

#[test]
fn producer_and_consumer_pass_a_stream_of_samples() {
    if !have("gcc") {
        return;
    }
    let mut fixture = Fixture::new();
    let producer = fixture.compile("gcc", "c11", &["examples/producer.c"], &[]);
    let consumer = fixture.compile("gcc", "c11", &["examples/consumer.c"], &[]);
    let waiting = fixture.start(
        fixture
            .command(&consumer)
            .arg("samples")
            .stdout(Stdio::piped()),
    );
    made(&fixture, "samples");
    succeeds(fixture.command(&producer).args(["samples", "100000"]));
    assert_eq!(
        fixture.end_of(waiting),
        "100000 samples, mean 24.500 degrees\n"
    );
    fixture.is_clean();
    // Without a queue the producer says what is wrong.
    let output = fixture
        .command(&producer)
        .args(["samples", "1"])
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.code() == Some(1) && error.contains("no queue 'samples'"),
        "{error}"
    );
}

#[test]
fn a_killed_consumer_is_replaced_and_nothing_is_lost() {
    if !have("gcc") {
        return;
    }
    let mut fixture = Fixture::new();
    let producer = fixture.compile("gcc", "c11", &["examples/producer.c"], &[]);
    let consumer = fixture.compile("gcc", "c11", &["examples/consumer.c"], &[]);
    let first = fixture.start(
        fixture
            .command(&consumer)
            .arg("samples")
            .stdout(Stdio::piped()),
    );
    made(&fixture, "samples");
    assert_eq!(
        // SAFETY: stops a child of ours that has not been waited for.
        unsafe { libc::kill(fixture.pid(first) as i32, libc::SIGSTOP) },
        0
    );
    let putting = fixture.start(
        fixture
            .command(&producer)
            .args(["samples", "5000"])
            .stdout(Stdio::piped()),
    );
    fixture.kill(first);
    let second = fixture.start(
        fixture
            .command(&consumer)
            .arg("samples")
            .stdout(Stdio::piped()),
    );
    fixture.end_of(putting);
    assert_eq!(
        fixture.end_of(second),
        "5000 samples, mean 24.500 degrees\n"
    );
    fixture.is_clean();
}

#[test]
fn the_camera_passes_frames_of_a_mebibyte_without_copies() {
    if !have("g++") {
        return;
    }
    let mut fixture = Fixture::new();
    let camera = fixture.compile("g++", "c++17", &["examples/camera.cpp"], &[]);
    let watching = fixture.start(
        fixture
            .command(&camera)
            .args(["frames", "--watch"])
            .stdout(Stdio::piped()),
    );
    made(&fixture, "frames");
    succeeds(fixture.command(&camera).args(["frames", "200"]));
    assert_eq!(fixture.end_of(watching), "200 frames, 0 wrong\n");
    fixture.is_clean();
}
