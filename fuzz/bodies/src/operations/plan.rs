//! What the queue is, chosen by the input.

use super::kind::Kind;
use crate::file::{self, Made};
use arbitrary::{Result, Unstructured};
use prodcon::QueueOptions;
use std::cell::RefCell;

/// Name of the queue.
pub(super) const NAME: &str = "ops";
/// Name of its dead-letter queue.
pub(super) const LETTERS: &str = "letters";
/// Letters that can lie there before somebody takes them out.
pub(super) const LETTERS_CAPACITY: u32 = 2;

/// See above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Plan {
    pub(super) capacity: u32,
    pub(super) seats: u32,
    pub(super) lossy: bool,
    pub(super) at_least_once: bool,
    pub(super) bytes: bool,
    /// Most items in a block.
    pub(super) batch: u32,
    /// Most deliveries of an item; 0: any number.
    pub(super) limit: u8,
    /// The long check at the end.
    pub(super) thorough: bool,
}

thread_local! {
    static MADE: RefCell<Made<Plan>> = RefCell::new(Made::new());
    /// Of bytes or not.
    static LETTERS_MADE: RefCell<Made<bool>> = RefCell::new(Made::new());
}

impl Plan {
    pub(super) fn choose(input: &mut Unstructured) -> Result<Self> {
        let at_least_once = input.arbitrary()?;
        let bytes = input.ratio(1, 3)?;
        let batch = if bytes {
            1
        } else {
            *input.choose(&[1, 1, 2, 3])?
        };
        Ok(Self {
            capacity: *input.choose(&[1, 1, 2, 2, 3, 4, 5, 9])?,
            seats: input.int_in_range(1..=6)?,
            lossy: input.arbitrary()?,
            at_least_once,
            bytes,
            batch,
            limit: if at_least_once && batch == 1 {
                *input.choose(&[0, 0, 1, 2])?
            } else {
                0
            },
            thorough: input.ratio(1, 4)?,
        })
    }

    /// Writes the queue, and the one for its dead letters.
    pub(super) fn make<T: Kind + ?Sized>(&self) {
        let letters = (self.limit > 0).then(|| {
            let options = || T::options(QueueOptions::new(LETTERS_CAPACITY).seats(6));
            LETTERS_MADE.with_borrow_mut(|made| made.fresh::<T>(self.bytes, options))
        });
        if let Some(letters) = &letters {
            file::place(LETTERS, &letters.head, letters.len);
        }
        let options = || {
            let options = QueueOptions::new(self.capacity)
                .seats(self.seats)
                .lossy(self.lossy)
                .at_least_once(self.at_least_once)
                .batch(self.batch);
            T::options(file::with_letters(
                options,
                LETTERS,
                letters.as_deref(),
                self.limit,
            ))
        };
        let key = Self {
            thorough: false,
            ..*self
        };
        let queue = MADE.with_borrow_mut(|made| made.fresh::<T>(key, options));
        file::place(NAME, &queue.head, queue.len);
    }
}
