//! Workers and controlling processes that are killed: nobody hangs, nothing is left, and what was put is worked on.
//!
//! `PRODCON_TEST_KILLS=200` makes the random test longer.

use crate::fixture::{Fixture, heard, processes_in, signal, until};
use prodcon::worker::{Consumer, ConsumerOptions, ProcessExit, Program, Restart};
use prodcon::{AttachOptions, Control, GetError, QueueOptions, ReadyQueue, Role};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::Duration;

const QUICK_RESTART: Restart = Restart::OnFailure {
    limit: 1000,
    backoff: Duration::from_millis(1),
};

fn exits(consumer: &mut Consumer<u64>) -> mpsc::Receiver<ProcessExit> {
    let (send, exits) = mpsc::channel();
    consumer.on_exit(move |exit| {
        let _ = send.send(exit);
    });
    exits
}

#[test]
fn a_killed_worker_is_heard_and_leaves_neither_zombie_nor_seat() {
    let fixture = Fixture::new();
    let mut consumer = fixture.consumer("c", ConsumerOptions::new().processes(2));
    let exits = exits(&mut consumer);
    consumer
        .start_new(fixture.worker("consumer", ["hang_at=7"]))
        .unwrap();
    let seats = consumer.stats().unwrap().seats_live;
    consumer.put_in_queue(&7).unwrap();
    until("the call", || {
        fixture.logs().iter().any(|log| log.calls.len() == 1)
    });
    let victims = consumer.pids();
    let victim = victims
        .iter()
        .find(|pid| {
            std::fs::read_to_string(fixture.dir.join("log").join(pid.to_string()))
                .is_ok_and(|log| log.contains("work"))
        })
        .unwrap();
    signal(*victim as i32, libc::SIGKILL);
    let exit = exits.recv_timeout(Duration::from_secs(60)).unwrap();
    assert_eq!(
        (exit.pid, exit.success(), exit.restarts, exit.error),
        (*victim, false, false, None)
    );
    assert!(!Path::new(&format!("/proc/{victim}")).exists(), "a zombie");
    let stats = consumer.stats().unwrap();
    assert_eq!(
        (stats.seats_live, stats.seats_dead, stats.unacked),
        (seats - 2, 0, 0)
    );
    // The other one goes on.
    consumer.put_in_queue(&1).unwrap();
    until("the next item", || fixture.worked() == [1, 7]);
    assert_eq!(consumer.pids().len(), 1);
    consumer.set_stop_at_queue_end().unwrap();
    let ended = consumer.wait().unwrap();
    assert!(
        !ended.success() && ended.exits.len() == 2 && consumer.stats().unwrap().adds_up(),
        "{ended:?}"
    );
}

