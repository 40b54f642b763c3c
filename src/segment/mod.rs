//! Named files in the segment directory: attaches to them, removes and lists them. `create` builds
//! them and `check` reads their headers.
//!
//! Invariants:
//! - Nobody sees half a segment. It is built in an unnamed file, its space is reserved, and then it
//!   is linked to its name as a whole.
//! - The header is copied out once, checked with checked arithmetic against the file's length, and
//!   never read again.
//! - The mapping is made through the very descriptor that carries the leases.
//! - A forked copy neither unmaps nor closes anything.

mod check;
mod create;
mod lock_bytes;
mod remove;
#[cfg(test)]
mod tests;

pub use check::{QueueId, QueueInfo};
pub(crate) use create::{Spec, clean_temporaries};
pub(crate) use lock_bytes::{OWNER, SUPERVISOR};
pub(crate) use remove::unlink;

use crate::error::{Error, OpenError};
use crate::layout::{Geometry, MAX_NAME, MAX_TYPE_NAME, SEAT_SIZE, SEATS_OFFSET, SeatLine};
#[cfg(test)]
use crate::layout::{WORDS_OFFSET, Words};
use crate::sync::pair;
use crate::sys::descriptor;
use crate::sys::lease::{Calm, Lease};
#[cfg(fuzzing)]
use crate::sys::pretend::{self, Opened};
use check::read_header;
use memmap2::{Advice, MmapOptions, MmapRaw};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::mem::ManuallyDrop;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

const PREFIX: &str = "prodcon.";

/// Returns the directory in which queues live: `PRODCON_DIR`, or `/dev/shm`.
///
/// ```
/// println!("queues are in {}", prodcon::directory().display());
/// ```
pub fn directory() -> PathBuf {
    std::env::var_os("PRODCON_DIR")
        .filter(|dir| !dir.is_empty())
        .map_or_else(|| "/dev/shm".into(), PathBuf::from)
}

/// Where a queue lives.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) dir: PathBuf,
    pub(crate) name: Arc<str>,
}

impl Place {
    pub(crate) fn new(dir: Option<&Path>, name: &str) -> Result<Self, OpenError> {
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.is_empty()
            || name.len() > MAX_NAME
            || name.starts_with(['.', '-'])
            || !name.chars().all(good)
        {
            return Err(OpenError::Name { name: name.into() });
        }
        Ok(Self {
            dir: dir.map_or_else(directory, Path::to_path_buf),
            name: name.into(),
        })
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.join(format!("{PREFIX}{}", self.name))
    }

    fn error(&self, call: &'static str, error: impl Into<std::io::Error>) -> OpenError {
        let queue = self.name.clone();
        let errno = error.into().raw_os_error().unwrap_or(libc::EIO);
        if call == "fcntl" {
            return OpenError::Os { queue, call, errno };
        }
        if let Some(error) = self.error_of_directory(errno) {
            return error;
        }
        match errno {
            libc::ENOENT => OpenError::NotFound {
                queue,
                directory: self.dir.clone(),
            },
            libc::EEXIST => self.exists(),
            libc::EACCES | libc::EPERM if call == "unlink" => OpenError::NotRemovable {
                queue,
                path: self.path(),
            },
            libc::EROFS if call == "unlink" => self.useless("be written to", Errno::ROFS),
            libc::EACCES | libc::EPERM | libc::EROFS => OpenError::Denied {
                queue,
                path: self.path(),
            },
            // The last: it is a socket.
            libc::ELOOP | libc::EISDIR | libc::ENXIO => self.corrupt("it is not a regular file"),
            _ => OpenError::Os { queue, call, errno },
        }
    }

    /// Returns what is wrong with the directory, if a call may have failed because of that.
    fn error_of_directory(&self, errno: i32) -> Option<OpenError> {
        if !matches!(
            errno,
            libc::ENOENT | libc::ENOTDIR | libc::ELOOP | libc::EACCES
        ) {
            return None;
        }
        // Who may not search the directory learns nothing of what is in it, not even of itself.
        match rustix::fs::stat(self.dir.join(".")) {
            Ok(_) => None,
            Err(Errno::NOENT) => Some(OpenError::NoDirectory {
                directory: self.dir.clone(),
            }),
            Err(error) => Some(self.useless("be used", error)),
        }
    }

    /// Another queue has the name. Says whether it was left behind.
    fn exists(&self) -> OpenError {
        let other = Segment::attach_read_only(self.clone());
        OpenError::Exists {
            queue: self.name.clone(),
            stale: other.is_ok_and(|other| other.is_stale().unwrap_or(false)),
        }
    }

    fn corrupt(&self, what: impl Into<String>) -> OpenError {
        OpenError::Corrupt {
            queue: self.name.clone(),
            what: what.into(),
        }
    }
}

/// A file in the directory of queues: what [`list`](crate::list) returns.
#[derive(Debug)]
#[non_exhaustive]
pub struct ListEntry {
    /// Name of the queue.
    pub name: String,
    /// Length of the file.
    pub bytes: u64,
    /// Permission bits.
    pub mode: u32,
    /// What the header says, or why it is no segment.
    pub segment: Result<QueueInfo, Error>,
}

