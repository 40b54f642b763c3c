//! What a `ReadyQueue` object has: a name, a control handle, and endpoints to lend.
//!
//! An endpoint is lent to one operation at a time and comes back after it, so there are as many
//! seats in use as operations go on at once, and two threads never meet in one. Invariants: the
//! lock is only taken with the interpreter's lock held, is never kept while that is given up, and
//! never while code of Python may run, so a fork never copies it locked; what was made before a
//! fork is dropped, unused, in the child, which attaches again to the same queue (never to a newer
//! one of the same name). `owned` says which process removes an owned queue, and when.

#![allow(clippy::vec_box)] // endpoints are large and move in and out with every operation

use crate::errors::{self, Closed, Forked, NoSeat, Removed};
use crate::fork::{forks, generation};
use crate::owned;
use prodcon::bindings::NamedType;
use prodcon::{AttachOptions, CancelToken, Control, QueueId, QueueOptions, ReadyQueue};
use pyo3::prelude::*;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// An endpoint of bytes, counted as a seat of this process.
pub struct Endpoint {
    queue: ReadyQueue<[u8]>,
    id: Option<QueueId>,
}

impl Endpoint {
    fn new(queue: ReadyQueue<[u8]>, owned: bool, id: QueueId) -> Self {
        let id = owned.then_some(id);
        if let Some(id) = id {
            owned::seat_taken(id);
        }
        Self { queue, id }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            owned::seat_left(id);
        }
    }
}

impl Deref for Endpoint {
    type Target = ReadyQueue<[u8]>;
    #[inline]
    fn deref(&self) -> &Self::Target {
        &self.queue
    }
}

impl DerefMut for Endpoint {
    #[inline]
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.queue
    }
}

/// Endpoints that are kept although nobody uses them.
const IDLE: usize = 4;

struct State {
    generation: u64,
    closed: bool,
    control: Option<Control>,
    idle: Vec<Box<Endpoint>>,
    /// Items taken in place and not yet settled.
    unacked: usize,
    /// Holds the owner's lock, in the process that made the queue.
    owner: Option<Control>,
}

/// See the module.
pub struct Handle {
    pub name: String,
    pub dir: PathBuf,
    pub capacity: usize,
    /// Most items in one block.
    pub batch: usize,
    /// Each slot has a copy of its item.
    pub copy_in_slot: bool,
    /// How many items may be in hand at once, taken in place. `None` stands for as many as there
    /// are seats.
    pub max_unacked: Option<u32>,
    pub item_size: usize,
    pub lossy: bool,
    pub at_least_once: bool,
    /// Items may go to another queue: those in files would lose their files.
    pub dead_letters: bool,
    /// Items have the size of a plain type, all of them.
    pub typed: bool,
    /// The queue goes with its owner and the processes that are attached to it.
    pub owned: bool,
    pub id: QueueId,
    /// The process that made it, if it is owned, and how often that had forked by then.
    maker: Option<u64>,
    forks: u64,
    /// It was given away, so others may attach at any time. If `named`, any process may that was
    /// told its name.
    handed: AtomicBool,
    named: AtomicBool,
    /// Ends the waits of its endpoints when it is closed.
    token: CancelToken,
    state: Mutex<State>,
}

impl Handle {
    fn new(
        control: Control,
        dir: &Path,
        token: CancelToken,
        owner: Option<Control>,
        idle: Vec<Box<Endpoint>>,
    ) -> Self {
        let header = control.info();
        Self {
            name: control.name().into(),
            dir: dir.into(),
            capacity: control.capacity(),
            batch: header.batch as usize,
            copy_in_slot: header.copy_in_slot,
            max_unacked: None,
            item_size: control.item_size(),
            lossy: header.lossy,
            at_least_once: header.at_least_once,
            dead_letters: !header.dead_letter.is_empty(),
            typed: !header.type_name.is_empty(),
            owned: control.is_owned(),
            id: control.id(),
            maker: owner.is_some().then(generation),
            forks: forks(),
            handed: AtomicBool::new(false),
            named: AtomicBool::new(false),
            token,
            state: Mutex::new(State {
                generation: generation(),
                closed: false,
                control: Some(control),
                idle,
                unacked: 0,
                owner,
            }),
        }
    }

