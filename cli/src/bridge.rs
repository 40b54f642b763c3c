//! `prodcon bridge`: becomes `prodcon-bridge`, a program of its own, where that is installed.

use crate::exit::{End, Outcome};
use clap::Args;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

const PROGRAM: &str = "prodcon-bridge";

#[derive(Args)]
#[command(disable_help_flag = true)]
pub struct Arguments {
    /// Arguments of `prodcon-bridge`; `prodcon bridge --help` lists them
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGUMENT"
    )]
    arguments: Vec<OsString>,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let program = beside().unwrap_or_else(|| PROGRAM.into());
    let error = Command::new(&program).args(&arguments.arguments).exec();
    if error.kind() == ErrorKind::NotFound {
        return Err(End::failed(format!(
            "{PROGRAM} is not installed: it is neither beside this program nor on the PATH; \
             `cargo install --path bridge` in a checkout builds it"
        )));
    }
    Err(End::failed(format!(
        "{} cannot be run: {error}",
        program.display()
    )))
}

/// Returns the one that was installed together with this program.
fn beside() -> Option<PathBuf> {
    let there = std::env::current_exe().ok()?.with_file_name(PROGRAM);
    there.is_file().then_some(there)
}
