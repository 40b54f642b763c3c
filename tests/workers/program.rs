//! The worker that `tests/workers.rs` starts. `TEST_KIND` says whether it is a producer, a consumer or a controlling process, `role=` what is special about it.
//!
//! Every call is written down in `$TEST_LOG/<pid>`, a line each, before it has an effect: `start`, `work <microseconds> items...`, `stop`.

use prodcon::worker::{
    BoxError, Consume, Consumer, ConsumerOptions, Context, Counters, Filled, Produce,
    ProduceInPlace, Producer, ProducerOptions, Program, Restart,
};
use prodcon::{Batch, GetError};
use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

struct Log(File);

impl Log {
    fn open() -> Result<Self, BoxError> {
        let dir = std::env::var("TEST_LOG")?;
        Ok(Self(
            File::options()
                .create(true)
                .append(true)
                .open(format!("{dir}/{}", std::process::id()))?,
        ))
    }

    /// One write, so that a kill leaves no half line.
    fn line(&mut self, line: &str) -> Result<(), BoxError> {
        Ok(self.0.write_all(format!("{line}\n").as_bytes())?)
    }
}

fn now() -> u128 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_micros())
}

fn said<T: std::str::FromStr>(worker: &Context, name: &str, otherwise: T) -> T {
    worker
        .arg(name)
        .and_then(|text| text.parse().ok())
        .unwrap_or(otherwise)
}

fn show(counters: Counters) -> String {
    format!(
        "calls={} items={} put={} not_ready={} full={} late={} unworked={}",
        counters.calls,
        counters.items,
        counters.put,
        counters.not_ready,
        counters.full,
        counters.late,
        counters.unworked
    )
}

/// What both kinds do at certain values.
fn misbehave(worker: &mut Context, value: u64) -> Result<(), BoxError> {
    let hit = |name: &str| said(worker, name, u64::MAX) == value;
    if hit("fail_at") {
        return Err(format!("no more of {value}").into());
    }
    if hit("panic_at") {
        panic!("cannot stand {value}");
    }
    if hit("die_at") {
        // SAFETY: kills this process.
        unsafe { libc::raise(libc::SIGKILL) };
    }
    if hit("hang_at") {
        std::thread::sleep(Duration::from_secs(600));
    }
    if hit("drop_panics_at") {
        std::panic::panic_any(Bomb);
    }
    if hit("bad_error_at") {
        return Err(Box::new(Speechless));
    }
    Ok(())
}

/// A panic's payload that panics once more when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("and once more");
    }
}

/// An error that cannot be printed.
#[derive(Debug)]
struct Speechless;

impl std::fmt::Display for Speechless {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("no words")
    }
}

impl std::error::Error for Speechless {}

/// Starts this program once more, as somebody would by hand, for another queue.
fn start_by_hand(queue: &str) -> Result<(), BoxError> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["--attach", queue, "results=1"])
        .env("TEST_KIND", "consumer");
    command.spawn()?;
    Ok(())
}

struct Taker {
    log: Log,
    sum: u64,
}

impl Consume for Taker {
    type Item = u64;

    fn on_start(worker: &mut Context) -> Result<Self, BoxError> {
        let mut log = Log::open()?;
        log.line("start")?;
        if worker
            .args()
            .iter()
            .any(|argument| argument == "fail_on_start")
        {
            return Err("not today".into());
        }
        if let Some(queue) = worker.arg("start_by_hand") {
            start_by_hand(queue)?;
        }
        Ok(Self { log, sum: 0 })
    }

