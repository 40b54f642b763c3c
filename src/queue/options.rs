//! How a queue is made, and how one attaches. Plain values.

use super::{Attach, Control};
use crate::error::OpenError;
use crate::layout::{Geometry, MAX_ALIGN, flags};
use crate::ring::seat::Record;
use crate::ring::slot::Shape;
use crate::segment::{Place, Spec, check_type_name};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// What happens to the item that a killed consumer had in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Delivery {
    /// It is counted as lost.
    #[default]
    AtMostOnce,
    /// Another consumer gets it.
    AtLeastOnce,
}

/// The state of a queue and of those who work on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// put and get answer `Stopped`.
    Stopped = 1,
    /// The usual.
    Started = 2,
    /// put answers `Stopped`; get goes on until the queue is empty, then answers `Stopped`. By then every item whose put answered `Ok` was got, and under at-least-once acknowledged: an
    /// item that another has in hand may come back, so gets wait for it.
    StopAtQueueEnd = 3,
}

impl State {
    pub(super) fn from_word(word: u32) -> Self {
        match word {
            2 => Self::Started,
            3 => Self::StopAtQueueEnd,
            _ => Self::Stopped,
        }
    }

    pub(super) fn may_become(self, to: Self) -> bool {
        use State::{Started, StopAtQueueEnd, Stopped};
        matches!((self, to), (Stopped, Started) | (Started, Stopped | StopAtQueueEnd) | (StopAtQueueEnd, Stopped))
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
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Stopped, Self::Started, Self::StopAtQueueEnd]
            .into_iter()
            .find(|state| state.to_string() == text)
            .ok_or_else(|| format!("'{text}' is no state: use stopped, started or stop_at_queue_end"))
    }
}

/// How a queue is created.
#[derive(Debug, Clone)]
pub struct Options {
    capacity: u32,
    seats: u32,
    item_size: Option<usize>,
    align: u32,
    lossy: bool,
    ready: bool,
    mode: u32,
    delivery: Delivery,
    batch: u32,
    max_deliveries: u8,
    dead_letter: String,
    owned: bool,
    attach: Attach,
}

impl Options {
    /// A queue of `capacity` items, at least 1: 64 seats, ready, not lossy, at most once, mode 0600.
    pub fn new(capacity: u32) -> Self {
        Self {
            capacity,
            seats: 64,
            item_size: None,
            align: 8,
            lossy: false,
            ready: true,
            mode: 0o600,
            delivery: Delivery::AtMostOnce,
            batch: 1,
            max_deliveries: 0,
            dead_letter: String::new(),
            owned: false,
            attach: Attach::new(),
        }
    }
    /// A put on the full queue drops the oldest item and never waits.
    pub fn lossy(mut self, lossy: bool) -> Self {
        self.lossy = lossy;
        self
    }
    /// Endpoints that can be attached at once, 1 to 1023.
    pub fn seats(mut self, seats: u32) -> Self {
        self.seats = seats;
        self
    }
    /// Longest item in bytes, for queues of bytes.
    pub fn item_size(mut self, bytes: usize) -> Self {
        self.item_size = Some(bytes);
        self
    }
    /// Alignment of items in bytes, for queues of bytes: a power of two up to 4096.
    pub fn align(mut self, bytes: u32) -> Self {
        self.align = bytes;
        self
    }
    /// Permission bits of the file. Whoever may write it is trusted as the program's own code is: with bytes written past this
    /// library two endpoints can be made to use the same memory at once, which is undefined behaviour. So give write permission only to those
    /// who may run code in your process too. Whoever may only read it can block seats with read locks.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }
    /// What happens to items in the hands of killed consumers.
    pub fn delivery(mut self, delivery: Delivery) -> Self {
        self.delivery = delivery;
        self
    }
    /// Whether the queue begins ready.
    pub fn ready(mut self, ready: bool) -> Self {
        self.ready = ready;
        self
    }
    /// Blocks that hold up to so many items (1 to 65,535) of a plain type, see [`ReadyQueue::put_batch`](crate::ReadyQueue::put_batch). The capacity is then in blocks: a put of a
    /// single item takes a whole one. A single get keeps the rest of its block in hand: under at-most-once an endpoint that ends before it has got them all loses them, counted.
    pub fn batch(mut self, items: u32) -> Self {
        self.batch = items;
        self
    }
    /// An item that was delivered so often (1 to 255) and given back, or left by a consumer that died, goes to the [`dead_letter`](Self::dead_letter) queue. At-least-once and
    /// without batches only.
    pub fn max_deliveries(mut self, times: u8) -> Self {
        self.max_deliveries = times;
        self
    }
    /// Name of the queue, in the same directory, that takes the items which nobody could work on. It has to be there when this one is created, and its items must be long
    /// enough. While it is full or gone, such items are delivered once more instead.
    pub fn dead_letter(mut self, name: impl Into<String>) -> Self {
        self.dead_letter = name.into();
        self
    }
    /// Makes a queue that is to go with its owner, instead of one that lasts until it is removed. Set by
    /// workers' segments and unnamed queues only. The owner is the handle that creates it, for as long as
    /// it lives, or whoever [supervises](Control::supervise) it as its owner. Once the owner is gone and
    /// nobody is attached the queue is stale: see [`Control::remove_if_stale`].
    pub fn owned(mut self, owned: bool) -> Self {
        self.owned = owned;
        self
    }
    /// Another directory than `PRODCON_DIR` or `/dev/shm`.
    pub fn directory(mut self, dir: impl Into<PathBuf>) -> Self {
        self.attach = self.attach.directory(dir);
        self
    }
    /// How long the creating endpoint spins before it sleeps.
    pub fn spin(mut self, limit: Duration) -> Self {
        self.attach = self.attach.spin(limit);
        self
    }
    /// How the creating endpoint attaches: role, items in hand, limit on spinning, directory.
    pub fn attach_as(mut self, attach: Attach) -> Self {
        self.attach = attach;
        self
    }

