//! Whose process a seat is: a process id as its command.
//!
//! Invariant: nothing is said about a process that can be looked at and does not have the queue
//! open. In another PID namespace the id may be somebody else's.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The file of a queue, as something that processes have open.
pub struct QueueFile(Option<(u64, u64)>);

impl QueueFile {
    pub fn of(queue: &str) -> Self {
        let path: PathBuf = prodcon::directory().join(format!("prodcon.{queue}"));
        Self(identity(&path))
    }

    /// The command line of a process that has it open, its words with spaces between. `None` if
    /// there is none or it cannot be seen.
    pub fn command_of(&self, pid: u32) -> Option<String> {
        let process = PathBuf::from(format!("/proc/{pid}"));
        // Of another user's process the descriptors cannot be seen: then its word is taken.
        if let Ok(open) = fs::read_dir(process.join("fd")) {
            let mut open = open.flatten();
            if !open.any(|file| self.0.is_some() && identity(&file.path()) == self.0) {
                return None;
            }
        }
        let words = fs::read(process.join("cmdline")).ok()?;
        let words = String::from_utf8_lossy(&words).replace('\0', " ");
        let words = words.trim_end();
        (!words.is_empty()).then(|| words.to_owned())
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let file = fs::metadata(path).ok()?;
    Some((file.dev(), file.ino()))
}