    fn work(&mut self, items: &Batch<u64>, worker: &mut Context) -> Result<(), BoxError> {
        let list: Vec<String> = items.iter().map(u64::to_string).collect();
        self.log
            .line(&format!("work {} {}", now(), list.join(" ")))?;
        let pause = said(worker, "pause_us", 0);
        if pause > 0 {
            std::thread::sleep(Duration::from_micros(pause));
        }
        for (index, item) in items.iter().enumerate() {
            if said(worker, "hang_first_at", u64::MAX) == *item && items.delivery_count(index) == 1
            {
                std::thread::sleep(Duration::from_secs(600));
            }
            if said(worker, "alive_at", u64::MAX) == *item {
                for _ in 0..said(worker, "alive_ms", 0u64) / 10 {
                    std::thread::sleep(Duration::from_millis(10));
                    worker.keep_alive();
                }
            }
            misbehave(worker, *item)?;
            self.sum = self.sum.wrapping_add(*item);
            if items.delivery_count(index) > 1 {
                self.log.line(&format!("again {item}"))?;
            }
        }
        if worker.arg("results").is_some() {
            worker.send_result(format!("{} {}", items.len(), self.sum))?;
        }
        Ok(())
    }

    fn on_stop(mut self, worker: &mut Context) -> Result<(), BoxError> {
        self.log.line(&format!("stop {}", now()))?;
        if worker.arg("last_results").is_some() {
            (0..said(worker, "last_results", 0))
                .try_for_each(|number: u64| worker.send_result(number.to_string()))?;
        }
        if worker.arg("counters").is_some() {
            worker.send_result(show(worker.counters()))?;
        }
        if worker.arg("on_stop_panics").is_some() {
            panic!("no good end");
        }
        Ok(())
    }
}

/// Items that are larger than a stack of this process may be.
struct Giant;

impl Consume for Giant {
    type Item = [u8; 2 << 20];

    fn on_start(_: &mut Context) -> Result<Self, BoxError> {
        Ok(Self)
    }

    fn work(&mut self, items: &Batch<[u8; 2 << 20]>, worker: &mut Context) -> Result<(), BoxError> {
        for item in items {
            let right = item.iter().all(|byte| *byte == item[0]);
            worker.send_result(format!("{} {right}", item[0]))?;
        }
        Ok(())
    }
}

struct Maker {
    log: Log,
    next: u64,
    seen: Vec<String>,
}

impl Produce for Maker {
    type Item = u64;

    fn on_start(worker: &mut Context) -> Result<Self, BoxError> {
        let mut log = Log::open()?;
        log.line("start")?;
        // No two processes put the same item, whatever their arguments.
        let unique = (now() as u64) << 28;
        let next = if worker.arg("from") == Some("unique") {
            unique
        } else {
            said(worker, "from", 0)
        };
        Ok(Self {
            log,
            next,
            seen: vec![],
        })
    }

    fn work(&mut self, worker: &mut Context) -> Result<Option<u64>, BoxError> {
        let value = self.next;
        if worker.arg("quiet").is_none() {
            self.log.line(&format!("work {} {value}", now()))?;
        }
        misbehave(worker, value)?;
        if let Some(other) = worker.arg("waits_for").map(str::to_owned) {
            let attach = prodcon::AttachOptions::new().cancel(&worker.cancel_token());
            let answer = prodcon::ReadyQueue::<u64>::attach_with(&other, &attach)?.get();
            assert_eq!(answer.unwrap_err().kind(), prodcon::ErrorKind::Cancelled);
            assert!(worker.is_stopped());
            return Ok(None);
        }
        if let Some(size) = worker.arg("result_of") {
            worker.send_result(vec![b'x'; size.parse()?])?;
        }
        if let Some(echo) = worker.arg("echo") {
            let message = if echo == "recv" {
                worker.recv().ok()
            } else {
                worker.try_recv().ok()
            };
            if let Some(message) = message {
                self.seen.push(message.text()?.into());
                worker.send_message(format!("{}: {}", worker.name(), message.text()?))?;
            }
        }
        #[cfg(feature = "serde")]
        if worker.arg("echo_value").is_some() {
            if let Ok(message) = worker.try_recv() {
                let (number, mut list, float): (u8, Vec<Option<&str>>, f64) = message.decode()?;
                let name = worker.name().to_owned();
                list.push(Some(&name));
                worker.send_message(prodcon::worker::encode(&(number + 1, list, float * 2.0))?)?;
            }
        }
        if worker.arg("flood").is_some() {
            worker.send_result(value.to_string())?;
        }
        if said(worker, "close_at", u64::MAX) == value {
            // SAFETY: the log is opened anew, and the library looks whether its descriptors still are its own.
            (3..256).for_each(|number| _ = unsafe { libc::close(number) });
            std::mem::forget(std::mem::replace(&mut self.log, Log::open()?));
        }
        self.next += 1;
        let to = said(worker, "to", u64::MAX);
        if value >= to {
            std::thread::sleep(Duration::from_micros(200));
            return Ok(None);
        }
        Ok(Some(value))
    }

