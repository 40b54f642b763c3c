//! What the tests share: the built library, compilers, a directory and processes of a test's own.
//!
//! Invariant: whatever a test leaves, its directory and its processes go with its `Fixture`, failing or not.
#![allow(dead_code)] // each test program uses a part

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub const WARNINGS: [&str; 4] = ["-Wall", "-Wextra", "-Werror", "-pedantic"];

/// The directory of the crate.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The directory with libprodcon.so and libprodcon.a, built with the profile of this test. `cargo test` alone does not build them: nothing links to them.
pub fn library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        // target/PROFILE/deps/TEST
        let own = std::env::current_exe().unwrap();
        let directory = own.ancestors().nth(2).unwrap();
        let mut build = Command::new(env!("CARGO"));
        build
            .args([
                "build",
                "--quiet",
                "-p",
                "prodcon-ffi",
                "--lib",
                "--target-dir",
            ])
            .arg(directory.parent().unwrap());
        if directory.ends_with("release") {
            build.arg("--release");
        }
        // Settings of the outer cargo that are not for the inner one.
        let settings: Vec<_> = std::env::vars_os()
            .map(|(key, _)| key)
            .filter(|key| {
                key.to_string_lossy().starts_with("CARGO_PKG") || key == "CARGO_MANIFEST_DIR"
            })
            .collect();
        settings.iter().for_each(|key| {
            build.env_remove(key);
        });
        let status = build.current_dir(root()).status().unwrap();
        assert!(status.success(), "the library could not be built");
        assert!(
            directory.join("libprodcon.so").exists() && directory.join("libprodcon.a").exists(),
            "no library in {}",
            directory.display()
        );
        directory.to_path_buf()
    })
}

/// Whether a program can be run; if not, says that the test is skipped.
pub fn have(program: &str) -> bool {
    let found = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let found = found.is_ok_and(|status| status.success());
    if !found {
        skipped(&format!("{program} is not here"));
    }
    found
}

/// Says so, whatever captures the output of tests.
pub fn skipped(why: &str) {
    use std::io::Write;
    let name = std::thread::current().name().unwrap_or("?").to_owned();
    let _ = writeln!(std::io::stderr(), "SKIPPED: {name}: {why}");
}

pub const SANITIZERS: [&str; 3] = [
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
];

/// The compiler has the sanitizers' libraries.
pub fn have_sanitizers(compiler: &str) -> bool {
    if !have(compiler) {
        return false;
    }
    let fixture = Fixture::new();
    let source = fixture.dir.join("empty.c");
    std::fs::write(&source, "int main(void) { return 0; }\n").unwrap();
    let program = fixture.dir.join("empty");
    let compiled = Command::new(compiler)
        .args(SANITIZERS)
        .arg(&source)
        .arg("-o")
        .arg(&program)
        .output()
        .unwrap();
    let works = compiled.status.success()
        && Command::new(&program)
            .status()
            .is_ok_and(|status| status.success());
    if !works {
        skipped(&format!(
            "{compiler} has no working sanitizers: {}",
            String::from_utf8_lossy(&compiled.stderr)
        ));
    }
    works
}

/// A directory and processes of the test's own, gone with it.
pub struct Fixture {
    pub dir: PathBuf,
    children: Vec<Child>,
}

impl Fixture {
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("prodcon-ffi-{}-{number}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        std::fs::create_dir(dir.join("queues")).unwrap();
        Self {
            dir,
            children: vec![],
        }
    }

    /// Where this test's queues are.
    pub fn queues(&self) -> PathBuf {
        self.dir.join("queues")
    }

    /// Compiles and links a program against the shared library; sources are relative to `c/`.
    pub fn compile(
        &self,
        compiler: &str,
        standard: &str,
        sources: &[&str],
        flags: &[&str],
    ) -> PathBuf {
        let program = self.dir.join(format!(
            "{}-{compiler}-{}",
            sources[0].replace('/', "-"),
            flags.len()
        ));
        let mut command = Command::new(compiler);
        command
            .arg(format!("-std={standard}"))
            .args(WARNINGS)
            .args(["-g", "-O1", "-pthread", "-D_GNU_SOURCE"])
            .args(flags);
        command.arg("-I").arg(root().join("include"));
        command.args(sources.iter().map(|source| root().join("c").join(source)));
        command
            .arg("-L")
            .arg(library())
            .arg("-lprodcon")
            .arg("-o")
            .arg(&program);
        succeeds(&mut command);
        program
    }

    /// A command with the library and this test's queues in its environment.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env("LD_LIBRARY_PATH", library())
            .env("PRODCON_DIR", self.queues())
            .current_dir(&self.dir);
        command
    }

    /// Starts a process that does not outlive the test; its place in `children`.
    pub fn start(&mut self, command: &mut Command) -> usize {
        self.children.push(command.spawn().unwrap());
        self.children.len() - 1
    }

    pub fn kill(&mut self, child: usize) {
        self.children[child].kill().unwrap();
        self.children[child].wait().unwrap();
    }

    pub fn pid(&self, child: usize) -> u32 {
        self.children[child].id()
    }

    /// Waits for the end of a process; its output if that was piped.
    pub fn end_of(&mut self, child: usize) -> String {
        use std::io::Read;
        until("the end of a process", || {
            self.children[child].try_wait().unwrap().is_some()
        });
        let process = &mut self.children[child];
        let status = process.wait().unwrap();
        let mut text = String::new();
        if let Some(mut out) = process.stdout.take() {
            out.read_to_string(&mut text).unwrap();
        }
        assert!(status.success(), "a process ended with {status}: {text}");
        text
    }

    /// No queue is left.
    pub fn is_clean(&self) {
        let left: Vec<_> = std::fs::read_dir(self.queues())
            .unwrap()
            .map(|file| file.unwrap().file_name())
            .collect();
        assert!(left.is_empty(), "left behind: {left:?}");
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Runs a command to its end.
pub fn succeeds(command: &mut Command) -> Output {
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} ended with {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !done() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(2));
    }
}
