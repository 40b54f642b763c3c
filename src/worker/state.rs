//! Decides when a worker goes on and when it ends, from its state, its controlling process and its
//! segment.
//!
//! Owns the worker's view of its own segment. Invariant: the state is one atomic load. The
//! controlling process and the name are looked at every 200 ms, and no sleep lasts longer than that
//! without a look.

use super::failure::BoxError;
use super::settings::Watched;
use crate::error::{Error, ErrorKind, Fault, Reason};
use crate::queue::{AttachOptions, CancelToken, Control};
use crate::state::State;
use crate::sys::signal;
use rustix::time::{ClockId, clock_gettime};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two looks at the controlling process.
pub(crate) const LOOK: Duration = Duration::from_millis(200);

/// How long a worker that was ended by a signal stays, to see whether its controlling process was
/// too.
const OUTLIVED: Duration = Duration::from_secs(1);

/// Why a loop ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The state is `stopped`.
    Stopped,
    /// A signal asked this process to end.
    Signalled,
    /// The controlling process is gone.
    Orphaned,
    /// Nobody can tell whether it is: the locks cannot be looked at.
    Unknown,
    /// The name is gone.
    Removed,
}

/// A worker's view of its segment.
pub(crate) struct Watch {
    pub(crate) control: Control,
    watched: Watched,
    next_look: Duration,
    /// Found by the last look; stays.
    found: Option<End>,
    /// A process is there that reads results.
    read: bool,
    /// Signals end it.
    heeds_signals: bool,
    /// It has waited for the end of its controlling process.
    outlived: bool,
    /// Cancelled when the loop has to end.
    token: CancelToken,
    /// Cancels the token while the loop is busy or waits.
    watcher: Option<Watcher>,
}

impl Watch {
    /// `token` is the one that `control` waits with.
    pub(crate) fn new(control: Control, watched: Watched, token: CancelToken) -> Self {
        let mut watch = Self {
            control,
            watched,
            next_look: Duration::ZERO,
            found: None,
            read: false,
            heeds_signals: false,
            outlived: false,
            token,
            watcher: None,
        };
        watch.look();
        watch
    }

    /// Returns the token, for endpoints whose waits the end of the loop has to end.
    pub(crate) fn token(&self) -> &CancelToken {
        &self.token
    }

    /// From now on cancels the token as soon as the loop has to end, whatever the loop does
    /// meanwhile. This takes a thread, so only waits for other queues than the worker's own begin
    /// it. If the system refuses the thread, the next look cancels the token.
    pub(crate) fn watch_closely(&mut self) {
        if self.watcher.is_none() && !self.token.is_cancelled() {
            self.watcher = Watcher::start(self).ok();
        }
    }

    /// Lets signals end the loop.
    #[cfg(feature = "signals")]
    pub(crate) fn heed_signals(&mut self) -> Result<(), Error> {
        self.token.cancel_on_end()?;
        self.heeds_signals = true;
        Ok(())
    }

    pub(crate) fn watched(&self) -> Watched {
        self.watched
    }

    /// A controlling process is there, so that results and messages are read.
    pub(crate) fn is_read(&mut self) -> bool {
        self.tick();
        self.read
    }

    /// Its own controlling process is alive.
    fn is_watched(&self) -> Result<bool, Error> {
        Ok(self.watched.supervised
            && match self.watched.supervisor {
                Some(number) => self.control.is_supervised_by(number)?,
                None => self.control.is_supervised()?,
            })
    }

