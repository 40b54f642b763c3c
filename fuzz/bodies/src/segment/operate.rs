//! Every operation of an endpoint, on whatever it finds.

use super::image::NAME;
use arbitrary::{Result, Unstructured};
use prodcon::{
    AttachOptions, Batch, Control, ErrorKind, GetError, Item, Payload, PutError, ReadyQueue, State,
    Stats,
};
use std::borrow::Borrow;
use std::time::Duration;

/// Somebody attached.
pub(super) enum End {
    Bytes(ReadyQueue<[u8]>),
    Number(ReadyQueue<u64>),
    Three(ReadyQueue<[u64; 3]>),
    Control(Control),
}

/// A kind of item.
pub(super) trait Sample: Payload {
    type Own: Borrow<Self>;
    fn sample(input: &mut Unstructured, most: usize) -> Result<Self::Own>;
    /// Reads all of it, as its user would.
    fn read(&self) -> u64;
    fn reserve(queue: &mut ReadyQueue<Self>, input: &mut Unstructured) -> Result<()>;
    /// Blocks of several items, for plain types.
    fn batch(queue: &mut ReadyQueue<Self>, input: &mut Unstructured) -> Result<()>;
}

impl Sample for [u8] {
    type Own = Vec<u8>;
    fn sample(input: &mut Unstructured, most: usize) -> Result<Vec<u8>> {
        // Now and then one too long.
        let len = input.int_in_range(0..=most.saturating_add(1).min(120))?;
        Ok(vec![input.arbitrary()?; len])
    }
    fn read(&self) -> u64 {
        self.iter()
            .fold(0, |sum, byte| sum.wrapping_add(u64::from(*byte)))
    }
    fn reserve(queue: &mut ReadyQueue<Self>, input: &mut Unstructured) -> Result<()> {
        let len = input.int_in_range(0..=queue.item_size().saturating_add(1).min(70_000))?;
        match queue.reserve(len) {
            Ok(mut reserved) => {
                reserved.fill(input.arbitrary()?);
                reserved.truncate(input.int_in_range(0..=len)?);
                match input.int_in_range(0..=2u8)? {
                    0 | 1 => told(
                        reserved
                            .commit_within(Duration::ZERO)
                            .map_err(|refused| refused.error),
                    ),
                    _ => {} // not put
                }
            }
            Err(error) => told::<(), _>(Err(error)),
        }
        Ok(())
    }
    fn batch(queue: &mut ReadyQueue<Self>, _: &mut Unstructured) -> Result<()> {
        told(queue.try_get());
        Ok(())
    }
}

impl Sample for u64 {
    type Own = u64;
    fn sample(input: &mut Unstructured, _: usize) -> Result<u64> {
        Ok(input.arbitrary::<u8>()?.into())
    }
    fn read(&self) -> u64 {
        *self
    }
    fn reserve(queue: &mut ReadyQueue<Self>, _: &mut Unstructured) -> Result<()> {
        if let Ok(mut reserved) = queue.reserve() {
            *reserved ^= 1;
            told(
                reserved
                    .commit_within(Duration::ZERO)
                    .map_err(|refused| refused.error),
            );
        }
        Ok(())
    }
    fn batch(queue: &mut ReadyQueue<Self>, input: &mut Unstructured) -> Result<()> {
        batch(queue, &[1, 2, 3, 4, 5, 6, 7], input)
    }
}

impl Sample for [u64; 3] {
    type Own = [u64; 3];
    fn sample(input: &mut Unstructured, _: usize) -> Result<[u64; 3]> {
        Ok([input.arbitrary::<u8>()?.into(); 3])
    }
    fn read(&self) -> u64 {
        self.iter().fold(0, |sum, word| sum.wrapping_add(*word))
    }
    fn reserve(queue: &mut ReadyQueue<Self>, _: &mut Unstructured) -> Result<()> {
        if let Ok(mut reserved) = queue.reserve() {
            reserved[1] ^= 1;
            told(
                reserved
                    .commit_within(Duration::ZERO)
                    .map_err(|refused| refused.error),
            );
        }
        Ok(())
    }
    fn batch(queue: &mut ReadyQueue<Self>, input: &mut Unstructured) -> Result<()> {
        batch(queue, &[[1; 3], [2; 3], [3; 3], [4; 3]], input)
    }
}

