//! What a `ReadyQueue` object has: a name, a control handle, and endpoints to lend.
//!
//! An endpoint is lent to one operation at a time and comes back after it, so there are as many seats in use as operations go on at once, and two threads never
//! meet in one. Invariants: the lock is only taken with the interpreter's lock held, and never kept while that is given up, so a fork never copies it locked; what
//! was made before a fork is dropped, unused, in the child, which attaches anew to the same queue (never to a newer one of the same name).
//! Callers: queue, guard, spill.

#![allow(clippy::vec_box)] // endpoints are large and move in and out with every operation

use crate::errors::{self, Closed, Forked, Removed};
use crate::fork::generation;
use crate::spill;
use prodcon::{Attach, Control, Options, ReadyQueue};
use pyo3::prelude::*;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// An endpoint of bytes.
pub type Endpoint = ReadyQueue<[u8]>;

/// Endpoints that are kept although nobody uses them.
const IDLE: usize = 4;

/// Which queue of that name: when it was made, and by whom.
type Identity = (u64, u32);

struct State {
    generation: u64,
    closed: bool,
    control: Option<Control>,
    idle: Vec<Box<Endpoint>>,
}

/// See the module.
pub struct Handle {
    pub name: String,
    pub dir: PathBuf,
    pub capacity: usize,
    pub item_size: usize,
    pub lossy: bool,
    pub at_least_once: bool,
    /// Items may go to another queue: those in files would lose their files.
    pub dead_letters: bool,
    /// Items have the size of a plain type, all of them.
    pub typed: bool,
    identity: Identity,
    /// Whether the name goes when this handle goes; and which process may do that.
    owner: Option<u64>,
    state: Mutex<State>,
}

fn identity(control: &Control) -> Identity {
    (control.header().created_ns, control.header().creator_pid)
}

impl Handle {
    fn new(control: Control, dir: &Path, owner: bool, idle: Vec<Box<Endpoint>>) -> Self {
        let header = control.header();
        Self {
            name: control.name().into(),
            dir: dir.into(),
            capacity: control.capacity(),
            item_size: control.item_size(),
            lossy: header.lossy,
            at_least_once: header.at_least_once,
            dead_letters: !header.dead_letter.is_empty(),
            typed: !header.type_name.is_empty(),
            identity: identity(&control),
            owner: owner.then(generation),
            state: Mutex::new(State {
                generation: generation(),
                closed: false,
                control: Some(control),
                idle,
            }),
        }
    }

    /// Creates a queue. It takes one seat from the beginning: whoever looks for queues that nobody uses any more sees that this one is in use.
    pub fn create(name: &str, dir: &Path, options: &Options, owner: bool) -> PyResult<Self> {
        let endpoint = Endpoint::create(name, options).map_err(errors::open)?;
        let control = endpoint.control().map_err(errors::open)?;
        Ok(Self::new(control, dir, owner, vec![Box::new(endpoint)]))
    }

    /// Attaches to a queue, taking no seat yet.
    pub fn attach(name: &str, dir: &Path) -> PyResult<Self> {
        let control = Control::attach_in(dir, name).map_err(errors::open)?;
        Ok(Self::new(control, dir, false, vec![]))
    }

    fn lock(&self) -> PyResult<MutexGuard<'_, State>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return Err(Closed::new_err(format!("this handle of queue '{}' was closed: attach again", self.name)));
        }
        if state.generation != generation() {
            state.idle.clear();
            state.control = None;
            state.generation = generation();
        }
        Ok(state)
    }

    fn check(&self, control: &Control) -> PyResult<()> {
        if identity(control) == self.identity {
            Ok(())
        } else {
            Err(Removed::new_err(format!(
                "queue '{}' was removed, and another one has its name now: attach again to work with that",
                self.name
            )))
        }
    }

    /// Does something with the control handle. What it does must not wait.
    pub fn with_control<R>(&self, act: impl FnOnce(&Control) -> R) -> PyResult<R> {
        let mut state = self.lock()?;
        if state.control.is_none() {
            state.control = Some(self.attach_control()?);
        }
        match &state.control {
            Some(control) => Ok(act(control)),
            None => Err(Forked::new_err("no control handle")),
        }
    }

    /// A control handle of one's own, for waiting.
    pub fn new_control(&self) -> PyResult<Control> {
        drop(self.lock()?);
        self.attach_control()
    }

    fn attach_control(&self) -> PyResult<Control> {
        let control = Control::attach_in(&self.dir, &self.name).map_err(errors::open)?;
        self.check(&control)?;
        Ok(control)
    }

    /// An endpoint for one operation.
    #[inline]
    pub fn lend(&self) -> PyResult<Lent<'_>> {
        let idle = self.lock()?.idle.pop();
        let endpoint = match idle {
            Some(endpoint) => endpoint,
            None => self.attach_endpoint()?,
        };
        Ok(Lent {
            handle: self,
            generation: generation(),
            endpoint: Some(endpoint),
        })
    }

    #[cold]
    fn attach_endpoint(&self) -> PyResult<Box<Endpoint>> {
        self.attach_with(&Attach::new().directory(&self.dir))
    }

    /// An endpoint of one's own.
    pub fn attach_with(&self, attach: &Attach) -> PyResult<Box<Endpoint>> {
        let endpoint = Endpoint::attach_with(&self.name, attach).map_err(errors::open)?;
        let same = self.with_control(|control| control.is_removed())?;
        if same {
            // Ours was removed: this one may be another of the same name.
            self.check(&endpoint.control().map_err(errors::open)?)?;
        }
        Ok(Box::new(endpoint))
    }

    /// Takes an endpoint back.
    #[inline]
    pub fn give_back(&self, endpoint: Box<Endpoint>, born: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.closed && born == state.generation && born == generation() && state.idle.len() < IDLE {
            state.idle.push(endpoint);
        }
        // Else it is dropped, which gives its seat back (and does nothing in a forked child).
    }

    /// Gives the seats back. Nothing can be done with the handle afterwards.
    pub fn close(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut state.closed, true) {
            return;
        }
        state.idle.clear();
        state.control = None;
        drop(state);
        if self.owner == Some(generation()) {
            // It may have been removed already.
            let _ = spill::unlink_queue(&self.dir, &self.name);
        }
    }

    pub fn is_closed(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed
    }

    /// The name goes with this handle.
    pub fn is_owner(&self) -> bool {
        self.owner == Some(generation())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}

/// An endpoint that is lent; it goes back when this is dropped.
pub struct Lent<'a> {
    handle: &'a Handle,
    generation: u64,
    endpoint: Option<Box<Endpoint>>,
}

impl Lent<'_> {
    /// Keeps it; [`Handle::give_back`] returns it.
    pub fn keep(mut self) -> Box<Endpoint> {
        self.endpoint.take().expect("it is there until it is kept or dropped")
    }
}

impl Deref for Lent<'_> {
    type Target = Endpoint;
    #[inline]
    fn deref(&self) -> &Endpoint {
        self.endpoint.as_ref().expect("it is there until it is kept or dropped")
    }
}

impl DerefMut for Lent<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Endpoint {
        self.endpoint.as_mut().expect("it is there until it is kept or dropped")
    }
}

impl Drop for Lent<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(endpoint) = self.endpoint.take() {
            self.handle.give_back(endpoint, self.generation);
        }
    }
}
