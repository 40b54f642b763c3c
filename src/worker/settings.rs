//! How a worker works, and how it is told. Its controlling handle says so through one variable of
//! the environment that is bound to the worker. A user who starts it by hand sets several
//! variables. Otherwise its program decides.
//!
//! Owns the names of the environment variables.

use crate::QueueId;
use crate::error::{Error, MAX_TIMEOUT, Worker};
use crate::queue::Control;
use std::ffi::OsString;
use std::fmt;
use std::time::Duration;

/// The variable with what a controlling handle tells its worker, see [`Instructions`].
pub(crate) const INSTRUCTIONS_VARIABLE: &str = "PRODCON_WORKER";
/// The type of worker, where one executable has several.
pub(crate) const TYPE: &str = "PRODCON_WORKER_TYPE";
const SUPERVISOR: &str = "PRODCON_SUPERVISOR";
/// The controlling process cannot see how its worker ends.
const UNSEEN: &str = "PRODCON_UNSEEN";
const WORK_TIMEOUT: &str = "PRODCON_WORK_TIMEOUT";
const MAX_BUFFER_SIZE: &str = "PRODCON_MAX_BUFFER_SIZE";
const SUBSCRIBERS: &str = "PRODCON_SUBSCRIBERS";
const ON_FULL: &str = "PRODCON_ON_FULL";
const ITEMS_TO_RESULTS: &str = "PRODCON_ITEMS_TO_RESULTS";

/// What a producer does when a subscribed queue is full (and not lossy).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFull {
    /// It waits for space, and stays stoppable.
    #[default]
    Wait,
    /// It leaves that queue out and counts it.
    Skip,
}

/// How a worker works. A controlling handle's settings win over the program's own
/// ([`Produce::settings`](super::Produce::settings)).
///
/// Where a worker is started by hand, the environment gives them: `PRODCON_WORK_TIMEOUT` (seconds),
/// `PRODCON_MAX_BUFFER_SIZE`, `PRODCON_SUBSCRIBERS` (names, separated by spaces), `PRODCON_ON_FULL`
/// (`wait` or `skip`), `PRODCON_ITEMS_TO_RESULTS` (`0` or `1`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// Producer: the time from call to call of `work`. Zero means as often as possible. Consumer:
    /// the time after the last call at which a partly filled buffer is handed over.
    pub work_timeout: Duration,
    /// Consumer: the most items that `work` gets at once.
    pub max_buffer_size: usize,
    /// Producer: the queues that get what `work` returns.
    pub subscribers: Vec<String>,
    /// Producer: what to do when one of them is full.
    pub on_full: OnFull,
    /// Producer: what `work` returns goes to the controlling process too.
    pub items_to_results: bool,
}

impl Settings {
    /// Describes a producer that works as often as it can and has no subscribers.
    pub fn producer() -> Self {
        Self {
            work_timeout: Duration::ZERO,
            max_buffer_size: 1,
            subscribers: vec![],
            on_full: OnFull::Wait,
            items_to_results: false,
        }
    }

    /// Describes a consumer that works on each item at once (a work timeout of 5 s, a buffer of 1).
    ///
    /// ```
    /// use prodcon::worker::Settings;
    ///
    /// let settings = Settings::consumer().max_buffer_size(64);
    /// ```
    pub fn consumer() -> Self {
        Self {
            work_timeout: Duration::from_secs(5),
            ..Self::producer()
        }
    }

    /// Sets the work timeout.
    pub fn work_timeout(mut self, timeout: Duration) -> Self {
        self.work_timeout = timeout;
        self
    }

    /// Sets the buffer size.
    pub fn max_buffer_size(mut self, items: usize) -> Self {
        self.max_buffer_size = items;
        self
    }

