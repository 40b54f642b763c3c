//! Makes a segment: it is whole before it has a name.
//!
//! Invariants: the file is reserved and written to its end before it is linked. If anything fails,
//! nothing is left behind. A creator that is killed leaves at most a temporary name whose lock is
//! free ([`clean_temporaries`]).

use super::check::{QueueId, raw_header};
use super::lock_bytes::{BUILDING, OWNER};
use super::remove::names;
use super::{Place, Segment, names_in, open_file};
use crate::error::OpenError;
use crate::layout::{Geometry, SEAT_SIZE, SEATS_OFFSET, SLOT_SIZE, WORDS_OFFSET, flags};
use crate::sys::descriptor;
use crate::sys::lease::Lease;
use rustix::fs::{AtFlags, CWD, FallocateFlags, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Resource;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

const TEMPORARY: &str = ".prodcon-tmp.";

/// Describes a new segment.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) geometry: Geometry,
    pub(crate) flags: u32,
    pub(crate) type_name: Option<String>,
    pub(crate) max_deliveries: u8,
    pub(crate) dead_letter: String,
    /// Fingerprint of the item type's fields. 0 means that it is not compared.
    pub(crate) layout: u64,
    pub(crate) mode: u32,
    pub(crate) ready: bool,
    /// What slot `index` holds at first. Only the ring knows what it means.
    pub(crate) slot: fn(&Geometry, u32) -> u64,
    /// The first record of seat `index`. Only the ring knows what it means.
    pub(crate) record: fn(&Geometry, u32) -> u64,
}

impl Place {
    fn no_space(&self, spec: &Spec) -> OpenError {
        OpenError::NoSpace {
            queue: self.name.clone(),
            bytes: spec.geometry.total_size,
            directory: self.dir.clone(),
        }
    }

    pub(super) fn useless(&self, what: &'static str, error: Errno) -> OpenError {
        OpenError::Directory {
            directory: self.dir.clone(),
            what,
            errno: error.raw_os_error(),
        }
    }

    /// Makes an error as `error` does, for calls on a directory in which something is to be made.
    fn create_error(&self, spec: &Spec, call: &'static str, error: Errno) -> OpenError {
        match error {
            Errno::NOSPC
                if rustix::fs::statvfs(&self.dir)
                    .is_ok_and(|fs| fs.f_files > 0 && fs.f_favail == 0) =>
            {
                OpenError::NoInodes {
                    queue: self.name.clone(),
                    directory: self.dir.clone(),
                }
            }
            Errno::NOSPC | Errno::DQUOT => self.no_space(spec),
            // There is no queue yet whose owner could be asked.
            Errno::ACCESS | Errno::PERM | Errno::ROFS => self.useless("be written to", error),
            Errno::NOENT if self.dir.is_dir() => self.useless("be written to", error),
            _ => self.error(call, error),
        }
    }
}

impl Segment {
    pub(crate) fn create(place: Place, spec: &Spec) -> Result<Self, OpenError> {
        // Says so at once, before gigabytes are reserved for nothing. The link decides.
        if place.path().symlink_metadata().is_ok() {
            return Err(place.exists());
        }
        match Self::create_unnamed(&place, spec)? {
            Some(made) => Ok(made),
            None => Self::create_temporary(place, spec),
        }
    }

