//! `prodcon rm`: unlinks queues, each for itself. Processes that are attached keep the memory.

use crate::exit::{End, Outcome};
use crate::{output, report};
use clap::Args;
use prodcon::{Control, ErrorKind};

#[derive(Args)]
pub struct Arguments {
    /// Names of the queues
    #[arg(required = true)]
    names: Vec<String>,
    /// Remove queues to which processes are attached, too
    #[arg(long)]
    force: bool,
}

pub fn run(arguments: &Arguments) -> Outcome {
    report::each(&arguments.names, |name| {
        output::note(&format!(
            "removed '{name}'{}",
            remove(name, arguments.force)?
        ));
        Ok(())
    })
}

/// Removes one, and says what else there is to say about it.
fn remove(name: &str, force: bool) -> Result<String, End> {
    let control = match Control::attach(name) {
        Ok(control) => control,
        // No segment of ours, or not to be read: nobody can be seen in it.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::Corrupt | ErrorKind::Incompatible | ErrorKind::PermissionDenied
            ) =>
        {
            prodcon::unlink(name)?;
            return Ok(String::new());
        }
        Err(error) => return Err(error.into()),
    };
    let stats = control.stats()?;
    let mut pids: Vec<u32> = stats.members.iter().map(|member| member.pid).collect();
    pids.sort_unstable();
    pids.dedup();
    let users = match pids.as_slice() {
        [] => String::new(),
        [pid] => format!("process {pid}"),
        [first, .., last] => format!("{} processes ({first} to {last})", pids.len()),
    };
    if !users.is_empty() && !force {
        return Err(End::failed(format!(
            "queue '{name}' is in use by {users} and was not removed: end them first, or use --force (they go on among themselves)"
        )));
    }
    control.unlink()?;
    Ok(match (users.as_str(), stats.len + stats.unacked) {
        ("", 0) => String::new(),
        ("", 1) => " with an item in it".into(),
        ("", items) => format!(" with {items} items in it"),
        (users, _) => format!("; {users} still attached to what had the name"),
    })
}
