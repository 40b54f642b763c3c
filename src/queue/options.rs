//! Options: how a queue is created, and how an endpoint attaches to one. They are plain values, and
//! are checked where they are used.

use super::backoff::MAX_SLEEP;
use super::cancel::CancelToken;
use super::item::Plain;
use crate::error::{Difference, Error, GetError, OpenError};
use crate::layout::{Geometry, MAX_ALIGN, flags};
use crate::ring::seat::Record;
use crate::ring::slot::Shape;
use crate::segment::{Place, QueueInfo, Segment, Spec, check_type_name};
use crate::state::Role;
use crate::sync::pair;
use crate::sys::directory::DirectoryWatch;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The number of seats if the creator did not set one.
const DEFAULT_SEATS: u32 = 64;
/// The alignment of items of a queue of bytes if the creator did not set one.
const DEFAULT_ALIGN: u32 = 8;

/// How often a wait for a queue looks at its token: a sleep on a directory cannot be on a futex
/// too.
const CANCEL_LOOK: Duration = Duration::from_millis(10);

/// How a queue is created. All its endpoints share these options, which stand in the queue's
/// header.
///
/// ```
/// # use prodcon::{QueueOptions, ReadyQueue};
/// # let name = prodcon::bindings::TestName::new();
/// let options = QueueOptions::new(256).item_size(1500).lossy(true);
/// let mut packets = ReadyQueue::<[u8]>::create(&name, &options)?;
/// packets.put(b"hello")?;
/// # Ok::<(), prodcon::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "options do nothing until a queue is created with them"]
pub struct QueueOptions {
    capacity: u32,
    seats: Option<u32>,
    item_size: Option<usize>,
    align: Option<u32>,
    lossy: bool,
    ready: bool,
    owned: bool,
    mode: u32,
    at_least_once: bool,
    batch: u32,
    copy_in_slot: bool,
    dead_letter: Option<(String, u8)>,
    attach: AttachOptions,
}

impl QueueOptions {
    /// Describes a queue of `capacity` items, at least 1. Unless told otherwise it is ready, not
    /// lossy and at-most-once, and has 64 seats and mode 0600.
    ///
    /// ```
    /// let options = prodcon::QueueOptions::new(1024);
    /// ```
    pub fn new(capacity: u32) -> Self {
        Self {
            capacity,
            seats: None,
            item_size: None,
            align: None,
            lossy: false,
            ready: true,
            owned: false,
            mode: 0o600,
            at_least_once: false,
            batch: 1,
            copy_in_slot: true,
            dead_letter: None,
            attach: AttachOptions::new(),
        }
    }

    /// Sets the longest item in bytes. Queues of bytes need it; others take their type's size.
    ///
    /// ```
    /// let options = prodcon::QueueOptions::new(64).item_size(4096);
    /// ```
    pub fn item_size(mut self, bytes: usize) -> Self {
        self.item_size = Some(bytes);
        self
    }

    /// Sets the alignment of items in bytes, for queues of bytes: a power of two up to 4096. The
    /// default is 8.
    ///
    /// ```
    /// let options = prodcon::QueueOptions::new(64).item_size(4096).align(64);
    /// ```
    pub fn align(mut self, bytes: u32) -> Self {
        self.align = Some(bytes);
        self
    }

