//! The operations, and what each may leave behind.

use crate::fixture::{After, Fixture, Item, NAME, Queue, at, item, number};
use crate::sweep::Scene;
use crate::trace::{Child, mark};
use prodcon::{AttachOptions, Control, GetError, PutError, QueueOptions, ReadyQueue, State};
use std::path::Path;
use std::time::Duration;

pub(crate) fn options() -> QueueOptions {
    QueueOptions::new(3).seats(3)
}

pub(crate) fn at_least_once() -> QueueOptions {
    options().at_least_once(true)
}

pub(crate) type Body = Box<dyn Fn(&Path) -> i32>;

/// A child that attaches; the operation is what is between the marks, and true if it went as it should.
pub(crate) fn attached(operation: impl Fn(&mut Queue) -> bool + 'static) -> Body {
    Box::new(move |dir| {
        let mut queue = Queue::attach_with(NAME, &at(dir)).unwrap();
        marked(|| operation(&mut queue))
    })
}

/// The same with a control handle.
pub(crate) fn controlling(operation: impl Fn(&Control) -> bool + 'static) -> Body {
    Box::new(move |dir| {
        let control = Control::attach_with(NAME, &at(dir)).unwrap();
        marked(|| operation(&control))
    })
}

/// The same with an endpoint of bytes.
fn of_bytes(operation: impl Fn(&mut ReadyQueue<[u8]>) -> bool + 'static) -> Body {
    Box::new(move |dir| {
        let mut queue = ReadyQueue::<[u8]>::attach_with(NAME, &at(dir)).unwrap();
        marked(|| operation(&mut queue))
    })
}

pub(crate) fn marked(operation: impl FnOnce() -> bool) -> i32 {
    mark();
    let good = operation();
    mark();
    i32::from(!good)
}

pub(crate) fn scene(
    name: &str,
    options: QueueOptions,
    before: impl Fn(&mut Fixture) + 'static,
    child: Body,
    stages: impl IntoIterator<Item = After>,
) -> Scene {
    Scene {
        name: name.into(),
        options,
        before: Box::new(move |fixture| {
            before(fixture);
            true
        }),
        child,
        stages: stages.into_iter().collect(),
        last: usize::MAX,
        busy_every: 1,
        letters: false,
        ends: false,
    }
}

pub(crate) fn get(queue: &mut Queue, expected: u64) -> bool {
    queue
        .try_get()
        .is_ok_and(|found| number(&found) == expected)
}

/// Puts items without waiting.
pub(crate) fn put_all(queue: &mut Queue, items: &[Item]) -> bool {
    queue.within(Duration::ZERO).put_slice(items).is_ok()
}

/// A child whose operation is to attach. If it lives on after others worked, it works too.
pub(crate) fn attach() -> Body {
    Box::new(|dir| {
        let mut queue = None;
        let status = marked(|| queue.insert(Queue::attach_with(NAME, &at(dir))).is_ok());
        match queue {
            Some(Ok(mut queue)) if Fixture::others_worked(dir) => {
                let worked = (
                    queue.try_put(&item(1001)),
                    queue.try_get().map(|found| number(&found)),
                );
                i32::from(!matches!(
                    worked,
                    (Ok(()) | Err(PutError::Full), Ok(_) | Err(GetError::Empty))
                ))
            }
            _ => status,
        }
    })
}

/// A consumer that is killed with the oldest item in its hand.
pub(crate) fn leave_an_item_in_a_dead_hand(fixture: &mut Fixture) {
    kill_after(fixture, AttachOptions::new(), |queue| {
        let taken = queue.try_take().unwrap();
        mark();
        taken.ack();
    });
}

/// A child that does this and is killed at its mark.
pub(crate) fn kill_after(
    fixture: &mut Fixture,
    attach: AttachOptions,
    body: impl FnOnce(&mut Queue),
) {
    let child = Child::at_mark(|| {
        let mut queue = Queue::attach_with(NAME, &attach.directory(&fixture.dir)).unwrap();
        body(&mut queue);
        0
    });
    child.kill();
    fixture.wait_for_seats();
}

