//! put and get of 8 bytes through C and through Rust, in turn, in one run:
//! `cargo run --release -p prodcon-ffi --example bench [ROUNDS]`.
//!
//! Both sides do the same on queues that were made alike (one endpoint, capacity 1024, an item in,
//! an item out): one of a plain type of 8 bytes, and one of bytes. They are processes that take
//! turns every millisecond or so, so that whatever else the machine does falls on all of them. CPU
//! time is measured. Rust is `ReadyQueue<u64>` and `ReadyQueue<[u8]>`. C is `c/bench.c`, compiled
//! with `cc -O2` against the shared library. Prints medians of the rounds and the medians of their
//! ratios.

use rust::{AttachOptions, QueueOptions, ReadyQueue};
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

const PAIRS: u64 = 20_000;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Removed at the end, whatever the end is.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The program in C on one queue. It is killed at the end, if it has not ended.
struct Partner {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Partner {
    fn start(program: &Path, libraries: &Path, directory: &Path, queue: &str) -> Result<Self> {
        let mut child = Command::new(program)
            .arg(queue)
            .env("PRODCON_DIR", directory)
            .env("LD_LIBRARY_PATH", libraries)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (to, from) = (child.stdin.take(), child.stdout.take());
        Ok(Self {
            child,
            to: to.ok_or("no stdin")?,
            from: BufReader::new(from.ok_or("no stdout")?),
        })
    }

    fn pairs(&mut self) -> Result<f64> {
        writeln!(self.to, "{PAIRS}")?;
        let mut line = String::new();
        self.from.read_line(&mut line)?;
        let time: f64 = line.trim().parse().map_err(|_| "the C program ended")?;
        Ok(time / PAIRS as f64)
    }
}

impl Drop for Partner {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// CPU time of this thread: what other programs take away does not count, on either side.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

#[inline(never)]
fn pairs(queue: &mut ReadyQueue<u64>, next: &mut u64) -> Result<f64> {
    let began = cpu_time();
    for _ in 0..PAIRS {
        queue.put(next)?;
        let got = queue.get()?;
        assert_eq!(black_box(got), *next, "another item came out than went in");
        *next += 1;
    }
    Ok((cpu_time() - began).as_nanos() as f64 / PAIRS as f64)
}

#[inline(never)]
fn pairs_of_bytes(queue: &mut ReadyQueue<[u8]>, next: &mut u64) -> Result<f64> {
    let began = cpu_time();
    for _ in 0..PAIRS {
        queue.put(&next.to_ne_bytes())?;
        let item = queue.take()?;
        let got = u64::from_ne_bytes((*item).try_into()?);
        item.ack();
        assert_eq!(black_box(got), *next, "another item came out than went in");
        *next += 1;
    }
    Ok((cpu_time() - began).as_nanos() as f64 / PAIRS as f64)
}

fn main() -> Result<()> {
    let rounds: usize = std::env::args()
        .nth(1)
        .map_or(Ok(1001), |text| text.parse())?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // target/release/examples/bench: the library is beside the directory.
    let own = std::env::current_exe()?;
    let libraries = own
        .ancestors()
        .nth(2)
        .ok_or("the program is not in a target directory")?;
    let build = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
        .args(["build", "--release", "-p", "prodcon-ffi"])
        .current_dir(root)
        .status()?;
    if !build.success() {
        return Err("the library could not be built".into());
    }
    let scratch =
        Scratch(std::env::temp_dir().join(format!("prodcon-c-bench-{}", std::process::id())));
    std::fs::create_dir(&scratch.0)?;
    let program = scratch.0.join("bench");
    let compiled = Command::new("cc")
        .args(["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(root.join("include"))
        .arg(root.join("c/bench.c"))
        .arg("-L")
        .arg(libraries)
        .args(["-lprodcon", "-o"])
        .arg(&program)
        .status()?;
    if !compiled.success() {
        return Err("cc could not compile c/bench.c".into());
    }

    let options = QueueOptions::new(1024)
        .item_size(8)
        .attach(AttachOptions::new().directory(&scratch.0));
    drop(ReadyQueue::<u64>::create("c-typed", &options)?);
    drop(ReadyQueue::<[u8]>::create("c-bytes", &options)?);
    let mut queue = ReadyQueue::<u64>::create("rust", &options)?;
    let mut bytes = ReadyQueue::<[u8]>::create("bytes", &options)?;
    let start = |queue| Partner::start(&program, libraries, &scratch.0, queue);
    let (mut c_typed, mut c_bytes) = (start("c-typed")?, start("c-bytes")?);
    let (mut next, mut next_bytes) = (0, 0);
    let mut figures: [Vec<f64>; 4] = Default::default();
    for round in 0..=rounds {
        // The one that comes first changes from round to round.
        for turn in 0..4 {
            let who = (round + turn) % 4;
            let ns = match who {
                0 => c_typed.pairs()?,
                1 => pairs(&mut queue, &mut next)?,
                2 => c_bytes.pairs()?,
                _ => pairs_of_bytes(&mut bytes, &mut next_bytes)?,
            };
            if round > 0 {
                figures[who].push(ns); // the first round warms up
            }
        }
    }
    println!(
        "8-byte put+get, one endpoint, CPU time, medians of {rounds} alternating rounds of {PAIRS} \
         pairs; fastest round in brackets"
    );
    let fastest = |values: &[f64]| values.iter().copied().fold(f64::MAX, f64::min);
    let [c_typed, typed, c_bytes, bytes] = &figures;
    for (what, c, rust) in [("u64", c_typed, typed), ("bytes", c_bytes, bytes)] {
        for (language, figures) in [("C", c), ("Rust", rust)] {
            println!(
                "queue of {what:5} {language:4} {:6.1} ns [{:.1}]",
                median(figures.clone()),
                fastest(figures)
            );
        }
    }
    for (what, c, rust) in [
        ("C / Rust, queues of u64", c_typed, typed),
        ("C / Rust, queues of bytes", c_bytes, bytes),
        ("C with bytes / Rust with u64", c_bytes, typed),
    ] {
        let ratios = c.iter().zip(rust).map(|(c, rust)| c / rust).collect();
        println!("{what}: median of rounds {:.3}", median(ratios));
    }
    Ok(())
}
