//! A program in C as a worker under controlling handles in Rust, and by hand.

mod support;

use rust::worker::{Consumer, ConsumerOptions, OnFull, Producer, ProducerOptions, Program};
use rust::{Control, ErrorKind, QueueOptions, ReadyQueue};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;
use support::{Fixture, have, library, succeeds, until};

const MINUTE: Duration = Duration::from_secs(60);

/// A directory of the test's own, which `PRODCON_DIR` names: controlling handles find their segments by it. One test at a time has it.
struct Alone {
    fixture: Fixture,
    program: PathBuf,
    _turn: MutexGuard<'static, ()>,
}

/// `None` if it was skipped.
fn alone() -> Option<Alone> {
    static TURN: Mutex<()> = Mutex::new(());
    if !have("gcc") {
        return None;
    }
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let fixture = Fixture::new();
    let program = fixture.compile("gcc", "c11", &["examples/worker.c"], &[]);
    // SAFETY: only tests read the environment here, and only those that have the turn, with threads of their own that have ended before.
    unsafe { std::env::set_var("PRODCON_DIR", fixture.queues()) };
    Some(Alone {
        fixture,
        program,
        _turn: turn,
    })
}

fn at_least_once() -> QueueOptions {
    QueueOptions::new(1024).at_least_once(true)
}

fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("LD_LIBRARY_PATH", library());
    command
}

#[test]
fn a_c_consumer_works_off_its_queue_and_sends_results() {
    let Some(alone) = alone() else { return };
    let program = &alone.program;
    let mut sum =
        Consumer::<u64>::create("c-sum", &ConsumerOptions::new().queue(at_least_once())).unwrap();
    let (send, results) = mpsc::channel();
    sum.on_result_ready(move |result| send.send(result.text().unwrap().to_owned()).unwrap());
    sum.start_new(command(program)).unwrap();
    for number in 1..=100 {
        sum.put_in_queue(&number).unwrap();
    }
    sum.set_stop_at_queue_end().unwrap();
    let ended = sum.wait().unwrap();
    assert!(ended.success(), "{ended:?}");
    let results: Vec<String> = results.try_iter().collect();
    assert_eq!(results.len(), 100, "{results:?}");
    assert_eq!(results[99], "the sum is 5050 now");
    let stats = sum.stats().unwrap();
    assert_eq!(
        (stats.gets, stats.len, stats.unacked, stats.lost),
        (100, 0, 0, 0)
    );
    drop(sum);
    alone.fixture.is_clean();
}

#[test]
fn a_c_producer_serves_its_subscribers_and_obeys_messages() {
    let Some(alone) = alone() else { return };
    let program = &alone.program;
    let mut queue = ReadyQueue::<u64>::create("c-numbers", &QueueOptions::new(8)).unwrap();
    let mut count = Producer::create(
        "c-count",
        &ProducerOptions::new()
            .work_timeout(Duration::from_millis(1))
            .subscribers(["c-numbers"]),
    )
    .unwrap();
    let (send, messages) = mpsc::channel();
    count.on_message_ready(move |message| send.send(message.text().unwrap().to_owned()).unwrap());
    count
        .start_new(Program::from(command(program)).arg("role=producer"))
        .unwrap();
    // It waits for space: nothing is left out.
    for number in 1..=50 {
        assert_eq!(queue.within(MINUTE).get().unwrap(), number);
    }
    count.send_message("step 1000").unwrap();
    let mut last = 50;
    until("the new step", || {
        let next = queue.within(MINUTE).get().unwrap();
        let step = next - last;
        last = next;
        step == 1000
    });
    assert_eq!(messages.recv_timeout(MINUTE).unwrap(), "step 1000: done");
    count.send_message("jump").unwrap();
    let answer = loop {
        let _ = queue.within(MINUTE).get().unwrap();
        if let Ok(answer) = messages.try_recv() {
            break answer;
        }
    };
    assert_eq!(answer, "jump: not understood");
    // Full again, it sleeps in publish; it is stoppable there.
    until("a full queue", || queue.is_full());
    let ended = count.stop().unwrap();
    assert!(ended.success(), "{ended:?}");
    let control = queue.control().try_clone().unwrap();
    drop(queue);
    control.unlink().unwrap();
    drop(count);
    alone.fixture.is_clean();
}

