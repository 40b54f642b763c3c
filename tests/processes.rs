//! Separate processes that are killed and stopped at random: nobody else stops, nothing comes twice, every item is accounted for.
//!
//! The test program starts itself again (`child`, an ignored test) in a role that the environment names. `PRODCON_TEST_SECONDS` makes the kill test longer.

mod common;

use common::children::{Started, role};
use common::{Dice, Dir, until};
use prodcon::{Control, ErrorKind, GetError, ReadyQueue, State};
use std::collections::HashMap;
use std::io::Write;
use std::time::{Duration, Instant};

impl Dir {
    /// What the getters wrote down.
    fn logs(&self) -> Vec<Vec<u64>> {
        let logs = std::fs::read_dir(&self.0)
            .unwrap()
            .map(|file| file.unwrap().path())
            .filter(|path| path.extension().is_some_and(|end| end == "log"));
        logs.map(|path| {
            std::fs::read(path)
                .unwrap()
                .chunks_exact(8)
                .map(|word| u64::from_ne_bytes(word.try_into().unwrap()))
                .collect()
        })
        .collect()
    }
}

/// Not a test: what the started processes do.
#[test]
#[ignore = "started by the other tests"]
fn child() {
    let Some((role, number)) = role() else { return };
    if role == "nobody" {
        // SAFETY: changes only this process's user; without the right to, it stays who it is.
        unsafe { libc::setuid(65_534) };
        let error = ReadyQueue::<u64>::attach("q").unwrap_err();
        assert!(
            error.kind() == ErrorKind::PermissionDenied && error.to_string().contains("'q'"),
            "{error}"
        );
        return;
    }
    let mut queue = ReadyQueue::<u64>::attach("q").unwrap();
    if role == "put" {
        let mut sequence = 0u64;
        while queue.put(&(number << 40 | sequence)).is_ok() {
            sequence += 1;
        }
        return;
    }
    let path = prodcon::directory().join(format!("{number}.log"));
    if role == "deaf" {
        // SAFETY: closes descriptors that nobody here uses by number any more, but the queue, which must cope with it.
        unsafe { libc::close_range(3, u32::MAX, 0) };
        let error = queue.take().unwrap_err();
        assert!(
            error.kind() == ErrorKind::Os && error.to_string().contains("closed"),
            "{error}"
        );
        std::fs::write(&path, 0u64.to_ne_bytes()).unwrap();
        std::thread::sleep(Duration::from_secs(600));
    }
    let mut log = std::fs::File::create(path).unwrap();
    if role == "hold" {
        let item = queue.take().unwrap();
        log.write_all(&item.to_ne_bytes()).unwrap();
        std::thread::sleep(Duration::from_secs(600));
    }
    loop {
        match queue.take() {
            Ok(item) => {
                log.write_all(&item.to_ne_bytes()).unwrap(); // written down, then acknowledged
                item.ack();
            }
            Err(GetError::Stopped) => return,
            Err(error) => panic!("{error}"),
        }
        if role == "one" {
            return;
        }
    }
}

/// Producers are stopped wherever they are and one is killed; the stream ends, and the consumers hear of it; only then the producers go on.
fn end_beside_stopped_producers(at_least_once: bool, pause: u64) {
    let dir = Dir::new();
    let control = {
        let options = dir.options(64).seats(8).at_least_once(at_least_once);
        Control::create::<u64>("q", &options).unwrap()
    };
    let role = |place: u64| if place < 4 { "put" } else { "get" };
    let mut children: Vec<Started> = (0..6)
        .map(|place| Started::new(&dir, role(place), place))
        .collect();
    until("the start", || {
        control.stats().unwrap().seats_live == 6 && control.stats().unwrap().gets > 1000
    });
    std::thread::sleep(Duration::from_micros(pause));
    children[..4]
        .iter()
        .for_each(|child| child.signal(libc::SIGSTOP));
    children[0].signal(libc::SIGKILL);
    control.set_state(State::StopAtQueueEnd).unwrap();
    until("the end, for the consumers", || {
        children[4..]
            .iter_mut()
            .all(|child| child.try_wait().unwrap().is_some())
    });
    let (got, left) = (control.stats().unwrap().gets, control.len());
    children[1..4]
        .iter()
        .for_each(|child| child.signal(libc::SIGCONT));
    until("the end, for the producers", || {
        children
            .iter_mut()
            .all(|child| child.try_wait().unwrap().is_some())
    });
    let report = control.doctor().unwrap();
    assert!(report.ok() && report.undecided == 0, "{report:?}");
    let stats = control.stats().unwrap();
    assert!(
        stats.adds_up() && (stats.puts, stats.gets, stats.len, left) == (got, got, 0, 0),
        "{got} got, {left} left, then {stats:?}"
    );
}

