//! A directory of the test's own, the program that is started in it, and waiting with a deadline.

pub use crate::common::until;
use prodcon::worker::{Consumer, ConsumerOptions, Producer, ProducerOptions, Program};
use prodcon::{AttachOptions, Control, QueueOptions, ReadyQueue};
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::SystemTime;

/// Gone when the test is, with everything in it.
pub struct Fixture {
    pub dir: PathBuf,
}

impl Fixture {
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let dir = std::env::temp_dir().join(format!(
            "prodcon-workers-{}-{}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        ));
        std::fs::create_dir(&dir).unwrap();
        std::fs::create_dir(dir.join("log")).unwrap();
        Self { dir }
    }

    /// The test program in this role.
    pub fn program(&self, kind: &str) -> Command {
        let mut command = Command::new(example("worker_for_tests"));
        command
            .env("TEST_KIND", kind)
            .env("TEST_LOG", self.dir.join("log"))
            .env("PRODCON_DIR", &self.dir)
            .stderr(
                File::options()
                    .create(true)
                    .append(true)
                    .open(self.dir.join("stderr"))
                    .unwrap(),
            );
        // Whatever this process was started with: a shell has its background jobs ignore SIGINT.
        let signals = || {
            for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGCHLD] {
                // SAFETY: async-signal-safe, and the default action is no function of ours.
                unsafe { libc::signal(signal, libc::SIG_DFL) };
            }
            Ok(())
        };
        // SAFETY: `signals` only makes calls that are async-signal-safe.
        unsafe { command.pre_exec(signals) };
        command
    }

    /// The test program in this role, as a worker with these arguments.
    pub fn worker<A: AsRef<OsStr>>(
        &self,
        kind: &str,
        args: impl IntoIterator<Item = A>,
    ) -> Program {
        Program::from(self.program(kind)).args(args)
    }

    /// An endpoint of a queue in the test's directory.
    pub fn queue(&self, name: &str) -> ReadyQueue<u64> {
        ReadyQueue::attach_with(name, &AttachOptions::new().directory(&self.dir)).unwrap()
    }

    /// A handle to a queue in the test's directory.
    pub fn control(&self, name: &str) -> Control {
        Control::attach_with(name, &AttachOptions::new().directory(&self.dir)).unwrap()
    }

    /// How a queue in the test's directory is made.
    pub fn options(&self, capacity: u32) -> QueueOptions {
        QueueOptions::new(capacity).attach(AttachOptions::new().directory(&self.dir))
    }

    pub fn consumer(&self, name: &str, options: ConsumerOptions) -> Consumer<u64> {
        Consumer::create(name, &options.directory(&self.dir)).unwrap()
    }

    pub fn producer(&self, name: &str, options: ProducerOptions) -> Producer {
        Producer::create(name, &options.directory(&self.dir)).unwrap()
    }

    /// The processes' logs.
    pub fn logs(&self) -> Vec<Log> {
        let files = std::fs::read_dir(self.dir.join("log"))
            .unwrap()
            .map(|file| file.unwrap().path());
        files.map(|path| Log::read(&path)).collect()
    }

    /// The only process's log. It is empty until the process has begun.
    pub fn log(&self) -> Log {
        let mut logs = self.logs();
        assert!(logs.len() <= 1, "{logs:?}");
        logs.pop().unwrap_or_default()
    }

    /// All items that were worked on, sorted.
    pub fn worked(&self) -> Vec<u64> {
        let mut items: Vec<u64> = self
            .logs()
            .iter()
            .flat_map(|log| log.calls.iter().flat_map(|(_, items)| items.clone()))
            .collect();
        items.sort_unstable();
        items
    }

