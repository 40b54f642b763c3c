//! Ends of waits from outside, and waits for several queues at once.

mod common;

use common::children::{Started, in_child, role};
use common::{Dice, Dir, until};
use prodcon::{
    AttachOptions, CancelToken, Control, ErrorKind, GetError, PutError, QueueOptions, ReadyQueue,
    State, select,
};
use std::os::unix::process::ExitStatusExt;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Long enough for a waiter to sleep, where it does; no test fails if it does not.
const SHORT_WAIT: Duration = Duration::from_millis(5);
const MINUTE: Duration = Duration::from_secs(60);

impl Dir {
    fn with(&self, token: &CancelToken) -> AttachOptions {
        self.attach().cancel(token)
    }
    fn queue(&self, name: &str, capacity: u32) -> ReadyQueue<u64> {
        ReadyQueue::create(name, &self.options(capacity)).unwrap()
    }
    fn attached(&self, name: &str) -> ReadyQueue<u64> {
        ReadyQueue::attach_with(name, &self.attach()).unwrap()
    }
    /// Somebody sleeps.
    fn sleeps(&self, name: &str) -> bool {
        let stats = self.control(name).stats().unwrap();
        stats.members.iter().any(|seat| seat.asleep)
    }
}

fn kind<T>(answer: Result<T, impl Into<prodcon::Error>>) -> Option<ErrorKind> {
    answer.err().map(|error| error.into().kind())
}

#[test]
fn every_call_that_waits_answers_cancelled_and_what_need_not_wait_works() {
    const CANCELLED: Option<ErrorKind> = Some(ErrorKind::Cancelled);
    let (dir, token) = (Dir::new(), CancelToken::new());
    let options = QueueOptions::new(1).attach(dir.with(&token).max_unacked(2));
    let mut queue = ReadyQueue::<u64>::create("q", &options).unwrap();
    token.cancel();
    // Nothing is there.
    assert_eq!(kind(queue.get()), CANCELLED);
    assert_eq!(kind(queue.take()), CANCELLED);
    assert_eq!(kind(queue.take_many(2)), CANCELLED);
    assert_eq!(kind(queue.get_into(&mut 0)), CANCELLED);
    assert_eq!(kind(queue.within(MINUTE).get()), CANCELLED);
    assert_eq!(kind(queue.within(MINUTE).take()), CANCELLED);
    assert_eq!(kind(queue.within(MINUTE).take_many(2)), CANCELLED);
    assert_eq!(kind(queue.until(Instant::now() + MINUTE).get()), CANCELLED);
    assert!(queue.iter().next().is_none());
    assert_eq!(kind(queue.try_get()), Some(ErrorKind::Empty));
    assert_eq!(
        kind(queue.within(Duration::ZERO).get()),
        Some(ErrorKind::Empty)
    );
    // One is there.
    queue.put(&1).unwrap();
    assert_eq!(kind(queue.put(&2)), CANCELLED);
    assert_eq!(kind(queue.within(MINUTE).put(&2)), CANCELLED);
    let refused = queue.put_slice(&[2, 3]).unwrap_err();
    assert!(matches!(
        (refused.put, refused.error),
        (0, PutError::Cancelled)
    ));
    assert_eq!(kind(queue.reserve().unwrap().commit()), CANCELLED);
    assert_eq!(
        kind(queue.reserve().unwrap().commit_within(MINUTE)),
        CANCELLED
    );
    assert_eq!(kind(queue.try_put(&2)), Some(ErrorKind::Full));
    let mut batch = queue.take_many(1).unwrap();
    assert_eq!(kind(batch.take_more(2, None)), CANCELLED);
    assert_eq!(batch.len(), 1);
    batch.ack();
    // The gate and the state.
    assert!(queue.wait_ready(None).unwrap());
    queue.set_not_ready().unwrap();
    assert_eq!(kind(queue.wait_ready(None)), CANCELLED);
    assert_eq!(
        kind(queue.control().wait_state(State::Stopped, None)),
        CANCELLED
    );
    let control = Control::attach_with("q", &dir.with(&token)).unwrap();
    assert_eq!(kind(control.wait_ready(None)), CANCELLED);
    assert_eq!(
        kind(control.try_clone().unwrap().wait_ready(None)),
        CANCELLED
    );
    assert_eq!(kind(select(&[queue.readable()], None)), CANCELLED);
    assert_eq!(kind(queue.try_clone().unwrap().get()), CANCELLED);
}

