//! A segment directory of this thread's own, in memory, used for all inputs; for most of them one that the library only pretends to be there (`prodcon::pretend`).
//!
//! Removed when the thread ends, and by the hook of [`under_libfuzzer`]; what a process killed outright leaves is removed by the next one that starts (its lock tells).

use prodcon::pretend;
use std::cell::{Cell, RefCell};
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
    static PRETENDS: Cell<bool> = const { Cell::new(false) };
    static MINE: RefCell<Option<Scratch>> = const { RefCell::new(None) };
}

/// The kernel that an input is for. One in 64 gets the real one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// Real files.
    Real,
    /// The library pretends.
    Pretended,
}

impl Kernel {
    /// By its bytes, so that an input is always run the same way.
    pub fn of(input: &[u8]) -> Self {
        let sum = input.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        if sum % 64 == 63 {
            Self::Real
        } else {
            Self::Pretended
        }
    }
}

/// From here on, until the next input.
pub(crate) fn begin(kernel: Kernel) {
    PRETENDS.set(kernel == Kernel::Pretended);
    pretend::close_all();
}

pub(crate) fn pretends() -> bool {
    PRETENDS.get()
}

/// The directory that this input's queues are in.
pub(crate) fn directory() -> PathBuf {
    if pretends() {
        pretend::DIRECTORY.into()
    } else {
        real()
    }
}

/// This thread's directory.
pub(crate) fn real() -> PathBuf {
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
            let dir = base.join(format!(
                "{PREFIX}{}-{}",
                std::process::id(),
                NUMBER.fetch_add(1, Ordering::Relaxed)
            ));
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
        let ours = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(PREFIX));
        if ours && File::open(entry.path()).is_ok_and(|dir| dir.try_lock().is_ok()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// For libFuzzer, whose own hook ends the process at once. `mark`: see [`pretend::on_length`].
pub fn under_libfuzzer(mark: fn(*const u8, usize, bool)) {
    pretend::on_length(mark);
    let next = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let _ = MINE.try_with(|mine| mine.try_borrow_mut().map(|mut mine| drop(mine.take())));
        next(info);
    }));
}
