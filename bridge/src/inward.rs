//! `in`: from a stream to a queue.
//!
//! Messages are fetched, and items that the journal knows are skipped. The others are noted in the
//! journal, put, and noted as put; only then are their messages acknowledged. A kill before the
//! last note leaves an intent. Where nobody else puts into the queue, the number of puts that the
//! queue has seen tells how many items of the intent are there. Otherwise they are put again: at
//! most one window of items comes twice.

use crate::journal::{self, Ids, Intent, Run, Span};
use crate::message::{self, Content};
use crate::names;
use crate::options::{self, In};
use crate::report::Reporter;
use crate::server::{Server, Trouble};
use crate::world::{End, LOOK, World};
use anyhow::{Context as _, Result, anyhow, bail};
use async_nats::jetstream::consumer::pull::{Config, Stream as Messages};
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer};
use async_nats::jetstream::stream::{ConsumerErrorKind, Info};
use async_nats::jetstream::{AckKind, ErrorCode, Message};
use futures_util::{FutureExt, StreamExt};
use prodcon::{AttachOptions, Control, PutError, QueueInfo, ReadyQueue, Role, State};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Bytes of messages that are put together.
const IN_HAND: usize = 4 << 20;
/// Bytes that are asked for at once, if the largest message is not larger. A server that cannot get
/// rid of 64 MB for a client breaks the connection.
const ASKED: usize = 16 << 20;
/// How long the confirmation of an acknowledgement is waited for.
const LAST_WAIT: Duration = Duration::from_secs(2);
/// How long dead processes may keep the number of puts undecided.
const DECISION: Duration = Duration::from_secs(5);

/// Carries a stream's messages to a queue until the stream ends or the bridge has to.
///
/// # Errors
/// What somebody has to do something about.
pub fn run(inward: &In, world: &World) -> Result<End> {
    let stream = inward
        .stream
        .clone()
        .unwrap_or_else(|| names::stream(&inward.queue));
    let link = Link {
        inward,
        world,
        path: inward
            .journal
            .clone()
            .unwrap_or_else(|| options::journal("in", &inward.queue, &stream)),
        reporter: Arc::new(Reporter::new(&world.figures, "in", &inward.queue, &stream)),
        stream,
    };
    Control::attach(&inward.queue)?;
    let end = world.sessions(&inward.from, &inward.access, &link.reporter, |server| {
        link.session(server)
    });
    link.reporter.sum_up("put");
    end
}

struct Link<'a> {
    inward: &'a In,
    world: &'a World,
    stream: String,
    path: PathBuf,
    reporter: Arc<Reporter>,
}

/// What lasts as long as a session.
struct Session<'a> {
    link: &'a Link<'a>,
    server: &'a Server,
    consumer: PullConsumer,
    queue: ReadyQueue<[u8]>,
    info: QueueInfo,
    journal: journal::Inward,
    /// How messages that no bridge published are told from others.
    strangers: String,
    /// Nobody else has been seen to put into the queue.
    alone: bool,
    /// The acknowledgement whose confirmation is on its way.
    acknowledging: Option<JoinHandle<()>>,
}

/// Items that are put together: consecutive ones of one message.
struct Piece {
    run: Run,
    message: usize,
    /// Where they lie in the message's body.
    places: Vec<std::ops::Range<usize>>,
}

