//! Errors and answers: what operations return when they do not succeed.
//!
//! Two things are kept apart. What a running program has to expect (`Full`, `Empty`, `TimedOut`,
//! `NotReady`, `Stopped`, `Cancelled`) is a unit variant of [`PutError`] or [`GetError`] and costs
//! nothing. Everything else is an [`Error`]: a kind for programs, a sentence for people, a source.
//!
//! Invariant: a `Result` of a put or get fits two registers.

mod reason;

pub(crate) use reason::{Fault, Length, MAX_TIMEOUT, OpenError, StateRefused, Worker};

use crate::state::ParseStateError;
use crate::trace;
use std::fmt;
use std::io;
use std::sync::Arc;

/// The result of everything that can fail with an [`Error`].
///
/// ```no_run
/// use prodcon::ReadyQueue;
///
/// fn main() -> prodcon::Result<()> {
///     let mut queue = ReadyQueue::<u64>::attach("jobs")?;
///     queue.put(&1)?; // every error of this crate converts to `prodcon::Error`
///     Ok(())
/// }
/// ```
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation failed: a [kind](Error::kind) for programs and a text for people.
///
/// The text names the queue, says what was found and expected, and what to do next. `Debug` prints
/// the same text followed by the causes, because `main` prints errors with `Debug`; `{:#?}` prints
/// the structure.
///
/// ```
/// use prodcon::{ErrorKind, ReadyQueue};
///
/// let error = ReadyQueue::<u64>::attach("no-such-queue").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::NotFound);
/// assert_eq!(error.queue(), Some("no-such-queue"));
/// assert!(error.to_string().contains("create it first"));
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    reason: Reason,
    source: Option<io::Error>,
}

/// What an error is about, by the part of the library that knows of it.
#[derive(Debug)]
pub(crate) enum Reason {
    Open(OpenError),
    Fault(Fault),
    State(StateRefused),
    Length(Length),
    Worker(Worker),
    /// An answer that was passed on as an error.
    Answer(ErrorKind, &'static str),
    /// The options differ: which.
    Differ(Arc<str>, Vec<Difference>),
    /// A sentence with nothing to look into. The kind, the queue or worker (or nothing), the
    /// sentence.
    Other(ErrorKind, Arc<str>, String),
}

/// The kinds of [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There was no space, and the call does not wait.
    Full,
    /// There was no item, and the call does not wait.
    Empty,
    /// The time given passed first.
    TimedOut,
    /// The queue is not ready.
    NotReady,
    /// The queue is stopped, or its stream has ended.
    Stopped,
    /// The endpoint's cancel token was cancelled.
    Cancelled,
    /// There is no such queue, or no such directory.
    NotFound,
    /// The name is taken.
    AlreadyExists,
    /// The queue's name was removed, or belongs to another queue by now.
    Removed,
    /// The text cannot be the name of a queue.
    InvalidName,
    /// An option or argument is out of range, or does not go together with another one.
    InvalidOption,
    /// The queue was created with other options; see [`Error::differences`].
    OptionsDiffer,
    /// The queue is of another type, layout or format version.
    Incompatible,
    /// No seat is free.
    NoSeat,
    /// A living producer has the name already.
    NameTaken,
    /// The user may not do this.
    PermissionDenied,
    /// The handle could only be opened for reading.
    ReadOnly,
    /// The file system or a limit leaves no space for the queue.
    NoSpace,
    /// The item is longer than the queue's items can be.
    TooLarge,
    /// The item has another length than the type.
    WrongLength,
    /// An at-most-once queue takes nothing back.
    AtMostOnce,
    /// The state cannot change in this way.
    StateRefused,
    /// The handle was made before a fork, and this is the child.
    Forked,
    /// The queue's file is damaged, or is no queue.
    Corrupt,
    /// Positions or epochs have come to their end.
    Exhausted,
    /// The operating system refused a call; see [`source`](std::error::Error::source).
    Os,
    /// The worker is running, and this can only be set before it starts.
    Running,
    /// Another process controls the worker.
    Controlled,
    /// The worker's program could not be started.
    Spawn,
    /// The program that was started is not a worker, or did not attach in time.
    NotAWorker,
    /// The worker said that it failed.
    WorkerFailed,
    /// The call would wait for the very callback that it was made from.
    InCallback,
    /// A value could not be encoded or decoded.
    Encoding,
}

