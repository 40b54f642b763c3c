//! `prodcon metrics`: what Prometheus is shown.

mod support;

use prodcon::{AttachOptions, QueueOptions, ReadyQueue};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;
use support::{Dir, Started, until};

/// A sample's name and labels, and its value.
type Samples = BTreeMap<String, f64>;

fn samples(text: &str) -> Samples {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let samples = lines.map(|line| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    });
    let all: Vec<(String, f64)> = samples.collect();
    let map: Samples = all.iter().cloned().collect();
    assert_eq!(map.len(), all.len(), "a sample came twice: {text}");
    map
}

/// Queues in which every figure is another one.
fn queues(dir: &Dir) -> ReadyQueue<u64> {
    dir.ok("create dead --capacity 10 --type u64", b"");
    dir.ok("create lossy.b --capacity 4 --item-size 1 --lossy", b"");
    dir.ok("put lossy.b --frames 1", b"abcdefg"); // drops 3
    dir.ok("get lossy.b --count 1", b"");
    dir.ok("not-ready lossy.b", b"");
    let attach = AttachOptions::new().directory(&dir.0);
    let options = QueueOptions::new(20)
        .at_least_once(true)
        .dead_letter("dead", 2)
        .seats(7)
        .attach(attach.max_unacked(3));
    let mut jobs = ReadyQueue::<u64>::create("jobs", &options).unwrap();
    for item in 0..9 {
        jobs.put(&item).unwrap();
    }
    jobs.take().unwrap().ack();
    // Delivered twice and given back twice: the next one to come by buries it.
    for _ in 0..2 {
        jobs.take().unwrap().nack().unwrap();
    }
    assert_eq!(*jobs.take().unwrap(), 2);
    jobs
}

#[test]
fn every_metric_shows_the_figure_of_the_queue() {
    let dir = Dir::new();
    let mut jobs = queues(&dir);
    let taken = jobs.take_many(1).unwrap();
    let text = dir.ok("metrics", b"");
    let shown = samples(&text);
    let mut expected = Samples::new();
    let mut nonzero = std::collections::BTreeSet::new();
    for name in ["dead", "jobs", "lossy.b"] {
        let stat = dir.stat(name);
        let number = |key: &str| stat[key].as_f64().unwrap();
        let queue = format!("queue=\"{name}\"");
        let mut add = |metric: &str, value: f64| {
            if value > 0.0 {
                nonzero.insert(metric.to_owned());
            }
            expected.insert(format!("prodcon_{metric}"), value);
        };
        let counters = [
            "puts",
            "gets",
            "dropped",
            "cleared",
            "lost",
            "redelivered",
            "dead_lettered",
        ];
        for counter in counters {
            add(&format!("{counter}_total{{{queue}}}"), number(counter));
        }
        for (metric, key) in [
            ("items", "len"),
            ("unacked_items", "held"),
            ("capacity_items", "capacity"),
        ] {
            add(&format!("queue_{metric}{{{queue}}}"), number(key));
        }
        let (live, dead) = (number("seats_live"), number("seats_dead"));
        for (state, seats) in [
            ("live", live),
            ("dead", dead),
            ("free", number("seats") - live - dead),
        ] {
            add(&format!("seats{{{queue},state=\"{state}\"}}"), seats);
        }
        let bit = |key: &str| f64::from(u8::from(stat[key].as_bool().unwrap()));
        add(&format!("ready{{{queue}}}"), bit("ready"));
        add(&format!("queue_longest_hold_seconds{{{queue}}}"), 0.0);
        add(&format!("state{{{queue}}}"), 2.0);
        add(&format!("queue_up{{{queue}}}"), 1.0);
        let labels = format!(
            "{queue},type=\"{}\",lossy=\"{}\",delivery=\"{}\"",
            stat["type"].as_str().unwrap(),
            stat["lossy"],
            if stat["at_least_once"] == true {
                "at-least-once"
            } else {
                "at-most-once"
            }
        );
        add(&format!("info{{{labels}}}"), 1.0);
        let created = format!("prodcon_queue_created_seconds{{{queue}}}");
        let found = shown[&created];
        assert!((found - number("created_ns") / 1e9).abs() < 1e-3, "{found}");
        expected.insert(created, found);
    }
    assert_eq!(shown, expected);
    for metric in [
        "puts_total{queue=\"jobs\"}",
        "gets_total{queue=\"jobs\"}",
        "dropped_total{queue=\"lossy.b\"}",
        "redelivered_total{queue=\"jobs\"}",
        "dead_lettered_total{queue=\"jobs\"}",
        "queue_items{queue=\"jobs\"}",
        "queue_items{queue=\"dead\"}",
        "queue_unacked_items{queue=\"jobs\"}",
        "seats{queue=\"jobs\",state=\"live\"}",
    ] {
        assert!(nonzero.contains(metric), "{metric} is zero: {text}");
    }
    assert_eq!(shown["prodcon_ready{queue=\"lossy.b\"}"], 0.0);
    taken.ack();
}