#[test]
fn a_cancel_ends_waits_that_sleep() {
    let dir = Dir::new();
    let full = dir.queue("full", 1);
    dir.attached("full").put(&0).unwrap();
    let _empty = dir.queue("empty", 1);
    let token = CancelToken::new();
    std::thread::scope(|scope| {
        let get = scope.spawn(|| {
            kind(
                ReadyQueue::<u64>::attach_with("empty", &dir.with(&token))
                    .unwrap()
                    .get(),
            )
        });
        let put = scope.spawn(|| {
            kind(
                ReadyQueue::<u64>::attach_with("full", &dir.with(&token))
                    .unwrap()
                    .put(&1),
            )
        });
        until("both sleep", || dir.sleeps("full") && dir.sleeps("empty"));
        let ready = scope.spawn(|| {
            let control = Control::attach_with("empty", &dir.with(&token)).unwrap();
            control.set_not_ready().unwrap();
            kind(control.wait_ready(None))
        });
        let several = scope.spawn(|| {
            let queue = dir.attached("empty");
            select(&[queue.readable(), token.cancelled()], None).unwrap()
        });
        std::thread::sleep(SHORT_WAIT);
        token.cancel();
        for waiter in [get, put, ready] {
            assert_eq!(waiter.join().unwrap(), Some(ErrorKind::Cancelled));
        }
        assert_eq!(several.join().unwrap(), Some(1));
    });
    assert_eq!(full.len(), 1);
}

#[test]
fn waits_that_are_cancelled_pass_their_wake_ups_on() {
    let dir = Dir::new();
    let mut queue = dir.queue("q", 1);
    let token = CancelToken::new();
    std::thread::scope(|scope| {
        let waiters: Vec<_> = (0..8)
            .map(|number| {
                let attach = if number % 2 == 0 {
                    dir.attach()
                } else {
                    dir.with(&token)
                };
                let mut waiter = ReadyQueue::<u64>::attach_with("q", &attach).unwrap();
                scope.spawn(move || waiter.get().is_ok())
            })
            .collect();
        until("all asleep", || {
            let members = queue.control().stats().unwrap().members;
            members.iter().filter(|seat| seat.asleep).count() == 8
        });
        let canceller = scope.spawn(|| token.cancel());
        // Four wait on in any case, so none of these may stay.
        for item in 0..4 {
            queue.within(MINUTE).put(&item).unwrap();
        }
        until("four gets", || queue.is_empty());
        canceller.join().unwrap();
        let mut put = 4;
        until("the end of all", || {
            let over = waiters.iter().all(|waiter| waiter.is_finished());
            if !over && queue.try_put(&put).is_ok() {
                put += 1;
            }
            over
        });
        let got: u64 = waiters
            .into_iter()
            .map(|waiter| u64::from(waiter.join().unwrap()))
            .sum();
        assert_eq!(got + queue.len() as u64, put);
    });
}

#[test]
fn a_wait_that_only_spins_is_cancelled_too() {
    let (dir, token) = (Dir::new(), CancelToken::new());
    let attach = dir.with(&token).spin_limit(MINUTE);
    let mut queue = ReadyQueue::<u64>::create("q", &QueueOptions::new(1).attach(attach)).unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(move || kind(queue.get()));
        std::thread::sleep(SHORT_WAIT);
        token.cancel();
        assert_eq!(waiter.join().unwrap(), Some(ErrorKind::Cancelled));
    });
}

