//! `prodcon top` where there is no terminal: a table each time.

mod support;

use std::io::{BufRead, BufReader};
use support::{Dir, until};

/// The cells of the line that begins with this name.
fn row(table: &str, name: &str) -> Option<Vec<String>> {
    let line = table.lines().find(|line| line.split_whitespace().next() == Some(name))?;
    Some(line.split_whitespace().map(str::to_owned).collect())
}

#[test]
fn one_table_shows_the_queue_and_takes_no_seat() {
    let dir = Dir::new();
    dir.ok("create q --capacity 8 --item-size 4 --seats 1", b"");
    dir.ok("put q", b"a\nb\nc\n");
    dir.ok("create closed --capacity 8 --item-size 4 --not-ready", b"");
    let table = dir.ok("top --once --interval 0.1", b"");
    let head = row(&table, "NAME").unwrap();
    assert_eq!(
        head.join(" "),
        "NAME STATE READY PUTS/S GETS/S DROPS/S LEN ROOM LIVE DEAD HELD ASLEEP LOST AGAIN"
    );
    assert_eq!(row(&table, "q").unwrap().join(" "), "q started yes 0 0 0 3 8 0 0 0 0 0 0");
    assert_eq!(row(&table, "closed").unwrap()[..3].join(" "), "closed started no");
    let _follower = dir.start("get q --follow");
    until("its sleep", || {
        let table = dir.ok("top q --once --interval 0.05", b"");
        assert_eq!(row(&table, "closed"), None);
        let cells = row(&table, "q").unwrap();
        cells[6] == "0" && cells[8] == "1" && cells[11] == "1" // len, live, asleep
    });
    dir.fails("top q none --once", 1, "'none'");
    assert_eq!(dir.run("top --interval 0", b"").0, 2);
}

#[test]
fn tables_follow_what_happens_until_a_signal_comes() {
    let dir = Dir::new();
    dir.ok("create q --capacity 8 --item-size 4", b"");
    let mut top = dir.start("top --interval 0.1");
    let mut lines = BufReader::new(top.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut table = || lines.by_ref().take_while(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
    assert_eq!(row(&table(), "q").unwrap()[3..5].join(" "), "0 0");
    let input = "x\n".repeat(200_000);
    let mut put = dir.command("put q").stdin(std::process::Stdio::piped()).spawn().unwrap();
    let mut stdin = put.stdin.take().unwrap();
    let writer = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, input.as_bytes()));
    until("a full queue", || row(&table(), "q").unwrap()[6] == "8");
    let get = dir.start("get q --follow");
    until("a rate", || {
        let cells = row(&table(), "q").unwrap();
        cells[3] != "0" && cells[4] != "0"
    });
    let get = std::thread::spawn(move || get.end());
    writer.join().unwrap().unwrap();
    assert!(put.wait().unwrap().success());
    dir.ok("state q stop_at_queue_end", b"");
    assert_eq!(get.join().unwrap().1.len(), 400_000);
    dir.ok("create later --capacity 8 --item-size 4", b"");
    until("the new one", || row(&table(), "later").is_some());
    dir.ok("rm later", b"");
    until("its end", || row(&table(), "later").is_none());
    top.signal("-INT");
    let (status, _, err) = top.end();
    assert_eq!((status, err.as_str()), (130, ""));
}

#[test]
fn a_named_queue_that_was_removed_is_gone_and_its_successor_counts_anew() {
    let dir = Dir::new();
    dir.ok("create q --capacity 8 --item-size 4", b"");
    let mut top = dir.start("top q --interval 0.05");
    let mut lines = BufReader::new(top.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut cells = || row(&lines.by_ref().take_while(|line| !line.is_empty()).collect::<Vec<_>>().join("\n"), "q").unwrap_or_default();
    until("the first table", || cells().get(7).is_some_and(|room| room == "8"));
    dir.ok("rm q", b"");
    until("gone", || cells().get(1).is_some_and(|word| word == "gone"));
    dir.ok("create q --capacity 9 --item-size 4", b"");
    until("the other one", || cells().get(7).is_some_and(|room| room == "9"));
}
