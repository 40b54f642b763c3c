//! Deliveries that leave their endpoint: in any thread, in any order, longer than the endpoint, and
//! over forks and kills.

mod common;

use common::children::in_child;
use common::{Dice, Dir, until};
use prodcon::{
    ErrorKind, GetError, OwnedDelivery, PutError, QueueOptions, ReadyQueue, State, Stats,
};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Long enough for a waiter to sleep, where it does; no test fails if it does not.
const SHORT_WAIT: Duration = Duration::from_millis(50);

impl Dir {
    fn queue(&self, options: &QueueOptions, unacked: u32) -> ReadyQueue<u64> {
        let options = options.clone().attach(self.attach().max_unacked(unacked));
        ReadyQueue::create("q", &options).unwrap()
    }

    fn stats(&self) -> Stats {
        let stats = self.control("q").stats().unwrap();
        assert!(stats.adds_up(), "{stats:?}");
        stats
    }

    /// Nothing of the queue is out of order, and every seat is free but those in use.
    fn check(&self, live: u32) -> Stats {
        let report = self.control("q").doctor().unwrap();
        assert!(report.ok() && report.undecided == 0, "{report:?}");
        let stats = self.stats();
        assert_eq!((stats.seats_live, stats.seats_dead), (live, 0), "{stats:?}");
        stats
    }
}

fn needs<T: Send + Sync + 'static>(_: &T) {}

fn put(queue: &mut ReadyQueue<u64>, items: impl Iterator<Item = u64>) {
    items.for_each(|item| queue.try_put(&item).unwrap());
}

fn take(queue: &mut ReadyQueue<u64>) -> OwnedDelivery<u64> {
    queue.within(Duration::ZERO).take_owned().unwrap()
}

#[test]
fn owned_deliveries_show_their_items_and_are_acknowledged_in_any_order() {
    let dir = Dir::new();
    let mut queue = dir.queue(&dir.at_least_once(8), 3);
    put(&mut queue, 1..=4);
    let [first, second, third] = [(); 3].map(|()| take(&mut queue));
    needs(&first);
    assert_eq!((*first, *second, *third), (1, 2, 3));
    let told = [&first, &second, &third].map(|job| (job.id().sequence, job.delivery_count()));
    assert_eq!(told, [(0, 1), (1, 1), (2, 1)]);
    assert!(format!("{first:?}").contains("\"q\""));
    assert!(matches!(
        queue.within(Duration::ZERO).take_owned(),
        Err(GetError::Empty)
    ));
    assert_eq!((dir.stats().unacked, dir.stats().len), (3, 1));
    third.ack();
    assert_eq!((dir.stats().gets, dir.stats().unacked), (1, 2));
    let fourth = take(&mut queue);
    assert_eq!((*fourth, fourth.id().sequence), (4, 3));
    let mut copy = 0;
    first.copy_into(&mut copy);
    assert_eq!((copy, *second.into_box()), (1, 2));
    fourth.ack();
    let stats = dir.stats();
    assert_eq!((stats.gets, stats.unacked, stats.redelivered), (4, 0, 0));
    assert_eq!(stats.seats_live, 4, "the seats came back to the endpoint");
    drop(queue);
    dir.check(0);
}

#[test]
fn an_endpoint_goes_on_while_its_deliveries_are_out() {
    let dir = Dir::new();
    let mut queue = dir.queue(&dir.at_least_once(8), 2);
    put(&mut queue, 1..=6);
    let out = [(); 2].map(|()| take(&mut queue));
    assert_eq!(queue.try_get().unwrap(), 3);
    assert_eq!(*queue.try_take().unwrap(), 4); // dropped: given back
    queue.try_put(&7).unwrap();
    assert_eq!(queue.try_get().unwrap(), 4);
    let batch = queue.within(Duration::ZERO).take_many(2).unwrap();
    assert_eq!(batch.iter().collect::<Vec<_>>(), [&5], "one seat is left");
    batch.ack();
    queue.clear().unwrap();
    out.into_iter().for_each(OwnedDelivery::ack);
    let stats = dir.check(3);
    assert_eq!((stats.gets, stats.cleared), (5, 2));
}

