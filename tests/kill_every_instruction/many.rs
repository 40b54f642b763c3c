//! Operations on several items: blocks of several, several in hand, dead letters.

use crate::fixture::{After, BLOCK, Fixture, Item, NAME, Queue, at, item, number};
use crate::scenes::{
    Body, at_least_once, attached, get, kill_after, leave_an_item_in_a_dead_hand, marked, options,
    put_all, scene,
};
use crate::sweep::Scene;
use crate::trace::mark;
use prodcon::{AttachOptions, Batch, QueueOptions};
use std::path::Path;
use std::time::Duration;

/// Blocks of up to three items.
fn blocks() -> QueueOptions {
    options().batch(3)
}

fn items<const N: usize>(numbers: [u64; N]) -> [Item; N] {
    numbers.map(item)
}

/// A block of three and one of one.
fn three_and_one(fixture: &mut Fixture) {
    fixture.put_batch(&[1, 2, 3]);
    fixture.put_batch(&[4]);
}

pub(crate) fn puts_of_blocks() -> Vec<Scene> {
    let put_two = || attached(|queue| put_all(queue, &items([1000, 1001])));
    let full = |fixture: &mut Fixture| {
        fixture.put_batch(&[1, 2]);
        fixture.put_batch(&[3]);
        fixture.put_batch(&[4, 5, 6]);
    };
    vec![
        scene(
            "put_batch",
            blocks(),
            |fixture| fixture.put(1..=1),
            attached(|queue| put_all(queue, &items([1000, 1001, 1002, 1003, 1004]))),
            [
                After::items([1]),
                After::items([1, 1000, 1001, 1002]),
                After::items([1, 1000, 1001, 1002, 1003, 1004]),
            ],
        ),
        scene(
            "overwrite_batch",
            blocks().lossy(true),
            full,
            put_two(),
            [
                After::items([1, 2, 3, 4, 5, 6]),
                After::items([3, 4, 5, 6, 1000, 1001]).dropped(2),
            ],
        ),
        scene(
            "void_put_batch",
            blocks(),
            move |fixture| {
                full(fixture);
                fixture.control.clear().unwrap();
            },
            put_two(),
            [
                After::items([]).cleared(6),
                After::items([1000, 1001]).cleared(6),
            ],
        ),
        scene(
            "clear_of_batches",
            blocks(),
            full,
            attached(|queue| queue.clear().is_ok()),
            [
                After::items([1, 2, 3, 4, 5, 6]),
                After::items([]).cleared(6),
            ],
        ),
    ]
}

