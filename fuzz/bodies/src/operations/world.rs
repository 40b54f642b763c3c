//! The endpoints, the control handle and the model, and each action on all of them.

use super::ENDS;
use super::end::{End, Way};
use super::kind::{Kind, put_one_by_one};
use super::model::{Model, counted, numbers};
use super::plan::{LETTERS, LETTERS_CAPACITY, NAME, Plan};
use crate::{scratch, trace};
use prodcon::{
    AttachOptions, Control, ErrorKind, GetError, PutError, ReadyQueue, Role, State, Stats, mortal,
};
use std::borrow::Borrow;

/// How items are put.
#[derive(Clone, Copy, Debug)]
pub(super) enum Put {
    One,
    Reserved,
    /// So many, one by one.
    Many(u64),
    /// So many, in blocks.
    Batch(u64),
}

/// Attaches in the directory of this input.
fn here() -> AttachOptions {
    AttachOptions::new().directory(scratch::directory())
}

pub(super) struct World<T: Kind + ?Sized> {
    ends: [Option<End<T>>; ENDS],
    /// What each asked for when it attached.
    max_unacked: [u32; ENDS],
    control: Option<Control>,
    /// Takes out what goes to the dead letters.
    letters: Option<ReadyQueue<T>>,
    pub(super) model: Model,
    /// Stores and compare-and-swaps of the next action.
    pub(super) life: u32,
    /// The next item.
    next: u64,
}

impl<T: Kind + ?Sized> World<T> {
    pub(super) fn new(plan: Plan) -> Self {
        plan.make::<T>();
        let letters = (plan.limit > 0)
            .then(|| ReadyQueue::attach_with(LETTERS, &here()).expect("it was just made"));
        Self {
            ends: [const { None }; ENDS],
            max_unacked: [0; ENDS],
            control: None,
            letters,
            model: Model::new(plan),
            life: u32::MAX,
            next: 1,
        }
    }

    pub(super) fn tell(&self, who: usize, what: u8) {
        trace::tell(|| format!("{:?}\n-- {who} does {what}, life {}", self.model, self.life));
    }

    /// Whether an endpoint has a guard; `None`: there is no endpoint.
    pub(super) fn guarded(&self, who: usize) -> Option<bool> {
        self.ends[who].as_ref().map(End::has_guard)
    }

    fn control(&mut self) -> &Control {
        self.control.get_or_insert_with(|| {
            Control::attach_with(NAME, &here()).expect("the segment is good")
        })
    }

    /// The figures, except for the number of the living.
    fn glance(&mut self) -> Stats {
        self.control().glance().expect("nobody forked")
    }

    /// All figures. Asks the kernel about each seat.
    fn look(&mut self) -> Stats {
        self.control().stats().expect("nobody forked")
    }

    fn positions(&mut self) -> (u64, u64) {
        self.control().positions()
    }

    /// Lets an endpoint act, for as long as it lives. Returns `None` if it died and is gone.
    fn live<R>(&mut self, who: usize, act: impl FnOnce(&mut End<T>) -> R) -> Option<R> {
        let end = self.ends[who].as_mut()?;
        let done = mortal::live(self.life, || act(end));
        if done.is_none() {
            mortal::abandon(self.ends[who].take());
        }
        done
    }

    /// After an action: what the model could not know is looked up, the rest is compared.
    pub(super) fn settle_up(&mut self, who: usize) {
        let now = self.positions();
        self.model.catch_up(now);
        assert_eq!(
            self.control().len() as u64,
            self.model.live_in_ring(),
            "live items in the slots"
        );
        assert_eq!(
            self.glance().len,
            self.model.in_ring(),
            "items in the slots"
        );
        if self.model.owners[who]
            .as_ref()
            .is_some_and(|owner| owner.keeps && !owner.guard)
        {
            // It gave something back; if no seat was free, it still has it.
            if self.held() > self.model.in_hands() {
                self.take_orphan_seat(who);
            } else {
                self.model.keeps_none(who, false);
            }
        }
    }

    /// Items in the hands of the living.
    fn held(&mut self) -> u64 {
        self.look()
            .members
            .iter()
            .map(|member| u64::from(member.unacked))
            .sum()
    }

    // ---------------------------------------------------------------- endpoints come and go