#[test]
fn only_endpoints_with_several_seats_of_queues_without_batches_lend_items() {
    let dir = Dir::new();
    for options in [dir.options(8), dir.options(8).batch(4)] {
        let attach = dir.attach().max_unacked(options_unacked(&options));
        let mut queue = ReadyQueue::<u64>::create("q", &options.attach(attach)).unwrap();
        queue.put(&1).unwrap();
        let error = queue.take_owned().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOption, "{error}");
        assert!(error.to_string().contains("'q'"), "{error}");
        assert_eq!(queue.get().unwrap(), 1, "it was not touched");
        prodcon::unlink_in(&dir.0, "q").unwrap();
    }
}

/// The first of the options is refused for want of seats, the second for its batches.
fn options_unacked(options: &QueueOptions) -> u32 {
    if format!("{options:?}").contains("batch: 1") {
        0
    } else {
        2
    }
}

#[test]
fn a_take_waits_for_a_seat_until_one_comes_back_or_its_time_is_over() {
    let dir = Dir::new();
    let mut queue = dir.queue(&dir.options(8), 1);
    put(&mut queue, 1..=3);
    let first = take(&mut queue);
    assert!(matches!(
        queue.within(SHORT_WAIT).take_owned(),
        Err(GetError::TimedOut)
    ));
    assert!(matches!(
        queue.until(Instant::now()).take_owned(),
        Err(GetError::TimedOut)
    ));
    let (come, waits) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            come.send(()).unwrap();
            let second = queue.take_owned().unwrap();
            assert_eq!(*second, 2);
            // Nobody gives this one back: the state ends the wait.
            assert!(matches!(queue.take_owned(), Err(GetError::Stopped)));
            second.ack();
        });
        waits.recv().unwrap();
        std::thread::sleep(SHORT_WAIT);
        first.ack();
        until("the second take", || {
            dir.stats().unacked == 1 && dir.stats().len == 1
        });
        std::thread::sleep(SHORT_WAIT);
        dir.control("q").set_state(State::Stopped).unwrap();
    });
    assert_eq!(dir.check(2).gets, 2);
}

#[test]
fn a_delivery_that_is_not_acknowledged_is_given_back_or_counts_as_got() {
    let dir = Dir::new();
    for at_least_once in [true, false] {
        let mut queue = dir.queue(&dir.options(8).at_least_once(at_least_once), 2);
        put(&mut queue, 1..=2);
        let id = take(&mut queue).id(); // dropped
        let given_back = take(&mut queue);
        if at_least_once {
            assert_eq!((*given_back, given_back.delivery_count()), (1, 2));
            assert_eq!(given_back.id(), id);
            given_back.nack().unwrap();
            let again = take(&mut queue);
            assert_eq!((*again, again.delivery_count()), (1, 3));
            let other = std::thread::spawn(move || {
                let _job = again;
                std::panic::resume_unwind(Box::new("the work fails")); // prints nothing
            });
            assert!(other.join().is_err());
            assert_eq!(take(&mut queue).delivery_count(), 4);
        } else {
            assert_eq!(*given_back, 2);
            let error = given_back.nack().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AtMostOnce);
        }
        let stats = dir.stats();
        assert_eq!(
            (stats.gets, stats.lost, stats.redelivered),
            if at_least_once { (0, 0, 3) } else { (1, 1, 0) }
        );
        drop(queue);
        dir.check(0);
        prodcon::unlink_in(&dir.0, "q").unwrap();
    }
}

#[test]
fn deliveries_outlive_their_endpoint_and_the_last_one_releases_the_queue() {
    let dir = Dir::new();
    let mut queue = dir.queue(&dir.at_least_once(8), 3);
    put(&mut queue, 1..=3);
    let jobs = [(); 3].map(|()| take(&mut queue));
    drop(queue);
    assert_eq!(dir.check(3).unacked, 3);
    let [first, second, third] = jobs;
    assert_eq!((*first, *second, *third), (1, 2, 3));
    first.ack();
    assert_eq!(dir.check(2).gets, 1);
    drop(second); // given back
    std::thread::spawn(move || third.ack()).join().unwrap();
    let stats = dir.check(0);
    assert_eq!((stats.gets, stats.unacked), (2, 1));
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let path = dir.path("q").display().to_string();
    assert!(!maps.contains(&path), "the mapping is gone");
    let mut other = ReadyQueue::<u64>::attach_with("q", &dir.attach()).unwrap();
    let job = other.try_take().unwrap();
    assert_eq!((*job, job.delivery_count()), (2, 2));
    job.ack();
}

