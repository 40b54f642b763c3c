//! The sequential specification: what a queue answers when nobody interferes, and the few things in
//! which an operation of several looks may differ from one that happens at once.
//!
//! - *State.* A put or get looks at the state, then acts. An operation that was let in by a state
//!   may act when the state has changed. But one that answers `Stopped` at the end of a stream
//!   shuts out all puts.
//! - *Clear.* Takes what is in the queue, in the hand and not shown, and left by the dead. A get may
//!   take an item that an overlapping clear then makes void: to others it is taken at once; the get
//!   throws it away once the clear has happened, and goes on. A put is before a clear or after it.
//! - *In hand.* A taken item is acknowledged, given back or lost, at a normal end as at a kill. What
//!   the dead leave under at-least-once comes to any consumer, when it likes; `Empty` and an item of
//!   the ring may come first.
//! - *Kills.* What is cut off has happened or not, at any time until the process has been waited for.
//! - *`len` and `is_empty` with batches* add up several blocks: exact when no change overlaps them.

use crate::checker::{Span, Specification};
use crate::history::{History, Kind, Said};

/// Processes of a history: four, one in a killed one's place, and the parent.
pub const PROCESSES: usize = 6;

pub const STOPPED: u64 = 1;
pub const STARTED: u64 = 2;
pub const AT_END: u64 = 3;

/// The items of a block, in a consumer's hand or left by one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Block {
    items: Vec<u64>,
    /// Delivered before.
    again: bool,
    /// So many of the first are shown by a guard.
    shown: usize,
    /// Those were cleared since.
    void: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    ready: bool,
    stream: u64,
    ring: Vec<Vec<u64>>,
    hands: [Block; PROCESSES],
    /// Left by consumers that died, ended or gave back.
    orphans: Vec<Block>,
    /// The state that the operation under way has seen; 0: none yet.
    seen: [u64; PROCESSES],
    /// Items that the get under way has taken and will throw away.
    doomed: [usize; PROCESSES],
    puts: u64,
    gets: u64,
    dropped: u64,
    /// Cleared or lost.
    gone: u64,
}

impl State {
    fn clear(&mut self) {
        let mut gone = self.ring.drain(..).map(|block| block.len()).sum::<usize>();
        gone += self
            .orphans
            .drain(..)
            .map(|block| block.items.len())
            .sum::<usize>();
        for hand in &mut self.hands {
            gone += hand.items.len() - hand.shown;
            hand.items.truncate(hand.shown);
            hand.void = true;
            if hand.items.is_empty() {
                *hand = Block::default();
            }
        }
        gone += self.doomed.iter_mut().map(std::mem::take).sum::<usize>();
        self.gone += gone as u64;
    }

    fn push(&mut self, block: &[u64], capacity: usize) {
        if self.ring.len() == capacity {
            self.dropped += self.ring.remove(0).len() as u64;
        }
        self.ring.push(block.to_vec());
        self.puts += block.len() as u64;
    }

    /// The first `items` in hand are acknowledged.
    fn acknowledge(&mut self, process: usize, items: usize) {
        let hand = &mut self.hands[process];
        hand.items.drain(..items);
        hand.shown = 0;
        if hand.items.is_empty() {
            *hand = Block::default();
        }
        self.gets += items as u64;
    }

    /// What is in hand is left to others, or lost.
    fn leave(&mut self, process: usize, at_least_once: bool) {
        let mut hand = std::mem::take(&mut self.hands[process]);
        if !at_least_once || hand.void {
            self.gone += hand.items.len() as u64;
        } else if !hand.items.is_empty() {
            (hand.again, hand.shown) = (true, 0);
            self.orphans.push(hand);
            self.orphans.sort();
        }
    }

    fn len(&self) -> usize {
        self.ring.iter().map(Vec::len).sum()
    }

    fn nothing_in_hand_but(&self, process: usize) -> bool {
        self.orphans.is_empty() && self.hands_but(process).all(|hand| hand.items.is_empty())
    }

    /// What was cleared in a hand never comes back.
    fn nothing_comes_back_but(&self, process: usize) -> bool {
        let mut hands = self.hands_but(process);
        self.orphans.is_empty() && hands.all(|hand| hand.items.is_empty() || hand.void)
    }

    fn hands_but(&self, process: usize) -> impl Iterator<Item = &Block> {
        let hands = self.hands.iter().enumerate();
        hands
            .filter(move |(of, _)| *of != process)
            .map(|(_, hand)| hand)
    }
}

