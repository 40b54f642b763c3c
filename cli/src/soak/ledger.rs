//! What the consumers of one round told, item by item, held against the accounts of the queue.
//!
//! Owns the set of items that were told: a bitmap for each incarnation of a producer, so the memory is bounded by what one round can put. Invariant: `distinct`
//! is the number of bits set. Knows no processes and no clocks.

use prodcon::Stats;
use std::collections::HashMap;

/// What one consumer says of one item, as it comes through its pipe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// Incarnation of the producer.
    pub maker: u64,
    pub sequence: u64,
    /// One of [`SOUND`], [`NACKED`], or a sum of [`SPOILED`] and [`DISORDERED`].
    pub flags: u8,
}

pub const SOUND: u8 = 0;
/// The item is about to be given back.
pub const NACKED: u8 = 1;
/// The payload is not what the producer wrote.
pub const SPOILED: u8 = 2;
/// This consumer had a later item of the same producer before.
pub const DISORDERED: u8 = 4;

impl Receipt {
    pub const BYTES: usize = 16;

    pub fn pack(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&(self.maker << 8 | u64::from(self.flags)).to_ne_bytes());
        bytes[8..].copy_from_slice(&self.sequence.to_ne_bytes());
        bytes
    }

    /// `None` if there are not that many bytes.
    pub fn unpack(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| {
            bytes
                .get(at..at + 8)?
                .try_into()
                .ok()
                .map(u64::from_ne_bytes)
        };
        let (head, sequence) = (word(0)?, word(8)?);
        Some(Self {
            maker: head >> 8,
            sequence,
            flags: head as u8,
        })
    }
}

/// A producer puts no more in a round: a sequence number beyond is rubbish, not a reason to use up the memory.
pub const MAX_SEQUENCE: u64 = 1 << 28;

#[derive(Default)]
struct Seen {
    bits: Vec<u64>,
    /// Largest number seen, plus one.
    end: u64,
}

/// One round's items.
#[derive(Default)]
pub struct Ledger {
    makers: HashMap<u64, Seen>,
    /// Items told, repetitions included.
    pub told: u64,
    pub distinct: u64,
    pub nacked: u64,
    pub spoiled: u64,
    pub disordered: u64,
    /// From a producer that does not exist, or with an impossible number.
    pub foreign: u64,
}

impl Ledger {
    /// Notes an item. `makers` is the range of incarnations that were started.
    pub fn note(&mut self, receipt: Receipt, makers: std::ops::Range<u64>) {
        self.spoiled += u64::from(receipt.flags & SPOILED != 0);
        self.disordered += u64::from(receipt.flags & DISORDERED != 0);
        if receipt.flags == NACKED {
            self.nacked += 1;
            return;
        }
        self.told += 1;
        if !makers.contains(&receipt.maker) || receipt.sequence >= MAX_SEQUENCE {
            self.foreign += 1;
            return;
        }
        let seen = self.makers.entry(receipt.maker).or_default();
        let (word, bit) = (
            (receipt.sequence / 64) as usize,
            1u64 << (receipt.sequence % 64),
        );
        if seen.bits.len() <= word {
            seen.bits.resize(word + 1, 0);
        }
        self.distinct += u64::from(seen.bits[word] & bit == 0);
        seen.bits[word] |= bit;
        seen.end = seen.end.max(receipt.sequence + 1);
    }

    pub fn twice(&self) -> u64 {
        self.told - self.foreign - self.distinct
    }

    /// What must have been put, judged by the largest number seen of each producer.
    fn implied(&self) -> u64 {
        self.makers.values().map(|seen| seen.end).sum()
    }

    /// Items that were put and are nowhere: neither told nor in the accounts.
    pub fn missing(&self, flow: &Flow) -> u64 {
        flow.puts.saturating_sub(
            self.distinct + flow.dropped + flow.cleared + flow.lost + flow.held + flow.len,
        )
    }
}

/// What a queue's accounts say about one round.
#[derive(Clone, Copy, Default, Debug)]
pub struct Flow {
    pub puts: u64,
    pub gets: u64,
    pub dropped: u64,
    pub cleared: u64,
    pub lost: u64,
    pub redelivered: u64,
    pub held: u64,
    pub len: u64,
}