#[test]
fn an_endpoint_whose_last_seat_is_out_says_so_and_goes_on_when_it_is_back() {
    let dir = Dir::new();
    let options = dir.at_least_once(8).seats(2);
    let attach = dir.attach().max_unacked(4).min_unacked(1);
    let mut queue = ReadyQueue::<u64>::create("q", &options.attach(attach)).unwrap();
    put(&mut queue, 1..=3);
    let jobs = [take(&mut queue), take(&mut queue)];
    let kinds = [
        queue.try_get().unwrap_err().kind(),
        queue.try_take().unwrap_err().kind(),
        queue
            .within(Duration::ZERO)
            .take_many(2)
            .unwrap_err()
            .kind(),
        queue.try_put(&9).unwrap_err().kind(),
        queue.reserve().unwrap_err().kind(),
    ];
    assert_eq!(kinds, [ErrorKind::NoSeat; 5]);
    assert!(matches!(
        queue.within(SHORT_WAIT).take_owned(),
        Err(GetError::TimedOut)
    ));
    let [first, second] = jobs;
    second.ack();
    queue.try_put(&4).unwrap();
    assert_eq!(queue.try_get().unwrap(), 3);
    assert_eq!(*take(&mut queue), 4); // dropped: given back, with the seat
    first.ack();
    assert_eq!(*take(&mut queue), 4);
    drop(queue);
    let stats = dir.check(0);
    assert_eq!((stats.gets, stats.unacked), (3, 1));
}

#[test]
fn what_went_back_with_an_endpoints_last_seats_comes_to_it_again() {
    type Way = fn(&mut ReadyQueue<u64>) -> Result<u64, GetError>;
    let dir = Dir::new();
    let ways: [Way; 4] = [
        |queue| queue.try_get(),
        |queue| {
            let job = queue.try_take()?;
            let item = *job;
            job.ack();
            Ok(item)
        },
        |queue| {
            let batch = queue.within(Duration::ZERO).take_many(2)?;
            let item = batch.iter().copied().sum();
            batch.ack();
            Ok(item)
        },
        |queue| {
            let job = queue.within(SHORT_WAIT).take_owned()?;
            let item = *job;
            job.ack();
            Ok(item)
        },
    ];
    for way in ways {
        let options = dir.at_least_once(8).seats(2);
        let attach = dir.attach().max_unacked(2).min_unacked(1);
        let mut queue = ReadyQueue::<u64>::create("q", &options.attach(attach)).unwrap();
        put(&mut queue, 1..=2);
        drop([take(&mut queue), take(&mut queue)]); // given back, with both seats that there are
        assert_eq!(queue.try_put(&3).unwrap_err().kind(), ErrorKind::NoSeat);
        assert_eq!((way(&mut queue).unwrap(), way(&mut queue).unwrap()), (1, 2));
        queue.try_put(&3).unwrap();
        assert_eq!(way(&mut queue).unwrap(), 3);
        drop(queue);
        let stats = dir.check(0);
        assert_eq!((stats.gets, stats.redelivered), (3, 2));
        prodcon::unlink_in(&dir.0, "q").unwrap();
    }
}

#[test]
fn what_is_given_back_after_the_end_of_the_stream_comes_with_the_next_take() {
    let dir = Dir::new();
    let mut queue = dir.queue(&dir.at_least_once(8), 2);
    put(&mut queue, 1..=1);
    let job = take(&mut queue);
    let control = dir.control("q");
    control.set_state(State::StopAtQueueEnd).unwrap();
    let ended = |queue: &mut ReadyQueue<u64>| matches!(queue.take_owned(), Err(GetError::Stopped));
    assert!(ended(&mut queue));
    job.nack().unwrap();
    let again = queue.take_owned().unwrap();
    assert_eq!((*again, again.delivery_count()), (1, 2));
    again.ack();
    assert!(ended(&mut queue));
    assert_eq!(dir.stats().gets, 1);
}

