//! Consumers: the trait, and how its program attaches, with as many seats as the buffer needs.

use super::consume_loop::ConsumeLoop;
use super::context::Context;
use super::failure::BoxError;
use super::link::attach_to;
use super::program::Program;
use super::run;
use super::settings::Settings;
use super::{Producing, named};
use crate::error::{Error, ErrorKind};
use crate::queue::{AttachOptions, Batch, Payload, ReadyQueue};
use crate::state::Role;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// A worker that works on items.
///
/// ```
/// use prodcon::Batch;
/// use prodcon::worker::{BoxError, Consume, Context};
/// use std::process::ExitCode;
///
/// struct Sum(u64);
///
/// impl Consume for Sum {
///     type Item = u64;
///     fn on_start(_: &mut Context) -> Result<Self, BoxError> {
///         Ok(Self(0))
///     }
///     fn work(&mut self, items: &Batch<u64>, worker: &mut Context) -> Result<(), BoxError> {
///         self.0 += items.iter().sum::<u64>();
///         Ok(worker.send_result(self.0.to_string())?)
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

    /// Begins the work. It is called once, before the first call of `work`, and returns the worker.
    ///
    /// # Errors
    /// An error makes the worker end without having begun. `on_stop` is not called then.
    fn on_start(context: &mut Context) -> Result<Self, BoxError>;

    /// Works on 1 to `max_buffer_size` items. Called when the buffer is full, or `work_timeout`
    /// after the last call if it holds any, or at the queue's end.
    ///
    /// In an at-least-once queue `Ok` acknowledges the items, and an error, a panic or a kill gives
    /// them back for other workers. In an at-most-once queue they were acknowledged before. An item
    /// too large to be copied (above 64 KiB) always lies in its block; there the buffer has no more
    /// items than the worker has seats.
    ///
    /// # Errors
    /// An error makes the worker end. The items are given back (at-least-once), `on_stop` is
    /// called, and the controlling process hears of it.
    fn work(
        &mut self,
        items: &Batch<'_, Self::Item>,
        context: &mut Context,
    ) -> Result<(), BoxError>;

    /// Ends the work. It is called once, after the last call of `work`. The loop may have ended by
    /// a stop, at the queue's end, or after a signal, an error or a panic.
    ///
    /// # Errors
    /// The controlling process is told of an error.
    fn on_stop(self, context: &mut Context) -> Result<(), BoxError> {
        let _ = context;
        Ok(())
    }

    /// Returns the settings that hold unless the controlling handle or the environment says
    /// otherwise.
    fn settings() -> Settings {
        Settings::consumer()
    }

    /// Is the `main` of a program that is this worker. Returns exit status 0, 1 if it failed, 2 for
    /// a wrong command line.
    ///
    /// The first SIGINT or SIGTERM ends the worker as [`Context::stop_on_signals`] says.
    fn main() -> ExitCode {
        run::main(
            std::any::type_name::<Self>(),
            Self::settings(),
            consume::<Self>,
        )
    }

    /// Runs this worker if the process was started as it: one line at the top of the `main` of a
    /// program that may be.
    ///
    /// ```
    /// # use prodcon::worker::Consume;
    /// # fn program<Sum: Consume>() -> std::process::ExitCode {
    /// if let Some(status) = Sum::run_if_worker() {
    ///     return status;
    /// }
    /// # std::process::ExitCode::SUCCESS
    /// # }
    /// ```
    fn run_if_worker() -> Option<ExitCode> {
        run::run_if_worker(
            std::any::type_name::<Self>(),
            Self::settings(),
            consume::<Self>,
        )
    }

    /// Returns what starts this executable again as this worker; its `main` begins with
    /// [`run_if_worker`](Self::run_if_worker).
    ///
    /// # Errors
    /// Returns an error if the path of this executable is not known.
    fn program() -> std::io::Result<Program> {
        run::program(std::any::type_name::<Self>())
    }
}

fn consume<C: Consume>(context: &mut Context) -> Result<(), BoxError> {
    let info = context.watch.control.info().clone();
    if info.type_name == named::<Producing>() {
        return Err(format!(
            "'{}' belongs to a producer and holds no items: attach to a consumer's queue",
            context.name()
        )
        .into());
    }
    let max = context.settings.max_buffer_size;
    // Declared before the worker value, which `live` drops: its seats are the last to go.
    let mut queue = attach::<C::Item>(context, max, info.at_least_once)?;
    let consume_loop = ConsumeLoop::new(max, &info, &queue);
    let body = |worker: &mut C, context: &mut Context| {
        consume_loop.run(context, &mut queue, |items, context| {
            worker.work(items, context)
        })
    };
    run::live(context, C::on_start, body, C::on_stop)
}

/// With as many seats as the buffer needs. Else with those that are free, and more when they become
/// free; or with one where items are copied.
fn attach<T: Payload + ?Sized>(
    context: &Context,
    max: usize,
    at_least_once: bool,
) -> Result<ReadyQueue<T>, Error> {
    let hands = u32::try_from(max).unwrap_or(u32::MAX).min(MOST_IN_HAND);
    let attach = AttachOptions::new()
        .role(Role::Consumer)
        .cancel(context.watch.token());
    let all = attach.clone().max_unacked(hands);
    let fewer = if at_least_once || !T::FITS_BY_VALUE {
        all.clone().min_unacked(1)
    } else {
        attach
    };
    let control = &context.watch.control;
    // The workers of a controlling process that was killed need a moment to leave.
    let deadline = context
        .is_supervised()
        .then(|| Instant::now() + SEATS_TIMEOUT);
    loop {
        let last = deadline.is_none_or(|deadline| Instant::now() >= deadline);
        match attach_to(control, &all) {
            Err(error) if error.kind() == ErrorKind::NoSeat && last => {
                return attach_to(control, &fewer);
            }
            Err(error) if error.kind() == ErrorKind::NoSeat => {
                std::thread::sleep(Duration::from_millis(10))
            }
            other => return other,
        }
    }
}

/// How long seats are waited for.
const SEATS_TIMEOUT: Duration = Duration::from_secs(1);
/// A queue has at most 1023 seats, and one of an endpoint's always has nothing in hand.
const MOST_IN_HAND: u32 = 1022;
