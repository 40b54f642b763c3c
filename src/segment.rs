//! Named files: create, attach, remove, list; and the check of a foreign header.
//!
//! Invariants: nobody sees half a segment (it is built in an unnamed file, reserved, then linked whole); the header is copied out once, checked against
//! checked arithmetic and the file's length, and never read again; the mapping is made through the very descriptor that carries the leases. Callers: queue.

use crate::error::OpenError;
use crate::layout::{Geometry, HEADER_SIZE, MAGIC, MAX_NAME, MAX_TYPE_NAME, RawHeader, SEAT_SIZE, SEATS_OFFSET, SeatLine, VERSION, WORDS_OFFSET, Words, flags};
use crate::ring::seat::Record;
use crate::ring::slot::Shape;
use crate::sync::lease::Lease;
use memmap2::{Advice, MmapOptions, MmapRaw};
use rustix::fs::{AtFlags, CWD, FallocateFlags, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const PREFIX: &str = "prodcon.";
const TEMPORARY: &str = ".prodcon-tmp.";
/// Locked by the creator of a temporary file while it builds.
const BUILDING: u32 = 1 << 20;

/// `PRODCON_DIR`, or `/dev/shm`.
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
        if name.is_empty() || name.len() > MAX_NAME || name.starts_with(['.', '-']) || !name.chars().all(good) {
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
        match errno {
            libc::ENOENT if self.dir.is_dir() => OpenError::NotFound {
                queue,
                directory: self.dir.clone(),
            },
            libc::ENOENT | libc::ENOTDIR => OpenError::NoDirectory { directory: self.dir.clone() },
            libc::EEXIST => OpenError::Exists { queue },
            libc::EACCES | libc::EPERM | libc::EROFS => OpenError::Denied { queue, path: self.path() },
            libc::ELOOP | libc::EISDIR => self.corrupt("it is not a regular file"),
            _ => OpenError::Os { queue, call, errno },
        }
    }

    fn corrupt(&self, what: impl Into<String>) -> OpenError {
        OpenError::Corrupt {
            queue: self.name.clone(),
            what: what.into(),
        }
    }
}

/// What a new segment is to be.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) geometry: Geometry,
    pub(crate) flags: u32,
    pub(crate) type_name: Option<String>,
    pub(crate) max_deliveries: u8,
    pub(crate) dead_letter: String,
    pub(crate) mode: u32,
    pub(crate) ready: bool,
}

/// What a segment's header says, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// Items the queue holds.
    pub capacity: u32,
    /// Places for endpoints.
    pub seats: u32,
    /// Longest item in bytes; of a plain type, its size.
    pub item_size: u64,
    /// Alignment of items in bytes.
    pub item_align: u32,
    /// Name of the plain type; empty: bytes.
    pub type_name: String,
    /// A put on a full queue drops the oldest item.
    pub lossy: bool,
    /// Items of dead consumers are delivered again.
    pub at_least_once: bool,
    /// Deliveries after which an item goes to the dead-letter queue; 0: no limit.
    pub max_deliveries: u8,
    /// Name of the dead-letter queue; empty: none.
    pub dead_letter: String,
    /// Process that created it.
    pub creator_pid: u32,
    /// When, in nanoseconds since 1970.
    pub created_ns: u64,
}

/// A file in the segment directory.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Entry {
    /// Name of the queue.
    pub name: String,
    /// Length of the file.
    pub bytes: u64,
    /// Permission bits.
    pub mode: u32,
    /// What the header says, or why it is no segment.
    pub segment: Result<Header, OpenError>,
}

/// A mapped segment.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) place: Place,
    pub(crate) header: Header,
    pub(crate) geometry: Geometry,
    pub(crate) read_only: bool,
    map: MmapRaw,
    pub(crate) lease: Lease,
}

impl Segment {
    pub(crate) fn create(place: Place, spec: &Spec) -> Result<Self, OpenError> {
        let (file, temporary) = unnamed(&place)?;
        let made = Self::build(&place, spec, &file).and_then(|map| {
            let linked = match &temporary {
                None => link_unnamed(&file, &place),
                Some(path) => rustix::fs::link(path, place.path()),
            };
            linked.map_err(|error| place.error("link", error)).map(|()| map)
        });
        if let Some(path) = temporary {
            let _ = rustix::fs::unlink(path);
        }
        let map = made?;
        let (header, geometry) = read_header(&place, &file)?;
        let lease = Lease::new(file).map_err(|error| place.error("fstat", error))?;
        Ok(Self {
            place,
            header,
            geometry,
            read_only: false,
            map,
            lease,
        })
    }

