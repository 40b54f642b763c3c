//! The two systems that are no crates: Python's `multiprocessing.Queue` and boost's `message_queue`. Where the interpreter, the compiler or the headers are missing, that
//! is said; it is never passed over.

use super::board::{Board, Ledger, MARKS, Producer, offsets};
use super::part::Role;
use super::random::{self, Cast, Outturn};
use crate::Outcome;
use crate::place::Place;
use crate::processes::{ProcessGroup, check_signals, start};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SCRIPT: &str = include_str!("../../foreign/queue_kill.py");
const PROGRAM: &str = include_str!("../../foreign/queue.cpp");
const CAPACITY: u32 = 1024;

#[derive(Deserialize)]
struct Report {
    killed_producers: u32,
    killed_consumers: u32,
    paused: u32,
    standstill: f64,
    wedged_after: Option<u32>,
    put: u64,
    lost: u64,
    twice: u64,
    corrupt: u64,
    gave_up: u32,
    stuck: u32,
}

/// Whether a program can be started at all.
fn there(program: &str) -> bool {
    let mut command = Command::new(program);
    command
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Python's queue. The inner error: why it was skipped.
///
/// # Errors
/// A signal came; the script failed.
pub fn python(place: &Place, seconds: f64, seed: u64) -> Outcome<Result<Outturn, String>> {
    if !there("python3") {
        return Ok(Err("python3 is not here".into()));
    }
    place.scrub()?;
    let (script, answer) = (
        place.dir().join("queue_kill.py"),
        place.dir().join("answer"),
    );
    std::fs::write(&script, SCRIPT)?;
    let mut command = Command::new("python3");
    command
        .arg(&script)
        .arg(seconds.to_string())
        .arg(seed.to_string())
        .stdout(std::fs::File::create(&answer)?);
    let mut group = ProcessGroup(vec![start(command)?]);
    let deadline = Instant::now() + Duration::from_secs_f64(seconds + 60.0);
    while group.alive() > 0 {
        check_signals()?;
        if Instant::now() > deadline {
            return Err("the Python script did not end".into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let report: Report = serde_json::from_str(&std::fs::read_to_string(&answer)?)
        .map_err(|error| format!("the Python script failed: {error}"))?;
    let mut outturn = Outturn {
        killed_producers: report.killed_producers,
        killed_consumers: report.killed_consumers,
        paused: report.paused,
        standstill: Duration::from_secs_f64(report.standstill),
        wedged_after: report.wedged_after,
        gave_up: report.gave_up,
        stuck: report.stuck,
        ..Outturn::default()
    };
    (outturn.account.put, outturn.account.lost) = (report.put, report.lost);
    (outturn.account.twice, outturn.account.corrupt) = (report.twice, report.corrupt);
    Ok(Ok(outturn))
}

/// boost's queue. The inner error: why it was skipped.
///
/// # Errors
/// A signal came; the system refuses files or processes.
pub fn boost(place: &Place, seconds: f64, seed: u64) -> Outcome<Result<Outturn, String>> {
    if !there("g++") {
        return Ok(Err("g++ is not here".into()));
    }
    place.scrub()?;
    let program = match compile(place)? {
        Ok(program) => program,
        Err(why) => return Ok(Err(why)),
    };
    let path = place.dir().join("board");
    let board = Ledger::create(&path)?;
    let name = format!("{}-boost", place.prefix());
    let made = Command::new(&program)
        .args(["make", &name, &CAPACITY.to_string()])
        .status()?;
    if !made.success() {
        return Err("boost's queue was not made".into());
    }
    let command = |role, slot: usize| {
        let mut command = Command::new(&program);
        command.args([
            if role == Role::Put { "put" } else { "get" },
            &name,
            &CAPACITY.to_string(),
        ]);
        command
            .arg(&path)
            .arg(size_of::<Board>().to_string())
            .arg(slot.to_string());
        command.args(offsets(slot).map(|offset| offset.to_string()));
        command.args([MARKS, size_of::<Producer>()].map(|size| size.to_string()));
        Ok(command)
    };
    let outturn = random::run(
        &board,
        &Cast {
            command: Box::new(command),
        },
        seconds,
        seed,
    );
    place.scrub()?;
    outturn.map(Ok)
}

fn compile(place: &Place) -> Outcome<Result<PathBuf, String>> {
    let (source, program) = (
        place.dir().join("queue.cpp"),
        std::env::current_exe()?.with_file_name("rivals-boost-queue"),
    );
    std::fs::write(&source, PROGRAM)?;
    let compiler = |arguments: &[&str], from: &Path, to: &Path| {
        Command::new("g++")
            .args(arguments)
            .arg(from)
            .arg("-o")
            .arg(to)
            .stderr(Stdio::piped())
            .output()
    };
    let test = place.dir().join("header.cpp");
    std::fs::write(
        &test,
        "#include <boost/interprocess/ipc/message_queue.hpp>\n",
    )?;
    if !compiler(&["-std=c++17", "-E"], &test, Path::new("/dev/null"))?
        .status
        .success()
    {
        return Ok(Err("the headers of boost::interprocess are not here".into()));
    }
    let done = compiler(&["-std=c++17", "-O2", "-pthread"], &source, &program)?;
    if done.status.success() {
        Ok(Ok(program))
    } else {
        Err(format!(
            "boost's part does not compile:\n{}",
            String::from_utf8_lossy(&done.stderr)
        )
        .into())
    }
}