fn batch<T: Sample + Item>(
    queue: &mut ReadyQueue<T>,
    items: &[T],
    input: &mut Unstructured,
) -> Result<()> {
    match input.int_in_range(0..=5u8)? {
        0 | 1 => told(
            queue
                .within(Duration::ZERO)
                .put_slice(&items[..input.int_in_range(0..=items.len())?]),
        ),
        2 => {
            let mut place = items[0];
            told(queue.try_get_into(&mut place));
            read(&place);
        }
        3 => match queue.reserve_slice(input.int_in_range(0..=items.len())?) {
            Ok(mut reserved) => {
                let len = reserved.len();
                reserved.copy_from_slice(&items[..len]);
                reserved.truncate(input.int_in_range(0..=len)?);
                told(
                    reserved
                        .commit_within(Duration::ZERO)
                        .map_err(|refused| refused.error),
                );
            }
            Err(error) => told::<(), _>(Err(error)),
        },
        _ => match queue.within(Duration::ZERO).take_many(9) {
            Ok(batch) => {
                batch.slices().flatten().for_each(|item| read(item));
                match input.int_in_range(0..=3u8)? {
                    0 => batch.ack(),
                    1 => told(batch.nack()),
                    2 => std::mem::forget(batch),
                    _ => drop(batch),
                }
            }
            Err(error) => told::<(), _>(Err(error)),
        },
    }
    Ok(())
}

/// Several in hand.
fn several<T: Sample + ?Sized>(mut batch: Batch<'_, T>, input: &mut Unstructured) -> Result<()> {
    for _ in 0..3 {
        batch.iter().for_each(|item| read(item));
        assert!(batch.get(batch.len()).is_none() && batch.delivery_count(batch.len()) == 0);
        match input.int_in_range(0..=6u8)? {
            0 => {
                batch.ack();
                break;
            }
            1 => {
                told(batch.nack());
                break;
            }
            2 => {
                std::mem::forget(batch);
                break;
            }
            3 => batch.ack_first(input.int_in_range(0..=3)?),
            4 => batch.ack_in_place(),
            _ => told(batch.take_more(input.int_in_range(0..=9)?, Some(Duration::ZERO))),
        }
    }
    Ok(())
}

/// An error is a text that can be written, whatever is in it.
fn told<T, E: std::fmt::Display>(result: std::result::Result<T, E>) {
    if let Err(error) = result {
        let text = error.to_string();
        assert!(!text.is_empty());
    }
}

/// Reads what the compiler may not leave out.
fn read<T: Sample + ?Sized>(item: &T) {
    std::hint::black_box(item.read());
}

impl End {
    pub(super) fn attach(attach: &AttachOptions, kind: u8) -> prodcon::Result<Self> {
        Ok(match kind {
            0 => Self::Bytes(ReadyQueue::attach_with(NAME, attach)?),
            1 => Self::Number(ReadyQueue::attach_with(NAME, attach)?),
            2 => Self::Three(ReadyQueue::attach_with(NAME, attach)?),
            _ => Self::Control(Control::attach_with(NAME, attach)?),
        })
    }

    /// What the header's check let through.
    pub(super) fn check_attached(&self) {
        let (capacity, item_size) = match self {
            Self::Bytes(queue) => (queue.capacity(), queue.item_size()),
            Self::Number(queue) => (queue.capacity(), queue.item_size()),
            Self::Three(queue) => (queue.capacity(), queue.item_size()),
            Self::Control(control) => (control.capacity(), control.item_size()),
        };
        let typed = match self {
            Self::Number(_) => 8,
            Self::Three(_) => 24,
            _ => 0,
        };
        assert!(capacity > 0 && item_size >= typed);
    }

    /// One operation.
    pub(super) fn operate(&mut self, input: &mut Unstructured) -> Result<()> {
        match self {
            Self::Bytes(queue) => operate(queue, input),
            Self::Number(queue) => operate(queue, input),
            Self::Three(queue) => operate(queue, input),
            Self::Control(control) => look_after(control, input),
        }
    }
}

