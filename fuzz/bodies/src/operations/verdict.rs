//! What became of an operation whose caller died in it: read off the slots (puts, removals) and the acknowledgements, which are one store each; and what the counters may
//! say until the dead have been resolved.

use super::model::{Hand, Item, Limbo, Model};
use prodcon::{State, Stats};
use std::ops::Range;

impl Model {
    /// A dead hand.
    fn left(&mut self, item: Item, either: bool) {
        if self.plan.at_least_once {
            self.orphans.push(item);
        } else {
            let void = self.void(&item);
            self.limbo.push(Limbo { item, void, either });
        }
    }

    /// Died in something that neither puts nor takes, or idle: what it had in hand is left. `counting`: it may have been counted as lost, void or not.
    pub(super) fn died_with_hand(&mut self, who: usize, counting: bool) {
        if let Some(hand) = self.gone(who) {
            self.left(hand.item, counting);
        }
    }

    /// Removals since the model last knew.
    fn removed(&self, seen: &Stats) -> u64 {
        (seen.puts - seen.len) - (self.puts - self.ring.len() as u64)
    }

    fn pop(&mut self) -> Item {
        self.ring.pop_front().expect("more removals than items")
    }

    pub(super) fn put_died(&mut self, who: usize, ids: Range<u64>, seen: &Stats) {
        if let Some(Hand { item, adopted, .. }) = self.gone(who) {
            assert!(adopted || !self.plan.at_least_once, "a put with an item in hand wrote something");
            self.left(item, true);
        }
        let put = seen.puts - self.puts;
        assert!(put <= ids.end - ids.start, "{put} puts of {ids:?}");
        assert!(put == 0 || self.ready && self.state == State::Started);
        let mut oldest = None;
        for id in ids.take(put as usize) {
            oldest = self.pushed(id);
        }
        // Its last removal may not be counted yet.
        match oldest {
            Some(item) if self.void(&item) => self.late_cleared += 1,
            Some(_) => self.late_dropped += 1,
            None => {}
        }
        self.figures(seen);
    }

    pub(super) fn get_died(&mut self, who: usize, seen: &Stats) {
        let owner = self.owners[who];
        let acknowledged = seen.gets - self.gets;
        let removed = self.removed(seen);
        let again = seen.redelivered - self.redelivered;
        assert!(acknowledged <= 1 && again <= 1, "{acknowledged} acknowledged, {again} delivered again, by one get");
        self.redelivered += again;
        self.gets += acknowledged;
        let mut first = None;
        if let Some(Hand { item, adopted, .. }) = self.gone(who) {
            if self.plan.at_least_once && !adopted {
                first = Some(item.id);
            }
            self.left(item, true);
        }
        // The item that it kept comes first, then the oldest orphan.
        let live = self.live_orphans();
        let first = live.iter().find(|item| Some(item.id) == first).or(live.first()).map(|item| item.id);
        if removed == 0 {
            match first {
                Some(id) if acknowledged == 1 => self.orphans.retain(|item| item.id != id),
                Some(id) => self.orphans.iter_mut().filter(|item| item.id == id).for_each(|item| item.maybe += 1),
                None => assert_eq!(acknowledged, 0, "an acknowledgement of nothing"),
            }
        } else {
            self.check_looked(owner);
            for _ in 1..removed {
                let item = self.pop();
                assert!(self.void(&item), "a live item was passed over: {item:?}");
                self.cleared += 1;
            }
            let item = self.pop();
            if acknowledged == 1 {
                assert!(!self.void(&item), "a cleared item was delivered: {item:?}");
            } else if self.void(&item) && !self.plan.at_least_once {
                self.cleared += 1;
                self.late_cleared += 1;
            } else {
                self.left(item, false);
            }
        }
        self.figures(seen);
    }

