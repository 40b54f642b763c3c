//! The processes of a worker: started, watched, started again, reaped.
//!
//! A thread for each process waits for its end, so that it is heard at once and no zombie stays; it
//! recovers the seats that the process left, and starts it again if the policy says so. Invariants:
//! a process is signalled only under the lock under which it is reaped, so never after its id may
//! be another's; the last thread to end runs what follows the worker's end, once.

use super::exit::{ProcessExit, Restart, WorkerExit};
use super::listener::{Callback, Ears, LastWords, lock, serve};
use crate::error::{Error, Reason, Worker};
use crate::queue::Control;
use crate::state::State;
use crate::trace;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use std::process::{Child, Command};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the seats of a process that was reaped may still look taken. The kernel gives a lock
/// back when the mapping of its file goes, and a process that reads `/proc/PID/maps` just then
/// delays that by tens of milliseconds.
const DEAD_SEATS_TIMEOUT: Duration = Duration::from_millis(200);
/// The longest back-off.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);
/// A process that lived for this long begins with the shortest back-off again.
const STEADY: Duration = Duration::from_secs(10);

/// What the threads share.
pub(crate) struct Shared {
    pub(crate) worker: String,
    /// Of the handle whose threads these are.
    handle: u64,
    /// The worker's own segment.
    control: Arc<Mutex<Control>>,
    command: Mutex<Command>,
    restart: Restart,
    /// How long a process that is started again may take to attach.
    start_timeout: Duration,
    /// How long a call of `work` may take.
    work_limit: Option<Duration>,
    heard: Arc<Ears>,
    on_exit: Callback<ProcessExit>,
    now: Mutex<Now>,
    changed: Condvar,
    /// What follows the worker's end.
    after: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

struct Now {
    children: Vec<Option<Child>>,
    ended: WorkerExit,
    /// One that ended before it had attached, while the worker was started.
    early: Option<ProcessExit>,
    running: usize,
    /// None runs, none will, and what follows has been done.
    over: bool,
    restarts: u32,
    /// Not all have attached yet.
    starting: bool,
    /// Nothing is started again.
    ending: bool,
    /// Processes that were killed because their work took too long.
    overdue: Vec<u32>,
}

/// What is to be started, and the callbacks that hear of it.
pub(crate) struct Plan {
    pub(crate) handle: u64,
    pub(crate) control: Arc<Mutex<Control>>,
    pub(crate) command: Command,
    pub(crate) processes: usize,
    pub(crate) restart: Restart,
    pub(crate) start_timeout: Duration,
    pub(crate) work_limit: Option<Duration>,
    pub(crate) heard: Arc<Ears>,
    pub(crate) on_exit: Callback<ProcessExit>,
    pub(crate) after: Box<dyn FnOnce() + Send>,
}

/// The processes of a worker.
pub(crate) struct WorkerProcesses {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl WorkerProcesses {
    /// Starts the processes. Those that were started are watched even if a later one could not be.
    pub(crate) fn start(plan: Plan) -> (Self, Result<(), Error>) {
        let worker: String = lock(&plan.control).name().into();
        let shared = Arc::new(Shared {
            handle: plan.handle,
            control: plan.control,
            command: Mutex::new(plan.command),
            restart: plan.restart,
            start_timeout: plan.start_timeout,
            work_limit: plan.work_limit,
            heard: plan.heard,
            on_exit: plan.on_exit,
            now: Mutex::new(Now {
                running: 1, // so that nobody takes a pause between two starts for the end
                starting: true,
                children: vec![],
                ended: WorkerExit::of(&worker),
                early: None,
                over: false,
                restarts: 0,
                ending: false,
                overdue: vec![],
            }),
            changed: Condvar::new(),
            after: Mutex::new(Some(plan.after)),
            worker,
        });
        let mut processes = Self {
            shared,
            threads: vec![],
        };
        let limited = plan
            .work_limit
            .map_or(Ok(()), |limit| processes.limit(limit));
        let started = limited.and_then(|()| {
            (0..plan.processes).try_for_each(|process| processes.start_one(process))
        });
        processes.shared.one_less();
        (processes, started)
    }

