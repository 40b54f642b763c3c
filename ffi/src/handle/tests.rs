//! A handle after a panic, after a close, and after many closes, and used by several threads.

use super::{Handle, RESTING, at_once_with, close, open, with};
use crate::endpoint::{Endpoint, Queue};
use crate::failure::prodcon_last_error;
use crate::status::*;
use rust::{AttachOptions, QueueOptions, ReadyQueue};
use std::cell::UnsafeCell;
use std::ffi::CStr;
use std::path::PathBuf;
use std::sync::{Barrier, Mutex, MutexGuard, PoisonError};

/// The tests close handles into one pool, and count what comes out of it: so one runs at a time.
static POOL: Mutex<()> = Mutex::new(());

struct Scratch(PathBuf, #[expect(dead_code)] MutexGuard<'static, ()>);

impl Scratch {
    fn new(name: &str) -> Self {
        let pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        let dir =
            std::env::temp_dir().join(format!("prodcon-ffi-handle-{name}-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        Self(dir, pool)
    }

    fn queue(&self) -> *mut Queue {
        let options = QueueOptions::new(2)
            .item_size(8)
            .attach(AttachOptions::new().directory(&self.0));
        open(Endpoint::new(
            ReadyQueue::create_or_attach("q", &options).unwrap(),
        ))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn last_error() -> String {
    // SAFETY: this thread's text, NUL-terminated, and nothing fails meanwhile.
    let text = unsafe { CStr::from_ptr(prodcon_last_error()) };
    text.to_str().unwrap().to_owned()
}

fn call(
    queue: *const Queue,
    work: impl FnOnce(&mut Endpoint) -> Result<(), crate::failure::Failure>,
) -> Status {
    // SAFETY: the tests call with what `open` gave, closed or not.
    unsafe { with(queue, "put", true, work) }
}

fn shut(queue: *const Queue) -> Status {
    // SAFETY: as in `call`.
    unsafe { close(queue, "close", drop) }
}

#[test]
fn a_panic_is_answered_and_leaves_a_handle_that_can_only_be_closed() {
    let scratch = Scratch::new("panic");
    let queue = scratch.queue();
    let fails = |_: &mut Endpoint| panic!("a planted bug, number {}", 7);
    assert_eq!(call(queue, |_| Ok(())), PRODCON_OK);
    assert_eq!(call(queue, fails), PRODCON_PANIC);
    assert!(
        last_error().contains("a planted bug, number 7"),
        "{}",
        last_error()
    );
    assert_eq!(call(queue, |_| Ok(())), PRODCON_PANIC);
    assert!(
        last_error().contains("close the handle"),
        "{}",
        last_error()
    );
    let elsewhere = std::thread::scope(|scope| {
        let queue = queue.expose_provenance();
        let elsewhere =
            scope.spawn(move || call(std::ptr::with_exposed_provenance(queue), |_| Ok(())));
        elsewhere.join().unwrap()
    });
    assert_eq!(elsewhere, PRODCON_PANIC);
    assert_eq!(shut(queue), PRODCON_OK);
    assert_eq!(shut(queue), PRODCON_INVALID);
    assert_eq!(call(queue, |_| Ok(())), PRODCON_INVALID);
    assert!(last_error().contains("closed"), "{}", last_error());
}

#[test]
fn a_closed_handle_is_told_from_an_open_one_until_many_others_were_closed() {
    let scratch = Scratch::new("closed");
    let first = scratch.queue();
    assert_eq!(shut(first), PRODCON_OK);
    let mut seen = vec![];
    for _ in 0..RESTING {
        let queue = scratch.queue();
        assert_ne!(queue, first, "used again too early");
        assert_eq!(call(first, |_| Ok(())), PRODCON_INVALID);
        assert_eq!(shut(queue), PRODCON_OK);
        seen.push(queue);
    }
    // From now on places are used again, so that a program that opens and closes forever does not
    // grow.
    let places = |queues: &[*mut Queue]| {
        queues
            .iter()
            .collect::<std::collections::HashSet<_>>()
            .len()
    };
    for _ in 0..4 * RESTING {
        let queue = scratch.queue();
        assert_eq!(shut(queue), PRODCON_OK);
        seen.push(queue);
    }
    assert!(places(&seen) <= 2 * RESTING, "{} places", places(&seen));
}

#[test]
fn a_handle_that_is_closed_while_another_one_is_opened_is_used_again() {
    let scratch = Scratch::new("lost");
    let first = scratch.queue();
    {
        // What another thread has for some instructions of its open, and a forked child forever.
        let _pool = Queue::pool().lock().unwrap();
        assert_eq!(shut(first), PRODCON_OK);
    }
    let comes_again = (0..20 * RESTING).any(|_| {
        let queue = scratch.queue();
        assert_eq!(shut(queue), PRODCON_OK);
        queue == first
    });
    assert!(comes_again, "its memory is lost");
}

/// Calls with the handle by both ways in, this many times, and returns how often it was let in.
fn count_calls(queue: usize, plain: &Plain, calls: u32) -> u64 {
    let queue: *const Queue = std::ptr::with_exposed_provenance(queue);
    let mut inside = 0;
    for number in 0..calls {
        let yields = number % 64 == 0;
        match call(queue, |_| {
            plain.add_one(yields);
            Ok(())
        }) {
            PRODCON_OK => inside += 1,
            status => assert_eq!(status, PRODCON_INVALID),
        }
        let at_once = |_: &mut Endpoint| {
            plain.add_one(yields);
            Some(())
        };
        // SAFETY: what `open` gave.
        inside += u64::from(unsafe { at_once_with(queue, at_once) }.is_some());
    }
    inside
}

/// Written by the thread that is inside, so that two that are inside together lose a step.
struct Plain(UnsafeCell<u64>);

// SAFETY: it is written inside a handle alone, which is what is tested.
unsafe impl Sync for Plain {}

impl Plain {
    fn add_one(&self, yields: bool) {
        // SAFETY: inside, and nobody else is, which is what is tested.
        let before = unsafe { self.0.get().read_volatile() };
        if yields {
            std::thread::yield_now(); // there may be one processor for all threads
        }
        // SAFETY: as above.
        unsafe { self.0.get().write_volatile(before + 1) };
    }
}

#[test]
fn of_threads_that_call_with_one_handle_at_once_one_is_inside_at_a_time() {
    let scratch = Scratch::new("hammers");
    let queue = scratch.queue();
    let (handle, plain) = (queue.expose_provenance(), Plain(UnsafeCell::new(0)));
    let together = Barrier::new(3);
    let inside: u64 = std::thread::scope(|scope| {
        let threads = [(); 3].map(|()| {
            scope.spawn(|| {
                together.wait();
                count_calls(handle, &plain, 10_000)
            })
        });
        threads.map(|thread| thread.join().unwrap()).iter().sum()
    });
    assert_eq!(plain.0.into_inner(), inside, "two were inside at once");
    assert_eq!(shut(queue), PRODCON_OK);
}

#[test]
fn a_call_from_inside_a_call_is_refused_as_a_signal_handlers_is() {
    let scratch = Scratch::new("nested");
    let queue = scratch.queue();
    let nested = |_: &mut Endpoint| {
        assert_eq!(call(queue, |_| Ok(())), PRODCON_INVALID);
        assert!(
            last_error().contains("is using this handle"),
            "{}",
            last_error()
        );
        assert_eq!(
            shut(queue),
            PRODCON_INVALID,
            "a close does nothing but say so"
        );
        Ok(())
    };
    assert_eq!(call(queue, nested), PRODCON_OK);
    assert_eq!(call(queue, |_| Ok(())), PRODCON_OK);
    assert_eq!(shut(queue), PRODCON_OK);
}
