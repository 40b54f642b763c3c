//! The examples do what they say, as the executables that they are.

use crate::fixture::{Fixture, example};
use std::process::{Command, Stdio};

/// Runs an example to its end: what it said.
fn run(fixture: &Fixture, name: &str, arguments: &[&str]) -> String {
    let output = Command::new(example(name))
        .args(arguments)
        .env("PRODCON_DIR", &fixture.dir)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.success() && error.is_empty(),
        "{name}: {error}"
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_producer_and_the_consumer() {
    let fixture = Fixture::new();
    let out = run(&fixture, "ramp_control", &[]);
    assert!(
        out.starts_with("5 items: the sum is 15 now\n5 items: the sum is 55 now\n")
            && out.contains("ramp stopped at"),
        "{out}"
    );
    fixture.assert_nobody_left();
}

#[test]
fn tags_through_arguments() {
    let fixture = Fixture::new();
    let out = run(&fixture, "tags", &[]);
    let mut lines: Vec<&str> = out.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "plain: 1",
            "plain: 2",
            "plain: 3",
            "tenfold: 10",
            "tenfold: 20",
            "tenfold: 30"
        ]
    );
    fixture.assert_nobody_left();
}

#[test]
fn frames_that_are_filled_in_place() {
    let fixture = Fixture::new();
    let out = run(&fixture, "frames", &[]);
    let lines: Vec<String> = (1..=3)
        .map(|number| format!("frame {number}: {number} is in its middle"))
        .collect();
    assert_eq!(out.lines().collect::<Vec<_>>(), lines);
    fixture.assert_nobody_left();
}

#[test]
fn messages_both_ways() {
    let fixture = Fixture::new();
    let out = run(&fixture, "messages", &[]);
    assert!(
        out.contains("the step is 10\n")
            && out.contains("the step is -1\n")
            && out.contains("Ok(1)\n"),
        "{out}"
    );
    fixture.assert_nobody_left();
}

#[test]
fn data_acquisition_from_the_processors_and_from_a_file() {
    let fixture = Fixture::new();
    let path = fixture.dir.join("log/samples");
    let out = run(&fixture, "daq", &[path.to_str().unwrap(), "0.5"]);
    let samples = std::fs::read_to_string(&path).unwrap();
    let lines = samples.lines().count();
    assert!(
        lines > 3 && out.contains(&format!("{lines} lines written\n")),
        "{lines}: {out}"
    );
    assert!(
        out.contains(&format!("daq-file: {lines} of {lines} samples, 0 dropped"))
            && out.contains(" s ")
            && out.contains('|'),
        "{out}"
    );

    let input = fixture.dir.join("log/input");
    std::fs::write(
        &input,
        (0..50)
            .map(|reading| format!("{}\n", reading * 2))
            .collect::<String>(),
    )
    .unwrap();
    let out = run(
        &fixture,
        "daq",
        &[path.to_str().unwrap(), "60", input.to_str().unwrap()],
    );
    let readings: Vec<String> = std::fs::read_to_string(&path)
        .unwrap()
        .lines()
        .map(|line| line.split(' ').nth(1).unwrap().to_owned())
        .collect();
    assert_eq!(
        readings,
        (0..50)
            .map(|reading| format!("{}.000", reading * 2))
            .collect::<Vec<_>>()
    );
    assert!(
        out.contains("the sampler ended: stopped\n") && out.contains("50 lines written"),
        "{out}"
    );
    fixture.assert_nobody_left();
}
