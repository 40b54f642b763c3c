//! The queue as its user sees it, within one process.

mod common;

use common::Dir;
use prodcon::{
    AttachOptions, Control, ErrorKind, GetError, PutError, QueueOptions, ReadyQueue, State,
};
use std::sync::Barrier;
use std::time::{Duration, Instant};

impl Dir {
    fn numbers(&self, capacity: u32) -> ReadyQueue<u64> {
        ReadyQueue::create("q", &self.options(capacity)).unwrap()
    }
    fn attached(&self) -> prodcon::Result<ReadyQueue<u64>> {
        ReadyQueue::attach_with("q", &self.attach())
    }
}

/// All that is there, acknowledged.
fn drain(queue: &mut ReadyQueue<u64>) -> Vec<u64> {
    std::iter::from_fn(|| queue.try_get().ok()).collect()
}

#[test]
fn items_come_out_in_order_at_any_capacity() {
    for capacity in [1, 2, 3, 7, 64, 100] {
        let dir = Dir::new();
        let mut a = dir.numbers(capacity);
        let mut b = dir.attached().unwrap();
        for round in 0..5 {
            for i in 0..u64::from(capacity) {
                a.try_put(&(round * 1000 + i)).unwrap();
            }
            assert!(matches!(a.try_put(&0), Err(PutError::Full)));
            assert!(a.is_full());
            for i in 0..u64::from(capacity) {
                assert_eq!(b.try_get().unwrap(), round * 1000 + i);
            }
            assert!(matches!(b.try_get(), Err(GetError::Empty)));
        }
        let stats = a.control().stats().unwrap();
        assert!(
            stats.adds_up() && stats.gets == 5 * u64::from(capacity) && stats.seats_live == 2,
            "{stats:?}"
        );
    }
}

/// Polls without success, so that the next try is one of many that have found the same.
fn poll<T, E>(mut attempt: impl FnMut() -> Result<T, E>) {
    for _ in 0..5 {
        assert!(attempt().is_err());
    }
}

#[test]
fn a_producer_that_polls_is_told_what_has_changed() {
    for capacity in [1, 64, 100] {
        let dir = Dir::new();
        let (mut a, mut b) = (dir.numbers(capacity), dir.attached().unwrap());
        let fill = |queue: &mut ReadyQueue<u64>| while queue.try_put(&1).is_ok() {};
        fill(&mut a);
        poll(|| a.try_put(&2));
        b.get().unwrap();
        a.try_put(&2).unwrap();
        poll(|| a.try_put(&3));
        b.clear().unwrap();
        a.try_put(&3).unwrap();
        assert_eq!(b.try_get().unwrap(), 3);

        fill(&mut a);
        poll(|| a.try_put(&4));
        let mut block = a.reserve().unwrap();
        *block = 4;
        let refused = block.commit_within(Duration::ZERO).unwrap_err();
        assert!(matches!(refused.error, PutError::Full));
        b.set_not_ready().unwrap();
        assert!(matches!(a.try_put(&5), Err(PutError::NotReady)));
        b.set_ready().unwrap();
        fill(&mut a);
        poll(|| a.try_put(&6));
        b.control().set_state(State::Stopped).unwrap();
        assert!(matches!(a.try_put(&6), Err(PutError::Stopped)));
    }
}

#[test]
fn a_consumer_that_polls_is_told_what_has_changed() {
    let dir = Dir::new();
    let (mut a, mut b) = (dir.numbers(64), dir.attached().unwrap());
    for end in [State::StopAtQueueEnd, State::Stopped] {
        for items in [0, 1, 100] {
            for item in 0..items {
                a.put(&item).unwrap();
                assert_eq!(b.try_get().unwrap(), item);
            }
            poll(|| b.try_get());
            poll(|| b.try_take().map(|item| *item));
            a.put(&7).unwrap();
            assert_eq!(*b.try_take().unwrap(), 7);
        }
        poll(|| b.try_get());
        a.control().set_state(end).unwrap();
        assert!(matches!(b.try_get(), Err(GetError::Stopped)));
        assert!(matches!(b.try_take(), Err(GetError::Stopped)));
        a.control().set_state(State::Stopped).unwrap();
        a.control().set_state(State::Started).unwrap();
    }
}

