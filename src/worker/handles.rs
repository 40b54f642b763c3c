//! The controlling handles: what a program holds that starts, stops and hears a producer or a consumer.
//!
//! Invariant: dropping a handle stops its worker, waits for it, and removes the segments that the handle made. Callers: everybody.
//!
//! From a handle's own callbacks everything can be called that does not wait for them: `set_stopped`,
//! `set_stop_at_queue_end`, sending, putting, replacing callbacks. `stop`, `wait`, `start_new` and
//! `start_external` answer [`WorkerError::InCallback`]. A handle that is dropped there is stopped at once;
//! another thread waits for its end and removes its segments.

use super::control::Core;
use super::ended::{Ended, Exit};
use super::error::{SendError, WorkerError};
use super::options::{ConsumerOptions, ProducerOptions};
use super::pipe::Received;
use super::segments::{Segments, Way};
use super::settings::Settings;
use super::{Producing, named};
use crate::error::{OpenError, PutError, StateError};
use crate::queue::{Attach, Control, Item, Options, Payload, ReadyQueue, Role, State, Stats};
use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Controls a producer: a worker that calls `work` and puts what it returns into the subscribed queues.
///
/// ```no_run
/// use prodcon::worker::{Producer, ProducerOptions};
/// use std::{process::Command, time::Duration};
///
/// let options = ProducerOptions::new().work_timeout(Duration::from_millis(10)).subscribers(["plot", "file"]);
/// let mut sampler = Producer::create("sampler", &options)?;
/// sampler.on_result_ready(|result| println!("{:?}", result.text()));
/// sampler.start_new(Command::new("target/release/sampler"), ["channel=3"])?;
/// std::thread::sleep(Duration::from_secs(1));
/// println!("{:?}", sampler.stop()?);
/// # Ok::<(), prodcon::worker::WorkerError>(())
/// ```
pub struct Producer {
    core: Core,
    settings: Settings,
}

/// Controls a consumer: a worker that gets the items of a queue, and that queue.
///
/// ```no_run
/// use prodcon::worker::{Consumer, ConsumerOptions};
/// use std::process::Command;
///
/// let mut sum = Consumer::<u64>::create("sum", &ConsumerOptions::new().max_buffer_size(64).workers(2))?;
/// sum.on_result_ready(|result| println!("{:?}", result.item::<u64>()));
/// sum.start_new(Command::new("target/release/sum"), [""; 0])?;
/// for item in 0..1000 {
///     sum.put_in_queue(&item)?;
/// }
/// sum.set_stop_at_queue_end()?;
/// println!("{:?}", sum.wait()?);
/// # Ok::<(), prodcon::worker::WorkerError>(())
/// ```
pub struct Consumer<T: Payload + ?Sized> {
    core: Core,
    settings: Settings,
    workers: usize,
    queue: ReadyQueue<T>,
}

