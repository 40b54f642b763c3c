//! Several items in hand, batches and dead letters, as their user sees them.

mod dir;

use dir::Dir;
use prodcon::{Attach, Control, Delivery, Fault, GetError, OpenError, Options, PutError, ReadyQueue, Role};
use std::time::Duration;

impl Dir {
    fn options(&self, capacity: u32) -> Options {
        Options::new(capacity).directory(&self.0)
    }
    fn consumer(&self, hands: u32) -> ReadyQueue<u64> {
        ReadyQueue::attach_with("q", &Attach::new().role(Role::Consumer).in_hand(hands).directory(&self.0)).unwrap()
    }
    /// Nothing of the queue is out of order, and every seat is free but those in use.
    fn check(&self, live: u32) {
        let control = Control::attach_in(&self.0, "q").unwrap();
        let (report, stats) = (control.doctor().unwrap(), control.stats().unwrap());
        assert!(report.ok() && report.undecided == 0, "{report:?}");
        assert!(stats.adds_up() && stats.seats_live == live && stats.seats_dead == 0, "{stats:?}");
    }
}

fn values(hand: &prodcon::Hand<'_, u64>) -> Vec<u64> {
    hand.iter().copied().collect()
}

#[test]
fn several_items_are_in_hand_and_acknowledged_together() {
    let dir = Dir::new();
    let mut producer = ReadyQueue::<u64>::create("q", &dir.options(16)).unwrap();
    let mut consumer = dir.consumer(4);
    assert_eq!(consumer.in_hand(), 4);
    (0..10).for_each(|i| producer.put(&i).unwrap());
    let mut hand = consumer.take_many(3).unwrap();
    assert_eq!(values(&hand), [0, 1, 2]);
    assert_eq!(hand.take_more(9, Some(Duration::ZERO)), Ok(1), "four seats, four items");
    assert_eq!((values(&hand), hand.deliveries(0), hand.deliveries(4)), (vec![0, 1, 2, 3], 1, 0));
    assert_eq!(hand.take_more(9, None), Ok(0), "no more can be in hand");
    assert_eq!(producer.stats().unwrap().held, 4);
    hand.ack_first(1);
    assert_eq!((values(&hand), hand.get(0), hand.get(3)), (vec![1, 2, 3], Some(&1), None));
    assert_eq!(hand.take_more(4, None), Ok(1));
    hand.ack();
    let stats = producer.stats().unwrap();
    assert!(stats.adds_up() && (stats.gets, stats.held, stats.len) == (5, 0, 5), "{stats:?}");
    assert_eq!(consumer.get(), Ok(5));
    drop(consumer);
    dir.check(1);
}

#[test]
fn an_endpoint_with_a_seat_to_spare_puts_while_items_are_in_hand() {
    let dir = Dir::new();
    let mut producer = ReadyQueue::<u64>::create("q", &dir.options(4).seats(3).attach_as(Attach::new().directory(&dir.0).in_hand(2))).unwrap();
    assert!(matches!(
        ReadyQueue::<u64>::attach_in(&dir.0, "q"),
        Err(OpenError::NoSeat { seats: 3, wanted: 1, .. })
    ));
    (1..=2).for_each(|i| producer.put(&i).unwrap());
    std::mem::forget(producer.try_take_many(2).unwrap());
    producer.put(&3).unwrap(); // the forgotten ones are lost, and their seats back
    let stats = producer.stats().unwrap();
    assert!(stats.adds_up() && (stats.lost, stats.held, stats.len) == (2, 0, 1), "{stats:?}");
    assert_eq!(values(&producer.take_many(2).unwrap()), [3]);
}

#[test]
fn a_hand_without_seats_to_spare_has_one_item() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.options(4).seats(1).delivery(Delivery::AtLeastOnce)).unwrap();
    assert!(matches!(
        ReadyQueue::<u64>::attach_with("q", &Attach::new().in_hand(1).directory(&dir.0)),
        Err(OpenError::NoSeat { wanted: 2, .. })
    ));
    (1..=2).for_each(|i| queue.put(&i).unwrap());
    let hand = queue.take_many(2).unwrap();
    assert_eq!(values(&hand), [1]);
    hand.nack().unwrap();
    assert!(matches!(queue.try_put(&3), Err(PutError::InHand { .. })));
    let again = queue.take_many(2).unwrap();
    assert_eq!((values(&again), again.deliveries(0)), (vec![1], 2));
    std::mem::forget(again);
    assert_eq!((queue.get(), queue.get()), (Ok(1), Ok(2)));
    let stats = queue.stats().unwrap();
    assert!(stats.adds_up() && stats.redelivered == 2, "{stats:?}");
    drop(queue);
    dir.check(0);
}