#[test]
fn a_consumer_that_polls_gets_what_another_one_gave_back() {
    let dir = Dir::new();
    let options = dir.options(8).at_least_once(true);
    let mut a = ReadyQueue::<u64>::create("q", &options).unwrap();
    let mut b = dir.attached().unwrap();
    a.put(&7).unwrap();
    let job = a.take().unwrap();
    poll(|| b.try_get());
    drop(job);
    drop(a);
    assert_eq!(b.try_get().unwrap(), 7);
}

#[test]
fn a_lossy_queue_keeps_the_newest() {
    let dir = Dir::new();
    let mut q = ReadyQueue::<u64>::create("q", &dir.options(3).lossy(true)).unwrap();
    for i in 1..=21 {
        q.put(&i).unwrap();
    }
    assert_eq!(drain(&mut q), [19, 20, 21]);
    assert_eq!(q.control().stats().unwrap().dropped, 18);
}

#[test]
fn bytes_of_any_length_up_to_the_item_size() {
    for size in [0, 1, 8, 9, 100, 65_535, 65_536, 1 << 20] {
        let dir = Dir::new();
        let mut q = ReadyQueue::<[u8]>::create("q", &dir.options(2).item_size(size)).unwrap();
        let item: Vec<u8> = (0..size).map(|i| i as u8).collect();
        q.put(&item).unwrap();
        q.put(&[]).unwrap();
        assert_eq!(q.get().unwrap(), item);
        assert!(q.get().unwrap().is_empty());
        let error = q.put(&vec![0; size + 1]).unwrap_err();
        assert!(
            error.kind() == ErrorKind::TooLarge && error.to_string().contains("'q'"),
            "{error}"
        );
    }
}

#[test]
fn zero_copy_both_ways() {
    let dir = Dir::new();
    let mut q = ReadyQueue::<[u8]>::create("q", &dir.options(1).item_size(100)).unwrap();
    let mut block = q.reserve(100).unwrap();
    block[..5].copy_from_slice(b"hello");
    block.truncate(5);
    block.commit().unwrap();
    let refused = {
        let mut block = q.reserve(5).unwrap();
        block.copy_from_slice(b"world");
        block.commit_within(Duration::ZERO).unwrap_err()
    };
    assert!(matches!(refused.error, PutError::Full));
    assert_eq!(&*refused.reservation, b"world");
    drop(refused);
    let taken = q.take().unwrap();
    assert_eq!((&*taken, taken.delivery_count()), (&b"hello"[..], 1));
    taken.ack();
    assert!(q.control().stats().unwrap().adds_up());
    assert!(matches!(q.try_get(), Err(GetError::Empty)));
}

#[test]
fn the_gate_keeps_producers_out_and_clears() {
    let dir = Dir::new();
    let mut q = dir.numbers(4);
    q.put(&1).unwrap();
    q.control().set_not_ready().unwrap();
    assert!(matches!(q.put(&2), Err(PutError::NotReady)));
    q.set_ready().unwrap();
    q.put(&3).unwrap();
    assert_eq!(q.get().unwrap(), 3);
    q.put(&4).unwrap();
    q.clear().unwrap();
    assert_eq!((q.len(), drain(&mut q)), (0, vec![]));
    let stats = q.control().stats().unwrap();
    assert_eq!(
        (stats.puts, stats.gets, stats.cleared, stats.epoch),
        (3, 1, 2, 2)
    );
    assert!(stats.adds_up());
    // A full queue of cleared items has room at once.
    (0..4).for_each(|i| q.try_put(&i).unwrap());
    q.control().clear().unwrap();
    (10..14).for_each(|i| q.try_put(&i).unwrap());
    assert_eq!(drain(&mut q), [10, 11, 12, 13]);
    assert!(q.control().stats().unwrap().adds_up());
}