    /// Chooses whether a put on the full queue drops the oldest item, counted as dropped. Such a
    /// put never waits.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut newest = ReadyQueue::<u64>::create(&name, &QueueOptions::new(2).lossy(true))?;
    /// for reading in 1..=5 {
    ///     newest.put(&reading)?;
    /// }
    /// assert_eq!(newest.get()?, 4);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn lossy(mut self, on: bool) -> Self {
        self.lossy = on;
        self
    }

    /// Chooses what happens to the items that a killed consumer was holding: they are delivered
    /// again (`true`), or they are counted as lost (`false`, the default).
    ///
    /// An item that its consumers always fail on is delivered again at once, forever: set
    /// [`dead_letter`](Self::dead_letter) too.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let options = QueueOptions::new(64).at_least_once(true);
    /// let mut jobs = ReadyQueue::<u64>::create(&name, &options)?;
    /// jobs.put(&1)?;
    /// drop(jobs.take()?); // not acknowledged: the item goes back
    /// let job = jobs.take()?;
    /// assert_eq!(job.delivery_count(), 2);
    /// job.ack();
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn at_least_once(mut self, on: bool) -> Self {
        self.at_least_once = on;
        self
    }

    /// Names the queue that takes the items which were delivered `max_deliveries` times (1 to 255)
    /// without being acknowledged.
    ///
    /// It has to exist in the same directory when this queue is created, and its items must be
    /// long enough. For a queue of bytes it is a queue of bytes. While it is full or gone, such items
    /// are delivered once more instead. Only for at-least-once queues without batches.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let (name, failed_name) = (prodcon::bindings::TestName::new(), prodcon::bindings::TestName::new());
    /// let mut failed = ReadyQueue::<u64>::create(&failed_name, &QueueOptions::new(8))?;
    /// let options = QueueOptions::new(64).at_least_once(true).dead_letter(failed_name.to_string(), 1);
    /// let mut jobs = ReadyQueue::<u64>::create(&name, &options)?;
    /// jobs.put(&13)?;
    /// drop(jobs.take()?); // its one delivery failed
    /// assert!(jobs.try_take().is_err());
    /// assert_eq!(failed.get()?, 13);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn dead_letter(mut self, queue: impl Into<String>, max_deliveries: u8) -> Self {
        self.dead_letter = Some((queue.into(), max_deliveries));
        self
    }

    /// Sets how many items of a plain type a block holds, 1 to 65,535. One exchange moves a whole
    /// block, see [`ReadyQueue::put_slice`](crate::ReadyQueue::put_slice).
    ///
    /// The capacity then counts blocks, and a put of a single item takes a whole one. A single get
    /// keeps the rest of its block in hand. Under at-most-once an endpoint that ends before it has
    /// got them all loses them, counted.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut samples = ReadyQueue::<f32>::create(&name, &QueueOptions::new(64).batch(256))?;
    /// samples.put_slice(&[0.5; 256])?; // one exchange
    /// assert_eq!(samples.take_many(256)?.len(), 256);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn batch(mut self, items: u32) -> Self {
        self.batch = items;
        self
    }

    /// Chooses whether each slot of the ring has a copy of its item, where items are of a plain
    /// type of at most 8 bytes and `batch` is 1. Elsewhere it changes nothing, nor where the
    /// processor cannot exchange 16 bytes at once. [`QueueInfo::copy_in_slot`](crate::QueueInfo)
    /// says what the queue has.
    ///
    /// A [`get`](crate::ReadyQueue::get) then needs one cache line of the queue instead of two. The
    /// price is 8 bytes more for each slot, and a slower [`take`](crate::ReadyQueue::take): decline
    /// it where items are taken in place.
    ///
    /// ```
    /// # use prodcon::{Control, QueueOptions};
    /// # let name = prodcon::bindings::TestName::new();
    /// let options = QueueOptions::new(64).copy_in_slot(false);
    /// let control = Control::create::<u64>(&name, &options)?;
    /// assert!(!control.info().copy_in_slot);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn copy_in_slot(mut self, on: bool) -> Self {
        self.copy_in_slot = on;
        self
    }

    /// Sets the number of seats, 1 to 1023: how many endpoints can be attached at once. An
    /// endpoint with several items in hand takes one more for each.
    ///
    /// ```
    /// let options = prodcon::QueueOptions::new(1024).seats(200);
    /// ```
    pub fn seats(mut self, n: u32) -> Self {
        self.seats = Some(n);
        self
    }

    /// Chooses whether the queue begins ready. While it is not, puts answer `NotReady`.
    ///
    /// ```
    /// # use prodcon::{PutError, QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(8).ready(false))?;
    /// assert!(matches!(queue.put(&1), Err(PutError::NotReady)));
    /// queue.set_ready()?;
    /// queue.put(&1)?;
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn ready(mut self, on: bool) -> Self {
        self.ready = on;
        self
    }

    /// Sets the permission bits of the queue's file, whatever the umask. The default is 0600.
    ///
    /// A process that may write the file is trusted as the program's own code is: with bytes
    /// written past this library it can make two endpoints use the same memory at once, which is
    /// undefined behaviour, and by truncating the file it can cause SIGBUS. Give write permission
    /// only to users who may run code in your process too. A process that may only read the file
    /// can look at the figures, and can keep seats occupied with read locks.
    ///
    /// Other bits than those of 0777 are refused with `InvalidOption` when the queue is created.
    ///
    /// ```
    /// let options = prodcon::QueueOptions::new(1024).mode(0o660);
    /// ```
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Sets how the creating endpoint attaches: its role, its items in hand, its directory.
    ///
    /// ```
    /// use prodcon::{AttachOptions, QueueOptions, Role};
    ///
    /// let options = QueueOptions::new(64).attach(AttachOptions::new().role(Role::Producer));
    /// ```
    pub fn attach(mut self, how: AttachOptions) -> Self {
        self.attach = how;
        self
    }

    /// Makes a queue that goes with its owner, instead of one that lasts until it is removed. This
    /// is only for workers' segments and unnamed queues. The owner is the handle that creates it,
    /// for as long as it lives, or the process that supervises the worker. Once the owner is gone
    /// and no process is attached, the queue is stale: see
    /// [`Control::remove_if_stale`](crate::Control::remove_if_stale).
    ///
    /// ```
    /// # use prodcon::{Control, QueueOptions};
    /// # let name = prodcon::bindings::TestName::new();
    /// let control = Control::create::<u64>(&name, &QueueOptions::new(8).owned(true))?;
    /// assert!(control.is_owned());
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn owned(mut self, owned: bool) -> Self {
        self.owned = owned;
        self
    }

    pub(super) fn place(&self, name: &str) -> Result<Place, OpenError> {
        self.attach.place(name)
    }

    pub(super) fn attach_options(&self) -> &AttachOptions {
        &self.attach
    }

    /// Checks the dead-letter queue: it exists and takes items of this many bytes.
    fn check_dead_letter(&self, queue: &str, size: usize, plain: bool) -> Result<(), Error> {
        let invalid = |what: String| {
            Err(OpenError::Invalid {
                queue: queue.into(),
                what,
            }
            .into())
        };
        let name = match &self.dead_letter {
            None => return Ok(()),
            Some((_, 0)) => return invalid("dead letters after 0 deliveries: choose 1 to 255".into()),
            Some(_) if !self.at_least_once => {
                return invalid("dead letters need at_least_once(true): otherwise nothing is delivered twice".into());
            }
            Some(_) if self.batch > 1 => return invalid("dead letters need a batch of 1: a block counts its deliveries, not those of each item in it".into()),
            Some((name, _)) if name == queue => return invalid("it cannot be its own dead-letter queue".into()),
            Some((name, _)) => name,
        };
        let letters = Segment::attach_read_only(self.attach.place(name)?)?
            .header
            .clone();
        let (longest, typed) = (letters.item_size, !letters.type_name.is_empty());
        if longest < size as u64 || typed && longest != size as u64 {
            return invalid(format!(
                "its items of {size} bytes do not fit the dead-letter queue '{name}', which takes {longest}"
            ));
        }
        if typed && !plain {
            return invalid(format!(
                "its items of up to {size} bytes do not fit the dead-letter queue '{name}', whose items all have {longest}: name a queue of bytes"
            ));
        }
        Ok(())
    }

    /// Returns these options with this many seats unless others were set. What a worker's handle
    /// decides is replaced.
    pub(crate) fn for_worker(mut self, seats: u32, mode: u32, dir: Option<&Path>) -> Self {
        self.seats.get_or_insert(seats);
        self.ready = false;
        self.mode = mode;
        self.attach.directory = dir.map(Path::to_owned);
        self
    }

    pub(crate) fn has_seats(&self) -> bool {
        self.seats.is_some()
    }

    pub(crate) fn is_at_least_once(&self) -> bool {
        self.at_least_once
    }

    pub(crate) fn permissions(&self) -> u32 {
        self.mode
    }

    pub(crate) fn dir(&self) -> Option<&Path> {
        self.attach.directory.as_deref()
    }

    pub(super) fn spec(&self, queue: &str, plain: Option<Plain>) -> Result<Spec, Error> {
        let invalid = |what: String| {
            Error::from(OpenError::Invalid {
                queue: queue.into(),
                what,
            })
        };
        if self.mode > 0o777 {
            return Err(invalid(format!(
                "mode {:#o} has other bits than those of permissions: choose 0 to 0o777, and mind that it is octal (0o660, not 660)",
                self.mode
            )));
        }
        let (type_name, layout, size, align) = match plain {
            Some(Plain {
                name,
                size,
                align,
                layout,
            }) => {
                check_type_name(&self.place(queue)?, &name)?;
                if align as u64 > MAX_ALIGN {
                    return Err(invalid(format!(
                        "the type's alignment of {align} is more than {MAX_ALIGN}"
                    )));
                }
                (Some(name.into_owned()), layout, size, align as u32)
            }
            None => {
                let size = self
                    .item_size
                    .ok_or_else(|| invalid("a queue of bytes needs an item_size".into()))?;
                (None, 0, size, self.align.unwrap_or(DEFAULT_ALIGN))
            }
        };
        let flag = |on, flag| if on { flag } else { 0 };
        let flags = flag(self.lossy, flags::LOSSY)
            | flag(self.at_least_once, flags::AT_LEAST_ONCE)
            | flag(self.owned, flags::OWNED);
        if self.batch > 1 && type_name.is_none() {
            return Err(invalid(
                "batches need a plain type: items of bytes have lengths of their own".into(),
            ));
        }
        let seats = self.seats.unwrap_or(DEFAULT_SEATS);
        let geometry =
            Geometry::new(self.capacity, seats, size as u64, align, self.batch).map_err(invalid)?;
        // Of an item that is too long for it, or of several, a slot has none.
        let wished = self.copy_in_slot && type_name.is_some() && pair::is_supported();
        let geometry = if wished {
            geometry.with_copies().unwrap_or(geometry)
        } else {
            geometry
        };
        let flags = flags | flag(geometry.has_copies(), flags::COPY_IN_SLOT);
        self.check_dead_letter(queue, size, type_name.is_some())?;
        let (dead_letter, max_deliveries) = self.dead_letter.clone().unwrap_or_default();
        Ok(Spec {
            geometry,
            flags,
            type_name,
            max_deliveries,
            dead_letter,
            layout,
            mode: self.mode,
            ready: self.ready,
            // Slots have the first blocks and seats the others. Everything is at rest.
            slot: |g, index| Shape::new(g.capacity, g.seats).pack(0, index),
            record: |g, index| Record::at_rest(g.capacity + index).pack(),
        })
    }

    /// Returns in what a queue that exists differs from these options.
    pub(super) fn differences(&self, info: &QueueInfo, plain: Option<&Plain>) -> Vec<Difference> {
        let mut out = vec![];
        let mut compare = |option, wanted: String, found: String| {
            if wanted != found {
                out.push(Difference::new(option, wanted, found));
            }
        };
        let shown = |name: &str| {
            if name.is_empty() {
                "bytes".to_owned()
            } else {
                name.to_owned()
            }
        };
        compare(
            "capacity",
            self.capacity.to_string(),
            info.capacity.to_string(),
        );
        compare(
            "type",
            shown(plain.map_or("", |plain| &plain.name)),
            shown(&info.type_name),
        );
        if let Some(plain) = plain.filter(|plain| plain.layout != 0 && info.layout != 0) {
            compare(
                "layout",
                format!("{:016x}", plain.layout),
                format!("{:016x}", info.layout),
            );
        }
        if let Some(size) = plain.map(|plain| plain.size).or(self.item_size) {
            compare("item_size", size.to_string(), info.item_size.to_string());
        }
        compare("lossy", self.lossy.to_string(), info.lossy.to_string());
        compare(
            "at_least_once",
            self.at_least_once.to_string(),
            info.at_least_once.to_string(),
        );
        compare("batch", self.batch.to_string(), info.batch.to_string());
        let letters = |name: &str, times: u8| {
            if times == 0 {
                "none".into()
            } else {
                format!("'{name}' after {times} deliveries")
            }
        };
        let (name, times) = self
            .dead_letter
            .as_ref()
            .map_or(("", 0), |(name, times)| (name, *times));
        compare(
            "dead_letter",
            letters(name, times),
            letters(&info.dead_letter, info.max_deliveries),
        );
        if let Some(seats) = self.seats {
            compare("seats", seats.to_string(), info.seats.to_string());
        }
        if let Some(align) = self.align {
            // A plain type has its own.
            let align = plain.map_or(align as usize, |plain| plain.align);
            compare("align", align.to_string(), info.item_align.to_string());
        }
        out
    }
}

