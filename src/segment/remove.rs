//! Removes a segment's name: exactly the one that was meant, by device and inode, never by name
//! alone.
//!
//! Every remover locks the REMOVER byte of the very file that it removes. Then it looks whether the
//! name is still that file's, unlinks it and unlocks. Creators never replace a name, so between the
//! look and the removal the name cannot become another queue's.

use super::lock_bytes::{OWNER, REMOVER, SUPERVISOR};
use super::{Place, Segment, open_place};
use crate::error::OpenError;
use crate::sys::lease::Lease;
use rustix::fs::{AtFlags, CWD, FileType, OFlags};
use rustix::io::Errno;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long to wait for a lock that another remover holds.
const REMOVER_TIMEOUT: Duration = Duration::from_millis(100);

/// Returns the device and inode that have the name now, whatever they are. A symbolic link is not
/// followed.
fn at(path: &Path) -> rustix::io::Result<(u64, u64, FileType)> {
    let stat = rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)?;
    #[allow(clippy::unnecessary_cast)] // the types differ between architectures
    Ok((
        stat.st_dev as u64,
        stat.st_ino as u64,
        FileType::from_raw_mode(stat.st_mode),
    ))
}

/// Returns whether the name is this file's.
pub(super) fn names(path: &Path, lease: &Lease) -> rustix::io::Result<bool> {
    match at(path) {
        Ok((device, inode, _)) => Ok((device, inode) == lease.identity()),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes what has the name, whether or not it is a segment.
pub(crate) fn unlink(place: &Place) -> Result<(), OpenError> {
    let path = place.path();
    let (device, inode, kind) = at(&path).map_err(|error| place.error("stat", error))?;
    if kind == FileType::RegularFile {
        match open(place) {
            Ok(lease) if lease.0.identity() != (device, inode) => return Err(place.gone()),
            Ok(lease) => return remove(place, &lease, |_| Ok(true)).map(drop),
            // A file that cannot be opened cannot be locked, and nobody can attach to it.
            Err(OpenError::Denied { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    rustix::fs::unlink(&path).map_err(|error| place.error("unlink", error))
}

impl Segment {
    /// Removes the name if it is still this segment's.
    pub(crate) fn unlink(&self) -> Result<(), OpenError> {
        remove(&self.place, &self.opened_anew()?, |_| Ok(true)).map(drop)
    }

    /// Removes the name if it is still this segment's and the segment is stale. Returns false if it
    /// is not stale.
    pub(crate) fn unlink_if_stale(&self) -> Result<bool, OpenError> {
        if !self.header.owned {
            return Ok(false);
        }
        // The new description also sees the locks of our own one.
        remove(&self.place, &self.opened_anew()?, |lease| {
            self.is_unheld(lease)
        })
    }

    /// Returns whether it is owned and nobody has a seat, supervises it or owns it, as far as
    /// `lease` can see.
    pub(crate) fn is_stale(&self) -> std::io::Result<bool> {
        Ok(self.header.owned && !self.is_owner() && self.is_unheld(&self.lease)?)
    }

    /// Returns whether our own description holds the owner's lock, because it made an owned
    /// segment.
    pub(crate) fn is_owner(&self) -> bool {
        // Relaxed, here and below: the value only notes what this process did. The lock decides.
        self.owner.load(Ordering::Relaxed)
    }

    /// Gives the owner's lock up, so that another description can take it.
    pub(crate) fn disown(&self) -> std::io::Result<()> {
        if self.owner.swap(false, Ordering::Relaxed) {
            self.lease.unlock(OWNER)?;
        }
        Ok(())
    }

    fn is_unheld(&self, lease: &Lease) -> std::io::Result<bool> {
        const _: () = assert!(OWNER == SUPERVISOR + 1);
        Ok(!lease.any_locked(0, self.geometry.seats)? && !lease.any_locked(SUPERVISOR, 2)?)
    }

    /// Opens another description of this very file, by its name.
    fn opened_anew(&self) -> Result<(Lease, bool), OpenError> {
        let lease = open(&self.place)?;
        // In a forked copy neither the mapping nor the descriptor keeps the inode. Its number may
        // be another file's by now, but its id is not.
        let other = lease.0.identity() != self.lease.identity()
            || self.lease.inherited()
                && super::read_header(&self.place, lease.0.file()).map(|(header, _)| header.id)
                    != Ok(self.header.id);
        if other {
            Err(self.place.gone())
        } else {
            Ok(lease)
        }
    }

    /// Returns whether the name is gone or about to go. Called by a process that has just locked a
    /// byte. A remover of stale segments holds REMOVER from before it looks at the locks until the
    /// name is gone, so one of the two sees the other.
    pub(crate) fn was_removed(&self) -> std::io::Result<bool> {
        if self.header.owned {
            let deadline = Instant::now() + REMOVER_TIMEOUT;
            while self.lease.is_locked(REMOVER)? && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Ok(self.lease.links()? == 0)
    }
}

impl Place {
    /// Says that the file that was meant does not have the name any more.
    fn gone(&self) -> OpenError {
        match at(&self.path()) {
            Err(error) => self.error("stat", error),
            Ok(_) => OpenError::Replaced {
                queue: self.name.clone(),
            },
        }
    }
}

/// Opens what has the name now: for writing if that is allowed (then true), else for reading.
fn open(place: &Place) -> Result<(Lease, bool), OpenError> {
    let (file, writable) = match open_place(place, OFlags::RDWR) {
        Err(Errno::ACCESS | Errno::PERM | Errno::ROFS | Errno::TXTBSY) => {
            (open_place(place, OFlags::RDONLY), false)
        }
        other => (other, true),
    };
    let lease = file.map_err(|error| place.error("open", error))?;
    Ok((
        Lease::new(lease).map_err(|error| place.error("fstat", error))?,
        writable,
    ))
}

fn remove(
    place: &Place,
    (lease, writable): &(Lease, bool),
    may: impl FnOnce(&Lease) -> std::io::Result<bool>,
) -> Result<bool, OpenError> {
    let failed = |error| place.error("fcntl", error);
    let deadline = Instant::now() + REMOVER_TIMEOUT;
    // A process that may only read excludes writers by a read lock, and other readers by the lock
    // of the whole file.
    while !if *writable {
        lease.try_lock(REMOVER)
    } else {
        lease.try_lock_as_reader(REMOVER)
    }
    .map_err(failed)?
    {
        if Instant::now() >= deadline {
            return Err(OpenError::Busy {
                queue: place.name.clone(),
            });
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let path = place.path();
    let removed = match names(&path, lease) {
        Err(error) => Err(place.error("stat", error)),
        Ok(false) => Err(place.gone()),
        Ok(true) => match may(lease) {
            Err(error) => Err(failed(error)),
            Ok(false) => Ok(false),
            Ok(true) => rustix::fs::unlink(&path)
                .map(|()| true)
                .map_err(|error| place.error("unlink", error)),
        },
    };
    // The lock goes with the description, but the child of another thread's fork may have that for
    // a moment.
    let _ = lease.unlock(REMOVER);
    removed
}
