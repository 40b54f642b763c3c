//! Reads where every block is, without a lock, while others go on.
//!
//! One reading proves nothing, because the words are read one after the other. Two equal readings
//! in which every seat is at rest do prove something. A slot's stamps never repeat, so no slot
//! changed between its two readings. So at the moment between the two rounds all slots held what
//! was read. A seat's block changes only with a slot's word, and the seat's record says so before
//! (it is not at rest) and after. Counters only grow.
//!
//! docs/design.md, section 6, explains how `doctor` uses it.

use super::seat::{Counts, Record};
use super::{Memory, Ring};
use crate::sync::atomic::{Ordering, load_sc};
use std::cell::RefCell;

/// Most blocks that are reported one by one. For each of them all slots and seats are searched once
/// more.
const NAMED: usize = 16;

/// All slots, and all seats, as they were read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Census {
    slots: Vec<u64>,
    seats: Vec<(u64, Counts)>,
}

impl Census {
    /// No seat was in mid-exchange when it was read.
    pub(crate) fn at_rest(&self) -> bool {
        self.seats
            .iter()
            .all(|(record, _)| Record::unpack(*record).incoming.is_none())
    }
}

impl<M: Memory> Ring<M> {
    /// Reads all slots, then all seats. The loads of an earlier reading must be complete before the
    /// two are compared, so the caller puts an acquire fence between the two.
    pub(crate) fn census(&self) -> Census {
        let shape = self.memory.shape();
        let seat = |index| {
            let line = self.memory.seat(index);
            // Relaxed: compared with a second reading, see the head of this module.
            (line.record.load(Ordering::Relaxed), line.read_counts())
        };
        Census {
            slots: (0..shape.slots)
                .map(|index| load_sc(self.memory.slot(index)))
                .collect(),
            seats: (0..shape.seats).map(seat).collect(),
        }
    }

    /// Returns what contradicts the permutation of blocks.
    pub(crate) fn permutation(&self, census: &Census) -> Vec<String> {
        let shape = self.memory.shape();
        let places = || {
            let slots = census.slots.iter().map(|raw| shape.slot(*raw).block);
            let slots = slots
                .enumerate()
                .map(|(index, block)| ("slot", index, block));
            let seats = census
                .seats
                .iter()
                .map(|(record, _)| Record::unpack(*record).mine);
            slots.chain(
                seats
                    .enumerate()
                    .map(|(index, block)| ("seat", index, block)),
            )
        };
        let mut found = vec![0u32; shape.blocks as usize];
        let mut problems = vec![];
        for (kind, index, block) in places() {
            match found.get_mut(block as usize) {
                Some(count) => *count += 1,
                None => problems.push(format!(
                    "{kind} {index} names block {block}, which does not exist"
                )),
            }
        }
        let wrong = found.iter().filter(|count| **count != 1).count();
        let mut blocks = (0..shape.blocks).filter(|block| found[*block as usize] != 1);
        for block in blocks.by_ref().take(NAMED) {
            let there = places().filter(|place| place.2 == block);
            let there: Vec<String> = there
                .map(|(kind, index, _)| format!("{kind} {index}"))
                .collect();
            problems.push(if there.is_empty() {
                format!("block {block} is nowhere")
            } else {
                format!("block {block} is in {}", there.join(" and "))
            });
        }
        if wrong > NAMED {
            problems.push(format!(
                "{} blocks more are in no place or in several",
                wrong - NAMED
            ));
        }
        problems
    }

    /// Returns what is wrong, briefly and at little cost: a block that two of the slots and seats
    /// at rest name, or one that does not exist. Of the two blocks of a seat in mid-exchange, one
    /// must be nowhere else.
    pub(crate) fn contradiction(&self, census: &Census) -> Option<String> {
        let shape = self.memory.shape();
        let places = RefCell::new(vec![0u64; (shape.blocks as usize).div_ceil(64)]);
        // False: it has a place already, or does not exist.
        let is_free = |block: u32| {
            block < shape.blocks && places.borrow()[block as usize / 64] >> (block % 64) & 1 == 0
        };
        let place = |block: u32| {
            let free = is_free(block);
            if free {
                places.borrow_mut()[block as usize / 64] |= 1 << (block % 64);
            }
            free
        };
        for (index, word) in census.slots.iter().enumerate() {
            let block = shape.slot(*word).block;
            if !place(block) {
                return Some(format!(
                    "slot {index} names block {block}, which has another place or does not exist"
                ));
            }
        }
        let records = || {
            census
                .seats
                .iter()
                .map(|(record, _)| Record::unpack(*record))
                .enumerate()
        };
        for (index, record) in records().filter(|(_, record)| record.incoming.is_none()) {
            if !place(record.mine) {
                return Some(format!(
                    "seat {index} owns block {}, which has another place or does not exist",
                    record.mine
                ));
            }
        }
        // Of a chain of dead ones that traded for each other's blocks, one decides the next: whose
        // one block has a place owns the other. Who may still own either contradicts nothing.
        let mut open: Vec<(usize, u32, u32)> = records()
            .filter_map(|(index, record)| Some((index, record.mine, record.incoming?)))
            .collect();
        loop {
            let before = open.len();
            let mut wrong = None;
            open.retain(
                |(index, mine, incoming)| match (is_free(*mine), is_free(*incoming)) {
                    (true, true) => true,
                    (false, false) => {
                        wrong.get_or_insert((*index, *mine));
                        false
                    }
                    (first, _) => {
                        place(if first { *mine } else { *incoming });
                        false
                    }
                },
            );
            if let Some((index, mine)) = wrong {
                return Some(format!(
                    "seat {index} is to own block {mine} or another, which have other places"
                ));
            }
            if open.len() == before {
                return None;
            }
        }
    }
}
