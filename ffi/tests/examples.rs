//! The examples in C and C++ do what they say.

mod support;

use std::process::Stdio;
use support::{Stage, have, succeeds, until};

/// The queue is there.
fn made(stage: &Stage, queue: &str) {
    let file = stage.queues().join(format!("prodcon.{queue}"));
    until("the queue", || file.exists());
}

#[test]
fn producer_and_consumer_pass_a_stream_of_samples() {
    if !have("gcc") {
        return;
    }
    let mut stage = Stage::new();
    let producer = stage.compile("gcc", "c11", &["examples/producer.c"], &[]);
    let consumer = stage.compile("gcc", "c11", &["examples/consumer.c"], &[]);
    let waiting = stage.start(
        stage
            .command(&consumer)
            .arg("samples")
            .stdout(Stdio::piped()),
    );
    made(&stage, "samples");
    succeeds(stage.command(&producer).args(["samples", "100000"]));
    assert_eq!(
        stage.end_of(waiting),
        "100000 samples, mean 24.500 degrees\n"
    );
    stage.is_clean();
    // Without a queue the producer says what is wrong.
    let output = stage
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
    let mut stage = Stage::new();
    let producer = stage.compile("gcc", "c11", &["examples/producer.c"], &[]);
    let consumer = stage.compile("gcc", "c11", &["examples/consumer.c"], &[]);
    let first = stage.start(
        stage
            .command(&consumer)
            .arg("samples")
            .stdout(Stdio::piped()),
    );
    made(&stage, "samples");
    assert_eq!(
        // SAFETY: stops a child of ours that has not been waited for.
        unsafe { libc::kill(stage.pid(first) as i32, libc::SIGSTOP) },
        0
    );
    let putting = stage.start(
        stage
            .command(&producer)
            .args(["samples", "5000"])
            .stdout(Stdio::piped()),
    );
    stage.kill(first);
    let second = stage.start(
        stage
            .command(&consumer)
            .arg("samples")
            .stdout(Stdio::piped()),
    );
    stage.end_of(putting);
    assert_eq!(stage.end_of(second), "5000 samples, mean 24.500 degrees\n");
    stage.is_clean();
}

#[test]
fn the_camera_passes_frames_of_a_mebibyte_without_copies() {
    if !have("g++") {
        return;
    }
    let mut stage = Stage::new();
    let camera = stage.compile("g++", "c++17", &["examples/camera.cpp"], &[]);
    let watching = stage.start(
        stage
            .command(&camera)
            .args(["frames", "--watch"])
            .stdout(Stdio::piped()),
    );
    made(&stage, "frames");
    succeeds(stage.command(&camera).args(["frames", "200"]));
    assert_eq!(stage.end_of(watching), "200 frames, 0 wrong\n");
    stage.is_clean();
}
