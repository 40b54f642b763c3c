//! Target `operations`: several endpoints of one queue, killed in the middle of what they do, against a model.
//!
//! Each action is one call of the public interface; some are given a life of so many stores and compare-and-swaps. Who dies is abandoned as the kernel would do it. What the
//! model allows then: the interrupted operation happened or it did not, told by the figures that the slots give; an item in the dead hand is lost (at-most-once) or
//! comes again (at-least-once). In the end: doctor content, accounts exact, every item that is due comes in order, full capacity, all seats usable.

mod end;
mod model;
mod verdict;

use crate::{scratch, trace::tell};
use arbitrary::{Result, Unstructured};
use end::{End, Kind};
use model::{Model, Plan};
use prodcon::{Control, Delivery, OpenError, Options, PutError, ReadyQueue, State, Stats, mortal};
use std::path::PathBuf;

/// Actions of one run.
const ACTIONS: usize = 40;
/// Endpoints at a time.
pub(crate) const ENDS: usize = 4;
const NAME: &str = "ops";

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    // What ends too early is only shorter.
    let _ = begin(&mut input);
}

fn begin(input: &mut Unstructured) -> Result<()> {
    let plan = Plan::choose(input)?;
    if plan.bytes { World::<[u8]>::new(plan).act(input) } else { World::<u64>::new(plan).act(input) }
}

struct World<T: Kind + ?Sized> {
    dir: PathBuf,
    /// Before the control handle, which sees what they leave.
    ends: [Option<End<T>>; ENDS],
    control: Option<Control>,
    model: Model,
    /// The next item.
    next: u64,
}

impl<T: Kind + ?Sized> World<T> {
    fn new(plan: Plan) -> Self {
        let dir = scratch::directory();
        let delivery = if plan.at_least_once { Delivery::AtLeastOnce } else { Delivery::AtMostOnce };
        let options = Options::new(plan.capacity).seats(plan.seats).lossy(plan.lossy).delivery(delivery).directory(&dir);
        let _ = prodcon::unlink_in(&dir, NAME);
        drop(ReadyQueue::<T>::create(NAME, &T::options(options)).expect("a good plan"));
        let control = Control::attach_in(&dir, NAME).expect("it was just made");
        Self {
            dir,
            ends: [const { None }; ENDS],
            control: Some(control),
            model: Model::new(plan),
            next: 1,
        }
    }

    fn control(&mut self) -> &Control {
        self.control.get_or_insert_with(|| Control::attach_in(&self.dir, NAME).expect("the segment is good"))
    }

    /// The figures; at a time when nobody alive is in mid-operation.
    fn look(&mut self) -> Stats {
        self.control().stats().expect("nobody forked")
    }

    fn act(mut self, input: &mut Unstructured) -> Result<()> {
        for _ in 0..ACTIONS {
            if input.is_empty() {
                break;
            }
            // What the input ends in is dropped by its end.
            if self.action(input).is_err() {
                break;
            }
            assert_eq!(self.control().len(), self.model.ring.len(), "items in the slots");
        }
        self.end(input);
        Ok(())
    }

    fn action(&mut self, input: &mut Unstructured) -> Result<()> {
        let who = input.int_in_range(0..=ENDS - 1)?;
        let what = input.int_in_range(0..=31u8)?;
        let life = if input.ratio(1, 3)? { input.int_in_range(0..=20)? } else { u32::MAX };
        tell(|| format!("{:?}\n-- {who} does {what}, life {life}", self.model));
        if self.ends[who].is_none() {
            // Somebody has to be there; the other actions are those of the control handle.
            match what {
                0..=23 => self.attach(who, life),
                _ => self.look_after(what, life),
            }
            return Ok(());
        }
        if self.ends[who].as_ref().is_some_and(End::has_guard) {
            match what {
                0..=9 => self.acknowledge(who, life),
                10..=15 => self.nack(who, life),
                16..=18 => self.forget(who),
                19 => self.kill(who),
                20 => self.close(who, life),
                _ => self.look_after(what, life),
            }
            return Ok(());
        }
        match what {
            0..=6 => self.put(who, 1, input.arbitrary()?, life),
            7 => self.put(who, input.int_in_range(2..=3)?, false, life),
            8..=12 => self.get(who, life),
            13..=17 => self.take(who, life),
            18 => self.close(who, life),
            19 => self.kill(who),
            20 => self.clear(who, life, false),
            21 => self.clear(who, life, true),
            22 => self.recover(who, life),
            23 => self.discard(who, life),
            _ => self.look_after(what, life),
        }
        Ok(())
    }

