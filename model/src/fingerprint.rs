//! States are kept as fingerprints of 128 bits.

use std::hash::{BuildHasherDefault, Hash, Hasher};

/// Returns 128 bits that stand for a state.
#[inline]
pub fn fingerprint(state: &impl Hash) -> (u64, u64) {
    let mut mix = Mix {
        a: 0,
        b: 0,
        word: 1,
    };
    state.hash(&mut mix);
    mix.take();
    let end = |x: u64| {
        let x = (x ^ x >> 32).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        x ^ x >> 32
    };
    (end(mix.a), end(mix.b))
}

/// Two independent hashes of the bytes, eight at a time.
struct Mix {
    a: u64,
    b: u64,
    /// Bytes not yet mixed in, under a 1 that marks where they end.
    word: u64,
}

impl Mix {
    #[inline]
    fn take(&mut self) {
        self.a = (self.a.rotate_left(29) ^ self.word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.a ^= self.a >> 31;
        let other = self.word ^ 0x5851_F42D_4C95_7F2D;
        self.b = (self.b.rotate_left(23) ^ other).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        self.b ^= self.b >> 29;
        self.word = 1;
    }
}

impl Hasher for Mix {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u8(*byte));
    }

    #[inline]
    fn write_u8(&mut self, byte: u8) {
        self.word = self.word << 8 | u64::from(byte);
        if self.word >> 56 != 0 {
            self.take();
        }
    }

    #[inline]
    fn write_isize(&mut self, discriminant: isize) {
        self.write_u8(discriminant as u8 ^ 0xA5);
    }

    #[inline]
    fn write_usize(&mut self, _: usize) {} // lengths of arrays: always the same

    #[inline]
    fn finish(&self) -> u64 {
        self.a
    }
}

/// Builds the hashers of maps whose keys are fingerprints, which need no further hashing.
pub type OfFingerprints = BuildHasherDefault<FirstHalf>;

/// The first half of a fingerprint.
#[derive(Debug, Default)]
pub struct FirstHalf(u64);

impl Hasher for FirstHalf {
    #[inline]
    fn write(&mut self, _: &[u8]) {}

    #[inline]
    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}