pub(crate) fn puts() -> Vec<Scene> {
    let two = |fixture: &mut Fixture| fixture.put(1..=2);
    let three = |fixture: &mut Fixture| fixture.put(1..=3);
    let before = || After::items([1, 2]);
    let after = || After::items([1, 2, 1000]);
    vec![
        scene(
            "put",
            options(),
            two,
            attached(|queue| queue.try_put(&item(1000)).is_ok()),
            [before(), after()],
        ),
        scene(
            "put_bytes",
            options(),
            two,
            of_bytes(|queue| queue.try_put(bytemuck::bytes_of(&item(1000))).is_ok()),
            [before(), after()],
        ),
        scene(
            "put_many",
            options(),
            |fixture| fixture.put(1..=1),
            attached(|queue| put_all(queue, &[item(1000), item(1001)])),
            [
                After::items([1]),
                After::items([1, 1000]),
                After::items([1, 1000, 1001]),
            ],
        ),
        scene(
            "put_refused",
            options(),
            three,
            attached(|queue| {
                queue
                    .try_put(&item(1000))
                    .is_err_and(|error| matches!(error, PutError::Full))
            }),
            [After::items([1, 2, 3])],
        ),
        scene(
            "overwrite",
            options().lossy(true),
            three,
            attached(|queue| queue.try_put(&item(1000)).is_ok()),
            [
                After::items([1, 2, 3]),
                After::items([2, 3, 1000]).dropped(1),
            ],
        ),
        scene(
            "void_put",
            options(),
            |fixture| {
                fixture.put(1..=3);
                fixture.control.clear().unwrap();
            },
            attached(|queue| queue.try_put(&item(1000)).is_ok()),
            [After::items([]).cleared(3), After::items([1000]).cleared(3)],
        ),
        scene(
            "reserve_and_commit",
            options(),
            two,
            attached(|queue| {
                let mut block = queue.reserve().unwrap();
                *block = item(1000);
                block.commit_within(Duration::ZERO).is_ok()
            }),
            [before(), after()],
        ),
        scene(
            "reserve_and_commit_bytes",
            options(),
            two,
            of_bytes(|queue| {
                let mut block = queue.reserve(size_of::<Item>()).unwrap();
                block.copy_from_slice(bytemuck::bytes_of(&item(1000)));
                block.commit_within(Duration::ZERO).is_ok()
            }),
            [before(), after()],
        ),
    ]
}

pub(crate) fn gets() -> Vec<Scene> {
    let three = |fixture: &mut Fixture| fixture.put(1..=3);
    let before = || After::items([1, 2, 3]);
    let lost = || After::items([2, 3]).lost(1);
    let again = || After::items([1, 2, 3]).delivery(1, 2);
    let done = || After::items([2, 3]).got(1);
    let take = |queue: &mut Queue| {
        let Ok(taken) = queue.try_take() else {
            return false;
        };
        let good = number(&taken) == 1 && taken.delivery_count() == 1;
        taken.ack();
        good
    };
    vec![
        scene(
            "get",
            options(),
            three,
            attached(|queue| get(queue, 1)),
            [before(), lost(), done()],
        ),
        scene(
            "get_at_least_once",
            at_least_once(),
            three,
            attached(|queue| get(queue, 1)),
            [before(), again(), done()],
        ),
        scene(
            "get_bytes",
            options(),
            three,
            of_bytes(|queue| {
                queue
                    .try_get()
                    .is_ok_and(|found| found == bytemuck::bytes_of(&item(1)))
            }),
            [before(), lost(), done()],
        ),
        scene(
            "get_many",
            options(),
            three,
            attached(|queue| get(queue, 1) && get(queue, 2)),
            [
                before(),
                lost(),
                done(),
                After::items([3]).got(1).lost(1),
                After::items([3]).got(2),
            ],
        ),
        scene(
            "take_and_ack",
            options(),
            three,
            attached(take),
            [before(), lost(), done()],
        ),
        scene(
            "take_and_ack_at_least_once",
            at_least_once(),
            three,
            attached(take),
            [before(), again(), done()],
        ),
        scene(
            "get_of_nothing",
            options(),
            |_| {},
            attached(|queue| {
                queue
                    .try_get()
                    .is_err_and(|error| matches!(error, GetError::Empty))
            }),
            [After::items([])],
        ),
        scene(
            "get_behind_a_cleared_item",
            options(),
            |fixture| {
                fixture.put(1..=1);
                fixture.control.clear().unwrap();
                fixture.put(2..=2);
            },
            attached(|queue| get(queue, 2)),
            [
                After::items([2]).cleared(1),
                After::items([]).cleared(1).lost(1),
                After::items([]).cleared(1).got(1),
            ],
        ),
        // The put writes into the block that the got item lies in.
        scene(
            "get_then_put",
            at_least_once(),
            three,
            attached(|queue| get(queue, 1) && queue.try_put(&item(1000)).is_ok()),
            [before(), again(), done(), After::items([2, 3, 1000]).got(1)],
        ),
    ]
}

