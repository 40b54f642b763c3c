//! A queue of bytes together with what C has in hand of it.
//!
//! C has no borrows, so the guards of the Rust API are not kept: a reservation is made again at the
//! commit, and shows the same block; an item in hand is a guard that was forgotten, which is settled
//! with `ack_forgotten` or `give_back_forgotten`. In between this type refuses everything that would
//! settle it otherwise.
//!
//! [`Queue`] is what C has a pointer to.
//!
//! Invariant: `work` is `Reserved` only while nothing was done on the queue since the reservation;
//! `work` is `InHand` exactly while the queue's seat holds items for C, and its pointer is good for
//! as long.

use crate::cancel::Held;
use crate::failure::Failure;
use crate::handle::{Handle, Shell};
use crate::lent::Lent;
use crate::status::*;
use rust::bindings::copy_item;
use rust::{CommitError, Delivery, GetError, ItemId, PutError, ReadyQueue};
use std::collections::VecDeque;
use std::slice;
use std::sync::Mutex;
use std::sync::atomic::AtomicPtr;
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

/// An item in hand, or the items of a block.
#[derive(Debug, Clone, Copy)]
struct Item {
    data: *const u8,
    len: usize,
    /// C has its address. Else a get met it whose buffer was too small.
    taken: bool,
}

// SAFETY: the pointer in an `Item` is to the mapping that `queue` owns and takes along; it is read by whoever has the endpoint.
unsafe impl Send for Endpoint {}

/// A handle of a queue. It takes one seat, and one thread at a time may use it. Attach once for
/// each thread and for each process: a forked child attaches again.
#[derive(Debug)]
pub struct Queue(Shell<Endpoint>);

impl Handle for Queue {
    type Content = Endpoint;
    const NAME: &'static str = "queue";
    const MARK: u32 = u32::from_be_bytes(*b"pcQ\0");

    fn name(content: &Endpoint) -> &str {
        content.name()
    }
    fn new() -> Self {
        Self(Shell::closed(Self::CLOSED))
    }
    #[inline(always)]
    fn shell(&self) -> &Shell<Endpoint> {
        &self.0
    }
    fn last_closed() -> &'static AtomicPtr<Self> {
        static LAST: AtomicPtr<Queue> = AtomicPtr::new(std::ptr::null_mut());
        &LAST
    }
    fn pool() -> &'static Mutex<VecDeque<&'static Self>> {
        static POOL: Mutex<VecDeque<&'static Queue>> = Mutex::new(VecDeque::new());
        &POOL
    }
}

/// How long a call waits.
#[derive(Debug, Clone, Copy)]
pub enum Wait {
    /// Not at all.
    Not,
    /// As long as it takes.
    Forever,
    /// For at most this time.
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

    /// As the Rust crate wants it.
    pub fn time(self) -> Option<Duration> {
        match self {
            Self::Not => Some(Duration::ZERO),
            Self::AtMost(timeout) => Some(timeout),
            Self::Forever => None,
        }
    }
}

/// Copies; small items without a call.
///
/// # Safety
/// As `ptr::copy_nonoverlapping`; nobody changes the bytes meanwhile.
#[inline(always)]
unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
    if len == 8 {
        // SAFETY: 8 bytes may be read there by this function's contract.
        let word = unsafe { from.cast::<u64>().read_unaligned() };
        // SAFETY: 8 bytes may be written there by this function's contract.
        unsafe { to.cast::<u64>().write_unaligned(word) };
    } else if len > 0 {
        // SAFETY: readable for len bytes, and not changed meanwhile, by this function's contract.
        let item = unsafe { slice::from_raw_parts(from, len) };
        // SAFETY: writable for len bytes, and not in the item, by this function's contract.
        let place = unsafe { slice::from_raw_parts_mut(to, len) };
        copy_item(item, place);
    }
}

impl Endpoint {
    /// Nothing in hand.
    pub fn new(queue: ReadyQueue<[u8]>) -> Self {
        Self {
            queue,
            work: Work::None,
        }
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
        Failure::forked("queue")
    }

    #[cold]
    fn busy(&self, call: &str) -> Failure {
        match self.work {
            Work::Reserved { .. } => self.not_now(call, "a block is reserved: commit or cancel it first"),
            Work::InHand(Item { taken: true, .. }) => self.not_now(call, "an item is in hand: acknowledge it or give it back first"),
            _ => self.not_now(
                call,
                "an item is in hand that was too large for a get: get it with a larger buffer, acknowledge it, or give it back first",
            ),
        }
    }

