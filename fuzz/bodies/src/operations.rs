//! Target `operations`: several endpoints of one queue, killed in the middle of what they do, against a model.
//!
//! Each action is one call of the public interface; some are given a life of a few stores and
//! compare-and-swaps. An endpoint that dies is abandoned as the kernel would do it. What the model
//! allows then: the interrupted operation happened or it did not, told by what the slots and the
//! acknowledgements say; an item in the dead hand is lost (at-most-once) or comes again
//! (at-least-once). In the end: doctor content, accounts exact, every item that is due comes in
//! order, full capacity, all seats usable.

mod end;
mod guard;
mod kind;
mod model;
mod plan;
mod verdict;
mod world;

use crate::scratch::{self, Kernel};
use arbitrary::{Result, Unstructured};
use end::Way;
use plan::Plan;
use prodcon::{Control, Role, State};
use world::{Put, World};

/// Actions of one run.
const ACTIONS: usize = 40;
/// Endpoints at a time.
const ENDS: usize = 4;

/// Runs one input, on the kernel that it is for.
pub fn run(data: &[u8]) {
    run_on(Kernel::of(data), data);
}

/// Runs one input.
pub fn run_on(kernel: Kernel, data: &[u8]) {
    scratch::begin(kernel);
    let mut input = Unstructured::new(data);
    // What ends too early is only shorter.
    let _ = begin(&mut input);
}

fn begin(input: &mut Unstructured) -> Result<()> {
    let plan = Plan::choose(input)?;
    if plan.bytes {
        act(World::<[u8]>::new(plan), input)
    } else {
        act(World::<u64>::new(plan), input)
    }
    Ok(())
}

fn act<T: kind::Kind + ?Sized>(mut world: World<T>, input: &mut Unstructured) {
    for _ in 0..ACTIONS {
        // What the input ends in is dropped by its end.
        if input.is_empty() || action(&mut world, input).is_err() {
            break;
        }
    }
    let killed = input.arbitrary().unwrap_or(0u8);
    world.end(|who| killed >> who & 1 == 1);
}

fn action<T: kind::Kind + ?Sized>(world: &mut World<T>, input: &mut Unstructured) -> Result<()> {
    let who = input.int_in_range(0..=ENDS - 1)?;
    let what = input.int_in_range(0..=31u8)?;
    world.life = if input.ratio(1, 3)? {
        input.int_in_range(0..=28)?
    } else {
        u32::MAX
    };
    world.tell(who, what);
    match world.guarded(who) {
        // Nobody is there: somebody comes.
        None => match what {
            0..=25 => {
                let role =
                    *input.choose(&[Role::Both, Role::Both, Role::Consumer, Role::Producer])?;
                let max_unacked = input.int_in_range(0..=3)?;
                let content_with_one = !input.arbitrary::<bool>()?;
                world.attach(who, role, max_unacked, content_with_one);
            }
            _ => look_after(world, what),
        },
        // It has something in hand.
        Some(true) => match what {
            0..=8 => world.acknowledge(who),
            9 | 10 => world.nack(who),
            11 | 12 => world.let_go(who),
            13..=15 => world.forget(who),
            16 => world.kill(who),
            17 => world.close(who),
            18..=21 => world.more(who, input.int_in_range(1..=7)?),
            22 | 23 => world.acknowledge_first(who, input.int_in_range(0..=3)?),
            24 => world.acknowledge_in_place(who),
            _ => look_after(world, what),
        },
        Some(false) => match what {
            0..=3 => world.put(who, Put::One),
            4 => world.put(who, Put::Reserved),
            5 => world.put(who, Put::Many(input.int_in_range(2..=3)?)),
            6 | 7 => world.put(who, Put::Batch(input.int_in_range(1..=5)?)),
            8..=10 => world.get(who, Way::One),
            11 => world.get(who, Way::Whole),
            12 | 13 => world.take(who, Way::One),
            14 => world.take(who, Way::Whole),
            15 | 16 => world.take(who, Way::Several(input.int_in_range(1..=7)?)),
            17 => {
                let max = input.int_in_range(1..=7)?;
                if world.lends(who) {
                    world.own(who, max % 2 == 1);
                } else {
                    world.take(who, Way::Several(max));
                }
            }
            18 => world.close(who),
            19 => world.kill(who),
            20 => world.clear(who, false),
            21 => world.clear(who, true),
            22 => world.recover(who),
            23 => world.discard(who),
            _ => look_after(world, what),
        },
    }
    world.settle_up(who);
    Ok(())
}

/// What a control handle does.
fn look_after<T: kind::Kind + ?Sized>(world: &mut World<T>, what: u8) {
    match what % 8 {
        0 => world.gate(true, None),
        1 => world.gate(true, Some(false)),
        2 | 3 => world.gate(false, Some(true)),
        4 => world.doctor(),
        5 => {
            if world
                .controlled(|control: &Control| control.recover().expect("a good segment"))
                .is_some()
            {
                world.model.all_announced();
            }
        }
        6 => world.state([State::Stopped, State::StopAtQueueEnd][usize::from(what) / 8 % 2]),
        _ => world.state(State::Started),
    }
}