#[test]
fn a_storm_of_cancels_loses_no_item() {
    let rounds: u64 = std::env::var("PRODCON_TEST_STORM").map_or(200, |n| n.parse().unwrap());
    let dir = Dir::new();
    let mut queue = dir.queue("q", 2);
    let (put, got) = (AtomicU64::new(0), AtomicU64::new(0));
    let (sum_put, sum_got) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for seed in 0..3u64 {
            let (dir, put, got) = (&dir, &put, &got);
            let (sum_put, sum_got) = (&sum_put, &sum_got);
            scope.spawn(move || {
                let mut dice = Dice::new();
                for _ in 0..seed * 7 {
                    dice.roll(2);
                }
                for round in 0..rounds {
                    let token = CancelToken::new();
                    let mut own = ReadyQueue::<u64>::attach_with("q", &dir.with(&token)).unwrap();
                    let (times, puts) = (dice.roll(4), dice.roll(2) == 0);
                    std::thread::scope(|inner| {
                        inner.spawn(|| {
                            for _ in 0..times {
                                std::thread::yield_now();
                            }
                            token.cancel();
                        });
                        for number in 0.. {
                            let item = (seed << 40) + (round << 16) + number;
                            let answer = if puts {
                                own.put(&item).map_err(|e| e.kind())
                            } else {
                                own.get().map_err(|e| e.kind()).map(|item| {
                                    got.fetch_add(1, Ordering::Relaxed);
                                    sum_got.fetch_add(item, Ordering::Relaxed);
                                })
                            };
                            match answer {
                                Ok(()) if puts => {
                                    put.fetch_add(1, Ordering::Relaxed);
                                    sum_put.fetch_add(item, Ordering::Relaxed);
                                }
                                Ok(()) => {}
                                Err(kind) => {
                                    assert_eq!(kind, ErrorKind::Cancelled);
                                    break;
                                }
                            }
                            if token.is_cancelled() {
                                break;
                            }
                        }
                    });
                }
            });
        }
    });
    while let Ok(item) = queue.try_get() {
        got.fetch_add(1, Ordering::Relaxed);
        sum_got.fetch_add(item, Ordering::Relaxed);
    }
    assert_eq!(put.into_inner(), got.into_inner());
    assert_eq!(sum_put.into_inner(), sum_got.into_inner());
    assert!(queue.control().stats().unwrap().adds_up());
}

#[test]
fn a_token_that_is_cancelled_in_a_forked_child_is_the_childs() {
    let (token, other) = (CancelToken::new(), CancelToken::new());
    other.cancel();
    let code = in_child(|| {
        token.cancel();
        token.is_cancelled() && other.is_cancelled()
    });
    assert_eq!((code, token.is_cancelled()), (0, false));
}

#[test]
fn a_select_says_which_is_ready_and_begins_elsewhere_each_time() {
    let dir = Dir::new();
    let mut queues: Vec<_> = (0..3).map(|n| dir.queue(&format!("q{n}"), 2)).collect();
    let interests = |queues: &[ReadyQueue<u64>]| {
        let interests: Vec<_> = queues.iter().map(ReadyQueue::readable).collect();
        select(&interests, Some(SHORT_WAIT)).unwrap()
    };
    assert_eq!(interests(&queues), None);
    queues[1].put(&1).unwrap();
    assert_eq!(interests(&queues), Some(1));
    queues.iter_mut().for_each(|queue| drop(queue.try_put(&2)));
    let mut seen: Vec<_> = (0..30).map(|_| interests(&queues).unwrap()).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, [0, 1, 2]);
}

#[test]
fn a_select_reports_those_that_are_ready_in_turn_whatever_else_its_thread_selects() {
    let dir = Dir::new();
    let mut queues: Vec<_> = (0..5).map(|n| dir.queue(&format!("q{n}"), 2)).collect();
    for full in [0, 1, 3] {
        queues[full].put(&1).unwrap();
    }
    let mut reported = vec![];
    for _ in 0..6 {
        // 2 is not ready. The other select would take each second turn of a common count.
        let three = [0, 1, 2].map(|n: usize| queues[n].readable());
        let two = [3, 4].map(|n: usize| queues[n].readable());
        reported.push(select(&three, Some(SHORT_WAIT)).unwrap().unwrap());
        assert_eq!(select(&two, Some(SHORT_WAIT)).unwrap(), Some(0));
        let two = [0, 1].map(|n: usize| queues[n].readable());
        reported.push(2 + select(&two, Some(SHORT_WAIT)).unwrap().unwrap());
        assert_eq!(select(&[], Some(Duration::ZERO)).unwrap(), None);
    }
    let turns = |from: usize| reported[from..].iter().step_by(2).collect::<Vec<_>>();
    for (turns, least) in [(turns(0), 0), (turns(1), 2)] {
        let next = |turn: usize| least + (turn - least + 1) % 2;
        assert!(
            turns.windows(2).all(|two| *two[1] == next(*two[0])),
            "{turns:?}"
        );
    }
}

