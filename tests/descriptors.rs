//! Descriptors: never a standard stream's number, never a forked child's, and what an endpoint says
//! when the program has closed its own.

mod common;

use common::children::in_child;
use common::{Dir, until};
use prodcon::{ErrorKind, GetError, PutError, QueueOptions, ReadyQueue, Role};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

impl Dir {
    fn plain(&self) -> QueueOptions {
        self.at_least_once(16)
    }
    fn queue(&self, name: &str) -> ReadyQueue<u64> {
        ReadyQueue::create(name, &self.plain()).unwrap()
    }
    fn attached(&self, name: &str) -> ReadyQueue<u64> {
        ReadyQueue::attach_with(name, &self.attach()).unwrap()
    }
}

/// What a program's chatter does to a descriptor that is none: true if the write failed.
fn cannot_be_written(number: i32) -> bool {
    let chatter = "progress 10%, 20%, 30%\n";
    // SAFETY: writes a text of this length to a number that the kernel checks.
    unsafe { libc::write(number, chatter.as_ptr().cast(), chatter.len()) < 0 }
}

#[test]
fn no_standard_stream_becomes_a_queue() {
    let dir = Dir::new();
    dir.queue("there").put(&1).unwrap();
    for closed in [&[0][..], &[1], &[2], &[0, 1, 2]] {
        let code = in_child(|| {
            for number in closed {
                // SAFETY: closes one of this child's own standard streams.
                unsafe { libc::close(*number) };
            }
            let mut made = dir.queue("made");
            let mut there = dir.attached("there");
            let clone = made.try_clone().unwrap();
            let control = dir.control("there");
            let watch = control.supervise(true).unwrap().unwrap();
            assert!(
                prodcon::list_in(&dir.0).unwrap().len() == 2
                    && control.doctor().unwrap().problems.is_empty()
            );
            made.put(&2).unwrap();
            let kept = closed.iter().all(|number| cannot_be_written(*number));
            let whole =
                made.get().unwrap() == 2 && there.get().unwrap() == 1 && there.put(&1).is_ok();
            drop((clone, watch));
            kept && whole && control.unlink().is_ok() && {
                drop(there);
                dir.queue("there").put(&1).is_ok() && prodcon::unlink_in(&dir.0, "made").is_ok()
            }
        });
        assert_eq!(code, 0, "with {closed:?} closed");
    }
}

/// A page that forked children share.
fn shared_word() -> &'static AtomicU32 {
    // SAFETY: an anonymous mapping at an address of the kernel's choice touches nothing that exists.
    let page = unsafe {
        let (read_write, shared) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
        );
        libc::mmap(std::ptr::null_mut(), 4096, read_write, shared, -1, 0)
    };
    assert_ne!(page, libc::MAP_FAILED);
    // SAFETY: the mapping is aligned, zeroed, never unmapped, and only accessed as an AtomicU32.
    unsafe { &*page.cast::<AtomicU32>() }
}

const ENDPOINTS: i64 = 16;

/// The description behind one of this process's numbers has a seat of the queue in `path`, all of whose
/// first seats are taken.
fn has_a_seat_through_any_number(path: &Path) -> bool {
    let Ok(file) = std::fs::metadata(path) else {
        return false;
    };
    let same = |number: &i32| {
        std::fs::metadata(format!("/proc/self/fd/{number}"))
            .is_ok_and(|meta| (meta.dev(), meta.ino()) == (file.dev(), file.ino()))
    };
    (3..256).filter(same).any(|number| {
        (0..ENDPOINTS).any(|seat| {
            // SAFETY: all zeros are a value of this plain structure.
            let mut lock: libc::flock = unsafe { std::mem::zeroed() };
            (lock.l_type, lock.l_start, lock.l_len) = (libc::F_WRLCK as i16, (1 << 62) + seat, 1);
            // SAFETY: the kernel checks the number; `lock` is a valid flock. Who has the lock is told nothing.
            unsafe {
                libc::fcntl(number, libc::F_OFD_GETLK, &raw mut lock) == 0
                    && lock.l_type == libc::F_UNLCK as i16
            }
        })
    })
}

#[test]
fn a_fork_while_another_thread_creates_and_attaches_leaves_the_child_no_seat() {
    let dir = Dir::new();
    let (attached, wanted, done) = (shared_word(), AtomicU32::new(0), AtomicU32::new(0));
    let rounds: u32 = std::env::var("PRODCON_FORKS").map_or(200, |rounds| rounds.parse().unwrap());
    let wait_for = |word: &AtomicU32, round| until("the other side", || word.load(SeqCst) >= round);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..=rounds {
                wait_for(&wanted, round);
                let first = dir.queue("q");
                let _others: Vec<_> = (1..ENDPOINTS).map(|_| dir.attached("q")).collect();
                attached.store(round, SeqCst);
                wait_for(&done, round);
                drop(first);
                prodcon::unlink_in(&dir.0, "q").unwrap();
            }
        });
        let mut leaks = 0;
        for round in 1..=rounds {
            wanted.store(round, SeqCst);
            std::thread::sleep(Duration::from_micros((round * 37 % 1000).into()));
            leaks += i32::from(
                in_child(|| {
                    wait_for(attached, round);
                    !has_a_seat_through_any_number(&dir.path("q"))
                }) != 0,
            );
            done.store(round, SeqCst);
        }
        assert_eq!(
            leaks, 0,
            "children of {rounds} have a description that would keep a dead endpoint's seats"
        );
    });
}

