//! ringfire, its ring for one producer, told not to lose anything, with one consumer.
//!
//! Set up as its documentation says (ringfire-0.5.2: README.md, "Lossless Backpressure Flow Control"; src/spmc.rs): the producer builds the ring with
//! `FlowControl::LosslessBackpressure`, and `push` waits for the slowest registered reader. The consumer is in `recv_blocking` with the wait
//! strategy that the README recommends, as in `ringfire.rs`.

use crate::Outcome;
use crate::ends::{Keep, Mood, Rx, Setup, System, Tx, once_there};
use ringfire::{
    BusySpin, FlowControl, FutexWait, RingConsumer, RingProducer, RingProducerBuilder, YieldBackoff,
};
use std::hint::black_box;

/// ringfire's lossless ring.
pub struct RingfirePair;

struct Sender<const N: usize> {
    ring: RingProducer<[u64; N]>,
    item: Box<[u64; N]>,
}

struct Receiver<const N: usize> {
    ring: RingConsumer<[u64; N]>,
    mood: Mood,
    spin: BusySpin,
    share: YieldBackoff,
    sleep: FutexWait,
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

impl System for RingfirePair {
    /// The producer makes it: there may be no other one.
    fn create<const N: usize>(_: &Setup) -> Outcome<Box<dyn Keep>> {
        Ok(Box::new(()))
    }
    fn tx<const N: usize>(setup: &Setup) -> Outcome<impl Tx<N>> {
        let builder = RingProducerBuilder::new(setup.capacity.into())
            .flow_control(FlowControl::LosslessBackpressure);
        Ok(Sender {
            ring: builder.build::<[u64; N], _>(setup.dir.join(&setup.name))?,
            item: Box::new([0; N]),
        })
    }
    fn rx<const N: usize>(setup: &Setup) -> Outcome<impl Rx<N>> {
        let path = setup.dir.join(&setup.name);
        Ok(Receiver {
            ring: once_there(|| {
                Ok(RingConsumer::<[u64; N]>::builder()
                    .start_from_oldest()
                    .attach(&path)?)
            })?,
            mood: setup.mood,
            spin: BusySpin,
            share: YieldBackoff::default(),
            sleep: FutexWait::default(),
        })
    }
}
