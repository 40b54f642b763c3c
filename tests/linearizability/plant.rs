//! Faults put into recorded histories, each of which the checker has to find.

use crate::history::{Answer, Event, History, Kind, Said};

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

fn has(history: &History, what: impl Fn(&Event) -> bool) -> bool {
    history.events.iter().any(what)
}

/// Nothing is taken out but by gets, and those are once and for all.
fn is_plain(history: &History) -> bool {
    let bends = |event: &Event| event.kind.clears() || matches!(event.kind, Kind::Die | Kind::Nack);
    !has(history, bends) && history.settings.batch == 1
}

/// The gets that got an item, with their places.
fn gets(history: &History) -> impl Iterator<Item = (usize, &Event)> {
    let events = history.events.iter().enumerate();
    events.filter(|(_, event)| event.kind.gets() && event.is_done())
}

fn put_of(history: &History, item: u64) -> Option<&Event> {
    history
        .events
        .iter()
        .find(|event| event.kind.puts() && event.given.contains(&item))
}

fn with(history: &History, place: usize, answer: Answer) -> History {
    let mut history = history.clone();
    history.events[place].answer = Some(answer);
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
                let answer = history.events[one].answer.take();
                history.events[one].answer = history.events[other].answer.take();
                history.events[other].answer = answer;
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
    let (place, event) = gets(history).last()?;
    let is_end = history.events.last()?.process == event.process;
    is_end.then(|| with(history, place, Answer::said(Said::Empty)))
}

/// A put answered `Full`, but its item has been got.
fn stale_full(history: &History) -> Option<History> {
    let done = |event: &Event| event.kind.puts() && event.is_done();
    let place = history.events.iter().position(done)?;
    gets(history)
        .any(|(_, event)| event.items().contains(&history.events[place].given[0]))
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
        .flat_map(|(_, event)| event.items().to_vec())
        .collect();
    let puts = history
        .events
        .iter()
        .filter(|event| event.kind.puts() && event.is_done());
    for dropped in puts.filter(|event| !got.contains(&event.given[0])) {
        let newer = |event: &Event| {
            put_of(history, event.items()[0]).is_some_and(|put| dropped.to < put.from)
        };
        for (place, event) in gets(history) {
            if gets(history).any(|(_, before)| before.to < event.from && newer(before)) {
                let mut answer = event.answer.clone()?;
                answer.items = dropped.given.clone();
                return Some(with(history, place, answer));
            }
        }
    }
    None
}

/// After a put, whose item the parent gets in the end, another get finds nothing.
fn stale_empty(history: &History) -> Option<History> {
    if !is_plain(history) || has(history, |event| event.kind == Kind::SetState) {
        return None;
    }
    let parent = history.events.last()?.process;
    let (place, event) = gets(history).find(|(_, event)| event.process == parent)?;
    let mut history = history.clone();
    let empty = Event {
        answer: Some(Answer::said(Said::Empty)),
        to: event.from,
        ..event.clone()
    };
    history.events.insert(place, empty);
    Some(history)
}
