//! What the processes of a soak have in common, whatever their queue holds: dice, when a producer rests
//! or tries again, and how a consumer tells of its items.
//!
//! A consumer tells on its stdout, a pipe; one write of [`Receipt::BYTES`] bytes happens whole or not at
//! all, whatever kills it.

use super::ledger::{DISORDERED, MAX_SEQUENCE, Receipt, SOUND, SPOILED};
use crate::exit::End;
use prodcon::{Payload, PutError, ReadyQueue, State};
use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::time::Duration;

/// Xorshift: enough for dice, and the same everywhere.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(mix(seed) | 1)
    }

    pub fn word(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// 0 to `sides` - 1.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.word() % sides
    }
}

pub fn mix(word: u64) -> u64 {
    let word = (word ^ word >> 31).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    word ^ word >> 29
}

/// A producer that spends its time on the queue rather than on what it puts: most signals hit it there.
pub fn is_busy(maker: u64) -> bool {
    maker.is_multiple_of(2)
}

/// Returns whether a put that was refused is to be tried again, or false at the end of the stream.
pub fn again<T: Payload + ?Sized>(queue: &ReadyQueue<T>, error: &PutError) -> Result<bool, End> {
    match error {
        PutError::TimedOut | PutError::Full => {}
        PutError::NotReady => drop(queue.wait_ready(Some(Duration::from_millis(100)))?),
        PutError::Stopped => return Ok(false),
        error => return Err(End::put(queue.name(), error)),
    }
    Ok(true)
}

/// Some producers let the queue run empty now and then, so that its consumers fall asleep; the others are always at it.
pub fn rest<T: Payload + ?Sized>(queue: &ReadyQueue<T>, maker: u64, next: u64, dice: &mut Dice) {
    // A few batches beyond do no harm, but more would be taken for rubbish.
    while next >= MAX_SEQUENCE / 2 && queue.control().state() == State::Started {
        std::thread::sleep(Duration::from_millis(10));
    }
    if !is_busy(maker) && dice.roll(512) == 0 {
        std::thread::sleep(Duration::from_micros(dice.roll(2000)));
    }
}

/// What a consumer tells, and what it has to remember to do so.
pub struct Reporter {
    pipe: File,
    /// Of each producer, the last number seen.
    last: HashMap<u64, u64>,
}

impl Reporter {
    pub fn new() -> Result<Self, End> {
        let pipe = std::io::stdout().as_fd().try_clone_to_owned();
        let pipe = pipe
            .map(File::from)
            .map_err(|error| End::failed(format!("cannot use stdout: {error}")))?;
        Ok(Self {
            pipe,
            last: HashMap::new(),
        })
    }

    /// An item as it will be told of. `deliveries`: if somebody had it in hand before, it comes later than its successors.
    pub fn judge(
        &mut self,
        (maker, sequence, right): (u64, u64, bool),
        deliveries: u32,
    ) -> Receipt {
        let in_order = deliveries > 1
            || self
                .last
                .insert(maker, sequence)
                .is_none_or(|before| before < sequence);
        Receipt {
            maker,
            sequence,
            flags: if right { SOUND } else { SPOILED } | if in_order { SOUND } else { DISORDERED },
        }
    }

    /// Reports it. Returns false if nobody listens any more.
    pub fn tell(&mut self, receipts: &[Receipt]) -> bool {
        let bytes: Vec<u8> = receipts.iter().flat_map(|receipt| receipt.pack()).collect();
        // So much is written whole, or not at all.
        bytes
            .chunks(4096 / Receipt::BYTES * Receipt::BYTES)
            .all(|piece| self.pipe.write_all(piece).is_ok())
    }
}
