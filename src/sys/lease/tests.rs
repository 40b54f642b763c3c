//! Leases against the kernel: exclusion, pinned locks, forks, kills.

use super::*;
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A file of the test's own, removed by Drop.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let path = std::env::temp_dir().join(format!(
            "prodcon-lease-{}-{}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        ));
        std::fs::write(&path, [0; 4096]).unwrap();
        Self(path)
    }
    fn open(&self) -> File {
        File::options()
            .read(true)
            .write(true)
            .open(&self.0)
            .unwrap()
    }
    fn lease(&self) -> Lease {
        Lease::new(self.open()).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The number is given up behind the lease's back, as a daemonising program does.
fn close_behind(lease: &Lease) {
    // SAFETY: the lease is told of nothing on purpose; it checks its number before each use, and no
    // other thread of this test has it.
    drop(unsafe { OwnedFd::from_raw_fd(lease.number()) });
}

/// Forks; the child runs `child` and leaves with its answer. Returns the child's id.
fn fork(child: impl FnOnce() -> bool) -> i32 {
    // SAFETY: the child calls `child`, which only reads memory and makes system calls, and then
    // _exit.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        let code = if child() { 0 } else { 1 };
        // SAFETY: ends the child at once, running nothing of the parent's.
        unsafe { libc::_exit(code) };
    }
    std::mem::forget(child); // what it would drop is the parent's own
    pid
}

fn wait(pid: i32) -> i32 {
    let mut status = 0;
    // SAFETY: `pid` is our child, `status` a valid place.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    status
}

fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "{what} did not happen in 20 s");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn two_leases_exclude_one_another() {
    let scratch = Scratch::new();
    let (a, b) = (scratch.lease(), scratch.lease());
    assert!(a.try_lock(3).unwrap());
    assert!(!b.try_lock(3).unwrap());
    assert!(b.try_lock(4).unwrap());
    assert!(b.is_locked(3).unwrap() && !b.is_locked(4).unwrap() && a.is_locked(4).unwrap());
    a.unlock(3).unwrap();
    assert!(b.try_lock(3).unwrap());
}

#[test]
fn a_read_only_description_sees_locks() {
    let scratch = Scratch::new();
    let (a, reader) = (
        scratch.lease(),
        Lease::new(File::open(&scratch.0).unwrap()).unwrap(),
    );
    assert!(!reader.is_locked(0).unwrap());
    assert!(a.try_lock(0).unwrap());
    assert!(reader.is_locked(0).unwrap());
}

#[test]
fn a_mapping_keeps_the_lock_when_the_program_closes_the_descriptor() {
    let scratch = Scratch::new();
    let (a, b) = (scratch.lease(), scratch.lease());
    let map = memmap2::MmapOptions::new()
        .len(4096)
        .map_raw(a.number())
        .unwrap();
    assert!(a.try_lock(1).unwrap());
    close_behind(&a);
    assert!(!b.try_lock(1).unwrap(), "the lock was lost while in use");
    assert!(a.unlock(1).is_err() && a.try_lock(2).is_err() && a.links().is_err());
    drop(a);
    drop(map);
    // Not at once: the child of another test's fork has the description until its fork handler has
    // run.
    eventually("the release of a lock whose endpoint is gone", || {
        b.try_lock(1).unwrap()
    });
}

#[test]
fn a_reused_number_is_nobodys_business() {
    let scratch = Scratch::new();
    let foreign = Scratch::new();
    let a = scratch.lease();
    let spare = foreign.open();
    // The lease's number becomes another file's.
    // SAFETY: both numbers are open; dup2 puts the foreign file at the lease's number, which is
    // what the test is about.
    assert!(unsafe { libc::dup2(spare.as_raw_fd(), a.number()) } >= 0);
    let number = a.number();
    assert!(a.try_lock(0).is_err() && a.unlock(0).is_err());
    drop(a);
    // SAFETY: the number was made by dup2 above; if the lease closed it, fstat inside File fails
    // and so does the test.
    let still = unsafe { File::from_raw_fd(number) };
    assert!(still.metadata().is_ok(), "the lease closed a foreign file");
}

#[test]
fn a_number_that_went_to_another_lease_of_the_same_file_is_lost() {
    let scratch = Scratch::new();
    let old = scratch.lease();
    let pinned = memmap2::MmapOptions::new()
        .len(4096)
        .map_raw(old.number())
        .unwrap();
    assert!(old.try_lock(0).unwrap());
    let other = scratch.open();
    // The program closes everything, then attaches to the same queue: its new endpoint gets the old
    // one's number. dup2 makes sure of it.
    // SAFETY: both numbers are open; dup2 puts the new description at the old lease's number.
    let number = unsafe { libc::dup2(other.as_raw_fd(), old.number()) };
    // SAFETY: dup2 just made this number; nobody but the new lease uses it from here on (that the
    // old one does not is what is tested).
    let new = Lease::new(unsafe { File::from_raw_fd(number) }).unwrap();
    assert!(new.try_lock(1).unwrap());
    assert!(
        old.try_lock(1).is_err(),
        "the old lease locked through the new one's description: a live seat would be recovered"
    );
    assert!(old.unlock(1).is_err());
    drop(pinned);
    drop(old);
    assert!(
        new.links().is_ok(),
        "the old lease closed the new one's descriptor"
    );
    assert!(scratch.lease().is_locked(1).unwrap());
}