    /// No block is reserved and no item in hand.
    #[inline(always)]
    fn at_rest(&self, call: &str) -> Result<(), Failure> {
        if matches!(self.work, Work::None) {
            Ok(())
        } else {
            Err(self.busy(call))
        }
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

    // ---------------------------------------------------------------- put

    /// Puts an item if nothing stands in the way; `put` says what does.
    ///
    /// # Safety
    /// `data` is NULL or readable for `len` bytes.
    #[inline(always)]
    pub unsafe fn put_at_once(&mut self, data: *const u8, len: usize) -> bool {
        if data.is_null() || !matches!(self.work, Work::None) || len > self.queue.item_size() {
            return false;
        }
        // SAFETY: not NULL and readable for len bytes by this function's contract; len <= item_size, so it fits into isize.
        let item = unsafe { slice::from_raw_parts(data, len) };
        // The most common length gets a copy without a call.
        match <&[u8; 8]>::try_from(item) {
            Ok(word) => self.queue.put_at_once(word),
            Err(_) => self.put_any_at_once(item),
        }
    }

    #[inline(never)]
    fn put_any_at_once(&mut self, item: &[u8]) -> bool {
        self.queue.put_at_once(item)
    }

    /// # Safety
    /// `data` is readable for `len` bytes.
    pub unsafe fn put(
        &mut self,
        data: *const u8,
        len: usize,
        timeout_ns: i64,
    ) -> Result<(), Failure> {
        self.at_rest("put")?;
        if isize::try_from(len).is_err() {
            return Err(self.too_long_to_put(len));
        }
        // SAFETY: readable for len bytes by this function's contract; len fits into isize, as was checked.
        let item = unsafe { slice::from_raw_parts(data, len) };
        match self.queue.try_put(item) {
            Ok(()) => Ok(()),
            Err(error) => self.wait_to_put(item, error, timeout_ns),
        }
    }

    #[cold]
    fn too_long_to_put(&self, len: usize) -> Failure {
        let (name, max) = (self.name(), self.queue.item_size());
        let text = format!(
            "an item of {len} bytes is too long for queue '{name}', whose items have at most {max}"
        );
        Failure::with(PRODCON_TOO_LARGE, text)
    }

    /// Apart, so that the way without waiting is short (and does not read the clock).
    #[cold]
    #[inline(never)]
    fn wait_to_put(
        &mut self,
        item: &[u8],
        error: PutError,
        timeout_ns: i64,
    ) -> Result<(), Failure> {
        if !matches!(error, PutError::Full) {
            return Err(error.into());
        }
        let _held = Held::begin();
        match Wait::from_ns(timeout_ns) {
            Wait::Not => Err(error.into()),
            Wait::Forever => Ok(self.queue.put(item)?),
            Wait::AtMost(timeout) => Ok(self.queue.within(timeout).put(item)?),
        }
    }

    /// The block to be filled.
    pub fn reserve(&mut self, len: usize) -> Result<*mut u8, Failure> {
        self.at_rest("reserve")?;
        let mut block = self.queue.reserve(len)?;
        let data = block.as_mut_ptr();
        self.work = Work::Reserved { len };
        Ok(data)
    }

    /// Puts the block that is reserved. If that fails it stays reserved.
    pub fn commit(&mut self, len: usize, timeout_ns: i64) -> Result<(), Failure> {
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
        // The same block with what C wrote: nothing was done in between.
        let block = self.queue.reserve(len)?;
        match block.commit_within(Duration::ZERO) {
            Ok(()) => {}
            Err(refused) => Self::wait_to_commit(refused, timeout_ns)?,
        }
        self.work = Work::None;
        Ok(())
    }

    /// Apart, so that the way without waiting is short.
    #[cold]
    #[inline(never)]
    fn wait_to_commit(refused: CommitError<'_, [u8]>, timeout_ns: i64) -> Result<(), Failure> {
        let CommitError {
            error, reservation, ..
        } = refused;
        if !matches!(error, PutError::Full) {
            return Err(error.into());
        }
        let _held = Held::begin();
        match Wait::from_ns(timeout_ns) {
            Wait::Not => Err(error.into()),
            Wait::Forever => Ok(reservation.commit()?),
            Wait::AtMost(timeout) => {
                Ok(reservation.commit_within(timeout).map_err(PutError::from)?)
            }
        }
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

    /// Lets go of the guard; the item stays in hand.
    fn keep(guard: Delivery<'_, [u8]>, taken: bool) -> Work {
        let (data, len) = (guard.as_ptr(), guard.len());
        std::mem::forget(guard);
        Work::InHand(Item { data, len, taken })
    }

    /// Waits for an item. Apart, so that the way without waiting is short (and does not read the clock).
    #[cold]
    #[inline(never)]
    fn wait_to_take(
        queue: &mut ReadyQueue<[u8]>,
        error: GetError,
        timeout_ns: i64,
    ) -> Result<Delivery<'_, [u8]>, Failure> {
        if !matches!(error, GetError::Empty) {
            return Err(error.into());
        }
        let _held = Held::begin();
        match Wait::from_ns(timeout_ns) {
            Wait::Not => Err(error.into()),
            Wait::Forever => Ok(queue.take()?),
            Wait::AtMost(timeout) => Ok(queue.within(timeout).take()?),
        }
    }

    /// Copies the item into the buffer, or keeps it in hand if it is too long. Gives its length either way.
    ///
    /// # Safety
    /// `buffer` is writable for `size` bytes.
    pub unsafe fn get(
        &mut self,
        buffer: *mut u8,
        size: usize,
        timeout_ns: i64,
    ) -> Result<Got, Failure> {
        if !matches!(self.work, Work::None) {
            // SAFETY: this function's contract.
            return unsafe { self.get_met(buffer, size) };
        }
        let error = match self.queue.try_take() {
            // SAFETY: this function's contract.
            Ok(guard) => return Ok(unsafe { Self::receive(&mut self.work, guard, buffer, size) }),
            Err(error) => error,
        };
        // SAFETY: this function's contract.
        unsafe { self.wait_to_get(error, buffer, size, timeout_ns) }
    }

    /// Gets an item if nothing stands in the way; else `get` says what does, and finds it.
    ///
    /// # Safety
    /// `buffer` is NULL or writable for `size` bytes.
    #[inline(always)]
    pub unsafe fn get_at_once(&mut self, buffer: *mut u8, size: usize) -> Option<usize> {
        if buffer.is_null() || !matches!(self.work, Work::None) {
            return None;
        }
        self.queue.get_at_once(size, |item| {
            // SAFETY: the item is readable for its length, which is at most `size`; the buffer by this function's contract, and it is not in the item's block, which is this seat's alone.
            unsafe { copy(item.as_ptr(), buffer, item.len()) };
            item.len()
        })
    }

    /// # Safety
    /// As [`get`](Self::get).
    #[cold]
    #[inline(never)]
    unsafe fn wait_to_get(
        &mut self,
        error: GetError,
        buffer: *mut u8,
        size: usize,
        timeout_ns: i64,
    ) -> Result<Got, Failure> {
        let guard = Self::wait_to_take(&mut self.queue, error, timeout_ns)?;
        // SAFETY: this function's contract.
        Ok(unsafe { Self::receive(&mut self.work, guard, buffer, size) })
    }

    /// # Safety
    /// As [`get`](Self::get).
    #[inline(always)]
    unsafe fn receive(
        work: &mut Work,
        guard: Delivery<'_, [u8]>,
        buffer: *mut u8,
        size: usize,
    ) -> Got {
        let item: &[u8] = &guard;
        let len = item.len();
        if len > size {
            *work = Self::keep(guard, false);
            return Got::TooLong(len);
        }
        // SAFETY: the item is readable for its length, which is at most `size`; the buffer by this function's contract, and it is not in the item's block, which is this seat's alone.
        unsafe { copy(item.as_ptr(), buffer, len) };
        guard.ack();
        Got::Copied(len)
    }

    /// # Safety
    /// As [`get`](Self::get).
    #[cold]
    #[inline(never)]
    unsafe fn get_met(&mut self, buffer: *mut u8, size: usize) -> Result<Got, Failure> {
        let Work::InHand(item @ Item { taken: false, .. }) = self.work else {
            return Err(self.busy("get"));
        };
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
            "queue '{}': the next item has {len} bytes, the buffer {size}: get it with a larger buffer (items have at most {}), \
             acknowledge it, or give it back",
            self.name(),
            self.queue.item_size()
        );
        Failure::with(PRODCON_TOO_LARGE, text)
    }

