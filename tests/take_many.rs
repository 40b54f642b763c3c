//! Several items in hand, batches and dead letters, as their user sees them.

mod common;

use common::Dir;
use prodcon::{
    Batch, Control, ErrorKind, GetError, PutError, QueueOptions, ReadyQueue, Role, State, Stats,
};
use std::time::Duration;

impl Dir {
    fn consumer(&self, items: u32) -> ReadyQueue<u64> {
        ReadyQueue::attach_with("q", &self.attach().role(Role::Consumer).max_unacked(items))
            .unwrap()
    }
    /// Nothing of the queue is out of order, and every seat is free but those in use.
    fn check(&self, live: u32) {
        let control = self.control("q");
        let (report, stats) = (control.doctor().unwrap(), control.stats().unwrap());
        assert!(report.ok() && report.undecided == 0, "{report:?}");
        assert!(
            stats.adds_up() && stats.seats_live == live && stats.seats_dead == 0,
            "{stats:?}"
        );
    }
}

fn values(batch: &Batch<'_, u64>) -> Vec<u64> {
    batch.iter().copied().collect()
}

fn stats(queue: &ReadyQueue<u64>) -> Stats {
    let stats = queue.control().stats().unwrap();
    assert!(stats.adds_up(), "{stats:?}");
    stats
}

/// All that is there, acknowledged.
fn drain(queue: &mut ReadyQueue<u64>) -> Vec<u64> {
    std::iter::from_fn(|| queue.try_get().ok()).collect()
}

#[test]
fn several_items_are_in_hand_and_acknowledged_together() {
    let dir = Dir::new();
    let mut producer = ReadyQueue::<u64>::create("q", &dir.options(16)).unwrap();
    let mut consumer = dir.consumer(4);
    (0..10).for_each(|i| producer.put(&i).unwrap());
    let mut batch = consumer.take_many(3).unwrap();
    assert_eq!(values(&batch), [0, 1, 2]);
    assert_eq!(
        batch.take_more(9, Some(Duration::ZERO)).unwrap(),
        1,
        "four seats, four items"
    );
    let counts = (batch.delivery_count(0), batch.delivery_count(4));
    assert_eq!((values(&batch), counts), (vec![0, 1, 2, 3], (1, 0)));
    assert_eq!(
        batch.take_more(9, None).unwrap(),
        0,
        "no more can be in hand"
    );
    assert_eq!(stats(&producer).unacked, 4);
    batch.ack_first(1);
    assert_eq!(
        (values(&batch), batch.get(0), batch.get(3)),
        (vec![1, 2, 3], Some(&1), None)
    );
    let sequences = [0, 1, 2].map(|index| batch.id(index).unwrap().sequence);
    assert_eq!((sequences, batch.id(3)), ([1, 2, 3], None));
    assert_eq!(batch.take_more(4, None).unwrap(), 1);
    batch.ack();
    let figures = stats(&producer);
    assert_eq!((figures.gets, figures.unacked, figures.len), (5, 0, 5));
    assert_eq!(consumer.get().unwrap(), 5);
    drop(consumer);
    dir.check(1);
}

#[test]
fn an_endpoint_with_a_seat_to_spare_puts_while_items_are_in_hand() {
    let dir = Dir::new();
    let options = dir.options(4).seats(3).attach(dir.attach().max_unacked(2));
    let mut producer = ReadyQueue::<u64>::create("q", &options).unwrap();
    let error = ReadyQueue::<u64>::attach_with("q", &dir.attach()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSeat);
    (1..=2).for_each(|i| producer.put(&i).unwrap());
    std::mem::forget(producer.within(Duration::ZERO).take_many(2).unwrap());
    producer.put(&3).unwrap(); // the forgotten ones are lost, and their seats back
    let figures = stats(&producer);
    assert_eq!((figures.lost, figures.unacked, figures.len), (2, 0, 1));
    assert_eq!(values(&producer.take_many(2).unwrap()), [3]);
}

