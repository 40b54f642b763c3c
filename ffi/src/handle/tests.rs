//! A handle after a panic, after a close, and after many closes.

use super::{Handle, RESTING, close, open, with};
use crate::endpoint::{Endpoint, Queue};
use crate::failure::prodcon_last_error;
use crate::status::*;
use rust::{AttachOptions, QueueOptions, ReadyQueue};
use std::ffi::CStr;
use std::path::PathBuf;

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let dir =
            std::env::temp_dir().join(format!("prodcon-ffi-handle-{name}-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        Self(dir)
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
