//! Ends waits from another thread or from a signal handler.
//!
//! A token is one futex word of this process, 0 until it is cancelled and 1 from then on. A wait
//! sleeps on the queue's event word and on this one, in one system call. The kernel compares both
//! words before it sleeps, so a cancel that comes between the last look and the sleep is not lost.
//!
//! Invariant: the word goes from 0 to 1 once and never back.

use crate::error::{Error, ErrorKind, Reason, Result};
use crate::sys::futex::{Asleep, Kernel};
use crate::sys::signal::{self, Refused};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Ends the waits of the endpoints that were attached with it.
///
/// A token is given to an endpoint with [`AttachOptions::cancel`](crate::AttachOptions::cancel).
/// Clones are the same token, so that one token can end the waits of many endpoints. Once it is
/// cancelled it stays cancelled: every wait that is under way and every later one answers
/// `Cancelled`. An operation that need not wait still works, and what does not wait at all, such as
/// [`try_get`](crate::ReadyQueue::try_get), is never cancelled. A loop that always finds an item
/// therefore has to ask [`is_cancelled`](Self::is_cancelled).
///
/// The token belongs to one process. In a forked child it is a token of the child's own.
///
/// To end the stream for every process, use
/// [`Control::set_state`](crate::Control::set_state) instead.
///
/// ```
/// # use prodcon::{AttachOptions, CancelToken, GetError, QueueOptions, ReadyQueue};
/// # let name = prodcon::bindings::TestName::new();
/// let token = CancelToken::new();
/// let attach = AttachOptions::new().cancel(&token);
/// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(8).attach(attach))?;
/// let waiter = std::thread::spawn(move || queue.get());
/// token.cancel();
/// assert!(matches!(waiter.join().unwrap(), Err(GetError::Cancelled)));
/// # Ok::<(), prodcon::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct CancelToken {
    word: Arc<AtomicU32>,
}

impl CancelToken {
    /// Makes a token that is not cancelled.
    ///
    /// ```
    /// assert!(!prodcon::CancelToken::new().is_cancelled());
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancels the token, for good. May be called in a signal handler: it is a store and a system
    /// call that leaves `errno` alone.
    ///
    /// ```
    /// let token = prodcon::CancelToken::new();
    /// token.cancel();
    /// assert!(token.clone().is_cancelled());
    /// ```
    pub fn cancel(&self) {
        Kernel.raise(&self.word);
    }

    /// Returns whether the token was cancelled.
    ///
    /// ```
    /// # let token = prodcon::CancelToken::new();
    /// while !token.is_cancelled() {
    ///     // one step of work
    ///     # token.cancel();
    /// }
    /// ```
    pub fn is_cancelled(&self) -> bool {
        // SeqCst: what was done before the cancel is seen after it.
        self.word.load(Ordering::SeqCst) != 0
    }

    /// Makes a token that the first of these signals cancels. The second one kills the process, as
    /// it does by default: a program that does not end is never stuck. A signal that the process
    /// was started to ignore stays ignored. Tokens for the same signals may be made several times:
    /// one that is made after such a signal came is cancelled. Signals that no token has together do
    /// not count for each other, so a token for SIGHUP leaves one for SIGTERM alone.
    ///
    /// A worker uses [`Context::cancel_token`](crate::worker::Context::cancel_token) instead, which
    /// ends with the worker's state too.
    ///
    /// # Errors
    /// Returns `InvalidOption` if the program has a handler for one of the signals already: then
    /// call [`cancel`](Self::cancel) there. Returns `Os` if a signal cannot have a handler. No
    /// handler was installed then.
    ///
    /// ```no_run
    /// use prodcon::{AttachOptions, CancelToken, ReadyQueue};
    ///
    /// fn main() -> prodcon::Result<()> {
    ///     let stop = CancelToken::on_signals(&[2, 15])?; // SIGINT, SIGTERM
    ///     let attach = AttachOptions::new().cancel(&stop);
    ///     let mut jobs = ReadyQueue::<u64>::attach_with("jobs", &attach)?;
    ///     for job in &mut jobs {
    ///         println!("job {}", job?);
    ///     }
    ///     Ok(()) // the stream has ended, or a signal came
    /// }
    /// ```
    pub fn on_signals(signals: &[i32]) -> Result<Self> {
        let token = Self::new();
        signal::raise_on(signals, &token.word).map_err(refused)?;
        Ok(token)
    }

    /// Lets SIGINT and SIGTERM cancel the token, beside whatever handlers the program has.
    #[cfg(feature = "signals")]
    pub(crate) fn cancel_on_end(&self) -> Result<()> {
        signal::raise_on_end(&self.word).map_err(refused)
    }

    /// Returns the word and the value that it has until the cancel.
    pub(super) fn asleep(&self) -> Asleep<'_> {
        Asleep::private(&self.word, 0)
    }

    /// Returns a number that no other token has as long as this one lives.
    pub(super) fn number(&self) -> u64 {
        Arc::as_ptr(&self.word) as u64
    }

    /// Returns whether both are one token.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.word, &other.word)
    }
}

fn refused(refused: Refused) -> Error {
    match refused {
        Refused::Handled(signal) => {
            let text = format!(
                "signal {signal} has a handler of the program's already: call cancel() of a token there"
            );
            Error::other(ErrorKind::InvalidOption, "", text)
        }
        Refused::Os(signal, error) => {
            let text = format!("signal {signal} cannot have a handler: {error}");
            Error::with_source(Reason::Other(ErrorKind::Os, "".into(), text), error)
        }
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelToken")
            .field("is_cancelled", &self.is_cancelled())
            .finish()
    }
}
