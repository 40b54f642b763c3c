//! The reasons behind an [`Error`](super::Error), by the part of the library that knows of them.
//! Each has a text that names the queue, says what was found and expected, and what to do next.

use super::ErrorKind;
use crate::state::State;
use std::fmt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

/// What can go wrong with a queue that one is attached to, whatever the operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
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
    Os {
        queue: Arc<str>,
        call: &'static str,
        errno: i32,
    },
}

/// Why a queue could not be created, attached, removed or listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OpenError {
    NotFound {
        queue: Arc<str>,
        directory: PathBuf,
    },
    NoDirectory {
        directory: PathBuf,
    },
    /// It was waited for.
    NotCreated {
        queue: Arc<str>,
        directory: PathBuf,
        timeout: Duration,
    },
    Exists {
        queue: Arc<str>,
        /// The queue's owner is gone, and no process is attached.
        stale: bool,
    },
    /// The file system can hold no further file.
    NoInodes {
        queue: Arc<str>,
        directory: PathBuf,
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
    /// Another process has held the lock for removing the queue for too long.
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
    /// The directory is not ours to write to, or lets only the owners of its files remove them.
    NotRemovable {
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

/// A change of state that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StateRefused {
    pub(crate) queue: Arc<str>,
    pub(crate) from: State,
    pub(crate) to: State,
}

/// An item whose length does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Length {
    /// Longer than the queue's items can be.
    TooLarge {
        queue: Arc<str>,
        len: usize,
        max: usize,
    },
    /// A queue of a plain type takes items of exactly its size; an endpoint of one gets them.
    Wrong {
        queue: Arc<str>,
        len: usize,
        expected: usize,
    },
}

/// What is wrong with a worker, its settings, or what is asked of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Worker {
    /// A setting or argument is out of range.
    Invalid { worker: String, what: String },
    /// No time that one can wait for.
    Time { seconds: f64 },
    /// Settings are fixed while the worker runs.
    Running { worker: String, what: &'static str },
    /// Another process controls the worker.
    Controlled { worker: String },
    /// The program's arguments are too large for the system.
    Arguments { worker: String, program: String },
    /// The program could not be started.
    Spawn {
        worker: String,
        program: String,
        why: String,
    },
    /// The program ended without attaching.
    NotAttached {
        worker: String,
        program: String,
        status: Option<ExitStatus>,
    },
    /// The program ran into the start timeout.
    Late {
        worker: String,
        program: String,
        seconds: f64,
    },
    /// The call waits for the callback that it was made from.
    InCallback { worker: String },
    /// The worker said so itself, or its exit status did.
    Failed { worker: String, text: String },
    /// A worker was told to attach to a queue that is stopped.
    Stopped { worker: String },
    /// What is sent is longer than the ring's items can be; `option` raises the limit.
    TooLarge {
        queue: Arc<str>,
        len: usize,
        max: usize,
        option: &'static str,
    },
    /// A value could not be encoded.
    #[cfg(feature = "serde")]
    Encode { what: String },
    /// What arrived is not what was expected.
    Decode { queue: Arc<str>, what: String },
}

/// No timeout of a worker is longer.
pub(crate) const MAX_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);

