//! An endpoint that a worker keeps of a queue that may come and go, and what it owes that queue when it leaves.
//!
//! Invariant: a segment is removed on leaving only if it is known to have had an owner, that owner is dead, and nobody else is there. Callers: the worker's side.

use super::RESULTS_AND_MESSAGES;
use super::state::coarse_now;
use crate::error::OpenError;
use crate::queue::{Attach, Control, Payload, ReadyQueue, unlink_in};
use std::time::Duration;

/// Between two looks at whether a queue is still there, or there again.
const LOOK: Duration = Duration::from_millis(200);

/// An endpoint that is looked for again when its queue has gone.
pub(crate) struct Link<T: Payload + ?Sized> {
    name: String,
    attach: Attach,
    endpoint: Option<ReadyQueue<T>>,
    had_owner: bool,
    next_look: Duration,
}

impl<T: Payload + ?Sized> Link<T> {
    /// Attaches.
    pub(crate) fn new(name: &str, attach: Attach) -> Result<Self, OpenError> {
        let mut link = Self::lazy(name, attach);
        link.find()?;
        Ok(link)
    }

    /// Attaches when it is first used.
    pub(crate) fn lazy(name: &str, attach: Attach) -> Self {
        Self {
            name: name.into(),
            attach,
            endpoint: None,
            had_owner: false,
            next_look: Duration::ZERO,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn find(&mut self) -> Result<(), OpenError> {
        let endpoint = ReadyQueue::attach_with(&self.name, &self.attach)?;
        self.had_owner |= endpoint.control()?.has_owner().unwrap_or(false);
        self.endpoint = Some(endpoint);
        Ok(())
    }

    /// The endpoint, if the queue is there. Looks now and then whether it still is, or is there again.
    ///
    /// # Errors
    /// The queue is there, but one cannot attach to it.
    pub(crate) fn get(&mut self) -> Result<Option<&mut ReadyQueue<T>>, OpenError> {
        let now = coarse_now();
        if now >= self.next_look {
            self.next_look = now + LOOK;
            if self.endpoint.as_ref().is_some_and(ReadyQueue::is_removed) {
                self.endpoint = None;
            }
            if self.endpoint.is_none() {
                match self.find() {
                    Ok(()) | Err(OpenError::NotFound { .. }) => {}
                    Err(error) => return Err(error),
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
        let Some(endpoint) = self.endpoint.take() else { return };
        let control = self.had_owner.then(|| endpoint.control().ok()).flatten();
        drop(endpoint);
        if let Some(control) = control {
            remove_if_abandoned(&control, true);
        }
    }
}

/// Others who leave hold the lease for a moment.
const PATIENCE: Duration = Duration::from_millis(200);

/// Called by who has just left, and knows that the controlling process is gone: removes the worker's segments where nobody is left. `owned`: its queue too, not only
/// the rings for results and messages. What cannot be removed stays and shows as stale.
pub(crate) fn remove_if_abandoned(worker: &Control, owned: bool) {
    let deadline = coarse_now() + PATIENCE;
    // While we hold this lease there is no controlling process, and none can come. Whoever comes last finds nobody else.
    let _lease = loop {
        match worker.supervise(owned) {
            Ok(Some(lease)) => break lease,
            Ok(None) if coarse_now() < deadline => std::thread::sleep(Duration::from_millis(1)),
            _ => return,
        }
    };
    let empty = |control: &Control| control.stats().is_ok_and(|stats| stats.seats_live == 0);
    let mut last = empty(worker);
    for end in RESULTS_AND_MESSAGES {
        if let Ok(channel) = Control::attach_in(worker.directory(), &format!("{}.{end}", worker.name())) {
            last &= empty(&channel) && channel.unlink().is_ok();
        }
    }
    // Not before the rings: whoever comes later looks for them only if the queue is still there.
    if owned && last && !worker.is_removed() {
        let _ = unlink_in(worker.directory(), worker.name());
    }
}
