//! A consumer's buffer: filled until it is due, handed over, acknowledged or given back.
//!
//! Invariants: `work` never gets an empty batch, nor one after the worker was seen stopped. At-least-once: a batch is acknowledged after `work` returned Ok and given back
//! otherwise; what waits in the buffer does not count as delivered before `work` is called; an item delivered before is worked on alone, so that one that kills its workers takes no others
//! with it. At-most-once: acknowledged before `work` is called.
//! At the queue's end nobody waits for a fuller buffer. Callers: the consumer's loop.

use super::batch::Batch;
use super::consumer::Consume;
use super::context::Context;
use super::error::Failure;
use super::run;
use super::state::{End, LOOK};
use crate::error::{Fault, GetError};
use crate::queue::{Hand, Payload, ReadyQueue, State};
use crate::segment::Header;
use std::time::{Duration, Instant};

/// Items of up to so many bytes are copied rather than held where a whole buffer of them is there: holding costs more (`cargo bench --bench workers`).
const SMALL: usize = 64;

/// How the buffer fills.
pub(crate) struct Way {
    max: usize,
    at_least_once: bool,
    /// There are fewer seats than the buffer has items.
    copies: bool,
    /// At-most-once, and items are quicker copied than held.
    small: bool,
}

/// What became of the buffer.
enum Filled {
    /// It is to be handed over.
    Due,
    /// Not yet.
    Again,
    /// The worker ends, and the buffer is not handed over.
    Ends(Result<(), Failure>),
}

impl Way {
    pub(crate) fn new<T: Payload + ?Sized>(max: usize, header: &Header, copies: bool, queue: &ReadyQueue<T>) -> Self {
        let (at_least_once, max_deliveries) = (header.at_least_once, header.max_deliveries);
        let small = !at_least_once && T::size().is_some_and(|size| size <= SMALL);
        Self {
            max: match max_deliveries {
                // Whatever comes beside a poisonous item would be dead with it.
                1 => 1,
                _ if at_least_once => max.min(queue.in_hand()),
                _ => max,
            },
            at_least_once,
            copies: copies || max == 1 && small,
            small,
        }
    }

