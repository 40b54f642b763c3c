//! The reference: blocks of items in a `VecDeque`, hands, orphans, and counters that are exact
//! except for what the dead have not counted yet.
//!
//! It knows what an operation is to do, not how; where that depends on which seats are free, it looks at the outcome and asks whether it may be so.

use super::ENDS;
use super::guard::Shown;
use super::plan::Plan;
use prodcon::{ErrorKind, State};
use std::collections::VecDeque;

/// Items that move together.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// Not acknowledged, oldest first.
    pub(super) ids: VecDeque<u64>,
    pub(super) epoch: u64,
    /// Deliveries after the first.
    pub(super) again: u32,
    /// As many more may have been noted by endpoints that died delivering it.
    pub(super) maybe: u32,
}

impl Block {
    pub(super) fn items(&self) -> u64 {
        self.ids.len() as u64
    }
}

/// A block in a living hand: items that a guard shows and that are acknowledged already, then such that are not; behind them some that are not shown.
#[derive(Clone, Debug)]
pub(super) struct InHand {
    pub(super) block: Block,
    pub(super) done: usize,
    pub(super) shown: usize,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Owner {
    pub(super) hand: VecDeque<InHand>,
    /// A guard is alive. Else what is shown was forgotten.
    pub(super) guard: bool,
    /// It is a `Batch` of blocks put aside: it throws a cleared rest away; after another guard the next get does that.
    pub(super) several: bool,
    /// One of the orphans may lie in its seat: it gave some back, and there may have been no seat free to leave them in.
    pub(super) keeps: bool,
    /// `announcements` when it last found no orphan.
    pub(super) looked: Option<u64>,
}

/// At-most-once: items in a dead hand, still to be counted.
#[derive(Debug)]
pub(super) struct Limbo {
    pub(super) block: Block,
    /// They were void when their holder died: they count as cleared.
    pub(super) void: bool,
    /// They may count as lost although they are void: their holder may have died counting them.
    pub(super) either: bool,
}

#[derive(Debug)]
pub(super) struct Model {
    pub(super) plan: Plan,
    pub(super) ring: VecDeque<Block>,
    pub(super) owners: [Option<Owner>; ENDS],
    /// At-least-once: in seats without an owner. Void ones may be gone already, after any
    /// endpoint's look.
    pub(super) orphans: Vec<Block>,
    pub(super) limbo: Vec<Limbo>,
    /// How often orphans were announced for certain.
    announcements: u64,
    /// Somebody died, and no doctor has come since.
    pub(super) unresolved: bool,
    pub(super) epoch: u64,
    pub(super) ready: bool,
    pub(super) state: State,
    /// Blocks put and removed; a position that was skipped counts as both.
    pub(super) positions: (u64, u64),
    pub(super) puts: u64,
    pub(super) gets: u64,
    pub(super) dropped: u64,
    pub(super) cleared: u64,
    pub(super) lost: u64,
    pub(super) redelivered: u64,
    pub(super) dead_lettered: u64,
    /// As many of these may not be counted yet.
    pub(super) late_puts: u64,
    pub(super) late_dropped: u64,
    pub(super) late_cleared: u64,
    pub(super) late_skipped: u64,
}

impl Model {
    pub(super) fn new(plan: Plan) -> Self {
        Self {
            plan,
            ring: VecDeque::new(),
            owners: [const { None }; ENDS],
            orphans: vec![],
            limbo: vec![],
            announcements: 0,
            unresolved: false,
            epoch: 0,
            ready: true,
            state: State::Started,
            positions: (0, 0),
            puts: 0,
            gets: 0,
            dropped: 0,
            cleared: 0,
            lost: 0,
            redelivered: 0,
            dead_lettered: 0,
            late_puts: 0,
            late_dropped: 0,
            late_cleared: 0,
            late_skipped: 0,
        }
    }

    pub(super) fn void(&self, block: &Block) -> bool {
        block.epoch < self.epoch
    }

    pub(super) fn owner(&mut self, who: usize) -> &mut Owner {
        self.owners[who].as_mut().expect("an endpoint")
    }

    pub(super) fn in_ring(&self) -> u64 {
        self.ring.iter().map(Block::items).sum()
    }

    /// Those that were not cleared.
    pub(super) fn live_in_ring(&self) -> u64 {
        self.ring
            .iter()
            .filter(|block| !self.void(block))
            .map(Block::items)
            .sum()
    }

