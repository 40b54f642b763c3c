//! The processes that a soak kills and stops: producers of items that can be recognised, consumers that tell of each item before they acknowledge it.
//!
//! A consumer tells on its stdout, a pipe; one write of [`Told::BYTES`] bytes happens whole or not at all, whatever kills it.

use super::ledger::{DISORDERED, NACKED, SOUND, SPOILED, Told};
use crate::child;
use crate::exit::{End, Outcome};
use clap::{Args, ValueEnum};
use prodcon::Role::{Consumer, Producer};
use prodcon::{Attach, GetError, OpenError, PutError, ReadyQueue};
use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Bytes of an item before its filling: incarnation of the producer, sequence number.
const HEAD: usize = 16;
/// Shortest item: a head and so much filling that a wrong byte cannot hide.
pub const SHORTEST: usize = HEAD + 8;

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Role {
    Put,
    Get,
}

/// A bug planted on purpose, so that tests can see it found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Bug {
    /// A producer puts some items twice.
    Twice,
    /// A producer leaves numbers out.
    Skip,
    /// A producer swaps neighbours.
    Swap,
    /// A producer writes a wrong byte.
    Spoil,
    /// A consumer acknowledges what it never told of.
    Untold,
    /// A consumer tells of what it was never given.
    Invented,
    /// A consumer ends by itself.
    Quit,
    /// Nobody gets anything.
    Stuck,
}

#[derive(Args)]
pub struct Worker {
    role: Role,
    /// Its incarnation: no other process of the soak has this number
    number: u64,
    queue: String,
    #[arg(long)]
    plant: Option<Bug>,
}

/// Xorshift: enough for dice, and the same everywhere.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(mix(seed) | 1)
    }

    pub fn word(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// 0 to `sides` - 1.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.word() % sides
    }
}

fn mix(word: u64) -> u64 {
    let word = (word ^ word >> 31).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    word ^ word >> 29
}

/// A producer that spends its time on the queue rather than on what it puts: most signals hit it there.
fn is_busy(maker: u64) -> bool {
    maker.is_multiple_of(2)
}

/// How long the item with these numbers is.
fn length(maker: u64, sequence: u64, longest: usize) -> usize {
    if is_busy(maker) {
        return SHORTEST;
    }
    SHORTEST + (mix(maker ^ sequence << 20) % (longest - SHORTEST + 1) as u64) as usize
}

/// The bytes after the head.
fn filling(maker: u64, sequence: u64) -> impl Iterator<Item = u8> {
    let mut dice = Dice::new(mix(maker) ^ sequence);
    std::iter::from_fn(move || Some(dice.word().to_ne_bytes())).flatten()
}

fn write(item: &mut [u8], maker: u64, sequence: u64) {
    item[..8].copy_from_slice(&maker.to_ne_bytes());
    item[8..HEAD].copy_from_slice(&sequence.to_ne_bytes());
    item[HEAD..].iter_mut().zip(filling(maker, sequence)).for_each(|(byte, right)| *byte = right);
}

/// The numbers in an item, and whether all the rest of it is right.
fn read(item: &[u8], longest: usize) -> (u64, u64, bool) {
    let word = |at: usize| {
        item.get(at..at + 8)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(u64::MAX, u64::from_ne_bytes)
    };
    let (maker, sequence) = (word(0), word(8));
    let filled = || item[HEAD..].iter().zip(filling(maker, sequence)).all(|(byte, right)| *byte == right);
    let right = maker <= u64::MAX >> 8 && item.len() == length(maker, sequence, longest) && filled();
    // What is told has room for 56 bits.
    let maker = maker.min(u64::MAX >> 8);
    (maker, sequence, right)
}

pub fn work(arguments: &Worker) -> Outcome {
    child::born();
    let role = if arguments.role == Role::Put { Producer } else { Consumer };
    let queue = attach(&arguments.queue, &Attach::new().role(role))?;
    let dice = Dice::new(arguments.number);
    match arguments.role {
        Role::Put => produce(arguments, queue, dice),
        Role::Get => consume(arguments, queue, dice),
    }
}

/// The seats of the killed come back when somebody recovers them: no seat is a reason to try again.
fn attach(name: &str, attach: &Attach) -> Result<ReadyQueue<[u8]>, End> {
    let began = Instant::now();
    loop {
        match ReadyQueue::attach_with(name, attach) {
            Err(OpenError::NoSeat { .. }) if began.elapsed() < Duration::from_secs(60) => std::thread::sleep(Duration::from_millis(5)),
            other => return Ok(other?),
        }
    }
}

