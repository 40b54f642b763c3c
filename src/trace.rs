//! Events for the `tracing` crate, with feature `tracing`. Without it all of this is nothing.
//!
//! Invariant: only slow paths call these functions, never a put or a get that finds what it looks
//! for. Events are in the target `prodcon`; the names of their fields are a contract.

use crate::state::Role;
use std::process::ExitStatus;

/// Emits an event of a level, with fields and a text. The fields are used in either case.
macro_rules! emit {
    ($level:ident, { $($field:ident = $value:expr),* $(,)? }, $text:literal) => {
        #[cfg(feature = "tracing")]
        tracing::event!(
            target: "prodcon",
            tracing::Level::$level,
            $($field = $value),*,
            $text
        );
        #[cfg(not(feature = "tracing"))]
        let _ = ($($value),*,);
    };
}

/// An endpoint took its seats.
pub(crate) fn attached(queue: &str, seat: u32, role: Role) {
    let role = match role {
        Role::Producer => "producer",
        Role::Consumer => "consumer",
        Role::Both => "both",
    };
    emit!(DEBUG, { queue = queue, seat = seat, role = role }, "attached");
}

/// Seats of dead processes were resolved.
#[cold]
pub(crate) fn recovered(queue: &str, seats: u32) {
    emit!(INFO, { queue = queue, seats = seats }, "recovered the seats of dead processes");
}

/// An item, or a block of them, is about to be delivered once more.
#[cold]
pub(crate) fn redelivered(queue: &str, items: u32, deliveries: u32) {
    emit!(
        INFO,
        { queue = queue, items = items, deliveries = deliveries },
        "delivers again what was given back or left by a dead consumer"
    );
}

/// An item went to the dead-letter queue.
#[cold]
pub(crate) fn dead_letter(queue: &str, letters: &str, deliveries: u32) {
    emit!(
        WARN,
        { queue = queue, dead_letter_queue = letters, deliveries = deliveries },
        "moved an item to the dead-letter queue"
    );
}

/// Something that cannot be was found in a segment.
#[cold]
pub(crate) fn corrupt(queue: &str, what: &str) {
    emit!(ERROR, { queue = queue, what = what }, "damaged");
}

/// A process of a worker was started for the first time.
#[cold]
pub(crate) fn worker_started(worker: &str, process: usize, pid: u32) {
    emit!(
        INFO,
        { worker = worker, process = process, pid = pid },
        "started a process of a worker"
    );
}

/// A process of a worker was started in the place of one that has ended.
#[cold]
pub(crate) fn worker_restarted(worker: &str, process: usize, pid: u32) {
    emit!(
        INFO,
        { worker = worker, process = process, pid = pid },
        "restarted a process of a worker"
    );
}

/// A process of a worker has ended.
#[cold]
pub(crate) fn worker_ended(
    worker: &str,
    process: usize,
    pid: u32,
    status: Option<ExitStatus>,
    error: Option<&str>,
) {
    let status = status.map_or("unknown".into(), |status| status.to_string());
    let error = error.unwrap_or_default();
    emit!(
        INFO,
        { worker = worker, process = process, pid = pid, status = status.as_str(), error = error },
        "a process of a worker has ended"
    );
}