    /// Items in living hands.
    pub(super) fn in_hands(&self) -> u64 {
        let hands = self.owners.iter().flatten().flat_map(|owner| &owner.hand);
        hands.map(|hand| hand.block.items()).sum()
    }

    /// Items that a consumer is still to get.
    pub(super) fn due(&self) -> u64 {
        self.orphans
            .iter()
            .chain(&self.ring)
            .filter(|block| !self.void(block))
            .map(Block::items)
            .sum()
    }

    pub(super) fn attached(&mut self, who: usize) {
        self.owners[who] = Some(Owner::default());
    }

    pub(super) fn gone(&mut self, who: usize) -> Owner {
        self.owners[who].take().expect("an endpoint")
    }

    /// Every consumer must look again.
    pub(super) fn announced(&mut self) {
        self.announcements += 1;
    }

    /// A recovery pass went over all seats: whatever lies there was announced.
    pub(super) fn all_announced(&mut self) {
        // Void ones may be gone.
        if !self.live_orphans().is_empty() {
            self.announced();
        }
    }

    /// A normal end, with whatever is in hand.
    pub(super) fn closed(&mut self, who: usize) {
        let owner = self.gone(who);
        for hand in owner.hand {
            let items = hand.block.items();
            if items == 0 {
                continue;
            }
            if self.plan.at_least_once {
                self.orphans.push(hand.block);
                self.announced();
            } else if self.void(&hand.block) {
                self.cleared += items;
            } else {
                self.lost += items;
            }
        }
    }

    // ---------------------------------------------------------------- what goes back

    /// Everything shown goes back, by a nack or because it was forgotten.
    pub(super) fn give_back(&mut self, who: usize) {
        let owner = self.owner(who);
        owner.guard = false;
        let several = std::mem::take(&mut owner.several);
        let hand = std::mem::take(&mut owner.hand);
        let put_back = hand.back().is_some_and(|last| last.done > 0);
        for mut hand in hand {
            hand.done = 0;
            if hand.block.ids.is_empty() {
                // Acknowledged in place.
            } else if hand.shown == 0 {
                // Behind items that were acknowledged in place, or not shown at all: stays with this endpoint.
                self.owner(who).hand.push_back(hand);
            } else if self.plan.at_least_once {
                self.orphans.push(hand.block);
                self.owner(who).keeps = true;
            } else {
                self.lost += hand.block.items();
            }
        }
        if several && put_back {
            self.throw_rest_away(who);
        }
    }

    /// What it has just taken with a seat of its own went back with that seat.
    pub(super) fn went_back(&mut self, who: usize) {
        let owner = self.owner(who);
        owner.guard = false;
        let hand = owner.hand.pop_back().expect("it took something");
        assert!(hand.shown == hand.block.ids.len() && hand.done == 0);
        self.orphans.push(hand.block);
        self.announced();
    }

    /// What a guard showed that was forgotten, before the endpoint's next operation.
    fn settle_forgotten(&mut self, who: usize) {
        if !self.owner(who).guard {
            self.give_back(who);
        }
    }

    /// It does not keep any: all were left, and announced. (Or, of what was forgotten: cleared by its next get.)
    pub(super) fn keeps_none(&mut self, who: usize, announced: bool) {
        self.owner(who).keeps = false;
        if announced {
            self.announced();
        }
    }

    pub(super) fn forgot(&mut self, who: usize) {
        self.owner(who).guard = false;
    }

    // ---------------------------------------------------------------- put

    /// `blocks`: the items, as they are put together.
    pub(super) fn put(
        &mut self,
        who: usize,
        blocks: &[&[u64]],
        put: usize,
        error: Option<ErrorKind>,
    ) {
        self.settle_forgotten(who);
        let mut done = 0;
        for block in blocks {
            // An endpoint with items in hand needs another seat for a put.
            if error == Some(ErrorKind::NoSeat) && done == put {
                let owner = self.owner(who);
                assert!(owner.keeps || !owner.hand.is_empty(), "nothing in hand");
                return;
            }
            if let Some(refused) = self.put_refused() {
                assert_eq!((put, error), (done, Some(refused)), "put");
                return;
            }
            self.pushed(block);
            done += block.len();
        }
        assert_eq!((put, error), (done, None), "put");
    }

