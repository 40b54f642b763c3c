//! What a worker has of the world: its name, state, arguments, results, messages and counters. The
//! way in for workers that are not written with the traits.
//!
//! Invariants: a failure is told to the controlling process before the worker leaves; the segments
//! of a dead controlling process are removed by the last to leave.

use super::failure::{BoxError, text};
use super::link::{Link, attach_to, remove_if_abandoned};
use super::message::{Message, Packet, WhenFull, send};
use super::settings::{Instructions, Settings, Watched, variable};
use super::state::{End, LOOK, Watch};
use crate::error::{Error, ErrorKind, Fault, GetError, PutError, Result, Worker};
use crate::queue::{AttachOptions, CancelToken, Control, ReadyQueue};
use crate::state::{Role, State};
use std::fmt;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long a worker that was stopped still waits for space for each thing that its `on_stop`
/// sends.
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
    /// Producer: items left out because a subscribed queue was full (`OnFull::Skip`), or the worker
    /// was stopped while it waited.
    pub full: u64,
    /// Producer: calls left out because the worker was more than a second late.
    pub late: u64,
    /// Consumer, at-most-once: items in the buffer when the worker was stopped, never handed over.
    pub unworked: u64,
}

/// A worker's side of its segments.
pub struct Context {
    args: Vec<String>,
    pub(crate) settings: Settings,
    pub(crate) watch: Watch,
    pub(crate) counters: Counters,
    results: Link<[u8]>,
    outbox: Link<[u8]>,
    inbox: Link<[u8]>,
    /// It works no more, and what it sends is its last.
    closing: bool,
    /// While it works on items: the seat in which the time is noted.
    working: Option<u32>,
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

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("name", &self.name())
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Context {
    /// Attaches by name as a worker and takes a seat in the worker's queue, by which others see
    /// that it is alive. For loops of one's own:
    ///
    /// ```no_run
    /// use prodcon::worker::{BoxError, Context};
    /// use std::time::Duration;
    ///
    /// fn main() -> prodcon::Result<std::process::ExitCode> {
    ///     let mut worker = Context::attach("sampler", std::env::args().skip(3))?;
    ///     worker.stop_on_signals()?;
    ///     let outcome = echo(&mut worker);
    ///     Ok(worker.finish(outcome))
    /// }
    ///
    /// fn echo(worker: &mut Context) -> Result<(), BoxError> {
    ///     while !worker.is_stopped() {
    ///         if let Ok(message) = worker.recv_timeout(Duration::from_secs(1)) {
    ///             worker.send_message(message.bytes())?;
    ///         }
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// Returns `NotFound` if there is no such worker, `Stopped` if it is stopped, `NoSeat` if all
    /// seats are taken, `ReadOnly` if its queue may only be read, and `InvalidOption` if the
    /// environment's settings are bad. Fails as [`Control::attach`] does otherwise. The controlling
    /// process hears of it too.
    pub fn attach(name: &str, args: impl IntoIterator<Item = String>) -> Result<Self> {
        let attach = || {
            let mut context = Self::open(name, args, Settings::producer())?;
            context.take_seat()?;
            context.attached();
            Ok(context)
        };
        attach().inspect_err(|error: &Error| report(name, &error.to_string()))
    }

    /// Opens the worker without a seat, and without telling any process.
    pub(crate) fn open(
        name: &str,
        args: impl IntoIterator<Item = String>,
        settings: Settings,
    ) -> Result<Self> {
        let token = CancelToken::new();
        let control = Control::attach_with(name, &AttachOptions::new().cancel(&token))?;
        let instructions =
            Instructions::from_environment(variable, name).filter(|it| it.is_for(control.id()));
        let settings = match &instructions {
            Some(instructions) => {
                settings.or_environment(name, |name| instructions.variable(name))?
            }
            None => settings.or_environment(name, variable)?,
        };
        let watched = Watched::by(instructions.as_ref());
        if control.is_read_only() {
            return Err(Fault::ReadOnly { queue: name.into() }.into());
        }
        let leave = Leave {
            control: control.try_clone()?,
        };
        if control.state() == State::Stopped && !watched.supervised {
            return Err(Worker::Stopped {
                worker: name.into(),
            }
            .into());
        }
        let channel = |end: &str, role| {
            Link::lazy(
                &format!("{name}.{end}"),
                AttachOptions::new()
                    .role(role)
                    .spin_limit(Duration::ZERO)
                    .cancel(&token),
            )
        };
        Ok(Self {
            args: args.into_iter().collect(),
            settings,
            counters: Counters::default(),
            results: channel("results", Role::Producer),
            outbox: channel("out", Role::Producer),
            inbox: channel("in", Role::Consumer),
            watch: Watch::new(control, watched, token),
            closing: false,
            working: None,
            presence: None,
            _leave: leave,
        })
    }

    pub(crate) fn take_seat(&mut self) -> Result<()> {
        self.presence = Some(attach_to(
            &self.watch.control,
            &AttachOptions::new().role(Role::Consumer),
        )?);
        Ok(())
    }

    /// Tells the controlling process that everything is there that the worker needs.
    pub(crate) fn attached(&mut self) {
        if self.watch.watched().supervised {
            self.tell(&Packet::Attached(std::process::id()), true);
        }
    }

    /// Returns the length of the longest result, in bytes. If there is no ring for results yet, it
    /// is the default.
    pub(crate) fn result_size(&mut self) -> Result<usize> {
        let results = self.results.get()?;
        Ok(results.map_or(65_536, |results| results.item_size()))
    }

    /// `waits`: for space, as a result does.
    fn tell(&mut self, packet: &Packet, waits: bool) {
        if let Ok(Some(queue)) = self.results.get() {
            let Some(bytes) = packet.encode(queue.item_size()) else {
                return; // a ring that somebody has made for short results alone
            };
            let (watch, grace) = (&mut self.watch, grace(self.closing));
            // The controlling process sees the worker's exit status in any case.
            let _ = send(queue, &bytes, "result_size", || {
                if waits {
                    when_full(watch, grace)
                } else {
                    WhenFull::GiveUp(PutError::Full)
                }
            });
        }
    }

    /// Returns the worker's name.
    pub fn name(&self) -> &str {
        self.watch.control.name()
    }

    /// Returns its state as it stands.
    pub fn state(&self) -> State {
        self.watch.control.state()
    }

    /// Lets the first SIGINT or SIGTERM to this process end it as `stopped` does: [`is_stopped`]
    /// says so, and every sleep and wait in it ends. The second one kills it. The worker's state
    /// and its other processes are not affected.
    ///
    /// The `main` of the traits does this by itself. A signal that the process was started to
    /// ignore stays ignored. A handler that the program has goes on being called.
    ///
    /// # Errors
    /// Returns `Os` if the handlers could not be installed.
    ///
    /// [`is_stopped`]: Self::is_stopped
    #[cfg(feature = "signals")]
    pub fn stop_on_signals(&mut self) -> Result<()> {
        self.watch.heed_signals()
    }

    /// Returns a token that is cancelled when the loop has to end: when [`is_stopped`] would say
    /// so. For waits of the worker's own on other queues, and for [`select`](crate::select).
    ///
    /// ```no_run
    /// use prodcon::worker::{BoxError, Context};
    /// use prodcon::{AttachOptions, ReadyQueue};
    ///
    /// fn forward(worker: &mut Context) -> Result<(), BoxError> {
    ///     let attach = AttachOptions::new().cancel(&worker.cancel_token());
    ///     let mut frames = ReadyQueue::<[u8]>::attach_with("frames", &attach)?;
    ///     for frame in &mut frames {
    ///         worker.send_message(frame?)?;
    ///     }
    ///     Ok(()) // the stream has ended, or the worker has to end
    /// }
    /// ```
    ///
    /// [`is_stopped`]: Self::is_stopped
    pub fn cancel_token(&mut self) -> CancelToken {
        self.watch.watch_closely();
        self.watch.token().clone()
    }

    /// Returns whether the loop has to end: the state is `stopped`, a signal said so, the
    /// controlling process is gone, or the worker's segment is.
    pub fn is_stopped(&mut self) -> bool {
        self.watch.ends().is_some()
    }

    /// Stops the worker, all its processes.
    ///
    /// # Errors
    /// Returns `Forked` in a forked child.
    pub fn stop(&self) -> Result<()> {
        self.watch.control.set_state(State::Stopped)
    }

    /// Returns whether a controlling process started this worker (and the worker ends with it).
    pub fn is_supervised(&self) -> bool {
        self.watch.watched().supervised
    }

    /// Returns what follows the name on the command line.
    pub fn args(&self) -> &[String] {
        &self.args
    }

    /// Returns the value of an argument given as `NAME=VALUE`.
    ///
    /// ```
    /// use prodcon::worker::{BoxError, Context};
    ///
    /// fn channel(worker: &Context) -> Result<u32, BoxError> {
    ///     Ok(worker.arg("channel").unwrap_or("0").parse()?)
    /// }
    /// ```
    pub fn arg(&self, name: &str) -> Option<&str> {
        self.args
            .iter()
            .find_map(|arg| arg.strip_prefix(name)?.strip_prefix('='))
    }

    /// Returns how it is to work.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns what it has done.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Sleeps for `time`, or until the state changes or the loop has to end. Returns true if the
    /// whole time passed.
    ///
    /// # Errors
    /// Returns `Forked` in a forked child and `Os` if a system call failed.
    pub fn sleep(&mut self, time: Duration) -> Result<bool> {
        self.watch.sleep(Instant::now().checked_add(time))
    }

    /// Sends a result to the controlling process. While the ring is full it waits, as long as such
    /// a process is alive. Otherwise the oldest result is dropped, and the ring counts it.
    ///
    /// Bytes of any kind: a text, `bytemuck::bytes_of(&value)` for a plain value, and with the
    /// feature `serde` `encode(&value)?` for any other. [`Message`] reads them.
    ///
    /// # Errors
    /// Returns `Stopped` if the worker was stopped while it waited. Returns `Failed` if something
    /// else went wrong, with the kind `TooLarge`, `PermissionDenied`, `NoSeat`, `Corrupt`, `Forked`
    /// or `Os`.
    ///
    /// ```
    /// use prodcon::worker::{BoxError, Context};
    ///
    /// fn report(worker: &mut Context, mean: f64) -> Result<(), BoxError> {
    ///     worker.send_result(mean.to_string())?; // read with Message::text
    ///     worker.send_result(prodcon::bytemuck::bytes_of(&mean))?; // read with Message::item
    ///     Ok(())
    /// }
    /// ```
    pub fn send_result(&mut self, result: impl AsRef<[u8]>) -> Result<(), PutError> {
        let bytes = Packet::result(result.as_ref());
        put(
            &mut self.results,
            &mut self.watch,
            grace(self.closing),
            &bytes,
            "results",
        )
    }

    /// Sends a message to the controlling process; on a full ring as
    /// [`send_result`](Self::send_result).
    ///
    /// # Errors
    /// Fails as [`send_result`](Self::send_result) does.
    pub fn send_message(&mut self, message: impl AsRef<[u8]>) -> Result<(), PutError> {
        put(
            &mut self.outbox,
            &mut self.watch,
            grace(self.closing),
            message.as_ref(),
            "out",
        )
    }

    /// Gets the next message, if one is there.
    ///
    /// # Errors
    /// Returns `Empty` if there is no message, and `Failed` if something went wrong.
    pub fn try_recv(&mut self) -> Result<Message, GetError> {
        let Some(queue) = self.inbox.get()? else {
            return Err(GetError::Empty);
        };
        let got = queue.try_get().map(|bytes| Message {
            queue: queue.name().into(),
            bytes,
        });
        self.received(got)?.ok_or(GetError::Empty)
    }

    /// Gets the next message; waits for it as long as the worker is not stopped.
    ///
    /// # Errors
    /// Returns `Stopped` if the worker was stopped, and `Failed` if something else went wrong.
    pub fn recv(&mut self) -> Result<Message, GetError> {
        self.recv_until(None)
    }

    /// Gets the next message; waits for it for at most `timeout`.
    ///
    /// # Errors
    /// Returns `TimedOut` if no message came in time, `Stopped` if the worker was stopped, and
    /// `Failed` if something else went wrong.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Message, GetError> {
        self.recv_until(Instant::now().checked_add(timeout))
    }