pub(crate) fn items_in_hand() -> Vec<Scene> {
    let three = |fixture: &mut Fixture| fixture.put(1..=3);
    let dead_hand = |fixture: &mut Fixture| {
        fixture.put(1..=3);
        leave_an_item_in_a_dead_hand(fixture);
    };
    let again = |count: u32| After::items([1, 2, 3]).delivery(1, count);
    let done = || After::items([2, 3]).got(1).redelivered(1);
    let dropped_delivery = || -> Body {
        Box::new(|dir| {
            let mut queue = Queue::attach_with(NAME, &at(dir)).unwrap();
            let taken = queue.try_take().unwrap();
            marked(|| {
                drop(taken); // not acknowledged
                true
            })
        })
    };
    let adoption = move || {
        [
            again(2),
            again(3).redelivered(1), // the delivery count is raised before its sum
            again(3),
            done(),
        ]
    };
    vec![
        scene(
            "nack",
            at_least_once(),
            three,
            Box::new(|dir| {
                let mut queue = Queue::attach_with(NAME, &at(dir)).unwrap();
                let taken = queue.try_take().unwrap();
                marked(|| taken.nack().is_ok())
            }),
            [again(2)],
        ),
        // No seat is free to go to: the item is kept, and the next get delivers it.
        scene(
            "nack_kept_then_get",
            at_least_once().seats(2),
            three,
            Box::new(|dir| {
                let mut queue = Queue::attach_with(NAME, &at(dir)).unwrap();
                queue.try_take().unwrap().nack().unwrap();
                marked(|| get(&mut queue, 1))
            }),
            adoption(),
        ),
        scene(
            "dropped_delivery_at_least_once",
            at_least_once(),
            three,
            dropped_delivery(),
            [again(2)],
        ),
        scene(
            "dropped_delivery_counts_as_got",
            options(),
            three,
            dropped_delivery(),
            [After::items([2, 3]).lost(1), After::items([2, 3]).got(1)],
        ),
        // No seat is free to go to: the item is kept, and the next get delivers it.
        scene(
            "dropped_delivery_kept_then_get",
            at_least_once().seats(2),
            three,
            Box::new(|dir| {
                let mut queue = Queue::attach_with(NAME, &at(dir)).unwrap();
                drop(queue.try_take().unwrap());
                marked(|| get(&mut queue, 1))
            }),
            adoption(),
        ),
        scene(
            "adoption",
            at_least_once(),
            dead_hand,
            attached(|queue| get(queue, 1)),
            adoption(),
        ),
        scene(
            "adoption_and_nack",
            at_least_once(),
            dead_hand,
            attached(|queue| queue.try_take().is_ok_and(|taken| taken.nack().is_ok())),
            [again(2), again(3).redelivered(1), again(3)],
        ),
        // The only seat that is not taken is the dead one's.
        scene(
            "adoption_by_attaching",
            at_least_once(),
            move |fixture| {
                dead_hand(fixture);
                let producer = fixture.bystander.try_clone().unwrap();
                fixture.others.push(producer);
            },
            Box::new(|dir| {
                let mut queue = Queue::attach_with(NAME, &at(dir)).unwrap();
                marked(|| get(&mut queue, 1))
            }),
            adoption(),
        ),
        scene(
            "ack_of_a_cleared_item",
            options(),
            three,
            Box::new(|dir| {
                let control = Control::attach_with(NAME, &at(dir)).unwrap();
                let mut queue = Queue::attach_with(NAME, &at(dir)).unwrap();
                let taken = queue.try_take().unwrap();
                marked(|| {
                    let good = control.clear().is_ok();
                    taken.ack();
                    good
                })
            }),
            [
                After::items([2, 3]).lost(1),
                After::items([]).cleared(3),
                After::items([]).cleared(2).got(1),
            ],
        ),
    ]
}

