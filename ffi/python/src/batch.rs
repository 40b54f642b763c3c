//! Several objects that a worker takes from a queue that delivers at least once, and acknowledges
//! together.
//!
//! A batch has an endpoint of its own, with the seats that are free, up to what was asked for. Files of long
//! items are removed when they are acknowledged, not before.

use crate::errors::{self, Invalid};
use crate::fork::generation;
use crate::handle::{Endpoint, Handle};
use crate::object::Copied;
use crate::spill::Reference;
use crate::wait::{Until, away, check, enter};
use prodcon::{AttachOptions, Batch, GetError, Role};
use pyo3::prelude::*;
use pyo3::types::PyList;
use self_cell::{MutBorrow, self_cell};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

type Items<'a> = Option<Batch<'a, [u8]>>;

self_cell!(
    struct Holding {
        owner: MutBorrow<Box<Endpoint>>,
        #[not_covariant]
        dependent: Items,
    }
);

enum State {
    Empty(Box<Endpoint>),
    Holding(Holding),
}

/// A worker's batch of objects. See the module.
#[pyclass(frozen, module = "prodcon._native", name = "_Batch")]
pub struct ObjectBatch {
    handle: Arc<Handle>,
    generation: u64,
    /// `None` while an operation uses it.
    state: Mutex<Option<State>>,
    files: Mutex<Vec<Reference>>,
}

impl ObjectBatch {
    pub fn new(handle: &Arc<Handle>, items: u32) -> PyResult<Self> {
        let attach = AttachOptions::new()
            .role(Role::Consumer)
            .max_unacked(items)
            .min_unacked(1)
            .directory(&handle.dir);
        Ok(Self {
            handle: handle.clone(),
            generation: generation(),
            state: Mutex::new(Some(State::Empty(handle.attach_with(&attach)?))),
            files: Mutex::new(vec![]),
        })
    }

    fn take_state(&self) -> PyResult<State> {
        if self.generation != generation() {
            return Err(errors::Forked::new_err(
                "this batch belongs to the parent process",
            ));
        }
        let state = self
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        state.ok_or_else(|| Invalid::new_err("this batch is in use by another thread"))
    }

    fn put_state(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = Some(state);
    }

    /// Lets the batch grow by at most `max` items. Returns the state, and the number of items that came.
    fn grow(
        py: Python<'_>,
        state: State,
        max: usize,
        slice: Option<Duration>,
    ) -> (State, Result<(usize, usize), GetError>) {
        match state {
            State::Empty(endpoint) => {
                let made = Holding::try_new_or_recover(MutBorrow::new(endpoint), |owner| {
                    let endpoint = owner.borrow_mut();
                    match slice {
                        None => endpoint.within(Duration::ZERO).take_many(max),
                        Some(slice) => away(py, || endpoint.within(slice).take_many(max)),
                    }
                    .map(Some)
                });
                match made {
                    Ok(mut holding) => {
                        let len = holding
                            .with_dependent_mut(|_, batch| batch.as_ref().map_or(0, Batch::len));
                        (State::Holding(holding), Ok((0, len)))
                    }
                    Err((owner, error)) => (State::Empty(owner.into_inner()), Err(error)),
                }
            }
            State::Holding(mut holding) => {
                let grown = holding.with_dependent_mut(|_, batch| {
                    let batch = batch.as_mut().expect("a batch that holds");
                    let before = batch.len();
                    let timeout = slice.unwrap_or_default();
                    away(py, || batch.take_more(before + max, Some(timeout)))
                        .map(|more| (before, before + more))
                });
                (State::Holding(holding), grown)
            }
        }
    }

    /// The objects of the items `from..to`.
    fn objects<'py>(
        &self,
        py: Python<'py>,
        state: &mut State,
        (from, to): (usize, usize),
        list: &Bound<'py, PyList>,
    ) -> PyResult<()> {
        let State::Holding(holding) = state else {
            return Ok(());
        };
        for index in from..to {
            let copied = holding.with_dependent_mut(|_, batch| {
                let item = batch
                    .as_ref()
                    .and_then(|batch| batch.get(index))
                    .expect("it came");
                Copied::from_block(py, item, &self.handle)
            })?;
            let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
            let kept = copied.finish_but_keep(&mut files);
            drop(files);
            if let Some(object) = kept.finish(py, &self.handle)? {
                list.append(object)?;
            }
        }
        Ok(())
    }

    fn settle(&self, back: bool) -> PyResult<()> {
        let (endpoint, settled) = match self.take_state()? {
            State::Empty(endpoint) => (endpoint, Ok(())),
            State::Holding(mut holding) => {
                let settled = holding.with_dependent_mut(|_, batch| match batch.take() {
                    Some(batch) if back => batch.nack(),
                    Some(batch) => {
                        batch.ack();
                        Ok(())
                    }
                    None => Ok(()),
                });
                (holding.into_owner().into_inner(), settled)
            }
        };
        self.put_state(State::Empty(endpoint));
        let files = std::mem::take(&mut *self.files.lock().unwrap_or_else(PoisonError::into_inner));
        if !back {
            files.iter().for_each(|file| file.give_up(&self.handle));
        }
        settled.map_err(errors::error)
    }
}

#[pymethods]
impl ObjectBatch {
    /// Takes what is there, at most `max` items more, waiting for the first; a list of objects. Empty: no more can be in hand for want of seats.
    fn take<'py>(
        &self,
        py: Python<'py>,
        max: usize,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyList>> {
        let until = Until::new(true, timeout)?;
        let _inside = enter(py)?;
        let list = PyList::empty(py);
        let mut slice = None;
        loop {
            let (mut state, grown) = Self::grow(py, self.take_state()?, max, slice);
            let grown = match grown {
                Ok(range) => self
                    .objects(py, &mut state, range, &list)
                    .map(|()| range.0 == range.1),
                Err(error) => Err(error).or_else(|error| match error {
                    GetError::Empty | GetError::TimedOut => Ok(false),
                    error => Err(errors::get(error, &self.handle.name)),
                }),
            };
            self.put_state(state);
            // Items that were cleared do not count.
            if grown? || !list.is_empty() {
                return Ok(list);
            }
            check(py)?;
            slice = until.slice();
            if slice.is_none() {
                return Err(errors::get(GetError::TimedOut, &self.handle.name));
            }
        }
    }

    /// Acknowledges all that is in hand.
    fn ack(&self) -> PyResult<()> {
        self.settle(false)
    }

    /// Gives all that is in hand back.
    fn nack(&self) -> PyResult<()> {
        self.settle(true)
    }
}

impl Drop for ObjectBatch {
    fn drop(&mut self) {
        // Not acknowledged: the items are for others.
        let _ = self.settle(true);
    }
}
