//! Rare states and calls: records that several deaths left half written, types that
//! nearly fit, a forked child's guards.

mod common;

use common::{Dir, children::in_child};
use prodcon::bindings::NamedType;
use prodcon::{ReadyQueue, Result};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// Where the header ends and the seats' records begin, a record's length, and the first slot's word
/// in a queue of one slot and two seats.
const SEATS: u64 = 1280;
const SEAT: u64 = 128;
const SLOT: u64 = 1536;

/// Writes words into a queue as a process that died there would have left them.
struct Words(File);

impl Words {
    fn of(dir: &Dir) -> Self {
        Self(
            OpenOptions::new()
                .read(true)
                .write(true)
                .open(dir.path("q"))
                .unwrap(),
        )
    }

    fn write(&self, at: u64, value: u64) {
        self.0.write_all_at(&value.to_ne_bytes(), at).unwrap();
    }
}

#[test]
fn two_deaths_in_a_chain_do_not_make_a_queue_unattachable() {
    let dir = Dir::new();
    drop(prodcon::Control::create::<u64>("q", &dir.options(1).seats(2)).unwrap());
    let words = Words::of(&dir);
    // Seat 0 put block 1 in the place of block 0, and died before its record was at rest.
    words.write(SEATS, 1);
    words.write(SLOT + 80, 8); // block 1: epoch 0, 8 bytes
    // Seat 1 took block 1, left block 2 there, and died before its record was at rest.
    words.write(SEATS + SEAT, 2 | 1 << 24 | 1 << 49);
    words.write(SLOT, 2 << 2 | 2); // empty for lap 1, with block 2
    ReadyQueue::<u64>::attach_with("q", &dir.attach()).unwrap();
    assert!(dir.control("q").doctor().unwrap().ok());
}

#[test]
fn create_or_attach_looks_at_the_alignment() {
    let dir = Dir::new();
    let narrow = NamedType {
        name: "u128".into(),
        size: 16,
        align: 8,
    };
    drop(ReadyQueue::<[u8]>::create_named("q", &dir.options(4), narrow).unwrap());
    assert!(ReadyQueue::<u128>::attach_with("q", &dir.attach()).is_err());
    assert!(ReadyQueue::<u128>::create_or_attach("q", &dir.options(4)).is_err());
}

#[test]
fn an_item_of_a_forked_child_tells_nothing_and_breaks_nothing() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.options(4)).unwrap();
    queue.put(&1).unwrap();
    let item = queue.take().unwrap();
    let status = in_child(|| {
        let _ = item.id();
        true
    });
    assert!(
        status == 0 || status == 101,
        "the child ended with {status}"
    );
}

#[test]
fn a_batch_of_a_forked_child_takes_no_more() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.options(4)).unwrap();
    queue.put(&1).unwrap();
    let mut batch = queue.take_many(2).unwrap();
    assert_eq!(
        in_child(|| batch.take_more(2, Some(Duration::ZERO)).is_err()),
        0
    );
}

#[test]
fn a_forked_child_discards_nothing_and_says_so() {
    let dir = Dir::new();
    let mut lines = ReadyQueue::<[u8]>::create("q", &dir.options(4).item_size(8)).unwrap();
    let mut numbers = ReadyQueue::<u64>::attach_with("q", &dir.attach()).unwrap();
    lines.put(b"short").unwrap();
    assert!(numbers.get().is_err());
    assert_eq!(in_child(|| !numbers.discard()), 0);
    assert_eq!(lines.control().stats().unwrap().unacked, 1);
}

#[test]
fn a_create_that_fails_leaves_no_queue() {
    let dir = Dir::new();
    let options = dir.options(4).seats(2).attach(dir.attach().max_unacked(8));
    let made: Result<ReadyQueue<u64>> = ReadyQueue::create("q", &options);
    assert!(made.is_err());
    assert!(!dir.path("q").exists());
}

#[test]
fn a_wrong_length_behind_a_batch_is_told_by_the_next_call() {
    let dir = Dir::new();
    let mut producer = ReadyQueue::<[u8]>::create("q", &dir.options(8).item_size(8)).unwrap();
    let mut queue = ReadyQueue::<u64>::attach_with("q", &dir.attach()).unwrap();
    producer.put(&[1; 8]).unwrap();
    producer.put(&[1; 3]).unwrap();
    producer.put(&[2; 8]).unwrap();
    let batch = queue.take_many(8).unwrap();
    assert_eq!(batch.len(), 1);
    batch.ack();
    assert!(queue.try_get().is_err());
    assert_eq!(producer.control().stats().unwrap().lost, 0);
}
