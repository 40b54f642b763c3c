//! A process that is stopped (SIGSTOP, a debugger) in the middle of recovery, a check, an attach or a
//! close, after every so many instructions; or at each system call of create, unlink and supervise.
//! The others must attach (there is one spare seat), put, get and close meanwhile; then it goes on.

use crate::fixture::{After, Fixture, Item, NAME, at};
use crate::plays::{Play, scenes, states_of};
use crate::scenes::{Body, controlling, marked, options, scene};
use crate::sweep::{Deed, Figures, Policy, Scene, cut_short, stops};
use prodcon::{Control, ErrorKind, QueueOptions};
use std::path::Path;

/// Made by a child, or removed by it.
const OTHER: &str = "other";

pub(crate) fn all() -> Vec<Play> {
    let mut plays = vec![];
    for (operation, body) in [("recover", recover as fn() -> Body), ("doctor", doctor)] {
        for victim in ["get_at_least_once", "overwrite"] {
            plays.push(in_care_of(operation, victim, body));
        }
    }
    for name in [
        "attach",
        "close",
        "close_with_an_item",
        "close_with_an_item_at_least_once",
    ] {
        let run = move |dir: &Path, policy: Policy| {
            let scene = scenes()
                .find(|scene| scene.name == name)
                .expect("a scene of that name");
            stops(&scene, dir, sparse(policy), true, &|_| {})
        };
        plays.push(play(name, run));
    }
    for (name, before, body) in [
        (
            "create",
            nothing as fn(&mut Fixture),
            create as fn() -> Body,
        ),
        ("unlink", other_queue, unlink),
        ("supervise", nothing, supervise),
    ] {
        let run = move |dir: &Path, policy: Policy| {
            let before = move |fixture: &mut Fixture| {
                fixture.put(1..=3);
                before(fixture);
            };
            let scene = scene(name, options(), before, body(), [After::items([1, 2, 3])]);
            stops(
                &scene,
                dir,
                at_system_calls(policy),
                true,
                &touch_the_other_queue,
            )
        };
        plays.push(play(name, run));
    }
    plays
}

fn play(what: &str, run: impl FnOnce(&Path, Policy) -> Figures + 'static) -> Play {
    Play {
        name: format!("stop_in_{what}"),
        run: Box::new(run),
    }
}

/// Others work at each stop, which takes longer than a kill.
fn sparse(policy: Policy) -> Policy {
    let further = if policy.every { 1 } else { 5 };
    Policy {
        own: policy.own * further,
        foreign: policy.foreign * further,
        ..policy
    }
}

/// Before and after each, whatever the stride.
fn at_system_calls(policy: Policy) -> Policy {
    Policy {
        own: usize::MAX,
        foreign: usize::MAX,
        ..policy
    }
}

/// An operation over a seat of the dead, in every state in which the victim's operation can leave it.
fn in_care_of(operation: &'static str, victim: &'static str, body: fn() -> Body) -> Play {
    let run = move |dir: &Path, policy: Policy| {
        let (victim, way, states) = states_of(victim, dir, policy);
        let mut figures = Figures::default();
        for (k, after) in states.into_iter().skip(1) {
            let (victim, way, options) = (victim.clone(), way.clone(), victim.options.clone());
            let before = move |fixture: &mut Fixture| {
                (victim.before)(fixture) && cut_short(fixture, &victim, &way, k, Deed::Kill)
            };
            let scene = Scene {
                before: Box::new(before),
                ..scene("", options, |_| {}, body(), [after])
            };
            // The C library's own heap, of which `doctor` takes to list the directory, is never the same.
            let policy = sparse(policy.of_many_states());
            figures += stops(&scene, dir, policy, operation != "doctor", &|_| {});
        }
        figures
    };
    play(&format!("{operation}_of_{victim}"), run)
}

fn recover() -> Body {
    controlling(|control| control.recover().is_ok())
}

fn doctor() -> Body {
    controlling(|control| control.doctor().is_ok_and(|report| report.ok()))
}

fn create() -> Body {
    Box::new(|dir| {
        let made = marked(|| {
            Control::create::<Item>(OTHER, &QueueOptions::new(3).seats(3).attach(at(dir))).is_ok()
        });
        let _ = prodcon::unlink_in(dir, OTHER);
        made
    })
}

fn unlink() -> Body {
    Box::new(|dir| {
        let gone = marked(|| prodcon::unlink_in(dir, OTHER).is_ok());
        let _ = prodcon::unlink_in(dir, OTHER); // made by others meanwhile
        gone
    })
}

fn supervise() -> Body {
    Box::new(|dir| {
        let control = Control::attach_with(NAME, &at(dir)).unwrap();
        marked(|| control.supervise(true).is_ok_and(|lease| lease.is_some()))
    })
}

fn nothing(_: &mut Fixture) {}

fn other_queue(fixture: &mut Fixture) {
    let options = QueueOptions::new(3).seats(3).attach(at(&fixture.dir));
    Control::create::<Item>(OTHER, &options).unwrap();
}

/// The name that is being made or removed is there or not; either way it can be had, and the
/// supervisor's lease is answered for at once.
fn touch_the_other_queue(fixture: &mut Fixture) {
    match Control::attach_with(OTHER, &at(&fixture.dir)) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => panic!("{error}"),
    }
    let options = QueueOptions::new(3).seats(3).attach(at(&fixture.dir));
    crate::fixture::Queue::create_or_attach(OTHER, &options).unwrap();
    fixture.control.supervise(true).unwrap();
}
