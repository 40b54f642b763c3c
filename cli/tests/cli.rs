//! The command line as its user sees it. Every queue lies in a directory of the test's own.

mod support;

use std::process::Command;
use std::time::{Duration, Instant};
use support::Dir;

#[test]
fn lines_and_frames_come_out_as_they_went_in() {
    let dir = Dir::new();
    dir.ok("create q --capacity 100 --item-size 10", b"");
    dir.ok("put q", b"one\n\nthree");
    assert_eq!(dir.ok("get q", b""), "one\n\nthree\n");
    dir.ok("put q --frames 4", b"abcdefgh\nx");
    assert_eq!(dir.ok("get q --frames --count 1", b""), "abcd");
    assert_eq!(dir.ok("get q --frames", b""), "efgh\nx");
    let stat = dir.stat("q");
    assert_eq!(
        (
            stat["puts"].as_u64(),
            stat["gets"].as_u64(),
            stat["seats_live"].as_u64()
        ),
        (Some(6), Some(6), Some(0))
    );
    let doctor: serde_json::Value = serde_json::from_str(&dir.ok("doctor q --json", b"")).unwrap();
    assert_eq!(
        (
            &doctor["ok"],
            &doctor["recovered"],
            &doctor["undecided"],
            &doctor["problems"]
        ),
        (&true.into(), &0.into(), &0.into(), &serde_json::json!([]))
    );
    assert_eq!(doctor["busy"], false);
    assert!(dir.ok("ls", b"").contains('q'));
    dir.ok("rm q", b"");
    assert_eq!(dir.ok("ls --json", b""), "[]\n");
}

#[test]
fn a_command_waits_for_its_queue_as_long_as_it_is_told_to() {
    let dir = Dir::new();
    for line in [
        "put q",
        "get q",
        "ready q",
        "not-ready q",
        "clear q",
        "state q",
        "stat q",
        "doctor q",
    ] {
        dir.fails(&format!("{line} --wait 0.01"), 3, "'q'");
    }
    std::thread::scope(|scope| {
        let got = scope.spawn(|| dir.ok("get q --wait 60 --count 1 --timeout 60", b""));
        let put = scope.spawn(|| dir.ok("put q --wait 60", b"seven\n"));
        std::thread::sleep(Duration::from_millis(20));
        dir.ok("create q --capacity 1 --item-size 10", b"");
        put.join().unwrap();
        assert_eq!(got.join().unwrap(), "seven\n");
    });
    dir.ok("stat q --wait 60", b"");
}

#[test]
fn every_failure_has_its_status_and_names_the_queue() {
    let dir = Dir::new();
    dir.ok("create q --capacity 1 --item-size 4", b"");
    dir.fails("create q --capacity 1 --item-size 4", 1, "'q'");
    for line in [
        "create z --capacity 0 --item-size 4",
        "create z --capacity 9999999 --item-size 4",
        "create .z --capacity 1 --item-size 4",
        "put q --timeout -1",
        "put q --timeout nan",
        "frobnicate",
    ] {
        let status = dir.run(line, b"").0;
        assert_eq!(status, 2, "{line}");
    }
    for line in [
        "put none",
        "get none",
        "stat none",
        "doctor none",
        "rm none",
        "ready none",
        "state none",
    ] {
        dir.fails(line, 1, "'none'");
    }
    dir.fails("get q", 5, "'q'");
    dir.fails("get q --timeout 0.05", 3, "'q'");
    dir.fails("get q --timeout 0", 5, "'q'");
    assert_eq!(dir.run("put q", b"too long\n").0, 1);
    dir.ok("put q", b"a\n");
    dir.fails("put q --timeout 0.05", 3, "'q'");
    dir.fails("put q --timeout 0", 5, "'q'");
    dir.ok("not-ready q", b"");
    dir.fails("put q", 4, "'q'");
    dir.ok("ready q", b"");
    dir.ok("state q started", b""); // as it is
    dir.ok("state q stopped", b"");
    dir.fails(
        "state q stop_at_queue_end",
        1,
        "to started first, and then to stop_at_queue_end",
    );
    dir.ok("state q started", b"");
    std::fs::write(dir.0.join("prodcon.bad"), b"hello").unwrap();
    dir.fails("get bad", 1, "'bad'");
    assert!(dir.ok("ls", b"").contains("no prodcon segment"));
    assert_eq!(
        dir.command("ls")
            .env("PRODCON_DIR", "/nowhere")
            .output()
            .unwrap()
            .status
            .code(),
        Some(1)
    );
}

