//! Threads over one mapping: what ThreadSanitizer can see of the ring.
//!
//! Endpoints of one process map the segment each for itself, so to the sanitizer their accesses are
//! to different memory. Here all threads use the same addresses, and the payload is read and
//! written without atomics. The tests also run without the sanitizer.

use super::*;
use crate::queue::{AttachOptions, Control, QueueOptions};
use crate::ring::seat::Seat;
use crate::ring::{Cursors, Recovered, Ring, RingError};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A thread's seat is its number, which nobody else wants.
struct Own;

impl Locks for Own {
    fn try_lock(&mut self, _: u32) -> bool {
        true
    }
    fn unlock(&mut self, _: u32) {}
    fn is_locked(&mut self, _: u32) -> bool {
        true
    }
}

struct Participant {
    ring: Ring<Mapped>,
    seat: Seat,
    cursors: Cursors,
    /// Words of an item.
    words: usize,
    deadline: Instant,
}

const WORDS: usize = 4;

impl Participant {
    fn new(segment: &Segment, number: u32) -> Self {
        let ring = Ring {
            memory: Mapped::new(segment),
            at_least_once: false,
            batch: 1,
            single: true,
            contention: 10,
        };
        let seat = ring
            .attach(
                &mut Own,
                |index| index != number,
                false,
                &mut Recovered::default(),
            )
            .unwrap()
            .unwrap();
        Self {
            ring,
            seat,
            cursors: Cursors::default(),
            words: segment.geometry.item_size as usize / 8,
            deadline: Instant::now() + Duration::from_secs(120),
        }
    }

    fn payload(&mut self) -> &mut [u64] {
        // SAFETY: the seat owns its block, and self, borrowed exclusively, has no other slice of
        // it.
        let bytes = unsafe { self.ring.memory.payload(self.seat.block, 0, self.words * 8) };
        // SAFETY: so many mapped bytes, 8-aligned, as the queue's items are; nobody else has the
        // block.
        unsafe { std::slice::from_raw_parts_mut(bytes.cast(), self.words) }
    }

    fn wait(&self) {
        assert!(Instant::now() < self.deadline, "nobody makes progress");
        std::thread::yield_now();
    }

    fn put(&mut self, item: u64, lossy: bool) {
        self.payload().fill(item);
        let len = self.words as u64 * 8;
        loop {
            let header = self.ring.memory.block(self.seat.block);
            let (cursors, seat) = (&mut self.cursors, &mut self.seat);
            let pair = self.ring.memory.pair(cursors.put.index);
            if self
                .ring
                .put_fast::<true>(cursors, seat, header, len, pair, || item)
            {
                return;
            }
            match self.ring.put(&mut self.cursors, &mut self.seat, len, lossy) {
                Ok(()) => return,
                Err(RingError::Full) => self.wait(),
                Err(other) => panic!("{other:?}"),
            }
        }
    }

    fn get(&mut self) -> Option<u64> {
        if let Some(pair) = self.ring.memory.pair(self.cursors.get.index) {
            let epoch = self.ring.gate().epoch();
            let (cursors, seat) = (&mut self.cursors, &mut self.seat);
            if let Some(copy) = self.ring.get_copy(cursors, seat, pair, |copy| copy) {
                // The block is this seat's now.
                let header = self
                    .ring
                    .memory
                    .block(self.seat.block)
                    .load(Ordering::Relaxed);
                let put_in = BlockWord(header).epoch();
                assert!(
                    put_in >= epoch,
                    "put in epoch {put_in}, delivered in {epoch}"
                );
                assert_eq!([copy], *self.payload(), "another item's copy");
                return Some(copy);
            }
        }
        if self
            .ring
            .take_fast::<true>(&mut self.cursors, &mut self.seat)
            .is_none()
        {
            match self.ring.take(&mut self.cursors, &mut self.seat) {
                Ok(_) => {}
                Err(RingError::Empty) => return None,
                Err(other) => panic!("{other:?}"),
            }
        }
        let item = self.payload();
        let first = item[0];
        assert!(item.iter().all(|word| *word == first), "a torn item");
        self.seat.acknowledge(&self.ring.memory, 1);
        Some(first)
    }
}

