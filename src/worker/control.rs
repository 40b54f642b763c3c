//! The controlling side of a worker, whatever its kind: segments, processes, listeners; from start to end.
//!
//! Invariants: one start at a time; when a start has ended, the state is `stopped`, a consumer's queue is not ready, and everything its processes sent has been called
//! back; dropping it stops the worker and waits. Callers: the controlling handles.

use super::ended::{Ended, Exit};
use super::error::{SendError, WorkerError};
use super::listen::{Callback, Heard, Listener, begin_stream, end_of_stream};
use super::options::Common;
use super::pipe::{Received, WhenFull, send};
use super::segments::Segments;
use super::settings::{OWNED, SUPERVISED, SUPERVISOR, Settings, TYPE};
use super::spawn::Crew;
use crate::error::{Fault, StateError};
use crate::queue::{Attach, Control, ReadyQueue, Role, State};
use std::ffi::OsStr;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A start under way.
struct Run {
    /// `None`: others start the processes.
    crew: Option<Crew>,
    listeners: [Option<Listener>; 2],
    after: Option<Box<dyn FnOnce() + Send>>,
}

/// The controlling side of a worker.
pub(crate) struct Core {
    pub(crate) segments: Segments,
    common: Common,
    /// Its gate is opened at the start and closed at the end.
    gated: bool,
    run: Option<Run>,
    pub(crate) on_result: Callback<Received>,
    pub(crate) on_message: Callback<Received>,
    pub(crate) on_exit: Callback<Exit>,
    process: u32,
}

impl Core {
    pub(crate) fn new(segments: Segments, common: Common, gated: bool) -> Self {
        Self {
            segments,
            common,
            gated,
            run: None,
            on_result: Callback::default(),
            on_message: Callback::default(),
            on_exit: Callback::default(),
            process: std::process::id(),
        }
    }

    pub(crate) fn control(&self) -> &Control {
        &self.segments.control
    }

    fn again(&self) -> Result<Control, WorkerError> {
        let control = self.control();
        Ok(Control::attach_in(control.directory(), control.name())?)
    }

    /// Starts `processes` of them; a running worker is stopped and waited for first.
    pub(crate) fn start<A: AsRef<OsStr>>(
        &mut self,
        mut command: Command,
        arguments: impl IntoIterator<Item = A>,
        settings: &Settings,
        processes: usize,
    ) -> Result<(), WorkerError> {
        self.stop()?;
        let control = self.control();
        if !command.get_envs().any(|(name, _)| name == TYPE) {
            command.env_remove(TYPE); // ours, if we are a worker ourselves
        }
        let dir = std::path::absolute(control.directory()).unwrap_or_else(|_| control.directory().into());
        command.arg("--attach").arg(control.name()).args(arguments).env("PRODCON_DIR", dir);
        command.env(SUPERVISED, "1").env(SUPERVISOR, self.segments.lease.number().to_string());
        command.env(OWNED, u8::from(self.segments.owned).to_string()).envs(settings.variables());
        let heard = self.begin()?;
        let Some(run) = &mut self.run else { return Ok(()) };
        let Some(after) = run.after.take() else { return Ok(()) };
        let control = &self.segments.control;
        let (crew, started) = Crew::start(control, command, processes, self.common.restart, heard, self.on_exit.clone(), after);
        let started = started.and_then(|()| crew.wait_attached(control, self.common.start_timeout));
        run.crew = Some(crew);
        started.or_else(|error| {
            // Not even as long as it would be given to end well: it is no worker, or has not begun.
            self.end_crew(Duration::from_millis(100))?;
            self.finish();
            Err(error)
        })
    }

    /// Opens everything for workers that others start.
    pub(crate) fn start_external(&mut self) -> Result<(), WorkerError> {
        self.stop()?;
        self.begin().map(drop)
    }

    /// Rings, listeners, gate, state.
    fn begin(&mut self) -> Result<Arc<Heard>, WorkerError> {
        let segments = &mut self.segments;
        for ring in [&segments.results, &segments.messages].into_iter().flatten() {
            begin_stream(&ring.control()?)?;
        }
        segments.inbox.clear()?; // for a predecessor
        let heard = Arc::new(Heard::default());
        let thread = |error: std::io::Error| {
            WorkerError::Fault(Fault::Os {
                queue: segments.control.name().into(),
                call: "clone",
                errno: error.raw_os_error().unwrap_or(libc::EAGAIN),
            })
        };
        let (mut results, mut messages) = (None, None);
        let mut ends = vec![];
        if let Some(ring) = segments.results.take() {
            ends.push(ring.control()?);
            results = Some(Listener::results(ring, heard.clone(), self.on_result.clone()).map_err(thread)?);
        }
        if let Some(ring) = segments.messages.take() {
            ends.push(ring.control()?);
            messages = Some(Listener::messages(ring, self.on_message.clone()).map_err(thread)?);
        }
        let (own, gated) = (self.again()?, self.gated);
        let after = move || {
            let _ = own.set_state(State::Stopped); // refused: it is
            if gated {
                close(&own);
            }
            ends.iter().for_each(end_of_stream);
        };
        self.run = Some(Run {
            crew: None,
            listeners: [results, messages],
            after: Some(Box::new(after)),
        });
        if self.gated {
            self.control().set_ready()?;
        }
        begin_stream(self.control())?;
        Ok(heard)
    }

