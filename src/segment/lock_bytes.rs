//! The bytes that are locked beside those of the seats.

/// Locked by a process that builds in, or removes, a file with a temporary name. (The bytes of
/// seats are below.)
pub(super) const BUILDING: u32 = 1 << 20;
/// Locked by the one controlling process.
pub(crate) const SUPERVISOR: u32 = BUILDING + 1;
/// Locked by the process that is to remove the name in the end.
pub(crate) const OWNER: u32 = BUILDING + 2;
/// Locked by a process while it removes the name.
pub(super) const REMOVER: u32 = BUILDING + 3;
