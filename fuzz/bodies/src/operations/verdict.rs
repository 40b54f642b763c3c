//! What became of an operation whose caller died in it: read off the slots (puts, removals) and the acknowledgements, which are one store each; and what the counters may
//! say until the dead have been resolved.

use super::model::{Block, Limbo, Model};
use prodcon::{State, Stats};
use std::collections::BTreeMap;

impl Model {
    /// A dead hand.
    fn left(&mut self, block: Block, either: bool) {
        if block.ids.is_empty() {
        } else if self.plan.at_least_once {
            self.orphans.push(block);
        } else {
            let void = self.void(&block);
            self.limbo.push(Limbo {
                block,
                void,
                either,
            });
        }
    }

    /// Died in something that neither puts nor takes, or idle: what it had in hand is left. `counting`: it may have been counted as lost, void or not.
    pub(super) fn died_with_hand(&mut self, who: usize, counting: bool) {
        self.unresolved = true;
        for hand in self.gone(who).hand {
            self.left(hand.block, counting);
        }
    }

    pub(super) fn put_died(
        &mut self,
        who: usize,
        blocks: &[&[u64]],
        positions: (u64, u64),
        seen: &Stats,
    ) {
        self.died_with_hand(who, true);
        let put = (positions.0 - self.positions.0) as usize;
        assert!(put <= blocks.len(), "{put} puts of {blocks:?}");
        assert!(put == 0 || self.ready && self.state == State::Started);
        let mut oldest = None;
        for block in &blocks[..put] {
            oldest = self.pushed(block);
        }
        // Its last exchange may not be counted yet.
        if put > 0 && self.plan.batch > 1 {
            self.late_puts += blocks[put - 1].len() as u64;
        }
        match oldest {
            Some(block) if self.void(&block) => self.late_cleared += block.items(),
            Some(block) => self.late_dropped += block.items(),
            None => {}
        }
        self.figures(seen);
    }

    /// `several`: it was to have more than one block in hand. `letters`: what went to the dead letters meanwhile.
    pub(super) fn get_died(
        &mut self,
        who: usize,
        several: bool,
        letters: &[u64],
        positions: (u64, u64),
        seen: &Stats,
    ) {
        self.unresolved = true;
        assert!(seen.redelivered >= self.redelivered);
        self.redelivered = seen.redelivered;
        let mut acknowledged = (seen.gets - self.gets) as usize;
        // A letter is counted and acknowledged one by one, after it was put there; only the last may be neither.
        let counted = (seen.dead_lettered - self.dead_lettered) as usize;
        let buried = letters.len().min(acknowledged);
        assert!(
            counted <= letters.len()
                && counted + 1 >= letters.len()
                && buried + 1 >= letters.len()
                && buried <= counted
        );
        letters[..buried]
            .iter()
            .for_each(|id| self.buried(who, *id, several));
        self.dead_lettered = seen.dead_lettered;
        acknowledged -= buried;
        self.gets = seen.gets;

        let owner = self.gone(who);
        let mut rest = None;
        for hand in owner.hand {
            if hand.shown > 0 || hand.block.ids.is_empty() || self.void(&hand.block) {
                self.left(hand.block, !owner.guard);
            } else {
                rest = Some(hand.block); // comes before anything else
            }
        }
        // Where it skipped, it may not have counted it.
        let skipped = self.catch_up_skipped(positions);
        self.late_skipped += skipped;
        let removed = positions.1 - self.positions.1;
        if let Some(mut rest) = rest {
            assert!(several || removed == 0, "it had the rest of a block");
            rest.ids.drain(..std::mem::take(&mut acknowledged));
            self.left(rest, true);
        } else if removed == 0 && !several {
            self.orphan_died(std::mem::take(&mut acknowledged), false);
        } else if !several {
            self.check_looked(owner.looked);
        }
        if several {
            assert_eq!(acknowledged, 0, "nobody acknowledged anything");
            self.orphan_died(0, true);
        }
        for number in 1..=removed {
            let mut block = self.pop().expect("more removals than items");
            if number < removed && self.void(&block) {
                self.cleared += block.items();
            } else {
                assert!(
                    number == removed || several,
                    "live items were passed over: {block:?}"
                );
                if number == removed && acknowledged > 0 {
                    assert!(
                        !self.void(&block),
                        "cleared items were delivered: {block:?}"
                    );
                    block.ids.drain(..std::mem::take(&mut acknowledged));
                }
                self.left(block, false);
            }
        }
        assert_eq!(acknowledged, 0, "an acknowledgement of nothing");
        assert!(
            skipped == 0 || self.ring.is_empty(),
            "the end of a stream, but there is {:?}",
            self.ring
        );
        self.figures(seen);
    }

