//! Runs the commands of each chapter, in order, in a directory of its own, as a reader would.
//!
//! Blocks in `sh` are run. A note, a comment above a block, says more:
//!
//! - `file: NAME` saves the block below that name, whatever its language;
//! - `prints` says that the lines of this block appear in the output of the commands before it, in
//!   this order; a line that is `...` stands for any lines;
//! - `needs: python`, `c++`, `promtool` or `root` (who may mount) skips a block where that cannot
//!   be had;
//! - `not run: WHY` is for commands that need what no test has, or minutes;
//! - `usage` is for a summary of the options of `prodcon`.
//!
//! Every chapter has to remove the queues that it makes. Whether or not a command is run, and also
//! in the text and in units of systemd, `prodcon` has to know its words, and packages, targets and
//! tests that cargo is asked for have to be there. `bridge/tests/documents.rs` asks
//! `prodcon-bridge`.

use prodcon_guide::command_lines::{CommandLine, commands, split, usage};
use prodcon_guide::markdown::{Block, blocks, documents, root};
use std::collections::BTreeSet;
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
            "promtool" => !runs(Command::new("promtool").arg("--version")),
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

/// Asks the programs whether they know the words of these commands, each of them once.
fn ask(place: &str, commands: Vec<CommandLine>, asked: &mut BTreeSet<Vec<String>>) -> Vec<String> {
    let program = Installed::get().programs.join("prodcon");
    let mut wrong = vec![];
    for command in commands {
        if !asked.insert(command.words.clone()) {
            continue;
        }
        let known = match (command.program(), command.words.get(1)) {
            ("prodcon", sub) if sub.is_none_or(|sub| sub != "bridge") => {
                command.is_known_to(&program)
            }
            ("cargo", _) => match command.is_known_to_cargo() {
                Ok(Some(run)) if run.program() == "prodcon" => run.is_known_to(&program),
                known => known.map(drop),
            },
            _ => Ok(()),
        };
        wrong.extend(
            known
                .err()
                .map(|why| format!("{place}, line {}: {why}", command.line)),
        );
    }
    wrong
}

#[test]
fn programs_know_the_words_of_every_command() {
    let (mut asked, mut wrong) = (BTreeSet::new(), vec![]);
    for path in documents() {
        // What was, and may be no more.
        if path.ends_with("CHANGELOG.md") {
            continue;
        }
        let place = path.strip_prefix(root()).unwrap().display().to_string();
        let document = std::fs::read_to_string(&path).unwrap();
        wrong.extend(ask(&place, commands(&document), &mut asked));
    }
    assert!(asked.len() > 80, "only {} commands were found", asked.len());
    for entry in std::fs::read_dir(root().join("docs/systemd")).unwrap() {
        let path = entry.unwrap().path();
        let unit = std::fs::read_to_string(&path).unwrap();
        let mut found = vec![];
        for (index, text) in unit.lines().enumerate() {
            let text = text.trim_start_matches(['#', ' ']);
            let text = match text.strip_prefix("ExecStart=") {
                Some(text) => text.trim_start_matches('-').replace("$OPTIONS", ""),
                None if text.starts_with("OPTIONS=") => format!("'{text}'"),
                None => continue,
            };
            let line = index + 1;
            found.extend(
                split(&text)
                    .into_iter()
                    .map(|words| CommandLine { line, words }),
            );
        }
        found.retain(|command| command.program() == "prodcon");
        wrong.extend(ask(&path.display().to_string(), found, &mut asked));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn words_that_programs_do_not_know_are_found() {
    for bad in [
        "prodcon crate NAME",
        "prodcon create NAME --item-sice BYTES",
        "prodcon create NAME --item-size 2MiBi",
        "prodcon create --item-sice",
        "prodcon help crate",
        "prodcon bench --item-size 1kib",
        "prodcon metrics --listen 1:2:3",
        "cargo run --release -- demo --minutes 1",
    ] {
        let found = commands(&format!("`{bad}`"));
        assert_eq!(ask("here", found, &mut BTreeSet::new()).len(), 1, "{bad}");
    }
    let good = commands("`prodcon create NAME --item-size BYTES` `prodcon completions SHELL`");
    assert_eq!(ask("here", good, &mut BTreeSet::new()), [""; 0]);
}

#[test]
fn a_summary_of_options_names_those_that_exist() {
    let program = Installed::get().programs.join("prodcon");
    let mut summaries = 0;
    for path in documents() {
        let document = std::fs::read_to_string(&path).unwrap();
        let blocks = blocks(&document).into_iter();
        for block in blocks.filter(|block| block.note == "usage") {
            summaries += 1;
            for (subs, options) in usage(&block.text) {
                for sub in &subs {
                    let help = Command::new(&program).args(["help", sub]).output().unwrap();
                    let place = format!("{}, line {}", path.display(), block.line);
                    assert!(help.status.success(), "{place}: {help:?}");
                    let help = String::from_utf8(help.stdout).unwrap();
                    let known: BTreeSet<_> = help.split([' ', ',', '\n']).collect();
                    let unknown = options
                        .iter()
                        .find(|&option| !known.contains(option.as_str()));
                    assert_eq!(unknown, None, "{place}: {sub}");
                }
            }
        }
    }
    assert!(summaries > 0, "no summary was found");
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
            for path in documents() {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap();
                let found = blocks(&std::fs::read_to_string(&path).unwrap());
                let commands = found.iter().any(|block| block.language == "sh");
                assert!(!commands || run.contains(&name), "{name} is not run");
            }
        }
    };
}

documents! {
    readme: "README.md",
    contributing: "CONTRIBUTING.md",
    start: "docs/start.md",
    choosing: "docs/choosing.md",
    waiting: "docs/waiting.md",
    workers: "docs/workers.md",
    deploying: "docs/deploying.md",
    systemd: "docs/systemd.md",
    monitoring: "docs/monitoring.md",
    performance: "docs/performance.md",
    tuning: "docs/tuning.md",
    coming_from: "docs/coming-from.md",
    faq: "docs/faq.md",
    bridge: "docs/bridge.md",
    cli: "cli/README.md",
    ffi: "ffi/README.md",
    fuzz: "fuzz/README.md",
}
