//! shaq, its queue for one producer and one consumer.
//!
//! Set up as its example does (shaq-4.3.0: examples/enqueue_dequeue.rs, `run_spsc`): the producer creates, the consumer joins. Here a
//! producer writes one item in place and commits it (`write_batch`, dropped after one item), and when there is no space tries again; a consumer
//! waits in `reserve_read_batch_timeout` for one item and reads it in place. One item at a time: batches are not what is compared.

use crate::Outcome;
use crate::ends::{Keep, Naive, Rx, Setup, System, Tx, once_there};
use shaq::error::WaitError;
use shaq::spsc::{Consumer, Producer, minimum_file_size};
use std::fs::File;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time::Duration;

/// shaq's SPSC queue.
pub struct ShaqPair;

struct Sender<const N: usize>(Producer<[u64; N]>);
struct Receiver<const N: usize>(Consumer<[u64; N]>);

impl<const N: usize> Tx<N> for Sender<N> {
    #[inline]
    fn put(&mut self, fill: impl FnOnce(&mut [u64; N])) -> Outcome<()> {
        let mut naive = Naive::default();
        loop {
            let mut batch = self.0.write_batch();
            // SAFETY: the slot is filled below, before the batch is dropped.
            if let Some(item) = unsafe { batch.try_as_mut() } {
                // SAFETY: the slot lies in a shared mapping, which is initialised memory, and every pattern is a value of integers.
                fill(unsafe { item.assume_init_mut() });
                return Ok(());
            }
            drop(batch);
            naive.wait();
        }
    }
}

impl<const N: usize> Rx<N> for Receiver<N> {
    #[inline]
    fn get<R>(&mut self, look: impl FnOnce(&[u64; N]) -> R) -> Outcome<R> {
        loop {
            match self
                .0
                .reserve_read_batch_timeout(NonZeroUsize::MIN, Duration::from_secs(1))
            {
                Ok(batch) => {
                    return Ok(look(black_box(batch.get(0).ok_or("a batch of no items")?)));
                }
                Err(WaitError::Timeout) => {}
                #[allow(unreachable_patterns)]
                Err(error) => return Err(format!("{error:?}").into()),
            }
        }
    }
}

impl System for ShaqPair {
    /// The producer makes it: there may be no other one.
    fn create<const N: usize>(_: &Setup) -> Outcome<Box<dyn Keep>> {
        Ok(Box::new(()))
    }
    fn tx<const N: usize>(setup: &Setup) -> Outcome<impl Tx<N>> {
        let (path, unready) = (
            setup.dir.join(&setup.name),
            setup.dir.join(format!("{}-unready", setup.name)),
        );
        let file = File::options()
            .create_new(true)
            .read(true)
            .write(true)
            .open(&unready)?;
        // SAFETY: the file is new, this process alone initialises it and is its only producer; arrays of integers are valid everywhere.
        let producer = unsafe {
            Producer::<[u64; N]>::create(
                &file,
                minimum_file_size::<[u64; N]>(setup.capacity as usize),
            )
        };
        let producer = producer.map_err(|error| format!("{error:?}"))?;
        std::fs::rename(unready, path)?;
        Ok(Sender(producer))
    }
    fn rx<const N: usize>(setup: &Setup) -> Outcome<impl Rx<N>> {
        let file = once_there(|| {
            Ok(File::options()
                .read(true)
                .write(true)
                .open(setup.dir.join(&setup.name))?)
        })?;
        // SAFETY: the only consumer joins with the producer's type, arrays of integers, which are valid everywhere.
        let consumer = unsafe { Consumer::<[u64; N]>::join(&file) };
        Ok(Receiver(consumer.map_err(|error| format!("{error:?}"))?))
    }
}
