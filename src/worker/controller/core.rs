//! The untyped core of a controlling handle. It owns the worker's segments, processes and listeners
//! from start to end.
//!
//! Invariants: there is one start at a time. When a start has ended, the state is `stopped`, a
//! consumer's queue is not ready, and everything its processes sent has been called back. Dropping
//! it stops the worker and waits. A step that fails leaves the handle usable. In one of its own
//! callbacks a handle refuses to wait, and another thread drops it.

use super::exit::{ProcessExit, WorkerExit};
use super::listener::{Callback, Listener, begin_stream, end_of_stream, lock, serves};
use super::options::Common;
use super::process::{Plan, WorkerProcesses};
use super::segments::Segments;
use crate::error::{Error, Fault, PutError, Worker};
use crate::queue::{AttachOptions, Control};
use crate::state::{Role, State};
use crate::sys::signal::hides_ends;
use crate::worker::link::attach_to;
use crate::worker::message::{Message, WhenFull, send};
use crate::worker::program::Program;
use crate::worker::settings::{INSTRUCTIONS_VARIABLE, Instructions, Settings, TYPE};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A start under way.
struct Run {
    /// `None` if others start the processes.
    processes: Option<WorkerProcesses>,
    listeners: [Listener; 2],
    after: Option<Box<dyn FnOnce() + Send>>,
}

/// The controlling side of a worker.
pub(crate) struct Core {
    /// Tells its threads from those of other handles.
    number: u64,
    /// `None` only while it is dropped.
    segments: Option<Segments>,
    common: Common,
    /// Its gate is opened at the start and closed at the end.
    gated: bool,
    run: Option<Run>,
    pub(crate) on_result: Callback<Message>,
    pub(crate) on_message: Callback<Message>,
    pub(crate) on_exit: Callback<ProcessExit>,
    process: u32,
}