#[test]
fn a_batch_without_seats_to_spare_has_one_item() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.at_least_once(4).seats(1)).unwrap();
    let error = ReadyQueue::<u64>::attach_with("q", &dir.attach().max_unacked(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSeat);
    (1..=2).for_each(|i| queue.put(&i).unwrap());
    let batch = queue.take_many(2).unwrap();
    assert_eq!(values(&batch), [1]);
    batch.nack().unwrap();
    assert_eq!(
        queue.try_put(&3).unwrap_err().kind(),
        ErrorKind::NoSeat,
        "the item is kept, and there is no other seat"
    );
    let again = queue.take_many(2).unwrap();
    assert_eq!((values(&again), again.delivery_count(0)), (vec![1], 2));
    std::mem::forget(again);
    assert_eq!(drain(&mut queue), [1, 2]);
    assert_eq!(stats(&queue).redelivered, 2);
    drop(queue);
    dir.check(0);
}

#[test]
fn take_many_takes_several_items_though_nobody_said_how_many() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.at_least_once(64)).unwrap();
    (0..40).for_each(|i| queue.put(&i).unwrap());
    let batch = queue.take_many(3).unwrap();
    assert_eq!(values(&batch), [0, 1, 2]);
    batch.ack();
    let batch = queue.take_many(100).unwrap();
    assert_eq!(values(&batch), (3..19).collect::<Vec<_>>(), "sixteen seats");
    batch.ack();
    // Others find seats all the same.
    let mut others = vec![];
    for _ in 0..16 {
        let mut other = queue.try_clone().unwrap();
        let batch = other.within(Duration::ZERO).take_many(16);
        assert!(batch.is_ok_and(|batch| !batch.is_empty()));
        others.push(other);
    }
    drop((others, queue));
    dir.check(0);
}

#[test]
fn what_is_given_back_comes_oldest_first_and_counted() {
    let dir = Dir::new();
    let mut producer = ReadyQueue::<u64>::create("q", &dir.at_least_once(16).seats(8)).unwrap();
    let (mut one, mut other) = (dir.consumer(3), dir.consumer(1));
    (0..6).for_each(|i| producer.put(&i).unwrap());
    drop(one.take_many(3).unwrap());
    let taken = other.take().unwrap();
    assert_eq!(
        (*taken, taken.delivery_count(), taken.id().sequence),
        (0, 2, 0)
    );
    taken.ack();
    let batch = one.take_many(3).unwrap();
    assert_eq!(values(&batch), [1, 2, 3]);
    assert_eq!((batch.delivery_count(0), batch.delivery_count(2)), (2, 1));
    std::mem::forget(batch);
    drop(one); // its end with items in hand gives them to others
    assert_eq!(stats(&producer).unacked, 3);
    assert_eq!(drain(&mut other), [1, 2, 3, 4, 5]);
    drop((other, producer));
    dir.check(0);
}

#[test]
fn an_item_is_only_gone_after_its_acknowledgement() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.at_least_once(4)).unwrap();
    queue.put(&1).unwrap();
    let fails = |queue: &mut ReadyQueue<u64>| -> Result<(), Box<dyn std::error::Error>> {
        let item = queue.take()?;
        "no number".parse::<u64>()?;
        item.ack();
        Ok(())
    };
    assert!(fails(&mut queue).is_err());
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _item = queue.take().unwrap();
        std::panic::resume_unwind(Box::new("a panic in the work"));
    }));
    assert!(panicked.is_err());
    let item = queue.take().unwrap();
    assert_eq!((*item, item.delivery_count()), (1, 3));
    item.ack();
    assert!(matches!(queue.try_take(), Err(GetError::Empty)));
    // At-most-once counts it as got.
    queue.control().try_clone().unwrap().unlink().unwrap();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.options(4)).unwrap();
    queue.put(&1).unwrap();
    assert!(fails(&mut queue).is_err());
    assert_eq!((stats(&queue).gets, stats(&queue).len), (1, 0));
}

#[test]
fn a_consumer_that_goes_leaves_what_it_had_in_hand() {
    let dir = Dir::new();
    let mut producer = ReadyQueue::<u64>::create("q", &dir.at_least_once(16).seats(12)).unwrap();
    let mut one = dir.consumer(3);
    (0..5).for_each(|i| producer.put(&i).unwrap());
    std::mem::forget(one.take_many(3).unwrap());
    drop(one);
    assert_eq!(stats(&producer).unacked, 3);
    let mut two = dir.consumer(6);
    let batch = two.take_many(6).unwrap();
    assert_eq!(values(&batch), [0, 1, 2, 3, 4]);
    assert_eq!(
        [0, 1, 2, 3, 4].map(|i| batch.delivery_count(i)),
        [2, 2, 2, 1, 1]
    );
    assert_eq!(
        [0, 1, 2, 3, 4].map(|i| batch.id(i).unwrap().sequence),
        [0, 1, 2, 3, 4]
    );
    batch.ack();
    drop((producer, two));
    dir.check(0);
}

