//! The ends of a worker's processes, and whether they are started again. These are plain values.

use crate::error::{Error, Result, Worker};
use std::process::ExitStatus;
use std::time::Duration;

/// Says when a process of a worker is started again.
///
/// ```
/// use prodcon::worker::{ConsumerOptions, Restart};
/// use std::time::Duration;
///
/// let restart = Restart::OnFailure { limit: 10, backoff: Duration::from_millis(100) };
/// let options = ConsumerOptions::new().restart(restart);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Restart {
    /// A process is never started again.
    #[default]
    Never,
    /// A process is started again when it was killed or ended with a status other than 0, unless
    /// the worker was stopped.
    OnFailure {
        /// The most restarts since `start_new`, of all processes of the worker together.
        limit: u32,
        /// The time before the first restart. It is doubled for each restart that follows at once,
        /// up to 30 s. After a process that lived for 10 s it starts again from here.
        backoff: Duration,
    },
}

/// The end of a process of a worker.
///
/// ```no_run
/// # use prodcon::worker::{Consumer, ConsumerOptions};
/// let mut sum = Consumer::<u64>::create("sum", &ConsumerOptions::new())?;
/// sum.on_exit(|exit| {
///     if !exit.success() {
///         eprintln!("process {} failed: {:?} {:?}", exit.pid, exit.status, exit.error);
///     }
/// });
/// # Ok::<(), prodcon::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessExit {
    /// Which of the worker's processes it was, counted from 0.
    pub process: usize,
    /// Its id. 0 if it could not be started again.
    pub pid: u32,
    /// How it ended. `None` if the status could not be collected, because SIGCHLD is ignored or
    /// another part of the program collects the status of every child.
    pub status: Option<ExitStatus>,
    /// If it failed, what it said before it ended, or why it was killed, or that its status could
    /// not be collected.
    pub error: Option<String>,
    /// It is started again after a while, unless the worker is stopped before. Then the
    /// [`WorkerExit`] has false here.
    pub restarts: bool,
}

impl ProcessExit {
    /// Returns whether the process ended with exit status 0. If the status could not be collected,
    /// it returns whether there is no `error`.
    pub fn success(&self) -> bool {
        self.status
            .map_or(self.error.is_none(), |status| status.success())
    }

    /// What went wrong, as a text for people.
    fn trouble(&self) -> String {
        match (&self.error, self.status) {
            (Some(text), _) => text.clone(),
            (None, Some(status)) => format!("process {} ended ({status})", self.pid),
            (None, None) => format!("process {} ended", self.pid),
        }
    }
}

/// Most ends that are kept one by one.
const MOST_EXITS: usize = 1000;

/// The end of a worker, which is the end of all its processes.
///
/// ```no_run
/// # use prodcon::worker::{Consumer, ConsumerOptions};
/// let mut sum = Consumer::<u64>::create("sum", &ConsumerOptions::new().processes(4))?;
/// sum.start_new("./sum")?;
/// // ...
/// sum.set_stop_at_queue_end()?;
/// sum.wait()?.into_result()?; // an error if one of its processes failed
/// # Ok::<(), prodcon::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "the worker may have failed: see success() and into_result()"]
pub struct WorkerExit {
    /// The ends of its processes, in their order. Of a worker that was started again hundreds of
    /// times the oldest are left out, but never the last one of a process.
    pub exits: Vec<ProcessExit>,
    worker: String,
    restarts: usize,
    error: Option<String>,
}

impl WorkerExit {
    /// The end of a worker of which no process has ended.
    pub(crate) fn of(worker: &str) -> Self {
        Self {
            exits: vec![],
            worker: worker.into(),
            restarts: 0,
            error: None,
        }
    }

    /// Notes one more.
    pub(crate) fn push(&mut self, exit: ProcessExit) {
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

    /// Notes that this process was to be started again and is not.
    pub(crate) fn stays_ended(&mut self, process: usize) {
        let last = self.exits.iter_mut().rfind(|exit| exit.process == process);
        if let Some(exit) = last.filter(|exit| exit.restarts) {
            exit.restarts = false;
            self.restarts -= 1;
        }
    }

    /// Returns whether every process ended with status 0, in the end: one that failed, was started
    /// again and did its work then counts as a success.
    pub fn success(&self) -> bool {
        self.exits.iter().all(Self::is_fine)
    }

    fn is_fine(exit: &ProcessExit) -> bool {
        exit.restarts || exit.success()
    }

    /// Returns how often a process was started again.
    pub fn restarts(&self) -> usize {
        self.restarts
    }

    /// Returns what the first process that failed, and said why, said.
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Turns a worker that failed into an error.
    ///
    /// # Errors
    /// Returns `WorkerFailed` unless it is a [success](Self::success). The error has what the
    /// process said, or how it ended.
    ///
    /// ```no_run
    /// # use prodcon::worker::{Producer, ProducerOptions};
    /// let mut sampler = Producer::create("sampler", &ProducerOptions::new())?;
    /// sampler.start_new("./sampler")?;
    /// sampler.stop()?.into_result()?;
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn into_result(self) -> Result<()> {
        let failed = || self.exits.iter().filter(|exit| !Self::is_fine(exit));
        let Some(exit) = failed()
            .find(|exit| exit.error.is_some())
            .or_else(|| failed().next())
        else {
            return Ok(());
        };
        let text = exit.trouble();
        Err(Error::from(Worker::Failed {
            worker: self.worker,
            text,
        }))
    }
}