impl Worker {
    pub(super) fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid { .. } | Self::Time { .. } => ErrorKind::InvalidOption,
            Self::Running { .. } => ErrorKind::Running,
            Self::Controlled { .. } => ErrorKind::Controlled,
            Self::Arguments { .. } | Self::Spawn { .. } => ErrorKind::Spawn,
            Self::NotAttached { .. } | Self::Late { .. } => ErrorKind::NotAWorker,
            Self::InCallback { .. } => ErrorKind::InCallback,
            Self::Failed { .. } => ErrorKind::WorkerFailed,
            Self::Stopped { .. } => ErrorKind::Stopped,
            Self::TooLarge { .. } => ErrorKind::TooLarge,
            #[cfg(feature = "serde")]
            Self::Encode { .. } => ErrorKind::Encoding,
            Self::Decode { .. } => ErrorKind::Encoding,
        }
    }

    /// The name of the worker, or of the queue.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            #[cfg(feature = "serde")]
            Self::Encode { .. } => None,
            Self::Time { .. } => None,
            Self::Invalid { worker, .. }
            | Self::Running { worker, .. }
            | Self::Controlled { worker }
            | Self::Arguments { worker, .. }
            | Self::Spawn { worker, .. }
            | Self::NotAttached { worker, .. }
            | Self::Late { worker, .. }
            | Self::InCallback { worker }
            | Self::Failed { worker, .. }
            | Self::Stopped { worker } => Some(worker),
            Self::TooLarge { queue, .. } | Self::Decode { queue, .. } => Some(queue),
        }
    }
}

impl Fault {
    pub(super) fn kind(&self) -> ErrorKind {
        match self {
            Self::Removed { .. } => ErrorKind::Removed,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Exhausted { .. } => ErrorKind::Exhausted,
            Self::Forked { .. } => ErrorKind::Forked,
            Self::AtMostOnce { .. } => ErrorKind::AtMostOnce,
            Self::ReadOnly { .. } => ErrorKind::ReadOnly,
            Self::Os { .. } => ErrorKind::Os,
        }
    }

    pub(super) fn queue(&self) -> &str {
        match self {
            Self::Removed { queue }
            | Self::Corrupt { queue, .. }
            | Self::Exhausted { queue }
            | Self::Forked { queue }
            | Self::AtMostOnce { queue }
            | Self::ReadOnly { queue }
            | Self::Os { queue, .. } => queue,
        }
    }
}

impl OpenError {
    pub(super) fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } | Self::NoDirectory { .. } => ErrorKind::NotFound,
            Self::Exists { .. } => ErrorKind::AlreadyExists,
            Self::Name { .. } => ErrorKind::InvalidName,
            Self::Invalid { .. } => ErrorKind::InvalidOption,
            Self::Incompatible { .. } => ErrorKind::Incompatible,
            Self::NoSeat { .. } => ErrorKind::NoSeat,
            Self::Denied { .. } | Self::NotRemovable { .. } => ErrorKind::PermissionDenied,
            Self::NoSpace { .. } | Self::NoInodes { .. } => ErrorKind::NoSpace,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Removed { .. } | Self::Replaced { .. } => ErrorKind::Removed,
            Self::FileLimit { .. } => ErrorKind::NoSpace,
            Self::Directory {
                errno: libc::EACCES | libc::EPERM | libc::EROFS,
                ..
            } => ErrorKind::PermissionDenied,
            Self::Directory { .. } => ErrorKind::Os,
            Self::Busy { .. } | Self::NotCreated { .. } => ErrorKind::TimedOut,
            Self::Os { .. } => ErrorKind::Os,
        }
    }

    pub(super) fn queue(&self) -> Option<&str> {
        match self {
            Self::NoDirectory { .. } | Self::Directory { .. } => None,
            Self::Name { name } => Some(name),
            Self::NotFound { queue, .. }
            | Self::NotCreated { queue, .. }
            | Self::Exists { queue, .. }
            | Self::NoInodes { queue, .. }
            | Self::Invalid { queue, .. }
            | Self::Incompatible { queue, .. }
            | Self::NoSeat { queue, .. }
            | Self::Denied { queue, .. }
            | Self::NotRemovable { queue, .. }
            | Self::NoSpace { queue, .. }
            | Self::Corrupt { queue, .. }
            | Self::Removed { queue }
            | Self::FileLimit { queue, .. }
            | Self::Replaced { queue, .. }
            | Self::Busy { queue, .. }
            | Self::Os { queue, .. } => Some(queue),
        }
    }
}

