//! The controlling handles: what a program holds that starts, stops and hears a producer or a
//! consumer.
//!
//! Invariant: dropping a handle stops its worker, waits for it, and removes the segments that the
//! handle made. In a handle's own callback it is stopped at once, and another thread waits for its
//! end and removes its segments.

use super::core::Core;
use super::exit::{ProcessExit, WorkerExit};
use super::options::{ConsumerOptions, ProducerOptions};
use super::segments::{Segments, Way};
use crate::error::{ErrorKind, PutError, Result, Worker};
use crate::queue::{AttachOptions, Payload, QueueOptions, ReadyQueue, Stats};
use crate::state::{Role, State};
use crate::worker::link::{attach_in, attach_to};
use crate::worker::message::Message;
use crate::worker::program::Program;
use crate::worker::settings::Settings;
use crate::worker::{Producing, named};
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Controls a producer: a worker that calls `work` and puts what it returns into the subscribed
/// queues.
///
/// Dropping the handle stops the worker, waits for it, and removes the segments that the handle
/// made. From the handle's own callbacks everything can be called that does not wait for them:
/// `set_stopped`, sending, replacing callbacks. `stop`, `wait`, `start_new` and `start_external`
/// answer `InCallback` there.
///
/// ```no_run
/// use prodcon::worker::{Producer, ProducerOptions, Program};
/// use std::time::Duration;
///
/// let options = ProducerOptions::new().work_timeout(Duration::from_millis(10)).subscribers(["plot", "file"]);
/// let mut sampler = Producer::create("sampler", &options)?;
/// sampler.on_result_ready(|result| println!("{:?}", result.text()));
/// sampler.start_new(Program::new("target/release/sampler").arg("channel=3"))?;
/// std::thread::sleep(Duration::from_secs(1));
/// sampler.stop()?.into_result()?;
/// # Ok::<(), prodcon::Error>(())
/// ```
pub struct Producer {
    core: Core,
    settings: Settings,
}

