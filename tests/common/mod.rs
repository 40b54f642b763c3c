//! What several test programs share: a segment directory of the test's own, waits with a deadline,
//! numbers that look random, and children. Each test program adds the queues it needs.

#![allow(dead_code)] // each test program uses a part of it

pub mod children;

use prodcon::{AttachOptions, Control, QueueOptions};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A segment directory, removed with all that is in it.
pub struct Dir(pub PathBuf);

impl Dir {
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!(
            "prodcon-{}-{}-{number}",
            env!("CARGO_CRATE_NAME"),
            std::process::id()
        ));
        std::fs::create_dir(&dir).unwrap();
        Self(dir)
    }

    pub fn attach(&self) -> AttachOptions {
        AttachOptions::new().directory(&self.0)
    }

    pub fn options(&self, capacity: u32) -> QueueOptions {
        QueueOptions::new(capacity).attach(self.attach())
    }

    pub fn at_least_once(&self, capacity: u32) -> QueueOptions {
        self.options(capacity).at_least_once(true)
    }

    pub fn control(&self, name: &str) -> Control {
        Control::attach_with(name, &self.attach()).unwrap()
    }

    /// The file of a queue.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(format!("prodcon.{name}"))
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Waits for it, for a minute at most.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(
            Instant::now() < deadline,
            "{what} did not happen within a minute"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Numbers that look random, the same in each run (xorshift).
pub struct Dice(u64);

impl Dice {
    pub fn new() -> Self {
        Self(0x9E37_79B9_7F4A_7C15)
    }

    /// From 0 to `sides - 1`.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}
