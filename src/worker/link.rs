//! An endpoint that a worker keeps of a queue that may come and go, and what it owes that queue
//! when it leaves.
//!
//! Invariant: on leaving, a segment is removed only if it is stale. That means that it was made to
//! go with its owner, the owner is dead, and no other process is attached. A queue that lasts is
//! never removed.

use super::RESULTS_AND_MESSAGES;
use super::state::coarse_now;
use crate::error::{Error, ErrorKind, Fault};
use crate::queue::{AttachOptions, Control, Payload, ReadyQueue};
use std::path::Path;
use std::time::{Duration, Instant};

/// Between two looks at whether a queue is still there, or there again.
const LOOK: Duration = Duration::from_millis(200);

/// An endpoint that is looked for again when its queue has gone.
pub(crate) struct Link<T: Payload + ?Sized> {
    name: String,
    attach: AttachOptions,
    endpoint: Option<ReadyQueue<T>>,
    next_look: Duration,
}

impl<T: Payload + ?Sized> Link<T> {
    /// Attaches.
    pub(crate) fn new(name: &str, attach: AttachOptions) -> Result<Self, Error> {
        let mut link = Self::lazy(name, attach);
        link.find()?;
        Ok(link)
    }

    /// Attaches when it is first used.
    pub(crate) fn lazy(name: &str, attach: AttachOptions) -> Self {
        Self {
            name: name.into(),
            attach,
            endpoint: None,
            next_look: Duration::ZERO,
        }
    }

    fn find(&mut self) -> Result<(), Error> {
        self.endpoint = Some(ReadyQueue::attach_with(&self.name, &self.attach)?);
        Ok(())
    }

    /// The endpoint, if the queue is there. Looks now and then whether it still is, or is there
    /// again.
    ///
    /// # Errors
    /// Returns an error if the queue is there but cannot be attached to.
    pub(crate) fn get(&mut self) -> Result<Option<&mut ReadyQueue<T>>, Error> {
        let now = coarse_now();
        if now >= self.next_look {
            self.next_look = now + LOOK;
            if self
                .endpoint
                .as_ref()
                .is_some_and(|queue| queue.control().is_removed())
            {
                self.endpoint = None;
            }
            if self.endpoint.is_none() {
                match self.find() {
                    // With a worker's name that is as long as names can be, no ring can be there.
                    Err(error)
                        if !matches!(
                            error.kind(),
                            ErrorKind::NotFound | ErrorKind::InvalidName
                        ) =>
                    {
                        return Err(error);
                    }
                    _ => {}
                }
            }
        }
        Ok(self.endpoint.as_mut())
    }

    /// The queue was found gone.
    pub(crate) fn lost(&mut self) {
        self.endpoint = None;
    }
}

impl<T: Payload + ?Sized> Drop for Link<T> {
    fn drop(&mut self) {
        let Some(endpoint) = self.endpoint.take() else {
            return;
        };
        let control = endpoint.control().try_clone();
        drop(endpoint);
        if let Ok(control) = control {
            remove_if_abandoned(&control);
        }
    }
}

/// How long the locks of a process that was killed may still look taken.
const DEAD_LOCKS_TIMEOUT: Duration = Duration::from_millis(100);

/// Called by one that has just left: removes the worker's segments that are stale by now. What
/// cannot be removed stays, and shows as stale.
pub(crate) fn remove_if_abandoned(worker: &Control) {
    if !matches!(worker.is_supervised(), Ok(false)) {
        return; // its controlling process removes them
    }
    let ring = |end: &&str| attach_in(worker.directory(), &format!("{}.{end}", worker.name())).ok();
    let mut rings: Vec<Control> = RESULTS_AND_MESSAGES
        .iter()
        .filter_map(ring)
        .filter(Control::is_owned)
        .collect();
    // One that is gone already, or may stay, is done with.
    let is_done = |control: &Control| {
        let removed = control.is_owned().then(|| control.remove_if_stale());
        match removed {
            Some(Ok(done)) => done,
            Some(Err(error)) => matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Removed),
            None => true,
        }
    };
    let deadline = Instant::now() + DEAD_LOCKS_TIMEOUT;
    loop {
        rings.retain(|ring| !is_done(ring));
        // Not before the rings, because a process that comes later looks for them only if the queue
        // is still there.
        if rings.is_empty() && is_done(worker) || Instant::now() >= deadline {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Attaches to the queue of this handle, and not to another one that has its name by now.
pub(crate) fn attach_to<T: Payload + ?Sized>(
    control: &Control,
    attach: &AttachOptions,
) -> Result<ReadyQueue<T>, Error> {
    let queue = ReadyQueue::attach_with(control.name(), attach)?;
    if queue.control().id() == control.id() {
        return Ok(queue);
    }
    let queue = control.name().into();
    Err(Fault::Removed { queue }.into())
}

/// A handle to the queue with this name in this directory.
pub(crate) fn attach_in(dir: &Path, name: &str) -> Result<Control, Error> {
    Control::attach_with(name, &AttachOptions::new().directory(dir))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::TestName;
    use crate::queue::QueueOptions;

    #[test]
    fn beside_a_worker_with_the_longest_name_there_are_no_rings() {
        let ring = format!("{}.results", "w".repeat(200));
        let mut link = Link::<[u8]>::lazy(&ring, AttachOptions::new());
        assert!(link.get().unwrap().is_none());
        let subscriber = Link::<[u8]>::new(&ring, AttachOptions::new()).err();
        assert_eq!(subscriber.unwrap().kind(), ErrorKind::InvalidName);
    }

    #[test]
    fn a_queue_that_has_the_name_of_another_is_not_attached_to_in_its_place() {
        let name = TestName::new();
        let (options, attach) = (QueueOptions::new(4), AttachOptions::new());
        let old = Control::create::<u64>(&name, &options).unwrap();
        assert!(attach_to::<u64>(&old, &attach).is_ok());
        crate::unlink(&name).unwrap();
        let mut other = ReadyQueue::<u64>::create(&name, &options).unwrap();
        other.put(&1).unwrap();
        let refused = attach_to::<u64>(&old, &attach).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Removed);
    }
}
