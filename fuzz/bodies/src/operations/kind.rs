//! The kinds of items: each carries a number, and shows if it was torn.

use prodcon::{Payload, PutError, QueueOptions, ReadyQueue};
use std::borrow::Borrow;
use std::time::Duration;

/// Items that carry a number, and show if they were torn.
pub(super) trait Kind: Payload + 'static {
    fn options(options: QueueOptions) -> QueueOptions;
    fn item(id: u64) -> Self::Owned;
    fn id(&self) -> u64;
    fn reserve(queue: &mut ReadyQueue<Self>, id: u64) -> Result<(), PutError>;
    /// Puts them in blocks of as many as a block can have. Returns how many, and why the next one was not put.
    fn put_slice(queue: &mut ReadyQueue<Self>, ids: &[u64]) -> (usize, Option<PutError>);
}

const MAX_ITEM_SIZE: usize = 24;

fn length(id: u64) -> usize {
    8 + id as usize % 17
}

impl Kind for [u8] {
    fn options(options: QueueOptions) -> QueueOptions {
        options.item_size(MAX_ITEM_SIZE)
    }
    fn item(id: u64) -> Vec<u8> {
        let mut item = vec![id as u8; length(id)];
        item[..8].copy_from_slice(&id.to_ne_bytes());
        item
    }
    fn id(&self) -> u64 {
        let id = u64::from_ne_bytes(self[..8].try_into().expect("8 bytes"));
        assert!(
            self.len() == length(id) && self[8..].iter().all(|byte| *byte == id as u8),
            "a torn item: {self:?}"
        );
        id
    }
    fn reserve(queue: &mut ReadyQueue<Self>, id: u64) -> Result<(), PutError> {
        let mut reserved = queue.reserve(MAX_ITEM_SIZE)?;
        reserved[..length(id)].copy_from_slice(&Self::item(id));
        reserved.truncate(length(id));
        reserved
            .commit_within(Duration::ZERO)
            .map_err(|refused| refused.error)
    }
    // Blocks of several items are for plain types; one by one it is the same to the model.
    fn put_slice(queue: &mut ReadyQueue<Self>, ids: &[u64]) -> (usize, Option<PutError>) {
        put_one_by_one(queue, ids)
    }
}

const MARK: u64 = 0x5a5a_0000_0000_0000;

impl Kind for u64 {
    fn options(options: QueueOptions) -> QueueOptions {
        options
    }
    fn item(id: u64) -> u64 {
        MARK | id
    }
    fn id(&self) -> u64 {
        assert_eq!(self >> 32, MARK >> 32, "a torn item");
        self ^ MARK
    }
    fn reserve(queue: &mut ReadyQueue<Self>, id: u64) -> Result<(), PutError> {
        let mut reserved = queue.reserve()?;
        *reserved = MARK | id;
        reserved
            .commit_within(Duration::ZERO)
            .map_err(|refused| refused.error)
    }
    fn put_slice(queue: &mut ReadyQueue<Self>, ids: &[u64]) -> (usize, Option<PutError>) {
        let items: Vec<_> = ids.iter().map(|id| Self::item(*id)).collect();
        match queue.within(Duration::ZERO).put_slice(&items) {
            Ok(()) => (ids.len(), None),
            Err(partial) => (partial.put, Some(partial.error)),
        }
    }
}

/// As `put_slice`, each item in a block of its own.
pub(super) fn put_one_by_one<T: Kind + ?Sized>(
    queue: &mut ReadyQueue<T>,
    ids: &[u64],
) -> (usize, Option<PutError>) {
    for (put, id) in ids.iter().enumerate() {
        if let Err(error) = queue.try_put(T::item(*id).borrow()) {
            return (put, Some(error));
        }
    }
    (ids.len(), None)
}
