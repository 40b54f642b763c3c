//! Processes that the command line starts from itself, and clocks they share.

use crate::exit::End;
use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::time::{ClockId, clock_gettime};
use std::process::{Child, Command};

/// Starts this program again. It dies with us.
pub fn start(arguments: &[String]) -> Result<Child, End> {
    let program = std::env::current_exe().map_err(|error| End::failed(format!("cannot find the own program: {error}")))?;
    Command::new(program)
        .args(arguments)
        .spawn()
        .map_err(|error| End::failed(format!("cannot start a process: {error}")))
}

/// The first thing a started process does.
pub fn born() {
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
}

/// Nanoseconds of a clock that all processes share.
pub fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

/// Processes and queues that are gone when this is.
#[derive(Default)]
pub struct Crew {
    pub children: Vec<Child>,
    pub queues: Vec<String>,
}

impl Drop for Crew {
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
