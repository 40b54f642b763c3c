//! The parts of workers that need no process: framing, settings, what a handle's options ask for.

use super::controller::listener::{LastWords, Said};
use super::message::{LEAST_RESULT_SIZE, Message, Packet};
use super::settings::{Instructions, Settings, Watched};
use super::*;
use crate::error::ErrorKind;
use crate::queue::{Control, QueueOptions};
use proptest::prelude::*;
use std::ffi::OsString;
use std::time::Duration;

/// As an environment.
fn variables(list: &[(&str, &str)]) -> impl Fn(&str) -> Option<OsString> {
    let list: Vec<(String, OsString)> = list
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).into()))
        .collect();
    move |wanted| {
        list.iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.clone())
    }
}

proptest! {
    #[test]
    fn every_result_arrives_as_it_was_sent(bytes: Vec<u8>, marked: bool) {
        let bytes = if marked { [b"\0prodcon ".as_slice(), &bytes].concat() } else { bytes };
        let sent = Packet::result(&bytes).into_owned();
        prop_assert_eq!(Packet::decode(sent), Packet::Result(bytes));
    }

    #[test]
    fn what_a_worker_says_of_itself_arrives_or_is_cut(pid: u32, text: String, max in 40usize..200) {
        prop_assert_eq!(Packet::decode(Packet::Attached(pid).encode(max).unwrap()), Packet::Attached(pid));
        prop_assert_eq!(Packet::decode(Packet::Ended(pid).encode(max).unwrap()), Packet::Ended(pid));
        let sent = Packet::Failed(pid, text.clone()).encode(max).unwrap();
        prop_assert!(sent.len() <= max);
        match Packet::decode(sent) {
            Packet::Failed(arrived, cut) => {
                let whole = cut.trim_end_matches('\u{fffd}');
                let right = arrived == pid && (cut == text || text.starts_with(whole));
                prop_assert!(right, "{:?}", cut);
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn settings_arrive_as_they_were_sent(micros in 0u64..31_000_000_000_000, max in 1usize.., skip: bool, names in proptest::collection::vec("[a-z0-9._-]{1,20}", 0..5)) {
        let mut settings = Settings::producer().work_timeout(Duration::from_micros(micros)).max_buffer_size(max).subscribers(names);
        settings.on_full = if skip { OnFull::Skip } else { OnFull::Wait };
        settings.items_to_results = skip;
        let sent = settings.variables();
        let list: Vec<(&str, &str)> = sent.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let arrived = Settings::consumer().or_environment("w", variables(&list)).unwrap();
        let off = arrived.work_timeout.abs_diff(settings.work_timeout);
        prop_assert!(off < Duration::from_micros(10), "{:?}", off);
        prop_assert_eq!(Settings { work_timeout: settings.work_timeout, ..arrived }, settings);
    }
}

#[test]
fn what_a_worker_says_of_itself_is_never_cut_to_what_arrives_as_a_result() {
    for pid in [1, u32::MAX] {
        let words = [
            Packet::Attached(pid),
            Packet::Ended(pid),
            Packet::Failed(pid, "why".into()),
        ];
        for (word, max) in words
            .iter()
            .flat_map(|word| (0..70).map(move |max| (word, max)))
        {
            let arrives = word.encode(max).map(Packet::decode);
            let right = match &arrives {
                None => max < LEAST_RESULT_SIZE,
                Some(Packet::Failed(of, why)) => *of == pid && "why".starts_with(why.as_str()),
                Some(other) => other == word,
            };
            assert!(right, "{word:?} in {max} bytes: {arrives:?}");
        }
    }
}

#[test]
fn what_nobody_of_ours_sent_is_a_result() {
    for bytes in [
        "\0prodcon ",
        "\0prodcon attached",
        "\0prodcon attached x",
        "\0prodcon failed 1",
        "\0prodcon attached 1 2",
        "attached 1",
    ] {
        assert_eq!(Packet::decode(bytes.into()), Packet::Result(bytes.into()));
    }
}

#[test]
fn what_a_handle_tells_is_for_its_own_worker_alone() {
    let (own, other) = ("0".repeat(32), "1".repeat(32));
    let text = format!(
        "w {own}\nPRODCON_SUPERVISOR=7\nPRODCON_WORK_TIMEOUT=0.5\nPRODCON_WORKER_TYPE=a::B<c, d>"
    );
    let instructions = |text: &str, name: &str| {
        Instructions::from_environment(variables(&[("PRODCON_WORKER", text)]), name)
    };
    let worker = instructions(&text, "w").unwrap();
    assert_eq!(worker.to_string(), text);
    assert!(worker.is_for(own.parse().unwrap()) && !worker.is_for(other.parse().unwrap()));
    assert_eq!(
        (worker.supervisor(), worker.kind()),
        (Some(7), Some("a::B<c, d>"))
    );
    let watched = Watched::by(Some(&worker));
    assert!(watched.supervised && watched.supervisor == Some(7));
    let settings = Settings::consumer()
        .or_environment("w", |name| worker.variable(name))
        .unwrap();
    assert_eq!(
        settings,
        Settings::consumer().work_timeout(Duration::from_millis(500))
    );
    assert_eq!(instructions(&text, "v"), None);
    assert_eq!(Watched::by(None), Watched::default());
    for bad in [
        "",
        "w",
        "w 12",
        "w x\nPRODCON_SUPERVISOR=7",
        &format!("w{own}"),
    ] {
        assert_eq!(instructions(bad, "w"), None, "{bad:?}");
    }
    let simple = instructions(&format!("w {own}"), "w").unwrap();
    assert!(Watched::by(Some(&simple)).supervised && simple.supervisor().is_none());
}

#[test]
fn histories_do_not_grow_for_ever() {
    let mut said = Said::default();
    for pid in 0..20_000 {
        assert_eq!(said.sort(Packet::Attached(pid).encode(1000).unwrap()), None);
        assert_eq!(
            said.sort(
                Packet::Failed(pid, format!("no {pid}"))
                    .encode(1000)
                    .unwrap()
            ),
            None
        );
        assert_eq!(said.sort(b"a result".into()), Some(b"a result".into()));
        if pid % 2 == 0 {
            let error = Some(format!("no {pid}"));
            assert_eq!(
                said.last_words(pid),
                LastWords {
                    error,
                    ended: false
                }
            );
            assert_eq!(said.last_words(pid), LastWords::default());
        }
    }
    assert!(said.len() <= 4096, "{}", said.len());
    let exit = |process: usize, number: u32, restarts: bool| ProcessExit {
        process,
        pid: number,
        status: None,
        error: Some(format!("no {number}")),
        restarts,
    };
    let mut ended = WorkerExit::of("w");
    ended.push(exit(7, 0, false));
    (1..20_001).for_each(|number| ended.push(exit(number as usize % 3, number, true)));
    (0..3).for_each(|process| ended.push(exit(process, 20_001, false)));
    assert!(ended.exits.len() <= 1000, "{}", ended.exits.len());
    assert_eq!(
        (ended.restarts(), ended.error(), ended.success()),
        (20_000, Some("no 0"), false)
    );
    let last = |process: usize| {
        ended
            .exits
            .iter()
            .rfind(|exit| exit.process == process)
            .is_some_and(|exit| !exit.restarts)
    };
    assert!([0, 1, 2, 7].into_iter().all(last));
}

#[test]
fn what_arrives_is_read_as_what_it_is_or_refused_with_the_rings_name() {
    let received = |bytes: &[u8]| Message {
        queue: "w.results".into(),
        bytes: bytes.into(),
    };
    assert_eq!(received(b"abc").text().unwrap(), "abc");
    assert_eq!(received(&7u32.to_ne_bytes()).item::<u32>().unwrap(), 7);
    for error in [
        received(&[0xff]).text().unwrap_err(),
        received(b"abc").item::<u32>().unwrap_err(),
    ] {
        assert_eq!(
            (error.kind(), error.queue()),
            (ErrorKind::Encoding, Some("w.results"))
        );
        assert!(error.to_string().contains("'w.results'"), "{error}");
    }
    let error = received(b"abc").item::<u32>().unwrap_err().to_string();
    assert!(error.contains("3 bytes, expected the 4 of u32"), "{error}");
}

#[test]
fn a_worker_that_failed_is_an_error_with_what_the_last_of_its_processes_said() {
    let exit = |pid: u32, error: Option<&str>, restarts: bool| ProcessExit {
        process: 0,
        pid,
        status: Some(std::os::unix::process::ExitStatusExt::from_raw(
            if error.is_some() { 256 } else { 0 },
        )),
        error: error.map(str::to_owned),
        restarts,
    };
    let mut ended = WorkerExit::of("w");
    assert!(ended.clone().into_result().is_ok(), "none has ended");
    ended.push(exit(1, Some("first"), true));
    assert!(ended.clone().into_result().is_ok(), "it was started again");
    ended.push(exit(2, Some("second"), false));
    let error = ended.clone().into_result().unwrap_err();
    assert_eq!(
        (error.kind(), error.queue()),
        (ErrorKind::WorkerFailed, Some("w"))
    );
    assert_eq!(error.to_string(), "worker 'w' failed: second");
    assert_eq!(ended.error(), Some("first"));
    let mut killed = WorkerExit::of("w");
    killed.push(ProcessExit {
        status: Some(std::os::unix::process::ExitStatusExt::from_raw(9)),
        ..exit(3, None, false)
    });
    let error = killed.into_result().unwrap_err().to_string();
    assert!(error.contains("process 3 ended (signal: 9"), "{error}");
}

#[test]
fn seats_that_are_not_set_are_as_many_as_the_processes_need_and_one_to_spare_for_each() {
    let dir = std::env::temp_dir().join(format!("prodcon-seats-{}", std::process::id()));
    std::fs::create_dir(&dir).unwrap();
    let seats = |options: ConsumerOptions| {
        let made = options
            .directory(&dir)
            .work_queue("w")
            .and_then(|queue| Control::create::<u64>("w", &queue));
        let seats = made.as_ref().map_or(0, |made| made.info().seats);
        drop(made.map(Control::unlink));
        seats
    };
    let new = || ConsumerOptions::new().producers(4);
    let queue = |again: bool| QueueOptions::new(8).at_least_once(again);
    let found = [
        seats(new()),
        seats(new().processes(3).max_buffer_size(8)),
        seats(new().processes(3).queue(queue(true).seats(20))),
        // At-most-once they copy where there are not enough.
        seats(new().processes(3).max_buffer_size(1000)),
        seats(new().processes(3).max_buffer_size(1000).queue(queue(true))),
        seats(
            new()
                .processes(3)
                .max_buffer_size(1000)
                .queue(queue(true).seats(20)),
        ),
        // As many as there can be, although then none is to spare.
        seats(new().processes(3).max_buffer_size(338).queue(queue(true))),
    ];
    std::fs::remove_dir_all(&dir).unwrap();
    assert_eq!(found, [6 + 3, 6 + 3 * 10, 20, 6 + 3 * 3, 0, 20, 1023]);
}

#[test]
fn a_programs_own_arguments_stand_before_the_workers() {
    let mut python = std::process::Command::new("python3");
    python.arg("sum.py");
    let (mut command, args) = Program::from(python)
        .arg("a")
        .args(["b", "c"])
        .env("X", "1")
        .into_parts();
    command.arg("--attach").args(args);
    assert_eq!(
        command.get_args().collect::<Vec<_>>(),
        ["sum.py", "--attach", "a", "b", "c"]
    );
    assert_eq!(command.get_envs().count(), 1);
}
