//! Limits, ends that nobody can see, and programs that misbehave.

use crate::fixture::{Fixture, heard, until, within_a_minute};
use prodcon::QueueOptions;
use prodcon::worker::{Consumer, ConsumerOptions, ProducerOptions, Program, Restart};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

#[test]
fn timeouts_without_end_are_none() {
    let fixture = Fixture::new();
    let mut consumer = fixture.consumer(
        "c",
        ConsumerOptions::new()
            .start_timeout(Duration::MAX)
            .stop_timeout(Duration::MAX)
            .restart(Restart::OnFailure {
                limit: u32::MAX,
                backoff: Duration::MAX,
            }),
    );
    let results = heard(&mut consumer);
    consumer
        .start_new(fixture.worker("consumer", ["results=1"]))
        .unwrap();
    consumer.put_in_queue(&1).unwrap();
    assert_eq!(
        consumer.wait_timeout(Duration::from_millis(1)).unwrap(),
        None
    );
    until("the result", || results.lock().unwrap().len() == 1);
    assert!(consumer.stop().unwrap().success());
    consumer.start_external().unwrap();
    within_a_minute("the end", move || drop(consumer));
    fixture.assert_nobody_left();
}

#[test]
fn a_start_without_descriptors_fails_and_damages_nothing() {
    let fixture = Fixture::new();
    let mut controller = fixture.program("controller");
    controller
        .env("TEST_CONTROLS", "without_descriptors c")
        .stdout(Stdio::piped());
    let mut child = controller.spawn().unwrap();
    assert!(ends(&mut child), "it failed");
    let said = std::io::read_to_string(child.stdout.take().unwrap()).unwrap();
    assert!(said.contains("starts failed"), "{said}");
    fixture.assert_nobody_left();
}

/// Waits for its end; whether it ended well.
fn ends(child: &mut Child) -> bool {
    let mut status = None;
    until("the end of a controlling process", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.is_some_and(|status| status.success())
}

#[test]
fn where_ends_cannot_be_seen_a_worker_that_ended_well_has() {
    let fixture = Fixture::new();
    let mut controller = fixture.program("controller");
    controller
        .env("TEST_CONTROLS", "consumer c 2 create")
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    let ignore = || {
        // SAFETY: async-signal-safe, and SIG_IGN is no function of ours.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
        Ok(())
    };
    // SAFETY: `ignore` only makes a call that is async-signal-safe.
    unsafe { controller.pre_exec(ignore) };
    let mut child = controller.spawn().unwrap();
    until("two workers", || fixture.logs().len() == 2);
    drop(child.stdin.take());
    assert!(
        ends(&mut child),
        "it took the end of its workers for a failure"
    );
    assert_eq!(fixture.logs().len(), 2, "none was started again");
    fixture.assert_nobody_left();
}

#[test]
fn where_ends_cannot_be_seen_a_failure_that_was_told_is_one() {
    is_started_again_unseen("fail_at=5", false);
}

#[test]
fn where_ends_cannot_be_seen_a_worker_that_was_killed_is_started_again() {
    is_started_again_unseen("die_at=5", false);
}

#[test]
fn where_ends_cannot_be_seen_any_more_a_worker_that_was_killed_is_started_again() {
    is_started_again_unseen("die_at=5", true);
}

/// A controlling process that ignores SIGCHLD, from the beginning or `later`, starts a worker again
/// that ended at the item as its argument says.
fn is_started_again_unseen(argument: &str, later: bool) {
    let fixture = Fixture::new();
    let mut controller = fixture.program("controller");
    controller
        .env("TEST_CONTROLS", "consumer c 1 create")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    controller.arg(argument);
    let ignore = || {
        // SAFETY: async-signal-safe, and SIG_IGN is no function of ours.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
        Ok(())
    };
    if later {
        controller.env("TEST_HIDES_ENDS", "1");
    } else {
        // SAFETY: `ignore` only makes a call that is async-signal-safe.
        unsafe { controller.pre_exec(ignore) };
    }
    let mut child = controller.spawn().unwrap();
    let said = BufReader::new(child.stdout.take().unwrap()).lines().next();
    assert_eq!(said.unwrap().unwrap(), "started");
    until("a worker", || fixture.logs().len() == 1);
    fixture.queue("c").put(&5).unwrap();
    until("the one that follows it", || fixture.logs().len() == 2);
    drop(child.stdin.take());
    assert!(ends(&mut child), "the second one ended well");
    fixture.assert_nobody_left();
}

#[test]
fn a_worker_that_cannot_see_its_controlling_process_any_more_ends_as_a_failure() {
    let fixture = Fixture::new();
    let mut producer = fixture.producer("p", ProducerOptions::new());
    producer
        .start_new(fixture.worker("producer", ["close_at=3", "to=5"]))
        .unwrap();
    let ended = within_a_minute("the end", move || producer.wait().unwrap());
    assert!(!ended.success(), "{ended:?}");
    // It has no descriptor left to tell its controlling process.
    let said = std::fs::read_to_string(fixture.dir.join("stderr")).unwrap();
    assert!(said.contains("closed this queue's descriptor"), "{said}");
    fixture.assert_nobody_left();
}

#[test]
fn a_restarted_process_that_never_attaches_is_killed_and_started_again() {
    let fixture = Fixture::new();
    let options = ConsumerOptions::new()
        .start_timeout(Duration::from_secs(2))
        .restart(Restart::OnFailure {
            limit: 2,
            backoff: Duration::from_millis(1),
        });
    let mut consumer = fixture.consumer("c", options);
    let (send, exits) = mpsc::channel();
    consumer.on_exit(move |exit| send.send(exit).unwrap());
    let program = crate::fixture::example("worker_for_tests");
    let mut command = fixture.program("consumer");
    let script = format!(
        "if [ -e {0} ]; then exec sleep 600; fi; : > {0}; exec {1} \"$@\"",
        fixture.dir.join("log/../stderr.flag").display(),
        program.display()
    );
    let variables: Vec<_> = command
        .get_envs()
        .map(|(name, value)| (name.to_owned(), value.unwrap().to_owned()))
        .collect();
    command = Command::new("sh");
    command.args(["-c", &script, "sh"]).envs(variables);
    consumer
        .start_new(Program::from(command).arg("die_at=1"))
        .unwrap();
    consumer.put_in_queue(&1).unwrap();
    let exit = || {
        exits
            .recv_timeout(Duration::from_secs(60))
            .expect("the end of a process")
    };
    assert!(exit().restarts);
    for restarts in [true, false] {
        let exit = exit();
        let text = exit.error.as_deref().unwrap_or("nothing");
        assert!(
            text.contains("did not attach within 2 s") && !exit.success(),
            "{exit:?}"
        );
        assert_eq!(exit.restarts, restarts);
    }
    let ended = within_a_minute("the end", move || consumer.wait().unwrap());
    assert!(!ended.success() && ended.restarts() == 2, "{ended:?}");
    let _ = std::fs::remove_file(fixture.dir.join("stderr.flag"));
}

#[test]
fn on_stop_runs_although_a_panics_payload_or_an_error_panics_too() {
    for (argument, text) in [
        ("drop_panics_at=3", "work panicked: (no text)"),
        ("bad_error_at=3", "cannot be shown"),
    ] {
        let fixture = Fixture::new();
        let mut consumer = fixture.consumer("c", ConsumerOptions::new());
        consumer
            .start_new(fixture.worker("consumer", [argument]))
            .unwrap();
        (0..4).for_each(|item| consumer.put_in_queue(&item).unwrap());
        let ended = consumer
            .wait_timeout(Duration::from_secs(60))
            .unwrap()
            .expect("the end");
        assert_eq!(fixture.log().stops.len(), 1, "{ended:?}");
        assert_eq!(ended.exits[0].status.unwrap().code(), Some(1));
        assert!(
            ended.error().is_some_and(|error| error.contains(text)),
            "{ended:?}"
        );
    }
}

#[test]
fn a_callback_that_panics_with_a_payload_that_panics_does_not_end_the_listening() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("and once more");
        }
    }
    let fixture = Fixture::new();
    let mut consumer = fixture.consumer("c", ConsumerOptions::new());
    let (send, results) = mpsc::channel();
    let mut first = true;
    consumer.on_result_ready(move |result| {
        if std::mem::take(&mut first) {
            // Quietly: it is no failure of this test.
            std::panic::resume_unwind(Box::new(Bomb));
        }
        send.send(result.text().unwrap().to_owned()).unwrap();
    });
    consumer
        .start_new(fixture.worker("consumer", ["results=1"]))
        .unwrap();
    (1..3).for_each(|item| consumer.put_in_queue(&item).unwrap());
    assert_eq!(
        results.recv_timeout(Duration::from_secs(60)).unwrap(),
        "1 3"
    );
    assert!(consumer.stop().unwrap().success());
}