/// What overlaps an operation, in other processes.
#[derive(Clone, Copy, Debug, Default)]
struct Meets {
    clear: bool,
    state: bool,
    /// One that has or may have items in hand.
    consumer: bool,
    /// One that changes how many items there are.
    change: bool,
}

pub struct Queue<'a> {
    history: &'a History,
    meets: Vec<Meets>,
}

impl<'a> Queue<'a> {
    pub fn new(history: &'a History) -> Self {
        let operations = &history.operations;
        let meets = operations.iter().map(|operation| {
            let others = || {
                operations
                    .iter()
                    .filter(|other| other.process != operation.process && other.overlaps(operation))
            };
            Meets {
                clear: others().any(|other| other.kind.clears()),
                state: others().any(|other| other.kind == Kind::SetState),
                consumer: others().any(|other| !other.kind.observes() && !other.kind.clears()),
                change: others().any(|other| !other.kind.observes()),
            }
        });
        Self {
            history,
            meets: meets.collect(),
        }
    }

    /// The state that lets the operation in, if any has yet.
    fn admitted(&self, index: usize, state: &State) -> u64 {
        if self.meets[index].state {
            state.seen[self.history.operations[index].process]
        } else {
            state.stream
        }
    }

    /// It looks at the state, if that can make a difference.
    fn look(&self, index: usize, state: &State, into: &mut Vec<(State, bool)>) {
        let process = self.history.operations[index].process;
        if self.meets[index].state && state.seen[process] != state.stream {
            let mut next = state.clone();
            next.seen[process] = state.stream;
            into.push((next, false));
        }
    }

    fn put(&self, index: usize, state: &State, into: &mut Vec<(State, bool)>) {
        let (operation, settings) = (&self.history.operations[index], &self.history.settings);
        self.look(index, state, into);
        let started = self.admitted(index, state) == STARTED;
        let full = state.ring.len() == settings.capacity;
        let makes_space = settings.lossy || operation.kind == Kind::ForcePut;
        let puts = started && state.ready && (makes_space || !full);
        match operation.said() {
            Some(Said::Done) | None if puts => {
                let mut next = state.clone();
                next.push(&operation.given, settings.capacity);
                over(next, operation.process, into);
            }
            Some(Said::Full) if started && state.ready && full && !makes_space => {
                over(state.clone(), operation.process, into)
            }
            Some(Said::NotReady) if started && !state.ready => {
                over(state.clone(), operation.process, into)
            }
            Some(Said::Stopped) if state.stream != STARTED => {
                over(state.clone(), operation.process, into)
            }
            _ => {}
        }
        if operation.answer.is_none() {
            over(state.clone(), operation.process, into);
        }
    }

    fn get(&self, index: usize, state: &State, into: &mut Vec<(State, bool)>) {
        let (operation, settings, meets) = (
            &self.history.operations[index],
            &self.history.settings,
            self.meets[index],
        );
        let process = operation.process;
        if state.doomed[process] > 0 {
            return; // until the clear
        }
        self.look(index, state, into);
        let admitted = self.admitted(index, state);
        let running = matches!(admitted, STARTED | AT_END);
        let nothing = state.ring.is_empty() && state.hands[process].items.is_empty();
        if meets.clear && running && state.hands[process].items.is_empty() && !state.ring.is_empty()
        {
            let mut next = state.clone();
            next.doomed[process] = next.ring.remove(0).len();
            into.push((next, false));
        }
        let held = meets.consumer || !state.nothing_comes_back_but(process);
        let waits = admitted == AT_END && settings.at_least_once && held;
        match operation.said() {
            Some(Said::Done) | None if running => self.take(index, state, into),
            Some(Said::Empty) if nothing && admitted == STARTED => {
                over(state.clone(), process, into)
            }
            // The end waits for what others have in hand.
            Some(Said::Empty) if nothing && waits => over(state.clone(), process, into),
            Some(Said::Stopped) => {
                if state.stream == STOPPED {
                    over(state.clone(), process, into);
                }
                let ended =
                    nothing && (!settings.at_least_once || state.nothing_comes_back_but(process));
                if admitted == AT_END && ended {
                    let mut next = state.clone();
                    for seen in &mut next.seen {
                        if *seen == STARTED {
                            *seen = 0; // puts look again, and gets may
                        }
                    }
                    over(next, process, into);
                }
            }
            _ => {}
        }
        if operation.answer.is_none() {
            over(state.clone(), process, into);
        }
    }

