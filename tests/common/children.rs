//! Tests in a child of their own, which may spoil its descriptors, limits and system calls.

use std::time::{Duration, Instant};

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