#[test]
fn cleared_items_are_neither_counted_nor_in_the_way() {
    let dir = Dir::new();
    let mut q = dir.numbers(5);
    for live in 0..=5 {
        (0..5 - live).for_each(|i| q.put(&i).unwrap());
        let control = q.control().try_clone().unwrap();
        control.clear().unwrap();
        (0..live).for_each(|i| q.put(&i).unwrap());
        assert_eq!(
            (q.len() as u64, q.is_empty(), q.is_full()),
            (live, live == 0, live == 5)
        );
        assert_eq!(
            (control.len() as u64, control.is_empty(), control.is_full()),
            (live, live == 0, live == 5)
        );
        assert!(q.control().stats().unwrap().adds_up());
        assert_eq!(drain(&mut q).len() as u64, live);
    }
}

#[test]
fn state_ends_the_stream() {
    let dir = Dir::new();
    let mut q = dir.numbers(8);
    (0..5).for_each(|i| q.put(&i).unwrap());
    q.control().set_state(State::StopAtQueueEnd).unwrap();
    assert!(matches!(q.put(&9), Err(PutError::Stopped)));
    assert_eq!(
        q.iter().map(Result::unwrap).collect::<Vec<_>>(),
        [0, 1, 2, 3, 4]
    );
    assert!(
        q.control()
            .set_state(State::Started)
            .unwrap_err()
            .to_string()
            .contains("stop_at_queue_end")
    );
    q.control().set_state(State::Stopped).unwrap();
    assert!(matches!(q.try_get(), Err(GetError::Stopped)));
    q.control().set_state(State::Started).unwrap();
    assert!(matches!(q.try_get(), Err(GetError::Empty)));
}

#[test]
fn what_was_cleared_in_anothers_hand_does_not_hold_up_the_end_of_a_stream() {
    for batch in [1, 2] {
        let dir = Dir::new();
        let options = dir.options(4).at_least_once(true).batch(batch);
        let mut other = ReadyQueue::<u64>::create("q", &options).unwrap();
        let mut queue = other.try_clone().unwrap();
        queue.put_slice(&[1, 2][..batch as usize]).unwrap();
        let shown = other.take().unwrap();
        queue.control().set_state(State::StopAtQueueEnd).unwrap();
        let answer = queue.try_get();
        assert!(matches!(answer, Err(GetError::Empty)), "it may come back");
        queue.control().clear().unwrap();
        assert!(queue.readable().is_ready().unwrap());
        assert!(matches!(queue.try_get(), Err(GetError::Stopped)));
        shown.ack();
        assert!(matches!(other.try_get(), Err(GetError::Stopped)));
        let stats = queue.control().stats().unwrap();
        assert_eq!((stats.gets, stats.cleared), (1, u64::from(batch) - 1));
    }
}

#[test]
fn the_state_that_a_queue_has_may_be_set_and_a_refusal_names_the_way_that_works() {
    let dir = Dir::new();
    let q = dir.numbers(8);
    let ways = [
        (State::Started, &[][..], State::StopAtQueueEnd),
        (State::Stopped, &[State::Started][..], State::StopAtQueueEnd),
        (State::StopAtQueueEnd, &[State::Stopped][..], State::Started),
    ];
    for (from, way, to) in ways {
        if q.control().state() != from {
            q.control().set_state(State::Stopped).unwrap();
            q.control().set_state(State::Started).unwrap();
            q.control().set_state(from).unwrap();
        }
        q.control().set_state(from).unwrap();
        assert_eq!(q.control().state(), from);
        for step in way {
            let refused = q.control().set_state(to).unwrap_err().to_string();
            assert!(
                refused.contains(&format!("set its state to {step} first, and then to {to}")),
                "{refused}"
            );
            q.control().set_state(*step).unwrap();
        }
        q.control().set_state(to).unwrap();
        q.control().set_state(to).unwrap();
        assert_eq!(q.control().state(), to);
    }
}

