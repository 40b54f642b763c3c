//! Waits until something new stands in a directory.

use super::descriptor;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify;
use rustix::io::Errno;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

/// How often a directory is looked at where it cannot be watched.
const UNWATCHED: Duration = Duration::from_millis(10);

/// A watch on a directory. Where the system refuses one (it has a limit for each user), waits are
/// short.
#[derive(Debug)]
pub(crate) struct DirectoryWatch(Option<OwnedFd>);

impl DirectoryWatch {
    /// Begins to watch. What comes from now on ends the next wait.
    pub(crate) fn new(dir: &Path) -> Self {
        let watch = || {
            let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
            let watch = descriptor::above_streams(|| inotify::init(flags))?;
            let events = inotify::WatchFlags::CREATE
                | inotify::WatchFlags::MOVED_TO
                | inotify::WatchFlags::DELETE_SELF
                | inotify::WatchFlags::MOVE_SELF
                | inotify::WatchFlags::ONLYDIR;
            inotify::add_watch(&watch, dir, events)?;
            Ok::<_, Errno>(watch)
        };
        Self(watch().ok())
    }

    /// Waits until something has come since the last wait, or a signal, or `timeout`.
    pub(crate) fn wait(&self, timeout: Duration) {
        let Some(watch) = &self.0 else {
            return std::thread::sleep(timeout.min(UNWATCHED));
        };
        let limit = super::futex::timespec(timeout);
        let mut fds = [PollFd::new(watch, PollFlags::IN)];
        if matches!(poll(&mut fds, Some(&limit)), Err(error) if error != Errno::INTR) {
            return std::thread::sleep(timeout.min(UNWATCHED));
        }
        // What has come is of no interest, only that something has.
        let mut buffer = [MaybeUninit::uninit(); 4096];
        while matches!(rustix::io::read(watch, &mut buffer), Ok((read, _)) if !read.is_empty()) {}
    }
}