#[test]
fn what_is_given_back_comes_oldest_first_and_counted() {
    let dir = Dir::new();
    let mut producer = ReadyQueue::<u64>::create("q", &dir.options(16).seats(8).delivery(Delivery::AtLeastOnce)).unwrap();
    let (mut one, mut other) = (dir.consumer(3), dir.consumer(1));
    (0..6).for_each(|i| producer.put(&i).unwrap());
    one.take_many(3).unwrap().nack().unwrap();
    assert_eq!(one.in_hand(), 3);
    let taken = other.take().unwrap();
    assert_eq!((*taken, taken.deliveries()), (0, 2));
    drop(taken);
    let hand = one.take_many(3).unwrap();
    assert_eq!(values(&hand), [1, 2, 3]);
    assert_eq!((hand.deliveries(0), hand.deliveries(2)), (2, 1));
    std::mem::forget(hand);
    drop(one); // its end with items in hand gives them to others
    let stats = producer.stats().unwrap();
    assert!(stats.adds_up() && stats.held == 3, "{stats:?}");
    assert_eq!(other.get_many(9).unwrap(), [1, 2, 3, 4, 5]);
    drop((other, producer));
    dir.check(0);
}

#[test]
fn a_consumer_that_goes_leaves_what_it_had_in_hand() {
    let dir = Dir::new();
    let mut producer = ReadyQueue::<u64>::create("q", &dir.options(16).seats(12).delivery(Delivery::AtLeastOnce)).unwrap();
    let mut one = dir.consumer(3);
    (0..5).for_each(|i| producer.put(&i).unwrap());
    std::mem::forget(one.take_many(3).unwrap());
    drop(one);
    assert_eq!(producer.stats().unwrap().held, 3);
    let mut two = dir.consumer(6);
    let hand = two.take_many(6).unwrap();
    assert_eq!(values(&hand), [0, 1, 2, 3, 4]);
    assert_eq!([0, 1, 2, 3, 4].map(|i| hand.deliveries(i)), [2, 2, 2, 1, 1]);
    hand.ack();
    drop((producer, two));
    dir.check(0);
}

#[test]
fn at_most_once_takes_nothing_back() {
    let dir = Dir::new();
    let mut producer = ReadyQueue::<u64>::create("q", &dir.options(16)).unwrap();
    let mut consumer = dir.consumer(2);
    (0..3).for_each(|i| producer.put(&i).unwrap());
    let error = consumer.take_many(2).unwrap().nack().unwrap_err();
    assert!(matches!(error, Fault::AtMostOnce { .. }) && error.to_string().contains("'q'"), "{error}");
    assert_eq!(consumer.get(), Ok(2));
    let stats = producer.stats().unwrap();
    assert!(stats.adds_up() && (stats.lost, stats.gets) == (2, 1), "{stats:?}");
}

#[test]
fn seats_are_taken_as_far_as_they_go_when_fewer_will_do() {
    let dir = Dir::new();
    let producer = ReadyQueue::<u64>::create("q", &dir.options(16).seats(4)).unwrap();
    let attach = Attach::new().in_hand_at_most(10).directory(&dir.0);
    let many = ReadyQueue::<u64>::attach_with("q", &attach).unwrap();
    assert_eq!((many.in_hand(), producer.stats().unwrap().seats_live), (10, 4));
    assert!(matches!(ReadyQueue::<u64>::attach_with("q", &attach), Err(OpenError::NoSeat { .. })));
}

