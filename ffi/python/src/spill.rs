//! Items longer than the queue's blocks: a file of their own, whose name travels in the block.
//!
//! Such a file is called `prodcon.QUEUE+NONCE` and lies beside the queue's own (a `+` is in no
//! queue's name). Invariants, which bound what killed processes leave behind: the block names the
//! file before the file exists, and a file is named by one block only; a process that fills a block
//! again removes the file that is still named there; a process that removes the queue removes all
//! its files, and a process that writes a file looks, after that, whether the queue is still there.
//! A consumer reads the file, acknowledges the item, then gives the file up. A file that is gone
//! belonged to an item that was cleared: [`clear`] removes the files that were there before it.
//!
//! A file that is given up is kept under one of a few names (`prodcon.QUEUE+free-N`) and taken from
//! there by the next put: its memory need not be made again, which costs four times as much as
//! writing to it. A renaming decides who has it. Only endpoints of this package keep to this.

use crate::buffer::{self, Part};
use crate::errors;
use crate::files::{files, prefix};
use crate::handle::Handle;
use crate::wait::away;
use prodcon::bindings::above_streams;
use pyo3::prelude::*;
use pyo3::types::PyByteArray;
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// First byte of a block that names a file.
pub const TAG: u8 = b'@';
/// The whole beginning.
const MARK: [u8; 8] = *b"@prodcon";
/// Bytes of a reference: the mark, the length, the nonce.
pub const REFERENCE: usize = 32;
/// Files kept for the next put, and how long they may be.
const FREE: usize = 4;
const LONGEST_FREE: u64 = 16 << 20;

/// What a block says.
#[derive(Clone, Copy)]
pub struct Reference {
    len: u64,
    nonce: [u8; 16],
}

impl Reference {
    fn new(len: usize) -> io::Result<Self> {
        let mut nonce = [0u8; 16];
        // SAFETY: the pointer is to 16 writable bytes.
        if unsafe { libc::getrandom(nonce.as_mut_ptr().cast(), nonce.len(), 0) }
            != nonce.len() as isize
        {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            len: len as u64,
            nonce,
        })
    }

    /// Returns what the block, or the beginning of it, says, or `None` if it is no reference.
    #[inline]
    pub fn read(block: &[u8]) -> Option<Self> {
        if block.first() != Some(&TAG) {
            return None;
        }
        let block: &[u8; REFERENCE] = block.get(..REFERENCE)?.try_into().ok()?;
        (block[..8] == MARK).then(|| Self {
            len: u64::from_ne_bytes(block[8..16].try_into().expect("8 bytes")),
            nonce: block[16..].try_into().expect("16 bytes"),
        })
    }

    /// Puts it at the beginning of the block.
    pub fn write(&self, block: &mut [u8]) {
        block[..8].copy_from_slice(&MARK);
        block[8..16].copy_from_slice(&self.len.to_ne_bytes());
        block[16..REFERENCE].copy_from_slice(&self.nonce);
    }

    fn path(&self, handle: &Handle) -> PathBuf {
        let nonce = u128::from_be_bytes(self.nonce);
        handle
            .dir
            .join(format!("{}{nonce:032x}", prefix(&handle.name)))
    }

    /// Removes the file, if it is there.
    #[cold]
    pub fn remove(&self, handle: &Handle) {
        let _ = std::fs::remove_file(self.path(handle));
    }

    /// Gives the file up, after its item was acknowledged: for the next put, or for good.
    pub fn give_up(&self, handle: &Handle) {
        let path = self.path(handle);
        // A longer file would take memory from others for as long as nobody puts.
        let kept = self.len <= LONGEST_FREE
            && (0..FREE).any(|number| rename_new(&path, &free(handle, number)));
        if !kept {
            let _ = std::fs::remove_file(path);
        }
    }

    /// Reads the file. Returns `None` if it is gone.
    pub fn read_file<'py>(
        &self,
        py: Python<'py>,
        handle: &Handle,
    ) -> PyResult<Option<Bound<'py, PyByteArray>>> {
        let failed = |call| move |error: io::Error| errors::io(&error, &handle.name, call);
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_NOFOLLOW);
        let file = match above_streams(|| options.open(self.path(handle))) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("open of a long item")(error)),
        };
        let len = file
            .metadata()
            .map_err(failed("fstat of a long item"))?
            .len();
        if len != self.len || len == 0 {
            return Err(errors::Corrupt::new_err(format!(
                "queue '{}': a long item has {len} bytes in its file, expected {}; the item is dropped",
                handle.name, self.len
            )));
        }
        let bytes = buffer::unfilled(py, len as usize)?;
        let space = buffer::Space::of(&bytes);
        let file = &file;
        away(py, move || read_all(file, space)).map_err(failed("reading a long item"))?;
        Ok(Some(bytes))
    }
}

/// A file that was written; removed again by Drop unless it is kept.
pub struct Spilled<'a> {
    reference: Reference,
    handle: &'a Handle,
    kept: bool,
}

impl<'a> Spilled<'a> {
    /// Chooses the name, which has to be in the block before [`write`](Self::write) makes the file.
    pub fn new(handle: &'a Handle, len: usize) -> PyResult<Self> {
        let reference =
            Reference::new(len).map_err(|error| errors::io(&error, &handle.name, "getrandom"))?;
        Ok(Self {
            reference,
            handle,
            kept: false,
        })
    }

    pub fn reference(&self) -> &Reference {
        &self.reference
    }

