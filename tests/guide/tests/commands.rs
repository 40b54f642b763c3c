//! Runs the commands of each chapter, in order, in a directory of its own, as a reader would.
//!
//! Blocks in `sh` are run. A note, a comment above a block, says more:
//!
//! - `file: NAME` saves the block below that name, whatever its language;
//! - `prints` says that the lines of this block appear in the output of the commands before it, in
//!   this order; a line that is `...` stands for any lines;
//! - `needs: python`, `c++` or `root` (who may mount) skips a block where that cannot be had;
//! - `not run: WHY` is for commands that need what no test has.
//!
//! Every chapter has to remove the queues that it makes.

use prodcon_guide::markdown::{Block, blocks, root};
use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long the commands of a chapter may take, builds included.
const LIMIT: Duration = Duration::from_secs(300);

/// A directory that goes with what is in it.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("prodcon-guide-{name}-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        Self(dir)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The processes that a chapter starts, killed when the test is through with them.
struct Group(i32);

impl Drop for Group {
    fn drop(&mut self) {
        let _ = Command::new("kill")
            .args(["-9", "--", &format!("-{}", self.0)])
            .stderr(Stdio::null())
            .status();
    }
}

fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

fn runs(command: &mut Command) -> bool {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Where the programs of this repository are, and what readers have installed by then.
struct Installed {
    programs: PathBuf,
    prefix: PathBuf,
    python: Option<PathBuf>,
    compiler: bool,
}

impl Installed {
    /// Builds the command line, the C library and the workers of the examples with the profile of
    /// this test, and installs the library below the target directory.
    fn get() -> &'static Self {
        static INSTALLED: OnceLock<Installed> = OnceLock::new();
        INSTALLED.get_or_init(|| {
            // target/PROFILE/deps/TEST
            let own = std::env::current_exe().unwrap();
            let programs = own.ancestors().nth(2).unwrap().to_owned();
            let target = programs.parent().unwrap();
            let profile = if programs.ends_with("release") {
                "release"
            } else {
                "dev"
            };
            let mut build = Command::new(env!("CARGO"));
            build
                .args(["build", "--quiet", "--profile", profile, "--target-dir"])
                .arg(target)
                .args([
                    "-p",
                    "prodcon",
                    "-p",
                    "prodcon-cli",
                    "-p",
                    "prodcon-ffi",
                    "--lib",
                    "--bins",
                ])
                .args(["--example", "sum_consumer", "--example", "ramp_producer"])
                .current_dir(root());
            for (key, _) in std::env::vars() {
                if key.starts_with("CARGO_PKG") || key == "CARGO_MANIFEST_DIR" {
                    build.env_remove(key);
                }
            }
            assert!(
                build.status().unwrap().success(),
                "the programs could not be built"
            );
            let prefix = target.join("guide/prefix");
            let install = Command::new(root().join("ffi/install.sh"))
                .env("PREFIX", &prefix)
                .env("LIBRARIES", &programs)
                .env("CARGO", env!("CARGO"))
                .env_remove("DESTDIR")
                .stdout(Stdio::null())
                .status();
            assert!(
                install.unwrap().success(),
                "the library could not be installed"
            );
            Self {
                compiler: runs(Command::new("c++").arg("--version"))
                    && runs(Command::new("pkg-config").arg("--version")),
                python: Self::python(),
                programs,
                prefix,
            }
        })
    }

    /// Finds an interpreter with this version of the module: `PRODCON_GUIDE_PYTHON`, or the
    /// environment that `ffi/python/test.sh` leaves.
    fn python() -> Option<PathBuf> {
        let mut candidates = vec![];
        candidates.extend(std::env::var_os("PRODCON_GUIDE_PYTHON").map(PathBuf::from));
        if let Ok(entries) = std::fs::read_dir(root().join("ffi/python/target")) {
            let environments = entries.map(|entry| entry.unwrap().path());
            candidates.extend(environments.map(|path| path.join("bin/python")));
        }
        candidates.into_iter().find(|python| {
            python.exists()
                && runs(
                    Command::new(python)
                        .args(["-c", "import prodcon"])
                        .current_dir("/"),
                )
        })
    }

    fn lacks(&self, need: &str) -> bool {
        match need {
            "python" => self.python.is_none(),
            "c++" => !self.compiler,
            "root" => !runs(Command::new("unshare").args(["--mount", "--pid", "--fork", "true"])),
            other => panic!("nobody knows what {other:?} is"),
        }
    }
}

/// Checks that the lines of `expected` appear in `output`, in order.
fn compare(place: &str, expected: &str, output: &str) {
    let mut rest = output.lines();
    for line in expected.lines().filter(|line| *line != "...") {
        assert!(
            rest.any(|printed| printed.trim_end() == line.trim_end()),
            "{place}: no line {line:?} (in this order) in what was printed:\n{output}"
        );
    }
}