impl Core {
    pub(crate) fn new(segments: Segments, common: Common, gated: bool) -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        Self {
            // Relaxed: only their being different matters.
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            segments: Some(segments),
            common,
            gated,
            run: None,
            on_result: Callback::default(),
            on_message: Callback::default(),
            on_exit: Callback::default(),
            process: std::process::id(),
        }
    }

    fn segments(&self) -> &Segments {
        self.segments
            .as_ref()
            .expect("they are taken by drop alone")
    }

    fn segments_mut(&mut self) -> &mut Segments {
        self.segments
            .as_mut()
            .expect("they are taken by drop alone")
    }

    pub(crate) fn control(&self) -> &Control {
        &self.segments().control
    }

    /// A call that waits for callbacks cannot be made from one.
    fn may_wait(&self) -> Result<(), Error> {
        if serves(self.number) {
            return Err(Worker::InCallback {
                worker: self.control().name().into(),
            }
            .into());
        }
        Ok(())
    }

    /// Starts `processes` of them; a running worker is stopped and waited for first.
    pub(crate) fn start(
        &mut self,
        program: Program,
        settings: &Settings,
        processes: usize,
    ) -> Result<(), Error> {
        self.may_wait()?;
        let _ended = self.stop()?; // who wants to know of it has asked for it
        let (mut command, args) = program.into_parts();
        let segments = self.segments();
        let control = &segments.control;
        let kind = command
            .get_envs()
            .find(|(name, _)| *name == TYPE)
            .and_then(|(_, kind)| kind?.to_str().map(str::to_owned));
        let (supervisor, unseen) = (segments.lease.number(), hides_ends());
        let instructions = Instructions::new(control, supervisor, kind, unseen, settings);
        let dir =
            std::path::absolute(control.directory()).unwrap_or_else(|_| control.directory().into());
        command
            .arg("--attach")
            .arg(control.name())
            .args(args)
            .env("PRODCON_DIR", dir);
        command
            .env_remove(TYPE)
            .env(INSTRUCTIONS_VARIABLE, instructions.to_string());
        self.begin()?;
        let (number, common) = (self.number, &self.common);
        let Some(run) = &mut self.run else {
            return Ok(());
        };
        let Some(after) = run.after.take() else {
            return Ok(());
        };
        let (processes, started) = WorkerProcesses::start(Plan {
            handle: number,
            control: self.segments.as_ref().expect("as above").watched.clone(),
            command,
            processes,
            restart: common.restart,
            start_timeout: common.start_timeout,
            work_limit: common.work_limit,
            heard: run.listeners[0].ears.clone(),
            on_exit: self.on_exit.clone(),
            after,
        });
        let started = started.and_then(|()| processes.wait_attached());
        run.processes = Some(processes);
        started.or_else(|error| {
            // Not even as long as it would be given to end well: it is no worker, or has not begun.
            let ended = self.end_crew(Duration::from_millis(100));
            let _ended = self.finish();
            ended.and(Err(error))
        })
    }

    /// Opens everything for workers that others start.
    pub(crate) fn start_external(&mut self) -> Result<(), Error> {
        self.may_wait()?;
        let _ended = self.stop()?; // as in `start`
        self.begin()
    }

    /// Rings, listeners, gate, state.
    fn begin(&mut self) -> Result<(), Error> {
        let (number, gated) = (self.number, self.gated);
        let (on_result, on_message) = (self.on_result.clone(), self.on_message.clone());
        let segments = self.segments_mut();
        for ring in &segments.ends {
            begin_stream(&lock(ring))?;
        }
        segments.inbox.clear()?; // for a predecessor
        let queue: Arc<str> = segments.control.name().into();
        let thread = |error: std::io::Error| {
            Error::from(Fault::Os {
                queue,
                call: "clone",
                errno: error.raw_os_error().unwrap_or(libc::EAGAIN),
            })
        };
        let results = match Listener::results(&mut segments.results, number, on_result) {
            Ok(results) => results,
            Err(error) => return Err(thread(error)),
        };
        let messages = match Listener::messages(&mut segments.messages, number, on_message) {
            Ok(messages) => messages,
            Err(error) => {
                end_of_stream(&lock(&segments.ends[0]));
                segments.results = results.join();
                return Err(thread(error));
            }
        };
        let (own, ends) = (segments.watched.clone(), segments.ends.clone());
        let after = move || {
            let own = lock(&own);
            let _ = own.set_state(State::Stopped); // an error: the next look tells it
            if gated {
                close(&own);
            }
            ends.iter().for_each(|ring| end_of_stream(&lock(ring)));
        };
        self.run = Some(Run {
            processes: None,
            listeners: [results, messages],
            after: Some(Box::new(after)),
        });
        let opened = if gated {
            self.control().set_ready()
        } else {
            Ok(())
        };
        let opened = opened.and_then(|()| begin_stream(self.control()));
        opened.inspect_err(|_| drop(self.finish()))
    }

    pub(crate) fn is_running(&self) -> bool {
        match &self.run {
            Some(Run {
                processes: Some(processes),
                ..
            }) => processes.is_running(),
            Some(_) => self.others().is_some(),
            None => false,
        }
    }

    pub(crate) fn pids(&self) -> Vec<u32> {
        self.run
            .as_ref()
            .and_then(|run| run.processes.as_ref())
            .map_or_else(Vec::new, WorkerProcesses::pids)
    }

    /// Processes of others that work, or may still come. `None` if the worker has ended.
    fn others(&self) -> Option<usize> {
        let members = self
            .control()
            .stats()
            .map_or_else(|_| vec![], |stats| stats.members);
        let working = members
            .iter()
            .filter(|member| member.role != Role::Producer && member.pid != self.process)
            .count();
        (working > 0 || self.control().state() == State::Started).then_some(working)
    }

    pub(crate) fn set_stopped(&self) -> Result<(), Error> {
        self.control().set_state(State::Stopped)
    }

    /// Waits for the end; `None` if `timeout` passed first.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> Result<Option<WorkerExit>, Error> {
        self.may_wait()?;
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let over = match &self.run {
            None => true,
            Some(Run {
                processes: Some(processes),
                ..
            }) => processes.wait(timeout),
            Some(_) => loop {
                if self.others().is_none() {
                    break true;
                }
                if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                    break false;
                }
                self.control().recover()?;
                std::thread::sleep(Duration::from_millis(5));
            },
        };
        Ok(over.then(|| self.finish()))
    }

    /// Stops the worker and waits for its end. A process that does not end in time is killed.
    pub(crate) fn stop(&mut self) -> Result<WorkerExit, Error> {
        self.may_wait()?;
        if self.run.is_none() {
            return Ok(self.nothing_ended());
        }
        let stopped = self.end_crew(self.common.stop_timeout);
        let ended = self.finish();
        stopped.map(|()| ended)
    }

    fn end_crew(&mut self, patience: Duration) -> Result<(), Error> {
        if let Some(Run {
            processes: Some(processes),
            ..
        }) = &self.run
        {
            processes.let_end();
        }
        let stopped = self.set_stopped();
        match &self.run {
            Some(Run {
                processes: Some(processes),
                ..
            }) if stopped.is_err() || !processes.wait(Some(patience)) => {
                processes.kill();
                processes.wait(None);
            }
            Some(Run {
                processes: Some(_), ..
            }) => {}
            Some(_) => drop(self.wait_for_others(patience)),
            None => {}
        }
        stopped
    }

    fn wait_for_others(&self, patience: Duration) -> Option<usize> {
        let deadline = Instant::now().checked_add(patience);
        loop {
            let others = self.others()?;
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Some(others);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub(crate) fn nothing_ended(&self) -> WorkerExit {
        WorkerExit::of(self.control().name())
    }

    /// The processes have ended; the listeners read what is left.
    fn finish(&mut self) -> WorkerExit {
        let Some(mut run) = self.run.take() else {
            return self.nothing_ended();
        };
        if let Some(after) = run.after.take() {
            after();
        }
        // First the processes: their threads still read last words from the rings, which are there
        // as long as the listeners are.
        let ended = run
            .processes
            .map_or_else(|| self.nothing_ended(), WorkerProcesses::join);
        let [results, messages] = run.listeners;
        let segments = self.segments_mut();
        segments.results = results.join();
        segments.messages = messages.join();
        ended
    }

    /// Sends a message to the worker; `wait`: for space, as long as the worker runs.
    pub(crate) fn send(&mut self, bytes: &[u8], wait: bool) -> Result<(), PutError> {
        let running = self.is_running();
        let segments = self
            .segments
            .as_mut()
            .expect("they are taken by drop alone");
        let (inbox, run) = (&mut segments.inbox, &self.run);
        let still = || match run {
            Some(Run {
                processes: Some(processes),
                ..
            }) => processes.is_running(),
            _ => running,
        };
        let sent = send(inbox, bytes, "message_size", || match (wait, still()) {
            (_, false) => WhenFull::GiveUp(PutError::Stopped),
            (true, true) => WhenFull::Wait,
            (false, true) => WhenFull::GiveUp(PutError::Full),
        })?;
        if sent { Ok(()) } else { Err(PutError::Stopped) }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            if let Some(run) = self.run.take() {
                std::mem::forget(run); // a forked child: processes and threads are the parent's
            }
        } else if serves(self.number) && self.run.is_some() {
            self.drop_elsewhere();
        } else {
            let _ = self.stop();
        }
    }
}

