//! A pretended kernel, for the fuzzer alone (`cfg(fuzzing)`). It has files, descriptors and their
//! locks in this thread's memory, for a segment directory that exists nowhere else.
//!
//! Nearly all of an input's time went into open, fstat, fcntl and mmap. Whatever lies under
//! [`DIRECTORY`] is opened, looked at, locked, mapped, listed and closed here instead. All code
//! above is the same.
//!
//! Like the kernel, it gives out the lowest free descriptor, frees a descriptor's locks when it is
//! closed, and shows zeros where a file grew. Unlike the kernel, it keeps a mapping readable after
//! its endpoint is gone, and what lies behind the end of the file may be poisoned by [`on_length`].
//! A part of the inputs goes to the real kernel all the same, see `fuzz/README.md`.

use memmap2::{MmapMut, MmapRaw};
use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::path::Path;
use std::sync::atomic::{AtomicI32, Ordering};

/// The directory that these files are in.
pub const DIRECTORY: &str = "/pretended";
/// The longest file.
pub const MAX_FILE_SIZE: usize = 1 << 20;
/// The number of the first descriptor. No real one is as high.
const FIRST: RawFd = 1 << 30;
/// The descriptors of one thread, as many as it may have open. No two threads have the same
/// numbers, because leases are registered by number.
const NUMBERS: RawFd = 1 << 12;
const DEVICE: u64 = u64::MAX;

struct Inode {
    name: String,
    len: usize,
    /// Never unmapped, so that a thread's end finds nobody's mapping gone.
    memory: ManuallyDrop<MmapRaw>,
    /// Byte and number of the descriptor that has locked it.
    locks: Vec<(i64, RawFd)>,
}

struct Kernel {
    inodes: Vec<Inode>,
    /// Number of this thread's first descriptor.
    first: RawFd,
    /// The inode of each descriptor.
    open: Vec<Option<usize>>,
}

thread_local! {
    static KERNEL: RefCell<Kernel> = RefCell::new(Kernel::new());
    static ON_LENGTH: Cell<fn(*const u8, usize, bool)> = const { Cell::new(|_, _, _| {}) };
}

/// Sets what is told of bytes that are from now on part of a file (true) or of none (false). It may
/// poison them.
pub fn on_length(tell: fn(*const u8, usize, bool)) {
    ON_LENGTH.set(tell);
}

impl Kernel {
    fn new() -> Self {
        static NEXT: AtomicI32 = AtomicI32::new(FIRST);
        Self {
            inodes: vec![],
            // Relaxed: only the number counts.
            first: NEXT.fetch_add(NUMBERS, Ordering::Relaxed),
            open: vec![],
        }
    }

    fn inode(&mut self, fd: RawFd) -> Option<usize> {
        *self
            .open
            .get(usize::try_from(fd.checked_sub(self.first)?).ok()?)?
    }
}

impl Inode {
    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the mapping has MAX_FILE_SIZE bytes, at least len, and is never unmapped; the other
        // users are endpoints of this thread, none of which is in an operation now.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_mut_ptr(), self.len) }
    }

    /// Moves the end. New bytes may have any value.
    fn end_at(&mut self, len: usize) {
        assert!(len <= MAX_FILE_SIZE);
        let (old, start) = (self.len, self.memory.as_mut_ptr());
        if len < old {
            ON_LENGTH.get()(start.wrapping_add(len), old - len, false);
        } else {
            ON_LENGTH.get()(start.wrapping_add(old), len - old, true);
        }
        self.len = len;
    }

    fn set_len(&mut self, len: usize) {
        let old = self.len;
        self.end_at(len);
        if len > old {
            self.bytes()[old..].fill(0);
        }
    }
}

/// A file to write and to damage. There is one for each name, for as long as the thread lives.
#[derive(Debug)]
pub struct Pretended(usize);

impl Pretended {
    /// Returns the queue `name` in [`DIRECTORY`], and makes it if it is not there.
    pub fn new(name: &str) -> Self {
        KERNEL.with_borrow_mut(|kernel| {
            let there = kernel.inodes.iter().position(|inode| inode.name == name);
            Self(there.unwrap_or_else(|| {
                let memory = ManuallyDrop::new(MmapRaw::from(
                    MmapMut::map_anon(MAX_FILE_SIZE).expect("memory"),
                ));
                ON_LENGTH.get()(memory.as_ptr(), MAX_FILE_SIZE, false);
                kernel.inodes.push(Inode {
                    name: name.into(),
                    len: 0,
                    memory,
                    locks: vec![],
                });
                kernel.inodes.len() - 1
            }))
        })
    }