#[test]
fn timeouts_time_out_and_sleepers_wake() {
    let dir = Dir::new();
    let mut a = dir.numbers(1);
    assert!(matches!(
        a.within(Duration::from_millis(30)).get(),
        Err(GetError::TimedOut)
    ));
    a.put(&1).unwrap();
    assert!(matches!(
        a.within(Duration::from_millis(30)).put(&2),
        Err(PutError::TimedOut)
    ));
    let mut b = a.try_clone().unwrap();
    let reader =
        std::thread::spawn(move || (0..1000).map(|_| b.get().unwrap()).collect::<Vec<_>>());
    (2..=1000).for_each(|i| a.put(&i).unwrap());
    assert_eq!(reader.join().unwrap(), (1..=1000).collect::<Vec<_>>());
    let mut c = a.try_clone().unwrap();
    let sleeper = std::thread::spawn(move || c.get());
    std::thread::sleep(Duration::from_millis(50));
    a.control().set_state(State::Stopped).unwrap();
    assert!(matches!(sleeper.join().unwrap(), Err(GetError::Stopped)));
}

#[test]
fn at_least_once_gives_back_what_was_not_acknowledged() {
    let dir = Dir::new();
    let mut a =
        ReadyQueue::<u64>::create("q", &dir.options(4).at_least_once(true).seats(4)).unwrap();
    let mut b = a.try_clone().unwrap();
    (1..=3).for_each(|i| a.put(&i).unwrap());
    a.take().unwrap().nack().unwrap();
    let again = b.take().unwrap();
    assert_eq!((*again, again.delivery_count()), (1, 2));
    std::mem::forget(again); // as if it were killed
    drop(b);
    assert_eq!(a.get().unwrap(), 1);
    assert_eq!(drain(&mut a), [2, 3]);
    let stats = a.control().stats().unwrap();
    assert!(
        stats.adds_up() && stats.gets == 3 && stats.redelivered == 2 && stats.unacked == 0,
        "{stats:?}"
    );
}

#[test]
fn a_forgotten_guard_is_counted_as_lost() {
    let dir = Dir::new();
    let mut q = dir.numbers(4);
    (1..=2).for_each(|i| q.put(&i).unwrap());
    std::mem::forget(q.take().unwrap());
    assert_eq!(q.control().stats().unwrap().unacked, 1);
    assert_eq!(q.get().unwrap(), 2);
    let stats = q.control().stats().unwrap();
    assert!(
        stats.adds_up() && (stats.gets, stats.lost) == (1, 1),
        "{stats:?}"
    );
}

#[test]
fn seats_run_out_and_come_back() {
    let dir = Dir::new();
    let first = ReadyQueue::<u64>::create("q", &dir.options(1).seats(2)).unwrap();
    let second = first.try_clone().unwrap();
    let error = first.try_clone().unwrap_err();
    assert!(
        error.kind() == ErrorKind::NoSeat && error.to_string().contains("'q'"),
        "{error}"
    );
    let control = dir.control("q");
    assert_eq!(control.stats().unwrap().seats_live, 2);
    drop(second);
    drop(first.try_clone().unwrap());
    drop(first);
    let report = control.doctor().unwrap();
    assert!(report.ok(), "{report:?}");
    control.unlink().unwrap();
}

#[test]
fn other_types_are_refused() {
    let dir = Dir::new();
    let q = dir.numbers(4);
    for error in [
        ReadyQueue::<i64>::attach_with("q", &dir.attach()).unwrap_err(),
        ReadyQueue::<u32>::attach_with("q", &dir.attach()).unwrap_err(),
    ] {
        assert!(
            error.kind() == ErrorKind::Incompatible && error.to_string().contains("'q'"),
            "{error}"
        );
    }
    let mut bytes = ReadyQueue::<[u8]>::attach_with("q", &dir.attach()).unwrap();
    let error = bytes.put(&[1, 2]).unwrap_err();
    assert!(
        error.kind() == ErrorKind::WrongLength && error.to_string().contains('8'),
        "{error}"
    );
    bytes.put(&7u64.to_ne_bytes()).unwrap();
    drop(bytes);
    drop(q);
    assert_eq!(dir.attached().unwrap().get().unwrap(), 7);
}

