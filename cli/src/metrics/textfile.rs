//! The file for the node exporter's textfile collector.
//!
//! Invariant: a reader sees the whole of one look, never a part, because a file gets its name when
//! it is complete. Nothing else is left, unless the process is killed in between.

use crate::exit::{End, Outcome};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub fn write(path: &Path, text: &str) -> Outcome {
    let failed = |error: io::Error| {
        let remedy = match error.kind() {
            io::ErrorKind::FileTooLarge => "`ulimit -f` or the file system sets the limit",
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make space there",
            _ => "its directory must exist and be writable",
        };
        End::failed(format!(
            "cannot write the metrics to {}: {error}; {remedy}",
            path.display()
        ))
    };
    // The renaming would replace a device or a pipe, and /dev/stdout for everybody.
    if path.metadata().is_ok_and(|file| !file.is_file()) {
        return Err(End::failed(format!(
            "cannot write the metrics to {}: it is no regular file and would be replaced; name another one, or use --listen",
            path.display()
        )));
    }
    let half = beside(path).ok_or_else(|| failed(io::ErrorKind::InvalidFilename.into()))?;
    let written = File::create(&half)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| std::fs::rename(&half, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&half);
    }
    written.map_err(failed)
}

/// A name beside it that the collector does not read (it reads `*.prom`), and no other process
/// uses.
fn beside(path: &Path) -> Option<PathBuf> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name()?);
    name.push(format!(".{}.part", std::process::id()));
    Some(path.with_file_name(name))
}