    pub(super) fn acknowledge_died(&mut self, who: usize, seen: &Stats) {
        let acknowledged = seen.gets - self.gets;
        assert!(acknowledged <= 1);
        self.gets += acknowledged;
        let hand = self.gone(who).expect("an item to acknowledge");
        if acknowledged == 0 {
            self.left(hand.item, false);
        }
        self.figures(seen);
    }

    /// `alive`: the change was made. Else it was made or not.
    pub(super) fn gate_moved(&mut self, alive: bool, clears: bool, ready: Option<bool>, seen: &Stats) {
        let clears = clears && (ready.is_none() || self.ready);
        let new = (self.epoch + u64::from(clears), ready.unwrap_or(self.ready));
        let now = (seen.epoch, seen.ready);
        assert!(now == new || !alive && now == (self.epoch, self.ready), "gate: {now:?}, expected {new:?}");
        (self.epoch, self.ready) = now;
    }

    pub(super) fn clear_died(&mut self, who: usize, seen: &Stats) {
        self.died_with_hand(who, false);
        let removed = self.removed(seen);
        for _ in 0..removed {
            let item = self.pop();
            assert!(self.void(&item), "a live item was drained: {item:?}");
            self.cleared += 1;
        }
        self.late_cleared += u64::from(removed > 0);
        self.figures(seen);
    }

    fn void_orphans(&self) -> u64 {
        self.orphans.iter().filter(|item| self.void(item)).count() as u64
    }

    /// Figures at any time at which nobody alive is in mid-operation.
    pub(super) fn figures(&self, seen: &Stats) {
        assert_eq!(
            (seen.puts, seen.gets, seen.len, seen.epoch, seen.ready, seen.state, seen.redelivered),
            (self.puts, self.gets, self.ring.len() as u64, self.epoch, self.ready, self.state, self.redelivered),
            "{self:?}"
        );
        assert_eq!(seen.seats_live, self.live_seats(), "{self:?}");
        let count = |which: fn(&Limbo) -> bool| self.limbo.iter().filter(|limbo| which(limbo)).count() as u64;
        let within = |what, seen: u64, least: u64, most: u64| assert!((least..=most).contains(&seen), "{what}: {seen}, expected {least} to {most}: {self:?}");
        within("dropped", seen.dropped, self.dropped - self.late_dropped, self.dropped);
        within(
            "cleared",
            seen.cleared,
            self.cleared - self.late_cleared,
            self.cleared + self.limbo.len() as u64 + self.void_orphans(),
        );
        within("lost", seen.lost, self.lost, self.lost + count(|limbo| !limbo.void || limbo.either));
    }

    /// The doctor has resolved all who are dead: now the figures are exact.
    pub(super) fn settled(&mut self, seen: &Stats) {
        self.figures(seen);
        self.all_announced();
        assert!(seen.adds_up() && seen.seats_dead == 0, "{seen:?}\n{self:?}");
        assert_eq!(seen.dropped, self.dropped, "{self:?}");
        // Void orphans: each still lies there, or some consumer that looked has cleared it.
        let void = self.void_orphans();
        let due = (self.hands() + self.live_orphans().len()) as u64;
        assert!((due..=due + void).contains(&seen.held), "held: {seen:?}\n{self:?}");
        let there = (seen.held - due) as usize;
        // Oldest first; all void ones are older than any live one.
        self.orphans.sort_by_key(|item| item.id);
        self.orphans.drain(..void as usize - there);
        // At-most-once: each item in a dead hand counts as lost, or as cleared if it was void when somebody looked.
        let lost = seen.lost - self.lost;
        let must = self.limbo.iter().filter(|limbo| !limbo.either && !self.void(&limbo.item)).count() as u64;
        assert!(lost >= must, "{lost} lost, {must} died in a dead hand: {self:?}");
        let cleared = self.cleared + self.limbo.len() as u64 - lost + void - there as u64;
        assert_eq!(seen.cleared, cleared, "{seen:?}\n{self:?}");
        self.lost = seen.lost;
        self.cleared = cleared;
        self.limbo.clear();
        self.late_dropped = 0;
        self.late_cleared = 0;
    }
}