impl Link<'_> {
    fn session(&self, server: &Server) -> Result<End> {
        let passing = |text: String| {
            self.reporter.trouble("stream", text);
            Ok(End::Again)
        };
        let found = match self.world.run(server.find(&self.stream)) {
            Ok(Some(found)) => found,
            Ok(None) => {
                return passing(format!(
                    "there is no stream '{}' at {} yet; `prodcon-bridge out` makes it",
                    self.stream, server.address
                ));
            }
            Err(Trouble::Passing(text)) => return passing(text),
            Err(Trouble::Lasting(error)) => return Err(error),
        };
        let consumer = match self.world.run(self.consumer(server)) {
            Ok(consumer) => consumer,
            Err(Trouble::Passing(text)) => return passing(text),
            Err(Trouble::Lasting(error)) => return Err(error),
        };
        let attach = AttachOptions::new().role(Role::Producer);
        let queue = ReadyQueue::<[u8]>::attach_with(&self.inward.queue, &attach)?;
        let info = queue.control().info().clone();
        let (journal, others) = journal::Inward::open(&self.path, info.id)?;
        if others {
            self.reporter.say(
                "the journal is that of another queue of this name, so it does not \
                 count: what that queue had and the stream still has is put again",
            );
        }
        let mut session = Session {
            link: self,
            server,
            consumer,
            queue,
            info,
            journal,
            strangers: format!("s{}", found.created.unix_timestamp_nanos()),
            alone: self.inward.only_producer,
            acknowledging: None,
        };
        session.forget_strangers(&found)?;
        session.settle()?;
        let end = session.carry();
        session.settle_acknowledgement();
        end
    }

    async fn consumer(&self, server: &Server) -> Result<PullConsumer, Trouble> {
        let (name, stream) = (&self.inward.durable, &self.stream);
        let config = Config {
            durable_name: Some(name.clone()),
            description: Some(format!("queue {} of prodcon", self.inward.queue)),
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.inward.ack_wait.0,
            max_ack_pending: i64::from(self.inward.window) * 4,
            ..Config::default()
        };
        let made = async {
            let stream = server
                .jetstream
                .get_stream_no_info(stream)
                .await
                .map_err(|error| anyhow!("{error}"))?;
            anyhow::Ok(stream.get_or_create_consumer(name, config).await)
        };
        let consumer = match made.await? {
            Ok(consumer) => consumer,
            Err(error) => match error.kind() {
                ConsumerErrorKind::JetStream(answer)
                    if answer.error_code() == ErrorCode::STREAM_NOT_FOUND
                        || answer.code() == 503 =>
                {
                    return Err(Trouble::Passing(format!(
                        "stream '{stream}' has no durable '{name}' at present: {answer}"
                    )));
                }
                ConsumerErrorKind::JetStream(answer) => {
                    return Err(anyhow!(
                        "stream '{stream}' refuses the durable '{name}': \
                         {answer}. A work-queue stream has one durable, which all its bridges \
                         share: give its name as --durable, or remove it with `nats consumer rm \
                         {stream}`"
                    )
                    .into());
                }
                ConsumerErrorKind::InvalidConsumerType => {
                    return Err(anyhow!(
                        "the durable '{name}' of stream '{stream}' pushes its \
                         messages, and a bridge pulls them: choose another --durable"
                    )
                    .into());
                }
                _ => {
                    return Err(Trouble::Passing(format!(
                        "the server {} does not answer for the durable '{name}' of stream \
                             '{stream}': {error}",
                        server.address
                    )));
                }
            },
        };
        let policy = consumer.cached_info().config.ack_policy;
        if policy != AckPolicy::Explicit {
            return Err(anyhow!(
                "the durable '{name}' of stream '{stream}' exists with the \
                 acknowledgement policy {policy:?}, and a bridge acknowledges each message \
                 (Explicit): choose another --durable, or remove it with `nats consumer rm \
                 {stream} {name}`"
            )
            .into());
        }
        Ok(consumer)
    }
}

