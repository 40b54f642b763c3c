//! The processes of a worker: started, watched, started again, reaped.
//!
//! A thread for each process waits for its end, so that it is heard at once and no zombie stays; it recovers the seats that the process left, and starts it again if
//! the policy says so. Invariants: a process is signalled only under the lock under which it is reaped, so never after its id may be another's; the last thread to
//! end runs what follows the worker's end, once. Callers: the controlling handles.

use super::ended::{Ended, Exit, Restart};
use super::error::WorkerError;
use super::listen::{Callback, Heard, call, lock};
use crate::queue::{Control, State};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use std::process::{Child, Command};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the end of a process is not told because the text of its failure may still be on its way.
const PATIENCE: Duration = Duration::from_millis(60);
/// The longest back-off.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);
/// A process that lived so long begins with the shortest back-off again.
const STEADY: Duration = Duration::from_secs(10);

/// What the threads share.
pub(crate) struct Shared {
    pub(crate) worker: String,
    command: Mutex<Command>,
    restart: Restart,
    heard: Arc<Heard>,
    on_exit: Callback<Exit>,
    now: Mutex<Now>,
    changed: Condvar,
    /// What follows the worker's end.
    after: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

#[derive(Default)]
struct Now {
    children: Vec<Option<Child>>,
    exits: Vec<Exit>,
    running: usize,
    /// None runs, none will, and what follows has been done.
    over: bool,
    restarts: u32,
    /// Not all have attached yet.
    starting: bool,
    /// Nothing is started again.
    ending: bool,
}

/// The processes of a worker.
pub(crate) struct Crew {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Crew {
    /// Starts the processes. Those that were started are watched even if a later one could not be.
    pub(crate) fn start(
        control: &Control,
        command: Command,
        processes: usize,
        restart: Restart,
        heard: Arc<Heard>,
        on_exit: Callback<Exit>,
        after: Box<dyn FnOnce() + Send>,
    ) -> (Self, Result<(), WorkerError>) {
        let shared = Arc::new(Shared {
            worker: control.name().into(),
            command: Mutex::new(command),
            restart,
            heard,
            on_exit,
            now: Mutex::new(Now {
                running: 1, // so that nobody takes a pause between two starts for the end
                starting: true,
                ..Now::default()
            }),
            changed: Condvar::new(),
            after: Mutex::new(Some(after)),
        });
        let mut crew = Self { shared, threads: vec![] };
        let started = (0..processes).try_for_each(|process| crew.start_one(control, process));
        crew.shared.one_less();
        (crew, started)
    }

    fn start_one(&mut self, control: &Control, process: usize) -> Result<(), WorkerError> {
        let shared = self.shared.clone();
        let control = Control::attach_in(control.directory(), control.name())?;
        let mut now = lock(&self.shared.now);
        let child = shared.spawn()?;
        now.children.push(Some(child));
        now.running += 1;
        let thread = std::thread::Builder::new().name(format!("prodcon {} {process}", shared.worker));
        match thread.spawn(move || shared.tend(&control, process)) {
            Ok(thread) => {
                self.threads.push(thread);
                Ok(())
            }
            Err(error) => {
                now.running -= 1;
                if let Some(mut child) = now.children.pop().flatten() {
                    let _ = child.kill();
                    let _ = child.wait();
                }
                Err(self.shared.spawn_error(error))
            }
        }
    }

    /// Waits until every process has attached. A process that ends before is a failure; so is one that does not attach within `patience`.
    pub(crate) fn wait_attached(&self, control: &Control, patience: Duration) -> Result<(), WorkerError> {
        let deadline = Instant::now() + patience;
        let worker = || self.shared.worker.clone();
        loop {
            // Between its end and the note of it a process is in neither list.
            let (pids, exits, missing) = {
                let now = lock(&self.shared.now);
                let pids: Vec<u32> = now.children.iter().flatten().map(Child::id).collect();
                let ended = |process: &usize| now.children[*process].is_none() && !now.exits.iter().any(|exit| exit.process == *process);
                (pids, now.exits.clone(), (0..now.children.len()).any(|process| ended(&process)))
            };
            if let Some(exit) = exits.into_iter().find(|exit| !self.shared.heard.attached(exit.pid)) {
                return Err(match exit.error {
                    Some(text) => WorkerError::Failed { worker: worker(), text },
                    None => WorkerError::NotAWorker {
                        worker: worker(),
                        program: self.shared.program(),
                        status: exit.status,
                        seconds: 0.0,
                    },
                });
            }
            // A worker in a language of its own is known by its seat.
            let members = control.stats()?.members;
            if !missing
                && pids
                    .iter()
                    .all(|pid| self.shared.heard.attached(*pid) || members.iter().any(|member| member.pid == *pid))
            {
                lock(&self.shared.now).starting = false;
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(WorkerError::NotAWorker {
                    worker: worker(),
                    program: self.shared.program(),
                    status: None,
                    seconds: patience.as_secs_f64(),
                });
            }
            let now = lock(&self.shared.now);
            drop(self.shared.changed.wait_timeout(now, Duration::from_millis(1)));
        }
    }

    /// Some process runs, or is about to be started again.
    pub(crate) fn is_running(&self) -> bool {
        !lock(&self.shared.now).over
    }

    /// The processes that run now.
    pub(crate) fn pids(&self) -> Vec<u32> {
        lock(&self.shared.now).children.iter().flatten().map(Child::id).collect()
    }

