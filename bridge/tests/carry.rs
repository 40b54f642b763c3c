//! What a bridge carries when nothing goes wrong.

mod common;

use common::{Dir, can_run, get, nothing, until};
use prodcon::{QueueOptions, State};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

#[test]
fn an_interrupt_that_was_ignored_from_the_start_ends_no_bridge() {
    if !can_run() {
        return;
    }
    let dir = Dir::new();
    let server = dir.server();
    let (mut near, _far) = dir.two::<u64>();
    let mut out = dir.bridge_in_background(&["out", "near", "--to", &server.url()]);
    // It may have been taking an item when the signal came, but not each time.
    for item in 1..=5 {
        near.put(&item).unwrap();
        until("it is published", || {
            near.control().stats().unwrap().gets == item
        });
        out.signal("-INT");
    }
    assert_eq!(out.terminate(), 0, "{}", out.said());
}

#[test]
fn items_come_out_as_they_went_in_and_in_their_order() {
    if !can_run() {
        return;
    }
    let dir = Dir::new();
    let server = dir.server();
    let (mut near, mut far) = dir.two::<u64>();
    let _out = dir.out(&server, &[]);
    let _in = dir.inward(&server, &[]);
    let items: Vec<u64> = (0..3000).map(|number| number * 7).collect();
    let writer = items.clone();
    let put = std::thread::spawn(move || near.put_slice(&writer).map(|()| near));
    assert_eq!(get(&mut far, items.len()), items);
    let near = put.join().unwrap().unwrap();
    until("all are acknowledged", || {
        near.control().stats().unwrap().gets == 3000
    });
    nothing(&mut far);
}

#[test]
fn items_of_bytes_keep_their_lengths() {
    if !can_run() {
        return;
    }
    let dir = Dir::new();
    let server = dir.server();
    let mut near = dir.queue::<[u8]>("near", &dir.options(64).item_size(100));
    let mut far = dir.queue::<[u8]>("far", &dir.options(64).item_size(100));
    let _in = dir.inward(&server, &[]);
    let items: Vec<Vec<u8>> = (0..64u8).map(|n| vec![n; usize::from(n)]).collect();
    for item in &items {
        near.put(item).unwrap();
    }
    let _out = dir.out(&server, &["--pack", "10"]);
    assert_eq!(get(&mut far, 64), items);
}

#[test]
fn a_block_is_one_message_and_its_items_come_in_blocks() {
    if !can_run() {
        return;
    }
    let dir = Dir::new();
    let server = dir.server();
    let options = dir.options(16).batch(100);
    let (mut near, mut far) = (
        dir.queue::<u64>("near", &options),
        dir.queue::<u64>("far", &options),
    );
    let mut out = dir.out(&server, &[]);
    let _in = dir.inward(&server, &[]);
    let items: Vec<u64> = (0..950).collect();
    near.put_slice(&items).unwrap();
    near.control().set_state(State::StopAtQueueEnd).unwrap();
    assert_eq!(get(&mut far, 950), items);
    assert_eq!(out.ends(), 0);
    assert!(
        out.said().contains("950 items in 10 messages"),
        "{}",
        out.said()
    );
}

#[test]
fn large_items_come_through_a_full_queue_over_one_connection() {
    if !can_run() {
        return;
    }
    let dir = Dir::new();
    let server = dir.server();
    let options = dir.options(4).item_size(1 << 20);
    let (mut near, mut far) = (
        dir.queue::<[u8]>("near", &options),
        dir.queue::<[u8]>("far", &options),
    );
    let _out = dir.out(&server, &[]);
    let inward = dir.inward(&server, &[]);
    let mut item = vec![7; 1 << 20];
    for number in 0..40u8 {
        item[0] = number;
        near.put(&item).unwrap();
    }
    for number in 0..40u8 {
        assert_eq!(get(&mut far, 1)[0][0], number);
    }
    assert!(
        !inward.said().contains("no connection"),
        "{}",
        inward.said()
    );
}

