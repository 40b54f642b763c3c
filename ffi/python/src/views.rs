//! What becomes of views (memoryviews, arrays) in a forked child: they show a copy of what they showed when it was forked.
//!
//! A segment is not mapped in a forked child, so there a view would end in a fault. The child gets private pages in that place instead.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Memory that views show: where it begins, and its length.
type Viewed = BTreeMap<usize, usize>;
type Copies = Vec<(usize, Vec<u8>)>;

static VIEWED: Mutex<Viewed> = Mutex::new(BTreeMap::new());

thread_local! {
    /// While this thread forks: nobody else adds views, and the copies.
    static FORKING: RefCell<Option<(MutexGuard<'static, Viewed>, Copies)>> = const { RefCell::new(None) };
}

fn locked() -> MutexGuard<'static, Viewed> {
    VIEWED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Somebody sees `len` bytes from `start` on, which stay mapped until `gone`.
pub fn seen(start: usize, len: usize) {
    locked().insert(start, len);
}

/// Nobody sees them any more.
pub fn gone(start: usize) {
    locked().remove(&start);
}

/// Before a fork.
pub fn prepare() {
    let viewed = locked();
    let copies = viewed
        .iter()
        .map(|(&start, &len)| {
            let mut copy = vec![0u8; len];
            // SAFETY: `seen` says that these bytes are mapped until `gone`, which needs the lock that is held here; the vector has as many bytes of its own.
            unsafe { std::ptr::copy_nonoverlapping(start as *const u8, copy.as_mut_ptr(), len) };
            (start, copy)
        })
        .collect();
    FORKING.set(Some((viewed, copies)));
}

/// After it, in the parent.
pub fn parent() {
    FORKING.take();
}

/// After it, in the child.
pub fn child() {
    let Some((mut viewed, copies)) = FORKING.take() else {
        return;
    };
    viewed.clear();
    // SAFETY: reads a constant of the system.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    let mut mapped = 0; // the end of the pages that are there already: the copies are in the order of their addresses
    for (start, copy) in copies {
        let (from, to) = (
            (start & !(page - 1)).max(mapped),
            (start + copy.len()).next_multiple_of(page),
        );
        if from < to {
            let (protection, flags) = (
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
            );
            // SAFETY: these pages belonged to a segment's mapping in the parent, whole pages of it, and a fork leaves that out (MADV_DONTFORK): nothing is there.
            let pages = unsafe {
                libc::mmap(
                    from as *mut libc::c_void,
                    to - from,
                    protection,
                    flags,
                    -1,
                    0,
                )
            };
            if pages == libc::MAP_FAILED {
                continue; // no memory: as without this module
            }
            mapped = to;
        }
        // SAFETY: the pages from `start` to its end are this process's own now, from this round or the one before.
        unsafe { std::ptr::copy_nonoverlapping(copy.as_ptr(), start as *mut u8, copy.len()) };
    }
}
