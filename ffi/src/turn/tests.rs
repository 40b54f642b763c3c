//! Nobody is inside together with somebody else.

use super::Turn;
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

struct Shared {
    turn: Turn,
    /// Written by whoever is inside, with plain stores.
    plain: UnsafeCell<u64>,
}

// SAFETY: `plain` is written only inside, which is what is tested.
unsafe impl Sync for Shared {}

fn work(shared: &Shared, own: bool) -> bool {
    let Some(_pass) = shared.turn.enter_as_owner().or_else(|| shared.turn.enter(own)) else {
        return false;
    };
    let place = shared.plain.get();
    // SAFETY: inside.
    let before = unsafe { place.read_volatile() };
    std::hint::spin_loop();
    // SAFETY: inside.
    unsafe { place.write_volatile(before + 1) };
    true
}

#[test]
fn threads_that_take_no_turns_are_never_inside_together() {
    let end = Instant::now() + Duration::from_secs(2);
    let (mut rounds, mut refused) = (0, 0);
    while Instant::now() < end {
        let shared = Shared {
            turn: Turn::new(),
            plain: UnsafeCell::new(0),
        };
        let (total, go, no) = (AtomicU64::new(0), AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for thread in 0..3u64 {
                let (shared, total, go, no) = (&shared, &total, &go, &no);
                scope.spawn(move || {
                    while !go.load(Ordering::Acquire) {
                        std::hint::spin_loop();
                    }
                    // The first becomes the owner and works by its privilege, the others come after a while.
                    (0..thread * 200).for_each(|_| std::hint::spin_loop());
                    for _ in 0..2000 {
                        let count = if work(shared, thread == 0) { total } else { no };
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            go.store(true, Ordering::Release);
        });
        assert_eq!(shared.plain.into_inner(), total.into_inner());
        refused += no.into_inner();
        rounds += 1;
    }
    assert!(rounds > 0 && refused > 0, "{rounds} rounds, {refused} refused: they never met");
}

#[test]
fn the_owner_enters_by_privilege_until_somebody_else_comes() {
    let turn = Turn::new();
    assert!(turn.enter_as_owner().is_none());
    drop(turn.enter(false).unwrap());
    assert!(turn.enter_as_owner().is_none(), "it was not worth becoming the owner");
    drop(turn.enter(true).unwrap());
    let pass = turn.enter_as_owner().unwrap();
    assert!(turn.enter_as_owner().is_none() && turn.enter(true).is_none(), "as a signal handler would");
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(turn.enter(true).is_none()));
    });
    drop(pass);
    std::thread::scope(|scope| {
        scope.spawn(|| drop(turn.enter(true).unwrap()));
    });
    assert!(turn.enter_as_owner().is_none(), "the privilege is over");
    let pass = turn.enter(true).unwrap();
    assert!(turn.enter(true).is_none());
    drop(pass);
    turn.begin_anew();
    drop(turn.enter(true).unwrap());
    assert!(turn.enter_as_owner().is_some());
}
