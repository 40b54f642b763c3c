//! Models of the event word: no wake-up is lost. A sleeper that does not look again after it
//! registered fails here, and so does a waker that does not change the word.

use super::explore::{FORCED, at_least, check};
use crate::sync::atomic::{AtomicU32, AtomicU64, cas_sc, load_sc, load32_sc};
use crate::sync::event::{Futex, register, wake_one};
use loom::sync::{Condvar, Mutex};

/// A futex: compare under the lock, then sleep.
struct Simulated(Mutex<u32>, Condvar);

impl Simulated {
    fn wait(&self, word: &AtomicU32, expected: u32) {
        let mut sleepers = self.0.lock().unwrap();
        if load32_sc(word) == expected {
            *sleepers += 1;
            let _woken = self.1.wait(sleepers).unwrap();
        }
    }
}

impl Futex for Simulated {
    fn wake(&self, _: &AtomicU32, count: u32) -> u32 {
        let mut sleepers = self.0.lock().unwrap();
        let woken = count.min(*sleepers);
        *sleepers -= woken;
        (0..woken).for_each(|_| self.1.notify_one());
        woken
    }
}

/// Runs a model. A lost wake-up shows as loom's "deadlock".
pub(super) fn sleepers_and_wakers(sleepers: usize, killed: bool) {
    check(FORCED, move || {
        let all = std::sync::Arc::new((
            AtomicU32::new(0),
            AtomicU64::new(0),
            Simulated(Mutex::new(0), Condvar::new()),
        ));
        let threads: Vec<_> = (0..sleepers)
            .map(|_| {
                let all = all.clone();
                loom::thread::spawn(move || {
                    let (word, items, futex) = &*all;
                    let take = || {
                        let mut seen = load_sc(items);
                        while seen > 0 {
                            match cas_sc(items, seen, seen - 1) {
                                Ok(_) => return true,
                                Err(actual) => seen = actual,
                            }
                        }
                        false
                    };
                    while !take() {
                        let value = register(word);
                        if take() {
                            return;
                        }
                        futex.wait(word, value);
                    }
                })
            })
            .collect();
        let (word, items, futex) = &*all;
        if killed {
            register(word); // and dies before it sleeps: its registration stays
        }
        for _ in 0..sleepers {
            let mut seen = load_sc(items);
            while let Err(actual) = cas_sc(items, seen, seen + 1) {
                seen = actual;
            }
            wake_one(word, futex);
        }
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn model_one_sleeper_is_woken() {
    at_least(161, 161, || {
        sleepers_and_wakers(1, false);
        sleepers_and_wakers(1, true);
    });
}

#[test]
fn model_two_sleepers_are_woken() {
    at_least(13_300, 13_300, || {
        sleepers_and_wakers(2, false);
        sleepers_and_wakers(2, true);
    });
}