    /// Nothing is started again from now on. The state should be `stopped`.
    pub(crate) fn let_end(&self) {
        lock(&self.shared.now).ending = true;
        self.shared.changed.notify_all();
    }

    /// Waits until all have ended; false if `timeout` passed first.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> bool {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut now = lock(&self.shared.now);
        while !now.over {
            let left = deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return false;
            }
            now = self.shared.changed.wait_timeout(now, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Kills whoever still runs.
    pub(crate) fn kill(&self) {
        for child in lock(&self.shared.now).children.iter_mut().flatten() {
            let _ = child.kill();
        }
    }

    /// Waits for the threads, which have nothing left to do; gives what they saw, and complete: every text has arrived by now.
    pub(crate) fn join(self) -> Ended {
        for thread in self.threads {
            let _ = thread.join();
        }
        let mut exits = std::mem::take(&mut lock(&self.shared.now).exits);
        for exit in exits.iter_mut().filter(|exit| exit.error.is_none() && !exit.success()) {
            exit.error = self.shared.heard.failure(exit.pid, Duration::ZERO);
        }
        Ended { exits }
    }
}

impl Shared {
    fn program(&self) -> String {
        lock(&self.command).get_program().to_string_lossy().into_owned()
    }

    fn spawn_error(&self, error: std::io::Error) -> WorkerError {
        WorkerError::Spawn {
            worker: self.worker.clone(),
            program: self.program(),
            error,
        }
    }

    fn spawn(&self) -> Result<Child, WorkerError> {
        let child = lock(&self.command).spawn();
        child.map_err(|error| self.spawn_error(error))
    }

    /// Watches one of the processes, and those that follow it.
    fn tend(&self, control: &Control, process: usize) {
        let mut in_a_row = 0;
        while let (began, Some(pid)) = (Instant::now(), self.pid(process)) {
            wait_for_end(pid);
            let child = lock(&self.now).children[process].take();
            let status = child.and_then(|mut child| child.wait().ok());
            recover(control);
            if began.elapsed() >= STEADY {
                in_a_row = 0;
            }
            // What it said may still be on its way; who was killed had nothing to say.
            let speaks = status.is_some_and(|status| status.code().is_some_and(|code| code != 0)) || lock(&self.now).starting;
            let mut exit = Exit {
                process,
                pid,
                status,
                error: if speaks { self.heard.failure(pid, PATIENCE) } else { None },
                restarts: false,
            };
            let backoff = self.note(&mut exit, control, in_a_row);
            self.changed.notify_all();
            call(&self.on_exit, exit);
            let Some(backoff) = backoff else { break };
            in_a_row = (in_a_row + 1).min(20);
            if !self.pause(control, backoff) || !self.start_again(process) {
                break;
            }
        }
        self.one_less();
    }

    /// Notes the end of a process; how long to wait before it is started again, if it is.
    fn note(&self, exit: &mut Exit, control: &Control, in_a_row: u32) -> Option<Duration> {
        let mut now = lock(&self.now);
        let backoff = match self.restart {
            Restart::OnFailure { limit, backoff }
                if !exit.success()
                    && !now.ending
                    && (!now.starting || self.heard.attached(exit.pid))
                    && control.state() != State::Stopped
                    && now.restarts < limit =>
            {
                now.restarts += 1;
                Some(backoff.saturating_mul(1 << in_a_row).min(LONGEST_BACKOFF))
            }
            _ => None,
        };
        exit.restarts = backoff.is_some();
        now.exits.push(exit.clone());
        backoff
    }

    fn start_again(&self, process: usize) -> bool {
        let mut now = lock(&self.now);
        match self.spawn() {
            Ok(child) => {
                now.children[process] = Some(child);
                true
            }
            Err(error) => {
                now.exits.push(Exit {
                    process,
                    pid: 0,
                    status: None,
                    error: Some(error.to_string()),
                    restarts: false,
                });
                false
            }
        }
    }

    fn pid(&self, process: usize) -> Option<u32> {
        lock(&self.now).children[process].as_ref().map(Child::id)
    }

    /// One process less; the last one ends the worker.
    fn one_less(&self) {
        let last = {
            let mut now = lock(&self.now);
            now.running -= 1;
            now.running == 0
        };
        if last {
            if let Some(after) = lock(&self.after).take() {
                after();
            }
            lock(&self.now).over = true;
            self.changed.notify_all();
        }
    }

    /// Sleeps so long; false if the worker is stopped meanwhile.
    fn pause(&self, control: &Control, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        let mut now = lock(&self.now);
        loop {
            if now.ending || control.state() == State::Stopped {
                return false;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            // The state may be changed by others too.
            let slice = left.min(Duration::from_millis(50));
            now = self.changed.wait_timeout(now, slice).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Waits until the process has ended, and leaves it to be reaped.
fn wait_for_end(pid: u32) {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return };
    while matches!(
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT),
        Err(rustix::io::Errno::INTR)
    ) {}
}

/// Frees the seats of a process that has ended. What is undecided becomes decidable when others have ended what they are at.
fn recover(control: &Control) {
    for _ in 0..20 {
        match control.recover() {
            Ok(pass) if pass.undecided > 0 => std::thread::sleep(Duration::from_millis(1)),
            _ => return,
        }
    }
}
