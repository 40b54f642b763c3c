//! The exported functions about a queue as a whole: gate, state, figures, recovery.

use crate::endpoint::{Endpoint, Queue, Wait};
use crate::failure::{Failure, output, sized_output};
use crate::handle::with;
use crate::options::{PRODCON_AT_LEAST_ONCE, PRODCON_LOSSY};
use crate::status::*;
use rust::State;

/// State: put and get answer `PRODCON_STOPPED`.
pub const PRODCON_STOPPED_STATE: i32 = 1;
/// State: the usual.
pub const PRODCON_STARTED: i32 = 2;
/// State: put answers `PRODCON_STOPPED`; get goes on until the queue is empty, then answers
/// `PRODCON_STOPPED` (end of stream). By then every item whose put answered `PRODCON_OK` was got.
pub const PRODCON_STOP_AT_QUEUE_END: i32 = 3;

/// The figures of a queue. While no operation is under way: puts = gets + dropped + cleared + lost
/// + held + len.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct Stats {
    /// sizeof this struct, set by the caller before the call and left alone. Only that many bytes
    /// are written, and the rest of a larger struct is filled with 0.
    pub size: u32,
    /// Items that the queue can hold.
    pub capacity: u32,
    /// The longest item in bytes.
    pub item_size: u32,
    /// Endpoints that can be attached at once.
    pub seats: u32,
    /// Seats whose owner lives.
    pub seats_live: u32,
    /// Seats whose owner died in mid-operation and that were not recovered yet.
    pub seats_dead: u32,
    /// PRODCON_LOSSY, PRODCON_AT_LEAST_ONCE.
    pub flags: u32,
    /// PRODCON_STOPPED_STATE, PRODCON_STARTED, PRODCON_STOP_AT_QUEUE_END.
    pub state: i32,
    /// 1: producers may put.
    pub ready: u32,
    /// 0.
    pub reserved: u32,
    /// Rises with every clear and set_not_ready.
    pub epoch: u64,
    /// Items in the queue, including cleared ones that were not drained yet.
    pub len: u64,
    /// Items taken and not acknowledged.
    pub held: u64,
    /// Items put.
    pub puts: u64,
    /// Items acknowledged.
    pub gets: u64,
    /// Items that a lossy queue dropped.
    pub dropped: u64,
    /// Items that were made void.
    pub cleared: u64,
    /// Items that consumers had in hand when they died or closed (at-most-once).
    pub lost: u64,
    /// Deliveries beyond the first (at-least-once).
    pub redelivered: u64,
}

impl Stats {
    fn from_rust(stats: &rust::Stats) -> Self {
        let mut flags = if stats.lossy { PRODCON_LOSSY } else { 0 };
        flags |= if stats.at_least_once {
            PRODCON_AT_LEAST_ONCE
        } else {
            0
        };
        Self {
            size: 0,
            capacity: stats.capacity,
            item_size: u32::try_from(stats.item_size).unwrap_or(u32::MAX),
            seats: stats.seats,
            seats_live: stats.seats_live,
            seats_dead: stats.seats_dead,
            flags,
            state: stats.state as i32,
            ready: stats.ready.into(),
            reserved: 0,
            epoch: stats.epoch,
            len: stats.len,
            held: stats.unacked,
            puts: stats.puts,
            gets: stats.gets,
            dropped: stats.dropped,
            cleared: stats.cleared,
            lost: stats.lost,
            redelivered: stats.redelivered,
        }
    }
}

fn state(number: i32) -> Result<State, Failure> {
    match number {
        PRODCON_STOPPED_STATE => Ok(State::Stopped),
        PRODCON_STARTED => Ok(State::Started),
        PRODCON_STOP_AT_QUEUE_END => Ok(State::StopAtQueueEnd),
        _ => Err(Failure::invalid(format!(
            "{number} is no state: use PRODCON_STOPPED_STATE, PRODCON_STARTED or PRODCON_STOP_AT_QUEUE_END"
        ))),
    }
}

/// Runs a call that reads or changes the queue as a whole.
///
/// # Safety
/// As for [`with`].
unsafe fn about(
    queue: *const Queue,
    call: &'static str,
    work: impl FnOnce(&mut Endpoint) -> Result<(), Failure>,
) -> Status {
    let work = |endpoint: &mut Endpoint| {
        endpoint.nothing_reserved(call)?;
        work(endpoint)
    };
    // SAFETY: this function's contract.
    unsafe { with(queue, call, false, work) }
}

