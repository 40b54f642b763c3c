//! put and get of 8 bytes through C and through Rust, in turn, in one run: `cargo run --release -p prodcon-ffi --example bench [ROUNDS]`.
//!
//! Both sides do the same on queues that were made alike (one endpoint, capacity 1024, an item in, an item out), in two processes that take turns every millisecond or so, so that
//! whatever else the machine does falls on both; what is measured is CPU time. Rust is `ReadyQueue<u64>`; C is `c/bench.c`, compiled with `cc -O2` against the shared library. Prints medians of the rounds and the median of their ratios.

use rust::{AttachOptions, QueueOptions, ReadyQueue};
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
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

/// Killed at the end, if it has not ended.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
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
    drop(ReadyQueue::<[u8]>::create("c", &options)?);
    let mut queue = ReadyQueue::<u64>::create("rust", &options)?;
    let mut bytes = ReadyQueue::<[u8]>::create("bytes", &options)?;
    let mut child = Killed(
        Command::new(&program)
            .arg("c")
            .env("PRODCON_DIR", &scratch.0)
            .env("LD_LIBRARY_PATH", libraries)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?,
    );
    let mut to = child.0.stdin.take().ok_or("no stdin")?;
    let mut from = BufReader::new(child.0.stdout.take().ok_or("no stdout")?);
    let mut in_c = || -> Result<f64> {
        writeln!(to, "{PAIRS}")?;
        let mut line = String::new();
        from.read_line(&mut line)?;
        Ok(line
            .trim()
            .parse::<f64>()
            .map_err(|_| "the C program ended")?
            / PAIRS as f64)
    };
    let (mut next, mut next_bytes) = (0, 0);
    let mut figures: [Vec<f64>; 3] = Default::default();
    for round in 0..=rounds {
        // The one that comes first changes from round to round.
        for turn in 0..3 {
            let who = (round + turn) % 3;
            let ns = match who {
                0 => in_c()?,
                1 => pairs(&mut queue, &mut next)?,
                _ => pairs_of_bytes(&mut bytes, &mut next_bytes)?,
            };
            if round > 0 {
                figures[who].push(ns); // the first round warms up
            }
        }
    }
    println!(
        "8-byte put+get, one endpoint, CPU time, medians of {rounds} alternating rounds of {PAIRS} pairs; fastest round in brackets"
    );
    let fastest = |values: &[f64]| values.iter().copied().fold(f64::MAX, f64::min);
    let c = median(figures[0].clone());
    println!(
        "C                     {c:6.1} ns [{:.1}]",
        fastest(&figures[0])
    );
    for (name, rust) in [
        ("Rust, queue of u64", &figures[1]),
        ("Rust, queue of bytes", &figures[2]),
    ] {
        let ratios = figures[0]
            .iter()
            .zip(rust)
            .map(|(c, rust)| c / rust)
            .collect();
        println!(
            "{name:21} {:6.1} ns [{:.1}]   C / Rust: median of rounds {:.3}",
            median(rust.clone()),
            fastest(rust),
            median(ratios)
        );
    }
    Ok(())
}