#[test]
fn two_threads_lose_nothing() {
    let dir = Dir::new();
    let mut a = ReadyQueue::<u64>::create("q", &dir.options(16)).unwrap();
    let producers: Vec<_> = (0..2u64)
        .map(|id| {
            let mut q = a.try_clone().unwrap();
            std::thread::spawn(move || (0..100_000).for_each(|i| q.put(&(id << 32 | i)).unwrap()))
        })
        .collect();
    let mut next = [0, 0];
    for _ in 0..200_000 {
        let item = a.within(Duration::from_secs(20)).get().unwrap();
        assert_eq!(item & 0xffff_ffff, next[(item >> 32) as usize]);
        next[(item >> 32) as usize] += 1;
    }
    producers.into_iter().for_each(|p| p.join().unwrap());
    assert!(a.control().stats().unwrap().adds_up());
}

#[test]
fn a_segment_in_which_two_places_name_one_block_is_refused() {
    let dir = Dir::new();
    let mut q = dir.numbers(4);
    (0..3).for_each(|item| q.put(&item).unwrap());
    q.get().unwrap();
    let path = dir.0.join("prodcon.q");
    drop(q);
    let whole = std::fs::read(&path).unwrap();
    let number = |at: usize| u32::from_ne_bytes(whole[at..at + 4].try_into().unwrap()) as usize;
    let (slots, seats) = (number(24), number(28));
    let bits = (slots + seats - 1).ilog2() + 1;
    let word = |bytes: &[u8], at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
    let seat = |index: usize| 1280 + 128 * index;
    let slot = |index: usize| seat(seats) + number(444) * index;
    let block_of_slot_2 = word(&whole, slot(2)) & ((1 << bits) - 1);
    let stamp_of_slot_1 = word(&whole, slot(1)) >> bits << bits;
    let record = word(&whole, seat(5)) >> 24 << 24;
    // Two slots; a slot and a seat at rest; a seat that was killed between two blocks both of which lie in slots.
    let incoming = word(&whole, slot(3)) & ((1 << bits) - 1);
    for (at, bad) in [
        (slot(1), stamp_of_slot_1 | block_of_slot_2),
        (seat(5), record | block_of_slot_2),
        (seat(5), block_of_slot_2 | incoming << 24),
    ] {
        let mut bytes = whole.clone();
        bytes[at..at + 8].copy_from_slice(&bad.to_ne_bytes());
        std::fs::write(&path, &bytes).unwrap();
        let error = dir.attached().unwrap_err();
        assert!(
            error.kind() == ErrorKind::Corrupt && error.to_string().contains("'q'"),
            "{error}"
        );
        // A control handle looks, and says what is wrong.
        assert!(!dir.control("q").doctor().unwrap().ok());
    }
    std::fs::write(&path, &whole).unwrap();
    let mut q = dir.attached().unwrap();
    assert_eq!(drain(&mut q), [1, 2]);
}

/// Every field of the header damaged in turn: a clear error, never a crash.
#[test]
fn a_damaged_header_is_refused() {
    let dir = Dir::new();
    drop(dir.numbers(4));
    let path = dir.0.join("prodcon.q");
    let whole = std::fs::read(&path).unwrap();
    for byte in 0..512 {
        let mut bytes = whole.clone();
        bytes[byte] ^= 0x41;
        std::fs::write(&path, &bytes).unwrap();
        let error = dir.attached().unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Incompatible)
                && error.to_string().contains("'q'"),
            "byte {byte}: {error}"
        );
    }
    for len in [0, 100, 511, 512, whole.len() - 1] {
        std::fs::write(&path, &whole[..len]).unwrap();
        assert!(
            dir.attached()
                .is_err_and(|error| error.kind() == ErrorKind::Corrupt),
            "{len} bytes"
        );
    }
    std::fs::write(&path, &whole).unwrap();
    dir.attached().unwrap();
}

#[test]
fn no_space_is_an_error_at_create_and_leaves_nothing() {
    let dir = Dir::new();
    let error =
        ReadyQueue::<[u8]>::create("q", &dir.options(1 << 19).item_size(1 << 30)).unwrap_err();
    assert!(
        error.kind() == ErrorKind::NoSpace && error.to_string().contains("'q'"),
        "{error}"
    );
    assert_eq!(std::fs::read_dir(&dir.0).unwrap().count(), 0);
}

