//! A handle that is called from its own callback: each call works, or says at once why it does not.

use crate::fixture::{Fixture, heard, until, within_a_minute};
use prodcon::worker::{Consumer, ConsumerOptions};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

type Shared = Arc<Mutex<Option<Consumer<u64>>>>;

#[test]
fn a_handle_can_be_dropped_in_its_own_callbacks() {
    for callback in ["exit", "result"] {
        let fixture = Fixture::new();
        let handle: Shared = Arc::default();
        let mut consumer = fixture.consumer("c", ConsumerOptions::new());
        let (send, dropped) = mpsc::channel();
        let again = handle.clone();
        let drop_it = move || {
            drop(again.lock().unwrap().take());
            let _ = send.send(());
        };
        if callback == "exit" {
            consumer.on_exit(move |_| drop_it());
        } else {
            consumer.on_result_ready(move |_| drop_it());
        }
        consumer
            .start_new(fixture.worker("consumer", ["results=1", "fail_at=2"]))
            .unwrap();
        consumer
            .put_in_queue(&if callback == "exit" { 2 } else { 1 })
            .unwrap();
        *handle.lock().unwrap() = Some(consumer);
        dropped.recv_timeout(MINUTE).expect("the end of the drop");
        until("the removal of its segments", || fixture.left().is_empty());
        fixture.assert_nobody_left();
        assert_eq!(fixture.log().stops.len(), 1);
    }
}

#[test]
fn a_callback_can_replace_itself() {
    let fixture = Fixture::new();
    let mut consumer = fixture.consumer("c", ConsumerOptions::new());
    let handle: Shared = Arc::default();
    let (send, results) = mpsc::channel();
    let again = handle.clone();
    consumer.on_result_ready(move |_| {
        let send = send.clone();
        if let Some(handle) = again.lock().unwrap().as_mut() {
            handle.on_result_ready(move |result| {
                send.send(result.text().unwrap().to_owned()).unwrap()
            });
        }
    });
    consumer
        .start_new(fixture.worker("consumer", ["results=1"]))
        .unwrap();
    consumer.put_in_queue(&1).unwrap();
    *handle.lock().unwrap() = Some(consumer);
    let put = handle.clone();
    within_a_minute("the second put", move || {
        until("the first result", || {
            put.lock()
                .unwrap()
                .as_mut()
                .unwrap()
                .put_in_queue(&2)
                .is_ok()
        });
    });
    assert!(
        results.recv_timeout(MINUTE).is_ok(),
        "the new callback is called"
    );
    let consumer = handle.lock().unwrap().take();
    within_a_minute("the end", move || drop(consumer));
    fixture.assert_nobody_left();
}

#[test]
fn what_would_wait_for_its_own_callback_is_refused_there() {
    let fixture = Fixture::new();
    let mut consumer = fixture.consumer("c", ConsumerOptions::new());
    let handle: Shared = Arc::default();
    let (send, said) = mpsc::channel();
    let (again, first) = (handle.clone(), AtomicBool::new(true));
    let program = Mutex::new(fixture.program("consumer"));
    consumer.on_result_ready(move |_| {
        if !first.swap(false, Ordering::SeqCst) {
            let _ = send.send(vec!["a result".to_owned()]);
            return;
        }
        let mut shared = again.lock().unwrap();
        let handle = shared
            .as_mut()
            .expect("it was put there before the first item");
        let program = std::mem::replace(
            &mut *program.lock().unwrap(),
            std::process::Command::new("true"),
        );
        let errors = [
            handle.stop().map(drop),
            handle.wait().map(drop),
            handle.wait_timeout(MINUTE).map(drop),
            handle.start_new(program),
            handle.start_external(),
        ];
        let text = |error: prodcon::Error| format!("{:?}: {error}", error.kind());
        let texts = errors
            .into_iter()
            .map(|answer| answer.map_or_else(text, |()| "no error".into()));
        let _ = send.send(texts.collect());
    });
    consumer
        .start_new(fixture.worker("consumer", ["results=1"]))
        .unwrap();
    *handle.lock().unwrap() = Some(consumer);
    let put = |item: u64| {
        handle
            .lock()
            .unwrap()
            .as_mut()
            .unwrap()
            .put_in_queue(&item)
            .unwrap()
    };
    put(1);
    let texts = said.recv_timeout(MINUTE).expect("the answers");
    assert_eq!(texts.len(), 5);
    assert!(
        texts.iter().all(|text| text.starts_with("InCallback: ")
            && text.contains("'c'")
            && text.contains("set_stopped")),
        "{texts:?}"
    );
    // And it still hears.
    put(2);
    assert_eq!(
        said.recv_timeout(MINUTE).expect("the next result"),
        ["a result"]
    );
    let mut consumer = handle.lock().unwrap().take().unwrap();
    within_a_minute("the end", move || {
        assert!(consumer.stop().unwrap().success())
    });
    fixture.assert_nobody_left();
}

