//! A segment directory of the test's own, removed with all that is in it. Each test program adds the queues it needs.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

pub struct Dir(pub PathBuf);

impl Dir {
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("prodcon-{}-{}-{number}", env!("CARGO_CRATE_NAME"), std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        Self(dir)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