    fn build(place: &Place, spec: &Spec, file: &File) -> Result<MmapRaw, OpenError> {
        let g = &spec.geometry;
        let no_space = || OpenError::NoSpace {
            queue: place.name.clone(),
            bytes: g.total_size,
            directory: place.dir.clone(),
        };
        rustix::fs::fchmod(file, Mode::from_raw_mode(spec.mode & 0o777)).map_err(|error| place.error("fchmod", error))?;
        loop {
            match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, g.total_size) {
                Ok(()) => break,
                Err(Errno::INTR) => {}
                Err(Errno::NOSPC | Errno::FBIG | Errno::DQUOT | Errno::NOMEM) => return Err(no_space()),
                Err(error) => return Err(place.error("fallocate", error)),
            }
        }
        let write = |bytes: &[u8], offset: u64| file.write_all_at(bytes, offset).map_err(|error| place.error("write", error));
        // Everything that is not zero, in file order. Nobody else knows the file yet.
        write(bytemuck::bytes_of(&raw_header(spec)), 0)?;
        write(&u64::from(spec.ready).to_ne_bytes(), WORDS_OFFSET as u64)?;
        write(&2u32.to_ne_bytes(), WORDS_OFFSET as u64 + 16)?; // state: started
        let shape = Shape::new(g.capacity, g.seats);
        for seat in 0..g.seats {
            write(
                &Record::at_rest(g.capacity + seat).pack().to_ne_bytes(),
                SEATS_OFFSET as u64 + u64::from(seat) * SEAT_SIZE as u64,
            )?;
        }
        let slots: Vec<u64> = (0..g.capacity).map(|index| shape.pack(0, index)).collect();
        write(bytemuck::cast_slice(&slots), g.slots_offset)?;
        map(place, file, g.total_size, false)
    }

    pub(crate) fn attach(place: Place) -> Result<Self, OpenError> {
        Self::open(place, OFlags::RDWR)
    }

    pub(crate) fn attach_read_only(place: Place) -> Result<Self, OpenError> {
        Self::open(place, OFlags::RDONLY)
    }

    fn open(place: Place, access: OFlags) -> Result<Self, OpenError> {
        let read_only = access == OFlags::RDONLY;
        let file = open_file(&place.path(), access).map_err(|error| place.error("open", error))?;
        let (header, geometry) = read_header(&place, &file)?;
        let map = map(&place, &file, geometry.total_size, read_only)?;
        let lease = Lease::new(file).map_err(|error| place.error("fstat", error))?;
        Ok(Self {
            place,
            header,
            geometry,
            read_only,
            map,
            lease,
        })
    }

    /// First byte; the mapping has `geometry.total_size` bytes and is page-aligned. Writable unless `read_only`.
    pub(crate) fn base(&self) -> *mut u8 {
        self.map.as_mut_ptr()
    }

    pub(crate) fn words(&self) -> &Words {
        // SAFETY: the header check made total_size >= SEATS_OFFSET, so the words lie within the mapping.
        let words = unsafe { self.base().add(WORDS_OFFSET) };
        // SAFETY: the mapping is page-aligned and WORDS_OFFSET a multiple of 128; all fields are atomics, for which every bit pattern is a value; the mapping
        // lives as long as self.
        unsafe { &*words.cast::<Words>() }
    }

    pub(crate) fn seat(&self, index: u32) -> &SeatLine {
        assert!(index < self.geometry.seats);
        // SAFETY: index < seats, and the header check made slots_offset = SEATS_OFFSET + seats * SEAT_SIZE <= total_size.
        let line = unsafe { self.base().add(SEATS_OFFSET + index as usize * SEAT_SIZE) };
        // SAFETY: a multiple of 128 from a page-aligned start; atomics only, as in `words`.
        unsafe { &*line.cast::<SeatLine>() }
    }
}

fn map(place: &Place, file: &File, len: u64, read_only: bool) -> Result<MmapRaw, OpenError> {
    let mut options = MmapOptions::new();
    options.len(usize::try_from(len).map_err(|_| place.corrupt("it is larger than the address space"))?);
    let map = if read_only { options.map_raw_read_only(file) } else { options.map_raw(file) };
    let map = map.map_err(|error| place.error("mmap", error))?;
    map.advise(Advice::DontFork).map_err(|error| place.error("madvise", error))?;
    Ok(map)
}

