//! Processes that a program starts from itself, and that are gone when it is.

use crate::{Outcome, cpu};
use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Notes SIGINT, SIGTERM and SIGHUP instead of dying of them, so that everything is removed at the end.
///
/// # Errors
/// A handler is there already.
pub fn mind_signals() -> Outcome<()> {
    Ok(ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::Relaxed))?)
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

/// Starts this program again with these arguments, in a process group of its own (a ^C is for the first one alone). It dies with us.
///
/// # Errors
/// As the system answers.
pub fn start<S: AsRef<OsStr>>(arguments: &[S]) -> Outcome<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments).stdin(Stdio::null()).process_group(0);
    bind(&mut command);
    Ok(command.spawn()?)
}

/// Makes the process that the command starts die with the thread that starts it.
pub fn bind(command: &mut Command) {
    let parent = std::process::id();
    // SAFETY: the closure runs between fork and exec and calls nothing but async-signal-safe functions (prctl, getppid, _exit), and allocates nothing.
    unsafe {
        command.pre_exec(move || {
            cpu::die_with_parent(parent);
            Ok(())
        })
    };
}

/// Processes that are killed and waited for when this is dropped.
#[derive(Default)]
pub struct Crew(pub Vec<Child>);

impl Crew {
    /// How many have not ended.
    pub fn alive(&mut self) -> usize {
        self.0.iter_mut().filter_map(|child| child.try_wait().ok()).filter(Option::is_none).count()
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
        }
        for child in &mut self.0 {
            let _ = child.wait();
        }
    }
}