/// How an endpoint attaches. These options concern this endpoint alone.
///
/// ```
/// use prodcon::{AttachOptions, Role};
///
/// let attach = AttachOptions::new().role(Role::Consumer).max_unacked(16);
/// ```
#[derive(Debug, Clone)]
#[must_use = "options do nothing until an endpoint attaches with them"]
pub struct AttachOptions {
    pub(super) role: Role,
    /// Blocks in hand at once; 0 means not set.
    pub(super) max_unacked: u32,
    min_unacked: Option<u32>,
    pub(super) spin_limit: Duration,
    pub(super) directory: Option<PathBuf>,
    pub(super) cancel: Option<CancelToken>,
    wait_for_queue: Option<Duration>,
}

/// How long an endpoint spins unless told otherwise.
const DEFAULT_SPIN: Duration = Duration::from_micros(20);

impl AttachOptions {
    /// Describes an endpoint in both roles with one seat, which spins for 20 microseconds before it
    /// sleeps, of a queue in `PRODCON_DIR` or `/dev/shm`.
    ///
    /// ```
    /// let attach = prodcon::AttachOptions::new();
    /// ```
    pub fn new() -> Self {
        Self {
            role: Role::Both,
            max_unacked: 0,
            min_unacked: None,
            spin_limit: DEFAULT_SPIN,
            directory: None,
            cancel: None,
            wait_for_queue: None,
        }
    }

