//! Making, looking at and mending queues; and what becomes of an item whose `get` was killed.

mod support;

use prodcon::{AttachOptions, Control, QueueOptions, ReadyQueue};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use support::{Dir, until};

/// More than a pipe holds: `get` cannot have written the whole item while nobody reads.
const LARGE: usize = 300_000;

#[test]
fn an_item_that_get_had_not_written_when_it_was_killed_comes_again() {
    let dir = Dir::new();
    dir.ok(
        &format!("create q --capacity 4 --item-size {LARGE} --at-least-once"),
        b"",
    );
    let items = [vec![b'a'; LARGE], vec![b'b'; LARGE]].concat();
    dir.ok(&format!("put q --frames {LARGE}"), &items);
    let mut get = dir.start("get q --frames --follow");
    let mut some = [0; 1000];
    get.0
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut some)
        .unwrap(); // it is in the middle of writing
    assert_eq!(
        (
            dir.stat("q")["held"].as_u64(),
            dir.stat("q")["gets"].as_u64()
        ),
        (Some(1), Some(0))
    );
    get.signal("-KILL");
    drop(get);
    assert_eq!(
        dir.ok("get q --frames", b""),
        String::from_utf8(items).unwrap()
    );
    let stat = dir.stat("q");
    assert_eq!(
        [
            &stat["gets"],
            &stat["lost"],
            &stat["redelivered"],
            &stat["held"]
        ]
        .map(|n| n.as_u64().unwrap()),
        [2, 0, 1, 0]
    );
}

#[test]
fn an_item_that_get_had_written_when_it_was_killed_does_not_come_again() {
    let dir = Dir::new();
    dir.ok(
        &format!("create q --capacity 4 --item-size {LARGE} --at-least-once"),
        b"",
    );
    dir.ok("put q", b"first\nsecond\n");
    dir.ok(&format!("put q --frames {LARGE}"), &vec![b'c'; LARGE]);
    let get = dir.start("get q --follow");
    // It waits for room for the third, so it has acknowledged what it wrote before.
    until("two items written", || {
        dir.stat("q")["gets"] == 2 && dir.stat("q")["held"] == 1
    });
    get.signal("-KILL");
    let (_, out, _) = get.end();
    assert!(out.starts_with("first\nsecond\nccc"));
    assert_eq!(dir.ok("get q", b"").len(), LARGE + 1);
}

#[test]
fn an_item_that_kills_its_consumers_becomes_a_dead_letter() {
    let dir = Dir::new();
    dir.ok(
        &format!("create letters --capacity 4 --item-size {LARGE}"),
        b"",
    );
    dir.ok(
        &format!("create q --capacity 4 --item-size {LARGE} --at-least-once --max-deliveries 2 --dead-letter letters"),
        b"",
    );
    dir.ok(&format!("put q --frames {LARGE}"), &vec![b'x'; LARGE]);
    dir.ok("put q", b"harmless\n");
    for _ in 0..2 {
        let mut get = dir.start("get q --frames --count 1");
        get.0
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut [0; 10])
            .unwrap();
        get.signal("-KILL");
    }
    assert_eq!(dir.ok("get q", b""), "harmless\n");
    let stat = dir.stat("q");
    assert_eq!(
        (
            &stat["dead_lettered"],
            &stat["max_deliveries"],
            &stat["dead_letter"]
        ),
        (&1.into(), &2.into(), &"letters".into())
    );
    assert_eq!(dir.ok("get letters --frames", b"").len(), LARGE);
    dir.fails(
        "create z --capacity 1 --item-size 4 --at-least-once --max-deliveries 2 --dead-letter none",
        1,
        "'none'",
    );
    for line in [
        "create z --capacity 1 --item-size 4 --at-least-once --max-deliveries 0 --dead-letter letters",
        "create z --capacity 1 --item-size 4 --at-least-once --max-deliveries 2",
        "create z --capacity 1 --item-size 4 --at-least-once --dead-letter letters",
        "create z --capacity 1 --item-size 4 --max-deliveries 2 --dead-letter letters",
        "create z --capacity 1 --item-size 999999 --at-least-once --max-deliveries 2 --dead-letter letters",
    ] {
        assert_eq!(dir.run(line, b"").0, 2, "{line}");
    }
}