#[test]
fn a_forked_childs_deliveries_touch_nothing() {
    let dir = Dir::new();
    let mut queue = dir.queue(&dir.at_least_once(8), 3);
    put(&mut queue, 1..=3);
    let jobs = [(); 3].map(|()| take(&mut queue));
    let status = in_child(move || {
        let [first, second, third] = jobs;
        let refused = second
            .nack()
            .is_err_and(|error| error.kind() == ErrorKind::Forked);
        first.ack();
        drop(third);
        refused && queue.take_owned().is_err()
    });
    assert_eq!(status, 0);
    assert_eq!(dir.stats().unacked, 3);
}

#[test]
fn a_killed_process_gives_back_all_that_it_held_or_loses_it() {
    let dir = Dir::new();
    for at_least_once in [true, false] {
        let mut queue = dir.queue(&dir.options(16).at_least_once(at_least_once), 1);
        put(&mut queue, 1..=8);
        let status = in_child(|| {
            let attach = dir.attach().max_unacked(5);
            let mut queue = ReadyQueue::<u64>::attach_with("q", &attach).unwrap();
            let jobs = [(); 5].map(|()| take(&mut queue));
            drop(queue);
            let [_first, second, _third, fourth, _fifth] = jobs;
            std::thread::spawn(move || second.ack()).join().unwrap();
            fourth.ack();
            // SAFETY: a signal to ourselves.
            unsafe { libc::raise(libc::SIGKILL) };
            false
        });
        assert_eq!(status, 1000 + libc::SIGKILL);
        until("the recovery", || {
            queue.control().recover().unwrap();
            queue.control().stats().unwrap().seats_live == 2
        });
        let mut found = vec![];
        while let Ok(job) = queue.within(Duration::ZERO).take_owned() {
            found.push((*job, job.delivery_count()));
            job.ack();
        }
        let rest = [(6, 1), (7, 1), (8, 1)];
        let given_back: &[(u64, u32)] = if at_least_once {
            &[(1, 2), (3, 2), (5, 2)]
        } else {
            &[]
        };
        assert_eq!(found, [given_back, &rest].concat());
        drop(queue);
        let stats = dir.check(0);
        assert_eq!(
            (stats.gets, stats.lost),
            if at_least_once { (8, 0) } else { (5, 3) }
        );
        prodcon::unlink_in(&dir.0, "q").unwrap();
    }
}

/// To an endpoint whose description has a lock already, the kernel gives it again. A seat that were
/// taken again before it is unlocked would stand unlocked afterwards.
#[test]
fn a_seat_that_a_thread_gives_back_is_not_taken_again_before_it_is_unlocked() {
    const THREADS: usize = 4;
    let dir = Dir::new();
    let mut queue = dir.queue(&dir.at_least_once(8).seats(16), THREADS as u32);
    let outside = dir.control("q");
    let (done, ended) = mpsc::channel();
    std::thread::scope(|scope| {
        let hands = [(); THREADS].map(|()| {
            let (hand, work) = mpsc::channel::<OwnedDelivery<u64>>();
            let done = done.clone();
            scope.spawn(move || {
                for job in work {
                    drop(job);
                    done.send(()).unwrap();
                }
            });
            hand
        });
        for round in 0..800 {
            put(&mut queue, 0..THREADS as u64);
            let jobs = [(); THREADS].map(|()| take(&mut queue));
            jobs.into_iter()
                .zip(&hands)
                .for_each(|(job, hand)| hand.send(job).unwrap());
            let mut again = vec![];
            let deadline = Instant::now() + Duration::from_secs(60);
            while again.len() < THREADS {
                assert!(Instant::now() < deadline, "not delivered again");
                // Not asleep: it is there while they give back.
                again.extend(queue.within(Duration::ZERO).take_owned().ok());
            }
            (0..THREADS).for_each(|_| ended.recv().unwrap());
            let live = |stats: Stats| stats.seats_live;
            let own = live(queue.control().stats().unwrap());
            assert_eq!(live(outside.stats().unwrap()), own, "in round {round}");
            again.into_iter().for_each(OwnedDelivery::ack);
        }
    });
}