    pub(super) fn place(&self, name: &str) -> Result<Place, OpenError> {
        self.attach.place(name)
    }

    pub(super) fn attach(&self) -> Attach {
        self.attach.clone()
    }

    /// The dead-letter queue, checked: it is there and takes items of so many bytes.
    fn check_dead_letter(&self, queue: &str, size: usize) -> Result<(), OpenError> {
        let invalid = |what: String| Err(OpenError::Invalid { queue: queue.into(), what });
        match (self.max_deliveries, self.dead_letter.as_str()) {
            (0, "") => return Ok(()),
            (0, name) => return invalid(format!("dead letters for '{name}' need max_deliveries, 1 to 255")),
            (_, "") => return invalid("max_deliveries needs a dead_letter queue".into()),
            _ if self.delivery != Delivery::AtLeastOnce => {
                return invalid("dead letters need at-least-once delivery: otherwise nothing is delivered twice".into());
            }
            _ if self.batch > 1 => return invalid("dead letters need a batch of 1: a block counts its deliveries, not those of each item in it".into()),
            (_, name) if name == queue => return invalid("it cannot be its own dead-letter queue".into()),
            _ => {}
        }
        let place = self.attach.place(&self.dead_letter)?;
        let letters = Control::attach_in(&place.dir, &self.dead_letter)?;
        let (longest, typed) = (letters.item_size(), !letters.header().type_name.is_empty());
        if longest < size || typed && longest != size {
            return invalid(format!(
                "its items of {size} bytes do not fit the dead-letter queue '{}', which takes {longest}",
                self.dead_letter
            ));
        }
        Ok(())
    }

    pub(super) fn spec(&self, queue: &str, plain: Option<(String, usize, usize)>) -> Result<Spec, OpenError> {
        let invalid = |what: String| OpenError::Invalid { queue: queue.into(), what };
        let (type_name, size, align) = match plain {
            Some((name, size, align)) => {
                check_type_name(&self.place(queue)?, &name)?;
                if align as u64 > MAX_ALIGN {
                    return Err(invalid(format!("the type's alignment of {align} is more than {MAX_ALIGN}")));
                }
                (Some(name), size, align as u32)
            }
            None => (
                None,
                self.item_size.ok_or_else(|| invalid("a queue of bytes needs an item size".into()))?,
                self.align,
            ),
        };
        let flags = [
            (self.lossy, flags::LOSSY),
            (self.delivery == Delivery::AtLeastOnce, flags::AT_LEAST_ONCE),
            (self.owned, flags::OWNED),
        ];
        let flags = flags.into_iter().filter(|(set, _)| *set).fold(0, |all, (_, flag)| all | flag);
        if self.batch > 1 && type_name.is_none() {
            return Err(invalid("batches need a plain type: items of bytes have lengths of their own".into()));
        }
        let geometry = Geometry::new(self.capacity, self.seats, size as u64, align, self.batch).map_err(invalid)?;
        self.check_dead_letter(queue, size)?;
        Ok(Spec {
            geometry,
            flags,
            type_name,
            max_deliveries: self.max_deliveries,
            dead_letter: self.dead_letter.clone(),
            layout: 0,
            mode: self.mode,
            ready: self.ready,
            // Slots have the first blocks, seats the others; everything is at rest.
            slot: |g, index| Shape::new(g.capacity, g.seats).pack(0, index),
            record: |g, index| Record::at_rest(g.capacity + index).pack(),
        })
    }
}