#[test]
fn a_c_producer_leaves_full_queues_out_if_told_so() {
    let Some(alone) = alone() else { return };
    let program = &alone.program;
    let mut queue = ReadyQueue::<u64>::create("c-full", &QueueOptions::new(2)).unwrap();
    let options = ProducerOptions::new()
        .work_timeout(Duration::from_millis(1))
        .subscribers(["c-full"])
        .on_full(OnFull::Skip)
        .items_to_results(true);
    let mut count = Producer::create("c-skip", &options).unwrap();
    let (send, results) = mpsc::channel();
    count.on_result_ready(move |result| send.send(result.item::<u64>().unwrap()).unwrap());
    count
        .start_new(Program::from(command(program)).arg("role=producer"))
        .unwrap();
    // Each number is a result too, whether the queue took it or not.
    for number in 1..=50 {
        assert_eq!(results.recv_timeout(MINUTE).unwrap(), number);
    }
    assert_eq!(
        (
            queue.within(MINUTE).get().unwrap(),
            queue.within(MINUTE).get().unwrap()
        ),
        (1, 2)
    );
    assert!(
        queue.within(MINUTE).get().unwrap() > 2,
        "the queue was full: numbers were left out"
    );
    assert!(count.stop().unwrap().success());
    let control = queue.control().try_clone().unwrap();
    drop(queue);
    control.unlink().unwrap();
    drop(count);
    alone.fixture.is_clean();
}

#[test]
fn a_killed_c_consumer_is_heard_of_and_its_item_comes_again() {
    let Some(alone) = alone() else { return };
    let program = &alone.program;
    let options = ConsumerOptions::new().queue(at_least_once());
    let mut sum = Consumer::<u64>::create("c-killed", &options).unwrap();
    let (send, exits) = mpsc::channel();
    sum.on_exit(move |exit| send.send(exit).unwrap());
    sum.start_new(command(program)).unwrap();
    let pid = sum.pids()[0];
    // SAFETY: signals to a child of ours that has not been waited for.
    assert_eq!(unsafe { libc::kill(pid as i32, libc::SIGSTOP) }, 0);
    sum.put_in_queue(&7).unwrap();
    // SAFETY: as above.
    assert_eq!(unsafe { libc::kill(pid as i32, libc::SIGKILL) }, 0);
    assert_eq!(exits.recv_timeout(MINUTE).unwrap().pid, pid);
    assert!(!sum.wait().unwrap().success());
    let (send, results) = mpsc::channel();
    sum.on_result_ready(move |result| send.send(result.text().unwrap().to_owned()).unwrap());
    sum.start_new(command(program)).unwrap();
    sum.put_in_queue(&1).unwrap();
    assert!(
        results
            .recv_timeout(MINUTE)
            .unwrap()
            .starts_with("the sum is ")
    );
    sum.set_stop_at_queue_end().unwrap();
    assert!(sum.wait().unwrap().success());
    drop(sum);
    alone.fixture.is_clean();
}

#[test]
fn a_c_worker_ends_when_its_controlling_process_is_gone() {
    let Some(mut alone) = alone() else { return };
    let program = &alone.program.clone();
    // The state that a killed controlling process leaves: the segments, the supervised worker, and
    // no process that watches.
    let control = Control::create::<u64>("c-left", &QueueOptions::new(4)).unwrap();
    let mut command = command(program);
    let told = format!("c-left {}", control.id());
    command
        .args(["--attach", "c-left"])
        .env("PRODCON_WORKER", told)
        .stderr(Stdio::null());
    let child = alone.fixture.start(&mut command);
    alone.fixture.end_of(child);
    let _ = control.unlink();
    alone.fixture.is_clean();
}

