//! A consumer's loop: fills a buffer until it is due, hands it over, acknowledges it or gives it
//! back.
//!
//! Invariants: nobody is handed an empty batch, nor one after the worker was seen stopped.
//! At-least-once: a batch is acknowledged after the hand-over returned Ok and given back otherwise;
//! what waits in the buffer does not count as delivered before it is handed over; an item delivered
//! before is worked on alone, so that one that kills its workers takes no others with it.
//! At-most-once: acknowledged before it is handed over. At the queue's end nobody waits for a
//! fuller buffer. Items that are too large for the stack are never copied.

use super::context::Context;
use super::failure::{BoxError, guard};
use super::state::{End, LOOK};
use crate::QueueInfo;
use crate::error::{ErrorKind, GetError};
use crate::queue::{Batch, Payload, ReadyQueue};
use crate::state::State;
use std::time::{Duration, Instant};

/// Where a whole buffer of items is there, items of up to this many bytes are copied rather than
/// held. Holding them costs more (`cargo bench --bench workers`).
const SMALL: usize = 64;

/// A consumer's buffer and loop.
pub(crate) struct ConsumeLoop {
    max: usize,
    at_least_once: bool,
    /// There are fewer seats than the buffer has items.
    copies: bool,
    /// At-most-once, and items are quicker copied than held.
    small: bool,
}

/// What became of the buffer.
enum Filled {
    /// It was handed over.
    Due,
    /// Not yet.
    Again,
    /// The worker ends, and the buffer is not handed over.
    Ends(Result<(), BoxError>),
}

impl ConsumeLoop {
    /// `max`: items in the buffer, as the settings say.
    pub(crate) fn new<T: Payload + ?Sized>(
        max: usize,
        info: &QueueInfo,
        queue: &ReadyQueue<T>,
    ) -> Self {
        let (at_least_once, seats) = (info.at_least_once, queue.max_in_hand());
        let small = !at_least_once && T::SIZE.is_some_and(|size| size <= SMALL);
        let too_few = !at_least_once && seats < max;
        Self {
            max: match info.max_deliveries {
                // Whatever comes beside a poisonous item would be dead with it.
                1 => 1,
                _ if at_least_once || !T::FITS_BY_VALUE => max.min(seats),
                _ => max,
            },
            at_least_once,
            copies: T::FITS_BY_VALUE && (too_few || max == 1 && small),
            small,
        }
    }

    /// Runs until the worker has to end. `work` is the user's.
    pub(crate) fn run<T: Payload + ?Sized>(
        &self,
        context: &mut Context,
        queue: &mut ReadyQueue<T>,
        mut work: impl FnMut(&Batch<'_, T>, &mut Context) -> Result<(), BoxError>,
    ) -> Result<(), BoxError> {
        let mut hand_over = |items: &Batch<'_, T>, seat: u32, context: &mut Context| {
            context.counters.calls += 1;
            context.counters.items += items.len() as u64;
            context.begin_work(seat);
            let worked = guard("work", || work(items, context));
            context.end_work();
            worked
        };
        let (mut last, mut copies) = (Instant::now(), vec![]);
        loop {
            if let Some(end) = context.watch.ends() {
                context.counters.unworked += copies.len() as u64;
                return end.outcome(&context.watch.control);
            }
            // A whole buffer of small items: acknowledged and handed over in the same breath,
            // unless other workers are faster.
            let copy = self.copies || !copies.is_empty() || self.small && queue.len() >= self.max;
            let ended = if copy {
                self.copied(context, queue, &mut copies, last, &mut hand_over)?
            } else {
                self.in_place(context, queue, last, &mut hand_over)?
            };
            match ended {
                Filled::Due if self.max > 1 => last = Instant::now(),
                Filled::Due | Filled::Again => {}
                Filled::Ends(outcome) => {
                    context.counters.unworked += copies.len() as u64;
                    return outcome;
                }
            }
        }
    }