/// Controls a consumer: a worker that gets the items of a queue, and that queue.
///
/// Dropping the handle and calling it from its callbacks: as of [`Producer`].
///
/// ```no_run
/// use prodcon::worker::{Consumer, ConsumerOptions};
///
/// let options = ConsumerOptions::new().max_buffer_size(64).processes(2);
/// let mut sum = Consumer::<u64>::create("sum", &options)?;
/// sum.on_result_ready(|result| println!("{:?}", result.text()));
/// sum.start_new("target/release/sum")?;
/// for item in 0..1000 {
///     sum.put_in_queue(&item)?;
/// }
/// sum.set_stop_at_queue_end()?;
/// sum.wait()?.into_result()?;
/// # Ok::<(), prodcon::Error>(())
/// ```
pub struct Consumer<T: Payload + ?Sized> {
    core: Core,
    settings: Settings,
    processes: usize,
    queue: ReadyQueue<T>,
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("name", &self.name())
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl<T: Payload + ?Sized> fmt::Debug for Consumer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("name", &self.name())
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

macro_rules! lend {
    () => {
        /// Returns the worker's name.
        pub fn name(&self) -> &str {
            self.core.control().name()
        }

        /// Returns its state.
        pub fn state(&self) -> State {
            self.core.control().state()
        }

        /// Returns its queue's figures.
        ///
        /// # Errors
        /// Fails as [`Control::stats`](crate::Control::stats) does.
        pub fn stats(&self) -> Result<Stats> {
            self.core.control().stats()
        }

        /// Returns whether some process of it runs, or is about to be started again.
        pub fn is_running(&self) -> bool {
            self.core.is_running()
        }

        /// Returns the ids of the processes that were started and have not ended.
        pub fn pids(&self) -> Vec<u32> {
            self.core.pids()
        }

        /// Stops the worker as soon as `work` returns, and does not wait for that. A sleeping
        /// worker wakes up.
        ///
        /// # Errors
        /// Returns `Forked` in a forked child.
        pub fn set_stopped(&self) -> Result<()> {
            self.core.set_stopped()
        }

        /// Waits for its end: every process has ended, and all that it sent was called back.
        ///
        /// # Errors
        /// Returns `InCallback` in one of the handle's own callbacks, `Forked` in a forked child,
        /// `Corrupt` if a segment is damaged, and `Os` if a system call failed. That the worker
        /// failed is no error of this call, see [`WorkerExit::into_result`].
        pub fn wait(&mut self) -> Result<WorkerExit> {
            let ended = self.core.wait(None)?;
            Ok(ended.unwrap_or_else(|| self.core.nothing_ended()))
        }

        /// Waits for its end, for at most `timeout`. Returns `None` if the time passed first.
        ///
        /// # Errors
        /// Fails as [`wait`](Self::wait) does.
        pub fn wait_timeout(&mut self, timeout: Duration) -> Result<Option<WorkerExit>> {
            self.core.wait(Some(timeout))
        }

        /// Stops it and waits for its end. Processes that do not end within `stop_timeout` are
        /// killed.
        ///
        /// # Errors
        /// Fails as [`wait`](Self::wait) does.
        pub fn stop(&mut self) -> Result<WorkerExit> {
            self.core.stop()
        }

        /// Opens everything for processes that others start as `PROGRAM --attach NAME`: state,
        /// gate, listeners. A running worker is stopped and waited for first.
        ///
        /// # Errors
        /// Returns `InCallback` in one of the handle's own callbacks, `Forked` in a forked child,
        /// `Corrupt` if a segment is damaged, and `Os` if a system call failed.
        pub fn start_external(&mut self) -> Result<()> {
            self.core.start_external()
        }

        /// Sets what is called with each result, in a thread of its own.
        pub fn on_result_ready(&mut self, callback: impl FnMut(Message) + Send + 'static) {
            self.core.on_result.set(callback);
        }

        /// Sets what is called with each message from the worker, in a thread of its own.
        pub fn on_message_ready(&mut self, callback: impl FnMut(Message) + Send + 'static) {
            self.core.on_message.set(callback);
        }

        /// Sets what is called at the end of each process, within some milliseconds, in a thread of
        /// its own; and when one could not be started again.
        pub fn on_exit(&mut self, callback: impl FnMut(ProcessExit) + Send + 'static) {
            self.core.on_exit.set(callback);
        }

        /// Sends a message to the worker. Waits for space as long as the worker runs. If there are
        /// several processes, one of them gets it.
        ///
        /// # Errors
        /// Returns `Stopped` if the ring is full and the worker has ended. Returns `Failed` if
        /// something else went wrong, with the kind `TooLarge` (raise `message_size`), `Forked`,
        /// `Corrupt` or `Os`.
        pub fn send_message(&mut self, message: impl AsRef<[u8]>) -> Result<(), PutError> {
            self.core.send(message.as_ref(), true)
        }

        /// Sends a message to the worker if there is space now.
        ///
        /// # Errors
        /// Returns `Full` if the ring is full. Fails as [`send_message`](Self::send_message) does
        /// otherwise.
        pub fn try_send_message(&mut self, message: impl AsRef<[u8]>) -> Result<(), PutError> {
            self.core.send(message.as_ref(), false)
        }
    };
}

impl Producer {
    /// Makes the worker's segments; they are removed when the handle is dropped.
    ///
    /// # Errors
    /// Returns `AlreadyExists` if the name is taken, `InvalidName` if it cannot be one, and
    /// `InvalidOption` if a setting is out of range or a subscriber is no queue. Fails as
    /// [`Control::create`](crate::Control::create) does otherwise.
    pub fn create(name: &str, options: &ProducerOptions) -> Result<Self> {
        Self::open(name, options, Way::Create)
    }

    /// Takes charge of a worker whose queue another process made and keeps.
    ///
    /// # Errors
    /// Returns `NotFound` if there is no such worker, and `Controlled` if another process controls
    /// it. Fails as [`create`](Self::create) does otherwise.
    pub fn attach(name: &str, options: &ProducerOptions) -> Result<Self> {
        Self::open(name, options, Way::Attach)
    }

