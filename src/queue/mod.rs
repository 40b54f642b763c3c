//! `ReadyQueue<T>`: the ring, a segment, leases and waiting put together.
//!
//! Owns the endpoint: its seats, its cursors, its way of waiting. Invariants: an endpoint is used by one thread at a time (`Send`, not `Sync`); a seat with items in hand
//! never exchanges; a forked copy touches nothing. `attach` makes endpoints, `put` and `get` move items, `hand` and `guard` show them, `care` settles what is in hand and looks
//! after the dead, `own` touches the bytes of blocks, `lend` passes the control handle's methods on. Callers: everybody.

mod attach;
mod beside;
mod care;
mod control;
mod due;
mod get;
mod guard;
mod hand;
mod item;
mod lend;
mod memory;
mod options;
mod overwrite;
mod own;
mod put;
mod stats;
mod supervise;
mod unguarded;
mod wait;

pub use attach::{Attach, Role};
pub use control::Control;
pub use get::Iter;
pub use guard::{Reserved, Taken, TakenBatch, Uncommitted};
pub use hand::Hand;
pub use item::{Item, Payload};
pub use options::{Delivery, Options, State};
pub use stats::{Member, Recovered, Report, Stats};
pub use supervise::Supervision;

use crate::error::OpenError;
use crate::ring::Cursors;
use crate::ring::seat::Seat;
use crate::segment::{Entry, Place, Segment, directory, list as list_segments, unlink as unlink_segment};
use crate::sync::event::wake_one;
use crate::sync::futex::Kernel;
use attach::SeatSet;
use care::Aside;
use due::Due;
use get::Lot;
use std::cell::Cell;
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::path::Path;
use std::time::Instant;

/// Removes a queue's name. Who is attached keeps the memory.
///
/// # Errors
/// No such queue, no permission.
pub fn unlink(name: &str) -> Result<(), OpenError> {
    unlink_segment(&Place::new(None, name)?)
}

/// As [`unlink`], in another directory.
///
/// # Errors
/// As `unlink`.
pub fn unlink_in(dir: &Path, name: &str) -> Result<(), OpenError> {
    unlink_segment(&Place::new(Some(dir), name)?)
}

/// The segments in `PRODCON_DIR` or `/dev/shm`, by name.
///
/// # Errors
/// The directory cannot be read.
pub fn list() -> Result<Vec<Entry>, OpenError> {
    list_segments(&directory())
}

/// The segments in a directory, by name.
///
/// # Errors
/// The directory cannot be read.
pub fn list_in(dir: &Path) -> Result<Vec<Entry>, OpenError> {
    list_segments(dir)
}

/// An endpoint of a named queue. Takes a seat, or more if it wants several items in hand; dropping it gives them back at once.
#[derive(Debug)]
pub struct ReadyQueue<T: Payload + ?Sized> {
    control: Control,
    /// Exchanges. With `hold`, the block in hand is here.
    seat: Seat,
    /// A further seat whose items are the ones in hand: a dead consumer's, or our own while `seat` is needed for a put. Only while `seat` has no `hold`.
    adopted: Option<Seat>,
    /// Free seats, for several items in hand.
    spare: Vec<Seat>,
    /// What a [`Hand`] shows, oldest first. Without a `Hand`: it was forgotten.
    aside: VecDeque<Aside>,
    /// A `Hand` is taking more.
    growing: bool,
    /// When the last seat that was wanted for more items in hand was not to be had.
    short: Option<Instant>,
    /// Every seat that is ours.
    own: SeatSet,
    attach: Attach,
    cursors: Cursors,
    /// What was taken last.
    shown: Lot,
    /// Items of the block in hand that a guard shows. Without a guard: it was forgotten.
    lent: u32,
    /// What is taken goes to a worker's buffer: nobody is shown it yet, and nothing that was delivered
    /// before is added to it.
    buffering: bool,
    /// The buffer was not filled further because an orphan waits.
    awaited: bool,
    /// The block in hand was delivered before: the next get delivers it once more.
    kept: bool,
    /// The `orphans` word when a whole pass last found none.
    orphans: Option<u64>,
    /// Where items go that were delivered too often; attached when it is first needed.
    dead_letters: Option<Box<ReadyQueue<[u8]>>>,
    /// Successes since the last empty or full.
    burst: u32,
    /// When there are so many, it is time for a look at the clock.
    care_at: u32,
    due: Due,
    /// Empties or fulls running with one success before each.
    singles: u32,
    /// After so many of them a distance is tried, see `keep_distance`.
    patience: u32,
    /// Items dropped in a row by lossy puts.
    drops: u32,
    /// Spins since the last that was worth it.
    vain_spins: u32,
    _one_thread: PhantomData<Cell<()>>,
    _items: PhantomData<fn() -> Box<T>>,
}

