//! A worker together with what C needs kept for it: texts, the queues that subscribe, its schedule, a
//! message that was too long.
//!
//! Invariant: the texts never change, so that C may keep their addresses until the end.

use crate::failure::Failure;
use crate::handle::{Handle, Shell};
use crate::status::*;
use rust::worker::{Context, Message, OnFull};
use rust::{ErrorKind, PutError, ReadyQueue, State};
use std::collections::VecDeque;
use std::ffi::{CStr, CString};
use std::sync::Mutex;
use std::sync::atomic::AtomicPtr;
use std::time::{Duration, Instant};

/// Waiting for space in a queue is cut into pieces, because what would end it comes through another one.
const PIECE: Duration = Duration::from_millis(5);
/// A subscribed queue that is gone is looked for so often.
const LOOK: Duration = Duration::from_millis(100);
/// A producer that is later than this leaves out the calls that it missed. One that is less late
/// makes up for them.
const MADE_UP: Duration = Duration::from_secs(1);

/// See the module.
pub struct Work {
    pub(crate) context: Context,
    pid: u32,
    name: CString,
    arguments: Vec<CString>,
    subscribers: Vec<Subscriber>,
    /// When the next call is due.
    next: Instant,
    /// Met by a receive whose buffer was too small.
    pub(crate) too_long: Option<Message>,
}

/// A program as a worker: a producer or a consumer that a controlling process starts and stops,
/// or that was started by hand. One thread at a time may use it, in the process that made it.
pub struct Worker(Shell<Work>);

impl Handle for Worker {
    type Content = Work;
    const NAME: &'static str = "worker";
    const MARK: u32 = u32::from_be_bytes(*b"pcW\0");

    fn name(content: &Work) -> &str {
        content.name()
    }
    fn new() -> Self {
        Self(Shell::closed(Self::CLOSED))
    }
    fn shell(&self) -> &Shell<Work> {
        &self.0
    }
    fn last_closed() -> &'static AtomicPtr<Self> {
        static LAST: AtomicPtr<Worker> = AtomicPtr::new(std::ptr::null_mut());
        &LAST
    }
    fn pool() -> &'static Mutex<VecDeque<&'static Self>> {
        static POOL: Mutex<VecDeque<&'static Worker>> = Mutex::new(VecDeque::new());
        &POOL
    }
}

struct Subscriber {
    name: CString,
    /// `None` if it is gone.
    queue: Option<ReadyQueue<[u8]>>,
    looked: Instant,
}

fn c_string(text: &str) -> CString {
    CString::new(text).unwrap_or_default() // it came from C or from a checked name: no NUL in it
}

impl Work {
    /// Attaches as a worker, and to the queues that subscribe. What goes wrong is told to the controlling process.
    pub fn attach(name: &str, arguments: Vec<String>) -> Result<Self, Failure> {
        let texts = arguments.iter().map(|text| c_string(text)).collect();
        let context = Context::attach(name, arguments)?;
        let subscribe = |name: &String| {
            let queue = ReadyQueue::attach(name).map_err(|error| match error.kind() {
                ErrorKind::NotFound => {
                    Failure::with(PRODCON_NOT_FOUND, format!("its subscriber: {error}"))
                }
                _ => error.into(),
            })?;
            Ok(Subscriber {
                name: c_string(name),
                queue: Some(queue),
                looked: Instant::now(),
            })
        };
        match context
            .settings()
            .subscribers
            .iter()
            .map(subscribe)
            .collect()
        {
            Ok(subscribers) => Ok(Self {
                pid: std::process::id(),
                name: c_string(context.name()),
                arguments: texts,
                subscribers,
                next: Instant::now(),
                too_long: None,
                context,
            }),
            Err(failure) => {
                let failure: Failure = failure;
                context.finish_quietly(Err(failure.to_string().into()));
                Err(failure)
            }
        }
    }

    /// The worker's name.
    pub fn name(&self) -> &str {
        self.context.name()
    }

    /// The worker's name.
    pub fn c_name(&self) -> &CStr {
        &self.name
    }

    /// What followed the name on the command line.
    pub fn arguments(&self) -> &[CString] {
        &self.arguments
    }

