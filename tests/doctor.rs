//! The doctor keeps nothing from anybody, and says when it could not look.

use prodcon::{Control, ReadyQueue};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

mod common;
use common::Dir;

/// Set when this is dropped, by a panic too.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn an_attach_never_fails_beside_a_doctor_at_work() {
    let dir = Dir::new();
    let options = dir.options(1_000_000).seats(2);
    let control = Control::create::<u64>("q", &options).unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _over = Over(&over);
        let stop = &over;
        let doctor = scope.spawn(move || {
            let mut visits = 0;
            while !stop.load(Ordering::Relaxed) {
                assert!(control.doctor().unwrap().ok());
                visits += 1;
            }
            visits
        });
        let (began, mut attaches) = (Instant::now(), 0);
        while began.elapsed() < Duration::from_secs(2) {
            drop(ReadyQueue::<u64>::attach_with("q", &dir.attach()).unwrap());
            attaches += 1;
        }
        over.store(true, Ordering::Relaxed);
        println!(
            "{attaches} attaches beside {} visits",
            doctor.join().unwrap()
        );
    });
}

#[test]
fn the_doctor_finds_nothing_wrong_beside_traffic_and_says_that_it_is_busy() {
    let dir = Dir::new();
    let mut producer = ReadyQueue::<u64>::create("q", &dir.options(100_000)).unwrap();
    let mut consumer = producer.try_clone().unwrap();
    let control = producer.control().try_clone().unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _over = Over(&over);
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let _ = producer.try_put(&1);
            }
        });
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let _ = consumer.try_get();
            }
        });
        let (began, mut visits) = (Instant::now(), [0, 0]);
        while began.elapsed() < Duration::from_secs(1) || visits[1] == 0 {
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "never busy in {visits:?} visits"
            );
            let report = control.doctor().unwrap();
            assert!(report.ok(), "{report:?}");
            visits[usize::from(report.busy)] += 1;
        }
        println!(
            "{} visits, {} of them in vain",
            visits[0] + visits[1],
            visits[1]
        );
    });
    let report = control.doctor().unwrap();
    assert!(
        report.ok() && !report.busy,
        "both are there still, but at rest: {report:?}"
    );
}

#[test]
fn the_doctor_checks_blocks_and_accounts_while_endpoints_are_there() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.options(8)).unwrap();
    (0..5).for_each(|i| queue.put(&i).unwrap());
    let control = queue.control().try_clone().unwrap();
    assert!(control.doctor().unwrap().ok());
    // Damage: slot 1 becomes a copy of slot 0.
    let path = dir.path("q");
    let mut bytes = std::fs::read(&path).unwrap();
    let slots = u64::from_le_bytes(bytes[48..56].try_into().unwrap()) as usize;
    let slot = u32::from_le_bytes(bytes[444..448].try_into().unwrap()) as usize;
    bytes.copy_within(slots..slots + 8, slots + slot);
    std::os::unix::fs::FileExt::write_all_at(
        &std::fs::File::options().write(true).open(&path).unwrap(),
        &bytes,
        0,
    )
    .unwrap();
    let report = control.doctor().unwrap();
    assert!(!report.ok() && !report.busy, "{report:?}");
    assert!(
        report
            .problems
            .iter()
            .any(|problem| problem.contains("slot 0 and slot 1")),
        "{report:?}"
    );
}
