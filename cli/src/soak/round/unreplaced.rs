//! A round in which nobody takes the place of a killed consumer: how soon others get what it had in hand.
//!
//! Invariant: a consumer is killed only once what the one before had in hand has come. Nothing else happens
//! meanwhile: nobody is paused, nothing is cleared or given back, and the observer recovers nothing.

use super::super::worker::Role;
use super::{Round, Subject};
use crate::exit::{End, Outcome};
use crate::signals;
use prodcon::Stats;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// How often an attached consumer with nothing in hand is let go on; then it is killed as it is.
const MAX_LOOKS: u32 = 100;
/// Between two looks at the accounts after a kill.
const LOOK_GAP: Duration = Duration::from_micros(200);

impl Round<'_> {
    /// Kills consumers, one after the other, until one is left or `end` has come; `second` is called
    /// after each check.
    pub fn run_unreplaced(
        &mut self,
        end: Instant,
        mut second: impl FnMut(&Subject) -> Outcome,
    ) -> Outcome {
        (self.progress, self.looked) = (Instant::now(), Instant::now());
        let mut check = Instant::now() + Duration::from_secs(1);
        loop {
            let pause = Duration::from_micros(self.dice.roll(50_000));
            if self.listen_for(pause)?.is_break() {
                return Ok(());
            }
            if Instant::now() >= check {
                self.check()?;
                second(self.subject)?;
                check = Instant::now() + Duration::from_secs(1);
            }
            let members = self.processes.members.iter();
            let consumers: Vec<u64> = members
                .filter(|member| member.role == Role::Get)
                .map(|member| member.number)
                .collect();
            if Instant::now() >= end || consumers.len() < 2 {
                return Ok(());
            }
            let number = consumers[self.dice.roll(consumers.len() as u64) as usize];
            if self.kill_for_good(number)?.is_break() {
                return Ok(());
            }
        }
    }

    fn listen_for(&mut self, time: Duration) -> Result<ControlFlow<()>, End> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            signals::check()?;
            if self.listen(until)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Kills this consumer, if it can be with something in hand, and waits until others have that.
    fn kill_for_good(&mut self, number: u64) -> Result<ControlFlow<()>, End> {
        let (began, mut looks) = (Instant::now(), 0);
        let (place, in_hand, before) = loop {
            let Some(place) = self
                .processes
                .members
                .iter()
                .position(|member| member.number == number)
            else {
                return Ok(ControlFlow::Continue(())); // it ended by itself, which has been noted
            };
            // What one that stands still has in hand is exact.
            self.processes.stop(place)?;
            let stats = self.subject.control.stats()?;
            let pid = self.processes.members[place].pid();
            let seats: Vec<u32> = stats
                .members
                .iter()
                .filter(|seat| seat.pid == pid)
                .map(|seat| seat.unacked)
                .collect();
            let in_hand: u64 = seats.iter().copied().map(u64::from).sum();
            if in_hand > 0 || looks == MAX_LOOKS || began.elapsed() > self.arguments.patience {
                break (place, in_hand, self.settled(&stats));
            }
            looks += u32::from(!seats.is_empty());
            self.processes.go_on(place)?;
            let pause = Duration::from_micros(self.dice.roll(2000));
            if self.listen_for(pause)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        };
        let makers = self.first..*self.next;
        let released = self
            .processes
            .kill(place, |item| self.ledger.note(item, makers.clone()))?;
        self.subject.tally.kills += 1;
        self.killed_consumers += 1;
        if in_hand == 0 {
            return Ok(ControlFlow::Continue(()));
        }
        self.wait_settled(released, before, in_hand)
    }

    /// Waits until `in_hand` items more have come than `before`, and notes how long that took.
    fn wait_settled(
        &mut self,
        released: Instant,
        before: u64,
        in_hand: u64,
    ) -> Result<ControlFlow<()>, End> {
        loop {
            signals::check()?;
            let stats = self.subject.control.stats()?;
            let came = self.settled(&stats).saturating_sub(before);
            let took = released.elapsed();
            if came >= in_hand {
                let tally = &mut self.subject.tally;
                tally.timed += 1;
                tally.longest = tally.longest.max(took);
                return Ok(ControlFlow::Continue(()));
            }
            if took > self.arguments.patience {
                let most = self.arguments.patience.as_secs_f64();
                self.wrong(format!(
                    "of {in_hand} items in a killed consumer's hand {came} came within {most} s"
                ));
                return Ok(ControlFlow::Break(()));
            }
            if self.listen(Instant::now() + LOOK_GAP)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }

    /// What rises with each item of the dead, and with nothing else.
    fn settled(&self, stats: &Stats) -> u64 {
        if self.subject.mode.at_least_once {
            stats.redelivered
        } else {
            stats.lost
        }
    }
}