    /// A get that gets something: from its hand, else from the dead, or the ring.
    fn take(&self, index: usize, state: &State, into: &mut Vec<(State, bool)>) {
        let operation = &self.history.operations[index];
        let process = operation.process;
        let mut sources = vec![];
        if state.hands[process].items.is_empty() {
            for orphan in 0..state.orphans.len() {
                let mut next = state.clone();
                next.hands[process] = next.orphans.remove(orphan);
                sources.push(next);
            }
            if !state.ring.is_empty() {
                let mut next = state.clone();
                next.hands[process].items = next.ring.remove(0);
                sources.push(next);
            }
        } else {
            sources.push(state.clone());
        }
        for mut next in sources {
            let hand = &mut next.hands[process];
            let shown = if operation.kind.whole() {
                hand.items.len()
            } else {
                1
            };
            if let Some(answer) = &operation.answer {
                let same = hand.items[..shown] == answer.items[..];
                if !same || operation.kind.takes() && hand.again != answer.again {
                    continue;
                }
            }
            if operation.kind.takes() {
                hand.shown = shown;
            } else {
                if operation.answer.is_none() {
                    over(next.clone(), process, into); // killed before it acknowledged
                }
                next.acknowledge(process, shown);
            }
            over(next, process, into);
        }
    }

    /// What is neither put nor get.
    fn other(&self, index: usize, state: &State, into: &mut Vec<(State, bool)>) {
        let (operation, settings) = (&self.history.operations[index], &self.history.settings);
        let (process, mut next) = (operation.process, state.clone());
        let exact = settings.batch == 1 || !self.meets[index].change;
        let observed = operation.items().first().copied();
        let is = |value: u64| observed.is_none_or(|observed| observed == value);
        let happens = match operation.kind {
            Kind::Ack => {
                next.acknowledge(process, state.hands[process].shown);
                true
            }
            Kind::Nack => {
                next.leave(process, settings.at_least_once);
                let refused = operation.said() == Some(Said::Refused);
                operation.answer.is_none() || refused != settings.at_least_once
            }
            Kind::Close | Kind::Die => {
                next.leave(process, settings.at_least_once);
                next.seen[process] = 0;
                true
            }
            Kind::Clear => {
                next.clear();
                true
            }
            Kind::SetNotReady => {
                if state.ready {
                    next.clear();
                }
                next.ready = false;
                true
            }
            Kind::SetReady => {
                next.ready = true;
                true
            }
            Kind::SetState => {
                let (from, to) = (state.stream, operation.given[0]);
                let allowed = from == to
                    || matches!(
                        (from, to),
                        (STOPPED, STARTED) | (STARTED, STOPPED | AT_END) | (AT_END, STOPPED)
                    );
                if allowed {
                    next.stream = to;
                }
                operation.answer.is_none() || operation.is_done() == allowed
            }
            Kind::Len => is(state.len() as u64) || !exact,
            Kind::IsEmpty => is(u64::from(state.ring.is_empty())) || !exact,
            Kind::IsFull => is(u64::from(state.ring.len() == settings.capacity)),
            Kind::IsReady => is(u64::from(state.ready)),
            Kind::State => is(state.stream),
            Kind::Figures => {
                let settled = state.ring.is_empty() && state.nothing_in_hand_but(PROCESSES);
                settled && operation.items() == [state.puts, state.gets, state.dropped, state.gone]
            }
            _ => unreachable!("a put or a get"),
        };
        if happens {
            into.push((next, true));
        }
        if operation.answer.is_none() {
            into.push((state.clone(), true));
        }
    }
}

fn over(mut state: State, process: usize, into: &mut Vec<(State, bool)>) {
    state.seen[process] = 0;
    into.push((state, true));
}

impl Specification for Queue<'_> {
    type State = State;

    fn spans(&self) -> Vec<Span> {
        let operations = self.history.operations.iter();
        operations
            .map(|operation| Span {
                process: operation.process,
                from: operation.from,
                to: operation.to,
            })
            .collect()
    }

    fn first(&self) -> State {
        State {
            ready: true,
            stream: STARTED,
            ..State::default()
        }
    }

    fn reads(&self, index: usize) -> bool {
        let operation = &self.history.operations[index];
        let refused = matches!(
            operation.said(),
            Some(Said::Full | Said::NotReady | Said::Refused)
        ) && operation.kind != Kind::Nack;
        refused
            || operation.kind.observes()
            || operation.said() == Some(Said::Empty) && !self.meets[index].clear
    }

    fn steps(&self, index: usize, state: &State, into: &mut Vec<(State, bool)>) {
        let kind = self.history.operations[index].kind;
        if kind.puts() {
            self.put(index, state, into);
        } else if kind.gets() {
            self.get(index, state, into);
        } else {
            self.other(index, state, into);
        }
    }
}

