//! Looks for an order of the operations that a sequential specification allows and that contradicts
//! no clock: Wing and Gong's search, with Lowe's memory of where it has been.
//!
//! An operation may need steps of its own before the one that it takes effect with (see `spec`), and
//! what it may do is for the specification to say. So this file knows nothing of queues.

use std::collections::HashSet;
use std::hash::Hash;

/// When an operation was called and had returned, and in which process.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub process: usize,
    pub from: u64,
    pub to: u64,
}

pub trait Specification {
    type State: Clone + Eq + Hash;
    /// At most 128, those of a process in their order.
    fn spans(&self) -> Vec<Span>;
    fn first(&self) -> Self::State;
    /// The operation changes nothing, whenever it happens.
    fn reads(&self, index: usize) -> bool;
    /// The states that operation `index` can lead to with one step; true: it is over then.
    fn steps(&self, index: usize, state: &Self::State, into: &mut Vec<(Self::State, bool)>);
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is such an order.
    Linearizable,
    /// There is none. The most operations that could be ordered, in the order found for them.
    Violation(Vec<usize>),
    /// The search was given up.
    Undecided,
}

/// Looks at no more than `limit` places.
pub fn check<S: Specification>(specification: &S, limit: usize) -> Verdict {
    let spans = specification.spans();
    assert!(
        spans.len() <= 128,
        "{} operations are too many",
        spans.len()
    );
    let mut before = vec![None; spans.len()];
    for (index, span) in spans.iter().enumerate() {
        before[index] = (0..index)
            .rev()
            .find(|other| spans[*other].process == span.process);
    }
    // Those that returned early first: mostly right at once.
    let mut order: Vec<usize> = (0..spans.len()).collect();
    order.sort_by_key(|index| spans[*index].to);
    let mut search = Search {
        specification,
        spans,
        before,
        order,
        seen: HashSet::new(),
        limit,
        path: vec![],
        deepest: vec![],
    };
    match search.go(0, specification.first()) {
        Some(true) => Verdict::Linearizable,
        Some(false) => Verdict::Violation(search.deepest),
        None => Verdict::Undecided,
    }
}

struct Search<'a, S: Specification> {
    specification: &'a S,
    spans: Vec<Span>,
    /// The operation before in the same process.
    before: Vec<Option<usize>>,
    order: Vec<usize>,
    seen: HashSet<(u128, S::State)>,
    limit: usize,
    path: Vec<usize>,
    deepest: Vec<usize>,
}

impl<S: Specification> Search<'_, S> {
    /// Returns whether the operations that are not `over` can be ordered from here, or `None` if it
    /// gave up.
    fn go(&mut self, over: u128, state: S::State) -> Option<bool> {
        if self.path.len() > self.deepest.len() {
            self.deepest.clone_from(&self.path);
        }
        let left = |index: &usize| over >> index & 1 == 0;
        let Some(first_return) = self
            .order
            .iter()
            .copied()
            .find(left)
            .map(|index| self.spans[index].to)
        else {
            return Some(true);
        };
        if self.seen.len() >= self.limit {
            return None;
        }
        if !self.seen.insert((over, state.clone())) {
            return Some(false);
        }
        let may = |index: &usize| {
            let called = self.spans[*index].from <= first_return;
            left(index) && called && self.before[*index].is_none_or(|before| !left(&before))
        };
        let candidates: Vec<usize> = self.order.iter().copied().filter(may).collect();
        let mut steps = vec![];
        for index in candidates {
            let mut into = vec![];
            self.specification.steps(index, &state, &mut into);
            // What never changes anything may end as soon as it can: it takes nothing from the others.
            let only = self.specification.reads(index)
                && matches!(&into[..], [(next, true)] if *next == state);
            if only {
                steps.clear();
            }
            steps.extend(into.into_iter().map(|step| (index, step)));
            if only {
                break;
            }
        }
        for (index, (next, ended)) in steps {
            let found = if ended {
                self.path.push(index);
                let found = self.go(over | 1 << index, next);
                self.path.pop();
                found
            } else {
                self.go(over, next)
            };
            if found != Some(false) {
                return found;
            }
        }
        Some(false)
    }
}

/// A register that can be written and read: what is known of it in the literature.
pub mod tests {
    use super::*;

    /// `from`, `to`, process, written (else read), value.
    type Access = (u64, u64, usize, bool, u8);

    struct Register(Vec<Access>);

    impl Specification for Register {
        type State = u8;

        fn spans(&self) -> Vec<Span> {
            self.0
                .iter()
                .map(|&(from, to, process, ..)| Span { process, from, to })
                .collect()
        }

        fn first(&self) -> u8 {
            0
        }

        fn reads(&self, index: usize) -> bool {
            !self.0[index].3
        }

        fn steps(&self, index: usize, state: &u8, into: &mut Vec<(u8, bool)>) {
            let (.., writes, value) = self.0[index];
            if writes || value == *state {
                into.push((value, true));
            }
        }
    }

    fn verdict(accesses: &[Access]) -> Verdict {
        check(&Register(accesses.to_vec()), 1000)
    }

    pub fn it_accepts_what_happens_one_after_the_other() {
        let accesses = [
            (0, 1, 0, true, 1),
            (2, 3, 1, false, 1),
            (4, 5, 0, true, 2),
            (6, 7, 1, false, 2),
        ];
        assert_eq!(verdict(&accesses), Verdict::Linearizable);
    }

    pub fn it_orders_what_overlaps_either_way() {
        for value in [0, 1] {
            assert_eq!(
                verdict(&[(0, 9, 0, true, 1), (1, 8, 1, false, value)]),
                Verdict::Linearizable
            );
        }
    }

    pub fn it_lets_a_write_of_the_same_value_wait() {
        let accesses = [
            (0, 9, 0, true, 1),
            (0, 9, 1, true, 0),
            (0, 1, 2, false, 1),
            (2, 3, 2, false, 0),
        ];
        assert_eq!(verdict(&accesses), Verdict::Linearizable);
    }

    pub fn it_refuses_what_contradicts_the_clock() {
        let stale = [(0, 1, 0, true, 1), (2, 3, 1, false, 0)];
        assert_eq!(verdict(&stale), Verdict::Violation(vec![0]));
        // Two readers see two writes in different orders.
        let crossed = [
            (0, 9, 0, true, 1),
            (0, 9, 1, true, 2),
            (1, 2, 2, false, 1),
            (3, 4, 2, false, 2),
            (5, 6, 3, false, 1),
        ];
        assert!(matches!(verdict(&crossed), Verdict::Violation(_)));
    }

    pub fn it_keeps_the_order_of_a_process_at_equal_times() {
        let accesses = [(1, 1, 0, true, 1), (1, 1, 0, true, 2), (2, 2, 1, false, 1)];
        assert!(matches!(verdict(&accesses), Verdict::Violation(_)));
    }

    pub fn it_gives_up_when_it_is_told_to() {
        let accesses: Vec<Access> = (0..12)
            .map(|value| (0, 9, usize::from(value), true, value + 1))
            .collect();
        let mut unsatisfiable = accesses;
        unsatisfiable.push((10, 11, 20, false, 99));
        assert_eq!(verdict(&unsatisfiable), Verdict::Undecided);
    }
}
