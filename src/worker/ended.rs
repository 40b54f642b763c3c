//! How the processes of a worker end, and whether they are started again. Plain values. Callers: everybody.

use std::process::ExitStatus;
use std::time::Duration;

/// When a process of a worker is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Restart {
    /// Never.
    #[default]
    Never,
    /// When it was killed or ended with a status other than 0, unless the worker was stopped.
    OnFailure {
        /// At most so often since `start_new`, all processes of the worker together.
        limit: u32,
        /// Time before the first one; doubled for each one that follows at once (a process that lived 10 s begins anew), up to 30 s.
        backoff: Duration,
    },
}

/// The end of a process of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exit {
    /// Which of the worker's processes, from 0.
    pub process: usize,
    /// Its id.
    pub pid: u32,
    /// How it ended; `None`: nobody knows (the program ignores SIGCHLD).
    pub status: Option<ExitStatus>,
    /// What it said before it ended, if it failed.
    pub error: Option<String>,
    /// It is started again.
    pub restarts: bool,
}

impl Exit {
    /// Exit status 0.
    pub fn success(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }
}

/// The end of a worker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ended {
    /// The ends of its processes, in their order.
    pub exits: Vec<Exit>,
}

impl Ended {
    /// Every process ended with status 0, in the end.
    pub fn success(&self) -> bool {
        self.exits.iter().all(|exit| exit.restarts || exit.success())
    }

    /// How often a process was started again.
    pub fn restarts(&self) -> usize {
        self.exits.iter().filter(|exit| exit.restarts).count()
    }

    /// What the first process that failed, and said why, said.
    pub fn error(&self) -> Option<&str> {
        self.exits.iter().find_map(|exit| exit.error.as_deref())
    }
}
