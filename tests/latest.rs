//! Looks at items without taking them: the newest and the oldest one, without a seat, without
//! permission to write, and never torn.

use prodcon::{Control, ErrorKind, QueueOptions, ReadyQueue};
use std::time::{Duration, Instant};

mod common;
use common::children::{Started, in_child, role};
use common::{Dir, until};

/// All its words are one number, and it spans several cache lines.
type Wide = [u64; 40];

/// How long the observers watch, or as long as PRODCON_TEST_SECONDS says.
fn watching() -> Duration {
    std::env::var("PRODCON_TEST_SECONDS").map_or(Duration::from_millis(300), |seconds| {
        Duration::from_secs(seconds.parse().unwrap())
    })
}

/// Not a test: puts as fast as it can, or gets and puts back, until it is killed.
#[test]
#[ignore = "started by the other tests"]
fn child() {
    let Some((role, number)) = role() else { return };
    let mut queue = ReadyQueue::<Wide>::attach("q").unwrap();
    for round in 0.. {
        let item = [round * 16 + number; 40];
        match role.as_str() {
            "put" => queue.put(&item).unwrap(),
            "force" => queue.force_put(&item).unwrap(),
            "get" => drop(queue.get().unwrap()),
            _ => unreachable!(),
        }
    }
}

/// Watches a queue from a handle without a seat, while others put (and get) at full speed.
fn watch(options: &QueueOptions, dir: &Dir, roles: &[&str]) {
    let made = Control::create::<Wide>("q", options).unwrap();
    let traffic: Vec<_> = (0..)
        .zip(roles)
        .map(|(number, role)| Started::new(dir, role, number))
        .collect();
    until("that all are at work", || {
        made.stats().unwrap().seats_live as usize == traffic.len()
    });
    let (mut newest, mut looks, mut seen) = (None, 0u64, 0u64);
    let end = Instant::now() + watching();
    let mut place = [0u64; 40];
    while Instant::now() < end || seen < 100 {
        assert!(
            Instant::now() < end + Duration::from_secs(60),
            "{seen} items seen"
        );
        looks += 1;
        if let Some((id, item)) = made.latest::<Wide>().unwrap() {
            assert!(item.iter().all(|word| *word == item[0]), "torn: {item:?}");
            assert!(newest <= Some(id), "{newest:?} after {id}");
            (newest, seen) = (Some(id), seen + 1);
        }
        if made.latest_into(&mut place).unwrap().is_some() {
            assert!(
                place.iter().all(|word| *word == place[0]),
                "torn: {place:?}"
            );
        }
        if let Some((_, item)) = made.peek::<Wide>().unwrap() {
            assert!(item.iter().all(|word| *word == item[0]), "torn: {item:?}");
        }
    }
    drop(traffic);
    println!("{roles:?}: {seen} items seen in {looks} looks, the last was {newest:?}");
    let report = made.doctor().unwrap();
    assert!(report.ok(), "{report:?}"); // nobody was disturbed
}

#[test]
fn an_observer_of_a_register_never_sees_a_torn_item() {
    let dir = Dir::new();
    watch(&dir.options(1).lossy(true), &dir, &["put", "put"]);
}

#[test]
fn an_observer_of_a_stream_never_sees_a_torn_item() {
    let dir = Dir::new();
    watch(&dir.options(4), &dir, &["put", "force", "get"]);
}

#[test]
fn the_ends_of_a_queue_are_seen_and_stay_there() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.options(4).at_least_once(true)).unwrap();
    let control = dir.control("q");
    let seen = |control: &Control| {
        let (first, last) = (
            control.peek::<u64>().unwrap(),
            control.latest::<u64>().unwrap(),
        );
        (
            first.map(|(id, item)| (id.sequence, item)),
            last.map(|(id, item)| (id.sequence, item)),
        )
    };
    assert_eq!(seen(&control), (None, None));
    for round in 0..3 {
        let base = round * 3;
        queue.put_slice(&[base, base + 1, base + 2]).unwrap();
        assert_eq!(
            seen(&control),
            (Some((base, base)), Some((base + 2, base + 2)))
        );
        queue.take().unwrap().ack();
        let taken = queue.take().unwrap();
        assert_eq!(
            seen(&control),
            (Some((base + 2, base + 2)), Some((base + 2, base + 2)))
        );
        taken.ack();
        queue.get().unwrap();
        assert_eq!(seen(&control), (None, None));
    }
    queue.put_slice(&[7, 8]).unwrap();
    assert_eq!(
        (
            queue.peek().unwrap().unwrap().1,
            queue.latest().unwrap().unwrap().1
        ),
        (7, 8)
    );
    let mut place = 0;
    assert_eq!(queue.latest_into(&mut place).unwrap().unwrap().sequence, 10);
    assert_eq!((place, queue.len()), (8, 2));
}