/// A mapped segment.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) place: Place,
    pub(crate) header: QueueInfo,
    pub(crate) geometry: Geometry,
    pub(crate) read_only: bool,
    /// Unmapped by Drop, except in a forked copy. There it is not mapped, and its addresses may be
    /// the child's own by now.
    map: ManuallyDrop<MmapRaw>,
    pub(crate) lease: Lease,
    /// True if this description holds the owner's lock, because it made an owned segment.
    pub(crate) owner: AtomicBool,
}

impl Segment {
    pub(crate) fn attach(place: Place) -> Result<Self, OpenError> {
        Self::open(place, OFlags::RDWR)
    }

    pub(crate) fn attach_read_only(place: Place) -> Result<Self, OpenError> {
        Self::open(place, OFlags::RDONLY)
    }

    fn open(place: Place, access: OFlags) -> Result<Self, OpenError> {
        for _ in 0..100 {
            let segment = Self::over(&place, access == OFlags::RDONLY, || {
                open_place(&place, access)
            })?;
            // Zero links: the file was removed after we opened it, and the name is free or another
            // queue's. So look again. In each round somebody has removed one more file.
            if segment
                .lease
                .links()
                .map_err(|error| place.error("fstat", error))?
                > 0
            {
                return segment.checked_for_this_processor();
            }
        }
        Err(OpenError::NotFound {
            queue: place.name,
            directory: place.dir,
        })
    }

    /// Refuses a segment whose slots this processor cannot exchange. A handle that only reads may
    /// open it.
    fn checked_for_this_processor(self) -> Result<Self, OpenError> {
        if self.read_only || !self.geometry.has_copies() || pair::is_supported() {
            return Ok(self);
        }
        Err(OpenError::Incompatible {
            queue: self.place.name.clone(),
            what: "a slot",
            expected: "8 (this processor cannot exchange 16 bytes at once: create the queue with copy_in_slot(false))".into(),
            found: "16 bytes long".into(),
        })
    }

    /// Maps the segment in the file that `open` opens. If a fork fell in between, opens it again,
    /// because the child then has the old description, on which nothing was locked.
    fn over(
        place: &Place,
        read_only: bool,
        open: impl Fn() -> rustix::io::Result<File>,
    ) -> Result<Self, OpenError> {
        // If forks follow each other without a pause, it takes the risk in the end: that is better
        // than not to attach at all.
        let deadline = Instant::now() + Duration::from_secs(1);
        loop {
            let calm =
                Calm::begin(deadline).map_err(|error| place.error("pthread_atfork", error))?;
            let file = open().map_err(|error| place.error("open", error))?;
            let lease = Lease::new(file).map_err(|error| place.error("fstat", error))?;
            let (header, geometry) = read_header(place, lease.file())?;
            let map = map(place, lease.file(), geometry.total_size, read_only)?;
            let segment = Self {
                place: place.clone(),
                header,
                geometry,
                read_only,
                map: ManuallyDrop::new(map),
                lease,
                owner: AtomicBool::new(false),
            };
            if calm.lasted() || Instant::now() >= deadline {
                return Ok(segment);
            }
        }
    }

    /// Opens the same segment once more, with a description of its own, even if another queue has
    /// the name now.
    pub(crate) fn again(&self) -> Result<Self, OpenError> {
        let access = if self.read_only {
            OFlags::RDONLY
        } else {
            OFlags::RDWR
        };
        let mine = |other: &Self| {
            other.lease.identity() == self.lease.identity() && other.header.id == self.header.id
        };
        // Through the descriptor, if the program has left it open and /proc is there.
        if let Ok(path) = self.lease.path() {
            match Self::over(&self.place, self.read_only, || {
                descriptor::open(&path, access, Mode::empty())
            }) {
                Ok(segment) if mine(&segment) => return Ok(segment),
                Err(error @ OpenError::Os { .. }) => return Err(error), // of descriptors, or memory
                _ => {}
            }
        }
        let removed = || OpenError::Removed {
            queue: self.place.name.clone(),
        };
        match Self::over(&self.place, self.read_only, || {
            open_place(&self.place, access)
        }) {
            Ok(segment) if mine(&segment) => Ok(segment),
            Ok(_)
            | Err(
                OpenError::NotFound { .. }
                | OpenError::Incompatible { .. }
                | OpenError::Corrupt { .. },
            ) => Err(removed()),
            Err(error) => Err(error),
        }
    }

    /// Returns the first byte. The mapping has `geometry.total_size` bytes and is page-aligned. It
    /// is writable unless `read_only` is set.
    pub(crate) fn base(&self) -> *mut u8 {
        self.map.as_mut_ptr()
    }

    #[cfg(test)]
    pub(crate) fn words(&self) -> &Words {
        // SAFETY: the header check made total_size >= SEATS_OFFSET = WORDS_OFFSET + size of Words,
        // all of which is mapped.
        let words = unsafe { self.base().add(WORDS_OFFSET) }.cast::<Words>();
        // SAFETY: within the mapping (above), whose start is page-aligned, so that 512 behind it is
        // aligned to 128; all fields are atomics, for which every bit pattern is a value; the
        // mapping lives as long as self.
        unsafe { &*words }
    }