/// A child that has up to this many items of a block in hand, and does this with them.
fn in_one_block(max: usize, operation: fn(Batch<'_, Item>) -> bool) -> Body {
    Box::new(move |dir| {
        let mut queue = Queue::attach_with(NAME, &at(dir)).unwrap();
        let batch = queue.within(Duration::ZERO).take_many(max).unwrap();
        marked(|| operation(batch))
    })
}

fn ack_first_and_drop(mut batch: Batch<'_, Item>) -> bool {
    batch.ack_first(1);
    let good = batch.len() == 1 && number(batch.get(0).unwrap()) == 2;
    drop(batch); // not acknowledged
    good
}

pub(crate) fn gets_of_blocks() -> Vec<Scene> {
    let before = || After::items([1, 2, 3, 4]);
    let get_block = |queue: &mut Queue| {
        let Ok(batch) = queue.within(Duration::ZERO).take_many(BLOCK) else {
            return false;
        };
        let good = batch.iter().map(number).eq([1, 2, 3]);
        batch.ack();
        good
    };
    vec![
        scene(
            "take_many_of_a_block",
            blocks(),
            three_and_one,
            attached(get_block),
            [
                before(),
                After::items([4]).lost(3),
                After::items([4]).got(3),
            ],
        ),
        scene(
            "take_many_of_a_block_at_least_once",
            blocks().at_least_once(true),
            three_and_one,
            attached(get_block),
            [before(), before().delivery(3, 2), After::items([4]).got(3)],
        ),
        scene(
            "get_of_a_batch_one_by_one",
            blocks(),
            three_and_one,
            attached(|queue| get(queue, 1) && get(queue, 2) && get(queue, 3)),
            [
                before(),
                After::items([4]).lost(3),
                After::items([4]).lost(2).got(1),
                After::items([4]).lost(1).got(2),
                After::items([4]).got(3),
            ],
        ),
        scene(
            "get_of_a_batch_one_by_one_at_least_once",
            blocks().at_least_once(true),
            three_and_one,
            attached(|queue| get(queue, 1) && get(queue, 2) && get(queue, 3)),
            [
                before(),
                before().delivery(3, 2),
                After::items([2, 3, 4]).delivery(2, 2).got(1),
                After::items([3, 4]).delivery(1, 2).got(2),
                After::items([4]).got(3),
            ],
        ),
        // A batch that is dropped when its first item was acknowledged: in one block, and the block has more.
        scene(
            "drop_of_a_block_after_ack_first",
            blocks(),
            three_and_one,
            in_one_block(2, ack_first_and_drop),
            [
                After::items([4]).lost(3),
                After::items([4]).lost(2).got(1),
                After::items([4]).lost(1).got(2), // the rest of the block is the endpoint's
            ],
        ),
        scene(
            "drop_of_a_block_after_ack_first_at_least_once",
            blocks().at_least_once(true),
            three_and_one,
            in_one_block(2, ack_first_and_drop),
            [
                before().delivery(3, 2),
                After::items([2, 3, 4]).delivery(2, 2).got(1),
            ],
        ),
        // The rest of a block is in hand when it is cleared; the get throws it away.
        scene(
            "get_behind_a_cleared_rest",
            blocks(),
            three_and_one,
            Box::new(|dir: &Path| {
                let mut queue = Queue::attach_with(NAME, &at(dir)).unwrap();
                let mut other = Queue::attach_with(NAME, &at(dir)).unwrap();
                assert!(
                    get(&mut queue, 1)
                        && queue.clear().is_ok()
                        && other.try_put(&item(1000)).is_ok()
                );
                marked(|| get(&mut queue, 1000))
            }),
            [
                After::items([1000]).cleared(3).got(1),
                After::items([]).cleared(3).lost(1).got(1),
                After::items([]).cleared(3).got(2),
            ],
        ),
        scene(
            "adoption_of_the_rest_of_a_batch",
            blocks().at_least_once(true),
            |fixture| {
                three_and_one(fixture);
                kill_after(fixture, AttachOptions::new(), |queue| {
                    assert!(get(queue, 1));
                    mark();
                });
            },
            attached(|queue| get(queue, 2)),
            [
                After::items([2, 3, 4]).delivery(2, 2).got(1),
                After::items([2, 3, 4]).delivery(2, 3).got(1).redelivered(2), // the delivery count is raised before its sum
                After::items([2, 3, 4]).delivery(2, 3).got(1),
                After::items([3, 4]).delivery(1, 3).got(2).redelivered(3),
            ],
        ),
    ]
}

pub(crate) fn hands() -> Vec<Scene> {
    let three = |fixture: &mut Fixture| fixture.put(1..=3);
    let two_in_a_dead_hand = move |fixture: &mut Fixture| {
        three(fixture);
        kill_after(fixture, AttachOptions::new().max_unacked(2), |queue| {
            let batch = queue.within(Duration::ZERO).take_many(2).unwrap();
            assert_eq!(batch.len(), 2);
            mark();
            batch.ack();
        });
    };
    let holding = |operation: fn(Batch<'_, Item>) -> bool| {
        Box::new(move |dir: &Path| {
            let mut queue = Queue::attach_with(NAME, &at(dir).max_unacked(2)).unwrap();
            let batch = queue.within(Duration::ZERO).take_many(2).unwrap();
            marked(|| operation(batch))
        })
    };
    let take_and_ack = || {
        Box::new(|dir: &Path| {
            let mut queue = Queue::attach_with(NAME, &at(dir).max_unacked(2)).unwrap();
            marked(|| {
                let Ok(batch) = queue.within(Duration::ZERO).take_many(2) else {
                    return false;
                };
                let good = batch.iter().map(number).eq([1, 2]);
                batch.ack();
                good
            })
        })
    };
    let one_in_a_dead_hand = move |fixture: &mut Fixture| {
        three(fixture);
        leave_an_item_in_a_dead_hand(fixture);
    };
    let one_in_a_dead_buffer = move |fixture: &mut Fixture| {
        three(fixture);
        kill_after(fixture, AttachOptions::new().max_unacked(1), |queue| {
            let batch = queue.take_buffered(Duration::from_secs(60)).unwrap();
            assert_eq!(batch.len(), 1);
            mark();
            batch.ack();
        });
    };
    let buffer_one = || {
        Box::new(|dir: &Path| {
            let mut queue = Queue::attach_with(NAME, &at(dir).max_unacked(1)).unwrap();
            marked(|| {
                let Ok(mut batch) = queue.take_buffered(Duration::ZERO) else {
                    return false;
                };
                batch.show();
                let good = batch.iter().map(number).eq([1]);
                batch.ack();
                good
            })
        })
    };
    let before = || After::items([1, 2, 3]);
    let again = |count| before().delivery(2, count);
    vec![
        scene(
            "take_many_and_ack",
            options().seats(5),
            three,
            take_and_ack(),
            [
                before(),
                After::items([2, 3]).lost(1),
                After::items([3]).lost(2),
                After::items([3]).lost(1).got(1),
                After::items([3]).got(2),
            ],
        ),
        scene(
            "take_many_and_ack_at_least_once",
            at_least_once().seats(5),
            three,
            take_and_ack(),
            [
                before(),
                before().delivery(1, 2),
                again(2),
                After::items([2, 3]).delivery(1, 2).got(1),
                After::items([3]).got(2),
            ],
        ),
        scene(
            "nack_of_a_hand",
            at_least_once().seats(5),
            three,
            holding(|batch| batch.nack().is_ok()),
            [again(2)],
        ),
        scene(
            "ack_of_the_first_in_hand",
            at_least_once().seats(5),
            three,
            holding(|mut batch| {
                batch.ack_first(1);
                batch.len() == 1 && batch.nack().is_ok()
            }),
            [again(2), After::items([2, 3]).delivery(1, 2).got(1)],
        ),
        scene(
            "drop_of_a_hand_after_ack_first_at_least_once",
            at_least_once().seats(5),
            three,
            holding(ack_first_and_drop),
            [again(2), After::items([2, 3]).delivery(1, 2).got(1)],
        ),
        scene(
            "drop_of_a_hand_after_ack_first",
            options().seats(5),
            three,
            holding(ack_first_and_drop),
            [
                After::items([3]).lost(2),
                After::items([3]).lost(1).got(1),
                After::items([3]).got(2),
            ],
        ),
        // The later one is acknowledged first. The earlier one outlives the endpoint, and goes back.
        scene(
            "owned_deliveries",
            at_least_once().seats(5),
            three,
            Box::new(|dir: &Path| {
                let mut queue = Queue::attach_with(NAME, &at(dir).max_unacked(2)).unwrap();
                let [first, second] =
                    [(); 2].map(|()| queue.within(Duration::ZERO).take_owned().unwrap());
                drop(queue);
                marked(|| {
                    second.ack();
                    drop(first);
                    true
                })
            }),
            [again(2), After::items([1, 3]).delivery(1, 2).got(1)],
        ),
        // A worker's buffer: what nobody was shown was not delivered.
        scene(
            "buffer_of_a_worker",
            at_least_once().seats(5),
            three,
            Box::new(|dir: &Path| {
                let mut queue = Queue::attach_with(NAME, &at(dir).max_unacked(2)).unwrap();
                marked(|| {
                    let Ok(mut batch) = queue.take_buffered(Duration::ZERO) else {
                        return false;
                    };
                    let filled = matches!(batch.take_more(2, Some(Duration::ZERO)), Ok(1));
                    batch.show();
                    let good = batch.iter().map(number).eq([1, 2]);
                    batch.ack();
                    filled && good
                })
            }),
            [
                before(),
                before().delivery(1, 2),
                again(2),
                After::items([2, 3]).delivery(1, 2).got(1),
                After::items([3]).got(2),
            ],
        ),
        scene(
            "adoption_into_a_buffer",
            at_least_once().seats(5),
            one_in_a_dead_hand,
            buffer_one(),
            [
                before().delivery(1, 2),
                before(), // it is said to be buffered before the delivery that ended is counted
                before().delivery(1, 2).redelivered(0), // the delivery count is raised before its sum
                before().delivery(1, 2),
                before().delivery(1, 3),
                After::items([2, 3]).got(1).redelivered(1),
            ],
        ),
        scene(
            "adoption_from_a_buffer",
            at_least_once().seats(5),
            one_in_a_dead_buffer,
            attached(|queue| get(queue, 1)),
            [
                before(),
                before().delivery(1, 2),
                After::items([2, 3]).got(1),
            ],
        ),
        scene(
            "adoption_from_a_buffer_into_one",
            at_least_once().seats(5),
            one_in_a_dead_buffer,
            buffer_one(),
            [
                before(),
                before().delivery(1, 2),
                After::items([2, 3]).got(1),
            ],
        ),
        scene(
            "adoption_of_a_hand",
            at_least_once().seats(6),
            two_in_a_dead_hand,
            take_and_ack(),
            [
                again(2),
                before().delivery(2, 2).delivery(1, 3).redelivered(2),
                before().delivery(2, 2).delivery(1, 3),
                again(3).redelivered(3),
                again(3),
                After::items([2, 3]).delivery(1, 3).got(1).redelivered(3),
                After::items([3]).got(2).redelivered(2),
            ],
        ),
        Scene {
            letters: true,
            last: 2000, // before it an attach to the dead letters
            ..scene(
                "get_behind_a_dead_letter",
                at_least_once(),
                |fixture| {
                    fixture.put(1..=2);
                    (0..2).for_each(|_| leave_an_item_in_a_dead_hand(fixture));
                },
                attached(|queue| get(queue, 2)),
                [
                    After::items([2]).got(1).redelivered(1).letters([1], 1),
                    After::items([2]).got(1).redelivered(1).letters([1, 1], 1), // put among the letters, not yet counted
                    After::items([2]).got(1).redelivered(1).letters([1, 1], 2),
                    After::items([2]).got(1).redelivered(1).letters([1], 1), // acknowledged
                    After::items([2])
                        .delivery(1, 2)
                        .got(1)
                        .redelivered(2)
                        .letters([1], 1),
                    After::items([]).got(2).redelivered(1).letters([1], 1),
                ],
            )
        },
    ]
}