#[test]
fn items_that_are_larger_than_the_workers_stack_are_worked_on_in_place() {
    const LARGE: usize = 2 << 20;
    // With a seat for each item of the buffer, and without.
    for (again, buffer, seats) in [
        (false, 1, None),
        (false, 3, None),
        (false, 8, Some(5)),
        (true, 8, Some(5)),
        (true, 2, None),
    ] {
        let fixture = Fixture::new();
        let queue = QueueOptions::new(3).at_least_once(again);
        let queue = if let Some(seats) = seats {
            queue.seats(seats)
        } else {
            queue
        };
        let options = ConsumerOptions::new()
            .queue(queue)
            .producers(1)
            .max_buffer_size(buffer);
        let options = options
            .work_timeout(Duration::from_millis(20))
            .directory(&fixture.dir);
        let mut consumer = Consumer::<[u8; LARGE]>::create("c", &options).unwrap();
        let (send, results) = mpsc::channel();
        consumer
            .on_result_ready(move |result| send.send(result.text().unwrap().to_owned()).unwrap());
        let mut command = fixture.program("giant");
        let small_stack = || {
            let limit = libc::rlimit {
                rlim_cur: 1 << 20,
                rlim_max: 1 << 20,
            };
            // SAFETY: async-signal-safe, and a valid structure.
            unsafe { libc::setrlimit(libc::RLIMIT_STACK, &raw const limit) };
            Ok(())
        };
        // SAFETY: `small_stack` only makes a call that is async-signal-safe.
        unsafe { command.pre_exec(small_stack) };
        consumer.start_new(command).unwrap();
        for value in 1..=6 {
            let mut item = consumer.work_queue().reserve().unwrap();
            item.fill(value);
            item.commit().unwrap();
        }
        consumer.set_stop_at_queue_end().unwrap();
        let ended = within_a_minute("the end", move || consumer.wait().unwrap());
        assert!(
            ended.success(),
            "{ended:?}, a buffer of {buffer}, seats: {seats:?}"
        );
        let right: Vec<String> = (1..=6).map(|value| format!("{value} true")).collect();
        assert_eq!(results.try_iter().collect::<Vec<_>>(), right);
        fixture.assert_nobody_left();
    }
}