impl Session<'_> {
    /// Forgets what was known of messages that no bridge published, if this stream is another one
    /// or went back: their sequences are given again.
    fn forget_strangers(&mut self, found: &Info) -> Result<()> {
        let back = self.journal.highest(&self.strangers) > Some(found.state.last_sequence);
        if back {
            self.link.reporter.say(format_args!(
                "the stream went back to sequence {}: what the journal knows of messages that no \
                     bridge published does not count, so there may be duplicates",
                found.state.last_sequence
            ));
        }
        let ours = self.strangers.clone();
        self.journal
            .keep(|origin| !origin.starts_with('s') || origin == ours && !back)
    }

    /// Settles what a bridge was putting when it was killed.
    fn settle(&mut self) -> Result<()> {
        let Some(intent) = self.journal.intent().cloned() else {
            return Ok(());
        };
        let items = intent.items();
        let put = match intent.puts {
            Some(before) if self.alone => self
                .decided_puts()?
                .map(|now| now.saturating_sub(before).min(items)),
            _ => None,
        };
        if put.is_none() {
            self.link.reporter.say(format_args!(
                "the bridge was killed while it put {items} \
                 items; they are put again, so some may be there twice"
            ));
        }
        self.journal.done(put.unwrap_or(0))
    }

    /// Returns the number of puts, once no dead process leaves it open.
    fn decided_puts(&self) -> Result<Option<u64>> {
        let until = Instant::now() + DECISION;
        let control = self.queue.control();
        while control.recover()?.undecided > 0 {
            if Instant::now() > until || self.link.world.ends() {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(Some(control.stats()?.puts))
    }

    fn carry(&mut self) -> Result<End> {
        let (world, reporter) = (self.link.world, self.link.reporter.clone());
        let window = self.link.inward.window as usize;
        // One message has to be within what is asked for.
        let largest = self.server.jetstream.client().server_info().max_payload;
        let asked = ASKED.max(largest.saturating_mul(2));
        let opened = world.run(
            self.consumer
                .stream()
                .max_messages_per_batch(window)
                .max_bytes_per_batch(asked)
                .expires(Duration::from_secs(20))
                .heartbeat(Duration::from_secs(2))
                .messages(),
        );
        let mut messages = match opened {
            Ok(messages) => messages,
            Err(error) => {
                reporter.trouble(
                    "server",
                    format_args!("no messages from stream '{}': {error}", self.link.stream),
                );
                return Ok(End::Again);
            }
        };
        loop {
            if world.ends() {
                return Ok(End::Stopped);
            }
            if self.server.is_closed() {
                return Ok(End::Again);
            }
            reporter.queue_items.set(self.queue.len() as i64);
            if !self.takes_items() {
                world.sleep(LOOK);
                continue;
            }
            let mut chunk = vec![];
            if let Err(error) = world.run(next_chunk(&mut messages, window, &mut chunk)) {
                reporter.retries.inc();
                reporter.trouble(
                    "server",
                    format_args!(
                        "no messages from stream '{}': {error}; \
                     the bridge goes on trying, and nothing is lost",
                        self.link.stream
                    ),
                );
                if chunk.is_empty() {
                    return Ok(End::Again);
                }
            }
            if chunk.is_empty() {
                continue;
            }
            reporter.in_hand.set(chunk.len() as i64);
            let end = self.put_chunk(&chunk)?;
            reporter.in_hand.set(0);
            if let Some(end) = end {
                return Ok(end);
            }
        }
    }

    /// Returns whether the queue takes items now, and says so if it does not.
    fn takes_items(&self) -> bool {
        let (control, reporter) = (self.queue.control(), &self.link.reporter);
        let why = if control.state() != State::Started {
            format!("is in the state {}", control.state())
        } else if !control.is_ready() {
            "is not ready".into()
        } else {
            if reporter.held_back.get() != 0 {
                reporter.held_back.set(0);
                reporter.over("held", "the queue takes items again");
            }
            return true;
        };
        reporter.held_back.set(1);
        reporter.trouble(
            "held",
            format_args!(
                "queue '{}' {why}; the messages wait in stream '{}'",
                self.link.inward.queue, self.link.stream
            ),
        );
        false
    }

    /// Puts the items of messages and acknowledges them. Returns how the session ends, if it does.
    fn put_chunk(&mut self, chunk: &[Message]) -> Result<Option<End>> {
        let (mut pieces, mut ends, mut refused) = (vec![], vec![], None);
        let mut here: HashMap<String, Ids> = HashMap::new();
        let mut known = 0;
        for (index, message) in chunk.iter().enumerate() {
            let stranger = || {
                (
                    self.strangers.clone(),
                    message.info().map_or(0, |info| info.stream_sequence),
                )
            };
            let queue = &self.link.inward.queue;
            match message::read(
                message.headers.as_ref(),
                &message.payload,
                &self.info,
                queue,
                stranger,
            ) {
                Ok(Content::Items(run, places)) => {
                    let here = here.entry(run.origin.clone()).or_default();
                    known += self.add_unknown(&run, places, index, here, &mut pieces);
                    here.insert(run.span);
                }
                Ok(Content::End(origin, puts)) => ends.push((index, origin, puts)),
                Err(error) => {
                    refused = Some((index, error));
                    break;
                }
            }
        }
        let read = refused.as_ref().map_or(chunk.len(), |(index, _)| *index);
        if let Some(end) = self.put_pieces(chunk, &pieces)? {
            return Ok(Some(end));
        }
        let reporter = self.link.reporter.clone();
        reporter.duplicates.inc_by(known);
        reporter.messages.inc_by((read - ends.len()) as u64);
        let done: Vec<Message> = (0..read)
            .filter(|index| !ends.iter().any(|(end, ..)| end == index))
            .map(|index| chunk[index].clone())
            .collect();
        self.acknowledge(done);
        if let Some((index, error)) = refused {
            self.settle_acknowledgement();
            reporter.refused.inc();
            for message in &chunk[index..] {
                // If it does not arrive, the message comes again after --ack-wait.
                let _ = self.link.world.run(message.ack_with(AckKind::Nak(None)));
            }
            let _ = self.link.world.run(self.server.jetstream.client().flush());
            return Err(error.context(format!(
                "a message of stream '{}' does not fit and stays there",
                self.link.stream
            )));
        }
        for (index, origin, puts) in ends {
            if let Some(end) = self.end(&chunk[index], &origin, puts)? {
                return Ok(Some(end));
            }
        }
        Ok(None)
    }

    /// Adds the items of a message that are not known. Returns how many are.
    fn add_unknown(
        &self,
        run: &Run,
        places: Vec<std::ops::Range<usize>>,
        message: usize,
        here: &Ids,
        pieces: &mut Vec<Piece>,
    ) -> u64 {
        let mut known = 0;
        let mut open = false;
        for (number, place) in (run.span.first..).zip(places) {
            if here.contains(number) || self.journal.knows(&run.origin, number) {
                known += 1;
                open = false;
                continue;
            }
            match pieces.last_mut() {
                Some(piece) if open => {
                    piece.places.push(place);
                    piece.run.items += 1;
                    piece.run.span.len += 1;
                }
                _ => pieces.push(Piece {
                    run: Run {
                        origin: run.origin.clone(),
                        span: Span {
                            first: number,
                            len: 1,
                        },
                        items: 1,
                    },
                    message,
                    places: vec![place],
                }),
            }
            open = true;
        }
        // The numbers behind the last item belong to it.
        if let Some(piece) = pieces.last_mut().filter(|_| open) {
            piece.run.span.len = run.span.first + run.span.len - piece.run.span.first;
        }
        known
    }

    /// Puts items, between a note before and a note after. Returns how the session ends, if it
    /// does.
    fn put_pieces(&mut self, chunk: &[Message], pieces: &[Piece]) -> Result<Option<End>> {
        if pieces.is_empty() {
            return Ok(None);
        }
        let before = if self.alone {
            Some(self.queue.control().stats()?.puts)
        } else {
            None
        };
        let mut runs: Vec<Run> = vec![];
        for Piece { run, .. } in pieces {
            match runs.last_mut() {
                Some(last)
                    if last.origin == run.origin
                        && last.items == last.span.len
                        && last.span.first + last.span.len == run.span.first =>
                {
                    last.items += run.items;
                    last.span.len += run.span.len;
                }
                _ => runs.push(run.clone()),
            }
        }
        self.journal.intend(Intent { puts: before, runs })?;
        let mut put = 0;
        let mut alive = Instant::now();
        for piece in pieces {
            let body = &chunk[piece.message].payload;
            let mut next = 0;
            while next < piece.places.len() {
                let (done, error) = self.put_some(body, &piece.places[next..]);
                next += done;
                put += done as u64;
                let Some(error) = error else { continue };
                match error {
                    PutError::TimedOut | PutError::Full => {
                        self.link.reporter.held_back.set(1);
                    }
                    PutError::NotReady | PutError::Stopped => {
                        self.takes_items();
                        self.link.world.sleep(LOOK);
                    }
                    error => {
                        self.journal.done(put)?;
                        return Err(error)
                            .context("the item stays in the stream, and nothing is lost");
                    }
                }
                if self.link.world.ends() {
                    self.journal.done(put)?;
                    return Ok(Some(End::Stopped));
                }
                if alive.elapsed() > self.link.inward.ack_wait.0 / 3 {
                    // Otherwise the server would deliver them again.
                    alive = Instant::now();
                    for message in chunk {
                        let _ = self.link.world.run(message.ack_with(AckKind::Progress));
                    }
                }
            }
            self.link
                .reporter
                .bytes
                .inc_by(piece.places.iter().map(|place| place.len() as u64).sum());
        }
        self.journal.done(put)?;
        self.link.reporter.items.inc_by(put);
        self.link.reporter.held_back.set(0);
        if let Some(before) = before
            && self.queue.control().stats()?.puts != before + put
        {
            self.alone = false;
            self.link.reporter.say(
                "somebody else puts into the queue too, so --only-producer \
                 does not hold: after a kill up to one window of items may be put twice",
            );
        }
        Ok(None)
    }

    /// Puts items of one message, waiting for a moment. Returns how many were put, and why not all.
    fn put_some(
        &mut self,
        body: &[u8],
        places: &[std::ops::Range<usize>],
    ) -> (usize, Option<PutError>) {
        if !self.info.type_name.is_empty() {
            let size = self.info.item_size as usize;
            let bytes = &body[places[0].start..places[places.len() - 1].end];
            return match self.queue.put_items(bytes, size, places.len(), Some(LOOK)) {
                Ok(()) => (places.len(), None),
                Err(partial) => (partial.put, Some(partial.error)),
            };
        }
        for (done, place) in places.iter().enumerate() {
            if let Err(error) = self.queue.within(LOOK).put(&body[place.clone()]) {
                return (done, Some(error));
            }
        }
        (places.len(), None)
    }

    /// Acknowledges messages. The confirmation of the last one is waited for before the next ones.
    fn acknowledge(&mut self, mut messages: Vec<Message>) {
        self.settle_acknowledgement();
        let Some(last) = messages.pop() else { return };
        self.acknowledging = Some(self.link.world.runtime.spawn(async move {
            for message in &messages {
                // An acknowledgement that does not arrive brings the message again, and the journal
                // knows its items.
                let _ = message.ack().await;
            }
            let _ = tokio::time::timeout(LAST_WAIT, last.double_ack()).await;
        }));
    }

    fn settle_acknowledgement(&mut self) {
        if let Some(task) = self.acknowledging.take() {
            // It does not panic, and it is not cancelled while the runtime lives.
            let _ = self.link.world.run(task);
        }
    }

    /// Carries the end of a stream over, once nothing before it is on its way.
    fn end(&mut self, message: &Message, origin: &str, puts: u64) -> Result<Option<End>> {
        let world = self.link.world;
        self.settle_acknowledgement();
        if self.journal.has_ended(origin, puts) {
            let _ = world.run(message.double_ack());
            return Ok(None);
        }
        let info = match world.run(self.consumer.get_info()) {
            Ok(info) => info,
            Err(_) => return Ok(Some(End::Again)),
        };
        if info.num_pending > 0 || info.num_ack_pending > 1 {
            let _ = world.run(message.ack_with(AckKind::Nak(Some(LOOK))));
            return Ok(None);
        }
        match self.queue.control().state() {
            State::Started => self.queue.control().set_state(State::StopAtQueueEnd)?,
            State::StopAtQueueEnd => {}
            State::Stopped => bail!(
                "queue '{}' is stopped, so the end of the stream cannot be carried over: start \
                     it (`prodcon state {} started`)",
                self.link.inward.queue,
                self.link.inward.queue
            ),
        }
        self.journal.end(origin, puts)?;
        let _ = world.run(async { tokio::time::timeout(LAST_WAIT, message.double_ack()).await });
        self.link.reporter.ends.inc();
        self.link
            .reporter
            .say("the stream has ended, and the queue ends when it is empty");
        Ok(Some(End::Stream))
    }
}

/// Waits for a message for a moment, and takes those that are there.
async fn next_chunk(
    messages: &mut Messages,
    window: usize,
    chunk: &mut Vec<Message>,
) -> Result<()> {
    let Ok(first) = tokio::time::timeout(LOOK, messages.next()).await else {
        return Ok(());
    };
    let mut bytes = 0;
    let mut next = Some(first);
    while let Some(found) = next {
        let message = found
            .ok_or_else(|| anyhow!("they ended"))?
            .map_err(|error| anyhow!("{error}"))?;
        bytes += message.payload.len();
        chunk.push(message);
        next = if chunk.len() < window && bytes < IN_HAND {
            messages.next().now_or_never()
        } else {
            None
        };
    }
    Ok(())
}