    fn start_one(&mut self, process: usize) -> Result<(), Error> {
        let shared = self.shared.clone();
        let mut now = lock(&self.shared.now);
        let child = shared.spawn()?;
        now.children.push(Some(child));
        now.running += 1;
        let thread =
            std::thread::Builder::new().name(format!("prodcon {} {process}", shared.worker));
        match thread.spawn(move || shared.tend(process)) {
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

    /// Lets no call of `work` take longer than `limit`.
    fn limit(&mut self, limit: Duration) -> Result<(), Error> {
        let shared = self.shared.clone();
        let thread = std::thread::Builder::new().name(format!("prodcon {} limit", shared.worker));
        let thread = thread.spawn(move || shared.limit_work(limit));
        self.threads
            .push(thread.map_err(|error| self.shared.spawn_error(error))?);
        Ok(())
    }

    /// Waits until every process has attached. A process that ends before is a failure; so is one
    /// that does not attach within `patience`.
    pub(crate) fn wait_attached(&self) -> Result<(), Error> {
        let patience = self.shared.start_timeout;
        let deadline = Instant::now().checked_add(patience);
        let worker = || self.shared.worker.clone();
        loop {
            // Between its end and the note of it a process is in neither list.
            let (pids, early, missing) = {
                let now = lock(&self.shared.now);
                let pids: Vec<u32> = now.children.iter().flatten().map(Child::id).collect();
                let exits = &now.ended.exits;
                let ended = |process: usize| {
                    now.children[process].is_none()
                        && !exits.iter().any(|exit| exit.process == process)
                };
                (pids, now.early.clone(), (0..now.children.len()).any(ended))
            };
            if let Some(exit) = early {
                return Err(match exit.error {
                    Some(text) => Worker::Failed {
                        worker: worker(),
                        text,
                    }
                    .into(),
                    None => Worker::NotAttached {
                        worker: worker(),
                        program: self.shared.program(),
                        status: exit.status,
                    }
                    .into(),
                });
            }
            // A worker in a language of its own is known by its seat.
            let members = lock(&self.shared.control).stats()?.members;
            let attached = |pid: &u32| {
                self.shared.heard.attached(*pid) || members.iter().any(|member| member.pid == *pid)
            };
            if !missing && pids.iter().all(attached) {
                lock(&self.shared.now).starting = false;
                return Ok(());
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(Worker::Late {
                    worker: worker(),
                    program: self.shared.program(),
                    seconds: patience.as_secs_f64(),
                }
                .into());
            }
            let now = lock(&self.shared.now);
            drop(
                self.shared
                    .changed
                    .wait_timeout(now, Duration::from_millis(1)),
            );
        }
    }

    /// Some process runs, or is about to be started again.
    pub(crate) fn is_running(&self) -> bool {
        !lock(&self.shared.now).over
    }

    /// The processes that run now.
    pub(crate) fn pids(&self) -> Vec<u32> {
        lock(&self.shared.now)
            .children
            .iter()
            .flatten()
            .map(Child::id)
            .collect()
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
            let left = deadline.map_or(Duration::MAX, |deadline| {
                deadline.saturating_duration_since(Instant::now())
            });
            if left.is_zero() {
                return false;
            }
            now = self
                .shared
                .changed
                .wait_timeout(now, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }

    /// Kills the processes that still run.
    pub(crate) fn kill(&self) {
        for child in lock(&self.shared.now).children.iter_mut().flatten() {
            let _ = child.kill();
        }
    }

    /// Waits for the threads, which have nothing left to do; gives what they saw, and complete:
    /// every text has arrived by now.
    pub(crate) fn join(self) -> WorkerExit {
        for thread in self.threads {
            let _ = thread.join();
        }
        let nothing = WorkerExit::of(&self.shared.worker);
        std::mem::replace(&mut lock(&self.shared.now).ended, nothing)
    }

    /// Leaves processes and threads to themselves.
    pub(crate) fn forget(self) {
        std::mem::forget(self);
    }
}

impl Shared {
    fn program(&self) -> String {
        lock(&self.command)
            .get_program()
            .to_string_lossy()
            .into_owned()
    }

    fn spawn_error(&self, error: std::io::Error) -> Error {
        let (worker, program) = (self.worker.clone(), self.program());
        let reason = if error.raw_os_error() == Some(libc::E2BIG) {
            Worker::Arguments { worker, program }
        } else {
            let why = error.to_string();
            Worker::Spawn {
                worker,
                program,
                why,
            }
        };
        Error::with_source(Reason::Worker(reason), error)
    }

    fn spawn(&self) -> Result<Child, Error> {
        let child = lock(&self.command).spawn();
        child.map_err(|error| self.spawn_error(error))
    }

    /// Watches one of the processes, and those that follow it.
    fn tend(&self, process: usize) {
        serve(self.handle);
        let (mut in_a_row, mut again) = (0, false);
        while let (began, Some(pid)) = (Instant::now(), self.pid(process)) {
            if again {
                trace::worker_restarted(&self.worker, process, pid);
            } else {
                trace::worker_started(&self.worker, process, pid);
            }
            let late = again && !self.attaches(process, pid);
            wait_for_end(pid);
            let child = lock(&self.now).children[process].take();
            let status = child.and_then(|mut child| child.wait().ok());
            self.recover(pid);
            if began.elapsed() >= STEADY {
                in_a_row = 0;
            }
            let attached = self.heard.attached(pid);
            let LastWords { mut error, ended } = self.heard.last_words(pid);
            if status.is_some_and(|status| status.success()) && attached {
                error = None;
            }
            if late && error.is_none() {
                error = Some(format!(
                    "it did not attach within {} s and was killed",
                    self.start_timeout.as_secs_f64()
                ));
            }
            let overdue = self.was_overdue(pid);
            if let (Some(limit), None) = (overdue, &error) {
                error = Some(format!(
                    "its work took longer than {} s and it was killed",
                    limit.as_secs_f64()
                ));
            }
            // One that ends well says so.
            if status.is_none() && attached && !ended && error.is_none() {
                error = Some(format!(
                    "process {pid} ended before its work did; nobody knows how, because SIGCHLD is ignored or its status was collected elsewhere"
                ));
            }
            let mut exit = ProcessExit {
                process,
                pid,
                status,
                error,
                restarts: false,
            };
            let backoff = self.note(&mut exit, attached, in_a_row);
            self.changed.notify_all();
            trace::worker_ended(
                &self.worker,
                process,
                pid,
                exit.status,
                exit.error.as_deref(),
            );
            self.on_exit.call(exit);
            let Some(backoff) = backoff else { break };
            in_a_row = (in_a_row + 1).min(20);
            again = true;
            if !self.start_again(process, backoff) {
                break;
            }
        }
        self.one_less();
    }

    /// Kills each process whose call of `work` takes longer than `limit`, until the worker's end.
    fn limit_work(&self, limit: Duration) {
        loop {
            // An error: the next look tells, or nobody can know how long it takes.
            let works = lock(&self.control).works().unwrap_or_default();
            let mut now = lock(&self.now);
            if now.over {
                return;
            }
            for late in works.iter().filter(|work| work.lasts > limit) {
                let child = now.children.iter_mut().flatten();
                let mut child = child.filter(|child| child.id() == late.pid);
                if child.next().is_some_and(|child| child.kill().is_ok()) {
                    now.overdue.push(late.pid);
                }
            }
            // What begins after this look is not late before the whole time has passed.
            let left = works
                .iter()
                .filter_map(|work| limit.checked_sub(work.lasts));
            let left = left.fold(limit, Duration::min);
            let pause = left.clamp(Duration::from_millis(1), Duration::from_secs(3600));
            drop(self.changed.wait_timeout(now, pause));
        }
    }

    /// Returns the limit that the work of this process has passed, if it was killed for that.
    fn was_overdue(&self, pid: u32) -> Option<Duration> {
        let mut now = lock(&self.now);
        let before = now.overdue.len();
        now.overdue.retain(|overdue| *overdue != pid);
        (now.overdue.len() < before)
            .then_some(self.work_limit)
            .flatten()
    }

    /// Waits until a process that was started again has attached, or has ended; kills it if it does
    /// not in time: false.
    fn attaches(&self, process: usize, pid: u32) -> bool {
        let Some(deadline) = Instant::now().checked_add(self.start_timeout) else {
            return true;
        };
        loop {
            let has_seat = || {
                let stats = lock(&self.control).stats();
                stats.is_ok_and(|stats| stats.members.iter().any(|member| member.pid == pid))
            };
            if self.heard.attached(pid) || has_ended(pid) || has_seat() {
                return true;
            }
            let mut now = lock(&self.now);
            if Instant::now() >= deadline {
                if let Some(child) = &mut now.children[process] {
                    let _ = child.kill();
                }
                return false;
            }
            drop(self.changed.wait_timeout(now, Duration::from_millis(10)));
        }
    }

    /// Frees the seats of a process that has ended, as soon as the kernel has given its locks back.
    /// What is undecided becomes decidable when others have ended what they are at.
    fn recover(&self, pid: u32) {
        let deadline = Instant::now() + DEAD_SEATS_TIMEOUT;
        let locked = |control: &Control| {
            control
                .stats()
                .is_ok_and(|stats| stats.members.iter().any(|member| member.pid == pid))
        };
        while locked(&lock(&self.control)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        for _ in 0..20 {
            let pass = lock(&self.control).recover();
            match pass {
                Ok(pass) if pass.undecided > 0 => std::thread::sleep(Duration::from_millis(1)),
                _ => return,
            }
        }
    }

    /// Notes the end of a process; how long to wait before it is started again, if it is.
    fn note(&self, exit: &mut ProcessExit, attached: bool, in_a_row: u32) -> Option<Duration> {
        let stopped = lock(&self.control).state() == State::Stopped;
        let mut now = lock(&self.now);
        let backoff = match self.restart {
            Restart::OnFailure { limit, backoff }
                if !exit.success()
                    && !now.ending
                    && (!now.starting || attached)
                    && !stopped
                    && now.restarts < limit =>
            {
                now.restarts += 1;
                Some(backoff.saturating_mul(1 << in_a_row).min(LONGEST_BACKOFF))
            }
            _ => None,
        };
        exit.restarts = backoff.is_some();
        if now.starting && !attached && now.early.is_none() {
            now.early = Some(exit.clone());
        }
        now.ended.push(exit.clone());
        backoff
    }

    /// Starts a process again after this time, unless the worker is stopped before. Returns whether
    /// it runs.
    fn start_again(&self, process: usize, backoff: Duration) -> bool {
        let goes_on = self.pause(backoff);
        let mut now = lock(&self.now);
        if !goes_on || now.ending {
            now.ended.stays_ended(process);
            return false;
        }
        let error = match self.spawn() {
            Ok(child) => {
                now.children[process] = Some(child);
                return true;
            }
            Err(error) => error.to_string(),
        };
        let exit = ProcessExit {
            process,
            pid: 0,
            status: None,
            error: Some(error),
            restarts: false,
        };
        now.ended.push(exit.clone());
        drop(now);
        self.on_exit.call(exit);
        false
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

    /// Sleeps for this time. Returns false if the worker is stopped meanwhile.
    fn pause(&self, time: Duration) -> bool {
        let deadline = Instant::now() + time; // LONGEST_BACKOFF at most
        loop {
            let stopped = lock(&self.control).state() == State::Stopped;
            let now = lock(&self.now);
            if now.ending || stopped {
                return false;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            // The state may be changed by others too.
            let slice = left.min(Duration::from_millis(50));
            drop(self.changed.wait_timeout(now, slice));
        }
    }
}

/// Waits until the process has ended, and leaves it to be reaped.
fn wait_for_end(pid: u32) {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return;
    };
    while matches!(
        waitid(
            WaitId::Pid(pid),
            WaitIdOptions::EXITED | WaitIdOptions::NOWAIT
        ),
        Err(rustix::io::Errno::INTR)
    ) {}
}

/// It has ended, and was not reaped yet or nobody can reap it.
fn has_ended(pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return true;
    };
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    !matches!(
        waitid(WaitId::Pid(pid), options),
        Ok(None) | Err(rustix::io::Errno::INTR)
    )
}
