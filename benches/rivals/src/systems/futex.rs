//! Nothing but a futex and one word beside it: the least that waking a sleeping process costs. Not a queue: one item at a time, so only for round trips and wake-ups.

use crate::Outcome;
use crate::ends::{Keep, Rx, Setup, System, Tx};
use crate::shared::Shared;
use std::ptr::null;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// A bare futex.
pub struct Futex;

struct End {
    /// 0: the futex; the items' count.
    count: Shared<[AtomicU32; 32]>,
    /// The item, on another line of the same file.
    item: Shared<[AtomicU64; 32]>,
    seen: u32,
}

const ITEM: usize = 24;

impl End {
    fn new(setup: &Setup) -> Outcome<Self> {
        let path = setup.dir.join(&setup.name);
        Ok(Self {
            count: Shared::open(&path)?,
            item: Shared::open(&path)?,
            seen: 0,
        })
    }
}

impl<const N: usize> Tx<N> for End {
    fn put(&mut self, fill: impl FnOnce(&mut [u64; N])) -> Outcome<()> {
        let mut item = [0; N];
        fill(&mut item);
        self.item[ITEM].store(item[0], Ordering::Relaxed); // the count releases it
        self.count[0].fetch_add(1, Ordering::Release);
        // SAFETY: the address of a living atomic; FUTEX_WAKE takes no further pointers.
        unsafe { libc::syscall(libc::SYS_futex, self.count[0].as_ptr(), libc::FUTEX_WAKE, 1) };
        Ok(())
    }
}

impl<const N: usize> Rx<N> for End {
    fn get<R>(&mut self, look: impl FnOnce(&[u64; N]) -> R) -> Outcome<R> {
        loop {
            let count = self.count[0].load(Ordering::Acquire);
            if count != self.seen {
                self.seen = count;
                let mut item = [0; N];
                item[0] = self.item[ITEM].load(Ordering::Relaxed);
                return Ok(look(&item));
            }
            // SAFETY: the address of a living atomic; the timeout is null: none.
            unsafe {
                libc::syscall(
                    libc::SYS_futex,
                    self.count[0].as_ptr(),
                    libc::FUTEX_WAIT,
                    count,
                    null::<libc::timespec>(),
                )
            };
        }
    }
}

impl System for Futex {
    fn create<const N: usize>(setup: &Setup) -> Outcome<Box<dyn Keep>> {
        assert_eq!(N, 1);
        drop(Shared::<[AtomicU64; 32]>::create(
            &setup.dir.join(&setup.name),
        )?);
        Ok(Box::new(()))
    }
    fn tx<const N: usize>(setup: &Setup) -> Outcome<impl Tx<N>> {
        End::new(setup)
    }
    fn rx<const N: usize>(setup: &Setup) -> Outcome<impl Rx<N>> {
        End::new(setup)
    }
}