    /// Says what the endpoint is for.
    ///
    /// ```
    /// use prodcon::{AttachOptions, Role};
    ///
    /// let attach = AttachOptions::new().role(Role::Producer);
    /// ```
    pub fn role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    /// Lets the endpoint have up to `items` items in hand at once (in queues with batches: blocks),
    /// see [`ReadyQueue::take_many`](crate::ReadyQueue::take_many). It takes one seat more than
    /// that. Attaching fails if fewer are free, unless [`min_unacked`](Self::min_unacked) is lower.
    ///
    /// ```
    /// let attach = prodcon::AttachOptions::new().max_unacked(16);
    /// ```
    pub fn max_unacked(mut self, items: u32) -> Self {
        self.max_unacked = items;
        self
    }

    /// Sets how few items in hand are enough to attach with, if more seats are not free at that
    /// time. The endpoint takes more seats when they become free. The default is `max_unacked`.
    ///
    /// ```
    /// let attach = prodcon::AttachOptions::new().max_unacked(16).min_unacked(1);
    /// ```
    pub fn min_unacked(mut self, items: u32) -> Self {
        self.min_unacked = Some(items);
        self
    }

    /// Sets how long the endpoint spins before it sleeps.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let never = prodcon::AttachOptions::new().spin_limit(Duration::ZERO);
    /// ```
    pub fn spin_limit(mut self, limit: Duration) -> Self {
        self.spin_limit = limit;
        self
    }