    /// A position that was skipped where the caller was not told: it died, or has other items to show.
    fn catch_up_skipped(&mut self, positions: (u64, u64)) -> u64 {
        let skipped = positions.0 - self.positions.0;
        assert!(skipped <= 1, "{skipped} positions were skipped");
        if skipped == 1 {
            self.skipped();
        }
        skipped
    }

    /// It may have died delivering the oldest orphan (`several`: any), after it acknowledged this
    /// many items of it.
    fn orphan_died(&mut self, acknowledged: usize, several: bool) {
        let oldest = self.live_orphans().first().map(|block| block.ids[0]);
        let epoch = self.epoch;
        for block in &mut self.orphans {
            let oldest = oldest == Some(block.ids[0]);
            if block.epoch == epoch && (several || oldest) {
                block.maybe += 1;
            }
            if oldest {
                block.ids.drain(..acknowledged);
            }
        }
        assert!(
            acknowledged == 0 || oldest.is_some(),
            "an acknowledgement of nothing"
        );
        self.orphans.retain(|block| !block.ids.is_empty());
    }

    /// Died acknowledging what its guard showed.
    pub(super) fn acknowledge_died(&mut self, who: usize, seen: &Stats) {
        self.unresolved = true;
        let mut acknowledged = (seen.gets - self.gets) as usize;
        self.gets = seen.gets;
        for mut hand in self.gone(who).hand {
            let now = acknowledged.min(hand.block.ids.len());
            hand.block.ids.drain(..now);
            acknowledged -= now;
            self.left(hand.block, false);
        }
        assert_eq!(acknowledged, 0, "an acknowledgement of nothing");
        self.figures(seen);
    }

    pub(super) fn clear_died(&mut self, who: usize, positions: (u64, u64), seen: &Stats) {
        self.died_with_hand(who, false);
        let mut last = 0;
        while self.positions.1 < positions.1 {
            let block = self.pop().expect("more removals than items");
            assert!(self.void(&block), "live items were drained: {block:?}");
            last = block.items();
            self.cleared += last;
        }
        self.late_cleared += last;
        self.figures(seen);
    }

    /// Somebody alive has thrown cleared blocks away, more of them than it had to.
    pub(super) fn catch_up(&mut self, positions: (u64, u64)) {
        let skipped = self.catch_up_skipped(positions);
        while self.positions.1 < positions.1 {
            let block = self.pop().expect("more removals than items");
            assert!(self.void(&block), "live items are gone: {block:?}");
            self.cleared += block.items();
        }
        assert!(
            skipped == 0 || self.ring.is_empty(),
            "the end of a stream, but there is {:?}",
            self.ring
        );
        assert_eq!(positions, self.positions, "puts and removals");
    }

    fn void_orphans(&self) -> u64 {
        self.orphans
            .iter()
            .filter(|block| self.void(block))
            .map(Block::items)
            .sum()
    }

    fn limbo(&self, which: impl Fn(&Limbo) -> bool) -> u64 {
        self.limbo
            .iter()
            .filter(|limbo| which(limbo))
            .map(|limbo| limbo.block.items())
            .sum()
    }

