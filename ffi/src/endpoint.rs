//! A queue of bytes together with what C has in hand of it.
//!
//! C has no borrows, so the guards of the Rust API are not kept: a reservation is made again at the commit, and shows the same block; an item in hand is a guard that was forgotten, which is
//! settled with `discard` (acknowledged) or `give_back_forgotten`. In between this type refuses everything that would settle it otherwise.
//!
//! Invariant: `work` is `Reserved` only while nothing was done on the queue since the reservation; `work` is `InHand` exactly while the queue's seat holds an item for C, and its pointer
//! is good for as long. Callers: queue, many, gate.

use crate::failure::Failure;
use crate::status::*;
use rust::{GetError, PutError, ReadyQueue};
use std::slice;
use std::time::Duration;

/// See the module.
#[derive(Debug)]
pub struct Endpoint {
    pub(crate) queue: ReadyQueue<[u8]>,
    work: Work,
}

#[derive(Debug, Clone, Copy)]
enum Work {
    None,
    Reserved { len: usize },
    InHand(Item),
}

/// An item in hand.
#[derive(Debug, Clone, Copy)]
struct Item {
    data: *const u8,
    len: usize,
    /// C has its address. Else a get met it whose buffer was too small.
    taken: bool,
}

// SAFETY: the pointer in an `Item` is to the mapping that `queue` owns and takes along; it is read by whoever has the endpoint.
unsafe impl Send for Endpoint {}

/// How long a call waits.
#[derive(Debug, Clone, Copy)]
pub enum Wait {
    /// Not at all.
    Not,
    /// As long as it takes.
    Forever,
    /// At most so long.
    AtMost(Duration),
}

impl Wait {
    /// From the `timeout_ns` of C.
    #[inline(always)]
    pub fn from_ns(timeout_ns: i64) -> Self {
        match timeout_ns {
            0 => Self::Not,
            1.. => Self::AtMost(Duration::from_nanos(timeout_ns.unsigned_abs())),
            _ => Self::Forever,
        }
    }
}

/// Copies; small items without a call.
///
/// # Safety
/// As `ptr::copy_nonoverlapping`.
#[inline(always)]
unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
    if len == 8 {
        // SAFETY: 8 bytes may be read there by this function's contract.
        let word = unsafe { from.cast::<u64>().read_unaligned() };
        // SAFETY: 8 bytes may be written there by this function's contract.
        unsafe { to.cast::<u64>().write_unaligned(word) };
    } else {
        // SAFETY: this function's contract.
        unsafe { std::ptr::copy_nonoverlapping(from, to, len) };
    }
}

impl Endpoint {
    /// Nothing in hand.
    pub fn new(queue: ReadyQueue<[u8]>) -> Self {
        Self { queue, work: Work::None }
    }

    /// The queue's name.
    pub fn name(&self) -> &str {
        self.queue.name()
    }

    #[cold]
    fn not_now(&self, call: &str, why: &str) -> Failure {
        if self.queue.is_forked() {
            return self.forked();
        }
        Failure::invalid(format!("queue '{}': {call}: {why}", self.name()))
    }

    #[cold]
    fn forked(&self) -> Failure {
        rust::Fault::Forked { queue: self.name().into() }.into()
    }

    #[cold]
    fn busy(&self, call: &str) -> Failure {
        match self.work {
            Work::Reserved { .. } => self.not_now(call, "a block is reserved: commit or cancel it first"),
            Work::InHand(Item { taken: true, .. }) => self.not_now(call, "an item is in hand: release it first"),
            _ => self.not_now(
                call,
                "an item is in hand that was too large for a get: get it with a larger buffer, or release it first",
            ),
        }
    }

    /// No block is reserved and no item in hand.
    #[inline(always)]
    fn at_rest(&self, call: &str) -> Result<(), Failure> {
        if matches!(self.work, Work::None) { Ok(()) } else { Err(self.busy(call)) }
    }

    /// For calls that mind neither the seat nor its block.
    pub fn nothing_reserved(&self, call: &str) -> Result<(), Failure> {
        if self.queue.is_forked() {
            return Err(self.forked());
        }
        if matches!(self.work, Work::Reserved { .. }) {
            Err(self.busy(call))
        } else {
            Ok(())
        }
    }

