//! Processes that a program starts from itself, and that are gone when it is.

use crate::{Outcome, cpu};
use serde::Serialize;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Notes SIGINT, SIGTERM and SIGHUP instead of dying of them, so that everything is removed at the end.
///
/// # Errors
/// A handler is there already.
pub fn mind_signals() -> Outcome<()> {
    Ok(ctrlc::set_handler(|| {
        INTERRUPTED.store(true, Ordering::Relaxed)
    })?)
}

/// An error if a signal has asked this program to end.
///
/// # Errors
/// `interrupted`.
pub fn check_signals() -> Outcome<()> {
    if INTERRUPTED.load(Ordering::Relaxed) {
        Err("interrupted".into())
    } else {
        Ok(())
    }
}

/// Returns the command that starts this program again, to play a part in a comparison.
///
/// # Errors
/// As the system answers.
pub fn own(comparison: &str, part: &impl Serialize) -> Outcome<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([comparison, "--part", &serde_json::to_string(part)?]);
    Ok(command)
}

/// Starts a process, in a process group of its own (a ^C is for the first process alone). It dies with the thread that starts it.
///
/// # Errors
/// As the system answers.
pub fn start(mut command: Command) -> Outcome<Child> {
    command.stdin(Stdio::null()).process_group(0);
    let parent = std::process::id();
    // SAFETY: the closure runs between fork and exec and calls nothing but async-signal-safe functions (prctl, getppid, _exit), and allocates nothing.
    unsafe {
        command.pre_exec(move || {
            cpu::die_with_parent(parent);
            Ok(())
        })
    };
    Ok(command.spawn()?)
}

/// Processes that are killed and waited for when the group is dropped.
#[derive(Default)]
pub struct ProcessGroup(pub Vec<Child>);

impl ProcessGroup {
    /// How many have not ended.
    pub fn alive(&mut self) -> usize {
        self.0
            .iter_mut()
            .filter_map(|child| child.try_wait().ok())
            .filter(Option::is_none)
            .count()
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
        }
        for child in &mut self.0 {
            let _ = child.wait();
        }
    }
}