#[test]
fn a_select_wakes_for_items_space_the_gate_the_state_and_the_end() {
    let dir = Dir::new();
    let (mut items, mut space) = (dir.queue("items", 1), dir.queue("space", 1));
    space.put(&0).unwrap();
    type Change = (&'static str, fn(&Dir), usize);
    let changes: [Change; 6] = [
        ("an item", |dir| dir.attached("items").put(&1).unwrap(), 0),
        (
            "space",
            |dir| assert_eq!(dir.attached("space").get().unwrap(), 0),
            1,
        ),
        ("a clear", |dir| dir.control("space").clear().unwrap(), 1),
        (
            "the gate",
            |dir| dir.control("space").set_not_ready().unwrap(),
            1,
        ),
        (
            "a stop",
            |dir| dir.control("space").set_state(State::Stopped).unwrap(),
            1,
        ),
        (
            "the end",
            |dir| {
                dir.control("items")
                    .set_state(State::StopAtQueueEnd)
                    .unwrap()
            },
            0,
        ),
    ];
    for (what, change, index) in changes {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                until("the select sleeps", || {
                    dir.sleeps("items") && dir.sleeps("space")
                });
                change(&dir);
            });
            let interests = [items.readable(), space.writable()];
            assert_eq!(
                select(&interests, Some(MINUTE)).unwrap(),
                Some(index),
                "{what}"
            );
        });
        let _ = items.try_get();
        let _ = space.control().set_state(State::Started);
        space.set_ready().unwrap();
        let _ = space.try_put(&0);
    }
}

#[test]
fn a_lossy_queue_is_always_writable_and_a_cleared_item_is_not_readable() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.options(1).lossy(true)).unwrap();
    queue.put(&1).unwrap();
    assert!(queue.writable().is_ready().unwrap() && queue.readable().is_ready().unwrap());
    queue.control().clear().unwrap();
    assert!(!queue.readable().is_ready().unwrap());
    queue.put(&2).unwrap();
    assert_eq!(queue.try_get().unwrap(), 2);
    // The rest of a block that is in hand, and what was given back.
    let options = dir.options(2).batch(4).at_least_once(true);
    let mut batches = ReadyQueue::<u64>::create("batches", &options).unwrap();
    batches.put_slice(&[1, 2]).unwrap();
    assert_eq!(batches.get().unwrap(), 1);
    assert!(batches.readable().is_ready().unwrap());
    batches.take().unwrap().nack().unwrap();
    assert!(batches.readable().is_ready().unwrap());
    assert_eq!(batches.get().unwrap(), 2);
    assert!(!batches.readable().is_ready().unwrap());
}

#[test]
fn a_select_on_one_queue_through_two_endpoints_sleeps() {
    let dir = Dir::new();
    let (one, two) = (dir.queue("q", 8), dir.attached("q"));
    // With two registrations on one word it would spin, which shows in its processor time.
    let began = cpu_time();
    let interests = [one.readable(), two.readable(), one.readable()];
    assert_eq!(
        select(&interests, Some(Duration::from_millis(300))).unwrap(),
        None
    );
    assert!(cpu_time() - began < Duration::from_millis(150));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            until("the select sleeps", || dir.sleeps("q"));
            dir.attached("q").put(&1).unwrap();
        });
        assert!(
            select(&[one.readable(), two.readable()], Some(MINUTE))
                .unwrap()
                .is_some()
        );
    });
}

