//! Public errors: one small enum for each kind of operation. They name the queue, what was expected and found, and what to do next.
//!
//! `Full`, `Empty`, `TimedOut`, `NotReady` and `Stopped` are answers rather than faults; they carry nothing and cost nothing.

use crate::queue::State;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// What can go wrong with a queue that one is attached to, whatever the operation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs)] // the fields are what the message says
pub enum Fault {
    /// The name was removed; what comes now under that name is another queue.
    Removed { queue: Arc<str> },
    /// The shared words contradict each other.
    Corrupt { queue: Arc<str>, what: String },
    /// Positions or epochs have come to their end (years of use, flat out).
    Exhausted { queue: Arc<str> },
    /// The handle was made before a fork, and this is the child.
    Forked { queue: Arc<str> },
    /// An at-most-once queue takes nothing back.
    AtMostOnce { queue: Arc<str> },
    /// The handle could only be opened for reading.
    ReadOnly { queue: Arc<str> },
    /// A system call failed.
    Os { queue: Arc<str>, call: &'static str, errno: i32 },
}

/// Why an item was not put. The item is still the caller's.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum PutError {
    /// No space, and the call does not wait.
    Full,
    /// No space within the time given.
    TimedOut,
    /// The queue is not ready.
    NotReady,
    /// The queue is stopped, or will stop at its end.
    Stopped,
    /// Longer than the queue's items can be.
    TooLarge { queue: Arc<str>, len: usize, max: usize },
    /// A queue of a plain type takes items of exactly its size.
    WrongLength { queue: Arc<str>, len: usize, expected: usize },
    /// The endpoint has an item in hand.
    InHand { queue: Arc<str> },
    /// See [`Fault`].
    Fault(Fault),
}

/// Why there is no item.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum GetError {
    /// No item, and the call does not wait.
    Empty,
    /// No item within the time given.
    TimedOut,
    /// End of stream, or stopped.
    Stopped,
    /// The item has another length than the type; it stays in hand until `discard`.
    WrongLength { queue: Arc<str>, len: usize, expected: usize },
    /// See [`Fault`].
    Fault(Fault),
}

/// Why a queue could not be created, attached, removed or listed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum OpenError {
    NotFound {
        queue: Arc<str>,
        directory: PathBuf,
    },
    NoDirectory {
        directory: PathBuf,
    },
    Exists {
        queue: Arc<str>,
    },
    /// The queue has no name any more, or another queue has it.
    Removed {
        queue: Arc<str>,
    },
    /// The queue's file would be longer than this process may make files.
    FileLimit {
        queue: Arc<str>,
        bytes: u64,
        limit: u64,
    },
    /// The directory is there, but is of no use.
    Directory {
        directory: PathBuf,
        what: &'static str,
        errno: i32,
    },
    /// The queue that was to be removed does not have the name any more.
    Replaced {
        queue: Arc<str>,
    },
    /// Another process has held the lock of those who remove the queue for too long.
    Busy {
        queue: Arc<str>,
    },
    Name {
        name: String,
    },
    Invalid {
        queue: Arc<str>,
        what: String,
    },
    Incompatible {
        queue: Arc<str>,
        what: &'static str,
        expected: String,
        found: String,
    },
    NoSeat {
        queue: Arc<str>,
        seats: u32,
        wanted: u32,
    },
    Denied {
        queue: Arc<str>,
        path: PathBuf,
    },
    NoSpace {
        queue: Arc<str>,
        bytes: u64,
        directory: PathBuf,
    },
    Corrupt {
        queue: Arc<str>,
        what: String,
    },
    Os {
        queue: Arc<str>,
        call: &'static str,
        errno: i32,
    },
}

/// Why the state did not change.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum StateError {
    /// Allowed are stopped -> started, started -> stopped or stop_at_queue_end, stop_at_queue_end -> stopped, and the state that
    /// the queue has.
    Refused { queue: Arc<str>, from: State, to: State },
    /// See [`Fault`].
    Fault(Fault),
}