    /// An item of `len` bytes fits.
    #[inline(always)]
    fn fits(&self, len: usize) -> Result<(), Failure> {
        let max = self.queue.item_size();
        if len <= max {
            return Ok(());
        }
        Err(PutError::TooLarge {
            queue: self.name().into(),
            len,
            max,
        }
        .into())
    }

    // ---------------------------------------------------------------- put

    /// # Safety
    /// `data` is readable for `len` bytes.
    #[inline(always)]
    pub unsafe fn put(&mut self, data: *const u8, len: usize, wait: Wait) -> Result<(), Failure> {
        self.at_rest("put")?;
        self.fits(len)?;
        let mut block = self.queue.reserve(len)?;
        // SAFETY: `data` by this function's contract; the block has exactly `len` bytes and is this seat's alone.
        unsafe { copy(data, block.as_mut_ptr(), len) };
        match wait {
            Wait::Not => block.try_commit(),
            Wait::Forever => block.commit(),
            Wait::AtMost(timeout) => match block.try_commit() {
                // The clock is read only if there is something to wait for.
                Err(refused) if matches!(refused.error, PutError::Full) => refused.reserved.commit_timeout(timeout),
                other => other,
            },
        }
        .map_err(|refused| refused.error.into())
    }

    /// The block to be filled.
    pub fn reserve(&mut self, len: usize) -> Result<*mut u8, Failure> {
        self.at_rest("reserve")?;
        self.fits(len)?;
        let mut block = self.queue.reserve(len)?;
        let data = block.as_mut_ptr();
        self.work = Work::Reserved { len };
        Ok(data)
    }

    /// Puts the block that is reserved. If that fails it stays reserved.
    pub fn commit(&mut self, len: usize, wait: Wait) -> Result<(), Failure> {
        let Work::Reserved { len: reserved } = self.work else {
            return Err(self.not_now("commit", "no block is reserved: reserve one first"));
        };
        if len > reserved {
            let text = format!(
                "queue '{}': commit of {len} bytes, but only {reserved} are reserved: commit fewer, or cancel and reserve more",
                self.name()
            );
            return Err(Failure::with(PRODCON_TOO_LARGE, text));
        }
        let block = self.queue.reserve(len)?; // the same block with what C wrote: nothing was done in between
        let done = match wait {
            Wait::Not => block.try_commit(),
            Wait::Forever => block.commit(),
            Wait::AtMost(timeout) => block.commit_timeout(timeout),
        };
        done.map_err(|refused| refused.error)?;
        self.work = Work::None;
        Ok(())
    }

    /// Forgets the reservation.
    pub fn cancel(&mut self) -> Result<(), Failure> {
        match self.work {
            Work::Reserved { .. } if self.queue.is_forked() => Err(self.forked()),
            Work::Reserved { .. } => {
                self.work = Work::None;
                Ok(())
            }
            _ => Err(self.not_now("cancel", "no block is reserved")),
        }
    }

    // ---------------------------------------------------------------- get

    /// Takes an item and looks at it. `true`: it is done with; `false`: it stays in hand.
    #[inline(always)]
    fn meet(&mut self, wait: Wait, taken: bool, look: impl FnOnce(&[u8]) -> bool) -> Result<(), Failure> {
        let guard = match wait {
            Wait::Not => self.queue.try_take(),
            Wait::Forever => self.queue.take(),
            Wait::AtMost(timeout) => {
                // The clock is read only if there is something to wait for.
                match self.queue.try_take() {
                    Err(GetError::Empty) => {}
                    Err(other) => return Err(other.into()),
                    Ok(guard) => {
                        if look(&guard) {
                            drop(guard);
                        } else {
                            self.work = Self::keep(guard, taken);
                        }
                        return Ok(());
                    }
                }
                self.queue.take_timeout(timeout)
            }
        }?;
        if look(&guard) {
            drop(guard);
        } else {
            self.work = Self::keep(guard, taken);
        }
        Ok(())
    }

    fn keep(guard: rust::Taken<'_, [u8]>, taken: bool) -> Work {
        let (data, len) = (guard.as_ptr(), guard.len());
        std::mem::forget(guard);
        Work::InHand(Item { data, len, taken })
    }