fn cpu_time() -> Duration {
    // SAFETY: all zeros is a timespec.
    let mut time: libc::timespec = unsafe { std::mem::zeroed() };
    // SAFETY: `time` is a valid place.
    let done = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(done, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[test]
fn a_select_takes_127_interests_and_refuses_more_and_none() {
    let dir = Dir::new();
    let queue = dir.queue("q", 1);
    let many = vec![queue.readable(); 127];
    assert_eq!(select(&many, Some(SHORT_WAIT)).unwrap(), None);
    let more = vec![queue.readable(); 128];
    let error = select(&more, Some(SHORT_WAIT)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidOption);
    assert_eq!(select(&[], Some(SHORT_WAIT)).unwrap(), None);
    assert_eq!(kind(select(&[], None)), Some(ErrorKind::InvalidOption));
}

#[test]
fn a_select_sleeps_on_127_queues_with_tokens_of_their_own() {
    let dir = Dir::new();
    let tokens: Vec<_> = (0..127).map(|_| CancelToken::new()).collect();
    let queues: Vec<_> = (0..127)
        .map(|n| {
            let options = QueueOptions::new(1).seats(2).attach(dir.with(&tokens[n]));
            ReadyQueue::<u64>::create(&format!("q{n}"), &options).unwrap()
        })
        .collect();
    let interests: Vec<_> = queues.iter().map(ReadyQueue::readable).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            until("the select sleeps", || dir.sleeps("q126"));
            dir.attached("q126").put(&1).unwrap();
        });
        assert_eq!(select(&interests, Some(MINUTE)).unwrap(), Some(126));
    });
    // More words than the kernel takes: it looks at the rest now and then.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            until("the select sleeps", || dir.sleeps("q5"));
            tokens[125].cancel();
        });
        assert_eq!(
            kind(select(&interests[..126], Some(MINUTE))),
            Some(ErrorKind::Cancelled)
        );
    });
}

#[test]
fn a_select_notices_that_a_queue_was_removed_but_items_come_first() {
    let dir = Dir::new();
    let mut queue = dir.queue("q", 1);
    queue.put(&1).unwrap();
    prodcon::unlink_in(&dir.0, "q").unwrap();
    assert_eq!(select(&[queue.readable()], None).unwrap(), Some(0));
    queue.get().unwrap();
    let error = select(&[queue.readable()], Some(MINUTE)).unwrap_err();
    assert_eq!(
        (error.kind(), error.queue()),
        (ErrorKind::Removed, Some("q"))
    );
}

#[test]
fn a_select_that_reports_one_queue_passes_the_wake_up_of_the_other_on() {
    let dir = Dir::new();
    let rounds = 300;
    let (a, b) = (dir.queue("a", 1), dir.queue("b", 1));
    let both = Barrier::new(2);
    std::thread::scope(|scope| {
        // Sleeps on b alone. It must get each item of b's that the select does not take.
        let getter = scope.spawn(|| {
            let mut b = dir.attached("b");
            for _ in 0..rounds {
                b.get().unwrap();
                both.wait();
            }
        });
        let selecter = scope.spawn(|| {
            let mut a = dir.attached("a");
            let b = dir.attached("b");
            let mut got = 0;
            while got < rounds {
                // It never takes from b.
                if select(&[a.readable(), b.readable()], None).unwrap() == Some(0) {
                    got += u32::from(a.try_get().is_ok());
                } else {
                    std::thread::yield_now();
                }
            }
        });
        let (mut a, mut b) = (a, b);
        for round in 0..rounds {
            a.put(&u64::from(round)).unwrap();
            b.put(&u64::from(round)).unwrap();
            both.wait();
        }
        selecter.join().unwrap();
        getter.join().unwrap();
    });
}

#[test]
fn a_select_recovers_what_a_killed_consumer_had_in_hand() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.at_least_once(4)).unwrap();
    let idle = dir.queue("idle", 1);
    queue.put(&7).unwrap();
    let mut child = Started::new(&dir, "hold", 0);
    until("the child has the item", || {
        queue.control().stats().unwrap().unacked == 1
    });
    std::thread::scope(|scope| {
        scope.spawn(|| {
            until("the select sleeps", || dir.sleeps("q"));
            child.kill().unwrap();
        });
        assert_eq!(
            select(&[idle.readable(), queue.readable()], Some(MINUTE)).unwrap(),
            Some(1)
        );
    });
    let job = queue.try_take().unwrap();
    assert_eq!((*job, job.delivery_count()), (7, 2));
    job.ack();
    assert!(matches!(queue.try_get(), Err(GetError::Empty)));
}