    pub(crate) fn seat(&self, index: u32) -> &SeatLine {
        assert!(index < self.geometry.seats);
        // SAFETY: index < seats, and the header check made slots_offset = SEATS_OFFSET + seats *
        // SEAT_SIZE <= total_size, all of which is mapped.
        let seat = unsafe { self.base().add(SEATS_OFFSET + index as usize * SEAT_SIZE) }
            .cast::<SeatLine>();
        // SAFETY: within the mapping (above); SEATS_OFFSET and SEAT_SIZE are multiples of 128;
        // values and lifetime as in `words`.
        unsafe { &*seat }
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        #[cfg(fuzzing)]
        if pretend::mapped(self.base()) {
            return;
        }
        if !self.lease.inherited() {
            // An error means that the program closed our descriptor. The lock then goes with the
            // mapping.
            let _ = self.disown();
            // SAFETY: called once, here; the field is not used afterwards, and what borrowed from
            // self is gone.
            unsafe { ManuallyDrop::drop(&mut self.map) };
        }
    }
}

fn map(place: &Place, file: &File, len: u64, read_only: bool) -> Result<MmapRaw, OpenError> {
    #[cfg(fuzzing)]
    if let Some(map) = pretend::map(file) {
        return Ok(map);
    }
    let mut options = MmapOptions::new();
    options.len(
        usize::try_from(len).map_err(|_| place.corrupt("it is larger than the address space"))?,
    );
    let map = if read_only {
        options.map_raw_read_only(file)
    } else {
        options.map_raw(file)
    };
    let map = map.map_err(|error| place.error("mmap", error))?;
    map.advise(Advice::DontFork)
        .map_err(|error| place.error("madvise", error))?;
    Ok(map)
}

fn open_place(place: &Place, access: OFlags) -> rustix::io::Result<File> {
    #[cfg(fuzzing)]
    if let Some(pretended) = pretend::open(&place.dir, &place.name) {
        return pretended;
    }
    open_file(&place.path(), access)
}

fn open_file(path: &Path, access: OFlags) -> rustix::io::Result<File> {
    descriptor::open(
        path,
        access | OFlags::NOFOLLOW | OFlags::NONBLOCK,
        Mode::empty(),
    )
}

/// Returns the names in a directory.
pub(crate) fn names_in(dir: &Path) -> rustix::io::Result<Vec<String>> {
    let dir = descriptor::open(dir, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
    let entries = rustix::fs::Dir::new(dir)?;
    Ok(entries
        .filter_map(|entry| entry.ok()?.file_name().to_str().ok().map(str::to_owned))
        .collect())
}

/// The longest type name that a queue can note.
pub(crate) fn check_type_name(place: &Place, name: &str) -> Result<(), OpenError> {
    if (1..=MAX_TYPE_NAME).contains(&name.len()) {
        return Ok(());
    }
    Err(OpenError::Invalid {
        queue: place.name.clone(),
        what: format!(
            "a type name of {} bytes: choose 1 to {MAX_TYPE_NAME}",
            name.len()
        ),
    })
}

pub(crate) fn list(dir: &Path) -> Result<Vec<ListEntry>, OpenError> {
    #[cfg(fuzzing)]
    if pretend::is(dir) {
        return Ok(list_pretended(dir));
    }
    let files = names_in(dir).map_err(|error| match error {
        Errno::NOENT => OpenError::NoDirectory {
            directory: dir.into(),
        },
        error => OpenError::Directory {
            directory: dir.into(),
            what: "be listed",
            errno: error.raw_os_error(),
        },
    })?;
    let mut entries: Vec<ListEntry> = files
        .into_iter()
        .filter_map(|file| {
            let name = file.strip_prefix(PREFIX)?.to_owned();
            let place = Place::new(Some(dir), &name).ok()?;
            let meta = place.path().symlink_metadata().ok()?;
            let opened = open_file(&place.path(), OFlags::RDONLY)
                .map_err(|error| place.error("open", error));
            let segment = opened
                .and_then(|file| read_header(&place, &file))
                .map(|(header, _)| header)
                .map_err(Error::from);
            Some(ListEntry {
                name,
                bytes: meta.len(),
                mode: meta.mode() & 0o777,
                segment,
            })
        })
        .collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// Does what [`list`] does, for the fuzzer's pretended directory.
#[cfg(fuzzing)]
fn list_pretended(dir: &Path) -> Vec<ListEntry> {
    let entry = |name: String| {
        let place = Place::new(Some(dir), &name).ok()?;
        let file = Opened::new(open_place(&place, OFlags::RDONLY).ok()?);
        let bytes = pretend::Looked(&file).metadata().ok()?.len();
        let segment = read_header(&place, &file)
            .map(|(header, _)| header)
            .map_err(Error::from);
        Some(ListEntry {
            name,
            bytes,
            mode: 0o600,
            segment,
        })
    };
    let mut entries: Vec<ListEntry> = pretend::names().into_iter().filter_map(entry).collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    entries
}