#[test]
fn a_forked_child_is_told_and_its_end_costs_the_parent_nothing() {
    let scratch = Scratch::new();
    let (a, b) = (scratch.lease(), scratch.lease());
    assert!(a.try_lock(0).unwrap());
    let path = &scratch.0;
    let child = fork(|| {
        let told = a.forked() && a.try_lock(0).is_err() && a.unlock(0).is_err();
        drop(a);
        // What the child opens for itself works, and does not share the parent's lock.
        let own = Lease::new(File::options().read(true).write(true).open(path).unwrap()).unwrap();
        told && !own.forked() && b.forked() && !own.try_lock(0).unwrap() && own.try_lock(7).unwrap()
    });
    assert_eq!(wait(child), 0);
    let c = scratch.lease();
    assert!(
        c.is_locked(0).unwrap(),
        "the child's end dropped its parent's lock"
    );
    assert!(!c.is_locked(7).unwrap());
}

#[test]
fn a_surviving_child_does_not_keep_its_dead_parents_lock() {
    let scratch = Scratch::new();
    let watcher = scratch.lease();
    let path = &scratch.0;
    let mut pipe = [0; 2];
    assert_eq!(
        // SAFETY: `pipe` has room for two numbers.
        unsafe { libc::pipe2(pipe.as_mut_ptr(), libc::O_CLOEXEC) },
        0
    );
    let parent = fork(|| {
        let lease = Lease::new(File::options().read(true).write(true).open(path).unwrap()).unwrap();
        assert!(lease.try_lock(5).unwrap());
        fork(|| {
            let mut byte = 0u8;
            // SAFETY: closes this process's copy of the writing end, so that the read below ends
            // with the test.
            unsafe { libc::close(pipe[1]) };
            // SAFETY: `byte` has room for one byte. Blocks until the test closes the other end.
            unsafe { libc::read(pipe[0], (&raw mut byte).cast(), 1) };
            true
        });
        // SAFETY: stops for ever, until killed.
        unsafe { libc::pause() };
        false
    });
    eventually("the lock", || watcher.is_locked(5).unwrap());
    // The grandchild is there by now, or the test shows less.
    std::thread::sleep(Duration::from_millis(50));
    // SAFETY: `parent` is our child and has not been waited for.
    assert_eq!(unsafe { libc::kill(parent, libc::SIGKILL) }, 0);
    wait(parent);
    eventually("the release of a killed process's lock", || {
        !watcher.is_locked(5).unwrap()
    });
    for end in pipe {
        // SAFETY: our ends of the pipe, closed once; the grandchild reads end of file and leaves.
        unsafe { libc::close(end) };
    }
}

#[test]
fn a_child_that_no_handler_told_is_told_by_the_page() {
    let scratch = Scratch::new();
    let a = scratch.lease();
    assert!(a.try_lock(0).unwrap());
    let number = a.number();
    // As a raw fork: the C library runs no handlers, so the child has the parent's description, and
    // an unlock there would be the parent's.
    // SAFETY: without CLONE_VM the child is a copy of its own; it makes system calls and leaves by
    // _exit. Null pointers: no new stack, no ids wanted.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
    assert!(pid >= 0);
    if pid == 0 {
        let told = a.forked() && a.unlock(0).is_err() && a.try_lock(1).is_err();
        drop(a);
        let untouched = identity(number).is_ok();
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(if told && untouched { 0 } else { 1 }) };
    }
    assert_eq!(wait(pid as i32), 0);
    assert!(
        scratch.lease().is_locked(0).unwrap(),
        "the child's unlock was its parent's"
    );
    assert!(!scratch.lease().is_locked(1).unwrap());
}

#[test]
fn where_the_kernel_does_not_wipe_the_page_the_handler_tells_a_child() {
    let scratch = Scratch::new();
    let child = fork(|| {
        let lease = scratch.lease();
        let page = PAGE.load(Ordering::Relaxed).cast();
        // As qemu-user has it, and kernels before 4.14.
        assert_eq!(
            // SAFETY: the page is this process's own mapping of 4096 bytes; the advice changes what
            // a fork copies of it.
            unsafe { libc::madvise(page, 4096, libc::MADV_KEEPONFORK) },
            0
        );
        wait(fork(|| lease.forked() && !scratch.lease().forked())) == 0
    });
    assert_eq!(wait(child), 0);
}
