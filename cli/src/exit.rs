//! How a command ends: the exit status, and what is said on stderr.
//!
//! 0 done; 1 could not be done; 2 usage; 3 timed out; 4 not ready; 5 empty or full without waiting; 128 + N ended by signal N. A command returns an [`End`]
//! and prints nothing itself: the message appears once, with the program's name before it.

use prodcon::{Error, ErrorKind, GetError, PutError};
use std::process::ExitCode;

/// What a command returns.
pub type Outcome = Result<(), End>;

/// An end other than 0.
#[derive(Debug)]
pub struct End {
    status: u8,
    /// Nothing is printed if it is empty.
    message: String,
}

impl End {
    fn new(status: u8, message: impl ToString) -> Self {
        Self {
            status,
            message: message.to_string(),
        }
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
            PutError::Full => Self::nothing(format!("queue '{name}' is full: get from it, or wait with a longer --timeout")),
            PutError::TimedOut => Self::timed_out(format!("timed out: queue '{name}' stayed full; is anybody getting? see `prodcon stat {name}`")),
            PutError::NotReady => Self::new(
                4,
                format!("queue '{name}' is not ready: its consumer has to open it (`prodcon ready {name}`), or wait with --wait-ready"),
            ),
            PutError::Stopped => Self::failed(format!(
                "queue '{name}' takes no items in its state: see `prodcon state {name}`, and set it to started"
            )),
            other => Self::failed(other),
        }
    }

    /// Why there was no item in the queue `name`.
    pub fn get(name: &str, error: &GetError) -> Self {
        match error {
            GetError::Empty => Self::nothing(format!("queue '{name}' is empty: put something, or wait with --timeout or --follow")),
            GetError::TimedOut => Self::timed_out(format!("timed out: queue '{name}' stayed empty; is anybody putting? see `prodcon stat {name}`")),
            GetError::Stopped => Self::failed(format!("queue '{name}' is stopped: set it to started with `prodcon state {name} started`")),
            other => Self::failed(other),
        }
    }

    /// Does something for each name, tells what fails and goes on. The end is that of the first failure.
    pub fn each(names: &[String], mut act: impl FnMut(&str) -> Outcome) -> Outcome {
        let mut first = Ok(());
        for name in names {
            if let Err(end) = act(name) {
                end.tell();
                first = first.and(Err(Self::quiet(end.status)));
            }
        }
        first
    }

    fn tell(&self) {
        if !self.message.is_empty() {
            crate::output::note(&self.message);
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
            ErrorKind::NotFound => match error.queue().and_then(|queue| crate::names::meant(&prodcon::directory(), queue)) {
                Some(meant) => Self::failed(format!("{error}; did you mean '{meant}'?")),
                None => Self::failed(error),
            },
            _ => Self::failed(error),
        }
    }
}

/// Says what there is to say, and gives the status to the system.
pub fn report(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(end) => {
            end.tell();
            ExitCode::from(end.status)
        }
    }
}