    fn recv_until(&mut self, deadline: Option<Instant>) -> Result<Message, GetError> {
        let over =
            |deadline: Option<Instant>| deadline.is_some_and(|deadline| Instant::now() >= deadline);
        loop {
            let Some(queue) = self.inbox.get()? else {
                // Nobody can send any, until somebody makes the ring.
                let later = Instant::now() + LOOK;
                self.watch
                    .sleep(Some(deadline.map_or(later, |deadline| deadline.min(later))))?;
                if self.is_stopped() {
                    return Err(GetError::Stopped);
                }
                if over(deadline) {
                    return Err(GetError::TimedOut);
                }
                continue;
            };
            self.watch.watch_closely();
            let got = match deadline {
                None => queue.get(),
                // Once at least, whatever the time.
                Some(deadline) => queue.until(deadline).get(),
            };
            let received = got.map(|bytes| Message {
                queue: queue.name().into(),
                bytes,
            });
            match received {
                Err(GetError::Cancelled) => return Err(GetError::Stopped),
                Err(GetError::TimedOut) => return Err(GetError::TimedOut),
                other => {
                    if let Some(received) = self.received(other)? {
                        return Ok(received);
                    }
                }
            }
        }
    }

    /// Says what a get from the inbox means. Returns `None` if there is no such ring any more, or
    /// nothing in it.
    fn received(&mut self, got: Result<Message, GetError>) -> Result<Option<Message>, GetError> {
        match got {
            Ok(received) => Ok(Some(received)),
            Err(GetError::Empty) => Ok(None),
            Err(error) if matches!(error.kind(), ErrorKind::Stopped | ErrorKind::Removed) => {
                self.inbox.lost();
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Restarts the time of this call of `work`. Call it in work that goes on well but may take
    /// longer than the [`work_limit`](super::ConsumerOptions::work_limit). It costs a look at the
    /// clock and a store. Outside of a consumer's `work` it does nothing.
    ///
    /// ```
    /// use prodcon::Batch;
    /// use prodcon::worker::{BoxError, Context};
    ///
    /// fn work(items: &Batch<u64>, worker: &mut Context) -> Result<(), BoxError> {
    ///     for item in items {
    ///         worker.keep_alive(); // each item has the whole time
    ///         println!("{item}");
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn keep_alive(&self) {
        if let Some(seat) = self.working {
            self.watch.control.begin_work(seat);
        }
    }

    /// Notes that a call of `work` begins, with items of which this seat has some.
    pub(crate) fn begin_work(&mut self, seat: u32) {
        self.working = Some(seat);
        self.watch.control.begin_work(seat);
    }

    /// Notes that the call of `work` has ended.
    pub(crate) fn end_work(&mut self) {
        if let Some(seat) = self.working.take() {
            self.watch.control.end_work(seat);
        }
    }

    /// From now on the worker does not work any more, and what it sends is its last.
    pub(crate) fn close(&mut self) {
        self.closing = true;
    }

    /// Nothing is left to do, see [`Watch::outlive`].
    pub(crate) fn linger(&mut self) {
        self.watch.outlive();
    }

    /// Ends the worker: a failure is told to the controlling process and printed on stderr. Returns
    /// the exit status for `main`: 0, or 1 for a failure.
    ///
    /// ```no_run
    /// use prodcon::worker::Context;
    /// use std::process::ExitCode;
    ///
    /// fn main() -> prodcon::Result<ExitCode> {
    ///     let worker = Context::attach("sampler", std::env::args().skip(3))?;
    ///     Ok(worker.finish(Err("no camera".into())))
    /// }
    /// ```
    pub fn finish(self, outcome: Result<(), BoxError>) -> ExitCode {
        let status = match &outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => print_failure(self.name(), &text(failure)),
        };
        self.finish_quietly(outcome);
        status
    }

    /// Does what [`finish`](Self::finish) does, and prints nothing.
    #[doc(hidden)]
    pub fn finish_quietly(mut self, outcome: Result<(), BoxError>) {
        self.close();
        let pid = std::process::id();
        match outcome {
            Err(failure) => self.tell(&Packet::Failed(pid, text(&failure)), true),
            // Should nobody learn the exit status. Only where that is known already it is waited
            // for space, because a slow callback shall not hold up other ends.
            Ok(()) if self.watch.watched().supervised => {
                let waits = self.watch.watched().unseen;
                self.tell(&Packet::Ended(pid), waits);
            }
            Ok(()) => {}
        }
        self.linger();
    }
}

/// Says on stderr that a worker failed; the exit status that goes with it.
pub(crate) fn print_failure(worker: &str, text: &str) -> ExitCode {
    eprintln!(
        "worker '{worker}' (process {}) failed: {text}",
        std::process::id()
    );
    ExitCode::FAILURE
}

/// Tells the controlling process why a worker could not attach.
pub(crate) fn report(worker: &str, text: &str) {
    if Instructions::from_environment(variable, worker).is_none() {
        return;
    }
    if let Ok(mut queue) = ReadyQueue::<[u8]>::attach(&format!("{worker}.results")) {
        let failed = Packet::Failed(std::process::id(), text.into());
        if let Some(bytes) = failed.encode(queue.item_size()) {
            let _ = queue.within(LAST_WORDS).put(&bytes);
        }
    }
}

fn put(
    link: &mut Link<[u8]>,
    watch: &mut Watch,
    grace: Option<Instant>,
    bytes: &[u8],
    end: &str,
) -> Result<(), PutError> {
    let option = if end == "results" {
        "result_size"
    } else {
        "message_size"
    };
    let Some(queue) = link.get()? else {
        return Ok(()); // nobody reads
    };
    if !send(queue, bytes, option, || when_full(watch, grace))? {
        link.lost();
    }
    Ok(())
}

/// Until when a send waits for space although the worker was stopped.
fn grace(closing: bool) -> Option<Instant> {
    closing.then(|| Instant::now() + LAST_WORDS)
}

fn when_full(watch: &mut Watch, grace: Option<Instant>) -> WhenFull {
    if !watch.is_read() {
        return WhenFull::DropOldest;
    }
    match (watch.ends(), grace) {
        (None, _) => {
            watch.watch_closely();
            WhenFull::Wait
        }
        (_, Some(until)) if Instant::now() < until => WhenFull::Wait,
        (Some(End::Orphaned | End::Unknown | End::Removed), _) => WhenFull::DropOldest,
        _ => WhenFull::GiveUp(PutError::Stopped),
    }
}
