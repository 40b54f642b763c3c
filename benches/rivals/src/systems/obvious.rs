//! The queue that `shared_memory` and `raw_sync` make when they are put together in the obvious way: a mutex, a ring, and an event for "items came" and for
//! "space came". Owns the one copy of it that both comparisons use.
//!
//! Set up as their examples do (shared_memory-0.12.4: examples/mutex.rs, examples/event.rs):
//! `ShmemConf` by name, an initialised flag, `Mutex::new` and `Event::new` (auto-reset) by the
//! creator, `from_existing` by the others. An auto-reset event wakes one and forgets how often it
//! was set; so a process that has got an item and leaves more behind sets it again (and likewise
//! for space): else a second sleeper would stay asleep beside a full queue. Waits are
//! `Timeout::Infinite`, because the timeouts of raw_sync 0.1.5 fail early (`tv_nsec` is not
//! normalised).
//!
//! Layout: flag | 8 bytes | mutex | two events | head, length | slots.

use crate::Outcome;
use crate::ends::{Keep, Rx, Setup, System, Tx};
use raw_sync::Timeout;
use raw_sync::events::{Event, EventImpl, EventInit, EventState};
use raw_sync::locks::{LockImpl, LockInit, Mutex};
use shared_memory::{Shmem, ShmemConf};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

/// Mutex, events and a ring.
pub struct Obvious;

const ROOM: usize = 256;
const HEAD: usize = 64 + 3 * ROOM;
const SLOTS: usize = HEAD + 64;

struct Queue<const N: usize> {
    lock: Box<dyn LockImpl>,
    items: Box<dyn EventImpl>,
    space: Box<dyn EventImpl>,
    head: *mut u64,
    len: *mut u64,
    slots: *mut [u64; N],
    capacity: usize,
    item: Box<[u64; N]>,
    memory: Shmem,
}

struct Kept<const N: usize>(#[allow(dead_code)] Queue<N>);
impl<const N: usize> Keep for Kept<N> {}

impl<const N: usize> Queue<N> {
    fn over(memory: Shmem, capacity: usize) -> Outcome<Self> {
        let at = |offset: usize| memory.as_ptr().wrapping_add(offset);
        let (lock_at, items_at, space_at) = (at(64), at(64 + ROOM), at(64 + 2 * ROOM));
        let (lock, items, space);
        if memory.is_owner() {
            // SAFETY: 256 bytes of the mapping, enough for a mutex (40 bytes), that nobody else uses before the flag is set.
            lock = unsafe { Mutex::new(lock_at, at(HEAD)) }?.0;
            // SAFETY: 256 bytes of the mapping, enough for a mutex and a condition variable (88 bytes), that nobody else uses before the flag is set.
            items = unsafe { Event::new(items_at, true) }?.0;
            // SAFETY: as above.
            space = unsafe { Event::new(space_at, true) }?.0;
        } else {
            // SAFETY: the creator has initialised it (the flag is set).
            lock = unsafe { Mutex::from_existing(lock_at, at(HEAD)) }?.0;
            // SAFETY: as above.
            items = unsafe { Event::from_existing(items_at) }?.0;
            // SAFETY: as above.
            space = unsafe { Event::from_existing(space_at) }?.0;
        }
        Ok(Self {
            lock,
            items,
            space,
            head: at(HEAD).cast(),
            len: at(HEAD + 8).cast(),
            slots: at(SLOTS).cast(),
            capacity,
            item: Box::new([0; N]),
            memory,
        })
    }

    fn flag(&self) -> &AtomicU64 {
        // SAFETY: the first 8 bytes of the mapping, which is page-aligned and lives as long as self.
        unsafe { &*self.memory.as_ptr().cast::<AtomicU64>() }
    }

    fn join(setup: &Setup) -> Outcome<Self> {
        let queue = Self::over(
            ShmemConf::new().os_id(os_id(setup)).open()?,
            setup.capacity as usize,
        )?;
        while queue.flag().load(Ordering::Acquire) != 1 {
            std::thread::yield_now();
        }
        Ok(queue)
    }

    /// Head and length. Only with the lock held.
    fn numbers(&self) -> (usize, usize) {
        // SAFETY: in the mapping, aligned; the lock keeps all others off.
        let head = unsafe { self.head.read() };
        // SAFETY: as above.
        let len = unsafe { self.len.read() };
        (head as usize, len as usize)
    }

    fn set(&self, head: usize, len: usize) {
        // SAFETY: as in `numbers`.
        unsafe { self.head.write(head as u64) };
        // SAFETY: as above.
        unsafe { self.len.write(len as u64) };
    }

    fn slot(&self, index: usize) -> *mut [u64; N] {
        self.slots.wrapping_add(index % self.capacity)
    }
}

fn os_id(setup: &Setup) -> String {
    setup.name.clone()
}

impl<const N: usize> Tx<N> for Queue<N> {
    fn put(&mut self, fill: impl FnOnce(&mut [u64; N])) -> Outcome<()> {
        fill(&mut self.item);
        loop {
            let guard = self.lock.lock()?;
            let (head, len) = self.numbers();
            if len < self.capacity {
                // SAFETY: the slot lies in the mapping, is aligned to 8 bytes, and the lock keeps all others off.
                unsafe { self.slot(head + len).write(*self.item) };
                self.set(head, len + 1);
                drop(guard);
                self.items.set(EventState::Signaled)?;
                if len + 1 < self.capacity {
                    self.space.set(EventState::Signaled)?;
                }
                return Ok(());
            }
            drop(guard);
            self.space.wait(Timeout::Infinite)?;
        }
    }
}

impl<const N: usize> Rx<N> for Queue<N> {
    fn get<R>(&mut self, look: impl FnOnce(&[u64; N]) -> R) -> Outcome<R> {
        loop {
            let guard = self.lock.lock()?;
            let (head, len) = self.numbers();
            if len > 0 {
                // SAFETY: the slot lies in the mapping, is aligned to 8 bytes, was written (len > 0), and the lock keeps all others off.
                *self.item = unsafe { self.slot(head).read() };
                self.set(head + 1, len - 1);
                drop(guard);
                self.space.set(EventState::Signaled)?;
                if len > 1 {
                    self.items.set(EventState::Signaled)?;
                }
                return Ok(look(black_box(&self.item)));
            }
            drop(guard);
            self.items.wait(Timeout::Infinite)?;
        }
    }
}

impl System for Obvious {
    fn create<const N: usize>(setup: &Setup) -> Outcome<Box<dyn Keep>> {
        let size = SLOTS + size_of::<[u64; N]>() * setup.capacity as usize;
        let queue = Queue::<N>::over(
            ShmemConf::new().os_id(os_id(setup)).size(size).create()?,
            setup.capacity as usize,
        )?;
        queue.flag().store(1, Ordering::Release);
        Ok(Box::new(Kept(queue)))
    }
    fn tx<const N: usize>(setup: &Setup) -> Outcome<impl Tx<N>> {
        Queue::join(setup)
    }
    fn rx<const N: usize>(setup: &Setup) -> Outcome<impl Rx<N>> {
        Queue::join(setup)
    }
}