    fn in_place<T: Payload + ?Sized>(
        &self,
        context: &mut Context,
        queue: &mut ReadyQueue<T>,
        last: Instant,
        hand_over: &mut impl FnMut(&Batch<'_, T>, u32, &mut Context) -> Result<(), BoxError>,
    ) -> Result<Filled, BoxError> {
        // At-least-once one first: whether it was delivered before decides about the rest.
        let taken = if self.at_least_once {
            queue.take_buffered(LOOK)
        } else {
            queue.within(LOOK).take_many(self.max)
        };
        let mut batch = match taken {
            Ok(batch) => batch,
            Err(GetError::TimedOut | GetError::Cancelled) => return Ok(Filled::Again),
            Err(error) => return Ok(Filled::Ends(stopped(error, context))),
        };
        let alone = batch.delivery_count(0) > 1;
        let filled = if alone {
            Ok(Filled::Due)
        } else {
            self.fill(&mut batch, context, last)
        };
        if !matches!(filled, Ok(Filled::Due)) || context.watch.ends().is_some() {
            context.counters.unworked += if self.at_least_once {
                0
            } else {
                batch.len() as u64
            };
            self.give_back(batch)?;
            // Whatever ends the loop is found by its next round.
            return filled.map(|_| Filled::Again);
        }
        if self.at_least_once {
            batch.show();
        } else {
            batch.ack_in_place();
        }
        let seat = batch.working_seat().unwrap_or_default(); // they lie in place
        match hand_over(&batch, seat, context) {
            Ok(()) => {
                batch.ack();
                Ok(Filled::Due)
            }
            Err(failure) => {
                self.give_back(batch)?;
                Err(failure)
            }
        }
    }

    /// Lets the buffer grow until it is full or due.
    fn fill<T: Payload + ?Sized>(
        &self,
        batch: &mut Batch<'_, T>,
        context: &mut Context,
        last: Instant,
    ) -> Result<Filled, BoxError> {
        while batch.len() < self.max {
            // What is there, without a look at the clock.
            if matches!(batch.take_more(self.max, Some(Duration::ZERO)), Ok(more) if more > 0) {
                continue;
            }
            let left = time_left(context, last);
            match batch.take_more(self.max, Some(left)) {
                // No more, or what comes next was delivered before and is worked on alone.
                Ok(0) | Err(GetError::Stopped) => break,
                Ok(_) => {}
                Err(GetError::Empty | GetError::TimedOut) if left.is_zero() => break,
                Err(GetError::Empty | GetError::TimedOut) => {}
                Err(GetError::Cancelled) => return Ok(Filled::Again),
                Err(error) if error.kind() == ErrorKind::Removed => return Ok(Filled::Again),
                Err(error) => return Err(error.into()),
            }
            if context.watch.ends().is_some() {
                return Ok(Filled::Again);
            }
        }
        Ok(Filled::Due)
    }

    /// Not inlined: its frame has place for items.
    #[inline(never)]
    fn copied<T: Payload + ?Sized>(
        &self,
        context: &mut Context,
        queue: &mut ReadyQueue<T>,
        buffer: &mut Vec<T::Owned>,
        last: Instant,
        hand_over: &mut impl FnMut(&Batch<'_, T>, u32, &mut Context) -> Result<(), BoxError>,
    ) -> Result<Filled, BoxError> {
        while buffer.len() < self.max {
            let Ok(item) = queue.try_get_value() else {
                break;
            };
            buffer.push(item);
        }
        if buffer.len() < self.max {
            let left = if buffer.is_empty() {
                LOOK
            } else {
                time_left(context, last)
            };
            match queue.within(left).get_value() {
                Ok(item) => {
                    buffer.push(item);
                    return Ok(Filled::Again);
                }
                Err(GetError::Cancelled) => return Ok(Filled::Again),
                Err(GetError::Empty | GetError::TimedOut)
                    if buffer.is_empty() || !time_left(context, last).is_zero() =>
                {
                    return Ok(Filled::Again);
                }
                Err(GetError::Empty | GetError::TimedOut) if context.watch.ends().is_some() => {
                    return Ok(Filled::Again);
                }
                Err(GetError::Empty | GetError::TimedOut) => {}
                Err(GetError::Stopped)
                    // The queue's end.
                    if !buffer.is_empty() && context.state() != State::Stopped => {}
                Err(error) => return Ok(Filled::Ends(stopped(error, context))),
            }
        }
        let worked = hand_over(&Batch::copied(buffer), queue.working_seat(), context);
        buffer.clear();
        worked.map(|()| Filled::Due)
    }

    /// Gives a batch back; at-most-once it is lost and counted, or was acknowledged already.
    fn give_back<T: Payload + ?Sized>(&self, batch: Batch<'_, T>) -> Result<(), BoxError> {
        match batch.nack() {
            Err(error) if self.at_least_once => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// How long the buffer may still wait for more; a little at a time, so that a controlling process's
/// death is noticed.
fn time_left(context: &Context, last: Instant) -> Duration {
    if context.state() != State::Started {
        return Duration::ZERO; // at the queue's end nobody waits for others
    }
    let due = last + context.settings.work_timeout;
    due.saturating_duration_since(Instant::now()).min(LOOK)
}

/// What a get's error means for the loop.
fn stopped(error: GetError, context: &Context) -> Result<(), BoxError> {
    match error {
        GetError::Stopped => Ok(()),
        error if error.kind() != ErrorKind::Removed => Err(error.into()),
        _ if context.state() == State::Stopped => Ok(()),
        _ => End::Removed.outcome(&context.watch.control),
    }
}