    /// What a control handle does.
    fn look_after(&mut self, what: u8, life: u32) {
        match what % 8 {
            0 => self.gate(life, true, None),
            1 => self.gate(life, true, Some(false)),
            2 | 3 => self.gate(life, false, Some(true)),
            4 => self.doctor(life),
            5 => {
                if self.controlled(life, |control| control.recover().expect("a good segment")).is_some() {
                    self.model.all_announced();
                }
            }
            6 => self.state([State::Stopped, State::StopAtQueueEnd][usize::from(what) / 8 % 2], life),
            _ => self.state(State::Started, life),
        }
    }

    // ---------------------------------------------------------------- endpoints come and go

    fn attach(&mut self, who: usize, life: u32) {
        let before = self.look();
        let dir = &self.dir;
        let Some(attached) = mortal::live(life, || ReadyQueue::<T>::attach_in(dir, NAME)) else {
            return;
        };
        match attached {
            Ok(queue) => {
                self.ends[who] = Some(End::new(queue));
                self.model.attached(who);
                let held = |stats: &Stats| stats.members.iter().filter(|member| member.held).count();
                if held(&self.look()) > held(&before) {
                    self.take_orphan_seat(who);
                }
            }
            Err(OpenError::NoSeat { .. }) => assert_eq!(self.model.live_seats(), self.model.plan.seats, "no seat, but not all are taken"),
            Err(error) => panic!("{error}"),
        }
    }

    /// No seat was free but one with an orphan: puts are refused, and the first get delivers its item.
    fn take_orphan_seat(&mut self, who: usize) {
        let model = &mut self.model;
        assert!(model.plan.at_least_once && !model.orphans.is_empty(), "an item in hand from nowhere");
        if let (Some(end), State::Started | State::StopAtQueueEnd) = (&mut self.ends[who], model.state) {
            if model.state == State::Started {
                assert!(matches!(end.queue().try_put(T::item(0).as_ref()), Err(PutError::InHand { .. })));
            }
            let result = end.take();
            let adopted = self.adopted(who);
            self.model.got(who, result, true, adopted, true);
        } else {
            // Stopped: a get would be refused, and which item it is stays unknown. It goes back.
            let end = self.ends[who].take();
            drop(end);
            self.model.gone(who);
            self.model.announced();
        }
    }

    /// This endpoint has a second seat. (The one it may have had before its last take is not counted: that was given up.)
    fn adopted(&mut self, who: usize) -> bool {
        let given_up = self.model.owners[who].is_some_and(|owner| owner.hand.is_some_and(|hand| hand.adopted));
        self.look().seats_live + u32::from(given_up) > self.model.live_seats()
    }

    fn close(&mut self, who: usize, life: u32) {
        let end = self.ends[who].take();
        if mortal::live(life, || drop(end)).is_some() {
            self.model.closed(who);
        } else {
            self.model.died_with_hand(who, false);
        }
    }

    fn kill(&mut self, who: usize) {
        mortal::abandon(self.ends[who].take());
        self.model.died_with_hand(who, false);
    }

    // ---------------------------------------------------------------- put