/// What the specification allows and what it does not, by hand.
pub mod tests {
    use super::*;
    use crate::checker::{Verdict, check};
    use crate::history::{Answer, Operation, Settings};

    /// Process, from, to, what, with what, and the answer.
    type Line<'a> = (usize, u64, u64, Kind, &'a [u64], Option<(Said, &'a [u64])>);

    const DONE: Option<(Said, &[u64])> = Some((Said::Done, &[]));
    const EMPTY: Option<(Said, &[u64])> = Some((Said::Empty, &[]));
    const FULL: Option<(Said, &[u64])> = Some((Said::Full, &[]));
    const HEARD: Option<(Said, &[u64])> = Some((Said::Stopped, &[]));
    const SMALL: Settings = Settings {
        capacity: 2,
        batch: 1,
        lossy: false,
        at_least_once: false,
        copies: false,
    };
    const LOSSY: Settings = Settings {
        lossy: true,
        ..SMALL
    };
    const AGAIN: Settings = Settings {
        at_least_once: true,
        ..SMALL
    };

    fn allowed(settings: Settings, lines: &[Line]) -> bool {
        let operation = |&(process, from, to, kind, given, answer): &Line| Operation {
            process,
            kind,
            given: given.to_vec(),
            answer: answer.map(|(said, items)| Answer::with(said, items.to_vec(), false)),
            from,
            to,
        };
        let operations = lines.iter().map(operation).collect();
        let verdict = check(
            &Queue::new(&History {
                settings,
                operations,
            }),
            100_000,
        );
        assert_ne!(verdict, Verdict::Undecided);
        verdict == Verdict::Linearizable
    }

    fn put(process: usize, at: u64, item: &[u64]) -> Line<'_> {
        (process, at, at + 1, Kind::TryPut, item, DONE)
    }

