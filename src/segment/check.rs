//! The header: made once, and checked field by field whenever a file is opened.
//!
//! Invariant: what [`read_header`] returns is consistent with itself and with the file's length,
//! whatever the bytes were. It reads the file, never the mapping.

use super::{Place, Spec};
use crate::error::{Error, ErrorKind, OpenError};
use crate::layout::{Geometry, HEADER_SIZE, MAGIC, RawHeader, SEATS_OFFSET, VERSION, flags};
use std::fmt;
use std::fs::File;
#[cfg(not(fuzzing))]
use std::os::unix::fs::FileExt;
use std::str::FromStr;

/// Identifies a queue for as long as it exists: 16 random bytes, made by `create`. A queue that is
/// made again under the same name has another one.
///
/// ```
/// # use prodcon::{Control, QueueId, QueueOptions};
/// # let name = prodcon::bindings::TestName::new();
/// let id = Control::create::<u64>(&name, &QueueOptions::new(8))?.id();
/// assert_eq!(id.to_string().parse::<QueueId>()?, id); // 32 hexadecimal digits
/// # Ok::<(), prodcon::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId(pub(crate) [u8; 16]);

impl QueueId {
    /// Returns the bytes.
    ///
    /// ```
    /// # use prodcon::{Control, QueueOptions};
    /// # let name = prodcon::bindings::TestName::new();
    /// let control = Control::create::<u64>(&name, &QueueOptions::new(8))?;
    /// assert_ne!(control.id().as_bytes(), &[0; 16]);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for QueueId {
    type Err = Error;

    /// Reads the 32 hexadecimal digits that `Display` prints.
    fn from_str(text: &str) -> Result<Self, Error> {
        let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match u128::from_str_radix(text, 16) {
            Ok(number) if digits => Ok(Self(number.to_be_bytes())),
            _ => {
                let what = format!("{text:?} is not a queue id: expected 32 hexadecimal digits");
                Err(Error::other(ErrorKind::InvalidOption, text, what))
            }
        }
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for QueueId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What a queue was created as.
///
/// ```
/// # use prodcon::{Control, QueueOptions};
/// # let name = prodcon::bindings::TestName::new();
/// let control = Control::create::<u64>(&name, &QueueOptions::new(8))?;
/// let info = control.info();
/// assert_eq!((info.capacity, info.item_size, info.type_name.as_str()), (8, 8, "u64"));
/// # Ok::<(), prodcon::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct QueueInfo {
    /// How many items the queue holds.
    pub capacity: u32,
    /// How many endpoints can be attached at once.
    pub seats: u32,
    /// Longest item in bytes. For a plain type this is its size.
    pub item_size: u64,
    /// Alignment of items in bytes.
    pub item_align: u32,
    /// Name of the plain type. Empty for a queue of bytes.
    pub type_name: String,
    /// True if a put on the full queue drops the oldest item.
    pub lossy: bool,
    /// True if items of dead consumers are delivered again.
    pub at_least_once: bool,
    /// Deliveries after which an item goes to the dead-letter queue. 0 means no limit.
    pub max_deliveries: u8,
    /// Name of the dead-letter queue. Empty if there is none.
    pub dead_letter: String,
    /// Most items in one block. 1 means no batches.
    pub batch: u32,
    /// Each slot has a copy of its item.
    pub copy_in_slot: bool,
    /// Identifies this queue.
    pub id: QueueId,
    /// Fingerprint of the item type's fields. 0 means that it is not compared.
    pub layout: u64,
    /// True for queues made by a worker's controller or without a name. Such a queue is stale once
    /// nobody is attached and its owner is gone.
    pub owned: bool,
    /// Process that created it.
    pub creator_pid: u32,
    /// When it was created, in nanoseconds since 1970.
    pub created_ns: u64,
}

/// Builds the header of a new segment.
pub(super) fn raw_header(spec: &Spec, id: QueueId) -> RawHeader {
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
    raw.batch = g.batch;
    raw.slot_size = g.slot_size as u32;
    raw.queue_id = id.0;
    raw.layout = spec.layout;
    raw.creator_pid = std::process::id();
    raw.created = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as u64);
    raw.checksum = raw.sum();
    raw
}