fn open_file(path: &Path, access: OFlags) -> rustix::io::Result<File> {
    rustix::fs::openat(CWD, path, access | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK, Mode::empty()).map(File::from)
}

/// A file without a name; where the filesystem has none, one with a temporary name that is locked while it is built.
fn unnamed(place: &Place) -> Result<(File, Option<PathBuf>), OpenError> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    match rustix::fs::openat(CWD, &place.dir, flags | OFlags::TMPFILE, Mode::from_raw_mode(0o600)) {
        Ok(fd) => return Ok((fd.into(), None)),
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {}
        Err(Errno::NOENT | Errno::NOTDIR) => return Err(OpenError::NoDirectory { directory: place.dir.clone() }),
        Err(Errno::NOSPC) => {
            return Err(OpenError::NoSpace {
                queue: place.name.clone(),
                bytes: 0,
                directory: place.dir.clone(),
            });
        }
        Err(error) => return Err(place.error("open", error)),
    }
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let path = place
        .dir
        .join(format!("{TEMPORARY}{}.{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)));
    let file: File = rustix::fs::openat(CWD, &path, flags | OFlags::CREATE | OFlags::EXCL, Mode::from_raw_mode(0o600))
        .map_err(|error| place.error("open", error))?
        .into();
    let copy = file.try_clone().map_err(|error| place.error("dup", error))?;
    // The lock belongs to the description, which `file` keeps; closing the copy does not drop it.
    let _ = Lease::new(copy).and_then(|lease| lease.try_lock(BUILDING));
    Ok((file, Some(path)))
}

fn link_unnamed(file: &File, place: &Place) -> rustix::io::Result<()> {
    let by_number = format!("/proc/self/fd/{}", file.as_raw_fd());
    match rustix::fs::linkat(CWD, by_number, CWD, place.path(), AtFlags::SYMLINK_FOLLOW) {
        Err(Errno::NOENT) => rustix::fs::linkat(file, "", CWD, place.path(), AtFlags::EMPTY_PATH),
        other => other,
    }
}

fn raw_header(spec: &Spec) -> RawHeader {
    let g = &spec.geometry;
    let mut raw: RawHeader = bytemuck::Zeroable::zeroed();
    raw.magic = MAGIC;
    raw.version = VERSION;
    raw.header_size = HEADER_SIZE as u32;
    raw.total_size = g.total_size;
    raw.capacity = g.capacity;
    raw.seats = g.seats;
    raw.item_size = g.item_size;
    raw.block_size = g.block_size;
    raw.slots_offset = g.slots_offset;
    raw.seats_offset = SEATS_OFFSET as u64;
    raw.blocks_offset = g.blocks_offset;
    raw.item_align = g.item_align;
    raw.flags = spec.flags;
    raw.payload_offset = g.payload_offset as u32;
    if let Some(name) = &spec.type_name {
        raw.tag = 1;
        raw.type_name_len = name.len() as u32;
        raw.type_name[..name.len()].copy_from_slice(name.as_bytes());
    }
    raw.max_deliveries = spec.max_deliveries.into();
    raw.dead_letter_len = spec.dead_letter.len() as u32;
    raw.dead_letter[..spec.dead_letter.len()].copy_from_slice(spec.dead_letter.as_bytes());
    raw.creator_pid = std::process::id();
    raw.created = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as u64);
    raw.checksum = raw.sum();
    raw
}