    /// Chooses another directory than `PRODCON_DIR` or `/dev/shm`.
    ///
    /// ```
    /// let attach = prodcon::AttachOptions::new().directory("/dev/shm/telemetry");
    /// ```
    pub fn directory(mut self, dir: impl Into<PathBuf>) -> Self {
        self.directory = Some(dir.into());
        self
    }

    /// Lets an attach to a queue that does not exist wait, for at most `timeout`, until it is
    /// created. After that time it fails with `TimedOut`. If its [token](Self::cancel) is
    /// cancelled, it fails with `Cancelled`. A queue appears whole, so nothing unfinished is ever
    /// attached to. A directory that does not exist is an error at once.
    ///
    /// ```
    /// # use prodcon::{AttachOptions, ErrorKind, QueueOptions, ReadyQueue};
    /// # use std::time::Duration;
    /// # let name = prodcon::bindings::TestName::new();
    /// let attach = AttachOptions::new().wait_for_queue(Duration::from_millis(1));
    /// let error = ReadyQueue::<u64>::attach_with(&name, &attach).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// ```
    pub fn wait_for_queue(mut self, timeout: Duration) -> Self {
        self.wait_for_queue = Some(timeout);
        self
    }

    /// Attaches by `attach`; waits until the queue exists, if that was asked for.
    pub(super) fn when_it_exists<R>(
        &self,
        place: &Place,
        mut attach: impl FnMut() -> Result<R, OpenError>,
    ) -> Result<R, Error> {
        let Some(timeout) = self.wait_for_queue else {
            return Ok(attach()?);
        };
        let deadline = Instant::now().checked_add(timeout);
        let mut watch = None;
        loop {
            // Watched first, then looked at: what comes in between ends the wait.
            match attach() {
                Err(OpenError::NotFound { .. }) => {}
                other => return Ok(other?),
            }
            let Some(watch) = &watch else {
                watch = Some(DirectoryWatch::new(&place.dir));
                continue;
            };
            if self.cancel.as_ref().is_some_and(CancelToken::is_cancelled) {
                return Err(GetError::Cancelled.into());
            }
            let left =
                deadline.map_or(MAX_SLEEP, |at| at.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Err(OpenError::NotCreated {
                    queue: place.name.clone(),
                    directory: place.dir.clone(),
                    timeout,
                }
                .into());
            }
            let longest = if self.cancel.is_some() {
                CANCEL_LOOK
            } else {
                MAX_SLEEP
            };
            watch.wait(left.min(longest));
        }
    }

