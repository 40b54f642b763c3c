//! A segment directory of this thread's own, in memory, used for all inputs.
//!
//! Removed when the thread ends, and by the hook of [`clean_up_on_panic`]; what a process killed outright leaves is removed by the next one that starts (its lock tells).

use std::cell::RefCell;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

const PREFIX: &str = "prodcon-fuzz-";

/// The directory.
pub struct Scratch {
    dir: PathBuf,
    /// Locked while the directory is in use.
    _lock: File,
}

thread_local! {
    static MINE: RefCell<Option<Scratch>> = const { RefCell::new(None) };
}

/// This thread's directory.
pub fn directory() -> PathBuf {
    MINE.with_borrow_mut(|mine| mine.get_or_insert_with(Scratch::new).dir.clone())
}

impl Scratch {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let base = if Path::new("/dev/shm").is_dir() {
            "/dev/shm".into()
        } else {
            std::env::temp_dir()
        };
        remove_stale(&base);
        loop {
            let dir = base.join(format!("{PREFIX}{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)));
            std::fs::create_dir_all(&dir).expect("a directory for segments");
            // Somebody who starts at this moment may take it for stale before it is locked: then another one.
            if let Ok(lock) = File::open(&dir)
                && lock.try_lock().is_ok()
                && dir.is_dir()
            {
                return Self { dir, _lock: lock };
            }
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn remove_stale(base: &Path) {
    for entry in std::fs::read_dir(base).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        if ours && File::open(entry.path()).is_ok_and(|dir| dir.try_lock().is_ok()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// For libFuzzer, whose own hook ends the process at once.
pub fn clean_up_on_panic() {
    let next = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let _ = MINE.try_with(|mine| mine.try_borrow_mut().map(|mut mine| drop(mine.take())));
        next(info);
    }));
}