    /// Creates a queue of a named type, and takes a seat in it.
    pub fn create_named(
        name: &str,
        dir: &Path,
        options: &QueueOptions,
        item: NamedType,
    ) -> PyResult<Self> {
        let token = CancelToken::new();
        let options = options.clone().attach(attach_in(dir, &token));
        let made = ReadyQueue::create_named(name, &options, item).map_err(errors::error)?;
        Self::over(made, dir, token)
    }

    /// Attaches to a queue that has these options.
    ///
    /// # Errors
    /// OptionsDiffer, NotFound.
    pub fn attach_if(
        name: &str,
        dir: &Path,
        options: &QueueOptions,
        item: Option<NamedType>,
    ) -> PyResult<Self> {
        let token = CancelToken::new();
        let options = options.clone().attach(attach_in(dir, &token));
        let found = ReadyQueue::attach_if(name, &options, item).map_err(errors::error)?;
        Self::over(found, dir, token)
    }

    fn over(queue: ReadyQueue<[u8]>, dir: &Path, token: CancelToken) -> PyResult<Self> {
        let control = queue.control().try_clone().map_err(errors::error)?;
        let endpoint = Endpoint::new(queue, control.is_owned(), control.id());
        let idle = vec![Box::new(endpoint)];
        Ok(Self::new(control, dir, token, None, idle))
    }

    /// Creates a queue, and takes a seat in it.
    pub fn create(name: &str, dir: &Path, options: &QueueOptions, owned: bool) -> PyResult<Self> {
        let options = options.clone().owned(owned);
        let made = Control::create::<[u8]>(name, &options).map_err(errors::error)?;
        let token = CancelToken::new();
        let attached = (|| {
            let control = owned::control_in(dir, name)?;
            let endpoint = ReadyQueue::<[u8]>::attach_with(name, &attach_in(dir, &token))?;
            Ok((control, endpoint))
        })();
        match attached {
            Ok((control, endpoint)) if control.id() == made.id() => {
                let endpoint = Endpoint::new(endpoint, owned, control.id());
                Ok(Self::new(
                    control,
                    dir,
                    token,
                    owned.then_some(made),
                    vec![Box::new(endpoint)],
                ))
            }
            Ok(_) => Err(owned::replaced(name)),
            Err(error) => {
                // It may be removed already.
                let _ = made.unlink();
                Err(errors::error(error))
            }
        }
    }

    /// Attaches to a queue, taking no seat yet; with `id`, to that one and no other.
    pub fn attach(name: &str, dir: &Path, id: Option<[u8; 16]>) -> PyResult<Self> {
        let control = owned::control_in(dir, name).map_err(errors::error)?;
        if id.is_some_and(|id| id != *control.id().as_bytes()) {
            return Err(owned::replaced(name));
        }
        Ok(Self::new(control, dir, CancelToken::new(), None, vec![]))
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> PyResult<MutexGuard<'_, State>> {
        let mut state = self.locked();
        if state.closed {
            return Err(self.closed_error());
        }
        if state.generation != generation() {
            state.idle.clear();
            state.control = None;
            state.unacked = 0;
            state.owner = None;
            state.generation = generation();
        }
        Ok(state)
    }

    #[cold]
    fn closed_error(&self) -> PyErr {
        Closed::new_err(format!(
            "queue '{}' is closed: this handle of it was closed; attach again to go on",
            self.name
        ))
    }

    fn check(&self, control: &Control) -> PyResult<()> {
        if control.id() == self.id {
            Ok(())
        } else {
            Err(owned::replaced(&self.name))
        }
    }

