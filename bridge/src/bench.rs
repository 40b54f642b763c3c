//! Items per second through both bridges and a server, beside a bare publisher with confirmations,
//! and beside a bare publisher and a bare consumer, on the same machine, in one run.

use crate::demo::Scratch;
use crate::nats::{self, Guarded};
use crate::quantity;
use anyhow::{Context, Result, bail};
use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, RetentionPolicy};
use bytes::Bytes;
use clap::Args;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use prodcon::{AttachOptions, Control, GetError, QueueOptions, ReadyQueue, State};
use std::future::IntoFuture;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// What is measured.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Sizes of the items in bytes. Items of 8 bytes go in blocks of 512
    #[arg(
        long,
        value_delimiter = ',',
        value_parser = quantity::bytes::<usize>,
        default_values_t = [8, 64, 1024, 65536, 1 << 20]
    )]
    sizes: Vec<usize>,
    /// For how long each
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Fail if the bridges carry less than 0.7 of what a bare publisher and a bare consumer do from
    /// 1 KiB on, or less than a million packed items of 8 bytes in a second
    #[arg(long)]
    check: bool,
}

/// Bytes that the publisher has on their way at most, and messages.
const ON_THE_WAY: usize = 32 << 20;
const MESSAGES: usize = 1024;
const BATCH: u32 = 512;
/// The stream and the subject of the bare publisher, and the durable of the bare consumer.
const BARE: &str = "bare";

/// Measures.
///
/// # Errors
/// If something goes wrong, or is too slow.
pub fn run(arguments: &Arguments) -> Result<()> {
    let launcher = std::env::current_exe().context("cannot find this program")?;
    let time = Duration::from_secs_f64(arguments.seconds);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    println!(
        "| item | bare publisher, items/s | bare publisher and consumer | bridge, server, bridge \
         | MB/s | of the publisher | of both |"
    );
    println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    let mut slow = vec![];
    for &size in &arguments.sizes {
        let bare = runtime.block_on(publish(&launcher, size, time))?;
        let both = runtime.block_on(publish_and_consume(&launcher, size, time))?;
        let through = carry(&launcher, size, time)?;
        let ratio = through / both;
        println!(
            "| {size} | {bare:.0} | {both:.0} | {through:.0} | {:.1} | {:.2} | {ratio:.2} |",
            through * size as f64 / 1e6,
            through / bare
        );
        if size >= 1024 && ratio < 0.7 || size == 8 && through < 1e6 {
            slow.push(size.to_string());
        }
    }
    if arguments.check && !slow.is_empty() {
        bail!("too slow for items of {} bytes", slow.join(", "));
    }
    Ok(())
}

/// Starts a server as it is without further settings, except for the size of messages.
fn server(launcher: &Path, dir: &Path) -> Result<nats::Server> {
    let port = nats::free_ports(1)?[0];
    let store = dir.join("jetstream");
    let text = format!(
        "listen: 127.0.0.1:{port}\njetstream {{ store_dir: '{}' }}\nmax_payload: 8MB\n",
        store.display()
    );
    nats::Server::configured(launcher, dir, port, &text)
}

/// Returns the items per second of a publisher that waits for confirmations.
async fn publish(launcher: &Path, size: usize, time: Duration) -> Result<f64> {
    let scratch = Scratch::new()?;
    let server = server(launcher, &scratch.0)?;
    let context = jetstream::new(async_nats::connect(server.url()).await?);
    let config = Config {
        name: BARE.into(),
        ..Config::default()
    };
    context.create_stream(config).await?;
    let began = Instant::now();
    let confirmed = flood(&context, size, time, |_, message| message).await?;
    Ok(confirmed as f64 / began.elapsed().as_secs_f64())
}

/// Returns the items per second from a bare publisher to a bare consumer, which have to do what the
/// bridges have: ids against duplicates, a stream that is a work queue, an acknowledgement for each
/// message.
async fn publish_and_consume(launcher: &Path, size: usize, time: Duration) -> Result<f64> {
    let scratch = Scratch::new()?;
    let server = server(launcher, &scratch.0)?;
    let context = jetstream::new(async_nats::connect(server.url()).await?);
    let config = Config {
        name: BARE.into(),
        retention: RetentionPolicy::WorkQueue,
        ..Config::default()
    };
    context.create_stream(config).await?;
    let other = jetstream::new(async_nats::connect(server.url()).await?);
    let consumer = pull::Config {
        durable_name: Some(BARE.into()),
        ack_policy: AckPolicy::Explicit,
        max_ack_pending: 4 * MESSAGES as i64,
        ..pull::Config::default()
    };
    let consumer = other
        .create_consumer_strict_on_stream(consumer, BARE)
        .await?;
    let consuming = tokio::spawn(async move {
        let mut messages = consumer
            .stream()
            .max_messages_per_batch(MESSAGES)
            .max_bytes_per_batch(ON_THE_WAY / 2)
            .messages()
            .await?;
        let (mut began, mut count) = (None, 0);
        while let Some(message) = messages.next().await {
            let message = message?;
            let _ = began.get_or_insert_with(Instant::now);
            message.ack().await.map_err(anyhow::Error::from_boxed)?;
            if message.payload.is_empty() {
                break;
            }
            count += 1;
        }
        anyhow::Ok(f64::from(count) / began.map_or(0.0, |began| began.elapsed().as_secs_f64()))
    });
    let with_id = |number: u64, message: PublishMessage| message.message_id(number.to_string());
    flood(&context, size, time, with_id).await?;
    context.publish(BARE, Bytes::new()).await?.await?;
    consuming.await?
}