#[test]
fn producers_stopped_in_mid_put_leave_nothing_behind_the_end_of_a_stream() {
    for round in 0..40 {
        end_beside_stopped_producers(round % 2 == 1, round * 311 % 1000);
    }
}

fn random_kills(at_least_once: bool) {
    let seconds = std::env::var("PRODCON_TEST_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20);
    let dir = Dir::new();
    let control = {
        let options = dir.options(16).seats(12).at_least_once(at_least_once);
        Control::create::<u64>("q", &options).unwrap()
    };
    let role = |place: usize| if place < 4 { "put" } else { "get" };
    let mut next = 8u64;
    let mut children: Vec<Started> = (0..8)
        .map(|place| Started::new(&dir, role(place), place as u64))
        .collect();
    until("the start", || control.stats().unwrap().seats_live == 8);
    let (mut dice, mut killed_getters, mut kills, mut stops) = (Dice::new(), 0u64, 0u64, 0u64);
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        std::thread::sleep(Duration::from_micros(dice.roll(20_000)));
        let place = dice.roll(8) as usize;
        if dice.roll(2) == 0 {
            children[place].signal(libc::SIGKILL);
            children[place].wait().unwrap();
            kills += 1;
            killed_getters += u64::from(place >= 4);
            children[place] = Started::new(&dir, role(place), next);
            next += 1;
        } else {
            // One of each role is stopped in the middle of whatever it is at: the others go on.
            let pair = [place % 4, 4 + place % 4];
            pair.iter()
                .for_each(|place| children[*place].signal(libc::SIGSTOP));
            let before = control.stats().unwrap().gets;
            until("progress beside stopped processes", || {
                control.stats().unwrap().gets > before + 100
            });
            pair.iter()
                .for_each(|place| children[*place].signal(libc::SIGCONT));
            stops += 2;
        }
    }
    until("every child attached", || {
        control.stats().unwrap().seats_live >= 8
    });
    control.set_state(State::StopAtQueueEnd).unwrap();
    until("the end of each process", || {
        children
            .iter_mut()
            .all(|child| child.try_wait().unwrap().is_some())
    });
    let report = control.doctor().unwrap();
    assert!(report.ok() && report.undecided == 0, "{report:?}");
    let stats = control.stats().unwrap();
    assert!(
        stats.adds_up() && stats.seats_live == 0 && stats.seats_dead == 0 && stats.len == 0,
        "{stats:?}"
    );
    let logs = dir.logs();
    let mut seen: HashMap<u64, u32> = HashMap::new();
    for log in &logs {
        let mut last: HashMap<u64, u64> = HashMap::new();
        for item in log {
            *seen.entry(*item).or_default() += 1;
            let before = last.insert(item >> 40, *item);
            assert!(
                at_least_once || before.is_none_or(|before| before < *item),
                "one producer's items are out of order"
            );
        }
    }
    let twice = seen.values().filter(|count| **count > 1).count() as u64;
    let missing = stats.puts - seen.len() as u64;
    println!(
        "at least once: {at_least_once}: {} puts, {kills} kills, {stops} stops, {} lost, {missing} not written down, {twice} twice, {} redelivered",
        stats.puts, stats.lost, stats.redelivered
    );
    if at_least_once {
        assert!(
            missing == 0 && stats.lost == 0 && twice <= killed_getters && stats.unacked == 0,
            "{stats:?}"
        );
    } else {
        assert!(
            twice == 0 && missing <= killed_getters && stats.lost <= killed_getters,
            "{stats:?}"
        );
    }
    let mut all: Vec<_> = (0..12)
        .map(|_| ReadyQueue::<u64>::attach_with("q", &dir.attach()).unwrap())
        .collect();
    control.set_state(State::Stopped).unwrap();
    control.set_state(State::Started).unwrap();
    (0..16).for_each(|i| all[i as usize % 12].try_put(&i).unwrap());
    (0..16).for_each(|i| assert_eq!(all[(i as usize + 5) % 12].try_get().unwrap(), i));
}

#[test]
fn random_kills_and_stops_lose_only_what_was_in_hand() {
    random_kills(false);
}

#[test]
fn random_kills_lose_nothing_under_at_least_once() {
    random_kills(true);
}

