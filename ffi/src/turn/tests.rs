//! Nobody is inside together with somebody else.

use super::Turn;
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

struct Shared {
    turn: Turn,
    /// Written by the thread that is inside, with plain stores.
    plain: UnsafeCell<u64>,
}

// SAFETY: `plain` is written only inside, which is what is tested.
unsafe impl Sync for Shared {}

/// Stays inside for a while; 1 if it was let in.
fn work(shared: &Shared, own: bool, stay: u64) -> u64 {
    let Some(_pass) = shared
        .turn
        .enter_as_owner()
        .or_else(|| shared.turn.enter(own))
    else {
        return 0;
    };
    let place = shared.plain.get();
    // SAFETY: inside.
    let before = unsafe { place.read_volatile() };
    (0..stay).for_each(|_| std::hint::spin_loop());
    // SAFETY: inside.
    unsafe { place.write_volatile(before + 1) };
    1
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// One thread owns each of many turns and uses it without a pause; another one breaks in at a random moment.
#[test]
fn a_thread_that_breaks_in_is_never_inside_together_with_the_owner() {
    let end = Instant::now() + Duration::from_secs(3);
    let mut rounds = 0;
    while Instant::now() < end {
        let turns: Vec<Shared> = (0..200)
            .map(|_| Shared {
                turn: Turn::new(),
                plain: UnsafeCell::new(0),
            })
            .collect();
        let (at, done) = (AtomicU64::new(0), AtomicU64::new(0));
        let (by_owner, by_other) = std::thread::scope(|scope| {
            let owner = scope.spawn(|| {
                let (mut dice, mut counts) = (Dice(rounds + 7), vec![]);
                for (index, shared) in (1..).zip(&turns) {
                    let mut count = work(shared, true, 0);
                    at.store(index, Ordering::Release);
                    while done.load(Ordering::Acquire) < index {
                        count += work(shared, true, if dice.roll(8) == 0 { 300 } else { 0 });
                        if dice.roll(500) == 0 {
                            std::thread::yield_now(); // there may be one processor for the two of us
                        }
                    }
                    counts.push(count);
                }
                counts
            });
            let other = scope.spawn(|| {
                let (mut dice, mut counts) = (Dice(rounds + 77), vec![]);
                for (index, shared) in (1..).zip(&turns) {
                    while at.load(Ordering::Acquire) < index {
                        std::thread::yield_now();
                    }
                    (0..dice.roll(50)).for_each(|_| std::hint::spin_loop());
                    let mut count = 0;
                    while count < 2 {
                        match work(shared, false, dice.roll(20)) {
                            0 => std::hint::spin_loop(),
                            _ => count += 1,
                        }
                    }
                    counts.push(count);
                    done.store(index, Ordering::Release);
                }
                counts
            });
            (owner.join().unwrap(), other.join().unwrap())
        });
        for ((shared, own), other) in turns.into_iter().zip(by_owner).zip(by_other) {
            assert_eq!(
                shared.plain.into_inner(),
                own + other,
                "two were inside at once"
            );
        }
        rounds += 1;
    }
}

#[test]
fn the_owner_enters_by_privilege_until_somebody_else_comes() {
    let turn = Turn::new();
    assert!(turn.enter_as_owner().is_none());
    drop(turn.enter(false).unwrap());
    assert!(
        turn.enter_as_owner().is_none(),
        "it was not worth becoming the owner"
    );
    drop(turn.enter(true).unwrap());
    let pass = turn.enter_as_owner().unwrap();
    assert!(
        turn.enter_as_owner().is_none() && turn.enter(true).is_none(),
        "as a signal handler would"
    );
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
