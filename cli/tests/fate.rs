//! What becomes of an item when something goes wrong on the way: it is said, counted, and never
//! lost silently.

mod support;

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use support::{Dir, Started, until};

/// More than a pipe holds: `get` cannot have written the whole item while nobody reads.
const LARGE: usize = 300_000;

fn figures(dir: &Dir, keys: [&str; 4]) -> [u64; 4] {
    let stat = dir.stat("q");
    keys.map(|key| stat[key].as_u64().unwrap())
}

/// Runs a command in a shell, for its redirections and limits: status and stderr.
fn shell(dir: &Dir, before: &str, line: &str) -> (i32, String) {
    let text = format!("{before} exec {} {line}", env!("CARGO_BIN_EXE_prodcon"));
    let output = Command::new("sh")
        .args(["-c", &text])
        .env("PRODCON_DIR", &dir.0)
        .output()
        .unwrap();
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn an_item_whose_write_failed_is_delivered_again() {
    let dir = Dir::new();
    let file = dir.0.join("file");
    let full = "> /dev/full".to_owned();
    let limited = format!("> {}", file.display());
    for options in ["", "--count 1", "--follow", "--frames", "--timeout 5"] {
        for (before, to) in [("", &full), ("ulimit -f 0;", &limited)] {
            dir.ok(
                "create q --capacity 4 --item-size 8 --at-least-once --seats 1",
                b"",
            );
            dir.ok("put q", b"one\ntwo\n");
            let (status, err) = shell(&dir, before, &format!("get q {options} {to}"));
            assert_eq!(status, 1, "{options} {to}: {err}");
            assert!(
                err.contains("cannot write to stdout") && err.contains("is delivered again"),
                "{err}"
            );
            assert_eq!(err.contains("ulimit -f"), to == &limited, "{err}");
            assert_eq!(dir.ok("get q", b""), "one\ntwo\n", "{options} {to}");
            assert_eq!(
                figures(&dir, ["gets", "lost", "held", "seats_live"]),
                [2, 0, 0, 0],
                "{options} {to}"
            );
            dir.ok("rm q", b"");
        }
    }
    // Where nothing is taken back it counts as lost, and that is said.
    dir.ok("create q --capacity 4 --item-size 8", b"");
    dir.ok("put q", b"one\ntwo\n");
    let (status, err) = shell(&dir, "", "get q > /dev/full");
    assert!(
        status == 1 && err.contains("counted as lost"),
        "{status} {err}"
    );
    assert_eq!(figures(&dir, ["gets", "lost", "len", "held"]), [0, 1, 1, 0]);
}

#[test]
fn an_item_that_a_reader_or_a_signal_cut_off_is_delivered_again() {
    for options in ["", "--follow", "--count 2"] {
        for cut in ["pipe", "-INT", "-TERM"] {
            let dir = Dir::new();
            dir.ok(
                &format!("create q --capacity 4 --item-size {LARGE} --at-least-once"),
                b"",
            );
            let items = [vec![b'a'; LARGE], vec![b'b'; LARGE]].concat();
            dir.ok(&format!("put q --frames {LARGE}"), &items);
            let mut get = dir.start(&format!("get q --frames {options}"));
            let mut pipe = get.0.stdout.take().unwrap();
            pipe.read_exact(&mut [0; 1000]).unwrap(); // it is in the middle of writing
            let expected = match cut {
                "pipe" => {
                    drop(pipe);
                    141
                }
                signal => {
                    get.signal(signal);
                    until("its end", || get.0.try_wait().unwrap().is_some());
                    if signal == "-INT" { 130 } else { 143 }
                }
            };
            let (status, _, err) = get.end();
            assert_eq!((status, err.as_str()), (expected, ""), "{options} {cut}");
            assert_eq!(
                figures(&dir, ["gets", "lost", "held", "seats_live"]),
                [0, 0, 1, 0],
                "{options} {cut}"
            );
            assert_eq!(
                dir.ok("get q --frames", b"").as_bytes(),
                items,
                "{options} {cut}"
            );
        }
    }
}

#[test]
fn a_line_that_does_not_fit_is_named_with_what_was_put_before() {
    let dir = Dir::new();
    dir.ok("create q --capacity 9 --item-size 4", b"");
    let fails = |line: &str, input: &[u8], texts: &[&str]| {
        let (status, _, err) = dir.run(line, input);
        assert_eq!(status, 1, "{line}: {err}");
        for text in texts {
            assert!(err.contains(text), "{line}: {text}: {err}");
        }
    };
    let texts = [
        "line 3 has 8 bytes",
        "at most 4",
        "line 3 and what follows it were not put, the 2 before it were",
    ];
    fails("put q", b"a\nb\ntoo long\nc\n", &texts);
    fails(
        "put q",
        b"c\ntoo long",
        &["line 2 and what follows it were not put, the one before it was"],
    );
    fails(
        "put q",
        &[b'x'; 1 << 20],
        &["line 1 has at least", "were not put, nothing was put"],
    );
    fails(
        "put q --frames 5",
        b"12345",
        &["frame 1 has 5 bytes", "nothing was put"],
    );
    fails("put q --from /", b"", &["cannot read /", "nothing was put"]);
    fails(
        "put q --from /nowhere",
        b"",
        &["cannot read /nowhere", "nothing was put"],
    );
    assert_eq!(dir.ok("get q", b""), "a\nb\nc\n");

    dir.ok("create typed --capacity 9 --type u32", b"");
    fails(
        "put typed",
        b"four\nthree\n",
        &[
            "line 2 has 5 bytes",
            "exactly 4",
            "--frames 4",
            "the one before it was",
        ],
    );
    fails(
        "put typed --frames 4",
        b"fourfo",
        &["frame 2 has 2 bytes", "exactly 4", "the one before it was"],
    );
    assert_eq!(dir.ok("get typed --frames", b""), "fourfour");

    // Where items may be shorter, a last frame that is short is put, and that is said.
    let (status, _, err) = dir.run("put q --frames 4", b"123456");
    assert!(
        status == 0 && err.contains("the last frame, 2, has 2 of 4 bytes: it was put as it is"),
        "{err}"
    );
    assert_eq!(dir.ok("get q --frames", b""), "123456");

    // So are the other ends.
    dir.ok("put q", b"1\n2\n3\n4\n5\n6\n7\n8\n");
    let (status, _, err) = dir.run("put q --timeout 0.05", b"9\n10\n11\n");
    assert!(
        status == 3
            && err.contains("line 2 and what follows it were not put, the one before it was"),
        "{err}"
    );
}

#[test]
fn no_signal_leaves_a_seat_behind_whatever_a_command_waits_for() {
    for (signal, expected) in [("-INT", 130), ("-TERM", 143)] {
        let dir = Dir::new();
        dir.ok("create q --capacity 2 --item-size 400000", b"");
        let ends = |mut started: Started, what: &str| {
            until("its seat", || dir.stat("q")["seats_live"] == 1);
            std::thread::sleep(std::time::Duration::from_millis(50)); // let it come to where it waits
            started.signal(signal);
            until(what, || started.0.try_wait().unwrap().is_some());
            assert_eq!(dir.stat("q")["seats_live"], 0, "{what}");
            let mut err = String::new();
            started
                .0
                .stderr
                .take()
                .unwrap()
                .read_to_string(&mut err)
                .unwrap();
            assert_eq!(
                started.0.wait().unwrap().code(),
                Some(expected),
                "{what}: {err}"
            );
            err
        };
        let mut put = dir.start("put q");
        put.0
            .stdin
            .as_mut()
            .unwrap()
            .write_all(b"whole\nhalf a li")
            .unwrap();
        until("the whole line", || dir.stat("q")["len"] == 1);
        let err = ends(put, "the end of a put that waits for input");
        assert!(
            err.contains("line 2 and what follows it were not put, the one before it was"),
            "{err}"
        );
        let mut put = dir.start("put q");
        put.0
            .stdin
            .as_mut()
            .unwrap()
            .write_all(b"fits\ndoes not\n")
            .unwrap();
        until("a full queue", || dir.stat("q")["len"] == 2);
        let err = ends(put, "the end of a put that waits for space");
        assert!(
            err.contains("line 2 and what follows it were not put, the one before it was"),
            "{err}"
        );
        dir.ok("get q", b"");
        ends(
            dir.start("get q --follow"),
            "the end of a get that waits for items",
        );
        ends(
            dir.start("get q --timeout 300"),
            "the end of a get that waits so long",
        );
        dir.ok("put q", &[b'x'; LARGE]);
        let mut get = dir.start("get q --follow");
        get.0
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut [0; 10])
            .unwrap();
        ends(get, "the end of a get that waits for its reader");
    }
}