    /// Takes an item in place.
    pub fn take(&mut self, timeout_ns: i64) -> Result<(*const u8, usize), Failure> {
        self.at_rest("take")?;
        let error = match self.queue.try_take() {
            Ok(guard) => return Ok(Self::show(&mut self.work, guard)),
            Err(error) => error,
        };
        let guard = Self::wait_to_take(&mut self.queue, error, timeout_ns)?;
        Ok(Self::show(&mut self.work, guard))
    }

    /// Takes an item that may leave.
    pub fn take_owned(&mut self, timeout_ns: i64) -> Result<Lent, Failure> {
        self.at_rest("take_owned")?;
        let queue = &mut self.queue;
        let delivery = match Wait::from_ns(timeout_ns) {
            Wait::Not => queue.within(Duration::ZERO).take_owned()?,
            Wait::AtMost(timeout) => queue.within(timeout).take_owned()?,
            Wait::Forever => queue.take_owned()?,
        };
        Ok(Lent {
            delivery,
            at_least_once: queue.control().info().at_least_once,
        })
    }

    fn show(work: &mut Work, guard: Delivery<'_, [u8]>) -> (*const u8, usize) {
        let item = (guard.as_ptr(), guard.len());
        *work = Self::keep(guard, true);
        item
    }

    /// Takes the items of a block in place: where they are, and how many.
    pub fn take_slice(&mut self, timeout_ns: i64) -> Result<(*const u8, usize), Failure> {
        self.at_rest("take_slice")?;
        if self.queue.control().info().type_name.is_empty() {
            return Err(self.not_now(
                "take_slice",
                "its items are bytes, each with a length of its own: take them one by one",
            ));
        }
        let shown = |(items, number): (&[u8], usize)| (items.as_ptr(), items.len(), number);
        let at_once = self.queue.take_forgotten(Some(Duration::ZERO)).map(shown);
        let (data, len, number) = match at_once {
            Ok(items) => items,
            Err(error) if timeout_ns == 0 || !matches!(error, GetError::Empty) => {
                return Err(error.into());
            }
            Err(_) => {
                let _held = Held::begin();
                shown(
                    self.queue
                        .take_forgotten(Wait::from_ns(timeout_ns).time())?,
                )
            }
        };
        self.work = Work::InHand(Item {
            data,
            len,
            taken: true,
        });
        Ok((data, number))
    }