#[test]
fn cleared_items_are_not_seen() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.options(3)).unwrap();
    let control = dir.control("q");
    queue.put_slice(&[1, 2, 3]).unwrap();
    control.clear().unwrap(); // without a seat: they stay where they are
    assert!(control.peek::<u64>().unwrap().is_none() && control.latest::<u64>().unwrap().is_none());
    queue.put(&4).unwrap();
    assert_eq!(control.peek::<u64>().unwrap().unwrap().1, 4);
    assert_eq!(control.latest::<u64>().unwrap().unwrap().1, 4);
}

#[test]
fn items_of_bytes_and_blocks_of_many_items_are_seen_whole() {
    let dir = Dir::new();
    for item_size in [1, 7, 8, 100, 100_000] {
        let name = format!("bytes-{item_size}");
        let mut queue =
            ReadyQueue::<[u8]>::create(&name, &dir.options(2).item_size(item_size)).unwrap();
        for len in [0, 1, item_size / 2, item_size] {
            let item: Vec<u8> = (0..len).map(|byte| byte as u8 ^ 0x5a).collect();
            queue.force_put(&item).unwrap();
            assert_eq!(queue.latest().unwrap().unwrap().1, item);
        }
    }
    let mut queue = ReadyQueue::<[u8; 3]>::create("threes", &dir.options(2).batch(5)).unwrap();
    queue.put_slice(&[[1; 3], [2; 3], [3; 3], [4; 3]]).unwrap();
    let (id, last) = queue.latest().unwrap().unwrap();
    assert_eq!((id.sequence, id.index, last), (0, 3, [4; 3]));
    let (id, first) = queue.peek().unwrap().unwrap();
    assert_eq!((id.sequence, id.index, first), (0, 0, [1; 3]));
}

#[test]
fn another_type_and_another_length_are_refused() {
    let dir = Dir::new();
    let mut numbers = ReadyQueue::<u64>::create("numbers", &dir.options(2)).unwrap();
    numbers.put(&1).unwrap();
    let error = numbers.control().latest::<f64>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incompatible);
    assert_eq!(
        numbers.control().latest::<[u8]>().unwrap().unwrap().1,
        1u64.to_ne_bytes()
    );
    let mut lines = ReadyQueue::<[u8]>::create("lines", &dir.options(2).item_size(16)).unwrap();
    lines.put(b"short").unwrap();
    let error = lines.control().peek::<u64>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongLength);
}

#[test]
fn a_user_who_may_only_read_sees_the_latest_item() {
    let dir = Dir::new();
    let options = dir.options(2).lossy(true).mode(0o644);
    let mut queue = ReadyQueue::<u64>::create("q", &options).unwrap();
    queue.put(&5).unwrap();
    // SAFETY: asks for a number.
    if unsafe { libc::geteuid() } == 0 {
        let seen = in_child(|| {
            // SAFETY: changes the child's own user.
            assert_eq!(unsafe { libc::setuid(65_534) }, 0);
            sees_five(&dir)
        });
        assert_eq!(seen, 0);
    } else {
        let path = dir.path("q");
        let mut mode = std::fs::metadata(&path).unwrap().permissions();
        mode.set_readonly(true);
        std::fs::set_permissions(&path, mode).unwrap();
        assert!(sees_five(&dir));
    }
}

fn sees_five(dir: &Dir) -> bool {
    let control = dir.control("q");
    let (latest, oldest) = (
        control.latest::<u64>().unwrap(),
        control.peek::<u64>().unwrap(),
    );
    control.is_read_only() && latest.unwrap().1 == 5 && oldest.unwrap().1 == 5
}
