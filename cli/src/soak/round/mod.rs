//! One round of a soak: processes at work on one queue, killed and stopped at random; each second everything stands still and is checked; at the end all is at
//! rest, and every figure has to be exact.
//!

mod unreplaced;

use super::Arguments;
use super::behaviour::Dice;
use super::ledger::{Allowed, Flow, Ledger, judge};
use super::mode::Mode;
use super::processes::QueueProcesses;
use super::screen::Tally;
use super::worker::Role;
use crate::exit::{End, Outcome};
use crate::signals;
use prodcon::{Control, Error, PutError, ReadyQueue, State};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// How a round ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The stream ends, and the processes with it.
    Stream,
    /// All processes are killed at once; others take what is left.
    Massacre,
}

/// A queue, and what a whole soak knows of it.
pub struct Subject {
    pub mode: Mode,
    pub control: Control,
    pub tally: Tally,
    pub problems: Vec<String>,
}

pub struct Round<'a> {
    arguments: &'a Arguments,
    subject: &'a mut Subject,
    /// What the tally was when the round began.
    before: Tally,
    processes: QueueProcesses,
    dice: &'a mut Dice,
    /// Incarnations are never used twice.
    next: &'a mut u64,
    first: u64,
    ledger: Ledger,
    base: Flow,
    killed_consumers: u64,
    cleared: bool,
    /// When an item was last heard of.
    progress: Instant,
    /// When the observer last began to listen.
    looked: Instant,
}

impl<'a> Round<'a> {
    pub fn begin(
        arguments: &'a Arguments,
        subject: &'a mut Subject,
        dice: &'a mut Dice,
        next: &'a mut u64,
    ) -> Result<Self, End> {
        let processes = QueueProcesses::new(
            subject.control.name(),
            subject.mode.batch,
            arguments.no_replace,
            arguments.plant,
        );
        let base = Flow::of(&subject.control.stats()?);
        let (before, first) = (subject.tally, *next);
        let mut round = Self {
            arguments,
            subject,
            before,
            processes,
            dice,
            next,
            first,
            ledger: Ledger::default(),
            base,
            killed_consumers: 0,
            cleared: false,
            progress: Instant::now(),
            looked: Instant::now(),
        };
        for _ in 0..arguments.producers {
            round.start(Role::Put)?;
        }
        for _ in 0..arguments.consumers {
            round.start(Role::Get)?;
        }
        Ok(round)
    }

    /// Lets things happen until `end`; `second` is called after each check, with what is known by then.
    pub fn run(&mut self, end: Instant, mut second: impl FnMut(&Subject) -> Outcome) -> Outcome {
        (self.progress, self.looked) = (Instant::now(), Instant::now());
        let (mut event, mut check) = (Instant::now(), Instant::now() + Duration::from_secs(1));
        loop {
            signals::check()?;
            let now = Instant::now();
            if now >= end {
                return Ok(());
            }
            self.processes.resume(now)?;
            if now >= event {
                self.event(now)?;
                event = Instant::now() + Duration::from_micros(self.dice.roll(12_000));
            }
            if now >= check {
                self.check()?;
                second(self.subject)?;
                check += Duration::from_secs(1);
            }
            if let ControlFlow::Break(()) = self.listen(event)? {
                return Ok(());
            }
        }
    }

    fn start(&mut self, role: Role) -> Outcome {
        let number = *self.next;
        *self.next += 1;
        self.processes.start(role, number)
    }

    /// Reads the reports. Sees which processes ended unasked, and whether anything still moves.
    fn listen(&mut self, until: Instant) -> Result<ControlFlow<()>, End> {
        let makers = self.first..*self.next;
        let told = self.ledger.told;
        let blind = std::mem::replace(&mut self.looked, Instant::now()).elapsed();
        self.subject.tally.blind = self.subject.tally.blind.max(blind);
        let heard = self
            .processes
            .hear(|item| self.ledger.note(item, makers.clone()))?;
        if self.ledger.told > told {
            let now = Instant::now();
            let still = now - std::mem::replace(&mut self.progress, now);
            self.subject.tally.standstill = self.subject.tally.standstill.max(still);
        } else if self.progress.elapsed() > self.arguments.patience {
            self.wrong(format!(
                "nobody got anything for {} s",
                self.arguments.patience.as_secs_f64()
            ));
            return Ok(ControlFlow::Break(()));
        }
        while let Some((mut member, status)) = self.processes.ended() {
            signals::check()?;
            self.processes
                .hear_out(&mut member, |item| self.ledger.note(item, makers.clone()))?;
            self.wrong(format!("a process that nobody killed ended ({status})"));
            self.killed_consumers += u64::from(member.role == Role::Get);
            self.start(member.role)?;
        }
        if !heard {
            self.processes.wait(
                until
                    .saturating_duration_since(Instant::now())
                    .min(Duration::from_millis(20)),
            );
        } else {
            std::thread::sleep(Duration::from_micros(500)); // a whole buffer at a time is cheaper than item by item
        }
        Ok(ControlFlow::Continue(()))
    }