/// Lets producers put.
///
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_set_ready(queue: *mut Queue) -> Status {
    // SAFETY: what create or attach wrote, by the contract of the C function.
    unsafe {
        about(queue, "set_ready", |endpoint| {
            Ok(endpoint.queue.set_ready()?)
        })
    }
}

/// Keeps producers out and makes every item void, in one step: no item that was put before is
/// delivered after it.
///
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_set_not_ready(queue: *mut Queue) -> Status {
    // SAFETY: what create or attach wrote, by the contract of the C function.
    unsafe {
        about(queue, "set_not_ready", |endpoint| {
            Ok(endpoint.queue.set_not_ready()?)
        })
    }
}

/// Makes every item void, in one step, and leaves the queue as ready as it was.
///
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_clear(queue: *mut Queue) -> Status {
    // SAFETY: what create or attach wrote, by the contract of the C function.
    unsafe { about(queue, "clear", |endpoint| Ok(endpoint.queue.clear()?)) }
}

/// Says whether producers may put.
///
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_is_ready(queue: *mut Queue, ready: *mut bool) -> Status {
    let work = |endpoint: &mut Endpoint| {
        let ready = output(ready, "ready")?;
        // SAFETY: the caller's variable.
        unsafe { ready.write(endpoint.queue.is_ready()) };
        Ok(())
    };
    // SAFETY: what create or attach wrote, by the contract of the C function.
    unsafe { about(queue, "is_ready", work) }
}

/// Says whether the queue's name was removed. If something has that name afterwards, it is another
/// queue. A call that waits answers `PRODCON_NOT_FOUND` then, and so does a put without a wait
/// within a moment.
///
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_is_removed(queue: *mut Queue, removed: *mut bool) -> Status {
    let work = |endpoint: &mut Endpoint| {
        let removed = output(removed, "removed")?;
        // SAFETY: the caller's variable.
        unsafe { removed.write(endpoint.queue.control().is_removed()) };
        Ok(())
    };
    // SAFETY: what create or attach wrote, by the contract of the C function.
    unsafe { about(queue, "is_removed", work) }
}

/// Waits until the queue is ready.
///
/// - Returns: `PRODCON_NOT_READY` or `PRODCON_TIMED_OUT`; `PRODCON_NOT_FOUND` if the name was
///   removed.
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_wait_ready(queue: *mut Queue, timeout_ns: i64) -> Status {
    let work = |endpoint: &mut Endpoint| {
        let wait = Wait::from_ns(timeout_ns);
        match (endpoint.queue.wait_ready(wait.time())?, wait) {
            (true, _) => Ok(()),
            (false, Wait::Not) => Err(Failure::answer(PRODCON_NOT_READY, "is not ready")),
            (false, _) => Err(Failure::answer(
                PRODCON_TIMED_OUT,
                "stayed not ready: timed out",
            )),
        }
    };
    // SAFETY: what create or attach wrote, by the contract of the C function.
    unsafe { about(queue, "wait_ready", work) }
}

/// Says how many items are in the queue that were not cleared. The number is exact while no
/// operation is under way.
///
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_len(queue: *mut Queue, len: *mut usize) -> Status {
    let work = |endpoint: &mut Endpoint| {
        let len = output(len, "len")?;
        // SAFETY: the caller's variable.
        unsafe { len.write(endpoint.queue.len()) };
        Ok(())
    };
    // SAFETY: what create or attach wrote, by the contract of the C function.
    unsafe { about(queue, "len", work) }
}

/// Says how many items the queue can hold (with batches: blocks).
///
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_capacity(queue: *mut Queue, capacity: *mut usize) -> Status {
    let work = |endpoint: &mut Endpoint| {
        let capacity = output(capacity, "capacity")?;
        // SAFETY: the caller's variable.
        unsafe { capacity.write(endpoint.queue.capacity()) };
        Ok(())
    };
    // SAFETY: what create or attach wrote, by the contract of the C function.
    unsafe { about(queue, "capacity", work) }
}

