//! How a command ends: the exit status, and what is to be said on stderr.
//!
//! 0 done; 1 could not be done; 2 usage; 3 timed out; 4 not ready; 5 empty or full without waiting;
//! 128 + N ended by signal N. A command returns an [`End`] and prints no error itself.

use prodcon::{Error, ErrorKind, GetError, PutError};

/// What a command returns.
pub type Outcome = Result<(), End>;

/// An end other than 0.
#[derive(Debug)]
pub struct End {
    status: u8,
    /// Nothing is printed if it is empty.
    message: String,
    /// The queue that was asked for and is not there.
    missing: Option<String>,
}

impl End {
    fn new(status: u8, message: impl ToString) -> Self {
        Self {
            status,
            message: message.to_string(),
            missing: None,
        }
    }

    pub fn status(&self) -> u8 {
        self.status
    }

    /// What is to be said. If it is empty, nothing is.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The name that no queue has, if that is the reason.
    pub fn missing(&self) -> Option<&str> {
        self.missing.as_deref()
    }

    /// 1: it could not be done.
    pub fn failed(message: impl ToString) -> Self {
        Self::new(1, message)
    }

    /// 2: it was asked for in the wrong way.
    pub fn usage(message: impl ToString) -> Self {
        Self::new(2, message)
    }

    /// 3.
    pub fn timed_out(message: impl ToString) -> Self {
        Self::new(3, message)
    }

    /// 5: empty or full, and nobody wanted to wait.
    pub fn nothing(message: impl ToString) -> Self {
        Self::new(5, message)
    }

    /// A status without a message.
    pub fn quiet(status: u8) -> Self {
        Self::new(status, "")
    }

    /// As a shell reports a process that a signal ended.
    pub fn signal(number: i32) -> Self {
        Self::quiet(u8::try_from(128 + number).unwrap_or(1))
    }

    /// Why an item was not put into the queue `name`.
    pub fn put(name: &str, error: &PutError) -> Self {
        match error {
            PutError::Full => Self::nothing(format!(
                "queue '{name}' is full: get from it, or wait with a longer --timeout"
            )),
            PutError::TimedOut => Self::timed_out(format!(
                "timed out: queue '{name}' stayed full; is anybody getting? see `prodcon stat {name}`"
            )),
            PutError::NotReady => Self::new(
                4,
                format!(
                    "queue '{name}' is not ready: its consumer has to open it (`prodcon ready {name}`), or wait with --wait-ready"
                ),
            ),
            PutError::Stopped => Self::failed(format!(
                "queue '{name}' takes no items: it is stopped, or its stream ends; set it to started with `prodcon state {name} started` (from stop_at_queue_end by way of stopped)"
            )),
            other => Self::failed(other),
        }
    }

    /// Why there was no item in the queue `name`.
    pub fn get(name: &str, error: &GetError) -> Self {
        match error {
            GetError::Empty => Self::nothing(format!(
                "queue '{name}' is empty: put something, or wait with --timeout or --follow"
            )),
            GetError::TimedOut => Self::timed_out(format!(
                "timed out: queue '{name}' stayed empty; is anybody putting? see `prodcon stat {name}`"
            )),
            GetError::Stopped => Self::failed(format!(
                "queue '{name}' is stopped: set it to started with `prodcon state {name} started`"
            )),
            other => Self::failed(other),
        }
    }

    /// The same end, which says this if it had nothing to say.
    pub fn or_say(mut self, message: &str) -> Self {
        if self.message.is_empty() {
            self.message = message.to_owned();
        }
        self
    }

    /// The same end with something said behind it, unless it is quiet.
    pub fn after(mut self, done: &str) -> Self {
        if !self.message.is_empty() {
            self.message = format!("{}; {done}", self.message);
        }
        self
    }
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::InvalidName | ErrorKind::InvalidOption => Self::usage(error),
            ErrorKind::NotFound => Self {
                missing: error.queue().map(Into::into),
                ..Self::failed(error)
            },
            ErrorKind::TimedOut => Self::timed_out(error),
            _ => Self::failed(error),
        }
    }
}
