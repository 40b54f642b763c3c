//! Producers that fill the queue's own memory.
//!
//! Invariants: `fill` writes into a block that the worker owns until it is committed. Every
//! subscriber's block is filled before the first one is committed, because a block that was put is
//! another process's. Items go out in the order of the subscribers' names, as a
//! [`Produce`](super::Produce) does it.

use super::context::Context;
use super::failure::{BoxError, guard};
use super::link::Link;
use super::produce::{produce_loop, subscribers, told};
use super::program::Program;
use super::run;
use super::settings::{OnFull, Settings};
use crate::error::PutError;
use crate::queue::{Payload, ReadyQueue, Reservation};
use std::process::ExitCode;
use std::time::Duration;

/// What [`ProduceInPlace::fill`] has filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Filled {
    /// The item, or all bytes of the block.
    Item,
    /// The first bytes, this many. It is for `[u8]` only.
    Bytes(usize),
    /// There is no item this time, and nothing is put.
    Nothing,
}

/// A worker that makes items in place: for large ones, such as a camera's frames.
///
/// It is what [`Produce`](super::Produce) is, except that [`fill`](Self::fill) writes the item into
/// the memory of the first subscribed queue instead of returning it. Nothing is copied for that
/// queue. For each further one the item is copied once, from block to block.
///
/// ```
/// use prodcon::worker::{BoxError, Context, Filled, ProduceInPlace};
/// use std::fs::File;
/// use std::io::Read;
/// use std::process::ExitCode;
///
/// struct Camera(File);
///
/// impl ProduceInPlace for Camera {
///     type Item = [u8];
///     fn on_start(worker: &mut Context) -> Result<Self, BoxError> {
///         Ok(Self(File::open(worker.arg("device").unwrap_or("/dev/video0"))?))
///     }
///     fn fill(&mut self, frame: &mut [u8], _: &mut Context) -> Result<Filled, BoxError> {
///         Ok(Filled::Bytes(self.0.read(frame)?))
///     }
/// }
///
/// # if false {
/// fn main() -> ExitCode {
///     Camera::main()
/// }
/// # let _ = main;
/// # }
/// ```
pub trait ProduceInPlace: Sized {
    /// What the subscribed queues hold: any [`Item`](crate::Item), or `[u8]`.
    type Item: Payload + ?Sized;

    /// Begins the work. It is called once, before the first call of `fill`, and returns the worker.
    ///
    /// # Errors
    /// An error makes the worker end without having begun. `on_stop` is not called then.
    fn on_start(context: &mut Context) -> Result<Self, BoxError>;

    /// Fills in the next item, and says how much of it there is.
    ///
    /// `item` shows whatever was in that memory before. A block of `[u8]` has as many bytes as the
    /// first subscribed queue's items may have. While no subscribed queue is there `fill` gets
    /// memory of the worker's own: of `[u8]` as many bytes as a result may have.
    ///
    /// # Errors
    /// An error makes the worker end. Nothing is put, `on_stop` is called, and the controlling
    /// process hears of it.
    fn fill(&mut self, item: &mut Self::Item, context: &mut Context) -> Result<Filled, BoxError>;