/// A batch of puts that ended early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartialPut {
    /// Items put before the error.
    pub put: usize,
    /// Why the next one was not.
    pub error: PutError,
}

impl Fault {
    /// The same, where a queue was to be opened.
    pub(crate) fn of_opening(self) -> OpenError {
        match self {
            Self::Removed { queue } => OpenError::Removed { queue },
            Self::Os { queue, call, errno } => OpenError::Os { queue, call, errno },
            Self::Corrupt { queue, what } => OpenError::Corrupt { queue, what },
            Self::Exhausted { ref queue } | Self::Forked { ref queue } | Self::AtMostOnce { ref queue } | Self::ReadOnly { ref queue } => OpenError::Corrupt {
                queue: queue.clone(),
                what: self.to_string(),
            },
        }
    }
}

/// What a failed system call means here.
fn os(f: &mut fmt::Formatter<'_>, queue: &str, call: &str, errno: i32) -> fmt::Result {
    let error = std::io::Error::from_raw_os_error(errno);
    write!(f, "queue '{queue}': ")?;
    match (call, errno) {
        (_, libc::EBADF) => f.write_str("the program closed this queue's descriptor: attach again"),
        ("fcntl", libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP | libc::EPERM | libc::ENOLCK) => write!(
            f,
            "no lock can be had ({error}): this file system has no open-file-description locks, or the kernel has no room for more, \
             or a filter forbids them; choose another directory (PRODCON_DIR)"
        ),
        ("fcntl", _) => write!(f, "a lock of its file failed: {error}"),
        ("write" | "mmap", libc::EINVAL | libc::ENODEV | libc::EOPNOTSUPP) => write!(
            f,
            "its file system cannot hold queues ({call}: {error}): choose a directory on tmpfs, ext4, xfs or btrfs (PRODCON_DIR)"
        ),
        (_, libc::EMFILE | libc::ENFILE) => write!(f, "no descriptor is left for it ({error}): close some, or raise the limit (`ulimit -n`)"),
        _ => write!(f, "{call} failed: {error}"),
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Removed { queue } => write!(f, "queue '{queue}' was removed while attached: attach again to the one that now has the name"),
            Self::Corrupt { queue, what } => write!(
                f,
                "queue '{queue}' is damaged: {what}; run `prodcon doctor {queue}`, or remove and create it again"
            ),
            Self::Exhausted { queue } => write!(f, "queue '{queue}' has used up its positions or epochs: remove and create it again"),
            Self::Forked { queue } => write!(
                f,
                "this handle of queue '{queue}' belongs to the parent process: attach again in the forked child"
            ),
            Self::AtMostOnce { queue } => write!(
                f,
                "queue '{queue}' is at-most-once and takes nothing back: the item was counted as lost; create the queue with at-least-once delivery"
            ),
            Self::ReadOnly { queue } => write!(
                f,
                "queue '{queue}' may only be read by this user: ask its owner for write permission (mode at create)"
            ),
            Self::Os { queue, call, errno } => os(f, queue, call, *errno),
        }
    }
}

fn too_large(f: &mut fmt::Formatter<'_>, queue: &str, len: usize, max: usize) -> fmt::Result {
    write!(
        f,
        "an item of {len} bytes is too long for queue '{queue}', whose items have at most {max}: put a shorter one, or create the queue with a larger item size"
    )
}

fn wrong_length(f: &mut fmt::Formatter<'_>, queue: &str, len: usize, expected: usize) -> fmt::Result {
    write!(
        f,
        "an item of {len} bytes in queue '{queue}', where the type has {expected}: use an endpoint of bytes, or discard the item"
    )
}

