//! Two words that one instruction exchanges: the word of a slot, and the copy of its item beside
//! it.
//!
//! The word is also loaded and exchanged alone, by instructions of eight bytes. The language's
//! memory model does not define an atomic access of eight bytes that races with one of sixteen, so
//! the exchange of both is inline assembly, which the compiler takes for any access to the memory
//! at its pointer, and the argument is one about the machine.
//!
//! - x86-64: `lock cmpxchg16b` is a full fence. Others see each half of its store as a whole, and
//!   neither before the instruction has the line for itself. Their aligned loads of eight bytes
//!   stay in order.
//! - aarch64: `caspal` (or `ldaxp` and `stlxp` in a loop) acquires and releases. Its store is one
//!   single-copy atomic write of both halves. A load of the copy after a load-acquire of the word
//!   sees no older copy than the word's. It sees no newer one either if the exchange of the word
//!   that follows succeeds: the load comes before that exchange's store-release, and the exchange
//!   that wrote a newer copy has read that store's word or a later one.

use super::atomic::{AtomicU64, Ordering};

/// The word of a slot and the copy beside it.
#[repr(C, align(16))]
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) word: AtomicU64,
    /// Changed by [`exchange`](Self::exchange) alone.
    copy: AtomicU64,
}

#[cfg(not(all(test, loom)))]
const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<Pair>() == 16 && align_of::<Pair>() == 16);
    assert!(offset_of!(Pair, word) == 0 && offset_of!(Pair, copy) == 8);
};

/// What a pair holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Both {
    pub(crate) word: u64,
    pub(crate) copy: u64,
}

impl Pair {
    /// Loads the copy, after the word. It is that word's if an exchange from the same word succeeds
    /// afterwards.
    #[inline(always)]
    pub(crate) fn copy(&self) -> u64 {
        // Acquire: comes before the exchange that follows. Pairs with that of the process that
        // wrote it.
        self.copy.load(Ordering::Acquire)
    }
}

#[cfg(not(all(test, loom)))]
impl Pair {
    /// Asks for the line of this pair, which will be exchanged soon. Changes nothing.
    #[inline(always)]
    pub(crate) fn fetch(&self) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a hint: it reads and writes nothing, and no address makes it fault. (A processor
        // that does not know it takes it for a NOP.)
        unsafe {
            core::arch::asm!("prefetchw [{}]", in(reg) self, options(nostack, preserves_flags, readonly));
        }
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        unsafe {
            core::arch::asm!("prfm pstl1keep, [{}]", in(reg) self, options(nostack, preserves_flags, readonly));
        }
    }
}

/// Returns whether this processor exchanges both words at once.
#[cfg(not(all(test, loom)))]
pub(crate) fn is_supported() -> bool {
    #[cfg(test)]
    if tests::ABSENT.get() {
        return false;
    }
    // ThreadSanitizer does not see what assembly does.
    if cfg!(sanitized) {
        return false;
    }
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("cmpxchg16b");
    #[cfg(target_arch = "aarch64")]
    return true;
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    false
}

#[cfg(not(all(test, loom)))]
impl Pair {
    /// Exchanges both words at once, sequentially consistent. The error is the word found. It
    /// differs from `old.word`, unless somebody has written to the segment past this library.
    #[inline(always)]
    pub(crate) fn exchange(&self, old: Both, new: Both) -> Result<(), u64> {
        #[cfg(fuzzing)]
        if !super::mortal::mortal() {
            return Ok(());
        }
        // SAFETY: a reference to a Pair points to 16 bytes that are aligned to 16, writable and
        // mapped as long as it lives; a segment whose slots are pairs is opened only where
        // `is_supported` says yes.
        let found = unsafe { exchange(std::ptr::from_ref(self).cast_mut(), old, new) };
        if found == old {
            Ok(())
        } else {
            Err(found.word)
        }
    }
}

/// # Safety
/// `pair` points to 16 bytes aligned to 16 that may be written, all accesses to which are atomic,
/// and the processor has the instruction: [`is_supported`].
#[cfg(all(target_arch = "x86_64", not(all(test, loom))))]
#[inline(always)]
unsafe fn exchange(pair: *mut Pair, old: Both, new: Both) -> Both {
    let (word, copy): (u64, u64);
    // SAFETY: the pointer is good by the caller's contract; the instruction reads and writes the 16
    // bytes there and the registers named, and it takes the new word from rbx, which the compiler
    // keeps for itself: it is put back before the end. The stack is not touched.
    unsafe {
        core::arch::asm!(
            "xchg {new_word}, rbx",
            "lock cmpxchg16b [rdi]",
            "mov rbx, {new_word}",
            new_word = inout(reg) new.word => _,
            in("rcx") new.copy,
            in("rdi") pair,
            inout("rax") old.word => word,
            inout("rdx") old.copy => copy,
            options(nostack),
        );
    }
    Both { word, copy }
}

