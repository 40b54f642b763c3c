//! The operating system: files and their locks, directories, futexes, signals, forks.
//!
//! Nothing else makes system calls for queues, apart from `segment`, which opens and maps files.
//! Behind it stands the fuzzer's pretended kernel.

pub(crate) mod descriptor;
pub(crate) mod directory;
pub(crate) mod futex;
pub(crate) mod lease;
#[cfg(fuzzing)]
pub mod pretend;
pub(crate) mod signal;
