//! C processes and a Rust process (this one) on one queue, and C consumers that are killed with an item in hand.

mod support;

use rust::{AttachOptions, Control, GetError, QueueOptions, ReadyQueue, State};
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use support::{Fixture, have, until};

fn peer(fixture: &Fixture, program: &PathBuf, arguments: &[&str]) -> Command {
    let mut command = fixture.command(program);
    command.arg("q").args(arguments).stdout(Stdio::piped());
    command
}

fn options(fixture: &Fixture, capacity: u32) -> QueueOptions {
    QueueOptions::new(capacity).attach(AttachOptions::new().directory(fixture.queues()))
}

fn numbers(bytes: &[u8]) -> Vec<u64> {
    assert!(bytes.len() % 8 == 0, "an item was torn");
    bytes
        .chunks_exact(8)
        .map(|word| u64::from_ne_bytes(word.try_into().unwrap()))
        .collect()
}

#[test]
fn two_c_processes_and_a_rust_process_share_one_queue() {
    const EACH: u64 = 20_000;
    const RUST: u64 = 1 << 40;
    if !have("gcc") {
        return;
    }
    let fixture = Fixture::new();
    let program = fixture.compile("gcc", "c11", &["tests/peer.c"], &[]);
    // A queue of u64: the C processes attach to it as a queue of bytes.
    let mut queue = ReadyQueue::<u64>::create("q", &options(&fixture, 64).seats(8)).unwrap();
    let control = queue.control().try_clone().unwrap();
    let mut consumer = queue.try_clone().unwrap();
    let mut in_c = peer(&fixture, &program, &["get"]).spawn().unwrap();
    let mut out = in_c.stdout.take().unwrap();
    let (by_c, by_rust) = std::thread::scope(|scope| {
        // All of it is read, so that the consumer never waits for the pipe.
        let by_c = scope.spawn(move || {
            let mut bytes = vec![];
            out.read_to_end(&mut bytes).unwrap();
            numbers(&bytes)
        });
        let by_rust = scope.spawn(move || {
            let mut got = vec![];
            loop {
                match consumer.get() {
                    Ok(number) => got.push(number),
                    Err(GetError::Stopped) => return got,
                    Err(error) => panic!("{error}"),
                }
            }
        });
        let mut producer = peer(&fixture, &program, &["put", "0", &EACH.to_string()])
            .spawn()
            .unwrap();
        for number in RUST..RUST + EACH {
            queue.put(&number).unwrap();
        }
        assert!(producer.wait().unwrap().success());
        control.set_state(State::StopAtQueueEnd).unwrap();
        (by_c.join().unwrap(), by_rust.join().unwrap())
    });
    assert!(in_c.wait().unwrap().success());
    // Each consumer saw each producer's items in order, and together they saw each item once.
    for got in [&by_c, &by_rust] {
        for own in [
            got.iter().filter(|n| **n < RUST).collect::<Vec<_>>(),
            got.iter().filter(|n| **n >= RUST).collect(),
        ] {
            assert!(own.is_sorted(), "out of order");
        }
    }
    let mut all = [by_c, by_rust].concat();
    all.sort_unstable();
    assert!(
        all.into_iter().eq((0..EACH).chain(RUST..RUST + EACH)),
        "an item was lost or came twice"
    );
    let stats = control.stats().unwrap();
    assert_eq!(
        (stats.puts, stats.gets, stats.unacked, stats.lost),
        (2 * EACH, 2 * EACH, 0, 0)
    );
    drop(queue);
    control.unlink().unwrap();
    fixture.is_clean();
}

/// A C consumer is killed with an item in hand; what comes of the item.
fn killed(role: &str, at_least_once: bool) -> (Fixture, ReadyQueue<[u8]>, Control) {
    let mut fixture = Fixture::new();
    let program = fixture.compile("gcc", "c11", &["tests/peer.c"], &[]);
    let options = options(&fixture, 4)
        .item_size(8)
        .seats(4)
        .at_least_once(at_least_once);
    let mut queue = ReadyQueue::<[u8]>::create("q", &options).unwrap();
    let control = queue.control().try_clone().unwrap();
    queue.put(&7u64.to_ne_bytes()).unwrap();
    let child = fixture.start(&mut peer(&fixture, &program, &[role]));
    until("an item in hand", || control.stats().unwrap().unacked == 1);
    fixture.kill(child);
    (fixture, queue, control)
}

#[test]
fn an_item_in_the_hand_of_a_killed_c_consumer_comes_again() {
    if !have("gcc") {
        return;
    }
    for role in ["hold", "hold-get"] {
        let (fixture, mut queue, control) = killed(role, true);
        let item = queue
            .within(std::time::Duration::from_secs(60))
            .take()
            .unwrap();
        assert_eq!(
            (&*item, item.delivery_count()),
            (&7u64.to_ne_bytes()[..], 2)
        );
        item.ack();
        let stats = control.stats().unwrap();
        assert_eq!(
            (stats.gets, stats.lost, stats.unacked, stats.redelivered),
            (1, 0, 0, 1)
        );
        assert!(control.doctor().unwrap().ok());
        drop(fixture);
    }
}

#[test]
fn an_item_in_the_hand_of_a_killed_c_consumer_is_counted_as_lost() {
    if !have("gcc") {
        return;
    }
    let (fixture, mut queue, control) = killed("hold", false);
    until("recovery", || {
        control.recover().unwrap();
        control.stats().unwrap().lost == 1
    });
    assert!(matches!(queue.try_get(), Err(GetError::Empty)));
    let stats = control.stats().unwrap();
    assert!(stats.adds_up() && stats.unacked == 0, "{stats:?}");
    assert!(control.doctor().unwrap().ok());
    drop(fixture);
}

#[test]
fn killed_c_producers_and_consumers_stop_nobody() {
    if !have("gcc") {
        return;
    }
    let mut fixture = Fixture::new();
    let program = fixture.compile("gcc", "c11", &["tests/peer.c"], &[]);
    let options = options(&fixture, 16)
        .item_size(8)
        .seats(16)
        .at_least_once(true);
    let mut queue = ReadyQueue::<[u8]>::create("q", &options).unwrap();
    let control = queue.control().try_clone().unwrap();
    for round in 0..20u64 {
        let before = control.stats().unwrap().puts;
        let first = (round << 32).to_string();
        let producer = fixture
            .start(peer(&fixture, &program, &["put", &first, "1000000000"]).stdout(Stdio::null()));
        let consumer = fixture.start(peer(&fixture, &program, &["get"]).stdout(Stdio::null()));
        until("some puts", || control.stats().unwrap().puts > before + 100);
        fixture.kill(producer);
        fixture.kill(consumer);
        // Whatever they were at: this process gets on.
        while queue.try_get().is_ok() {}
        queue.put(&1u64.to_ne_bytes()).unwrap();
        while queue.get().unwrap() != 1u64.to_ne_bytes() {}
    }
    let report = control.doctor().unwrap();
    let stats = control.stats().unwrap();
    assert!(
        report.ok() && stats.adds_up() && stats.unacked == 0 && stats.lost == 0,
        "{report:?} {stats:?}"
    );
}