impl Fault {
    /// Describes the same failure where a queue was to be opened.
    pub(crate) fn of_opening(self) -> OpenError {
        match self {
            Self::Removed { queue } => OpenError::Removed { queue },
            Self::Os { queue, call, errno } => OpenError::Os { queue, call, errno },
            Self::Corrupt { queue, what } => OpenError::Corrupt { queue, what },
            Self::Exhausted { ref queue }
            | Self::Forked { ref queue }
            | Self::AtMostOnce { ref queue }
            | Self::ReadOnly { ref queue } => OpenError::Corrupt {
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
        ("fcntl", libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP | libc::EPERM | libc::ENOLCK) => {
            write!(
                f,
                "no lock can be had ({error}): this file system has no open-file-description locks, or the kernel has no room for more, \
             or a filter forbids them; choose another directory (PRODCON_DIR)"
            )
        }
        ("fcntl", _) => write!(f, "a lock of its file failed: {error}"),
        ("write" | "mmap", libc::EINVAL | libc::ENODEV | libc::EOPNOTSUPP) => write!(
            f,
            "its file system cannot hold queues ({call}: {error}): choose a directory on tmpfs, ext4, xfs or btrfs (PRODCON_DIR)"
        ),
        ("mmap", libc::ENOMEM | libc::EAGAIN) => write!(
            f,
            "it is larger than the memory that this process may still map ({error}): raise the limit \
             (`ulimit -v`; `ulimit -l` where memory is locked), or make the queue smaller"
        ),
        (_, libc::EMFILE | libc::ENFILE) => write!(
            f,
            "no descriptor is left for it ({error}): close some, or raise the limit (`ulimit -n`)"
        ),
        _ => write!(f, "{call} failed: {error}"),
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Removed { queue } => write!(
                f,
                "queue '{queue}' was removed while attached: attach again to the one that now has the name"
            ),
            Self::Corrupt { queue, what } => write!(
                f,
                "queue '{queue}' is damaged: {what}; run `prodcon doctor {queue}`, or remove and create it again"
            ),
            Self::Exhausted { queue } => write!(
                f,
                "queue '{queue}' has used up its positions or epochs: remove and create it again"
            ),
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
                "queue '{queue}' is open for reading only: open it for writing too, or ask its owner for write permission (mode at create)"
            ),
            Self::Os { queue, call, errno } => os(f, queue, call, *errno),
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
            Self::NotCreated {
                queue,
                directory,
                timeout,
            } => write!(
                f,
                "timed out: nobody created queue '{queue}' in {} within {timeout:?}: start the program that creates it, or wait longer",
                directory.display()
            ),
            Self::NoDirectory { directory } => write!(
                f,
                "the segment directory {} does not exist: make it, or change PRODCON_DIR",
                directory.display()
            ),
            Self::Exists { queue, stale: true } => write!(
                f,
                "queue '{queue}' exists already, but its owner is gone and nobody is attached: remove it with `prodcon rm {queue}`, or attach to it if its items are wanted"
            ),
            Self::NoInodes { queue, directory } => write!(
                f,
                "no space for the file of queue '{queue}' in {}: the file system has no inodes left; remove files that nobody needs, queues among them (`prodcon ls`), or choose another directory (PRODCON_DIR)",
                directory.display()
            ),
            Self::Exists { queue, .. } => write!(
                f,
                "queue '{queue}' exists already: attach to it, choose another name, or remove it with `prodcon rm {queue}`"
            ),
            Self::Removed { queue } => Fault::Removed {
                queue: queue.clone(),
            }
            .fmt(f),
            Self::FileLimit {
                queue,
                bytes,
                limit,
            } => write!(
                f,
                "queue '{queue}' needs a file of {bytes} bytes, and this process may make files of at most {limit} (RLIMIT_FSIZE): \
                 raise that limit (`ulimit -f`), or make the queue smaller"
            ),
            Self::Directory {
                directory,
                what,
                errno,
            } => write!(
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
            Self::Incompatible {
                queue,
                what,
                expected,
                found,
            } => {
                write!(
                    f,
                    "queue '{queue}' does not fit: {what} is {found}, expected {expected}; use the program it was created for, or another queue"
                )
            }
            Self::NoSeat {
                queue,
                seats,
                wanted,
            } => write!(
                f,
                "queue '{queue}' has {seats} seats, of which {wanted} are wanted and not free: close an endpoint, have fewer items in hand, or create it with more seats"
            ),
            Self::Denied { queue, path } => write!(
                f,
                "no permission for queue '{queue}' ({}): ask its owner to create it with a wider mode",
                path.display()
            ),
            Self::NotRemovable { queue, path } => write!(
                f,
                "no permission to remove queue '{queue}' ({}): the permissions of its directory leave that to others; ask the user who owns the file or the directory",
                path.display()
            ),
            Self::NoSpace {
                queue,
                bytes,
                directory,
            } => {
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

impl fmt::Display for StateRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { queue, from, to } = self;
        let first = if *from == State::Stopped {
            State::Started
        } else {
            State::Stopped
        };
        write!(
            f,
            "queue '{queue}' is {from} and cannot become {to} in one step: set its state to {first} first, and then to {to}"
        )
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { queue, len, max } => write!(
                f,
                "an item of {len} bytes is too long for queue '{queue}', whose items have at most {max}: put a shorter one, or create the queue with a larger item size"
            ),
            Self::Wrong {
                queue,
                len,
                expected,
            } => write!(
                f,
                "an item of {len} bytes in queue '{queue}', where the type has {expected}: use an endpoint of bytes, or discard the item"
            ),
        }
    }
}

impl fmt::Display for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid { worker, what } => write!(f, "worker '{worker}': {what}"),
            Self::Time { seconds } => write!(
                f,
                "{seconds} s is no time to wait: give 0 to {} s (a year)",
                MAX_TIMEOUT.as_secs()
            ),
            Self::Running { worker, what } => write!(
                f,
                "worker '{worker}' is running: {what} must be set before start_new; stop it first"
            ),
            Self::Controlled { worker } => write!(
                f,
                "worker '{worker}' has a living controlling process already: end that one first, or choose another name"
            ),
            Self::Arguments { worker, program } => write!(
                f,
                "worker '{worker}': the arguments for '{program}' are too large for the system (one: 128 KiB, all with the environment: see `getconf ARG_MAX`): \
                 send them as a message, or write them to a file and pass its name"
            ),
            Self::Spawn {
                worker,
                program,
                why,
            } => write!(
                f,
                "worker '{worker}': '{program}' cannot be started: {why}; give the path of a worker executable"
            ),
            Self::NotAttached {
                worker,
                program,
                status,
            } => {
                write!(f, "worker '{worker}': '{program}' ended ")?;
                match status {
                    Some(status) => write!(f, "({status}) ")?,
                    None => f.write_str("(nobody knows how, because SIGCHLD is ignored) ")?,
                }
                f.write_str("without attaching: is it a prodcon worker? It is started as PROGRAM --attach NAME [ARGUMENTS]")
            }
            Self::Late {
                worker,
                program,
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
            Self::TooLarge {
                queue,
                len,
                max,
                option,
            } => write!(
                f,
                "{len} bytes are too large for '{queue}', whose items have at most {max}: raise it with {option}() where the worker is created, or send it in pieces"
            ),
            #[cfg(feature = "serde")]
            Self::Encode { what } => write!(f, "the value cannot be encoded: {what}"),
            Self::Decode { queue, what } => write!(
                f,
                "what came through '{queue}' is something else: {what}; do both sides use the same type?"
            ),
        }
    }
}

impl std::error::Error for Fault {}
impl std::error::Error for OpenError {}
impl std::error::Error for StateRefused {}
