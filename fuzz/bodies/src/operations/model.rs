//! The reference: a `VecDeque`, hands, orphans, and counters that are exact but for what the dead have not counted yet.

use super::ENDS;
use super::end::Got;
use arbitrary::{Result, Unstructured};
use prodcon::{GetError, PutError, State};
use std::collections::VecDeque;
use std::ops::Range;

/// What the queue is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) capacity: u32,
    pub(super) seats: u32,
    pub(super) lossy: bool,
    pub(super) at_least_once: bool,
    pub(super) bytes: bool,
}

impl Plan {
    pub(super) fn choose(input: &mut Unstructured) -> Result<Self> {
        Ok(Self {
            capacity: *input.choose(&[1, 1, 2, 2, 3, 4, 5, 9])?,
            seats: input.int_in_range(1..=6)?,
            lossy: input.arbitrary()?,
            at_least_once: input.arbitrary()?,
            bytes: input.arbitrary()?,
        })
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    pub(super) id: u64,
    pub(super) epoch: u64,
    /// Deliveries after the first.
    pub(super) again: u32,
    /// As many more may have been noted by those who died delivering it.
    pub(super) maybe: u32,
}

/// An item in a living hand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hand {
    pub(super) item: Item,
    /// In a second seat: that of its first taker.
    pub(super) adopted: bool,
    /// Its guard is alive; else it was forgotten, or kept because there was no free seat.
    pub(super) guard: bool,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Owner {
    pub(super) hand: Option<Hand>,
    /// `announcements` when it last found no orphan.
    looked: Option<u64>,
}

/// At-most-once: an item in a dead hand, still to be counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limbo {
    pub(super) item: Item,
    /// It was void when its holder died, and nobody had begun to count it: it counts as cleared.
    pub(super) void: bool,
    /// It may count as lost although it is void: its holder may have died counting it.
    pub(super) either: bool,
}

#[derive(Debug)]
pub(super) struct Model {
    pub(super) plan: Plan,
    pub(super) ring: VecDeque<Item>,
    pub(super) owners: [Option<Owner>; ENDS],
    /// At-least-once: in seats without an owner. Void ones may be gone already, whoever looked.
    pub(super) orphans: Vec<Item>,
    pub(super) limbo: Vec<Limbo>,
    /// How often orphans were announced for certain.
    announcements: u64,
    pub(super) epoch: u64,
    pub(super) ready: bool,
    pub(super) state: State,
    pub(super) puts: u64,
    pub(super) gets: u64,
    pub(super) dropped: u64,
    pub(super) cleared: u64,
    pub(super) lost: u64,
    pub(super) redelivered: u64,
    /// As many of `dropped` and `cleared` may not be counted yet.
    pub(super) late_dropped: u64,
    pub(super) late_cleared: u64,
}

impl Model {
    pub(super) fn new(plan: Plan) -> Self {
        Self {
            plan,
            ring: VecDeque::new(),
            owners: [None; ENDS],
            orphans: vec![],
            limbo: vec![],
            announcements: 0,
            epoch: 0,
            ready: true,
            state: State::Started,
            puts: 0,
            gets: 0,
            dropped: 0,
            cleared: 0,
            lost: 0,
            redelivered: 0,
            late_dropped: 0,
            late_cleared: 0,
        }
    }

    pub(super) fn void(&self, item: &Item) -> bool {
        item.epoch < self.epoch
    }

    fn owner(&mut self, who: usize) -> &mut Owner {
        self.owners[who].as_mut().expect("an endpoint")
    }

    pub(super) fn has_hand(&self, who: usize) -> bool {
        self.owners[who].is_some_and(|owner| owner.hand.is_some())
    }

    /// Items in living hands.
    pub(super) fn hands(&self) -> usize {
        self.owners.iter().flatten().filter(|owner| owner.hand.is_some()).count()
    }

    pub(super) fn live_seats(&self) -> u32 {
        let seats = |owner: &Owner| 1 + u32::from(owner.hand.is_some_and(|hand| hand.adopted));
        self.owners.iter().flatten().map(seats).sum()
    }

