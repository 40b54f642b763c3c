//! What C has of an item's identity.

/// Identifies one item, forever and on every machine. It stays the same when the item is delivered
/// again.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct ItemId {
    /// sizeof this struct, set by the caller before the call and left alone. Only that many bytes
    /// are written, and the rest of a larger struct is filled with 0.
    pub size: u32,
    /// The item's place in its block; 0 in a queue without batches.
    pub index: u32,
    /// The position of its put. Later items have higher ones.
    pub sequence: u64,
    /// Random bytes that identify the queue. A queue that is created again under the same name has
    /// others.
    pub queue: [u8; 16],
}

const _: () = assert!(
    size_of::<ItemId>() == 32,
    "no padding, and the size that programs were compiled with"
);

impl From<rust::ItemId> for ItemId {
    fn from(id: rust::ItemId) -> Self {
        Self {
            size: 0,
            index: id.index,
            sequence: id.sequence,
            queue: *id.queue.as_bytes(),
        }
    }
}
