//! A worker's segments as its controlling handle holds them: made or found, leased, removed in the end.
//!
//! Invariants: the lease is held as long as the handle lives; whatever fails on the way leaves nothing
//! behind that this process made; a segment is removed only if this handle made it or took it over from
//! a dead predecessor, and by identity; the rings for results and messages are the controlling process's
//! own, whoever made the worker's queue. A name that somebody else has is an error. Callers: the
//! controlling handles.

use super::error::WorkerError;
use super::options::Common;
use crate::error::{Fault, OpenError};
use crate::queue::{Attach, Control, Options, Payload, ReadyQueue, Role, State, Supervision};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a lease may still look taken: somebody who leaves may hold it for a moment, and so may one
/// that was killed, until the kernel has given its locks back.
const PATIENCE: Duration = Duration::from_millis(500);

/// How the worker's own queue is come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// It is made, and removed in the end.
    Create,
    /// It is there, somebody else's.
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
            self.ours.drain(..).for_each(|control| drop(control.unlink()));
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
    /// `own`: the options of the worker's own queue; `processes`: that may attach to the rings.
    pub(crate) fn open<T: Payload + ?Sized>(name: &str, common: &Common, own: &Options, way: Way, processes: usize) -> Result<Self, WorkerError> {
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
            let seats = u32::try_from(processes).unwrap_or(u32::MAX).saturating_add(4);
            let options = common.options(capacity).item_size(size).seats(seats).owned(true);
            let ring = ring(&name, &options, role, &names.dir)?;
            names.ours.push(ring.control()?);
            Ok::<_, WorkerError>(ring)
        };
        let results = ring("results", common.result_capacity, common.result_size, Role::Consumer)?;
        let messages = ring("out", common.message_capacity, common.message_size, Role::Consumer)?;
        let inbox = ring("in", common.message_capacity, common.message_size, Role::Producer)?;
        let shared = |control| Arc::new(Mutex::new(control));
        Ok(Self {
            watched: shared(Control::attach_in(control.directory(), control.name())?),
            ends: [shared(results.control()?), shared(messages.control()?)],
            control,
            results: Some(results),
            messages: Some(messages),
            inbox,
            _names: names,
            lease,
        })
    }
}

fn own_queue<T: Payload + ?Sized>(name: &str, options: &Options, way: Way, names: &mut Names) -> Result<(Control, Supervision), WorkerError> {
    let deadline = Instant::now() + PATIENCE;
    let options = &options.clone().owned(true);
    loop {
        let (control, made) = match way {
            Way::Create => (Control::create_for::<T>(name, options)?, true),
            Way::Attach => (Control::attach_in(&names.dir, name)?, false),
            Way::CreateOrAttach => match Control::attach_in(&names.dir, name) {
                Err(OpenError::NotFound { .. }) => match Control::create_for::<T>(name, options) {
                    Err(OpenError::Exists { .. }) => continue,
                    made => (made?, true),
                },
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
                    names.ours.push(Control::attach_in(&names.dir, name)?);
                }
                return Ok((control, lease));
            }
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(1)),
            Ok(None) => return Err(WorkerError::Controlled { worker: name.into() }),
            // Its last worker removed what a dead predecessor had left.
            Err(Fault::Removed { .. }) if way == Way::CreateOrAttach => {}
            Err(fault) => return Err(fault.into()),
        }
    }
}

/// A new ring of our own. A dead predecessor's goes: we hold the lease, and who still sits in it finds
/// the new one by its name.
fn ring(name: &str, options: &Options, role: Role, dir: &Path) -> Result<ReadyQueue<[u8]>, WorkerError> {
    let attach = Attach::new().role(role).spin(Duration::ZERO).directory(dir);
    let options = options.clone().attach_as(attach);
    let deadline = Instant::now() + PATIENCE;
    loop {
        match ReadyQueue::create(name, &options) {
            Err(OpenError::Exists { .. }) if is_gone(dir, name, deadline)? => {}
            made => return Ok(made?),
        }
    }
}

/// Removes a ring that a dead controlling process has left; false if the name is somebody else's.
fn is_gone(dir: &Path, name: &str, deadline: Instant) -> Result<bool, WorkerError> {
    loop {
        let old = match Control::attach_in(dir, name) {
            Ok(old) => old,
            Err(OpenError::NotFound { .. }) => return Ok(true),
            Err(_) => return Ok(false), // no segment at all
        };
        if !old.is_owned() {
            return Ok(false);
        }
        if !old.has_owner()? {
            return match old.unlink() {
                Ok(()) | Err(OpenError::NotFound { .. } | OpenError::Replaced { .. }) => Ok(true),
                Err(error) => Err(error.into()),
            };
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
