//! What is run: each operation by itself, and some in the states that a child killed in another leaves.

use crate::fixture::{After, Fixture};
use crate::many::{gets_of_blocks, hands, puts_of_blocks};
use crate::scenes::{
    Body, attach, clears, comings_and_goings, controlling, ends, gets, items_in_hand, puts, scene,
};
use crate::sweep::{Deed, Figures, Policy, Scene, Way, cut_short, states, sweep};
use std::path::Path;
use std::rc::Rc;

type Run = Box<dyn FnOnce(&Path, Policy) -> Figures>;

/// What is run in a process of its own.
pub(crate) struct Play {
    pub(crate) name: String,
    pub(crate) run: Run,
}

/// Operations by themselves.
pub(crate) fn scenes() -> impl Iterator<Item = Scene> {
    let rooms = [
        puts(),
        gets(),
        items_in_hand(),
        clears(),
        comings_and_goings(),
        ends(),
        puts_of_blocks(),
        gets_of_blocks(),
        hands(),
    ];
    rooms.into_iter().flatten()
}

/// All there is.
pub(crate) fn all() -> Vec<Play> {
    let alone = |scene: Scene| Play {
        name: scene.name.clone(),
        run: Box::new(move |dir, policy| sweep(&scene, dir, policy)),
    };
    let mut plays: Vec<Play> = scenes().map(alone).collect();
    let victims = [
        "put",
        "overwrite",
        "void_put",
        "get",
        "get_at_least_once",
        "ack_of_a_cleared_item",
        "adoption",
        "overwrite_batch",
        "void_put_batch",
        "get_of_a_batch_one_by_one",
        "take_many_and_ack",
        "end_of_stream",
    ];
    let recover = || controlling(|control| control.recover().is_ok_and(|pass| pass.undecided == 0));
    plays.extend(victims.map(|victim| after_a_death("recovery_of", victim, recover, usize::MAX)));
    plays.push(after_a_death("attach_after", "overwrite", attach, 1000));
    plays.extend(crate::stops::all());
    plays
}

/// An operation, its way, and the states in which it can leave the queue when it is cut short.
pub(crate) fn states_of(
    victim: &str,
    dir: &Path,
    policy: Policy,
) -> (Rc<Scene>, Rc<Way>, Vec<(usize, After)>) {
    let victim = scenes()
        .find(|scene| scene.name == victim)
        .expect("the victim's operation");
    let (way, states) = states(&victim, dir, policy);
    (Rc::new(victim), Rc::new(way), states)
}

/// An operation in every state in which a child killed in another can leave the queue. Whatever it does, it comes to the same.
fn after_a_death(
    what: &str,
    victim: &'static str,
    operation: impl Fn() -> Body + 'static,
    last: usize,
) -> Play {
    let name = format!("{what}_{victim}");
    let run = move |dir: &Path, policy: Policy| {
        let (victim, way, states) = states_of(victim, dir, policy);
        let mut figures = Figures::default();
        // The first is the one that the victim found.
        for (k, after) in states.into_iter().skip(1) {
            let (victim, way, options) = (victim.clone(), way.clone(), victim.options.clone());
            let before = move |fixture: &mut Fixture| {
                (victim.before)(fixture) && cut_short(fixture, &victim, &way, k, Deed::Kill)
            };
            let scene = Scene {
                last,
                busy_every: 8,
                before: Box::new(before),
                ..scene("", options, |_| {}, operation(), [after])
            };
            figures += sweep(&scene, dir, policy.of_many_states());
        }
        figures
    };
    Play {
        name,
        run: Box::new(run),
    }
}
