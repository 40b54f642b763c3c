//! What a bridge remembers across its own death: a file of short lines.
//!
//! Invariants: a line counts if its checksum is right and every line before it counts. Lines are
//! appended by one `write`, so a kill leaves at most one torn line, the last. A new file is
//! complete before it takes the name. One process at a time has the journal, by a lock on a file
//! beside it.
//!
//! The lines are not synced to the disk. A queue lies in memory, and both outlive a killed process;
//! neither the queue nor what was in it outlives the machine.

mod ids;
mod inward;
mod outward;

pub use ids::{Ids, Span};
pub use inward::{Intent, Inward, Run};
pub use outward::Outward;

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Above this size a journal is rewritten.
const MAX_BYTES: u64 = 1 << 20;

/// A file of lines with checksums.
#[derive(Debug)]
struct Log {
    path: PathBuf,
    file: File,
    bytes: u64,
    /// The size after it was last rewritten.
    floor: u64,
    _lock: File,
}

impl Log {
    /// Opens the file, or makes it, and returns the lines that count.
    fn open(path: &Path) -> Result<(Self, Vec<String>)> {
        let shown = path.display();
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).with_context(|| {
                format!("cannot make the journal's directory {}", dir.display())
            })?;
        }
        let lock = File::create(with_suffix(path, ".lock"))
            .with_context(|| format!("cannot lock the journal {shown}"))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            bail!(
                "the journal {shown} is in use: another bridge for this queue and stream is \
                     running; stop it, or give this one another --journal"
            );
        }
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => vec![],
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read the journal {shown}"));
            }
        };
        let (lines, good) = read(&bytes);
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .with_context(|| format!("cannot write the journal {shown}"))?;
        file.set_len(good)
            .with_context(|| format!("cannot write the journal {shown}"))?;
        let log = Self {
            path: path.into(),
            file,
            bytes: good,
            floor: good,
            _lock: lock,
        };
        Ok((log, lines))
    }

    /// Appends lines in one write.
    fn append(&mut self, lines: &[String]) -> Result<()> {
        let text = written(lines);
        self.file
            .write_all(text.as_bytes())
            .with_context(|| format!("cannot write the journal {}", self.path.display()))?;
        self.bytes += text.len() as u64;
        Ok(())
    }

    /// Returns whether most of it has been overtaken by later lines.
    fn is_long(&self) -> bool {
        self.bytes > MAX_BYTES + 2 * self.floor
    }

    /// Replaces all lines.
    fn replace(&mut self, lines: &[String]) -> Result<()> {
        let text = written(lines);
        let new = with_suffix(&self.path, ".new");
        let swap = || -> std::io::Result<File> {
            let mut file = File::create(&new)?;
            file.write_all(text.as_bytes())?;
            std::fs::rename(&new, &self.path)?;
            OpenOptions::new().append(true).open(&self.path)
        };
        self.file =
            swap().with_context(|| format!("cannot write the journal {}", self.path.display()))?;
        self.bytes = text.len() as u64;
        self.floor = self.bytes;
        Ok(())
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn written(lines: &[String]) -> String {
    let mut out = String::new();
    for line in lines {
        out += &format!("{:08x} {line}\n", crc32fast::hash(line.as_bytes()));
    }
    out
}

/// Returns the lines that count, and where they end.
fn read(bytes: &[u8]) -> (Vec<String>, u64) {
    let (mut lines, mut good) = (vec![], 0);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let text = line
            .strip_suffix(b"\n")
            .and_then(|line| std::str::from_utf8(line).ok());
        let Some((sum, rest)) = text.and_then(|text| text.split_once(' ')) else {
            break;
        };
        if u32::from_str_radix(sum, 16) != Ok(crc32fast::hash(rest.as_bytes())) {
            break;
        }
        lines.push(rest.to_owned());
        good += line.len() as u64;
    }
    (lines, good)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file's path in a directory that goes when this is dropped.
    pub(super) struct Place(pub PathBuf);

    impl Place {
        pub(super) fn new(name: &str) -> Self {
            let dir =
                std::env::temp_dir().join(format!("prodcon-journal-{}-{name}", std::process::id()));
            let _ = std::fs::remove_dir_all(&dir);
            std::fs::create_dir(&dir).unwrap();
            Self(dir.join("journal"))
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(self.0.parent().unwrap());
        }
    }

    #[test]
    fn a_torn_last_line_does_not_count_and_the_next_one_does() {
        let place = Place::new("torn");
        let (mut log, _) = Log::open(&place.0).unwrap();
        log.append(&["one".into(), "two".into()]).unwrap();
        drop(log);
        let whole = std::fs::read(&place.0).unwrap();
        std::fs::write(&place.0, &whole[..whole.len() - 2]).unwrap();
        let (mut log, lines) = Log::open(&place.0).unwrap();
        assert_eq!(lines, ["one"]);
        log.append(&["three".into()]).unwrap();
        drop(log);
        assert_eq!(Log::open(&place.0).unwrap().1, ["one", "three"]);
    }

    #[test]
    fn two_bridges_cannot_have_one_journal() {
        let place = Place::new("two");
        let _first = Log::open(&place.0).unwrap();
        let text = Log::open(&place.0).unwrap_err().to_string();
        assert!(
            text.contains("is in use") && text.contains("--journal"),
            "{text}"
        );
    }

    #[test]
    fn a_journal_that_was_written_anew_goes_on() {
        let place = Place::new("anew");
        let (mut log, _) = Log::open(&place.0).unwrap();
        log.append(&["old".into()]).unwrap();
        log.replace(&["new".into()]).unwrap();
        log.append(&["newer".into()]).unwrap();
        drop(log);
        assert_eq!(Log::open(&place.0).unwrap().1, ["new", "newer"]);
    }
}
