//! What a replay tells.

use std::sync::atomic::{AtomicBool, Ordering};

static ON: AtomicBool = AtomicBool::new(false);

/// From here on each action is told.
pub fn on() {
    ON.store(true, Ordering::Relaxed);
}

pub(crate) fn tell(what: impl FnOnce() -> String) {
    if ON.load(Ordering::Relaxed) {
        eprintln!("{}", what());
    }
}