#[test]
fn an_item_delivered_too_often_goes_to_the_dead_letters() {
    let dir = Dir::new();
    let error = |options: Options| ReadyQueue::<u64>::create("q", &options.directory(&dir.0)).unwrap_err();
    let at_least_once = || Options::new(4).delivery(Delivery::AtLeastOnce);
    assert!(matches!(error(at_least_once().max_deliveries(2)), OpenError::Invalid { .. }));
    assert!(matches!(error(at_least_once().dead_letter("bad")), OpenError::Invalid { .. }));
    assert!(matches!(error(Options::new(4).max_deliveries(2).dead_letter("bad")), OpenError::Invalid { .. }));
    assert!(matches!(
        error(at_least_once().max_deliveries(2).dead_letter("bad")),
        OpenError::NotFound { .. }
    ));
    let mut bad = ReadyQueue::<[u8]>::create("bad", &Options::new(1).item_size(4).directory(&dir.0)).unwrap();
    assert!(matches!(error(at_least_once().max_deliveries(2).dead_letter("bad")), OpenError::Invalid { .. }));
    bad.control().unwrap().unlink().unwrap();
    bad = ReadyQueue::create("bad", &Options::new(1).item_size(8).directory(&dir.0)).unwrap();
    assert!(matches!(
        error(at_least_once().max_deliveries(2).dead_letter("bad").batch(2)),
        OpenError::Invalid { .. }
    ));
    let options = dir.options(4).delivery(Delivery::AtLeastOnce).max_deliveries(2).dead_letter("bad");
    let mut queue = ReadyQueue::<u64>::create("q", &options).unwrap();
    (1..=3).for_each(|i| queue.put(&i).unwrap());
    for deliveries in 1..=2 {
        let taken = queue.take().unwrap();
        assert_eq!((*taken, taken.deliveries()), (1, deliveries));
        taken.nack().unwrap();
    }
    queue.take().unwrap().ack();
    assert_eq!(bad.get().unwrap(), 1u64.to_ne_bytes());
    let stats = queue.stats().unwrap();
    assert!(
        stats.adds_up() && (stats.dead_lettered, stats.gets, stats.redelivered, stats.len) == (1, 2, 1, 1),
        "{stats:?}"
    );
    // While the dead letters are full, the item is delivered once more instead.
    bad.put(b"occupied").unwrap();
    (0..3).for_each(|_| queue.take().unwrap().nack().unwrap());
    let taken = queue.take().unwrap();
    assert_eq!((*taken, taken.deliveries()), (3, 4));
    drop(taken);
    assert!(queue.stats().unwrap().adds_up() && queue.try_get() == Err(GetError::Empty));
}

#[test]
fn a_block_of_items_moves_in_one_exchange() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.options(2).batch(4)).unwrap();
    let mut other = queue.try_clone().unwrap();
    let items: Vec<u64> = (0..7).collect();
    assert_eq!(queue.put_batch(&items), Ok(7));
    assert_eq!((queue.len(), queue.is_full(), queue.capacity()), (7, true, 2));
    let partial = queue.try_put_batch(&[9]).unwrap_err();
    assert_eq!((partial.put, partial.error), (0, PutError::Full));
    assert_eq!(other.get(), Ok(0));
    let stats = queue.stats().unwrap();
    assert!(stats.adds_up() && (stats.puts, stats.held, stats.len, stats.gets) == (7, 3, 3, 1), "{stats:?}");
    assert_eq!(other.get_batch().unwrap(), [1, 2, 3], "the rest of the block, in order");
    let batch = other.take_batch().unwrap();
    assert_eq!((&batch[..], batch.deliveries()), (&[4, 5, 6][..], 1));
    drop(batch);
    assert_eq!(other.try_get_batch(), Err(GetError::Empty));
    // Single puts take a block each.
    queue.put(&10).unwrap();
    queue.put(&11).unwrap();
    assert_eq!(queue.try_put(&12), Err(PutError::Full));
    assert_eq!(other.get_many(9).unwrap(), [10, 11]);
    let stats = queue.stats().unwrap();
    assert!(stats.adds_up() && stats.gets == 9, "{stats:?}");
    drop((queue, other));
    dir.check(0);
}

#[test]
fn who_keeps_the_rest_of_a_block_may_put_if_a_seat_is_free() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.options(2).batch(4).seats(2)).unwrap();
    queue.put_batch(&[1, 2, 3]).unwrap();
    assert_eq!(queue.get(), Ok(1));
    queue.put(&4).unwrap(); // with the second seat
    assert!(ReadyQueue::<u64>::attach_in(&dir.0, "q").is_err(), "both seats are in use");
    assert_eq!(queue.get_many(9).unwrap(), [2, 3, 4]);
    let mut other = ReadyQueue::<u64>::attach_in(&dir.0, "q").unwrap();
    queue.put_batch(&[5, 6]).unwrap();
    assert_eq!(queue.get(), Ok(5));
    assert!(matches!(queue.put(&7), Err(PutError::InHand { .. })), "no seat is free");
    queue.clear().unwrap();
    assert_eq!((queue.try_get(), other.try_get()), (Err(GetError::Empty), Err(GetError::Empty)));
    let stats = queue.stats().unwrap();
    assert!(stats.adds_up() && (stats.gets, stats.cleared) == (5, 1), "{stats:?}");
    drop((queue, other));
    dir.check(0);
}

