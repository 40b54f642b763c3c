//! What the tests share: a directory with queues, journals and servers of its own; bridges whose
//! words are kept; waits with a deadline.

#![allow(dead_code)] // each test program uses a part of it

#[path = "../../src/nats.rs"]
pub mod nats;

use nats::{Guarded, Server};
use prodcon::{AttachOptions, GetError, Item, Payload, QueueOptions, ReadyQueue};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const BRIDGE: &str = env!("CARGO_BIN_EXE_prodcon-bridge");
/// The longest time that a test waits for one thing.
const STEP_TIMEOUT: Duration = Duration::from_secs(60);

/// Returns whether there is a server to test with, and says so if not.
pub fn can_run() -> bool {
    match nats::find() {
        Ok(_) => true,
        Err(error) => {
            skipped(&format!("{error:#}"));
            false
        }
    }
}

/// Says that a check cannot run, past the capture of what tests print.
pub fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

pub fn launcher() -> &'static Path {
    Path::new(BRIDGE)
}

/// A directory, removed with all that is in it.
pub struct Dir(pub PathBuf);

impl Dir {
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!(
            "prodcon-{}-{}-{number}",
            env!("CARGO_CRATE_NAME"),
            std::process::id()
        ));
        std::fs::create_dir(&dir).unwrap();
        Self(dir)
    }

    pub fn server(&self) -> Server {
        self.server_with("")
    }

    pub fn server_with(&self, more: &str) -> Server {
        Server::start(launcher(), &self.0, more).unwrap()
    }

    pub fn options(&self, capacity: u32) -> QueueOptions {
        QueueOptions::new(capacity)
            .at_least_once(true)
            .attach(AttachOptions::new().directory(&self.0))
    }

    pub fn queue<T: Payload + ?Sized>(&self, name: &str, options: &QueueOptions) -> ReadyQueue<T> {
        ReadyQueue::create(name, options).unwrap()
    }

    /// Two queues of numbers, `near` and `far`.
    pub fn two<T: Item>(&self) -> (ReadyQueue<T>, ReadyQueue<T>) {
        (
            self.queue("near", &self.options(1024)),
            self.queue("far", &self.options(1024)),
        )
    }

    /// A bridge with these arguments.
    pub fn bridge(&self, arguments: &[&str]) -> Bridge {
        self.start(&[], arguments)
    }

    /// A bridge in a network namespace.
    pub fn bridge_in(&self, namespace: &str, arguments: &[&str]) -> Bridge {
        self.start(&["ip", "netns", "exec", namespace], arguments)
    }

    /// A bridge that a shell starts with SIGINT ignored.
    pub fn bridge_in_background(&self, arguments: &[&str]) -> Bridge {
        self.start(&["sh", "-c", r#"trap '' INT; exec "$@""#, "sh"], arguments)
    }

    fn start(&self, before: &[&str], arguments: &[&str]) -> Bridge {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let said = self.0.join(format!("said-{number}"));
        let mut command = Command::new("sh");
        command.args(["-c", r#"exec "$@" 2>"$SAID""#, "sh"]);
        command.args(before).arg(BRIDGE).args(arguments);
        command.env("SAID", &said).env("PRODCON_DIR", &self.0);
        command
            .env("STATE_DIRECTORY", &self.0)
            .env("RUST_BACKTRACE", "0");
        Bridge {
            running: Guarded::start(launcher(), &mut command).unwrap(),
            said,
        }
    }

    pub fn out(&self, server: &Server, more: &[&str]) -> Bridge {
        let url = server.url();
        self.bridge(&[&["out", "near", "--to", &url, "--stream", "s"], more].concat())
    }

    pub fn inward(&self, server: &Server, more: &[&str]) -> Bridge {
        let url = server.url();
        let first = [
            "in",
            "far",
            "--from",
            &url,
            "--stream",
            "s",
            "--ack-wait",
            "1s",
        ];
        self.bridge(&[&first, more].concat())
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A bridge that runs, or ran.
pub struct Bridge {
    pub running: Guarded,
    said: PathBuf,
}

impl Bridge {
    /// What it has said so far.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap_or_default()
    }

    /// Waits until it says this.
    pub fn says(&self, text: &str) {
        until(&format!("{text:?} in {:?}", self.said), || {
            self.said().contains(text)
        });
    }

    /// Waits until it ends, and returns its status.
    pub fn ends(&mut self) -> i32 {
        let until = Instant::now() + STEP_TIMEOUT;
        loop {
            if let Some(status) = self.running.0.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(Instant::now() < until, "it does not end: {}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until it ends without success, having said this.
    pub fn fails(&mut self, text: &str) {
        let status = self.ends();
        let said = self.said();
        assert!(
            status == 1 && said.contains(text),
            "status {status}, expected {text:?}: {said}"
        );
    }

    pub fn kill(&mut self) {
        self.running.kill();
    }

    pub fn signal(&self, signal: &str) {
        let pid = self.running.0.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status();
        assert!(sent.unwrap().success());
    }

    pub fn terminate(&mut self) -> i32 {
        self.signal("-TERM");
        self.ends()
    }
}

/// Waits for it, for a minute at most.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + STEP_TIMEOUT;
    while !done() {
        assert!(
            Instant::now() < deadline,
            "{what} did not happen within a minute"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Gets this many items; fails if one does not come within a minute.
pub fn get<T: Payload + ?Sized>(queue: &mut ReadyQueue<T>, count: usize) -> Vec<T::Owned>
where
    T::Owned: Sized,
{
    let deadline = Instant::now() + STEP_TIMEOUT;
    let mut out = vec![];
    while out.len() < count {
        let delivery = queue.until(deadline).get();
        match delivery {
            Ok(item) => out.push(item),
            Err(error) => panic!("{error} after {} of {count} items", out.len()),
        }
    }
    out
}

/// Fails if an item comes within a moment.
pub fn nothing<T: Payload + ?Sized>(queue: &mut ReadyQueue<T>) {
    let got = queue.within(Duration::from_millis(300)).get();
    assert!(matches!(got, Err(GetError::TimedOut)), "an item came");
}
