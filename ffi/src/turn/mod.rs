//! Decides whose turn it is. A handle is used by one thread at a time, and a thread that comes in
//! between gets an error.
//!
//! An atomic exchange at each call would be sure but costs a third of an 8-byte put. So the first thread that puts or gets becomes the handle's *owner* and enters with plain
//! stores; a thread that is not the owner takes that privilege away first, for good, with the help of the kernel (`membarrier`), and from then on everybody pays for the exchange.
//!
//! Invariants:
//! 1. `owner` goes SHARED -> a thread -> REVOKING -> OVER, each step at most once in the life of a handle; the one who is inside may take it to OVER at once.
//! 2. `inside` is written by the owner alone (there is only one, by 1), and is true while the owner is inside by its privilege.
//! 3. `busy` is true while somebody is inside by the exchange, or is finding out that it may not.
//!
//! Claim: nobody is inside together with somebody else.
//! - Two by the exchange: excluded by the exchange itself.
//! - Owner O by its privilege, and F by the exchange. F looked at `owner` after its exchange and
//!   saw SHARED or OVER. SHARED: O became owner later, inside by the exchange, so its exchange came
//!   after F had left, or before F's: then `busy` was true until O had left, F's exchange read what
//!   O wrote (or later) when leaving, and by that F must have seen the owner. OVER: a `membarrier`
//!   was between the store of REVOKING and that of OVER. O stores `inside`, then loads `owner`, in
//!   program order (a compiler fence); the barrier falls before or after that load. After it:
//!   `inside` is visible to F, which goes away. Before it: O sees REVOKING, and goes away (enters
//!   by the exchange).
//!
//! Without `membarrier` (a kernel before 4.14, a sandbox) F sleeps for a millisecond instead, by when the owner's store is long visible on any real machine.

use crate::cancel::Held;
use rustix::thread::{MembarrierCommand, membarrier};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, compiler_fence, fence};
use std::time::Duration;

#[cfg(test)]
mod tests;

/// No owner yet.
const SHARED: usize = 0;
/// Somebody is taking the privilege away.
const REVOKING: usize = 1;
/// There was an owner, and there will be none again.
const OVER: usize = 2;

/// See the module.
#[derive(Debug)]
pub struct Turn {
    owner: AtomicUsize,
    inside: AtomicBool,
    busy: AtomicBool,
}

/// Being inside; ends when dropped.
#[derive(Debug)]
pub struct Pass<'a>(&'a AtomicBool);

impl Drop for Pass<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        // Release: pairs with `enter_shared`, so that what was done inside is seen by the thread
        // that is inside next.
        self.0.store(false, Ordering::Release);
    }
}

/// A number that no two threads of this process have at once: the address in the thread register, so never one of the three words above.
#[inline(always)]
fn me() -> usize {
    let thread: usize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: reads a word that the ABI puts there: the thread control block begins with its own address. (`pthread_self` is the same behind a call.)
    unsafe {
        std::arch::asm!("mov {}, fs:0", out(reg) thread, options(nostack, readonly, preserves_flags));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: reads the register in which the ABI keeps the address of the thread control block.
    unsafe {
        std::arch::asm!("mrs {}, tpidr_el0", out(reg) thread, options(nomem, nostack, preserves_flags));
    }
    thread
}

impl Turn {
    /// No thread is inside.
    pub const fn new() -> Self {
        Self {
            owner: AtomicUsize::new(SHARED),
            inside: AtomicBool::new(false),
            busy: AtomicBool::new(false),
        }
    }

    /// For a handle that is used again: there was no owner.
    pub fn begin_anew(&self) {
        self.owner.store(SHARED, Ordering::Release);
    }

    /// From now on nobody enters by privilege. The caller is inside.
    pub fn end_privilege(&self) {
        // Release: a thread that sees it sees as well that the owner, if that is the caller, is
        // still inside.
        self.owner.store(OVER, Ordering::Release);
    }

    /// Enters, if this thread is the owner.
    #[inline(always)]
    pub fn enter_as_owner(&self) -> Option<Pass<'_>> {
        let me = me();
        // Relaxed, both: only this thread stores its own address, and only the owner writes `inside`. True: a signal handler came in between.
        if self.owner.load(Ordering::Relaxed) != me || self.inside.load(Ordering::Relaxed) {
            return None;
        }
        self.inside.store(true, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst); // the processor's part of this fence is the membarrier in `revoke`
        if self.owner.load(Ordering::Relaxed) == me {
            return Some(Pass(&self.inside));
        }
        self.inside.store(false, Ordering::Release);
        None
    }

    /// Enters, if nobody is inside. `own`: the thread is to be the owner, if there was none.
    pub fn enter(&self, own: bool) -> Option<Pass<'_>> {
        let me = me();
        if self.owner.load(Ordering::Relaxed) == me {
            if let Some(pass) = self.enter_as_owner() {
                return Some(pass);
            }
            if self.owner.load(Ordering::Relaxed) == me {
                return None; // a signal handler
            }
        }
        self.enter_shared(me, own)
    }

    fn enter_shared(&self, me: usize, own: bool) -> Option<Pass<'_>> {
        loop {
            self.revoke();
            // AcqRel: pairs with the Release stores that leave.
            if self.busy.swap(true, Ordering::AcqRel) {
                return None;
            }
            let pass = Pass(&self.busy);
            // Acquire: pairs with `revoke` of another thread, after whose membarrier `inside` is true if the owner is inside.
            let owner = self.owner.load(Ordering::Acquire);
            if owner != SHARED && owner != OVER {
                continue;
            }
            if self.inside.load(Ordering::Acquire) {
                return None;
            }
            if owner == SHARED && own {
                self.owner.store(me, Ordering::Release); // for its next calls; this one is inside by the exchange
            }
            return Some(pass);
        }
    }

    /// Afterwards the owner, if there was one, has no privilege.
    fn revoke(&self) {
        let owner = self.owner.load(Ordering::Acquire);
        if owner == SHARED || owner == OVER {
            return;
        }
        // If it fails, or the word is REVOKING, somebody else is at it, whose barrier may still be to come: so we need our own.
        let _ = self
            .owner
            .compare_exchange(owner, REVOKING, Ordering::SeqCst, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let barrier = membarrier(MembarrierCommand::RegisterPrivateExpedited)
            .and_then(|()| membarrier(MembarrierCommand::PrivateExpedited));
        if barrier.is_err() {
            let _held = Held::begin();
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = self
            .owner
            .compare_exchange(REVOKING, OVER, Ordering::SeqCst, Ordering::SeqCst);
    }
}
