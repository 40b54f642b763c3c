//! What the processes of a soak do in a queue with batches: puts and gets of one item and of many, several blocks in hand, some acknowledged before others, some given
//! back.
//!
//! As everywhere in a soak, an item is told of before it is acknowledged.

use super::behaviour::{Dice, Reporter, again, is_busy, mix, rest};
use super::ledger::{NACKED, Receipt, SOUND};
use crate::exit::{End, Outcome};
use prodcon::{GetError, PutError, PutSliceError, ReadyQueue};
use std::time::Duration;

/// Incarnation of the producer, sequence number, and two words that follow from these.
pub type Plain = [u64; 4];

fn make(maker: u64, sequence: u64) -> Plain {
    let sum = mix(mix(maker) ^ sequence);
    [maker, sequence, sum, mix(sum)]
}

fn read(&item: &Plain) -> (u64, u64, bool) {
    let [maker, sequence, ..] = item;
    let most = u64::MAX >> 8;
    (
        maker.min(most),
        sequence,
        maker <= most && item == make(maker, sequence),
    )
}

pub fn produce(maker: u64, batch: usize, mut queue: ReadyQueue<Plain>, mut dice: Dice) -> Outcome {
    let mut next = 0u64;
    let mut items = vec![];
    loop {
        let patience = Duration::from_millis(dice.roll(20));
        // Mostly the quickest; else one item, or more than a block holds.
        let kind = if is_busy(maker) { 0 } else { dice.roll(4) };
        let done = match kind {
            0 | 1 => {
                let count = if kind == 0 {
                    batch as u64
                } else {
                    1 + dice.roll(3 * batch as u64)
                };
                items.clear();
                items.extend((next..next + count).map(|sequence| make(maker, sequence)));
                queue
                    .within(patience)
                    .put_slice(&items)
                    .map(|()| items.len())
                    .map_err(Cut::from)
            }
            2 => one(queue.within(patience).put(&make(maker, next))),
            _ => {
                let mut block = queue.reserve().map_err(End::failed)?;
                *block = make(maker, next);
                one(block.commit_within(patience).map_err(PutError::from))
            }
        };
        match done {
            Ok(put) => next += put as u64,
            Err(Cut { put, error }) => {
                next += put as u64;
                if !again(&queue, &error)? {
                    return Ok(());
                }
            }
        }
        rest(&queue, maker, next, &mut dice);
    }
}

/// A put of several items that was cut short.
struct Cut {
    put: usize,
    error: PutError,
}

impl From<PutSliceError> for Cut {
    fn from(PutSliceError { put, error, .. }: PutSliceError) -> Self {
        Self { put, error }
    }
}

/// A put of a single item, told as one of several is.
fn one(put: Result<(), PutError>) -> Result<usize, Cut> {
    put.map(|()| 1).map_err(|error| Cut { put: 0, error })
}

/// What becomes of the items in hand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Settling {
    Acknowledge,
    /// At-least-once only.
    GiveBack,
}

/// Tells of items, as far as they are sound with the intention to settle them so. Returns `None` if
/// nobody listens any more.
fn tell(reporter: &mut Reporter, mut receipts: Vec<Receipt>, wanted: Settling) -> Option<Settling> {
    let sound = receipts.iter().all(|receipt| receipt.flags == SOUND);
    let settling = if sound { wanted } else { Settling::Acknowledge };
    if settling == Settling::GiveBack {
        receipts
            .iter_mut()
            .for_each(|receipt| receipt.flags = NACKED);
    }
    reporter.tell(&receipts).then_some(settling)
}

