//! How a controlling handle makes and runs its worker. Plain values, checked where a handle is made from them.
//!
//! Callers: everybody.

use super::ended::Restart;
use super::error::WorkerError;
use super::settings::{OnFull, Settings};
use crate::queue::{Delivery, Options, Payload};
use std::path::PathBuf;
use std::time::Duration;

/// What every worker has.
#[derive(Debug, Clone)]
pub(crate) struct Common {
    pub(crate) directory: Option<PathBuf>,
    pub(crate) mode: u32,
    pub(crate) result_size: usize,
    pub(crate) result_capacity: u32,
    pub(crate) message_size: usize,
    pub(crate) message_capacity: u32,
    pub(crate) restart: Restart,
    pub(crate) start_timeout: Duration,
    pub(crate) stop_timeout: Duration,
}

impl Default for Common {
    fn default() -> Self {
        Self {
            directory: None,
            mode: 0o600,
            result_size: 65_536,
            result_capacity: 64,
            message_size: 65_536,
            message_capacity: 16,
            restart: Restart::Never,
            start_timeout: Duration::from_secs(10),
            stop_timeout: Duration::from_secs(10),
        }
    }
}

macro_rules! common {
    () => {
        /// Another directory than `PRODCON_DIR` or `/dev/shm`.
        pub fn directory(mut self, dir: impl Into<PathBuf>) -> Self {
            self.common.directory = Some(dir.into());
            self
        }
        /// Permission bits of the segments.
        pub fn mode(mut self, mode: u32) -> Self {
            self.common.mode = mode;
            self
        }
        /// Longest result in bytes; 64 KiB unless told otherwise.
        pub fn result_size(mut self, bytes: usize) -> Self {
            self.common.result_size = bytes;
            self
        }
        /// Results on their way at once; 64 unless told otherwise.
        pub fn result_capacity(mut self, results: u32) -> Self {
            self.common.result_capacity = results;
            self
        }
        /// Longest message in bytes, either way; 64 KiB unless told otherwise.
        pub fn message_size(mut self, bytes: usize) -> Self {
            self.common.message_size = bytes;
            self
        }
        /// Messages on their way at once, either way; 16 unless told otherwise.
        pub fn message_capacity(mut self, messages: u32) -> Self {
            self.common.message_capacity = messages;
            self
        }
        /// Whether a process that failed is started again; never unless told otherwise.
        pub fn restart(mut self, restart: Restart) -> Self {
            self.common.restart = restart;
            self
        }
        /// How long `start_new` waits for the worker to attach; 10 s unless told otherwise.
        pub fn start_timeout(mut self, timeout: Duration) -> Self {
            self.common.start_timeout = timeout;
            self
        }
        /// How long stopping waits for `work` and `on_stop` to return before it kills; 10 s unless told otherwise.
        pub fn stop_timeout(mut self, timeout: Duration) -> Self {
            self.common.stop_timeout = timeout;
            self
        }
    };
}

/// How a producer is run.
#[derive(Debug, Clone)]
pub struct ProducerOptions {
    pub(crate) common: Common,
    pub(crate) settings: Settings,
}

impl ProducerOptions {
    /// Works as often as it can, for nobody.
    pub fn new() -> Self {
        Self {
            common: Common::default(),
            settings: Settings::producer(),
        }
    }
    common!();
    /// Time from call to call of `work`, without drift; zero: as often as possible.
    pub fn work_timeout(mut self, timeout: Duration) -> Self {
        self.settings.work_timeout = timeout;
        self
    }
    /// The queues that get what `work` returns: names of consumers or of other queues.
    pub fn subscribers<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.settings = self.settings.subscribers(names);
        self
    }
    /// What to do when one of them is full; it waits unless told otherwise.
    pub fn on_full(mut self, on_full: OnFull) -> Self {
        self.settings.on_full = on_full;
        self
    }
    /// What `work` returns goes to `on_result_ready` too, as the bytes of the item.
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
#[derive(Debug, Clone)]
pub struct ConsumerOptions {
    pub(crate) common: Common,
    pub(crate) settings: Settings,
    pub(crate) workers: usize,
    producers: u32,
    capacity: u32,
    item_size: Option<usize>,
    lossy: bool,
    delivery: Delivery,
    batch: u32,
    max_deliveries: u8,
    dead_letter: Option<String>,
}

