//! The bytes that are locked beside those of the seats.

/// Lock byte of whoever builds in, or removes, a file with a temporary name. (The bytes of seats are below.)
pub(super) const BUILDING: u32 = 1 << 20;
/// Lock byte of the one controlling process.
pub(crate) const SUPERVISOR: u32 = BUILDING + 1;
/// Lock byte of the process that is to remove the name in the end.
pub(crate) const OWNER: u32 = BUILDING + 2;
/// Lock byte of whoever removes the name, while it does so.
pub(super) const REMOVER: u32 = BUILDING + 3;
