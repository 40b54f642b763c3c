//! Waiting for a queue; and waiting in slices: a blocked command looks up now and then, for a signal or a reader that has gone.

use crate::parse;
use clap::Args;
use prodcon::{AttachOptions, Control};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// The longest time during which nobody looks up.
pub const MAX_SLEEP: Duration = Duration::from_millis(100);

/// For commands that attach: whether they wait for the queue.
#[derive(Args, Clone, Copy)]
pub struct ForQueue {
    /// Wait until the queue is created, for at most S seconds
    #[arg(long, value_name = "S", value_parser = parse::seconds)]
    wait: Option<Duration>,
}

impl ForQueue {
    /// How to attach.
    pub fn options(self) -> AttachOptions {
        let options = AttachOptions::new();
        match self.wait {
            Some(limit) => options.wait_for_queue(limit),
            None => options,
        }
    }

    /// Returns a handle to the queue.
    ///
    /// # Errors
    /// Fails as [`Control::attach_with`] does.
    pub fn control(self, name: &str) -> prodcon::Result<Control> {
        Control::attach_with(name, &self.options())
    }

    /// Returns a handle to the queue that can change nothing.
    ///
    /// # Errors
    /// Fails as [`Control::attach_with`] does.
    pub fn read_only(self, name: &str) -> prodcon::Result<Control> {
        if self.wait.is_some() {
            self.control(name)?;
        }
        Control::attach_read_only(name)
    }
}

/// How long to wait for one item. The time starts again with every item.
pub struct Patience {
    limit: Option<Duration>,
    since: Instant,
}

impl Patience {
    /// `None` stands for no limit.
    pub fn new(limit: Option<Duration>) -> Self {
        Self {
            limit,
            since: Instant::now(),
        }
    }

    /// How long to wait before looking up again.
    pub fn slice(&self) -> Duration {
        self.limit.map_or(MAX_SLEEP, |limit| {
            limit.saturating_sub(self.since.elapsed()).min(MAX_SLEEP)
        })
    }

    /// Nothing came for as long as was asked for.
    pub fn is_over(&self) -> bool {
        self.limit
            .is_some_and(|limit| self.since.elapsed() >= limit)
    }

    /// Nobody wants to wait at all.
    pub fn is_none(&self) -> bool {
        self.limit.is_some_and(|limit| limit.is_zero())
    }

    /// Something came.
    pub fn renew(&mut self) {
        self.since = Instant::now();
    }
}

/// Waits for one of these events on a file, a slice at most. What came; nothing, if nothing did.
///
/// # Errors
/// The system cannot wait for it.
pub fn ready(file: &impl AsFd, events: PollFlags) -> Result<PollFlags, Errno> {
    let slice = Timespec {
        tv_sec: 0,
        tv_nsec: i64::from(MAX_SLEEP.subsec_nanos()),
    };
    let mut fds = [PollFd::new(file, events)];
    match poll(&mut fds, Some(&slice)) {
        Ok(0) | Err(Errno::INTR) => Ok(PollFlags::empty()),
        Ok(_) => Ok(fds[0].revents()),
        Err(errno) => Err(errno),
    }
}
