//! Tells people how a command ended, and the system its status.
//!
//! Invariant: a message appears once, on stderr, with the program's name before it. Only this
//! module prints it; `exit` only says what an end is.

use crate::exit::{End, Outcome};
use crate::names::{self, Meant};
use crate::output;
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

/// Does as [`each`] for queues that are meant. One that a pattern has found, and that has gone since,
/// is none of them.
pub fn each_meant(names: &[Meant], mut act: impl FnMut(&str) -> Outcome) -> Outcome {
    let by_name = |name: &str| {
        names
            .iter()
            .any(|meant| meant.by_name && meant.name == name)
    };
    let all: Vec<String> = names.iter().map(|meant| meant.name.clone()).collect();
    each(&all, |name| match act(name) {
        Err(end) if end.missing() == Some(name) && !by_name(name) => Ok(()),
        done => done,
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use prodcon::Control;

    #[test]
    fn a_queue_that_has_gone_is_missed_only_if_it_was_named() {
        let dir = std::env::temp_dir().join(format!("prodcon-report-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let attach = prodcon::AttachOptions::new().directory(&dir);
        let look = |name: &str| {
            Control::attach_with(name, &attach)?;
            Ok(())
        };
        let meant = |name: &str, by_name| Meant {
            name: name.into(),
            by_name,
        };
        assert!(each_meant(&[meant("gone", false)], look).is_ok());
        let outcome = each_meant(&[meant("gone", false), meant("named", true)], look);
        assert_eq!(outcome.unwrap_err().status(), 1);
        // Another failure counts in any case.
        let outcome = each_meant(&[meant("-", false)], look);
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!(outcome.unwrap_err().status(), 2);
    }
}