#[test]
fn a_callback_can_stop_its_worker_without_waiting_and_send_to_it() {
    let fixture = Fixture::new();
    let mut consumer = fixture.consumer("c", ConsumerOptions::new());
    let handle: Shared = Arc::default();
    let (again, calls) = (handle.clone(), Arc::new(AtomicUsize::new(0)));
    let count = calls.clone();
    consumer.on_result_ready(move |_| {
        let mut shared = again.lock().unwrap();
        let handle = shared
            .as_mut()
            .expect("it was put there before the first item");
        handle.send_message("heard").unwrap();
        handle.set_stopped().unwrap();
        count.fetch_add(1, Ordering::SeqCst);
    });
    consumer
        .start_new(fixture.worker("consumer", ["results=1"]))
        .unwrap();
    let mut shared = handle.lock().unwrap();
    consumer.put_in_queue(&1).unwrap();
    *shared = Some(consumer);
    drop(shared);
    until("the call", || calls.load(Ordering::SeqCst) == 1);
    let mut consumer = handle.lock().unwrap().take().unwrap();
    within_a_minute("the end", move || {
        assert!(consumer.wait().unwrap().success())
    });
}

#[test]
fn the_end_of_a_worker_comes_with_its_text_although_a_result_callback_is_slow() {
    let fixture = Fixture::new();
    let mut consumer = fixture.consumer("c", ConsumerOptions::new());
    let (go, wait) = mpsc::channel::<()>();
    consumer.on_result_ready(move |_| {
        let _ = wait.recv();
    });
    let (send, exits) = mpsc::channel();
    consumer.on_exit(move |exit| send.send(exit).unwrap());
    consumer
        .start_new(fixture.worker("consumer", ["results=1", "fail_at=3"]))
        .unwrap();
    (0..4).for_each(|item| consumer.put_in_queue(&item).unwrap());
    let exit = exits
        .recv_timeout(MINUTE)
        .expect("its end is told while the callback is busy");
    assert_eq!(exit.error.as_deref(), Some("no more of 3"));
    drop(go);
    assert_eq!(consumer.wait().unwrap().error(), Some("no more of 3"));
}

#[test]
fn the_end_of_a_worker_comes_although_its_results_are_full_and_the_callback_is_slow() {
    let fixture = Fixture::new();
    let mut consumer = fixture.consumer("c", ConsumerOptions::new().result_capacity(2));
    let (go, wait) = mpsc::channel::<()>();
    consumer.on_result_ready(move |_| _ = wait.recv());
    let (send, ends) = mpsc::channel();
    consumer.on_exit(move |exit| drop(send.send(exit)));
    consumer
        .start_new(fixture.worker("consumer", ["results=1"]))
        .unwrap();
    (1..=3).for_each(|item| consumer.put_in_queue(&item).unwrap());
    // The callback has one of the three.
    let ring = fixture.control("c.results");
    until("a full ring", || ring.is_full());
    consumer.set_stop_at_queue_end().unwrap();
    let end = ends.recv_timeout(MINUTE);
    drop(go);
    assert!(end.expect("it waits for no callback").success());
    assert!(consumer.wait().unwrap().success());
}

#[test]
fn results_that_wait_for_a_slow_callback_keep_their_order() {
    let fixture = Fixture::new();
    let mut consumer = fixture.consumer("c", ConsumerOptions::new().processes(2));
    let results = heard(&mut consumer);
    let (go, wait) = mpsc::channel::<()>();
    let list = results.clone();
    consumer.on_result_ready(move |result| {
        let _ = wait.recv();
        list.lock().unwrap().push(result.text().unwrap().into());
    });
    let (send, exits) = mpsc::channel();
    consumer.on_exit(move |exit| send.send(exit).unwrap());
    consumer
        .start_new(fixture.worker("consumer", ["last_results=10"]))
        .unwrap();
    consumer.set_stop_at_queue_end().unwrap();
    (0..2).for_each(|_| assert!(exits.recv_timeout(MINUTE).unwrap().success()));
    drop(go);
    consumer.wait().unwrap().into_result().unwrap();
    let results = results.lock().unwrap();
    let mut sorted = results.clone();
    sorted.sort();
    assert_eq!(
        sorted,
        (0..10)
            .flat_map(|number| [number.to_string(), number.to_string()])
            .collect::<Vec<_>>()
    );
    // Each worker's own are in order: of two that are the same the first ones ascend.
    let mut seen = std::collections::BTreeSet::new();
    let firsts: Vec<u32> = results
        .iter()
        .filter(|text| seen.insert((*text).clone()))
        .map(|text| text.parse().unwrap())
        .collect();
    assert!(firsts.is_sorted(), "{results:?}");
}