    /// Why the next put is not done.
    fn put_refused(&self) -> Option<ErrorKind> {
        let full = self.ring.len() == self.plan.capacity as usize;
        if self.state != State::Started {
            Some(ErrorKind::Stopped)
        } else if !self.ready {
            Some(ErrorKind::NotReady)
        } else if full && !self.plan.lossy && !self.void(&self.ring[0]) {
            Some(ErrorKind::Full)
        } else {
            None
        }
    }

    /// A put happened. Returns the block that made room.
    pub(super) fn pushed(&mut self, ids: &[u64]) -> Option<Block> {
        let oldest = if self.ring.len() == self.plan.capacity as usize {
            self.pop()
        } else {
            None
        };
        match &oldest {
            Some(block) if self.void(block) => self.cleared += block.items(),
            Some(block) => {
                assert!(
                    self.plan.lossy,
                    "live items were dropped from a queue that is not lossy"
                );
                self.dropped += block.items();
            }
            None => {}
        }
        self.positions.0 += 1;
        self.puts += ids.len() as u64;
        let epoch = self.epoch;
        self.ring.push_back(Block {
            ids: ids.iter().copied().collect(),
            epoch,
            again: 0,
            maybe: 0,
        });
        oldest
    }

    /// Somebody was about to say, or said, that the stream has ended.
    pub(super) fn skipped(&mut self) {
        assert!(
            self.state == State::StopAtQueueEnd,
            "a position was skipped, state {}",
            self.state
        );
        self.positions = (self.positions.0 + 1, self.positions.1 + 1);
    }

    pub(super) fn pop(&mut self) -> Option<Block> {
        let block = self.ring.pop_front()?;
        self.positions.1 += 1;
        Some(block)
    }

    // ---------------------------------------------------------------- get

    /// Live orphans, oldest first.
    pub(super) fn live_orphans(&self) -> Vec<Block> {
        let mut live: Vec<_> = self
            .orphans
            .iter()
            .filter(|block| !self.void(block))
            .cloned()
            .collect();
        live.sort_by_key(|block| block.ids[0]);
        live
    }

    fn is_next_orphan(&self, id: u64) -> bool {
        self.live_orphans()
            .first()
            .is_some_and(|block| block.ids[0] == id)
    }

    /// Consumers that have not looked since an orphan was announced must not pass it over.
    pub(super) fn check_looked(&self, looked: Option<u64>) {
        let live = self.live_orphans();
        assert!(
            looked == Some(self.announcements) || live.is_empty(),
            "passed over, though announced: {live:?}"
        );
    }

    /// An orphan's item went to the dead letters. `who` was about to deliver it. `any`: perhaps after others.
    pub(super) fn buried(&mut self, who: usize, id: u64, any: bool) {
        let oldest = self.is_next_orphan(id);
        // What it kept, if anything, comes first.
        let any = std::mem::take(&mut self.owner(who).keeps) || any;
        let at = self
            .orphans
            .iter()
            .position(|block| block.ids[0] == id)
            .expect("a letter that was no orphan");
        let block = &mut self.orphans[at];
        assert!(any || oldest, "a letter, but not the oldest orphan: {id}");
        assert!(
            block.again + block.maybe + 1 >= self.plan.limit.into(),
            "a letter too early: {block:?}"
        );
        block.ids.pop_front();
        if block.ids.is_empty() {
            self.orphans.swap_remove(at);
        }
        self.gets += 1;
        self.dead_lettered += 1;
    }

    /// The block that begins with this item comes to `who`. Checks that it is the right one, that cleared ones before it were thrown away, and how often it is delivered.
    fn next(
        &mut self,
        who: usize,
        (id, deliveries): (u64, Option<u32>),
        letters_full: bool,
    ) -> Block {
        self.throw_rest_away(who);
        let live = self.live_orphans();
        if let Some(at) = self
            .orphans
            .iter()
            .position(|block| block.ids[0] == id && block.epoch == self.epoch)
        {
            let keeps = std::mem::take(&mut self.owner(who).keeps);
            assert!(
                live[0].ids[0] == id || keeps,
                "an orphan, but not the oldest of {live:?}"
            );
            let mut block = self.orphans.swap_remove(at);
            let due = self.plan.limit > 0 && block.again + 1 >= self.plan.limit.into();
            assert!(
                !due || letters_full,
                "should have gone to the dead letters: {block:?}"
            );
            self.redelivered += block.items();
            block.again += 1;
            // `came` checks it.
            if let Some(deliveries) = deliveries
                && (block.again..=block.again + block.maybe).contains(&(deliveries - 1))
            {
                block.again = deliveries - 1;
                block.maybe = 0;
            }
            return block;
        }
        let looked = self.owner(who).looked;
        self.check_looked(looked);
        self.owner(who).looked = Some(self.announcements);
        self.throw_away();
        let block = self.pop().expect("an item from an empty queue");
        assert_eq!(id, block.ids[0], "the oldest item");
        block
    }