#[test]
fn input_and_output_that_do_not_block_are_waited_for() {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    let dir = Dir::new();
    dir.ok(&format!("create q --capacity 4 --item-size {LARGE}"), b"");
    let (input, mut ours) = std::io::pipe().unwrap();
    fcntl_setfl(&input, fcntl_getfl(&input).unwrap() | OFlags::NONBLOCK).unwrap();
    let mut put = Started(
        dir.command("put q")
            .stdin(Stdio::from(input))
            .spawn()
            .unwrap(),
    );
    until("its seat", || dir.stat("q")["seats_live"] == 1);
    ours.write_all(b"late\n").unwrap();
    drop(ours);
    until("its end", || put.0.try_wait().unwrap().is_some());
    assert_eq!(put.0.wait().unwrap().code(), Some(0));
    dir.ok("put q", &[b'x'; LARGE]);
    let (mut ours, output) = std::io::pipe().unwrap();
    fcntl_setfl(&output, fcntl_getfl(&output).unwrap() | OFlags::NONBLOCK).unwrap();
    let mut get = Started(
        dir.command("get q")
            .stdout(Stdio::from(output))
            .spawn()
            .unwrap(),
    );
    until("a full pipe", || dir.stat("q")["held"] == 1);
    let mut text = String::new();
    ours.read_to_string(&mut text).unwrap();
    assert!(
        text.starts_with("late\nxxx") && text.len() == LARGE + 6,
        "{}",
        text.len()
    );
    assert_eq!(get.0.wait().unwrap().code(), Some(0));
}

#[test]
fn a_signal_that_was_ignored_from_the_start_stays_ignored() {
    let dir = Dir::new();
    dir.ok("create q --capacity 4 --item-size 8", b"");
    let text = format!(
        "trap '' INT; exec {} get q --follow",
        env!("CARGO_BIN_EXE_prodcon")
    );
    let mut get = Started(
        Command::new("sh")
            .args(["-c", &text])
            .env("PRODCON_DIR", &dir.0)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    until("its sleep", || {
        dir.stat("q")["members"][0]["asleep"] == true
    });
    get.signal("-INT");
    dir.ok("put q", b"one\n");
    let mut line = [0; 4];
    get.0
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut line)
        .unwrap();
    assert_eq!(&line, b"one\n");
    get.signal("-TERM");
    let (status, _, err) = get.end();
    assert_eq!((status, err.as_str()), (143, ""));
}
