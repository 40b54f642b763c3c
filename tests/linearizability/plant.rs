//! Faults put into recorded histories, each of which the checker has to find.

use crate::history::{Answer, History, Kind, Operation, Said};

pub const KINDS: [&str; 6] = [
    "swapped",
    "twice",
    "lost",
    "stale Full",
    "wrong overwrite",
    "stale Empty",
];

/// The history with a fault of that kind, if there is a place where it surely is one.
pub fn plant(kind: &str, history: &History) -> Option<History> {
    match kind {
        "swapped" => swapped(history),
        "twice" => twice(history),
        "lost" => lost(history),
        "stale Full" => stale_full(history),
        "wrong overwrite" => wrong_overwrite(history),
        "stale Empty" => stale_empty(history),
        _ => None,
    }
}

fn has(history: &History, what: impl Fn(&Operation) -> bool) -> bool {
    history.operations.iter().any(what)
}

/// Nothing is taken out but by gets, and those are once and for all.
fn is_plain(history: &History) -> bool {
    let bends = |operation: &Operation| {
        operation.kind.clears() || matches!(operation.kind, Kind::Die | Kind::Nack)
    };
    !has(history, bends) && history.settings.batch == 1
}

/// The gets that got an item, with their places.
fn gets(history: &History) -> impl Iterator<Item = (usize, &Operation)> {
    let operations = history.operations.iter().enumerate();
    operations.filter(|(_, operation)| operation.kind.gets() && operation.is_done())
}

fn put_of(history: &History, item: u64) -> Option<&Operation> {
    history
        .operations
        .iter()
        .find(|operation| operation.kind.puts() && operation.given.contains(&item))
}

fn with(history: &History, place: usize, answer: Answer) -> History {
    let mut history = history.clone();
    history.operations[place].answer = Some(answer);
    history
}

/// A process gets two items in the order opposite to that of their puts.
fn swapped(history: &History) -> Option<History> {
    if !is_plain(history) {
        return None;
    }
    for (one, first) in gets(history) {
        for (other, second) in
            gets(history).filter(|(other, second)| *other > one && second.from > first.to)
        {
            let (a, b) = (
                put_of(history, first.items()[0])?,
                put_of(history, second.items()[0])?,
            );
            if a.to < b.from {
                let mut history = history.clone();
                let answer = history.operations[one].answer.take();
                history.operations[one].answer = history.operations[other].answer.take();
                history.operations[other].answer = answer;
                return Some(history);
            }
        }
    }
    None
}

/// An item that has been got is got again, for another.
fn twice(history: &History) -> Option<History> {
    if !is_plain(history) {
        return None;
    }
    let (_, first) = gets(history).next()?;
    let (place, second) = gets(history).last()?;
    let mut answer = second.answer.clone()?;
    answer.items = first.items().to_vec();
    (first.items() != second.items()).then(|| with(history, place, answer))
}

/// A get of the end got nothing: its item is nowhere.
fn lost(history: &History) -> Option<History> {
    if !is_plain(history) {
        return None;
    }
    let (place, operation) = gets(history).last()?;
    let is_end = history.operations.last()?.process == operation.process;
    is_end.then(|| with(history, place, Answer::said(Said::Empty)))
}

/// A put answered `Full`, but its item has been got.
fn stale_full(history: &History) -> Option<History> {
    let done = |operation: &Operation| operation.kind.puts() && operation.is_done();
    let place = history.operations.iter().position(done)?;
    gets(history)
        .any(|(_, operation)| {
            operation
                .items()
                .contains(&history.operations[place].given[0])
        })
        .then_some(())?;
    Some(with(history, place, Answer::said(Said::Full)))
}

/// A lossy queue dropped a newer item, and kept one that was older: it is got after one that was put
/// after it.
fn wrong_overwrite(history: &History) -> Option<History> {
    if !is_plain(history) {
        return None;
    }
    let got: Vec<u64> = gets(history)
        .flat_map(|(_, operation)| operation.items().to_vec())
        .collect();
    let puts = history
        .operations
        .iter()
        .filter(|operation| operation.kind.puts() && operation.is_done());
    for dropped in puts.filter(|operation| !got.contains(&operation.given[0])) {
        let newer = |operation: &Operation| {
            put_of(history, operation.items()[0]).is_some_and(|put| dropped.to < put.from)
        };
        for (place, operation) in gets(history) {
            if gets(history).any(|(_, before)| before.to < operation.from && newer(before)) {
                let mut answer = operation.answer.clone()?;
                answer.items = dropped.given.clone();
                return Some(with(history, place, answer));
            }
        }
    }
    None
}

/// After a put, whose item the parent gets in the end, another get finds nothing.
fn stale_empty(history: &History) -> Option<History> {
    if !is_plain(history) || has(history, |operation| operation.kind == Kind::SetState) {
        return None;
    }
    let parent = history.operations.last()?.process;
    let (place, operation) = gets(history).find(|(_, operation)| operation.process == parent)?;
    let mut history = history.clone();
    let empty = Operation {
        answer: Some(Answer::said(Said::Empty)),
        to: operation.from,
        ..operation.clone()
    };
    history.operations.insert(place, empty);
    Some(history)
}