    /// Makes the worker's segments, or takes over what a controlling process that was killed has
    /// left.
    ///
    /// # Errors
    /// Returns `Controlled` if another process controls it. Fails as [`create`](Self::create) does
    /// otherwise.
    pub fn create_or_attach(name: &str, options: &ProducerOptions) -> Result<Self> {
        Self::open(name, options, Way::CreateOrAttach)
    }

    fn open(name: &str, options: &ProducerOptions, way: Way) -> Result<Self> {
        options.settings.check(name)?;
        let common = &options.common;
        check_subscribers(
            name,
            &options.settings.subscribers,
            common.directory.as_deref(),
        )?;
        let segments = Segments::open::<Producing>(name, common, &common.ring(1, 8), way, 1)?;
        Ok(Self {
            core: Core::new(segments, common.clone(), false),
            settings: options.settings.clone(),
        })
    }

    /// Starts a new process of `program` as the worker: `PROGRAM --attach NAME [ARGUMENTS]`. A
    /// running one is stopped and waited for first. Returns when the worker has attached.
    ///
    /// # Errors
    /// Returns `Spawn` if the program cannot be started or its arguments are too large,
    /// `NotAWorker` if it ends or does not attach in time, `WorkerFailed` if it says that it
    /// failed, `InvalidOption` if a subscriber is no queue, and `InCallback` in one of the handle's
    /// own callbacks.
    ///
    /// ```no_run
    /// use prodcon::worker::{Producer, ProducerOptions, Program};
    ///
    /// let mut sampler = Producer::create("sampler", &ProducerOptions::new())?;
    /// sampler.start_new(Program::new("./sampler").arg("channel=3"))?;
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn start_new(&mut self, program: impl Into<Program>) -> Result<()> {
        check_subscribers(
            self.name(),
            &self.settings.subscribers,
            Some(self.core.control().directory()),
        )?;
        self.core.start(program.into(), &self.settings, 1)
    }

    /// Sets the queues that get what `work` returns.
    ///
    /// # Errors
    /// Returns `Running` while the worker runs, and `InvalidOption` if one of them is no queue.
    pub fn set_subscribers<S: Into<String>>(
        &mut self,
        names: impl IntoIterator<Item = S>,
    ) -> Result<()> {
        if self.is_running() {
            return Err(Worker::Running {
                worker: self.name().into(),
                what: "subscribers",
            }
            .into());
        }
        let settings = self.settings.clone().subscribers(names);
        check_subscribers(
            self.name(),
            &settings.subscribers,
            Some(self.core.control().directory()),
        )?;
        self.settings = settings;
        Ok(())
    }

    lend!();
}

impl<T: Payload + ?Sized> Consumer<T> {
    /// Makes the worker's queue and its other segments. They are removed when the handle is
    /// dropped. The queue is not ready before the worker is started.
    ///
    /// # Errors
    /// Returns `AlreadyExists` if the name is taken, `InvalidName` if it cannot be one, and
    /// `InvalidOption` if a setting is out of range or the queue would need too many seats. Fails
    /// as [`ReadyQueue::create`] does otherwise.
    pub fn create(name: &str, options: &ConsumerOptions) -> Result<Self> {
        Self::open(name, options, Way::Create)
    }

    /// Takes charge of a worker whose queue another process made and keeps. What is in the queue
    /// stays there when this process is killed. The queue options are not used.
    ///
    /// # Errors
    /// Returns `NotFound` if there is no such queue, `Incompatible` if it is of another type, and
    /// `Controlled` if another process controls it. Fails as [`create`](Self::create) does
    /// otherwise.
    pub fn attach(name: &str, options: &ConsumerOptions) -> Result<Self> {
        Self::open(name, options, Way::Attach)
    }