    /// Items that a consumer is still to get.
    pub(super) fn due(&self) -> usize {
        self.orphans.iter().chain(&self.ring).filter(|item| !self.void(item)).count()
    }

    pub(super) fn attached(&mut self, who: usize) {
        self.owners[who] = Some(Owner::default());
    }

    pub(super) fn gone(&mut self, who: usize) -> Option<Hand> {
        self.owners[who].take().and_then(|owner| owner.hand)
    }

    /// Every consumer must look again.
    pub(super) fn announced(&mut self) {
        self.announcements += 1;
    }

    /// A recovery pass went over all seats: whatever lies there was announced.
    pub(super) fn all_announced(&mut self) {
        if !self.orphans.is_empty() {
            self.announced();
        }
    }

    /// A normal end, with whatever is in hand.
    pub(super) fn closed(&mut self, who: usize) {
        if let Some(hand) = self.gone(who) {
            if self.plan.at_least_once {
                self.orphans.push(hand.item);
                self.announced();
            } else if self.void(&hand.item) {
                self.cleared += 1;
            } else {
                self.lost += 1;
            }
        }
    }

    /// The item of a guard that was forgotten, before the endpoint's next operation.
    fn settle_forgotten(&mut self, who: usize) {
        let at_least_once = self.plan.at_least_once;
        let hand = &mut self.owner(who).hand;
        match *hand {
            Some(Hand { item, adopted: true, .. }) => {
                *hand = None;
                self.orphans.push(item);
                self.announced();
            }
            Some(_) if !at_least_once => {
                *hand = None;
                self.lost += 1;
            }
            _ => {}
        }
    }

    // ---------------------------------------------------------------- put

    pub(super) fn put(&mut self, who: usize, ids: Range<u64>, put: u64, error: Option<PutError>) {
        let kept = self.owner(who).hand.is_some_and(|hand| !hand.adopted);
        if kept && self.plan.at_least_once {
            assert!(put == 0 && matches!(error, Some(PutError::InHand { .. })), "{error:?}");
            return;
        }
        self.settle_forgotten(who);
        let mut done = 0;
        for id in ids {
            if let Some(refused) = self.put_refused() {
                assert_eq!((put, error), (done, Some(refused)), "put");
                return;
            }
            self.pushed(id);
            done += 1;
        }
        assert_eq!((put, error), (done, None), "put");
    }

    /// Why the next put is not done.
    fn put_refused(&self) -> Option<PutError> {
        let full = self.ring.len() == self.plan.capacity as usize;
        if self.state != State::Started {
            Some(PutError::Stopped)
        } else if !self.ready {
            Some(PutError::NotReady)
        } else if full && !self.plan.lossy && !self.void(&self.ring[0]) {
            Some(PutError::Full)
        } else {
            None
        }
    }

    /// A put happened. Returns the item that made room.
    pub(super) fn pushed(&mut self, id: u64) -> Option<Item> {
        let oldest = if self.ring.len() == self.plan.capacity as usize { self.ring.pop_front() } else { None };
        match oldest {
            Some(item) if self.void(&item) => self.cleared += 1,
            Some(_) => {
                assert!(self.plan.lossy, "a live item was dropped from a queue that is not lossy");
                self.dropped += 1;
            }
            None => {}
        }
        self.puts += 1;
        let epoch = self.epoch;
        self.ring.push_back(Item {
            id,
            epoch,
            again: 0,
            maybe: 0,
        });
        oldest
    }

    // ---------------------------------------------------------------- get

    /// Live orphans, oldest first.
    pub(super) fn live_orphans(&self) -> Vec<Item> {
        let mut live: Vec<_> = self.orphans.iter().copied().filter(|item| !self.void(item)).collect();
        live.sort_by_key(|item| item.id);
        live
    }

    /// Consumers that have not looked since an orphan was announced must not pass it over.
    pub(super) fn check_looked(&self, owner: Option<Owner>) {
        let looked = owner.and_then(|owner| owner.looked);
        let live = self.live_orphans();
        assert!(looked == Some(self.announcements) || live.is_empty(), "passed over, though announced: {live:?}");
    }

