//! Producers: the trait and its loop.
//!
//! Invariants: calls follow an absolute schedule, so that lateness does not add up. An item goes to
//! every subscribed queue that is ready, in the order of their names. A wait for space looks every
//! few milliseconds whether the worker was stopped.

use super::context::Context;
use super::failure::{BoxError, guard};
use super::link::Link;
use super::program::Program;
use super::run;
use super::settings::{OnFull, Settings};
use crate::error::{ErrorKind, PutError};
use crate::queue::{AttachOptions, Payload};
use crate::state::{Role, State};
use std::borrow::Borrow;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// A producer that is later than this leaves out the calls it missed; up to this it makes up for
/// them.
const MADE_UP: Duration = Duration::from_secs(1);

/// A worker that makes items.
///
/// ```
/// use prodcon::worker::{BoxError, Context, Produce};
/// use std::process::ExitCode;
///
/// struct Counter(u64);
///
/// impl Produce for Counter {
///     type Item = u64;
///     fn on_start(worker: &mut Context) -> Result<Self, BoxError> {
///         Ok(Self(worker.arg("from").unwrap_or("0").parse()?))
///     }
///     fn work(&mut self, _: &mut Context) -> Result<Option<u64>, BoxError> {
///         self.0 += 1;
///         Ok(Some(self.0))
///     }
/// }
///
/// # if false {
/// fn main() -> ExitCode {
///     Counter::main()
/// }
/// # let _ = main;
/// # }
/// ```
pub trait Produce: Sized {
    /// What the subscribed queues hold: any [`Item`](crate::Item), or `[u8]` (then `work` returns
    /// `Vec<u8>`).
    type Item: Payload<Owned: Borrow<Self::Item>> + ?Sized;

    /// Begins the work. It is called once, before the first call of `work`, and returns the worker.
    ///
    /// # Errors
    /// An error makes the worker end without having begun. `on_stop` is not called then.
    fn on_start(context: &mut Context) -> Result<Self, BoxError>;

    /// Makes the next item, or returns `None` if there is none this time.
    ///
    /// # Errors
    /// An error makes the worker end. `on_stop` is called, and the controlling process hears of it.
    fn work(
        &mut self,
        context: &mut Context,
    ) -> Result<Option<<Self::Item as Payload>::Owned>, BoxError>;

    /// Ends the work. It is called once, after the last call of `work`. The loop may have ended by
    /// a stop, a signal, an error or a panic.
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
        Settings::producer()
    }

    /// Is the `main` of a program that is this worker. Returns exit status 0, 1 if it failed, 2 for
    /// a wrong command line.
    ///
    /// The first SIGINT or SIGTERM ends the worker as [`Context::stop_on_signals`] says.
    fn main() -> ExitCode {
        run::main(
            std::any::type_name::<Self>(),
            Self::settings(),
            produce::<Self>,
        )
    }

    /// Runs this worker if the process was started as it: one line at the top of the `main` of a
    /// program that may be.
    ///
    /// ```
    /// # use prodcon::worker::Produce;
    /// # fn program<Counter: Produce>() -> std::process::ExitCode {
    /// if let Some(status) = Counter::run_if_worker() {
    ///     return status;
    /// }
    /// # std::process::ExitCode::SUCCESS
    /// # }
    /// ```
    fn run_if_worker() -> Option<ExitCode> {
        run::run_if_worker(
            std::any::type_name::<Self>(),
            Self::settings(),
            produce::<Self>,
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

/// Attaches to the subscribed queues.
pub(super) fn subscribers<T: Payload + ?Sized>(
    context: &Context,
) -> Result<Vec<Link<T>>, BoxError> {
    let mut subscribers = vec![];
    for name in &context.settings.subscribers {
        let attach = AttachOptions::new()
            .role(Role::Producer)
            .cancel(context.watch.token());
        subscribers.push(Link::new(name, attach).map_err(|error| match error.kind() {
            ErrorKind::NotFound => BoxError::from(format!("its subscriber: {error}")),
            _ => error.into(),
        })?);
    }
    Ok(subscribers)
}

fn produce<P: Produce>(context: &mut Context) -> Result<(), BoxError> {
    let mut subscribers = subscribers::<P::Item>(context)?;
    context.take_seat()?; // last: a seat says that nothing is missing
    let work = |worker: &mut P, context: &mut Context| {
        produce_loop(worker, context, |worker, context| {
            make_one(worker, context, &mut subscribers)
        })
    };
    run::live(context, P::on_start, work, P::on_stop)
}

/// Calls `work` by the schedule, until the worker has to end.
pub(super) fn produce_loop<W>(
    worker: &mut W,
    context: &mut Context,
    mut work: impl FnMut(&mut W, &mut Context) -> Result<(), BoxError>,
) -> Result<(), BoxError> {
    let period = context.settings.work_timeout;
    let mut next = Instant::now();
    loop {
        if let Some(end) = context.watch.ends() {
            return end.outcome(&context.watch.control);
        }
        if context.state() != State::Started {
            return Ok(()); // a producer has no queue's end to wait for
        }
        if !period.is_zero() {
            if !context.watch.sleep(Some(next))? {
                continue;
            }
            next = after(next, period, context);
        }
        context.counters.calls += 1;
        work(worker, context)?;
    }
}

/// Has one item made, and hands it out.
fn make_one<P: Produce>(
    worker: &mut P,
    context: &mut Context,
    subscribers: &mut [Link<P::Item>],
) -> Result<(), BoxError> {
    let Some(item) = guard("work", || worker.work(context))? else {
        return Ok(());
    };
    context.counters.items += 1;
    let item: &P::Item = item.borrow();
    for subscriber in &mut *subscribers {
        hand_out(subscriber, item, context)?;
    }
    if context.settings.items_to_results {
        context.send_result(item.bytes())?;
    }
    Ok(())
}

/// When the call after the one of `this` time is due.
fn after(this: Instant, period: Duration, context: &mut Context) -> Instant {
    let next = this + period;
    let late = Instant::now().saturating_duration_since(next);
    if late <= MADE_UP {
        return next;
    }
    let missed = (late.as_nanos() / period.as_nanos())
        .try_into()
        .unwrap_or(u32::MAX);
    context.counters.late += u64::from(missed);
    next + period.saturating_mul(missed)
}

/// Puts an item into a subscribed queue, if it is there and ready.
fn hand_out<T: Payload + ?Sized>(
    subscriber: &mut Link<T>,
    item: &T,
    context: &mut Context,
) -> Result<(), BoxError> {
    let Some(queue) = subscriber.get()? else {
        context.counters.not_ready += 1;
        return Ok(());
    };
    let mut result = queue.try_put(item);
    if matches!(result, Err(PutError::Full)) && context.settings.on_full == OnFull::Wait {
        context.watch.watch_closely();
        result = queue.put(item);
    }
    if !told(result, context)? {
        subscriber.lost();
    }
    Ok(())
}

/// Counts what became of a put. Returns false if the queue is gone.
pub(super) fn told(result: Result<(), PutError>, context: &mut Context) -> Result<bool, BoxError> {
    let counters = &mut context.counters;
    match result {
        Ok(()) => counters.put += 1,
        Err(PutError::NotReady | PutError::Stopped) => counters.not_ready += 1,
        Err(PutError::Full | PutError::TimedOut | PutError::Cancelled) => counters.full += 1,
        Err(error) if error.kind() == ErrorKind::Removed => {
            counters.not_ready += 1;
            return Ok(false);
        }
        Err(error) => return Err(error.into()),
    }
    Ok(true)
}