    /// Makes the file. The users who may read the queue may read it.
    pub fn write(&self, py: Python<'_>, parts: &[Part<'_>]) -> PyResult<()> {
        let (handle, path) = (self.handle, self.reference.path(self.handle));
        // Beyond this limit the kernel sends SIGXFSZ, which ends a program that does not ignore it.
        if let Some(limit) = file_limit().filter(|limit| *limit < self.reference.len) {
            return Err(errors::OsFault::new_err((
                libc::EFBIG,
                format!(
                    "an item of {} bytes of queue '{}' needs a file, and this process may make files of at most {limit} bytes (RLIMIT_FSIZE): raise that limit (`ulimit -f`), or put a shorter item",
                    self.reference.len, handle.name
                ),
            )));
        }
        let written: io::Result<()> = away(py, || {
            let old = (0..FREE).any(|number| std::fs::rename(free(handle, number), &path).is_ok());
            let mut options = OpenOptions::new();
            options.write(true).create_new(!old).mode(0o600);
            // What the program prints must not end in an item.
            let file = above_streams(|| options.open(path))?;
            if !old {
                let mode = std::fs::metadata(handle.dir.join(format!("prodcon.{}", handle.name)))?
                    .mode()
                    & 0o777;
                if mode != 0o600 {
                    file.set_permissions(std::fs::Permissions::from_mode(mode))?;
                }
            }
            write_all(&file, parts)?;
            if old {
                file.set_len(self.reference.len)?;
            }
            Ok(())
        });
        written.map_err(|error| match error.raw_os_error() {
            Some(libc::ENOSPC) => errors::OsFault::new_err((
                libc::ENOSPC,
                format!(
                    "no space for an item of {} bytes of queue '{}' in {}: give the queue a capacity that fits, or remove stale queues (`prodcon ls`)",
                    self.reference.len,
                    handle.name,
                    handle.dir.display()
                ),
            )),
            // The queue's own file is not there.
            Some(libc::ENOENT) => handle.removed(),
            _ => errors::io(&error, &handle.name, "writing a long item"),
        })
    }

    /// The item was put: the file is its consumer's. Unless the queue is gone, whose remover may have missed the file.
    pub fn keep(mut self) -> PyResult<()> {
        if self.handle.with_control(prodcon::Control::is_removed)? {
            return Err(self.handle.removed());
        }
        self.kept = true;
        Ok(())
    }
}

impl Drop for Spilled<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.reference.remove(self.handle);
        }
    }
}

/// The longest file that this process may write; `None`: there is no limit.
fn file_limit() -> Option<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid place for the answer.
    let answer = unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &mut limit) };
    (answer == 0 && limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}

fn read_all(file: &File, space: buffer::Space) -> io::Result<()> {
    let mut done = 0;
    while done < space.len() {
        // SAFETY: `rest` is a run of writable bytes of that length, see `Space`.
        let read = unsafe {
            libc::read(
                file.as_raw_fd(),
                space.rest(done).cast(),
                space.len() - done,
            )
        };
        match usize::try_from(read) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => done += read,
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
    Ok(())
}

fn write_all(file: &File, parts: &[Part<'_>]) -> io::Result<()> {
    let mut vectors: Vec<libc::iovec> = parts
        .iter()
        .map(|part| part.io_vector())
        .filter(|vector| vector.iov_len > 0)
        .collect();
    let mut rest = &mut vectors[..];
    while !rest.is_empty() {
        let count = rest.len().min(1024); // IOV_MAX
        // SAFETY: the vectors name bytes that the caller keeps readable, as `Part` says.
        let wrote = unsafe { libc::writev(file.as_raw_fd(), rest.as_ptr(), count as i32) };
        let Ok(mut wrote) = usize::try_from(wrote) else {
            let error = io::Error::last_os_error();
            if error.kind() == io::ErrorKind::Interrupted {
                continue;
            }
            return Err(error);
        };
        while let Some(first) = rest.first_mut() {
            if wrote < first.iov_len {
                // SAFETY: `wrote` is less than the length of this run of bytes.
                first.iov_base = unsafe { first.iov_base.cast::<u8>().add(wrote) }.cast();
                first.iov_len -= wrote;
                break;
            }
            wrote -= first.iov_len;
            rest = &mut rest[1..];
        }
    }
    Ok(())
}

fn free(handle: &Handle, number: usize) -> PathBuf {
    handle
        .dir
        .join(format!("{}free-{number}", prefix(&handle.name)))
}

/// Renames a file unless there is one of the new name.
fn rename_new(from: &Path, to: &Path) -> bool {
    let (Ok(from), Ok(to)) = (
        CString::new(from.as_os_str().as_bytes()),
        CString::new(to.as_os_str().as_bytes()),
    ) else {
        return false;
    };
    // SAFETY: both are strings that end with a zero byte.
    let answer = unsafe {
        libc::renameat2(
            libc::AT_FDCWD,
            from.as_ptr(),
            libc::AT_FDCWD,
            to.as_ptr(),
            libc::RENAME_NOREPLACE,
        )
    };
    answer == 0
}

/// Makes all items void by `act`, and removes the files of those that were put before. One whose put goes on meanwhile counts as put before it.
pub fn clear<R>(handle: &Handle, act: impl FnOnce() -> R) -> R {
    let before = files(&handle.dir, &prefix(&handle.name));
    let done = act();
    for (path, _) in before {
        let _ = std::fs::remove_file(path);
    }
    done
}