    /// Ends the work. It is called once, after the last call of `fill`. The loop may have ended by
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
            produce_in_place::<Self>,
        )
    }

    /// Runs this worker if the process was started as it: one line at the top of the `main` of a
    /// program that may be.
    ///
    /// ```
    /// # use prodcon::worker::ProduceInPlace;
    /// # fn program<Camera: ProduceInPlace>() -> std::process::ExitCode {
    /// if let Some(status) = Camera::run_if_worker() {
    ///     return status;
    /// }
    /// # std::process::ExitCode::SUCCESS
    /// # }
    /// ```
    fn run_if_worker() -> Option<ExitCode> {
        run::run_if_worker(
            std::any::type_name::<Self>(),
            Self::settings(),
            produce_in_place::<Self>,
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

fn produce_in_place<P: ProduceInPlace>(context: &mut Context) -> Result<(), BoxError> {
    let mut subscribers = subscribers::<P::Item>(context)?;
    context.take_seat()?; // last: a seat says that nothing is missing
    let mut own = None;
    let work = |worker: &mut P, context: &mut Context| {
        produce_loop(worker, context, |worker, context| {
            make_one(worker, context, &mut subscribers, &mut own)
        })
    };
    run::live(context, P::on_start, work, P::on_stop)
}

/// Has one item filled in, and hands it out. `own` is for when nobody is there to get it.
fn make_one<P: ProduceInPlace>(
    worker: &mut P,
    context: &mut Context,
    subscribers: &mut [Link<P::Item>],
    own: &mut Option<Box<P::Item>>,
) -> Result<(), BoxError> {
    // Those that are there, in their order, each with its number.
    let mut queues = vec![];
    for (number, subscriber) in subscribers.iter_mut().enumerate() {
        match subscriber.get()? {
            Some(queue) => queues.push((number, queue)),
            None => context.counters.not_ready += 1,
        }
    }
    let (mut queues, mut blocks, mut gone) = (queues.into_iter(), vec![], vec![]);
    while blocks.is_empty() {
        let Some((number, queue)) = queues.next() else {
            break;
        };
        match reserve(queue, None, context)? {
            Some(block) => blocks.push((number, block)),
            None => gone.push(number),
        }
    }
    let filled = match blocks.first_mut() {
        Some((_, first)) => fill(worker, first, context)?,
        None => {
            let place = match own {
                Some(place) => place,
                None => own.insert(P::Item::zeroed(context.result_size()?)),
            };
            fill(worker, place, context)?
        }
    };
    let Some(len) = filled else {
        return Ok(());
    };
    context.counters.items += 1;
    let item = match blocks.first_mut() {
        Some((_, first)) => {
            first.shorten(len);
            &**first
        }
        None => own.as_deref().ok_or("there was no place for the item")?,
    };
    let bytes = &item.bytes()[..len];
    if context.settings.items_to_results {
        context.send_result(bytes)?;
    }
    let mut copies = vec![];
    for (number, queue) in queues {
        match reserve(queue, Some(len), context)? {
            Some(mut block) => {
                block.bytes_mut().copy_from_slice(bytes);
                copies.push((number, block));
            }
            None => gone.push(number),
        }
    }
    blocks.extend(copies);
    for (number, block) in blocks {
        if !told(commit(block, context), context)? {
            gone.push(number);
        }
    }
    gone.into_iter()
        .for_each(|number| subscribers[number].lost());
    Ok(())
}

/// Reserves a block: of `len` bytes, or as long as can be. `None` if the queue is gone.
fn reserve<'q, T: Payload + ?Sized>(
    queue: &'q mut ReadyQueue<T>,
    len: Option<usize>,
    context: &mut Context,
) -> Result<Option<Reservation<'q, T>>, BoxError> {
    match queue.reserve_payload(len) {
        Ok(block) => Ok(Some(block)),
        Err(refused) => {
            told(Err(refused), context)?;
            Ok(None)
        }
    }
}

/// Returns how many bytes are to be put; `None` for nothing.
fn fill<P: ProduceInPlace>(
    worker: &mut P,
    place: &mut P::Item,
    context: &mut Context,
) -> Result<Option<usize>, BoxError> {
    let room = place.bytes().len();
    match guard("fill", || worker.fill(place, context))? {
        Filled::Nothing => Ok(None),
        Filled::Item => Ok(Some(room)),
        Filled::Bytes(len) if P::Item::SIZE.is_some() => Err(format!(
            "fill answered Bytes({len}) of an item of {room} bytes that is always whole: answer Item"
        )
        .into()),
        Filled::Bytes(len) if len > room => Err(format!(
            "fill answered Bytes({len}), but the block has {room} bytes: create the queue with a larger item_size"
        )
        .into()),
        Filled::Bytes(len) => Ok(Some(len)),
    }
}

/// Commits a block. While the queue is full it waits if the settings say so, and until the worker has
/// to end: the subscriber's endpoint has the worker's token.
fn commit<T: Payload + ?Sized>(
    block: Reservation<'_, T>,
    context: &mut Context,
) -> Result<(), PutError> {
    match block.commit_within(Duration::ZERO) {
        Ok(()) => Ok(()),
        Err(refused)
            if matches!(refused.error, PutError::Full)
                && context.settings.on_full == OnFull::Wait =>
        {
            context.watch.watch_closely();
            refused.reservation.commit()
        }
        Err(refused) => Err(refused.error),
    }
}
