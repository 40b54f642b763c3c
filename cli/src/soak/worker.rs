//! The processes that a soak kills and stops: producers of items that can be recognised, consumers that tell of each item before they acknowledge it.

use super::behaviour::{Dice, Reporter, again, is_busy, mix, rest};
use super::ledger::{NACKED, SOUND};
use super::mode::HANDS;
use super::plain;
use crate::child;
use crate::exit::{End, Outcome};
use clap::{Args, ValueEnum};
use prodcon::Role::{Consumer, Producer};
use prodcon::{AttachOptions, ErrorKind, GetError, Payload, ReadyQueue};
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
    /// More than 1: items of a plain type, in batches
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Gives nothing back
    #[arg(long)]
    keeps: bool,
    #[arg(long)]
    plant: Option<Bug>,
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
    item[HEAD..]
        .iter_mut()
        .zip(filling(maker, sequence))
        .for_each(|(byte, right)| *byte = right);
}

/// The numbers in an item, and whether all the rest of it is right.
fn read(item: &[u8], longest: usize) -> (u64, u64, bool) {
    let word = |at: usize| {
        item.get(at..at + 8)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(u64::MAX, u64::from_ne_bytes)
    };
    let (maker, sequence) = (word(0), word(8));
    let filled = || {
        item[HEAD..]
            .iter()
            .zip(filling(maker, sequence))
            .all(|(byte, right)| *byte == right)
    };
    let right =
        maker <= u64::MAX >> 8 && item.len() == length(maker, sequence, longest) && filled();
    // What is told has room for 56 bits.
    let maker = maker.min(u64::MAX >> 8);
    (maker, sequence, right)
}

pub fn work(arguments: &Worker) -> Outcome {
    child::born();
    let _ = rustix::process::nice(5); // the observer comes first, else nothing happens to them
    let role = if arguments.role == Role::Put {
        Producer
    } else {
        Consumer
    };
    let how = AttachOptions::new().role(role);
    let dice = Dice::new(arguments.number);
    match (arguments.role, arguments.batch) {
        (Role::Put, 1) => produce(arguments, attach(&arguments.queue, &how)?, dice),
        (Role::Get, 1) => consume(arguments, attach(&arguments.queue, &how)?, dice),
        (Role::Put, batch) => plain::produce(
            arguments.number,
            batch,
            attach(&arguments.queue, &how)?,
            dice,
        ),
        (Role::Get, batch) => plain::consume(
            batch,
            arguments.keeps,
            attach(&arguments.queue, &how.max_unacked(HANDS).min_unacked(1))?,
            dice,
        ),
    }
}

/// The seats of the killed come back when somebody recovers them: no seat is a reason to try again.
fn attach<T: Payload + ?Sized>(name: &str, how: &AttachOptions) -> Result<ReadyQueue<T>, End> {
    let began = Instant::now();
    loop {
        match ReadyQueue::attach_with(name, how) {
            Err(error)
                if error.kind() == ErrorKind::NoSeat
                    && began.elapsed() < Duration::from_secs(60) =>
            {
                std::thread::sleep(Duration::from_millis(5))
            }
            other => return Ok(other?),
        }
    }
}

fn produce(arguments: &Worker, mut queue: ReadyQueue<[u8]>, mut dice: Dice) -> Outcome {
    let (maker, longest, plant) = (
        arguments.number,
        queue.control().item_size(),
        arguments.plant,
    );
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
                    queue
                        .within(Duration::from_millis(dice.roll(20)))
                        .put(&item[..len])
                } else {
                    let mut block = queue.reserve(len).map_err(End::failed)?;
                    write(&mut block, maker, sequence);
                    if planted == Some(Bug::Spoil) {
                        block[len - 1] ^= 1;
                    }
                    block.commit()
                };
                match put {
                    Ok(()) => break,
                    Err(error) if !again(&queue, &error)? => return Ok(()),
                    Err(_) => {}
                }
            }
        }
        next += if planted == Some(Bug::Skip) { 2 } else { 1 };
        rest(&queue, maker, next, &mut dice);
    }
}

fn consume(arguments: &Worker, mut queue: ReadyQueue<[u8]>, mut dice: Dice) -> Outcome {
    let mut reporter = Reporter::new()?;
    let gives_back = queue.control().info().at_least_once && !arguments.keeps;
    let (longest, plant) = (queue.control().item_size(), arguments.plant);
    loop {
        if plant == Some(Bug::Stuck) {
            std::thread::sleep(Duration::from_secs(1));
            continue;
        }
        let patience = dice.roll(4);
        let item = match if patience == 0 {
            queue.take()
        } else {
            queue.within(Duration::from_millis(10 * patience)).take()
        } {
            Ok(item) => item,
            Err(GetError::TimedOut) => continue,
            Err(GetError::Stopped) => return Ok(()),
            Err(error) => return Err(End::failed(error)),
        };
        let mut told = reporter.judge(read(&item, longest), item.delivery_count());
        let planted = plant.filter(|_| dice.roll(64) == 0);
        let lingers = dice.roll(4096);
        if lingers == 0 {
            std::thread::sleep(Duration::from_micros(dice.roll(2000)));
        }
        let gives_back = gives_back && told.flags == SOUND && dice.roll(256) == 0;
        if gives_back {
            told.flags = NACKED;
        }
        if planted != Some(Bug::Untold) && !reporter.tell(&[told]) {
            return Ok(()); // nobody listens any more
        }
        if planted == Some(Bug::Invented) {
            told.sequence += 1 << 20;
            reporter.tell(&[told]);
        }
        if lingers == 1 {
            std::thread::sleep(Duration::from_micros(dice.roll(2000)));
        }
        if gives_back && told.sequence % 2 == 0 {
            item.nack()?;
        } else if gives_back {
            drop(item);
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
