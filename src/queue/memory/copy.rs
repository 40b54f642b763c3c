//! Copies an item into a block and out of it.
//!
//! A block's cache lines are with the other side, which touched them last. A processor asks at once
//! for the lines of all accesses that it has begun. So the wider the accesses, the more lines are
//! on their way together. The C library copies a kilobyte and more in other ways, and waits for a
//! few lines at a time (docs/performance.md, "Wide copies").

/// Items of at most this length are copied word by word.
const MOST_BY_WORDS: usize = 128;
/// Shorter items are left to the C library: it takes them in a few steps without a loop.
const LEAST_WIDE: usize = 512;
/// Bytes of a cache line.
#[cfg(target_arch = "x86_64")]
const LINE: usize = 64;

/// Copies an item that its producer has most likely just written, field by field. A load that is
/// wider than the stores before it has to wait until they have left the store buffer, behind
/// whatever misses the cache there. One word at a time is taken from the buffer.
#[inline(always)]
pub(in crate::queue) fn copy_in(from: &[u8], to: &mut [u8]) {
    assert!(from.len() == to.len());
    let words = from.as_ptr().cast::<u64>();
    let len = from.len();
    if len <= 8 || len > MOST_BY_WORDS || len % 8 != 0 || !words.is_aligned() {
        if len < LEAST_WIDE {
            to.copy_from_slice(from);
        } else {
            copy_wide(from, to);
        }
        return;
    }
    for (index, to) in to.chunks_exact_mut(8).enumerate() {
        // SAFETY: `to` has as many bytes as `from`, so this word lies in `from`.
        let word = unsafe { words.add(index) };
        // SAFETY: within `from` and aligned, as just checked. Volatile keeps the compiler from
        // making wide loads of it.
        let word = unsafe { word.read_volatile() };
        to.copy_from_slice(&word.to_ne_bytes());
    }
}

/// Copies an item that another processor has most likely just written.
#[inline(always)]
pub(in crate::queue) fn copy_out(from: &[u8], to: &mut [u8]) {
    assert!(from.len() == to.len());
    if from.len() < LEAST_WIDE {
        to.copy_from_slice(from);
    } else {
        copy_wide(from, to);
    }
}

/// Copies by the widest stores that the processor has.
#[inline(never)]
fn copy_wide(from: &[u8], to: &mut [u8]) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has AVX-512F, as was just seen.
            return unsafe { x86::copy_by_64(from, to) };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2, as was just seen.
            return unsafe { x86::copy_by_32(from, to) };
        }
    }
    to.copy_from_slice(from);
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
mod x86 {
    use super::LINE;
    use std::arch::asm;
    use std::sync::atomic::{Ordering, compiler_fence};

    /// Splits two slices of one length where the lines of `to` begin and end: head, lines, tail.
    #[inline(always)]
    fn split<'a>(from: &'a [u8], to: &'a mut [u8]) -> [(&'a [u8], &'a mut [u8]); 3] {
        let head = to.as_ptr().align_offset(LINE).min(to.len());
        let lines = (to.len() - head) / LINE * LINE;
        let (head_from, rest_from) = from.split_at(head);
        let (head_to, rest_to) = to.split_at_mut(head);
        let (lines_from, tail_from) = rest_from.split_at(lines);
        let (lines_to, tail_to) = rest_to.split_at_mut(lines);
        [
            (head_from, head_to),
            (lines_from, lines_to),
            (tail_from, tail_to),
        ]
    }

    /// Copies with one store for a line.
    ///
    /// # Safety
    /// The processor has AVX-512F.
    pub(super) unsafe fn copy_by_64(from: &[u8], to: &mut [u8]) {
        assert!(from.len() == to.len());
        let [head, (from, to), tail] = split(from, to);
        head.1.copy_from_slice(head.0);
        if !to.is_empty() {
            // SAFETY: reads and writes as many lines as both slices have, from their first bytes
            // on, of which `to`'s is aligned to a line (`split`). The instructions exist by this
            // function's contract. Registers from 16 on need no `vzeroupper`.
            unsafe {
                asm!(
                    "2:",
                    "vmovdqu64 zmm16, [{from}]",
                    "vmovdqa64 [{to}], zmm16",
                    "add {from}, 64",
                    "add {to}, 64",
                    "dec {lines}",
                    "jnz 2b",
                    from = inout(reg) from.as_ptr() => _,
                    to = inout(reg) to.as_mut_ptr() => _,
                    lines = inout(reg) to.len() / LINE => _,
                    out("zmm16") _,
                    options(nostack),
                );
            }
        }
        tail.1.copy_from_slice(tail.0);
    }

    /// Copies with two stores for a line.
    ///
    /// # Safety
    /// The processor has AVX2.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn copy_by_32(from: &[u8], to: &mut [u8]) {
        assert!(from.len() == to.len());
        let [head, (from, to), tail] = split(from, to);
        head.1.copy_from_slice(head.0);
        for (from, to) in from.chunks_exact(LINE).zip(to.chunks_exact_mut(LINE)) {
            to.copy_from_slice(from);
            compiler_fence(Ordering::SeqCst); // else the compiler makes one call of the loop
        }
        tail.1.copy_from_slice(tail.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A way to copy, by name.
    type Way = (&'static str, fn(&[u8], &mut [u8]));

    fn ways() -> Vec<Way> {
        let mut ways: Vec<Way> = vec![
            ("copy_in", copy_in),
            ("copy_out", copy_out),
            ("copy_wide", copy_wide),
        ];
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        {
            if is_x86_feature_detected!("avx512f") {
                // SAFETY: the processor has AVX-512F, as was just seen.
                ways.push(("by 64", |from, to| unsafe { x86::copy_by_64(from, to) }));
            } else {
                println!("SKIPPED: copies by 64: this processor has no AVX-512F");
            }
            if is_x86_feature_detected!("avx2") {
                // SAFETY: the processor has AVX2, as was just seen.
                ways.push(("by 32", |from, to| unsafe { x86::copy_by_32(from, to) }));
            } else {
                println!("SKIPPED: copies by 32: this processor has no AVX2");
            }
        }
        ways
    }

    #[test]
    fn each_way_copies_every_byte_and_no_other_whatever_the_length_and_place() {
        const ROOM: usize = 1500;
        let source: Vec<u8> = (0..ROOM)
            .map(|byte| (byte * 7 + byte / 251) as u8)
            .collect();
        let lengths = (0..200).chain([255, 256, 511, 512, 513, 575, 640, 1024, 1100]);
        for (way, copy) in ways() {
            for len in lengths.clone() {
                for (from, to) in [(0, 0), (8, 16), (3, 1), (63, 16), (16, 63)] {
                    let mut target = vec![0xA5; ROOM];
                    copy(&source[from..from + len], &mut target[to..to + len]);
                    assert_eq!(
                        target[to..to + len],
                        source[from..from + len],
                        "{way} {len}"
                    );
                    let around = target[..to].iter().chain(&target[to + len..]);
                    assert!(around.clone().all(|byte| *byte == 0xA5), "{way} {len}");
                }
            }
        }
    }
}