#[test]
fn a_c_worker_that_fails_says_why() {
    let Some(alone) = alone() else { return };
    let program = &alone.program;
    let mut count = Producer::create(
        "c-fails",
        &ProducerOptions::new().work_timeout(Duration::from_millis(1)),
    )
    .unwrap();
    // The subscribed queue is of another size than the worker's items.
    let queue = ReadyQueue::<u32>::create("c-narrow", &QueueOptions::new(4)).unwrap();
    count.set_subscribers(["c-narrow"]).unwrap();
    let mut quiet = command(program);
    quiet.stderr(Stdio::null());
    count
        .start_new(Program::from(quiet).arg("role=producer"))
        .unwrap();
    let ended = count.wait().unwrap();
    assert!(
        !ended.success()
            && ended
                .error()
                .is_some_and(|text| text.contains("'c-narrow'")),
        "{ended:?}"
    );
    let control = queue.control().try_clone().unwrap();
    drop(queue);
    control.unlink().unwrap();
    // A program that is started as a worker of a name that is not there.
    let mut nobody = command(program);
    let output = nobody.args(["--attach", "c-nobody"]).output().unwrap();
    assert!(
        output.status.code() == Some(2)
            && String::from_utf8_lossy(&output.stderr).contains("c-nobody"),
        "{output:?}"
    );
    let output = command(program).output().unwrap();
    assert!(
        output.status.code() == Some(2)
            && String::from_utf8_lossy(&output.stderr).contains("usage: "),
        "{output:?}"
    );
    let output = command(program)
        .args(["--attach", "c\u{e9}\n"])
        .output()
        .unwrap();
    assert!(
        output.status.code() == Some(2) && String::from_utf8_lossy(&output.stderr).contains("name"),
        "{output:?}"
    );
    drop(count);
    alone.fixture.is_clean();
}

#[test]
fn a_c_worker_works_by_hand() {
    let Some(mut alone) = alone() else { return };
    let program = &alone.program.clone();
    let mut queue = ReadyQueue::<u64>::create("c-by-hand", &QueueOptions::new(64)).unwrap();
    let child = alone
        .fixture
        .start(command(program).args(["--attach", "c-by-hand"]));
    for number in 0..1000 {
        queue.put(&number).unwrap();
    }
    let control = queue.control().try_clone().unwrap();
    control.set_state(rust::State::StopAtQueueEnd).unwrap();
    alone.fixture.end_of(child);
    assert_eq!(control.stats().unwrap().gets, 1000);
    drop(queue);
    control.unlink().unwrap();
    alone.fixture.is_clean();
}

#[test]
fn a_program_that_is_no_worker_is_told_from_one() {
    let Some(alone) = alone() else { return };
    let mut count = Producer::create("c-true", &ProducerOptions::new()).unwrap();
    let error = count.start_new("true").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotAWorker, "{error}");
    drop(count);
    alone.fixture.is_clean();
}

/// What `c/tests/worker_calls.c` expects.
fn calls(alone: &Alone, program: &Path, through: &[&str]) {
    let mut command = match through {
        [tool, options @ ..] => {
            let mut command = alone.fixture.command(tool);
            command.args(options).arg(program);
            command
        }
        [] => alone.fixture.command(program),
    };
    let control =
        Control::create::<[u8]>("calls", &QueueOptions::new(2).item_size(8).seats(8)).unwrap();
    command.args(["--attach", "calls", "text", "key=value", "last"]);
    command
        .env("PRODCON_SUBSCRIBERS", "calls")
        .env("PRODCON_ON_FULL", "skip");
    command
        .env("PRODCON_WORK_TIMEOUT", "0.25")
        .env("PRODCON_MAX_BUFFER_SIZE", "7");
    succeeds(&mut command);
    let stats = control.stats().unwrap();
    assert_eq!((stats.seats_live, stats.gets, stats.lost), (0, 2, 0));
    for name in ["calls", "calls.in", "calls.out", "calls.results"] {
        rust::unlink(name).unwrap();
    }
    alone.fixture.is_clean();
}

#[test]
fn the_calls_of_a_worker_answer_as_documented() {
    let Some(alone) = alone() else { return };
    let program = alone
        .fixture
        .compile("gcc", "c11", &["tests/worker_calls.c"], &[]);
    calls(&alone, &program, &[]);
    if have("valgrind") {
        let options = [
            "--quiet",
            "--error-exitcode=9",
            "--leak-check=full",
            "--errors-for-leak-kinds=definite",
            "--fair-sched=yes",
        ];
        calls(&alone, &program, &[&["valgrind"], &options[..]].concat());
    }
    if support::have_sanitizers("gcc") {
        let program = alone.fixture.compile(
            "gcc",
            "c11",
            &["tests/worker_calls.c"],
            &support::SANITIZERS,
        );
        calls(&alone, &program, &[]);
    }
}
