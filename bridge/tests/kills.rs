//! Bridges and servers are killed; nothing is lost, and with the server's data intact nothing comes
//! twice.

mod common;

use common::{Dir, can_run, get, launcher, nothing, until};
use std::process::Command;
use std::time::{Duration, Instant};

/// Runs the demo in a directory of its own, and returns what it printed.
fn demo(arguments: &[&str]) -> String {
    let dir = Dir::new();
    let printed = dir.0.join("printed");
    let mut command = Command::new(launcher());
    command
        .arg("demo")
        .args(arguments)
        .env("TMPDIR", &dir.0)
        .env("RUST_BACKTRACE", "0");
    command.stdout(std::fs::File::create(&printed).unwrap());
    let mut child = command.spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(1800);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            panic!("the demo does not end");
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let text = std::fs::read_to_string(&printed).unwrap();
    eprint!("{text}");
    assert!(status.success(), "{text}");
    text
}

/// The long form, for `.ci/long`: ten runs of thirty rounds.
fn long() -> bool {
    std::env::var_os("PRODCON_BRIDGE_LONG").is_some()
}

#[test]
fn kills_of_both_bridges_and_the_server_lose_nothing_and_double_nothing() {
    if !can_run() {
        return;
    }
    let runs = if long() { 10 } else { 1 };
    let text = demo(&[
        "--items",
        "100000",
        "--rounds",
        "30",
        "--server-kills",
        "5",
        "--runs",
        &runs.to_string(),
    ]);
    assert_eq!(text.matches(" 0 missing, 0 twice").count(), runs);
}

#[test]
fn kills_in_a_cluster_of_three_lose_nothing_and_double_nothing() {
    if !can_run() {
        return;
    }
    let (runs, rounds) = if long() { (10, "30") } else { (1, "8") };
    let text = demo(&[
        "--items",
        "20000",
        "--rounds",
        rounds,
        "--server-kills",
        "3",
        "--servers",
        "3",
        "--runs",
        &runs.to_string(),
    ]);
    assert_eq!(text.matches(" 0 missing, 0 twice").count(), runs);
}

#[test]
fn without_their_journals_the_bridges_double_items_and_still_lose_none() {
    if !can_run() {
        return;
    }
    let text = demo(&[
        "--items",
        "20000",
        "--rounds",
        "12",
        "--server-kills",
        "2",
        "--forget",
    ]);
    assert!(
        text.contains(" 0 missing, ") && !text.contains(" 0 twice"),
        "{text}"
    );
}

#[test]
fn a_server_that_comes_late_and_goes_away_is_waited_for_and_said_once() {
    if !can_run() {
        return;
    }
    let dir = Dir::new();
    let mut server = dir.server();
    server.kill();
    let (mut near, mut far) = dir.two::<u64>();
    let out = dir.out(&server, &[]);
    let inward = dir.inward(&server, &[]);
    for bridge in [&out, &inward] {
        bridge.says("no connection to the server");
    }
    near.put_slice(&[1, 2, 3]).unwrap();
    std::thread::sleep(Duration::from_millis(1500)); // several tries
    for bridge in [&out, &inward] {
        assert_eq!(
            bridge.said().matches("no connection").count(),
            1,
            "{}",
            bridge.said()
        );
    }
    server.restart().unwrap();
    assert_eq!(get(&mut far, 3), [1, 2, 3]);
    server.kill();
    near.put_slice(&[4, 5]).unwrap();
    nothing(&mut far);
    server.restart().unwrap();
    assert_eq!(get(&mut far, 2), [4, 5]);
    nothing(&mut far);
}

#[test]
fn a_stream_that_was_made_again_voids_the_journal_and_loses_nothing_in_hand() {
    if !can_run() {
        return;
    }
    let dir = Dir::new();
    let mut server = dir.server();
    let (mut near, mut far) = dir.two::<u64>();
    // In memory: the server's death is the stream's.
    let mut out = dir.out(
        &server,
        &["--storage", "memory", "--max-messages", "4", "--pack", "1"],
    );
    near.put_slice(&(0..10).collect::<Vec<_>>()).unwrap();
    until("it is full", || near.control().stats().unwrap().gets == 4);
    out.kill();
    server.restart().unwrap();
    let out = dir.out(&server, &["--storage", "memory", "--pack", "1"]);
    out.says("the stream was made again");
    let _in = dir.inward(&server, &[]);
    // What the stream had confirmed and lost with the server's memory is gone: it was acknowledged.
    assert_eq!(get(&mut far, 6), (4..10).collect::<Vec<_>>());
}

#[test]
fn items_that_were_in_hand_of_a_killed_bridge_are_published_once() {
    if !can_run() {
        return;
    }
    let dir = Dir::new();
    let server = dir.server();
    let (mut near, mut far) = dir.two::<u64>();
    for round in 0..5 {
        let mut out = dir.out(&server, &[]);
        near.put_slice(&(0..200).map(|n| round * 200 + n).collect::<Vec<_>>())
            .unwrap();
        until("some are published", || {
            near.control().stats().unwrap().gets > round * 200
        });
        out.kill();
    }
    let _out = dir.out(&server, &[]);
    let _in = dir.inward(&server, &[]);
    let mut got = get(&mut far, 1000);
    got.sort_unstable();
    assert_eq!(got, (0..1000).collect::<Vec<_>>());
    nothing(&mut far);
}
