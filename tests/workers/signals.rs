//! SIGINT and SIGTERM: from a terminal, from an init system, from a person.

use crate::fixture::{Fixture, signal, until};
use prodcon::worker::{Consumer, ConsumerOptions};
use prodcon::{Control, ReadyQueue};
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Stdio};
use std::time::Duration;

#[test]
fn a_worker_by_hand_ends_well_on_a_signal_and_its_batch_counts() {
    for number in [libc::SIGINT, libc::SIGTERM] {
        for again in [false, true] {
            let fixture = Fixture::new();
            let options = fixture.options(64).at_least_once(again);
            let mut queue = ReadyQueue::<u64>::create("c", &options).unwrap();
            let mut worker = fixture
                .program("consumer")
                .args(["--attach", "c", "pause_us=300000"])
                .spawn()
                .unwrap();
            (0..3).for_each(|item| queue.put(&item).unwrap());
            until("its first call", || fixture.worked() == [0]);
            signal(worker.id() as i32, number);
            let status = worker.wait().unwrap();
            assert_eq!(
                status.code(),
                Some(0),
                "signal {number}, at-least-once: {again}: {status}"
            );
            assert_eq!((fixture.log().stops.len(), fixture.worked()), (1, vec![0]));
            let stats = queue.control().stats().unwrap();
            assert_eq!(
                (stats.gets, stats.lost, stats.len, stats.unacked),
                (1, 0, 2, 0),
                "{stats:?}"
            );
            assert_eq!(
                queue.control().state(),
                prodcon::State::Started,
                "the others go on"
            );
        }
    }
}

#[test]
fn a_producer_that_sleeps_ends_well_on_a_signal() {
    let fixture = Fixture::new();
    let _carrier = Control::create::<[u8]>("p", &fixture.options(1).item_size(8)).unwrap();
    let mut command = fixture.program("producer");
    let mut worker = command
        .args(["--attach", "p"])
        .env("PRODCON_WORK_TIMEOUT", "3600")
        .spawn()
        .unwrap();
    until("its first call", || fixture.worked() == [0]);
    signal(worker.id() as i32, libc::SIGTERM);
    assert_eq!(worker.wait().unwrap().code(), Some(0));
    assert_eq!(fixture.log().stops.len(), 1);
}

#[test]
fn a_wait_on_another_queue_ends_with_the_worker() {
    for how in ["a signal", "its state", "its name"] {
        let fixture = Fixture::new();
        let options = fixture.options(1);
        let carrier = Control::create::<[u8]>("p", &options.clone().item_size(8)).unwrap();
        let other = Control::create::<u64>("other", &options).unwrap();
        let mut command = fixture.program("producer");
        let mut worker = command
            .args(["--attach", "p", "waits_for=other"])
            .spawn()
            .unwrap();
        until("it sleeps", || {
            let stats = other.stats().unwrap();
            stats.members.iter().any(|seat| seat.asleep)
        });
        match how {
            "a signal" => signal(worker.id() as i32, libc::SIGTERM),
            "its state" => carrier.set_state(prodcon::State::Stopped).unwrap(),
            _ => carrier.unlink().unwrap(),
        }
        let status = worker.wait().unwrap();
        assert_eq!(status.success(), how != "its name", "{how}: {status}");
        assert_eq!(fixture.log().stops.len(), 1, "{how}");
    }
}

#[test]
fn a_second_signal_kills() {
    let fixture = Fixture::new();
    let mut queue = ReadyQueue::<u64>::create("c", &fixture.options(4)).unwrap();
    let mut worker = fixture
        .program("consumer")
        .args(["--attach", "c", "hang_at=1"])
        .spawn()
        .unwrap();
    queue.put(&1).unwrap();
    until("its call", || fixture.worked() == [1]);
    let mut status = None;
    until("its end", || {
        if status.is_none() {
            signal(worker.id() as i32, libc::SIGTERM);
        }
        status = worker.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(
        status.and_then(|status| status.signal()),
        Some(libc::SIGTERM)
    );
    assert!(fixture.log().stops.is_empty());
}

#[test]
fn a_signal_that_was_ignored_from_the_beginning_stays_ignored() {
    let fixture = Fixture::new();
    let mut queue = ReadyQueue::<u64>::create("c", &fixture.options(4)).unwrap();
    let mut command = fixture.program("consumer");
    let ignore = || {
        // SAFETY: async-signal-safe, and SIG_IGN is no function of ours.
        unsafe { libc::signal(libc::SIGINT, libc::SIG_IGN) };
        Ok(())
    };
    // SAFETY: `ignore` only makes a call that is async-signal-safe.
    unsafe { command.pre_exec(ignore) };
    let mut worker = command.args(["--attach", "c"]).spawn().unwrap();
    queue.put(&1).unwrap();
    until("its call", || fixture.worked() == [1]);
    signal(worker.id() as i32, libc::SIGINT);
    queue.put(&2).unwrap();
    until("another call", || fixture.worked() == [1, 2]);
    signal(worker.id() as i32, libc::SIGTERM);
    assert_eq!(worker.wait().unwrap().code(), Some(0));
}

#[test]
fn one_of_several_processes_that_gets_a_signal_ends_alone_and_is_not_started_again() {
    let fixture = Fixture::new();
    let mut consumer = fixture.consumer(
        "c",
        ConsumerOptions::new()
            .processes(2)
            .restart(prodcon::worker::Restart::OnFailure {
                limit: 5,
                backoff: Duration::from_millis(1),
            }),
    );
    let (send, exits) = std::sync::mpsc::channel();
    consumer.on_exit(move |exit| send.send(exit).unwrap());
    consumer.start_new(fixture.program("consumer")).unwrap();
    until("both", || fixture.logs().len() == 2);
    let victim = consumer.pids()[0];
    signal(victim as i32, libc::SIGTERM);
    let exit = exits.recv_timeout(Duration::from_secs(60)).unwrap();
    assert!(
        exit.pid == victim && exit.success() && !exit.restarts,
        "{exit:?}"
    );
    consumer.put_in_queue(&1).unwrap();
    until("the call of the other", || fixture.worked() == [1]);
    assert!(consumer.stop().unwrap().success());
    assert!(fixture.logs().iter().all(|log| log.stops.len() == 1));
}

/// A controlling process with its workers, in a process group of its own.
fn group(fixture: &Fixture, controls: &str, group: i32) -> Child {
    let mut command = fixture.program("controller");
    command
        .arg("quiet=1")
        .env("TEST_CONTROLS", controls)
        .process_group(group);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = [0; 8];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut said)
        .unwrap();
    child
}

#[test]
fn an_interrupt_of_the_whole_foreground_group_leaves_nothing_and_on_stop_runs() {
    for round in 0..5 {
        let fixture = Fixture::new();
        let mut consumer = group(&fixture, "consumer c 2 create", 0);
        let leader = consumer.id() as i32;
        let mut producer = group(&fixture, "producer p c", leader);
        until("work", || fixture.worked().len() > 100);
        signal(-leader, libc::SIGINT);
        assert_eq!(consumer.wait().unwrap().signal(), Some(libc::SIGINT));
        assert_eq!(producer.wait().unwrap().signal(), Some(libc::SIGINT));
        until("on_stop of all", || {
            fixture
                .logs()
                .iter()
                .map(|log| log.stops.len())
                .sum::<usize>()
                == 3
        });
        fixture.assert_nobody_left();
        // And the next start has the names.
        drop(
            Consumer::<u64>::create("c", &ConsumerOptions::new().directory(&fixture.dir)).unwrap(),
        );
        assert!(fixture.logs().len() == 3, "{round}");
    }
}
