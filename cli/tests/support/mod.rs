//! What the tests of the command line share: a directory of the test's own, and the program run in it.
#![allow(dead_code)] // each test file uses a part

use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

/// Gone when it is dropped, with everything in it.
pub struct Dir(pub PathBuf);

impl Dir {
    pub fn new() -> Self {
        heed_interrupts();
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let dir = std::env::temp_dir().join(format!(
            "prodcon-cli-{}-{}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        ));
        std::fs::create_dir(&dir).unwrap();
        Self(dir)
    }

    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_prodcon"));
        command
            .args(line.split_whitespace())
            .env("PRODCON_DIR", &self.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Starts a command; it is killed if the test does not see its end.
    pub fn start(&self, line: &str) -> Started {
        Started(self.command(line).spawn().unwrap())
    }

    /// Runs a command with this on stdin: status, stdout, stderr.
    pub fn run(&self, line: &str, input: &[u8]) -> (i32, String, String) {
        let mut child = self.command(line).spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(input); // it may end without reading
        let Output {
            status,
            stdout,
            stderr,
        } = child.wait_with_output().unwrap();
        (
            status.code().unwrap_or(-1),
            String::from_utf8(stdout).unwrap(),
            String::from_utf8(stderr).unwrap(),
        )
    }

    pub fn ok(&self, line: &str, input: &[u8]) -> String {
        let (status, out, err) = self.run(line, input);
        assert_eq!(status, 0, "{line}: {out}{err}");
        out
    }

    /// The status, and a message that names the queue.
    pub fn fails(&self, line: &str, expected: i32, name: &str) {
        let (status, out, err) = self.run(line, b"x\n");
        assert_eq!((status, out.as_str()), (expected, ""), "{line}: {err}");
        assert!(
            err.contains(name) && !err.contains("panicked"),
            "{line}: {err}"
        );
    }

    pub fn stat(&self, name: &str) -> serde_json::Value {
        serde_json::from_str(&self.ok(&format!("stat {name} --json"), b"")).unwrap()
    }

    /// Nothing lies in it.
    pub fn is_empty(&self) -> bool {
        std::fs::read_dir(&self.0).unwrap().next().is_none()
    }

    /// The processes that were given this directory, zombies aside.
    pub fn processes(&self) -> Vec<u32> {
        let own = self.0.to_str().unwrap();
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let all = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let given = |pid: &u32| {
            std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|text| {
                text.split(|byte| *byte == 0)
                    .any(|entry| entry.ends_with(own.as_bytes()))
            })
        };
        all.filter(|pid| *pid != std::process::id())
            .filter(given)
            .collect()
    }
}

/// Where a shell has started the tests with SIGINT ignored, the programs that they start would
/// ignore it too. A handler that ends the tests is not inherited by them.
fn heed_interrupts() {
    static HEEDED: Once = Once::new();
    HEEDED.call_once(|| {
        let always = Arc::new(AtomicBool::new(true));
        signal_hook::flag::register_conditional_shutdown(signal_hook::consts::SIGINT, 130, always)
            .unwrap();
    });
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A process that does not outlive its test.
pub struct Started(pub Child);

impl Started {
    pub fn signal(&self, signal: &str) {
        assert!(
            Command::new("kill")
                .args([signal, &self.0.id().to_string()])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for its end: status (-1: a signal), stdout, stderr.
    pub fn end(mut self) -> (i32, String, String) {
        drop(self.0.stdin.take());
        let read = |pipe: &mut dyn std::io::Read| {
            let mut text = String::new();
            let _ = pipe.read_to_string(&mut text);
            text
        };
        let out = self
            .0
            .stdout
            .take()
            .map_or_else(String::new, |mut pipe| read(&mut pipe));
        let err = self
            .0
            .stderr
            .take()
            .map_or_else(String::new, |mut pipe| read(&mut pipe));
        (self.0.wait().unwrap().code().unwrap_or(-1), out, err)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(2));
    }
}