#[test]
fn at_most_once_takes_nothing_back() {
    let dir = Dir::new();
    let mut producer = ReadyQueue::<u64>::create("q", &dir.options(16)).unwrap();
    let mut consumer = dir.consumer(2);
    (0..4).for_each(|i| producer.put(&i).unwrap());
    let error = consumer.take_many(2).unwrap().nack().unwrap_err();
    assert!(
        error.kind() == ErrorKind::AtMostOnce && error.to_string().contains("'q'"),
        "{error}"
    );
    assert_eq!(
        consumer.take().unwrap().nack().unwrap_err().kind(),
        ErrorKind::AtMostOnce
    );
    assert_eq!(consumer.get().unwrap(), 3);
    assert_eq!((stats(&producer).lost, stats(&producer).gets), (3, 1));
}

#[test]
fn seats_are_taken_as_far_as_they_go_when_fewer_will_do() {
    let dir = Dir::new();
    let producer = ReadyQueue::<u64>::create("q", &dir.options(16).seats(4)).unwrap();
    let attach = dir.attach().max_unacked(10).min_unacked(1);
    let _many = ReadyQueue::<u64>::attach_with("q", &attach).unwrap();
    assert_eq!(stats(&producer).seats_live, 4);
    let error = ReadyQueue::<u64>::attach_with("q", &attach).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSeat);
}

#[test]
fn a_dead_letter_goes_to_the_queue_that_has_the_name_and_not_to_one_that_was_removed() {
    let dir = Dir::new();
    let letters = || ReadyQueue::<[u8]>::create("letters", &dir.options(4).item_size(8)).unwrap();
    let mut made = letters();
    let options = dir.at_least_once(4).dead_letter("letters", 1);
    let mut queue = ReadyQueue::<u64>::create("q", &options).unwrap();
    let mut kill = |item: u64| {
        queue.put(&item).unwrap();
        queue.take().unwrap().nack().unwrap();
        let again = queue.try_get().ok();
        (again, queue.control().stats().unwrap().dead_lettered)
    };
    assert_eq!(kill(1), (None, 1));
    for item in 2..=3 {
        prodcon::unlink_in(&dir.0, "letters").unwrap();
        made = letters();
        assert_eq!(kill(item), (None, item));
        assert_eq!(made.try_get().unwrap(), item.to_ne_bytes());
    }
    prodcon::unlink_in(&dir.0, "letters").unwrap();
    assert_eq!(
        kill(4),
        (Some(4), 3),
        "there is none: it is delivered once more"
    );
    assert!(made.is_empty());
}

#[test]
fn an_item_delivered_too_often_goes_to_the_dead_letters() {
    let dir = Dir::new();
    let error =
        |options: QueueOptions| ReadyQueue::<u64>::create("q", &options).unwrap_err().kind();
    assert_eq!(
        error(dir.at_least_once(4).dead_letter("bad", 0)),
        ErrorKind::InvalidOption
    );
    assert_eq!(
        error(dir.options(4).dead_letter("bad", 2)),
        ErrorKind::InvalidOption
    );
    assert_eq!(
        error(dir.at_least_once(4).dead_letter("bad", 2)),
        ErrorKind::NotFound
    );
    assert_eq!(
        error(dir.at_least_once(4).dead_letter("q", 2)),
        ErrorKind::InvalidOption
    );
    let short = Control::create::<[u8]>("bad", &dir.options(1).item_size(4)).unwrap();
    assert_eq!(
        error(dir.at_least_once(4).dead_letter("bad", 2)),
        ErrorKind::InvalidOption
    );
    short.unlink().unwrap();
    let mut bad = ReadyQueue::<[u8]>::create("bad", &dir.options(1).item_size(8)).unwrap();
    assert_eq!(
        error(dir.at_least_once(4).dead_letter("bad", 2).batch(2)),
        ErrorKind::InvalidOption
    );
    let mut queue =
        ReadyQueue::<u64>::create("q", &dir.at_least_once(4).dead_letter("bad", 2)).unwrap();
    (1..=3).for_each(|i| queue.put(&i).unwrap());
    for count in 1..=2 {
        let taken = queue.take().unwrap();
        assert_eq!((*taken, taken.delivery_count()), (1, count));
        taken.nack().unwrap();
    }
    queue.take().unwrap().ack();
    assert_eq!(bad.get().unwrap(), 1u64.to_ne_bytes());
    let figures = stats(&queue);
    assert_eq!(
        (
            figures.dead_lettered,
            figures.gets,
            figures.redelivered,
            figures.len
        ),
        (1, 2, 1, 1)
    );
    // While the dead letters are full, the item is delivered once more instead.
    bad.put(b"occupied").unwrap();
    (0..3).for_each(|_| queue.take().unwrap().nack().unwrap());
    let taken = queue.take().unwrap();
    assert_eq!((*taken, taken.delivery_count()), (3, 4));
    taken.ack();
    assert!(matches!(queue.try_get(), Err(GetError::Empty)));
    assert_eq!(stats(&queue).len, 0);
}