/// Copies the header out and checks every field of it.
pub(super) fn read_header(place: &Place, file: &File) -> Result<(QueueInfo, Geometry), OpenError> {
    #[cfg(fuzzing)]
    let file = &crate::sys::pretend::Looked(file);
    let meta = file
        .metadata()
        .map_err(|error| place.error("fstat", error))?;
    if !meta.is_file() {
        return Err(place.corrupt("it is not a regular file"));
    }
    if meta.len() < HEADER_SIZE as u64 {
        return Err(place.corrupt(format!(
            "it is no prodcon segment: {} bytes are too few",
            meta.len()
        )));
    }
    let mut raw: RawHeader = bytemuck::Zeroable::zeroed();
    file.read_exact_at(bytemuck::bytes_of_mut(&mut raw), 0)
        .map_err(|error| place.error("read", error))?;
    if raw.magic != MAGIC {
        return Err(place.corrupt(format!(
            "it is no prodcon segment: it begins with {:#018x}, expected {MAGIC:#018x}",
            raw.magic
        )));
    }
    if raw.version != VERSION {
        return Err(OpenError::Incompatible {
            queue: place.name.clone(),
            what: "format version",
            expected: VERSION.to_string(),
            found: raw.version.to_string(),
        });
    }
    let geometry = Geometry::new(
        raw.capacity,
        raw.seats,
        raw.item_size,
        raw.item_align,
        raw.batch,
    )
    .and_then(|geometry| {
        if raw.flags & flags::COPY_IN_SLOT == 0 {
            Ok(geometry)
        } else {
            geometry.with_copies()
        }
    })
    .map_err(|what| place.corrupt(format!("damaged header: {what}")))?;
    let equal = |what: &str, found: u64, expected: u64| {
        if found == expected {
            Ok(())
        } else {
            Err(place.corrupt(format!(
                "damaged header: {what} is {found}, expected {expected}"
            )))
        }
    };
    equal("header size", raw.header_size.into(), HEADER_SIZE as u64)?;
    equal("slot size", raw.slot_size.into(), geometry.slot_size)?;
    equal("block size", raw.block_size, geometry.block_size)?;
    equal("offset of the seats", raw.seats_offset, SEATS_OFFSET as u64)?;
    equal(
        "offset of the slots",
        raw.slots_offset,
        geometry.slots_offset,
    )?;
    equal(
        "offset of the blocks",
        raw.blocks_offset,
        geometry.blocks_offset,
    )?;
    equal(
        "offset of the payload",
        raw.payload_offset.into(),
        geometry.payload_offset,
    )?;
    equal("total size", raw.total_size, geometry.total_size)?;
    if meta.len() < geometry.total_size {
        return Err(place.corrupt(format!(
            "the file was cut off: it has {} bytes, expected {}",
            meta.len(),
            geometry.total_size
        )));
    }
    equal("unknown flags", (raw.flags & !flags::ALL).into(), 0)?;
    let text = |what: &str, bytes: &[u8], len: u32| {
        let text = bytes
            .get(..len as usize)
            .and_then(|bytes| std::str::from_utf8(bytes).ok());
        text.map(str::to_owned).ok_or_else(|| {
            place.corrupt(format!(
                "damaged header: the {what} is not a text of at most {} bytes",
                bytes.len()
            ))
        })
    };
    let type_name = text("type name", &raw.type_name, raw.type_name_len)?;
    let dead_letter = text("dead-letter queue", &raw.dead_letter, raw.dead_letter_len)?;
    equal("type tag", raw.tag.into(), (!type_name.is_empty()).into())?;
    if geometry.batch > 1 && type_name.is_empty() {
        return Err(place.corrupt("damaged header: batches of bytes, expected a plain type"));
    }
    if geometry.has_copies() && type_name.is_empty() {
        return Err(
            place.corrupt("damaged header: copies of bytes in slots, expected a plain type")
        );
    }
    let max_deliveries = u8::try_from(raw.max_deliveries).map_err(|_| {
        place.corrupt(format!(
            "damaged header: {} deliveries, expected at most 255",
            raw.max_deliveries
        ))
    })?;
    equal("checksum", raw.checksum, raw.sum())?;
    let has = |flag| raw.flags & flag != 0;
    let header = QueueInfo {
        capacity: raw.capacity,
        seats: raw.seats,
        item_size: raw.item_size,
        item_align: raw.item_align,
        type_name,
        lossy: has(flags::LOSSY),
        at_least_once: has(flags::AT_LEAST_ONCE),
        max_deliveries,
        dead_letter,
        batch: raw.batch,
        copy_in_slot: has(flags::COPY_IN_SLOT),
        id: QueueId(raw.queue_id),
        layout: raw.layout,
        owned: has(flags::OWNED),
        creator_pid: raw.creator_pid,
        created_ns: raw.created,
    };
    Ok((header, geometry))
}
