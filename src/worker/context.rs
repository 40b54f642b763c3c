//! What a worker has of the world: its name, state, arguments, results, messages and counters. The way in for workers that are not written with the traits.
//!
//! Invariants: a failure is told to the controlling process before the worker leaves; the segments of a dead controlling process are removed by the last to leave.
//! Callers: a worker's `on_start`, `work` and `on_stop`; other languages.

use super::error::{Failure, RecvError, SendError, WorkerError};
use super::link::{Link, remove_if_abandoned};
use super::pipe::{Packet, Received, WhenFull, send};
use super::settings::{Settings, Told, Watched, variable};
use super::state::{End, LOOK, Watch};
use crate::error::{Fault, GetError, OpenError};
use crate::queue::{Attach, Control, Item, ReadyQueue, Role, State};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// How long a worker that was stopped still waits for space for each thing that its `on_stop` sends.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What a worker process has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Calls of `work`.
    pub calls: u64,
    /// Consumer: items handed to `work`. Producer: items that `work` returned.
    pub items: u64,
    /// Producer: puts into a subscribed queue.
    pub put: u64,
    /// Producer: items left out because a subscribed queue was not ready, stopped, or not there.
    pub not_ready: u64,
    /// Producer: items left out because a subscribed queue was full (`OnFull::Skip`), or the worker was stopped while it waited.
    pub full: u64,
    /// Producer: calls left out because the worker was more than a second late.
    pub late: u64,
    /// Consumer, at-most-once: items in the buffer when the worker was stopped, never handed over.
    pub unworked: u64,
}

/// A worker's side of its segments.
pub struct Context {
    arguments: Vec<String>,
    pub(crate) settings: Settings,
    pub(crate) watch: Watch,
    /// The worker's own segment once more, for waits that `watch` has a say in.
    pub(crate) own: Control,
    pub(crate) counters: Counters,
    results: Link<[u8]>,
    outbox: Link<[u8]>,
    inbox: Link<[u8]>,
    /// It works no more, and what it sends is its last.
    closing: bool,
    /// A seat in the worker's own queue, where no other endpoint has one.
    presence: Option<ReadyQueue<[u8]>>,
    _leave: Leave, // last: it looks whether anybody is left
}

/// Runs when everything else of a context is gone.
struct Leave {
    control: Control,
}

impl Drop for Leave {
    fn drop(&mut self) {
        remove_if_abandoned(&self.control);
    }
}

impl Context {
    /// Attaches by name as a worker and takes a seat in the worker's queue, by which others see that it is alive. For loops of one's own:
    ///
    /// ```no_run
    /// use prodcon::worker::Context;
    /// use std::time::Duration;
    ///
    /// let mut worker = Context::attach("sampler", std::env::args().skip(3))?;
    /// let outcome = loop {
    ///     if worker.is_stopped() {
    ///         break Ok(());
    ///     }
    ///     if let Ok(message) = worker.try_recv() {
    ///         worker.send_message(message.bytes())?;
    ///     }
    ///     worker.sleep(Duration::from_millis(10))?;
    /// };
    /// worker.finish(outcome);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// No such worker, it is stopped, no seat is free, or the environment's settings are bad. The controlling process hears it too.
    pub fn attach(name: &str, arguments: impl IntoIterator<Item = String>) -> Result<Self, WorkerError> {
        let attach = || {
            let mut context = Self::open(name, arguments, Settings::producer())?;
            context.take_seat()?;
            Ok(context)
        };
        let context: Result<Self, WorkerError> = attach();
        match context {
            Ok(mut context) => {
                context.attached();
                Ok(context)
            }
            Err(error) => {
                report(name, &error.to_string());
                Err(error)
            }
        }
    }