    /// Gives the endpoint a token that ends its waits: they answer `Cancelled` once it is
    /// cancelled.
    ///
    /// ```
    /// # use prodcon::{AttachOptions, CancelToken, GetError, QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let token = CancelToken::new();
    /// let attach = AttachOptions::new().cancel(&token);
    /// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(8).attach(attach))?;
    /// token.cancel();
    /// assert!(matches!(queue.get(), Err(GetError::Cancelled)));
    /// queue.put(&1)?; // need not wait
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn cancel(mut self, token: &CancelToken) -> Self {
        self.cancel = Some(token.clone());
        self
    }

    pub(super) fn place(&self, name: &str) -> Result<Place, OpenError> {
        Place::new(self.directory.as_deref().map(Path::new), name)
    }

    /// Returns the number of seats that the endpoint wants, and the number with which it is
    /// content.
    pub(super) fn seats(&self) -> (u32, u32) {
        let seats = |items: u32| {
            if items <= 1 {
                1
            } else {
                items.saturating_add(1)
            }
        };
        let wanted = if self.max_unacked == 0 {
            1
        } else {
            self.max_unacked.saturating_add(1)
        };
        (
            wanted,
            self.min_unacked
                .map_or(wanted, |items| seats(items).min(wanted)),
        )
    }
}

impl Default for AttachOptions {
    fn default() -> Self {
        Self::new()
    }
}