#[test]
fn copies_in_slots_can_be_declined() {
    let dir = Dir::new();
    dir.ok("create q --capacity 4 --type u64 --no-copy-in-slot", b"");
    dir.ok("create copies --capacity 4 --type u64", b"");
    dir.ok("create long --capacity 4 --type u128", b"");
    assert_eq!(dir.stat("q")["copy_in_slot"], false);
    assert_eq!(dir.stat("long")["copy_in_slot"], false);
    if dir.stat("copies")["copy_in_slot"] == false {
        eprintln!("SKIPPED: this processor does not exchange 16 bytes at once");
    }
    for name in ["q", "copies"] {
        dir.ok(&format!("put {name} --frames 8"), b"8 bytes.");
        assert_eq!(dir.ok(&format!("get {name} --frames"), b""), "8 bytes.");
    }
    let (status, _, _) = dir.run("create r --capacity 4 --item-size 8 --no-copy-in-slot", b"");
    assert_eq!(status, 2);
}

#[test]
fn a_queue_of_a_plain_type_has_batches_and_wants_items_of_its_length() {
    let dir = Dir::new();
    dir.ok("create q --capacity 4 --type u32 --batch 8", b"");
    dir.ok("put q --frames 4", b"onlyfour");
    let stat = dir.stat("q");
    assert_eq!(
        (
            &stat["type"],
            &stat["item_size"],
            &stat["batch"],
            &stat["len"]
        ),
        (&"u32".into(), &4.into(), &8.into(), &2.into())
    );
    assert_eq!(dir.ok("get q --frames", b""), "onlyfour");
    let (status, _, err) = dir.run("put q", b"three\n");
    assert!(status == 1 && err.contains("'q'"), "{err}");
    for line in [
        "create z --capacity 1",
        "create z --capacity 1 --item-size 4 --batch 2",
        "create z --capacity 1 --type u32 --item-size 4",
        "create z --capacity 1 --type u7",
    ] {
        assert_eq!(dir.run(line, b"").0, 2, "{line}");
    }
}

#[test]
fn only_what_was_left_by_its_owner_is_stale_and_other_queues_are_idle() {
    let dir = Dir::new();
    let listed = |name: &str| {
        let all: serde_json::Value = serde_json::from_str(&dir.ok("ls --json", b"")).unwrap();
        let found = all
            .as_array()
            .unwrap()
            .iter()
            .find(|queue| queue["name"] == name)
            .cloned()
            .unwrap();
        let table = dir.ok("ls", b"");
        let line = table
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap()
            .to_owned();
        (found["stale"].as_bool().unwrap(), line)
    };
    dir.ok("create made --capacity 4 --item-size 4", b"");
    let (stale, line) = listed("made");
    assert!(!stale && line.ends_with("idle, 0 items"), "{line}");
    dir.ok("put made", b"a\n");
    let (stale, line) = listed("made");
    assert!(!stale && line.ends_with("idle, 1 item"), "{line}");
    let _follower = dir.start("get made --follow");
    until("its seat", || dir.stat("made")["seats_live"] == 1);
    let (stale, line) = listed("made");
    assert!(!stale && line.ends_with(" 1"), "{line}");
    let options = QueueOptions::new(4)
        .item_size(4)
        .attach(AttachOptions::new().directory(&dir.0));
    let own = Control::create::<[u8]>("owned", &options.owned(true)).unwrap();
    let (stale, line) = listed("owned");
    assert!(!stale && line.ends_with("idle, 0 items"), "{line}");
    drop(own); // as its process does when it is killed
    let (stale, line) = listed("owned");
    assert!(
        stale && line.ends_with("stale: nobody is attached, and its owner is gone"),
        "{line}"
    );
    let mut follower = dir.start("get owned --follow");
    until("its seat", || dir.stat("owned")["seats_live"] == 1);
    let (stale, line) = listed("owned");
    assert!(!stale && line.ends_with(" 1"), "{line}");
    follower.0.kill().unwrap();
    follower.0.wait().unwrap();
    assert!(listed("owned").0);
    // A process that wants the name is told what to do, and it works.
    let create = "create owned --capacity 4 --item-size 4";
    dir.fails(
        create,
        1,
        "its owner is gone and nobody is attached: remove it with `prodcon rm owned`",
    );
    dir.ok("rm owned", b"");
    dir.ok(create, b"");
    dir.fails(create, 1, "exists already: attach to it");
}

