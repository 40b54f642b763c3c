//! shaq, its MPMC queue.
//!
//! Set up as its one example does (shaq-4.3.0: examples/enqueue_dequeue.rs, `run_mpmc`): a file made by `Producer::create`, all others `join`; a producer
//! reserves and writes in place, and when there is no space tries again (that has no waiting of its own; ours: `pause`, now and then yield); a consumer waits in
//! `reserve_read_timeout` and reads in place. One item at a time: batches are not what is compared here.

use crate::Outcome;
use crate::ends::{Keep, Naive, Rx, Setup, System, Tx};
use shaq::error::WaitError;
use shaq::mpmc::{Consumer, Producer, minimum_file_size};
use std::fs::File;
use std::hint::black_box;
use std::time::Duration;

/// shaq's MPMC queue.
pub struct Shaq;

struct Kept<const N: usize>(#[allow(dead_code)] Producer<[u64; N]>);
impl<const N: usize> Keep for Kept<N> {}

struct Sender<const N: usize>(Producer<[u64; N]>);
struct Receiver<const N: usize>(Consumer<[u64; N]>);

impl<const N: usize> Tx<N> for Sender<N> {
    #[inline]
    fn put(&mut self, fill: impl FnOnce(&mut [u64; N])) -> Outcome<()> {
        let mut naive = Naive::default();
        loop {
            // SAFETY: the slot is filled below, before the guard is dropped.
            if let Some(mut slot) = unsafe { self.0.try_reserve_write() } {
                let item = slot.as_mut();
                // SAFETY: the slot lies in a shared mapping, which is initialised memory, and every pattern is a value of integers.
                fill(unsafe { item.assume_init_mut() });
                return Ok(());
            }
            naive.wait();
        }
    }
}

impl<const N: usize> Rx<N> for Receiver<N> {
    #[inline]
    fn get<R>(&mut self, look: impl FnOnce(&[u64; N]) -> R) -> Outcome<R> {
        loop {
            match self.0.reserve_read_timeout(Duration::from_secs(1)) {
                Ok(item) => return Ok(look(black_box(item.as_ref()))),
                Err(WaitError::Timeout) => {}
                #[allow(unreachable_patterns)]
                Err(error) => return Err(format!("{error:?}").into()),
            }
        }
    }
}

fn open(setup: &Setup) -> Outcome<File> {
    Ok(File::options()
        .read(true)
        .write(true)
        .open(setup.dir.join(&setup.name))?)
}

impl System for Shaq {
    fn create<const N: usize>(setup: &Setup) -> Outcome<Box<dyn Keep>> {
        let file = File::options()
            .create_new(true)
            .read(true)
            .write(true)
            .open(setup.dir.join(&setup.name))?;
        // SAFETY: the file is new and this process alone initialises it; arrays of integers are valid everywhere.
        let producer = unsafe {
            Producer::<[u64; N]>::create(
                &file,
                minimum_file_size::<[u64; N]>(setup.capacity as usize),
            )
        };
        Ok(Box::new(Kept(
            producer.map_err(|error| format!("{error:?}"))?,
        )))
    }
    fn tx<const N: usize>(setup: &Setup) -> Outcome<impl Tx<N>> {
        // SAFETY: all join with the same type, arrays of integers, which are valid everywhere.
        let producer = unsafe { Producer::<[u64; N]>::join(&open(setup)?) };
        Ok(Sender(producer.map_err(|error| format!("{error:?}"))?))
    }
    fn rx<const N: usize>(setup: &Setup) -> Outcome<impl Rx<N>> {
        // SAFETY: as in `tx`.
        let consumer = unsafe { Consumer::<[u64; N]>::join(&open(setup)?) };
        Ok(Receiver(consumer.map_err(|error| format!("{error:?}"))?))
    }
}
