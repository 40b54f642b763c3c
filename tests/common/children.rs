//! Children: forked ones, which may spoil their descriptors, limits and system calls; and this
//! program started again, as its ignored test `child`, to be stopped and killed.

use super::Dir;
use std::ops::{Deref, DerefMut};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const ROLE: &str = "PRODCON_TEST_ROLE";
const NUMBER: &str = "PRODCON_TEST_NUMBER";

/// A started program. It is killed when this is dropped.
pub struct Started(Child);

impl Started {
    pub fn new(dir: &Dir, role: &str, number: u64) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "child", "--ignored", "--nocapture"])
            .stdout(Stdio::null());
        command
            .env("PRODCON_DIR", &dir.0)
            .env(ROLE, role)
            .env(NUMBER, number.to_string());
        let heeds_interrupts = || {
            // Who starts the tests in the background of a shell has it ignored.
            // SAFETY: sets a signal's default action.
            unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
            Ok(())
        };
        // SAFETY: `signal` may be called between fork and exec.
        unsafe { command.pre_exec(heeds_interrupts) };
        Self(command.spawn().unwrap())
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: a signal to a child that has not been waited for.
        assert_eq!(unsafe { libc::kill(self.0.id() as i32, signal) }, 0);
    }
}

impl Deref for Started {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Started {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// In the program that was started: its role and number. It ends with its parent. `None` if
/// somebody runs the ignored tests.
pub fn role() -> Option<(String, u64)> {
    let role = std::env::var(ROLE).ok()?;
    // SAFETY: prctl with these arguments touches no memory.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    Some((role, std::env::var(NUMBER).unwrap().parse().unwrap()))
}

/// 0 if the child answered true, 1 if false; what it panics with shows, and is 101.
pub fn in_child(act: impl FnOnce() -> bool) -> i32 {
    // SAFETY: the child runs `act` and leaves by _exit, whatever happens.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(done.map_or(101, |done| i32::from(!done))) };
    }
    std::mem::forget(act); // what it would drop is the parent's own
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut status = 0;
    loop {
        // SAFETY: `pid` is our child, `status` a valid place.
        match unsafe { libc::waitpid(pid, &mut status, libc::WNOHANG) } {
            0 if Instant::now() < deadline => std::thread::sleep(Duration::from_micros(200)),
            0 => {
                // SAFETY: `pid` is our child and has not been waited for.
                unsafe { libc::kill(pid, libc::SIGKILL) };
                // SAFETY: as above.
                unsafe { libc::waitpid(pid, &mut status, 0) };
                panic!("the child did not end within a minute");
            }
            _ => break,
        }
    }
    if libc::WIFEXITED(status) {
        libc::WEXITSTATUS(status)
    } else {
        1000 + libc::WTERMSIG(status)
    }
}
