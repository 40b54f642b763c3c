//! A worker's segments as its controlling handle holds them: made or found, leased, removed in the
//! end.
//!
//! Invariants: the lease is held as long as the handle lives. A step that fails leaves nothing
//! behind that this process made. A segment is removed only if this handle made it or took it over
//! from a dead predecessor, and by identity. The rings for results and messages are the controlling
//! process's own, even if another process made the worker's queue. A name that is taken is an
//! error.

use super::options::Common;
use crate::error::{Error, ErrorKind, Result, Worker};
use crate::queue::{AttachOptions, Control, Payload, QueueOptions, ReadyQueue, Supervision};
use crate::state::{Role, State};
use crate::worker::link::attach_in;
use crate::worker::message::SHORTEST;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a lease may still look taken. A process that leaves may hold it for a moment, and so
/// may one that was killed, until the kernel has given its locks back.
const LEASE_TIMEOUT: Duration = Duration::from_millis(500);

/// The origin of the worker's own queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// It is made, and removed in the end.
    Create,
    /// The queue exists and belongs to another process.
    Attach,
    /// It may have been left by a predecessor; it is removed in the end.
    CreateOrAttach,
}

/// Segments whose names are removed when this is dropped, but not by a forked child.
#[derive(Debug)]
struct Names {
    dir: PathBuf,
    ours: Vec<Control>,
    process: u32,
}

impl Drop for Names {
    fn drop(&mut self) {
        if self.process == std::process::id() {
            // An error: somebody else has removed it, and the name may be another's by now.
            self.ours
                .drain(..)
                .for_each(|control| drop(control.unlink()));
        }
    }
}

/// All of a worker's segments.
pub(crate) struct Segments {
    pub(crate) control: Control,
    /// The worker's own segment once more, for other threads.
    pub(crate) watched: Arc<Mutex<Control>>,
    /// The rings that listeners read, for other threads: results, messages.
    pub(crate) ends: [Arc<Mutex<Control>>; 2],
    /// Worker to here; `None` while a listener has it.
    pub(crate) results: Option<ReadyQueue<[u8]>>,
    /// Worker to here; `None` while a listener has it.
    pub(crate) messages: Option<ReadyQueue<[u8]>>,
    /// Here to worker.
    pub(crate) inbox: ReadyQueue<[u8]>,
    /// Removed before the lease is given up.
    _names: Names,
    pub(crate) lease: Supervision,
}

impl Segments {
    /// `own` are the options of the worker's own queue, and `processes` is how many may attach to
    /// the rings.
    pub(crate) fn open<T: Payload + ?Sized>(
        name: &str,
        common: &Common,
        own: &QueueOptions,
        way: Way,
        processes: usize,
    ) -> Result<Self> {
        let dir = common.directory.clone().unwrap_or_else(crate::directory);
        let mut names = Names {
            dir,
            ours: vec![],
            process: std::process::id(),
        };
        let (control, lease) = own_queue::<T>(name, own, way, &mut names)?;
        let mut ring = |end: &str, capacity, size, role| {
            let name = format!("{name}.{end}");
            // Each process has an endpoint, and so may workers that others start.
            let seats = u32::try_from(processes)
                .unwrap_or(u32::MAX)
                .saturating_add(4);
            let options = common.ring(capacity, seats).item_size(size).owned(true);
            let ring = ring(&name, &options, role, &names.dir)?;
            names.ours.push(ring.control().try_clone()?);
            Ok::<_, Error>(ring)
        };
        let results = ring(
            "results",
            common.result_capacity,
            common.result_size.max(SHORTEST),
            Role::Consumer,
        )?;
        let messages = ring(
            "out",
            common.message_capacity,
            common.message_size,
            Role::Consumer,
        )?;
        let inbox = ring(
            "in",
            common.message_capacity,
            common.message_size,
            Role::Producer,
        )?;
        let shared = |control| Arc::new(Mutex::new(control));
        Ok(Self {
            watched: shared(control.try_clone()?),
            ends: [
                shared(results.control().try_clone()?),
                shared(messages.control().try_clone()?),
            ],
            control,
            results: Some(results),
            messages: Some(messages),
            inbox,
            _names: names,
            lease,
        })
    }
}

fn own_queue<T: Payload + ?Sized>(
    name: &str,
    options: &QueueOptions,
    way: Way,
    names: &mut Names,
) -> Result<(Control, Supervision)> {
    let deadline = Instant::now() + LEASE_TIMEOUT;
    let options = &options.clone().owned(true);
    loop {
        let (control, made) = match way {
            Way::Create => (Control::create::<T>(name, options)?, true),
            Way::Attach => (attach_in(&names.dir, name)?, false),
            Way::CreateOrAttach => match attach_in(&names.dir, name) {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    match Control::create::<T>(name, options) {
                        Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                        made => (made?, true),
                    }
                }
                found => (found?, false),
            },
        };
        let ours = control.is_owned() && way != Way::Attach;
        if made {
            control.set_state(State::Stopped)?;
        }
        match control.supervise(ours) {
            Ok(Some(lease)) => {
                if ours {
                    names.ours.push(control.try_clone()?);
                }
                return Ok((control, lease));
            }
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(1)),
            Ok(None) => {
                return Err(Worker::Controlled {
                    worker: name.into(),
                }
                .into());
            }
            // Its last worker removed what a dead predecessor had left.
            Err(error) if error.kind() == ErrorKind::Removed && way == Way::CreateOrAttach => {}
            Err(error) => return Err(error),
        }
    }
}

/// Makes a new ring of our own. A dead predecessor's is removed, because we hold the lease. A
/// process that still uses the old one finds the new one by its name.
fn ring(name: &str, options: &QueueOptions, role: Role, dir: &Path) -> Result<ReadyQueue<[u8]>> {
    let attach = AttachOptions::new()
        .role(role)
        .spin_limit(Duration::ZERO)
        .directory(dir);
    let options = options.clone().attach(attach);
    let deadline = Instant::now() + LEASE_TIMEOUT;
    loop {
        match ReadyQueue::create(name, &options) {
            Err(error)
                if error.kind() == ErrorKind::AlreadyExists && is_gone(dir, name, deadline)? => {}
            made => return made,
        }
    }
}

/// Removes a ring that a dead controlling process has left; false if the name is somebody else's.
fn is_gone(dir: &Path, name: &str, deadline: Instant) -> Result<bool> {
    loop {
        let old = match attach_in(dir, name) {
            Ok(old) => old,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
            Err(_) => return Ok(false), // no segment at all
        };
        if !old.is_owned() {
            return Ok(false);
        }
        if !old.has_owner()? {
            return match old.unlink() {
                Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Removed) => {
                    Err(error)
                }
                _ => Ok(true),
            };
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