/// One option in which a queue differs from what was asked for.
///
/// ```
/// # use prodcon::{Control, ErrorKind, QueueOptions, ReadyQueue};
/// # let name = format!("doc-difference-{}", std::process::id());
/// let _made = Control::create::<u64>(&name, &QueueOptions::new(64))?;
/// let error = ReadyQueue::<u64>::create_or_attach(&name, &QueueOptions::new(1024)).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::OptionsDiffer);
/// assert_eq!(error.differences()[0].option, "capacity");
/// assert_eq!(error.differences()[0].wanted, "1024");
/// # prodcon::unlink(&name)?;
/// # Ok::<(), prodcon::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// Name of the option.
    pub option: &'static str,
    /// The value that was asked for.
    pub wanted: String,
    /// The value that the queue has.
    pub found: String,
}

impl Difference {
    pub(crate) fn new(
        option: &'static str,
        wanted: impl fmt::Display,
        found: impl fmt::Display,
    ) -> Self {
        Self {
            option,
            wanted: wanted.to_string(),
            found: found.to_string(),
        }
    }
}

impl Error {
    pub(crate) fn new(reason: Reason) -> Self {
        if let Reason::Open(OpenError::Corrupt { queue, what })
        | Reason::Fault(Fault::Corrupt { queue, what }) = &reason
        {
            trace::corrupt(queue, what);
        }
        let source = reason.os_error().map(io::Error::from_raw_os_error);
        Self(Box::new(Inner { reason, source }))
    }

    /// Adds the error of the operating system or the standard library as the source.
    pub(crate) fn with_source(reason: Reason, source: io::Error) -> Self {
        Self(Box::new(Inner {
            reason,
            source: Some(source),
        }))
    }

    /// A sentence about `name`.
    pub(crate) fn other(kind: ErrorKind, name: &str, text: impl Into<String>) -> Self {
        Self::new(Reason::Other(kind, name.into(), text.into()))
    }

    /// Returns what kind of error this is.
    ///
    /// ```
    /// use prodcon::{Control, ErrorKind};
    ///
    /// let error = Control::attach("-").unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidName);
    /// ```
    pub fn kind(&self) -> ErrorKind {
        self.0.reason.kind()
    }

    /// Returns the name of the queue or worker that the error is about, if it is about one.
    ///
    /// ```
    /// let error = prodcon::Control::attach("nobody-made-it").unwrap_err();
    /// assert_eq!(error.queue(), Some("nobody-made-it"));
    /// ```
    pub fn queue(&self) -> Option<&str> {
        self.0.reason.queue()
    }

    /// Returns the options that differ, if that is why `create_or_attach` failed. Otherwise the
    /// slice is empty.
    pub fn differences(&self) -> &[Difference] {
        match &self.0.reason {
            Reason::Differ(_, differences) => differences,
            _ => &[],
        }
    }
}