    /// Cleared blocks at the front.
    pub(super) fn throw_away(&mut self) {
        while self.ring.front().is_some_and(|block| self.void(block)) {
            self.cleared += self.pop().map_or(0, |block| block.items());
        }
    }

    /// The rests of blocks that were cleared: what a `Batch` shows last may have a rest, and blocks before it whose rest was cleared when it took more.
    fn throw_rest_away(&mut self, who: usize) {
        let epoch = self.epoch;
        let mut cleared = 0;
        self.owner(who).hand.retain(|hand| {
            let rest = hand.done == 0 && hand.shown == 0 && hand.block.epoch < epoch;
            cleared += if rest { hand.block.items() } else { 0 };
            !rest
        });
        self.cleared += cleared;
    }

    /// This item is an orphan that `who` kept, and so came before anything else, letters too: an older one is still there.
    fn is_kept(&mut self, who: usize, id: u64, letters: &[u64]) -> bool {
        let live: Vec<_> = self
            .live_orphans()
            .iter()
            .map(|block| block.ids[0])
            .collect();
        self.owner(who).keeps
            && live.contains(&id)
            && live
                .iter()
                .any(|older| *older < id && !letters.contains(older))
    }

    /// Items came to `who`, by numbers and deliveries. They are shown by a guard. `letters`: what went to the dead letters meanwhile; `letters_full`: no more found room there.
    pub(super) fn came(
        &mut self,
        who: usize,
        items: &[(u64, Option<u32>)],
        several: bool,
        letters: &[u64],
        letters_full: bool,
    ) {
        assert!(self.state != State::Stopped);
        self.settle_forgotten(who);
        let mut letters = letters;
        let mut items = items;
        while let Some(first) = items.first() {
            self.throw_rest_away(who);
            let epoch = self.epoch;
            let begun =
                |hand: &InHand| hand.shown < hand.block.ids.len() && hand.block.epoch == epoch;
            if !self.owner(who).hand.back().is_some_and(begun) {
                // Letters on the way to this item.
                let kept = self.is_kept(who, first.0, letters);
                while let [letter, rest @ ..] = letters
                    && !kept
                    && (self.is_next_orphan(*letter) || self.owner(who).keeps)
                    && *letter != first.0
                {
                    self.buried(who, *letter, false);
                    letters = rest;
                }
                let block = self.next(who, *first, letters_full);
                self.owner(who).hand.push_back(InHand {
                    block,
                    done: 0,
                    shown: 0,
                });
            }
            let hand = self
                .owner(who)
                .hand
                .back_mut()
                .expect("it has a rest or was just put there");
            let rest = hand.block.ids.iter().skip(hand.shown);
            let count = rest
                .zip(items)
                .take_while(|(id, item)| **id == item.0)
                .count();
            assert!(count > 0, "{first:?}, expected the rest of {hand:?}");
            for deliveries in items[..count].iter().filter_map(|item| item.1) {
                let known = hand.block.again..=hand.block.again + hand.block.maybe;
                assert!(
                    known.contains(&(deliveries - 1)),
                    "{hand:?} delivered {deliveries} times"
                );
            }
            hand.shown += count;
            items = &items[count..];
        }
        letters.iter().for_each(|id| self.buried(who, *id, false));
        let announcements = self.announcements;
        let owner = self.owner(who);
        (owner.guard, owner.several) = (true, several);
        if several {
            // It may have looked for more, and found none.
            owner.looked = Some(announcements);
        }
    }

