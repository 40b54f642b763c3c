//! The executable that a worker is started from, and its arguments and environment.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The executable of a worker, the arguments for the worker, and variables of its environment.
///
/// The worker is started as `PROGRAM --attach NAME [ARGUMENTS]`. A path is a program without
/// arguments, and so `start_new("./sum")` is enough.
///
/// ```
/// use prodcon::worker::Program;
///
/// let program = Program::new("target/release/sampler").arg("channel=3").env("RUST_BACKTRACE", "1");
/// ```
#[derive(Debug)]
#[must_use = "nothing is started before start_new"]
pub struct Program {
    command: Command,
    args: Vec<OsString>,
}

impl Program {
    /// Names an executable: a path, or a name that is looked for in `PATH`.
    ///
    /// ```
    /// let program = prodcon::worker::Program::new("target/release/sum");
    /// ```
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Command::new(program).into()
    }

    /// Adds an argument for the worker, which finds it in
    /// [`Context::args`](super::Context::args).
    ///
    /// ```
    /// let program = prodcon::worker::Program::new("./sampler").arg("channel=3");
    /// ```
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments for the worker.
    ///
    /// ```
    /// let program = prodcon::worker::Program::new("./sampler").args(["channel=3", "gain=2"]);
    /// ```
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets a variable of the worker's environment. The rest of it is this process's own.
    ///
    /// ```
    /// let program = prodcon::worker::Program::new("./sampler").env("RUST_BACKTRACE", "1");
    /// ```
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// The command, and the worker's arguments, which follow `--attach NAME`.
    pub(crate) fn into_parts(self) -> (Command, Vec<OsString>) {
        (self.command, self.args)
    }
}

/// The command keeps its own arguments, environment, working directory and outputs. Its arguments
/// stand before `--attach NAME`.
///
/// ```
/// use prodcon::worker::Program;
/// use std::process::Command;
///
/// let mut python = Command::new("python3");
/// python.arg("sum.py"); // python3 sum.py --attach NAME from=3
/// let program = Program::from(python).arg("from=3");
/// ```
impl From<Command> for Program {
    fn from(command: Command) -> Self {
        Self {
            command,
            args: vec![],
        }
    }
}

impl From<&str> for Program {
    fn from(program: &str) -> Self {
        Self::new(program)
    }
}

impl From<&Path> for Program {
    fn from(program: &Path) -> Self {
        Self::new(program)
    }
}

impl From<PathBuf> for Program {
    fn from(program: PathBuf) -> Self {
        Self::new(program)
    }
}
