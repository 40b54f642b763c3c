//! Moves items that were delivered too often to another queue.
//!
//! Invariant: an item is acknowledged here only after the dead-letter queue has taken it, and still
//! had its name then. So a kill in between delivers it to both queues rather than to neither.

use super::endpoint::Endpoint;
use super::options::AttachOptions;
use super::wait::Until;
use crate::error::PutError;
use crate::ring::Memory;
use crate::ring::seat::Seat;
use crate::ring::slot::BlockWord;
use crate::state::Role;
use crate::trace;
use std::sync::atomic::Ordering;

impl Endpoint {
    /// Moves the items in `seat` to the dead-letter queue, one by one. What that queue does not
    /// take stays in hand, and is delivered once more.
    pub(super) fn dead_letter_items(&mut self, seat: &mut Seat) {
        let Some(mut letters) = self
            .dead_letters
            .take()
            .filter(|letters| !letters.control.is_removed())
            .or_else(|| self.open_dead_letters())
        else {
            return;
        };
        let ring = &self.control.ring;
        // Relaxed: our own block.
        let word = BlockWord(ring.memory.block(seat.block).load(Ordering::Relaxed));
        let item_size = self.control.segment.geometry.item_size;
        let len = if ring.batch == 1 {
            ring.memory.length(seat.block, word).min(item_size)
        } else {
            item_size
        };
        while seat.hold {
            let item = self.item_bytes(seat.block, seat.acknowledged(), len as usize);
            match letters.put_until(item, false, &Until::Now) {
                // Its name went meanwhile, and perhaps nobody gets the letter there.
                Ok(()) if letters.control.is_removed() => return,
                Ok(()) => {
                    let count = &self.control.segment.seat(seat.index).dead_lettered;
                    // Relaxed: there is a single writer, the lock's holder.
                    count.store(
                        count.load(Ordering::Relaxed).wrapping_add(1),
                        Ordering::Relaxed,
                    );
                    seat.acknowledge(&self.control.ring.memory, 1);
                    let info = self.control.info();
                    trace::dead_letter(
                        self.control.name(),
                        &info.dead_letter,
                        info.max_deliveries.into(),
                    );
                }
                Err(PutError::Failed(_)) => return, // removed: attach anew next time
                Err(_) => break,
            }
        }
        self.dead_letters = Some(letters);
    }

    fn open_dead_letters(&self) -> Option<Box<Self>> {
        let attach = AttachOptions::new()
            .role(Role::Producer)
            .directory(&self.control.segment.place.dir);
        let place = attach.place(&self.control.info().dead_letter).ok()?;
        let queue = Self::join(&place, &attach, None);
        queue
            .ok()
            .filter(|queue| !queue.control.is_removed())
            .map(Box::new)
    }
}