impl Reason {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Open(open) => open.kind(),
            Self::Fault(fault) => fault.kind(),
            Self::State(_) => ErrorKind::StateRefused,
            Self::Length(Length::TooLarge { .. }) => ErrorKind::TooLarge,
            Self::Length(Length::Wrong { .. }) => ErrorKind::WrongLength,
            Self::Worker(worker) => worker.kind(),
            Self::Answer(kind, _) | Self::Other(kind, ..) => *kind,
            Self::Differ(..) => ErrorKind::OptionsDiffer,
        }
    }

    fn queue(&self) -> Option<&str> {
        match self {
            Self::Open(open) => open.queue(),
            Self::Fault(fault) => Some(fault.queue()),
            Self::State(refused) => Some(&refused.queue),
            Self::Length(Length::TooLarge { queue, .. } | Length::Wrong { queue, .. }) => {
                Some(queue)
            }
            Self::Worker(worker) => worker.name(),
            Self::Answer(..) => None,
            Self::Other(_, queue, _) if queue.is_empty() => None,
            Self::Differ(queue, _) | Self::Other(_, queue, _) => Some(queue),
        }
    }

    fn os_error(&self) -> Option<i32> {
        match self {
            Self::Open(OpenError::Os { errno, .. } | OpenError::Directory { errno, .. })
            | Self::Fault(Fault::Os { errno, .. }) => Some(*errno),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.reason {
            Reason::Open(open) => open.fmt(f),
            Reason::Fault(fault) => fault.fmt(f),
            Reason::State(refused) => refused.fmt(f),
            Reason::Length(length) => length.fmt(f),
            Reason::Worker(worker) => worker.fmt(f),
            Reason::Answer(_, text) => f.write_str(text),
            Reason::Other(_, _, text) => f.write_str(text),
            Reason::Differ(queue, differences) => {
                write!(f, "queue '{queue}' exists with other options:")?;
                for (
                    number,
                    Difference {
                        option,
                        wanted,
                        found,
                    },
                ) in differences.iter().enumerate()
                {
                    let comma = if number == 0 { "" } else { "," };
                    write!(f, "{comma} {option} is {found}, wanted {wanted}")?;
                }
                write!(
                    f,
                    "; ask for what it has, choose another name, or remove it with `prodcon rm {queue}`"
                )
            }
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            let mut out = f.debug_struct("Error");
            out.field("kind", &self.kind())
                .field("reason", &self.0.reason);
            return out.field("source", &self.0.source).finish();
        }
        fmt::Display::fmt(self, f)?;
        match &self.0.source {
            Some(source) => write!(f, "\n\nCaused by: {source}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| source as _)
    }
}

/// Why an item was not put. The item is still the caller's.
///
/// ```
/// # use prodcon::{PutError, QueueOptions, ReadyQueue};
/// # let name = format!("doc-put-error-{}", std::process::id());
/// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(1))?;
/// queue.put(&1)?;
/// match queue.try_put(&2) {
///     Err(PutError::Full) => {} // try again later
///     other => other?,
/// }
/// # prodcon::unlink(&name)?;
/// # Ok::<(), prodcon::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum PutError {
    /// There is no space, and the call does not wait.
    Full,
    /// There was no space within the time given.
    TimedOut,
    /// The queue is not ready: its consumer closed the gate.
    NotReady,
    /// The queue is stopped, or takes no more items because its stream ends.
    Stopped,
    /// The endpoint's cancel token was cancelled.
    Cancelled,
    /// Something is wrong with the queue or the item.
    Failed(Error),
}

/// Why there is no item.
///
/// ```
/// # use prodcon::{GetError, QueueOptions, ReadyQueue};
/// # let name = format!("doc-get-error-{}", std::process::id());
/// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(1))?;
/// assert!(matches!(queue.try_get(), Err(GetError::Empty)));
/// # prodcon::unlink(&name)?;
/// # Ok::<(), prodcon::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum GetError {
    /// There is no item, and the call does not wait.
    Empty,
    /// There was no item within the time given.
    TimedOut,
    /// The stream has ended, or the queue is stopped.
    Stopped,
    /// The endpoint's cancel token was cancelled.
    Cancelled,
    /// Something is wrong with the queue or the item.
    Failed(Error),
}

/// Why a slice was not put as a whole.
///
/// ```
/// # use prodcon::{PutError, QueueOptions, ReadyQueue};
/// # use std::time::Duration;
/// # let name = format!("doc-put-slice-{}", std::process::id());
/// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(2))?;
/// let error = queue.within(Duration::ZERO).put_slice(&[1, 2, 3]).unwrap_err();
/// assert_eq!(error.put, 2);
/// assert!(matches!(error.error, PutError::Full));
/// # prodcon::unlink(&name)?;
/// # Ok::<(), prodcon::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct PutSliceError {
    /// How many items were put. They are the first ones of the slice.
    pub put: usize,
    /// Why the next one was not put.
    pub error: PutError,
}

const FULL: &str = "the queue is full";
const EMPTY: &str = "the queue is empty";
const STAYED_FULL: &str = "timed out: the queue stayed full";
const STAYED_EMPTY: &str = "timed out: the queue stayed empty";
const NOT_READY: &str = "the queue is not ready: its consumer has to set it ready";
const NO_MORE_PUTS: &str = "the queue takes no items: it is stopped, or its stream ends; set its state to started \
                            (from stop_at_queue_end by way of stopped)";
const END_OF_STREAM: &str = "end of stream: the queue is stopped";
const CANCELLED: &str = "the wait was cancelled";

