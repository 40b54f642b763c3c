//! Figures and reports. Plain values; nothing here reads shared memory.

use crate::segment::QueueInfo;
use crate::state::{Role, State};
use std::time::Duration;

/// The figures of a queue.
///
/// While no operation is under way, `puts = gets + dropped + cleared + lost + unacked + len` holds,
/// whatever was killed before. All but `capacity` count items; in queues with batches `capacity`
/// counts blocks.
///
/// ```
/// # use prodcon::{QueueOptions, ReadyQueue};
/// # let name = prodcon::bindings::TestName::new();
/// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(8))?;
/// queue.put(&1)?;
/// let stats = queue.control().stats()?;
/// assert_eq!((stats.puts, stats.len, stats.seats_live), (1, 1, 1));
/// # Ok::<(), prodcon::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Stats {
    /// Items that the queue holds.
    pub capacity: u32,
    /// Longest item in bytes.
    pub item_size: u64,
    /// Seats that the queue has.
    pub seats: u32,
    /// Seats whose owner lives.
    pub seats_live: u32,
    /// Seats whose owner died in the middle of an operation and that were not recovered yet.
    pub seats_dead: u32,
    /// Items in the queue, cleared ones that were not yet discarded included.
    pub len: u64,
    /// Producers may put.
    pub ready: bool,
    /// The number of times that the queue was cleared or closed.
    pub epoch: u64,
    /// The state.
    pub state: State,
    /// A put on the full queue drops the oldest item.
    pub lossy: bool,
    /// Items of dead consumers are delivered again.
    pub at_least_once: bool,
    /// Items that were taken and not yet acknowledged.
    pub unacked: u64,
    /// Items that were put.
    pub puts: u64,
    /// Items that were acknowledged.
    pub gets: u64,
    /// Items that puts on the full queue dropped.
    pub dropped: u64,
    /// Items that were cleared and discarded.
    pub cleared: u64,
    /// Items that dead consumers were holding (at-most-once).
    pub lost: u64,
    /// Deliveries beyond the first.
    pub redelivered: u64,
    /// Items moved to the dead-letter queue; each is counted in `gets` too.
    pub dead_lettered: u64,
    /// Most items in one block.
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
        let (
            seats_live,
            seats_dead,
            len,
            unacked,
            puts,
            gets,
            dropped,
            cleared,
            lost,
            redelivered,
            dead_lettered,
        ) = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
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

    /// Notes in every seat with items in hand what a worker has noted in one of its seats.
    pub(super) fn share_the_time(&mut self) {
        let noted: Vec<(u32, Duration)> = self
            .members
            .iter()
            .filter_map(|member| Some((member.pid, member.holding?)))
            .collect();
        if noted.is_empty() {
            return;
        }
        for member in &mut self.members {
            if member.unacked > 0 && member.holding.is_none() {
                let own = noted.iter().find(|(pid, _)| *pid == member.pid);
                member.holding = own.map(|(_, lasts)| *lasts);
            }
        }
    }

    /// Returns whether every put is accounted for. This is only meaningful while no operation is
    /// under way.
    pub fn adds_up(&self) -> bool {
        // Wrapping: a damaged segment may contain anything.
        let accounted = [
            self.gets,
            self.dropped,
            self.cleared,
            self.lost,
            self.unacked,
            self.len,
        ];
        self.puts == accounted.into_iter().fold(0, u64::wrapping_add)
    }
}

/// A live seat.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SeatInfo {
    /// Its number.
    pub seat: u32,
    /// Process that attached.
    pub pid: u32,
    /// What the endpoint is for.
    pub role: Role,
    /// Items in hand.
    pub unacked: u32,
    /// The endpoint waits.
    pub asleep: bool,
    /// The time for which the call of `work` that has the items in hand has lasted, counted from
    /// its last [`keep_alive`](crate::worker::Context::keep_alive). `None` if that is not known: no
    /// take looks at a clock. For other endpoints, look twice: a seat that holds the same item in
    /// both looks has held it in between.
    pub holding: Option<Duration>,
}

/// What a recovery pass did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Recovery {
    /// Seats that were resolved.
    pub recovered: u32,
    /// Seats that can only be resolved when others have ended what they are doing.
    pub undecided: u32,
}

/// What [`Control::doctor`](crate::Control::doctor) found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Report {
    /// Seats resolved.
    pub recovered: u32,
    /// Seats that cannot be resolved yet.
    pub undecided: u32,
    /// Endpoints were in mid-operation whenever it looked, so the blocks and the accounts are not
    /// checked.
    pub busy: bool,
    /// What is wrong, one sentence for each fault.
    pub problems: Vec<String>,
}

impl Report {
    /// Returns whether nothing wrong was found.
    pub fn ok(&self) -> bool {
        self.problems.is_empty()
    }
}
