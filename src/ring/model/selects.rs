//! Models of waits on several words: no cancel is lost between the look and the sleep, and a waiter
//! that leaves with one wake-up passes the other one on. A planted bug of each kind is seen failing.

use super::explore::{FORCED, at_least, check};
use crate::sync::atomic::{AtomicU32, AtomicU64, cas_sc, cas32_sc, load_sc, load32_sc};
use crate::sync::event::{Futex, pass_on, register, wake_one};
use loom::sync::{Condvar, Mutex};
use std::sync::Arc;

/// A futex for sleeps on several words. Each word's wake takes the sleeper off that word alone, as
/// the kernel does it: a sleeper that is about to wake up may eat a second wake-up.
struct Kernel(Mutex<Asleep>, Condvar);

#[derive(Default)]
struct Asleep {
    /// Which sleeper is on which word.
    on: Vec<(usize, usize)>,
    woken: Vec<bool>,
}

fn address(word: &AtomicU32) -> usize {
    std::ptr::from_ref(word) as usize
}

impl Kernel {
    fn new() -> Self {
        Self(Mutex::new(Asleep::default()), Condvar::new())
    }

    fn wait(&self, words: &[(&AtomicU32, u32)]) {
        let mut asleep = self.0.lock().unwrap();
        if words.iter().any(|(word, value)| load32_sc(word) != *value) {
            return;
        }
        let own = asleep.woken.len();
        asleep.woken.push(false);
        for (word, _) in words {
            asleep.on.push((own, address(word)));
        }
        while !asleep.woken[own] {
            asleep = self.1.wait(asleep).unwrap();
        }
        asleep.on.retain(|(sleeper, _)| *sleeper != own);
    }
}

impl Futex for Kernel {
    fn wake(&self, word: &AtomicU32, count: u32) -> u32 {
        let mut asleep = self.0.lock().unwrap();
        let mut woken = 0;
        while woken < count {
            let found = asleep.on.iter().position(|(_, on)| *on == address(word));
            let Some(place) = found else { break };
            let (sleeper, _) = asleep.on.remove(place);
            asleep.woken[sleeper] = true;
            woken += 1;
        }
        drop(asleep);
        self.1.notify_all();
        woken
    }
}

/// An event word and what it is about.
struct Queue {
    word: AtomicU32,
    items: AtomicU64,
}

impl Queue {
    fn new() -> Self {
        Self {
            word: AtomicU32::new(0),
            items: AtomicU64::new(0),
        }
    }

    fn take(&self) -> bool {
        let mut seen = load_sc(&self.items);
        while seen > 0 {
            match cas_sc(&self.items, seen, seen - 1) {
                Ok(_) => return true,
                Err(actual) => seen = actual,
            }
        }
        false
    }

    fn put(&self, kernel: &Kernel) {
        let mut seen = load_sc(&self.items);
        while let Err(actual) = cas_sc(&self.items, seen, seen + 1) {
            seen = actual;
        }
        wake_one(&self.word, kernel);
    }

    /// Gets one item; sleeps on this word alone.
    fn get(&self, kernel: &Kernel) {
        while !self.take() {
            let value = register(&self.word);
            if self.take() {
                return;
            }
            kernel.wait(&[(&self.word, value)]);
        }
    }
}

/// A wait that a token ends, beside one that gets what comes; an item comes at the same time.
fn cancelled(passes: bool) {
    check(FORCED, move || {
        let all = Arc::new((Queue::new(), AtomicU32::new(0), Kernel::new()));
        let waiter = all.clone();
        let waiter = loom::thread::spawn(move || {
            let (queue, token, kernel) = &*waiter;
            loop {
                if queue.take() {
                    // It is somebody else's: it comes again.
                    return queue.put(kernel);
                }
                let value = register(&queue.word);
                if queue.take() {
                    return queue.put(kernel);
                }
                if load32_sc(token) != 0 {
                    return;
                }
                kernel.wait(&[(&queue.word, value), (token, 0)]);
                if load32_sc(token) != 0 {
                    if passes {
                        pass_on(&queue.word, value, kernel);
                    }
                    return;
                }
            }
        });
        let getter = all.clone();
        let getter = loom::thread::spawn(move || getter.0.get(&getter.2));
        let (queue, token, kernel) = &*all;
        queue.put(kernel);
        // The real one is a store. Loads are read-modify-writes here, and loom would let one of them
        // put the old value back.
        let _ = cas32_sc(token, 0, 1);
        kernel.wake(token, u32::MAX);
        waiter.join().unwrap();
        getter.join().unwrap();
    });
}

/// A select on two queues that ends with an item of the first one, beside a get from the second.
fn selected(passes: bool) {
    check(FORCED, move || {
        let all = Arc::new((Queue::new(), Queue::new(), Kernel::new()));
        let selecter = all.clone();
        let selecter = loom::thread::spawn(move || {
            let (first, second, kernel) = &*selecter;
            while !first.take() {
                let values = (register(&first.word), register(&second.word));
                if first.take() {
                    return;
                }
                kernel.wait(&[(&first.word, values.0), (&second.word, values.1)]);
                if first.take() {
                    if passes {
                        pass_on(&second.word, values.1, kernel);
                    }
                    return;
                }
                // It looked at the second one too: that is reported, and its user passes it on.
                if second.take() {
                    second.put(kernel);
                }
            }
        });
        let getter = all.clone();
        let getter = loom::thread::spawn(move || getter.1.get(&getter.2));
        let (first, second, kernel) = &*all;
        first.put(kernel);
        second.put(kernel);
        selecter.join().unwrap();
        getter.join().unwrap();
    });
}

#[test]
fn model_a_cancel_is_not_lost_and_its_waiter_passes_on() {
    at_least(4_728, 4_728, || cancelled(true));
}

#[test]
fn model_a_select_passes_on_what_it_does_not_report() {
    at_least(4_165, 4_165, || selected(true));
}

#[test]
#[should_panic = "deadlock"]
fn model_a_cancelled_waiter_that_keeps_a_wake_up_is_caught() {
    cancelled(false);
}

#[test]
#[should_panic = "deadlock"]
fn model_a_select_that_keeps_a_wake_up_is_caught() {
    selected(false);
}