#[test]
fn names_and_numbers_are_checked() {
    let dir = Dir::new();
    let kind = |name: &str, options: &QueueOptions| {
        ReadyQueue::<u64>::create(name, options).unwrap_err().kind()
    };
    for name in ["", ".x", "-x", "a/b", "a b", "ä", &"x".repeat(201)] {
        assert_eq!(
            kind(name, &dir.options(1)),
            ErrorKind::InvalidName,
            "{name}"
        );
    }
    for options in [
        dir.options(0),
        dir.options(u32::MAX),
        dir.options(1).seats(0),
        dir.options(1).seats(1024),
    ] {
        assert_eq!(kind("q", &options), ErrorKind::InvalidOption);
    }
    assert_eq!(dir.attached().unwrap_err().kind(), ErrorKind::NotFound);
    let none = AttachOptions::new().directory(dir.0.join("none"));
    assert_eq!(
        ReadyQueue::<u64>::attach_with("q", &none)
            .unwrap_err()
            .kind(),
        ErrorKind::NotFound
    );
    assert_eq!(
        kind("q", &QueueOptions::new(1).attach(none)),
        ErrorKind::NotFound
    );
    let q = dir.numbers(1);
    assert_eq!(kind("q", &dir.options(1)), ErrorKind::AlreadyExists);
    q.control().try_clone().unwrap().unlink().unwrap();
    let fresh = dir.numbers(2);
    assert!(
        q.control().stats().unwrap().removed_name && !fresh.control().stats().unwrap().removed_name
    );
}

/// Ends a stream while a producer puts as fast as it can. Returns true if a put answered Ok and
/// nobody got its item.
fn strands_an_item(dir: &Dir, at_least_once: bool, round: u64) -> bool {
    const LONG: usize = 32 << 10; // the copy is what makes the put slow
    const LIMIT: Duration = Duration::from_secs(30);
    let options = dir
        .options(2 + round as u32 % 64)
        .item_size(LONG)
        .at_least_once(at_least_once);
    let mut producer = ReadyQueue::<[u8]>::create("end", &options).unwrap();
    let mut consumers =
        [0; 2].map(|_| ReadyQueue::<[u8]>::attach_with("end", &dir.attach()).unwrap());
    let (control, begin) = (producer.control().try_clone().unwrap(), Barrier::new(4));
    let (put, got) = std::thread::scope(|scope| {
        let putting = scope.spawn(|| {
            let item = vec![7; LONG];
            begin.wait();
            let (mut put, mut result) = (0, Ok(()));
            while result.is_ok() {
                result = producer.within(LIMIT).put(&item);
                put += usize::from(result.is_ok());
            }
            assert!(matches!(result, Err(PutError::Stopped)));
            put
        });
        let getting = consumers.each_mut().map(|consumer| {
            let begin = &begin;
            scope.spawn(move || {
                begin.wait();
                let (mut got, mut result) = (0, consumer.within(LIMIT).get());
                while result.is_ok() {
                    got += 1;
                    result = consumer.within(LIMIT).get();
                }
                assert!(matches!(result, Err(GetError::Stopped)));
                got
            })
        });
        begin.wait();
        let began = Instant::now();
        while began.elapsed() < Duration::from_micros(20 + round * 7 % 100) {
            std::hint::spin_loop();
        }
        control.set_state(State::StopAtQueueEnd).unwrap();
        (
            putting.join().unwrap(),
            getting
                .map(|consumer| consumer.join().unwrap())
                .iter()
                .sum::<usize>(),
        )
    });
    let stats = control.stats().unwrap();
    assert!(stats.adds_up() && stats.puts == put as u64, "{stats:?}");
    control.unlink().unwrap();
    put != got
}

#[test]
fn at_the_end_of_a_stream_every_item_that_was_put_was_got() {
    let dir = Dir::new();
    let rounds = std::env::var("PRODCON_ROUNDS").map_or(300, |rounds| rounds.parse().unwrap());
    for at_least_once in [false, true] {
        let stranded = (0..rounds)
            .filter(|round| strands_an_item(&dir, at_least_once, *round))
            .count();
        assert_eq!(
            stranded, 0,
            "of {rounds} streams, at least once: {at_least_once}"
        );
    }
}