#[test]
fn the_batch_of_a_killed_worker_is_worked_on_by_another() {
    let fixture = Fixture::new();
    let options = ConsumerOptions::new()
        .processes(2)
        .max_buffer_size(8)
        .queue(QueueOptions::new(1024).at_least_once(true))
        .work_timeout(Duration::from_millis(50));
    let mut consumer = fixture.consumer("c", options.restart(QUICK_RESTART));
    // 5 is put once; only who gets it the first time hangs.
    consumer
        .start_new(fixture.worker("consumer", ["hang_at=5"]))
        .unwrap();
    (0..8).for_each(|item| consumer.put_in_queue(&item).unwrap());
    let hanging = || {
        fixture
            .logs()
            .into_iter()
            .find(|log| log.calls.iter().any(|(_, items)| items.contains(&5)))
    };
    until("the batch with 5", || hanging().is_some());
    let files: Vec<_> = std::fs::read_dir(fixture.dir.join("log"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    let victim = files
        .iter()
        .find(|path| {
            std::fs::read_to_string(path).unwrap().lines().any(|line| {
                line.starts_with("work") && line.ends_with(" 5") || line.contains(" 5 ")
            })
        })
        .unwrap();
    let victim: i32 = victim
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    let batch: BTreeSet<u64> = hanging()
        .unwrap()
        .calls
        .last()
        .unwrap()
        .1
        .iter()
        .copied()
        .collect();
    let others: Vec<u32> = consumer
        .pids()
        .into_iter()
        .filter(|pid| *pid as i32 != victim)
        .collect();
    signal(victim, libc::SIGKILL);
    // All of its batch comes again, one by one. The process that gets 5 hangs, and the end of the
    // handle kills it.
    until("its batch again", || {
        let again: BTreeSet<u64> = fixture
            .logs()
            .iter()
            .flat_map(|log| log.calls.iter().flat_map(|(_, items)| items.clone()))
            .collect();
        let hangs = fixture
            .logs()
            .iter()
            .filter(|log| {
                log.calls
                    .last()
                    .is_some_and(|(_, items)| items.contains(&5))
            })
            .count();
        again.is_superset(&batch) && hangs == 2
    });
    assert!(!others.is_empty());
    let stats = consumer.stats().unwrap();
    assert!(stats.redelivered >= 1 && stats.lost == 0, "{stats:?}");
    consumer
        .pids()
        .iter()
        .for_each(|pid| signal(*pid as i32, libc::SIGKILL));
}

#[test]
fn an_item_that_keeps_killing_its_workers_ends_in_the_dead_letter_queue_and_takes_no_other_with_it()
{
    let fixture = Fixture::new();
    let mut letters = ReadyQueue::<u64>::create("letters", &fixture.options(8)).unwrap();
    let options = ConsumerOptions::new()
        .max_buffer_size(16)
        .work_timeout(Duration::from_millis(20))
        .queue(
            QueueOptions::new(1024)
                .at_least_once(true)
                .dead_letter("letters", 3),
        );
    let options = options.restart(QUICK_RESTART).processes(2);
    let mut consumer = fixture.consumer("c", options);
    consumer
        .start_new(fixture.worker("consumer", ["die_at=13"]))
        .unwrap();
    (0..100).for_each(|item| consumer.put_in_queue(&item).unwrap());
    assert_eq!(letters.within(Duration::from_secs(60)).get().unwrap(), 13);
    consumer.set_stop_at_queue_end().unwrap();
    let ended = consumer
        .wait_timeout(Duration::from_secs(60))
        .unwrap()
        .expect("the end");
    assert_eq!((ended.success(), ended.restarts()), (true, 3), "{ended:?}");
    assert!(matches!(letters.try_get(), Err(GetError::Empty)));
    let worked: BTreeSet<u64> = fixture.worked().into_iter().collect();
    assert_eq!(worked, (0..100).collect());
    let stats = consumer.stats().unwrap();
    assert_eq!(
        (stats.dead_lettered, stats.gets, stats.puts, stats.adds_up()),
        (1, 100, 100, true)
    );
}

#[test]
fn a_failing_worker_is_started_again_until_the_limit_and_ever_later() {
    let fixture = Fixture::new();
    let restart = Restart::OnFailure {
        limit: 3,
        backoff: Duration::from_millis(20),
    };
    let mut consumer = fixture.consumer("c", ConsumerOptions::new().restart(restart));
    let results = heard(&mut consumer);
    let times = exits(&mut consumer);
    consumer
        .start_new(fixture.worker("consumer", ["fail_at=1", "results=1"]))
        .unwrap();
    for item in [0, 1, 0, 1, 1, 0, 1, 0] {
        if consumer.put_in_queue(&item).is_err() {
            break;
        }
    }
    let ended = consumer
        .wait_timeout(Duration::from_secs(60))
        .unwrap()
        .expect("the end");
    assert_eq!(
        (ended.restarts(), ended.exits.len(), ended.success()),
        (3, 4, false),
        "{ended:?}"
    );
    assert!(
        ended
            .exits
            .iter()
            .all(|exit| exit.error.as_deref() == Some("no more of 1")),
        "{ended:?}"
    );
    assert_eq!(
        times
            .try_iter()
            .map(|exit| exit.restarts)
            .collect::<Vec<_>>(),
        [true, true, true, false]
    );
    // At-most-once: what was handed over is not given back.
    assert_eq!(results.lock().unwrap().len(), 3);
    // A new start has its own limit.
    consumer
        .start_new(fixture.worker("consumer", ["fail_at=1"]))
        .unwrap();
    consumer.put_in_queue(&1).unwrap();
    until("the restart", || times.try_iter().any(|exit| exit.restarts));
    // Stopped in the pause before it is started again: it is not.
    let _ended = consumer.stop().unwrap();
    assert!(!consumer.is_running());
}

#[test]
fn a_worker_that_is_stopped_before_it_is_started_again_has_failed() {
    let fixture = Fixture::new();
    let restart = Restart::OnFailure {
        limit: 3,
        backoff: Duration::from_secs(60),
    };
    let mut consumer = fixture.consumer("c", ConsumerOptions::new().restart(restart));
    let ends = exits(&mut consumer);
    consumer
        .start_new(fixture.worker("consumer", ["fail_at=1"]))
        .unwrap();
    consumer.put_in_queue(&1).unwrap();
    assert!(ends.recv_timeout(Duration::from_secs(60)).unwrap().restarts);
    let ended = consumer.stop().unwrap();
    assert_eq!(
        (ended.exits.len(), ended.restarts(), ended.success()),
        (1, 0, false),
        "{ended:?}"
    );
    let error = ended.into_result().unwrap_err().to_string();
    assert!(error.contains("no more of 1"), "{error}");
}

#[test]
fn a_process_that_cannot_be_started_again_is_heard() {
    let fixture = Fixture::new();
    let restart = Restart::OnFailure {
        limit: 3,
        backoff: Duration::from_millis(1),
    };
    let mut consumer = fixture.consumer("c", ConsumerOptions::new().restart(restart));
    let ends = exits(&mut consumer);
    let link = fixture.dir.join("log/program");
    std::os::unix::fs::symlink(fixture.program("").get_program(), &link).unwrap();
    let program = Program::new(&link)
        .env("TEST_KIND", "consumer")
        .env("TEST_LOG", fixture.dir.join("log"));
    consumer.start_new(program.arg("fail_at=1")).unwrap();
    std::fs::remove_file(&link).unwrap();
    consumer.put_in_queue(&1).unwrap();
    let next = || ends.recv_timeout(Duration::from_secs(60)).unwrap();
    assert!(next().restarts);
    let last = next();
    assert_eq!((last.pid, last.restarts), (0, false), "{last:?}");
    assert!(last.error.unwrap().contains("No such file"));
    assert!(!consumer.wait().unwrap().success());
}

#[test]
fn a_killed_controlling_process_leaves_nothing() {
    let fixture = Fixture::new();
    let mut consumer = controller(&fixture, "consumer c 3 create");
    until("three workers", || fixture.logs().len() == 3);
    let mut producer = controller(&fixture, "producer p c");
    until("work", || fixture.worked().len() > 100);
    for child in [&mut consumer, &mut producer] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    until("on_stop of all", || {
        fixture
            .logs()
            .iter()
            .map(|log| log.stops.len())
            .sum::<usize>()
            == 4
    });
    fixture.assert_nobody_left();
}

#[test]
fn a_controlling_process_killed_at_any_time_leaves_nothing() {
    for kills in 0..12 {
        let fixture = Fixture::new();
        let mut command = fixture.program("controller");
        command
            .env("TEST_CONTROLS", "consumer c 2 create")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        std::thread::sleep(Duration::from_micros(kills * kills * 150));
        let made_something = !fixture.left().is_empty();
        child.kill().unwrap();
        child.wait().unwrap();
        // If it had started nobody yet, there is nobody to remove what it made: that is stale, and `prodcon ls` says so.
        until("the end of all processes", || {
            processes_in(&fixture.dir).is_empty()
        });
        let left = fixture.left();
        assert!(
            left.is_empty() || fixture.logs().is_empty(),
            "{kills} {made_something}: {left:?}"
        );
    }
}

#[test]
fn a_new_controlling_process_takes_over_what_a_killed_one_has_left() {
    let fixture = Fixture::new();
    let queue = Control::create::<u64>("c", &fixture.options(64).at_least_once(true)).unwrap();
    let mut endpoint = ReadyQueue::<u64>::attach_with(
        "c",
        &AttachOptions::new()
            .role(Role::Producer)
            .directory(&fixture.dir),
    )
    .unwrap();
    for round in 0..3 {
        let mut child = controller(&fixture, "consumer c 2");
        endpoint.put(&round).unwrap();
        until("the item", || fixture.worked().contains(&round));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let mut child = controller(&fixture, "consumer c 2");
    endpoint.put(&3).unwrap();
    // Those of the dead ones do not take it for their own.
    until("the end of six workers", || {
        fixture
            .logs()
            .iter()
            .map(|log| log.stops.len())
            .sum::<usize>()
            == 6
    });
    assert!(end(&mut child));
    assert_eq!(fixture.worked(), [0, 1, 2, 3]);
    until("the end of all", || processes_in(&fixture.dir).is_empty());
    assert_eq!(
        fixture.left(),
        ["prodcon.c"],
        "it belongs to whoever made it"
    );
    assert!(queue.stats().unwrap().adds_up());
}

/// A controlling process of its own that has started its workers.
fn controller(fixture: &Fixture, what: &str) -> Child {
    let mut command = fixture.program("controller");
    command
        .arg("quiet=1")
        .env("TEST_CONTROLS", what)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut said = [0; 8];
    let read = child.stdout.as_mut().unwrap().read_exact(&mut said);
    assert!(
        read.is_ok() && said == *b"started\n",
        "{what}: it did not start its workers: {:?}",
        child.wait()
    );
    child
}

/// Lets a controlling process end; whether it ended well.
fn end(child: &mut Child) -> bool {
    drop(child.stdin.take());
    let mut status = None;
    until("the end of a controlling process", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.is_some_and(|status| status.success())
}

#[test]
fn random_kills_of_workers_and_controllers_lose_nothing() {
    let kills: u64 = std::env::var("PRODCON_TEST_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(40);
    let fixture = Fixture::new();
    // The queue is made by a process that is not killed. 3 workers with 9 seats each, some of them
    // dead at times; three producers.
    let options = fixture.options(256).seats(80).at_least_once(true);
    let queue = Control::create::<u64>("c", &options).unwrap();
    let producers: Vec<String> = (0..3)
        .map(|number| format!("producer p{number} c"))
        .collect();
    let producer = |which: usize| {
        let mut command = fixture.program("controller");
        command
            .args(["from=unique", "quiet=1"])
            .env("TEST_CONTROLS", &producers[which]);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let consumers = || controller(&fixture, "consumer c 3");
    let mut controllers: Vec<Child> = vec![consumers()];
    controllers.extend((0..3).map(producer));
    let (mut random, mut killed_consumers) = (0x9E37_79B9_7F4A_7C15u64, 0);
    let mut dice = |sides: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % sides
    };
    let mut done = 0;
    while done < kills {
        std::thread::sleep(Duration::from_millis(dice(40)));
        if dice(4) == 0 {
            let which = dice(4) as usize;
            controllers[which].kill().unwrap();
            controllers[which].wait().unwrap();
            // Its workers end by themselves, and give back what they have.
            controllers[which] = if which == 0 {
                consumers()
            } else {
                producer(which - 1)
            };
            done += 1;
            continue;
        }
        // Any worker: a process in our directory that is neither we nor a controlling process.
        let own: Vec<i32> = controllers.iter().map(|child| child.id() as i32).collect();
        let workers: Vec<i32> = processes_in(&fixture.dir)
            .into_iter()
            .filter(|pid| !own.contains(pid))
            .collect();
        if workers.is_empty() {
            continue;
        }
        let victim = workers[dice(workers.len() as u64) as usize];
        killed_consumers += u64::from(
            std::fs::read_to_string(format!("/proc/{victim}/cmdline"))
                .is_ok_and(|line| line.contains("--attach\0c\0")),
        );
        // SAFETY: a process of this test's directory; at worst it has just ended, and its id is not yet another's.
        unsafe { libc::kill(victim, libc::SIGKILL) };
        done += 1;
    }
    assert!(
        controllers[1..].iter_mut().all(end),
        "a producers' controlling process failed"
    );
    assert!(
        end(&mut controllers[0]),
        "the consumers' controlling process failed"
    );
    until("the end of all processes", || {
        processes_in(&fixture.dir).is_empty()
    });
    let report = queue.doctor().unwrap();
    let stats = queue.stats().unwrap();
    assert!(report.ok() && report.undecided == 0, "{report:?}");
    let mut seen = BTreeMap::<u64, u64>::new();
    fixture
        .worked()
        .into_iter()
        .for_each(|item| *seen.entry(item).or_default() += 1);
    let repeated: u64 = seen.values().map(|count| count - 1).sum();
    println!(
        "{kills} kills ({killed_consumers} of consumers): {} puts, {} distinct items worked on, {repeated} repeated, {} cleared",
        stats.puts,
        seen.len(),
        stats.cleared
    );
    assert!(
        stats.adds_up()
            && stats.lost == 0
            && stats.dropped == 0
            && stats.cleared == 0
            && stats.len + stats.unacked == 0,
        "{stats:?}"
    );
    assert_eq!(
        seen.len() as u64,
        stats.puts,
        "items were put and never worked on"
    );
    assert!(
        repeated <= killed_consumers * 8,
        "more than the batches in hand was repeated"
    );
    assert_eq!(fixture.left(), ["prodcon.c"], "left behind");
}
