//! The processes of one queue: starts, kills, stops and freezes them, and reads their reports.
//!
//! Owns the children and their pipes. It decides nothing. Invariant: when it is dropped, no child
//! of it is left.

use super::ledger::Receipt;
use super::worker::{Bug, Role};
use crate::child;
use crate::exit::{End, Outcome};
use clap::ValueEnum;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long a process may take to stop or to end before that counts as a failure.
const SIGNAL_TIMEOUT: Duration = Duration::from_secs(60);

pub struct Member {
    child: Child,
    pub role: Role,
    pub number: u64,
    /// Stopped until then, by a pause.
    pub resumes: Option<Instant>,
    /// What a consumer reports; `None` once it has ended.
    pipe: Option<File>,
    /// The bytes of an item not yet complete.
    rest: Vec<u8>,
}

impl Member {
    fn start(role: Role, number: u64, processes: &QueueProcesses) -> Result<Self, End> {
        let role_name = role
            .to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned());
        let mut command = child::command([
            "soak-worker",
            &role_name,
            &number.to_string(),
            &processes.queue,
        ])?;
        if processes.batch > 1 {
            command.arg(format!("--batch={}", processes.batch));
        }
        if processes.keeps {
            command.arg("--keeps");
        }
        if let Some(value) = processes.plant.and_then(|bug| bug.to_possible_value()) {
            command.args(["--plant", value.get_name()]);
        }
        // A group of its own: Ctrl-C is for us, and we end the others.
        command.stdin(Stdio::null()).process_group(0);
        command.stdout(if role == Role::Get {
            Stdio::piped()
        } else {
            Stdio::null()
        });
        let mut child = child::spawn(&mut command)?;
        let pipe = child
            .stdout
            .take()
            .map(|pipe| File::from(OwnedFd::from(pipe)));
        if let Some(pipe) = &pipe {
            fcntl_getfl(pipe)
                .and_then(|flags| fcntl_setfl(pipe, flags | OFlags::NONBLOCK))
                .map_err(|errno| {
                    End::failed(format!("cannot read a pipe without waiting: {errno}"))
                })?;
        }
        Ok(Self {
            child,
            role,
            number,
            resumes: None,
            pipe,
            rest: vec![],
        })
    }

    fn signal(&self, signal: Signal) -> Outcome {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).map_err(|errno| {
            End::failed(format!(
                "cannot send a signal to process {}: {errno}",
                self.child.id()
            ))
        })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns when it stands still after a SIGSTOP, or has ended.
    fn wait_stopped(&self, deadline: Instant) -> Outcome {
        while !matches!(self.state(), 'T' | 'Z' | 'X') {
            if Instant::now() > deadline {
                return Err(End::failed(format!(
                    "process {} does not stop",
                    self.child.id()
                )));
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(())
    }

    /// As the kernel sees it: `T` stopped, `Z` ended, `R`, `S` and so on.
    fn state(&self) -> char {
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        let state = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.trim_start().chars().next());
        state.unwrap_or('Z')
    }

    /// Reads what there is. Returns false if there was nothing.
    fn hear(&mut self, buffer: &mut [u8], note: &mut impl FnMut(Receipt)) -> Result<bool, End> {
        let Some(pipe) = &mut self.pipe else {
            return Ok(false);
        };
        match pipe.read(buffer) {
            Ok(0) => {
                self.pipe = None;
                if !self.rest.is_empty() {
                    return Err(End::failed(
                        "a consumer's report ends in the middle of an item",
                    ));
                }
                Ok(false)
            }
            Ok(len) => {
                let fresh = &buffer[..len];
                // Writes are whole; a read may still end anywhere.
                let need = (Receipt::BYTES - self.rest.len()) % Receipt::BYTES;
                let (first, others) = fresh.split_at(need.min(len));
                self.rest.extend_from_slice(first);
                if self.rest.len() == Receipt::BYTES {
                    Receipt::unpack(&self.rest).into_iter().for_each(&mut *note);
                    self.rest.clear();
                }
                let pieces = others.chunks_exact(Receipt::BYTES);
                self.rest.extend_from_slice(pieces.remainder());
                pieces.filter_map(Receipt::unpack).for_each(note);
                Ok(true)
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                Ok(false)
            }
            Err(error) => Err(End::failed(format!(
                "cannot read a consumer's pipe: {error}"
            ))),
        }
    }
}

/// All processes of one queue.
pub struct QueueProcesses {
    queue: String,
    batch: u32,
    /// Consumers give nothing back.
    keeps: bool,
    plant: Option<Bug>,
    pub members: Vec<Member>,
    buffer: Vec<u8>,
}