#[test]
fn the_rest_of_a_block_comes_again_after_its_consumer() {
    let dir = Dir::new();
    for (delivery, lost) in [(Delivery::AtMostOnce, 2), (Delivery::AtLeastOnce, 0)] {
        let mut queue = ReadyQueue::<u64>::create("q", &dir.options(4).batch(8).delivery(delivery)).unwrap();
        let mut consumer = queue.try_clone().unwrap();
        queue.put_batch(&[1, 2, 3]).unwrap();
        assert_eq!(consumer.get(), Ok(1));
        drop(consumer);
        let stats = queue.stats().unwrap();
        assert!(stats.adds_up() && (stats.lost, stats.held) == (lost, 2 - lost), "{stats:?}");
        if delivery == Delivery::AtLeastOnce {
            let batch = queue.take_batch().unwrap();
            assert_eq!((&batch[..], batch.deliveries()), (&[2, 3][..], 2));
            batch.nack().unwrap();
            assert_eq!((queue.get(), queue.get(), queue.stats().unwrap().redelivered), (Ok(2), Ok(3), 4));
        }
        queue.control().unwrap().unlink().unwrap();
    }
}

#[test]
fn a_lossy_queue_of_batches_drops_the_oldest_block() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.options(2).batch(3).lossy(true)).unwrap();
    for i in 0..4u64 {
        queue.put_batch(&[i * 10, i * 10 + 1, i * 10 + 2][..1 + i as usize % 3]).unwrap();
    }
    let stats = queue.stats().unwrap();
    assert!(stats.adds_up() && (stats.puts, stats.dropped, stats.len) == (7, 3, 4), "{stats:?}");
    queue.control().unwrap().clear().unwrap();
    (0..3).for_each(|i| queue.put(&i).unwrap());
    assert_eq!(queue.get_many(9).unwrap(), [1, 2]);
    let stats = queue.stats().unwrap();
    assert!(
        stats.adds_up() && (stats.cleared, stats.dropped, stats.puts) == (4, 4, 10),
        "two blocks cleared, one more dropped: {stats:?}"
    );
}

#[test]
fn items_in_hand_may_be_more_than_one_of_a_block() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.options(4).batch(4).delivery(Delivery::AtLeastOnce)).unwrap();
    let mut consumer = dir.consumer(2);
    queue.put_batch(&(0..12).collect::<Vec<u64>>()).unwrap();
    let hand = consumer.take_many(6).unwrap();
    assert_eq!(values(&hand), [0, 1, 2, 3, 4, 5]);
    hand.ack();
    assert_eq!(consumer.get(), Ok(6));
    let mut hand = consumer.take_many(9).unwrap();
    assert_eq!(values(&hand), [7, 8, 9, 10, 11]);
    hand.ack_first(3);
    hand.nack().unwrap();
    let hand = consumer.take_many(9).unwrap();
    assert_eq!((values(&hand), hand.deliveries(0)), (vec![10, 11], 2));
    drop(hand);
    drop((queue, consumer));
    dir.check(0);
}

#[test]
fn batches_need_a_plain_type_and_an_item_without_bytes_is_one_too() {
    let dir = Dir::new();
    let mut empty = ReadyQueue::<[u64; 0]>::create("empty", &dir.options(2)).unwrap();
    empty.put(&[]).unwrap();
    assert_eq!(empty.get_batch().unwrap().len(), 1);
    let error = ReadyQueue::<[u8]>::create("q", &dir.options(2).item_size(8).batch(4)).unwrap_err();
    assert!(
        matches!(error, OpenError::Invalid { .. }) && error.to_string().contains("plain type"),
        "{error}"
    );
    let mut queue = ReadyQueue::<u64>::create("q", &dir.options(2).batch(4)).unwrap();
    queue.put_batch(&[1, 2]).unwrap();
    let mut bytes = ReadyQueue::<[u8]>::attach_in(&dir.0, "q").unwrap();
    assert_eq!(bytes.get().unwrap(), 1u64.to_ne_bytes());
    bytes.put(&7u64.to_ne_bytes()).unwrap();
    assert_eq!((bytes.get().unwrap(), queue.get()), (2u64.to_ne_bytes().to_vec(), Ok(7)));
}

