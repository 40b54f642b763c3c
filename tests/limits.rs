//! Limits, file systems and filters on system calls: what a queue says of them, or does all the same.

mod common;

use common::Dir;
use common::children::in_child;
use prodcon::{AttachOptions, Error, ErrorKind, GetError, QueueOptions, ReadyQueue};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

impl Dir {
    fn queue(&self, name: &str) -> prodcon::Result<ReadyQueue<u64>> {
        ReadyQueue::create(name, &self.options(16))
    }
    fn attached(&self, name: &str) -> prodcon::Result<ReadyQueue<u64>> {
        ReadyQueue::attach_with(name, &self.attach())
    }
    fn files(&self) -> usize {
        std::fs::read_dir(&self.0).unwrap().count()
    }
}

/// From here on this process's calls of `number` fail with `errno`, where argument `at` has one of these bits set, or
/// is `equal` to it.
fn refuse(number: libc::c_long, at: u32, test: Test, errno: i32) {
    let load = |offset| filter(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset);
    let jump = match test {
        Test::Bits(bits) => filter(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, 0, 1, bits),
        Test::Equal(value) => filter(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, value),
        Test::Always => filter(libc::BPF_JMP | libc::BPF_JA, 0, 0, 0),
    };
    let mut program = [
        load(0),
        filter(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            0,
            3,
            number as u32,
        ),
        load(16 + 8 * at), // the lower half: little-endian
        jump,
        filter(
            libc::BPF_RET | libc::BPF_K,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | errno as u32,
        ),
        filter(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    assert_eq!(
        // SAFETY: sets a flag of this process.
        unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) },
        0
    );
    // SAFETY: `program` is a valid filter of its length for the length of the call.
    let done = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const program,
        )
    };
    assert_eq!(
        done,
        0,
        "this system has no seccomp filters: {}",
        std::io::Error::last_os_error()
    );
}

enum Test {
    Bits(u32),
    Equal(u32),
    Always,
}

fn filter(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    }
}

/// False, and says so, where no filter can be had.
fn has_filters() -> bool {
    let has = in_child(|| {
        refuse(libc::SYS_fallocate, 0, Test::Always, libc::EOPNOTSUPP);
        true
    }) == 0;
    if !has {
        eprintln!("SKIPPED: this system has no seccomp filters");
    }
    has
}

#[test]
fn a_limit_on_the_size_of_files_is_named_before_it_kills() {
    let dir = Dir::new();
    let code = in_child(|| {
        let limit = libc::rlimit {
            rlim_cur: 2000,
            rlim_max: 2000,
        };
        // SAFETY: lowers a limit of this process.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) }, 0);
        let error = dir.queue("q").unwrap_err();
        let text = error.to_string();
        error.kind() == ErrorKind::NoSpace && text.contains("2000") && text.contains("ulimit -f")
    });
    assert_eq!((code, dir.files()), (0, 0));
}

