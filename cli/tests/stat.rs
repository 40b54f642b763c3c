//! `prodcon stat` and `ls` as people and as programs read them.

mod support;

use prodcon::{AttachOptions, QueueOptions, ReadyQueue, Role};
use std::os::unix::process::CommandExt;
use std::process::Command;
use support::Dir;

/// The lines, and each without what stands between its words.
fn lines(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

#[track_caller]
fn shows(text: &str, expected: &[&str]) {
    let found = lines(text);
    for line in expected {
        assert!(
            found.iter().any(|found| found.starts_with(line)),
            "{line}: {text}"
        );
    }
}

#[test]
fn people_are_shown_groups_with_units_and_shares() {
    let dir = Dir::new();
    dir.ok("create dead --capacity 10 --type u64", b"");
    let attach = AttachOptions::new().directory(&dir.0);
    let options = QueueOptions::new(20)
        .at_least_once(true)
        .dead_letter("dead", 2)
        .seats(7)
        .attach(attach.clone().max_unacked(3));
    let mut jobs = ReadyQueue::<u64>::create("jobs", &options).unwrap();
    for item in 0..9 {
        jobs.put(&item).unwrap();
    }
    jobs.take().unwrap().ack();
    jobs.take().unwrap().ack();
    for _ in 0..2 {
        jobs.take().unwrap().nack().unwrap();
    }
    let role = attach.role(Role::Producer);
    let _producer = ReadyQueue::<u64>::attach_with("jobs", &role).unwrap();
    let batch = jobs.take_many(2).unwrap();
    let text = dir.ok("stat jobs", b"");
    let me = std::process::id();
    shows(
        &text,
        &[
            "jobs: started, ready",
            "holds 20 items of type u64 (8B)",
            "when full a put waits",
            "delivery at-least-once: after 2 deliveries an item goes to 'dead'",
            "created 20",
            "items",
            "in the queue 4 20 % full",
            "in hand 2",
            "put 9",
            "acknowledged 3 33 % of those put",
            "dropped 0",
            "redelivered 1 deliveries beyond the first",
            "dead letters 1 moved to 'dead'; they count as acknowledged",
            "seats: 5 of 7 taken",
            "SEAT PID ROLE HELD",
        ],
    );
    assert!(
        text.contains(" UTC, ") && text.contains(&format!(" ago, by process {me}\n")),
        "{text}"
    );
    // Whose seats they are: this program's, by its command, and what they hold.
    let own = std::env::current_exe().unwrap();
    let own = own.file_name().unwrap().to_str().unwrap();
    let seats: Vec<String> = lines(&text)
        .into_iter()
        .skip_while(|line| !line.starts_with("SEAT"))
        .skip(1)
        .collect();
    assert_eq!(seats.len(), 5, "{text}");
    for seat in &seats {
        assert!(
            seat.contains(&format!(" {me} ")) && seat.contains(&own[..20]),
            "{text}"
        );
    }
    let holding = seats.iter().filter(|seat| seat.contains(" both 1"));
    assert_eq!(holding.count(), 2, "{text}");
    assert!(
        seats.iter().any(|seat| seat.contains(" producer 0")),
        "{text}"
    );
    batch.ack();
}

#[test]
fn what_needs_attention_is_said_with_a_way_out() {
    let dir = Dir::new();
    dir.ok(
        "create q --capacity 4 --item-size 64KiB --lossy --not-ready",
        b"",
    );
    dir.ok("clear q", b"");
    let text = dir.ok("stat q", b"");
    shows(
        &text,
        &[
            "q: started, not ready (puts are refused until `prodcon ready q`)",
            "holds 4 items of up to 64KiB",
            "when full a put drops the oldest item",
            "delivery at-most-once",
            "cleared or closed ",
            "seats: 0 of 64 taken",
        ],
    );
    dir.ok("ready q", b"");
    dir.ok("put q --frames 1", b"abcdef");
    shows(
        &dir.ok("stat q", b""),
        &["in the queue 4 100 % full", "dropped 2 33 % of those put"],
    );
    dir.ok("state q stop_at_queue_end", b"");
    shows(
        &dir.ok("stat q", b""),
        &["q: stopping at the end of the queue, ready"],
    );
    dir.ok("create blocks --capacity 8 --type f32 --batch 1k", b"");
    shows(
        &dir.ok("stat blocks", b""),
        &["holds 8 blocks of up to 1000 items of type f32 (4B)"],
    );
    let list = dir.ok("ls", b"");
    shows(
        &list,
        &["q bytes 4 64KiB 4 stop_at_queue_end 0 idle, 4 items"],
    );
}

#[test]
fn programs_are_shown_what_they_always_were() {
    let dir = Dir::new();
    dir.ok("create q --capacity 4 --item-size 64KiB", b"");
    dir.ok("put q --frames 1", b"abc");
    let attach = AttachOptions::new().directory(&dir.0);
    let _seat = ReadyQueue::<[u8]>::attach_with("q", &attach).unwrap();
    let mut stat = dir.stat("q");
    assert!(stat["created_ns"].as_u64() > Some(0));
    let creator = stat["creator_pid"].as_u64();
    assert!(creator.is_some());
    stat.as_object_mut()
        .unwrap()
        .retain(|key, _| !["created_ns", "creator_pid"].contains(&key.as_str()));
    assert_eq!(
        stat.to_string(),
        format!(
            "{{\"name\":\"q\",\"type\":\"bytes\",\"capacity\":4,\"item_size\":65536,\"seats\":64,\
             \"seats_live\":1,\"seats_dead\":0,\"len\":3,\"ready\":true,\"epoch\":0,\
             \"state\":\"started\",\"lossy\":false,\"at_least_once\":false,\"held\":0,\
             \"puts\":3,\"gets\":0,\"dropped\":0,\"cleared\":0,\"lost\":0,\"redelivered\":0,\
             \"dead_lettered\":0,\"max_deliveries\":0,\"dead_letter\":null,\"batch\":1,\"copy_in_slot\":false,\
             \"members\":[{{\"seat\":0,\"pid\":{},\"role\":\"both\",\"held\":0,\"holding_ns\":null,\"asleep\":false}}]}}",
            std::process::id()
        )
    );
    let list: serde_json::Value = serde_json::from_str(&dir.ok("ls --json", b"")).unwrap();
    assert_eq!(
        (&list[0]["item_size"], &list[0]["stale"]),
        (&65_536.into(), &false.into())
    );
}

#[test]
fn a_command_line_that_a_terminal_would_obey_is_shown_harmless() {
    let dir = Dir::new();
    dir.ok("create q --capacity 4 --item-size 4", b"");
    let mut child = Command::new(env!("CARGO_BIN_EXE_prodcon"));
    child
        .arg0("get\u{1b}[2J\nq")
        .args(["get", "q", "--follow"])
        .env("PRODCON_DIR", &dir.0)
        .stdout(std::process::Stdio::piped());
    let _child = support::Started(child.spawn().unwrap());
    support::until("its seat", || dir.stat("q")["seats_live"] == 1);
    let text = dir.ok("stat q", b"");
    assert!(
        !text.contains('\u{1b}') && text.contains("get?[2J?q get q --follow\n"),
        "{text}"
    );
}

#[test]
fn numbers_have_units_wherever_they_are_read() {
    let dir = Dir::new();
    dir.ok("create q --capacity 1k --item-size 2MiB --seats 1k", b"");
    assert_eq!(dir.stat("q")["seats"], 1000);
    dir.ok("put q --frames 1kB", b"x");
    dir.ok("get q --count 1k", b"");
    for line in [
        "create z --capacity 1 --item-size 2mib",
        "create z --capacity 1KiB --item-size 2",
        "create z --capacity 1 --type u8 --batch 64Ki",
    ] {
        dir.fails(line, 2, "expected");
    }
    #[cfg(feature = "bench")]
    dir.fails("bench --item-size 4B", 2, "expected at least 8 bytes");
    #[cfg(feature = "bench")]
    dir.fails("bench --producers 1k", 2, "expected 1 to 200");
}

#[test]
fn a_command_that_is_misspelt_is_proposed() {
    let dir = Dir::new();
    for (wrong, meant) in [
        ("stats", "'stat'"),
        ("creat", "'create'"),
        ("doctr", "'doctor'"),
    ] {
        let (status, _, err) = dir.run(wrong, b"");
        assert!(status == 2 && err.contains(meant), "{err}");
        assert!(!err.contains("worker"), "{err}");
    }
}