macro_rules! lend {
    () => {
        /// The worker's name.
        pub fn name(&self) -> &str {
            self.core.control().name()
        }

        /// Its state.
        pub fn state(&self) -> State {
            self.core.control().state()
        }

        /// Its queue's figures.
        ///
        /// # Errors
        /// As [`Control::stats`].
        pub fn stats(&self) -> Result<Stats, WorkerError> {
            Ok(self.core.control().stats()?)
        }

        /// Some process of it runs, or is about to be started again.
        pub fn is_running(&self) -> bool {
            self.core.is_running()
        }

        /// The processes that were started and have not ended.
        pub fn pids(&self) -> Vec<u32> {
            self.core.pids()
        }

        /// Stops it as soon as `work` returns; nobody waits here. A sleeping worker wakes up.
        ///
        /// # Errors
        /// A [`Fault`](crate::Fault).
        pub fn set_stopped(&self) -> Result<(), StateError> {
            self.core.set_stopped()
        }

        /// Waits for its end: every process has ended, and all that it sent was called back.
        ///
        /// # Errors
        /// A [`Fault`](crate::Fault); [`WorkerError::InCallback`] in one of the handle's own callbacks.
        pub fn wait(&mut self) -> Result<Ended, WorkerError> {
            Ok(self.core.wait(None)?.unwrap_or_default())
        }

        /// As [`wait`](Self::wait); `None` if the timeout passed first.
        ///
        /// # Errors
        /// As `wait`.
        pub fn wait_timeout(&mut self, timeout: Duration) -> Result<Option<Ended>, WorkerError> {
            self.core.wait(Some(timeout))
        }

        /// Stops it and waits for its end. Processes that do not end within `stop_timeout` are killed.
        ///
        /// # Errors
        /// A [`Fault`](crate::Fault); [`WorkerError::InCallback`] in one of the handle's own callbacks.
        pub fn stop(&mut self) -> Result<Ended, WorkerError> {
            self.core.stop()
        }

        /// Opens everything for processes that others start as `PROGRAM --attach NAME`: state, gate, listeners. A running worker is stopped and waited for first.
        ///
        /// # Errors
        /// A [`Fault`](crate::Fault); [`WorkerError::InCallback`] in one of the handle's own callbacks.
        pub fn start_external(&mut self) -> Result<(), WorkerError> {
            self.core.start_external()
        }

        /// What is called with each result, in a thread of its own.
        pub fn on_result_ready(&mut self, callback: impl FnMut(Received) + Send + 'static) {
            self.core.on_result.set(callback);
        }

        /// What is called with each message from the worker, in a thread of its own.
        pub fn on_message_ready(&mut self, callback: impl FnMut(Received) + Send + 'static) {
            self.core.on_message.set(callback);
        }

        /// What is called at the end of each process, within some milliseconds, in a thread of its own.
        pub fn on_exit(&mut self, callback: impl FnMut(Exit) + Send + 'static) {
            self.core.on_exit.set(callback);
        }

        /// Sends a message to the worker; waits for space as long as it runs. Of several processes one gets it.
        ///
        /// # Errors
        /// [`SendError`]
        pub fn send_message(&mut self, message: impl AsRef<[u8]>) -> Result<(), SendError> {
            self.core.send(message.as_ref(), true)
        }

        /// As [`send_message`](Self::send_message), without waiting.
        ///
        /// # Errors
        /// [`SendError`]
        pub fn try_send_message(&mut self, message: impl AsRef<[u8]>) -> Result<(), SendError> {
            self.core.send(message.as_ref(), false)
        }

        /// Sends a plain value as a message.
        ///
        /// # Errors
        /// [`SendError`]
        pub fn send_message_item<M: Item>(&mut self, message: &M) -> Result<(), SendError> {
            self.core.send(bytemuck::bytes_of(message), true)
        }

        /// Sends any serde value as a message (postcard).
        ///
        /// # Errors
        /// [`SendError`]
        #[cfg(feature = "serde")]
        pub fn send_message_value<M: serde::Serialize + ?Sized>(&mut self, message: &M) -> Result<(), SendError> {
            let bytes = super::context::encode(&format!("{}.in", self.name()), message)?;
            self.core.send(&bytes, true)
        }
    };
}

impl Producer {
    /// Makes the worker's segments; they are removed when the handle is dropped.
    ///
    /// # Errors
    /// The name is taken or bad, a setting is out of range, a subscriber is no queue, no space.
    pub fn create(name: &str, options: &ProducerOptions) -> Result<Self, WorkerError> {
        Self::open(name, options, Way::Create)
    }

    /// Takes charge of a worker whose queue somebody else made and keeps.
    ///
    /// # Errors
    /// As [`create`](Self::create); it is not there; another process controls it.
    pub fn attach(name: &str, options: &ProducerOptions) -> Result<Self, WorkerError> {
        Self::open(name, options, Way::Attach)
    }

    /// As [`create`](Self::create), but takes over what a controlling process that was killed has left.
    ///
    /// # Errors
    /// As `create`; another process controls it.
    pub fn create_or_attach(name: &str, options: &ProducerOptions) -> Result<Self, WorkerError> {
        Self::open(name, options, Way::CreateOrAttach)
    }

    fn open(name: &str, options: &ProducerOptions, way: Way) -> Result<Self, WorkerError> {
        options.settings.check(name)?;
        let common = &options.common;
        check_subscribers(name, &options.settings.subscribers, common.directory.as_deref())?;
        let segments = Segments::open::<Producing>(name, common, &common.options(1).seats(8), way, 1)?;
        Ok(Self {
            core: Core::new(segments, common.clone(), false),
            settings: options.settings.clone(),
        })
    }

    /// Starts a new process of `command` as the worker: `PROGRAM --attach NAME [ARGUMENTS]`. A running one is stopped and waited for first. Returns when the worker
    /// has attached.
    ///
    /// # Errors
    /// The program cannot be started or is no worker, the arguments are too large, a subscriber is no queue or of another type.
    pub fn start_new<A: AsRef<OsStr>>(&mut self, command: Command, arguments: impl IntoIterator<Item = A>) -> Result<(), WorkerError> {
        check_subscribers(self.name(), &self.settings.subscribers, Some(self.core.control().directory()))?;
        self.core.start(command, arguments, &self.settings, 1)
    }

