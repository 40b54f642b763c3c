//! What is run: each operation by itself, and some in the states that a child killed in another leaves.

use crate::scenes::{Body, attach, clears, comings_and_goings, controlling, gets, items_in_hand, puts, scene};
use crate::sweep::{Figures, Policy, kill, states, sweep};
use std::path::Path;
use std::rc::Rc;

type Run = Box<dyn FnOnce(&Path, Policy) -> Figures>;

/// What is run in a process of its own.
pub(crate) struct Play {
    pub(crate) name: String,
    pub(crate) run: Run,
}

/// All there is.
pub(crate) fn all() -> Vec<Play> {
    let mut plays: Vec<Play> = [puts(), gets(), items_in_hand(), clears(), comings_and_goings()]
        .into_iter()
        .flatten()
        .map(|scene| Play {
            name: scene.name.clone(),
            run: Box::new(move |dir, policy| sweep(&scene, dir, policy)),
        })
        .collect();
    let victims = [
        "put",
        "overwrite",
        "void_put",
        "get",
        "get_at_least_once",
        "get_behind_a_cleared_item",
        "get_then_put",
        "adoption",
    ];
    let recover = || controlling(|control| control.recover().is_ok_and(|pass| pass.undecided == 0));
    plays.extend(victims.map(|victim| after_a_death("recovery_of", victim, recover, usize::MAX)));
    plays.push(after_a_death("attach_after", "overwrite", attach, 1500));
    plays
}

/// An operation in every state in which a child killed in another can leave the queue. Whatever it does, it comes to the same.
fn after_a_death(what: &str, victim: &'static str, operation: impl Fn() -> Body + 'static, last: usize) -> Play {
    let name = format!("{what}_{victim}");
    let run = move |dir: &Path, policy: Policy| {
        let mut scenes = [puts(), gets(), items_in_hand()].into_iter().flatten();
        let victim = scenes.find(|scene| scene.name == victim).expect("the victim's operation");
        let victim = Rc::new(victim);
        let (way, states) = states(&victim, dir, policy);
        let way = Rc::new(way);
        let mut figures = Figures::default();
        for (k, after) in states {
            let (victim, way) = (victim.clone(), way.clone());
            let mut scene = scene(
                "",
                victim.options.clone(),
                move |stage| {
                    (victim.before)(stage);
                    assert!(kill(stage, &victim, &way, k, false), "the victim took another way than the first time");
                },
                operation(),
                [after],
            );
            scene.last = last;
            figures += sweep(&scene, dir, policy);
        }
        figures
    };
    Play { name, run: Box::new(run) }
}