    /// Builds it in a file without a name. `None` if this file system has no such files, or if this
    /// process cannot give one a name.
    fn create_unnamed(place: &Place, spec: &Spec) -> Result<Option<Self>, OpenError> {
        let file = match descriptor::open(
            &place.dir,
            OFlags::RDWR | OFlags::TMPFILE,
            Mode::from_raw_mode(0o600),
        ) {
            Ok(file) => file,
            // The last three come from filters and from file systems in user space.
            Err(
                Errno::OPNOTSUPP
                | Errno::ISDIR
                | Errno::INVAL
                | Errno::PERM
                | Errno::NOSYS
                | Errno::NOENT,
            ) => return Ok(None),
            Err(error) => return Err(place.create_error(spec, "open", error)),
        };
        let made = Self::build(place, spec, &file)?;
        let link = || {
            // The first call needs /proc; the second needs a capability or a newer kernel.
            rustix::fs::linkat(
                CWD,
                format!("/proc/self/fd/{}", file.as_raw_fd()),
                CWD,
                place.path(),
                AtFlags::SYMLINK_FOLLOW,
            )
            .or_else(|error| match error {
                Errno::EXIST | Errno::NOSPC | Errno::DQUOT => Err(error),
                _ => rustix::fs::linkat(&file, "", CWD, place.path(), AtFlags::EMPTY_PATH),
            })
        };
        match link() {
            Ok(()) => Ok(Some(made)),
            Err(error @ (Errno::EXIST | Errno::NOSPC | Errno::DQUOT)) => {
                Err(place.create_error(spec, "link", error))
            }
            Err(_) => Ok(None),
        }
    }

    /// Builds it in a file with a temporary name, which is locked while it has that name.
    pub(super) fn create_temporary(place: Place, spec: &Spec) -> Result<Self, OpenError> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        loop {
            // Relaxed: it only has to differ. The name may still be taken, by a dead process that
            // had our id or by a process of another PID namespace.
            let path = place.dir.join(format!(
                "{TEMPORARY}{}.{}",
                std::process::id(),
                NUMBER.fetch_add(1, Ordering::Relaxed)
            ));
            let file = match descriptor::open(
                &path,
                OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
                Mode::from_raw_mode(0o600),
            ) {
                Ok(file) => file,
                Err(Errno::EXIST) => continue,
                Err(error) => return Err(place.create_error(spec, "open", error)),
            };
            let temporary = Temporary(path);
            // The lock belongs to the description, and `file` is another number of the same one.
            let guard = file
                .try_clone()
                .and_then(Lease::new)
                .map_err(|error| place.error("dup", error))?;
            // Between opening and locking, `clean_temporaries` may have taken it for a dead
            // creator's.
            if !guard
                .try_lock(BUILDING)
                .map_err(|error| place.error("fcntl", error))?
                || guard.links().map_err(|error| place.error("fstat", error))? == 0
            {
                continue;
            }
            let made = Self::build(&place, spec, &file)?;
            // Nobody else removes or replaces a locked temporary file, so the name is still this
            // file's: what gets linked is what is mapped.
            rustix::fs::link(&temporary.0, place.path())
                .map_err(|error| place.create_error(spec, "link", error))?;
            drop(temporary);
            // An error means that the program closed the descriptor. Then the lock does no harm.
            let _ = guard.unlock(BUILDING);
            return Ok(made);
        }
    }

    /// Builds the whole segment in a file that nobody else knows.
    fn build(place: &Place, spec: &Spec, file: &File) -> Result<Self, OpenError> {
        fill(place, spec, file)?;
        // Uses a new description, because the child of a fork may have the old one. Without /proc
        // the old one has to do.
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        let mut made = Self::over(place, false, || {
            descriptor::open(&path, OFlags::RDWR, Mode::empty())
                .or_else(|_| rustix::io::fcntl_dupfd_cloexec(file, 3).map(File::from))
        })?;
        let chmod = |mode| {
            rustix::fs::fchmod(file, Mode::from_raw_mode(mode))
                .map_err(|error| place.error("fchmod", error))
        };
        chmod(spec.mode & 0o777)?;
        // This happens before it has a name. So nobody finds an owned segment without its owner,
        // and no segment is made where nothing can be locked. The file is new, so nobody else has
        // the lock.
        made.lease
            .try_lock(OWNER)
            .map_err(|error| place.error("fcntl", error))?;
        if spec.flags & flags::OWNED != 0 {
            *made.owner.get_mut() = true;
        } else {
            made.lease
                .unlock(OWNER)
                .map_err(|error| place.error("fcntl", error))?;
        }
        Ok(made)
    }
}

/// A temporary name, which Drop removes.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = rustix::fs::unlink(&self.0);
    }
}

