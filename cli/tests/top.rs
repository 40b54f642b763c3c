//! `prodcon top`: a table each time where there is no terminal, and what it does on one.

mod support;

use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use support::{Dir, Started, until};

/// The cells of the line that begins with this name.
fn row(table: &str, name: &str) -> Option<Vec<String>> {
    let line = table
        .lines()
        .find(|line| line.split_whitespace().next() == Some(name))?;
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
    assert_eq!(
        row(&table, "q").unwrap().join(" "),
        "q started yes 0 0 0 3 8 0 0 0 0 0 0"
    );
    assert_eq!(
        row(&table, "closed").unwrap()[..3].join(" "),
        "closed started no"
    );
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
    let mut lines = BufReader::new(top.0.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let mut table = || {
        lines
            .by_ref()
            .take_while(|line| !line.is_empty())
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_eq!(row(&table(), "q").unwrap()[3..5].join(" "), "0 0");
    let input = "x\n".repeat(200_000);
    let mut put = dir
        .command("put q")
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = put.stdin.take().unwrap();
    let writer =
        std::thread::spawn(move || std::io::Write::write_all(&mut stdin, input.as_bytes()));
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
    let mut lines = BufReader::new(top.0.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let mut cells = || {
        row(
            &lines
                .by_ref()
                .take_while(|line| !line.is_empty())
                .collect::<Vec<_>>()
                .join("\n"),
            "q",
        )
        .unwrap_or_default()
    };
    until("the first table", || {
        cells().get(7).is_some_and(|room| room == "8")
    });
    dir.ok("rm q", b"");
    until("gone", || cells().get(1).is_some_and(|word| word == "gone"));
    dir.ok("create q --capacity 9 --item-size 4", b"");
    until("the other one", || {
        cells().get(7).is_some_and(|room| room == "9")
    });
}

/// `top` on a terminal of its own, so wide; nobody sends it SIGHUP, as if it were ignored.
struct OnTerminal {
    top: Started,
    terminal: File,
    shown: Arc<Mutex<String>>,
}

fn on_terminal(dir: &Dir, line: &str, width: u16) -> OnTerminal {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let size = Winsize {
        ws_row: 24,
        ws_col: width,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&terminal, size).unwrap();
    let name = ptsname(&terminal, vec![]).unwrap().into_string().unwrap();
    let end = || {
        let flags =
            rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC;
        Stdio::from(rustix::fs::open(&name, flags, rustix::fs::Mode::empty()).unwrap())
    };
    let top = Started(
        dir.command(line)
            .stdin(end())
            .stdout(end())
            .env("TERM", "xterm")
            .spawn()
            .unwrap(),
    );
    let terminal = File::from(terminal);
    let shown = Arc::new(Mutex::new(String::new()));
    let (mut screen, text) = (terminal.try_clone().unwrap(), shown.clone());
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        // The last reader keeps the terminal; it leaves as soon as there is enough.
        while let Ok(count @ 1..) = screen.read(&mut buffer) {
            let mut text = text.lock().unwrap();
            text.push_str(&String::from_utf8_lossy(&buffer[..count]));
            if text.contains("q quit") {
                return;
            }
        }
    });
    until("the first screen", || {
        shown.lock().unwrap().contains("q quit")
    });
    OnTerminal {
        top,
        terminal,
        shown,
    }
}

#[test]
fn it_ends_when_its_terminal_goes() {
    let dir = Dir::new();
    dir.ok("create q --capacity 8 --item-size 4", b"");
    let OnTerminal {
        mut top, terminal, ..
    } = on_terminal(&dir, "top --interval 0.2", 80);
    drop(terminal);
    until("its end", || top.0.try_wait().unwrap().is_some());
    assert_eq!(top.0.wait().unwrap().code(), Some(129)); // as SIGHUP
}

#[test]
fn keys_and_signals_end_it_and_a_narrow_terminal_has_whole_figures() {
    let dir = Dir::new();
    dir.ok("create q --capacity 1024 --item-size 4", b"");
    dir.ok("put q", &b"x\n".repeat(1024));
    for (width, signal) in [(40, None), (80, Some("-TERM")), (200, Some("-INT"))] {
        let mut on = on_terminal(&dir, "top", width);
        let shown = on.shown.lock().unwrap().clone();
        assert!(shown.contains("1024") && !shown.contains(" 024"), "{shown}");
        assert_eq!(shown.contains("AGAIN"), width == 200, "{shown}");
        match signal {
            Some(signal) => on.top.signal(signal),
            None => on.terminal.write_all(b"\x1b[Bjq").unwrap(),
        }
        until("its end", || on.top.0.try_wait().unwrap().is_some());
        let expected = [("-TERM", 143), ("-INT", 130)]
            .iter()
            .find(|(name, _)| Some(*name) == signal);
        assert_eq!(
            on.top.0.wait().unwrap().code(),
            Some(expected.map_or(0, |(_, status)| *status))
        );
    }
}

#[test]
fn more_queues_than_descriptors_are_shown() {
    let dir = Dir::new();
    let attach = prodcon::AttachOptions::new().directory(&dir.0);
    let options = prodcon::QueueOptions::new(1)
        .item_size(4)
        .seats(1)
        .attach(attach);
    for number in 0..300 {
        prodcon::Control::create::<[u8]>(&format!("q{number}"), &options).unwrap();
    }
    for line in ["top --once --interval 0.05", "ls"] {
        let shell = format!(
            "ulimit -n 64; exec {} {line}",
            env!("CARGO_BIN_EXE_prodcon")
        );
        let output = std::process::Command::new("sh")
            .args(["-c", &shell])
            .env("PRODCON_DIR", &dir.0)
            .output()
            .unwrap();
        let table = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success(),
            "{line}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(
            (table.lines().count(), table.matches("started").count()),
            (301, 300),
            "{line}"
        );
    }
}
