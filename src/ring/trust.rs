//! Delivers the copy in a slot without a look at the item's header: how an endpoint knows that the
//! item was not cleared.
//!
//! The header has the epoch in which the item was put, and lies in another cache line. But each
//! endpoint knows from which cycle on nothing old can come. docs/design.md, section 5, has the
//! argument. The rule of the put, on which it rests, is in `put.rs`: the epoch of an item was
//! loaded after the put cursor came to stand where the exchange happens.

use super::seat::Seat;
use super::slot::{BlockWord, Ready};
use super::{Memory, Ring};
use crate::sync::atomic::Ordering;

/// No exchange has come yet since the epoch was seen for the first time.
const PENDING: u64 = u64::MAX;

/// From `cycle` on, an item taken while the queue's epoch is `epoch` was put in that epoch.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trust {
    epoch: u64,
    cycle: u64,
}

impl<M: Memory> Ring<M> {
    /// Returns whether the item that `seat` has just received by an exchange at `cycle` was not
    /// cleared. Looks at its header only if it has to.
    #[inline(always)]
    pub(super) fn is_live_from(&self, trust: &mut Trust, seat: &Seat, cycle: u64) -> bool {
        // Relaxed: it comes after the CAS that took the item, whose acquire shows at least the
        // epoch in which the item was put.
        let epoch = Ready(self.memory.ready().load(Ordering::Relaxed)).epoch();
        let live = epoch == trust.epoch && cycle >= trust.cycle
            || self.judge_by_header(trust, seat, cycle, epoch);
        #[cfg(all(test, loom))]
        super::model::witness_live(&self.memory, seat.block, epoch, live);
        live
    }

    /// Looks at the header. Learns from where on that will not be necessary: two cycles after the
    /// first exchange before which `epoch` was seen. A producer that puts there has passed our slot
    /// in the cycle between, after this exchange, and so has loaded this epoch or a newer one.
    #[cold]
    fn judge_by_header(&self, trust: &mut Trust, seat: &Seat, cycle: u64, epoch: u64) -> bool {
        if epoch != trust.epoch {
            // It was loaded after this exchange, and others may have gone any number of cycles
            // meanwhile.
            *trust = Trust {
                epoch,
                cycle: PENDING,
            };
        } else if trust.cycle == PENDING {
            trust.cycle = cycle + 2;
        }
        // Relaxed: the block is ours alone; the CAS acquired what its putter wrote.
        let word = BlockWord(self.memory.block(seat.block).load(Ordering::Relaxed));
        word.epoch() >= epoch
    }
}
