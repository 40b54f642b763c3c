//! Processes that the command line starts from itself, and clocks they share.
//!
//! Invariant: a started process that calls [`born`] first never outlives the process that started it, whatever that one dies of.

use crate::exit::End;
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use rustix::time::{ClockId, clock_gettime};
use std::process::{Child, Command};

/// The variable of the environment with the process that started us. By the time we ask the kernel,
/// we may be another process's child.
const PARENT: &str = "PRODCON_PARENT";

/// This program again, with other arguments.
pub fn command<S: AsRef<std::ffi::OsStr>>(
    arguments: impl IntoIterator<Item = S>,
) -> Result<Command, End> {
    let program = std::env::current_exe()
        .map_err(|error| End::failed(format!("cannot find the own program: {error}")))?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env(PARENT, std::process::id().to_string());
    Ok(command)
}

/// Starts what [`command`] made.
pub fn spawn(command: &mut Command) -> Result<Child, End> {
    command
        .spawn()
        .map_err(|error| End::failed(format!("cannot start a process: {error}")))
}

/// The first thing a started process does.
pub fn born() {
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let parent = std::env::var(PARENT)
        .ok()
        .and_then(|pid| pid.parse::<i32>().ok());
    if parent.is_some_and(|parent| getppid().map(|pid| pid.as_raw_nonzero().get()) != Some(parent))
    {
        std::process::exit(1); // it died before we asked
    }
}

/// Nanoseconds of a clock that all processes share.
pub fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

/// Processes and queues that are gone when this is.
#[derive(Default)]
pub struct ProcessGroup {
    pub children: Vec<Child>,
    pub queues: Vec<String>,
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        for queue in &self.queues {
            let _ = prodcon::unlink(queue);
        }
    }
}