pub(crate) fn clears() -> Vec<Scene> {
    let three = |fixture: &mut Fixture| fixture.put(1..=3);
    let stages = || [After::items([1, 2, 3]), After::items([]).cleared(3)];
    vec![
        scene(
            "clear",
            options(),
            three,
            attached(|queue| queue.clear().is_ok()),
            stages(),
        ),
        scene(
            "clear_without_a_seat",
            options(),
            three,
            controlling(|control| control.clear().is_ok()),
            stages(),
        ),
        scene(
            "set_not_ready",
            options(),
            three,
            attached(|queue| queue.set_not_ready().is_ok()),
            stages(),
        ),
        scene(
            "set_ready",
            options().ready(false),
            |_| {},
            attached(|queue| queue.set_ready().is_ok()),
            [After::items([])],
        ),
    ]
}

pub(crate) fn comings_and_goings() -> Vec<Scene> {
    let three = |fixture: &mut Fixture| fixture.put(1..=3);
    let unchanged = || [After::items([1, 2, 3])];
    // In the hand of an endpoint that ends in good order, without having acknowledged.
    let close_with_an_item = || -> Body {
        Box::new(|dir| {
            let mut queue = Queue::attach_with(NAME, &at(dir)).unwrap();
            std::mem::forget(queue.try_take().unwrap());
            marked(|| {
                drop(queue);
                true
            })
        })
    };
    vec![
        Scene {
            busy_every: 4,
            ..scene("attach", options(), three, attach(), unchanged())
        },
        scene(
            "close",
            options(),
            three,
            Box::new(|dir| {
                let queue = Queue::attach_with(NAME, &at(dir)).unwrap();
                marked(|| {
                    drop(queue);
                    true
                })
            }),
            unchanged(),
        ),
        scene(
            "close_with_an_item",
            options(),
            three,
            close_with_an_item(),
            [After::items([2, 3]).lost(1)],
        ),
        scene(
            "close_with_an_item_at_least_once",
            at_least_once(),
            three,
            close_with_an_item(),
            [After::items([1, 2, 3]).delivery(1, 2)],
        ),
    ]
}

/// The end of a stream: consumers that hear of it, and producers that put meanwhile.
pub(crate) fn ends() -> Vec<Scene> {
    let ending = |items: u64| {
        move |fixture: &mut Fixture| {
            fixture.put(1..=items);
            fixture.control.set_state(State::StopAtQueueEnd).unwrap();
        }
    };
    let stopped = |queue: &mut Queue| {
        queue
            .try_get()
            .is_err_and(|error| matches!(error, GetError::Stopped))
    };
    let put_many = |queue: &mut Queue| put_all(queue, &[item(1000), item(1001)]);
    let before_the_end = |scene: Scene| Scene {
        ends: true,
        ..scene
    };
    vec![
        scene(
            "end_of_stream",
            options(),
            ending(0),
            attached(stopped),
            [After::items([])],
        ),
        scene(
            "end_of_stream_at_least_once",
            QueueOptions::new(1).seats(3).at_least_once(true),
            ending(0),
            attached(stopped),
            [After::items([])],
        ),
        scene(
            "end_of_stream_of_blocks",
            options().batch(2),
            ending(0),
            attached(stopped),
            [After::items([])],
        ),
        scene(
            "get_to_the_end",
            options(),
            ending(1),
            attached(move |queue| get(queue, 1) && stopped(queue)),
            [
                After::items([1]),
                After::items([]).lost(1),
                After::items([]).got(1),
            ],
        ),
        before_the_end(scene(
            "put_while_the_stream_ends",
            options(),
            |fixture| fixture.put(1..=1),
            attached(put_many),
            [
                After::items([1]),
                After::items([1, 1000]),
                After::items([1, 1000, 1001]),
            ],
        )),
        before_the_end(scene(
            "overwrite_while_the_stream_ends",
            options().lossy(true),
            |fixture| fixture.put(1..=2),
            attached(put_many),
            [
                After::items([1, 2]),
                After::items([1, 2, 1000]),
                After::items([2, 1000, 1001]).dropped(1),
            ],
        )),
    ]
}
