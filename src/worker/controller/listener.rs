//! The listeners of the controlling side. Each ring from the worker has a thread, which calls back
//! and ends when the worker has ended and the ring is empty.
//!
//! Invariants: everything that was sent before the worker ended is called back, in order, before
//! [`Listener::join`] returns. The ring's own end of stream tells the listener when that is done.
//! What a worker says of itself can be read at any time, whatever a callback is doing. A callback
//! is never called by two threads at once, and can be replaced while it runs.

use crate::error::{Error, ErrorKind, GetError};
use crate::queue::{Control, ReadyQueue};
use crate::state::State;
use crate::worker::message::{Message, Packet};
use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// The listener never holds the ring for longer.
const ROUND: Duration = Duration::from_millis(20);
/// Most words of worker processes that are remembered. Each process says two, and is forgotten
/// after its end; the rest is from processes that nobody here has started.
const MOST_SAID: usize = 4096;
/// Fewest results that may wait for a busy callback outside their ring.
const BACKLOG: usize = 64;

thread_local! {
    /// The handle whose thread this is, or 0.
    static SERVES: Cell<u64> = const { Cell::new(0) };
}

/// This thread belongs to the handle with this number from now on: what it calls back must not wait
/// for it.
pub(crate) fn serve(handle: u64) {
    SERVES.set(handle);
}

/// This thread belongs to the handle with this number.
pub(crate) fn serves(handle: u64) -> bool {
    SERVES.get() == handle
}

type Function<T> = Box<dyn FnMut(T) + Send>;

struct Slot<T> {
    function: Mutex<Option<Function<T>>>,
    /// Held during a call.
    turn: Mutex<()>,
}

/// What is called with each result, message or end.
pub(crate) struct Callback<T>(Arc<Slot<T>>);

impl<T> Clone for Callback<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Default for Callback<T> {
    fn default() -> Self {
        Self(Arc::new(Slot {
            function: Mutex::new(None),
            turn: Mutex::new(()),
        }))
    }
}

impl<T> Callback<T> {
    /// Replaces it; does not wait for a call under way.
    pub(crate) fn set(&self, function: impl FnMut(T) + Send + 'static) {
        let old = lock(&self.0.function).replace(Box::new(function));
        quietly(|| drop(old)); // outside the lock: it may own anything, this very handle too
    }

    /// Calls back, if anybody wants it. A panic there is its author's affair: it was printed, and
    /// the caller goes on.
    pub(crate) fn call(&self, value: T) {
        let _turn = lock(&self.0.turn);
        // Taken out, so that the callback can replace itself.
        let Some(mut function) = lock(&self.0.function).take() else {
            return;
        };
        quietly(|| function(value));
        let mut now = lock(&self.0.function);
        if now.is_none() {
            *now = Some(function);
        } else {
            drop(now);
            quietly(|| drop(function));
        }
    }
}

/// A panic is swallowed, and its payload is leaked: dropping that may panic too.
pub(crate) fn quietly(work: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(work)) {
        std::mem::forget(payload);
    }
}

/// Nothing here is left half changed by a panic.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What worker processes said of themselves, the latest at the back.
#[derive(Debug, Default)]
pub(crate) struct Said(VecDeque<(u32, Word)>);

#[derive(Debug)]
enum Word {
    Attached,
    Failed(String),
    Ended,
}

/// What a process that has ended said of its end.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct LastWords {
    /// Why it failed.
    pub(crate) error: Option<String>,
    /// It had done its work.
    pub(crate) ended: bool,
}

impl Said {
    fn note(&mut self, pid: u32, word: Word) {
        if self.0.len() >= MOST_SAID {
            self.0.pop_front();
        }
        self.0.push_back((pid, word));
    }

    /// Notes what a worker says of itself; gives back what is a result.
    pub(crate) fn sort(&mut self, bytes: Vec<u8>) -> Option<Vec<u8>> {
        match Packet::decode(bytes) {
            Packet::Result(bytes) => return Some(bytes),
            Packet::Attached(pid) => self.note(pid, Word::Attached),
            Packet::Failed(pid, text) => self.note(pid, Word::Failed(text)),
            Packet::Ended(pid) => self.note(pid, Word::Ended),
        }
        None
    }

    fn attached(&self, pid: u32) -> bool {
        self.0
            .iter()
            .any(|(of, word)| *of == pid && matches!(word, Word::Attached))
    }