fn produce(arguments: &Worker, mut queue: ReadyQueue<[u8]>, mut dice: Dice) -> Outcome {
    let (maker, longest, plant) = (arguments.number, queue.item_size(), arguments.plant);
    let mut item = vec![0; longest];
    let mut next = 0u64;
    loop {
        let planted = plant.filter(|_| next % 64 == 5);
        let sequence = match planted {
            Some(Bug::Swap) => next + 1,
            _ if plant == Some(Bug::Swap) && next % 64 == 6 => next - 1,
            _ => next,
        };
        let len = length(maker, sequence, longest);
        for _ in 0..if planted == Some(Bug::Twice) { 2 } else { 1 } {
            loop {
                let put = if dice.roll(2) == 0 {
                    write(&mut item[..len], maker, sequence);
                    if planted == Some(Bug::Spoil) {
                        item[len - 1] ^= 1;
                    }
                    queue.put_timeout(&item[..len], Duration::from_millis(dice.roll(20)))
                } else {
                    let mut block = queue.reserve(len).map_err(End::failed)?;
                    write(&mut block, maker, sequence);
                    if planted == Some(Bug::Spoil) {
                        block[len - 1] ^= 1;
                    }
                    block.commit().map_err(|refused| refused.error)
                };
                match put {
                    Ok(()) => break,
                    Err(PutError::TimedOut) => {}
                    Err(PutError::NotReady) => drop(queue.wait_ready(Some(Duration::from_millis(100)))?),
                    Err(PutError::Stopped) => return Ok(()),
                    Err(error) => return Err(End::put(queue.name(), &error)),
                }
            }
        }
        next += if planted == Some(Bug::Skip) { 2 } else { 1 };
        // Some let the queue run empty now and then, so that its consumers fall asleep; the others are always at it.
        if !is_busy(maker) && dice.roll(512) == 0 {
            std::thread::sleep(Duration::from_micros(dice.roll(2000)));
        }
    }
}

fn consume(arguments: &Worker, mut queue: ReadyQueue<[u8]>, mut dice: Dice) -> Outcome {
    let stdout = std::io::stdout().as_fd().try_clone_to_owned();
    let mut pipe = stdout.map(File::from).map_err(|error| End::failed(format!("cannot use stdout: {error}")))?;
    let gives_back = queue.control()?.header().at_least_once;
    let (longest, plant) = (queue.item_size(), arguments.plant);
    let mut last: HashMap<u64, u64> = HashMap::new();
    loop {
        if plant == Some(Bug::Stuck) {
            std::thread::sleep(Duration::from_secs(1));
            continue;
        }
        let patience = dice.roll(4);
        let item = match if patience == 0 {
            queue.take()
        } else {
            queue.take_timeout(Duration::from_millis(10 * patience))
        } {
            Ok(item) => item,
            Err(GetError::TimedOut) => continue,
            Err(GetError::Stopped) => return Ok(()),
            Err(error) => return Err(End::failed(error)),
        };
        let (maker, sequence, right) = read(&item, longest);
        // An item that somebody had in hand before comes later than its successors.
        let in_order = item.deliveries() > 1 || last.insert(maker, sequence).is_none_or(|before| before < sequence);
        let mut told = Told {
            maker,
            sequence,
            flags: if right { SOUND } else { SPOILED } | if in_order { SOUND } else { DISORDERED },
        };
        let planted = plant.filter(|_| dice.roll(64) == 0);
        let lingers = dice.roll(4096);
        if lingers == 0 {
            std::thread::sleep(Duration::from_micros(dice.roll(2000)));
        }
        let gives_back = gives_back && told.flags == SOUND && dice.roll(256) == 0;
        if gives_back {
            told.flags = NACKED;
        }
        if planted != Some(Bug::Untold) && pipe.write_all(&told.pack()).is_err() {
            return Ok(()); // nobody listens any more
        }
        if planted == Some(Bug::Invented) {
            told.sequence += 1 << 20;
            let _ = pipe.write_all(&told.pack());
        }
        if lingers == 1 {
            std::thread::sleep(Duration::from_micros(dice.roll(2000)));
        }
        if gives_back {
            item.nack()?;
        } else {
            item.ack();
        }
        if planted == Some(Bug::Quit) {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_recognised_and_a_changed_byte_is_noticed() {
        for sequence in 0..500 {
            let maker = 9 + sequence % 2;
            let len = length(maker, sequence, 64);
            let mut item = vec![0; len];
            write(&mut item, maker, sequence);
            assert_eq!(read(&item, 64), (maker, sequence, true));
            let at = sequence as usize % len;
            item[at] ^= 4;
            assert!(!read(&item, 64).2, "byte {at} of {len}");
        }
        assert!(!read(b"short", 64).2);
    }
}