/// The most that a queue can have.
const MOST_SEATS: usize = 1023;

impl ConsumerOptions {
    /// One process, `work` for each item, a queue of 1024 items that is not lossy, at most once.
    pub fn new() -> Self {
        Self {
            common: Common::default(),
            settings: Settings::consumer(),
            workers: 1,
            producers: 16,
            capacity: 1024,
            item_size: None,
            lossy: false,
            delivery: Delivery::AtMostOnce,
            batch: 1,
            max_deliveries: 0,
            dead_letter: None,
        }
    }
    common!();
    /// A partly filled buffer is handed over so long after the last call; 5 s unless told otherwise.
    pub fn work_timeout(mut self, timeout: Duration) -> Self {
        self.settings.work_timeout = timeout;
        self
    }
    /// `work` gets at most so many items, and as many as soon as they are there; 1 unless told otherwise.
    pub fn max_buffer_size(mut self, items: usize) -> Self {
        self.settings.max_buffer_size = items;
        self
    }
    /// Processes that share the work.
    pub fn workers(mut self, processes: usize) -> Self {
        self.workers = processes;
        self
    }
    /// Endpoints of others that there is to be room for; 16 unless told otherwise.
    pub fn producers(mut self, endpoints: u32) -> Self {
        self.producers = endpoints;
        self
    }
    /// Items that the queue holds; 1024 unless told otherwise.
    pub fn capacity(mut self, items: u32) -> Self {
        self.capacity = items;
        self
    }
    /// Longest item in bytes, for queues of bytes.
    pub fn item_size(mut self, bytes: usize) -> Self {
        self.item_size = Some(bytes);
        self
    }
    /// A put on the full queue drops the oldest item and never waits.
    pub fn lossy(mut self, lossy: bool) -> Self {
        self.lossy = lossy;
        self
    }
    /// What happens to the items that a killed worker had in hand.
    pub fn delivery(mut self, delivery: Delivery) -> Self {
        self.delivery = delivery;
        self
    }
    /// As [`Options::batch`].
    pub fn batch(mut self, items: u32) -> Self {
        self.batch = items;
        self
    }
    /// As [`Options::max_deliveries`].
    pub fn max_deliveries(mut self, times: u8) -> Self {
        self.max_deliveries = times;
        self
    }
    /// As [`Options::dead_letter`].
    pub fn dead_letter(mut self, name: impl Into<String>) -> Self {
        self.dead_letter = Some(name.into());
        self
    }

    /// The options of its queue.
    pub(crate) fn queue<T: Payload + ?Sized>(&self, worker: &str) -> Result<Options, WorkerError> {
        let invalid = |what: String| WorkerError::Invalid { worker: worker.into(), what };
        self.settings.check(worker)?;
        if self.workers == 0 {
            return Err(invalid("0 processes would do nothing: choose 1 or more workers".into()));
        }
        let others = self.producers as usize + 2; // this handle puts, and drains at the end
        let seats = |in_hand: usize| self.workers.saturating_mul(in_hand.saturating_add(1)).saturating_add(others);
        let mut wanted = seats(self.settings.max_buffer_size);
        if wanted > MOST_SEATS && self.delivery == Delivery::AtMostOnce {
            wanted = seats(0); // they copy
        }
        if wanted > MOST_SEATS {
            return Err(invalid(format!(
                "{} workers with {} items in hand each and {} other endpoints need {wanted} seats, and a queue has at most {MOST_SEATS}: \
                 choose a smaller max_buffer_size, fewer workers or fewer producers",
                self.workers, self.settings.max_buffer_size, self.producers
            )));
        }
        let mut options = self.common.options(self.capacity).seats(wanted as u32).ready(false);
        options = options
            .lossy(self.lossy)
            .delivery(self.delivery)
            .batch(self.batch)
            .max_deliveries(self.max_deliveries);
        if let Some(size) = self.item_size.filter(|_| T::size().is_none()) {
            options = options.item_size(size);
        }
        if let Some(name) = &self.dead_letter {
            options = options.dead_letter(name);
        }
        Ok(options)
    }
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl Common {
    /// A queue of its own, in its directory.
    pub(crate) fn options(&self, capacity: u32) -> Options {
        let options = Options::new(capacity).mode(self.mode);
        match &self.directory {
            Some(dir) => options.directory(dir),
            None => options,
        }
    }
}
