//! A worker process from its command line to its exit status.
//!
//! Invariants: `on_stop` runs exactly once whenever `on_start` returned a worker; a panic in the
//! user's code ends in the same way as an error.

use super::context::{self, Context};
use super::failure::{BoxError, guard, text};
use super::program::Program;
use super::settings::{Instructions, Settings, TYPE, variable};
use crate::error::Error;
use std::process::ExitCode;

const ATTACH: &str = "--attach";

/// The life of a worker that has attached to everything: `on_start`, the loop, `on_stop`.
pub(crate) fn live<W>(
    context: &mut Context,
    on_start: impl FnOnce(&mut Context) -> Result<W, BoxError>,
    work: impl FnOnce(&mut W, &mut Context) -> Result<(), BoxError>,
    on_stop: impl FnOnce(W, &mut Context) -> Result<(), BoxError>,
) -> Result<(), BoxError> {
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
        (Err(first), Err(second)) => {
            Err(format!("{}; then on_stop: {}", text(&first), text(&second)).into())
        }
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
            Err(bytes) => {
                return Some(Err(format!(
                    "argument {} is not UTF-8: {}",
                    place + 2,
                    bytes.to_string_lossy()
                )));
            }
        }
    }
    if texts.is_empty() {
        return Some(Err("--attach needs the name of a worker".into()));
    }
    let name = texts.remove(0);
    Some(Ok((name, texts)))
}

/// Runs the worker and gives the exit status, if the process was started as one, and as one of this
/// type.
pub(crate) fn run_if_worker(
    kind: &str,
    settings: Settings,
    run: impl FnOnce(&mut Context) -> Result<(), BoxError>,
) -> Option<ExitCode> {
    let invocation = invocation()?;
    let instructions = invocation
        .as_ref()
        .ok()
        .and_then(|(name, _)| Instructions::from_environment(variable, name));
    // What a controlling handle says is for its own worker alone.
    let wanted = instructions.map_or_else(
        || std::env::var(TYPE).ok(),
        |it| it.kind().map(str::to_owned),
    );
    if wanted.is_some_and(|wanted| !wanted.is_empty() && wanted != kind) {
        return None;
    }
    let (name, arguments) = match invocation {
        Ok(invocation) => invocation,
        Err(error) => {
            eprintln!("{error}");
            return Some(ExitCode::from(2));
        }
    };
    let mut context = match open(&name, arguments, settings) {
        Ok(context) => context,
        Err(error) => {
            let prefix = format!("worker '{name}': ");
            let text = error.to_string();
            // The reader is told the name anyway.
            let text = text.strip_prefix(&prefix).unwrap_or(&text);
            context::report(&name, text);
            return Some(context::print_failure(&name, text));
        }
    };
    let outcome = run(&mut context);
    Some(context.finish(outcome))
}

fn open(name: &str, arguments: Vec<String>, settings: Settings) -> Result<Context, Error> {
    #[allow(unused_mut)]
    let mut context = Context::open(name, arguments, settings)?;
    #[cfg(feature = "signals")]
    context.stop_on_signals()?;
    Ok(context)
}

/// Does what [`run_if_worker`] does, for a program that is nothing but a worker.
pub(crate) fn main(
    kind: &str,
    settings: Settings,
    run: impl FnOnce(&mut Context) -> Result<(), BoxError>,
) -> ExitCode {
    run_if_worker(kind, settings, run).unwrap_or_else(|| {
        let program = std::env::args().next().unwrap_or_else(|| "PROGRAM".into());
        eprintln!("usage: {program} --attach NAME [ARGUMENTS]\n\nA prodcon worker: it works for the name's controlling process, or by itself.");
        ExitCode::from(2)
    })
}

/// What starts this executable again, as a worker of this type.
pub(crate) fn program(kind: &str) -> std::io::Result<Program> {
    Ok(Program::new(std::env::current_exe()?).env(TYPE, kind))
}