impl<T: Payload + ?Sized> ReadyQueue<T> {
    /// Creates a queue and attaches to it.
    ///
    /// # Errors
    /// The name is taken or bad, the numbers are out of range, no permission, no space.
    pub fn create(name: &str, options: &Options) -> Result<Self, OpenError> {
        let control = Control::over(Segment::create(options.place(name)?, &options.spec(name, T::plain())?)?);
        Self::enter(control, &options.attach())
    }

    /// Attaches to a queue by name.
    ///
    /// # Errors
    /// No such queue, it is of another type, no seat is free, no permission, or the file is no segment.
    pub fn attach(name: &str) -> Result<Self, OpenError> {
        Self::attach_with(name, &Attach::new())
    }

    /// As [`attach`](Self::attach), in another directory.
    ///
    /// # Errors
    /// As `attach`.
    pub fn attach_in(dir: &Path, name: &str) -> Result<Self, OpenError> {
        Self::attach_with(name, &Attach::new().directory(dir))
    }

    /// Attaches in a role, with several items in hand, or with another limit on spinning.
    ///
    /// # Errors
    /// As [`attach`](Self::attach).
    pub fn attach_with(name: &str, attach: &Attach) -> Result<Self, OpenError> {
        Self::join(attach.place(name)?, attach)
    }

    /// Attaches to the queue if it is there, else creates it.
    ///
    /// # Errors
    /// As [`attach`](Self::attach) and [`create`](Self::create).
    pub fn create_or_attach(name: &str, options: &Options) -> Result<Self, OpenError> {
        loop {
            match Self::attach_with(name, &options.attach()) {
                Err(OpenError::NotFound { .. }) => {}
                other => return other,
            }
            match Self::create(name, options) {
                Err(OpenError::Exists { .. }) => {}
                other => return other,
            }
        }
    }

    /// Another endpoint of the same queue, attached as this one, with seats of its own.
    ///
    /// # Errors
    /// As [`attach`](Self::attach); `Removed` if the name is gone.
    pub fn try_clone(&self) -> Result<Self, OpenError> {
        Self::enter(Control::over(self.control.segment.again()?), &self.attach)
    }

    /// Blocks that this endpoint wants to have in hand at once, at least 1: without batches that many items. Fewer are possible while seats are missing.
    pub fn in_hand(&self) -> usize {
        self.attach.hands.max(1) as usize
    }
}

impl<T: Payload + ?Sized> Drop for ReadyQueue<T> {
    fn drop(&mut self) {
        if self.control.segment.lease.forked() {
            return;
        }
        let aside = std::mem::take(&mut self.aside).into_iter().map(|aside| aside.seat);
        let seats: Vec<Seat> = aside.chain(self.adopted.take()).chain(self.spare.drain(..)).collect();
        let held = self.seat.hold || seats.iter().any(|seat| seat.hold);
        for seat in seats {
            self.release(seat);
        }
        let index = self.seat.index;
        if !self.seat.is_gone() {
            let seat = std::mem::replace(&mut self.seat, Seat::gone(index));
            self.release(seat);
        }
        if held && self.control.segment.lease.links().is_err() {
            self.let_go_of_a_closed_file();
        }
        // A wake-up that was meant for us goes to the next.
        wake_one(&self.control.words().items.0, &Kernel);
        wake_one(&self.control.words().space.0, &Kernel);
    }
}

impl<T: Payload + ?Sized> ReadyQueue<T> {
    /// The program has closed our descriptor: no lock could be given back, they go with the mapping. Only
    /// after that consumers are told to look for orphans, through a mapping of another description.
    /// Without one (the name is gone too) they find them when they look of themselves.
    #[cold]
    fn let_go_of_a_closed_file(&mut self) {
        if let Ok(segment) = self.control.segment.again() {
            self.control = Control::over(segment);
            self.control.ring.raise_orphans();
        }
    }
}
