//! Waiting in a descriptor: armed or not, dropped, cancelled, forked, beside the dead.

use prodcon::{
    AttachOptions, CancelToken, ErrorKind, GetError, QueueOptions, ReadyFd, ReadyQueue, State,
};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

mod common;
use common::children::{Started, in_child, role};
use common::{Dir, until};

/// Far more than it takes: the machine may be busy.
const DEADLINE: i32 = 30_000;
/// Where the word is that says whether somebody waits for items.
const ITEMS_EVENT: u64 = 896;

/// Not a test: takes an item and keeps it in hand until it is killed.
#[test]
#[ignore = "started by the other tests"]
fn child() {
    if role().is_none() {
        return;
    }
    let mut queue = ReadyQueue::<u64>::attach("q").unwrap();
    let _item = queue.take().unwrap();
    std::thread::sleep(Duration::from_secs(600));
}

/// Returns whether the descriptor becomes readable within this many milliseconds.
fn readable(ready: &ReadyFd, timeout: i32) -> bool {
    let mut fd = libc::pollfd {
        fd: ready.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one pollfd.
    let count = unsafe { libc::poll(&mut fd, 1, timeout) };
    assert!(count >= 0);
    count == 1
}

fn word(dir: &Dir, name: &str) -> u32 {
    let mut bytes = [0; 4];
    let file = std::fs::File::open(dir.path(name)).unwrap();
    file.read_exact_at(&mut bytes, ITEMS_EVENT).unwrap();
    u32::from_ne_bytes(bytes)
}

fn somebody_is_registered(dir: &Dir, name: &str) -> bool {
    word(dir, name) & 1 == 1
}

/// Arms it, and returns when the thread waits for it.
fn arm(dir: &Dir, name: &str, ready: &ReadyFd) {
    assert!(!ready.arm().unwrap());
    until("that the thread waits", || {
        somebody_is_registered(dir, name)
    });
}

#[test]
fn only_an_armed_descriptor_becomes_readable_and_only_once() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.options(8)).unwrap();
    let ready = queue.readable().fd().unwrap();
    queue.put(&1).unwrap();
    assert!(!readable(&ready, 20), "it was not armed");
    assert!(ready.arm().unwrap(), "there is an item");
    assert!(!readable(&ready, 20), "it was not armed then");
    queue.get().unwrap();
    arm(&dir, "q", &ready);
    assert!(!readable(&ready, 20), "there is nothing");
    queue.put(&2).unwrap();
    assert!(readable(&ready, DEADLINE));
    assert_eq!(queue.try_get().unwrap(), 2);
    assert!(!ready.arm().unwrap());
    assert!(!readable(&ready, 20), "arming has reset it");
}

#[test]
fn space_makes_a_descriptor_readable() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.options(1)).unwrap();
    let space = queue.writable().fd().unwrap();
    assert!(space.arm().unwrap());
    queue.put(&1).unwrap();
    assert!(!space.arm().unwrap());
    queue.get().unwrap();
    assert!(readable(&space, DEADLINE));
}

#[test]
fn nobody_counts_as_asleep_unless_a_descriptor_is_armed() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.options(8)).unwrap();
    let ready = queue.readable().fd().unwrap();
    assert_eq!(word(&dir, "q"), 0);
    arm(&dir, "q", &ready);
    queue.put(&1).unwrap();
    assert!(readable(&ready, DEADLINE));
    // One put may find the registration of the past and clears it. From then on no put does anything.
    queue.put(&2).unwrap();
    queue.put(&3).unwrap();
    let after = word(&dir, "q");
    assert_eq!(after & 1, 0, "a put would make a system call");
    queue.put(&4).unwrap();
    assert_eq!(word(&dir, "q"), after);
}

#[test]
fn what_becomes_readable_and_is_dropped_untried_passes_its_wake_up_on() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.options(8)).unwrap();
    let (first, second) = (
        queue.readable().fd().unwrap(),
        queue.readable().fd().unwrap(),
    );
    arm(&dir, "q", &first);
    assert!(!second.arm().unwrap());
    queue.put(&1).unwrap();
    assert!(readable(&first, DEADLINE));
    let before = word(&dir, "q");
    drop(first);
    assert_ne!(word(&dir, "q"), before, "nobody was woken instead");
    assert!(readable(&second, DEADLINE));
    assert_eq!(queue.try_get().unwrap(), 1);
}

#[test]
fn as_many_descriptors_become_readable_as_there_are_items() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.options(8)).unwrap();
    let all: Vec<ReadyFd> = (0..6).map(|_| queue.readable().fd().unwrap()).collect();
    for ready in &all {
        assert!(!ready.arm().unwrap());
    }
    let mut got = 0;
    for round in 0..6 {
        queue.put(&round).unwrap();
        until("that one becomes readable", || {
            all.iter().any(|ready| readable(ready, 0))
        });
        assert_eq!(queue.try_get().unwrap(), round);
        got += 1;
        let woken = all.iter().filter(|ready| readable(ready, 0)).count();
        assert!(woken <= 2 * got, "{woken} for {got} items");
        // The one that was woken arms again.
        for ready in all.iter().filter(|ready| readable(ready, 0)) {
            assert!(!ready.arm().unwrap());
        }
    }
}