/// # Safety
/// `pair` points to 16 bytes aligned to 16 that may be written, all accesses to which are atomic.
#[cfg(all(target_arch = "aarch64", not(all(test, loom))))]
#[inline(always)]
unsafe fn exchange(pair: *mut Pair, old: Both, new: Both) -> Both {
    let (word, copy): (u64, u64);
    if std::arch::is_aarch64_feature_detected!("lse") {
        // SAFETY: the pointer is good by the caller's contract; the processor has the instruction,
        // which reads and writes the 16 bytes there and the registers named.
        unsafe {
            core::arch::asm!(
                ".arch_extension lse",
                "caspal x4, x5, x6, x7, [{pair}]",
                pair = in(reg) pair,
                inout("x4") old.word => word,
                inout("x5") old.copy => copy,
                in("x6") new.word,
                in("x7") new.copy,
                options(nostack),
            );
        }
        return Both { word, copy };
    }
    // SAFETY: as above. Where the pair differs, what was found is written back, if nobody was in
    // between: only then the two halves were there at the same time.
    unsafe {
        core::arch::asm!(
            "2:",
            "ldaxp {word}, {copy}, [{pair}]",
            "cmp {word}, {old_word}",
            "ccmp {copy}, {old_copy}, #0, eq",
            "csel {put_word}, {new_word}, {word}, eq",
            "csel {put_copy}, {new_copy}, {copy}, eq",
            "stlxp {failed:w}, {put_word}, {put_copy}, [{pair}]",
            "cbnz {failed:w}, 2b",
            pair = in(reg) pair,
            old_word = in(reg) old.word,
            old_copy = in(reg) old.copy,
            new_word = in(reg) new.word,
            new_copy = in(reg) new.copy,
            word = out(reg) word,
            copy = out(reg) copy,
            put_word = out(reg) _,
            put_copy = out(reg) _,
            failed = out(reg) _,
            options(nostack),
        );
    }
    Both { word, copy }
}

/// # Safety
/// None is needed: nobody gets here, see [`is_supported`].
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", all(test, loom))))]
unsafe fn exchange(_: *mut Pair, _: Both, _: Both) -> Both {
    unreachable!("no segment with pairs is opened here")
}

/// Under loom, which has no atomic of 128 bits: two words, and a lock that every exchange takes, of
/// both and of the word alone. Loads take no lock, so one may see the new copy beside the old word,
/// which the machine does not allow: more outcomes, all of which the exchange of the word has to
/// catch.
#[cfg(all(test, loom))]
impl Pair {
    pub(crate) fn new(word: u64) -> Self {
        Self {
            word: AtomicU64::locked(word),
            copy: AtomicU64::new(0),
        }
    }

    pub(crate) fn exchange(&self, old: Both, new: Both) -> Result<(), u64> {
        super::atomic::cas_both(
            &self.word,
            &self.copy,
            (old.word, old.copy),
            (new.word, new.copy),
        )
    }
}

#[cfg(all(test, not(loom)))]
pub(crate) mod tests {
    use super::*;
    use std::cell::Cell;

    thread_local! {
        /// This thread plays a processor without the instruction.
        pub(crate) static ABSENT: Cell<bool> = const { Cell::new(false) };
    }

    impl Pair {
        pub(crate) fn new(word: u64) -> Self {
            Self {
                word: AtomicU64::new(word),
                copy: AtomicU64::new(0),
            }
        }
    }

    fn both(word: u64, copy: u64) -> Both {
        Both { word, copy }
    }

    #[test]
    fn both_words_are_exchanged_or_none() {
        if !is_supported() {
            eprintln!("SKIPPED: this processor does not exchange 16 bytes at once");
            return;
        }
        let pair = Pair::new(1);
        assert_eq!(pair.exchange(both(1, 0), both(2, u64::MAX)), Ok(()));
        assert_eq!(
            (pair.word.load(Ordering::Relaxed), pair.copy()),
            (2, u64::MAX)
        );
        assert_eq!(pair.exchange(both(1, u64::MAX), both(3, 3)), Err(2));
        // Only a process that writes to the copy alone can bring this about.
        assert_eq!(pair.exchange(both(2, 0), both(3, 3)), Err(2));
        assert_eq!(
            (pair.word.load(Ordering::Relaxed), pair.copy()),
            (2, u64::MAX)
        );
    }

    #[test]
    fn who_loads_the_word_and_exchanges_it_alone_has_its_copy() {
        if !is_supported() {
            eprintln!("SKIPPED: this processor does not exchange 16 bytes at once");
            return;
        }
        const ROUNDS: u64 = 20_000;
        let pair = Pair::new(0);
        std::thread::scope(|scope| {
            // Odd words are full. Their copy is the word times 3.
            scope.spawn(|| {
                for round in 0..ROUNDS {
                    loop {
                        let old = both(pair.word.load(Ordering::SeqCst), pair.copy());
                        let new = both(2 * round + 1, 3 * (2 * round + 1));
                        if old.word == 2 * round && pair.exchange(old, new).is_ok() {
                            break;
                        }
                        std::thread::yield_now();
                    }
                }
            });
            for round in 0..ROUNDS {
                loop {
                    let word = pair.word.load(Ordering::SeqCst);
                    let copy = pair.copy();
                    if word == 2 * round + 1
                        && super::super::atomic::cas_sc(&pair.word, word, word + 1).is_ok()
                    {
                        assert_eq!(copy, 3 * word);
                        break;
                    }
                    std::thread::yield_now();
                }
            }
        });
    }
}
