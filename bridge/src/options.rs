//! What can be said on the command line and in a configuration file. The two have the same words.

use crate::quantity;
use clap::{Args, ValueEnum};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// A time as people write it: `2m`, `500ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = humantime::DurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        humantime::parse_duration(text).map(Self)
    }
}

impl TryFrom<String> for Span {
    type Error = humantime::DurationError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

fn at_least_one(text: &str) -> Result<u32, String> {
    quantity::count_to(text, u32::MAX)
}

fn messages_in_hand(text: &str) -> Result<u32, String> {
    quantity::count_to(text, 65_536)
}

/// The same numbers in a configuration file.
mod file {
    use super::{Deserializer, quantity};
    use quantity::in_a_file;

    pub fn at_least_one<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
        in_a_file(from, super::at_least_one)
    }

    pub fn messages_in_hand<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
        in_a_file(from, super::messages_in_hand)
    }

    pub fn messages<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
        in_a_file(from, quantity::count).map(Some)
    }

    pub fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
        in_a_file(from, quantity::bytes).map(Some)
    }
}

/// Where a stream keeps its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Storage {
    /// On disk
    File,
    /// In the server's memory: a restart of the server forgets them
    Memory,
}

/// What a stream does when it is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Discard {
    /// Refuse new messages: the queue fills, and its producers wait
    New,
    /// Drop the oldest message
    Old,
}

/// How to reach the server.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(default)]
pub struct Access {
    /// Certificate of the authority that signed the server's, in PEM
    #[arg(long, value_name = "FILE")]
    #[serde(rename = "tls-ca")]
    pub tls_ca: Option<PathBuf>,
    /// Our certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    #[serde(rename = "tls-cert")]
    pub tls_cert: Option<PathBuf>,
    /// The key of our certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    #[serde(rename = "tls-key")]
    pub tls_key: Option<PathBuf>,
    /// Credentials, as `nsc` makes them. A user and a password can stand in the address
    #[arg(long, value_name = "FILE")]
    pub creds: Option<PathBuf>,
}

/// Carries the items of a queue to a stream.
#[derive(Debug, Clone, Args, Deserialize)]
#[group(skip)]
#[serde(rename_all = "kebab-case")]
pub struct Out {
    /// The queue to take from
    pub queue: String,
    /// The server, or several, separated by commas
    #[arg(long, value_name = "nats://HOST")]
    pub to: String,
    /// The subject to publish to [default: prodcon.QUEUE, with dots in the name escaped]
    #[arg(long)]
    pub subject: Option<String>,
    /// The stream that keeps them, made if it does not exist [default: prodcon-QUEUE]
    #[arg(long)]
    pub stream: Option<String>,
    /// Most blocks in hand at once; never more than half of the queue's seats
    #[arg(long, default_value_t = Out::WINDOW, value_parser = at_least_one)]
    #[serde(default = "Out::window", deserialize_with = "file::at_least_one")]
    pub window: u32,
    /// Most items in one message, of a queue without batches. With batches a block is a message
    #[arg(long, default_value_t = Out::PACK, value_parser = at_least_one)]
    #[serde(default = "Out::pack", deserialize_with = "file::at_least_one")]
    pub pack: u32,
    /// Where a new stream keeps its messages [default: file]
    #[arg(long, value_enum)]
    pub storage: Option<Storage>,
    /// Servers that keep a copy, of a new stream [default: 1]
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=5))]
    pub replicas: Option<u8>,
    /// What a full stream does, of a new stream [default: new]
    #[arg(long, value_enum)]
    pub discard: Option<Discard>,
    /// Messages at which a new stream is full [default: no limit]
    #[arg(long, value_parser = quantity::count::<u32>)]
    #[serde(default, deserialize_with = "file::messages")]
    pub max_messages: Option<u32>,
    /// Bytes at which a new stream is full [default: no limit]
    #[arg(long, value_parser = quantity::bytes::<u64>)]
    #[serde(default, deserialize_with = "file::bytes")]
    pub max_bytes: Option<u64>,
    /// For how long a new stream refuses a message that it has already [default: 2m]
    #[arg(long)]
    pub dedup_window: Option<Span>,
    #[command(flatten)]
    #[serde(flatten)]
    pub access: Access,
    /// What the bridge remembers across its death [default: in the state directory]
    #[arg(long, value_name = "FILE")]
    pub journal: Option<PathBuf>,
}

impl Out {
    const WINDOW: u32 = 256;
    const PACK: u32 = 64;

    fn window() -> u32 {
        Self::WINDOW
    }

    fn pack() -> u32 {
        Self::PACK
    }
}