/// Publishes for a while, waits for all confirmations, and returns how many there were.
async fn flood(
    context: &jetstream::Context,
    size: usize,
    time: Duration,
    finish: impl Fn(u64, PublishMessage) -> PublishMessage,
) -> Result<u64> {
    let body = Bytes::from(vec![7; size]);
    let most = (ON_THE_WAY / size).clamp(4, MESSAGES);
    let (mut flying, mut sent, mut confirmed) = (FuturesOrdered::new(), 0, 0);
    let began = Instant::now();
    while began.elapsed() < time || !flying.is_empty() {
        while flying.len() < most && began.elapsed() < time {
            let message = PublishMessage::build().payload(body.clone());
            let ack = context.send_publish(BARE, finish(sent, message)).await?;
            sent += 1;
            flying.push_back(ack.into_future());
        }
        if let Some(ack) = flying.next().await {
            ack?;
            confirmed += 1;
        }
    }
    Ok(confirmed)
}

/// Returns the items per second from one queue through two bridges and a server to another queue.
fn carry(launcher: &Path, size: usize, time: Duration) -> Result<f64> {
    let scratch = Scratch::new()?;
    let dir = &scratch.0;
    let server = server(launcher, dir)?;
    let capacity = ((16 << 20) / size).clamp(16, 4096) as u32;
    let options = QueueOptions::new(capacity)
        .seats(520)
        .at_least_once(true)
        .attach(AttachOptions::new().directory(dir));
    let bridges = || -> Result<[Guarded; 2]> {
        let start = |words: &[&str], journal: &str| {
            let mut command = Command::new(launcher);
            command
                .args(words)
                .args(["--stream", "s", "--journal"])
                .arg(dir.join(journal));
            Guarded::start(launcher, command.env("PRODCON_DIR", dir))
        };
        let out = start(&["out", "near", "--to", &server.url()], "out.journal")?;
        let inward = start(
            &["in", "far", "--from", &server.url(), "--only-producer"],
            "in.journal",
        )?;
        Ok([out, inward])
    };
    if size == 8 {
        let options = QueueOptions::new(64)
            .seats(130)
            .batch(BATCH)
            .at_least_once(true)
            .attach(AttachOptions::new().directory(dir));
        let near = ReadyQueue::<u64>::create("near", &options)?;
        let far = ReadyQueue::<u64>::create("far", &options)?;
        let _bridges = bridges()?;
        let block = [7; BATCH as usize];
        let put = |queue: &mut ReadyQueue<u64>| -> Result<()> { Ok(queue.put_slice(&block)?) };
        let get = |queue: &mut ReadyQueue<u64>| -> Result<usize, GetError> {
            let batch = queue
                .within(Duration::from_secs(60))
                .take_many(BATCH as usize)?;
            let len = batch.len();
            batch.ack();
            Ok(len)
        };
        return time_both(near, far, time, put, get);
    }
    let options = options.item_size(size);
    let near = ReadyQueue::<[u8]>::create("near", &options)?;
    let far = ReadyQueue::<[u8]>::create("far", &options)?;
    let _bridges = bridges()?;
    let item = vec![7; size];
    let put = |queue: &mut ReadyQueue<[u8]>| -> Result<()> { Ok(queue.put(&item)?) };
    let get = |queue: &mut ReadyQueue<[u8]>| -> Result<usize, GetError> {
        queue.within(Duration::from_secs(60)).take()?.ack();
        Ok(1)
    };
    time_both(near, far, time, put, get)
}

fn time_both<T: prodcon::Payload + ?Sized>(
    mut near: ReadyQueue<T>,
    mut far: ReadyQueue<T>,
    time: Duration,
    put: impl Fn(&mut ReadyQueue<T>) -> Result<()> + Send,
    get: impl Fn(&mut ReadyQueue<T>) -> Result<usize, GetError>,
) -> Result<f64>
where
    ReadyQueue<T>: Send,
{
    std::thread::scope(|scope| {
        let producer = scope.spawn(move || -> Result<(Control, u64)> {
            let began = Instant::now();
            let mut first = true;
            while first || began.elapsed() < time {
                put(&mut near)?;
                first = false;
            }
            near.control().set_state(State::StopAtQueueEnd)?;
            let control = near.control().try_clone()?;
            let puts = control.stats()?.puts;
            Ok((control, puts))
        });
        let (mut began, mut items, mut last) = (None, 0, Instant::now());
        let end = loop {
            match get(&mut far) {
                Ok(more) => {
                    last = Instant::now();
                    // The first items come late: the bridges have to start.
                    let _ = began.get_or_insert(last);
                    items += more;
                }
                Err(error) => break error,
            }
        };
        let (_near, puts) = producer
            .join()
            .map_err(|_| anyhow::anyhow!("the producer failed"))??;
        if !matches!(end, GetError::Stopped) || items as u64 != puts {
            bail!("{items} of {puts} items came: {end}");
        }
        let took = last.duration_since(began.unwrap_or(last));
        Ok(items as f64 / took.as_secs_f64())
    })
}