    fn on_stop(mut self, worker: &mut Context) -> Result<(), BoxError> {
        self.log.line(&format!("stop {}", now()))?;
        if worker.arg("counters").is_some() {
            worker.send_result(show(worker.counters()))?;
        }
        Ok(())
    }
}

/// Fills in lines of text, and nothing at each third call.
struct Lines(u64);

impl ProduceInPlace for Lines {
    type Item = [u8];

    fn on_start(_: &mut Context) -> Result<Self, BoxError> {
        Ok(Self(0))
    }

    fn fill(&mut self, line: &mut [u8], worker: &mut Context) -> Result<Filled, BoxError> {
        if worker.arg("claim").is_some() {
            return Ok(Filled::Bytes(said(worker, "claim", 0)));
        }
        let room = said(worker, "room", line.len());
        if room != line.len() {
            return Err(format!("{} bytes, not {room}", line.len()).into());
        }
        let number = self.0;
        if number >= said(worker, "to", u64::MAX) {
            std::thread::sleep(Duration::from_micros(200));
            return Ok(Filled::Nothing);
        }
        self.0 += 1;
        if number % 3 == 2 {
            return Ok(Filled::Nothing);
        }
        let text = format!("line {number}{}", ".".repeat(number as usize % 7));
        line[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Filled::Bytes(text.len()))
    }

    fn on_stop(self, worker: &mut Context) -> Result<(), BoxError> {
        if worker.args().iter().any(|arg| arg == "counters") {
            worker.send_result(show(worker.counters()))?;
        }
        Ok(())
    }
}

/// Fills in frames that are larger than a stack may be.
struct Frames(u8);

impl ProduceInPlace for Frames {
    type Item = [u8; 2 << 20];

    fn on_start(_: &mut Context) -> Result<Self, BoxError> {
        Ok(Self(0))
    }

    fn fill(&mut self, frame: &mut Self::Item, worker: &mut Context) -> Result<Filled, BoxError> {
        if worker.arg("claim").is_some() {
            return Ok(Filled::Bytes(said(worker, "claim", 0)));
        }
        if self.0 >= said(worker, "to", u8::MAX) {
            std::thread::sleep(Duration::from_micros(200));
            return Ok(Filled::Nothing);
        }
        frame.fill(self.0);
        self.0 += 1;
        Ok(Filled::Item)
    }
}

/// A controlling process: `TEST_CONTROLS` is `producer NAME SUBSCRIBER`, or `consumer NAME WORKERS`; arguments go to the worker. It ends when its stdin does.
fn control() -> Result<(), BoxError> {
    let text = std::env::var("TEST_CONTROLS")?;
    let words: Vec<&str> = text.split(' ').collect();
    let program = Program::new(std::env::current_exe()?)
        .env("TEST_KIND", words[0])
        .args(std::env::args().skip(1));
    let restart = Restart::OnFailure {
        limit: 1_000_000,
        backoff: Duration::from_millis(1),
    };
    if words[0] == "without_descriptors" {
        return without_descriptors(words[1]);
    }
    let wait = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    let started = || {
        if std::env::var_os("TEST_HIDES_ENDS").is_some() {
            // SAFETY: SIG_IGN is no function of ours.
            unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
        }
        println!("started");
    };
    match words[0] {
        "producer" => {
            let options = ProducerOptions::new()
                .subscribers([words[2]])
                .restart(restart)
                .work_timeout(Duration::from_micros(100));
            let mut handle = Producer::create_or_attach(words[1], &options)?;
            handle.start_new(program)?;
            started();
            wait()?;
            let _ended = handle.stop()?; // its workers may have been killed
        }
        _ => {
            let options = ConsumerOptions::new()
                .processes(words[2].parse()?)
                .restart(restart)
                .max_buffer_size(8)
                .work_timeout(Duration::from_millis(5));
            let mut handle = if words.get(3) == Some(&"create") {
                Consumer::<u64>::create(words[1], &options)?
            } else {
                Consumer::<u64>::attach(words[1], &options)?
            };
            handle.start_new(program)?;
            started();
            wait()?;
            handle.set_stop_at_queue_end()?;
            handle.wait()?.into_result()?;
        }
    }
    Ok(())
}

