//! Removing a name: exactly the queue that was meant goes, even if another one has its name by
//! then.

mod common;

use common::Dir;
use prodcon::{Control, ErrorKind, ReadyQueue};
use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

impl Dir {
    fn queue(&self, name: &str) -> ReadyQueue<u64> {
        ReadyQueue::create(name, &self.options(4)).unwrap()
    }
    fn owned(&self, name: &str) -> Control {
        Control::create::<[u8]>(name, &self.options(4).item_size(8).owned(true)).unwrap()
    }
}

#[test]
fn an_old_handle_does_not_remove_the_queue_that_has_its_name_now() {
    let dir = Dir::new();
    let (old, older) = {
        let queue = dir.queue("q");
        (
            queue.control().try_clone().unwrap(),
            queue.control().try_clone().unwrap(),
        )
    };
    old.unlink().unwrap();
    let new = dir.queue("q");
    let error = older.unlink().unwrap_err();
    assert!(error.to_string().contains("another queue has"), "{error}");
    assert!(!new.control().is_removed());
    assert_eq!(dir.control("q").id(), new.control().id());
}

#[test]
fn a_queue_that_is_gone_is_not_removed_twice() {
    let dir = Dir::new();
    let queue = dir.queue("q");
    let (first, second) = (
        queue.control().try_clone().unwrap(),
        queue.control().try_clone().unwrap(),
    );
    first.unlink().unwrap();
    assert_eq!(second.unlink().unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_queue_is_owned_only_if_it_was_made_so() {
    let dir = Dir::new();
    let lasting = dir.queue("lasting").control().try_clone().unwrap();
    assert!(!lasting.is_owned() && !lasting.is_stale().unwrap() && !lasting.has_owner().unwrap());
    assert!(!lasting.remove_if_stale().unwrap() && !lasting.is_removed());
    let owner = dir.owned("owned");
    assert!(owner.is_owned() && dir.control("owned").is_owned());
}

#[test]
fn what_its_owner_left_is_stale_once_nobody_is_attached() {
    let dir = Dir::new();
    let owner = dir.owned("q");
    let other = dir.control("q");
    assert!(owner.has_owner().unwrap() && other.has_owner().unwrap());
    assert!(!owner.is_stale().unwrap() && !other.is_stale().unwrap());
    assert!(!owner.remove_if_stale().unwrap() && !other.remove_if_stale().unwrap());
    let seat = ReadyQueue::<[u8]>::attach_with("q", &dir.attach()).unwrap();
    drop(owner);
    assert!(
        !other.has_owner().unwrap()
            && !other.is_stale().unwrap()
            && !other.remove_if_stale().unwrap()
    );
    drop(seat);
    let watch = other.supervise(false).unwrap().unwrap();
    assert!(!other.is_stale().unwrap());
    drop(watch);
    assert!(other.is_stale().unwrap() && other.remove_if_stale().unwrap() && other.is_removed());
    assert_eq!(
        other.remove_if_stale().unwrap_err().kind(),
        ErrorKind::NotFound
    );
    let _new = dir.queue("q");
    assert_eq!(
        other.remove_if_stale().unwrap_err().kind(),
        ErrorKind::Removed
    );
    assert!(!dir.control("q").is_removed());
}

#[test]
fn who_supervises_as_owner_takes_over_from_the_handle_that_made_it() {
    let dir = Dir::new();
    let made = dir.owned("q");
    let owner = made.supervise(true).unwrap().unwrap();
    drop(made);
    let other = dir.control("q");
    assert!(other.has_owner().unwrap() && !other.is_stale().unwrap());
    drop(owner);
    assert!(other.is_stale().unwrap());
}

#[test]
fn what_is_no_segment_or_damaged_can_be_removed_by_name() {
    let dir = Dir::new();
    let path = |name: &str| dir.path(name);
    std::fs::write(path("text"), "not a segment").unwrap();
    std::fs::write(path("empty"), "").unwrap();
    std::os::unix::fs::symlink("/dev/null", path("link")).unwrap();
    std::fs::write(path("hidden"), "").unwrap();
    std::fs::set_permissions(
        path("hidden"),
        std::os::unix::fs::PermissionsExt::from_mode(0o000),
    )
    .unwrap();
    std::fs::write(path("read-only"), "").unwrap();
    std::fs::set_permissions(
        path("read-only"),
        std::os::unix::fs::PermissionsExt::from_mode(0o400),
    )
    .unwrap();
    drop(dir.queue("cut"));
    std::fs::File::options()
        .write(true)
        .open(path("cut"))
        .unwrap()
        .set_len(100)
        .unwrap();
    for name in ["text", "empty", "link", "hidden", "read-only", "cut"] {
        prodcon::unlink_in(&dir.0, name).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    assert_eq!(std::fs::read_dir(&dir.0).unwrap().count(), 0);
    std::fs::create_dir(path("directory")).unwrap();
    assert_eq!(
        prodcon::unlink_in(&dir.0, "directory").unwrap_err().kind(),
        ErrorKind::Corrupt
    );
}

#[test]
fn a_forked_child_removes_its_parents_queue_and_no_other() {
    let dir = Dir::new();
    let queue = dir.queue("q");
    let (mine, other) = (
        queue.control().try_clone().unwrap(),
        queue.control().try_clone().unwrap(),
    );
    let unlinked = |control: Control| {
        // SAFETY: the child removes a name and leaves by _exit.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0);
        if pid == 0 {
            let code = match control.unlink() {
                Ok(()) => 0,
                Err(error) if error.kind() == ErrorKind::Removed => 1,
                Err(_) => 2,
            };
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(code) };
        }
        let mut status = 0;
        // SAFETY: `pid` is our child, `status` a valid place.
        assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
        libc::WEXITSTATUS(status)
    };
    assert_eq!(unlinked(mine), 0);
    assert!(queue.control().is_removed());
    let new = dir.queue("q");
    assert_eq!(unlinked(other), 1);
    assert!(!new.control().is_removed());
}

/// Tells the other threads to end, also when the test fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// Two removers and a creator: only queues go that a remover had a handle of, each once.
#[test]
fn removers_and_a_creator_in_a_race_remove_each_queue_once() {
    let dir = Dir::new();
    let options = dir.options(1).item_size(8).seats(1);
    let (told, removed, made) = (
        Mutex::new(HashSet::new()),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    let (done, mut gone) = (AtomicBool::new(false), 0);
    let remover = || {
        while !done.load(SeqCst) {
            let Ok(handle) = Control::attach_with("q", &dir.attach()) else {
                continue;
            };
            told.lock().unwrap().insert(handle.id());
            let seen = made.load(SeqCst);
            // Now and then the handle is an old one: the other has removed the queue, and the next is there.
            if told.lock().unwrap().len() % 2 == 0 {
                let deadline = Instant::now() + Duration::from_millis(5);
                while made.load(SeqCst) == seen && Instant::now() < deadline {
                    std::thread::yield_now();
                }
            }
            match handle.unlink() {
                Ok(()) => drop(removed.fetch_add(1, SeqCst)),
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Removed) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    let left = std::thread::scope(|scope| {
        let _end = End(&done);
        let removers = [scope.spawn(remover), scope.spawn(remover)];
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut last: Option<Control> = None;
        while made.load(SeqCst) < 60
            && Instant::now() < deadline
            && !removers.iter().any(|thread| thread.is_finished())
        {
            match Control::create::<[u8]>("q", &options) {
                Ok(control) => {
                    made.fetch_add(1, SeqCst);
                    if let Some(before) = last.replace(control) {
                        assert!(before.is_removed(), "a creator replaced it");
                        assert!(
                            told.lock().unwrap().contains(&before.id()),
                            "removed by somebody who was not told to"
                        );
                        gone += 1;
                    }
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        }
        last
    });
    gone += usize::from(left.is_some_and(|last| last.is_removed()));
    assert_eq!(removed.load(SeqCst), gone);
    assert!(gone > 10, "{gone} were removed in a minute");
}