#[test]
fn an_attach_waits_until_the_queue_is_created() {
    let dir = Dir::new();
    let attach = dir.attach().wait_for_queue(MINUTE);
    std::thread::scope(|scope| {
        let endpoints = (0..2)
            .map(|_| scope.spawn(|| ReadyQueue::<u64>::attach_with("q", &attach).unwrap().get()));
        let endpoints: Vec<_> = endpoints.collect();
        let control = scope.spawn(|| Control::attach_with("q", &attach).unwrap().info().capacity);
        std::thread::sleep(SHORT_WAIT);
        let _another = dir.queue("another", 1);
        std::thread::sleep(SHORT_WAIT);
        let mut queue = dir.queue("q", 2);
        queue.put_slice(&[7, 7]).unwrap();
        for endpoint in endpoints {
            assert_eq!(endpoint.join().unwrap().unwrap(), 7);
        }
        assert_eq!(control.join().unwrap(), 2);
    });
    // Where it exists there is nothing to wait for.
    assert_eq!(Control::attach_with("q", &attach).unwrap().len(), 0);
}

#[test]
fn an_attach_that_waits_ends_with_its_time_its_token_and_its_directory() {
    let dir = Dir::new();
    let error = Control::attach_with("q", &dir.attach().wait_for_queue(SHORT_WAIT)).unwrap_err();
    assert_eq!(
        (error.kind(), error.queue()),
        (ErrorKind::TimedOut, Some("q"))
    );
    let token = CancelToken::new();
    let attach = dir.with(&token).wait_for_queue(MINUTE);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| kind(ReadyQueue::<u64>::attach_with("q", &attach)));
        std::thread::sleep(SHORT_WAIT);
        token.cancel();
        assert_eq!(waiter.join().unwrap(), Some(ErrorKind::Cancelled));
    });
    let elsewhere = attach.clone().directory(dir.0.join("nowhere"));
    assert_eq!(
        kind(Control::attach_with("q", &elsewhere)),
        Some(ErrorKind::NotFound)
    );
    let gone = dir.0.join("gone");
    std::fs::create_dir(&gone).unwrap();
    let attach = AttachOptions::new().directory(&gone).wait_for_queue(MINUTE);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| kind(Control::attach_with("q", &attach)));
        std::thread::sleep(SHORT_WAIT);
        std::fs::remove_dir(&gone).unwrap();
        assert_eq!(waiter.join().unwrap(), Some(ErrorKind::NotFound));
    });
}

#[test]
fn the_first_signal_cancels_and_the_second_one_kills() {
    let dir = Dir::new();
    let mut queue = dir.queue("q", 8);
    for role in ["ends", "stays"] {
        let mut child = Started::new(&dir, role, 0);
        until("the child sleeps", || dir.sleeps("q"));
        child.signal(libc::SIGTERM);
        if role == "ends" {
            assert!(child.wait().unwrap().success());
            continue;
        }
        assert_eq!(queue.get().unwrap(), 1); // it was cancelled, and stays
        child.signal(libc::SIGINT);
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGINT));
    }
}

#[test]
fn a_token_on_signals_leaves_handlers_and_ignored_signals_alone() {
    extern "C" fn handler(_: i32) {}
    const BOTH: [i32; 2] = [libc::SIGTERM, libc::SIGINT];
    let set = |signal, action: libc::sighandler_t| {
        // SAFETY: installs a handler that does nothing, or none.
        unsafe { libc::signal(signal, action) }
    };
    let handled = in_child(|| {
        let own = handler as extern "C" fn(i32) as libc::sighandler_t;
        set(libc::SIGINT, own);
        let error = CancelToken::on_signals(&BOTH).unwrap_err();
        assert!(error.to_string().contains("signal 2"), "{error}");
        error.kind() == ErrorKind::InvalidOption
            && set(libc::SIGINT, libc::SIG_DFL) == own
            && set(libc::SIGTERM, libc::SIG_DFL) == libc::SIG_DFL
    });
    assert_eq!(handled, 0);
    let ignored = in_child(|| {
        set(libc::SIGINT, libc::SIG_IGN);
        let (token, second) = (
            CancelToken::on_signals(&BOTH),
            CancelToken::on_signals(&BOTH),
        );
        let (token, second) = (token.unwrap(), second.unwrap());
        // SAFETY: it is ignored.
        unsafe { libc::raise(libc::SIGINT) };
        let before = token.is_cancelled();
        // SAFETY: it has a handler.
        unsafe { libc::raise(libc::SIGTERM) };
        let third = CancelToken::on_signals(&BOTH).unwrap();
        !before && token.is_cancelled() && second.is_cancelled() && third.is_cancelled()
    });
    assert_eq!(ignored, 0);
    for bad in [libc::SIGKILL, libc::SIGSTOP, 0, -1, 32, 65, i32::MIN] {
        let error = in_child(|| {
            let error = CancelToken::on_signals(&[libc::SIGTERM, bad]).unwrap_err();
            let text = format!("signal {bad} cannot have a handler: Invalid argument");
            assert!(error.to_string().starts_with(&text), "{error}");
            error.kind() == ErrorKind::Os && set(libc::SIGTERM, libc::SIG_DFL) == libc::SIG_DFL
        });
        assert_eq!(error, 0, "{bad}");
    }
}

