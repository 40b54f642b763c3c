//! cloudtoid-interprocess: byte queues in shared memory, any number of publishers, subscribers that compete.
//!
//! Set up as its documentation says (cloudtoid-interprocess-3.0: README.md, src/lib.rs, examples/benchmark.rs): `Options::new(name, bytes).with_path(dir)`, each
//! process opens a `Publisher` or a `Subscriber`. `try_send` is the only way to send, so we wait (`pause`, now and then yield); to receive without sleeping,
//! `try_recv_into`, as its benchmark does (its `recv` goes to a semaphore at the first miss); to sleep, `recv`. The capacity is in bytes: 1024 items with their headers.

use crate::Outcome;
use crate::ends::{Keep, Mood, Naive, Rx, Setup, System, Tx};
use cloudtoid_interprocess::{Options, Publisher, Subscriber};
use std::hint::black_box;

/// cloudtoid-interprocess.
pub struct Cloudtoid;

struct Sender<const N: usize>(Publisher, Box<[u64; N]>);
struct Receiver<const N: usize>(Subscriber, Box<[u64; N]>, bool);

impl<const N: usize> Tx<N> for Sender<N> {
    #[inline]
    fn put(&mut self, fill: impl FnOnce(&mut [u64; N])) -> Outcome<()> {
        fill(&mut self.1);
        let mut naive = Naive::default();
        loop {
            match self.0.try_send(bytemuck::bytes_of(black_box(&*self.1))) {
                Ok(()) => return Ok(()),
                Err(error) if error.is_full() => naive.wait(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl<const N: usize> Rx<N> for Receiver<N> {
    #[inline]
    fn get<R>(&mut self, look: impl FnOnce(&[u64; N]) -> R) -> Outcome<R> {
        let got = if self.2 {
            let item = self.0.recv()?;
            bytemuck::bytes_of_mut(&mut *self.1).copy_from_slice(&item); // asleep, 8 bytes: a copy more does not show
            item.len()
        } else {
            let mut naive = Naive::default();
            loop {
                if let Some(length) = self.0.try_recv_into(bytemuck::bytes_of_mut(&mut *self.1))? {
                    break length;
                }
                naive.wait();
            }
        };
        if got != 8 * N {
            return Err(format!("an item of {got} bytes instead of {}", 8 * N).into());
        }
        Ok(look(black_box(&self.1)))
    }
}

fn options<const N: usize>(setup: &Setup) -> Options {
    Options::new(&setup.name, setup.capacity as usize * (8 * N + 8)).with_path(&setup.dir)
}

struct Kept(#[allow(dead_code)] Subscriber);
impl Keep for Kept {}

impl System for Cloudtoid {
    fn create<const N: usize>(setup: &Setup) -> Outcome<Box<dyn Keep>> {
        // "Keep at least one endpoint connected": the queue is gone when nobody has it open.
        Ok(Box::new(Kept(Subscriber::open(&options::<N>(setup))?)))
    }
    fn tx<const N: usize>(setup: &Setup) -> Outcome<impl Tx<N>> {
        Ok(Sender(
            Publisher::open(&options::<N>(setup))?,
            Box::new([0; N]),
        ))
    }
    fn rx<const N: usize>(setup: &Setup) -> Outcome<impl Rx<N>> {
        Ok(Receiver(
            Subscriber::open(&options::<N>(setup))?,
            Box::new([0; N]),
            setup.mood == Mood::Asleep,
        ))
    }
}
