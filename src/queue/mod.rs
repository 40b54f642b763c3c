//! Queues over segments: the endpoint, its guards, and the handle without a seat.
//!
//! [`ReadyQueue`] is the public endpoint and says what can be done. [`endpoint::Endpoint`] is the
//! same without the type. `put` and `get` move items. `delivery`, `batch` and `reservation` show
//! them in place. `in_hand` settles what is in hand, `adopt` looks after the dead, `wait` waits,
//! `interest` and `select` wait for several queues, `cancel` ends waits, and `own` touches the bytes
//! of blocks. `control` needs no seat.
//!
//! Files name each other in one direction only. What two of them need has a file of its own, such
//! as `care`, `elements` and `loans`.
//!
//! An item goes from `put` through `own` to `ring::put`, and comes back through `ring::take` and
//! `own` to `get`.
//!
//! Invariants: an endpoint is used by one thread at a time (`Send`, not `Sync`). A seat with items
//! in hand never exchanges. A forked copy touches nothing.

mod adopt;
#[cfg(feature = "async")]
mod asynchronous;
mod attach;
mod backoff;
mod batch;
pub mod bindings;
mod cancel;
mod care;
mod claims;
#[cfg(all(test, not(loom)))]
mod claims_measured;
mod clock;
mod control;
mod dead_letter;
mod delivery;
mod due;
mod elements;
mod endpoint;
mod get;
mod held;
mod identity;
mod in_hand;
mod interest;
mod item;
mod latest;
mod loans;
mod memory;
mod options;
mod own;
mod owned;
mod put;
mod ready_fd;
mod ready_queue;
mod reservation;
mod seat_set;
mod select;
mod stats;
mod supervise;
mod wait;
mod waiter;
mod within;
mod work;

#[cfg(feature = "async")]
pub use asynchronous::{Async, ItemStream};
pub use batch::{Batch, BatchIter};
pub use cancel::CancelToken;
pub use control::Control;
pub use delivery::Delivery;
pub use identity::ItemId;
pub use interest::Interest;
pub use item::{Item, Payload, item_layout};
pub use options::{AttachOptions, QueueOptions};
pub use owned::OwnedDelivery;
pub use ready_fd::ReadyFd;
pub use ready_queue::{Iter, ReadyQueue};
pub use reservation::{CommitError, Reservation};
pub use select::select;
pub use stats::{Recovery, Report, SeatInfo, Stats};
pub(crate) use supervise::Supervision;
pub use within::Within;

use crate::error::Result;
use crate::segment::{
    ListEntry, Place, directory, list as list_segments, unlink as unlink_segment,
};
use std::path::Path;

/// Unlinks a queue. Attached endpoints can still get what is there; their puts and waits answer
/// `Removed` before long. New ones can no longer find it.
///
/// # Errors
/// Returns `NotFound` if there is no such queue, `PermissionDenied` if it may not be removed,
/// `TimedOut` if another process is removing it and does not come to an end, `InvalidName` if no
/// queue can have the name, and `Os` if a system call failed.
///
/// ```
/// # use prodcon::{Control, QueueOptions};
/// # let name = prodcon::bindings::TestName::new();
/// let control = Control::create::<u64>(&name, &QueueOptions::new(8))?;
/// prodcon::unlink(&name)?;
/// assert!(control.is_removed());
/// # Ok::<(), prodcon::Error>(())
/// ```
pub fn unlink(name: &str) -> Result<()> {
    Ok(unlink_segment(&Place::new(None, name)?)?)
}

/// Unlinks a queue in another directory than `PRODCON_DIR` or `/dev/shm`.
///
/// # Errors
/// Fails as [`unlink`] does.
///
/// ```
/// let dir = std::env::temp_dir();
/// let error = prodcon::unlink_in(&dir, "nobody-made-it").unwrap_err();
/// assert_eq!(error.kind(), prodcon::ErrorKind::NotFound);
/// ```
pub fn unlink_in(dir: &Path, name: &str) -> Result<()> {
    Ok(unlink_segment(&Place::new(Some(dir), name)?)?)
}

/// Lists the queues in `PRODCON_DIR` or `/dev/shm`, by name.
///
/// # Errors
/// Returns `NotFound` if there is no such directory, `PermissionDenied` if it may not be read, and
/// `Os` if a system call failed.
///
/// ```
/// # use prodcon::{Control, QueueOptions};
/// # let name = prodcon::bindings::TestName::new();
/// let control = Control::create::<u64>(&name, &QueueOptions::new(8))?;
/// let names: Vec<String> = prodcon::list()?.into_iter().map(|entry| entry.name).collect();
/// assert!(names.contains(&name.to_string()));
/// # Ok::<(), prodcon::Error>(())
/// ```
pub fn list() -> Result<Vec<ListEntry>> {
    Ok(list_segments(&directory())?)
}

/// Lists the queues in a directory, by name.
///
/// # Errors
/// Fails as [`list`] does.
///
/// ```
/// let missing = std::env::temp_dir().join("prodcon-no-such-directory");
/// assert!(prodcon::list_in(&missing).is_err());
/// ```
pub fn list_in(dir: &Path) -> Result<Vec<ListEntry>> {
    Ok(list_segments(dir)?)
}