    /// Sets the queues that get what `work` returns.
    ///
    /// # Errors
    /// The worker runs; one of them is no queue.
    pub fn set_subscribers<S: Into<String>>(&mut self, names: impl IntoIterator<Item = S>) -> Result<(), WorkerError> {
        if self.is_running() {
            return Err(WorkerError::Running {
                worker: self.name().into(),
                what: "subscribers",
            });
        }
        let settings = self.settings.clone().subscribers(names);
        check_subscribers(self.name(), &settings.subscribers, Some(self.core.control().directory()))?;
        self.settings = settings;
        Ok(())
    }

    lend!();
}

impl<T: Payload + ?Sized> Consumer<T> {
    /// Makes the worker's queue and its other segments; they are removed when the handle is dropped. The queue is not ready before the worker is started.
    ///
    /// # Errors
    /// The name is taken or bad, a setting is out of range, no space.
    pub fn create(name: &str, options: &ConsumerOptions) -> Result<Self, WorkerError> {
        Self::open(name, options, Way::Create)
    }

    /// Takes charge of a worker whose queue somebody else made and keeps: what is in it stays in it when this process is killed. The options that concern the making
    /// of the queue are not used.
    ///
    /// # Errors
    /// As [`create`](Self::create); it is not there or of another type; another process controls it.
    pub fn attach(name: &str, options: &ConsumerOptions) -> Result<Self, WorkerError> {
        Self::open(name, options, Way::Attach)
    }

    /// As [`create`](Self::create), but takes over what a controlling process that was killed has left.
    ///
    /// # Errors
    /// As `create`; another process controls it; it is of another type.
    pub fn create_or_attach(name: &str, options: &ConsumerOptions) -> Result<Self, WorkerError> {
        Self::open(name, options, Way::CreateOrAttach)
    }

    fn open(name: &str, options: &ConsumerOptions, way: Way) -> Result<Self, WorkerError> {
        let own: Options = match way {
            Way::Attach => {
                options.settings.check(name)?;
                Options::new(1)
            }
            _ => options.queue::<T>(name)?,
        };
        let segments = Segments::open::<T>(name, &options.common, &own, way, options.workers)?;
        let attach = Attach::new().role(Role::Producer).directory(segments.control.directory());
        // The workers of a controlling process that was killed need a moment to leave.
        let deadline = Instant::now() + Duration::from_secs(1);
        let queue = loop {
            match ReadyQueue::attach_with(name, &attach) {
                Err(OpenError::NoSeat { .. }) if way != Way::Create && Instant::now() < deadline => std::thread::sleep(Duration::from_millis(10)),
                other => break other?,
            }
        };
        Ok(Self {
            core: Core::new(segments, options.common.clone(), true),
            settings: options.settings.clone(),
            workers: options.workers.max(1),
            queue,
        })
    }

    /// Sets the queue ready and starts new processes of `command` as the worker: `PROGRAM --attach NAME [ARGUMENTS]`. A running worker is stopped and waited for first
    /// (which clears its queue). Returns when all processes have attached.
    ///
    /// # Errors
    /// The program cannot be started or is no worker, or one for other items; the arguments are too large.
    pub fn start_new<A: AsRef<OsStr>>(&mut self, command: Command, arguments: impl IntoIterator<Item = A>) -> Result<(), WorkerError> {
        self.core.start(command, arguments, &self.settings, self.workers)
    }

    /// Lets it work on everything that was put before this call, and end then; at once if that is nothing.
    ///
    /// # Errors
    /// It is not started.
    pub fn set_stop_at_queue_end(&self) -> Result<(), StateError> {
        self.core.control().set_state(State::StopAtQueueEnd)
    }

    /// The queue it works on.
    pub fn work_queue(&mut self) -> &mut ReadyQueue<T> {
        &mut self.queue
    }

    /// Puts an item into the work queue; waits while it is full (and not lossy).
    ///
    /// # Errors
    /// As [`ReadyQueue::put`]: `NotReady` or `Stopped` while the worker is not started.
    pub fn put_in_queue(&mut self, item: &T) -> Result<(), PutError> {
        self.queue.put(item)
    }

    lend!();
}

/// Each is a queue that holds items.
fn check_subscribers(worker: &str, names: &[String], dir: Option<&Path>) -> Result<(), WorkerError> {
    let dir = dir.map_or_else(crate::directory, Path::to_path_buf);
    let invalid = |what: String| Err(WorkerError::Invalid { worker: worker.into(), what });
    for name in names {
        match Control::attach_in(&dir, name) {
            Err(error @ OpenError::NotFound { .. }) => return invalid(format!("its subscriber '{name}' is no queue: {error}")),
            Err(error) => return invalid(format!("its subscriber: {error}")),
            Ok(queue) if queue.header().type_name == named::<Producing>() => {
                return invalid(format!(
                    "its subscriber '{name}' is a producer, and producers take no items: name a consumer or a queue"
                ));
            }
            Ok(_) => {}
        }
    }
    Ok(())
}
