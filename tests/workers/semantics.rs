//! What the reference's user guide promises: when `work` is called, what it gets, and which process
//! gets what.

use crate::fixture::{Fixture, heard, heard_of, pid, signal, until};
use prodcon::worker::{ConsumerOptions, OnFull, ProducerOptions};
use prodcon::{QueueOptions, State};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_producers_calls_do_not_drift() {
    let fixture = Fixture::new();
    let mut ticks = fixture.producer(
        "ticks",
        ProducerOptions::new().work_timeout(Duration::from_millis(1)),
    );
    ticks.start_new(fixture.program("producer")).unwrap();
    until("2000 calls", || {
        fixture.logs().iter().any(|log| log.calls.len() >= 2000)
    });
    ticks.stop().unwrap().into_result().unwrap();
    let times: Vec<u64> = fixture.log().calls.iter().map(|(time, _)| *time).collect();
    // Means over 1000 calls; the one in the middle, because a machine that stands still for 10 ms spoils the one that ends there.
    let mut means: Vec<f64> = times
        .iter()
        .zip(&times[1000..])
        .map(|(from, to)| (to - from) as f64 / 1000.0)
        .collect();
    means.sort_by(f64::total_cmp);
    let mean = means[means.len() / 2];
    println!(
        "mean period over 1000 calls at 1 ms: {mean:.2} us (all of them: {:.2} to {:.2})",
        means[0],
        means[means.len() - 1]
    );
    assert!((990.0..1010.0).contains(&mean), "{mean}");
}

#[test]
fn a_buffer_is_handed_over_when_it_is_full() {
    let fixture = Fixture::new();
    let mut consumer = fixture.consumer(
        "c",
        ConsumerOptions::new().max_buffer_size(5).work_timeout(HOUR),
    );
    consumer.start_new(fixture.program("consumer")).unwrap();
    (0..12).for_each(|item| consumer.put_in_queue(&item).unwrap());
    until("two calls", || fixture.log().calls.len() == 2);
    let ended = consumer.stop().unwrap();
    assert!(ended.success(), "{ended:?}");
    let batches: Vec<Vec<u64>> = fixture
        .log()
        .calls
        .into_iter()
        .map(|(_, items)| items)
        .collect();
    assert_eq!(
        batches,
        [vec![0, 1, 2, 3, 4], vec![5, 6, 7, 8, 9]],
        "the last two were never handed over, because it was stopped"
    );
}

#[test]
fn a_partly_filled_buffer_is_handed_over_at_its_time_although_nothing_comes() {
    for workers in [1, 2] {
        let fixture = Fixture::new();
        let options = ConsumerOptions::new()
            .max_buffer_size(100)
            .work_timeout(Duration::from_millis(300))
            .processes(workers);
        let mut consumer = fixture.consumer("c", options);
        consumer.start_new(fixture.program("consumer")).unwrap();
        (0..3).for_each(|item| consumer.put_in_queue(&item).unwrap());
        until("a call", || fixture.worked() == [0, 1, 2]);
        assert!(fixture.logs().iter().all(|log| log.calls.len() <= 3));
    }
}

#[test]
fn size_and_time_work_together() {
    let fixture = Fixture::new();
    let mut consumer = fixture.consumer(
        "c",
        ConsumerOptions::new()
            .max_buffer_size(4)
            .work_timeout(Duration::from_millis(400)),
    );
    consumer.start_new(fixture.program("consumer")).unwrap();
    (0..10).for_each(|item| consumer.put_in_queue(&item).unwrap());
    until("ten items", || fixture.worked().len() == 10);
    let sizes: Vec<usize> = fixture
        .log()
        .calls
        .iter()
        .map(|(_, items)| items.len())
        .collect();
    // By size, by size, and the rest by time; unless this process was so slow that the time came first.
    assert!(
        sizes.iter().all(|size| (1..=4).contains(size)) && sizes.contains(&4),
        "{sizes:?}"
    );
}

#[test]
fn a_work_timeout_of_zero_hands_over_what_is_there() {
    let fixture = Fixture::new();
    let mut consumer = fixture.consumer(
        "c",
        ConsumerOptions::new()
            .max_buffer_size(100)
            .work_timeout(Duration::ZERO),
    );
    consumer.start_new(fixture.program("consumer")).unwrap();
    for item in 0..3 {
        consumer.put_in_queue(&item).unwrap();
        until("the item", || fixture.worked().len() as u64 == item + 1);
    }
    assert_eq!(fixture.log().calls.len(), 3);
}