    pub(super) fn attach(
        &mut self,
        who: usize,
        role: Role,
        max_unacked: u32,
        content_with_one: bool,
    ) {
        let attach = here().role(role).max_unacked(max_unacked);
        let attach = if content_with_one {
            attach.min_unacked(1)
        } else {
            attach
        };
        self.max_unacked[who] = max_unacked;
        let Some(attached) =
            mortal::live(self.life, || ReadyQueue::<T>::attach_with(NAME, &attach))
        else {
            self.model.unresolved = true;
            return;
        };
        match attached {
            Ok(queue) => {
                self.ends[who] = Some(End::new(queue));
                self.model.attached(who);
                if !self.model.orphans.is_empty() && self.held() > self.model.in_hands() {
                    self.model.owner(who).keeps = true;
                }
            }
            Err(error) if error.kind() == ErrorKind::NoSeat => {
                let wanted = if max_unacked == 0 || content_with_one {
                    1
                } else {
                    max_unacked + 1
                };
                let seen = self.look();
                let free = seen.seats - seen.seats_live;
                // The seats of orphans are for consumers.
                let (more, any) = if role == Role::Producer {
                    (self.model.orphans.len() as u32, false)
                } else {
                    (0, wanted == 1)
                };
                assert!(
                    free < wanted + more || self.model.unresolved && !any,
                    "no seat, but {free} are free"
                );
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// An orphan is in the seat of this endpoint, and which one is not known. Its next get delivers it.
    fn take_orphan_seat(&mut self, who: usize) {
        self.life = u32::MAX;
        if self.model.state == State::Stopped {
            // A get would be refused.
            self.close(who);
        } else {
            self.take(who, Way::One);
            let owner = self.model.owner(who);
            owner.keeps &= owner.guard;
        }
    }

    pub(super) fn close(&mut self, who: usize) {
        let end = self.ends[who].take();
        if mortal::live(self.life, || drop(end)).is_some() {
            self.model.closed(who);
        } else {
            self.model.died_with_hand(who, false);
        }
    }

    pub(super) fn kill(&mut self, who: usize) {
        mortal::abandon(self.ends[who].take());
        self.model.died_with_hand(who, false);
    }

    // ---------------------------------------------------------------- put

    pub(super) fn put(&mut self, who: usize, put: Put) {
        let count = match put {
            Put::One | Put::Reserved => 1,
            Put::Many(count) | Put::Batch(count) => count,
        };
        let ids: Vec<_> = (self.next..self.next + count).collect();
        self.next += count;
        let together = if let Put::Batch(_) = put {
            self.model.plan.batch as usize
        } else {
            1
        };
        let blocks: Vec<_> = ids.chunks(together).collect();
        let one = |result: Result<(), PutError>| (usize::from(result.is_ok()), result.err());
        let done = self.live(who, |end| match put {
            Put::One => one(end.queue().try_put(T::item(ids[0]).borrow())),
            Put::Reserved => one(T::reserve(end.queue(), ids[0])),
            Put::Many(_) => put_one_by_one(end.queue(), &ids),
            Put::Batch(_) => T::put_slice(end.queue(), &ids),
        });
        match done {
            Some((put, error)) => {
                let error = error.map(|error| error.kind());
                if error == Some(ErrorKind::NoSeat) {
                    let seen = self.look();
                    let taken = seen.seats_live + self.model.orphans.len() as u32;
                    assert!(
                        taken >= seen.seats
                            || self.model.unresolved
                            || self.model.owner(who).hand.len() > 1,
                        "a seat was free for a put"
                    );
                }
                self.model.put(who, &blocks, put, error);
            }
            None => {
                let (now, seen) = (self.positions(), self.glance());
                self.model.put_died(who, &blocks, now, &seen);
            }
        }
    }

    // ---------------------------------------------------------------- get

    /// What went to the dead letters.
    fn letters(&mut self) -> Vec<u64> {
        let mut ids = vec![];
        while let Some(letters) = &mut self.letters {
            match letters.try_get() {
                Ok(item) => ids.push(T::id(item.borrow())),
                Err(GetError::Empty) => break,
                Err(error) => panic!("{error}"),
            }
        }
        ids
    }

    /// An endpoint that forgot its guards may keep one item or another. Then it has to live, or
    /// nobody can tell which it acknowledged.
    fn spare_the_forgetful(&mut self, who: usize) {
        if self.model.plan.at_least_once
            && self.model.owner(who).hand.iter().any(|hand| hand.shown > 0)
        {
            self.life = u32::MAX;
        }
    }

    pub(super) fn get(&mut self, who: usize, way: Way) {
        if !matches!(way, Way::One) {
            self.take(who, way);
            return self.acknowledge_if_any(who);
        }
        self.spare_the_forgetful(who);
        let got = self.live(who, End::get);
        let Some(got) = got else {
            return self.died_getting(who, false);
        };
        if self.came(who, got.map(|ids| numbers(&ids)), false) {
            self.model.done(who);
        }
    }

    pub(super) fn take(&mut self, who: usize, way: Way) {
        self.spare_the_forgetful(who);
        let taken = self.live(who, |end| end.take(way));
        let several = !matches!(way, Way::One) && self.puts_aside(who);
        let Some(taken) = taken else {
            return self.died_getting(who, several);
        };
        if self.came(who, taken.map(|shown| counted(&shown)), several) {
            self.check_whole(who, way);
        }
    }

    /// An item can leave it with a seat of its own.
    pub(super) fn lends(&self, who: usize) -> bool {
        self.max_unacked[who] > 0 && self.model.plan.batch == 1
    }

    /// An item leaves with a seat, and is acknowledged or let go at once. If that was the last seat, the next get finds one, if only the item's.
    pub(super) fn own(&mut self, who: usize, ack: bool) {
        self.life = u32::MAX; // what has left is in no hand that the model knows
        let owned = self.live(who, |end| end.own(ack)).expect("it lives");
        if !self.came(who, owned.map(|shown| counted(&[shown])), false) {
            return;
        }
        if ack || !self.model.plan.at_least_once {
            return self.model.done(who);
        }
        self.model.went_back(who);
        let got = self.live(who, End::get).expect("it lives");
        if matches!(&got, Err(error) if error.kind() == ErrorKind::NoSeat) {
            let seen = self.look();
            assert!(
                seen.seats_live >= seen.seats || self.model.unresolved,
                "a seat was free for a get, or an orphan's was"
            );
            return self.close(who);
        }
        if self.came(who, got.map(|ids| numbers(&ids)), false) {
            self.model.done(who);
        }
    }

    /// A batch shows blocks that it puts aside. Else it shows a part of the one block in hand, as a
    /// `Delivery` does, and other seats are not touched.
    fn puts_aside(&self, who: usize) -> bool {
        self.max_unacked[who] > 0 || self.model.plan.batch == 1
    }

    fn acknowledge_if_any(&mut self, who: usize) {
        if self.guarded(who) == Some(true) {
            self.acknowledge(who);
        }
    }

    /// An endpoint that took whole blocks has no part of one.
    fn check_whole(&mut self, who: usize, way: Way) {
        let whole = self
            .model
            .owner(who)
            .hand
            .iter()
            .all(|hand| hand.shown == hand.block.ids.len());
        assert!(whole || !matches!(way, Way::Whole), "a part of a block");
    }

    /// False: nothing came.
    fn came(
        &mut self,
        who: usize,
        got: Result<Vec<(u64, Option<u32>)>, GetError>,
        several: bool,
    ) -> bool {
        let letters = self.letters();
        match got {
            Ok(items) => {
                assert!(!items.is_empty(), "nothing, but no error");
                self.model.came(
                    who,
                    &items,
                    several,
                    &letters,
                    letters.len() == LETTERS_CAPACITY as usize,
                );
                true
            }
            Err(error) => {
                self.model.nothing(who, error.kind(), &letters);
                false
            }
        }
    }

    fn died_getting(&mut self, who: usize, several: bool) {
        let letters = self.letters();
        let (now, seen) = (self.positions(), self.glance());
        self.model.get_died(who, several, &letters, now, &seen);
    }

    /// A `Batch` takes more; another guard is acknowledged.
    pub(super) fn more(&mut self, who: usize, max: usize) {
        let before = self.ends[who]
            .as_mut()
            .map_or(0, |end| end.guard().shown().len());
        let more = self.live(who, |end| {
            end.guard()
                .more(max)
                .map(|more| (more, end.guard().shown()))
        });
        let Some(more) = more else {
            return self.died_getting(who, true);
        };
        let Some((more, shown)) = more else {
            return self.acknowledge(who);
        };
        match more {
            Ok(0) => assert_eq!(shown.len(), before),
            Ok(count) => {
                assert!(shown.len() == before + count && shown.len() <= max);
                let several = self.puts_aside(who);
                self.came(who, Ok(counted(&shown[before..])), several);
            }
            Err(error) => {
                assert_eq!(shown.len(), before);
                self.came(who, Err(error), true);
            }
        }
    }

    // ---------------------------------------------------------------- what is in hand

    /// Runs something that acknowledges, and the same on the model.
    fn acknowledging(
        &mut self,
        who: usize,
        act: impl FnOnce(&mut End<T>) -> bool,
        model: impl FnOnce(&mut Model),
    ) -> bool {
        match self.live(who, act) {
            Some(true) => model(&mut self.model),
            Some(false) => return false,
            None => {
                let seen = self.glance();
                self.model.acknowledge_died(who, &seen);
            }
        }
        true
    }

    pub(super) fn acknowledge(&mut self, who: usize) {
        let ack = |end: &mut End<T>| {
            end.ack();
            true
        };
        self.acknowledging(who, ack, |model| model.done(who));
    }

    pub(super) fn acknowledge_first(&mut self, who: usize, count: usize) {
        if !self.acknowledging(
            who,
            |end| end.guard().ack_first(count),
            |model| model.acknowledged(who, count),
        ) {
            self.acknowledge(who);
        }
    }

    pub(super) fn acknowledge_in_place(&mut self, who: usize) {
        if !self.acknowledging(
            who,
            |end| end.guard().ack_in_place(),
            |model| model.acknowledged_in_place(who),
        ) {
            self.acknowledge(who);
        }
    }

    /// Only what a get could not show is discarded, and there is no such thing here: what a
    /// forgotten guard showed is left alone.
    pub(super) fn discard(&mut self, who: usize) {
        let discarded = self.live(who, |end| end.queue().discard());
        assert_eq!(discarded, Some(false));
    }

    pub(super) fn nack(&mut self, who: usize) {
        match self.live(who, End::nack) {
            Some(result) => {
                let any = self.model.owner(who).hand.iter().any(|hand| hand.shown > 0);
                assert_eq!(result.is_ok(), self.model.plan.at_least_once || !any);
                self.gave_back(who);
            }
            None => self.model.died_with_hand(who, true),
        }
    }

    fn gave_back(&mut self, who: usize) {
        self.model.give_back(who);
        if self.model.owner(who).keeps && self.held() == self.model.in_hands() {
            self.model.keeps_none(who, true);
        }
    }

    /// A guard is dropped: at-least-once gives back what it showed, at-most-once counts it as got.
    pub(super) fn let_go(&mut self, who: usize) {
        if !self.model.plan.at_least_once {
            let let_go = |end: &mut End<T>| {
                end.let_go();
                true
            };
            self.acknowledging(who, let_go, |model| model.done(who));
            return;
        }
        match self.live(who, End::let_go) {
            Some(()) => self.gave_back(who),
            None => self.model.died_with_hand(who, true),
        }
    }

    pub(super) fn forget(&mut self, who: usize) {
        if let Some(end) = &mut self.ends[who] {
            end.forget();
            self.model.forgot(who);
        }
    }

    // ---------------------------------------------------------------- gate, state, care

    /// `None`: it died, and with it the handle.
    pub(super) fn controlled<R>(&mut self, act: impl FnOnce(&Control) -> R) -> Option<R> {
        let life = self.life;
        let control = self.control();
        let done = mortal::live(life, || act(control));
        if done.is_none() {
            mortal::abandon(self.control.take());
        }
        done
    }

    /// `clear`, `set_not_ready` or `set_ready`.
    pub(super) fn gate(&mut self, clears: bool, ready: Option<bool>) {
        let change = match ready {
            None => Control::clear,
            Some(false) => Control::set_not_ready,
            Some(true) => Control::set_ready,
        };
        let done = self.controlled(change);
        if let Some(result) = &done {
            assert!(result.is_ok(), "{result:?}");
        }
        let seen = self.glance();
        self.model
            .gate_moved(done.is_some(), clears, ready, (seen.epoch, seen.ready));
    }

    pub(super) fn clear(&mut self, who: usize, not_ready: bool) {
        let done = self.live(who, |end| {
            if not_ready {
                end.queue().set_not_ready()
            } else {
                end.queue().clear()
            }
        });
        let (now, seen) = (self.positions(), self.glance());
        self.model.gate_moved(
            done.is_some(),
            true,
            not_ready.then_some(false),
            (seen.epoch, seen.ready),
        );
        match done {
            Some(result) => {
                result.expect("nobody forked");
                // It drains, unless its seat has items in hand.
                if self.model.owner(who).hand.is_empty() {
                    self.model.throw_away();
                }
            }
            None => self.model.clear_died(who, now, &seen),
        }
    }

    pub(super) fn recover(&mut self, who: usize) {
        match self.live(who, |end| end.queue().control().recover()) {
            Some(result) => {
                result.expect("a good segment");
                self.model.all_announced();
            }
            None => self.model.died_with_hand(who, false),
        }
    }

    pub(super) fn state(&mut self, to: State) {
        let from = self.model.state;
        let allowed = from == to
            || matches!(
                (from, to),
                (State::Stopped, State::Started)
                    | (State::Started, State::Stopped | State::StopAtQueueEnd)
                    | (State::StopAtQueueEnd, State::Stopped)
            );
        if let Some(result) = self.controlled(|control| control.set_state(to)) {
            assert_eq!(result.is_ok(), allowed);
        }
        self.model.state = self.control().state();
        assert!(self.model.state == from || allowed && self.model.state == to);
    }

    pub(super) fn doctor(&mut self) {
        let Some(report) = self.controlled(Control::doctor) else {
            self.model.unresolved = true;
            return;
        };
        let report = report.expect("a good segment");
        assert!(report.ok() && report.undecided == 0, "{report:?}");
        let seen = self.glance();
        self.model.settled(&seen);
    }

    // ---------------------------------------------------------------- the end

    /// All leave or are killed. Then everything must be there, and everything must work.
    pub(super) fn end(mut self, killed: impl Fn(usize) -> bool) {
        self.tell(0, 99);
        self.life = u32::MAX;
        for who in 0..ENDS {
            if self.ends[who].is_some() {
                if killed(who) {
                    self.kill(who)
                } else {
                    self.close(who)
                }
            }
        }
        self.doctor();
        if self.model.state == State::StopAtQueueEnd {
            self.state(State::Stopped);
        }
        if self.model.state == State::Stopped {
            self.state(State::Started);
        }
        self.gate(false, Some(true));
        // A fresh consumer gets all that is due: what the dead had in hand, oldest first, then the queue.
        self.attach(0, Role::Both, 0, false);
        self.settle_up(0);
        if self.guarded(0) == Some(true) {
            self.acknowledge(0);
        }
        let hand = |model: &Model| {
            model.owners[0]
                .iter()
                .flat_map(|owner| &owner.hand)
                .map(|hand| hand.block.items())
                .sum::<u64>()
        };
        for _ in 0..self.model.due() + hand(&self.model) {
            self.get(0, Way::One);
            self.settle_up(0);
        }
        assert_eq!(
            self.model.due(),
            0,
            "items that did not come: {:?}",
            self.model
        );
        self.get(0, Way::One); // Empty: the model would not have it otherwise
        if self.model.plan.thorough {
            self.use_everything();
        }
        for who in 0..ENDS {
            if self.ends[who].is_some() {
                self.close(who);
            }
        }
        // Nobody has died since the doctor came.
        let seen = self.glance();
        self.model.settled(&seen);
        assert_eq!(
            (self.model.ring.len(), seen.unacked),
            (0, 0),
            "{:?}",
            self.model
        );
        if self.model.plan.thorough {
            self.doctor();
        }
    }

    /// All seats and all slots.
    fn use_everything(&mut self) {
        let Plan {
            seats, capacity, ..
        } = self.model.plan;
        let users = ENDS.min(seats as usize);
        for who in 1..users {
            self.attach(who, Role::Both, 0, false);
        }
        let attach = || ReadyQueue::<T>::attach_with(NAME, &here());
        let extra: Vec<_> = (users..seats as usize)
            .map(|_| attach().expect("a seat"))
            .collect();
        assert!(attach().is_err_and(|error| error.kind() == ErrorKind::NoSeat));
        drop(extra);
        for number in 0..=capacity as usize {
            self.put(number % users, Put::Batch(self.model.plan.batch.into()));
        }
        assert!(self.control().is_full());
        for number in 0..capacity as usize {
            self.get(number % users, Way::Whole);
            self.settle_up(number % users);
        }
    }
}
