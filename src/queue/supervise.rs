//! The watch over a queue: the lease of its controlling process, and that of its owner.
//!
//! A controlling process holds lock bytes on the segment, beside those of the seats. The kernel
//! drops them when the process dies, in whatever way. Invariant: at most one process supervises a
//! queue at a time, and at most one owns it.

use super::control::Control;
use crate::error::{Fault, OpenError, Result};
use crate::segment::{OWNER, SUPERVISOR};
use crate::state::State;
use std::hash::{BuildHasher, Hasher};
use std::path::Path;
use std::time::Duration;

/// Added to a supervision's number, this is a lock byte. So workers of a dead controller do not
/// take its successor for it.
const NUMBERS: u32 = 1 << 24;

/// The lease of a controlling process. It ends when it is dropped, or when the process dies.
#[derive(Debug)]
pub struct Supervision {
    control: Control,
    number: u32,
}

impl Supervision {
    /// Returns the number that distinguishes it from those before and after it: 1 to 2^24 - 1.
    pub fn number(&self) -> u32 {
        self.number
    }
}

impl Drop for Supervision {
    fn drop(&mut self) {
        for byte in [NUMBERS + self.number, OWNER, SUPERVISOR] {
            // An error means that the descriptor was closed under us. Then the lock goes with the
            // mapping, right now.
            let _ = self.control.segment.lease.unlock(byte);
        }
    }
}

impl Control {
    /// Takes the supervisor's lease. Returns `None` if another process (or handle) has it. With
    /// `owner`, this process is to remove the queue's name in the end, and a process that finds the
    /// lease gone may remove the name in its place.
    ///
    /// # Errors
    /// Fails if the name is gone or another queue's by now, or if a system call failed.
    pub fn supervise(&self, owner: bool) -> Result<Option<Supervision>> {
        self.writable()?;
        // A description of its own: locks of one description do not exclude each other.
        let control = self
            .segment
            .again()
            .map(Self::over)
            .map_err(|error| self.open_fault(error))?;
        control.writable()?;
        let lease = &control.segment.lease;
        let lock = |byte| {
            lease
                .try_lock(byte)
                .map_err(|error| control.os_fault(&error))
        };
        if !lock(SUPERVISOR)? {
            return Ok(None);
        }
        // A process that removes a stale name looks at this lease first. Now the name is ours, or
        // gone for good.
        if control
            .segment
            .was_removed()
            .map_err(|error| control.os_fault(&error))?
        {
            return Err(Fault::Removed {
                queue: self.shared_name(),
            }
            .into());
        }
        if owner {
            // As its maker we have that lock ourselves. Nobody else can take it now, because nobody
            // else supervises.
            self.segment
                .disown()
                .map_err(|error| self.os_fault(&error))?;
            if !lock(OWNER)? {
                return Ok(None);
            }
        }
        loop {
            // A new one each time: one hasher's first answer is always the same.
            let random = std::collections::hash_map::RandomState::new();
            let number =
                (random.build_hasher().finish() as u32).wrapping_add(std::process::id()) % NUMBERS;
            if number != 0 && lock(NUMBERS + number)? {
                return Ok(Some(Supervision { control, number }));
            }
            std::thread::yield_now();
        }
    }

    /// Returns whether a controlling process watches over the queue.
    ///
    /// # Errors
    /// Fails if a system call failed.
    pub fn is_supervised(&self) -> Result<bool> {
        self.is_locked(SUPERVISOR)
    }

    /// Returns whether the controlling process with this number ([`Supervision::number`]) is alive.
    ///
    /// # Errors
    /// Fails if a system call failed.
    pub fn is_supervised_by(&self, number: u32) -> Result<bool> {
        self.is_locked(NUMBERS + number % NUMBERS)
    }

    /// Returns whether the process that is to remove the name in the end is alive.
    ///
    /// # Errors
    /// Fails if a system call failed.
    pub fn has_owner(&self) -> Result<bool> {
        Ok(self.segment.is_owner() || self.is_locked(OWNER)?)
    }

    fn is_locked(&self, byte: u32) -> Result<bool> {
        self.readable()?;
        Ok(self
            .segment
            .lease
            .is_locked(byte)
            .map_err(|error| self.os_fault(&error))?)
    }

    /// Returns where the queue's file is.
    pub fn directory(&self) -> &Path {
        &self.segment.place.dir
    }

    /// Waits until the state is no longer `from`. Returns false if `timeout` passed first.
    ///
    /// # Errors
    /// Returns `Cancelled` if the endpoint's token was cancelled, `Removed` if its name was
    /// removed, `Forked` in a forked child, and `Os` if a system call failed.
    pub fn wait_state_change(&self, from: State, timeout: Option<Duration>) -> Result<bool> {
        self.wait(timeout, |control| control.state() != from)
    }

    pub(super) fn os_fault(&self, error: &std::io::Error) -> Fault {
        Fault::Os {
            queue: self.shared_name(),
            call: "fcntl",
            errno: error.raw_os_error().unwrap_or(libc::EIO),
        }
    }

    fn open_fault(&self, error: OpenError) -> Fault {
        match error {
            OpenError::NotFound { queue, .. } | OpenError::Removed { queue } => {
                Fault::Removed { queue }
            }
            OpenError::Os { queue, call, errno } => Fault::Os { queue, call, errno },
            other => Fault::Corrupt {
                queue: self.shared_name(),
                what: other.to_string(),
            },
        }
    }
}