fn operate<T: Sample + ?Sized>(queue: &mut ReadyQueue<T>, input: &mut Unstructured) -> Result<()>
where
    T::Owned: Borrow<T>,
{
    match input.int_in_range(0..=28u8)? {
        0..=3 => {
            let item = T::sample(input, queue.item_size())?;
            told(queue.try_put(item.borrow()));
        }
        4 => {
            let item = T::sample(input, queue.item_size())?;
            let result = queue.within(Duration::ZERO).put(item.borrow());
            assert!(!matches!(result, Err(PutError::TimedOut)));
            told(result);
        }
        5 => {
            let item = T::sample(input, queue.item_size())?;
            told(queue.force_put(item.borrow()));
        }
        6 | 7 => T::reserve(queue, input)?,
        8..=10 => match queue.try_get() {
            Ok(item) => read::<T>(item.borrow()),
            Err(error) => refused(queue, error, input)?,
        },
        11 => {
            let result = queue.within(Duration::ZERO).get();
            assert!(!matches!(result, Err(GetError::TimedOut)));
            told(result.map(|item| read::<T>(item.borrow())));
        }
        12 => {
            for _ in 0..input.int_in_range(0..=9)? {
                told(queue.try_get().map(|item| read::<T>(item.borrow())));
            }
        }
        13..=15 => {
            let refusal = match queue.try_take() {
                Ok(taken) => {
                    read::<T>(&taken);
                    assert!((1..=256).contains(&taken.delivery_count()));
                    match input.int_in_range(0..=3u8)? {
                        0 => taken.ack(),
                        1 => told(taken.nack()),
                        2 => std::mem::forget(taken),
                        _ => drop(taken),
                    }
                    None
                }
                Err(error) => Some(error),
            };
            if let Some(error) = refusal {
                refused(queue, error, input)?;
            }
        }
        16 => told(queue.clear()),
        17 => told(queue.set_not_ready()),
        18 => told(queue.set_ready()),
        19 => told(queue.control().recover()),
        20 => {
            let states = [
                State::Started,
                State::Started,
                State::Stopped,
                State::StopAtQueueEnd,
            ];
            told(queue.control().set_state(*input.choose(&states)?));
        }
        21 => {
            std::hint::black_box((
                queue.is_empty(),
                queue.is_full(),
                queue.is_ready(),
                queue.control().state(),
            ));
            told(queue.control().stats().map(|stats| check_stats(&stats)));
        }
        22 => {
            // Without a free seat an attach tries for some milliseconds; a control handle does not.
            told(
                queue
                    .control()
                    .try_clone()
                    .map(|control| drop(control.stats())),
            );
        }
        23 => {
            queue.discard();
        }
        24 | 25 => T::batch(queue, input)?,
        _ => match queue
            .within(Duration::ZERO)
            .take_many(input.int_in_range(0..=9)?)
        {
            Ok(batch) => several(batch, input)?,
            Err(error) => told::<(), _>(Err(error)),
        },
    }
    Ok(())
}

/// An item that its taker cannot read stays in hand until it is discarded.
fn refused<T: Sample + ?Sized>(
    queue: &mut ReadyQueue<T>,
    error: GetError,
    input: &mut Unstructured,
) -> Result<()> {
    told::<(), _>(Err(&error));
    let bad = matches!(error.kind(), ErrorKind::WrongLength | ErrorKind::Corrupt);
    if bad && input.arbitrary()? {
        queue.discard();
    }
    Ok(())
}

fn look_after(control: &Control, input: &mut Unstructured) -> Result<()> {
    match input.int_in_range(0..=9u8)? {
        0 => told(control.set_ready()),
        1 => told(control.set_not_ready()),
        2 => told(control.clear()),
        3 => {
            std::hint::black_box((
                control.len(),
                control.is_empty(),
                control.is_full(),
                control.is_ready(),
                control.is_removed(),
            ));
        }
        4 => told(control.stats().map(|stats| check_stats(&stats))),
        5 => told(control.recover()),
        6 => told(control.doctor().map(|report| report.ok())),
        7 => told(control.set_state(*input.choose(&[
            State::Started,
            State::Stopped,
            State::StopAtQueueEnd,
        ])?)),
        8 => told(control.wait_ready(Some(Duration::ZERO))),
        _ => told(control.wait_state(control.state(), Some(Duration::ZERO))),
    }
    Ok(())
}

/// True of any segment.
pub(super) fn check_stats(stats: &Stats) {
    let batch = u64::from(stats.batch);
    assert!(stats.len <= u64::from(stats.capacity) * batch, "{stats:?}");
    assert!(stats.unacked <= u64::from(stats.seats) * batch, "{stats:?}");
    assert!(
        stats.seats_live as usize == stats.members.len() && stats.seats_live <= stats.seats,
        "{stats:?}"
    );
    std::hint::black_box(stats.adds_up());
}
