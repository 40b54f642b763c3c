//! SIGINT and SIGTERM for commands that hold a seat or have children: they look at a flag between short waits and end cleanly.
//!
//! Invariant: from `install` on, the first signal only sets the flag; the second one ends the process at once (the kernel then drops its seats).

use crate::exit::{End, Outcome};
use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

static CAUGHT: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// From now on both signals are caught.
pub fn install() -> Outcome {
    let caught = CAUGHT.get_or_init(Default::default);
    let armed = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, 128 + signal, armed.clone())
            .and_then(|_| flag::register(signal, armed.clone()))
            .and_then(|_| {
                flag::register_usize(
                    signal,
                    caught.clone(),
                    usize::try_from(signal).unwrap_or_default(),
                )
            })
            .map_err(|error| End::failed(format!("cannot catch signal {signal}: {error}")))?;
    }
    Ok(())
}

/// From now on a file that grows beyond `ulimit -f` is an error of the write, and no silent end.
/// Processes that are started later have the signal as it was.
pub fn outlive_file_limit() {
    // If it cannot be caught, the limit ends the process as it does everybody.
    let _ = flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
}

/// The signal that came, if one did.
pub fn caught() -> Option<i32> {
    // Relaxed: the number is all there is to see.
    let signal = CAUGHT.get()?.load(Ordering::Relaxed);
    i32::try_from(signal).ok().filter(|signal| *signal != 0)
}

/// An end as soon as a signal came.
pub fn check() -> Outcome {
    caught().map_or(Ok(()), |signal| Err(End::signal(signal)))
}