    /// One thing that happens to the processes or the queue.
    fn event(&mut self, now: Instant) -> Outcome {
        let place = self.dice.roll(self.processes.members.len() as u64) as usize;
        match self.dice.roll(64) {
            0 => {
                self.cleared = true;
                self.subject.tally.clears += 1;
                self.subject.control.clear()?;
            }
            1 => {
                self.cleared = true;
                self.subject.tally.clears += 1;
                self.subject.control.set_not_ready()?;
                std::thread::sleep(Duration::from_micros(self.dice.roll(1000)));
                self.subject.control.set_ready()?;
            }
            2..8 => {
                self.subject.tally.recovered +=
                    u64::from(self.subject.control.recover()?.recovered);
            }
            8..36 => {
                self.kill(place)?;
                if self.dice.roll(2) == 0 {
                    self.subject.tally.recovered +=
                        u64::from(self.subject.control.recover()?.recovered);
                }
            }
            _ => {
                // At least one of each role goes on: the claim is that the others do.
                let role = self.processes.members[place].role;
                let awake = self
                    .processes
                    .members
                    .iter()
                    .filter(|member| member.role == role && member.resumes.is_none())
                    .count();
                if awake > 1 && self.processes.members[place].resumes.is_none() {
                    let long = [5, 50, 1000][self.dice.roll(3) as usize];
                    self.processes
                        .pause(place, now + Duration::from_millis(self.dice.roll(long)))?;
                    self.subject.tally.pauses += 1;
                }
            }
        }
        Ok(())
    }

    /// Kills one, paused or not, and starts another.
    fn kill(&mut self, place: usize) -> Outcome {
        let role = self.processes.members[place].role;
        let makers = self.first..*self.next;
        self.processes
            .kill(place, |item| self.ledger.note(item, makers.clone()))?;
        self.subject.tally.kills += 1;
        self.killed_consumers += u64::from(role == Role::Get);
        self.start(role)
    }

    /// Everything stands still, everything told is heard; then what was told is held against the accounts.
    fn check(&mut self) -> Outcome {
        let began = Instant::now();
        self.processes.freeze()?;
        let makers = self.first..*self.next;
        while self
            .processes
            .hear(|item| self.ledger.note(item, makers.clone()))?
        {}
        let stats = self.subject.control.stats()?;
        // Every endpoint, dead or alive, may be in the middle of one exchange.
        self.verdict(
            Flow::of(&stats).since(self.base),
            u64::from(stats.seats) * u64::from(stats.batch),
        );
        self.processes.thaw()?;
        self.progress += began.elapsed(); // nobody could
        Ok(())
    }

    /// Brings the tally up to date; notes what is wrong.
    fn verdict(&mut self, flow: Flow, slack: u64) {
        let allowed = Allowed {
            lossy: self.subject.mode.lossy,
            at_least_once: self.subject.mode.at_least_once,
            clears: self.cleared,
            killed: self.killed_consumers,
            at_work: if slack == 0 {
                0
            } else {
                u64::from(self.arguments.consumers)
            },
            grasp: self.subject.mode.grasp(),
            slack,
        };
        let wrong = judge(&self.ledger, &flow, &allowed);
        let missing = self.ledger.missing(&flow);
        let (tally, before) = (&mut self.subject.tally, &self.before);
        tally.puts = before.puts + flow.puts;
        tally.gets = before.gets + flow.gets;
        tally.dropped = before.dropped + flow.dropped;
        tally.cleared = before.cleared + flow.cleared;
        tally.lost = before.lost + flow.lost;
        tally.redelivered = before.redelivered + flow.redelivered;
        tally.twice = before.twice + self.ledger.twice();
        // While they work, what is on its way cannot be told from what is missing.
        tally.missing = before.missing + missing.saturating_sub(slack);
        tally.checks += 1;
        wrong.into_iter().for_each(|what| self.wrong(what));
    }

    fn wrong(&mut self, what: String) {
        self.subject.tally.wrong += 1;
        if self.subject.problems.len() < 20 {
            self.subject.problems.push(format!(
                "{}, round {}: {what}",
                self.subject.mode,
                self.subject.tally.rounds + 1
            ));
        }
    }

