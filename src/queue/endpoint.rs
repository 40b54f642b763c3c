//! The endpoint without its type: seats, cursors, what is in hand, and how it waits.
//!
//! Invariants: one thread uses an endpoint at a time. A seat with items in hand never exchanges. A
//! forked copy touches nothing. The seats in `control.own` are locked by this endpoint's own
//! description and by nothing else.

use super::claims::Claims;
use super::control::Control;
use super::due::Due;
use super::held::{Aside, HeldSpan};
use super::item::Plain;
use super::loans::Loans;
use super::memory::Mapped;
use super::options::{AttachOptions, QueueOptions};
use super::wait::For;
use crate::error::{Error, ErrorKind, OpenError, Reason};
use crate::ring::seat::Seat;
use crate::ring::{Cursors, Ring, RingError};
use crate::segment::{Place, Segment};
use crate::sync::event::wake_one;
use crate::sys::futex::Kernel;
use std::cell::{Cell, OnceCell};
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Instant;

/// An endpoint: what a [`ReadyQueue`](crate::ReadyQueue) is without its type.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) control: Control,
    /// The seat that exchanges. With `hold`, the block in hand is here.
    pub(super) seat: Seat,
    /// A further seat, whose items are the ones in hand: a dead consumer's, or our own while `seat`
    /// is needed for a put. It is used only while `seat` has no `hold`.
    pub(super) adopted: Option<Seat>,
    /// That seat was one of ours before it had these items: it comes back when they are settled.
    pub(super) adopted_is_own: bool,
    /// Free seats, for several items in hand.
    pub(super) spare: Vec<Seat>,
    /// What a [`Batch`](super::Batch) shows, oldest first. If there is no `Batch`, it was
    /// forgotten.
    pub(super) aside: VecDeque<Aside>,
    /// A `Batch` is taking more.
    pub(super) growing: bool,
    /// When the endpoint last asked for a further seat for items in hand and got none.
    pub(super) short: Option<Instant>,
    /// The number of blocks that may be put aside at once.
    pub(super) hands: u32,
    /// What left with seats of its own, once something has.
    pub(super) loans: Option<Arc<Loans>>,
    pub(super) attach: AttachOptions,
    pub(super) cursors: Cursors,
    /// What was taken last.
    pub(super) shown: HeldSpan,
    /// Items of the block in hand that a guard shows. If there is no guard, it was forgotten.
    pub(super) lent: u32,
    /// The item in hand was refused because of its length, and nothing was done since.
    pub(super) refused: bool,
    /// What is taken goes to a worker's buffer. Nobody is shown it yet, and nothing that was
    /// delivered before is added to it.
    pub(super) buffering: bool,
    /// The buffer was not filled further because an orphan waits.
    pub(super) awaited: bool,
    /// The block in hand was delivered before: the next get delivers it once more.
    pub(super) kept: bool,
    /// The value of the `orphans` word when a whole pass last found none.
    pub(super) orphans: Option<u64>,
    /// The queue for items that were delivered too often. It is attached when it is first needed.
    pub(super) dead_letters: Option<Box<Endpoint>>,
    /// Successes since the last empty or full.
    pub(super) burst: u32,
    /// The number of empties or fulls in a row with one success before each.
    pub(super) singles: u32,
    /// After this many of them a distance is tried, see `keep_distance`.
    pub(super) patience: u32,
    /// Items dropped in a row by lossy puts.
    pub(super) drops: u32,
    /// Spins since the last one that was worth it.
    pub(super) failed_spins: u32,
    /// When it looks after the dead.
    pub(super) due: Due,
    /// Whether it takes the cache lines that it has read.
    pub(super) claims: Claims,
    /// After this many successes in a burst the fast paths end, because it is time to look at the
    /// clock.
    pub(super) care_at: u32,
    /// The ring is `single`, and nothing is in hand, so the fast paths need not look at each of
    /// these. `is_unburdened` says it whenever a slow path has been gone; every take withdraws it.
    pub(super) usual: bool,
    /// A handle of its own for the thread that waits, from the first time that it is needed.
    pub(super) watch: OnceCell<Arc<Control>>,
    pub(super) _one_thread: PhantomData<Cell<()>>,
}

impl Endpoint {
    /// Creates a queue and attaches to it.
    pub(super) fn create(
        name: &str,
        options: &QueueOptions,
        plain: Option<Plain>,
    ) -> Result<Self, Error> {
        let place = options.place(name)?;
        let control = Control::over(Segment::create(place.clone(), &options.spec(name, plain)?)?);
        let id = control.id();
        Self::enter(control, options.attach_options()).map_err(|error| {
            // A create that fails leaves nothing: the queue goes if the name still is this one's.
            if let Some(made) = Control::open(place).ok().filter(|made| made.id() == id) {
                let _ = made.unlink();
            }
            error.into()
        })
    }

