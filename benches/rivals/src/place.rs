//! Where a run keeps its files: one directory and one prefix for all names, so that all of it can
//! be removed afterwards, no matter which process was killed.

use crate::Outcome;
use std::fs;
use std::path::{Path, PathBuf};

const SHM: &str = "/dev/shm";
/// Names another directory for the files that can be anywhere, as a tmpfs with huge pages.
const ELSEWHERE: &str = "RIVALS_DIR";

/// The files of one program run. Dropping it removes them.
pub struct Place {
    program: &'static str,
    prefix: String,
}

impl Place {
    /// A directory in /dev/shm for this process. Removes what runs of the same program left that were killed.
    ///
    /// # Errors
    /// As the system answers.
    pub fn new(program: &'static str) -> Outcome<Self> {
        let place = Self {
            program,
            prefix: format!("{program}-{}", std::process::id()),
        };
        for stale in place.names(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            remove(&stale);
        }
        fs::create_dir_all(place.dir())?;
        Ok(place)
    }

    /// The directory.
    pub fn dir(&self) -> PathBuf {
        let there = std::env::var_os(ELSEWHERE).map_or(SHM.into(), PathBuf::from);
        there.join(&self.prefix)
    }

    /// What every name of this run begins with that does not lie in the directory.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Removes everything of this run but the empty directory.
    ///
    /// # Errors
    /// As the system answers.
    pub fn scrub(&self) -> Outcome<()> {
        let own = std::process::id();
        for name in self.names(|pid| pid == own) {
            remove(&name);
        }
        fs::create_dir_all(self.dir())?;
        Ok(())
    }

    /// Everything in /dev/shm, and in the other directory, with the program's name and a process number that the caller wants in its name.
    fn names(&self, wanted: impl Fn(u32) -> bool) -> Vec<PathBuf> {
        let marker = format!("{}-", self.program);
        let parent = self.dir().parent().map(Path::to_path_buf);
        [
            Some(SHM.into()),
            parent.filter(|parent| parent != Path::new(SHM)),
        ]
        .into_iter()
        .flatten()
        .filter_map(|dir| fs::read_dir(dir).ok())
        .flatten()
        .flatten()
        .filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some((_, rest)) = name.split_once(&marker) else {
                return false;
            };
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().is_ok_and(&wanted)
        })
        .map(|entry| entry.path())
        .collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.scrub();
        remove(&self.dir());
    }
}

fn remove(path: &Path) {
    let _ = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
}
