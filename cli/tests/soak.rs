//! `prodcon soak`: finds nothing wrong where nothing is, and everything that was planted; leaves nothing behind.

mod support;

use support::{Dir, until};

#[test]
fn a_soak_in_every_mode_finds_nothing_wrong_and_leaves_nothing() {
    let dir = Dir::new();
    let out = dir.ok("soak --minutes 0.15", b"");
    for mode in [
        "at-most-once",
        "at-least-once",
        "at-most-once, lossy",
        "at-least-once, lossy",
        "at-least-once, batches of 8",
        "at-most-once, lossy, batches of 8",
    ] {
        // mode, rounds, kills, pauses, clears, puts, gets ...
        let line = out
            .lines()
            .rfind(|line| line.starts_with(&format!("{mode}  ")))
            .unwrap_or_else(|| panic!("{out}"));
        let figures: Vec<u64> = line[mode.len()..]
            .split_whitespace()
            .map_while(|cell| cell.parse().ok())
            .collect();
        assert!(
            figures.len() == 15 && figures[..3].iter().all(|figure| *figure > 0) && figures[4] > 0,
            "{out}"
        );
    }
    assert!(out.contains("nothing was wrong"), "{out}");
    assert!(dir.is_empty() && dir.processes().is_empty());
}

#[test]
fn what_killed_consumers_had_in_hand_comes_though_nobody_replaces_them() {
    let dir = Dir::new();
    let out = dir.ok("soak --no-replace --minutes 0.08 --consumers 3", b"");
    for mode in [
        "at-most-once",
        "at-least-once",
        "at-least-once, batches of 8",
    ] {
        let line = out
            .lines()
            .find_map(|line| {
                line.strip_prefix(&format!("{mode}: "))?
                    .split_once(" consumers were killed with items in hand")
            })
            .unwrap_or_else(|| panic!("{mode}: {out}"));
        assert!(
            line.0.parse::<u64>().is_ok_and(|killed| killed > 0)
                && line.1.contains("at the longest"),
            "{out}"
        );
    }
    println!("{out}");
    assert!(out.contains("nothing was wrong"), "{out}");
    assert!(dir.is_empty() && dir.processes().is_empty());
    let (status, _, err) = dir.run("soak --no-replace --consumers 1", b"");
    assert!(
        status == 2 && err.contains("2 consumers or more"),
        "{status} {err}"
    );
}

#[test]
fn every_planted_bug_is_found() {
    for (bug, found, mode) in [
        ("twice", "came twice", "--lossy"),
        ("skip", "missing from the sequences", "--at-least-once"),
        ("swap", "out of order", "--at-least-once --lossy"),
        ("spoil", "not what their producer wrote", "--lossy"),
        ("untold", "acknowledged, but only", "--at-least-once"),
        ("invented", "told, but only", "--lossy"),
        ("quit", "that nobody killed", "--at-least-once"),
        ("stuck", "nobody got anything", "--lossy --patience 0.3"),
    ] {
        let dir = Dir::new();
        // A busy machine may not let the processes do anything in so short a time.
        let tries =
            (0..20).map(|_| dir.run(&format!("soak --minutes 0.02 {mode} --plant {bug}"), b""));
        let (status, out, err) = tries
            .inspect(|_| assert!(dir.is_empty() && dir.processes().is_empty()))
            .find(|(status, ..)| *status != 0)
            .unwrap();
        assert!(
            status == 1 && out.contains(found) && err.contains("wrong"),
            "{bug} {mode}: {status} {out}{err}"
        );
    }
}

#[test]
fn an_interrupted_soak_says_what_it_knows_and_leaves_nothing() {
    for signal in ["-INT", "-TERM"] {
        let dir = Dir::new();
        let soak = dir.start("soak --minutes 5 --at-least-once");
        until("the start", || dir.processes().len() > 8);
        soak.signal(signal);
        let (status, out, err) = soak.end();
        assert_eq!(
            status,
            if signal == "-INT" { 130 } else { 143 },
            "{out}{err}"
        );
        assert!(out.contains("nothing was wrong"), "{out}{err}");
        assert!(dir.is_empty() && dir.processes().is_empty());
    }
}

#[test]
fn the_processes_of_a_killed_soak_die_with_it() {
    let dir = Dir::new();
    let soak = dir.start("soak --minutes 5");
    until("the start", || dir.processes().len() > 8);
    soak.signal("-KILL");
    let (status, ..) = soak.end();
    assert_eq!(status, -1);
    until("the end of its processes", || dir.processes().is_empty());
}

#[test]
fn a_patience_without_end_is_refused_before_anything_is_made() {
    let dir = Dir::new();
    for bad in ["1e19", "31536001", "-1", "nan"] {
        let line = format!("soak --minutes 0.0167 --at-least-once --patience={bad}");
        let (status, _, err) = dir.run(&line, b"");
        assert!(status == 2 && err.contains("--patience"), "{status} {err}");
    }
    assert!(dir.is_empty());
}
