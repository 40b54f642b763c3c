//! The controlling side's ears: a thread for each ring from the worker, which calls back and ends when the worker has ended and the ring is empty.
//!
//! Invariant: everything that was sent before the worker ended is called back before [`Listener::join`] returns; the ring's own end of stream says so. Callers: the
//! controlling handles.

use super::pipe::{Packet, Received};
use crate::error::GetError;
use crate::queue::{ReadyQueue, State};
use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// No longer without noting that the ring is empty.
const ROUND: Duration = Duration::from_millis(20);

/// What is called with each result or message.
pub(crate) type Callback<T> = Arc<Mutex<Option<Box<dyn FnMut(T) + Send>>>>;

/// Calls back, if anybody wants it. A panic there is its author's affair: it was printed, and the listener goes on.
pub(crate) fn call<T>(callback: &Callback<T>, value: T) {
    if let Some(callback) = lock(callback).as_mut() {
        let _ = catch_unwind(AssertUnwindSafe(|| callback(value)));
    }
}

/// Nothing here is left half changed by a panic.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What worker processes said of themselves.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    said: Mutex<Said>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Said {
    attached: HashSet<u32>,
    failed: HashMap<u32, String>,
    /// How often the ring was found empty.
    rounds: u64,
    over: bool,
}

impl Heard {
    /// This process said that it has attached.
    pub(crate) fn attached(&self, pid: u32) -> bool {
        lock(&self.said).attached.contains(&pid)
    }

    /// Why a process that has ended said that it failed; waits until all it can have sent was read, but no longer than this.
    pub(crate) fn failure(&self, pid: u32, patience: Duration) -> Option<String> {
        let deadline = Instant::now() + patience;
        let mut said = lock(&self.said);
        let enough = said.rounds + 2; // the first may have begun before the process ended
        loop {
            if let Some(text) = said.failed.get(&pid) {
                return Some(text.clone());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if said.over || said.rounds >= enough || left.is_zero() {
                return None;
            }
            said = self.changed.wait_timeout(said, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn note(&self, change: impl FnOnce(&mut Said)) {
        change(&mut lock(&self.said));
        self.changed.notify_all();
    }
}

/// A thread that reads a ring.
pub(crate) struct Listener {
    thread: JoinHandle<ReadyQueue<[u8]>>,
}

impl Listener {
    /// Reads results.
    pub(crate) fn results(queue: ReadyQueue<[u8]>, heard: Arc<Heard>, callback: Callback<Received>) -> std::io::Result<Self> {
        Self::spawn(queue, move |event| match event {
            Event::Item(received) => match Packet::decode(received.bytes) {
                Packet::Result(bytes) => call(&callback, Received { queue: received.queue, bytes }),
                Packet::Attached(pid) => heard.note(|said| {
                    said.attached.insert(pid);
                }),
                Packet::Failed(pid, text) => heard.note(|said| {
                    said.failed.insert(pid, text);
                }),
            },
            Event::Empty => heard.note(|said| said.rounds += 1),
            Event::Over => heard.note(|said| said.over = true),
        })
    }

    /// Reads messages.
    pub(crate) fn messages(queue: ReadyQueue<[u8]>, callback: Callback<Received>) -> std::io::Result<Self> {
        Self::spawn(queue, move |event| {
            if let Event::Item(received) = event {
                call(&callback, received);
            }
        })
    }

    fn spawn(mut queue: ReadyQueue<[u8]>, mut tell: impl FnMut(Event) + Send + 'static) -> std::io::Result<Self> {
        let thread = std::thread::Builder::new().name(format!("prodcon {}", queue.name())).spawn(move || {
            loop {
                match queue.get_timeout(ROUND) {
                    Ok(bytes) => tell(Event::Item(Received {
                        queue: queue.name().into(),
                        bytes,
                    })),
                    Err(GetError::TimedOut) => tell(Event::Empty),
                    // End of stream. Other errors mean that there is no ring any more.
                    Err(_) => {
                        tell(Event::Over);
                        return queue;
                    }
                }
            }
        })?;
        Ok(Self { thread })
    }

    /// Ends when all is read, because whoever calls this has set the ring's state with [`end_of_stream`]. The endpoint comes back.
    pub(crate) fn join(self) -> Option<ReadyQueue<[u8]>> {
        self.thread.join().ok()
    }
}

enum Event {
    Item(Received),
    Empty,
    Over,
}

/// Nothing more will be sent: the listener ends when the ring is empty.
pub(crate) fn end_of_stream(ring: &crate::Control) {
    // Refused: it ends already.
    let _ = ring.set_state(State::StopAtQueueEnd);
}

/// The ring carries again, whatever it was.
pub(crate) fn begin_stream(ring: &crate::Control) -> Result<(), crate::StateError> {
    loop {
        let next = match ring.state() {
            State::Started => return Ok(()),
            State::StopAtQueueEnd => State::Stopped,
            State::Stopped => State::Started,
        };
        match ring.set_state(next) {
            Ok(()) | Err(crate::StateError::Refused { .. }) => {}
            Err(error) => return Err(error),
        }
    }
}
