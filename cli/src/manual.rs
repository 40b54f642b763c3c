//! `prodcon completions` and `prodcon man`: made from the command line's own description, so they
//! say what this program takes.

use crate::exit::{End, Outcome};
use crate::output;
use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;
use std::path::PathBuf;

#[derive(Args)]
pub struct Completions {
    /// The shell that is to complete
    shell: Shell,
}

#[derive(Args)]
pub struct Pages {
    /// The command that the page is about; without one, the program itself
    command: Option<String>,
    /// Write all pages to DIR
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    to: Option<PathBuf>,
}

/// The program as its user sees it: without the commands that are not for people, which a script
/// would offer although they are hidden. It has no options of its own that could be forgotten here.
fn shown(program: &Command) -> Command {
    let commands = program
        .get_subcommands()
        .filter(|command| !command.is_hide_set());
    Command::new("prodcon")
        .version(env!("CARGO_PKG_VERSION"))
        .about(program.get_about().cloned().unwrap_or_default())
        .subcommands(commands.cloned())
}

pub fn completions(arguments: &Completions, program: Command) -> Outcome {
    let mut script = vec![];
    clap_complete::generate(
        arguments.shell,
        &mut shown(&program),
        "prodcon",
        &mut script,
    );
    output::print(&String::from_utf8_lossy(&script))
}

pub fn pages(arguments: &Pages, program: Command) -> Outcome {
    if let Some(dir) = &arguments.to {
        let failed = |error: std::io::Error| {
            End::failed(format!(
                "cannot write the pages to {}: {error}",
                dir.display()
            ))
        };
        return clap_mangen::generate_to(program, dir).map_err(failed);
    }
    let mut program = program.disable_help_subcommand(true);
    program.build();
    let page = match &arguments.command {
        None => program,
        Some(name) => {
            let found = program
                .get_subcommands()
                .find(|command| command.get_name() == name);
            let command = found.ok_or_else(|| {
                End::usage(format!("there is no command '{name}': see `prodcon help`"))
            })?;
            command.clone()
        }
    };
    let mut text = vec![];
    Man::new(page)
        .render(&mut text)
        .map_err(|error| End::failed(format!("cannot make the page: {error}")))?;
    output::print(&String::from_utf8_lossy(&text))
}