#[test]
fn a_buffer_larger_than_the_seats_is_copied_out() {
    let fixture = Fixture::new();
    let mut consumer = fixture.consumer(
        "c",
        ConsumerOptions::new()
            .max_buffer_size(2000)
            .work_timeout(HOUR)
            .queue(QueueOptions::new(4096)),
    );
    assert!(consumer.stats().unwrap().seats < 100);
    consumer.start_new(fixture.program("consumer")).unwrap();
    (0..4500).for_each(|item| consumer.put_in_queue(&item).unwrap());
    until("two calls", || fixture.log().calls.len() == 2);
    consumer.set_stop_at_queue_end().unwrap();
    assert!(consumer.wait().unwrap().success());
    let sizes: Vec<usize> = fixture
        .log()
        .calls
        .iter()
        .map(|(_, items)| items.len())
        .collect();
    assert_eq!(sizes, [2000, 2000, 500]);
    assert_eq!(fixture.worked(), (0..4500).collect::<Vec<_>>());
}

#[test]
fn a_lossy_queue_keeps_the_newest() {
    let fixture = Fixture::new();
    let mut consumer = fixture.consumer(
        "c",
        ConsumerOptions::new().queue(QueueOptions::new(3).lossy(true)),
    );
    consumer.start_new(fixture.program("consumer")).unwrap();
    let worker = pid(&consumer.pids());
    until("its sleep", || {
        consumer
            .stats()
            .unwrap()
            .members
            .iter()
            .any(|member| member.asleep)
    });
    signal(worker, libc::SIGSTOP);
    (1..=21).for_each(|item| consumer.put_in_queue(&item).unwrap());
    consumer.set_stop_at_queue_end().unwrap();
    signal(worker, libc::SIGCONT);
    assert!(consumer.wait().unwrap().success());
    assert_eq!(fixture.worked(), [19, 20, 21]);
    assert_eq!(consumer.stats().unwrap().dropped, 18);
}

#[test]
fn producers_leave_out_a_queue_that_is_not_ready_and_go_on() {
    let fixture = Fixture::new();
    let mut ready = fixture.consumer("ready", ConsumerOptions::new());
    let mut not_ready = fixture.consumer("not-ready", ConsumerOptions::new());
    let options = ProducerOptions::new()
        .work_timeout(Duration::from_millis(1))
        .subscribers(["not-ready", "ready"]);
    let mut producer = fixture.producer("p", options);
    let counters = heard_of(&mut producer);
    ready.start_new(fixture.program("consumer")).unwrap();
    producer
        .start_new(fixture.worker("producer", ["counters=1"]))
        .unwrap();
    until("progress", || ready.stats().unwrap().gets > 20);
    assert_eq!(not_ready.stats().unwrap().puts, 0);
    not_ready.start_new(fixture.program("consumer")).unwrap();
    until("items in the second", || {
        not_ready.stats().unwrap().gets > 20
    });
    not_ready.stop().unwrap().into_result().unwrap();
    let puts = not_ready.stats().unwrap().puts;
    let gets = ready.stats().unwrap().gets;
    until("more progress", || ready.stats().unwrap().gets > gets + 20);
    assert_eq!(
        not_ready.stats().unwrap().puts,
        puts,
        "put after set_not_ready"
    );
    producer.stop().unwrap().into_result().unwrap();
    let said = counters.lock().unwrap().join("");
    assert!(
        !said.contains("not_ready=0 ") && said.contains("full=0 "),
        "{said}"
    );
}

#[test]
fn a_producer_waits_for_space_and_stays_stoppable_or_skips() {
    for on_full in [OnFull::Wait, OnFull::Skip] {
        let fixture = Fixture::new();
        let mut consumer =
            fixture.consumer("c", ConsumerOptions::new().queue(QueueOptions::new(4)));
        consumer.start_external().unwrap(); // ready, and nobody gets
        let mut producer = fixture.producer(
            "p",
            ProducerOptions::new().subscribers(["c"]).on_full(on_full),
        );
        let counters = heard_of(&mut producer);
        producer
            .start_new(fixture.worker("producer", ["counters=1"]))
            .unwrap();
        until("a full queue", || consumer.stats().unwrap().len == 4);
        if on_full == OnFull::Skip {
            until("calls", || fixture.log().calls.len() > 50);
        } else {
            std::thread::sleep(Duration::from_millis(50));
            assert!(fixture.log().calls.len() <= 5, "it did not wait");
        }
        let ended = producer.stop().unwrap();
        assert!(ended.success(), "{ended:?}");
        assert_eq!(fixture.log().stops.len(), 1);
        let said = counters.lock().unwrap().join("");
        assert!(
            said.contains("put=4 ") && !said.contains("full=0 "),
            "{said}"
        );
    }
}