    /// Sets the subscribers.
    pub fn subscribers<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.subscribers = names.into_iter().map(Into::into).collect();
        self
    }

    pub(crate) fn check(&self, worker: &str) -> Result<(), Error> {
        if self.work_timeout > MAX_TIMEOUT {
            return Err(Worker::Time {
                seconds: self.work_timeout.as_secs_f64(),
            }
            .into());
        }
        if self.max_buffer_size == 0 {
            return Err(Worker::Invalid {
                worker: worker.into(),
                what: "a max_buffer_size of 0 would never give it anything to do: choose 1 or more"
                    .into(),
            }
            .into());
        }
        Ok(())
    }

    /// As variables for the worker's environment.
    pub(crate) fn variables(&self) -> [(&'static str, String); 5] {
        [
            (WORK_TIMEOUT, self.work_timeout.as_secs_f64().to_string()),
            (MAX_BUFFER_SIZE, self.max_buffer_size.to_string()),
            (SUBSCRIBERS, self.subscribers.join(" ")),
            (
                ON_FULL,
                if self.on_full == OnFull::Skip {
                    "skip"
                } else {
                    "wait"
                }
                .into(),
            ),
            (
                ITEMS_TO_RESULTS,
                u8::from(self.items_to_results).to_string(),
            ),
        ]
    }

    /// These, but where the environment says something else.
    pub(crate) fn or_environment(
        mut self,
        worker: &str,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, Error> {
        let text =
            |name: &str| variable(name).map(|value| value.to_string_lossy().trim().to_owned());
        let bad = |name: &str, value: &str, expected: &str| {
            Error::from(Worker::Invalid {
                worker: worker.into(),
                what: format!("the environment says {name}={value}: expected {expected}"),
            })
        };
        if let Some(value) = text(WORK_TIMEOUT) {
            let parsed = value
                .parse()
                .map_err(|_| bad(WORK_TIMEOUT, &value, "seconds, such as 0.01"))?;
            self.work_timeout = seconds(parsed)?;
        }
        if let Some(value) = text(MAX_BUFFER_SIZE) {
            self.max_buffer_size = value
                .parse()
                .map_err(|_| bad(MAX_BUFFER_SIZE, &value, "a number of items"))?;
        }
        if let Some(value) = text(SUBSCRIBERS) {
            self.subscribers = value
                .split([' ', ','])
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect();
        }
        if let Some(value) = text(ON_FULL) {
            self.on_full = match value.as_str() {
                "wait" => OnFull::Wait,
                "skip" => OnFull::Skip,
                _ => return Err(bad(ON_FULL, &value, "wait or skip")),
            };
        }
        if let Some(value) = text(ITEMS_TO_RESULTS) {
            self.items_to_results = match value.as_str() {
                "0" => false,
                "1" => true,
                _ => return Err(bad(ITEMS_TO_RESULTS, &value, "0 or 1")),
            };
        }
        self.check(worker)?;
        Ok(self)
    }
}

/// Turns a time in seconds into a `Duration`.
///
/// ```
/// assert_eq!(prodcon::worker::seconds(0.25)?.as_millis(), 250);
/// assert!(prodcon::worker::seconds(-1.0).is_err());
/// assert!(prodcon::worker::seconds(1e300).is_err());
/// # Ok::<(), prodcon::Error>(())
/// ```
///
/// # Errors
/// Returns `InvalidOption` if it is negative, longer than a year, or no number.
pub fn seconds(seconds: f64) -> Result<Duration, Error> {
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|time| *time <= MAX_TIMEOUT)
        .ok_or_else(|| Worker::Time { seconds }.into())
}

/// What a controlling handle tells its worker: in one variable of the environment, a line each, and
/// bound to the worker by its name and its queue's id. The environment is inherited by whatever the
/// worker starts; bound to another queue it says nothing there.
///
/// ```text
/// NAME ID
/// PRODCON_SUPERVISOR=NUMBER
/// PRODCON_WORK_TIMEOUT=SECONDS
/// ...
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instructions {
    name: String,
    id: QueueId,
    lines: Vec<(String, String)>,
}

impl Instructions {
    pub(crate) fn new(
        worker: &Control,
        supervisor: u32,
        kind: Option<String>,
        unseen: bool,
        settings: &Settings,
    ) -> Self {
        let mut lines = vec![(SUPERVISOR.to_owned(), supervisor.to_string())];
        lines.extend(unseen.then(|| (UNSEEN.to_owned(), "1".to_owned())));
        lines.extend(
            settings
                .variables()
                .map(|(name, value)| (name.to_owned(), value)),
        );
        lines.extend(kind.map(|kind| (TYPE.to_owned(), kind)));
        Self {
            name: worker.name().into(),
            id: worker.id(),
            lines,
        }
    }

    /// Reads the instructions for the worker with this name, if there are any.
    pub(crate) fn from_environment(
        variable: impl Fn(&str) -> Option<OsString>,
        name: &str,
    ) -> Option<Self> {
        let text = variable(INSTRUCTIONS_VARIABLE)?;
        let mut lines = text.to_str()?.lines();
        let (of, id) = lines.next()?.split_once(' ')?;
        let lines = lines
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let lines = lines.collect();
        (of == name).then_some(Self {
            name: name.to_owned(),
            id: id.parse().ok()?,
            lines,
        })
    }

    /// Returns true if they are for the worker of this very queue.
    pub(crate) fn is_for(&self, queue: QueueId) -> bool {
        self.id == queue
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.lines
            .iter()
            .find_map(|(found, value)| (found == name).then_some(value.as_str()))
    }

    /// Looks a variable up as in an environment.
    pub(crate) fn variable(&self, name: &str) -> Option<OsString> {
        self.value(name).map(OsString::from)
    }

    /// Returns the type of worker that is meant.
    pub(crate) fn kind(&self) -> Option<&str> {
        self.value(TYPE)
    }

    /// Returns the number of the controlling process, see `Supervision::number`. `None` stands for
    /// any.
    pub(crate) fn supervisor(&self) -> Option<u32> {
        self.value(SUPERVISOR)?.parse().ok()
    }
}

impl fmt::Display for Instructions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.id)?;
        self.lines
            .iter()
            .try_for_each(|(name, value)| write!(f, "\n{name}={value}"))
    }
}

/// The process's environment.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// What a worker knows of the process that watches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Watched {
    /// A controlling process started it, and it ends with that process.
    pub(crate) supervised: bool,
    /// Which one. `None` stands for any.
    pub(crate) supervisor: Option<u32>,
    /// It cannot see how this process ends, and depends on being told.
    pub(crate) unseen: bool,
}

impl Watched {
    pub(crate) fn by(instructions: Option<&Instructions>) -> Self {
        Self {
            supervised: instructions.is_some(),
            supervisor: instructions.and_then(Instructions::supervisor),
            unseen: instructions.is_some_and(|it| it.value(UNSEEN).is_some()),
        }
    }
}