impl fmt::Display for PutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the queue is full"),
            Self::TimedOut => f.write_str("timed out: the queue stayed full"),
            Self::NotReady => f.write_str("the queue is not ready: its consumer has to set it ready"),
            Self::Stopped => f.write_str("the queue is stopped: set its state to started"),
            Self::TooLarge { queue, len, max } => too_large(f, queue, *len, *max),
            Self::WrongLength { queue, len, expected } => wrong_length(f, queue, *len, *expected),
            Self::InHand { queue } => write!(
                f,
                "this endpoint of queue '{queue}' has an item in hand: get and acknowledge it first, or attach with more seats"
            ),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl fmt::Display for GetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the queue is empty"),
            Self::TimedOut => f.write_str("timed out: the queue stayed empty"),
            Self::Stopped => f.write_str("end of stream: the queue is stopped"),
            Self::WrongLength { queue, len, expected } => wrong_length(f, queue, *len, *expected),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { queue, directory } => write!(
                f,
                "there is no queue '{queue}' in {}: create it first, or see `prodcon ls`",
                directory.display()
            ),
            Self::NoDirectory { directory } => write!(
                f,
                "the segment directory {} does not exist: make it, or change PRODCON_DIR",
                directory.display()
            ),
            Self::Exists { queue } => write!(
                f,
                "queue '{queue}' exists already: attach to it, choose another name, or remove it with `prodcon rm {queue}`"
            ),
            Self::Removed { queue } => Fault::Removed { queue: queue.clone() }.fmt(f),
            Self::FileLimit { queue, bytes, limit } => write!(
                f,
                "queue '{queue}' needs a file of {bytes} bytes, and this process may make files of at most {limit} (RLIMIT_FSIZE): \
                 raise that limit (`ulimit -f`), or make the queue smaller"
            ),
            Self::Directory { directory, what, errno } => write!(
                f,
                "the segment directory {} cannot {what}: {}; see to that, or choose another one (PRODCON_DIR)",
                directory.display(),
                std::io::Error::from_raw_os_error(*errno)
            ),
            Self::Replaced { queue } => write!(
                f,
                "queue '{queue}' was removed, and another queue has its name now: nothing was done; remove that one by its name if it is meant"
            ),
            Self::Busy { queue } => write!(
                f,
                "another process is removing queue '{queue}' and has not come to an end: try again; if that process is stopped, let it go on or kill it"
            ),
            Self::Name { name } => write!(
                f,
                "'{name}' cannot be the name of a queue: use 1 to 200 of A-Z a-z 0-9 . _ -, not beginning with . or -"
            ),
            Self::Invalid { queue, what } => write!(f, "queue '{queue}' cannot be made so: {what}"),
            Self::Incompatible { queue, what, expected, found } => {
                write!(
                    f,
                    "queue '{queue}' does not fit: {what} is {found}, expected {expected}; use the program it was created for, or another queue"
                )
            }
            Self::NoSeat { queue, seats, wanted } => write!(
                f,
                "queue '{queue}' has {seats} seats, of which {wanted} are wanted and not free: close an endpoint, have fewer items in hand, or create it with more seats"
            ),
            Self::Denied { queue, path } => write!(
                f,
                "no permission for queue '{queue}' ({}): ask its owner to create it with a wider mode",
                path.display()
            ),
            Self::NoSpace { queue, bytes, directory } => {
                write!(
                    f,
                    "no space for queue '{queue}' ({bytes} bytes) in {}: make it smaller, or remove queues that nobody needs (`prodcon ls`)",
                    directory.display()
                )
            }
            Self::Corrupt { queue, what } => write!(
                f,
                "queue '{queue}' cannot be used: {what}; remove it (`prodcon rm {queue}`) and create it again"
            ),
            Self::Os { queue, call, errno } => os(f, queue, call, *errno),
        }
    }
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { queue, from, to } => {
                let first = if *from == State::Stopped { State::Started } else { State::Stopped };
                write!(
                    f,
                    "queue '{queue}' is {from} and cannot become {to} in one step: set its state to {first} first, and then to {to}"
                )
            }
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl fmt::Display for PartialPut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} items were put, then: {}", self.put, self.error)
    }
}

impl std::error::Error for Fault {}
impl std::error::Error for PutError {}
impl std::error::Error for GetError {}
impl std::error::Error for OpenError {}
impl std::error::Error for StateError {}
impl std::error::Error for PartialPut {}

impl From<Fault> for PutError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}
impl From<Fault> for GetError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}
impl From<Fault> for StateError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}
