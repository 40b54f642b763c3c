//! Consumers: the trait and its loop.
//!
//! Invariants: `work` never gets an empty batch, nor one after the worker was seen stopped. At-least-once: a batch is acknowledged after `work` returned Ok and given back
//! otherwise; an item delivered before is worked on alone, so that one that kills its workers takes no others with it. At-most-once: acknowledged before `work` is called.
//! At the queue's end nobody waits for a fuller buffer. Callers: the program of a worker.

use super::batch::Batch;
use super::context::Context;
use super::error::Failure;
use super::run;
use super::settings::Settings;
use super::state::{End, LOOK};
use super::{Producing, named};
use crate::error::{Fault, GetError, OpenError};
use crate::queue::{Attach, Hand, Payload, ReadyQueue, Role, State};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

/// A worker that works on items.
///
/// ```
/// use prodcon::worker::{Batch, Consume, Context, Failure};
/// use std::process::ExitCode;
///
/// struct Sum(u64);
///
/// impl Consume for Sum {
///     type Item = u64;
///     fn on_start(_: &mut Context) -> Result<Self, Failure> {
///         Ok(Self(0))
///     }
///     fn work(&mut self, items: &Batch<u64>, worker: &mut Context) -> Result<(), Failure> {
///         self.0 += items.iter().sum::<u64>();
///         Ok(worker.send_result_item(&self.0)?)
///     }
/// }
///
/// # if false {
/// fn main() -> ExitCode {
///     Sum::main()
/// }
/// # let _ = main;
/// # }
/// ```
pub trait Consume: Sized {
    /// What the work queue holds: any [`Item`](crate::Item), or `[u8]`.
    type Item: Payload + ?Sized;

    /// Called once, before the first call of `work`. What it returns is the worker.
    ///
    /// # Errors
    /// Whatever makes the worker end without having begun; `on_stop` is not called then.
    fn on_start(context: &mut Context) -> Result<Self, Failure>;

    /// Works on 1 to `max_buffer_size` items. Called when the buffer is full, or `work_timeout` after the last call if it holds any, or at the queue's end.
    ///
    /// # Errors
    /// Whatever makes the worker end; the items are given back (at-least-once), `on_stop` is called, and the controlling process hears it.
    fn work(&mut self, items: &Batch<'_, Self::Item>, context: &mut Context) -> Result<(), Failure>;

    /// Called once, after the last call of `work`, whatever ended the loop: stop, the queue's end, error or panic.
    ///
    /// # Errors
    /// What the controlling process is to hear.
    fn on_stop(self, context: &mut Context) -> Result<(), Failure> {
        let _ = context;
        Ok(())
    }

    /// How it works if nobody says otherwise.
    fn settings() -> Settings {
        Settings::consumer()
    }

    /// The `main` of a program that is this worker: exit status 0, 1 if it failed, 2 for a wrong command line.
    fn main() -> ExitCode {
        run::main(std::any::type_name::<Self>(), Self::settings(), consume::<Self>)
    }

    /// One line at the top of the `main` of a program that may be this worker: `if let Some(status) = Sum::main_if_attached() { return status; }`.
    fn main_if_attached() -> Option<ExitCode> {
        run::main_if_attached(std::any::type_name::<Self>(), Self::settings(), consume::<Self>)
    }

    /// A command that starts this executable again as this worker; its `main` begins with [`main_if_attached`](Self::main_if_attached).
    ///
    /// # Errors
    /// The path of the own executable is not known.
    fn this_program() -> std::io::Result<Command> {
        run::this_program(std::any::type_name::<Self>())
    }
}

fn consume<C: Consume>(context: &mut Context) -> Result<(), Failure> {
    let header = context.watch.control.header();
    if header.type_name == named::<Producing>() {
        return Err(format!("'{}' belongs to a producer and holds no items: attach to a consumer's queue", context.name()).into());
    }
    let (alo, max) = (header.at_least_once, context.settings.max_buffer_size);
    // Declared before the worker value, which `live` drops: its seats are the last to go.
    let mut queue = attach::<C::Item>(context, max, alo)?;
    let way = Way {
        max: if alo { max.min(queue.in_hand()) } else { max },
        at_least_once: alo,
    };
    let copies = !alo && queue.in_hand() < max;
    let body = |worker: &mut C, context: &mut Context| {
        if copies {
            way.copied(worker, context, &mut queue)
        } else {
            way.in_place(worker, context, &mut queue)
        }
    };
    run::live(context, C::on_start, body, C::on_stop)
}

/// With as many seats as the buffer needs; else at-least-once with those that are free (more when they become free), at-most-once with one: it copies.
fn attach<T: Payload + ?Sized>(context: &Context, max: usize, at_least_once: bool) -> Result<ReadyQueue<T>, OpenError> {
    let hands = u32::try_from(max).unwrap_or(u32::MAX).min(MOST_IN_HAND);
    let attach = Attach::new().role(Role::Consumer);
    let fewer = if at_least_once {
        attach.clone().in_hand_at_most(hands)
    } else {
        attach.clone()
    };
    let all = attach.in_hand(hands);
    // The workers of a controlling process that was killed need a moment to leave.
    let deadline = context.is_supervised().then(|| Instant::now() + PATIENCE);
    loop {
        let last = deadline.is_none_or(|deadline| Instant::now() >= deadline);
        match ReadyQueue::attach_with(context.name(), &all) {
            Err(OpenError::NoSeat { .. }) if last => return ReadyQueue::attach_with(context.name(), &fewer),
            Err(OpenError::NoSeat { .. }) => std::thread::sleep(Duration::from_millis(10)),
            other => return other,
        }
    }
}

/// How long seats are waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// A queue has at most 1023 seats, and one of an endpoint's always has nothing in hand.
const MOST_IN_HAND: u32 = 1022;

/// How the loop fills its buffer.
struct Way {
    max: usize,
    at_least_once: bool,
}

/// Why filling a buffer ended.
enum Filled {
    /// Hand it over.
    Due,
    /// The worker ends, and the buffer is not handed over.
    Ends,
}

impl Way {
    fn in_place<C: Consume>(&self, worker: &mut C, context: &mut Context, queue: &mut ReadyQueue<C::Item>) -> Result<(), Failure> {
        let mut last = Instant::now();
        loop {
            if let Some(end) = context.watch.ends() {
                return end.outcome(&context.watch.control);
            }
            // One first: whether it was delivered before decides about the rest.
            let first = if self.at_least_once { 1 } else { self.max };
            let mut hand = match queue.take_many_timeout(first, LOOK) {
                Ok(hand) => hand,
                Err(GetError::TimedOut) => continue,
                Err(error) => return stopped(error, context),
            };
            let alone = hand.deliveries(0) > 1;
            let filled = if alone { Ok(Filled::Due) } else { self.fill(&mut hand, context, last) };
            if matches!(filled, Ok(Filled::Due)) && context.watch.ends().is_none() {
                context.counters.calls += 1;
                context.counters.items += hand.len() as u64;
                if !self.at_least_once {
                    hand.ack_in_place();
                }
                let worked = run::guard("work", || worker.work(&Batch::in_place(&hand), context));
                last = Instant::now();
                if let Err(failure) = worked {
                    give_back(hand, self.at_least_once)?;
                    return Err(failure);
                }
                hand.ack();
            } else {
                context.counters.unworked += if self.at_least_once { 0 } else { hand.len() as u64 };
                give_back(hand, self.at_least_once)?;
                filled?;
            }
        }
    }