    fn settle(&mut self) {
        self.queue.ack_forgotten();
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

    /// Acknowledges what is in hand.
    pub fn ack(&mut self) -> Result<(), Failure> {
        self.in_hand("ack")?;
        self.settle();
        Ok(())
    }

    /// Gives back what is in hand.
    pub fn nack(&mut self) -> Result<(), Failure> {
        self.in_hand("nack")?;
        if !self.queue.control().info().at_least_once {
            return Err(self.not_now(
                "nack",
                "the queue is at-most-once and takes nothing back: acknowledge the item (it still is in hand), or create the queue with PRODCON_AT_LEAST_ONCE",
            ));
        }
        self.give_back()
    }

    /// Gives back what is in hand, or acknowledges it where nothing can be given back.
    pub fn drop_in_hand(&mut self) -> Result<(), Failure> {
        self.in_hand("drop")?;
        if self.queue.control().info().at_least_once {
            return self.give_back();
        }
        self.settle();
        Ok(())
    }

    fn give_back(&mut self) -> Result<(), Failure> {
        let _held = Held::begin();
        self.queue.give_back_forgotten()?;
        self.work = Work::None;
        Ok(())
    }

    /// What identifies item `index` of those in hand.
    pub fn item_id(&self, index: usize) -> Result<ItemId, Failure> {
        self.in_hand("item_id")?;
        let id = self.queue.id_forgotten(index);
        id.ok_or_else(|| {
            self.not_now(
                "item_id",
                &format!("no item {index} is in hand: count from 0"),
            )
        })
    }

    /// How many times what is in hand has been delivered.
    pub fn delivery_count(&self) -> Result<u32, Failure> {
        self.in_hand("delivery_count")?;
        Ok(self.queue.deliveries_forgotten())
    }

    // ---------------------------------------------------------------- many

    /// Puts `count` items of `len` bytes that lie one after the other. Gives how many.
    ///
    /// # Safety
    /// `data` is readable for `len * count` bytes, a number that fits into `isize`.
    pub unsafe fn put_many(
        &mut self,
        data: *const u8,
        len: usize,
        count: usize,
        timeout_ns: i64,
    ) -> (usize, Result<(), Failure>) {
        let _held = Held::begin();
        if let Err(failure) = self.at_rest("put_many") {
            return (0, Err(failure));
        }
        // SAFETY: readable for `len * count` bytes by this function's contract, which fit into isize.
        let items = unsafe { slice::from_raw_parts(data, len * count) };
        match self
            .queue
            .put_items(items, len, count, Wait::from_ns(timeout_ns).time())
        {
            Ok(()) => (count, Ok(())),
            Err(partial) => (partial.put, Err(partial.into())),
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
