//! Leases: locks that the kernel takes back when a process dies, in whatever way.
//!
//! Owns an endpoint's own file description, the open-file-description locks on it (one byte for
//! each seat, far past the end of the file), and the fork guard. Invariants:
//! - A lock is never tried or given back through a descriptor that has become another file or
//!   another lease's.
//! - A forked copy of a lease touches nothing.
//! - The mapping made through the descriptor keeps the locks alive, even if the program closes all
//!   its descriptors.
use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, RawFd};
use std::path::PathBuf;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[cfg(test)]
mod tests;

/// The byte of seat 0, far past the end of any file.
const LOCK_BASE: i64 = 1 << 62;

/// A description of the segment's file that belongs to this endpoint alone.
#[derive(Debug)]
pub(crate) struct Lease {
    /// Ours until Drop. It holds our number, unless another lease was given the same one: then the
    /// program had closed ours.
    node: &'static Node,
    /// Closed by Drop, and only if it is still ours.
    file: ManuallyDrop<File>,
    device: u64,
    inode: u64,
    birth: Birth,
}

/// When a process began, counted in forks. It tells the process from the children that it forks
/// later.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Birth {
    generation: u64,
}

impl Birth {
    fn now() -> io::Result<Self> {
        Ok(Self {
            generation: fork_generation()?,
        })
    }

    /// Returns whether this process was forked after the birth was noted. One load.
    #[inline(always)]
    pub(crate) fn forked(self) -> bool {
        // A thread that the fuzzer has killed touches as little as a forked copy does.
        #[cfg(fuzzing)]
        if crate::sync::mortal::dead() {
            return true;
        }
        self.inherited()
    }

    /// Answers as `forked`, for code that cleans up. What the fuzzer's killed threads leave is
    /// unmapped and closed, as the kernel does it.
    #[inline(always)]
    fn inherited(self) -> bool {
        let page = PAGE.load(Ordering::Relaxed);
        // SAFETY: `Birth::now` ran `fork_generation`, which set PAGE to a mapping of at least 8
        // bytes, page-aligned, that is never unmapped and is only accessed as an AtomicU64.
        let now = unsafe { &*page }.load(Ordering::Relaxed);
        now != self.generation
    }
}

impl Lease {
    /// Takes charge of a descriptor that nobody else uses.
    pub(crate) fn new(file: File) -> io::Result<Self> {
        let birth = Birth::now()?;
        let (device, inode, _) = identity(file.as_raw_fd())?;
        Ok(Self {
            node: Node::register(file.as_raw_fd(), device, inode),
            file: ManuallyDrop::new(file),
            device,
            inode,
            birth,
        })
    }

    /// Returns the file, for the code that has just made the lease. Later the program may have
    /// closed it.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    fn number(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Returns when the process that made this lease began.
    pub(crate) fn birth(&self) -> Birth {
        self.birth
    }

    /// Returns whether this process was forked after the lease was made.
    #[inline(always)]
    pub(crate) fn forked(&self) -> bool {
        self.birth.forked()
    }

    /// Answers as `forked`, for code that cleans up. What the fuzzer's killed threads leave is
    /// unmapped and closed, as the kernel does it.
    #[inline(always)]
    pub(crate) fn inherited(&self) -> bool {
        self.birth.inherited()
    }

