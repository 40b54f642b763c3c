//! Options: how a controlling handle makes and runs its worker. They are plain values, and are
//! checked where a handle is made from them.

use super::exit::Restart;
use crate::error::{Error, Worker};
use crate::queue::QueueOptions;
use crate::worker::settings::{OnFull, Settings};
use std::path::PathBuf;
use std::time::Duration;

/// What every worker has.
#[derive(Debug, Clone)]
pub(crate) struct Common {
    pub(crate) directory: Option<PathBuf>,
    pub(crate) mode: Option<u32>,
    pub(crate) result_size: usize,
    pub(crate) result_capacity: u32,
    pub(crate) message_size: usize,
    pub(crate) message_capacity: u32,
    pub(crate) restart: Restart,
    pub(crate) start_timeout: Duration,
    pub(crate) stop_timeout: Duration,
    /// Of consumers alone.
    pub(crate) work_limit: Option<Duration>,
}

impl Default for Common {
    fn default() -> Self {
        Self {
            directory: None,
            mode: None,
            result_size: 65_536,
            result_capacity: 64,
            message_size: 65_536,
            message_capacity: 16,
            restart: Restart::Never,
            start_timeout: Duration::from_secs(10),
            stop_timeout: Duration::from_secs(10),
            work_limit: None,
        }
    }
}

macro_rules! common {
    () => {
        /// Chooses another directory than `PRODCON_DIR` or `/dev/shm`.
        pub fn directory(mut self, dir: impl Into<PathBuf>) -> Self {
            self.common.directory = Some(dir.into());
            self
        }

        /// Sets the permission bits of the segments. The default is 0600; see
        /// [`QueueOptions::mode`].
        pub fn mode(mut self, mode: u32) -> Self {
            self.common.mode = Some(mode);
            self
        }

        /// Sets the longest result in bytes. The default is 64 KiB. There is always room for 64
        /// bytes, because the library's own words travel among the results.
        pub fn result_size(mut self, bytes: usize) -> Self {
            self.common.result_size = bytes;
            self
        }

        /// Sets how many results can be on their way at once. The default is 64.
        pub fn result_capacity(mut self, results: u32) -> Self {
            self.common.result_capacity = results;
            self
        }

        /// Sets the longest message in bytes, either way. The default is 64 KiB.
        pub fn message_size(mut self, bytes: usize) -> Self {
            self.common.message_size = bytes;
            self
        }

        /// Sets how many messages can be on their way at once, either way. The default is 16.
        pub fn message_capacity(mut self, messages: u32) -> Self {
            self.common.message_capacity = messages;
            self
        }

        /// Chooses whether a process that failed is started again. The default is never.
        pub fn restart(mut self, restart: Restart) -> Self {
            self.common.restart = restart;
            self
        }

        /// Sets how long `start_new` waits for the worker to attach. The default is 10 s.
        pub fn start_timeout(mut self, timeout: Duration) -> Self {
            self.common.start_timeout = timeout;
            self
        }

        /// Sets how long stopping waits for `work` and `on_stop` to return before it kills. The
        /// default is 10 s.
        pub fn stop_timeout(mut self, timeout: Duration) -> Self {
            self.common.stop_timeout = timeout;
            self
        }
    };
}

/// How a producer is run.
///
/// ```
/// use prodcon::worker::{OnFull, ProducerOptions};
/// use std::time::Duration;
///
/// let options = ProducerOptions::new()
///     .work_timeout(Duration::from_millis(10))
///     .subscribers(["plot", "file"])
///     .on_full(OnFull::Skip);
/// ```
#[derive(Debug, Clone)]
#[must_use = "options do nothing until a handle is made with them"]
pub struct ProducerOptions {
    pub(crate) common: Common,
    pub(crate) settings: Settings,
}

impl ProducerOptions {
    /// Describes a producer that works as often as it can and has no subscribers.
    pub fn new() -> Self {
        Self {
            common: Common::default(),
            settings: Settings::producer(),
        }
    }

    common!();

    /// Sets the time from call to call of `work`, without drift. Zero, the default: as often as
    /// possible.
    pub fn work_timeout(mut self, timeout: Duration) -> Self {
        self.settings.work_timeout = timeout;
        self
    }

    /// Names the queues that get what `work` returns: consumers or other queues.
    pub fn subscribers<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.settings = self.settings.subscribers(names);
        self
    }

    /// Chooses what the producer does when one of them is full. By default it waits.
    pub fn on_full(mut self, on_full: OnFull) -> Self {
        self.settings.on_full = on_full;
        self
    }

    /// Chooses whether what `work` returns goes to `on_result_ready` too, as the bytes of the item.
    pub fn items_to_results(mut self, too: bool) -> Self {
        self.settings.items_to_results = too;
        self
    }
}

impl Default for ProducerOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// How a consumer is run, and its queue.
///
/// ```
/// use prodcon::QueueOptions;
/// use prodcon::worker::ConsumerOptions;
///
/// let options = ConsumerOptions::new()
///     .queue(QueueOptions::new(4096).at_least_once(true))
///     .max_buffer_size(64)
///     .processes(2);
/// ```
#[derive(Debug, Clone)]
#[must_use = "options do nothing until a handle is made with them"]
pub struct ConsumerOptions {
    pub(crate) common: Common,
    pub(crate) settings: Settings,
    pub(crate) processes: usize,
    producers: u32,
    queue: QueueOptions,
}

/// The most that a queue can have.
const MOST_SEATS: usize = 1023;

impl ConsumerOptions {
    /// Describes one process, `work` for each item, and a queue of 1024 items that is not lossy and
    /// at-most-once.
    pub fn new() -> Self {
        Self {
            common: Common::default(),
            settings: Settings::consumer(),
            processes: 1,
            producers: 16,
            queue: QueueOptions::new(1024),
        }
    }