#[test]
fn one_producer_serves_three_consumers() {
    let fixture = Fixture::new();
    let names = ["a", "b", "c"];
    let mut consumers = names.map(|name| {
        fixture.consumer(
            name,
            ConsumerOptions::new()
                .max_buffer_size(7)
                .work_timeout(Duration::from_millis(10)),
        )
    });
    consumers
        .iter_mut()
        .for_each(|consumer| consumer.start_new(fixture.program("consumer")).unwrap());
    let mut producer = fixture.producer("p", ProducerOptions::new().subscribers(names));
    producer
        .start_new(fixture.worker("producer", ["to=500", "quiet=1"]))
        .unwrap();
    until("all items", || {
        consumers
            .iter()
            .all(|consumer| consumer.stats().unwrap().puts == 500)
    });
    producer.stop().unwrap().into_result().unwrap();
    for consumer in &mut consumers {
        consumer.set_stop_at_queue_end().unwrap();
        assert!(consumer.wait().unwrap().success());
    }
    let mut expected: Vec<u64> = (0..500).chain(0..500).chain(0..500).collect();
    expected.sort_unstable();
    assert_eq!(fixture.worked(), expected);
    let in_order = |log: &crate::fixture::Log| {
        log.calls
            .iter()
            .flat_map(|(_, items)| items.clone())
            .collect::<Vec<_>>()
            .is_sorted()
    };
    assert!(fixture.logs().iter().all(in_order));
}

#[test]
fn three_producers_serve_one_consumer() {
    let fixture = Fixture::new();
    let mut consumer = fixture.consumer("c", ConsumerOptions::new().queue(QueueOptions::new(8)));
    consumer.start_new(fixture.program("consumer")).unwrap();
    let mut producers = [0u64, 1, 2].map(|number| {
        fixture.producer(
            &format!("p{number}"),
            ProducerOptions::new().subscribers(["c"]),
        )
    });
    for (number, producer) in producers.iter_mut().enumerate() {
        let arguments = [
            format!("from={}", number * 1000),
            format!("to={}", number * 1000 + 200),
            "quiet=1".into(),
        ];
        producer
            .start_new(fixture.worker("producer", arguments))
            .unwrap();
    }
    until("all items", || consumer.stats().unwrap().puts == 600);
    producers
        .iter_mut()
        .for_each(|producer| assert!(producer.stop().unwrap().success()));
    consumer.set_stop_at_queue_end().unwrap();
    assert!(consumer.wait().unwrap().success());
    assert_eq!(
        fixture.worked(),
        (0..3)
            .flat_map(|number| number * 1000..number * 1000 + 200)
            .collect::<Vec<_>>()
    );
}

#[test]
fn start_new_stops_a_running_worker_first() {
    let fixture = Fixture::new();
    let mut consumer = fixture.consumer("c", ConsumerOptions::new());
    let results = heard(&mut consumer);
    let mut pids = vec![];
    for round in 0..3 {
        consumer
            .start_new(fixture.worker("consumer", ["results=1"]))
            .unwrap();
        assert_eq!(consumer.state(), State::Started);
        pids.extend(consumer.pids());
        consumer.put_in_queue(&round).unwrap();
        until("the item", || fixture.worked().len() as u64 == round + 1);
    }
    assert_eq!(pids.len(), 3);
    assert_eq!(
        fixture
            .logs()
            .iter()
            .map(|log| log.stops.len())
            .sum::<usize>(),
        2,
        "the first two were stopped"
    );
    drop(consumer);
    assert_eq!(
        fixture
            .logs()
            .iter()
            .map(|log| (log.starts, log.stops.len()))
            .collect::<Vec<_>>(),
        [(1, 1); 3]
    );
    assert_eq!(results.lock().unwrap().len(), 3);
    fixture.assert_nobody_left();
}

#[test]
fn items_and_results_of_a_producer_reach_the_controlling_process() {
    let fixture = Fixture::new();
    let mut producer = fixture.producer("p", ProducerOptions::new().items_to_results(true));
    let (send, results) = std::sync::mpsc::channel();
    producer.on_result_ready(move |result| send.send(result.item::<u64>().unwrap()).unwrap());
    producer
        .start_new(fixture.worker("producer", ["from=7", "to=100"]))
        .unwrap();
    let all: Vec<u64> = results.iter().take(93).collect();
    assert_eq!(all, (7..100).collect::<Vec<_>>());
    producer.stop().unwrap().into_result().unwrap();
}
