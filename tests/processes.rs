//! Separate processes that are killed and stopped at random: nobody else stops, nothing comes twice, every item is accounted for.
//!
//! The test program starts itself again (`child`, an ignored test) in a role that the environment names. `PRODCON_TEST_SECONDS` makes the kill test longer.

use prodcon::{Control, Delivery, Fault, GetError, Options, ReadyQueue, State};
use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A directory and children of the test's own, gone with it.
struct Stage {
    dir: PathBuf,
    children: Vec<Child>,
}

impl Stage {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let dir = std::env::temp_dir().join(format!("prodcon-processes-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)));
        std::fs::create_dir(&dir).unwrap();
        Self { dir, children: vec![] }
    }

    fn start(&self, role: &str, number: u64) -> Child {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "child", "--ignored", "--nocapture"]).stdout(Stdio::null());
        command
            .env("PRODCON_DIR", &self.dir)
            .env("PRODCON_TEST_ROLE", role)
            .env("PRODCON_TEST_NUMBER", number.to_string())
            .spawn()
            .unwrap()
    }

    /// What the getters wrote down.
    fn logs(&self) -> Vec<Vec<u64>> {
        let logs = std::fs::read_dir(&self.dir)
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

impl Drop for Stage {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Not a test: what the started processes do.
#[test]
#[ignore = "started by the other tests"]
fn child() {
    let Ok(role) = std::env::var("PRODCON_TEST_ROLE") else { return };
    // SAFETY: prctl with these arguments touches no memory.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let number: u64 = std::env::var("PRODCON_TEST_NUMBER").unwrap().parse().unwrap();
    if role == "nobody" {
        // SAFETY: changes only this process's user; without the right to, it stays who it is.
        unsafe { libc::setuid(65_534) };
        let error = ReadyQueue::<u64>::attach("q").unwrap_err();
        assert!(
            matches!(error, prodcon::OpenError::Denied { .. }) && error.to_string().contains("'q'"),
            "{error}"
        );
        return;
    }
    let mut queue = ReadyQueue::<u64>::attach("q").unwrap();
    if role == "deaf" {
        // SAFETY: closes descriptors that this role does not use by number any more; the queue must cope with that.
        unsafe { libc::close_range(3, u32::MAX, 0) };
    }
    if role == "put" {
        let mut sequence = 0u64;
        while queue.put(&(number << 40 | sequence)).is_ok() {
            sequence += 1;
        }
        return;
    }
    let path = Path::new(&std::env::var_os("PRODCON_DIR").unwrap()).join(format!("{number}.log"));
    let mut log = std::fs::File::create(path).unwrap();
    if role == "hold" {
        let item = queue.take().unwrap();
        log.write_all(&item.to_ne_bytes()).unwrap();
        std::thread::sleep(Duration::from_secs(600));
    }
    loop {
        match queue.take() {
            Ok(item) => log.write_all(&item.to_ne_bytes()).unwrap(), // written down, then acknowledged
            Err(GetError::Stopped) => return,
            Err(error) => panic!("{error}"),
        }
        if role == "one" {
            return;
        }
    }
}

fn signal(child: &Child, signal: i32) {
    // SAFETY: a signal to a child that has not been waited for.
    assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Producers are stopped wherever they are and one is killed; the stream ends, and the consumers hear of it; only then the producers go on.
fn end_beside_stopped_producers(delivery: Delivery, pause: u64) {
    let mut stage = Stage::new();
    let control = {
        let options = Options::new(64).seats(8).delivery(delivery).directory(&stage.dir);
        ReadyQueue::<u64>::create("q", &options).unwrap().control().unwrap()
    };
    let role = |place: u64| if place < 4 { "put" } else { "get" };
    stage.children = (0..6).map(|place| stage.start(role(place), place)).collect();
    until("the start", || control.stats().unwrap().seats_live == 6 && control.stats().unwrap().gets > 1000);
    std::thread::sleep(Duration::from_micros(pause));
    stage.children[..4].iter().for_each(|child| signal(child, libc::SIGSTOP));
    signal(&stage.children[0], libc::SIGKILL);
    control.set_state(State::StopAtQueueEnd).unwrap();
    until("the end, for the consumers", || {
        stage.children[4..].iter_mut().all(|child| child.try_wait().unwrap().is_some())
    });
    let (got, left) = (control.stats().unwrap().gets, control.len());
    stage.children[1..4].iter().for_each(|child| signal(child, libc::SIGCONT));
    until("the end, for the producers", || {
        stage.children.iter_mut().all(|child| child.try_wait().unwrap().is_some())
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
        let delivery = [Delivery::AtMostOnce, Delivery::AtLeastOnce][round as usize % 2];
        end_beside_stopped_producers(delivery, round * 311 % 1000);
    }
}

fn random_kills(delivery: Delivery) {
    let seconds = std::env::var("PRODCON_TEST_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let mut stage = Stage::new();
    let control = {
        let options = Options::new(16).seats(12).delivery(delivery).directory(&stage.dir);
        ReadyQueue::<u64>::create("q", &options).unwrap().control().unwrap()
    };
    let role = |place: usize| if place < 4 { "put" } else { "get" };
    let mut next = 8u64;
    stage.children = (0..8).map(|place| stage.start(role(place), place as u64)).collect();
    until("the start", || control.stats().unwrap().seats_live == 8);
    let (mut random, mut killed_getters, mut kills, mut stops) = (0x9E37_79B9_7F4A_7C15u64, 0u64, 0u64, 0u64);
    let mut dice = |sides: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % sides
    };
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        std::thread::sleep(Duration::from_micros(dice(20_000)));
        let place = dice(8) as usize;
        if dice(2) == 0 {
            signal(&stage.children[place], libc::SIGKILL);
            stage.children[place].wait().unwrap();
            kills += 1;
            killed_getters += u64::from(place >= 4);
            stage.children[place] = stage.start(role(place), next);
            next += 1;
        } else {
            // One of each role is stopped in the middle of whatever it is at: the others go on.
            let pair = [place % 4, 4 + place % 4];
            pair.iter().for_each(|place| signal(&stage.children[*place], libc::SIGSTOP));
            let before = control.stats().unwrap().gets;
            until("progress beside stopped processes", || control.stats().unwrap().gets > before + 100);
            pair.iter().for_each(|place| signal(&stage.children[*place], libc::SIGCONT));
            stops += 2;
        }
    }
    until("every child attached", || control.stats().unwrap().seats_live >= 8);
    control.set_state(State::StopAtQueueEnd).unwrap();
    for child in &mut stage.children {
        let deadline = Instant::now() + Duration::from_secs(60);
        while child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "a process does not end");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let report = control.doctor().unwrap();
    assert!(report.ok() && report.undecided == 0, "{report:?}");
    let stats = control.stats().unwrap();
    assert!(stats.adds_up() && stats.seats_live == 0 && stats.seats_dead == 0 && stats.len == 0, "{stats:?}");
    let logs = stage.logs();
    let mut seen: HashMap<u64, u32> = HashMap::new();
    for log in &logs {
        let mut last: HashMap<u64, u64> = HashMap::new();
        for item in log {
            *seen.entry(*item).or_default() += 1;
            let before = last.insert(item >> 40, *item);
            assert!(
                delivery == Delivery::AtLeastOnce || before.is_none_or(|before| before < *item),
                "one producer's items are out of order"
            );
        }
    }
    let twice = seen.values().filter(|count| **count > 1).count() as u64;
    let missing = stats.puts - seen.len() as u64;
    println!(
        "{delivery:?}: {} puts, {kills} kills, {stops} stops, {} lost, {missing} not written down, {twice} twice, {} redelivered",
        stats.puts, stats.lost, stats.redelivered
    );
    match delivery {
        Delivery::AtMostOnce => assert!(twice == 0 && missing <= killed_getters && stats.lost <= killed_getters, "{stats:?}"),
        Delivery::AtLeastOnce => assert!(missing == 0 && stats.lost == 0 && twice <= killed_getters && stats.held == 0, "{stats:?}"),
    }
    let mut all: Vec<_> = (0..12).map(|_| ReadyQueue::<u64>::attach_in(&stage.dir, "q").unwrap()).collect();
    control.set_state(State::Stopped).unwrap();
    control.set_state(State::Started).unwrap();
    (0..16).for_each(|i| all[i as usize % 12].try_put(&i).unwrap());
    (0..16).for_each(|i| assert_eq!(all[(i as usize + 5) % 12].try_get(), Ok(i)));
}

#[test]
fn random_kills_and_stops_lose_only_what_was_in_hand() {
    random_kills(Delivery::AtMostOnce);
}

#[test]
fn random_kills_lose_nothing_under_at_least_once() {
    random_kills(Delivery::AtLeastOnce);
}

#[test]
fn of_64_sleepers_40_are_killed_and_no_wake_up_is_lost() {
    let mut stage = Stage::new();
    let mut queue = ReadyQueue::<u64>::create("q", &Options::new(64).seats(70).directory(&stage.dir)).unwrap();
    stage.children = (0..64).map(|number| stage.start("one", number)).collect();
    until("64 asleep", || {
        queue.stats().unwrap().members.iter().filter(|member| member.asleep).count() == 64
    });
    for child in &mut stage.children[..40] {
        child.kill().unwrap();
    }
    (0..24).for_each(|i| queue.put(&i).unwrap());
    until("24 items got", || stage.logs().iter().map(Vec::len).sum::<usize>() == 24);
    let mut items: Vec<u64> = stage.logs().concat();
    items.sort_unstable();
    assert_eq!(items, (0..24).collect::<Vec<_>>());
}

#[test]
fn the_item_of_a_killed_consumer_is_lost_or_delivered_again_as_chosen() {
    for delivery in [Delivery::AtMostOnce, Delivery::AtLeastOnce] {
        let mut stage = Stage::new();
        let mut queue = ReadyQueue::<u64>::create("q", &Options::new(4).seats(3).delivery(delivery).directory(&stage.dir)).unwrap();
        queue.put(&1).unwrap();
        queue.put(&2).unwrap();
        stage.children.push(stage.start("hold", 1));
        until("the take", || !stage.logs().concat().is_empty());
        assert_eq!(queue.stats().unwrap().held, 1);
        stage.children[0].kill().unwrap();
        stage.children[0].wait().unwrap();
        until("recovery", || queue.recover().unwrap().recovered > 0 || delivery == Delivery::AtLeastOnce);
        let first = queue.take_timeout(Duration::from_secs(10)).unwrap();
        let (item, deliveries) = (*first, first.deliveries());
        first.ack();
        let stats = queue.stats().unwrap();
        match delivery {
            Delivery::AtMostOnce => assert_eq!((item, deliveries, stats.lost), (2, 1, 1)),
            Delivery::AtLeastOnce => assert_eq!((item, deliveries, stats.lost, stats.redelivered), (1, 2, 0, 1)),
        }
        assert!(stats.adds_up());
    }
}

#[test]
fn a_forked_handle_says_so_and_the_parents_seat_survives_the_child() {
    let stage = Stage::new();
    let mut queue = ReadyQueue::<u64>::create("q", &Options::new(4).seats(1).directory(&stage.dir)).unwrap();
    // SAFETY: the child only calls the queue (whose forked handle touches nothing) and _exit.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let forked = matches!(queue.try_put(&1), Err(prodcon::PutError::Fault(Fault::Forked { .. })))
            && matches!(queue.try_get(), Err(GetError::Fault(Fault::Forked { .. })));
        let forked = forked && !queue.is_ready() && queue.is_empty() && queue.state() == State::Stopped;
        drop(queue);
        // SAFETY: ends the child without running anything else of the test program.
        unsafe { libc::_exit(i32::from(!forked)) };
    }
    let mut status = 0;
    // SAFETY: pid is our child, status is writable.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    assert_eq!(status, 0);
    assert!(ReadyQueue::<u64>::attach_in(&stage.dir, "q").is_err(), "the only seat is still taken");
    queue.put(&1).unwrap();
    assert_eq!(queue.get(), Ok(1));
}

#[test]
fn who_may_not_is_told_so() {
    let mut stage = Stage::new();
    let _queue = ReadyQueue::<u64>::create("q", &Options::new(1).mode(0).directory(&stage.dir)).unwrap();
    stage.children.push(stage.start("nobody", 0));
    assert!(stage.children[0].wait().unwrap().success());
}

#[test]
fn a_program_that_closes_all_its_descriptors_keeps_its_seat() {
    let mut stage = Stage::new();
    let mut queue = ReadyQueue::<u64>::create("q", &Options::new(4).seats(2).directory(&stage.dir)).unwrap();
    stage.children.push(stage.start("deaf", 1));
    until("its sleep", || queue.stats().unwrap().members.iter().any(|member| member.asleep));
    assert!(queue.try_clone().is_err(), "its seat was given to somebody else");
    (0..100).for_each(|i| queue.put(&i).unwrap());
    until("100 items got", || queue.is_empty() && queue.stats().unwrap().gets == 100);
    stage.children[0].kill().unwrap();
    stage.children[0].wait().unwrap();
    assert_eq!(queue.stats().unwrap().seats_live, 1);
    queue.try_clone().unwrap();
}

#[test]
fn a_removed_queue_is_noticed_by_who_waits() {
    let stage = Stage::new();
    let mut old = ReadyQueue::<u64>::create("q", &Options::new(4).directory(&stage.dir)).unwrap();
    let control = old.control().unwrap();
    let waiter = std::thread::spawn(move || old.get());
    control.unlink().unwrap();
    let mut new = ReadyQueue::<u64>::create("q", &Options::new(4).directory(&stage.dir)).unwrap();
    new.put(&1).unwrap();
    assert!(matches!(waiter.join().unwrap(), Err(GetError::Fault(Fault::Removed { .. }))));
    assert!(Control::attach_in(&stage.dir, "q").unwrap().stats().unwrap().len == 1);
}