    /// Does something with the control handle. What it does must not wait, nor run code of Python.
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
        let attach = attach_in(&self.dir, &self.token);
        let control = Control::attach_with(&self.name, &attach).map_err(errors::error)?;
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
        self.attach_with(&AttachOptions::new().directory(&self.dir))
    }

    /// An endpoint of one's own.
    pub fn attach_with(&self, attach: &AttachOptions) -> PyResult<Box<Endpoint>> {
        let attach = attach.clone().cancel(&self.token);
        let queue = ReadyQueue::<[u8]>::attach_with(&self.name, &attach).map_err(errors::error)?;
        if self.with_control(Control::is_removed)? {
            // Ours was removed: this one may be another of the same name.
            self.check(queue.control())?;
        }
        Ok(Box::new(Endpoint::new(queue, self.owned, self.id)))
    }

    /// Takes an endpoint back.
    #[inline]
    pub fn give_back(&self, endpoint: Box<Endpoint>, born: u64) {
        let mut state = self.locked();
        if !state.closed
            && born == state.generation
            && born == generation()
            && state.idle.len() < IDLE.max(self.max_unacked.unwrap_or(0) as usize)
        {
            state.idle.push(endpoint);
            return;
        }
        let left = state.closed && born == generation();
        drop(state);
        // Which gives its seat back (and does nothing in a forked child).
        drop(endpoint);
        if left {
            self.left();
        }
    }

    /// This process has left the queue, with this handle at least.
    fn left(&self) {
        if self.owned && !self.is_maker() {
            owned::left(&self.dir, &self.name, self.id);
        }
    }

    /// Counts an item that is about to be taken in place.
    ///
    /// # Errors
    /// NoSeat: as many as may be are in hand.
    pub fn count_unacked(this: &Arc<Self>) -> PyResult<Unacked> {
        let mut state = this.lock()?;
        if let Some(most) = this
            .max_unacked
            .filter(|most| state.unacked >= *most as usize)
        {
            drop(state);
            return Err(NoSeat::new_err(format!(
                "queue '{}' has max_unacked={most} items in hand: acknowledge one of them first, or attach with a larger max_unacked",
                this.name
            )));
        }
        state.unacked += 1;
        Ok(Unacked {
            handle: this.clone(),
            generation: generation(),
        })
    }

    /// Attaches, so that the queue stays for this process. A process to which the queue was handed
    /// calls it.
    pub fn hold(&self) {
        if self.owned {
            // Without a seat it can still be looked at; what else is wrong will be told by its use.
            let _ = self.lend();
        }
    }

    /// Gives the seats back, and ends the waits of other threads. Nothing can be done with the handle
    /// afterwards.
    pub fn close(&self) {
        let mut state = self.locked();
        if std::mem::replace(&mut state.closed, true) {
            return;
        }
        let current = state.generation == generation();
        let (idle, control, owner) = (
            std::mem::take(&mut state.idle),
            state.control.take(),
            state.owner.take(),
        );
        drop(state);
        self.token.cancel();
        drop(idle);
        drop(control);
        match owner.filter(|_| current) {
            Some(owner) => owned::closed_by_maker(owner, self.is_handed(), self.is_named()),
            None => self.left(),
        }
    }

    pub fn is_closed(&self) -> bool {
        self.locked().closed
    }

    /// This process made the queue, which goes with it.
    pub fn is_maker(&self) -> bool {
        self.maker == Some(generation())
    }

    /// Others may attach at any time: in this process's children, or by the name.
    pub fn is_handed(&self) -> bool {
        self.handed.load(Relaxed) || self.forks != forks()
    }

    /// Its name was told.
    pub fn is_named(&self) -> bool {
        self.named.load(Relaxed)
    }

    /// It is given away now. (Relaxed: these are written and read with the interpreter's lock held.)
    pub fn hand(&self) {
        self.handed.store(true, Relaxed);
    }

    /// Its name is told, and may be given to any process.
    pub fn tell(&self) {
        self.named.store(true, Relaxed);
        self.hand();
    }

    pub fn removed(&self) -> PyErr {
        Removed::new_err(format!(
            "queue '{}' was removed: attach to the one that has its name now",
            self.name
        ))
    }
}

/// How an endpoint of a handle with this token attaches.
fn attach_in(dir: &Path, token: &CancelToken) -> AttachOptions {
    AttachOptions::new().directory(dir).cancel(token)
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}

/// One of the items in hand; not any more when this is dropped.
pub struct Unacked {
    handle: Arc<Handle>,
    generation: u64,
}

impl Drop for Unacked {
    fn drop(&mut self) {
        let mut state = self.handle.locked();
        // In a forked child the count starts again.
        if self.generation == state.generation && self.generation == generation() {
            state.unacked -= 1;
        }
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
        self.endpoint
            .take()
            .expect("it is there until it is kept or dropped")
    }
}

impl Deref for Lent<'_> {
    type Target = Endpoint;
    #[inline]
    fn deref(&self) -> &Endpoint {
        self.endpoint
            .as_ref()
            .expect("it is there until it is kept or dropped")
    }
}

impl DerefMut for Lent<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Endpoint {
        self.endpoint
            .as_mut()
            .expect("it is there until it is kept or dropped")
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