    /// Without a seat, and without telling anybody.
    pub(crate) fn open(name: &str, arguments: impl IntoIterator<Item = String>, settings: Settings) -> Result<Self, WorkerError> {
        let control = Control::attach(name)?;
        let told = Told::from_environment(variable, name).filter(|told| told.is_for(control.id()));
        let settings = match &told {
            Some(told) => settings.or_environment(name, |name| told.variable(name))?,
            None => settings.or_environment(name, variable)?,
        };
        let watched = Watched::by(told.as_ref());
        if control.read_only() {
            return Err(Fault::ReadOnly { queue: name.into() }.into());
        }
        let leave = Leave {
            control: Control::attach(name)?,
        };
        if control.state() == State::Stopped && !watched.supervised {
            return Err(WorkerError::Stopped { worker: name.into() });
        }
        let channel = |end: &str, role| Link::lazy(&format!("{name}.{end}"), Attach::new().role(role).spin(Duration::ZERO));
        Ok(Self {
            arguments: arguments.into_iter().collect(),
            settings,
            watch: Watch::new(control, watched),
            own: Control::attach(name)?,
            counters: Counters::default(),
            results: channel("results", Role::Producer),
            outbox: channel("out", Role::Producer),
            inbox: channel("in", Role::Consumer),
            closing: false,
            presence: None,
            _leave: leave,
        })
    }

    pub(crate) fn take_seat(&mut self) -> Result<(), OpenError> {
        self.presence = Some(ReadyQueue::attach_with(self.name(), &Attach::new().role(Role::Consumer))?);
        Ok(())
    }

    /// Tells the controlling process that everything is there that the worker needs.
    pub(crate) fn attached(&mut self) {
        if self.watch.watched().supervised {
            self.tell(&Packet::Attached(std::process::id()));
        }
    }

    fn tell(&mut self, packet: &Packet) {
        if let Ok(Some(queue)) = self.results.get() {
            let bytes = packet.encode(queue.item_size());
            let (watch, grace) = (&mut self.watch, grace(self.closing));
            // Whoever controls the worker sees its exit status in any case.
            let _ = send(queue, &bytes, "result_size", &self.own, || when_full(watch, grace, "results"));
        }
    }

    /// The worker's name.
    pub fn name(&self) -> &str {
        self.watch.control.name()
    }

    /// Its state as it stands.
    pub fn state(&self) -> State {
        self.watch.control.state()
    }

    /// From now on the first SIGINT or SIGTERM to this process ends it as `stopped` does: [`is_stopped`]
    /// says so, and whoever sleeps or waits wakes up within a fifth of a second. The second one kills. The
    /// worker's state, and its other processes, are not concerned. The `main` of the traits does this by
    /// itself. A signal that the process was started to ignore stays ignored.
    ///
    /// # Errors
    /// The handlers could not be installed.
    ///
    /// [`is_stopped`]: Self::is_stopped
    #[cfg(feature = "signals")]
    pub fn stop_on_signals(&mut self) -> Result<(), WorkerError> {
        crate::sync::signal::heed().map_err(|error| Fault::Os {
            queue: self.name().into(),
            call: "sigaction",
            errno: error.raw_os_error().unwrap_or(libc::EINVAL),
        })?;
        self.watch.heeds_signals = true;
        Ok(())
    }

    /// The loop has to end: the state is `stopped`, a signal said so, the controlling process is gone, or
    /// the worker's segment is.
    pub fn is_stopped(&mut self) -> bool {
        self.watch.ends().is_some()
    }

    /// Stops the worker, all its processes.
    ///
    /// # Errors
    /// [`Fault`]
    pub fn stop(&self) -> Result<(), crate::StateError> {
        match self.watch.control.set_state(State::Stopped) {
            Err(crate::StateError::Refused { .. }) | Ok(()) => Ok(()), // it is stopped already
            Err(error) => Err(error),
        }
    }

    /// A controlling process started this worker (and the worker ends with it).
    pub fn is_supervised(&self) -> bool {
        self.watch.watched().supervised
    }

    /// What follows the name on the command line.
    pub fn arguments(&self) -> &[String] {
        &self.arguments
    }

    /// The value of an argument given as `NAME=VALUE`.
    pub fn named(&self, name: &str) -> Option<&str> {
        self.arguments.iter().find_map(|argument| argument.strip_prefix(name)?.strip_prefix('='))
    }

    /// How it is to work.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What it has done.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Sleeps so long, or until the state changes or the loop has to end; true if the whole time passed.
    ///
    /// # Errors
    /// [`Fault`]
    pub fn sleep(&mut self, time: Duration) -> Result<bool, Fault> {
        self.watch.sleep(Instant::now().checked_add(time))
    }

