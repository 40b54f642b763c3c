//! The file: made by the library or by the input, and damaged in place.
//!
//! Knows as much of the layout (docs/design.md, 11) as it needs to hit the words that matter; what it gets wrong only makes the damage less pointed.

use crate::file::{self, Bytes, File, Made};
use arbitrary::{Result, Unstructured};
use prodcon::QueueOptions;
use std::cell::RefCell;
use std::rc::Rc;

pub(super) const NAME: &str = "q";
/// The dead-letter queue of some; always a good one.
const LETTERS: &str = "letters";
const HEADER: usize = 512;
const CHECKSUM: usize = 504;
/// Longest file that the input may ask for.
const MAX_FILE_SIZE: u64 = 1 << 20;

/// What a valid segment is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Plan {
    capacity: u32,
    seats: u32,
    kind: Kind,
    batch: u32,
    lossy: bool,
    at_least_once: bool,
    ready: bool,
    /// Most deliveries of an item, 0: any number.
    limit: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Bytes { size: usize, align: u32 },
    Number,
    Three,
}

thread_local! {
    static MADE: RefCell<Made<Plan>> = RefCell::new(Made::new());
    /// By the longest letter.
    static LETTERS_MADE: RefCell<Made<usize>> = RefCell::new(Made::new());
}

impl Plan {
    pub(super) fn choose(input: &mut Unstructured) -> Result<Self> {
        let (kind, batch) = match input.int_in_range(0..=3u8)? {
            0 | 1 => {
                let size = *input.choose(&[0, 1, 8, 8, 16, 24, 24, 40, 100, 65_536])?;
                let align = *input.choose(&[1, 8, 8, 8, 64, 4096])?;
                (Kind::Bytes { size, align }, 1)
            }
            2 => (Kind::Number, *input.choose(&[1, 1, 2, 5])?),
            _ => (Kind::Three, *input.choose(&[1, 1, 3])?),
        };
        // Large blocks are for few.
        let large = matches!(
            kind,
            Kind::Bytes { size: 65_536, .. } | Kind::Bytes { align: 4096, .. }
        );
        let at_least_once = input.arbitrary()?;
        Ok(Self {
            capacity: if large {
                2
            } else {
                *input.choose(&[1, 1, 2, 2, 3, 4, 5, 7, 8, 70])?
            },
            seats: input.int_in_range(1..=5)?,
            kind,
            batch,
            lossy: input.arbitrary()?,
            at_least_once,
            ready: input.ratio(7, 8)?,
            limit: if at_least_once && batch == 1 {
                *input.choose(&[0, 0, 1, 2])?
            } else {
                0
            },
        })
    }

    /// The bytes of such a segment.
    fn bytes(&self) -> Rc<Bytes> {
        let letters = (self.limit > 0).then(|| {
            let most = if let Kind::Bytes { size: 65_536, .. } = self.kind {
                65_536
            } else {
                100
            };
            LETTERS_MADE.with_borrow_mut(|made| {
                made.fresh::<[u8]>(most, || QueueOptions::new(2).seats(4).item_size(most))
            })
        });
        if let Some(letters) = &letters {
            file::place(LETTERS, &letters.head, letters.len);
        }
        let options = || {
            let options = QueueOptions::new(self.capacity)
                .seats(self.seats)
                .batch(self.batch)
                .lossy(self.lossy)
                .ready(self.ready)
                .at_least_once(self.at_least_once);
            file::with_letters(options, LETTERS, letters.as_deref(), self.limit)
        };
        MADE.with_borrow_mut(|made| match self.kind {
            Kind::Bytes { size, align } => {
                made.fresh::<[u8]>(*self, || options().item_size(size).align(align))
            }
            Kind::Number => made.fresh::<u64>(*self, options),
            Kind::Three => made.fresh::<[u64; 3]>(*self, options),
        })
    }
}

/// The file as it stands.
pub(super) struct Image {
    file: File,
    len: u64,
}

impl Image {
    pub(super) fn valid(plan: &Plan) -> Self {
        let bytes = plan.bytes();
        Self::new(&bytes.head, bytes.len)
    }

    pub(super) fn raw(input: &mut Unstructured) -> Result<Self> {
        let len = input.int_in_range(0..=u16::MAX)?;
        let bytes = input.bytes(input.len().min(len.into()))?;
        Ok(Self::new(bytes, bytes.len() as u64))
    }

    fn new(head: &[u8], len: u64) -> Self {
        Self {
            file: file::place(NAME, head, len),
            len,
        }
    }

    fn read(&self, at: u64) -> u64 {
        let mut word = [0; 8];
        self.file.read_at(&mut word, at);
        u64::from_ne_bytes(word)
    }

    fn read32(&self, at: u64) -> u32 {
        self.read(at) as u32
    }

    /// Never makes the file longer.
    fn write(&self, at: u64, bytes: &[u8]) {
        let room = self.len.saturating_sub(at).min(bytes.len() as u64) as usize;
        self.file.write_at(&bytes[..room], at);
    }

