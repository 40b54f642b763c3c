//! What a handle's waits for several queues remember of their looks after the dead.

use super::due::Due;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a handle remembers of its looks after the dead.
#[derive(Debug)]
pub(super) struct Care(Mutex<Memo>);

#[derive(Debug)]
pub(super) struct Memo {
    pub(super) due: Due,
    /// The value of the `orphans` word when a look last found none.
    pub(super) orphans: Option<u64>,
}

impl Care {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Memo {
            due: Due::new(),
            orphans: None,
        }))
    }

    pub(super) fn memo(&self) -> MutexGuard<'_, Memo> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
