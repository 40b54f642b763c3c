//! `out`: from a queue to a stream.
//!
//! Items are taken and stay in hand. What is about to be published is noted in the journal, then
//! published. When the stream has confirmed it, that is noted too, and only then is it acknowledged
//! in the queue. A kill between any two of these steps loses nothing: the queue delivers what was
//! in hand again, with the same ids, and the journal says which of it the stream has, and which
//! items made one message.
//!
//! Several messages are on their way at once, in the order of the queue.

use crate::journal::{self, Span};
use crate::message;
use crate::names;
use crate::options::{self, Out};
use crate::report::Reporter;
use crate::server::{self, Server, Trouble, pause};
use crate::world::{End, LOOK, World};
use anyhow::{Result, anyhow};
use async_nats::HeaderMap;
use async_nats::jetstream::Context;
use async_nats::jetstream::context::{PublishAckFuture, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::stream::DiscardPolicy;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt, StreamExt};
use prodcon::{AttachOptions, Batch, Control, GetError, QueueInfo, ReadyQueue, Role, State};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Bytes that the headers of a message have at most, for what a message can carry.
const HEADERS: usize = 1024;
/// Bytes above which no further item is packed into a message.
const PACKED: usize = 128 << 10;
/// Bytes in hand above which nothing more is taken.
const IN_HAND: usize = 16 << 20;
/// How long the bridge waits for confirmations when it has to end.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// Items of one message.
#[derive(Debug, Clone)]
struct Group {
    span: Span,
    /// Their places in the batch.
    places: Vec<usize>,
    /// The stream has them already.
    confirmed: bool,
}

/// A message that was on its way: its numbers, the number of its items and bytes, and what became
/// of it.
struct Flown {
    span: Span,
    items: usize,
    bytes: usize,
    outcome: Outcome,
}

enum Outcome {
    Confirmed(PublishAck),
    /// The journal knew that the stream has it.
    Known,
    /// It has to be sent again.
    Refused(Box<Post>),
}

/// Why a message was not confirmed.
enum Failure {
    Again,
    Fatal(anyhow::Error),
}

type Flying = FuturesOrdered<BoxFuture<'static, Result<Flown, Failure>>>;

/// Carries a queue's items to a stream until the stream ends or the bridge has to.
///
/// # Errors
/// What somebody has to do something about.
pub fn run(out: &Out, world: &World) -> Result<End> {
    let stream = out
        .stream
        .clone()
        .unwrap_or_else(|| names::stream(&out.queue));
    let link = Link {
        out,
        world,
        subject: out
            .subject
            .clone()
            .unwrap_or_else(|| names::subject(&out.queue)),
        path: out
            .journal
            .clone()
            .unwrap_or_else(|| options::journal("out", &out.queue, &stream)),
        reporter: Arc::new(Reporter::new(&world.figures, "out", &out.queue, &stream)),
        stream,
    };
    let info = Control::attach(&out.queue)?.info().clone();
    if !info.at_least_once {
        link.reporter.say(
            "the queue is at-most-once: what the bridge has in hand when it is \
             killed is lost; create it with at-least-once delivery if that matters",
        );
    }
    let end = world.sessions(&out.to, &out.access, &link.reporter, |server| {
        link.session(server)
    });
    link.reporter.sum_up("carried");
    end
}

struct Link<'a> {
    out: &'a Out,
    world: &'a World,
    stream: String,
    subject: String,
    path: PathBuf,
    reporter: Arc<Reporter>,
}

/// What lasts as long as a session.
struct Session<'a> {
    link: &'a Link<'a>,
    server: &'a Server,
    info: QueueInfo,
    journal: journal::Outward,
    /// Blocks in hand at most.
    hands: usize,
    /// Items in a message at most.
    pack: usize,
    /// Bytes of a message's body at most.
    largest: usize,
    /// The stream refuses messages when it is full.
    may_refuse: bool,
    /// The id of the message that was sent last.
    last: Option<String>,
    /// How often in a row messages had to be sent again.
    refusals: usize,
}

