//! A worker process from its command line to its exit status.
//!
//! Invariants: `on_stop` runs exactly once whenever `on_start` returned a worker; a panic in the user's code ends in the same way as an error. Callers: the traits.

use super::context::{self, Context};
use super::error::{Failure, WorkerError};
use super::settings::{Settings, TYPE, Told, variable};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

const ATTACH: &str = "--attach";

/// A panic in the user's code.
#[derive(Debug)]
struct Panicked {
    what: &'static str,
    text: String,
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} panicked: {}", self.what, self.text)
    }
}

impl std::error::Error for Panicked {}

/// Calls the user's code; a panic there becomes an error.
pub(crate) fn guard<R>(what: &'static str, call: impl FnOnce() -> Result<R, Failure>) -> Result<R, Failure> {
    // Unwind safety: after a panic the worker value is only handed to `on_stop`, whose author knows what `work` may leave behind.
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|payload| {
        let text = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "(no text)".into());
        std::mem::forget(payload); // dropping it may panic again
        Err(Panicked { what, text }.into())
    })
}

/// The life of a worker that has attached to everything: `on_start`, the loop, `on_stop`.
pub(crate) fn live<W>(
    context: &mut Context,
    on_start: impl FnOnce(&mut Context) -> Result<W, Failure>,
    work: impl FnOnce(&mut W, &mut Context) -> Result<(), Failure>,
    on_stop: impl FnOnce(W, &mut Context) -> Result<(), Failure>,
) -> Result<(), Failure> {
    context.attached();
    if context.is_stopped() {
        return Ok(()); // stopped before it began
    }
    let mut worker = guard("on_start", || on_start(context))?;
    let worked = work(&mut worker, context);
    context.close();
    let stopped = guard("on_stop", || on_stop(worker, context));
    context.linger();
    match (worked, stopped) {
        (Err(first), Err(second)) => Err(format!("{}; then on_stop: {}", context::text(&first), context::text(&second)).into()),
        (worked, stopped) => worked.and(stopped),
    }
}

/// `--attach NAME [ARGUMENTS]`, if that is what the command line says.
fn invocation() -> Option<Result<(String, Vec<String>), String>> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != ATTACH {
        return None;
    }
    let mut texts = vec![];
    for (place, argument) in arguments.enumerate() {
        match argument.into_string() {
            Ok(text) => texts.push(text),
            Err(bytes) => return Some(Err(format!("argument {} is not UTF-8: {}", place + 2, bytes.to_string_lossy()))),
        }
    }
    if texts.is_empty() {
        return Some(Err("--attach needs the name of a worker".into()));
    }
    let name = texts.remove(0);
    Some(Ok((name, texts)))
}

/// Runs the worker and gives the exit status, if the process was started as one, and as one of this type.
pub(crate) fn main_if_attached(kind: &str, settings: Settings, run: impl FnOnce(&mut Context) -> Result<(), Failure>) -> Option<ExitCode> {
    let invocation = invocation()?;
    let told = invocation.as_ref().ok().and_then(|(name, _)| Told::from_environment(variable, name));
    // What a controlling handle says is for its own worker alone.
    let wanted = told.map_or_else(|| std::env::var(TYPE).ok(), |told| told.kind().map(str::to_owned));
    if wanted.is_some_and(|wanted| !wanted.is_empty() && wanted != kind) {
        return None;
    }
    let (name, arguments) = match invocation {
        Ok(told) => told,
        Err(error) => {
            eprintln!("{error}");
            return Some(ExitCode::from(2));
        }
    };
    let failed = |text: &str| {
        eprintln!("worker '{name}' (process {}) failed: {text}", std::process::id());
        Some(ExitCode::FAILURE)
    };
    #[cfg(feature = "signals")]
    let opened = Context::open(&name, arguments, settings).and_then(|mut context| context.stop_on_signals().map(|()| context));
    #[cfg(not(feature = "signals"))]
    let opened = Context::open(&name, arguments, settings);
    let mut context = match opened {
        Ok(context) => context,
        Err(error) => {
            let text = match error {
                WorkerError::Invalid { what, .. } => what,
                other => other.to_string(),
            };
            context::report(&name, &text);
            return failed(&text);
        }
    };
    let outcome = run(&mut context);
    let told = outcome
        .as_ref()
        .map_err(context::text)
        .map_or_else(|text| failed(&text), |()| Some(ExitCode::SUCCESS));
    context.finish(outcome);
    told
}

/// As [`main_if_attached`], for a program that is nothing but a worker.
pub(crate) fn main(kind: &str, settings: Settings, run: impl FnOnce(&mut Context) -> Result<(), Failure>) -> ExitCode {
    main_if_attached(kind, settings, run).unwrap_or_else(|| {
        let program = std::env::args().next().unwrap_or_else(|| "PROGRAM".into());
        eprintln!("usage: {program} --attach NAME [ARGUMENTS]\n\nA prodcon worker: it works for the name's controlling process, or by itself.");
        ExitCode::from(2)
    })
}

/// A command that starts this executable again, as a worker of this type.
pub(crate) fn this_program(kind: &str) -> std::io::Result<std::process::Command> {
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command.env(TYPE, kind);
    Ok(command)
}
