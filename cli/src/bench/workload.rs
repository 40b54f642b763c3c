//! What is measured: how many processes, what items, what queue. And the items: numbered, with bytes that can be checked.
//!
//! Sizes of 8, 64, 1024 and 65,536 bytes are plain types, as a program would use; others are byte strings.

use crate::exit::End;
use crate::parse;
use clap::Args;
use prodcon::{Control, Item, Payload, PutError, QueueOptions, ReadyQueue, bytemuck};

#[derive(Args, Clone, PartialEq, Eq, Debug)]
pub struct Workload {
    /// Producing processes
    #[arg(long, default_value_t = 1, value_parser = |text: &str| parse::count_in(text, 1..=200))]
    pub producers: u32,
    /// Consuming processes
    #[arg(long, default_value_t = 1, value_parser = |text: &str| parse::count_in(text, 1..=200))]
    pub consumers: u32,
    /// Bytes of an item, 8 at least
    #[arg(long, default_value_t = 8, value_parser = |text: &str| parse::bytes_in(text, 8..=u32::MAX))]
    pub item_size: u32,
    /// Items the queue holds (with --batch: blocks)
    #[arg(long, default_value_t = 1024, value_parser = parse::count::<u32>)]
    pub capacity: u32,
    /// A put on the full queue drops the oldest
    #[arg(long)]
    pub lossy: bool,
    /// Up to M items in one exchange (items of 8, 64, 1024 or 65536 bytes)
    #[arg(long, value_name = "M", default_value_t = 1, value_parser = |text: &str| parse::count_in(text, 1..=65_535))]
    pub batch: u32,
    /// Fill and read items in place, without copies
    #[arg(long, conflicts_with = "batch")]
    pub zero_copy: bool,
}

/// What a workload's queue holds: `with!(size, f(arguments))` calls `f::<T>` for the type of that size, or `f::<[u8]>`.
macro_rules! with {
    ($size:expr, $function:ident($($argument:expr),*)) => {
        match $size {
            8 => $function::<u64>($($argument),*),
            64 => $function::<[u64; 8]>($($argument),*),
            1024 => $function::<[u64; 128]>($($argument),*),
            65_536 => $function::<[[u64; 64]; 128]>($($argument),*),
            _ => $function::<[u8]>($($argument),*),
        }
    };
}
pub(super) use with;

/// The most memory that the blocks of one queue of a sweep take: /dev/shm is small in some containers.
const MAX_QUEUE_BYTES: u64 = 32 << 20;

impl Workload {
    pub fn processes(&self) -> usize {
        (self.producers + self.consumers) as usize
    }

    /// This workload with other numbers, for a sweep; large items get a shorter queue.
    pub fn of(&self, item_size: u32, producers: u32, consumers: u32) -> Self {
        let fits = (MAX_QUEUE_BYTES / u64::from(item_size)).max(64);
        Self {
            producers,
            consumers,
            item_size,
            capacity: self.capacity.min(u32::try_from(fits).unwrap_or(u32::MAX)),
            ..self.clone()
        }
    }

    /// The same processes and items; a sweep may have given it a shorter queue.
    pub fn same_load(&self, other: &Self) -> bool {
        (self.producers, self.consumers, self.item_size)
            == (other.producers, other.consumers, other.item_size)
    }

    /// Makes the queue; nobody may put yet.
    pub fn create(&self, name: &str) -> Result<Control, End> {
        let seats = u32::try_from(self.processes() + 4).unwrap_or(u32::MAX);
        let options = QueueOptions::new(self.capacity).item_size(self.item_size as usize);
        let options = options
            .lossy(self.lossy)
            .seats(seats)
            .batch(self.batch)
            .ready(false);
        if self.batch > 1 && !matches!(self.item_size, 8 | 64 | 1024 | 65_536) {
            return Err(End::usage(
                "batches are measured with items of 8, 64, 1024 or 65536 bytes",
            ));
        }
        Ok(with!(self.item_size, create(name, &options))?)
    }

    pub fn describe(&self) -> String {
        let mut text = format!(
            "{}p{}c {} B",
            self.producers, self.consumers, self.item_size
        );
        if self.batch > 1 {
            text += &format!(" batch {}", self.batch);
        }
        if self.lossy {
            text += " lossy";
        }
        text
    }
}

fn create<T: Payload + ?Sized>(name: &str, options: &QueueOptions) -> prodcon::Result<Control> {
    Control::create::<T>(name, options)
}