    /// Lets the buffer grow until it is full or due.
    fn fill<T: Payload + ?Sized>(&self, hand: &mut Hand<'_, T>, context: &mut Context, last: Instant) -> Result<Filled, Failure> {
        while hand.len() < self.max {
            let left = time_left(context, last);
            match hand.take_more(self.max, Some(left)) {
                Ok(0) | Err(GetError::Stopped) => break,
                Ok(_) => {}
                Err(GetError::Empty | GetError::TimedOut) if left.is_zero() => break,
                Err(GetError::Empty | GetError::TimedOut) => {}
                Err(GetError::Fault(Fault::Removed { .. })) => return Ok(Filled::Ends),
                Err(error) => return Err(error.into()),
            }
            if context.watch.ends().is_some() {
                return Ok(Filled::Ends);
            }
        }
        Ok(Filled::Due)
    }

    fn copied<C: Consume>(&self, worker: &mut C, context: &mut Context, queue: &mut ReadyQueue<C::Item>) -> Result<(), Failure> {
        let (mut last, mut buffer) = (Instant::now(), vec![]);
        loop {
            if let Some(end) = context.watch.ends() {
                context.counters.unworked += buffer.len() as u64;
                return end.outcome(&context.watch.control);
            }
            let left = if buffer.is_empty() { LOOK } else { time_left(context, last) };
            let over = match queue.get_many_timeout(self.max - buffer.len(), left) {
                Ok(items) => {
                    buffer.extend(items);
                    None
                }
                Err(GetError::TimedOut) => None,
                Err(error) => Some(error),
            };
            let due = buffer.len() >= self.max || over.is_some() || time_left(context, last).is_zero();
            if due && !buffer.is_empty() && context.watch.ends().is_none() {
                context.counters.calls += 1;
                context.counters.items += buffer.len() as u64;
                let worked = run::guard("work", || worker.work(&Batch::copied(&buffer), context));
                last = Instant::now();
                buffer.clear();
                worked?;
            }
            if let Some(error) = over {
                context.counters.unworked += buffer.len() as u64;
                return stopped(error, context);
            }
        }
    }
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