impl QueueProcesses {
    pub fn new(queue: &str, batch: u32, keeps: bool, plant: Option<Bug>) -> Self {
        Self {
            queue: queue.into(),
            batch,
            keeps,
            plant,
            members: vec![],
            buffer: vec![0; 1 << 16],
        }
    }

    /// Starts one more process, with this number.
    pub fn start(&mut self, role: Role, number: u64) -> Outcome {
        let member = Member::start(role, number, self)?;
        self.members.push(member);
        Ok(())
    }

    /// Sends SIGKILL and reads everything that the process reported. The place is free afterwards.
    /// Returns when the kernel had released all that the process had, its locks too.
    pub fn kill(&mut self, place: usize, mut note: impl FnMut(Receipt)) -> Result<Instant, End> {
        let mut member = self.members.remove(place);
        let ended = member.child.kill().and_then(|()| member.child.wait());
        ended.map_err(|error| {
            End::failed(format!(
                "cannot kill process {}: {error}",
                member.child.id()
            ))
        })?;
        let released = Instant::now();
        while member.hear(&mut self.buffer, &mut note)? {}
        Ok(released)
    }

    /// Sends SIGSTOP and returns when the process stands still.
    pub fn stop(&self, place: usize) -> Outcome {
        self.members[place].signal(Signal::STOP)?;
        self.members[place].wait_stopped(Instant::now() + SIGNAL_TIMEOUT)
    }

    /// SIGCONT.
    pub fn go_on(&self, place: usize) -> Outcome {
        self.members[place].signal(Signal::CONT)
    }

    /// SIGSTOP until then.
    pub fn pause(&mut self, place: usize, until: Instant) -> Outcome {
        self.members[place].resumes = Some(until);
        self.members[place].signal(Signal::STOP)
    }

    /// SIGCONT to those whose time has come.
    pub fn resume(&mut self, now: Instant) -> Outcome {
        for member in self
            .members
            .iter_mut()
            .filter(|member| member.resumes.is_some_and(|at| at <= now))
        {
            member.resumes = None;
            member.signal(Signal::CONT)?;
        }
        Ok(())
    }

    /// Stops all processes, and returns when they stand still.
    pub fn freeze(&self) -> Outcome {
        let deadline = Instant::now() + SIGNAL_TIMEOUT;
        for member in &self.members {
            member.signal(Signal::STOP)?;
        }
        self.members
            .iter()
            .try_for_each(|member| member.wait_stopped(deadline))
    }

    /// Lets all processes go on that are not paused.
    pub fn thaw(&self) -> Outcome {
        self.members
            .iter()
            .filter(|member| member.resumes.is_none())
            .try_for_each(|member| member.signal(Signal::CONT))
    }

    /// Reads one pipe after the other, a buffer of each. Returns false if nothing was in any.
    pub fn hear(&mut self, mut note: impl FnMut(Receipt)) -> Result<bool, End> {
        let mut heard = false;
        for member in &mut self.members {
            heard |= member.hear(&mut self.buffer, &mut note)?;
        }
        Ok(heard)
    }

    /// Waits until a process reports something, for at most `longest`.
    pub fn wait(&self, longest: Duration) {
        let pipes = self
            .members
            .iter()
            .filter_map(|member| member.pipe.as_ref());
        let mut fds: Vec<PollFd<'_>> = pipes.map(|pipe| PollFd::new(pipe, PollFlags::IN)).collect();
        let longest = Timespec {
            tv_sec: i64::try_from(longest.as_secs()).unwrap_or(1),
            tv_nsec: i64::from(longest.subsec_nanos()),
        };
        let _ = poll(&mut fds, Some(&longest)); // whatever came: the caller looks
    }

    /// Takes out one that ended by itself.
    pub fn ended(&mut self) -> Option<(Member, ExitStatus)> {
        let found = self
            .members
            .iter_mut()
            .enumerate()
            .find_map(|(place, member)| {
                let status = member.child.try_wait().ok().flatten()?;
                Some((place, status))
            });
        found.map(|(place, status)| (self.members.remove(place), status))
    }

    /// The last words of one that ended.
    pub fn hear_out(&mut self, member: &mut Member, mut note: impl FnMut(Receipt)) -> Outcome {
        while member.hear(&mut self.buffer, &mut note)? {}
        Ok(())
    }
}

impl Drop for QueueProcesses {
    fn drop(&mut self) {
        for member in &mut self.members {
            let _ = member.child.kill();
            let _ = member.child.wait();
        }
    }
}
