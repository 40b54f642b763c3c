//! The parts of workers that need no process: framing, settings, what a handle's options ask for.

use super::pipe::{Packet, Received};
use super::settings::{Settings, Watched};
use super::*;
use proptest::prelude::*;
use std::ffi::OsString;
use std::time::Duration;

/// As an environment.
fn variables(list: &[(&str, &str)]) -> impl Fn(&str) -> Option<OsString> {
    let list: Vec<(String, OsString)> = list.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    move |wanted| list.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone())
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
        prop_assert_eq!(Packet::decode(Packet::Attached(pid).encode(max)), Packet::Attached(pid));
        let sent = Packet::Failed(pid, text.clone()).encode(max);
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
fn a_worker_by_hand_minds_no_controller() {
    assert_eq!(Watched::from_environment(variables(&[])), Watched::default());
    let stray = [("PRODCON_SUPERVISOR", "7"), ("PRODCON_OWNED", "1"), ("PRODCON_SUPERVISED", "0")];
    assert_eq!(Watched::from_environment(variables(&stray)), Watched::default());
    let told = [("PRODCON_SUPERVISED", "1"), ("PRODCON_SUPERVISOR", "7"), ("PRODCON_OWNED", "1")];
    let watched = Watched::from_environment(variables(&told));
    assert!(watched.supervised && watched.supervisor == Some(7) && watched.owned);
    let simple = Watched::from_environment(variables(&told[..1]));
    assert!(simple.supervised && simple.supervisor.is_none() && !simple.owned);
}

#[test]
fn what_arrives_is_read_as_what_it_is_or_refused_with_the_rings_name() {
    let received = |bytes: &[u8]| Received {
        queue: "w.results".into(),
        bytes: bytes.into(),
    };
    assert_eq!(received(b"abc").text(), Ok("abc"));
    assert_eq!(received(&7u32.to_ne_bytes()).item::<u32>(), Ok(7));
    for error in [received(&[0xff]).text().unwrap_err(), received(b"abc").item::<u32>().unwrap_err()] {
        assert!(error.to_string().contains("'w.results'"), "{error}");
    }
    let error = received(b"abc").item::<u32>().unwrap_err().to_string();
    assert!(error.contains("3 bytes, expected the 4 of u32"), "{error}");
}