impl Link<'_> {
    fn session(&self, server: &Server) -> Result<End> {
        let found = match self
            .world
            .run(server.stream(self.out, &self.stream, &self.subject))
        {
            Ok(found) => found,
            Err(Trouble::Passing(text)) => {
                self.reporter.trouble("stream", text);
                return Ok(End::Again);
            }
            Err(Trouble::Lasting(error)) => return Err(error),
        };
        let control = Control::attach(&self.out.queue)?;
        let info = control.info().clone();
        let hands = self.out.window.min(info.seats / 2).max(1);
        let created = found.created.unix_timestamp_nanos();
        let (journal, voided) = journal::Outward::open(
            &self.path,
            info.id,
            &format!("{} {created}", self.stream),
            found.state.last_sequence,
        )?;
        if let Some(why) = voided {
            self.reporter.say(format_args!(
                "{why}; what is still in hand is published again, so there may be duplicates"
            ));
        }
        let largest = server
            .jetstream
            .client()
            .server_info()
            .max_payload
            .saturating_sub(HEADERS);
        if !info.type_name.is_empty() && info.item_size > largest as u64 {
            self.reporter.refused.inc();
            return Err(anyhow!(
                "the items of queue '{}' have {} bytes, and the server takes messages of {} with \
                     their headers: raise max_payload in the server's configuration",
                self.out.queue,
                info.item_size,
                largest + HEADERS
            ));
        }
        let attach = AttachOptions::new()
            .role(Role::Consumer)
            .max_unacked(hands)
            .min_unacked(1);
        let queue = ReadyQueue::<[u8]>::attach_with(&self.out.queue, &attach)?;
        let mut session = Session {
            link: self,
            server,
            journal,
            hands: hands as usize,
            pack: (self.out.pack as usize).min((hands as usize / 4).max(1)),
            largest,
            may_refuse: found.config.discard == DiscardPolicy::New
                && (found.config.max_messages > 0 || found.config.max_bytes > 0),
            last: None,
            refusals: 0,
            info,
        };
        session.carry(queue)
    }
}

