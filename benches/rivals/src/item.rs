//! The items that go through the queues, and how they are checked. Every word of an item follows from its first, so a torn or mixed-up item shows.

/// First word of the item that tells a consumer to end.
pub const POISON: u64 = u64::MAX;

/// Producers that can be told apart.
pub const PRODUCERS: usize = 16;

const SEQUENCE_BITS: u32 = 48;
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// First word of producer `producer`'s item number `sequence`.
#[inline]
pub fn id(producer: usize, sequence: u64) -> u64 {
    (producer as u64) << SEQUENCE_BITS | sequence
}

/// Producer and sequence number of a first word.
#[inline]
pub fn parts(id: u64) -> (usize, u64) {
    (
        (id >> SEQUENCE_BITS) as usize,
        id & ((1 << SEQUENCE_BITS) - 1),
    )
}

/// Makes the item: writes every word.
#[inline]
pub fn fill<const N: usize>(item: &mut [u64; N], id: u64) {
    let base = id.wrapping_mul(SPREAD);
    item[0] = id;
    for (index, word) in item.iter_mut().enumerate().skip(1) {
        *word = base.wrapping_add(index as u64);
    }
}

/// Uses the item: reads every word. Its first word, and whether the others are what they have to be.
#[inline]
pub fn read<const N: usize>(item: &[u64; N]) -> (u64, bool) {
    let base = item[0].wrapping_mul(SPREAD);
    let differ = item
        .iter()
        .enumerate()
        .skip(1)
        .fold(0, |differ, (index, word)| {
            differ | word ^ base.wrapping_add(index as u64)
        });
    (item[0], differ == 0)
}

/// What a sequence number adds to the sum by which sets of items are compared: no plain number, so that a lost and a doubled item do not cancel out.
#[inline]
pub fn weight(sequence: u64) -> u64 {
    let mixed = sequence.wrapping_mul(SPREAD);
    mixed ^ mixed >> 29
}

/// Items of one producer: how many, and the sum of their weights.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stream {
    /// Items.
    pub count: u64,
    /// Sum of their weights, wrapping.
    pub sum: u64,
    least: u64,
}

impl Stream {
    /// The first `count` items of a producer.
    pub fn whole(count: u64) -> Self {
        Self {
            count,
            sum: (0..count).fold(0, |sum, sequence| sum.wrapping_add(weight(sequence))),
            least: 0,
        }
    }
}

/// What one consumer got.
#[derive(Debug, Default)]
pub struct Tally {
    /// By producer.
    pub streams: [Stream; PRODUCERS],
    /// Items not intact, from nobody, or not later than the one before of the same producer.
    pub wrong: u64,
}

impl Tally {
    /// Takes note of an item.
    #[inline]
    pub fn note(&mut self, (id, intact): (u64, bool)) {
        let (producer, sequence) = parts(id);
        let Some(stream) = self.streams.get_mut(producer) else {
            self.wrong += 1;
            return;
        };
        self.wrong += u64::from(!intact || sequence < stream.least);
        *stream = Stream {
            count: stream.count + 1,
            sum: stream.sum.wrapping_add(weight(sequence)),
            least: sequence + 1,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spoiled_word_shows() {
        let mut item = [0; 8];
        fill(&mut item, id(3, 77));
        assert_eq!(read(&item), (id(3, 77), true));
        for word in 0..8 {
            let mut spoiled = item;
            spoiled[word] ^= 1 << 20;
            assert!(!read(&spoiled).1, "word {word}");
        }
    }

    #[test]
    fn repeated_swapped_and_replaced_items_show() {
        let mut tally = Tally::default();
        for sequence in [0, 1, 1] {
            tally.note((id(2, sequence), true));
        }
        assert_eq!(tally.wrong, 1);
        tally.note((id(2, 0), true));
        assert_eq!(tally.wrong, 2);
        tally.note((id(200, 0), true));
        assert_eq!(tally.wrong, 3);
        let mut other = Tally::default();
        for sequence in [0, 2, 4] {
            other.note((id(0, sequence), true)); // 1 and 3 lost, 4 too many: as many and the same plain sum as 1, 2, 3
        }
        assert_ne!(other.streams[0].sum, Stream::whole(3).sum);
    }
}
