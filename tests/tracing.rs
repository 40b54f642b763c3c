//! The events of feature `tracing`: what is out of the ordinary is told, a put and a get are not.

mod common;

use common::Dir;
use libtest_mimic::{Arguments, Trial};
use prodcon::worker::{BoxError, Consume, Consumer, ConsumerOptions, Context, Program, Restart};
use prodcon::{Batch, ErrorKind, QueueOptions, ReadyQueue, Role};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// The fields of an event, its level and its text among them.
type EventFields = BTreeMap<String, String>;

static ALL: Mutex<Vec<EventFields>> = Mutex::new(vec![]);

struct Listener;

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "prodcon"
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let level = event.metadata().level().to_string();
        fields.0.insert("level".into(), level);
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(fields.0);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Fields(EventFields);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().into(), format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().into(), value.into());
    }
}

/// Returns the events about a queue or a worker so far.
fn events_of(name: &str) -> Vec<EventFields> {
    let all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    let about = |event: &&EventFields| {
        [event.get("queue"), event.get("worker")]
            .iter()
            .any(|found| found.is_some_and(|found| found == name))
    };
    all.iter().filter(about).cloned().collect()
}

/// Returns those whose message begins with this text.
fn events_with(name: &str, text: &str) -> Vec<EventFields> {
    let mut events = events_of(name);
    events.retain(|event| event["message"].starts_with(text));
    events
}

#[track_caller]
fn has(event: &EventFields, expected: &[(&str, &str)]) {
    for (field, value) in expected {
        assert_eq!(
            event.get(*field).map(String::as_str),
            Some(*value),
            "{event:?}"
        );
    }
}

fn an_attach_is_told_and_a_put_and_a_get_are_not() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("quiet", &dir.at_least_once(100)).unwrap();
    let options = dir.attach().role(Role::Consumer).max_unacked(4);
    let mut consumer = ReadyQueue::<u64>::attach_with("quiet", &options).unwrap();
    let attached = events_with("quiet", "attached");
    assert_eq!(attached.len(), 2);
    has(&attached[0], &[("level", "DEBUG"), ("role", "both")]);
    has(&attached[1], &[("level", "DEBUG"), ("role", "consumer")]);
    assert_ne!(attached[0]["seat"], attached[1]["seat"]);
    for item in 0..2000 {
        queue.put(&item).unwrap();
        match item % 3 {
            0 => assert_eq!(consumer.get().unwrap(), item),
            1 => consumer.take().unwrap().ack(),
            _ => consumer.take_many(4).unwrap().ack(),
        }
    }
    assert!(consumer.try_get().is_err());
    assert!(consumer.within(Duration::from_millis(30)).get().is_err());
    assert_eq!(events_of("quiet"), attached);
}

fn what_is_given_back_is_told_until_it_is_a_dead_letter() {
    let dir = Dir::new();
    let _dead = ReadyQueue::<u64>::create("dead", &dir.options(8)).unwrap();
    let options = dir.at_least_once(8).dead_letter("dead", 3);
    let mut queue = ReadyQueue::<u64>::create("hard", &options).unwrap();
    queue.put(&7).unwrap();
    queue.put(&8).unwrap();
    for _ in 0..3 {
        assert_eq!(*queue.take().unwrap(), 7); // dropped: given back
    }
    assert_eq!(*queue.take().unwrap(), 8);
    let again = events_with("hard", "delivers again");
    assert_eq!(again.len(), 2);
    has(
        &again[0],
        &[("level", "INFO"), ("items", "1"), ("deliveries", "2")],
    );
    has(&again[1], &[("deliveries", "3")]);
    let letters = events_with("hard", "moved");
    assert_eq!(letters.len(), 1);
    has(
        &letters[0],
        &[
            ("level", "WARN"),
            ("dead_letter_queue", "dead"),
            ("deliveries", "3"),
        ],
    );
}

fn what_a_killed_consumer_left_is_told() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("left", &dir.at_least_once(8)).unwrap();
    queue.put(&7).unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .env("PRODCON_DIR", &dir.0)
        .env("TRACING_TEST_TAKES", "left")
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(!child.success());
    let item = queue.within(Duration::from_secs(30)).take().unwrap();
    assert_eq!((*item, item.delivery_count()), (7, 2));
    let again = events_with("left", "delivers again");
    assert_eq!(again.len(), 1);
    has(&again[0], &[("items", "1"), ("deliveries", "2")]);
}