impl Session<'_> {
    fn carry(&mut self, mut queue: ReadyQueue<[u8]>) -> Result<End> {
        let (world, reporter) = (self.link.world, &self.link.reporter);
        let most = self.most();
        let control = queue.control().try_clone()?;
        loop {
            if world.ends() {
                return Ok(End::Stopped);
            }
            if self.server.is_closed() {
                return Ok(End::Again);
            }
            reporter.queue_items.set(control.len() as i64);
            let taken = queue.within(LOOK).take_many(most);
            let flown = match taken {
                Ok(batch) if self.journal.is_unsettled() && batch.delivery_count(0) > 1 => {
                    self.fly_sorted(batch)
                }
                Ok(batch) => self.fly(batch),
                Err(GetError::TimedOut | GetError::Empty) => continue,
                Err(GetError::Stopped) if control.state() == State::StopAtQueueEnd => {
                    return self.end(&control);
                }
                Err(GetError::Stopped) => {
                    reporter.trouble(
                        "held",
                        format_args!(
                            "queue '{}' is stopped; the bridge waits until it is started",
                            self.link.out.queue
                        ),
                    );
                    world.sleep(LOOK);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            reporter.in_hand.set(0);
            match flown {
                Ok(()) => {}
                Err(Failure::Again) => return Ok(End::Again),
                Err(Failure::Fatal(error)) => {
                    return Err(
                        error.context("the item goes back to the queue, and nothing is lost")
                    );
                }
            }
        }
    }

    fn most(&self) -> usize {
        self.hands * self.info.batch as usize
    }

    /// Publishes what was in hand when a bridge was killed. It comes in any order, and has to make
    /// the messages that it made before.
    fn fly_sorted(&mut self, mut batch: Batch<'_, [u8]>) -> Result<(), Failure> {
        while matches!(batch.take_more(self.most(), Some(Duration::ZERO)), Ok(1..)) {}
        let mut items = self.items(&batch, 0);
        items.sort_unstable();
        let mut flying = Flying::new();
        self.publish(&batch, &items, &mut flying)?;
        let until = Instant::now() + LAST_WAIT;
        while !flying.is_empty() {
            if self.link.world.ends() && Instant::now() > until {
                return Err(Failure::Again);
            }
            self.collect(&mut flying, LOOK)?;
        }
        batch.ack();
        Ok(())
    }

    /// Publishes what is in hand and what comes, in order, until nothing is in hand.
    fn fly(&mut self, mut batch: Batch<'_, [u8]>) -> Result<(), Failure> {
        let mut flying = Flying::new();
        let mut published = 0;
        let mut last_wait = None;
        loop {
            let items = self.items(&batch, published);
            self.publish(&batch, &items, &mut flying)?;
            published = batch.len();
            self.link.reporter.in_hand.set(published as i64);
            let more = batch.len() < self.most() && self.bytes(&batch) < IN_HAND;
            let done = self.collect(
                &mut flying,
                if more { Duration::from_millis(1) } else { LOOK },
            )?;
            batch.ack_first(done);
            published -= done;
            if self.link.world.ends() {
                let until = *last_wait.get_or_insert(Instant::now() + LAST_WAIT);
                if batch.is_empty() || Instant::now() > until {
                    return Ok(());
                }
                continue;
            }
            if batch.is_empty() {
                return Ok(());
            }
            if self.bytes(&batch) < IN_HAND {
                // Nothing there, and the end of the stream, are met again with nothing in hand.
                let more = batch.take_more(self.most(), Some(Duration::ZERO));
                if let Err(GetError::Failed(error)) = more {
                    return Err(Failure::Fatal(error.into()));
                }
            }
        }
    }

    fn bytes(&self, batch: &Batch<'_, [u8]>) -> usize {
        // An estimate: items of bytes may be shorter.
        batch.len().saturating_mul(self.info.item_size as usize)
    }

    /// Returns numbers and places of the items from `first` on.
    fn items(&self, batch: &Batch<'_, [u8]>, first: usize) -> Vec<(u64, usize)> {
        (first..batch.len())
            .filter_map(|place| Some((message::number(&self.info, batch.id(place)?), place)))
            .collect()
    }

    /// Divides items into messages, in this order.
    fn groups(&self, batch: &Batch<'_, [u8]>, mut items: &[(u64, usize)]) -> Vec<Group> {
        let per_block = u64::from(self.info.batch);
        let mut groups = vec![];
        while let Some(&(first, _)) = items.first() {
            let confirmed = self.journal.is_confirmed(first);
            let before = self.journal.intended(first).filter(|(_, count)| {
                let same = items.get(..*count as usize);
                same.is_some_and(|same| {
                    same.iter()
                        .zip(first..)
                        .all(|((number, _), at)| *number == at)
                })
            });
            let mut len = 0;
            let mut bytes = 0;
            for (&(number, place), at) in items.iter().zip(first..) {
                let item = batch.get(place).map_or(0, <[u8]>::len) + 4;
                let full = if per_block > 1 {
                    number / per_block != first / per_block || bytes + item > self.largest
                } else {
                    len >= self.pack || bytes + item > PACKED.min(self.largest)
                };
                let other = number != at
                    || self.journal.is_confirmed(number) != confirmed
                    || self.journal.intended(number).is_some();
                if len > 0 && (full || other) {
                    break;
                }
                (len, bytes) = (len + 1, bytes + item);
            }
            let mut span = Span {
                first,
                len: len as u64,
            };
            // The numbers behind the last item of a block belong to no item.
            let next = items.get(len).map(|(number, _)| number / per_block);
            if per_block > 1 && next != Some(first / per_block) {
                span.len = (first / per_block + 1) * per_block - first;
            }
            if let Some((same, count)) = before {
                (span, len) = (same, count as usize);
            }
            let (these, rest) = items.split_at(len);
            items = rest;
            groups.push(Group {
                span,
                places: these.iter().map(|(_, place)| *place).collect(),
                confirmed,
            });
        }
        groups
    }

    /// Publishes items, and adds what has to be waited for.
    fn publish(
        &mut self,
        batch: &Batch<'_, [u8]>,
        items: &[(u64, usize)],
        flying: &mut Flying,
    ) -> Result<(), Failure> {
        if items.is_empty() {
            return Ok(());
        }
        let groups = self.groups(batch, items);
        let intents: Vec<(Span, u64)> = groups
            .iter()
            .filter(|group| !group.confirmed)
            .map(|group| (group.span, group.places.len() as u64))
            .collect();
        if !intents.is_empty() {
            self.journal.intend(&intents).map_err(Failure::Fatal)?;
        }
        for group in groups {
            let count = group.places.len();
            let bytes = group
                .places
                .iter()
                .map(|place| batch.get(*place).map_or(0, <[u8]>::len))
                .sum();
            let (span, items) = (group.span, count);
            let flown = move |outcome| Flown {
                span,
                items,
                bytes,
                outcome,
            };
            if group.confirmed {
                flying.push_back(std::future::ready(Ok(flown(Outcome::Known))).boxed());
                continue;
            }
            let places = group.places.iter();
            let body = message::pack(
                &self.info,
                places.map(|place| batch.get(*place).unwrap_or_default()),
            );
            let headers = message::headers(&self.info, span, count as u64);
            let post = self.post(headers, body);
            self.send(post, flown, flying);
        }
        Ok(())
    }

    /// Sends a message, and adds what has to be waited for. Of a stream that may refuse messages
    /// because it is full, each message names the one before it that is on its way: if that one is
    /// refused this one is too, and the order is kept.
    fn send(
        &mut self,
        mut post: Post,
        flown: impl FnOnce(Outcome) -> Flown + Send + 'static,
        flying: &mut Flying,
    ) {
        post.after = self
            .last
            .take()
            .filter(|_| self.may_refuse && !flying.is_empty());
        self.last = Some(post.id.clone());
        // It is sent here, so that the messages go out in this order.
        let sent = self.link.world.run(post.send());
        flying.push_back(async move { post.confirmed(sent).await.map(flown) }.boxed());
    }

    fn post(&self, headers: HeaderMap, body: Vec<u8>) -> Post {
        Post {
            id: message::id(&headers),
            after: None,
            jetstream: self.server.jetstream.clone(),
            epoch: self.server.epoch.clone(),
            subject: self.link.subject.clone(),
            stream: self.link.stream.clone(),
            headers,
            body: body.into(),
            reporter: self.link.reporter.clone(),
        }
    }

    /// Waits for the oldest message, for at most `time`, and takes the others that are confirmed.
    /// Returns how many items can be acknowledged.
    fn collect(&mut self, flying: &mut Flying, time: Duration) -> Result<usize, Failure> {
        let world = self.link.world;
        let mut next = world.run(async { tokio::time::timeout(time, flying.next()).await.ok() });
        if next.is_none() && self.server.is_closed() {
            return Err(Failure::Again);
        }
        let mut flown = vec![];
        while let Some(Some(one)) = next {
            let one = one?;
            if matches!(one.outcome, Outcome::Refused(_)) {
                self.resend(one, flying)?;
                break;
            }
            flown.push(one);
            next = flying.next().now_or_never();
        }
        let confirmed: Vec<(Span, u64)> = flown
            .iter()
            .filter_map(|one| match &one.outcome {
                Outcome::Confirmed(ack) => Some((one.span, ack.sequence)),
                _ => None,
            })
            .collect();
        let reporter = &self.link.reporter;
        if !confirmed.is_empty() {
            self.journal.confirm(&confirmed).map_err(Failure::Fatal)?;
            self.refusals = 0;
            if reporter.held_back.get() != 0 {
                reporter.held_back.set(0);
                reporter.over("held", "the stream takes messages again");
            }
        }
        for one in &flown {
            match &one.outcome {
                Outcome::Confirmed(ack) if !ack.duplicate => {
                    reporter.messages.inc();
                    reporter.items.inc_by(one.items as u64);
                    reporter.bytes.inc_by(one.bytes as u64);
                }
                _ => {
                    reporter.duplicates.inc_by(one.items as u64);
                }
            }
        }
        Ok(flown.iter().map(|one| one.items).sum())
    }

    /// Waits until nothing is on its way, and sends what was refused again, in order.
    fn resend(&mut self, first: Flown, flying: &mut Flying) -> Result<(), Failure> {
        let mut all = vec![first];
        while let Some(next) = self.link.world.run(flying.next()) {
            all.push(next?);
        }
        self.link.world.sleep(pause(self.refusals));
        self.refusals += 1;
        for one in all {
            let Flown {
                span, items, bytes, ..
            } = one;
            let flown = move |outcome| Flown {
                span,
                items,
                bytes,
                outcome,
            };
            match one.outcome {
                Outcome::Refused(post) => {
                    self.link.reporter.retries.inc();
                    self.send(*post, flown, flying);
                }
                outcome => flying.push_back(std::future::ready(Ok(flown(outcome))).boxed()),
            }
        }
        Ok(())
    }

    /// Carries the end of the stream over.
    fn end(&self, control: &Control) -> Result<End> {
        let puts = control.stats()?.puts;
        let mut post = self.post(message::end(&self.info, puts), vec![]);
        for tries in 0.. {
            let outcome = self.link.world.run(async {
                let sent = post.send().await;
                post.confirmed(sent).await
            });
            match outcome {
                Ok(Outcome::Refused(again)) if !self.server.is_closed() => post = *again,
                Ok(Outcome::Refused(_)) | Err(Failure::Again) => break,
                Err(Failure::Fatal(error)) => {
                    return Err(error.context("the end of the stream was not carried over"));
                }
                Ok(_) => {
                    self.link.reporter.ends.inc();
                    self.link
                        .reporter
                        .say("the stream has ended, and its other end will know");
                    return Ok(End::Stream);
                }
            }
            if self.link.world.ends() {
                return Ok(End::Stopped);
            }
            self.link.world.sleep(pause(tries));
        }
        Ok(End::Again)
    }
}

/// A message on its way.
struct Post {
    id: String,
    /// The message that has to be the stream's last one.
    after: Option<String>,
    jetstream: Context,
    epoch: watch::Receiver<u64>,
    subject: String,
    stream: String,
    headers: HeaderMap,
    body: Bytes,
    reporter: Arc<Reporter>,
}

impl Post {
    async fn send(&mut self) -> Result<PublishAckFuture, PublishError> {
        self.epoch.mark_unchanged();
        let message = PublishMessage::build()
            .headers(self.headers.clone())
            .payload(self.body.clone());
        let message = match &self.after {
            Some(before) => message.expected_last_message_id(before),
            None => message,
        };
        self.jetstream
            .send_publish(self.subject.clone(), message)
            .await
    }

    /// Waits for the confirmation.
    async fn confirmed(
        mut self,
        sent: Result<PublishAckFuture, PublishError>,
    ) -> Result<Outcome, Failure> {
        let answer = match sent {
            Ok(future) => tokio::select! {
                answer = future.into_future() => answer,
                // The connection was made again, so the confirmation may never come.
                _ = self.epoch.changed() => return Ok(Outcome::Refused(Box::new(self))),
            },
            Err(error) => Err(error),
        };
        let error = match answer {
            Ok(ack) => return Ok(Outcome::Confirmed(ack)),
            Err(error) => error,
        };
        match (error.kind(), server::publishing(&error, &self.stream)) {
            (_, Trouble::Lasting(error)) => {
                self.reporter.refused.inc();
                Err(Failure::Fatal(error))
            }
            // The message before it was refused.
            (PublishErrorKind::WrongLastMessageId, _) => Ok(Outcome::Refused(Box::new(self))),
            (PublishErrorKind::StreamNotFound, Trouble::Passing(text)) => {
                self.reporter.trouble("stream", text);
                Err(Failure::Again)
            }
            (_, Trouble::Passing(text)) => {
                let full = server::is_full(&error);
                self.reporter
                    .trouble(if full { "held" } else { "refused" }, text);
                if full {
                    self.reporter.held_back.set(1);
                }
                Ok(Outcome::Refused(Box::new(self)))
            }
        }
    }
}
