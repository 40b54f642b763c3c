//! Figures and reports. Plain values; nothing here reads shared memory.

use crate::segment::QueueInfo;
use crate::state::{Role, State};

/// The figures of a queue. When nobody is in mid-operation: `puts = gets + dropped + cleared + lost + unacked + len`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs)] // plain figures; what they mean stands in the type's text and the fields' names
pub struct Stats {
    pub capacity: u32,
    pub item_size: u64,
    pub seats: u32,
    /// Seats whose owner lives.
    pub seats_live: u32,
    /// Seats whose owner died in mid-operation and that nobody has resolved yet.
    pub seats_dead: u32,
    /// In the slots: items, and cleared ones that were not yet thrown away.
    pub len: u64,
    pub ready: bool,
    pub epoch: u64,
    pub state: State,
    pub lossy: bool,
    pub at_least_once: bool,
    /// Taken and not acknowledged.
    pub unacked: u64,
    pub puts: u64,
    /// Acknowledged.
    pub gets: u64,
    pub dropped: u64,
    pub cleared: u64,
    pub lost: u64,
    /// Deliveries beyond the first.
    pub redelivered: u64,
    /// Items moved to the dead-letter queue; each is counted in `gets` too.
    pub dead_lettered: u64,
    /// Most items in one block; `capacity` is in blocks, everything else in items.
    pub batch: u32,
    /// The queue's name is gone.
    pub removed_name: bool,
    /// The live seats.
    pub members: Vec<SeatInfo>,
}

impl Stats {
    pub(super) fn new(info: &QueueInfo, ready: bool, epoch: u64, state: State) -> Self {
        let &QueueInfo {
            capacity,
            item_size,
            seats,
            lossy,
            at_least_once,
            batch,
            ..
        } = info;
        let (seats_live, seats_dead, len, unacked, puts, gets, dropped, cleared, lost, redelivered, dead_lettered) = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
        Self {
            capacity,
            item_size,
            seats,
            seats_live,
            seats_dead,
            len,
            ready,
            epoch,
            state,
            lossy,
            at_least_once,
            unacked,
            puts,
            gets,
            dropped,
            cleared,
            lost,
            redelivered,
            dead_lettered,
            batch,
            removed_name: false,
            members: vec![],
        }
    }

    /// Every put is accounted for. Only meaningful when nobody is in mid-operation.
    pub fn adds_up(&self) -> bool {
        // Wrapping: a damaged segment may say anything.
        let accounted = [self.gets, self.dropped, self.cleared, self.lost, self.unacked, self.len];
        self.puts == accounted.into_iter().fold(0, u64::wrapping_add)
    }
}

/// A live seat.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs)]
pub struct SeatInfo {
    pub seat: u32,
    pub pid: u32,
    pub role: Role,
    /// Items in hand.
    pub unacked: u32,
    pub asleep: bool,
}

/// What a recovery pass did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Seats resolved.
    pub recovered: u32,
    /// Seats that can only be resolved later, when others have ended what they are at.
    pub undecided: u32,
}

/// What `doctor` found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Seats resolved.
    pub recovered: u32,
    /// Seats that cannot be resolved yet.
    pub undecided: u32,
    /// Endpoints were in mid-operation whenever it looked: the blocks and the accounts are not checked.
    pub busy: bool,
    /// What is wrong, a sentence each.
    pub problems: Vec<String>,
}

impl Report {
    /// Nothing wrong was found.
    pub fn ok(&self) -> bool {
        self.problems.is_empty()
    }
}
