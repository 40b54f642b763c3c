//! Results and messages: bytes through the rings `W.results`, `W.in` and `W.out`, and what a worker says of itself among its results.
//!
//! Owns the framing. A result or message is exactly its bytes, so that `prodcon get W.results` and `prodcon put W.in` work. What the library itself sends among
//! the results begins with [`MARK`]; a result that begins so too is sent behind the mark, so that nothing is mistaken. Callers: both sides.

use super::error::{DecodeError, SendError};
use crate::error::{Fault, PutError};
use crate::queue::{Control, Item, ReadyQueue};
use std::borrow::Cow;
use std::sync::Arc;

/// Begins what is not a plain result.
const MARK: &[u8] = b"\0prodcon ";

/// What comes among results.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Packet {
    /// A result.
    Result(Vec<u8>),
    /// This process has attached.
    Attached(u32),
    /// This process has failed, and why.
    Failed(u32, String),
}

impl Packet {
    /// A result as it is sent.
    pub(crate) fn result(bytes: &[u8]) -> Cow<'_, [u8]> {
        if bytes.starts_with(MARK) {
            Cow::Owned([MARK, b"result ", bytes].concat())
        } else {
            Cow::Borrowed(bytes)
        }
    }

    /// As bytes, at most `max`: a text is cut.
    pub(crate) fn encode(&self, max: usize) -> Vec<u8> {
        let mut bytes = match self {
            Self::Result(bytes) => return Self::result(bytes).into_owned(),
            Self::Attached(pid) => [MARK, format!("attached {pid}").as_bytes()].concat(),
            Self::Failed(pid, text) => [MARK, format!("failed {pid} {text}").as_bytes()].concat(),
        };
        bytes.truncate(max);
        bytes
    }

    pub(crate) fn decode(bytes: Vec<u8>) -> Self {
        let Some(rest) = bytes.strip_prefix(MARK) else { return Self::Result(bytes) };
        if let Some(result) = rest.strip_prefix(b"result ") {
            return Self::Result(result.to_vec());
        }
        let text = String::from_utf8_lossy(rest);
        let mut words = text.splitn(3, ' ');
        let pid = |word: Option<&str>| word.and_then(|word| word.parse().ok());
        match (words.next(), pid(words.next()), words.next()) {
            (Some("attached"), Some(pid), None) => Self::Attached(pid),
            (Some("failed"), Some(pid), Some(why)) => Self::Failed(pid, why.into()),
            _ => Self::Result(bytes), // nobody of ours sent that
        }
    }
}

/// A result or a message that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub(crate) queue: Arc<str>,
    pub(crate) bytes: Vec<u8>,
}

impl Received {
    /// As it was sent.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// As it was sent.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// As text.
    ///
    /// # Errors
    /// It is not UTF-8.
    pub fn text(&self) -> Result<&str, DecodeError> {
        std::str::from_utf8(&self.bytes).map_err(|error| self.error(format!("no UTF-8 text ({error})")))
    }

    /// As a plain value.
    ///
    /// # Errors
    /// It has another length.
    pub fn item<T: Item>(&self) -> Result<T, DecodeError> {
        bytemuck::try_pod_read_unaligned(&self.bytes)
            .map_err(|_| self.error(format!("{} bytes, expected the {} of {}", self.bytes.len(), size_of::<T>(), T::type_name())))
    }

    /// As any serde type (postcard).
    ///
    /// # Errors
    /// It is no encoding of that type.
    #[cfg(feature = "serde")]
    pub fn decode<'a, T: serde::Deserialize<'a>>(&'a self) -> Result<T, DecodeError> {
        postcard::from_bytes(&self.bytes).map_err(|error| self.error(format!("{} bytes that do not decode ({error})", self.bytes.len())))
    }

    fn error(&self, what: String) -> DecodeError {
        DecodeError {
            queue: self.queue.clone(),
            what,
        }
    }
}

impl AsRef<[u8]> for Received {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// What a full ring means to a sender that has just waited a little.
pub(crate) enum WhenFull {
    /// Wait on.
    Wait,
    /// Drop the oldest.
    DropOldest,
    /// Give up.
    GiveUp(SendError),
}

/// Sends bytes into a ring. While it is full asks what to do: at once, when the gate or state of `worker` changes, and now and then. `option` raises the ring's item
/// size. Returns false if nobody can ever read it.
pub(crate) fn send(
    queue: &mut ReadyQueue<[u8]>,
    bytes: &[u8],
    option: &'static str,
    worker: &Control,
    mut when_full: impl FnMut() -> WhenFull,
) -> Result<bool, SendError> {
    let mut verdict = WhenFull::Wait;
    let mut result = match queue.try_put(bytes) {
        Err(PutError::Full) => queue.put_while(bytes, None, worker, || {
            verdict = when_full();
            matches!(verdict, WhenFull::Wait)
        }),
        other => other,
    };
    if result == Err(PutError::TimedOut) {
        match verdict {
            WhenFull::GiveUp(error) => return Err(error),
            _ => result = queue.force_put(bytes),
        }
    }
    let name: Arc<str> = queue.name().into();
    match result {
        Ok(()) => Ok(true),
        // The reader has ended, or its ring has.
        Err(PutError::Stopped | PutError::NotReady | PutError::Fault(Fault::Removed { .. })) => Ok(false),
        Err(PutError::TooLarge { len, max, .. }) => Err(SendError::TooLarge { queue: name, len, max, option }),
        Err(PutError::Fault(fault)) => Err(fault.into()),
        Err(other) => Err(SendError::Fault(Fault::Corrupt {
            queue: name,
            what: other.to_string(),
        })),
    }
}