#[test]
fn what_is_cleared_or_lost_or_dead_is_counted() {
    let dir = Dir::new();
    dir.ok("create q --capacity 10 --item-size 4", b"");
    let state = |text: &str| samples(text)["prodcon_state{queue=\"q\"}"];
    dir.ok("put q", b"a\nb\n");
    dir.ok("clear q", b"");
    let attach = AttachOptions::new().directory(&dir.0);
    let mut queue = ReadyQueue::<[u8]>::attach_with("q", &attach).unwrap();
    queue.put(b"c").unwrap();
    assert!(queue.take().unwrap().nack().is_err()); // counted as lost
    let shown = samples(&dir.ok("metrics q", b""));
    assert_eq!(shown["prodcon_cleared_total{queue=\"q\"}"], 2.0);
    assert_eq!(shown["prodcon_lost_total{queue=\"q\"}"], 1.0);
    dir.ok("state q stop_at_queue_end", b"");
    assert_eq!(state(&dir.ok("metrics q", b"")), 3.0);
    dir.ok("state q stopped", b"");
    assert_eq!(state(&dir.ok("metrics q", b"")), 1.0);
}

#[test]
fn the_item_of_a_dead_consumer_is_still_in_hand_until_somebody_recovers_it() {
    let dir = Dir::new();
    dir.ok("create q --capacity 10 --item-size 4", b"");
    dir.ok("put q", b"a\nb\n");
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "takes_an_item_and_dies", "--ignored"])
        .env("PRODCON_DIR", &dir.0)
        .output()
        .unwrap();
    assert!(!child.status.success());
    let shown = samples(&dir.ok("metrics q", b""));
    let seats = |state: &str| shown[&format!("prodcon_seats{{queue=\"q\",state=\"{state}\"}}")];
    assert_eq!(
        (seats("live"), seats("dead"), seats("free")),
        (0.0, 0.0, 64.0)
    );
    assert_eq!(shown["prodcon_queue_unacked_items{queue=\"q\"}"], 1.0);
}

#[test]
#[ignore = "it is started by another test, and dies"]
fn takes_an_item_and_dies() {
    let mut queue = ReadyQueue::<[u8]>::attach("q").unwrap();
    let item = queue.take().unwrap();
    assert_eq!(&*item, b"a");
    std::process::abort();
}

#[test]
fn missing_and_damaged_queues_are_shown_as_down() {
    let dir = Dir::new();
    dir.ok("create sound --capacity 1 --item-size 4", b"");
    std::fs::write(dir.0.join("prodcon.bad"), b"hello").unwrap();
    let up = |arguments: &str| -> Vec<(String, f64)> {
        let shown = samples(&dir.ok(&format!("metrics {arguments}"), b""));
        let up = shown.into_iter();
        up.filter(|(name, _)| name.starts_with("prodcon_queue_up"))
            .collect()
    };
    let pair = |name: &str, value| (format!("prodcon_queue_up{{queue=\"{name}\"}}"), value);
    assert_eq!(up(""), [pair("bad", 0.0), pair("sound", 1.0)]);
    assert_eq!(
        up("s* sound sound none"),
        [pair("none", 0.0), pair("sound", 1.0)]
    );
    assert_eq!(up("nobody*"), []);
    let (status, _, err) = dir.run("metrics .wrong", b"");
    assert!(status == 2 && err.contains(".wrong"), "{err}");
    let nowhere = dir
        .command("metrics")
        .env("PRODCON_DIR", "/nowhere")
        .output();
    assert_eq!(nowhere.unwrap().status.code(), Some(1));
}