/// Carries the messages of a stream to a queue.
#[derive(Debug, Clone, Args, Deserialize)]
#[group(skip)]
#[serde(rename_all = "kebab-case")]
pub struct In {
    /// The queue to put into
    pub queue: String,
    /// The server, or several, separated by commas
    #[arg(long, value_name = "nats://HOST")]
    pub from: String,
    /// The stream to take from [default: prodcon-QUEUE]
    #[arg(long)]
    pub stream: Option<String>,
    /// The name under which the server keeps what was acknowledged. Bridges with one name share
    /// the messages
    #[arg(long, default_value = "prodcon")]
    #[serde(default = "In::durable")]
    pub durable: String,
    /// Most messages in hand at once
    #[arg(long, default_value_t = In::WINDOW, value_parser = messages_in_hand)]
    #[serde(default = "In::window", deserialize_with = "file::messages_in_hand")]
    pub window: u32,
    /// After how long a message that was not acknowledged is delivered again
    #[arg(long, default_value = "30s")]
    #[serde(default = "In::ack_wait")]
    pub ack_wait: Span,
    /// Nobody else puts into the queue: after a kill the number of puts tells what was put, and
    /// nothing is put twice
    #[arg(long)]
    #[serde(default)]
    pub only_producer: bool,
    #[command(flatten)]
    #[serde(flatten)]
    pub access: Access,
    /// What the bridge remembers across its death [default: in the state directory]
    #[arg(long, value_name = "FILE")]
    pub journal: Option<PathBuf>,
}

impl In {
    const WINDOW: u32 = 256;

    fn durable() -> String {
        "prodcon".into()
    }

    fn window() -> u32 {
        Self::WINDOW
    }

    fn ack_wait() -> Span {
        Span(Duration::from_secs(30))
    }
}

/// A configuration file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where figures are served.
    pub metrics: Option<SocketAddr>,
    /// Queues that go out.
    pub out: Vec<Out>,
    /// Queues that come in.
    #[serde(rename = "in")]
    pub inward: Vec<In>,
}

/// Returns where a bridge remembers what it did, if nothing else was said: in what systemd gives a
/// service, or where programs of a user keep such things.
pub fn journal(direction: &str, queue: &str, stream: &str) -> PathBuf {
    let var = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let dir = var("STATE_DIRECTORY")
        .or_else(|| Some(var("XDG_STATE_HOME")?.join("prodcon-bridge")))
        .or_else(|| Some(var("HOME")?.join(".local/state/prodcon-bridge")))
        .unwrap_or_else(|| "/var/lib/prodcon-bridge".into());
    let stream = crate::names::in_a_path(stream);
    dir.join(format!("{direction}-{queue}-{stream}.journal"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_file_has_the_words_of_the_command_line() {
        let text = r#"
            metrics = "127.0.0.1:9464"
            [[out]]
            queue = "jobs"
            to = "nats://one,nats://two"
            discard = "old"
            dedup-window = "5m"
            tls-ca = "/etc/ca.pem"
            [[in]]
            queue = "results"
            from = "nats://one"
            only-producer = true
        "#;
        let config: Config = toml::from_str(text).unwrap();
        let out = &config.out[0];
        assert_eq!((out.window, out.pack), (Out::WINDOW, Out::PACK));
        assert_eq!(out.discard, Some(Discard::Old));
        assert_eq!(out.dedup_window, Some(Span(Duration::from_secs(300))));
        assert_eq!(out.access.tls_ca, Some("/etc/ca.pem".into()));
        assert!(config.inward[0].only_producer);
        assert_eq!(config.inward[0].durable, "prodcon");
    }

    /// One direction on the command line.
    #[derive(Debug, clap::Parser)]
    struct Line<T: Args> {
        #[command(flatten)]
        options: T,
    }

    fn line<T: Args + fmt::Debug>(words: &str) -> Result<T, String> {
        let words = ["bridge", "jobs"].into_iter().chain(words.split(' '));
        let line = <Line<T> as clap::Parser>::try_parse_from(words);
        line.map(|line| line.options)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn numbers_take_units_on_the_command_line_and_in_a_file() {
        let words = "--to a --window 1Ki --pack 2k --max-messages 3M --max-bytes 2GiB";
        let out: Out = line(words).unwrap();
        let numbers = (1024, 2000, Some(3_000_000), Some(2 << 30));
        let read = |out: &Out| (out.window, out.pack, out.max_messages, out.max_bytes);
        assert_eq!(read(&out), numbers);
        let inward: In = line("--from a --window 64Ki").unwrap();
        assert_eq!(inward.window, 65_536);
        let text = r#"
            [[out]]
            queue = "jobs"
            to = "a"
            window = "1Ki"
            pack = 2000
            max-messages = "3M"
            max-bytes = "2GiB"
        "#;
        let config: Config = toml::from_str(text).unwrap();
        assert_eq!(read(&config.out[0]), numbers);
    }

    #[test]
    fn numbers_that_are_none_are_refused_with_what_is_expected() {
        for (number, expected) in [
            ("window 0", "expected at least 1"),
            ("pack 2KiB", "such as 1000, 1k"),
            ("max-messages 5G", "not too large"),
            ("max-bytes 2M", "64KiB or 2MB"),
            ("max-bytes -1", "64KiB or 2MB"),
        ] {
            let (name, value) = number.split_once(' ').unwrap();
            let error = line::<Out>(&format!("--to a --{name}={value}")).unwrap_err();
            assert!(error.contains(expected), "{error}");
            let file = format!("[[out]]\nqueue = 'jobs'\nto = 'a'\n{name} = '{value}'\n");
            let error = toml::from_str::<Config>(&file).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let error = line::<In>("--from a --window 65537").unwrap_err();
        assert!(error.contains("expected 1 to 65536"), "{error}");
        let file = "[[in]]\nqueue = 'jobs'\nfrom = 'a'\nwindow = 65537\n";
        let error = toml::from_str::<Config>(file).unwrap_err().to_string();
        assert!(error.contains("expected 1 to 65536"), "{error}");
    }
}