#[test]
fn an_endpoint_whose_descriptor_the_program_closed_says_so() {
    let dir = Dir::new();
    let code = in_child(|| {
        let mut queue = dir.queue("q");
        let mut other = dir.attached("q");
        other.put(&7).unwrap();
        // SAFETY: the child's own descriptors; what follows is what happens then.
        unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
        let closed = |error: &dyn std::error::Error| {
            error
                .to_string()
                .contains("the program closed this queue's descriptor")
        };
        let until = Instant::now() + Duration::from_secs(20);
        // A put and a get that never wait notice too.
        let put = loop {
            match queue.try_put(&1) {
                Err(PutError::Failed(error)) => break closed(&error),
                _ if Instant::now() > until => break false,
                _ => drop(other.try_get()),
            }
        };
        let get = loop {
            match other.within(Duration::from_secs(20)).get() {
                Err(GetError::Failed(error)) => break closed(&error),
                Ok(_) => {}
                Err(_) => break false,
            }
        };
        put && get && queue.control().stats().is_err_and(|error| closed(&error))
    });
    assert_eq!(code, 0);
}

#[test]
fn a_closed_consumers_item_goes_to_another_when_it_is_dropped() {
    let dir = Dir::new();
    let mut queue = dir.queue("q");
    let orphans = || {
        let mut word = [0; 8];
        std::os::unix::fs::FileExt::read_exact_at(
            &std::fs::File::open(dir.path("q")).unwrap(),
            &mut word,
            512 + 8,
        )
        .unwrap();
        u64::from_ne_bytes(word)
    };
    queue.put(&1).unwrap();
    let before = orphans();
    let code = in_child(|| {
        let mut consumer = dir.attached("q");
        std::mem::forget(consumer.take().unwrap());
        // SAFETY: the child's own descriptors.
        unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
        drop(consumer);
        let raised = orphans() > before;
        let got = dir
            .attached("q")
            .within(Duration::from_secs(20))
            .get()
            .unwrap()
            == 1;
        raised && got
    });
    assert_eq!(code, 0);
}

#[test]
fn a_clone_and_a_control_stay_with_their_own_queue() {
    let dir = Dir::new();
    let mut queue = dir.queue("q");
    queue.put(&1).unwrap();
    prodcon::unlink_in(&dir.0, "q").unwrap();
    let other = dir.queue("q");
    assert_eq!(queue.try_clone().unwrap_err().kind(), ErrorKind::Removed);
    let control = queue.control().try_clone().unwrap();
    assert_eq!(
        (
            control.len(),
            control.id() == other.control().id(),
            control.is_removed()
        ),
        (1, false, true)
    );
    let mine = queue.control().try_clone().unwrap();
    assert_eq!(mine.supervise(true).unwrap_err().kind(), ErrorKind::Removed);
    assert_eq!(other.len(), 0);
}

#[test]
fn a_control_of_a_closed_endpoint_comes_by_the_name_or_not_at_all() {
    let dir = Dir::new();
    let code = in_child(|| {
        let queue = dir.queue("q");
        let id = queue.control().id();
        // SAFETY: the child's own descriptors.
        unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
        let again = queue.control().try_clone().unwrap().id() == id;
        prodcon::unlink_in(&dir.0, "q").unwrap();
        let _other = dir.queue("q");
        again
            && queue
                .control()
                .try_clone()
                .is_err_and(|error| error.kind() == ErrorKind::Removed)
    });
    assert_eq!(code, 0);
}

#[test]
fn a_put_that_never_waits_hears_that_the_name_is_gone() {
    let dir = Dir::new();
    for (name, options) in [
        ("lossy", dir.plain().lossy(true)),
        ("plain", dir.plain()),
        ("not-ready", dir.plain().ready(false)),
    ] {
        let mut queue =
            ReadyQueue::<u64>::create(name, &options.attach(dir.attach().role(Role::Producer)))
                .unwrap();
        prodcon::unlink_in(&dir.0, name).unwrap();
        until("the answer that the name is gone", || {
            queue
                .try_put(&1)
                .is_err_and(|error| error.kind() == ErrorKind::Removed)
        });
    }
    let mut queue = ReadyQueue::<u64>::create("waiting", &dir.plain().lossy(true)).unwrap();
    prodcon::unlink_in(&dir.0, "waiting").unwrap();
    until("the answer that the name is gone", || {
        queue
            .put(&1)
            .is_err_and(|error| error.kind() == ErrorKind::Removed)
    });
    // What is there is got all the same.
    assert_eq!(queue.try_get().unwrap(), 1);
}