    /// What it said of its end. Its words are forgotten: its id may be another's from now on.
    pub(crate) fn last_words(&mut self, pid: u32) -> LastWords {
        let mut last = LastWords::default();
        self.0.retain_mut(|(of, word)| {
            match word {
                _ if *of != pid => return true,
                Word::Failed(said) => last.error = Some(std::mem::take(said)),
                Word::Ended => last.ended = true,
                Word::Attached => {}
            }
            false
        });
        last
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The ring as it is read.
struct Reading {
    /// `None` if it was handed back.
    queue: Option<ReadyQueue<[u8]>>,
    /// Read, and not yet called back.
    backlog: VecDeque<Vec<u8>>,
}

/// A ring that is read by its listener, and by the code that wants to know what a process said
/// last.
pub(crate) struct Ears {
    /// Taken before `reading`, so that the listener, which takes that again at once, leaves room.
    turn: Mutex<()>,
    reading: Mutex<Reading>,
    /// `None` for a ring of messages, among which nothing is the library's own.
    said: Option<Mutex<Said>>,
}

impl Ears {
    fn reading(&self) -> MutexGuard<'_, Reading> {
        let _turn = lock(&self.turn);
        lock(&self.reading)
    }

    fn sort(&self, bytes: Vec<u8>) -> Option<Vec<u8>> {
        match &self.said {
            Some(said) => lock(said).sort(bytes),
            None => Some(bytes),
        }
    }

    /// This process said that it has attached.
    pub(crate) fn attached(&self, pid: u32) -> bool {
        self.said
            .as_ref()
            .is_some_and(|said| lock(said).attached(pid))
    }

    /// What a process that has ended said of its end. All that it sent lies in the ring by now:
    /// what was not read yet is read here, and waits for its callback.
    pub(crate) fn last_words(&self, pid: u32) -> LastWords {
        let mut reading = self.reading();
        let Reading { queue, backlog } = &mut *reading;
        if let Some(queue) = queue {
            let most = (2 * queue.capacity()).max(BACKLOG);
            while backlog.len() < most {
                let Ok(bytes) = queue.try_get() else { break };
                backlog.extend(self.sort(bytes));
            }
        }
        drop(reading);
        let said = self.said.as_ref();
        said.map_or_else(LastWords::default, |said| lock(said).last_words(pid))
    }

    /// Returns the next result or message, or `None` if there is none for now. After an error there
    /// will be none any more.
    fn next(&self) -> Result<Option<Vec<u8>>, GetError> {
        let mut reading = self.reading();
        if let Some(bytes) = reading.backlog.pop_front() {
            return Ok(Some(bytes));
        }
        let got = reading
            .queue
            .as_mut()
            .ok_or(GetError::Stopped)?
            .within(ROUND)
            .get();
        match got {
            Ok(bytes) => Ok(self.sort(bytes)),
            Err(GetError::TimedOut) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A thread that reads a ring.
pub(crate) struct Listener {
    pub(crate) ears: Arc<Ears>,
    thread: JoinHandle<()>,
}

impl Listener {
    /// Reads results, and what workers say of themselves. The ring is taken only if this succeeds.
    pub(crate) fn results(
        ring: &mut Option<ReadyQueue<[u8]>>,
        handle: u64,
        callback: Callback<Message>,
    ) -> std::io::Result<Self> {
        Self::spawn(ring, Some(Mutex::default()), handle, callback)
    }

    /// Reads messages. The ring is taken only if this succeeds.
    pub(crate) fn messages(
        ring: &mut Option<ReadyQueue<[u8]>>,
        handle: u64,
        callback: Callback<Message>,
    ) -> std::io::Result<Self> {
        Self::spawn(ring, None, handle, callback)
    }

    fn spawn(
        ring: &mut Option<ReadyQueue<[u8]>>,
        said: Option<Mutex<Said>>,
        handle: u64,
        callback: Callback<Message>,
    ) -> std::io::Result<Self> {
        let name: Arc<str> = ring.as_ref().map_or("", ReadyQueue::name).into();
        let ears = Arc::new(Ears {
            turn: Mutex::new(()),
            reading: Mutex::new(Reading {
                queue: ring.take(),
                backlog: VecDeque::new(),
            }),
            said,
        });
        let (heard, queue) = (ears.clone(), name.clone());
        let listen = move || {
            serve(handle);
            // The error is the end of the stream, or there is no ring any more.
            while let Ok(next) = heard.next() {
                if let Some(bytes) = next {
                    callback.call(Message {
                        queue: queue.clone(),
                        bytes,
                    });
                }
            }
        };
        match std::thread::Builder::new()
            .name(format!("prodcon {name}"))
            .spawn(listen)
        {
            Ok(thread) => Ok(Self { ears, thread }),
            Err(error) => {
                *ring = lock(&ears.reading).queue.take();
                Err(error)
            }
        }
    }

    /// Ends when all is read, because the caller has set the ring's state with [`end_of_stream`].
    /// The endpoint comes back.
    pub(crate) fn join(self) -> Option<ReadyQueue<[u8]>> {
        let _ = self.thread.join();
        lock(&self.ears.reading).queue.take()
    }
}

/// Nothing more will be sent: the listener ends when the ring is empty.
pub(crate) fn end_of_stream(ring: &Control) {
    // Refused: it was stopped, and ends at once.
    let _ = ring.set_state(State::StopAtQueueEnd);
}

/// The ring carries again, whatever it was.
pub(crate) fn begin_stream(ring: &Control) -> Result<(), Error> {
    loop {
        let next = match ring.state() {
            State::Started => return Ok(()),
            State::StopAtQueueEnd => State::Stopped,
            State::Stopped => State::Started,
        };
        match ring.set_state(next) {
            Err(error) if error.kind() != ErrorKind::StateRefused => return Err(error),
            _ => {}
        }
    }
}