    /// Copies the item into the buffer, or keeps it in hand if it is too long. Gives its length either way.
    ///
    /// # Safety
    /// `buffer` is writable for `size` bytes.
    #[inline(always)]
    pub unsafe fn get(&mut self, buffer: *mut u8, size: usize, wait: Wait) -> Result<Got, Failure> {
        if let Work::InHand(item @ Item { taken: false, .. }) = self.work {
            // SAFETY: this function's contract.
            return unsafe { self.get_met(item, buffer, size) };
        }
        self.at_rest("get")?;
        let mut got = Got::Copied(0);
        self.meet(wait, false, |item| {
            if item.len() > size {
                got = Got::TooLong(item.len());
                return false;
            }
            // SAFETY: the item is readable for its length, which is at most `size`; the buffer by this function's contract, and it is not in a block that is this seat's.
            unsafe { copy(item.as_ptr(), buffer, item.len()) };
            got = Got::Copied(item.len());
            true
        })?;
        Ok(got)
    }

    /// # Safety
    /// As [`get`](Self::get).
    #[cold]
    unsafe fn get_met(&mut self, item: Item, buffer: *mut u8, size: usize) -> Result<Got, Failure> {
        if self.queue.is_forked() {
            return Err(self.forked());
        }
        if item.len > size {
            return Ok(Got::TooLong(item.len));
        }
        // SAFETY: the item is in hand, so its block is this seat's and mapped (the handle is not forked); the buffer by this function's contract.
        unsafe { copy(item.data, buffer, item.len) };
        self.settle();
        Ok(Got::Copied(item.len))
    }

    #[cold]
    pub(crate) fn too_long(&self, len: usize, size: usize) -> Failure {
        let text = format!(
            "queue '{}': the next item has {len} bytes, the buffer {size}: get it with a larger buffer (items have at most {}), or release it",
            self.name(),
            self.queue.item_size()
        );
        Failure::with(PRODCON_TOO_LARGE, text)
    }

    /// Takes an item in place.
    pub fn take(&mut self, wait: Wait) -> Result<(*const u8, usize), Failure> {
        self.at_rest("take")?;
        self.meet(wait, true, |_| false)?;
        match self.work {
            Work::InHand(Item { data, len, .. }) => Ok((data, len)),
            _ => unreachable!("meet keeps what look refuses"),
        }
    }

    fn settle(&mut self) {
        self.queue.discard();
        self.work = Work::None;
    }

    fn in_hand(&self, call: &str) -> Result<(), Failure> {
        match self.work {
            Work::InHand(_) if self.queue.is_forked() => Err(self.forked()),
            Work::InHand(_) => Ok(()),
            Work::Reserved { .. } => Err(self.busy(call)),
            Work::None => Err(self.not_now(call, "no item is in hand: take one first")),
        }
    }

    /// Acknowledges the item in hand.
    pub fn release(&mut self) -> Result<(), Failure> {
        self.in_hand("release")?;
        self.settle();
        Ok(())
    }

    /// Gives the item in hand back.
    pub fn nack(&mut self) -> Result<(), Failure> {
        self.in_hand("nack")?;
        if !self.queue.stats()?.at_least_once {
            return Err(self.not_now(
                "nack",
                "the queue is at-most-once and takes nothing back: release the item (it still is in hand), or create the queue with PRODCON_AT_LEAST_ONCE",
            ));
        }
        self.queue.give_back_forgotten()?;
        self.work = Work::None;
        Ok(())
    }

    // ---------------------------------------------------------------- many

    /// Puts `count` items of `len` bytes that lie one after the other. Gives how many.
    ///
    /// # Safety
    /// `data` is readable for `len * count` bytes, a number that fits into `isize`.
    pub unsafe fn put_many(&mut self, data: *const u8, len: usize, count: usize, wait: Wait) -> (usize, Result<(), Failure>) {
        if let Err(failure) = self.at_rest("put_many").and_then(|()| self.fits(len)) {
            return (0, Err(failure));
        }
        let items = (0..count).map(|index| {
            // SAFETY: index < count, so the item lies within the `len * count` bytes that are readable by this function's contract.
            let item = unsafe { data.add(index * len) };
            // SAFETY: as above.
            unsafe { slice::from_raw_parts(item, len) }
        });
        let done = match wait {
            Wait::Not => self.queue.try_put_many(items),
            Wait::Forever => self.queue.put_many(items),
            Wait::AtMost(timeout) => self.queue.put_many_timeout(items, timeout),
        };
        match done {
            Ok(put) => (put, Ok(())),
            Err(partial) => (partial.put, Err(partial.error.into())),
        }
    }
}

/// What a get came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Got {
    /// The item is in the buffer; its length.
    Copied(usize),
    /// The item stays in hand; its length.
    TooLong(usize),
}
