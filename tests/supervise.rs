//! What workers need of queues: leases of controlling processes, puts that make their own space, waits that another queue's state ends.

mod common;

use common::{Dir, until};
use prodcon::{Control, ErrorKind, ReadyQueue, State};
use std::time::Duration;

impl Dir {
    fn queue(&self, name: &str, capacity: u32) -> ReadyQueue<u64> {
        ReadyQueue::create(name, &self.options(capacity)).unwrap()
    }
}

/// Waits until somebody sleeps at the queue.
fn until_asleep(queue: &Control) {
    until("its sleep", || {
        let members = queue.stats().unwrap().members;
        members.iter().any(|member| member.asleep)
    });
}

#[test]
fn one_process_at_a_time_supervises_and_its_number_is_its_own() {
    let dir = Dir::new();
    let _queue = dir.queue("q", 1);
    let (control, other) = (dir.control("q"), dir.control("q"));
    assert!(!control.is_supervised().unwrap() && !control.has_owner().unwrap());
    let first = control.supervise(false).unwrap().unwrap();
    assert!(
        control.is_supervised().unwrap()
            && other.is_supervised_by(first.number()).unwrap()
            && !other.has_owner().unwrap()
    );
    assert!(!other.is_supervised_by(first.number() ^ 1).unwrap());
    assert!(
        other.supervise(false).unwrap().is_none() && control.supervise(true).unwrap().is_none()
    );
    let number = first.number();
    drop(first);
    assert!(!control.is_supervised().unwrap() && !other.is_supervised_by(number).unwrap());
    let second = other.supervise(true).unwrap().unwrap();
    assert!(
        second.number() != number
            && control.has_owner().unwrap()
            && !control.is_supervised_by(number).unwrap()
    );
}

#[test]
fn who_cannot_change_the_queue_cannot_supervise_it() {
    let dir = Dir::new();
    let _queue = dir.queue("q", 1);
    let control = dir.control("q");
    prodcon::unlink_in(&dir.0, "q").unwrap();
    assert_eq!(
        control.supervise(true).unwrap_err().kind(),
        ErrorKind::Removed
    );
    let _again = dir.queue("q", 1);
    assert_eq!(
        control.supervise(true).unwrap_err().kind(),
        ErrorKind::Removed,
        "that is another queue"
    );
    assert!(!dir.control("q").is_supervised().unwrap());
}

#[test]
fn a_forced_put_drops_the_oldest_and_counts_it() {
    let dir = Dir::new();
    let mut queue = dir.queue("q", 3);
    (0..10).for_each(|item| queue.force_put(&item).unwrap());
    let stats = queue.control().stats().unwrap();
    assert!(stats.adds_up() && (stats.puts, stats.dropped, stats.len) == (10, 7, 3));
    assert_eq!(
        queue.try_put(&10).unwrap_err().kind(),
        ErrorKind::Full,
        "the queue is as it was"
    );
    assert_eq!(
        std::iter::from_fn(|| queue.try_get().ok()).collect::<Vec<_>>(),
        [7, 8, 9]
    );
    queue.set_not_ready().unwrap();
    assert_eq!(queue.force_put(&1).unwrap_err().kind(), ErrorKind::NotReady);
    queue.control().set_state(State::Stopped).unwrap();
    assert_eq!(queue.force_put(&1).unwrap_err().kind(), ErrorKind::Stopped);
    let mut bytes = ReadyQueue::<[u8]>::create("b", &dir.options(1).item_size(4)).unwrap();
    assert_eq!(
        bytes.force_put(b"12345").unwrap_err().kind(),
        ErrorKind::TooLarge
    );
    bytes.force_put(b"a").unwrap();
    bytes.force_put(b"bc").unwrap();
    assert_eq!(bytes.get().unwrap(), b"bc");
}

