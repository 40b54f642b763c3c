//! The scenarios: those that must hold, each with its number of states, and each rule switched off, which must fail.

use super::*;

pub(super) fn scenarios() -> Vec<Scenario> {
    use Op::*;
    const GETS: &[Op] = &[Get, Get, Get, Get];
    let b = Scenario { name: "", n: 1, plans: &[], flaw: None, floor: 0 };
    let holds = |name, n, plans, floor| Scenario { name, n, plans, floor, ..b.clone() };
    let fails = |name, n, plans, flaw| Scenario { name, n, plans, flaw: Some(flaw), ..b.clone() };
    vec![
        holds("1x1 n=1 clear", 1, &[&[Put, Put, Put, Put, Put], &[Get, Get, Get, Get, Get], &[Clear]], 31_514),
        holds("1x1 n=2 clear", 2, &[&[Put, Put, Put, Put, Put, Put], &[Get, Get, Get, Get, Get, Get], &[Clear]], 96_078),
        holds("1x1 n=1 two clears", 1, &[&[Put, Put, Put, Put], &[Get, Get, Get, Get], &[Clear, Clear]], 46_462),
        holds("1x1 n=1 lossy clear", 1, &[&[Lossy, Lossy, Lossy, Lossy, Lossy], GETS, &[Clear]], 35_723),
        holds("2x1 n=1 clear", 1, &[&[Put, Put, Put, Put], &[Put], GETS, &[Clear]], 520_552),
        holds("2x1 n=2 clear", 2, &[&[Put, Put, Put, Put], &[Put], GETS, &[Clear]], 569_922),
        holds("2x1 n=1 lossy clear", 1, &[&[Lossy, Lossy, Lossy, Lossy], &[Lossy], GETS, &[Clear]], 1_070_260),
        holds("1x2 n=1 clear", 1, &[&[Put, Put, Put, Put], GETS, &[Get, Get], &[Clear]], 615_141),
        holds("1x2 n=2 clear", 2, &[&[Put, Put, Put, Put, Put, Put], &[Get, Get, Get, Get, Get], &[Get], &[Clear]], 3_339_606),
        holds("1x2 n=1 the ends of streams, clear", 1, &[&[Put, Put, Put], &[Get, Get, Get, Get], &[Skip, Skip], &[Clear]], 135_906),
        fails("flaw: the gate is kept over a step", 1, &[&[Put, Put, Put, Put], &[Put], GETS, &[Clear]], Flaw::GateKept),
        fails("flaw: nothing is pending", 1, &[&[Put, Put, Put, Put], GETS, &[Get, Get], &[Clear]], Flaw::NoPending),
        fails("flaw: the next cycle", 2, &[&[Put, Put, Put, Put, Put], GETS, &[Clear]], Flaw::NextCycle),
        fails("flaw: a get's copy before the word", 1, &[&[Put, Put, Put], GETS, &[Clear]], Flaw::CopyFirst),
        fails("flaw: a get's copy after the exchange", 1, &[&[Put, Put, Put], GETS, &[Clear]], Flaw::CopyLate),
    ]
}
