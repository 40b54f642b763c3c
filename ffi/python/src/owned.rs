//! Queues that go with the processes that use them: unnamed ones, and those of workers.
//!
//! The process that made one holds its owner's lock until it ends. A queue that was never given
//! away goes with its object; one that was may be attached to by others at any time, so it stays:
//! until the process ends and nobody else is attached, then until the last one leaves. All
//! removals are by identity. Invariant: nothing here waits, or runs code of Python, with a lock.

use crate::errors::{self, Removed};
use crate::files;
use crate::fork::generation;
use prodcon::{AttachOptions, Control, QueueId};
use pyo3::prelude::*;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The seats of this process in each owned queue.
static SEATS: Mutex<Option<(u64, HashMap<QueueId, usize>)>> = Mutex::new(None);
/// What this process made and gave away, and has no handle of any more: the owners' locks.
static KEPT: Mutex<Vec<(u64, bool, Control)>> = Mutex::new(Vec::new());

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn with_seats<R>(act: impl FnOnce(&mut HashMap<QueueId, usize>) -> R) -> R {
    let mut seats = locked(&SEATS);
    let now = generation();
    match &mut *seats {
        Some((generation, map)) if *generation == now => act(map),
        other => act(&mut other.insert((now, HashMap::new())).1),
    }
}

/// A handle to the queue of that name in `dir`.
pub fn control_in(dir: &Path, name: &str) -> prodcon::Result<Control> {
    Control::attach_with(name, &AttachOptions::new().directory(dir))
}

/// A seat was taken by this process.
pub fn seat_taken(id: QueueId) {
    with_seats(|seats| *seats.entry(id).or_default() += 1);
}

/// It was given back. (What a forked child inherits was never counted there.)
pub fn seat_left(id: QueueId) {
    with_seats(|seats| {
        if let Some(count) = seats.get_mut(&id) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                seats.remove(&id);
            }
        }
    });
}

/// Nobody but this process has a seat.
fn alone(control: &Control) -> bool {
    let own = with_seats(|seats| seats.get(&control.id()).copied().unwrap_or(0));
    control
        .stats()
        .is_ok_and(|stats| stats.seats_live as usize <= own)
}

/// The error of one whose queue's name is another queue's.
#[cold]
pub fn replaced(name: &str) -> PyErr {
    Removed::new_err(format!(
        "queue '{name}' was removed, and another one has its name now: attach again to work with that"
    ))
}

/// The handle that made the queue was closed in the process that made it. With `handed` it was
/// given away. With `named` any process may have been told its name.
pub fn closed_by_maker(owner: Control, handed: bool, named: bool) {
    if handed {
        locked(&KEPT).push((generation(), named, owner));
    } else {
        // Nobody else can have it, unless by a guess at its name. It may have been removed.
        let _ = files::remove(owner);
    }
}

/// This process has left an owned queue that it did not make: the last one to leave removes it.
pub fn left(dir: &Path, name: &str, id: QueueId) {
    if let Ok(control) = control_in(dir, name)
        && control.id() == id
    {
        remove_if_stale(&control);
    }
}

/// Removes a queue that was left by its owner and by everybody else.
pub fn remove_if_stale(control: &Control) {
    let files = files::files_of(control);
    if control.is_stale().unwrap_or(false) && control.remove_if_stale().unwrap_or(false) {
        files::remove_files(files);
    }
}

/// Removes those of the kept queues that nobody can come back to: no child is there to which one
/// could have been given, nobody is attached, and the name was not told to anybody.
pub fn sweep_kept(childless: impl FnOnce() -> bool) {
    let now = generation();
    let mut kept = locked(&KEPT);
    kept.retain(|(generation, ..)| *generation == now); // forked copies, which do nothing
    let any = kept.iter().any(|(_, named, _)| !named);
    drop(kept);
    if !any || !childless() {
        return;
    }
    let mut kept = locked(&KEPT);
    let (go, stay) = std::mem::take(&mut *kept)
        .into_iter()
        .partition(|(_, named, control)| !named && alone(control));
    *kept = stay;
    drop(kept);
    let go: Vec<(u64, bool, Control)> = go;
    for (.., control) in go {
        let _ = files::remove(control);
    }
}

/// Leaves what this process made and has dropped. (For tests, which look at what is left.)
#[pyfunction]
pub fn _leave_kept() {
    let kept = std::mem::take(&mut *locked(&KEPT));
    for (made_by, _, owner) in kept {
        if made_by != generation() {
            continue;
        }
        if alone(&owner) {
            let _ = files::remove(owner);
            continue;
        }
        let look = control_in(owner.directory(), owner.name());
        let id = owner.id();
        drop(owner); // from now on the last one to leave removes it
        if let Ok(control) = look
            && control.id() == id
        {
            remove_if_stale(&control);
        }
    }
}

/// Removes what killed processes left in `dir`: stale queues whose names begin so.
pub fn sweep(dir: &Path, prefix: &str) {
    for entry in prodcon::list_in(dir).unwrap_or_default() {
        if entry.name.starts_with(prefix)
            && let Ok(control) = control_in(dir, &entry.name)
        {
            remove_if_stale(&control);
        }
    }
    files::sweep(dir);
}

/// Removes a queue's name, whatever it is.
pub fn unlink(dir: &Path, name: &str) -> PyResult<()> {
    match control_in(dir, name) {
        Ok(control) => files::remove(control),
        // It is no queue of this format, or may not be read: the name goes nevertheless.
        Err(_) => prodcon::unlink_in(dir, name),
    }
    .map_err(errors::error)
}