impl Flow {
    pub fn of(stats: &Stats) -> Self {
        Self {
            puts: stats.puts,
            gets: stats.gets,
            dropped: stats.dropped,
            cleared: stats.cleared,
            lost: stats.lost,
            redelivered: stats.redelivered,
            held: stats.unacked,
            len: stats.len,
        }
    }

    /// What came since `before`, when nothing was in the queue or in anybody's hand.
    pub fn since(self, before: Self) -> Self {
        let minus = u64::wrapping_sub;
        Self {
            puts: minus(self.puts, before.puts),
            gets: minus(self.gets, before.gets),
            dropped: minus(self.dropped, before.dropped),
            cleared: minus(self.cleared, before.cleared),
            lost: minus(self.lost, before.lost),
            redelivered: minus(self.redelivered, before.redelivered),
            ..self
        }
    }
}

/// What the mode and the kills allow.
#[derive(Clone, Copy, Debug)]
pub struct Allowed {
    pub lossy: bool,
    pub at_least_once: bool,
    /// The queue was cleared now and then.
    pub clears: bool,
    /// Consumers killed in this round.
    pub killed: u64,
    /// Consumers that may be between an item and its acknowledgement.
    pub at_work: u64,
    /// Items that one consumer may have in hand.
    pub grasp: u64,
    /// Items that may be in mid-operation, those of dead endpoints included. 0: everything is at rest, and every figure exact.
    pub slack: u64,
}