#[test]
fn of_64_sleepers_40_are_killed_and_no_wake_up_is_lost() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.options(64).seats(70)).unwrap();
    let mut children: Vec<Started> = (0..64)
        .map(|number| Started::new(&dir, "one", number))
        .collect();
    until("64 asleep", || {
        queue
            .control()
            .stats()
            .unwrap()
            .members
            .iter()
            .filter(|member| member.asleep)
            .count()
            == 64
    });
    for child in &mut children[..40] {
        child.kill().unwrap();
    }
    (0..24).for_each(|i| queue.put(&i).unwrap());
    until("24 items got", || {
        dir.logs().iter().map(Vec::len).sum::<usize>() == 24
    });
    let mut items: Vec<u64> = dir.logs().concat();
    items.sort_unstable();
    assert_eq!(items, (0..24).collect::<Vec<_>>());
}

#[test]
fn the_item_of_a_killed_consumer_is_lost_or_delivered_again_as_chosen() {
    for at_least_once in [false, true] {
        let dir = Dir::new();
        let mut queue =
            ReadyQueue::<u64>::create("q", &dir.options(4).seats(3).at_least_once(at_least_once))
                .unwrap();
        queue.put(&1).unwrap();
        queue.put(&2).unwrap();
        let mut child = Started::new(&dir, "hold", 1);
        until("the take", || !dir.logs().concat().is_empty());
        assert_eq!(queue.control().stats().unwrap().unacked, 1);
        child.kill().unwrap();
        child.wait().unwrap();
        until("recovery", || {
            queue.control().recover().unwrap().recovered > 0 || at_least_once
        });
        let first = queue.within(Duration::from_secs(10)).take().unwrap();
        let (item, deliveries) = (*first, first.delivery_count());
        first.ack();
        let stats = queue.control().stats().unwrap();
        let found = (item, deliveries, stats.lost, stats.redelivered);
        assert_eq!(
            found,
            if at_least_once {
                (1, 2, 0, 1)
            } else {
                (2, 1, 1, 0)
            }
        );
        assert!(stats.adds_up());
    }
}

#[test]
fn a_forked_handle_says_so_and_the_parents_seat_survives_the_child() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.options(4).seats(1)).unwrap();
    // SAFETY: the child only calls the queue (whose forked handle touches nothing) and _exit.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let forked = queue
            .try_put(&1)
            .is_err_and(|error| error.kind() == ErrorKind::Forked)
            && queue
                .try_get()
                .is_err_and(|error| error.kind() == ErrorKind::Forked);
        let forked = forked
            && !queue.is_ready()
            && queue.is_empty()
            && queue.control().state() == State::Stopped;
        drop(queue);
        // SAFETY: ends the child without running anything else of the test program.
        unsafe { libc::_exit(i32::from(!forked)) };
    }
    let mut status = 0;
    // SAFETY: pid is our child, status is writable.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    assert_eq!(status, 0);
    assert!(
        ReadyQueue::<u64>::attach_with("q", &dir.attach()).is_err(),
        "the only seat is still taken"
    );
    queue.put(&1).unwrap();
    assert_eq!(queue.get().unwrap(), 1);
}

#[test]
fn who_may_not_is_told_so() {
    let dir = Dir::new();
    let _queue = ReadyQueue::<u64>::create("q", &dir.options(1).mode(0)).unwrap();
    let mut child = Started::new(&dir, "nobody", 0);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_program_that_closes_all_its_descriptors_keeps_its_seat_until_it_ends() {
    let dir = Dir::new();
    let queue = ReadyQueue::<u64>::create("q", &dir.options(4).seats(2)).unwrap();
    let mut child = Started::new(&dir, "deaf", 1);
    until("the child's error", || !dir.logs().concat().is_empty());
    assert!(
        queue.try_clone().is_err(),
        "its seat was given to somebody else"
    );
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(queue.control().stats().unwrap().seats_live, 1);
    queue.try_clone().unwrap();
}

#[test]
fn a_removed_queue_is_noticed_by_who_waits() {
    let dir = Dir::new();
    let mut old = ReadyQueue::<u64>::create("q", &dir.options(4)).unwrap();
    let control = old.control().try_clone().unwrap();
    let waiter = std::thread::spawn(move || old.get());
    control.unlink().unwrap();
    let mut new = ReadyQueue::<u64>::create("q", &dir.options(4)).unwrap();
    new.put(&1).unwrap();
    assert_eq!(
        waiter.join().unwrap().unwrap_err().kind(),
        ErrorKind::Removed
    );
    assert!(dir.control("q").stats().unwrap().len == 1);
}
