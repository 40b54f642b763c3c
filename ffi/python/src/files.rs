//! The files of long items (see `spill`) of a queue as a whole: listed, and removed.
//!
//! The process that removes a queue removes all its files.

use prodcon::Control;
use std::path::{Path, PathBuf};

/// What the names of the files of a queue begin with.
pub fn prefix(queue: &str) -> String {
    format!("prodcon.{queue}+")
}

/// The files in `dir` whose names begin so.
pub fn files(dir: &Path, prefix: &str) -> Vec<(PathBuf, String)> {
    let names = prodcon::bindings::names_in(dir).unwrap_or_default();
    let of_queue = names.into_iter().filter(|name| name.starts_with(prefix));
    of_queue.map(|name| (dir.join(&name), name)).collect()
}

/// Removes a queue's name, if it is this queue's, then the files of its long items.
///
/// # Errors
/// As `Control::unlink`.
pub fn remove(control: Control) -> prodcon::Result<()> {
    let files = files_of(&control);
    control.unlink()?;
    remove_files(files);
    Ok(())
}

/// The files of a queue's long items. Listed before its name goes: afterwards there may be another
/// queue of that name, with files of its own.
pub fn files_of(control: &Control) -> Vec<PathBuf> {
    files(control.directory(), &prefix(control.name()))
        .into_iter()
        .map(|(path, _)| path)
        .collect()
}

pub fn remove_files(files: Vec<PathBuf>) {
    for path in files {
        let _ = std::fs::remove_file(path);
    }
}

/// Removes the files of long items whose queue is not there any more, however it went.
pub fn sweep(dir: &Path) {
    for (path, name) in files(dir, "prodcon.") {
        if let Some((queue, _)) = name.split_once('+')
            && !dir.join(queue).exists()
        {
            let _ = std::fs::remove_file(path);
        }
    }
}