#[test]
fn a_block_of_items_moves_in_one_exchange() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.options(2).batch(4)).unwrap();
    let mut other = queue.try_clone().unwrap();
    let items: Vec<u64> = (0..7).collect();
    queue.put_slice(&items).unwrap();
    assert_eq!(
        (queue.len(), queue.is_full(), queue.capacity()),
        (7, true, 2)
    );
    let partial = queue.within(Duration::ZERO).put_slice(&[9]).unwrap_err();
    assert!(partial.put == 0 && matches!(partial.error, PutError::Full));
    assert_eq!(other.get().unwrap(), 0);
    let figures = stats(&queue);
    assert_eq!(
        (figures.puts, figures.unacked, figures.len, figures.gets),
        (7, 3, 3, 1)
    );
    assert_eq!(
        values(&other.take_many(9).unwrap()),
        [1, 2, 3],
        "the rest of the block, in order"
    );
    let batch = other.take_many(9).unwrap();
    assert_eq!(
        (batch.as_slice(), batch.delivery_count(0)),
        (Some(&[4, 5, 6][..]), 1)
    );
    assert_eq!(batch.slices().collect::<Vec<_>>(), [[4, 5, 6]]);
    let id = batch.id(2).unwrap();
    assert_eq!(
        (id.sequence, id.index, id.queue),
        (1, 2, queue.control().id())
    );
    batch.ack();
    assert!(matches!(
        other.within(Duration::ZERO).take_many(9),
        Err(GetError::Empty)
    ));
    // Single puts take a block each.
    queue.put(&10).unwrap();
    queue.put(&11).unwrap();
    assert!(matches!(queue.try_put(&12), Err(PutError::Full)));
    assert_eq!(drain(&mut other), [10, 11]);
    assert_eq!(stats(&queue).gets, 9);
    drop((queue, other));
    dir.check(0);
}

#[test]
fn a_slice_is_reserved_shortened_and_put() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.options(4).batch(4)).unwrap();
    let error = queue.reserve_slice(5).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    let mut block = queue.reserve_slice(4).unwrap();
    block.copy_from_slice(&[1, 2, 3, 4]);
    block.truncate(2);
    block.commit().unwrap();
    let mut block = queue.reserve_slice(4).unwrap();
    block.truncate(0);
    block.commit().unwrap(); // nothing
    let mut one = queue.reserve().unwrap();
    *one = 5;
    one.commit().unwrap();
    assert_eq!((queue.len(), stats(&queue).puts), (3, 3));
    assert_eq!(drain(&mut queue), [1, 2, 5]);
}

#[test]
fn an_endpoint_that_keeps_the_rest_of_a_block_may_put_if_a_seat_is_free() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.options(2).batch(4).seats(2)).unwrap();
    queue.put_slice(&[1, 2, 3]).unwrap();
    assert_eq!(queue.get().unwrap(), 1);
    queue.put(&4).unwrap(); // with the second seat
    assert!(queue.try_clone().is_err(), "both seats are in use");
    assert_eq!(drain(&mut queue), [2, 3, 4]);
    let mut other = queue.try_clone().unwrap();
    queue.put_slice(&[5, 6]).unwrap();
    assert_eq!(queue.get().unwrap(), 5);
    assert_eq!(queue.put(&7).unwrap_err().kind(), ErrorKind::NoSeat);
    queue.clear().unwrap();
    assert!(drain(&mut queue).is_empty() && drain(&mut other).is_empty());
    assert_eq!((stats(&queue).gets, stats(&queue).cleared), (5, 1));
    drop((queue, other));
    dir.check(0);
}

