//! A descriptor that becomes readable when a queue is worth a try, for `poll`, `epoll` and event
//! loops.

use super::interest::{Interest, Kind};
use super::waiter::{Alarm, Subject};
use crate::error::Result;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

/// A descriptor that becomes readable when an interest is ready. Made by [`Interest::fd`].
///
/// Nothing happens until it is [armed](Self::arm). Then it becomes readable once, when there is
/// something to try, and has to be armed again. The loop is: try until `Empty` (or `Full`), arm,
/// poll. While it is not armed it does not count as asleep, and the other processes make no system
/// call for it.
///
/// The descriptor is this process's own and closed on exec. A thread `prodcon-wait`, which the
/// first armed descriptor starts, waits for all of them and looks after dead processes meanwhile.
/// It blocks all signals. Before Linux 5.16, and where a filter forbids `futex_waitv`, it looks
/// every two milliseconds instead.
///
/// Several descriptors may wait for one queue. When items come, as many of them become readable as
/// there are items. Dropping one that is armed, or that became readable and was not armed again,
/// passes its wake-up on to another waiter, in whatever process.
///
/// It looks at the queue, and not at its endpoint. So it does not see what that has left over: the
/// rest of a block of several items, or an item that was given back to it. Try until `Empty` before
/// arming it. Nor does it see whether a seat is free: while `max_unacked` owned deliveries are out
/// and the queue has items, [`arm`](Self::arm) answers true and
/// [`take_owned`](crate::ReadyQueue::take_owned) `Empty`. Arm it when one of them has come back.
///
/// It outlives its endpoint. In a forked child it answers `Forked`: make another one there, with an
/// endpoint of the child's own.
///
/// ```
/// use std::os::fd::{AsFd, AsRawFd};
/// # use prodcon::{GetError, QueueOptions, ReadyQueue};
/// # fn poll(fd: std::os::fd::BorrowedFd<'_>) -> std::io::Result<()> {
/// #     let mut fds = [libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 }];
/// #     match unsafe { libc::poll(fds.as_mut_ptr(), 1, 10_000) } {
/// #         1 => Ok(()),
/// #         _ => Err(std::io::Error::last_os_error()),
/// #     }
/// # }
/// # let name = prodcon::bindings::TestName::new();
/// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(8))?;
/// let ready = queue.readable().fd()?;
/// # let mut producer = ReadyQueue::<u64>::attach(&name)?;
/// # std::thread::spawn(move || producer.put(&7));
/// loop {
///     match queue.try_get() {
///         Ok(item) => {
///             assert_eq!(item, 7);
///             break;
///         }
///         Err(GetError::Empty) => {}
///         Err(error) => return Err(error.into()),
///     }
///     if !ready.arm()? {
///         poll(ready.as_fd())?;
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ReadyFd(Alarm);

impl Interest<'_> {
    /// Makes a descriptor that becomes readable when this interest is ready, once it is
    /// [armed](ReadyFd::arm).
    ///
    /// # Errors
    /// Returns `Forked` in a forked child, `Removed` if the queue cannot be opened a second time,
    /// and `Os` if a system call failed.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(8))?;
    /// let ready = queue.readable().fd()?;
    /// assert!(!ready.arm()?);
    /// queue.put(&1)?;
    /// assert!(ready.arm()?); // there is an item already: do not poll
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn fd(&self) -> Result<ReadyFd> {
        let subject = match self.0 {
            Kind::Queue { endpoint, what } => Subject::of_queue(endpoint, what)?,
            Kind::Token(token) => Subject::Token(token.clone()),
        };
        Alarm::with_event(subject).map(ReadyFd)
    }
}

impl ReadyFd {
    /// Resets the descriptor and arms it. Returns true if the interest is ready already: then try,
    /// and do not poll, because the descriptor is not armed.
    ///
    /// # Errors
    /// Returns `Cancelled` if the endpoint's token was cancelled and nothing is ready, `Removed` if
    /// the queue's name was removed, `Forked` in a forked child, and `Os` if a system call failed.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(1))?;
    /// let space = queue.writable().fd()?;
    /// assert!(space.arm()?);
    /// queue.put(&1)?;
    /// assert!(!space.arm()?);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn arm(&self) -> Result<bool> {
        self.0.arm()
    }
}

impl AsFd for ReadyFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.event().as_fd()
    }
}

impl AsRawFd for ReadyFd {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}
