//! A worker's segments as its controlling handle holds them: made or found, leased, removed in the end.
//!
//! Invariants: the lease is held as long as the handle lives; whatever fails on the way leaves nothing behind that this process made; the rings for results and
//! messages are the controlling process's own, whoever made the worker's queue. Callers: the controlling handles.

use super::error::WorkerError;
use super::options::Common;
use crate::error::{Fault, OpenError};
use crate::queue::{Attach, Control, Options, Payload, ReadyQueue, Role, State, Supervision, unlink_in};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Somebody who leaves may hold the lease for a moment.
const PATIENCE: Duration = Duration::from_millis(200);

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

/// Names that are removed when this is dropped, but not by a forked child.
#[derive(Debug)]
struct Names {
    dir: PathBuf,
    names: Vec<String>,
    process: u32,
}

impl Drop for Names {
    fn drop(&mut self) {
        for name in self.names.iter().filter(|_| self.process == std::process::id()) {
            let _ = unlink_in(&self.dir, name);
        }
    }
}

/// All of a worker's segments.
pub(crate) struct Segments {
    pub(crate) control: Control,
    /// Worker to here; `None` while a listener has it.
    pub(crate) results: Option<ReadyQueue<[u8]>>,
    /// Worker to here; `None` while a listener has it.
    pub(crate) messages: Option<ReadyQueue<[u8]>>,
    /// Here to worker.
    pub(crate) inbox: ReadyQueue<[u8]>,
    pub(crate) owned: bool,
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
            names: vec![],
            process: std::process::id(),
        };
        let (control, lease) = own_queue::<T>(name, own, way, &mut names)?;
        let mut ring = |end: &str, capacity, size, role| {
            let name = format!("{name}.{end}");
            // Each process has an endpoint, and so may workers that others start.
            let seats = u32::try_from(processes).unwrap_or(u32::MAX).saturating_add(4);
            let options = common.options(capacity).item_size(size).seats(seats);
            let ring = ring(&name, &options, role, &names.dir)?;
            names.names.push(name);
            Ok::<_, WorkerError>(ring)
        };
        let results = ring("results", common.result_capacity, common.result_size, Role::Consumer)?;
        let messages = ring("out", common.message_capacity, common.message_size, Role::Consumer)?;
        let inbox = ring("in", common.message_capacity, common.message_size, Role::Producer)?;
        Ok(Self {
            control,
            results: Some(results),
            messages: Some(messages),
            inbox,
            owned: way != Way::Attach,
            _names: names,
            lease,
        })
    }
}

fn own_queue<T: Payload + ?Sized>(name: &str, options: &Options, way: Way, names: &mut Names) -> Result<(Control, Supervision), WorkerError> {
    let deadline = Instant::now() + PATIENCE;
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
        if made {
            names.names.push(name.into());
            control.set_state(State::Stopped)?;
        }
        match control.supervise(way != Way::Attach) {
            Ok(Some(lease)) => {
                if way == Way::CreateOrAttach && !made {
                    names.names.push(name.into());
                }
                return Ok((control, lease));
            }
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(1)),
            Ok(None) => {
                names.names.clear(); // the other's
                return Err(WorkerError::Controlled { worker: name.into() });
            }
            // Its last worker removed what a dead predecessor had left.
            Err(Fault::Removed { .. }) if way == Way::CreateOrAttach => names.names.clear(),
            Err(fault) => return Err(fault.into()),
        }
    }
}

/// A new ring of our own. A predecessor's goes: we hold the lease, and who still sits in it finds the new one by its name.
fn ring(name: &str, options: &Options, role: Role, dir: &Path) -> Result<ReadyQueue<[u8]>, WorkerError> {
    let attach = Attach::new().role(role).spin(Duration::ZERO).directory(dir);
    let options = options.clone().attach_as(attach);
    loop {
        match ReadyQueue::create(name, &options) {
            Err(OpenError::Exists { .. }) => match unlink_in(dir, name) {
                Ok(()) | Err(OpenError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            },
            made => return Ok(made?),
        }
    }
}