/// Starts a worker while no descriptor is left, at several numbers of them, and then once more.
fn without_descriptors(name: &str) -> Result<(), BoxError> {
    let mut limit = libc::rlimit {
        rlim_cur: 64,
        rlim_max: 64,
    };
    // SAFETY: a valid structure.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    let program = || {
        let mut command = Command::new("/proc/self/exe");
        command.env("TEST_KIND", "consumer");
        // SAFETY: it does nothing. With it the start of a process needs a pipe.
        unsafe { command.pre_exec(|| Ok(())) };
        Program::from(command).arg("results=1")
    };
    let mut handle = Consumer::<u64>::create(name, &ConsumerOptions::new())?;
    let (send, results) = std::sync::mpsc::channel();
    handle.on_result_ready(move |result| {
        let _ = send.send(result.text().map(str::to_owned));
    });
    let mut failures = 0;
    for left in 0..12 {
        let mut files: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        files.truncate(files.len() - left);
        let started = handle.start_new(program());
        drop(files);
        failures += u32::from(started.is_err());
        if started.is_err() {
            let threads = std::fs::read_dir("/proc/self/task")?.count();
            if threads != 1 {
                return Err(format!("{left} left: {threads} threads, after {started:?}").into());
            }
            handle.start_new(program())?;
        }
        handle.put_in_queue(&1)?;
        if results.recv_timeout(Duration::from_secs(30))?? != "1 1" {
            return Err("another result".into());
        }
        handle.stop()?.into_result()?;
    }
    drop(handle);
    if failures == 0 {
        return Err("no start has failed".into());
    }
    println!("{failures} starts failed");
    Ok(())
}

/// A worker without the traits: answers messages, and fails when it is told to.
fn own_loop() -> prodcon::Result<ExitCode> {
    let mut worker = Context::attach(
        &std::env::args().nth(2).unwrap_or_default(),
        std::env::args().skip(3),
    )?;
    let outcome = answer(&mut worker);
    Ok(worker.finish(outcome))
}

fn answer(worker: &mut Context) -> Result<(), BoxError> {
    loop {
        match worker.recv() {
            Ok(message) if message.bytes() == b"fail" => return Err("as it was told".into()),
            Ok(message) => worker.send_message(format!(
                "{} {}",
                worker.arg("prefix").unwrap_or("?"),
                message.text()?
            ))?,
            Err(GetError::Stopped) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

fn main() -> ExitCode {
    match std::env::var("TEST_KIND").as_deref() {
        Ok("consumer") => Taker::main(),
        Ok("producer") => Maker::main(),
        Ok("own_loop") => own_loop().unwrap_or_else(|error| {
            eprintln!("{error}");
            ExitCode::FAILURE
        }),
        Ok("giant") => Giant::main(),
        Ok("lines") => Lines::main(),
        Ok("frames") => Frames::main(),
        Ok("controller") => control().map_or_else(
            |failure| {
                eprintln!("{failure}");
                ExitCode::FAILURE
            },
            |()| ExitCode::SUCCESS,
        ),
        _ => {
            println!("this is a part of prodcon's tests: tests/workers.rs starts it");
            ExitCode::SUCCESS
        }
    }
}
