//! Random kills: four producers and four consumers, and for some seconds one of them after the other is killed and replaced, or stopped for a while.

use super::board::{Account, Ledger, MAX_ITEMS, SLOTS};
use super::part::{Job, Role};
use crate::processes::{self, ProcessGroup};
use crate::{Outcome, cpu};
use std::process::{Child, Command};
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::time::{Duration, Instant};

/// How long nothing may move before it counts as forever.
pub const FOR_EVER: Duration = Duration::from_secs(3);
/// How long nothing moves before no more kills are added to it.
const TOO_LONG: Duration = Duration::from_millis(40);

/// What happened.
#[derive(Debug, Default)]
pub struct Outturn {
    pub killed_producers: u32,
    pub killed_consumers: u32,
    pub paused: u32,
    /// Longest time in which nobody got anything.
    pub standstill: Duration,
    /// Kills after which nothing moved any more.
    pub wedged_after: Option<u32>,
    pub account: Account,
    /// Processes that ended by themselves, and what the first of them said.
    pub gave_up: u32,
    /// Producers that did not come back from their last put.
    pub stuck: u32,
    pub slow_puts: u64,
    /// What the queue's own accounts say, where it keeps any.
    pub books: Option<String>,
}

/// Starts the processes of one system.
pub struct Cast<'a> {
    /// The command for one role and slot.
    pub command: Box<dyn Fn(Role, usize) -> Outcome<Command> + 'a>,
}

/// The command that plays a part of a system that is a crate.
pub fn own(job: &Job) -> Outcome<Command> {
    processes::own("kills", job)
}

struct Ring<'a> {
    board: &'a Ledger,
    cast: &'a Cast<'a>,
    /// Producers, then consumers.
    group: ProcessGroup,
    doubts: Vec<(usize, u64)>,
    outturn: Outturn,
    dice: u64,
    /// Last progress, kills at that time, items got.
    moved: (Instant, u32, u64),
}

/// Runs it.
///
/// # Errors
/// A signal came; the system refuses files or processes.
pub fn run(board: &Ledger, cast: &Cast, seconds: f64, seed: u64) -> Outcome<Outturn> {
    let mut ring = Ring {
        board,
        cast,
        group: ProcessGroup::default(),
        doubts: vec![],
        outturn: Outturn::default(),
        dice: seed | 1,
        moved: (Instant::now(), 0, 0),
    };
    for index in 0..2 * SLOTS {
        let child = ring.start(index)?;
        ring.group.0.push(child);
    }
    let began = Instant::now();
    while board.got() < 1000 {
        processes::check_signals()?;
        ring.look(false)?;
        if began.elapsed() > Duration::from_secs(20) {
            return Err("nothing moved even before the first kill".into());
        }
    }
    ring.moved = (Instant::now(), 0, board.got());
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let full = || {
        board
            .producers
            .iter()
            .any(|producer| producer.intent.load(Relaxed) > MAX_ITEMS / 10 * 9)
    };
    while Instant::now() < end && ring.outturn.wedged_after.is_none() && !full() {
        processes::check_signals()?;
        let pause = 2 + ring.roll(12);
        ring.watch(Duration::from_millis(pause))?;
        if ring.moved.0.elapsed() < TOO_LONG {
            ring.harm()?;
        }
    }
    while ring.outturn.wedged_after.is_none() && ring.moved.0.elapsed() > TOO_LONG {
        ring.watch(Duration::from_millis(10))?; // standing still when the time was up: does it go on?
    }
    ring.settle()
}

impl Ring<'_> {
    fn start(&self, index: usize) -> Outcome<Child> {
        let role = if index < SLOTS { Role::Put } else { Role::Get };
        processes::start((self.cast.command)(role, index % SLOTS)?)
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice % sides
    }

    fn kills(&self) -> u32 {
        self.outturn.killed_producers + self.outturn.killed_consumers
    }

    /// One look: does it move, has anybody ended by itself?
    fn look(&mut self, counts: bool) -> Outcome<()> {
        std::thread::sleep(Duration::from_millis(1));
        let got = self.board.got();
        if got != self.moved.2 {
            self.moved = (Instant::now(), self.kills(), got);
        } else if counts {
            self.outturn.standstill = self.outturn.standstill.max(self.moved.0.elapsed());
            if self.moved.0.elapsed() > FOR_EVER {
                self.outturn.wedged_after = Some(self.moved.1);
            }
        }
        for index in 0..self.group.0.len() {
            if let Some(status) = self.group.0[index].try_wait()? {
                if self.outturn.gave_up == 0 {
                    eprintln!("  a process ended by itself: {status}");
                }
                self.outturn.gave_up += 1;
                self.replace(index)?;
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        Ok(())
    }

    fn watch(&mut self, time: Duration) -> Outcome<()> {
        let began = Instant::now();
        while began.elapsed() < time && self.outturn.wedged_after.is_none() {
            self.look(true)?;
        }
        Ok(())
    }

    /// The process is dead: its successor takes its slot.
    fn replace(&mut self, index: usize) -> Outcome<()> {
        if index < SLOTS
            && let Some(doubt) = self.board.doubt(index)
        {
            self.doubts.push(doubt);
            self.board.producers[index].done.store(doubt.1 + 1, Relaxed);
        }
        self.group.0[index] = self.start(index)?;
        Ok(())
    }

    /// Kills one, or stops one for a while.
    fn harm(&mut self) -> Outcome<()> {
        let index = self.roll(2 * SLOTS as u64) as usize;
        if self.roll(5) == 0 {
            let pid = self.group.0[index].id();
            cpu::signal(pid, libc::SIGSTOP);
            let pause = 5 + self.roll(40);
            let result = self.watch(Duration::from_millis(pause));
            cpu::signal(pid, libc::SIGCONT);
            self.outturn.paused += 1;
            return result;
        }
        self.group.0[index].kill()?;
        self.group.0[index].wait()?;
        if index < SLOTS {
            self.outturn.killed_producers += 1;
        } else {
            self.outturn.killed_consumers += 1;
        }
        self.replace(index)
    }

    /// Producers end, the queue is emptied, all end, and the items are counted.
    fn settle(mut self) -> Outcome<Outturn> {
        self.board.halt.0.store(1, Release);
        let wedged = self.outturn.wedged_after.is_some();
        let deadline = Instant::now() + Duration::from_secs(if wedged { 1 } else { 5 });
        let consumers = self.group.0.split_off(SLOTS);
        let consumers = ProcessGroup(consumers);
        while self.group.alive() > 0 && Instant::now() < deadline {
            processes::check_signals()?;
            std::thread::sleep(Duration::from_millis(5));
        }
        self.outturn.stuck = self.group.alive() as u32;
        let mut last = (Instant::now(), self.board.got());
        while last.0.elapsed() < Duration::from_secs(1) {
            processes::check_signals()?;
            std::thread::sleep(Duration::from_millis(5));
            if self.board.got() != last.1 {
                last = (Instant::now(), self.board.got());
            }
        }
        drop(consumers);
        self.group = ProcessGroup::default();
        self.doubts
            .extend((0..SLOTS).filter_map(|slot| self.board.doubt(slot)));
        self.outturn.account = self.board.account(&self.doubts);
        self.outturn.slow_puts = self
            .board
            .producers
            .iter()
            .map(|producer| producer.slow.load(Relaxed))
            .sum();
        Ok(self.outturn)
    }
}