    /// `guard`: it stays in hand. `adopted`: in a second seat. `orphan_seat`: the endpoint's own seat came with an orphan that nobody could name.
    pub(super) fn got(&mut self, who: usize, got: Got, guard: bool, adopted: bool, orphan_seat: bool) {
        if self.state == State::Stopped {
            assert_eq!(got, Err(GetError::Stopped));
            return;
        }
        self.settle_forgotten(who);
        if let Some(Hand { item, .. }) = self.owner(who).hand.take() {
            if !self.void(&item) {
                let (id, deliveries) = got.expect("the item that was kept");
                assert_eq!(id, item.id, "the item that was kept");
                self.delivered(who, item, deliveries, guard, false, true);
                return;
            }
            self.cleared += 1;
        }
        let live = self.live_orphans();
        if let Ok((id, deliveries)) = got
            && let Some(orphan) = live.iter().find(|item| item.id == id)
        {
            assert!(live[0].id == id || orphan_seat && !adopted, "an orphan, but not the oldest of {live:?}");
            self.orphans.retain(|item| item.id != id);
            self.delivered(who, *orphan, deliveries, guard, adopted, true);
            return;
        }
        self.check_looked(self.owners[who]);
        self.owner(who).looked = Some(self.announcements);
        while self.ring.front().is_some_and(|item| self.void(item)) {
            self.ring.pop_front();
            self.cleared += 1;
        }
        if let Some(item) = self.ring.pop_front() {
            let (id, deliveries) = got.expect("an item is there");
            assert_eq!(id, item.id, "the oldest item");
            self.delivered(who, item, deliveries, guard, false, false);
            return;
        }
        let others_hold = !live.is_empty() || self.hands() > 0;
        match (self.state, got) {
            (State::Started, Err(GetError::Empty)) => {}
            (State::StopAtQueueEnd, Err(GetError::Stopped)) => assert!(!self.plan.at_least_once || !others_hold, "end of stream, but an item may come back"),
            // A void orphan, or a dead one that nobody has resolved, may look like an item that comes back.
            (State::StopAtQueueEnd, Err(GetError::Empty)) => assert!(self.plan.at_least_once),
            (state, got) => panic!("{got:?} from an empty queue, {state}"),
        }
    }

    /// An item came, from the slots or `again`. Then it has been delivered as often as is known, or more often by those who may have died noting it.
    fn delivered(&mut self, who: usize, mut item: Item, deliveries: Option<u32>, guard: bool, adopted: bool, again: bool) {
        let least = item.again + u32::from(again);
        if let Some(deliveries) = deliveries {
            assert!((least..=least + item.maybe).contains(&(deliveries - 1)), "{item:?} delivered {deliveries} times");
            item.again = deliveries - 1;
            item.maybe = 0;
        }
        self.redelivered += u64::from(again);
        if guard {
            self.owner(who).hand = Some(Hand { item, adopted, guard });
        } else {
            self.gets += 1;
        }
    }

    pub(super) fn acknowledged(&mut self, who: usize) {
        if self.owner(who).hand.take().is_some() {
            self.gets += 1;
        }
    }

    /// After a nack. `kept`: there was no free seat to move to.
    pub(super) fn gave_back(&mut self, who: usize, kept: bool) {
        let Some(hand) = self.owner(who).hand else { return };
        if !self.plan.at_least_once {
            self.owner(who).hand = None;
            self.lost += 1;
        } else if kept {
            assert!(!hand.adopted, "an adopted item was kept");
            self.forgot(who);
        } else {
            self.owner(who).hand = None;
            self.orphans.push(hand.item);
            self.announced();
        }
    }

    pub(super) fn forgot(&mut self, who: usize) {
        if let Some(hand) = &mut self.owner(who).hand {
            hand.guard = false;
        }
    }

    // ---------------------------------------------------------------- gate

    /// A clear by an endpoint that lived: nothing void is left in the slots, unless its seat has an item in hand.
    pub(super) fn cleared_by(&mut self, who: usize) {
        if self.owner(who).hand.is_some_and(|hand| !hand.adopted) {
            return;
        }
        while self.ring.front().is_some_and(|item| self.void(item)) {
            self.ring.pop_front();
            self.cleared += 1;
        }
    }
}