    /// Nothing came.
    pub(super) fn nothing(&mut self, who: usize, error: ErrorKind, letters: &[u64]) {
        if self.state == State::Stopped {
            assert_eq!((error, letters), (ErrorKind::Stopped, &[][..]));
            return;
        }
        self.settle_forgotten(who);
        letters.iter().for_each(|id| self.buried(who, *id, false));
        self.throw_rest_away(who);
        let epoch = self.epoch;
        let rest = self
            .owner(who)
            .hand
            .iter()
            .any(|hand| hand.block.ids.len() > hand.shown && hand.block.epoch == epoch);
        assert!(
            !rest,
            "{error:?}, but it has the rest of a block: {:?}",
            self.owner(who)
        );
        let looked = self.owner(who).looked;
        self.check_looked(looked);
        self.owner(who).looked = Some(self.announcements);
        self.throw_away();
        assert!(
            self.ring.is_empty(),
            "{error:?}, but there is {:?}",
            self.ring[0]
        );
        let others = self
            .owners
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != who);
        let held = !self.live_orphans().is_empty()
            || others
                .flat_map(|(_, owner)| owner)
                .flat_map(|owner| &owner.hand)
                .any(|hand| !hand.block.ids.is_empty() && !self.void(&hand.block));
        let in_hand = !self.owner(who).hand.is_empty();
        match (self.state, error) {
            (State::Started, ErrorKind::Empty) => {}
            // An endpoint that has items in hand and wants more is told of the end whatever others
            // have.
            (State::StopAtQueueEnd, ErrorKind::Stopped) => {
                assert!(
                    !self.plan.at_least_once || !held || in_hand,
                    "end of stream, but an item may come back"
                );
                self.skipped();
            }
            // A void orphan, or a dead one that nobody has resolved, may look like an item that comes back.
            (State::StopAtQueueEnd, ErrorKind::Empty) => assert!(self.plan.at_least_once),
            (state, error) => panic!("{error:?} from an empty queue, {state}"),
        }
    }

    /// The next `count` of what a guard shows are acknowledged, and shown no more.
    pub(super) fn acknowledged(&mut self, who: usize, mut count: usize) {
        let mut gets = 0;
        let owner = self.owner(who);
        let put_back = owner
            .hand
            .back()
            .is_some_and(|last| last.done + last.shown > 0);
        for hand in &mut owner.hand {
            let done = count.min(hand.done);
            hand.done -= done;
            let now = (count - done).min(hand.shown);
            hand.shown -= now;
            hand.block.ids.drain(..now);
            gets += now as u64;
            count -= done + now;
        }
        owner
            .hand
            .retain(|hand| hand.done > 0 || !hand.block.ids.is_empty());
        let several = owner.several;
        self.gets += gets;
        // (Only of blocks of which nothing is shown any more: `throw_rest_away` looks.)
        if several && put_back {
            self.throw_rest_away(who);
        }
    }

    /// All that a guard shows is acknowledged, and still shown.
    pub(super) fn acknowledged_in_place(&mut self, who: usize) {
        let mut gets = 0;
        for hand in &mut self.owner(who).hand {
            hand.block.ids.drain(..hand.shown);
            gets += hand.shown as u64;
            hand.done += std::mem::take(&mut hand.shown);
        }
        self.gets += gets;
    }

    /// The guard is gone, with all it showed acknowledged.
    pub(super) fn done(&mut self, who: usize) {
        self.acknowledged(who, usize::MAX);
        let owner = self.owner(who);
        (owner.guard, owner.several) = (false, false);
    }

    // ---------------------------------------------------------------- gate

    /// `alive`: the change was made. Else it was made or not.
    pub(super) fn gate_moved(
        &mut self,
        alive: bool,
        clears: bool,
        ready: Option<bool>,
        now: (u64, bool),
    ) {
        let clears = clears && (ready.is_none() || self.ready);
        let new = (self.epoch + u64::from(clears), ready.unwrap_or(self.ready));
        assert!(
            now == new || !alive && now == (self.epoch, self.ready),
            "gate: {now:?}, expected {new:?}"
        );
        (self.epoch, self.ready) = now;
    }
}

/// As a get shows items: by numbers alone.
pub(super) fn numbers(ids: &[u64]) -> Vec<(u64, Option<u32>)> {
    ids.iter().map(|id| (*id, None)).collect()
}

/// As a guard shows them.
pub(super) fn counted(shown: &[Shown]) -> Vec<(u64, Option<u32>)> {
    shown
        .iter()
        .map(|(id, deliveries)| (*id, Some(*deliveries)))
        .collect()
}