#[test]
fn a_wait_ends_with_space_with_an_item_with_the_other_queues_state_and_with_its_time() {
    let dir = Dir::new();
    let mut full = dir.queue("full", 1);
    let _other = dir.queue("other", 1);
    full.put(&1).unwrap();
    let (mine, theirs) = (dir.control("other"), dir.control("other"));
    // Its time.
    assert_eq!(
        full.put_while(&2, Some(Duration::from_millis(5)), &mine, || true)
            .unwrap_err()
            .kind(),
        ErrorKind::TimedOut
    );
    // Somebody says no.
    assert_eq!(
        full.put_while(&2, None, &mine, || false)
            .unwrap_err()
            .kind(),
        ErrorKind::TimedOut
    );
    // The other queue's state: looked at again at once, though nothing happens here.
    let mut waiter = full.try_clone().unwrap();
    let thread = std::thread::spawn(move || {
        waiter.put_while(&2, None, &mine, || mine.state() == State::Started)
    });
    until_asleep(full.control());
    theirs.set_state(State::Stopped).unwrap();
    assert_eq!(
        thread.join().unwrap().unwrap_err().kind(),
        ErrorKind::TimedOut
    );
    // Space, and an item.
    let mut waiter = full.try_clone().unwrap();
    let thread = std::thread::spawn(move || {
        (
            waiter.put_while(&2, None, &theirs, || true),
            waiter.get_while(None, &theirs, || true),
        )
    });
    until_asleep(full.control());
    assert_eq!(full.get().unwrap(), 1);
    let (put, got) = thread.join().unwrap();
    assert!(put.is_ok() && got.is_ok_and(|item| item == 2));
    let other = dir.control("other");
    assert_eq!(
        full.get_while(Some(Duration::from_millis(5)), &other, || true)
            .unwrap_err()
            .kind(),
        ErrorKind::TimedOut
    );
    full.put_while(&3, None, &other, || false).unwrap();
    assert_eq!(full.get_while(None, &other, || false).unwrap(), 3);
    // And what ends any wait.
    let (mut waiter, control) = (full.try_clone().unwrap(), dir.control("full"));
    let thread = std::thread::spawn(move || waiter.get_while(None, &other, || true));
    until_asleep(full.control());
    control.set_state(State::Stopped).unwrap();
    assert_eq!(
        thread.join().unwrap().unwrap_err().kind(),
        ErrorKind::Stopped
    );
}

#[test]
fn who_leaves_a_wait_hands_its_wake_up_on() {
    let dir = Dir::new();
    let mut queue = dir.queue("q", 1);
    let _other = dir.queue("other", 1);
    let threads: Vec<_> = (0..8u64)
        .map(|number| {
            let (mut waiter, other) = (queue.try_clone().unwrap(), dir.control("other"));
            // Half of them give up when the other queue's state changes, at the moment at which the items come.
            std::thread::spawn(move || {
                waiter
                    .get_while(None, &other, || {
                        number % 2 == 0 || other.state() == State::Started
                    })
                    .is_ok()
            })
        })
        .collect();
    until("all asleep", || {
        queue
            .control()
            .stats()
            .unwrap()
            .members
            .iter()
            .filter(|member| member.asleep)
            .count()
            == 8
    });
    let control = dir.control("other");
    let stopper = std::thread::spawn(move || control.set_state(State::Stopped).unwrap());
    for item in 0..4u64 {
        queue.within(Duration::from_secs(60)).put(&item).unwrap();
    }
    // Whoever got one of them: four at least went on waiting, so none may lie there.
    until("four gets", || queue.is_empty());
    stopper.join().unwrap();
    let mut item = 4;
    until("all are done", || {
        if !threads.iter().all(std::thread::JoinHandle::is_finished) && queue.try_put(&item).is_ok()
        {
            item += 1;
        }
        threads.iter().all(std::thread::JoinHandle::is_finished)
    });
    let got = threads
        .into_iter()
        .filter(|thread| thread.is_finished())
        .map(|thread| u64::from(thread.join().unwrap()))
        .sum::<u64>();
    assert_eq!(got + queue.len() as u64, item);
}