/// Writes the chapter's commands into one script, so that variables and jobs last.
fn script(chapter: &str, blocks: &[Block], installed: &Installed, dir: &Path) -> String {
    let mut script = String::from("set -euo pipefail\n");
    let mut missing = None;
    for block in blocks {
        let line = block.line;
        if let Some(name) = block.note("file") {
            let end = "END_OF_THE_BLOCK";
            writeln!(script, "mkdir -p \"$(dirname '{name}')\"").unwrap();
            writeln!(script, "cat >'{name}' <<'{end}'\n{}{end}", block.text).unwrap();
        } else if block.language == "sh" {
            if let Some(why) = block.note("not run") {
                skipped(&format!("{chapter}, line {line}: {why}"));
            } else if let Some(need) = block.note("needs").filter(|need| installed.lacks(need)) {
                missing.get_or_insert((line, need));
            } else {
                let output = dir.join(format!("{line}.out"));
                writeln!(script, "exec >'{}' 2>&1\n{}", output.display(), block.text).unwrap();
            }
        }
    }
    if let Some((line, need)) = missing {
        skipped(&format!(
            "{chapter}, from line {line} on: what needs {need}, which is not here"
        ));
    }
    script
}

fn run(chapter: &str) {
    let document = std::fs::read_to_string(root().join(chapter)).unwrap();
    let blocks = blocks(&document);
    let installed = Installed::get();
    let dir = Dir::new(&chapter.replace(['/', '.'], "-"));
    let (work, queues) = (dir.0.join("work"), dir.0.join("queues"));
    std::fs::create_dir(&work).unwrap();
    std::fs::create_dir(&queues).unwrap();
    // Readers have a checkout beside what they do.
    std::os::unix::fs::symlink(root(), work.join("prodcon")).unwrap();
    let mut path = std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect::<Vec<_>>();
    path.insert(0, installed.programs.clone());
    path.insert(0, installed.programs.join("examples"));
    if let Some(python) = &installed.python {
        path.insert(0, python.parent().unwrap().to_owned());
    }
    let mut bash = Command::new("bash");
    bash.arg("-c")
        .arg(script(chapter, &blocks, installed, &dir.0))
        .current_dir(&work)
        .env("PATH", std::env::join_paths(path).unwrap())
        .env("PRODCON_DIR", &queues)
        .env(
            "CARGO_TARGET_DIR",
            installed.programs.parent().unwrap().join("guide"),
        )
        .env("CARGO_NET_OFFLINE", "true")
        .env("PKG_CONFIG_PATH", installed.prefix.join("lib/pkgconfig"))
        .env("LD_LIBRARY_PATH", installed.prefix.join("lib"))
        .stdin(Stdio::null())
        .process_group(0);
    for (key, _) in std::env::vars() {
        if key.starts_with("CARGO_PKG") || key.starts_with("CARGO_MANIFEST") {
            bash.env_remove(key);
        }
    }
    let mut bash = bash.spawn().unwrap();
    let group = Group(bash.id() as i32);
    let deadline = Instant::now() + LIMIT;
    let status = loop {
        if let Some(status) = bash.try_wait().unwrap() {
            break Some(status);
        }
        if Instant::now() > deadline {
            break None;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    drop(group);
    let _ = bash.wait();
    let output = |line: usize| std::fs::read_to_string(dir.0.join(format!("{line}.out")));
    let mut last = None;
    for block in blocks
        .iter()
        .filter(|block| block.note.is_empty() || block.note("file").is_none())
    {
        let place = format!("{chapter}, line {}", block.line);
        if block.language == "sh" {
            last = output(block.line).ok();
            let is_last = blocks
                .iter()
                .filter(|later| later.line > block.line)
                .all(|later| output(later.line).is_err());
            if let Some(printed) = last.as_ref().filter(|_| is_last) {
                let ended = status.is_some_and(|status| status.success());
                assert!(ended, "{place}: ended with {status:?}, after\n{printed}");
            }
        } else if block.note == "prints" {
            if let Some(printed) = &last {
                compare(&place, &block.text, printed);
            }
        }
    }
    assert!(
        status.is_some_and(|status| status.success()),
        "{chapter}: {status:?}"
    );
    let left: Vec<_> = std::fs::read_dir(&queues)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert!(left.is_empty(), "{chapter} leaves {left:?}");
}

/// A test for each document that has commands.
macro_rules! documents {
    ($($name:ident: $path:literal,)*) => {
        $(
            #[test]
            fn $name() {
                run($path);
            }
        )*

        #[test]
        fn every_document_with_commands_is_run() {
            let run = [$($path),*];
            for dir in ["", "docs/", "ffi/", "ffi/python/", "derive/", "cli/"] {
                for entry in std::fs::read_dir(root().join(dir)).unwrap() {
                    let path = entry.unwrap().path();
                    if path.extension().is_none_or(|end| end != "md") {
                        continue;
                    }
                    let name = format!("{dir}{}", path.file_name().unwrap().to_str().unwrap());
                    let found = blocks(&std::fs::read_to_string(&path).unwrap());
                    let commands = found.iter().any(|block| block.language == "sh");
                    assert!(!commands || run.contains(&name.as_str()), "{name} is not run");
                }
            }
        }
    };
}

documents! {
    start: "docs/start.md",
    choosing: "docs/choosing.md",
    waiting: "docs/waiting.md",
    deploying: "docs/deploying.md",
    tuning: "docs/tuning.md",
    coming_from: "docs/coming-from.md",
    faq: "docs/faq.md",
    bridge: "docs/bridge.md",
    cli: "cli/README.md",
}