    /// Figures at any time at which nobody alive is in mid-operation.
    pub(super) fn figures(&self, seen: &Stats) {
        assert_eq!(
            (seen.gets, seen.len, seen.redelivered, seen.dead_lettered),
            (
                self.gets,
                self.in_ring(),
                self.redelivered,
                self.dead_lettered
            ),
            "gets, len, redelivered, dead letters: {self:?}"
        );
        assert_eq!(
            (seen.epoch, seen.ready, seen.state),
            (self.epoch, self.ready, self.state)
        );
        let within = |what, seen: u64, least: u64, most: u64| {
            assert!(
                (least..=most).contains(&seen),
                "{what}: {seen}, expected {least} to {most}: {self:?}"
            )
        };
        within(
            "puts",
            seen.puts,
            self.puts - self.late_puts,
            self.puts + self.late_skipped,
        );
        within(
            "dropped",
            seen.dropped,
            self.dropped - self.late_dropped,
            self.dropped,
        );
        let unsure = self.limbo(|_| true) + self.void_orphans();
        within(
            "cleared",
            seen.cleared,
            self.cleared - self.late_cleared,
            self.cleared + unsure,
        );
        within(
            "lost",
            seen.lost,
            self.lost,
            self.lost + self.limbo(|limbo| !limbo.void || limbo.either),
        );
    }

    /// The doctor has resolved all who are dead: now the figures are exact.
    pub(super) fn settled(&mut self, seen: &Stats) {
        self.figures(seen);
        self.all_announced();
        assert!(seen.adds_up() && seen.seats_dead == 0, "{seen:?}\n{self:?}");
        assert_eq!(
            (seen.puts, seen.dropped),
            (self.puts, self.dropped),
            "{self:?}"
        );
        // Void orphans: each still lies there, or some consumer that looked has cleared it. Which ones does not matter, for nobody gets them.
        let (void, live): (Vec<_>, Vec<_>) = std::mem::take(&mut self.orphans)
            .into_iter()
            .partition(|block| self.void(block));
        self.orphans = live;
        let due = self.in_hands() + self.orphans.iter().map(Block::items).sum::<u64>();
        let there = seen
            .unacked
            .checked_sub(due)
            .unwrap_or_else(|| panic!("unacked: {seen:?}\n{self:?}"));
        let mut cleared = void.iter().map(Block::items).sum::<u64>();
        let mut sets = BTreeMap::from([(0, 0u64)]);
        for (number, block) in void.iter().enumerate() {
            let more: Vec<_> = sets
                .iter()
                .map(|(items, set)| (items + block.items(), set | 1 << number))
                .collect();
            for (items, set) in more {
                sets.entry(items).or_insert(set);
            }
        }
        let set = *sets
            .get(&there)
            .unwrap_or_else(|| panic!("unacked: {seen:?}\n{void:?}\n{self:?}"));
        cleared -= there;
        let remain = void
            .into_iter()
            .enumerate()
            .filter(|(number, _)| set >> number & 1 == 1);
        self.orphans.extend(remain.map(|(_, block)| block));
        // At-most-once: what was in a dead hand counts as lost, or as cleared if it was void when somebody looked.
        let lost = seen.lost - self.lost;
        let must = self.limbo(|limbo| !limbo.either && !self.void(&limbo.block));
        assert!(
            lost >= must,
            "{lost} lost, {must} died in a dead hand: {self:?}"
        );
        cleared += self.limbo(|_| true) - lost;
        assert_eq!(
            seen.cleared,
            self.cleared + cleared,
            "cleared: {seen:?}\n{self:?}"
        );
        self.lost = seen.lost;
        self.cleared = seen.cleared;
        self.limbo.clear();
        (
            self.late_puts,
            self.late_dropped,
            self.late_cleared,
            self.late_skipped,
        ) = (0, 0, 0, 0);
        self.unresolved = false;
    }
}