    /// The value of an argument `KEY=VALUE`.
    pub fn named(&self, key: &str) -> Option<&CStr> {
        self.arguments.iter().find_map(|argument| {
            let rest = argument
                .to_bytes_with_nul()
                .strip_prefix(key.as_bytes())?
                .strip_prefix(b"=")?;
            CStr::from_bytes_with_nul(rest).ok()
        })
    }

    /// Names of the queues that subscribe.
    pub fn subscriber(&self, index: usize) -> Option<&CStr> {
        self.subscribers
            .get(index)
            .map(|subscriber| subscriber.name.as_c_str())
    }

    /// This is a forked child of the worker.
    pub fn is_forked(&self) -> bool {
        std::process::id() != self.pid
    }

    /// # Errors
    /// `PRODCON_FORKED`
    pub fn of_this_process(&self) -> Result<(), Failure> {
        if self.is_forked() {
            Err(Failure::forked("worker"))
        } else {
            Ok(())
        }
    }

    /// # Errors
    /// `PRODCON_STOPPED`
    pub fn not_stopped(&mut self) -> Result<(), Failure> {
        if self.context.is_stopped() {
            Err(stopped())
        } else {
            Ok(())
        }
    }

    /// Waits until the next call of a producer is due.
    pub fn next(&mut self) -> Result<(), Failure> {
        let period = self.context.settings().work_timeout;
        loop {
            self.not_stopped()?;
            if self.context.state() != State::Started {
                return Err(stopped()); // a producer has no queue's end to wait for
            }
            if period.is_zero() {
                return Ok(());
            }
            if self
                .context
                .sleep(self.next.saturating_duration_since(Instant::now()))?
            {
                // From the time it was due, not from now: lateness does not add up.
                let next = self.next + period;
                let late = Instant::now().saturating_duration_since(next);
                self.next = if late <= MADE_UP {
                    next
                } else {
                    Instant::now()
                };
                return Ok(());
            }
        }
    }

    /// Sleeps; `PRODCON_STOPPED` if the worker has to end meanwhile.
    pub fn sleep(&mut self, time: Option<Duration>) -> Result<(), Failure> {
        let end = time.and_then(|time| Instant::now().checked_add(time));
        loop {
            self.not_stopped()?;
            let left = end.map_or(Duration::from_secs(3600), |end| {
                end.saturating_duration_since(Instant::now())
            });
            if left.is_zero() {
                return Ok(());
            }
            // Returns false if the state has changed, which may be no reason to end.
            let _ = self.context.sleep(left)?;
        }
    }

    /// Puts an item into every subscribed queue that is there and ready; to how many.
    pub fn publish(&mut self, item: &[u8]) -> Result<usize, Failure> {
        let mut reached = 0;
        for subscriber in &mut self.subscribers {
            reached += usize::from(subscriber.put(item, &mut self.context)?);
        }
        if self.context.settings().items_to_results {
            self.context.send_result(item).map_err(not_sent)?;
        }
        Ok(reached)
    }
}

impl Subscriber {
    fn put(&mut self, item: &[u8], context: &mut Context) -> Result<bool, Failure> {
        if self.queue.is_none() && self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            self.queue = self
                .name
                .to_str()
                .ok()
                .and_then(|name| ReadyQueue::attach(name).ok());
        }
        let Some(queue) = &mut self.queue else {
            return Ok(false);
        };
        let mut done = queue.try_put(item);
        loop {
            match done {
                Ok(()) => return Ok(true),
                Err(PutError::NotReady | PutError::Stopped) => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Removed => {
                    self.queue = None;
                    return Ok(false);
                }
                Err(PutError::Full | PutError::TimedOut) => {
                    if context.settings().on_full != OnFull::Wait || context.is_stopped() {
                        return Ok(false);
                    }
                    done = queue.within(PIECE).put(item);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The worker has to end.
pub fn stopped() -> Failure {
    Failure::answer(PRODCON_STOPPED, "was stopped")
}

/// Why a result or a message was not sent.
pub fn not_sent(error: PutError) -> Failure {
    match error {
        PutError::Full | PutError::TimedOut => {
            Failure::answer(PRODCON_FULL, "has no space for what it sends")
        }
        PutError::Stopped => stopped(),
        other => other.into(),
    }
}