impl PutError {
    /// The answer's kind and text, or the error.
    fn answer(&self) -> std::result::Result<(ErrorKind, &'static str), &Error> {
        Ok(match self {
            Self::Full => (ErrorKind::Full, FULL),
            Self::TimedOut => (ErrorKind::TimedOut, STAYED_FULL),
            Self::NotReady => (ErrorKind::NotReady, NOT_READY),
            Self::Stopped => (ErrorKind::Stopped, NO_MORE_PUTS),
            Self::Cancelled => (ErrorKind::Cancelled, CANCELLED),
            Self::Failed(error) => return Err(error),
        })
    }

    /// Returns the kind that the [`Error`] made from this has.
    ///
    /// ```
    /// assert_eq!(prodcon::PutError::Full.kind(), prodcon::ErrorKind::Full);
    /// ```
    pub fn kind(&self) -> ErrorKind {
        self.answer().map_or_else(Error::kind, |(kind, _)| kind)
    }
}

impl GetError {
    /// The answer's kind and text, or the error.
    fn answer(&self) -> std::result::Result<(ErrorKind, &'static str), &Error> {
        Ok(match self {
            Self::Empty => (ErrorKind::Empty, EMPTY),
            Self::TimedOut => (ErrorKind::TimedOut, STAYED_EMPTY),
            Self::Stopped => (ErrorKind::Stopped, END_OF_STREAM),
            Self::Cancelled => (ErrorKind::Cancelled, CANCELLED),
            Self::Failed(error) => return Err(error),
        })
    }

    /// Returns the kind that the [`Error`] made from this has.
    ///
    /// ```
    /// assert_eq!(prodcon::GetError::Empty.kind(), prodcon::ErrorKind::Empty);
    /// ```
    pub fn kind(&self) -> ErrorKind {
        self.answer().map_or_else(Error::kind, |(kind, _)| kind)
    }
}

macro_rules! answers {
    ($($error:ident)*) => { $(
        impl fmt::Display for $error {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.answer() {
                    Ok((_, text)) => f.write_str(text),
                    Err(error) => fmt::Display::fmt(error, f),
                }
            }
        }
        impl std::error::Error for $error {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                match self {
                    Self::Failed(error) => std::error::Error::source(error),
                    _ => None,
                }
            }
        }
        impl From<Error> for $error {
            fn from(error: Error) -> Self {
                Self::Failed(error)
            }
        }
        impl From<Fault> for $error {
            fn from(fault: Fault) -> Self {
                Self::Failed(fault.into())
            }
        }
        impl From<Length> for $error {
            fn from(length: Length) -> Self {
                Self::Failed(length.into())
            }
        }
        impl From<$error> for Error {
            fn from(error: $error) -> Self {
                match error.answer() {
                    Ok((kind, text)) => Self::new(Reason::Answer(kind, text)),
                    Err(_) => match error {
                        $error::Failed(error) => error,
                        _ => unreachable!("everything else is an answer"),
                    },
                }
            }
        }
    )* };
}
answers!(PutError GetError);

impl fmt::Display for PutSliceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} items were put, then: {}", self.put, self.error)
    }
}

impl std::error::Error for PutSliceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.error)
    }
}

impl From<PutSliceError> for PutError {
    fn from(error: PutSliceError) -> Self {
        error.error
    }
}

impl From<PutSliceError> for Error {
    fn from(error: PutSliceError) -> Self {
        error.error.into()
    }
}

impl From<ParseStateError> for Error {
    fn from(error: ParseStateError) -> Self {
        Self::other(ErrorKind::InvalidOption, &error.0, error.to_string())
    }
}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Self {
        Self::new(Reason::Open(error))
    }
}
impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::new(Reason::Fault(fault))
    }
}
impl From<StateRefused> for Error {
    fn from(refused: StateRefused) -> Self {
        Self::new(Reason::State(refused))
    }
}
impl From<Worker> for Error {
    fn from(worker: Worker) -> Self {
        Self::new(Reason::Worker(worker))
    }
}
impl From<Length> for Error {
    fn from(length: Length) -> Self {
        Self::new(Reason::Length(length))
    }
}

const _: () = {
    assert!(size_of::<std::result::Result<(), PutError>>() == 16);
    assert!(size_of::<std::result::Result<u64, GetError>>() <= 24);
};