/// Holds what was told against the accounts, while every process stands still. Returns what is wrong, a sentence each.
pub fn judge(ledger: &Ledger, flow: &Flow, allowed: &Allowed) -> Vec<String> {
    let mut wrong = vec![];
    let mut demand = |holds: bool, what: String| {
        if !holds {
            wrong.push(what);
        }
    };
    let Flow {
        puts,
        gets,
        dropped,
        cleared,
        lost,
        redelivered,
        held,
        len,
    } = *flow;
    let slack = allowed.slack;
    // Items that the killed and those at work may have had in hand.
    let (killed, at_work) = (
        allowed.killed * allowed.grasp,
        allowed.at_work * allowed.grasp,
    );
    let (told, distinct) = (ledger.told, ledger.distinct);
    demand(
        ledger.spoiled == 0,
        format!(
            "{} items were not what their producer wrote",
            ledger.spoiled
        ),
    );
    demand(
        ledger.disordered == 0,
        format!("{} items came out of order", ledger.disordered),
    );
    demand(
        ledger.foreign == 0,
        format!("{} items are from nobody", ledger.foreign),
    );
    let twice = if allowed.at_least_once { killed } else { 0 };
    demand(
        ledger.twice() <= twice,
        format!("{} items came twice, allowed are {twice}", ledger.twice()),
    );
    let sum = gets + dropped + cleared + lost + held + len;
    demand(
        puts.abs_diff(sum) <= slack,
        format!(
            "{puts} puts, but {gets} gets + {dropped} dropped + {cleared} cleared + {lost} lost + {held} held + {len} len = {sum}"
        ),
    );
    // Told, then acknowledged: whatever was acknowledged has been told.
    demand(
        gets <= told,
        format!("{gets} items were acknowledged, but only {told} told"),
    );
    demand(
        told <= gets + killed + at_work,
        format!(
            "{told} items were told, but only {gets} acknowledged, with at most {killed} in the hands of the killed and {at_work} in others"
        ),
    );
    let implied = ledger.implied();
    // In a queue with batches each producer counts its own puts, after its exchange: others may tell of the
    // items before.
    demand(
        implied <= puts + slack,
        format!("by their numbers {implied} items were put, but the queue counts {puts}"),
    );
    let gone = dropped + cleared + lost + held;
    let gaps = implied - distinct.min(implied);
    demand(
        gaps <= gone + slack,
        format!("{gaps} items are missing from the sequences, {gone} are accounted for"),
    );
    let missing = ledger.missing(flow);
    demand(missing <= slack, format!("{missing} items are missing"));
    let surplus = (distinct + dropped + cleared + lost + held + len).saturating_sub(puts);
    demand(
        surplus <= killed + at_work + slack,
        format!(
            "{surplus} items were told and are in the accounts as well, with at most {killed} in the hands of the killed"
        ),
    );
    let losses = if allowed.at_least_once { 0 } else { killed };
    demand(
        lost <= losses,
        format!("{lost} items were lost, allowed are {losses}"),
    );
    demand(
        allowed.lossy || dropped == 0,
        format!("{dropped} items were dropped from a queue that is not lossy"),
    );
    demand(
        allowed.clears || cleared == 0,
        format!("{cleared} items were cleared, but nobody cleared the queue"),
    );
    // What is given back may take its whole grasp with it.
    let again = if allowed.at_least_once {
        killed + ledger.nacked * allowed.grasp
    } else {
        0
    };
    demand(
        redelivered <= again,
        format!(
            "{redelivered} deliveries were repetitions, allowed are {again}: {} consumers killed, {} times something given back",
            allowed.killed, ledger.nacked
        ),
    );
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten items, all of which arrived.
    fn sound() -> (Ledger, Flow, Allowed) {
        let mut ledger = Ledger::default();
        (0..10).for_each(|sequence| ledger.note(item(sequence), 0..9));
        let flow = Flow {
            puts: 10,
            gets: 10,
            ..Flow::default()
        };
        let allowed = Allowed {
            lossy: false,
            at_least_once: false,
            clears: false,
            killed: 0,
            at_work: 0,
            grasp: 1,
            slack: 0,
        };
        (ledger, flow, allowed)
    }

    fn item(sequence: u64) -> Receipt {
        Receipt {
            maker: 7,
            sequence,
            flags: SOUND,
        }
    }

    #[test]
    fn what_is_sound_is_called_sound() {
        let (ledger, flow, allowed) = sound();
        assert_eq!(judge(&ledger, &flow, &allowed), Vec::<String>::new());
        assert_eq!(Receipt::unpack(&item(3).pack()), Some(item(3)));
    }

    #[test]
    fn a_put_that_its_paused_producer_has_not_counted_yet_is_not_called_wrong() {
        let (ledger, mut flow, mut allowed) = sound();
        (flow.puts, allowed.slack) = (9, 8);
        assert_eq!(judge(&ledger, &flow, &allowed), Vec::<String>::new());
    }

    #[test]
    fn everything_that_can_be_wrong_is_found() {
        type Damage = fn(&mut Ledger, &mut Flow, &mut Allowed);
        let damages: [(&str, Damage); 13] = [
            ("came twice", |ledger, flow, _| {
                ledger.note(item(3), 0..9);
                (flow.puts, flow.gets) = (11, 11);
            }),
            ("from nobody", |ledger, _, _| {
                ledger.note(
                    Receipt {
                        maker: 9,
                        ..item(10)
                    },
                    0..9,
                )
            }),
            ("from nobody", |ledger, _, _| {
                ledger.note(item(1 << 40), 0..9)
            }),
            ("not what their producer wrote", |ledger, _, _| {
                ledger.note(
                    Receipt {
                        flags: SPOILED,
                        ..item(10)
                    },
                    0..9,
                );
            }),
            ("out of order", |ledger, _, _| {
                ledger.note(
                    Receipt {
                        flags: DISORDERED,
                        ..item(10)
                    },
                    0..9,
                )
            }),
            ("1 items are missing", |_, flow, _| flow.puts = 11),
            ("only 10 told", |_, flow, _| flow.gets = 11),
            ("only 9 acknowledged", |_, flow, _| flow.gets = 9),
            ("by their numbers 10", |_, flow, _| flow.puts = 9),
            ("missing from the sequences", |ledger, flow, _| {
                ledger.note(item(12), 0..9);
                (flow.puts, flow.gets) = (13, 13);
            }),
            ("were lost", |_, flow, _| (flow.puts, flow.lost) = (11, 1)),
            ("were dropped", |_, flow, _| {
                (flow.puts, flow.dropped) = (11, 1)
            }),
            ("were repetitions", |_, flow, allowed| {
                (flow.redelivered, allowed.at_least_once) = (1, true)
            }),
        ];
        for (what, damage) in damages {
            let (mut ledger, mut flow, mut allowed) = sound();
            damage(&mut ledger, &mut flow, &mut allowed);
            let wrong = judge(&ledger, &flow, &allowed).join("; ");
            assert!(wrong.contains(what), "{what}: {wrong}");
        }
        let (ledger, mut flow, allowed) = sound();
        (flow.puts, flow.cleared) = (11, 1);
        assert!(
            judge(&ledger, &flow, &allowed)
                .join("")
                .contains("nobody cleared")
        );
    }
}