    /// The loop.
    pub(crate) fn work<C: Consume>(&self, worker: &mut C, context: &mut Context, queue: &mut ReadyQueue<C::Item>) -> Result<(), Failure> {
        let (mut last, mut copies) = (Instant::now(), vec![]);
        loop {
            if let Some(end) = context.watch.ends() {
                context.counters.unworked += copies.len() as u64;
                return end.outcome(&context.watch.control);
            }
            // A whole buffer of small items: acknowledged and handed over in the same breath, unless other workers are faster.
            let copy = self.copies || !copies.is_empty() || self.small && queue.len() >= self.max;
            let ended = if copy {
                self.copied(worker, context, queue, &mut copies, last)?
            } else {
                self.in_place(worker, context, queue, last)?
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

    fn in_place<C: Consume>(&self, worker: &mut C, context: &mut Context, queue: &mut ReadyQueue<C::Item>, last: Instant) -> Result<Filled, Failure> {
        // At-least-once one first: whether it was delivered before decides about the rest.
        let taken = if self.at_least_once {
            queue.take_buffered(LOOK)
        } else {
            queue.take_many_timeout(self.max, LOOK)
        };
        let mut hand = match taken {
            Ok(hand) => hand,
            Err(GetError::TimedOut) => return Ok(Filled::Again),
            Err(error) => return Ok(Filled::Ends(stopped(error, context))),
        };
        let alone = hand.deliveries(0) > 1;
        let filled = if alone { Ok(Filled::Due) } else { self.fill(&mut hand, context, last) };
        if !matches!(filled, Ok(Filled::Due)) || context.watch.ends().is_some() {
            context.counters.unworked += if self.at_least_once { 0 } else { hand.len() as u64 };
            give_back(hand, self.at_least_once)?;
            return filled.map(|_| Filled::Again); // whatever ends the loop is found by its next round
        }
        if self.at_least_once {
            hand.show();
        } else {
            hand.ack_in_place();
        }
        match hand_over(worker, &Batch::in_place(&hand), context) {
            Ok(()) => {
                hand.ack();
                Ok(Filled::Due)
            }
            Err(failure) => {
                give_back(hand, self.at_least_once)?;
                Err(failure)
            }
        }
    }

    /// Lets the buffer grow until it is full or due.
    fn fill<T: Payload + ?Sized>(&self, hand: &mut Hand<'_, T>, context: &mut Context, last: Instant) -> Result<Filled, Failure> {
        while hand.len() < self.max {
            // What is there, without a look at the clock.
            if matches!(hand.take_more(self.max, Some(Duration::ZERO)), Ok(more) if more > 0) {
                continue;
            }
            let left = time_left(context, last);
            match hand.take_more(self.max, Some(left)) {
                // No more, or what comes next was delivered before and is worked on alone.
                Ok(0) | Err(GetError::Stopped) => break,
                Ok(_) => {}
                Err(GetError::Empty | GetError::TimedOut) if left.is_zero() => break,
                Err(GetError::Empty | GetError::TimedOut) => {}
                Err(GetError::Fault(Fault::Removed { .. })) => return Ok(Filled::Again),
                Err(error) => return Err(error.into()),
            }
            if context.watch.ends().is_some() {
                return Ok(Filled::Again);
            }
        }
        Ok(Filled::Due)
    }

    fn copied<C: Consume>(
        &self,
        worker: &mut C,
        context: &mut Context,
        queue: &mut ReadyQueue<C::Item>,
        buffer: &mut Vec<<C::Item as Payload>::Owned>,
        last: Instant,
    ) -> Result<Filled, Failure> {
        while buffer.len() < self.max {
            let Ok(item) = queue.try_get() else { break };
            buffer.push(item);
        }
        if buffer.len() < self.max {
            let left = if buffer.is_empty() { LOOK } else { time_left(context, last) };
            match queue.get_timeout(left) {
                Ok(item) => {
                    buffer.push(item);
                    return Ok(Filled::Again);
                }
                Err(GetError::TimedOut) if buffer.is_empty() || !time_left(context, last).is_zero() => return Ok(Filled::Again),
                Err(GetError::TimedOut) if context.watch.ends().is_some() => return Ok(Filled::Again),
                Err(GetError::TimedOut) => {}
                Err(GetError::Stopped) if !buffer.is_empty() && context.state() != State::Stopped => {} // the queue's end
                Err(error) => return Ok(Filled::Ends(stopped(error, context))),
            }
        }
        let worked = hand_over(worker, &Batch::copied(buffer), context);
        buffer.clear();
        worked.map(|()| Filled::Due)
    }
}

fn hand_over<C: Consume>(worker: &mut C, items: &Batch<'_, C::Item>, context: &mut Context) -> Result<(), Failure> {
    context.counters.calls += 1;
    context.counters.items += items.len() as u64;
    run::guard("work", || worker.work(items, context))
}

/// How long the buffer may still wait for more; a little at a time, so that a controlling process's death is noticed.
fn time_left(context: &Context, last: Instant) -> Duration {
    if context.state() != State::Started {
        return Duration::ZERO; // at the queue's end nobody waits for others
    }
    let due = last + context.settings.work_timeout;
    due.saturating_duration_since(Instant::now()).min(LOOK)
}

/// What a get's error means for the loop.
fn stopped(error: GetError, context: &Context) -> Result<(), Failure> {
    match error {
        GetError::Stopped => Ok(()),
        GetError::Fault(Fault::Removed { .. }) if context.state() == State::Stopped => Ok(()),
        GetError::Fault(Fault::Removed { .. }) => End::Removed.outcome(&context.watch.control),
        error => Err(error.into()),
    }
}

/// Gives a batch back; at-most-once it is lost and counted, or was acknowledged already.
fn give_back<T: Payload + ?Sized>(hand: Hand<'_, T>, at_least_once: bool) -> Result<(), Failure> {
    match hand.nack() {
        Err(fault) if at_least_once => Err(fault.into()),
        _ => Ok(()),
    }
}