    /// Sends a result to the controlling process. On a full ring it waits while such a process is alive, else the oldest result is dropped (and counted by the ring).
    ///
    /// # Errors
    /// [`SendError::TooLarge`], or `Stopped` while it waited, or a [`Fault`].
    pub fn send_result(&mut self, result: impl AsRef<[u8]>) -> Result<(), SendError> {
        let bytes = Packet::result(result.as_ref());
        put(&mut self.results, &self.own, &mut self.watch, grace(self.closing), &bytes, "results")
    }

    /// Sends a plain value as a result.
    ///
    /// # Errors
    /// As [`send_result`](Self::send_result).
    pub fn send_result_item<T: Item>(&mut self, result: &T) -> Result<(), SendError> {
        self.send_result(bytemuck::bytes_of(result))
    }

    /// Sends any serde value as a result (postcard).
    ///
    /// # Errors
    /// As [`send_result`](Self::send_result), and [`SendError::Encode`].
    #[cfg(feature = "serde")]
    pub fn send_result_value<T: serde::Serialize + ?Sized>(&mut self, result: &T) -> Result<(), SendError> {
        let bytes = encode(self.results.name(), result)?;
        self.send_result(bytes)
    }

    /// Sends a message to the controlling process; on a full ring as [`send_result`](Self::send_result).
    ///
    /// # Errors
    /// As [`send_result`](Self::send_result).
    pub fn send_message(&mut self, message: impl AsRef<[u8]>) -> Result<(), SendError> {
        put(&mut self.outbox, &self.own, &mut self.watch, grace(self.closing), message.as_ref(), "out")
    }

    /// Sends a plain value as a message.
    ///
    /// # Errors
    /// As [`send_result`](Self::send_result).
    pub fn send_message_item<T: Item>(&mut self, message: &T) -> Result<(), SendError> {
        self.send_message(bytemuck::bytes_of(message))
    }

    /// Sends any serde value as a message (postcard).
    ///
    /// # Errors
    /// As [`send_result`](Self::send_result), and [`SendError::Encode`].
    #[cfg(feature = "serde")]
    pub fn send_message_value<T: serde::Serialize + ?Sized>(&mut self, message: &T) -> Result<(), SendError> {
        let bytes = encode(self.outbox.name(), message)?;
        self.send_message(bytes)
    }

    /// The next message, if one is there.
    ///
    /// # Errors
    /// [`RecvError::Empty`], or a [`Fault`].
    pub fn try_recv(&mut self) -> Result<Received, RecvError> {
        let Some(queue) = self.inbox.get().map_err(RecvError::Open)? else {
            return Err(RecvError::Empty);
        };
        let got = queue.try_get().map(|bytes| Received {
            queue: queue.name().into(),
            bytes,
        });
        self.received(got)?.ok_or(RecvError::Empty)
    }

    /// The next message; waits for it as long as the worker is not stopped.
    ///
    /// # Errors
    /// [`RecvError::Stopped`], or a [`Fault`].
    pub fn recv(&mut self) -> Result<Received, RecvError> {
        self.recv_until(None)
    }

    /// The next message; waits for it at most so long.
    ///
    /// # Errors
    /// [`RecvError::TimedOut`], `Stopped`, or a [`Fault`].
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Received, RecvError> {
        self.recv_until(Instant::now().checked_add(timeout))
    }

    fn recv_until(&mut self, deadline: Option<Instant>) -> Result<Received, RecvError> {
        let over = |deadline: Option<Instant>| deadline.is_some_and(|deadline| Instant::now() >= deadline);
        loop {
            let Some(queue) = self.inbox.get().map_err(RecvError::Open)? else {
                // Nobody can send any, until somebody makes the ring.
                let later = Instant::now() + LOOK;
                self.watch
                    .sleep(Some(deadline.map_or(later, |deadline| deadline.min(later))))
                    .map_err(RecvError::Fault)?;
                if self.is_stopped() {
                    return Err(RecvError::Stopped);
                }
                if over(deadline) {
                    return Err(RecvError::TimedOut);
                }
                continue;
            };
            let (watch, mut stopped) = (&mut self.watch, false);
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let got = queue.get_while(left, &self.own, || {
                stopped = watch.ends().is_some();
                !stopped
            });
            let received = got.map(|bytes| Received {
                queue: queue.name().into(),
                bytes,
            });
            match received {
                Err(GetError::TimedOut) if stopped => return Err(RecvError::Stopped),
                Err(GetError::TimedOut) => return Err(RecvError::TimedOut),
                other => {
                    if let Some(received) = self.received(other)? {
                        return Ok(received);
                    }
                }
            }
        }
    }

