//! A plain bounded MPMC ring after Dmitry Vyukov (1024cores.net, "Bounded MPMC queue") in shared memory, cells packed. It is what the exchange ring is measured
//! against: as fast as such a ring gets, and not crash-safe (a process killed between claiming a cell and publishing it stops the ring at that cell).
//!
//! Two ways of waiting: naive (`pause`, and now and then yield), and prodcon's policy, so that one sees what comes from the ring and what from the waiting.
//! Layout: tail | 128 | head | 256 | cells of sequence word and item, packed.

use super::waiting::{Pacer, Way};
use crate::Outcome;
use crate::ends::{Keep, Rx, Setup, System, Tx};
use memmap2::MmapRaw;
use std::fs::File;
use std::hint::black_box;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

/// The ring with one of two ways of waiting.
pub struct Vyukov<W>(PhantomData<W>);

const CELLS: usize = 256;

struct Ring<W, const N: usize> {
    map: MmapRaw,
    capacity: u64,
    lossy: bool,
    pacer: Pacer<W>,
    item: Box<[u64; N]>,
}

enum Missed {
    Nothing, // there is no item, or no space
}

impl<W: Way, const N: usize> Ring<W, N> {
    const STRIDE: usize = 8 + 8 * N;

    fn over(file: &File, setup: &Setup) -> Outcome<Self> {
        let capacity = u64::from(setup.capacity);
        assert!(capacity.is_power_of_two());
        Ok(Self {
            map: MmapRaw::map_raw(file)?,
            capacity,
            lossy: setup.lossy,
            pacer: Pacer::new(capacity),
            item: Box::new([0; N]),
        })
    }

    fn join(setup: &Setup) -> Outcome<Self> {
        Self::over(
            &File::options()
                .read(true)
                .write(true)
                .open(setup.dir.join(&setup.name))?,
            setup,
        )
    }

    #[inline]
    fn word(&self, offset: usize) -> &AtomicU64 {
        let pointer = self.map.as_ptr().wrapping_add(offset).cast::<AtomicU64>();
        // SAFETY: all offsets used are multiples of 8 inside the mapping, which is page-aligned and lives as long as self.
        unsafe { &*pointer }
    }

    #[inline]
    fn cell(&self, position: u64) -> usize {
        CELLS + (position & (self.capacity - 1)) as usize * Self::STRIDE
    }

    #[inline]
    fn payload(&self, cell: usize) -> *mut [u64; N] {
        self.map.as_mut_ptr().wrapping_add(cell + 8).cast()
    }

    /// Claims the next position on one side. A cell whose word is `position + due` is to be had, one below it is not.
    #[inline]
    fn claim(&mut self, side: usize, due: u64) -> Result<(u64, usize), Missed> {
        let mut position = self.word(side).load(Ordering::Relaxed);
        loop {
            let cell = self.cell(position);
            let ahead = self
                .word(cell)
                .load(Ordering::Acquire)
                .wrapping_sub(position + due) as i64;
            if ahead == 0 {
                match self.word(side).compare_exchange_weak(
                    position,
                    position + 1,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                ) {
                    Ok(_) => {
                        self.pacer.success();
                        return Ok((position, cell));
                    }
                    Err(now) => {
                        position = now;
                        self.pacer.contended();
                    }
                }
            } else if ahead < 0 {
                return Err(Missed::Nothing);
            } else {
                position = self.word(side).load(Ordering::Relaxed);
            }
        }
    }

    /// Waits on one side: whether the cell some positions ahead is to be had tells how the other side gets on.
    #[inline]
    fn wait(&mut self, side: usize, due: u64) {
        let position = self.word(side).load(Ordering::Relaxed);
        let mut pacer = std::mem::take(&mut self.pacer);
        pacer.missed(|ahead| {
            self.word(self.cell(position + ahead))
                .load(Ordering::Relaxed)
                == position + ahead + due
        });
        self.pacer = pacer;
    }
}

const TAIL: usize = 0;
const HEAD: usize = 128;

impl<W: Way, const N: usize> Tx<N> for Ring<W, N> {
    #[inline]
    fn put(&mut self, fill: impl FnOnce(&mut [u64; N])) -> Outcome<()> {
        fill(&mut self.item);
        black_box(&self.item);
        loop {
            match self.claim(TAIL, 0) {
                Ok((position, cell)) => {
                    // SAFETY: the claim makes the cell's payload this side's alone until its word is stored below; inside the mapping, aligned to 8 bytes.
                    unsafe {
                        self.payload(cell)
                            .copy_from_nonoverlapping(&raw const *self.item, 1)
                    };
                    self.word(cell).store(position + 1, Ordering::Release);
                    return Ok(());
                }
                Err(Missed::Nothing) if self.lossy => {
                    if let Ok((position, cell)) = self.claim(HEAD, 1) {
                        self.word(cell)
                            .store(position + self.capacity, Ordering::Release); // the oldest is dropped
                    }
                }
                Err(Missed::Nothing) => self.wait(TAIL, 0),
            }
        }
    }
}

impl<W: Way, const N: usize> Rx<N> for Ring<W, N> {
    #[inline]
    fn get<R>(&mut self, look: impl FnOnce(&[u64; N]) -> R) -> Outcome<R> {
        loop {
            match self.claim(HEAD, 1) {
                Ok((position, cell)) => {
                    // SAFETY: the claim makes the cell's payload this side's alone until its word is stored below; inside the mapping, aligned to 8 bytes.
                    unsafe {
                        self.payload(cell)
                            .copy_to_nonoverlapping(&raw mut *self.item, 1)
                    };
                    self.word(cell)
                        .store(position + self.capacity, Ordering::Release);
                    return Ok(look(black_box(&self.item)));
                }
                Err(Missed::Nothing) => self.wait(HEAD, 1),
            }
        }
    }
}

impl<W: Way> System for Vyukov<W> {
    fn create<const N: usize>(setup: &Setup) -> Outcome<Box<dyn Keep>> {
        let file = File::options()
            .create_new(true)
            .read(true)
            .write(true)
            .open(setup.dir.join(&setup.name))?;
        file.set_len((CELLS + setup.capacity as usize * Ring::<W, N>::STRIDE) as u64)?;
        let ring = Ring::<W, N>::over(&file, setup)?;
        for position in 0..ring.capacity {
            ring.word(ring.cell(position))
                .store(position, Ordering::Release);
        }
        Ok(Box::new(()))
    }
    fn tx<const N: usize>(setup: &Setup) -> Outcome<impl Tx<N>> {
        Ring::<W, N>::join(setup)
    }
    fn rx<const N: usize>(setup: &Setup) -> Outcome<impl Rx<N>> {
        Ring::<W, N>::join(setup)
    }
}