    /// Other numbers at a place that matters.
    pub(super) fn damage(&mut self, input: &mut Unstructured) -> Result<()> {
        let header = |image: &Self, at: u64| image.read(at).min(MAX_FILE_SIZE);
        let (seats, slots, blocks, block) = (
            header(self, 56),
            header(self, 48),
            header(self, 64),
            header(self, 40),
        );
        let number = u64::from(input.arbitrary::<u8>()?);
        let at = match input.int_in_range(0..=15u8)? {
            0 => return self.damage_header(input),
            1 => 512 + 8 * (number % 3),
            2 => *input.choose(&[640, 768, 896, 1024, 1152])?,
            3..=7 => {
                seats
                    + 128 * (number % u64::from(self.read32(28).clamp(1, 8)))
                    + 8 * u64::from(input.int_in_range(0..=15u8)?)
            }
            8..=11 => slots + 8 * (number % u64::from(self.read32(24).clamp(1, 80))),
            12 | 13 => blocks + block * (number % 80) + 8 * u64::from(input.int_in_range(0..=2u8)?),
            _ => u64::from(input.arbitrary::<u16>()?),
        };
        let word = self.word(input, at)?;
        match input.int_in_range(0..=7u8)? {
            0 => self.write(at, &word.to_ne_bytes()[..4]),
            1 => self.write(at, &word.to_ne_bytes()[..1]),
            _ => self.write(at, &word.to_ne_bytes()),
        }
        Ok(())
    }

    /// A word to stand at `at`, rather one that means something than any.
    fn word(&self, input: &mut Unstructured, at: u64) -> Result<u64> {
        let old = self.read(at);
        let blocks = u64::from(self.read32(24)) + u64::from(self.read32(28));
        let bits = u64::BITS - blocks.saturating_sub(1).leading_zeros();
        let small = |input: &mut Unstructured| Ok(u64::from(input.arbitrary::<u8>()?));
        Ok(match input.int_in_range(0..=12u8)? {
            0 => input.arbitrary()?,
            1 => small(input)?,
            2 => old.wrapping_add(input.arbitrary::<i8>()? as u64),
            3 => old ^ 1 << input.int_in_range(0..=63)?,
            4 => self.read(u64::from(input.arbitrary::<u16>()?)),
            5 => u64::MAX >> input.int_in_range(0..=63)?,
            6 => 1 << input.int_in_range(0..=63)?,
            // A slot: a stamp near the old one, any block.
            7 | 8 => {
                let stamp = (old >> bits.min(63)).wrapping_add(input.arbitrary::<i8>()? as u64);
                (stamp << bits.min(63)) | (small(input)? % blocks.max(1))
            }
            // A record: two blocks, and the bits above.
            9 | 10 => {
                let mine = small(input)? % (blocks + 1);
                let incoming = if input.arbitrary()? {
                    0xff_ffff
                } else {
                    small(input)? % (blocks + 1)
                };
                mine | incoming << 24 | small(input)? << 48
            }
            // A block's header: epoch, deliveries, length.
            11 => small(input)? << 24 | small(input)? << 16 | small(input)?,
            _ => old.swap_bytes(),
        })
    }

    fn damage_header(&mut self, input: &mut Unstructured) -> Result<()> {
        // Field by field (offset, bytes), for a checksum that holds lets any number come as far as its own check.
        let fields = [
            (0, 8),
            (8, 4),
            (12, 4),
            (16, 8),
            (24, 4),
            (28, 4),
            (32, 8),
            (40, 8),
            (48, 8),
            (56, 8),
            (64, 8),
            (72, 4),
            (76, 4),
            (80, 4),
            (84, 4),
            (88, 4),
            (92, 4),
            (96, 4),
            (100, 4),
            (112, 8),
            (240, 8),
            (440, 4),
            (444, 4),
        ];
        for _ in 0..input.int_in_range(1..=3u8)? {
            let (at, bytes) = *input.choose(&fields)?;
            let word = self.word(input, at)?;
            self.write(at, &word.to_ne_bytes()[..bytes]);
        }
        if input.ratio(7, 8)? {
            self.repair_checksum();
        }
        Ok(())
    }

    fn repair_checksum(&self) {
        let mut header = [0; HEADER];
        if self.file.read_at(&mut header, 0) == HEADER {
            let sum = header[..CHECKSUM]
                .iter()
                .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
                    (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
                });
            self.write(CHECKSUM as u64, &sum.to_ne_bytes());
        }
    }

    /// Another length, or another valid header over the same bytes. Shorter only if nobody has it mapped.
    pub(super) fn resize(&mut self, input: &mut Unstructured, shorter: bool) -> Result<()> {
        let len = match input.int_in_range(0..=3u8)? {
            0 => u64::from(input.arbitrary::<u16>()?),
            1 => self
                .len
                .wrapping_add(input.arbitrary::<i16>()? as u64)
                .min(MAX_FILE_SIZE),
            // The length that the header asks for.
            2 => self.read(16).min(MAX_FILE_SIZE),
            _ => {
                // Without dead letters, because their queue, which may be mapped now, would be made
                // again.
                let plan = Plan {
                    limit: 0,
                    ..Plan::choose(input)?
                };
                self.write(0, &plan.bytes().head[..HEADER]);
                self.read(16).min(MAX_FILE_SIZE)
            }
        };
        if shorter || len > self.len {
            self.file.set_len(len);
            self.len = len;
        }
        Ok(())
    }
}