#[test]
fn signals_of_different_tokens_do_not_count_for_each_other() {
    let left_alone = in_child(|| {
        let on = |signals: &[i32]| CancelToken::on_signals(signals).unwrap();
        // SAFETY: it has a handler.
        let raise = |signal| assert_eq!(unsafe { libc::raise(signal) }, 0);
        let (reload, stop) = (on(&[libc::SIGHUP]), on(&[libc::SIGTERM, libc::SIGINT]));
        raise(libc::SIGHUP);
        let later = on(&[libc::SIGTERM]);
        assert!(reload.is_cancelled() && on(&[libc::SIGHUP]).is_cancelled());
        assert!(!stop.is_cancelled() && !later.is_cancelled());
        raise(libc::SIGTERM);
        assert!(stop.is_cancelled() && later.is_cancelled());
        raise(libc::SIGINT); // the second one of `stop`
        true
    });
    assert_eq!(left_alone, 1000 + libc::SIGINT);
}

/// Fails if this program, started again in this role, fails or is killed.
#[cfg(feature = "signals")]
fn succeeds(role: &str) {
    let dir = Dir::new();
    let _queue = dir.queue("w", 1);
    let status = Started::new(&dir, role, 0).wait().unwrap();
    assert!(status.success(), "{role}: {status}");
}

#[test]
#[cfg(feature = "signals")]
fn a_signal_that_comes_as_soon_as_it_has_a_handler_cancels_a_token() {
    succeeds("a token, interrupted");
}

#[test]
#[cfg(feature = "signals")]
fn a_signal_that_comes_as_soon_as_it_has_a_handler_ends_a_worker() {
    succeeds("a worker, interrupted");
}

#[test]
#[cfg(feature = "signals")]
fn one_signal_ends_a_worker_and_cancels_the_tokens_of_its_program() {
    succeeds("both");
}

#[test]
#[cfg(feature = "signals")]
fn a_token_of_its_program_for_another_signal_does_not_end_a_worker() {
    succeeds("another signal");
}

#[test]
#[cfg(feature = "signals")]
fn a_worker_heeds_signals_beside_a_handler_of_its_program() {
    succeeds("beside");
}

#[test]
#[cfg(feature = "signals")]
fn a_handler_that_calls_the_former_one_does_not_make_one_signal_two() {
    succeeds("around");
}

/// SIGTERM comes as soon as it has a handler.
static INTERRUPTS: AtomicBool = AtomicBool::new(false);

/// Stands before the C library's, in this whole program.
///
/// # Safety
/// As of the C library's.
#[unsafe(no_mangle)]
unsafe extern "C" fn sigaction(
    signal: libc::c_int,
    new: *const libc::sigaction,
    old: *mut libc::sigaction,
) -> libc::c_int {
    type Real = unsafe extern "C" fn(
        libc::c_int,
        *const libc::sigaction,
        *mut libc::sigaction,
    ) -> libc::c_int;
    // SAFETY: the name is a string that ends with 0.
    let real = unsafe { libc::dlsym(libc::RTLD_NEXT, c"sigaction".as_ptr()) };
    // SAFETY: the C library's function, which is of this type.
    let real = unsafe { std::mem::transmute::<*mut libc::c_void, Real>(real) };
    // SAFETY: what the caller promises.
    let answer = unsafe { real(signal, new, old) };
    if signal == libc::SIGTERM && !new.is_null() && INTERRUPTS.swap(false, Ordering::SeqCst) {
        // SAFETY: it has a handler, which may run in any thread.
        let other = std::thread::spawn(|| unsafe { libc::raise(libc::SIGTERM) });
        other.join().unwrap(); // the handler has run
    }
    answer
}