/// Items as bytes.
pub trait Sample: Payload {
    fn raw(&self) -> &[u8];
    fn raw_mut(&mut self) -> &mut [u8];
    /// An item of zeros, `size` bytes long.
    fn zeros(size: usize) -> Box<Self>;
    /// Puts an item of `size` bytes that is filled in place.
    fn put_in_place(
        queue: &mut ReadyQueue<Self>,
        size: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<(), PutError>;
}

impl<T: Item> Sample for T {
    fn raw(&self) -> &[u8] {
        bytemuck::bytes_of(self)
    }
    fn raw_mut(&mut self) -> &mut [u8] {
        bytemuck::bytes_of_mut(self)
    }
    fn zeros(_: usize) -> Box<Self> {
        Box::new(T::zeroed())
    }
    fn put_in_place(
        queue: &mut ReadyQueue<Self>,
        _: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<(), PutError> {
        let mut block = queue.reserve()?;
        fill(block.raw_mut());
        block.commit()
    }
}

impl Sample for [u8] {
    fn raw(&self) -> &[u8] {
        self
    }
    fn raw_mut(&mut self) -> &mut [u8] {
        self
    }
    fn zeros(size: usize) -> Box<Self> {
        vec![0; size].into()
    }
    fn put_in_place(
        queue: &mut ReadyQueue<Self>,
        size: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<(), PutError> {
        let mut block = queue.reserve(size)?;
        fill(&mut block);
        block.commit()
    }
}

/// Producer and sequence number in one word: the first of each item.
pub fn label(producer: u64, sequence: u64) -> u64 {
    producer << 48 | sequence
}

/// What the last word of an item with this label is.
#[inline]
pub fn mark(label: u64) -> u64 {
    let word = (label ^ label >> 29).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    word ^ word >> 32
}

/// The sum over `count` labels in a row, by which a set of items is known. Of whole items the marks are added up: no other set has the same sum by chance.
#[inline]
pub fn sum(first: u64, count: u64, whole: bool) -> u64 {
    if whole {
        return (first..first + count).map(mark).fold(0, u64::wrapping_add);
    }
    first
        .wrapping_mul(count)
        .wrapping_add(count.wrapping_mul(count.wrapping_sub(1)) / 2)
}

/// Labels an item, at both ends; with `whole`, the bytes in between too.
#[inline]
pub fn stamp(item: &mut [u8], label: u64, whole: bool) {
    if whole {
        for (at, bytes) in item.chunks_mut(8).enumerate() {
            bytes
                .copy_from_slice(&mark(label.wrapping_add(at as u64)).to_ne_bytes()[..bytes.len()]);
        }
    }
    let len = item.len();
    if len >= 16 {
        item[len - 8..].copy_from_slice(&mark(label).to_ne_bytes());
    }
    item[..8].copy_from_slice(&label.to_ne_bytes());
}

/// The label of an item, and whether the rest of it is right.
#[inline]
pub fn read(item: &[u8], whole: bool) -> (u64, bool) {
    let word = |at: usize| {
        item.get(at..at + 8)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, u64::from_ne_bytes)
    };
    let label = word(0);
    let mut right = item.len() < 16 || word(item.len() - 8) == mark(label);
    if whole {
        let end = if item.len() >= 16 {
            item.len() - 8
        } else {
            item.len()
        };
        for (at, bytes) in item.chunks(8).enumerate().skip(1) {
            let from = at * 8;
            let checked = end.saturating_sub(from).min(bytes.len()); // the last word is another one
            right &=
                bytes[..checked] == mark(label.wrapping_add(at as u64)).to_ne_bytes()[..checked];
        }
    }
    (label, right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_whole_item_is_checked() {
        for size in [16, 17, 24, 31, 64, 100] {
            let mut item = vec![0; size];
            stamp(&mut item, label(3, 77), true);
            assert_eq!(read(&item, true), (label(3, 77), true), "{size}");
            for at in 8..size {
                item[at] ^= 1;
                assert!(!read(&item, true).1, "byte {at} of {size}");
                item[at] ^= 1;
            }
        }
        let mut item = [0; 8];
        stamp(&mut item, label(3, 77), true);
        assert_eq!(read(&item, true), (label(3, 77), true));
    }

    #[test]
    fn a_sweep_does_not_fill_the_memory() {
        let workload = Workload {
            producers: 1,
            consumers: 1,
            item_size: 8,
            capacity: 1024,
            lossy: false,
            batch: 1,
            zero_copy: false,
        };
        assert_eq!(workload.of(64, 2, 3).capacity, 1024);
        assert_eq!(workload.of(65_536, 2, 3).capacity, 512);
    }
}