#[test]
fn the_rest_of_a_block_comes_again_after_its_consumer() {
    let dir = Dir::new();
    for (at_least_once, lost) in [(false, 2), (true, 0)] {
        let options = dir.options(4).batch(8).at_least_once(at_least_once);
        let mut queue = ReadyQueue::<u64>::create("q", &options).unwrap();
        let mut consumer = queue.try_clone().unwrap();
        queue.put_slice(&[1, 2, 3]).unwrap();
        assert_eq!(consumer.get().unwrap(), 1);
        drop(consumer);
        assert_eq!(
            (stats(&queue).lost, stats(&queue).unacked),
            (lost, 2 - lost)
        );
        if at_least_once {
            let batch = queue.take_many(9).unwrap();
            assert_eq!(
                (batch.as_slice(), batch.delivery_count(0)),
                (Some(&[2, 3][..]), 2)
            );
            assert_eq!(batch.id(0).unwrap().index, 1);
            batch.nack().unwrap();
            assert_eq!(drain(&mut queue), [2, 3]);
            assert_eq!(stats(&queue).redelivered, 4);
        }
        queue.control().try_clone().unwrap().unlink().unwrap();
    }
}

#[test]
fn a_lossy_queue_of_batches_drops_the_oldest_block() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.options(2).batch(3).lossy(true)).unwrap();
    for i in 0..4u64 {
        queue
            .put_slice(&[i * 10, i * 10 + 1, i * 10 + 2][..1 + i as usize % 3])
            .unwrap();
    }
    let figures = stats(&queue);
    assert_eq!((figures.puts, figures.dropped, figures.len), (7, 3, 4));
    queue.control().clear().unwrap();
    (0..3).for_each(|i| queue.put(&i).unwrap());
    assert_eq!(drain(&mut queue), [1, 2]);
    let figures = stats(&queue);
    assert_eq!(
        (figures.cleared, figures.dropped, figures.puts),
        (4, 4, 10),
        "two blocks cleared, one more dropped"
    );
}

#[test]
fn items_in_hand_may_be_more_than_one_of_a_block() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.at_least_once(4).batch(4)).unwrap();
    let mut consumer = dir.consumer(2);
    queue.put_slice(&(0..12).collect::<Vec<u64>>()).unwrap();
    let batch = consumer.take_many(6).unwrap();
    assert_eq!(values(&batch), [0, 1, 2, 3, 4, 5]);
    assert_eq!(batch.slices().map(<[u64]>::len).collect::<Vec<_>>(), [4, 2]);
    assert_eq!(batch.as_slice(), None);
    batch.ack();
    assert_eq!(consumer.get().unwrap(), 6);
    let mut batch = consumer.take_many(9).unwrap();
    assert_eq!(values(&batch), [7, 8, 9, 10, 11]);
    batch.ack_first(3);
    assert_eq!(
        (values(&batch), batch.id(0).unwrap().index),
        (vec![10, 11], 2)
    );
    batch.nack().unwrap();
    let batch = consumer.take_many(9).unwrap();
    assert_eq!((values(&batch), batch.delivery_count(0)), (vec![10, 11], 2));
    batch.ack();
    drop((queue, consumer));
    dir.check(0);
}

#[test]
fn the_first_items_of_one_block_are_acknowledged_and_the_rest_given_back() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.at_least_once(4).batch(8)).unwrap();
    queue.put_slice(&[1, 2, 3, 4, 5]).unwrap();
    let mut batch = queue.take_many(3).unwrap();
    assert_eq!(values(&batch), [1, 2, 3]);
    assert_eq!(batch.take_more(4, Some(Duration::ZERO)).unwrap(), 1);
    batch.ack_first(2);
    assert_eq!(values(&batch), [3, 4]);
    drop(batch);
    assert_eq!(stats(&queue).gets, 2);
    let batch = queue.take_many(9).unwrap();
    assert_eq!(
        (values(&batch), batch.delivery_count(2)),
        (vec![3, 4, 5], 2)
    );
    batch.ack();
    drop(queue);
    dir.check(0);
}