#[cfg(feature = "signals")]
extern "C" fn counts(_: libc::c_int) {
    COUNTED.fetch_add(1, Ordering::SeqCst);
}

/// How often a handler of the program ran.
static COUNTED: AtomicU32 = AtomicU32::new(0);
/// The handler before the program's.
static FORMER: AtomicUsize = AtomicUsize::new(0);

#[cfg(feature = "signals")]
extern "C" fn counts_and_goes_on(signal: libc::c_int) {
    counts(signal);
    let former = FORMER.load(Ordering::SeqCst);
    // SAFETY: the library's handler is of this type.
    let former = unsafe { std::mem::transmute::<usize, extern "C" fn(libc::c_int)>(former) };
    former(signal);
}

#[test]
#[ignore = "a child of the other tests"]
fn child() {
    let Some((role, _)) = role() else { return };
    if role == "hold" {
        let mut queue = ReadyQueue::<u64>::attach("q").unwrap();
        let job = queue.take().unwrap();
        std::thread::sleep(MINUTE);
        return job.ack();
    }
    #[cfg(feature = "signals")]
    if signalled(&role) {
        return;
    }
    let token = CancelToken::on_signals(&[libc::SIGINT, libc::SIGTERM]).unwrap();
    let attach = AttachOptions::new().cancel(&token);
    let mut queue = ReadyQueue::<u64>::attach_with("q", &attach).unwrap();
    assert_eq!(kind(queue.get()), Some(ErrorKind::Cancelled));
    if role == "stays" {
        queue.put(&1).unwrap();
        drop(queue);
        std::thread::sleep(MINUTE);
    }
}

/// False if there is no such role.
#[cfg(feature = "signals")]
fn signalled(role: &str) -> bool {
    let handle = |handler: extern "C" fn(libc::c_int)| {
        // SAFETY: both handlers only count, and call the former one.
        unsafe { libc::signal(libc::SIGTERM, handler as libc::sighandler_t) }
    };
    let worker = || prodcon::worker::Context::attach("w", []).unwrap();
    let token = || CancelToken::on_signals(&[libc::SIGTERM]).unwrap();
    // SAFETY: it has a handler.
    let raise = || assert_eq!(unsafe { libc::raise(libc::SIGTERM) }, 0);
    match role {
        "a token, interrupted" => {
            INTERRUPTS.store(true, Ordering::SeqCst);
            assert!(token().is_cancelled());
        }
        "a worker, interrupted" => {
            let mut worker = worker();
            INTERRUPTS.store(true, Ordering::SeqCst);
            worker.stop_on_signals().unwrap();
            assert!(worker.is_stopped());
        }
        "both" => {
            let mut worker = worker();
            worker.stop_on_signals().unwrap();
            let token = token();
            assert!(!worker.is_stopped() && !token.is_cancelled());
            raise();
            assert!(worker.is_stopped() && token.is_cancelled());
        }
        "another signal" => {
            let mut worker = worker();
            worker.stop_on_signals().unwrap();
            let token = CancelToken::on_signals(&[libc::SIGHUP]).unwrap();
            // SAFETY: it has a handler.
            assert_eq!(unsafe { libc::raise(libc::SIGHUP) }, 0);
            assert!(token.is_cancelled() && !worker.is_stopped());
            raise();
            assert!(worker.is_stopped());
        }
        "beside" => {
            handle(counts);
            let mut worker = worker();
            worker.stop_on_signals().unwrap();
            worker.stop_on_signals().unwrap();
            raise();
            assert!(worker.is_stopped());
            assert_eq!(COUNTED.load(Ordering::SeqCst), 1);
        }
        "around" => {
            let token = token();
            FORMER.store(handle(counts_and_goes_on), Ordering::SeqCst);
            let mut worker = worker();
            worker.stop_on_signals().unwrap();
            raise();
            assert!(worker.is_stopped() && token.is_cancelled());
            assert_eq!(COUNTED.load(Ordering::SeqCst), 1);
        }
        _ => return false,
    }
    assert!(!INTERRUPTS.load(Ordering::SeqCst));
    true
}