    fn with<R>(&self, act: impl FnOnce(&mut Inode) -> R) -> R {
        KERNEL.with_borrow_mut(|kernel| act(&mut kernel.inodes[self.0]))
    }

    /// Sets the length, as a file's.
    pub fn set_len(&self, len: u64) {
        self.with(|inode| inode.set_len(len as usize));
    }

    /// Writes, but nothing behind the end.
    pub fn write_at(&self, bytes: &[u8], at: u64) {
        self.with(|inode| {
            if let Some(to) = inode
                .bytes()
                .get_mut(at.min(MAX_FILE_SIZE as u64) as usize..)
            {
                let room = to.len().min(bytes.len());
                to[..room].copy_from_slice(&bytes[..room]);
            }
        });
    }

    /// Reads what there is, and returns how much.
    pub fn read_at(&self, into: &mut [u8], at: u64) -> usize {
        self.with(|inode| read(inode, into, at))
    }

    /// Replaces all of it with these bytes, and zeros up to `len`.
    pub fn fill(&self, bytes: &[u8], len: u64) {
        self.with(|inode| {
            inode.end_at(len as usize);
            let all = inode.bytes();
            all[..bytes.len()].copy_from_slice(bytes);
            all[bytes.len()..].fill(0);
        });
    }
}

fn read(inode: &mut Inode, into: &mut [u8], at: u64) -> usize {
    let from = inode
        .bytes()
        .get(at.min(MAX_FILE_SIZE as u64) as usize..)
        .unwrap_or_default();
    let there = from.len().min(into.len());
    into[..there].copy_from_slice(&from[..there]);
    there
}

/// Closes what an endpoint that could not be attached left open. Called between inputs, when nobody
/// is there.
pub fn close_all() {
    KERNEL.with_borrow_mut(|kernel| {
        kernel.open.clear();
        kernel
            .inodes
            .iter_mut()
            .for_each(|inode| inode.locks.clear());
    });
}

/// Returns whether the directory is the pretended one.
pub(crate) fn is(dir: &Path) -> bool {
    dir.as_os_str() == DIRECTORY
}

/// Returns the names in the directory.
pub(crate) fn names() -> Vec<String> {
    KERNEL.with_borrow(|kernel| {
        kernel
            .inodes
            .iter()
            .map(|inode| inode.name.clone())
            .collect()
    })
}

/// Opens a file. `None` means that the directory is a real one. The number of the answer is no real
/// descriptor's and must not be closed as one.
pub(crate) fn open(dir: &Path, name: &str) -> Option<rustix::io::Result<File>> {
    if !is(dir) {
        return None;
    }
    KERNEL.with_borrow_mut(|kernel| {
        let Some(inode) = kernel.inodes.iter().position(|inode| inode.name == name) else {
            return Some(Err(rustix::io::Errno::NOENT));
        };
        let index = kernel
            .open
            .iter()
            .position(Option::is_none)
            .unwrap_or_else(|| {
                kernel.open.push(None);
                kernel.open.len() - 1
            });
        assert!(index < NUMBERS as usize, "too many descriptors");
        kernel.open[index] = Some(inode);
        // SAFETY: the number is not a real descriptor's, so nothing is owned twice; its owners
        // (`Opened`, then a lease) give it to `close` instead of dropping it.
        Some(Ok(unsafe {
            File::from_raw_fd(kernel.first + index as RawFd)
        }))
    })
}

/// Closes a descriptor. Returns false for a real one.
pub(crate) fn close(fd: RawFd) -> bool {
    KERNEL.with_borrow_mut(|kernel| {
        let Some(inode) = kernel.inode(fd) else {
            return false;
        };
        kernel.inodes[inode].locks.retain(|(_, owner)| *owner != fd);
        let index = fd - kernel.first;
        kernel.open[index as usize] = None;
        true
    })
}

/// Returns device, inode and links.
pub(crate) fn identity(fd: RawFd) -> Option<(u64, u64, u64)> {
    if fd < FIRST {
        return None;
    }
    KERNEL.with_borrow_mut(|kernel| Some((DEVICE, kernel.inode(fd)? as u64, 1)))
}

