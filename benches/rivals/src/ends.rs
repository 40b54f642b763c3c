//! The two ends behind which every system is brought: one puts, one gets, both wait.

use crate::Outcome;
use std::path::PathBuf;

/// How the processes stand to the processors, so that a system can be told how to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Each has one of its own: it may spin.
    Own,
    /// There are more processes than processors.
    Shared,
    /// It has to sleep while there is nothing.
    Asleep,
}

/// What a system has to know to make a queue or to join it.
#[derive(Debug, Clone)]
pub struct Setup {
    /// For its files.
    pub dir: PathBuf,
    /// The queue's name, unique on this machine; also a prefix for names outside the directory.
    pub name: String,
    /// Items it holds.
    pub capacity: u32,
    /// A put on the full queue drops the oldest.
    pub lossy: bool,
    /// Producers that will attach.
    pub producers: usize,
    /// Consumers that will attach.
    pub consumers: usize,
    /// How to wait.
    pub mood: Mood,
    /// Inherited descriptors (pipes, sockets): the reading end, the writing end.
    pub descriptors: [i32; 2],
}

/// Puts.
pub trait Tx<const N: usize> {
    /// All ends are open now, and nothing has been put yet: for systems whose ends have to find each other.
    ///
    /// # Errors
    /// As the system answers.
    fn settle(&mut self) -> Outcome<()> {
        Ok(())
    }

    /// Has `fill` write the item, in place or in a buffer of its own, whichever is the system's way, and puts it; waits while there is no space.
    ///
    /// # Errors
    /// As the system answers.
    fn put(&mut self, fill: impl FnOnce(&mut [u64; N])) -> Outcome<()>;
}

/// Gets.
pub trait Rx<const N: usize> {
    /// As [`Tx::settle`].
    ///
    /// # Errors
    /// As the system answers.
    fn settle(&mut self) -> Outcome<()> {
        Ok(())
    }

    /// Waits for an item and has `look` read it, in place or in a buffer of its own, whichever is the system's way.
    ///
    /// # Errors
    /// As the system answers.
    fn get<R>(&mut self, look: impl FnOnce(&[u64; N]) -> R) -> Outcome<R>;

    /// Gets one if there is one now. Only where [`System::FANS_OUT`].
    ///
    /// # Errors
    /// As the system answers.
    fn try_get<R>(&mut self, look: impl FnOnce(&[u64; N]) -> R) -> Outcome<Option<R>> {
        let _ = look;
        Ok(None)
    }
}

/// What keeps a queue in being, in the process that made it.
pub trait Keep {
    /// Items that a lossy queue says it has dropped, where it counts them.
    fn dropped(&self) -> Option<u64> {
        None
    }
}
impl Keep for () {}

/// A system under test.
pub trait System {
    /// Every consumer gets every item.
    const FANS_OUT: bool = false;
    /// Makes the queue. Called once, by one process, before anybody joins.
    ///
    /// # Errors
    /// As the system answers.
    fn create<const N: usize>(setup: &Setup) -> Outcome<Box<dyn Keep>>;
    /// Joins as a producer.
    ///
    /// # Errors
    /// As the system answers.
    fn tx<const N: usize>(setup: &Setup) -> Outcome<impl Tx<N>>;
    /// Joins as a consumer.
    ///
    /// # Errors
    /// As the system answers.
    fn rx<const N: usize>(setup: &Setup) -> Outcome<impl Rx<N>>;
}

/// Waiting the naive way: `pause`, and now and then yield the processor.
#[derive(Debug, Default)]
pub struct Naive(u32);

impl Naive {
    /// Once more without success.
    #[inline]
    pub fn wait(&mut self) {
        self.0 = self.0.wrapping_add(1);
        if self.0.is_multiple_of(64) {
            std::thread::yield_now();
        } else {
            std::hint::spin_loop();
        }
    }
}
