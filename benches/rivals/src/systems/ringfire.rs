//! ringfire, its MPMC ring: `MpmcProducer` and competing `MpmcQueueConsumer`s. It is always lossy: a producer never waits.
//!
//! Set up as its documentation says: a file in /dev/shm made by `MpmcProducer::create`, further producers `attach`ed, consumers in `recv_blocking` with the wait
//! strategy that the README recommends ("Wait Strategies", "Synchronous Low-Latency Consumer"): `BusySpin` where each process has a core of its own,
//! `YieldBackoff::default` where not, `FutexWait::default` to sleep. (ringfire-0.5.2: README.md; src/mpmc.rs; src/wait.rs.)

use crate::Outcome;
use crate::ends::{Keep, Mood, Rx, Setup, System, Tx};
use ringfire::{BusySpin, FutexWait, MpmcProducer, MpmcQueueConsumer, YieldBackoff};
use std::hint::black_box;
use std::path::PathBuf;

/// ringfire's MPMC ring.
pub struct Ringfire;

struct Kept<const N: usize>(#[allow(dead_code)] MpmcProducer<[u64; N]>);
impl<const N: usize> Keep for Kept<N> {}

struct Sender<const N: usize> {
    ring: MpmcProducer<[u64; N]>,
    item: Box<[u64; N]>,
}

struct Receiver<const N: usize> {
    ring: MpmcQueueConsumer<[u64; N]>,
    mood: Mood,
    spin: BusySpin,
    share: YieldBackoff,
    sleep: FutexWait,
}

fn path(setup: &Setup) -> PathBuf {
    setup.dir.join(&setup.name)
}

impl<const N: usize> Tx<N> for Sender<N> {
    #[inline]
    fn put(&mut self, fill: impl FnOnce(&mut [u64; N])) -> Outcome<()> {
        fill(&mut self.item);
        self.ring.push(black_box(&self.item));
        Ok(())
    }
}

impl<const N: usize> Rx<N> for Receiver<N> {
    #[inline]
    fn get<R>(&mut self, look: impl FnOnce(&[u64; N]) -> R) -> Outcome<R> {
        let item = match self.mood {
            Mood::Own => self.ring.recv_blocking(&mut self.spin),
            Mood::Shared => self.ring.recv_blocking(&mut self.share),
            Mood::Asleep => self.ring.recv_blocking(&mut self.sleep),
        };
        Ok(look(black_box(&item)))
    }
}

impl System for Ringfire {
    fn create<const N: usize>(setup: &Setup) -> Outcome<Box<dyn Keep>> {
        Ok(Box::new(Kept(MpmcProducer::<[u64; N]>::create(
            path(setup),
            setup.capacity.into(),
        )?)))
    }
    fn tx<const N: usize>(setup: &Setup) -> Outcome<impl Tx<N>> {
        Ok(Sender {
            ring: MpmcProducer::attach(path(setup))?,
            item: Box::new([0; N]),
        })
    }
    fn rx<const N: usize>(setup: &Setup) -> Outcome<impl Rx<N>> {
        Ok(Receiver {
            ring: MpmcQueueConsumer::<[u64; N]>::attach(path(setup))?,
            mood: setup.mood,
            spin: BusySpin,
            share: YieldBackoff::default(),
            sleep: FutexWait::default(),
        })
    }
}
