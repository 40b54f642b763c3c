//! The ready gate: it decides who may put, and clears the queue in one step.
//!
//! This module owns the ready word. Void always means OLDER than the epoch in hand, never merely
//! different. A put loads the ready word after the slot's word (see `put_slow`), so along the ring
//! epochs never fall, and cleared items are always the oldest. docs/design.md, section 5, explains
//! the rules.

use super::cursor::{Side, Walk};
use super::exchange::Exchanged;
use super::seat::{Kind, Seat};
use super::slot::{BlockWord, LAST_EPOCH, Ready};
use super::{Cursors, Memory, Ring, RingError};
use crate::sync::atomic::{Ordering, cas_sc, load_sc};

impl<M: Memory> Ring<M> {
    /// Returns the gate as it stands.
    pub(crate) fn gate(&self) -> Ready {
        Ready(load_sc(self.memory.ready()))
    }

    /// Returns whether the item was put before the last clear.
    #[inline(always)]
    pub(crate) fn is_void(&self, word: BlockWord) -> bool {
        // Relaxed: it comes after the CAS that took the item, whose acquire shows at least the
        // epoch in which the item was put.
        word.epoch() < Ready(self.memory.ready().load(Ordering::Relaxed)).epoch()
    }

    /// Opens the gate.
    pub(crate) fn set_ready(&self) {
        let _ = self.change(|gate| Ok(Ready(gate.0 | 1)));
    }

    /// Opens the gate if it has never been open. Returns false if somebody has closed it.
    pub(crate) fn open_first(&self) -> bool {
        let mut first = false;
        let _ = self.change(|gate| {
            first = gate.is_ready() || gate.epoch() == 0;
            Ok(if first { Ready(gate.0 | 1) } else { gate })
        });
        first
    }

    /// Closes the gate and makes every item void, in one step. Returns the epoch that begins.
    /// Nothing changes if the gate is closed already.
    pub(crate) fn set_not_ready(&self) -> Result<u64, RingError> {
        self.change(|gate| {
            if gate.is_ready() {
                Self::next_epoch(gate).map(|next| Ready(next.0 & !1))
            } else {
                Ok(gate)
            }
        })
    }

    /// Makes every item void, in one step. Returns the epoch that begins.
    pub(crate) fn clear(&self) -> Result<u64, RingError> {
        self.change(Self::next_epoch)
    }

    fn next_epoch(gate: Ready) -> Result<Ready, RingError> {
        if gate.epoch() < LAST_EPOCH {
            Ok(Ready(gate.0 + 2))
        } else {
            Err(RingError::Exhausted)
        }
    }

    fn change(
        &self,
        mut next: impl FnMut(Ready) -> Result<Ready, RingError>,
    ) -> Result<u64, RingError> {
        let mut gate = self.gate();
        loop {
            let new = next(gate)?;
            if new == gate {
                return Ok(gate.epoch());
            }
            match cas_sc(self.memory.ready(), gate.0, new.0) {
                Ok(_) => return Ok(new.epoch()),
                Err(actual) => gate = Ready(actual),
            }
        }
    }

    /// Discards the items at the front that are older than `epoch`. Stops at the first one that is
    /// not older, or at the end.
    pub(crate) fn drain(
        &self,
        c: &mut Cursors,
        seat: &mut Seat,
        epoch: u64,
    ) -> Result<(), RingError> {
        let result = self.drain_announced(c, seat, epoch);
        seat.retreat(&self.memory);
        result
    }

    fn drain_announced(
        &self,
        c: &mut Cursors,
        seat: &mut Seat,
        epoch: u64,
    ) -> Result<(), RingError> {
        let mut walk = Walk::new(Side::Get);
        let mut seen = self.look(c.get.index)?;
        loop {
            let oldest = self.oldest(c, &mut walk, seen)?;
            if !oldest.is_full() {
                return Ok(());
            }
            // Relaxed: it counts only if the CAS succeeds. An epoch of the block's next life ends
            // the draining early. Then others have come by, and they drain too.
            if BlockWord(self.memory.block(oldest.block).load(Ordering::Relaxed)).epoch() >= epoch {
                return Ok(());
            }
            let at = c.get;
            match self.exchange(seat, at, oldest, Kind::Discard, 0)? {
                Exchanged::Done => {
                    c.get = at.next(self.memory.shape().slots);
                    c.discarded += 1;
                    seen = self.look(c.get.index)?;
                }
                Exchanged::Lost(actual) => seen = actual,
            }
        }
    }
}
