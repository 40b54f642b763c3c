//! What can go wrong on either side of a worker. The texts name the worker or the segment, what was expected and found, and what to do next.

use crate::error::{Fault, OpenError, PutError, StateError};
use std::fmt;
use std::process::ExitStatus;
use std::sync::Arc;

/// What `on_start`, `work` and `on_stop` may fail with: any error (`?`), or a text (`"no camera".into()`).
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Why a controlling handle, or a worker that attaches, could not do what it was told.
#[derive(Debug)]
#[non_exhaustive]
#[allow(missing_docs)] // the fields are what the message says
pub enum WorkerError {
    /// One of the worker's segments could not be made, attached or removed.
    Open(OpenError),
    /// One of the worker's segments cannot be used.
    Fault(Fault),
    /// The worker's state does not allow it.
    State(StateError),
    /// An item could not be put into the work queue.
    Put(PutError),
    /// A setting or argument is out of range.
    Invalid { worker: String, what: String },
    /// No time that one can wait for.
    Time { seconds: f64 },
    /// Settings are fixed while the worker runs.
    Running { worker: String, what: &'static str },
    /// Another process controls the worker.
    Controlled { worker: String },
    /// The program could not be started.
    Spawn { worker: String, program: String, error: std::io::Error },
    /// The program ended, or ran into the start timeout, without attaching.
    NotAWorker {
        worker: String,
        program: String,
        status: Option<ExitStatus>,
        seconds: f64,
    },
    /// The call waits for the callback that it was made from.
    InCallback { worker: String },
    /// The worker said so itself, while it started.
    Failed { worker: String, text: String },
    /// A worker was told to attach to a queue that is stopped.
    Stopped { worker: String },
}

/// Why a result or a message was not sent. The bytes are still the caller's.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum SendError {
    /// Longer than the ring's items can be; `option` of the controlling handle raises the limit.
    TooLarge {
        queue: Arc<str>,
        len: usize,
        max: usize,
        option: &'static str,
    },
    /// No space, and the worker was stopped while it waited.
    Stopped { queue: Arc<str> },
    /// No space, and the worker has ended, so that nobody will make any.
    Ended { queue: Arc<str> },
    /// No space, and the call does not wait.
    Full { queue: Arc<str> },
    /// The value could not be encoded.
    Encode { queue: Arc<str>, what: String },
    /// The ring is there, but one cannot attach to it.
    Open(OpenError),
    /// See [`Fault`].
    Fault(Fault),
}

/// Why there is no message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecvError {
    /// None there, and the call does not wait; or nobody can send any.
    Empty,
    /// None came within the time given.
    TimedOut,
    /// The worker was stopped while it waited.
    Stopped,
    /// The ring is there, but one cannot attach to it.
    Open(OpenError),
    /// See [`Fault`].
    Fault(Fault),
}

/// What arrived is not what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct DecodeError {
    pub queue: Arc<str>,
    pub what: String,
}

impl fmt::Display for WorkerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => error.fmt(f),
            Self::Fault(error) => error.fmt(f),
            Self::State(error) => error.fmt(f),
            Self::Put(error) => error.fmt(f),
            Self::Invalid { worker, what } => write!(f, "worker '{worker}': {what}"),
            Self::Time { seconds } => write!(f, "{seconds} s is no time to wait: give 0 to {} s (a year)", super::settings::LONGEST.as_secs()),
            Self::Running { worker, what } => write!(f, "worker '{worker}' is running: {what} must be set before start_new; stop it first"),
            Self::Controlled { worker } => write!(
                f,
                "worker '{worker}' has a living controlling process already: end that one first, or choose another name"
            ),
            Self::Spawn { worker, program, error } if error.raw_os_error() == Some(libc::E2BIG) => write!(
                f,
                "worker '{worker}': the arguments for '{program}' are too large for the system (one: 128 KiB, all with the environment: see `getconf ARG_MAX`): \
                 send them as a message, or write them to a file and pass its name"
            ),
            Self::Spawn { worker, program, error } => write!(
                f,
                "worker '{worker}': '{program}' cannot be started: {error}; give the path of a worker executable"
            ),
            Self::NotAWorker {
                worker,
                program,
                status: Some(status),
                ..
            } => write!(
                f,
                "worker '{worker}': '{program}' ended ({status}) without attaching: is it a prodcon worker? It is started as PROGRAM --attach NAME [ARGUMENTS]"
            ),
            Self::NotAWorker {
                worker,
                program,
                status: None,
                seconds,
            } => write!(
                f,
                "worker '{worker}': '{program}' did not attach within {seconds} s and was killed: is it a prodcon worker? If it only needs longer, raise start_timeout"
            ),
            Self::InCallback { worker } => write!(
                f,
                "worker '{worker}': this would wait for the very callback that it is called from: call set_stopped() here, and stop() or wait() in another thread"
            ),
            Self::Failed { worker, text } => write!(f, "worker '{worker}' failed: {text}"),
            Self::Stopped { worker } => write!(
                f,
                "worker '{worker}' is stopped, so there is nothing to do: start it from its controlling handle, or with `prodcon state {worker} started`"
            ),
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { queue, len, max, option } => write!(
                f,
                "{len} bytes are too large for '{queue}', whose items have at most {max}: raise it with {option}() where the worker is created, or send it in pieces"
            ),
            Self::Stopped { queue } => write!(f, "not sent: '{queue}' is full, and the worker was stopped"),
            Self::Ended { queue } => write!(f, "not sent: '{queue}' is full, and the worker has ended: start it first"),
            Self::Full { queue } => write!(f, "not sent: '{queue}' is full"),
            Self::Encode { queue, what } => write!(f, "not sent to '{queue}': the value cannot be encoded: {what}"),
            Self::Open(error) => error.fmt(f),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("no message is there"),
            Self::TimedOut => f.write_str("no message came in time"),
            Self::Stopped => f.write_str("no message came before the worker was stopped"),
            Self::Open(error) => error.fmt(f),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "what came through '{}' is something else: {}; do both sides use the same type?",
            self.queue, self.what
        )
    }
}

impl std::error::Error for WorkerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Spawn { error, .. } => Some(error),
            _ => None,
        }
    }
}
impl std::error::Error for SendError {}
impl std::error::Error for RecvError {}
impl std::error::Error for DecodeError {}

impl From<OpenError> for WorkerError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}
impl From<Fault> for WorkerError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}
impl From<StateError> for WorkerError {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}
impl From<PutError> for WorkerError {
    fn from(error: PutError) -> Self {
        Self::Put(error)
    }
}
impl From<Fault> for SendError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}