    /// Takes the lock of `byte` for this description. Returns false if another one has it. Succeeds
    /// without a word if it is ours already.
    pub(crate) fn try_lock(&self, byte: u32) -> io::Result<bool> {
        match self.set(byte, libc::F_WRLCK) {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Takes a lock as `try_lock` does, for a description that cannot be written. It excludes those
    /// that can, and one another.
    pub(crate) fn try_lock_as_reader(&self, byte: u32) -> io::Result<bool> {
        let taken = |locked: io::Result<()>| match locked {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => {
                Ok(false)
            }
            Err(error) => Err(error),
        };
        if !self.same_file() {
            return Err(closed());
        }
        Ok(taken(
            rustix::fs::flock(
                &*self.file,
                rustix::fs::FlockOperation::NonBlockingLockExclusive,
            )
            .map_err(io::Error::from),
        )? && taken(self.set(byte, libc::F_RDLCK))?)
    }

    /// Gives the lock of `byte` back.
    pub(crate) fn unlock(&self, byte: u32) -> io::Result<()> {
        self.set(byte, libc::F_UNLCK)
    }

    /// Returns whether another description holds the lock of `byte`. Works on a read-only
    /// descriptor.
    pub(crate) fn is_locked(&self, byte: u32) -> io::Result<bool> {
        let mut lock = flock(byte, libc::F_WRLCK);
        self.fcntl(libc::F_OFD_GETLK, &mut lock)?;
        Ok(i32::from(lock.l_type) != libc::F_UNLCK)
    }

    /// Returns whether another description holds the lock of one of these bytes. Works on a
    /// read-only descriptor.
    pub(crate) fn any_locked(&self, first: u32, bytes: u32) -> io::Result<bool> {
        let mut lock = flock(first, libc::F_WRLCK);
        lock.l_len = bytes.into();
        self.fcntl(libc::F_OFD_GETLK, &mut lock)?;
        Ok(i32::from(lock.l_type) != libc::F_UNLCK)
    }

    /// Returns where the file can be opened once more, without its name.
    pub(crate) fn path(&self) -> io::Result<PathBuf> {
        self.links()?;
        Ok(format!("/proc/self/fd/{}", self.number()).into())
    }

    /// Returns device and inode.
    pub(crate) fn identity(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// Returns how many names the file still has. 0 means that it was removed.
    pub(crate) fn links(&self) -> io::Result<u64> {
        let (device, inode, links) = identity(self.number())?;
        if self.has_number() && (device, inode) == (self.device, self.inode) {
            Ok(links)
        } else {
            Err(closed())
        }
    }

    /// Returns whether no other lease was given our number. Device and inode alone cannot tell two
    /// leases of one file apart.
    fn has_number(&self) -> bool {
        // Acquire: pairs with the exchange in `Node::register`, so that what the new lease locks
        // comes after our look.
        !self.inherited() && self.node.fd.load(Ordering::Acquire) == self.number()
    }

    /// Returns whether the number still is our file: the program has neither closed nor reused it.
    fn same_file(&self) -> bool {
        self.links().is_ok()
    }

    fn set(&self, byte: u32, kind: i32) -> io::Result<()> {
        self.fcntl(libc::F_OFD_SETLK, &mut flock(byte, kind))
    }

    fn fcntl(&self, command: i32, lock: &mut libc::flock) -> io::Result<()> {
        #[cfg(fuzzing)]
        if crate::sync::mortal::dead() {
            return Err(closed());
        }
        if !self.same_file() {
            return Err(closed());
        }
        loop {
            #[cfg(fuzzing)]
            if let Some(answer) = crate::sys::pretend::fcntl(self.number(), command, lock) {
                return answer;
            }
            // SAFETY: the descriptor is a number the kernel checks; `lock` is a valid, exclusive
            // flock for the length of the call.
            if unsafe { libc::fcntl(self.number(), command, lock as *mut libc::flock) } == 0 {
                return Ok(());
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.inherited() {
            return; // the descriptor was closed by the fork handler, or is the parent's business
        }
        let ours = self.same_file();
        self.node.fd.store(-1, Ordering::Release);
        #[cfg(fuzzing)]
        if ours && crate::sys::pretend::close(self.number()) {
            return;
        }
        if ours {
            // SAFETY: called once, here; the field is not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.file) };
        }
    }
}

fn closed() -> io::Error {
    io::Error::from_raw_os_error(libc::EBADF)
}

fn flock(byte: u32, kind: i32) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: LOCK_BASE + i64::from(byte),
        l_len: 1,
        l_pid: 0,
    }
}

/// Returns device, inode and number of links of an open file. Async-signal-safe.
fn identity(fd: RawFd) -> io::Result<(u64, u64, u64)> {
    #[cfg(fuzzing)]
    if let Some(pretended) = crate::sys::pretend::identity(fd) {
        return Ok(pretended);
    }
    let mut stat = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the kernel checks the descriptor; `stat` has room for what it writes.
    if unsafe { libc::fstat(fd, stat.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: fstat succeeded, so it has written the whole structure.
    let stat = unsafe { stat.assume_init() };
    #[allow(clippy::unnecessary_cast)] // st_nlink is u32 on aarch64
    Ok((stat.st_dev as u64, stat.st_ino as u64, stat.st_nlink as u64))
}

// ---------------------------------------------------------------- fork

/// One word that reads 0 in a forked child (MADV_WIPEONFORK) until that child opens something of
/// its own.
static PAGE: AtomicPtr<AtomicU64> = AtomicPtr::new(null_mut());
static GENERATIONS: AtomicU64 = AtomicU64::new(0);

/// Returns the generation of this process, which is a new one in a forked child.
fn fork_generation() -> io::Result<u64> {
    let mut page = PAGE.load(Ordering::Acquire);
    if page.is_null() {
        // This comes before others can see the page, so a thread that finds it has the handler too.
        // A second registration does no harm, because the handler finds nothing the second time.
        // SAFETY: the handlers are plain functions for the life of the program and call only
        // async-signal-safe functions.
        let errno = unsafe {
            libc::pthread_atfork(Some(fork_begins), Some(fork_ended), Some(close_inherited))
        };
        if errno != 0 {
            return Err(io::Error::from_raw_os_error(errno));
        }
        let new = wiped_page()?;
        page = match PAGE.compare_exchange(null_mut(), new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => new,
            Err(theirs) => theirs, // ours stays mapped: one page, once
        };
    }
    // SAFETY: PAGE, once set, is a page-aligned mapping that is never unmapped and only accessed as
    // an AtomicU64.
    let word = unsafe { &*page };
    let now = word.load(Ordering::Acquire);
    if now != 0 {
        return Ok(now);
    }
    let new = GENERATIONS.fetch_add(1, Ordering::AcqRel) + 1;
    Ok(word
        .compare_exchange(0, new, Ordering::AcqRel, Ordering::Acquire)
        .map_or_else(|theirs| theirs, |_| new))
}

fn wiped_page() -> io::Result<*mut AtomicU64> {
    const SIZE: usize = 4096;
    // SAFETY: an anonymous private mapping at an address of the kernel's choice touches nothing
    // that exists.
    let page = unsafe {
        libc::mmap(
            null_mut(),
            SIZE,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if page == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // Some kernels do not know this (before 4.14, gVisor), or accept it and do nothing (qemu-user).
    // There the fork handler wipes the word, and only children that run no handlers are not told.
    // SAFETY: the range is the mapping just made; the advice changes only what a forked child sees
    // of it.
    let _ = unsafe { libc::madvise(page, SIZE, libc::MADV_WIPEONFORK) };
    Ok(page.cast())
}

/// A descriptor that a forked child has to close, so that it does not keep its dead parent's seats.
/// Nodes are leaked and used again.
#[derive(Debug)]
struct Node {
    /// -1 means free.
    fd: AtomicI32,
    device: AtomicU64,
    inode: AtomicU64,
    next: AtomicPtr<Node>,
}

static NODES: AtomicPtr<Node> = AtomicPtr::new(null_mut());
/// Stands in `Node::fd` while the other fields are being written.
const TAKEN: i32 = -2;
/// Stands in `Node::fd` when the number went to another lease.
const LOST: i32 = -3;

/// Returns all nodes that there are.
fn nodes() -> impl Iterator<Item = &'static Node> {
    // SAFETY: NODES and each `next` are null or come from Box::leak below: valid for ever, only
    // shared references exist.
    std::iter::successors(unsafe { NODES.load(Ordering::Acquire).as_ref() }, |node| {
        // SAFETY: as above.
        unsafe { node.next.load(Ordering::Acquire).as_ref() }
    })
}

impl Node {
    fn register(fd: RawFd, device: u64, inode: u64) -> &'static Self {
        // The kernel has just given us this number, so the lease that had it before had it closed
        // under it. (Acquire and Release: see `has_number`; Relaxed: nothing was changed.)
        for node in nodes() {
            let _ = node
                .fd
                .compare_exchange(fd, LOST, Ordering::AcqRel, Ordering::Relaxed);
        }
        let free = nodes().find(|node| {
            node.fd
                .compare_exchange(-1, TAKEN, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
        });
        let node = free.unwrap_or_else(|| {
            let node: &'static Self = Box::leak(Box::new(Self {
                fd: AtomicI32::new(TAKEN),
                device: AtomicU64::new(0),
                inode: AtomicU64::new(0),
                next: AtomicPtr::new(null_mut()),
            }));
            let mut first = NODES.load(Ordering::Acquire);
            loop {
                node.next.store(first, Ordering::Release);
                match NODES.compare_exchange(
                    first,
                    std::ptr::from_ref(node).cast_mut(),
                    Ordering::AcqRel,
                    Ordering::Acquire,
                ) {
                    Ok(_) => break node,
                    Err(actual) => first = actual,
                }
            }
        });
        node.device.store(device, Ordering::Relaxed);
        node.inode.store(inode, Ordering::Relaxed);
        node.fd.store(fd, Ordering::Release);
        node
    }
}

/// Forks of this process as the handlers count them: those that have begun, and those that have
/// ended here.
static BEGUN: AtomicU64 = AtomicU64::new(0);
static ENDED: AtomicU64 = AtomicU64::new(0);

/// A time in which no fork is under way. No child has what is opened and mapped, registered and
/// advised in it.
#[derive(Debug)]
pub(crate) struct Calm {
    begun: u64,
    ended: u64,
}

impl Calm {
    /// Begins when no fork is under way, but waits for that no longer than until `deadline`.
    pub(crate) fn begin(deadline: Instant) -> io::Result<Self> {
        fork_generation()?; // from here on the handlers count
        loop {
            // SeqCst, here and in the handlers: the counts have one order with each other. The
            // kernel orders what a fork copies: it comes after the handler before it, and before
            // the one after it.
            let calm = Self {
                ended: ENDED.load(Ordering::SeqCst),
                begun: BEGUN.load(Ordering::SeqCst),
            };
            if !calm.disturbed() || Instant::now() >= deadline {
                return Ok(calm);
            }
            std::thread::sleep(Duration::from_micros(50));
        }
    }

    /// Returns whether it has lasted until now.
    pub(crate) fn lasted(&self) -> bool {
        !self.disturbed()
            && (self.begun, self.ended)
                == (BEGUN.load(Ordering::SeqCst), ENDED.load(Ordering::SeqCst))
    }

    /// Returns whether a fork was under way. (Of one that began before the handlers were there,
    /// only the end is counted.)
    fn disturbed(&self) -> bool {
        self.begun > self.ended
    }
}

extern "C" fn fork_begins() {
    BEGUN.fetch_add(1, Ordering::SeqCst);
}

extern "C" fn fork_ended() {
    ENDED.fetch_add(1, Ordering::SeqCst);
}

/// Runs in a forked child.
extern "C" fn close_inherited() {
    // No fork is under way here.
    ENDED.store(BEGUN.load(Ordering::SeqCst), Ordering::SeqCst);
    // SAFETY: PAGE is null or a page-aligned mapping that is never unmapped and only accessed as an
    // AtomicU64.
    if let Some(word) = unsafe { PAGE.load(Ordering::Acquire).as_ref() } {
        word.store(0, Ordering::Release); // in case the kernel has not
    }
    for node in nodes() {
        let fd = node.fd.load(Ordering::Acquire);
        let expected = (
            node.device.load(Ordering::Relaxed),
            node.inode.load(Ordering::Relaxed),
        );
        if fd >= 0 && identity(fd).is_ok_and(|(device, inode, _)| (device, inode) == expected) {
            // SAFETY: the number is the inherited copy of a lease's descriptor; the forked lease
            // will never use it.
            unsafe { libc::close(fd) };
        }
        node.fd.store(-1, Ordering::Release);
    }
}