    fn put(&mut self, who: usize, count: u64, reserved: bool, life: u32) {
        let Some(end) = &mut self.ends[who] else { return };
        let ids = self.next..self.next + count;
        self.next += count;
        let done = mortal::live(life, || {
            if count > 1 {
                let items: Vec<_> = ids.clone().map(T::item).collect();
                return match end.queue().try_put_many(items.iter().map(AsRef::as_ref)) {
                    Ok(put) => (put as u64, None),
                    Err(partial) => (partial.put as u64, Some(partial.error)),
                };
            }
            let result = if reserved { T::reserve(end.queue(), ids.start) } else { end.queue().try_put(T::item(ids.start).as_ref()) };
            (u64::from(result.is_ok()), result.err())
        });
        match done {
            Some((put, error)) => self.model.put(who, ids, put, error),
            None => {
                mortal::abandon(self.ends[who].take());
                let seen = self.look();
                self.model.put_died(who, ids, &seen);
            }
        }
    }

    // ---------------------------------------------------------------- get

    fn get(&mut self, who: usize, life: u32) {
        let Some(end) = &mut self.ends[who] else { return };
        match mortal::live(life, || end.queue().try_get()) {
            Some(result) => {
                let result = result.map(|item| (T::id(T::owned(item).as_ref()), None));
                self.model.got(who, result, false, false, false);
            }
            None => self.died_getting(who),
        }
    }

    fn take(&mut self, who: usize, life: u32) {
        let Some(end) = &mut self.ends[who] else { return };
        match mortal::live(life, || end.take()) {
            Some(result) => {
                let adopted = result.is_ok() && self.model.plan.at_least_once && self.adopted(who);
                self.model.got(who, result, true, adopted, false);
            }
            None => self.died_getting(who),
        }
    }

    fn died_getting(&mut self, who: usize) {
        mortal::abandon(self.ends[who].take());
        let seen = self.look();
        self.model.get_died(who, &seen);
    }

    fn acknowledge(&mut self, who: usize, life: u32) {
        let Some(end) = &mut self.ends[who] else { return };
        if mortal::live(life, || end.acknowledge()).is_some() {
            self.model.acknowledged(who);
        } else {
            mortal::abandon(self.ends[who].take());
            let seen = self.look();
            self.model.acknowledge_died(who, &seen);
        }
    }

    fn discard(&mut self, who: usize, life: u32) {
        let Some(end) = &mut self.ends[who] else { return };
        match mortal::live(life, || end.queue().discard()) {
            Some(held) => {
                assert_eq!(held, self.model.has_hand(who), "an item in hand");
                self.model.acknowledged(who);
            }
            None => {
                mortal::abandon(self.ends[who].take());
                let seen = self.look();
                self.model.acknowledge_died(who, &seen);
            }
        }
    }

    fn nack(&mut self, who: usize, life: u32) {
        let Some(end) = &mut self.ends[who] else { return };
        match mortal::live(life, || end.nack()) {
            Some(result) => {
                assert_eq!(result.is_ok(), self.model.plan.at_least_once);
                let held = self.look().members.iter().filter(|member| member.held).count();
                let kept = held == self.model.hands();
                self.model.gave_back(who, kept);
            }
            None => {
                mortal::abandon(self.ends[who].take());
                self.model.died_with_hand(who, true);
            }
        }
    }

    fn forget(&mut self, who: usize) {
        if let Some(end) = &mut self.ends[who] {
            end.forget();
            self.model.forgot(who);
        }
    }

    // ---------------------------------------------------------------- gate, state, care

    /// `None`: it died, and with it the handle.
    fn controlled<R>(&mut self, life: u32, act: impl FnOnce(&Control) -> R) -> Option<R> {
        let control = self.control();
        let done = mortal::live(life, || act(control));
        if done.is_none() {
            mortal::abandon(self.control.take());
        }
        done
    }

    /// `clear`, `set_not_ready` or `set_ready`.
    fn gate(&mut self, life: u32, clears: bool, ready: Option<bool>) {
        let change = match ready {
            None => Control::clear,
            Some(false) => Control::set_not_ready,
            Some(true) => Control::set_ready,
        };
        let done = self.controlled(life, change);
        let alive = done.is_some_and(|result| {
            result.expect("a good segment");
            true
        });
        let seen = self.look();
        self.model.gate_moved(alive, clears, ready, &seen);
    }