/// Says so where the processor cannot do it.
fn has_copies(control: &Control) -> bool {
    let has = control.info().copy_in_slot;
    if !has {
        eprintln!("SKIPPED: this processor does not exchange 16 bytes at once");
    }
    has
}

#[test]
fn slots_have_copies_of_single_plain_items_of_at_most_eight_bytes() {
    let dir = Dir::new();
    let copies = |made: prodcon::Result<Control>| {
        let made = made.unwrap();
        let has = made.info().copy_in_slot;
        made.unlink().unwrap();
        has
    };
    let plain = dir.options(3).item_size(8);
    if !copies(Control::create::<u64>("q", &plain)) {
        return eprintln!("SKIPPED: this processor does not exchange 16 bytes at once");
    }
    assert!(copies(Control::create::<u8>("q", &plain)));
    assert!(!copies(Control::create::<u128>("q", &plain)));
    assert!(!copies(Control::create::<[u8]>("q", &plain)));
    assert!(!copies(Control::create::<u64>(
        "q",
        &plain.clone().batch(2)
    )));
    assert!(!copies(Control::create::<u64>(
        "q",
        &plain.clone().copy_in_slot(false)
    )));
}

#[test]
fn whoever_gets_from_slots_with_copies_has_what_was_put() {
    let dir = Dir::new();
    let mut small = ReadyQueue::<u32>::create("q", &dir.options(4).at_least_once(true)).unwrap();
    let mut bytes = ReadyQueue::<[u8]>::attach_with("q", &dir.attach()).unwrap();
    has_copies(small.control());
    for round in 0..20u32 {
        let item = round << 8 | 0xff00_00ff;
        small.put(&item).unwrap();
        bytes.put(&item.to_ne_bytes()).unwrap();
        *small.reserve().unwrap() = item;
        let mut reserved = small.reserve().unwrap();
        *reserved = item;
        reserved.commit().unwrap();
        // By the copy, by the copy as bytes, in place; a take that is not acknowledged comes back.
        assert_eq!(small.get().unwrap(), item);
        assert_eq!(bytes.get().unwrap(), item.to_ne_bytes());
        drop(small.take().unwrap());
        let again = small.take().unwrap();
        assert_eq!((*again, again.delivery_count()), (item, 2));
        again.ack();
    }
    assert!(bytes.put(&[1; 5]).is_err() && bytes.try_get().is_err());
    let stats = small.control().stats().unwrap();
    assert_eq!((stats.puts, stats.gets, stats.len), (60, 60, 0));
}

/// The first get after a clear looks at headers, and so does every get until nothing old can come.
#[test]
fn a_cleared_copy_is_never_got_however_many_laps_went_before() {
    let dir = Dir::new();
    for lossy in [false, true] {
        for capacity in 1..=3 {
            let name = format!("q-{lossy}-{capacity}");
            let mut q =
                ReadyQueue::<u64>::create(&name, &dir.options(capacity).lossy(lossy)).unwrap();
            let mut other = q.try_clone().unwrap();
            let (mut next, mut cleared) = (0, 0);
            for laps in 0..5 * u64::from(capacity) {
                for _ in 0..laps {
                    next += 1;
                    other.put(&next).unwrap();
                    assert_eq!(q.get().unwrap(), next);
                }
                for _ in 0..capacity {
                    next += 1;
                    other.put(&next).unwrap();
                }
                cleared += u64::from(capacity);
                if laps % 2 == 0 {
                    q.control().clear().unwrap();
                } else {
                    q.control().set_not_ready().unwrap();
                    q.control().set_ready().unwrap();
                }
                assert!(q.try_get().is_err());
                next += 1;
                other.put(&next).unwrap();
                assert_eq!(q.get().unwrap(), next);
            }
            let stats = q.control().stats().unwrap();
            assert!(stats.adds_up(), "{stats:?}");
            assert_eq!((stats.cleared, stats.puts), (cleared, next));
        }
    }
}