#[test]
fn the_end_of_the_stream_is_carried_over() {
    if !can_run() {
        return;
    }
    let dir = Dir::new();
    let server = dir.server();
    let (mut near, mut far) = dir.two::<u32>();
    near.put_slice(&[1, 2, 3]).unwrap();
    near.control().set_state(State::StopAtQueueEnd).unwrap();
    let mut out = dir.out(&server, &[]);
    let mut inward = dir.inward(&server, &[]);
    assert_eq!((out.ends(), inward.ends()), (0, 0));
    assert_eq!(
        far.iter().map(Result::unwrap).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    // Once it was carried over, an end that comes again ends nothing.
    far.control().set_state(State::Stopped).unwrap();
    far.control().set_state(State::Started).unwrap();
    let mut again = dir.out(
        &server,
        &["--journal", dir.0.join("other").to_str().unwrap()],
    );
    let _inward = dir.inward(&server, &[]);
    assert_eq!(again.ends(), 0);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(far.control().state(), State::Started);
}

#[test]
fn what_is_not_ready_holds_the_messages_back() {
    if !can_run() {
        return;
    }
    let dir = Dir::new();
    let server = dir.server();
    let mut near = dir.queue::<u32>("near", &dir.options(64));
    let mut far = dir.queue::<u32>("far", &dir.options(64).ready(false));
    let _out = dir.out(&server, &[]);
    let inward = dir.inward(&server, &[]);
    inward.says("is not ready");
    near.put_slice(&[1, 2, 3]).unwrap();
    nothing(&mut far);
    far.set_ready().unwrap();
    assert_eq!(get(&mut far, 3), [1, 2, 3]);
    // And in the middle, too.
    far.set_not_ready().unwrap();
    near.put_slice(&[4, 5]).unwrap();
    nothing(&mut far);
    far.set_ready().unwrap();
    assert_eq!(get(&mut far, 2), [4, 5]);
}

#[test]
fn a_full_stream_makes_the_producers_wait_or_drops_the_oldest_as_chosen() {
    if !can_run() {
        return;
    }
    for discard in ["new", "old"] {
        let dir = Dir::new();
        let server = dir.server();
        let (mut near, mut far) = dir.two::<u32>();
        let more = [
            "--discard",
            discard,
            "--max-messages",
            "10",
            "--pack",
            "1",
            "--storage",
            "memory",
        ];
        let out = dir.out(&server, &more);
        near.put_slice(&(0..30).collect::<Vec<u32>>()).unwrap();
        let gets = || near.control().stats().unwrap().gets;
        if discard == "new" {
            out.says("is full");
            until("it holds what it can", || gets() == 10);
            std::thread::sleep(Duration::from_millis(300));
            assert_eq!(gets(), 10);
        } else {
            until("all are published", || gets() == 30);
        }
        let _in = dir.inward(&server, &[]);
        let (first, count) = if discard == "new" { (0, 30) } else { (20, 10) };
        assert_eq!(get(&mut far, count), (first..30).collect::<Vec<_>>());
    }
}

#[test]
fn a_full_queue_at_the_far_end_loses_nothing_and_a_lossy_one_drops_its_oldest() {
    if !can_run() {
        return;
    }
    for lossy in [false, true] {
        let dir = Dir::new();
        let server = dir.server();
        let mut near = dir.queue::<u32>("near", &dir.options(64));
        let mut far = dir.queue::<u32>("far", &dir.options(8).lossy(lossy));
        let _out = dir.out(&server, &[]);
        let _in = dir.inward(&server, &[]);
        near.put_slice(&(0..40).collect::<Vec<u32>>()).unwrap();
        if lossy {
            until("the rest is dropped", || {
                far.control().stats().unwrap().dropped == 32
            });
            assert_eq!(get(&mut far, 8), (32..40).collect::<Vec<_>>());
        } else {
            until("it is full", || far.is_full());
            std::thread::sleep(Duration::from_millis(1500)); // longer than --ack-wait
            assert_eq!(get(&mut far, 40), (0..40).collect::<Vec<_>>());
            nothing(&mut far);
        }
    }
}

#[test]
fn a_configuration_file_runs_several_bridges_and_their_figures_are_served() {
    if !can_run() {
        return;
    }
    let dir = Dir::new();
    let server = dir.server();
    let (mut near, mut far) = dir.two::<u32>();
    let (url, port) = (server.url(), common::nats::free_ports(1).unwrap()[0]);
    let text = format!(
        "metrics = '127.0.0.1:{port}'\n[[out]]\nqueue = 'near'\nto = '{url}'\n[[in]]\nqueue = \
             'far'\nfrom = '{url}'\nstream = 'prodcon-near'\n"
    );
    let file = dir.0.join("bridge.toml");
    std::fs::write(&file, text).unwrap();
    let mut bridge = dir.bridge(&["run", file.to_str().unwrap()]);
    near.put_slice(&[1, 2, 3]).unwrap();
    assert_eq!(get(&mut far, 3), [1, 2, 3]);
    let figures = || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    for line in [
        r#"prodcon_bridge_items_total{direction="out",queue="near",stream="prodcon-near"} 3"#,
        r#"prodcon_bridge_items_total{direction="in",queue="far",stream="prodcon-near"} 3"#,
        r#"prodcon_bridge_connected{direction="in",queue="far",stream="prodcon-near"} 1"#,
    ] {
        until(line, || figures().contains(line));
    }
    assert_eq!(bridge.terminate(), 0);
}

#[test]
fn a_message_that_no_bridge_published_is_an_item() {
    if !can_run() {
        return;
    }
    let dir = Dir::new();
    let server = dir.server();
    let _near = dir.queue::<[u8]>("near", &dir.options(8).item_size(32));
    let mut far = dir.queue::<[u8]>("far", &dir.options(8).item_size(32));
    let mut out = dir.out(&server, &["--subject", "jobs.new"]);
    let _in = dir.inward(&server, &[]);
    // Any client will do: the protocol is text.
    let address = server.url().replace("nats://", "");
    until("the stream takes it", || {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(1)))
            .unwrap();
        stream
            .write_all(
                b"CONNECT {\"verbose\":false}\r\nSUB answer 1\r\nPUB jobs.new answer \
             5\r\nhello\r\nPING\r\n",
            )
            .unwrap();
        let mut all = Vec::new();
        let mut part = [0; 4096];
        while let Ok(1..) = stream
            .read(&mut part)
            .inspect(|got| all.extend_from_slice(&part[..*got]))
        {
            if String::from_utf8_lossy(&all).contains("\"seq\"") {
                return true;
            }
        }
        false
    });
    assert_eq!(get(&mut far, 1), [b"hello"]);
    assert_eq!(out.terminate(), 0);
}

#[test]
fn an_owned_name_with_dots_is_one_token_of_the_subject() {
    if !can_run() {
        return;
    }
    let dir = Dir::new();
    let server = dir.server();
    let options: QueueOptions = dir.options(8);
    let mut near = dir.queue::<u32>("a.b", &options);
    let mut far = dir.queue::<u32>("far", &options);
    let _out = dir.bridge(&["out", "a.b", "--to", &server.url()]);
    let _in = dir.bridge(&[
        "in",
        "far",
        "--from",
        &server.url(),
        "--stream",
        "prodcon-a%2Eb",
    ]);
    near.put(&5).unwrap();
    assert_eq!(get(&mut far, 1), [5]);
}