    common!();

    /// Says how the work queue is created: its capacity, whether it is at-least-once, and so on.
    ///
    /// Seats that are not set are as many as the processes, their buffers and the
    /// [`producers`](Self::producers) need. The queue is not ready before the worker is started,
    /// whatever is said here. Directory and mode hold for all of the worker's segments, unless
    /// [`directory`](Self::directory) and [`mode`](Self::mode) say otherwise.
    ///
    /// ```
    /// use prodcon::QueueOptions;
    /// use prodcon::worker::ConsumerOptions;
    ///
    /// let jobs = QueueOptions::new(256).item_size(4096).at_least_once(true).dead_letter("failed", 3);
    /// let options = ConsumerOptions::new().queue(jobs).processes(4);
    /// ```
    pub fn queue(mut self, options: QueueOptions) -> Self {
        self.queue = options;
        self
    }

    /// Sets how long after the last call a partly filled buffer is handed over. The default is 5 s.
    pub fn work_timeout(mut self, timeout: Duration) -> Self {
        self.settings.work_timeout = timeout;
        self
    }

    /// Sets the most items that `work` gets at once. It gets them as soon as they are there. The
    /// default is 1.
    pub fn max_buffer_size(mut self, items: usize) -> Self {
        self.settings.max_buffer_size = items;
        self
    }

    /// Sets how many processes share the work. The default is 1.
    pub fn processes(mut self, n: usize) -> Self {
        self.processes = n;
        self
    }

    /// Sets how long a call of `work` may take. The controlling process kills a worker process that
    /// takes longer, and says so in [`ProcessExit::error`](super::ProcessExit::error). What it had
    /// in hand is recovered as after any other death: delivered again, or lost. Whether a process
    /// is started again is up to [`restart`](Self::restart). Without a limit, which is the default,
    /// no process is killed.
    ///
    /// [`Context::keep_alive`](crate::worker::Context::keep_alive) restarts the time. A process
    /// that is paused in `work` is late too. Processes that others have started are left alone.
    ///
    /// ```
    /// use prodcon::QueueOptions;
    /// use prodcon::worker::{ConsumerOptions, Restart};
    /// use std::time::Duration;
    ///
    /// let options = ConsumerOptions::new()
    ///     .queue(QueueOptions::new(256).at_least_once(true).dead_letter("failed", 3))
    ///     .restart(Restart::OnFailure { limit: 100, backoff: Duration::from_millis(100) })
    ///     .work_limit(Duration::from_secs(30));
    /// ```
    pub fn work_limit(mut self, limit: Duration) -> Self {
        self.common.work_limit = Some(limit);
        self
    }

    /// Sets how many endpoints of other processes must find room. The default is 16.
    pub fn producers(mut self, endpoints: u32) -> Self {
        self.producers = endpoints;
        self
    }

    /// Checks what concerns the worker, and not its queue.
    pub(crate) fn check(&self, worker: &str) -> Result<(), Error> {
        self.settings.check(worker)?;
        if self.common.work_limit.is_some_and(|limit| limit.is_zero()) {
            let worker = worker.into();
            let what = "a work_limit of 0 would kill it at once: choose a longer one, or set none";
            return Err(Worker::Invalid {
                worker,
                what: what.into(),
            }
            .into());
        }
        Ok(())
    }

    /// What all segments share, where it was said of the queue alone.
    pub(crate) fn shared(&self) -> Common {
        let mut common = self.common.clone();
        common.mode.get_or_insert(self.queue.permissions());
        common.directory = common
            .directory
            .or_else(|| self.queue.dir().map(Into::into));
        common
    }

    /// The options of its queue.
    pub(crate) fn work_queue(&self, worker: &str) -> Result<QueueOptions, Error> {
        let invalid = |what: String| {
            let worker = worker.into();
            Err(Worker::Invalid { worker, what }.into())
        };
        self.check(worker)?;
        if self.processes == 0 {
            return invalid("0 processes would do nothing: choose 1 or more".into());
        }
        let others = self.producers as usize + 2; // this handle puts, and drains at the end
        let seats = |in_hand: usize| {
            self.processes
                .saturating_mul(in_hand.saturating_add(1))
                .saturating_add(others)
        };
        let mut wanted = seats(self.settings.max_buffer_size);
        if wanted > MOST_SEATS && !self.queue.is_at_least_once() {
            wanted = seats(1); // they copy, or have as many items in hand as there are seats
        }
        if wanted > MOST_SEATS && !self.queue.has_seats() {
            return invalid(format!(
                "{} processes with {} items in hand each and {} other endpoints need {wanted} seats, and a queue has at most {MOST_SEATS}: \
                 choose a smaller max_buffer_size, fewer processes or fewer producers",
                self.processes, self.settings.max_buffer_size, self.producers
            ));
        }
        // One more for each process, so that what is given back needs to wait for no other
        // endpoint.
        let spared = wanted.saturating_add(self.processes).min(MOST_SEATS);
        let common = self.shared();
        Ok(self
            .queue
            .clone()
            .for_worker(spared as u32, common.mode(), common.directory.as_deref()))
    }
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl Common {
    pub(crate) fn mode(&self) -> u32 {
        self.mode.unwrap_or(0o600)
    }

    /// A queue of its own, in its directory.
    pub(crate) fn ring(&self, capacity: u32, seats: u32) -> QueueOptions {
        QueueOptions::new(capacity)
            .for_worker(seats, self.mode(), self.directory.as_deref())
            .ready(true)
    }
}