#[test]
fn without_futex_waitv_a_descriptor_becomes_readable_all_the_same() {
    if !has_filters() {
        return;
    }
    let dir = Dir::new();
    let code = in_child(|| {
        refuse(libc::SYS_futex_waitv, 0, Test::Always, libc::ENOSYS);
        let mut queue = dir.queue("q").unwrap();
        let ready = queue.readable().fd().unwrap();
        assert!(!ready.arm().unwrap());
        queue.put(&5).unwrap();
        let mut fd = libc::pollfd {
            fd: ready.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one pollfd.
        unsafe { libc::poll(&mut fd, 1, 30_000) == 1 }
    });
    assert_eq!(code, 0);
}

#[test]
fn a_file_system_without_fallocate_gets_zeros_written() {
    if !has_filters() {
        return;
    }
    let dir = Dir::new();
    let code = in_child(|| {
        refuse(libc::SYS_fallocate, 0, Test::Always, libc::EOPNOTSUPP);
        let mut queue = dir.queue("q").unwrap();
        queue.put(&5).unwrap();
        queue.get().unwrap() == 5
    });
    assert_eq!(code, 0);
    let meta = std::fs::metadata(dir.0.join("prodcon.q")).unwrap();
    assert!(
        meta.blocks() * 512 >= meta.len(),
        "holes: {} blocks",
        meta.blocks()
    );
}

#[test]
fn where_unnamed_files_are_refused_a_named_one_does() {
    if !has_filters() {
        return;
    }
    for errno in [libc::EPERM, libc::ENOSYS, libc::ENOENT, libc::EOPNOTSUPP] {
        let dir = Dir::new();
        let code = in_child(|| {
            refuse(
                libc::SYS_openat,
                2,
                Test::Bits(libc::O_TMPFILE as u32 & !(libc::O_DIRECTORY as u32)),
                errno,
            );
            let mut queue = dir.queue("q").unwrap();
            queue.put(&5).is_ok()
                && queue
                    .try_clone()
                    .is_ok_and(|mut clone| clone.get().unwrap() == 5)
        });
        assert_eq!(
            (code, dir.files()),
            (0, 1),
            "{}",
            std::io::Error::from_raw_os_error(errno)
        );
    }
}

#[test]
fn locks_that_cannot_be_had_are_an_error_of_the_system_and_not_seats_taken() {
    if !has_filters() {
        return;
    }
    for errno in [
        libc::ENOLCK,
        libc::EINVAL,
        libc::ENOSYS,
        libc::EPERM,
        libc::EDEADLK,
        libc::EOVERFLOW,
    ] {
        let dir = Dir::new();
        let mut there = dir.queue("there").unwrap();
        let control = there.control().try_clone().unwrap();
        let code = in_child(|| {
            let mut mine = dir.attached("there").unwrap();
            let other = dir.attached("there").unwrap();
            let of_the_system = |error: &Error| {
                let source = std::error::Error::source(error)
                    .and_then(|source| source.downcast_ref::<std::io::Error>());
                error.kind() == ErrorKind::Os
                    && source.and_then(std::io::Error::raw_os_error) == Some(errno)
            };
            let told = |error: Error| of_the_system(&error) && error.to_string().contains("lock");
            for command in [libc::F_OFD_SETLK, libc::F_OFD_GETLK] {
                refuse(libc::SYS_fcntl, 1, Test::Equal(command as u32), errno);
            }
            let attach = told(dir.attached("there").unwrap_err());
            let create = told(dir.queue("new").unwrap_err());
            let ask = mine
                .control()
                .stats()
                .is_err_and(|error| of_the_system(&error));
            let unlink = told(prodcon::unlink_in(&dir.0, "there").unwrap_err());
            let supervise = dir.control("there").supervise(false).is_err();
            let got = mine.try_get();
            drop(other);
            attach && create && ask && unlink && supervise && matches!(got, Err(GetError::Empty))
        });
        assert_eq!(
            (code, dir.files()),
            (0, 1),
            "{}",
            std::io::Error::from_raw_os_error(errno)
        );
        assert!(there.put(&1).is_ok() && control.len() == 1);
    }
}

#[test]
fn a_forbidden_futex_does_not_burn_a_processor() {
    if !has_filters() {
        return;
    }
    let dir = Dir::new();
    let mut queue = dir.queue("q").unwrap();
    let code = in_child(|| {
        let mut mine = dir.attached("q").unwrap();
        refuse(libc::SYS_futex, 0, Test::Always, libc::EPERM);
        let used = || {
            let mut time = libc::timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            // SAFETY: `time` is a valid place.
            unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
            Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
        };
        let (before, began) = (used(), Instant::now());
        let timed_out = matches!(
            mine.within(Duration::from_millis(500)).get(),
            Err(GetError::TimedOut)
        );
        let (spent, took) = (used() - before, began.elapsed());
        timed_out && spent * 4 < took
    });
    assert_eq!(code, 0);
    queue.put(&1).unwrap();
    assert_eq!(queue.get().unwrap(), 1);
}

#[test]
fn a_directory_that_is_of_no_use_is_what_the_text_is_about() {
    if !has_filters() {
        return;
    }
    let dir = Dir::new();
    let code = in_child(|| {
        refuse(
            libc::SYS_openat,
            2,
            Test::Bits(
                libc::O_CREAT as u32 | (libc::O_TMPFILE as u32 & !(libc::O_DIRECTORY as u32)),
            ),
            libc::EACCES,
        );
        let error = dir.queue("q").unwrap_err();
        let text = error.to_string();
        error.kind() == ErrorKind::PermissionDenied
            && text.contains("written to")
            && !text.contains("owner")
    });
    assert_eq!(code, 0);
    let code = in_child(|| {
        let limit = libc::rlimit {
            rlim_cur: 3,
            rlim_max: 3,
        };
        // SAFETY: lowers a limit of this process.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
        let text = prodcon::list_in(&dir.0).unwrap_err().to_string();
        text.contains("cannot be listed") && text.contains("Too many open files")
    });
    assert_eq!((code, dir.files()), (0, 0));
}

#[test]
fn what_is_no_directory_is_not_said_to_be_missing_nor_its_queues_to_be_damaged() {
    let dir = Dir::new();
    let (file, ring) = (dir.0.join("file"), dir.0.join("ring"));
    std::fs::write(&file, "").unwrap();
    std::os::unix::fs::symlink("ring", &ring).unwrap();
    for (place, reason) in [(&file, "Not a directory"), (&ring, "Too many levels")] {
        let options = QueueOptions::new(1).attach(AttachOptions::new().directory(place));
        let errors = [
            ReadyQueue::<u64>::create("q", &options)
                .map(drop)
                .unwrap_err(),
            ReadyQueue::<u64>::attach_with("q", &AttachOptions::new().directory(place))
                .map(drop)
                .unwrap_err(),
            prodcon::unlink_in(place, "q").unwrap_err(),
            prodcon::list_in(place).map(drop).unwrap_err(),
        ];
        for error in errors {
            let text = error.to_string();
            assert!(
                error.kind() == ErrorKind::Os
                    && text.contains("directory")
                    && text.contains(reason)
                    && !text.contains("does not exist"),
                "{text}"
            );
        }
    }
}

#[test]
fn a_socket_with_the_name_of_a_queue_is_none_and_can_be_removed() {
    let dir = Dir::new();
    drop(std::os::unix::net::UnixListener::bind(dir.0.join("prodcon.q")).unwrap());
    let error = dir.attached("q").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    prodcon::unlink_in(&dir.0, "q").unwrap();
}

#[test]
fn a_limit_on_memory_is_named_and_nothing_is_left() {
    let dir = Dir::new();
    let there = dir.queue("there").unwrap();
    let code = in_child(|| {
        let limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: lowers a limit of this process.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
        let named =
            |error: Error| error.kind() == ErrorKind::Os && error.to_string().contains("ulimit -v");
        named(dir.queue("q").unwrap_err()) && named(dir.attached("there").unwrap_err())
    });
    drop(there);
    assert_eq!((code, dir.files()), (0, 1));
}
