//! prodcon: blocking `put` and `get_into` of a plain type; the same polled (`try_put`,
//! `try_get_into`); the same with the item filled in place (`reserve` .. `commit`); in place at
//! both ends (`reserve` .. `commit`, `take`); at-least-once in place.

use crate::Outcome;
use crate::ends::{Keep, Naive, Rx, Setup, System, Tx};
use prodcon::{AttachOptions, Control, GetError, PutError, QueueOptions, ReadyQueue};
use std::hint::black_box;

/// Blocking put and get_into, which copy.
pub struct Prodcon;
/// `try_put` and `try_get_into`, tried again, which copy too.
pub struct ProdconPolled;
/// Blocking reserve and commit, which do not copy, and the same get_into, which does. It differs
/// from [`Prodcon`] in the put alone: the ratio of the two is what the copy of a put costs.
pub struct ProdconReserve;
/// Blocking reserve, commit and take, which do not.
pub struct ProdconInPlace;
/// As [`ProdconInPlace`], and what a killed consumer had in hand is delivered again.
pub struct ProdconAtLeastOnce;

struct Kept(Control);

impl Keep for Kept {
    fn dropped(&self) -> Option<u64> {
        self.0.stats().ok().map(|stats| stats.dropped)
    }
}

fn there(setup: &Setup) -> AttachOptions {
    AttachOptions::new().directory(&setup.dir)
}

fn create<const N: usize>(setup: &Setup, at_least_once: bool) -> Outcome<Box<dyn Keep>> {
    let options = QueueOptions::new(setup.capacity)
        .lossy(setup.lossy)
        .seats(64.max((setup.producers + setup.consumers) as u32 * 4))
        .at_least_once(at_least_once)
        .attach(there(setup));
    Ok(Box::new(Kept(Control::create::<[u64; N]>(
        &setup.name,
        &options,
    )?)))
}

struct End<const N: usize> {
    queue: ReadyQueue<[u64; N]>,
    item: Box<[u64; N]>,
}

impl<const N: usize> End<N> {
    fn new(setup: &Setup) -> Outcome<Self> {
        Ok(Self {
            queue: ReadyQueue::attach_with(&setup.name, &there(setup))?,
            item: Box::new([0; N]),
        })
    }
}

impl<const N: usize> Tx<N> for End<N> {
    #[inline]
    fn put(&mut self, fill: impl FnOnce(&mut [u64; N])) -> Outcome<()> {
        fill(&mut self.item);
        Ok(self.queue.put(black_box(&self.item))?)
    }
}

impl<const N: usize> Rx<N> for End<N> {
    #[inline]
    fn get<R>(&mut self, look: impl FnOnce(&[u64; N]) -> R) -> Outcome<R> {
        self.queue.get_into(&mut self.item)?;
        Ok(look(black_box(&self.item)))
    }
}

impl System for Prodcon {
    fn create<const N: usize>(setup: &Setup) -> Outcome<Box<dyn Keep>> {
        create::<N>(setup, false)
    }
    fn tx<const N: usize>(setup: &Setup) -> Outcome<impl Tx<N>> {
        End::new(setup)
    }
    fn rx<const N: usize>(setup: &Setup) -> Outcome<impl Rx<N>> {
        End::new(setup)
    }
}

struct Polled<const N: usize>(End<N>);

impl<const N: usize> Tx<N> for Polled<N> {
    #[inline]
    fn put(&mut self, fill: impl FnOnce(&mut [u64; N])) -> Outcome<()> {
        let End { queue, item } = &mut self.0;
        fill(item);
        let mut naive = Naive::default();
        loop {
            match queue.try_put(black_box(item)) {
                Err(PutError::Full) => naive.wait(),
                done => return Ok(done?),
            }
        }
    }
}

impl<const N: usize> Rx<N> for Polled<N> {
    #[inline]
    fn get<R>(&mut self, look: impl FnOnce(&[u64; N]) -> R) -> Outcome<R> {
        let End { queue, item } = &mut self.0;
        let mut naive = Naive::default();
        loop {
            match queue.try_get_into(item) {
                Err(GetError::Empty) => naive.wait(),
                done => break done?,
            }
        }
        Ok(look(black_box(item)))
    }
}

impl System for ProdconPolled {
    fn create<const N: usize>(setup: &Setup) -> Outcome<Box<dyn Keep>> {
        create::<N>(setup, false)
    }
    fn tx<const N: usize>(setup: &Setup) -> Outcome<impl Tx<N>> {
        Ok(Polled(End::new(setup)?))
    }
    fn rx<const N: usize>(setup: &Setup) -> Outcome<impl Rx<N>> {
        Ok(Polled(End::new(setup)?))
    }
}

struct InPlace<const N: usize>(ReadyQueue<[u64; N]>);

impl<const N: usize> InPlace<N> {
    fn new(setup: &Setup) -> Outcome<Self> {
        Ok(Self(ReadyQueue::attach_with(&setup.name, &there(setup))?))
    }
}

impl<const N: usize> Tx<N> for InPlace<N> {
    #[inline]
    fn put(&mut self, fill: impl FnOnce(&mut [u64; N])) -> Outcome<()> {
        let mut block = self.0.reserve()?;
        fill(&mut block);
        Ok(block.commit()?)
    }
}

impl<const N: usize> Rx<N> for InPlace<N> {
    #[inline]
    fn get<R>(&mut self, look: impl FnOnce(&[u64; N]) -> R) -> Outcome<R> {
        let item = self.0.take()?;
        let seen = look(black_box(&*item));
        item.ack();
        Ok(seen)
    }
}

impl System for ProdconReserve {
    fn create<const N: usize>(setup: &Setup) -> Outcome<Box<dyn Keep>> {
        create::<N>(setup, false)
    }
    fn tx<const N: usize>(setup: &Setup) -> Outcome<impl Tx<N>> {
        InPlace::new(setup)
    }
    fn rx<const N: usize>(setup: &Setup) -> Outcome<impl Rx<N>> {
        End::new(setup)
    }
}

impl System for ProdconInPlace {
    fn create<const N: usize>(setup: &Setup) -> Outcome<Box<dyn Keep>> {
        create::<N>(setup, false)
    }
    fn tx<const N: usize>(setup: &Setup) -> Outcome<impl Tx<N>> {
        InPlace::new(setup)
    }
    fn rx<const N: usize>(setup: &Setup) -> Outcome<impl Rx<N>> {
        InPlace::new(setup)
    }
}

impl System for ProdconAtLeastOnce {
    fn create<const N: usize>(setup: &Setup) -> Outcome<Box<dyn Keep>> {
        create::<N>(setup, true)
    }
    fn tx<const N: usize>(setup: &Setup) -> Outcome<impl Tx<N>> {
        InPlace::new(setup)
    }
    fn rx<const N: usize>(setup: &Setup) -> Outcome<impl Rx<N>> {
        InPlace::new(setup)
    }
}