/// What endpoints and threads do with the items, all at once: 16 threads acknowledge, give back and
/// drop, in any order, while their endpoint takes more and another one comes and goes.
#[test]
fn sixteen_threads_acknowledge_in_any_order() {
    const THREADS: u64 = 16;
    const ITEMS: u64 = 2000;
    let dir = Dir::new();
    let mut queue = dir.queue(&dir.at_least_once(64).seats(24), THREADS as u32);
    let (done, acknowledged) = mpsc::channel();
    std::thread::scope(|scope| {
        let (dir, mut hands) = (&dir, vec![]);
        for number in 0..THREADS {
            let (hand, work) = mpsc::channel::<OwnedDelivery<u64>>();
            let done = done.clone();
            hands.push(hand);
            scope.spawn(move || {
                let mut dice = Dice::new();
                (0..number).for_each(|_| _ = dice.roll(2));
                let mut kept: Vec<OwnedDelivery<u64>> = vec![];
                for job in work {
                    kept.push(job);
                    if dice.roll(3) == 0 {
                        std::thread::yield_now();
                    }
                    let job = kept.swap_remove(dice.roll(kept.len() as u64) as usize);
                    match dice.roll(16) {
                        0 => drop(job),
                        1 => job.nack().unwrap(),
                        _ => {
                            done.send(*job).unwrap();
                            job.ack();
                        }
                    }
                }
                kept.into_iter().for_each(|job| {
                    done.send(*job).unwrap();
                    job.ack();
                });
            });
        }
        scope.spawn(move || {
            let mut producer = ReadyQueue::<u64>::attach_with("q", &dir.attach()).unwrap();
            for item in 0..ITEMS {
                producer.put(&item).unwrap();
                if item % 256 == 0 {
                    // Somebody who wants whatever seat is free.
                    match ReadyQueue::<u64>::attach_with("q", &dir.attach()) {
                        Ok(mut other) => {
                            let tried = other.control().recover();
                            tried.unwrap();
                            let put = other.within(Duration::from_secs(60)).put(&(ITEMS + item));
                            assert!(matches!(put, Ok(()) | Err(PutError::Full)));
                        }
                        Err(error) => assert_eq!(error.kind(), ErrorKind::NoSeat),
                    }
                }
            }
            producer.control().set_state(State::StopAtQueueEnd).unwrap();
        });
        let mut dice = Dice::new();
        loop {
            match queue.within(Duration::from_secs(60)).take_owned() {
                Ok(job) => hands[dice.roll(THREADS) as usize].send(job).unwrap(),
                Err(GetError::Stopped) => break,
                Err(error) => panic!("{error}"),
            }
        }
        drop(hands);
    });
    drop(done);
    // What the threads gave back at the very end.
    queue.control().set_state(State::Stopped).unwrap();
    queue.control().set_state(State::Started).unwrap();
    let mut found: Vec<u64> = acknowledged.iter().collect();
    while let Ok(job) = queue.within(Duration::ZERO).take_owned() {
        found.push(*job);
        job.ack();
    }
    found.sort_unstable();
    let acknowledgements = found.len();
    found.dedup();
    assert_eq!(
        acknowledgements,
        found.len(),
        "nothing is acknowledged twice"
    );
    assert_eq!(
        found.iter().filter(|item| **item < ITEMS).count() as u64,
        ITEMS
    );
    drop(queue);
    let stats = dir.check(0);
    assert_eq!(
        (stats.gets, stats.puts),
        (found.len() as u64, found.len() as u64)
    );
}

#[test]
fn an_endpoint_that_may_have_any_number_in_hand_has_what_seats_there_are() {
    let dir = Dir::new();
    let attach = dir.attach().max_unacked(u32::MAX).min_unacked(1);
    let options = dir.options(8).seats(4).attach(attach);
    let mut queue = ReadyQueue::<u64>::create("q", &options).unwrap();
    put(&mut queue, 1..=4);
    let jobs = [(); 3].map(|()| take(&mut queue));
    assert_eq!(jobs.each_ref().map(|job| **job), [1, 2, 3]);
    jobs.into_iter().for_each(OwnedDelivery::ack);
    assert_eq!((*take(&mut queue), dir.check(4).gets), (4, 3));
}
