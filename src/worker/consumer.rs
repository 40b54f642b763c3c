//! Consumers: the trait and its loop.
//!
//! Attaches with as many seats as the buffer needs. How the buffer fills is in `buffer`. Callers: the program of a worker.

use super::batch::Batch;
use super::buffer::Way;
use super::context::Context;
use super::error::Failure;
use super::run;
use super::settings::Settings;
use super::{Producing, named};
use crate::error::OpenError;
use crate::queue::{Attach, Payload, ReadyQueue, Role};
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
    let header = context.watch.control.header().clone();
    if header.type_name == named::<Producing>() {
        return Err(format!("'{}' belongs to a producer and holds no items: attach to a consumer's queue", context.name()).into());
    }
    let (alo, max) = (header.at_least_once, context.settings.max_buffer_size);
    // Declared before the worker value, which `live` drops: its seats are the last to go.
    let mut queue = attach::<C::Item>(context, max, alo)?;
    let copies = !alo && queue.in_hand() < max;
    let way = Way::new::<C::Item>(max, &header, copies, &queue);
    let body = |worker: &mut C, context: &mut Context| way.work(worker, context, &mut queue);
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