/// Copies the header out and checks every field of it.
fn read_header(place: &Place, file: &File) -> Result<(Header, Geometry), OpenError> {
    let meta = file.metadata().map_err(|error| place.error("fstat", error))?;
    if !meta.is_file() {
        return Err(place.corrupt("it is not a regular file"));
    }
    if meta.len() < HEADER_SIZE as u64 {
        return Err(place.corrupt(format!("it is no prodcon segment: {} bytes are too few", meta.len())));
    }
    let mut raw: RawHeader = bytemuck::Zeroable::zeroed();
    file.read_exact_at(bytemuck::bytes_of_mut(&mut raw), 0)
        .map_err(|error| place.error("read", error))?;
    if raw.magic != MAGIC {
        return Err(place.corrupt(format!("it is no prodcon segment: it begins with {:#018x}, expected {MAGIC:#018x}", raw.magic)));
    }
    if raw.version != VERSION {
        return Err(OpenError::Incompatible {
            queue: place.name.clone(),
            what: "format version",
            expected: VERSION.to_string(),
            found: raw.version.to_string(),
        });
    }
    let geometry = Geometry::new(raw.capacity, raw.seats, raw.item_size, raw.item_align).map_err(|what| place.corrupt(format!("damaged header: {what}")))?;
    let equal = |what: &str, found: u64, expected: u64| {
        if found == expected {
            Ok(())
        } else {
            Err(place.corrupt(format!("damaged header: {what} is {found}, expected {expected}")))
        }
    };
    equal("header size", raw.header_size.into(), HEADER_SIZE as u64)?;
    equal("block size", raw.block_size, geometry.block_size)?;
    equal("offset of the seats", raw.seats_offset, SEATS_OFFSET as u64)?;
    equal("offset of the slots", raw.slots_offset, geometry.slots_offset)?;
    equal("offset of the blocks", raw.blocks_offset, geometry.blocks_offset)?;
    equal("offset of the payload", raw.payload_offset.into(), geometry.payload_offset)?;
    equal("total size", raw.total_size, geometry.total_size)?;
    if meta.len() < geometry.total_size {
        return Err(place.corrupt(format!("the file was cut off: it has {} bytes, expected {}", meta.len(), geometry.total_size)));
    }
    equal("unknown flags", (raw.flags & !flags::ALL).into(), 0)?;
    let text = |what: &str, bytes: &[u8], len: u32| {
        let text = bytes.get(..len as usize).and_then(|bytes| std::str::from_utf8(bytes).ok());
        text.map(str::to_owned)
            .ok_or_else(|| place.corrupt(format!("damaged header: the {what} is not a text of at most {} bytes", bytes.len())))
    };
    let type_name = text("type name", &raw.type_name, raw.type_name_len)?;
    let dead_letter = text("dead-letter queue", &raw.dead_letter, raw.dead_letter_len)?;
    equal("type tag", raw.tag.into(), (!type_name.is_empty()).into())?;
    let max_deliveries =
        u8::try_from(raw.max_deliveries).map_err(|_| place.corrupt(format!("damaged header: {} deliveries, expected at most 255", raw.max_deliveries)))?;
    equal("checksum", raw.checksum, raw.sum())?;
    let has = |flag| raw.flags & flag != 0;
    let header = Header {
        capacity: raw.capacity,
        seats: raw.seats,
        item_size: raw.item_size,
        item_align: raw.item_align,
        type_name,
        lossy: has(flags::LOSSY),
        at_least_once: has(flags::AT_LEAST_ONCE),
        max_deliveries,
        dead_letter,
        creator_pid: raw.creator_pid,
        created_ns: raw.created,
    };
    Ok((header, geometry))
}

/// Longest type name a queue can note.
pub(crate) fn check_type_name(place: &Place, name: &str) -> Result<(), OpenError> {
    if (1..=MAX_TYPE_NAME).contains(&name.len()) {
        return Ok(());
    }
    Err(OpenError::Invalid {
        queue: place.name.clone(),
        what: format!("a type name of {} bytes: choose 1 to {MAX_TYPE_NAME}", name.len()),
    })
}

pub(crate) fn unlink(place: &Place) -> Result<(), OpenError> {
    rustix::fs::unlink(place.path()).map_err(|error| place.error("unlink", error))
}

pub(crate) fn list(dir: &Path) -> Result<Vec<Entry>, OpenError> {
    let files = std::fs::read_dir(dir).map_err(|_| OpenError::NoDirectory { directory: dir.into() })?;
    let mut entries: Vec<Entry> = files
        .flatten()
        .filter_map(|file| {
            let name = file.file_name().to_str()?.strip_prefix(PREFIX)?.to_owned();
            let place = Place::new(Some(dir), &name).ok()?;
            let meta = file.metadata().ok()?;
            let opened = open_file(&place.path(), OFlags::RDONLY).map_err(|error| place.error("open", error));
            let segment = opened.and_then(|file| read_header(&place, &file)).map(|(header, _)| header);
            Some(Entry {
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

/// Removes what creators that were killed left under temporary names. Returns how many.
pub(crate) fn clean_temporaries(dir: &Path) -> usize {
    let unlocked = |path: &Path| {
        open_file(path, OFlags::RDWR)
            .ok()
            .and_then(|file| Lease::new(file).ok())
            .is_some_and(|lease| lease.is_locked(BUILDING).is_ok_and(|locked| !locked))
    };
    let stale = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(TEMPORARY)) && unlocked(path);
    std::fs::read_dir(dir).map_or(0, |files| {
        files
            .flatten()
            .map(|file| file.path())
            .filter(stale)
            .filter(|path| std::fs::remove_file(path).is_ok())
            .count()
    })
}