    fn clear(&mut self, who: usize, life: u32, not_ready: bool) {
        let Some(end) = &mut self.ends[who] else { return };
        let done = mortal::live(life, || if not_ready { end.queue().set_not_ready() } else { end.queue().clear() });
        if done.is_none() {
            mortal::abandon(self.ends[who].take());
        }
        let seen = self.look();
        self.model.gate_moved(done.is_some(), true, not_ready.then_some(false), &seen);
        match done {
            Some(result) => {
                result.expect("a good segment");
                self.model.cleared_by(who);
            }
            None => self.model.clear_died(who, &seen),
        }
    }

    fn recover(&mut self, who: usize, life: u32) {
        let Some(end) = &mut self.ends[who] else { return };
        match mortal::live(life, || end.queue().recover()) {
            Some(result) => {
                result.expect("a good segment");
                self.model.all_announced();
            }
            None => {
                mortal::abandon(self.ends[who].take());
                self.model.died_with_hand(who, false);
            }
        }
    }

    fn state(&mut self, to: State, life: u32) {
        let allowed = matches!(
            (self.model.state, to),
            (State::Stopped, State::Started) | (State::Started, State::Stopped | State::StopAtQueueEnd) | (State::StopAtQueueEnd, State::Stopped)
        );
        if let Some(result) = self.controlled(life, |control| control.set_state(to)) {
            assert_eq!(result.is_ok(), allowed);
        }
        let now = self.control().state();
        assert!(now == self.model.state || allowed && now == to);
        self.model.state = now;
    }

    fn doctor(&mut self, life: u32) {
        let Some(report) = self.controlled(life, Control::doctor) else { return };
        let report = report.expect("a good segment");
        assert!(report.ok() && report.undecided == 0, "{report:?}");
        let seen = self.look();
        self.model.settled(&seen);
    }

    // ---------------------------------------------------------------- the end

    /// All leave or die. Then everything must be there, and everything must work.
    fn end(mut self, input: &mut Unstructured) {
        for who in 0..ENDS {
            if self.ends[who].is_some() {
                if input.arbitrary().unwrap_or(false) { self.close(who, u32::MAX) } else { self.kill(who) }
            }
        }
        self.doctor(u32::MAX);
        if self.model.state == State::StopAtQueueEnd {
            self.state(State::Stopped, u32::MAX);
        }
        if self.model.state == State::Stopped {
            self.state(State::Started, u32::MAX);
        }
        self.gate(u32::MAX, false, Some(true));
        // A fresh consumer gets all that is due: what the dead had in hand, oldest first, then the queue.
        self.attach(0, u32::MAX);
        if self.model.has_hand(0) {
            self.acknowledge(0, u32::MAX);
        }
        for _ in 0..self.model.due() {
            self.get(0, u32::MAX);
        }
        assert_eq!(self.model.due(), 0, "items that did not come: {:?}", self.model);
        self.get(0, u32::MAX); // Empty: the model would not have it otherwise
        // All seats and all slots.
        for who in 1..ENDS.min(self.model.plan.seats as usize) {
            self.attach(who, u32::MAX);
        }
        let extra: Vec<_> = (ENDS..self.model.plan.seats as usize).map(|_| ReadyQueue::<T>::attach_in(&self.dir, NAME).expect("a seat")).collect();
        assert!(matches!(ReadyQueue::<T>::attach_in(&self.dir, NAME), Err(OpenError::NoSeat { .. })));
        drop(extra);
        let users = ENDS.min(self.model.plan.seats as usize);
        for n in 0..self.model.plan.capacity as usize + 1 {
            self.put(n % users, 1, false, u32::MAX);
        }
        assert!(self.control().is_full());
        for n in 0..self.model.plan.capacity as usize {
            self.get(n % users, u32::MAX);
        }
        for who in 0..users {
            self.close(who, u32::MAX);
        }
        self.doctor(u32::MAX);
        assert_eq!((self.model.ring.len(), self.look().held), (0, 0));
    }
}