/// Says how many bytes the longest item can have. In a queue of a plain type every item has that
/// length.
///
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_item_size(queue: *mut Queue, size: *mut usize) -> Status {
    let work = |endpoint: &mut Endpoint| {
        let size = output(size, "size")?;
        // SAFETY: the caller's variable.
        unsafe { size.write(endpoint.queue.item_size()) };
        Ok(())
    };
    // SAFETY: what create or attach wrote, by the contract of the C function.
    unsafe { about(queue, "item_size", work) }
}

/// Gives the state: `PRODCON_STOPPED_STATE`, `PRODCON_STARTED` or `PRODCON_STOP_AT_QUEUE_END`.
///
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_get_state(queue: *mut Queue, state: *mut i32) -> Status {
    let work = |endpoint: &mut Endpoint| {
        let state = output(state, "state")?;
        // SAFETY: the caller's variable.
        unsafe { state.write(endpoint.queue.control().state() as i32) };
        Ok(())
    };
    // SAFETY: what create or attach wrote, by the contract of the C function.
    unsafe { about(queue, "get_state", work) }
}

/// Changes the state and wakes all calls that sleep. Allowed are stopped -> started, started ->
/// stopped or stop_at_queue_end, stop_at_queue_end -> stopped, and the state that the queue has.
///
/// - Returns: `PRODCON_INVALID` if the change is not allowed; `prodcon_last_error` names a way.
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_set_state(queue: *mut Queue, state_number: i32) -> Status {
    // SAFETY: what create or attach wrote, by the contract of the C function.
    unsafe {
        about(queue, "set_state", |endpoint| {
            Ok(endpoint.queue.control().set_state(state(state_number)?)?)
        })
    }
}

/// Waits until the state is `state_number`.
///
/// - Returns: `PRODCON_TIMED_OUT` if the queue does not reach that state in time; `PRODCON_INVALID`
///   if there is no such state; `PRODCON_NOT_FOUND` if the name was removed.
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_wait_state(
    queue: *mut Queue,
    state_number: i32,
    timeout_ns: i64,
) -> Status {
    let work = |endpoint: &mut Endpoint| {
        if endpoint
            .queue
            .control()
            .wait_state(state(state_number)?, Wait::from_ns(timeout_ns).time())?
        {
            Ok(())
        } else {
            Err(Failure::answer(
                PRODCON_TIMED_OUT,
                "kept another state: timed out",
            ))
        }
    };
    // SAFETY: what create or attach wrote, by the contract of the C function.
    unsafe { about(queue, "wait_state", work) }
}

/// Gives the queue's figures. Reading them disturbs no other process. Set `stats->size` first.
///
/// - Returns: `PRODCON_INVALID` if `stats->size` is less than 8 or more than 65536.
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_stats(queue: *mut Queue, stats: *mut Stats) -> Status {
    let work = |endpoint: &mut Endpoint| {
        let mut figures = Stats::from_rust(&endpoint.queue.control().stats()?);
        // SAFETY: the caller's struct, with its size in the first field; `figures` is plain data without padding (asserted below).
        unsafe { sized_output(stats, &mut figures, "stats") }
    };
    // SAFETY: what create or attach wrote, by the contract of the C function.
    unsafe { about(queue, "stats", work) }
}

const _: () = assert!(
    size_of::<Stats>() == 10 * 4 + 9 * 8,
    "no padding, and the size that programs were compiled with"
);

/// Resolves the seats of dead processes: `*recovered` is how many, and `*undecided` is how many
/// have to wait until others have ended their operations. It also happens by itself now and then.
///
/// - Returns: `PRODCON_CORRUPT`.
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_queue_recover(
    queue: *mut Queue,
    recovered: *mut u32,
    undecided: *mut u32,
) -> Status {
    let work = |endpoint: &mut Endpoint| {
        let (recovered, undecided) = (
            output(recovered, "recovered")?,
            output(undecided, "undecided")?,
        );
        let pass = endpoint.queue.control().recover()?;
        // SAFETY: the caller's variable.
        unsafe { recovered.write(pass.recovered) };
        // SAFETY: the caller's variable.
        unsafe { undecided.write(pass.undecided) };
        Ok(())
    };
    // SAFETY: what create or attach wrote, by the contract of the C function.
    unsafe { about(queue, "recover", work) }
}