    fn got(process: usize, at: u64, item: &[u64]) -> Line<'_> {
        (
            process,
            at,
            at + 1,
            Kind::TryGet,
            &[],
            Some((Said::Done, item)),
        )
    }

    pub fn it_is_first_in_first_out() {
        let puts = [put(0, 0, &[1]), put(0, 2, &[2])];
        assert!(allowed(
            SMALL,
            &[puts[0], puts[1], got(1, 4, &[1]), got(1, 6, &[2])]
        ));
        assert!(!allowed(
            SMALL,
            &[puts[0], puts[1], got(1, 4, &[2]), got(1, 6, &[1])]
        ));
        assert!(!allowed(
            SMALL,
            &[puts[0], puts[1], got(1, 4, &[1]), got(1, 6, &[1])]
        ));
        assert!(!allowed(
            SMALL,
            &[puts[0], (1, 4, 5, Kind::TryGet, &[], EMPTY)]
        ));
    }

    pub fn it_is_full_only_when_it_is() {
        let refused = |at| (1, at, at + 1, Kind::TryPut, &[9][..], FULL);
        assert!(allowed(
            SMALL,
            &[put(0, 0, &[1]), put(0, 2, &[2]), refused(4)]
        ));
        assert!(!allowed(SMALL, &[put(0, 0, &[1]), refused(4)]));
        assert!(!allowed(
            SMALL,
            &[put(0, 0, &[1]), put(0, 2, &[2]), put(0, 4, &[3])]
        ));
        let clear = (2, 4, 5, Kind::Clear, &[][..], DONE);
        assert!(!allowed(
            SMALL,
            &[put(0, 0, &[1]), put(0, 2, &[2]), clear, refused(6)]
        ));
    }

    pub fn it_drops_exactly_the_oldest() {
        let puts = [put(0, 0, &[1]), put(0, 2, &[2]), put(0, 4, &[3])];
        assert!(allowed(
            LOSSY,
            &[puts[0], puts[1], puts[2], got(1, 6, &[2]), got(1, 8, &[3])]
        ));
        assert!(!allowed(
            LOSSY,
            &[puts[0], puts[1], puts[2], got(1, 6, &[1]), got(1, 8, &[3])]
        ));
        assert!(!allowed(LOSSY, &[puts[0], puts[1], got(1, 6, &[2])]));
    }

    pub fn a_clear_takes_what_was_put_before() {
        let clear = |to| (2, 2, to, Kind::Clear, &[][..], DONE);
        assert!(!allowed(
            SMALL,
            &[put(0, 0, &[1]), clear(3), got(1, 4, &[1])]
        ));
        assert!(allowed(
            SMALL,
            &[put(0, 0, &[1]), clear(9), got(1, 4, &[1])]
        ));
        // A get takes 1, which the clear makes void; the other finds nothing before that.
        let finds_nothing = [
            put(0, 0, &[1]),
            (1, 2, 9, Kind::TryGet, &[], EMPTY),
            (3, 3, 4, Kind::TryGet, &[], EMPTY),
        ];
        let late = |to| (2, 5, to, Kind::Clear, &[][..], DONE);
        assert!(allowed(
            SMALL,
            &[
                finds_nothing[0],
                finds_nothing[1],
                finds_nothing[2],
                late(6)
            ]
        ));
        assert!(!allowed(
            SMALL,
            &[finds_nothing[0], finds_nothing[1], finds_nothing[2]]
        ));
    }

    pub fn what_a_kill_cuts_off_has_happened_or_not() {
        let cut = [
            (0, 0, 5, Kind::TryPut, &[1][..], None),
            (0, 3, 5, Kind::Die, &[], DONE),
        ];
        assert!(allowed(SMALL, &[cut[0], cut[1], got(1, 6, &[1])]));
        assert!(allowed(
            SMALL,
            &[cut[0], cut[1], (1, 6, 7, Kind::TryGet, &[], EMPTY)]
        ));
        // Not later than the death.
        let too_late = [(1, 6, 7, Kind::TryGet, &[][..], EMPTY), got(1, 8, &[1])];
        assert!(!allowed(SMALL, &[cut[0], cut[1], too_late[0], too_late[1]]));
    }

    pub fn what_the_dead_had_in_hand_is_lost_or_comes_again() {
        let died = [
            (
                1,
                2,
                3,
                Kind::TryTake,
                &[][..],
                Some((Said::Done, &[1][..])),
            ),
            (1, 4, 5, Kind::Die, &[], DONE),
        ];
        let figures: Line = (
            5,
            8,
            9,
            Kind::Figures,
            &[],
            Some((Said::Done, &[1, 0, 0, 1])),
        );
        let delivered: Line = (
            5,
            8,
            9,
            Kind::Figures,
            &[],
            Some((Said::Done, &[1, 1, 0, 0])),
        );
        assert!(allowed(
            SMALL,
            &[put(0, 0, &[1]), died[0], died[1], figures]
        ));
        assert!(!allowed(
            SMALL,
            &[
                put(0, 0, &[1]),
                died[0],
                died[1],
                got(2, 6, &[1]),
                delivered
            ]
        ));
        assert!(allowed(
            AGAIN,
            &[
                put(0, 0, &[1]),
                died[0],
                died[1],
                got(2, 6, &[1]),
                delivered
            ]
        ));
        assert!(!allowed(
            AGAIN,
            &[put(0, 0, &[1]), died[0], died[1], figures]
        ));
        assert!(!allowed(
            AGAIN,
            &[put(0, 0, &[1]), died[0], got(2, 6, &[1])]
        ));
    }

    pub fn nobody_puts_after_the_end_was_heard() {
        let end = (2, 0, 1, Kind::SetState, &[AT_END][..], DONE);
        let heard = (1, 2, 3, Kind::TryGet, &[][..], HEARD);
        let overlapping: Line = (0, 0, 9, Kind::TryPut, &[1], DONE);
        assert!(allowed(
            SMALL,
            &[end, heard, (0, 4, 5, Kind::TryPut, &[1], HEARD)]
        ));
        // It was before the end, so the consumer had to get it.
        assert!(!allowed(
            SMALL,
            &[end, heard, overlapping, got(1, 10, &[1])]
        ));
        assert!(allowed(SMALL, &[end, overlapping, got(1, 10, &[1])]));
        assert!(!allowed(
            SMALL,
            &[
                put(0, 0, &[1]),
                (2, 2, 3, Kind::SetState, &[AT_END], DONE),
                (1, 4, 5, Kind::TryGet, &[], HEARD)
            ]
        ));
    }
}
