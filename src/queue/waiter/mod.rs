//! The thread that waits on behalf of all descriptors and futures.
//!
//! An [`Alarm`] is one interest that can be armed. An armed alarm goes off once: it writes to an
//! eventfd, or wakes a task. While any alarm of the process is armed, a thread `prodcon-wait`
//! sleeps on the event words of their queues, in one `futex_waitv`. It is started by the first
//! alarm that is armed. A word has one registration however many alarms share it, and one thread
//! sleeps on up to 127 words; a further one is started for more. docs/design.md, section 9,
//! explains the rules.
//!
//! Invariants: an alarm is armed, or has gone off, or neither, and that changes under the one lock
//! of the process. A word that the thread has slept on is looked at, or passes its wake-up on. No
//! task is woken under the lock. A forked child has a registry of its own and does not touch its
//! parent's.

mod registry;

use super::cancel::CancelToken;
use super::endpoint::Endpoint;
use super::interest::{View, Watched};
use super::wait::For;
use crate::error::{Error, ErrorKind, Fault, GetError, Reason, Result};
use crate::sys::descriptor::EventFd;
use crate::sys::futex::Asleep;
use registry::registry;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
#[cfg(feature = "async")]
use std::sync::{Mutex, PoisonError};
#[cfg(feature = "async")]
use std::task::Waker;
use std::time::Instant;

/// What an alarm waits for.
#[derive(Debug, Clone)]
pub(super) enum Subject {
    Queue(Watched),
    Token(CancelToken),
}

impl Subject {
    pub(super) fn of_queue(endpoint: &Endpoint, what: For) -> Result<Self> {
        Ok(Self::Queue(Watched::new(endpoint, what)?))
    }

    fn view(&self) -> Option<View<'_>> {
        match self {
            Self::Queue(watched) => Some(watched.view()),
            Self::Token(_) => None,
        }
    }

    fn shares_word(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Queue(one), Self::Queue(other)) => one.view().shares_word(other.view()),
            (Self::Token(one), Self::Token(other)) => one.is(other),
            _ => false,
        }
    }

    fn register(&self) -> u32 {
        self.view().map_or(0, View::register)
    }

    /// Returns whether the word has another value than the one registered.
    fn changed(&self, value: u32) -> bool {
        match self {
            Self::Queue(watched) => watched.view().changed(value),
            Self::Token(token) => token.is_cancelled(),
        }
    }

    fn asleep(&self, value: u32) -> Asleep<'_> {
        match self {
            Self::Queue(watched) => watched.view().asleep(value),
            Self::Token(token) => token.asleep(),
        }
    }

    fn pass_on(&self, value: u32) {
        if let Self::Queue(watched) = self {
            watched.view().pass_on(value);
        }
    }

    /// Returns for how many waiters there is something now.
    fn available(&self) -> usize {
        match self {
            // An error is for everybody.
            Self::Queue(watched) => watched.view().available().unwrap_or(usize::MAX),
            Self::Token(token) if token.is_cancelled() => usize::MAX,
            Self::Token(_) => 0,
        }
    }

    /// Looks after the dead, and checks that the queue is there. What is wrong is for the waiters.
    fn look_around(&self, now: Instant) -> Result<(), Fault> {
        self.view().map_or(Ok(()), |view| {
            view.look_after_the_dead(now)?;
            view.is_there()
        })
    }

    /// Returns the token that ends the waits of the endpoint.
    fn token(&self) -> Option<&CancelToken> {
        match self {
            Self::Queue(watched) => watched.token(),
            Self::Token(_) => None,
        }
    }
}

/// What is done when an alarm goes off.
#[derive(Debug)]
enum Sound {
    Event(EventFd),
    #[cfg(feature = "async")]
    Task(Mutex<Option<Waker>>),
}

/// The part of an alarm that the thread has, too.
#[derive(Debug)]
struct Entry {
    subject: Subject,
    sound: Sound,
    /// It has gone off, and nobody has tried yet what it is for. Changed under the registry's lock.
    rang: AtomicBool,
}

impl Entry {
    /// Notes that it goes off. Under the registry's lock.
    fn has_rung(&self) {
        self.rang.store(true, Ordering::SeqCst);
    }