fn fill(place: &Place, spec: &Spec, file: &File) -> Result<(), OpenError> {
    let g = &spec.geometry;
    // Whatever the umask is: the file is opened again.
    rustix::fs::fchmod(file, Mode::from_raw_mode(0o600))
        .map_err(|error| place.error("fchmod", error))?;
    // Beyond this limit the kernel sends SIGXFSZ, which ends the program without a word.
    if let Some(limit) = rustix::process::getrlimit(Resource::Fsize)
        .current
        .filter(|limit| *limit < g.total_size)
    {
        return Err(OpenError::FileLimit {
            queue: place.name.clone(),
            bytes: g.total_size,
            limit,
        });
    }
    let write = |bytes: &[u8], offset: u64| {
        file.write_all_at(bytes, offset)
            .map_err(|error| match error.raw_os_error() {
                Some(libc::ENOSPC | libc::EDQUOT | libc::EFBIG) => place.no_space(spec),
                _ => place.error("write", error),
            })
    };
    match rustix::io::retry_on_intr(|| {
        rustix::fs::fallocate(file, FallocateFlags::empty(), 0, g.total_size)
    }) {
        Ok(()) => {}
        Err(Errno::NOSPC | Errno::FBIG | Errno::DQUOT | Errno::NOMEM) => {
            return Err(place.no_space(spec));
        }
        // On ramfs, ext2, ext3 and some network file systems, writing zeros reserves the space too.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
            let zeros = vec![0; 1 << 16];
            for offset in (0..g.total_size).step_by(zeros.len()) {
                write(
                    &zeros[..zeros.len().min((g.total_size - offset) as usize)],
                    offset,
                )?;
            }
        }
        Err(error) => return Err(place.error("fallocate", error)),
    }
    // Writes everything that is not zero, in file order. Nobody else knows the file yet.
    write(bytemuck::bytes_of(&raw_header(spec, new_id(place)?)), 0)?;
    write(&u64::from(spec.ready).to_ne_bytes(), WORDS_OFFSET as u64)?;
    write(&2u32.to_ne_bytes(), WORDS_OFFSET as u64 + 16)?; // state: started
    for seat in 0..g.seats {
        write(
            &(spec.record)(g, seat).to_ne_bytes(),
            SEATS_OFFSET as u64 + u64::from(seat) * SEAT_SIZE as u64,
        )?;
    }
    let mut slots = vec![0; g.capacity as usize * (g.slot_size / SLOT_SIZE) as usize];
    for (index, slot) in (0..).zip(slots.chunks_exact_mut((g.slot_size / SLOT_SIZE) as usize)) {
        slot[0] = (spec.slot)(g, index); // a copy beside it is 0
    }
    write(bytemuck::cast_slice(&slots), g.slots_offset)
}

fn new_id(place: &Place) -> Result<QueueId, OpenError> {
    let mut id = [0; 16];
    // Up to 256 bytes are never given in part once the kernel has seeded its generator, and the
    // call waits for that.
    rustix::io::retry_on_intr(|| {
        rustix::rand::getrandom(&mut id, rustix::rand::GetRandomFlags::empty())
    })
    .map_err(|error| place.error("getrandom", error))?;
    Ok(QueueId(id))
}

/// Removes the temporary files of creators that were killed. Returns how many there were.
pub(crate) fn clean_temporaries(dir: &Path) -> usize {
    #[cfg(fuzzing)]
    if crate::sys::pretend::is(dir) {
        return 0;
    }
    // Removes it under the builder's own lock, and only while the name is this file's. So neither a
    // builder nor another cleaner comes between the look and the removal.
    let remove = |path: PathBuf| {
        let lease = open_file(&path, OFlags::RDWR)
            .ok()
            .and_then(|file| Lease::new(file).ok())?;
        (lease.try_lock(BUILDING).ok()?
            && names(&path, &lease).ok()?
            && std::fs::remove_file(&path).is_ok())
        .then_some(())
    };
    let names = names_in(dir).unwrap_or_default();
    names
        .iter()
        .filter(|name| name.starts_with(TEMPORARY))
        .filter_map(|name| remove(dir.join(name)))
        .count()
}
