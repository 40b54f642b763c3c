//! What a `get_many` had in hand when it was ended by an exception: for the next call.

use crate::fork::generation;
use pyo3::prelude::*;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// It belongs to the process that got it. A forked child has none of it.
pub struct Pending {
    any: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    generation: u64,
    items: VecDeque<Py<PyAny>>,
    error: Option<PyErr>,
}

impl Pending {
    pub fn new() -> Self {
        Self {
            any: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    // Relaxed throughout: the interpreter's lock orders what is noted here.
    #[inline]
    fn is_none(&self) -> bool {
        !self.any.load(Relaxed)
    }

    /// The lock is never held while anything of Python is made or dropped.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a forked child has inherited is its parent's.
    fn own(&self) -> MutexGuard<'_, State> {
        let state = self.lock();
        if state.generation == generation() {
            return state;
        }
        drop(state);
        self.clear();
        self.lock()
    }

    /// Items that the next call is to give first.
    pub fn keep_items(&self, items: Vec<Py<PyAny>>) {
        let mut state = self.own();
        for item in items.into_iter().rev() {
            state.items.push_front(item);
        }
        self.any
            .store(!state.items.is_empty() || state.error.is_some(), Relaxed);
    }

    /// An exception that the next call is to raise.
    pub fn keep_error(&self, error: PyErr) {
        let mut state = self.own();
        let old = state.error.replace(error);
        self.any.store(true, Relaxed);
        drop(state);
        drop(old);
    }

    /// What comes first.
    #[inline]
    pub fn next(&self) -> Option<PyResult<Py<PyAny>>> {
        if self.is_none() { None } else { self.take() }
    }

    #[cold]
    fn take(&self) -> Option<PyResult<Py<PyAny>>> {
        let mut state = self.own();
        let next = match state.items.pop_front() {
            Some(item) => Some(Ok(item)),
            None => state.error.take().map(Err),
        };
        self.any
            .store(!state.items.is_empty() || state.error.is_some(), Relaxed);
        next
    }

    /// Whether the next call has something from here: an item, or an exception.
    pub fn any(&self) -> bool {
        if self.is_none() {
            return false;
        }
        let state = self.own();
        !state.items.is_empty() || state.error.is_some()
    }

    pub fn len(&self) -> usize {
        if self.is_none() {
            0
        } else {
            self.own().items.len()
        }
    }

    pub fn clear(&self) {
        let old = std::mem::take(&mut *self.lock());
        self.lock().generation = generation();
        self.any.store(false, Relaxed);
        drop(old);
    }
}