#[test]
fn it_takes_no_seat_and_one_descriptor_at_a_time() {
    let dir = Dir::new();
    dir.ok("create q0 --capacity 1 --item-size 4 --seats 1", b"");
    for number in 1..40 {
        std::fs::copy(
            dir.0.join("prodcon.q0"),
            dir.0.join(format!("prodcon.q{number}")),
        )
        .unwrap();
    }
    let attach = AttachOptions::new().directory(&dir.0);
    let _only_seat = ReadyQueue::<[u8]>::attach_with("q0", &attach).unwrap();
    let output = Command::new("sh")
        .args(["-c", "ulimit -n 12; exec \"$p\" metrics"])
        .env("p", env!("CARGO_BIN_EXE_prodcon"))
        .env("PRODCON_DIR", &dir.0)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let up = text
        .lines()
        .filter(|line| line.starts_with("prodcon_queue_up{") && line.ends_with(" 1"));
    assert_eq!(up.count(), 40, "{text}");
    assert!(
        text.contains("prodcon_seats{queue=\"q0\",state=\"live\"} 1\n"),
        "{text}"
    );
}

/// Its answer to a request.
fn ask(place: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(place).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn scrape(place: &str) -> String {
    let answer = ask(place, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(
        head.contains("Content-Type: text/plain; version=0.0.4"),
        "{head}"
    );
    assert!(
        head.contains(&format!("Content-Length: {}", text.len())),
        "{head}"
    );
    text.to_owned()
}

/// Serves at a port that is free: the process and the place.
fn serve(dir: &Dir, names: &str) -> (Started, String) {
    let mut child = dir.start(&format!("metrics --listen 127.0.0.1:0 {names}"));
    let mut said = String::new();
    let err = child.0.stderr.as_mut().unwrap();
    BufReader::new(err).read_line(&mut said).unwrap();
    let place = said
        .split_once("http://")
        .and_then(|(_, rest)| rest.split_once("/metrics"))
        .unwrap_or_else(|| panic!("{said}"))
        .0
        .to_owned();
    (child, place)
}

#[test]
fn a_scrape_sees_queues_come_and_go_and_ends_well() {
    for (signal, with_client) in [("-INT", true), ("-TERM", false)] {
        let dir = Dir::new();
        let (server, place) = serve(&dir, "");
        assert_eq!(samples(&scrape(&place)), Samples::new());
        dir.ok("create q --capacity 9 --item-size 4", b"");
        dir.ok("put q", b"a\nb\n");
        assert_eq!(
            samples(&scrape(&place))["prodcon_puts_total{queue=\"q\"}"],
            2.0
        );
        std::fs::write(dir.0.join("prodcon.bad"), [7; 5000]).unwrap();
        let shown = samples(&scrape(&place));
        assert_eq!(shown["prodcon_queue_up{queue=\"bad\"}"], 0.0);
        assert_eq!(shown["prodcon_queue_up{queue=\"q\"}"], 1.0);
        dir.ok("rm q bad", b"");
        assert_eq!(samples(&scrape(&place)), Samples::new());
        // A queue of the same name counts from the beginning.
        dir.ok("create q --capacity 9 --item-size 4", b"");
        assert_eq!(
            samples(&scrape(&place))["prodcon_puts_total{queue=\"q\"}"],
            0.0
        );
        assert!(ask(&place, "nonsense\r\n\r\n").starts_with("HTTP/1.1 400"));
        // A client that connects and says nothing holds up no other one.
        let silent = with_client.then(|| TcpStream::connect(&place).unwrap());
        scrape(&place);
        server.signal(signal);
        assert_eq!(server.end().0, 0);
        drop(silent);
    }
}

#[test]
fn an_address_that_is_taken_is_named() {
    let dir = Dir::new();
    let (server, place) = serve(&dir, "");
    dir.fails(&format!("metrics --listen {place}"), 1, &place);
    assert_eq!(dir.run("metrics --listen nonsense", b"").0, 2);
    assert_eq!(dir.run("metrics --listen 1 --textfile x", b"").0, 2);
    server.signal("-TERM");
    assert_eq!(server.end().0, 0);
}

#[test]
fn a_textfile_is_always_whole() {
    let (dir, out) = (Dir::new(), Dir::new());
    for name in ["a", "b"] {
        dir.ok(&format!("create {name} --capacity 9 --item-size 4"), b"");
    }
    let path = out.0.join("prodcon.prom");
    let line = format!("metrics --textfile {} --interval 0.1", path.display());
    let writer = dir.start(&line);
    until("the file", || path.exists());
    let whole = std::fs::read_to_string(&path).unwrap().lines().count();
    // Under its name there is never another file than a whole one, and each time a new one.
    let mut files = std::collections::BTreeSet::new();
    until("the file's being written again", || {
        use std::os::unix::fs::MetadataExt;
        let mut file = std::fs::File::open(&path).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text.lines().count(), whole, "{text}");
        let metadata = file.metadata().unwrap();
        files.insert((metadata.ino(), metadata.mtime(), metadata.mtime_nsec()));
        files.len() > 3
    });
    writer.signal("-INT");
    assert_eq!(writer.end(), (0, String::new(), String::new()));
    let left: Vec<_> = std::fs::read_dir(&out.0).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    dir.ok(
        &format!("metrics --once a --textfile {}", path.display()),
        b"",
    );
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("\"a\"") && !text.contains("\"b\""), "{text}");
    dir.fails(
        "metrics --once --textfile /nowhere/x.prom",
        1,
        "/nowhere/x.prom",
    );
    dir.fails("metrics --once --textfile /", 1, "/");
    // A device is no file to be replaced, least of all by root.
    let device = dir.0.join("device");
    std::os::unix::fs::symlink("/dev/null", &device).unwrap();
    dir.fails(
        &format!("metrics --once --textfile {}", device.display()),
        1,
        "no regular file",
    );
    assert!(device.symlink_metadata().unwrap().is_symlink());
    std::fs::remove_file(&device).unwrap();
}