#[test]
fn batches_need_a_plain_type_and_an_item_without_bytes_is_one_too() {
    let dir = Dir::new();
    let mut empty = ReadyQueue::<[u64; 0]>::create("empty", &dir.options(2)).unwrap();
    empty.put(&[]).unwrap();
    empty.reserve().unwrap().commit().unwrap();
    assert_eq!(empty.len(), 2);
    assert_eq!(
        empty.take_many(1).unwrap().as_slice().map(<[_]>::len),
        Some(1)
    );
    let error = ReadyQueue::<[u8]>::create("q", &dir.options(2).item_size(8).batch(4)).unwrap_err();
    assert!(
        error.kind() == ErrorKind::InvalidOption && error.to_string().contains("plain type"),
        "{error}"
    );
    let mut queue = ReadyQueue::<u64>::create("q", &dir.options(2).batch(4)).unwrap();
    queue.put_slice(&[1, 2]).unwrap();
    let mut bytes = ReadyQueue::<[u8]>::attach_with("q", &dir.attach()).unwrap();
    assert_eq!(bytes.get().unwrap(), 1u64.to_ne_bytes());
    bytes.put(&7u64.to_ne_bytes()).unwrap();
    assert_eq!(bytes.get().unwrap(), 2u64.to_ne_bytes());
    assert_eq!(queue.get().unwrap(), 7);
}

#[test]
fn an_endpoint_with_items_in_hand_is_told_of_the_end_though_others_have_some_too() {
    let dir = Dir::new();
    let mut producer = ReadyQueue::<u64>::create("q", &dir.at_least_once(16)).unwrap();
    let (mut one, mut other) = (dir.consumer(4), dir.consumer(4));
    (0..2).for_each(|i| producer.put(&i).unwrap());
    let mut batch = one.take_many(1).unwrap();
    let second = other.take_many(1).unwrap();
    producer.control().set_state(State::StopAtQueueEnd).unwrap();
    assert!(matches!(batch.take_more(4, None), Err(GetError::Stopped)));
    batch.ack();
    second.ack();
    assert!(matches!(one.get(), Err(GetError::Stopped)));
    assert_eq!(
        (stats(&producer).gets, stats(&producer).redelivered),
        (2, 0)
    );
}

#[test]
fn what_is_taken_next_goes_on_with_the_block_that_was_begun() {
    let dir = Dir::new();
    for clear in [false, true] {
        let mut queue = ReadyQueue::<u64>::create("q", &dir.options(8).batch(3)).unwrap();
        let mut consumer = dir.consumer(4);
        queue.put_slice(&(1..=9).collect::<Vec<u64>>()).unwrap();
        let mut batch = consumer.take_many(2).unwrap();
        if clear {
            queue.clear().unwrap();
            queue.put(&10).unwrap();
            assert_eq!(batch.take_more(9, Some(Duration::ZERO)).unwrap(), 1);
            assert_eq!(
                values(&batch),
                [1, 2, 10],
                "the rest of the first block was cleared"
            );
        } else {
            assert_eq!(batch.take_more(4, Some(Duration::ZERO)).unwrap(), 2);
            assert_eq!(values(&batch), [1, 2, 3, 4]);
            assert_eq!(batch.take_more(8, Some(Duration::ZERO)).unwrap(), 4);
            assert_eq!(values(&batch), [1, 2, 3, 4, 5, 6, 7, 8]);
        }
        batch.ack();
        let figures = stats(&consumer);
        let expected = if clear { (3, 7, 0) } else { (8, 0, 1) };
        let found = (figures.gets, figures.cleared, figures.unacked);
        assert_eq!(
            found, expected,
            "a cleared rest is settled together with what was shown of its block"
        );
        assert_eq!(drain(&mut consumer), if clear { vec![] } else { vec![9] });
        drop(consumer);
        dir.check(1);
        queue.control().try_clone().unwrap().unlink().unwrap();
    }
}

#[test]
fn a_rest_that_was_cleared_is_not_added_to_what_is_in_hand() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.options(8).batch(3)).unwrap();
    let mut consumer = ReadyQueue::<u64>::attach_with("q", &dir.attach()).unwrap();
    queue.put_slice(&[1, 2, 3]).unwrap();
    let mut batch = consumer.take_many(1).unwrap();
    queue.clear().unwrap();
    queue.put(&4).unwrap();
    assert_eq!(batch.take_more(9, Some(Duration::ZERO)).unwrap(), 0);
    assert_eq!(values(&batch), [1]);
    batch.ack();
    assert_eq!(drain(&mut consumer), [4]);
    let figures = stats(&consumer);
    assert_eq!((figures.gets, figures.cleared, figures.unacked), (2, 2, 0));
}