    /// Tells the descriptor or task that waits. This must not happen under the registry's lock.
    fn sound(&self) {
        match &self.sound {
            Sound::Event(event) => event.set(),
            #[cfg(feature = "async")]
            Sound::Task(waker) => {
                let waker = waker.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
        }
    }
}

/// An interest that can be armed. Dropping it while it is armed, or after it has gone off, passes
/// its wake-up on.
#[derive(Debug)]
pub(super) struct Alarm {
    entry: Arc<Entry>,
    /// The process that made it.
    process: u32,
}

impl Alarm {
    /// An alarm that makes a descriptor readable.
    pub(super) fn with_event(subject: Subject) -> Result<Self> {
        let event = EventFd::new().map_err(|error| os("cannot make an eventfd", error.into()))?;
        Ok(Self::new(subject, Sound::Event(event)))
    }

    /// An alarm that wakes a task.
    #[cfg(feature = "async")]
    pub(super) fn with_waker(subject: Subject) -> Self {
        Self::new(subject, Sound::Task(Mutex::new(None)))
    }

    fn new(subject: Subject, sound: Sound) -> Self {
        Self {
            entry: Arc::new(Entry {
                subject,
                sound,
                rang: AtomicBool::new(false),
            }),
            process: std::process::id(),
        }
    }

    fn is_forked(&self) -> bool {
        self.process != std::process::id()
    }

    /// Returns the descriptor.
    ///
    /// # Panics
    /// It has none.
    pub(super) fn event(&self) -> &EventFd {
        match &self.entry.sound {
            Sound::Event(event) => event,
            #[cfg(feature = "async")]
            Sound::Task(_) => unreachable!("made with a waker"),
        }
    }

    /// Notes which task is woken.
    #[cfg(feature = "async")]
    pub(super) fn set_waker(&self, waker: &Waker) {
        if let Sound::Task(place) = &self.entry.sound {
            let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
            match &*place {
                Some(known) if known.will_wake(waker) => {}
                _ => *place = Some(waker.clone()),
            }
        }
    }

    /// Arms it. Returns true if there is something now; then it is not armed. Otherwise it goes off
    /// when there is. A token that was cancelled is an error, as is a queue that is gone.
    pub(super) fn arm(&self) -> Result<bool> {
        if self.is_forked() {
            return Err(self.forked());
        }
        self.disarm();
        match &self.entry.sound {
            Sound::Event(event) => event.reset(),
            #[cfg(feature = "async")]
            Sound::Task(_) => {}
        }
        let subject = &self.entry.subject;
        if subject.available() > 0 {
            if let Some(view) = subject.view() {
                view.is_ready()?;
            }
            return Ok(true);
        }
        if subject.token().is_some_and(CancelToken::is_cancelled) {
            return Err(GetError::Cancelled.into());
        }
        if let Some(view) = subject.view() {
            view.is_there()?;
        }
        let registry = registry();
        if registry.arm(&self.entry)? && subject.available() > 0 {
            // The word was registered before, and so the thread looks only when it changes.
            registry.disarm(&self.entry);
            self.entry.rang.store(false, Ordering::SeqCst);
            return Ok(true);
        }
        Ok(false)
    }

    /// Returns whether it is armed: it has not gone off and will.
    #[cfg(feature = "async")]
    pub(super) fn is_armed(&self) -> bool {
        !self.is_forked() && registry().is_armed(&self.entry)
    }

    /// Disarms it. What it was for is being tried, so no wake-up is passed on.
    pub(super) fn disarm(&self) {
        registry().disarm(&self.entry);
        self.entry.rang.store(false, Ordering::SeqCst);
    }

    fn forked(&self) -> Error {
        match &self.entry.subject {
            Subject::Queue(watched) => match watched.view().is_ready() {
                Err(fault) => fault.into(),
                Ok(_) => Error::other(ErrorKind::Forked, watched.name(), FORKED),
            },
            Subject::Token(_) => Error::other(ErrorKind::Forked, "", FORKED),
        }
    }
}

const FORKED: &str =
    "this descriptor was made before a fork, and belongs to the parent: make another one";

fn os(what: &str, error: io::Error) -> Error {
    let text = format!("{what}: {error}");
    Error::with_source(Reason::Other(ErrorKind::Os, "".into(), text), error)
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if self.is_forked() {
            return;
        }
        registry().disarm(&self.entry);
        if self.entry.rang.load(Ordering::SeqCst) {
            if let Some(view) = self.entry.subject.view() {
                view.wake_another();
            }
        }
    }
}
