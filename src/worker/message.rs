//! Results and messages: bytes through the rings `W.results`, `W.in` and `W.out`, and what a worker
//! says of itself among its results.
//!
//! Owns the framing. A result or message is exactly its bytes, so that `prodcon get W.results` and
//! `prodcon put W.in` work. Invariant: what the library itself sends among the results begins with
//! [`MARK`]. A result that begins with it too is sent behind the mark, so that neither is taken for
//! the other.

use crate::error::{Error, ErrorKind, PutError, Result, Worker};
use crate::queue::{Item, ReadyQueue};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// Begins what is not a plain result.
const MARK: &[u8] = b"\0prodcon ";

/// The shortest longest result: what is sent here has to fit, or its beginning would be taken for a
/// result. "failed", a process and some of the text.
pub(crate) const SHORTEST: usize = 64;

/// What is sent among results.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Packet {
    /// A result.
    Result(Vec<u8>),
    /// This process has attached.
    Attached(u32),
    /// This process has failed, and why.
    Failed(u32, String),
    /// This process has done its work, and ends. Said only where nobody can see how it ends.
    Ended(u32),
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

    /// Writes it as bytes, at most `max` of them. A longer text is cut.
    pub(crate) fn encode(&self, max: usize) -> Vec<u8> {
        let mut bytes = match self {
            Self::Result(bytes) => return Self::result(bytes).into_owned(),
            Self::Attached(pid) => [MARK, format!("attached {pid}").as_bytes()].concat(),
            Self::Ended(pid) => [MARK, format!("ended {pid}").as_bytes()].concat(),
            Self::Failed(pid, text) => [MARK, format!("failed {pid} {text}").as_bytes()].concat(),
        };
        bytes.truncate(max);
        bytes
    }

    pub(crate) fn decode(bytes: Vec<u8>) -> Self {
        let Some(rest) = bytes.strip_prefix(MARK) else {
            return Self::Result(bytes);
        };
        if let Some(result) = rest.strip_prefix(b"result ") {
            return Self::Result(result.to_vec());
        }
        let text = String::from_utf8_lossy(rest);
        let mut words = text.splitn(3, ' ');
        let pid = |word: Option<&str>| word.and_then(|word| word.parse().ok());
        match (words.next(), pid(words.next()), words.next()) {
            (Some("attached"), Some(pid), None) => Self::Attached(pid),
            (Some("ended"), Some(pid), None) => Self::Ended(pid),
            (Some("failed"), Some(pid), Some(why)) => Self::Failed(pid, why.into()),
            _ => Self::Result(bytes), // nobody of ours sent that
        }
    }
}

/// A result or a message that arrived.
///
/// ```no_run
/// # use prodcon::worker::{Producer, ProducerOptions};
/// let mut sampler = Producer::create("sampler", &ProducerOptions::new())?;
/// sampler.on_message_ready(|message| match message.text() {
///     Ok(text) => println!("the sampler says: {text}"),
///     Err(error) => eprintln!("{error}"),
/// });
/// # Ok::<(), prodcon::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub(crate) queue: Arc<str>,
    pub(crate) bytes: Vec<u8>,
}

impl Message {
    /// Returns it as it was sent.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns it as it was sent.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Returns it as text.
    ///
    /// # Errors
    /// Returns `Encoding` if it is not UTF-8.
    pub fn text(&self) -> Result<&str> {
        std::str::from_utf8(&self.bytes)
            .map_err(|error| self.error(format!("no UTF-8 text ({error})")))
    }

    /// Returns it as a plain value, which was sent as its bytes (`bytemuck::bytes_of(&value)`).
    ///
    /// # Errors
    /// Returns `Encoding` if it has another length.
    pub fn item<T: Item>(&self) -> Result<T> {
        bytemuck::try_pod_read_unaligned(&self.bytes).map_err(|_| {
            self.error(format!(
                "{} bytes, expected the {} of {}",
                self.bytes.len(),
                size_of::<T>(),
                T::type_name()
            ))
        })
    }

    /// Returns it as any serde type, of which it was made with [`encode`].
    ///
    /// # Errors
    /// Returns `Encoding` if it is no encoding of that type.
    #[cfg(feature = "serde")]
    pub fn decode<'a, T: serde::Deserialize<'a>>(&'a self) -> Result<T> {
        postcard::from_bytes(&self.bytes).map_err(|error| {
            self.error(format!(
                "{} bytes that do not decode ({error})",
                self.bytes.len()
            ))
        })
    }

    fn error(&self, what: String) -> Error {
        let queue = self.queue.clone();
        Worker::Decode { queue, what }.into()
    }
}

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Encodes any serde value (postcard), to be sent as a result or message and read with
/// [`Message::decode`].
///
/// # Errors
/// Returns `Encoding` if the value refuses to be serialized.
///
/// ```
/// let bytes = prodcon::worker::encode(&("peak", 21.5_f64))?;
/// assert!(!bytes.is_empty());
/// # Ok::<(), prodcon::Error>(())
/// ```
#[cfg(feature = "serde")]
pub fn encode<T: serde::Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
    postcard::to_allocvec(value).map_err(|error| {
        Worker::Encode {
            what: error.to_string(),
        }
        .into()
    })
}

/// Between two questions of a sender that waits.
const ASK: Duration = Duration::from_millis(100);

/// Between two tries of a worker that ends and sends its last words.
const POLL: Duration = Duration::from_millis(2);

/// What a full ring means to a sender.
pub(crate) enum WhenFull {
    /// Wait a little, and ask again.
    Wait,
    /// Drop the oldest.
    DropOldest,
    /// Give up.
    GiveUp(PutError),
}

/// Sends bytes into a ring. While it is full asks what to do: at once, when the worker has to end,
/// and now and then. `option` raises the ring's item size. Returns false if nobody can ever read
/// it.
pub(crate) fn send(
    queue: &mut ReadyQueue<[u8]>,
    bytes: &[u8],
    option: &'static str,
    mut when_full: impl FnMut() -> WhenFull,
) -> Result<bool, PutError> {
    let mut result = queue.try_put(bytes);
    while matches!(result, Err(PutError::Full | PutError::TimedOut)) {
        result = match when_full() {
            WhenFull::Wait => queue.within(ASK).put(bytes),
            WhenFull::DropOldest => queue.force_put(bytes),
            WhenFull::GiveUp(error) => return Err(error),
        };
        if matches!(result, Err(PutError::Cancelled)) {
            // Its last words still wait a little.
            std::thread::sleep(POLL);
            result = queue.try_put(bytes);
        }
    }
    match result {
        Ok(()) => Ok(true),
        // The reader has ended, or its ring has.
        Err(PutError::Stopped | PutError::NotReady) => Ok(false),
        Err(error) if error.kind() == ErrorKind::Removed => Ok(false),
        Err(error) if error.kind() == ErrorKind::TooLarge => Err(Error::from(Worker::TooLarge {
            queue: queue.name().into(),
            len: bytes.len(),
            max: queue.item_size(),
            option,
        })
        .into()),
        Err(error) => Err(error),
    }
}