fn threads(capacity: u32, copies: bool, lossy: bool, clears: bool) {
    const ITEMS: u64 = 20_000;
    const PRODUCERS: u32 = 2;
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let dir = std::env::temp_dir().join(format!(
        "prodcon-one-mapping-{}-{}",
        std::process::id(),
        NUMBER.fetch_add(1, Ordering::Relaxed)
    ));
    std::fs::create_dir(&dir).unwrap();
    let options = QueueOptions::new(capacity)
        .seats(5)
        .item_size(WORDS * 8)
        .copy_in_slot(copies)
        .lossy(lossy);
    let options = options.attach(AttachOptions::new().directory(&dir));
    let control = if copies {
        Control::create::<u64>("q", &options)
    } else {
        Control::create::<[u8]>("q", &options)
    };
    std::fs::remove_dir_all(&dir).unwrap(); // nothing is left whatever fails
    let control = control.unwrap();
    if copies && !control.info().copy_in_slot {
        eprintln!("SKIPPED: this processor does not exchange 16 bytes at once");
        return;
    }
    let ended = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let (segment, ended) = (&control.segment, &ended);
        let mut threads = vec![];
        for number in 0..PRODUCERS {
            threads.push(scope.spawn(move || {
                let mut producer = Participant::new(segment, number);
                (1..=ITEMS).for_each(|item| producer.put(u64::from(number) << 32 | item, lossy));
                ended.fetch_add(1, Ordering::Release);
            }));
        }
        for number in 2..4 {
            threads.push(scope.spawn(move || {
                let mut consumer = Participant::new(segment, number);
                let mut last = [0; PRODUCERS as usize];
                loop {
                    let over = ended.load(Ordering::Acquire) == u64::from(PRODUCERS);
                    match consumer.get() {
                        Some(item) => {
                            let last = &mut last[(item >> 32) as usize];
                            assert!(*last < item & 0xffff_ffff, "out of order");
                            *last = item & 0xffff_ffff;
                        }
                        None if over => return,
                        None => consumer.wait(),
                    }
                }
            }));
        }
        if clears {
            threads.push(scope.spawn(move || {
                let mut cleaner = Participant::new(segment, 4);
                while ended.load(Ordering::Acquire) < u64::from(PRODUCERS) {
                    let epoch = cleaner.ring.clear().unwrap();
                    cleaner
                        .ring
                        .drain(&mut cleaner.cursors, &mut cleaner.seat, epoch)
                        .unwrap();
                    cleaner.wait();
                }
            }));
        }
        // The sanitizer knows a join, but not the end of a scope.
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    });
    let (report, stats) = (control.doctor().unwrap(), control.stats().unwrap());
    assert!(report.ok() && stats.adds_up(), "{report:?} {stats:?}");
    assert_eq!((stats.puts, stats.len), (ITEMS * u64::from(PRODUCERS), 0));
    assert!(
        (lossy || stats.dropped == 0) && (clears || stats.cleared == 0),
        "{stats:?}"
    );
}

#[test]
fn threads_over_one_mapping_lose_nothing() {
    threads(3, false, false, false);
}

#[test]
fn threads_over_one_mapping_drop_the_oldest() {
    threads(3, false, true, false);
}

#[test]
fn threads_over_one_mapping_clear() {
    threads(3, false, false, true);
    threads(3, false, true, true);
}

#[test]
fn threads_over_one_mapping_get_copies_of_what_was_not_cleared() {
    for capacity in [1, 3] {
        for (lossy, clears) in [(false, false), (true, false), (false, true), (true, true)] {
            threads(capacity, true, lossy, clears);
        }
    }
}