    /// Makes the worker's queue and its other segments, or takes over what a controlling process
    /// that was killed has left.
    ///
    /// # Errors
    /// Returns `Controlled` if another process controls it, and `Incompatible` if the queue is of
    /// another type. Fails as [`create`](Self::create) does otherwise.
    pub fn create_or_attach(name: &str, options: &ConsumerOptions) -> Result<Self> {
        Self::open(name, options, Way::CreateOrAttach)
    }

    fn open(name: &str, options: &ConsumerOptions, way: Way) -> Result<Self> {
        let own = match way {
            Way::Attach => {
                options.check(name)?;
                QueueOptions::new(1)
            }
            _ => options.work_queue(name)?,
        };
        let common = options.shared();
        let segments = Segments::open::<T>(name, &common, &own, way, options.processes)?;
        let attach = AttachOptions::new()
            .role(Role::Producer)
            .directory(segments.control.directory());
        // The workers of a controlling process that was killed need a moment to leave.
        let deadline = Instant::now() + Duration::from_secs(1);
        let queue = loop {
            match attach_to(&segments.control, &attach) {
                Err(error)
                    if error.kind() == ErrorKind::NoSeat
                        && way != Way::Create
                        && Instant::now() < deadline =>
                {
                    std::thread::sleep(Duration::from_millis(10));
                }
                other => break other?,
            }
        };
        Ok(Self {
            core: Core::new(segments, common, true),
            settings: options.settings.clone(),
            processes: options.processes.max(1),
            queue,
        })
    }

    /// Sets the queue ready and starts new processes of `program` as the worker: `PROGRAM --attach
    /// NAME [ARGUMENTS]`. A running worker is stopped and waited for first (which clears its
    /// queue). Returns when all processes have attached.
    ///
    /// # Errors
    /// Returns `Spawn` if the program cannot be started or its arguments are too large,
    /// `NotAWorker` if it ends or does not attach in time, `WorkerFailed` if it says that it
    /// failed, as a worker for other items does, and `InCallback` in one of the handle's own
    /// callbacks.
    ///
    /// ```no_run
    /// use prodcon::worker::{Consumer, ConsumerOptions};
    ///
    /// let mut sum = Consumer::<u64>::create("sum", &ConsumerOptions::new().processes(4))?;
    /// sum.start_new("./sum")?;
    /// sum.put_in_queue(&1)?;
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn start_new(&mut self, program: impl Into<Program>) -> Result<()> {
        self.core
            .start(program.into(), &self.settings, self.processes)
    }

    /// Lets it work on everything that was put before this call, and end then; at once if that is
    /// nothing.
    ///
    /// # Errors
    /// Returns `StateRefused` if it is not started.
    pub fn set_stop_at_queue_end(&self) -> Result<()> {
        self.core.control().set_state(State::StopAtQueueEnd)
    }

    /// Returns the queue it works on.
    pub fn work_queue(&mut self) -> &mut ReadyQueue<T> {
        &mut self.queue
    }

    /// Puts an item into the work queue; waits while it is full (and not lossy).
    ///
    /// # Errors
    /// Fails as [`ReadyQueue::put`] does: with `NotReady` or `Stopped` while the worker is not
    /// started.
    pub fn put_in_queue(&mut self, item: &T) -> Result<(), PutError> {
        self.queue.put(item)
    }

    lend!();
}

/// Each is a queue that holds items.
fn check_subscribers(worker: &str, names: &[String], dir: Option<&Path>) -> Result<()> {
    let dir = dir.map_or_else(crate::directory, Path::to_owned);
    let invalid = |what: String| {
        let worker = worker.into();
        Err(Worker::Invalid { worker, what }.into())
    };
    for name in names {
        match attach_in(&dir, name) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return invalid(format!("its subscriber '{name}' is no queue: {error}"));
            }
            Err(error) => return invalid(format!("its subscriber: {error}")),
            Ok(queue) if queue.info().type_name == named::<Producing>() => {
                return invalid(format!(
                    "its subscriber '{name}' is a producer, and producers take no items: name a consumer or a queue"
                ));
            }
            Ok(_) => {}
        }
    }
    Ok(())
}
