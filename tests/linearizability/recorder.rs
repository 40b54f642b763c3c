//! Writes operations down so that a kill at any instruction leaves what was written: in memory that
//! the processes of a round share, a region for each. It has no name, so nothing is left of it.

use crate::history::{Answer, Kind, Operation, Said};
use crate::pause;
use memmap2::MmapRaw;
use rustix::time::{ClockId, clock_gettime};
use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};

/// Operations of a process.
pub const MAX_OPERATIONS: usize = 40;
/// Items of a block.
const ITEMS: usize = 4;

/// Words before the records.
const HEADER: usize = 2;

// Words of a record.
const FROM: usize = 0;
const TO: usize = 1;
const KIND: usize = 2;
const SAID: usize = 3;
const GIVEN: usize = 4; // how many, then these
const ANSWER: usize = GIVEN + 1 + ITEMS;
const AGAIN: usize = ANSWER + 1 + ITEMS;
const WORDS: usize = AGAIN + 1;

/// Nanoseconds of a clock that all processes share.
pub fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

pub struct Recorder {
    map: MmapRaw,
    regions: usize,
}

impl Recorder {
    pub fn new(regions: usize) -> Self {
        let file =
            rustix::fs::memfd_create("linearizability", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let file = File::from(file);
        file.set_len(((HEADER + regions * MAX_OPERATIONS * WORDS) * 8) as u64)
            .unwrap();
        Self {
            map: MmapRaw::map_raw(&file).unwrap(),
            regions,
        }
    }

    fn words(&self) -> &[AtomicU64] {
        let (start, words) = (
            self.map.as_mut_ptr().cast::<AtomicU64>(),
            self.map.len() / 8,
        );
        // SAFETY: the mapping has so many words, is aligned to a page, lives as long as `self`, and
        // every process uses it through these atomics alone.
        unsafe { std::slice::from_raw_parts(start, words) }
    }

    /// How many have come, or that they may go.
    pub fn gate(&self) -> &AtomicU64 {
        &self.words()[0]
    }

    /// Operations that a pause interrupted.
    pub fn hits(&self) -> &AtomicU64 {
        &self.words()[1]
    }

    fn record(&self, region: usize, number: usize) -> &[AtomicU64] {
        let start = HEADER + (region * MAX_OPERATIONS + number) * WORDS;
        &self.words()[start..start + WORDS]
    }

    /// Forgets everything.
    pub fn reset(&self) {
        self.words()
            .iter()
            .for_each(|word| word.store(0, Ordering::Relaxed));
    }

    pub fn log(&self, region: usize) -> Log<'_> {
        assert!(region < self.regions);
        let recorder = self;
        Log {
            recorder,
            region,
            number: 0,
        }
    }

    /// What process `region` did. `died`: what it was at then ended at that time.
    pub fn operations(&self, region: usize, died: u64) -> Vec<Operation> {
        let mut operations = vec![];
        for number in 0..MAX_OPERATIONS {
            let words = self.record(region, number);
            // Acquire: pairs with the stores of `begin` and `end`.
            let from = words[FROM].load(Ordering::Acquire);
            if from == 0 {
                break;
            }
            let to = words[TO].load(Ordering::Acquire);
            let word = |index: usize| words[index].load(Ordering::Relaxed);
            let list = |at: usize| {
                (0..word(at) as usize)
                    .map(|item| word(at + 1 + item))
                    .collect()
            };
            let answer = (to != 0).then(|| {
                Answer::with(
                    Said::ALL[word(SAID) as usize],
                    list(ANSWER),
                    word(AGAIN) == 1,
                )
            });
            operations.push(Operation {
                process: region,
                kind: Kind::ALL[word(KIND) as usize],
                given: list(GIVEN),
                answer,
                from,
                to: if to == 0 { died } else { to },
            });
        }
        operations
    }
}

/// One process's region.
pub struct Log<'a> {
    recorder: &'a Recorder,
    region: usize,
    number: usize,
}

impl Log<'_> {
    fn list(words: &[AtomicU64], at: usize, items: &[u64]) {
        assert!(items.len() <= ITEMS);
        words[at].store(items.len() as u64, Ordering::Relaxed);
        for (word, item) in words[at + 1..].iter().zip(items) {
            word.store(*item, Ordering::Relaxed);
        }
    }

    pub fn is_full(&self) -> bool {
        self.number + 4 > MAX_OPERATIONS // a take, its end, the close
    }

    /// To be called right before the operation.
    pub fn begin(&self, kind: Kind, given: &[u64]) {
        let words = self.recorder.record(self.region, self.number);
        let kind = Kind::ALL
            .iter()
            .position(|other| *other == kind)
            .unwrap_or_default();
        words[KIND].store(kind as u64, Ordering::Relaxed);
        Self::list(words, GIVEN, given);
        pause::before();
        words[FROM].store(now(), Ordering::Release);
        pause::begun();
    }

    /// To be called right after it.
    pub fn end(&mut self, answer: &Answer) {
        let to = now();
        pause::after();
        let words = self.recorder.record(self.region, self.number);
        let said = Said::ALL
            .iter()
            .position(|other| *other == answer.said)
            .unwrap_or_default();
        words[SAID].store(said as u64, Ordering::Relaxed);
        Self::list(words, ANSWER, &answer.items);
        words[AGAIN].store(u64::from(answer.again), Ordering::Relaxed);
        words[TO].store(to, Ordering::Release);
        self.number += 1;
    }
}
