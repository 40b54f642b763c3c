//! The control handle's methods, lent by the endpoint that has one inside.
//!
//! Callers: everybody, through [`ReadyQueue`].

use super::memory::Mapped;
use super::{Control, Payload, ReadyQueue, Recovered, State, Stats};
use crate::error::{Fault, OpenError, StateError};
use crate::ring::{Refusal, Ring};
use std::time::Duration;

impl<T: Payload + ?Sized> ReadyQueue<T> {
    /// The queue without the seat: a handle of its own.
    ///
    /// # Errors
    /// A system call failed; `Removed` where the name is gone and the system has no `/proc`.
    pub fn control(&self) -> Result<Control, OpenError> {
        Ok(Control::over(self.control.segment.again()?))
    }

    /// The queue's name.
    pub fn name(&self) -> &str {
        self.control.name()
    }

    /// As [`Control::set_ready`].
    ///
    /// # Errors
    /// [`Fault`]
    pub fn set_ready(&self) -> Result<(), Fault> {
        self.control.set_ready()
    }

    /// Keeps producers out, makes every item void in one step, and drains them.
    ///
    /// # Errors
    /// [`Fault`]
    pub fn set_not_ready(&mut self) -> Result<(), Fault> {
        self.clear_by(Ring::set_not_ready)
    }

    /// Makes every item void in one step, and drains them.
    ///
    /// # Errors
    /// [`Fault`]
    pub fn clear(&mut self) -> Result<(), Fault> {
        self.clear_by(Ring::clear)
    }

    fn clear_by(&mut self, change: impl Fn(&Ring<Mapped>) -> Result<u64, Refusal>) -> Result<(), Fault> {
        let epoch = self.control.gate(change)?;
        if self.seat.hold {
            return Ok(()); // a seat with items in hand never exchanges
        }
        let drained = self.control.ring.drain(&mut self.cursors, &mut self.seat, epoch);
        self.wake_for_discarded();
        drained.map_err(|refusal| self.control.fault(refusal))
    }

    /// As [`Control::is_ready`].
    pub fn is_ready(&self) -> bool {
        self.control.is_ready()
    }

    /// As [`Control::wait_ready`].
    ///
    /// # Errors
    /// [`Fault`]
    pub fn wait_ready(&self, timeout: Option<Duration>) -> Result<bool, Fault> {
        self.control.wait_ready(timeout)
    }

    /// As [`Control::state`].
    pub fn state(&self) -> State {
        self.control.state()
    }

    /// As [`Control::set_state`].
    ///
    /// # Errors
    /// [`StateError`]
    pub fn set_state(&self, to: State) -> Result<(), StateError> {
        self.control.set_state(to)
    }

    /// As [`Control::wait_state`].
    ///
    /// # Errors
    /// [`Fault`]
    pub fn wait_state(&self, state: State, timeout: Option<Duration>) -> Result<bool, Fault> {
        self.control.wait_state(state, timeout)
    }

    /// As [`Control::len`].
    pub fn len(&self) -> usize {
        self.control.len()
    }

    /// As [`Control::is_empty`].
    pub fn is_empty(&self) -> bool {
        self.control.is_empty()
    }

    /// As [`Control::is_full`].
    pub fn is_full(&self) -> bool {
        self.control.is_full()
    }

    /// Items the queue can hold.
    pub fn capacity(&self) -> usize {
        self.control.capacity()
    }

    /// Longest item in bytes.
    pub fn item_size(&self) -> usize {
        self.control.item_size()
    }

    /// As [`Control::stats`].
    ///
    /// # Errors
    /// [`Fault::Forked`]
    pub fn stats(&self) -> Result<Stats, Fault> {
        self.control.stats_but_mine(|index| self.own.has(index))
    }

    /// As [`Control::recover`].
    ///
    /// # Errors
    /// [`Fault`]
    pub fn recover(&mut self) -> Result<Recovered, Fault> {
        self.control.recover_but(|index| self.own.has(index))
    }
}
