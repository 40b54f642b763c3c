//! Tells people how a command ended, and the system its status.
//!
//! Invariant: a message appears once, on stderr, with the program's name before it. Only this
//! module prints it; `exit` only says what an end is.

use crate::exit::{End, Outcome};
use crate::{names, output};
use std::process::ExitCode;

/// Says what there is to say, and gives the status to the system.
pub fn report(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(end) => {
            tell(&end);
            ExitCode::from(end.status())
        }
    }
}

/// Does something for each name, tells what fails and goes on. The end is that of the first failure.
pub fn each(names: &[String], mut act: impl FnMut(&str) -> Outcome) -> Outcome {
    let mut first = Ok(());
    for name in names {
        if let Err(end) = act(name) {
            tell(&end);
            first = first.and(Err(End::quiet(end.status())));
        }
    }
    first
}

fn tell(end: &End) {
    if end.message().is_empty() {
        return;
    }
    let meant = end
        .missing()
        .and_then(|name| names::meant(&prodcon::directory(), name));
    match meant {
        Some(meant) => output::note(&format!("{}; did you mean '{meant}'?", end.message())),
        None => output::note(end.message()),
    }
}