#[test]
fn follow_ends_at_end_of_stream() {
    let dir = Dir::new();
    dir.ok("create q --capacity 10 --item-size 4", b"");
    let follower = dir.command("get q --follow").spawn().unwrap();
    dir.ok("put q", b"a\nb\n");
    dir.ok("state q stop_at_queue_end", b"");
    let output = follower.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), output.stdout.as_slice()),
        (Some(0), &b"a\nb\n"[..])
    );
    assert_eq!(dir.ok("state q", b""), "stop_at_queue_end\n");
}

#[test]
fn at_the_end_of_a_stream_both_sides_are_told_a_way_that_works() {
    let dir = Dir::new();
    dir.ok("create q --capacity 1 --item-size 4", b"");
    dir.ok("state q stop_at_queue_end", b"");
    let (status, _, err) = dir.run("get q", b"");
    assert!(
        status == 5 && err.contains("its stream has ended") && err.contains("state q stopped"),
        "{status} {err}"
    );
    let (status, _, err) = dir.run("put q", b"a\n");
    assert!(status == 1 && err.contains("by way of stopped"), "{err}");
    dir.ok("state q stopped", b"");
    dir.fails("get q", 1, "state q started");
    dir.ok("state q started", b"");
    dir.ok("put q", b"a\n");
}

#[test]
fn a_signal_leaves_no_seat_behind() {
    for signal in ["-INT", "-TERM", "-KILL"] {
        let dir = Dir::new();
        dir.ok("create q --capacity 10 --item-size 4", b"");
        let mut follower = dir.command("get q --follow").spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while dir.stat("q")["seats_live"] != 1 || dir.stat("q")["members"][0]["asleep"] != true {
            assert!(Instant::now() < deadline, "it never slept");
        }
        assert!(
            Command::new("kill")
                .args([signal, &follower.id().to_string()])
                .status()
                .unwrap()
                .success()
        );
        follower.wait().unwrap();
        assert_eq!(dir.stat("q")["seats_live"], 0);
    }
}

#[cfg(feature = "demo")]
#[test]
fn the_demo_adds_up_and_leaves_nothing() {
    let dir = Dir::new();
    let out = dir.ok("demo --seconds 3", b"");
    let first = out.lines().next().unwrap();
    assert!(
        first.starts_with("For 3.0 s one producer and four consumers")
            && first.contains("two of them are killed")
            && first.ends_with("at the end every item must be accounted for."),
        "{first}"
    );
    assert!(
        out.matches("adds up").count() == 2 && out.contains("2 processes were killed"),
        "{out}"
    );
    assert_eq!(std::fs::read_dir(&dir.0).unwrap().count(), 0);
}

#[cfg(feature = "demo")]
#[test]
fn a_demo_that_is_interrupted_leaves_nothing_whoever_the_signal_reaches() {
    use std::os::unix::process::CommandExt;
    for (signal, expected, everybody) in [("-INT", 130, true), ("-TERM", 143, false)] {
        let dir = Dir::new();
        let mut demo = support::Started(
            dir.command("demo --seconds 60")
                .process_group(0)
                .spawn()
                .unwrap(),
        );
        support::until("its processes", || dir.processes().len() > 4);
        let whom = format!("{}{}", if everybody { "-" } else { "" }, demo.0.id());
        assert!(
            Command::new("kill")
                .args([signal, "--", &whom])
                .status()
                .unwrap()
                .success()
        );
        support::until("its end", || demo.0.try_wait().unwrap().is_some());
        assert_eq!(demo.0.wait().unwrap().code(), Some(expected));
        support::until("the end of all", || dir.processes().is_empty());
        assert_eq!(std::fs::read_dir(&dir.0).unwrap().count(), 0);
    }
}

#[cfg(feature = "bench")]
#[test]
fn the_benchmark_verifies_what_it_measures() {
    let dir = Dir::new();
    for shape in [
        "--producers 2 --consumers 2 --item-size 64",
        "--lossy",
        "--latency",
    ] {
        let result: serde_json::Value =
            serde_json::from_str(&dir.ok(&format!("bench --seconds 1 --json {shape}"), b""))
                .unwrap();
        assert!(
            result["verified"] == true && result["msgs_per_s"].as_f64() > Some(0.0),
            "{result}"
        );
    }
    assert_eq!(std::fs::read_dir(&dir.0).unwrap().count(), 0);
}