#[test]
fn who_has_items_in_hand_is_told_of_the_end_though_others_have_too() {
    let dir = Dir::new();
    let mut producer = ReadyQueue::<u64>::create("q", &dir.options(16).delivery(Delivery::AtLeastOnce)).unwrap();
    let (mut one, mut other) = (dir.consumer(4), dir.consumer(4));
    (0..2).for_each(|i| producer.put(&i).unwrap());
    let mut hand = one.take_many(1).unwrap();
    let second = other.take_many(1).unwrap();
    producer.set_state(prodcon::State::StopAtQueueEnd).unwrap();
    assert_eq!(hand.take_more(4, None), Err(GetError::Stopped));
    hand.ack_in_place();
    assert_eq!(values(&hand), [0], "acknowledged and still shown");
    assert_eq!(producer.stats().unwrap().gets, 1);
    hand.nack().unwrap(); // nothing is left to give back
    second.ack();
    assert_eq!(one.get(), Err(GetError::Stopped));
    let stats = producer.stats().unwrap();
    assert!(stats.adds_up() && (stats.gets, stats.redelivered) == (2, 0), "{stats:?}");
}

#[test]
fn what_is_taken_next_goes_on_with_the_block_that_was_begun() {
    let dir = Dir::new();
    for clear in [false, true] {
        let mut queue = ReadyQueue::<u64>::create("q", &dir.options(8).batch(3)).unwrap();
        let mut consumer = dir.consumer(4);
        queue.put_batch(&(1..=9).collect::<Vec<u64>>()).unwrap();
        let mut hand = consumer.take_many(2).unwrap();
        if clear {
            queue.clear().unwrap();
            queue.put(&10).unwrap();
            assert_eq!(hand.take_more(9, Some(Duration::ZERO)), Ok(1));
            assert_eq!(values(&hand), [1, 2, 10], "the rest of the first block was cleared");
        } else {
            assert_eq!(hand.take_more(4, Some(Duration::ZERO)), Ok(2));
            assert_eq!(values(&hand), [1, 2, 3, 4]);
            assert_eq!(hand.take_more(8, Some(Duration::ZERO)), Ok(4));
            assert_eq!(values(&hand), [1, 2, 3, 4, 5, 6, 7, 8]);
        }
        hand.ack();
        let stats = consumer.stats().unwrap();
        let expected = if clear { (3, 7, 0) } else { (8, 0, 1) };
        assert_eq!(
            (stats.gets, stats.cleared, stats.held),
            expected,
            "a cleared rest is settled together with what was shown of its block"
        );
        assert_eq!(consumer.try_get(), if clear { Err(GetError::Empty) } else { Ok(9) });
        drop(consumer);
        dir.check(1);
        queue.control().unwrap().unlink().unwrap();
    }
}

#[test]
fn discarding_takes_only_what_was_refused() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.options(8).batch(3)).unwrap();
    queue.put_batch(&[1, 2, 3]).unwrap();
    assert_eq!(queue.get(), Ok(1));
    assert!(!queue.discard());
    assert_eq!((queue.get(), queue.get()), (Ok(2), Ok(3)));
}

#[test]
fn the_orphans_of_an_endpoint_are_not_in_the_way_of_its_replacement() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.options(8).seats(4).delivery(Delivery::AtLeastOnce)).unwrap();
    (0..3).for_each(|i| queue.put(&i).unwrap());
    let mut one = dir.consumer(2);
    std::mem::forget(one.take_many(2).unwrap());
    drop(one); // two of its three seats are orphans'
    let mut two = dir.consumer(2);
    let hand = two.take_many(2).unwrap();
    assert_eq!((values(&hand), hand.deliveries(1)), (vec![0, 1], 2));
    hand.ack();
    assert_eq!(values(&two.take_many(2).unwrap()), [2]);
    drop((queue, two));
    dir.check(0);
}

#[test]
fn an_item_is_copied_into_the_callers_place() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<[u64; 1024]>::create("q", &dir.options(2)).unwrap();
    queue.put(&std::array::from_fn(|i| i as u64)).unwrap();
    let mut place = [0; 1024];
    queue.get_into(&mut place).unwrap();
    assert!(place.iter().enumerate().all(|(i, word)| *word == i as u64));
    assert_eq!(queue.stats().unwrap().gets, 1);
}