pub fn consume(batch: usize, keeps: bool, mut queue: ReadyQueue<Plain>, mut dice: Dice) -> Outcome {
    let mut reporter = Reporter::new()?;
    let gives_back = queue.control().info().at_least_once && !keeps;
    loop {
        let wanted = if gives_back && dice.roll(256) == 0 {
            Settling::GiveBack
        } else {
            Settling::Acknowledge
        };
        let lingers = Some(Duration::from_micros(dice.roll(2000))).filter(|_| dice.roll(4096) == 0);
        let patience = Duration::from_millis(10 * (1 + dice.roll(4)));
        let most = 1 + dice.roll(4 * batch as u64) as usize;
        let listened = match dice.roll(4) {
            0 => single(&mut queue, &mut reporter, patience, wanted, lingers),
            1 => block(&mut queue, &mut reporter, batch, patience, wanted, lingers),
            kind => many(
                &mut queue,
                &mut reporter,
                patience,
                wanted,
                lingers,
                most,
                kind == 2,
            ),
        };
        match listened {
            Ok(true) | Err(GetError::TimedOut) => {}
            Ok(false) | Err(GetError::Stopped) => return Ok(()),
            Err(error) => return Err(End::failed(error)),
        }
    }
}

/// Whether somebody listens; or why there was nothing to tell.
type Listened = Result<bool, GetError>;

/// One item; what is behind it in its block stays in hand for the next.
fn single(
    queue: &mut ReadyQueue<Plain>,
    reporter: &mut Reporter,
    patience: Duration,
    wanted: Settling,
    lingers: Option<Duration>,
) -> Listened {
    let item = queue.within(patience).take()?;
    let receipt = reporter.judge(read(&item), item.delivery_count());
    let Some(settling) = tell(reporter, vec![receipt], wanted) else {
        return Ok(false);
    };
    lingers.inspect(|time| std::thread::sleep(*time));
    match settling {
        Settling::Acknowledge => item.ack(),
        Settling::GiveBack => item.nack()?,
    }
    Ok(true)
}

/// As many as a block holds, acknowledged at once.
fn block(
    queue: &mut ReadyQueue<Plain>,
    reporter: &mut Reporter,
    batch: usize,
    patience: Duration,
    wanted: Settling,
    lingers: Option<Duration>,
) -> Listened {
    let items = queue.within(patience).take_many(batch)?;
    let receipts = items
        .iter()
        .enumerate()
        .map(|(at, item)| reporter.judge(read(item), items.delivery_count(at)))
        .collect();
    let Some(settling) = tell(reporter, receipts, wanted) else {
        return Ok(false);
    };
    lingers.inspect(|time| std::thread::sleep(*time));
    match settling {
        Settling::Acknowledge => items.ack(),
        Settling::GiveBack => items.nack()?,
    }
    Ok(true)
}

/// Several blocks; `in_parts`: the first half is acknowledged before the second is told of.
fn many(
    queue: &mut ReadyQueue<Plain>,
    reporter: &mut Reporter,
    patience: Duration,
    wanted: Settling,
    lingers: Option<Duration>,
    most: usize,
    in_parts: bool,
) -> Listened {
    let mut hand = queue.within(patience).take_many(most.div_ceil(2))?;
    // More, if there is more; what is in hand stays there if there is not.
    if let Err(error @ GetError::Failed(_)) = hand.take_more(most, Some(Duration::ZERO)) {
        return Err(error);
    }
    let mut receipts: Vec<Receipt> = hand
        .iter()
        .enumerate()
        .map(|(at, item)| reporter.judge(read(item), hand.delivery_count(at)))
        .collect();
    if in_parts {
        let rest = receipts.split_off(receipts.len() / 2);
        let count = receipts.len();
        if tell(reporter, receipts, Settling::Acknowledge).is_none() {
            return Ok(false);
        }
        hand.ack_first(count);
        receipts = rest;
    }
    let Some(settling) = tell(reporter, receipts, wanted) else {
        return Ok(false);
    };
    lingers.inspect(|time| std::thread::sleep(*time));
    match settling {
        Settling::Acknowledge if in_parts => hand.ack(),
        Settling::Acknowledge => hand.ack_first(hand.len()),
        Settling::GiveBack => drop(hand), // the same as nack
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_bit_is_noticed() {
        assert_eq!(read(&make(5, 6)), (5, 6, true));
        for bit in 0..256 {
            let mut item = make(5, 6);
            item[bit / 64] ^= 1 << (bit % 64);
            assert!(!read(&item).2, "bit {bit}");
        }
    }
}
