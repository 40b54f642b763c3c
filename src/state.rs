//! The state of a queue, and what an endpoint is for. Both are plain values that stand in the
//! format.

use std::fmt;
use std::str::FromStr;

/// The state of a queue and of the workers on it.
///
/// Allowed changes: stopped to started, started to stopped or stop at queue end, stop at queue end
/// to stopped. Setting the state that a queue has is always allowed.
///
/// ```
/// use prodcon::State;
///
/// assert_eq!("stop_at_queue_end".parse(), Ok(State::StopAtQueueEnd));
/// assert_eq!(State::Started.to_string(), "started");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum State {
    /// Puts and gets answer `Stopped`. Items stay in the queue.
    Stopped = 1,
    /// Puts and gets work. A new queue is in this state.
    Started = 2,
    /// The stream ends: puts answer `Stopped`, and gets go on until every item whose put answered
    /// `Ok` has been got, and under at-least-once acknowledged. Then they answer `Stopped` too. An
    /// item that another consumer has in hand may come back, so gets wait for it.
    StopAtQueueEnd = 3,
}

impl State {
    /// Reads the word. A damaged one reads as stopped.
    pub(crate) fn from_word(word: u32) -> Self {
        match word {
            2 => Self::Started,
            3 => Self::StopAtQueueEnd,
            _ => Self::Stopped,
        }
    }

    pub(crate) fn may_become(self, to: Self) -> bool {
        use State::{Started, StopAtQueueEnd, Stopped};
        let change = matches!(
            (self, to),
            (Stopped, Started) | (Started, Stopped | StopAtQueueEnd) | (StopAtQueueEnd, Stopped)
        );
        change || self == to
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stopped => "stopped",
            Self::Started => "started",
            Self::StopAtQueueEnd => "stop_at_queue_end",
        })
    }
}

impl FromStr for State {
    type Err = ParseStateError;

    fn from_str(text: &str) -> Result<Self, ParseStateError> {
        [Self::Stopped, Self::Started, Self::StopAtQueueEnd]
            .into_iter()
            .find(|state| state.to_string() == text)
            .ok_or_else(|| ParseStateError(text.into()))
    }
}

/// What an endpoint is for.
///
/// It is shown to people. It matters in one case: when no seat is free, a consumer of an
/// at-least-once queue takes a seat that still carries the item of a dead consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum Role {
    /// It puts.
    Producer = 1,
    /// It gets.
    Consumer = 2,
    /// It does both, or has not said.
    #[default]
    Both = 3,
}

impl Role {
    /// Reads the word. A damaged one reads as both.
    pub(crate) fn from_word(word: u32) -> Self {
        match word {
            1 => Self::Producer,
            2 => Self::Consumer,
            _ => Self::Both,
        }
    }
}

/// A text is not the name of a [`State`](crate::State).
///
/// ```
/// assert!("running".parse::<prodcon::State>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseStateError(pub(crate) String);

impl fmt::Display for ParseStateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "'{}' is no state: use stopped, started or stop_at_queue_end",
            self.0
        )
    }
}

impl std::error::Error for ParseStateError {}
