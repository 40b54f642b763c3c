//! What workers need of queues: leases of controlling processes, puts that make their own space.

mod common;

use common::Dir;
use prodcon::{ErrorKind, ReadyQueue, State};

impl Dir {
    fn queue(&self, name: &str, capacity: u32) -> ReadyQueue<u64> {
        ReadyQueue::create(name, &self.options(capacity)).unwrap()
    }
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
