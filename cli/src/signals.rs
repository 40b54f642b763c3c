//! SIGINT and SIGTERM for commands that hold a seat or have children: they look at a flag between short waits and end cleanly.
//!
//! Invariant: from `install` on, the first signal only sets the flag; the second one ends the process at once (the kernel then drops its seats). A signal that was ignored from the start stays ignored: a shell without job control starts its background jobs that way.

use crate::exit::{End, Outcome};
use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

static CAUGHT: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// From now on both signals are caught, except for one that this process was started to ignore.
pub fn install() -> Outcome {
    let caught = CAUGHT.get_or_init(Default::default);
    let armed = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        if is_ignored(signal) {
            continue;
        }
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

fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
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