    /// A signal that has reached this process, as Ctrl-C does, may end the controlling process too,
    /// but some milliseconds later: waits for that, so that the segments are not left to nobody.
    pub(crate) fn outlive(&mut self) {
        let deadline = coarse_now() + OUTLIVED;
        let signalled = self.heeds_signals
            && signal::seen_end()
            && !std::mem::replace(&mut self.outlived, true);
        while signalled
            && coarse_now() < deadline
            && self.control.state() != State::Stopped
            && matches!(self.is_watched(), Ok(true))
        {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn look(&mut self) {
        self.next_look = coarse_now() + LOOK;
        match (self.control.is_supervised(), self.is_watched()) {
            (Ok(read), Ok(watched)) => {
                self.read = read;
                if self.watched.supervised && !watched {
                    self.found = Some(End::Orphaned);
                    return;
                }
            }
            _ => {
                self.found = Some(End::Unknown);
                return;
            }
        }
        if self.control.is_removed() {
            self.found = Some(End::Removed);
        }
    }

    fn tick(&mut self) {
        if coarse_now() >= self.next_look {
            self.look();
        }
    }

    /// Why the loop has to end, if it has to.
    pub(crate) fn ends(&mut self) -> Option<End> {
        let end = self.find_end();
        if end.is_some() && !self.token.is_cancelled() {
            self.token.cancel();
        }
        end
    }

    fn find_end(&mut self) -> Option<End> {
        if self.control.state() == State::Stopped {
            return Some(End::Stopped);
        }
        if self.heeds_signals && signal::seen_end() {
            return Some(End::Signalled);
        }
        self.tick();
        if self.found.is_none() && self.token.is_cancelled() {
            // The watcher has seen why. If that is the state, which may be another one by now, the
            // loop ends all the same: a cancelled token stays cancelled.
            self.look();
            self.found.get_or_insert(End::Stopped);
        }
        self.found
    }

    /// Sleeps until `deadline`, or without a limit if that is `None`. It also ends when the loop
    /// has to end or the state is another than now. Returns true if the deadline came.
    pub(crate) fn sleep(&mut self, deadline: Option<Instant>) -> Result<bool, Error> {
        let state = self.control.state();
        loop {
            if self.ends().is_some() || self.control.state() != state {
                return Ok(false);
            }
            let left = deadline.map_or(LOOK, |deadline| {
                deadline.saturating_duration_since(Instant::now())
            });
            if left.is_zero() {
                return Ok(true);
            }
            match self.control.wait_state_change(state, Some(left.min(LOOK))) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Removed => self.found = Some(End::Removed),
                Err(error) if error.kind() == ErrorKind::Cancelled => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }
}

/// A thread that cancels a worker's token when its loop has to end.
struct Watcher {
    quit: CancelToken,
    thread: Option<JoinHandle<()>>,
    /// Whose thread it is: a forked child has none.
    process: u32,
}

impl Watcher {
    fn start(watch: &Watch) -> Result<Self, Error> {
        let quit = CancelToken::new();
        let attach = AttachOptions::new()
            .directory(watch.control.directory())
            .cancel(&quit);
        // A handle of its own. If the name is another queue's by now, the first look says so.
        let control = Control::attach_with(watch.control.name(), &attach)?;
        let mut own = Watch::new(control, watch.watched, watch.token.clone());
        own.heeds_signals = watch.heeds_signals;
        if own.control.id() != watch.control.id() {
            own.found = Some(End::Removed);
        }
        let ends = quit.clone();
        let run = move || {
            while own.ends().is_none() && !ends.is_cancelled() && own.sleep(None).is_ok() {}
        };
        let thread = std::thread::Builder::new()
            .name("prodcon-worker".into())
            .stack_size(128 << 10);
        let thread = signal::blocked(|| thread.spawn(run)).map_err(|error| {
            Error::with_source(
                Reason::Other(
                    ErrorKind::Os,
                    watch.control.name().into(),
                    error.to_string(),
                ),
                error,
            )
        })?;
        Ok(Self {
            quit,
            thread: Some(thread),
            process: std::process::id(),
        })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.quit.cancel();
        let ours = self.process == std::process::id();
        if let Some(thread) = self.thread.take().filter(|_| ours) {
            let _ = thread.join();
        }
    }
}

impl End {
    /// What is told of it: being stopped and being left are no failures.
    pub(crate) fn outcome(self, control: &Control) -> Result<(), BoxError> {
        match self {
            Self::Stopped | Self::Signalled | Self::Orphaned => Ok(()),
            Self::Unknown => Ok(control.is_supervised().map(drop)?),
            Self::Removed => Err(Error::from(Fault::Removed {
                queue: control.name().into(),
            })
            .into()),
        }
    }
}

/// Reads a clock that is some milliseconds behind, for a fifth of the price.
pub(crate) fn coarse_now() -> Duration {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}