#[test]
fn discarding_takes_only_what_was_refused() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.options(8).batch(3)).unwrap();
    queue.put_slice(&[1, 2, 3]).unwrap();
    assert_eq!(queue.get().unwrap(), 1);
    assert!(!queue.discard());
    assert_eq!(drain(&mut queue), [2, 3]);
}

#[test]
fn discarding_leaves_what_a_forgotten_guard_showed() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.at_least_once(8)).unwrap();
    (1..=2).for_each(|item| queue.put(&item).unwrap());
    std::mem::forget(queue.take().unwrap());
    assert!(!queue.discard(), "nothing was refused");
    // The same in another's seat: adopted, acknowledged in place, and then forgotten.
    let mut other = dir.consumer(0);
    let mut batch = other.take_many(1).unwrap();
    batch.ack_in_place();
    std::mem::forget(batch);
    assert!(!other.discard(), "nothing was refused");
    let item = queue.take().unwrap();
    assert_eq!((*item, item.delivery_count()), (1, 2), "it came again");
    item.ack();
    assert_eq!(drain(&mut queue), [] as [u64; 0]);
    drop((queue, other));
    dir.check(0);
}

#[test]
fn an_item_that_was_refused_before_something_else_was_done_is_not_discarded() {
    let dir = Dir::new();
    let mut lines = ReadyQueue::<[u8]>::create("q", &dir.at_least_once(8).item_size(8)).unwrap();
    let mut numbers = ReadyQueue::<u64>::attach_with("q", &dir.attach()).unwrap();
    lines.put(b"short").unwrap();
    assert_eq!(numbers.get().unwrap_err().kind(), ErrorKind::WrongLength);
    numbers.put(&7).unwrap();
    assert!(!numbers.discard());
    assert_eq!(
        numbers.get().unwrap_err().kind(),
        ErrorKind::WrongLength,
        "it comes again"
    );
    assert!(numbers.discard());
    assert_eq!(numbers.get().unwrap(), 7);
}

#[test]
fn a_put_does_not_keep_from_others_what_was_given_back() {
    let dir = Dir::new();
    for forget in [false, true] {
        let mut queue = ReadyQueue::<u64>::create("q", &dir.at_least_once(4).seats(3)).unwrap();
        let (mut other, third) = (dir.consumer(0), dir.consumer(0));
        queue.put(&1).unwrap();
        let item = queue.take().unwrap();
        if forget {
            std::mem::forget(item);
        } else {
            item.nack().unwrap(); // there is no free seat to leave it in
        }
        drop(third);
        queue.put(&2).unwrap();
        assert_eq!(drain(&mut other), [1, 2], "forgotten: {forget}");
        drop((queue, other));
        dir.check(0);
        prodcon::unlink_in(&dir.0, "q").unwrap();
    }
}

#[test]
fn a_batch_whose_items_were_all_acknowledged_takes_more() {
    let dir = Dir::new();
    // One seat, and one block in hand: of several items, and of one.
    for (batch, expected) in [(2, [vec![1, 2], vec![3, 4]]), (1, [vec![1], vec![2]])] {
        let options = dir.at_least_once(8).batch(batch).seats(1);
        let mut queue = ReadyQueue::<u64>::create("q", &options).unwrap();
        queue.put_slice(&[1, 2, 3, 4, 5]).unwrap();
        let [first, second] = expected;
        let mut taken = queue.take_many(8).unwrap();
        assert_eq!(values(&taken), first);
        assert_eq!(
            taken.take_more(8, None).unwrap(),
            0,
            "no more can be in hand"
        );
        taken.ack_first(first.len());
        assert_eq!(taken.take_more(8, None).unwrap(), second.len());
        assert_eq!(values(&taken), second);
        assert_eq!(taken.id(0).unwrap().sequence, 1);
        taken.ack_first(1); // of the second block, and the rest of it goes back
        drop(taken);
        let gets = stats(&queue).gets;
        assert_eq!(drain(&mut queue), (gets + 1..=5).collect::<Vec<_>>());
        drop(queue);
        dir.check(0);
        prodcon::unlink_in(&dir.0, "q").unwrap();
    }
}

