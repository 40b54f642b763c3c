//! A directory of the benchmark's own, gone with it.

use prodcon::AttachOptions;
use std::path::PathBuf;

pub struct Dir(pub PathBuf);

impl Dir {
    /// In memory where there is memory for it: what is measured is the queue, not a disk.
    pub fn new(name: &str) -> Self {
        let shared = PathBuf::from("/dev/shm");
        let base = if shared.is_dir() {
            shared
        } else {
            std::env::temp_dir()
        };
        let dir = base.join(format!("prodcon-bench-{name}-{}", std::process::id()));
        std::fs::create_dir(&dir).expect("a directory for the benchmark's queues");
        Self(dir)
    }

    pub fn attach(&self) -> AttachOptions {
        AttachOptions::new().directory(&self.0)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
