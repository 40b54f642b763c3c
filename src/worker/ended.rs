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
    /// How it ended; `None` if the status could not be collected, because SIGCHLD is ignored.
    pub status: Option<ExitStatus>,
    /// What it said before it ended, if it failed; or why it was killed.
    pub error: Option<String>,
    /// It is started again.
    pub restarts: bool,
}

impl Exit {
    /// Exit status 0. Where nobody knows the status: it did not say that it failed.
    pub fn success(&self) -> bool {
        self.status.map_or(self.error.is_none(), |status| status.success())
    }
}

/// Most ends that are kept one by one.
const MOST_EXITS: usize = 1000;

/// The end of a worker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ended {
    /// The ends of its processes, in their order. Of a worker that was started again hundreds of times
    /// the oldest are left out, but never the last one of a process.
    pub exits: Vec<Exit>,
    restarts: usize,
    error: Option<String>,
}

impl Ended {
    /// Notes one more.
    pub(crate) fn push(&mut self, exit: Exit) {
        self.restarts += usize::from(exit.restarts);
        if self.error.is_none() && !exit.success() {
            self.error.clone_from(&exit.error);
        }
        if self.exits.len() >= MOST_EXITS {
            if let Some(oldest) = self.exits.iter().position(|exit| exit.restarts) {
                self.exits.remove(oldest);
            }
        }
        self.exits.push(exit);
    }

    /// Every process ended with status 0, in the end.
    pub fn success(&self) -> bool {
        self.exits.iter().all(|exit| exit.restarts || exit.success())
    }

    /// How often a process was started again.
    pub fn restarts(&self) -> usize {
        self.restarts
    }

    /// What the first process that failed, and said why, said.
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }
}