#[test]
fn dead_letters_of_a_plain_type_are_not_for_items_of_any_length() {
    let dir = Dir::new();
    let letters = Control::create::<u64>("letters", &dir.options(4)).unwrap();
    let options = dir.at_least_once(4).dead_letter("letters", 1);
    let refused = ReadyQueue::<[u8]>::create("q", &options.clone().item_size(8)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidOption);
    assert!(refused.to_string().contains("'letters'"), "{refused}");
    let mut queue = ReadyQueue::<u64>::create("q", &options).unwrap();
    queue.put(&1).unwrap();
    drop(queue.take().unwrap());
    assert!(matches!(queue.try_take(), Err(GetError::Empty)));
    assert_eq!(letters.len(), 1);
}

#[test]
fn the_orphans_of_an_endpoint_are_not_in_the_way_of_its_replacement() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.at_least_once(8).seats(4)).unwrap();
    (0..3).for_each(|i| queue.put(&i).unwrap());
    let mut one = dir.consumer(2);
    std::mem::forget(one.take_many(2).unwrap());
    drop(one); // two of its three seats are orphans'
    let mut two = dir.consumer(2);
    let batch = two.take_many(2).unwrap();
    assert_eq!((values(&batch), batch.delivery_count(1)), (vec![0, 1], 2));
    batch.ack();
    let batch = two.take_many(2).unwrap();
    assert_eq!(values(&batch), [2]);
    batch.ack();
    drop((queue, two));
    dir.check(0);
}

#[test]
fn an_item_is_copied_into_the_callers_place() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<[u64; 1024]>::create("q", &dir.options(2)).unwrap();
    let item: [u64; 1024] = std::array::from_fn(|i| i as u64);
    (0..2).for_each(|_| queue.put(&item).unwrap());
    let mut place = [0; 1024];
    queue.get_into(&mut place).unwrap();
    assert_eq!(place, item);
    assert_eq!(*queue.take().unwrap().into_box(), item);
    assert_eq!(queue.control().stats().unwrap().gets, 2);
}

#[test]
fn bytes_reserved_in_a_queue_of_a_plain_type_are_put_as_one_item_of_its_size() {
    for batch in [1, 4] {
        let dir = Dir::new();
        let mut numbers = ReadyQueue::<u64>::create("q", &dir.options(4).batch(batch)).unwrap();
        let mut bytes = ReadyQueue::<[u8]>::attach_with("q", &dir.attach()).unwrap();
        let mut block = bytes.reserve(8).unwrap();
        block.copy_from_slice(&7u64.to_ne_bytes());
        block.commit().unwrap();
        let taken = numbers.within(Duration::ZERO).take_many(4).unwrap();
        assert_eq!(taken.iter().collect::<Vec<_>>(), [&7], "batch {batch}");
        taken.ack();
        let mut block = bytes.reserve(8).unwrap();
        block.truncate(4);
        assert_eq!(
            block.commit().unwrap_err().kind(),
            ErrorKind::WrongLength,
            "batch {batch}"
        );
        assert!(numbers.is_empty());
    }
}

#[test]
fn blocks_of_which_a_part_was_shown_take_no_seat_away_from_their_endpoint() {
    for at_least_once in [false, true] {
        let dir = Dir::new();
        let options = dir.options(4).batch(3).at_least_once(at_least_once);
        let mut producer = ReadyQueue::<u64>::create("q", &options.seats(4)).unwrap();
        let mut consumer = dir.consumer(2);
        producer.put_slice(&[1, 2, 3, 4, 5, 6]).unwrap();
        let batch = consumer.take_many(4).unwrap();
        assert_eq!(values(&batch), [1, 2, 3, 4]);
        batch.ack();
        // The rest comes one by one, and a put in between needs a seat too.
        assert_eq!(consumer.try_get().unwrap(), 5);
        consumer.try_put(&7).unwrap();
        assert_eq!(consumer.try_get().unwrap(), 6);
        assert_eq!(stats(&producer).seats_live, 4, "3 are the consumer's");
        let other = ReadyQueue::<u64>::attach_with("q", &dir.attach());
        assert_eq!(other.unwrap_err().kind(), ErrorKind::NoSeat);
        producer.put_slice(&[8, 9, 10]).unwrap();
        let batch = consumer.take_many(4).unwrap();
        assert_eq!(values(&batch), [7, 8, 9, 10], "two blocks");
        batch.ack();
        drop(consumer);
        dir.check(1);
    }
}