fn seats_that_were_recovered_are_told() {
    let dir = Dir::new();
    let queue = ReadyQueue::<u64>::create("busy", &dir.options(2).lossy(true)).unwrap();
    let control = queue.control();
    // Sooner or later one dies in the middle of an operation.
    common::until("a recovery", || {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env("PRODCON_DIR", &dir.0)
            .env("TRACING_TEST_CHURNS", "busy")
            .spawn()
            .unwrap();
        let puts = control.stats().unwrap().puts;
        common::until("its puts", || control.stats().unwrap().puts > puts + 100);
        child.kill().unwrap();
        child.wait().unwrap();
        control.recover().unwrap();
        !events_with("busy", "recovered").is_empty()
    });
    let recovered = &events_with("busy", "recovered")[0];
    has(recovered, &[("level", "INFO")]);
    assert!(
        recovered["seats"].parse::<u32>().unwrap() > 0,
        "{recovered:?}"
    );
}

/// Puts and gets until it is killed, or its parent ends.
fn churn(name: &str) -> ! {
    // SAFETY: prctl with these arguments touches no memory.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let mut queue = ReadyQueue::<u64>::attach(name).unwrap();
    loop {
        queue.put(&1).unwrap();
        queue.get().unwrap();
    }
}

/// Takes an item and dies.
fn take_and_die(name: &str) -> ! {
    let mut queue = ReadyQueue::<u64>::attach(name).unwrap();
    let _item = queue.take().unwrap();
    std::process::abort();
}

fn a_damaged_queue_is_told() {
    let dir = Dir::new();
    std::fs::write(dir.path("junk"), [7; 5000]).unwrap();
    let error = ReadyQueue::<u64>::attach_with("junk", &dir.attach()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let damaged = events_with("junk", "damaged");
    assert_eq!(damaged.len(), 1);
    has(&damaged[0], &[("level", "ERROR")]);
    assert!(error.to_string().contains(&damaged[0]["what"]), "{error}");
}

/// The worker: dies of the first item, once.
struct Fragile;

impl Consume for Fragile {
    type Item = u64;

    fn on_start(_: &mut Context) -> Result<Self, BoxError> {
        Ok(Self)
    }

    fn work(&mut self, items: &Batch<'_, u64>, _: &mut Context) -> Result<(), BoxError> {
        if items.iter().any(|item| *item == 13) && items.delivery_count(0) == 1 {
            std::process::abort();
        }
        Ok(())
    }
}

fn the_life_of_a_worker_is_told() {
    let dir = Dir::new();
    let name = format!("fragile-{}", std::process::id());
    let options = ConsumerOptions::new()
        .queue(QueueOptions::new(8).at_least_once(true))
        .directory(&dir.0)
        .restart(Restart::OnFailure {
            limit: 1,
            backoff: Duration::from_millis(1),
        });
    let mut worker = Consumer::<u64>::create(&name, &options).unwrap();
    worker
        .start_new(Program::new(std::env::current_exe().unwrap()).env("PRODCON_DIR", &dir.0))
        .unwrap();
    let first = worker.pids()[0].to_string();
    worker.put_in_queue(&13).unwrap();
    common::until("the restart", || {
        !events_with(&name, "restarted").is_empty()
    });
    worker.set_stop_at_queue_end().unwrap();
    assert!(worker.wait().unwrap().success());
    let [started, restarted, ended] = ["started", "restarted", "a process of a worker has ended"]
        .map(|text| events_with(&name, text));
    assert_eq!((started.len(), restarted.len(), ended.len()), (1, 1, 2));
    has(
        &started[0],
        &[("level", "INFO"), ("process", "0"), ("pid", &first)],
    );
    has(&ended[0], &[("level", "INFO"), ("pid", &first)]);
    assert!(ended[0]["status"].contains("signal: 6"), "{ended:?}");
    has(&ended[1], &[("status", "exit status: 0"), ("error", "")]);
    assert_eq!(ended[1]["pid"], restarted[0]["pid"]);
}

fn main() -> ExitCode {
    if let Some(status) = Fragile::run_if_worker() {
        return status;
    }
    if let Ok(name) = std::env::var("TRACING_TEST_TAKES") {
        take_and_die(&name);
    }
    if let Ok(name) = std::env::var("TRACING_TEST_CHURNS") {
        churn(&name);
    }
    tracing::subscriber::set_global_default(Listener).unwrap();
    let tests: [(&str, fn()); 6] = [
        (
            "an_attach_is_told_and_a_put_and_a_get_are_not",
            an_attach_is_told_and_a_put_and_a_get_are_not,
        ),
        (
            "what_is_given_back_is_told_until_it_is_a_dead_letter",
            what_is_given_back_is_told_until_it_is_a_dead_letter,
        ),
        (
            "what_a_killed_consumer_left_is_told",
            what_a_killed_consumer_left_is_told,
        ),
        (
            "seats_that_were_recovered_are_told",
            seats_that_were_recovered_are_told,
        ),
        ("a_damaged_queue_is_told", a_damaged_queue_is_told),
        ("the_life_of_a_worker_is_told", the_life_of_a_worker_is_told),
    ];
    let trials = tests
        .into_iter()
        .map(|(name, test)| {
            Trial::test(name, move || {
                test();
                Ok(())
            })
        })
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