#[test]
fn a_dead_consumers_item_comes_to_whoever_waits_in_a_descriptor() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.at_least_once(8)).unwrap();
    queue.put(&7).unwrap();
    let victim = Started::new(&dir, "hold", 0);
    until("that the victim has it in hand", || {
        queue.control().stats().unwrap().unacked == 1
    });
    let ready = queue.readable().fd().unwrap();
    assert!(matches!(queue.try_get(), Err(GetError::Empty)));
    assert!(!ready.arm().unwrap());
    victim.signal(libc::SIGKILL);
    let killed = Instant::now();
    loop {
        assert!(readable(&ready, DEADLINE));
        match queue.try_take() {
            Ok(item) => {
                assert_eq!((*item, item.delivery_count()), (7, 2));
                println!("{:?} after the kill", killed.elapsed());
                break item.ack();
            }
            Err(GetError::Empty) => {
                if ready.arm().unwrap() {
                    continue;
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_cancel_a_removed_name_and_a_changed_state_end_the_wait() {
    let dir = Dir::new();
    let token = CancelToken::new();
    let options = QueueOptions::new(8).attach(dir.attach().cancel(&token));
    let queue = ReadyQueue::<u64>::create("q", &options).unwrap();
    let (ready, cancelled) = (
        queue.readable().fd().unwrap(),
        token.cancelled().fd().unwrap(),
    );
    assert!(!ready.arm().unwrap() && !cancelled.arm().unwrap());
    token.cancel();
    assert!(readable(&ready, DEADLINE) && readable(&cancelled, DEADLINE));
    assert_eq!(ready.arm().unwrap_err().kind(), ErrorKind::Cancelled);
    assert!(cancelled.arm().unwrap());

    let attach = |name| ReadyQueue::<u64>::attach_with(name, &dir.attach()).unwrap();
    let other = attach("q");
    let ready = other.readable().fd().unwrap();
    assert!(!ready.arm().unwrap());
    other.control().set_state(State::Stopped).unwrap();
    assert!(readable(&ready, DEADLINE) && ready.arm().unwrap());
    other.control().set_state(State::Started).unwrap();
    assert!(!ready.arm().unwrap());
    prodcon::unlink_in(&dir.0, "q").unwrap();
    assert!(readable(&ready, DEADLINE));
    assert_eq!(ready.arm().unwrap_err().kind(), ErrorKind::Removed);
}

#[test]
fn the_end_of_the_stream_comes_to_who_has_the_last_items_in_hand() {
    let dir = Dir::new();
    let options = dir.at_least_once(8).attach(dir.attach().max_unacked(2));
    let mut queue = ReadyQueue::<u64>::create("q", &options).unwrap();
    queue.put(&1).unwrap();
    let last = queue.take_owned().unwrap();
    let ready = queue.readable().fd().unwrap();
    arm(&dir, "q", &ready);
    queue.control().set_state(State::StopAtQueueEnd).unwrap();
    assert!(queue.readable().is_ready().unwrap());
    assert!(readable(&ready, DEADLINE), "a get answers Stopped");
    assert!(ready.arm().unwrap());
    let other = ReadyQueue::<u64>::attach_with("q", &dir.attach()).unwrap();
    let others = other.readable().fd().unwrap();
    assert!(!others.arm().unwrap(), "the item may come back to it");
    assert!(matches!(queue.try_get(), Err(GetError::Stopped)));
    last.ack();
    assert!(readable(&others, DEADLINE));
}

#[test]
fn more_queues_than_one_thread_can_wait_for_are_waited_for() {
    let dir = Dir::new();
    let mut queues: Vec<_> = (0..140)
        .map(|number| {
            let options = dir.options(2).seats(2);
            ReadyQueue::<u64>::create(&format!("q{number}"), &options).unwrap()
        })
        .collect();
    let all: Vec<ReadyFd> = queues
        .iter()
        .map(|queue| queue.readable().fd().unwrap())
        .collect();
    for ready in &all {
        assert!(!ready.arm().unwrap());
    }
    for (queue, number) in queues.iter_mut().zip(0..) {
        queue.put(&number).unwrap();
    }
    assert!(all.iter().all(|ready| readable(ready, DEADLINE)));
}

#[test]
fn a_forked_child_waits_by_itself_and_leaves_its_parents_alone() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.options(8)).unwrap();
    let ready = queue.readable().fd().unwrap();
    arm(&dir, "q", &ready);
    let child = in_child(|| {
        let forked = ready.arm().unwrap_err().kind() == ErrorKind::Forked;
        let attach: AttachOptions = dir.attach();
        let mut own = ReadyQueue::<u64>::create("own", &dir.options(8)).unwrap();
        let ready = own.readable().fd().unwrap();
        arm(&dir, "own", &ready);
        let mut producer = ReadyQueue::<u64>::attach_with("own", &attach).unwrap();
        producer.put(&5).unwrap();
        forked && readable(&ready, DEADLINE) && own.try_get().unwrap() == 5
    });
    assert_eq!(child, 0);
    assert!(!readable(&ready, 20), "the child has touched it");
    queue.put(&1).unwrap();
    assert!(
        readable(&ready, DEADLINE),
        "the parent's thread waits no more"
    );
}
