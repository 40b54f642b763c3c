//! What is said on stderr, and the figures that are counted. A trouble that lasts is said once a
//! minute.

use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How often a trouble that lasts is said.
const EVERY: Duration = Duration::from_secs(60);

/// What tells the figures of one link from those of others.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Labels {
    direction: String,
    queue: String,
    stream: String,
}

/// The figures of all links.
#[derive(Debug, Default)]
pub struct Figures {
    registry: Registry,
    counters: Vec<Family<Labels, Counter>>,
    gauges: Vec<Family<Labels, Gauge>>,
}

const COUNTERS: [(&str, &str); 8] = [
    (
        "items",
        "Items carried: confirmed by the stream and acknowledged in the queue, or put into the \
             queue",
    ),
    ("messages", "Messages published and confirmed, or received"),
    ("bytes", "Bytes of the items carried"),
    (
        "duplicate_items",
        "Items that were not carried again: the far end, or the journal, had them already",
    ),
    (
        "retries",
        "Publications and fetches that had to be tried again",
    ),
    (
        "connections",
        "Times that a connection to a server was made",
    ),
    ("ends", "Ends of stream carried over"),
    (
        "refused",
        "Messages refused because they do not fit the queue, or items because they do not fit \
             the server",
    ),
];
const GAUGES: [(&str, &str); 4] = [
    ("connected", "1 while there is a connection to a server"),
    (
        "held_back",
        "1 while the far end takes nothing: the queue is not ready, stopped or full, or the \
             stream is full",
    ),
    ("in_hand", "Items, or messages, that are on their way"),
    ("queue_items", "Items in the queue"),
];

impl Figures {
    /// Makes the figures, all of them nothing yet.
    pub fn new() -> Self {
        let mut this = Self {
            registry: Registry::with_prefix("prodcon_bridge"),
            ..Self::default()
        };
        for (name, help) in COUNTERS {
            let family = Family::<Labels, Counter>::default();
            this.registry.register(name, help, family.clone());
            this.counters.push(family);
        }
        for (name, help) in GAUGES {
            let family = Family::<Labels, Gauge>::default();
            this.registry.register(name, help, family.clone());
            this.gauges.push(family);
        }
        this
    }

    /// Returns all figures in the text format of OpenMetrics.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut out, &self.registry);
        out
    }
}

/// What one link says and counts.
#[derive(Debug)]
pub struct Reporter {
    /// `out jobs` or `in jobs`.
    who: String,
    /// When each trouble that lasts was last said, and what it is called.
    said: Mutex<Vec<(&'static str, Instant)>>,
    pub items: Counter,
    pub messages: Counter,
    pub bytes: Counter,
    pub duplicates: Counter,
    pub retries: Counter,
    pub connections: Counter,
    pub ends: Counter,
    pub refused: Counter,
    pub connected: Gauge,
    pub held_back: Gauge,
    pub in_hand: Gauge,
    pub queue_items: Gauge,
}

impl Reporter {
    /// Makes the reporter of a link.
    pub fn new(figures: &Figures, direction: &str, queue: &str, stream: &str) -> Self {
        let labels = Labels {
            direction: direction.into(),
            queue: queue.into(),
            stream: stream.into(),
        };
        let counter = |index: usize| figures.counters[index].get_or_create_owned(&labels);
        let gauge = |index: usize| figures.gauges[index].get_or_create_owned(&labels);
        Self {
            who: format!("{direction} {queue}"),
            said: Mutex::default(),
            items: counter(0),
            messages: counter(1),
            bytes: counter(2),
            duplicates: counter(3),
            retries: counter(4),
            connections: counter(5),
            ends: counter(6),
            refused: counter(7),
            connected: gauge(0),
            held_back: gauge(1),
            in_hand: gauge(2),
            queue_items: gauge(3),
        }
    }

    /// Says a line.
    pub fn say(&self, text: impl std::fmt::Display) {
        eprintln!("prodcon-bridge: {}: {text}", self.who);
    }

    /// Says a trouble that lasts: at once, and then once a minute.
    pub fn trouble(&self, kind: &'static str, text: impl std::fmt::Display) {
        let mut said = self
            .said
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let now = Instant::now();
        match said.iter_mut().find(|(name, _)| *name == kind) {
            Some((_, last)) if now.duration_since(*last) < EVERY => return,
            Some((_, last)) => *last = now,
            None => said.push((kind, now)),
        }
        self.say(text);
    }

    /// Says that a trouble is over, if it was said.
    pub fn over(&self, kind: &'static str, text: impl std::fmt::Display) {
        let mut said = self
            .said
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(at) = said.iter().position(|(name, _)| *name == kind) else {
            return;
        };
        // It is kept for a minute, so that a trouble that comes and goes does not fill the log.
        if said[at].1.elapsed() >= EVERY {
            said.remove(at);
        }
        drop(said);
        self.trouble(over_of(kind), text);
    }

    /// Says what was carried.
    pub fn sum_up(&self, verb: &str) {
        self.say(format_args!(
            "{verb} {} items in {} messages; {} items were there already, {} retries",
            self.items.get(),
            self.messages.get(),
            self.duplicates.get(),
            self.retries.get(),
        ));
    }
}

fn over_of(kind: &'static str) -> &'static str {
    match kind {
        "server" => "server back",
        "held" => "held over",
        _ => "over",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_that_lasts_is_said_once_a_minute() {
        let figures = Figures::new();
        let reporter = Reporter::new(&figures, "out", "jobs", "s");
        reporter.trouble("server", "gone");
        let first = reporter.said.lock().unwrap()[0].1;
        reporter.trouble("server", "gone");
        assert_eq!(reporter.said.lock().unwrap()[0].1, first);
        reporter.said.lock().unwrap()[0].1 = first.checked_sub(EVERY).unwrap();
        reporter.trouble("server", "gone");
        assert!(reporter.said.lock().unwrap()[0].1 >= first);
    }

    #[test]
    fn the_figures_of_a_link_are_served() {
        let figures = Figures::new();
        Reporter::new(&figures, "out", "jobs", "s").items.inc_by(3);
        let line = r#"prodcon_bridge_items_total{direction="out",queue="jobs",stream="s"} 3"#;
        assert!(figures.text().contains(line), "{}", figures.text());
    }
}