    /// Comes to rest and checks everything exactly. The queue is empty and started afterwards.
    pub fn end(mut self, ending: Ending) -> Outcome {
        let makers = self.first..*self.next;
        if ending == Ending::Massacre {
            self.processes.freeze()?;
            while !self.processes.members.is_empty() {
                let role = self.processes.members[0].role;
                self.processes
                    .kill(0, |item| self.ledger.note(item, makers.clone()))?;
                self.subject.tally.kills += 1;
                self.killed_consumers += u64::from(role == Role::Get);
            }
            for _ in 0..self.arguments.consumers {
                self.start(Role::Get)?;
            }
        } else {
            self.processes
                .resume(Instant::now() + Duration::from_secs(3600))?;
        }
        // Those who have not attached by then would come to a stream that has ended: as good.
        self.subject.control.set_state(State::StopAtQueueEnd)?;
        if !self.come_to_rest()? {
            return Ok(());
        }
        // A put that had looked at the state before it changed may land when the consumers have gone: at most one of each producer, and another consumer gets it.
        let late = self.subject.control.len();
        if late > 0 {
            let most = self.arguments.producers as usize * self.subject.mode.batch as usize;
            if ending == Ending::Massacre || late > most {
                self.wrong(format!(
                    "at the end of the stream {late} items were still in the queue"
                ));
            }
            self.start(Role::Get)?;
            if !self.come_to_rest()? {
                return Ok(());
            }
        }
        let report = self.subject.control.doctor()?;
        self.subject.tally.recovered += u64::from(report.recovered);
        report
            .problems
            .into_iter()
            .for_each(|problem| self.wrong(problem));
        let stats = self.subject.control.stats()?;
        if (
            report.undecided,
            stats.seats_live,
            stats.seats_dead,
            stats.unacked,
            stats.len,
        ) != (0, 0, 0, 0, 0)
        {
            self.wrong(format!(
                "at rest, but {} seats undecided, {} live, {} dead, {} items held, {} in the queue",
                report.undecided, stats.seats_live, stats.seats_dead, stats.unacked, stats.len
            ));
        }
        self.verdict(Flow::of(&stats).since(self.base), 0);
        self.subject.control.set_state(State::Stopped)?;
        self.subject.control.set_state(State::Started)?;
        let used = self.use_all_of_it();
        if let Err(what) = used {
            self.wrong(what);
        }
        self.subject.tally.rounds += 1;
        Ok(())
    }

    /// Waits until every process has ended by itself. Returns false if they do not.
    fn come_to_rest(&mut self) -> Result<bool, End> {
        let makers = self.first..*self.next;
        let deadline = Instant::now() + self.arguments.patience;
        while !self.processes.members.is_empty() {
            signals::check()?;
            if Instant::now() > deadline {
                let roles: Vec<_> = self
                    .processes
                    .members
                    .iter()
                    .map(|member| (member.role, member.number))
                    .collect();
                self.wrong(format!("these processes do not end: {roles:?}"));
                return Ok(false);
            }
            if !self
                .processes
                .hear(|item| self.ledger.note(item, makers.clone()))?
            {
                self.processes.wait(Duration::from_millis(2));
            }
            while let Some((mut member, status)) = self.processes.ended() {
                self.processes
                    .hear_out(&mut member, |item| self.ledger.note(item, makers.clone()))?;
                if !status.success() {
                    self.wrong(format!("a process ended badly ({status})"));
                }
            }
        }
        Ok(true)
    }

    /// Every seat can be taken and every slot filled, still; items come out in order.
    fn use_all_of_it(&self) -> Result<(), String> {
        let control = &self.subject.control;
        let (seats, capacity) = (control.info().seats as usize, control.capacity());
        let item = |number: usize| {
            let mut item = number.to_ne_bytes().to_vec();
            item.resize(control.item_size(), 7);
            item
        };
        let all: Result<Vec<_>, Error> = (0..seats)
            .map(|_| ReadyQueue::<[u8]>::attach(control.name()))
            .collect();
        let mut all = all.map_err(|error| format!("after the round: {error}"))?;
        for number in 0..capacity {
            let put = all[number % seats].try_put(&item(number));
            put.map_err(|error| format!("after the round, put {number} of {capacity}: {error}"))?;
        }
        if !self.subject.mode.lossy
            && !matches!(all[0].try_put(&item(capacity)), Err(PutError::Full))
        {
            return Err("after the round: the full queue takes one more item".into());
        }
        for number in 0..capacity {
            let got = all[(number + 5) % seats].try_get();
            if !got.as_ref().is_ok_and(|got| *got == item(number)) {
                return Err(format!(
                    "after the round: get {number} of {capacity} gave {got:?}"
                ));
            }
        }
        Ok(())
    }

    /// What has been heard by now, when the soak ends before its time.
    pub fn interrupt(mut self) -> Result<(), Error> {
        let makers = self.first..*self.next;
        while !self.processes.members.is_empty() {
            let role = self.processes.members[0].role;
            if self
                .processes
                .kill(0, |item| self.ledger.note(item, makers.clone()))
                .is_err()
            {
                break;
            }
            self.killed_consumers += u64::from(role == Role::Get);
        }
        let stats = self.subject.control.stats()?;
        self.verdict(
            Flow::of(&stats).since(self.base),
            u64::from(stats.seats) * u64::from(stats.batch),
        );
        Ok(())
    }
}