/// Runs promtool with this on stdin, if it is there.
fn promtool(arguments: &[&str], input: &str) {
    let child = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        println!("SKIPPED: promtool is not here (Debian's package prometheus has it)");
        return;
    };
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success(), "{arguments:?}: {said:?}");
    // What it would rather have otherwise it says with status 0, or 3.
    assert!(said[1].is_empty(), "{arguments:?}: {said:?}");
}

#[test]
fn promtool_finds_no_fault_with_the_metrics() {
    let dir = Dir::new();
    let _jobs = queues(&dir);
    promtool(&["check", "metrics"], &dir.ok("metrics", b""));
}

/// A file of the documentation.
fn document(name: &str) -> String {
    let path = format!("{}/../docs/monitoring/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn promtool_finds_no_fault_with_the_alert_rules() {
    let dir = format!("{}/../docs/monitoring", env!("CARGO_MANIFEST_DIR"));
    let [rules, tests] = ["alerts.yml", "alerts_test.yml"].map(|name| format!("{dir}/{name}"));
    promtool(&["check", "rules", &rules], "");
    promtool(&["test", "rules", &tests], "");
}

#[test]
fn rules_dashboard_and_text_name_metrics_that_exist() {
    let dir = Dir::new();
    let _jobs = queues(&dir);
    let text = dir.ok("metrics", b"");
    let words = |text: &str| -> std::collections::BTreeSet<String> {
        text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .filter(|word| {
                word.strip_prefix("prodcon_")
                    .is_some_and(|rest| !rest.is_empty())
            })
            .map(str::to_owned)
            .collect()
    };
    let known = words(&text);
    for name in ["alerts.yml", "alerts_test.yml", "dashboard.json"] {
        for word in words(&document(name)) {
            assert!(known.contains(&word), "{name}: {word}");
        }
    }
    assert_eq!(words(&document("../monitoring.md")), known);
    let dashboard: serde_json::Value = serde_json::from_str(&document("dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() > 5, "{dashboard}");
    for panel in panels {
        assert!(
            panel["title"].is_string() && panel["type"].is_string(),
            "{panel}"
        );
    }
}