    /// Names of what lies in the directory, the logs apart.
    pub fn left(&self) -> Vec<String> {
        let files = std::fs::read_dir(&self.dir)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap());
        files
            .filter(|name| name != "log" && name != "stderr")
            .collect()
    }

    /// No worker that a test has started is left.
    pub fn assert_nobody_left(&self) {
        until("the end of all processes", || {
            processes_in(&self.dir).is_empty()
        });
        assert_eq!(self.left(), [""; 0], "left behind");
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        for pid in processes_in(&self.dir) {
            // SAFETY: a process that works in this test's directory.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
        if std::thread::panicking() {
            let said = std::fs::read_to_string(self.dir.join("stderr")).unwrap_or_default();
            println!("the processes said: {said}");
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Does it in a thread of its own, with a deadline: a hang fails the test.
pub fn within_a_minute<R: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> R + Send + 'static,
) -> R {
    let thread = std::thread::spawn(work);
    until(what, || thread.is_finished());
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Processes that have one of the directory's segments mapped, other than this one.
pub fn processes_in(dir: &Path) -> Vec<i32> {
    let own = std::process::id() as i32;
    let pids = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let path = format!("{}/prodcon.", dir.display());
    pids.filter(|pid| {
        *pid != own
            && std::fs::read_to_string(format!("/proc/{pid}/maps"))
                .is_ok_and(|maps| maps.contains(&path))
    })
    .collect()
}

/// What one process wrote down.
#[derive(Debug, Clone, Default)]
pub struct Log {
    pub starts: usize,
    /// When, in microseconds since 1970, and what.
    pub calls: Vec<(u64, Vec<u64>)>,
    /// Items that had been delivered before.
    pub again: Vec<u64>,
    pub stops: Vec<u64>,
}

impl Log {
    /// Whole lines only: of a write that goes over the end of a page, a reader may see the first part alone.
    fn read(path: &Path) -> Self {
        let mut log = Self::default();
        let text = std::fs::read_to_string(path).unwrap();
        for line in text
            .split_inclusive('\n')
            .filter_map(|line| line.strip_suffix('\n'))
        {
            let words: Vec<&str> = line.split(' ').collect();
            let numbers: Vec<u64> = words[1..]
                .iter()
                .map(|word| word.parse().unwrap())
                .collect();
            match words[0] {
                "start" => log.starts += 1,
                "work" => log.calls.push((numbers[0], numbers[1..].to_vec())),
                "again" => log.again.push(numbers[0]),
                "stop" => log.stops.push(numbers[0]),
                other => panic!("{other}"),
            }
        }
        log
    }
}

/// What callbacks are called with.
pub type Heard = Arc<Mutex<Vec<String>>>;

pub fn heard(consumer: &mut Consumer<u64>) -> Heard {
    let heard = Heard::default();
    let list = heard.clone();
    consumer
        .on_result_ready(move |result| list.lock().unwrap().push(result.text().unwrap().into()));
    heard
}

pub fn heard_of(producer: &mut Producer) -> Heard {
    let heard = Heard::default();
    let list = heard.clone();
    producer
        .on_result_ready(move |result| list.lock().unwrap().push(result.text().unwrap().into()));
    heard
}

pub fn pid(pids: &[u32]) -> i32 {
    i32::try_from(pids[0]).unwrap()
}

pub fn signal(pid: i32, signal: i32) {
    // SAFETY: a signal to a process of the test's own that is reaped only by the handle that the test holds.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
}

/// The path of an example's program, built if it is not there or older than its sources.
pub fn example(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let dir = BUILT.get_or_init(|| {
        let exe = std::env::current_exe().unwrap();
        let profile = exe.parent().and_then(Path::parent).unwrap().to_path_buf();
        let dir = profile.join("examples");
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let newest = ["src", "examples", "tests/workers"]
            .iter()
            .filter_map(|part| newest(&root.join(part)))
            .max();
        let built = std::fs::metadata(dir.join("worker_for_tests"))
            .and_then(|meta| meta.modified())
            .ok();
        if built < newest {
            let mut cargo = Command::new(option_env!("CARGO").unwrap_or("cargo"));
            cargo
                .args([
                    "build",
                    "--quiet",
                    "-p",
                    "prodcon",
                    "--examples",
                    "--manifest-path",
                ])
                .arg(root.join("Cargo.toml"));
            cargo.arg("--target-dir").arg(profile.parent().unwrap());
            if profile.ends_with("release") {
                cargo.arg("--release");
            }
            if cfg!(feature = "serde") {
                cargo.args(["--features", "serde"]);
            }
            assert!(
                cargo.status().unwrap().success(),
                "the examples do not build"
            );
        }
        dir
    });
    dir.join(name)
}

fn newest(path: &Path) -> Option<SystemTime> {
    if path.is_file() {
        return path.metadata().ok()?.modified().ok();
    }
    std::fs::read_dir(path)
        .ok()?
        .flatten()
        .filter_map(|entry| newest(&entry.path()))
        .max()
}