    pub(crate) fn is_running(&self) -> bool {
        match &self.run {
            Some(Run { crew: Some(crew), .. }) => crew.is_running(),
            Some(_) => self.others().is_some(),
            None => false,
        }
    }

    pub(crate) fn pids(&self) -> Vec<u32> {
        self.run.as_ref().and_then(|run| run.crew.as_ref()).map_or_else(Vec::new, Crew::pids)
    }

    /// Processes of others that work, or may still come; `None`: the worker has ended.
    fn others(&self) -> Option<usize> {
        let members = self.control().stats().map_or_else(|_| vec![], |stats| stats.members);
        let working = members
            .iter()
            .filter(|member| member.role != Role::Producer && member.pid != self.process)
            .count();
        (working > 0 || self.control().state() == State::Started).then_some(working)
    }

    pub(crate) fn set_stopped(&self) -> Result<(), StateError> {
        match self.control().set_state(State::Stopped) {
            Err(StateError::Refused { .. }) => Ok(()), // it is
            other => other,
        }
    }

    /// Waits for the end; `None` if `timeout` passed first.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> Result<Option<Ended>, WorkerError> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let over = match &self.run {
            None => true,
            Some(Run { crew: Some(crew), .. }) => crew.wait(timeout),
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

    /// Stops the worker and waits for its end. Whoever does not end in time is killed.
    pub(crate) fn stop(&mut self) -> Result<Ended, WorkerError> {
        if self.run.is_none() {
            return Ok(Ended::default());
        }
        self.end_crew(self.common.stop_timeout)?;
        Ok(self.finish())
    }

    fn end_crew(&mut self, patience: Duration) -> Result<(), WorkerError> {
        if let Some(Run { crew: Some(crew), .. }) = &self.run {
            crew.let_end();
        }
        let stopped = self.set_stopped();
        let removed = matches!(stopped, Err(StateError::Fault(_)));
        match &self.run {
            Some(Run { crew: Some(crew), .. }) if removed || !crew.wait(Some(patience)) => {
                crew.kill();
                crew.wait(None);
            }
            Some(Run { crew: Some(_), .. }) => {}
            Some(_) => drop(self.wait_for_others(patience)),
            None => {}
        }
        Ok(stopped?)
    }

    fn wait_for_others(&self, patience: Duration) -> Option<usize> {
        let deadline = Instant::now() + patience;
        loop {
            let others = self.others()?;
            if Instant::now() >= deadline {
                return Some(others);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The processes have ended; the listeners read what is left.
    fn finish(&mut self) -> Ended {
        let Some(mut run) = self.run.take() else { return Ended::default() };
        if let Some(after) = run.after.take() {
            after();
        }
        let [results, messages] = run.listeners;
        self.segments.results = results.and_then(Listener::join);
        self.segments.messages = messages.and_then(Listener::join);
        run.crew.map_or_else(Ended::default, Crew::join)
    }

    /// Sends a message to the worker; `wait`: for space, as long as the worker runs.
    pub(crate) fn send(&mut self, bytes: &[u8], wait: bool) -> Result<(), SendError> {
        let running = self.is_running();
        let (inbox, run) = (&mut self.segments.inbox, &self.run);
        let name = inbox.name().into();
        let still = || match run {
            Some(Run { crew: Some(crew), .. }) => crew.is_running(),
            _ => running,
        };
        let sent = send(inbox, bytes, "message_size", &self.segments.control, || match (wait, still()) {
            (_, false) => WhenFull::GiveUp(SendError::Ended { queue: Arc::clone(&name) }),
            (true, true) => WhenFull::Wait,
            (false, true) => WhenFull::GiveUp(SendError::Full { queue: Arc::clone(&name) }),
        })?;
        if sent { Ok(()) } else { Err(SendError::Ended { queue: name }) }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        if self.process == std::process::id() {
            let _ = self.stop();
        } else if let Some(run) = self.run.take() {
            std::mem::forget(run); // a forked child: processes and threads are the parent's
        }
    }
}

/// Closes the gate and throws away what is in the queue; without a seat it is only void.
fn close(own: &Control) {
    let attach = Attach::new().directory(own.directory());
    let closed = ReadyQueue::<[u8]>::attach_with(own.name(), &attach).is_ok_and(|mut queue| queue.set_not_ready().is_ok());
    if !closed {
        let _ = own.set_not_ready();
    }
}
