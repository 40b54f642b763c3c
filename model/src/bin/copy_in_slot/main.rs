//! Executable specification of the copy in the slot: when a consumer may deliver the copy of an item without a look at the item's header.
//!
//! Searched breadth first over all interleavings, sequentially consistent; every load, store and exchange of shared memory is one step. A slot is a word and a copy.
//! A put exchanges both at once, a get the word alone; so the copy is loaded in a step of its own, after the word.
//!
//! Checked at every delivery: the copy is the item of the block that came out of the slot, and an item that is delivered unread has the epoch that the ready word had when it
//! was loaded after the exchange, as its header would say. Checked at every exchange of a put: as long as the word is the one seen, the copy is too. Checked in every state: the copy
//! in a full slot is the item of its block. A scenario without a flaw must also deliver items unread after a clear, or it shows nothing.
//!
//!     cargo run --release -p prodcon-model --bin copy_in_slot
//!
//! runs all scenarios. Each must come to its number of states. A scenario with a `Flaw` switches one rule off and must fail. A violation that was not expected, or any with
//! `--trace`, prints its interleaving.
//!
//! Not modelled: weak memory, seats and deaths (the copy is never evidence, see `exchange_ring` for them), hints, wrap-around.

#[rustfmt::skip] // a table
mod scenarios;
mod search;
mod step;

use prodcon_model::{Explore, Outcome, ensure};
use std::process::ExitCode;

const SLOTS: usize = 2;
const PROCS: usize = 4;
const BLOCKS: usize = SLOTS + PROCS;
/// Of `Trust::cycle`: no exchange has come yet since the epoch was seen.
const PENDING: u8 = 255;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Flaw {
    GateKept,  // the ready word is loaded once, before the put walks along the slots
    NoPending, // the exchange that notices a new epoch sets the cycle at once
    NextCycle, // trusted from the next cycle on, not from the one after it
    CopyFirst, // a get loads the copy before the word
    CopyLate,  // a get loads the copy after its exchange
}

/// What a process does, in order. A put that finds the queue full and a get that finds it empty are over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Op {
    Put,
    Lossy,
    Get,
    Clear,
    /// Passes the position at the tail if the queue is empty: the end of a stream.
    Skip,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Word {
    stamp: u8,
    block: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Block {
    item: u8,
    epoch: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum At {
    Start,
    Done,
    PutLook,
    /// The header of the oldest item, in a full slot.
    PutOld(Word),
    PutGate {
        word: Word,
        old: Option<u8>,
    },
    PutHeader {
        word: Word,
        epoch: u8,
    },
    PutCopy(Word),
    PutSwap {
        word: Word,
        copy: u8,
    },
    /// A flaw: the copy is loaded before the word.
    GetCopyFirst,
    GetLook {
        copy: u8,
    },
    GetCopy(Word),
    GetSwap {
        word: Word,
        copy: u8,
    },
    /// A flaw: the copy is loaded after the exchange.
    GetCopyLate,
    /// The exchange has happened: loads the ready word.
    Judge {
        copy: u8,
    },
    SkipSwap(Word),
}

/// From where on an endpoint knows that nothing old can come.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Trust {
    epoch: u8,
    cycle: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Process {
    at: At,
    op: u8,
    block: u8,
    /// Positions, `c * n + i`.
    put: u8,
    get: u8,
    trust: Trust,
    /// A flaw: the epoch that was loaded when the put began.
    kept: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct State {
    words: [Word; SLOTS],
    copies: [u8; SLOTS],
    blocks: [Block; BLOCKS],
    epoch: u8,
    p: [Process; PROCS],
}

#[derive(Clone)]
struct Scenario {
    name: &'static str,
    n: u8,
    plans: &'static [&'static [Op]],
    flaw: Option<Flaw>,
    floor: usize,
}

type Checked<T> = Result<T, String>;

impl Scenario {
    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    /// Returns the item that process `i` puts by its operation `op`: another one for each.
    fn item(i: usize, op: u8) -> u8 {
        i as u8 * 16 + op + 1
    }

    fn init(&self) -> State {
        let process = |i: usize| Process {
            at: if i < self.plans.len() {
                At::Start
            } else {
                At::Done
            },
            op: 0,
            block: self.n + i as u8,
            put: 0,
            get: 0,
            trust: Trust { epoch: 0, cycle: 0 },
            kept: 0,
        };
        State {
            words: std::array::from_fn(|i| Word {
                stamp: 0,
                block: i as u8,
            }),
            copies: [0; SLOTS],
            blocks: [Block { item: 0, epoch: 0 }; BLOCKS],
            epoch: 0,
            p: std::array::from_fn(process),
        }
    }

    /// Checks a state.
    fn check(&self, s: &State) -> Checked<()> {
        for (word, copy) in s.words.iter().zip(s.copies).take(self.n.into()) {
            let item = s.blocks[word.block as usize].item;
            ensure!(
                word.stamp % 2 == 0 || copy == item,
                "a full slot has the copy {copy} and the item {item}"
            );
        }
        Ok(())
    }
}

impl Explore for Scenario {
    fn name(&self) -> &str {
        self.name
    }
    fn explore(&self, trace: bool) -> Outcome {
        self.run(trace)
    }
}

fn main() -> ExitCode {
    prodcon_model::main(&scenarios::scenarios(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_small_scenarios_are_as_expected() {
        let small = |scenario: &&Scenario| scenario.floor <= 200_000;
        prodcon_model::assert_as_expected(scenarios::scenarios().iter().filter(small));
    }
}