    /// What a get from the inbox means. `None`: there is no such ring any more, or nothing in it.
    fn received(&mut self, got: Result<Received, GetError>) -> Result<Option<Received>, RecvError> {
        match got {
            Ok(received) => Ok(Some(received)),
            Err(GetError::Empty) => Ok(None),
            Err(GetError::Stopped | GetError::Fault(Fault::Removed { .. })) => {
                self.inbox.lost();
                Ok(None)
            }
            Err(GetError::Fault(fault)) => Err(RecvError::Fault(fault)),
            Err(other) => Err(RecvError::Fault(Fault::Corrupt {
                queue: self.inbox.name().into(),
                what: other.to_string(),
            })),
        }
    }

    /// From now on the worker does not work any more, and what it sends is its last.
    pub(crate) fn close(&mut self) {
        self.closing = true;
    }

    /// Nothing is left to do: see [`Watch::outlive`].
    pub(crate) fn linger(&mut self) {
        self.watch.outlive();
    }

    /// The end of a worker: the controlling process hears a failure with its text. The caller's exit status should be nonzero then.
    pub fn finish(mut self, outcome: Result<(), Failure>) {
        self.close();
        if let Err(failure) = outcome {
            self.tell(&Packet::Failed(std::process::id(), text(&failure)));
        }
        self.linger();
    }
}

/// Tells the controlling process why a worker could not attach.
pub(crate) fn report(worker: &str, text: &str) {
    if Told::from_environment(variable, worker).is_none() {
        return;
    }
    if let Ok(mut queue) = ReadyQueue::<[u8]>::attach(&format!("{worker}.results")) {
        let bytes = Packet::Failed(std::process::id(), text.into()).encode(queue.item_size());
        let _ = queue.put_timeout(&bytes, LAST_WORDS);
    }
}

/// A failure with what it was caused by. Its author's code may panic here too.
pub(crate) fn text(failure: &Failure) -> String {
    let text = || {
        let causes = std::iter::successors(failure.source(), |cause| cause.source());
        causes.fold(failure.to_string(), |text, cause| format!("{text}: {cause}"))
    };
    catch_unwind(AssertUnwindSafe(text)).unwrap_or_else(|payload| {
        std::mem::forget(payload); // dropping it may panic again
        "an error whose text cannot be shown: it panics".into()
    })
}

fn put(link: &mut Link<[u8]>, own: &Control, watch: &mut Watch, grace: Option<Instant>, bytes: &[u8], end: &str) -> Result<(), SendError> {
    let option = if end == "results" { "result_size" } else { "message_size" };
    let Some(queue) = link.get().map_err(SendError::Open)? else {
        return Ok(()); // nobody reads
    };
    if !send(queue, bytes, option, own, || when_full(watch, grace, end))? {
        link.lost();
    }
    Ok(())
}

/// Until when a send waits for space although the worker was stopped.
fn grace(closing: bool) -> Option<Instant> {
    closing.then(|| Instant::now() + LAST_WORDS)
}

fn when_full(watch: &mut Watch, grace: Option<Instant>, end: &str) -> WhenFull {
    if !watch.is_read() {
        return WhenFull::DropOldest;
    }
    match (watch.ends(), grace) {
        (None, _) => WhenFull::Wait,
        (_, Some(until)) if Instant::now() < until => WhenFull::Wait,
        (Some(End::Orphaned | End::Removed), _) => WhenFull::DropOldest,
        _ => WhenFull::GiveUp(SendError::Stopped {
            queue: format!("{}.{end}", watch.control.name()).into(),
        }),
    }
}

#[cfg(feature = "serde")]
pub(crate) fn encode<T: serde::Serialize + ?Sized>(queue: &str, value: &T) -> Result<Vec<u8>, SendError> {
    postcard::to_allocvec(value).map_err(|error| SendError::Encode {
        queue: queue.into(),
        what: error.to_string(),
    })
}