    /// Attaches to a queue if it has the options that were asked for, or creates it.
    pub(super) fn create_or_attach(
        name: &str,
        options: &QueueOptions,
        plain: impl Fn() -> Option<Plain>,
    ) -> Result<Self, Error> {
        loop {
            match Self::attach_if(name, options, plain().as_ref()) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                other => return other,
            }
            match Self::create(name, options, plain()) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                other => return other,
            }
        }
    }

    /// Attaches to a queue if it has the options that were asked for.
    pub(super) fn attach_if(
        name: &str,
        options: &QueueOptions,
        plain: Option<&Plain>,
    ) -> Result<Self, Error> {
        let place = options.place(name)?;
        Self::attach_checked(&place, options.attach_options(), |segment| {
            let differences = options.differences(&segment.header, plain);
            if !differences.is_empty() {
                return Err(Error::new(Reason::Differ(place.name.clone(), differences)));
            }
            Ok(plain.map_or(Ok(()), |plain| fits(segment, plain))?) // its alignment
        })
    }

    /// Opens another endpoint of the same queue, attached as this one.
    pub(super) fn try_clone(&self) -> Result<Self, OpenError> {
        Self::enter(Control::over(self.control.segment.again()?), &self.attach)
    }

    /// Attaches by name.
    pub(super) fn join(
        place: &Place,
        attach: &AttachOptions,
        plain: Option<&Plain>,
    ) -> Result<Self, OpenError> {
        Self::attach_checked(place, attach, |segment| {
            plain.map_or(Ok(()), |plain| fits(segment, plain))
        })
    }

    /// Attaches to the queue of that name if it passes `check`.
    fn attach_checked<E: From<OpenError>>(
        place: &Place,
        attach: &AttachOptions,
        check: impl Fn(&Segment) -> Result<(), E>,
    ) -> Result<Self, E> {
        loop {
            let segment = Segment::attach(place.clone())?;
            check(&segment)?;
            match Self::enter_checked(segment, attach) {
                // The name was removed between our open and our lock. If it is there, it is another
                // queue's.
                Err(OpenError::Removed { .. }) => {}
                joined => return Ok(joined?),
            }
        }
    }

    fn enter_checked(segment: Segment, attach: &AttachOptions) -> Result<Self, OpenError> {
        let control = Control::over(segment);
        control.check_blocks()?;
        Self::enter(control, attach)
    }
}

impl Endpoint {
    /// Handles a program that has closed our descriptor. No lock can be given back; the locks go
    /// with the mapping. Only after that are consumers told to look for orphans, through a mapping
    /// of another description. Without one (the name is gone too) they find the orphans when they
    /// look by themselves.
    #[cold]
    fn let_go_of_a_closed_file(&mut self) {
        if let Ok(segment) = self.control.segment.again() {
            self.control = Control::over(segment);
            self.control.ring.raise_orphans();
        }
    }
}

/// The gate, used by an endpoint: it discards the void items, which a handle without a seat cannot.
impl Endpoint {
    pub(super) fn set_not_ready(&mut self) -> Result<(), Error> {
        self.clear_by(Ring::set_not_ready)
    }

    pub(super) fn clear(&mut self) -> Result<(), Error> {
        self.clear_by(Ring::clear)
    }

    fn clear_by(
        &mut self,
        change: impl Fn(&Ring<Mapped>) -> Result<u64, RingError>,
    ) -> Result<(), Error> {
        let epoch = self.control.gate(change)?;
        if !self.has_seat(For::Space) || self.seat.hold {
            return Ok(()); // a seat with items in hand never exchanges
        }
        let drained = self
            .control
            .ring
            .drain(&mut self.cursors, &mut self.seat, epoch);
        self.wake_for_discarded();
        drained.map_err(|refusal| self.control.fault(refusal).into())
    }
}

/// Checks that items of this type can be put into the queue and got from it.
pub(super) fn fits(segment: &Segment, plain: &Plain) -> Result<(), OpenError> {
    let (header, geometry) = (&segment.header, &segment.geometry);
    let differs = |what, expected: String, found: String| {
        Err(OpenError::Incompatible {
            queue: segment.place.name.clone(),
            what,
            expected,
            found,
        })
    };
    let Plain {
        name,
        size,
        align,
        layout,
    } = plain;
    let typed = !header.type_name.is_empty();
    if typed && header.type_name != *name {
        return differs("item type", name.to_string(), header.type_name.clone());
    }
    if typed && ![header.layout, *layout].contains(&0) && header.layout != *layout {
        return differs(
            "layout of the item type",
            format!("{layout:016x}"),
            format!("{:016x}", header.layout),
        );
    }
    if (typed && header.item_size != *size as u64) || header.item_size < *size as u64 {
        return differs("item size", size.to_string(), header.item_size.to_string());
    }
    let aligned = [
        geometry.payload_offset,
        geometry.block_size,
        geometry.blocks_offset,
    ];
    if aligned.iter().any(|offset| offset % *align as u64 != 0) {
        return differs(
            "item alignment",
            align.to_string(),
            header.item_align.to_string(),
        );
    }
    Ok(())
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        if self.control.segment.lease.forked() {
            return;
        }
        let aside = std::mem::take(&mut self.aside)
            .into_iter()
            .map(|aside| aside.seat);
        let mut seats = self.close_loans();
        seats.extend(aside.chain(self.adopted.take()).chain(self.spare.drain(..)));
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
        // A wake-up that was meant for us goes to the next waiter.
        wake_one(&self.control.words().items.0, &Kernel);
        wake_one(&self.control.words().space.0, &Kernel);
    }
}