impl Core {
    /// In a callback of its own: another thread stops the worker, waits for the callback too, and
    /// removes the segments.
    fn drop_elsewhere(&mut self) {
        let _ = self.set_stopped();
        let moved = Arc::new(Mutex::new(Some(Self {
            number: self.number,
            segments: self.segments.take(),
            common: self.common.clone(),
            gated: self.gated,
            run: self.run.take(),
            on_result: Callback::default(),
            on_message: Callback::default(),
            on_exit: Callback::default(),
            process: self.process,
        })));
        let theirs = moved.clone();
        let thread = std::thread::Builder::new().name("prodcon drop".into());
        if thread.spawn(move || drop(take(&theirs))).is_err() {
            // Nobody can wait: its processes find that they were stopped, and are not reaped.
            let run = take(&moved).and_then(|mut core| core.run.take());
            if let Some(processes) = run.and_then(|run| run.processes) {
                processes.let_end();
                processes.forget();
            }
        }
    }
}

fn take(core: &Mutex<Option<Core>>) -> Option<Core> {
    lock(core).take()
}

/// Closes the gate and throws away what is in the queue; without a seat it is only void.
fn close(own: &Control) {
    let attach = AttachOptions::new().directory(own.directory());
    let closed =
        attach_to::<[u8]>(own, &attach).is_ok_and(|mut queue| queue.set_not_ready().is_ok());
    if !closed {
        let _ = own.set_not_ready();
    }
}