#[test]
fn doctor_says_what_it_found() {
    let dir = Dir::new();
    dir.ok(
        "create q --capacity 4 --item-size 300000 --at-least-once",
        b"",
    );
    assert!(dir.ok("doctor q", b"").contains("sound; every block"));
    let mut follower = dir.start("get q --follow");
    until("its seat", || dir.stat("q")["seats_live"] == 1);
    let text = dir.ok("doctor q", b"");
    assert!(
        text.contains("sound; every block"),
        "who waits rests: {text}"
    );
    dir.ok("put q --frames 300000", &[7; LARGE]);
    until("its item", || dir.stat("q")["held"] == 1);
    follower.0.kill().unwrap();
    follower.0.wait().unwrap();
    let text = dir.ok("doctor q", b"");
    assert!(
        text.contains("1 item left by dead consumers, to be delivered again"),
        "{text}"
    );
    // Damage: the same block in two slots.
    let path = dir.0.join("prodcon.q");
    let mut file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    let mut bytes = vec![];
    file.read_to_end(&mut bytes).unwrap();
    let slots = u64::from_le_bytes(bytes[48..56].try_into().unwrap()) as usize;
    bytes.copy_within(slots + 8..slots + 16, slots + 16);
    std::io::Seek::rewind(&mut file).unwrap();
    file.write_all(&bytes).unwrap();
    let (status, text, err) = dir.run("doctor q", b"");
    assert!(
        status == 1 && text.contains("block") && err.contains("prodcon rm q"),
        "{text}{err}"
    );
}

#[test]
fn a_queue_that_is_busy_whenever_doctor_looks_is_no_failure() {
    const FIRST_RECORD: u64 = 1280;
    let dir = Dir::new();
    let attach = AttachOptions::new().directory(&dir.0);
    let _queue =
        ReadyQueue::<u64>::create("q", &QueueOptions::new(4).seats(2).attach(attach)).unwrap();
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .open(dir.0.join("prodcon.q"))
        .unwrap();
    let word = |offset| {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, offset).unwrap();
        u64::from_le_bytes(bytes)
    };
    // As a put that was stopped just before its exchange: the block in the first slot is to come.
    let (rest, block) = (word(FIRST_RECORD), word(word(48)));
    let stopped = rest & !(0xFF_FFFF << 24) | block << 24;
    file.write_all_at(&stopped.to_le_bytes(), FIRST_RECORD)
        .unwrap();
    let found: serde_json::Value = serde_json::from_str(&dir.ok("doctor q --json", b"")).unwrap();
    assert!(found["ok"] == true && found["busy"] == true, "{found}");
    assert!(dir.ok("doctor q", b"").contains("busy (1 seat taken)"));
    file.write_all_at(&rest.to_le_bytes(), FIRST_RECORD)
        .unwrap();
    assert!(dir.ok("doctor q", b"").contains("sound; every block"));
}

#[test]
fn what_a_program_called_its_type_commands_no_terminal() {
    let dir = Dir::new();
    let name = "\x1b[2J\x1b]0;you\x07\u{9b}31m\nq  u64";
    let options = QueueOptions::new(4).attach(AttachOptions::new().directory(&dir.0));
    let item = prodcon::bindings::NamedType {
        name: name.into(),
        size: 8,
        align: 8,
    };
    let _queue = ReadyQueue::create_named("q", &options, item).unwrap();
    for line in ["ls", "stat q"] {
        let out = dir.ok(line, b"");
        assert!(
            out.contains("?[2J?]0;you??31m?q  u64")
                && !out.contains(|c: char| c.is_control() && c != '\n'),
            "{out:?}"
        );
    }
    assert_eq!(dir.stat("q")["type"], name, "programs get it as it is");
}
