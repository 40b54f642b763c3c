//! prodcon: blocking `put` and `get_into` of a plain type; in place (`reserve` .. `commit`, `take`) as a system of its own; at-least-once in place.

use crate::Outcome;
use crate::ends::{Keep, Rx, Setup, System, Tx};
use prodcon::{Control, Delivery, Options, ReadyQueue};
use std::hint::black_box;

/// Blocking put and get_into, which copy.
pub struct Prodcon;
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

fn create<const N: usize>(setup: &Setup, delivery: Delivery) -> Outcome<Box<dyn Keep>> {
    let options = Options::new(setup.capacity)
        .lossy(setup.lossy)
        .seats(64.max((setup.producers + setup.consumers) as u32 * 4))
        .delivery(delivery)
        .directory(&setup.dir);
    drop(ReadyQueue::<[u64; N]>::create(&setup.name, &options)?);
    Ok(Box::new(Kept(Control::attach_in(&setup.dir, &setup.name)?)))
}

struct End<const N: usize> {
    queue: ReadyQueue<[u64; N]>,
    item: Box<[u64; N]>,
}

impl<const N: usize> End<N> {
    fn new(setup: &Setup) -> Outcome<Self> {
        Ok(Self {
            queue: ReadyQueue::attach_in(&setup.dir, &setup.name)?,
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
        create::<N>(setup, Delivery::AtMostOnce)
    }
    fn tx<const N: usize>(setup: &Setup) -> Outcome<impl Tx<N>> {
        End::new(setup)
    }
    fn rx<const N: usize>(setup: &Setup) -> Outcome<impl Rx<N>> {
        End::new(setup)
    }
}

struct InPlace<const N: usize>(ReadyQueue<[u64; N]>);

impl<const N: usize> InPlace<N> {
    fn new(setup: &Setup) -> Outcome<Self> {
        Ok(Self(ReadyQueue::attach_in(&setup.dir, &setup.name)?))
    }
}

impl<const N: usize> Tx<N> for InPlace<N> {
    #[inline]
    fn put(&mut self, fill: impl FnOnce(&mut [u64; N])) -> Outcome<()> {
        let mut block = self.0.reserve_item()?;
        fill(&mut block);
        block.commit().map_err(|refused| refused.error)?;
        Ok(())
    }
}

impl<const N: usize> Rx<N> for InPlace<N> {
    #[inline]
    fn get<R>(&mut self, look: impl FnOnce(&[u64; N]) -> R) -> Outcome<R> {
        Ok(look(black_box(&*self.0.take()?))) // acknowledged when the guard is dropped, after the look
    }
}

impl System for ProdconInPlace {
    fn create<const N: usize>(setup: &Setup) -> Outcome<Box<dyn Keep>> {
        create::<N>(setup, Delivery::AtMostOnce)
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
        create::<N>(setup, Delivery::AtLeastOnce)
    }
    fn tx<const N: usize>(setup: &Setup) -> Outcome<impl Tx<N>> {
        InPlace::new(setup)
    }
    fn rx<const N: usize>(setup: &Setup) -> Outcome<impl Rx<N>> {
        InPlace::new(setup)
    }
}
