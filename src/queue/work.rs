//! How long a worker's call of `work` has lasted. Its loop writes it, and any process may read it.
//!
//! Invariant: the time stands in a seat that the writing process has, and is 0 whenever it is not
//! in `work`. A seat that changes hands begins with 0.

use super::clock::{lasts, now};
use super::control::Control;
use super::endpoint::Endpoint;
use super::{Batch, Payload, ReadyQueue};
use crate::error::Fault;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A call of `work` under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) pid: u32,
    pub(crate) lasts: Duration,
}

impl Control {
    /// Notes that work begins now on what this process has in hand. `seat` is a seat of its own.
    pub(crate) fn begin_work(&self, seat: u32) {
        self.note_work(seat, now());
    }

    /// Notes that the work has ended.
    pub(crate) fn end_work(&self, seat: u32) {
        self.note_work(seat, 0);
    }

    fn note_work(&self, seat: u32, since: u64) {
        if !self.forked() {
            // Relaxed: the word stands alone, and decides nothing about the queue.
            self.segment
                .seat(seat)
                .since
                .store(since, Ordering::Relaxed);
        }
    }

    /// Returns the calls of `work` that are under way in other processes.
    pub(crate) fn works(&self) -> Result<Vec<Work>, Fault> {
        self.readable()?;
        let mut works = vec![];
        for (index, line) in self.seats() {
            // Relaxed, both of `since`: a look that comes a moment too early or too late is one of
            // a moment before or after.
            let since = line.since.load(Ordering::Relaxed);
            // Acquire: pairs with the Release store of who took the seat. If the seat has changed
            // hands since the first look, the second one finds another time.
            let pid = line.pid.load(Ordering::Acquire);
            let same = line.since.load(Ordering::Relaxed) == since;
            let Some(lasts) = lasts(since).filter(|_| same) else {
                continue;
            };
            // A process that was killed in `work` has left the time there.
            let alive = self.segment.lease.is_locked(index);
            if alive.map_err(|error| self.os_fault(&error))? {
                works.push(Work { pid, lasts });
            }
        }
        Ok(works)
    }
}

impl Endpoint {
    /// Returns the seat in which the work on what is in hand is noted: one that holds, if there is
    /// one.
    fn working_seat(&self) -> u32 {
        let aside = self.aside.front().map(|aside| &aside.seat);
        let holds = aside.or(self.adopted.as_ref());
        holds.unwrap_or(&self.seat).index
    }
}

impl<T: Payload + ?Sized> ReadyQueue<T> {
    /// Returns the seat in which work on items that were copied is noted.
    pub(crate) fn working_seat(&self) -> u32 {
        self.endpoint.working_seat()
    }
}

impl<T: Payload + ?Sized> Batch<'_, T> {
    /// Returns the seat in which work on the items is noted; `None` if they were copied.
    pub(crate) fn working_seat(&self) -> Option<u32> {
        self.endpoint().map(Endpoint::working_seat)
    }
}