/// Does `F_OFD_SETLK` of one byte, and `F_OFD_GETLK`.
pub(crate) fn fcntl(fd: RawFd, command: i32, lock: &mut libc::flock) -> Option<io::Result<()>> {
    if fd < FIRST {
        return None;
    }
    KERNEL.with_borrow_mut(|kernel| {
        let inode = kernel.inode(fd)?;
        let locks = &mut kernel.inodes[inode].locks;
        let place = locks.iter().position(|(byte, _)| *byte == lock.l_start);
        let asked = lock.l_start..lock.l_start + lock.l_len;
        let others = locks
            .iter()
            .any(|(byte, owner)| asked.contains(byte) && *owner != fd);
        Some(match (command, i32::from(lock.l_type)) {
            (libc::F_OFD_GETLK, _) => {
                if !others {
                    lock.l_type = libc::F_UNLCK as libc::c_short;
                }
                Ok(())
            }
            (_, libc::F_UNLCK) => {
                if let (false, Some(place)) = (others, place) {
                    locks.swap_remove(place);
                }
                Ok(())
            }
            _ if others => Err(io::Error::from_raw_os_error(libc::EAGAIN)),
            _ => {
                if place.is_none() {
                    locks.push((lock.l_start, fd));
                }
                Ok(())
            }
        })
    })
}

/// Returns the file's memory. It is never unmapped, see [`mapped`].
pub(crate) fn map(file: &File) -> Option<MmapRaw> {
    let fd = file.as_raw_fd();
    if fd < FIRST {
        return None;
    }
    KERNEL.with_borrow_mut(|kernel| {
        let inode = kernel.inode(fd)?;
        // SAFETY: a second owner of the mapping, neither of which ever unmaps it: the first is
        // never dropped, and whoever has this one asks `mapped` first.
        Some(unsafe { std::ptr::read(&raw const *kernel.inodes[inode].memory) })
    })
}

/// Returns whether the address is that of a pretended mapping, which must not be unmapped.
pub(crate) fn mapped(base: *const u8) -> bool {
    KERNEL
        .try_with(|kernel| {
            kernel
                .borrow()
                .inodes
                .iter()
                .any(|inode| inode.memory.as_ptr() == base)
        })
        .unwrap_or(true)
}

/// A file that is not a lease's yet. Drop closes it, as a `File`, or closes the pretended one here.
pub(crate) struct Opened(ManuallyDrop<File>);

impl Opened {
    pub(crate) fn new(file: File) -> Self {
        Self(ManuallyDrop::new(file))
    }
}

impl std::ops::Deref for Opened {
    type Target = File;
    fn deref(&self) -> &File {
        &self.0
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if !close(self.0.as_raw_fd()) {
            // SAFETY: called once, here; the field is not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.0) };
        }
    }
}

/// What the header's check asks of a file.
pub(crate) struct Looked<'a>(pub(crate) &'a File);

pub(crate) struct Facts {
    regular: bool,
    len: u64,
}

impl Facts {
    pub(crate) fn is_file(&self) -> bool {
        self.regular
    }
    pub(crate) fn len(&self) -> u64 {
        self.len
    }
}

impl Looked<'_> {
    fn pretended<R>(&self, act: impl FnOnce(&mut Inode) -> R) -> Option<R> {
        let fd = self.0.as_raw_fd();
        if fd < FIRST {
            return None;
        }
        KERNEL.with_borrow_mut(|kernel| {
            let inode = kernel.inode(fd)?;
            Some(act(&mut kernel.inodes[inode]))
        })
    }

    pub(crate) fn metadata(&self) -> io::Result<Facts> {
        if let Some(len) = self.pretended(|inode| inode.len as u64) {
            return Ok(Facts { regular: true, len });
        }
        self.0.metadata().map(|meta| Facts {
            regular: meta.is_file(),
            len: meta.len(),
        })
    }

    pub(crate) fn read_exact_at(&self, into: &mut [u8], at: u64) -> io::Result<()> {
        match self.pretended(|inode| read(inode, into, at)) {
            Some(all) if all == into.len() => Ok(()),
            Some(_) => Err(io::ErrorKind::UnexpectedEof.into()),
            None => std::os::unix::fs::FileExt::read_exact_at(self.0, into, at),
        }
    }
}
