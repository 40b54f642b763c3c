//! One look at the queues, in Prometheus' text format.
//!
//! The names are a contract with people's alert rules and dashboards, see `docs/monitoring.md`.

use crate::names::Watched;
use prodcon::{Control, Error, QueueId, QueueInfo, State, Stats};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeMetric, MetricEncoder, prometheus_text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::collections::HashMap;
use std::fmt;

/// Looks at queues again and again.
///
/// Invariant: what is shown of a counter never falls while the queue is the same. The figures are
/// read while others change them, and Prometheus takes a fall for a new beginning.
pub struct Looker {
    watched: Watched,
    /// The queue that had the name at the last look, and what its counters showed.
    before: HashMap<String, (QueueId, [u64; COUNTERS.len()])>,
}

impl Looker {
    pub fn new(watched: Watched) -> Self {
        Self {
            watched,
            before: HashMap::new(),
        }
    }

    /// The figures of the queues, which are looked at one after the other.
    ///
    /// # Errors
    /// The directory of the queues cannot be read.
    pub fn text(&mut self) -> prodcon::Result<String> {
        let queues = self.watched.now(true)?;
        let before = std::mem::take(&mut self.before);
        let queues = queues
            .into_iter()
            .map(|name| {
                let mut seen = Seen::of(&name);
                if let Ok(seen) = &mut seen {
                    seen.not_below(before.get(&name));
                    let now = (seen.info.id, seen.counters);
                    self.before.insert(name.clone(), now);
                }
                Queue { name, seen }
            })
            .collect();
        Ok(encoded(queues))
    }
}

fn encoded(queues: Vec<Queue>) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Look { queues }));
    let mut text = String::new();
    // A string takes everything.
    let _ = prometheus_text::encode(&mut text, &registry);
    text
}

/// One look, to be encoded.
#[derive(Debug)]
struct Look {
    queues: Vec<Queue>,
}

#[derive(Debug)]
struct Queue {
    name: String,
    seen: Result<Seen, Error>,
}

#[derive(Debug)]
struct Seen {
    info: QueueInfo,
    stats: Stats,
    counters: [u64; COUNTERS.len()],
}

impl Seen {
    fn of(name: &str) -> Result<Self, Error> {
        let control = Control::attach_read_only(name)?;
        let stats = control.stats()?;
        Ok(Self {
            counters: COUNTERS.map(|(_, _, value)| value(&stats)),
            info: control.info().clone(),
            stats,
        })
    }

    /// Raises counters that are behind what they were at the last look at the same queue.
    fn not_below(&mut self, before: Option<&(QueueId, [u64; COUNTERS.len()])>) {
        let Some((id, before)) = before else { return };
        if *id == self.info.id {
            for (now, before) in self.counters.iter_mut().zip(before) {
                *now = (*now).max(*before);
            }
        }
    }
}

/// What only grows: name without `_total`, help, value.
type Counter = (&'static str, &'static str, fn(&Stats) -> u64);
const COUNTERS: [Counter; 7] = [
    ("prodcon_puts", "Items that were put.", |s| s.puts),
    ("prodcon_gets", "Items that were acknowledged.", |s| s.gets),
    (
        "prodcon_dropped",
        "Items that puts on the full queue dropped.",
        |s| s.dropped,
    ),
    (
        "prodcon_cleared",
        "Items that were cleared and discarded.",
        |s| s.cleared,
    ),
    (
        "prodcon_lost",
        "Items that dead consumers were holding (at-most-once).",
        |s| s.lost,
    ),
    ("prodcon_redelivered", "Deliveries beyond the first.", |s| {
        s.redelivered
    }),
    (
        "prodcon_dead_lettered",
        "Items that were moved to the dead-letter queue; they count as got too.",
        |s| s.dead_lettered,
    ),
];

/// What goes up and down: name, help, value.
type Gauge = (&'static str, &'static str, fn(&Seen) -> f64);
const GAUGES: [Gauge; 7] = [
    (
        "prodcon_queue_items",
        "Items in the queue, cleared ones that were not yet discarded included.",
        |q| q.stats.len as f64,
    ),
    (
        "prodcon_queue_unacked_items",
        "Items that consumers have taken and not yet acknowledged.",
        |q| q.stats.unacked as f64,
    ),
    (
        "prodcon_queue_capacity_items",
        "Items that the queue holds when it is full.",
        |q| f64::from(q.stats.capacity) * f64::from(q.stats.batch.max(1)),
    ),
    (
        "prodcon_queue_longest_hold_seconds",
        "How long the worker's call that has items in hand for the longest time has lasted; 0 if no worker has any.",
        |q| {
            let members = q.stats.members.iter();
            let times = members.filter_map(|member| Some(member.holding?.as_secs_f64()));
            times.fold(0.0, f64::max)
        },
    ),
    ("prodcon_ready", "1 if producers may put, else 0.", |q| {
        f64::from(u8::from(q.stats.ready))
    }),
    (
        "prodcon_state",
        "1 stopped, 2 started, 3 stopping at the end of the queue.",
        |q| match q.stats.state {
            State::Stopped => 1.0,
            State::Started => 2.0,
            State::StopAtQueueEnd => 3.0,
        },
    ),
    (
        "prodcon_queue_created_seconds",
        "When the queue was created, in seconds since 1970.",
        |q| q.info.created_ns as f64 / 1e9,
    ),
];

impl Collector for Look {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let up = "1 if the queue could be read, 0 if it is missing or damaged.";
        let mut all = encoder.encode_descriptor("prodcon_queue_up", up, None, MetricType::Gauge)?;
        for queue in &self.queues {
            let value = ConstGauge::new(i64::from(queue.seen.is_ok()));
            add(&mut all, &[("queue", queue.name.as_str())], &value)?;
        }
        let label = "Which type the items have, and how they are delivered.";
        let mut all = encoder.encode_descriptor("prodcon", label, None, MetricType::Info)?;
        for (name, seen) in self.seen() {
            all.encode_info(&info(name, &seen.info))?;
        }
        for (which, (metric, help, _)) in COUNTERS.into_iter().enumerate() {
            let mut all = encoder.encode_descriptor(metric, help, None, MetricType::Counter)?;
            for (name, seen) in self.seen() {
                let value = ConstCounter::new(seen.counters[which]);
                add(&mut all, &[("queue", name)], &value)?;
            }
        }
        for (metric, help, value) in GAUGES {
            let mut all = encoder.encode_descriptor(metric, help, None, MetricType::Gauge)?;
            for (name, seen) in self.seen() {
                add(&mut all, &[("queue", name)], &ConstGauge::new(value(seen)))?;
            }
        }
        let help = "Seats of live endpoints, of processes that died in the middle of an operation and were not yet recovered, and free ones.";
        let mut all = encoder.encode_descriptor("prodcon_seats", help, None, MetricType::Gauge)?;
        for (name, seen) in self.seen() {
            let &Stats {
                seats,
                seats_live: live,
                seats_dead: dead,
                ..
            } = &seen.stats;
            let free = seats.saturating_sub(live).saturating_sub(dead);
            for (state, seats) in [("live", live), ("dead", dead), ("free", free)] {
                let labels = [("queue", name), ("state", state)];
                add(&mut all, &labels, &ConstGauge::new(i64::from(seats)))?;
            }
        }
        Ok(())
    }
}

impl Look {
    fn seen(&self) -> impl Iterator<Item = (&str, &Seen)> {
        self.queues
            .iter()
            .filter_map(|queue| Some((queue.name.as_str(), queue.seen.as_ref().ok()?)))
    }
}

fn info<'a>(name: &'a str, info: &'a QueueInfo) -> [(&'static str, &'a str); 4] {
    [
        ("queue", name),
        (
            "type",
            if info.type_name.is_empty() {
                "bytes"
            } else {
                &info.type_name
            },
        ),
        ("lossy", if info.lossy { "true" } else { "false" }),
        (
            "delivery",
            if info.at_least_once {
                "at-least-once"
            } else {
                "at-most-once"
            },
        ),
    ]
}

/// Adds a sample to a metric.
fn add(
    all: &mut MetricEncoder<'_>,
    labels: &impl EncodeLabelSet,
    value: &impl EncodeMetric,
) -> fmt::Result {
    value.encode(all.encode_family(labels)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Two queues that are gone again, the first with two members.
    fn two() -> [Seen; 2] {
        let dir = std::env::temp_dir().join(format!(
            "prodcon-look-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        std::fs::create_dir(&dir).unwrap();
        let attach = prodcon::AttachOptions::new().directory(&dir);
        let options = prodcon::QueueOptions::new(10).seats(9).attach(attach);
        let made = ["a", "b"].map(|name| Control::create::<u64>(name, &options));
        let attach = prodcon::AttachOptions::new().directory(&dir);
        let _members =
            [0, 1].map(|_| prodcon::ReadyQueue::<u64>::attach_with("a", &attach).unwrap());
        std::fs::remove_dir_all(&dir).unwrap();
        made.map(|control| {
            let control = control.unwrap();
            Seen {
                info: control.info().clone(),
                stats: control.stats().unwrap(),
                counters: [5; COUNTERS.len()],
            }
        })
    }

    #[test]
    fn a_counter_falls_only_when_the_queue_is_another_one() {
        let [mut seen, other] = two();
        seen.not_below(Some(&(seen.info.id, [7, 3, 5, 5, 5, 5, 6])));
        assert_eq!(seen.counters, [7, 5, 5, 5, 5, 5, 6]);
        seen.not_below(Some(&(other.info.id, [9; COUNTERS.len()])));
        assert_eq!(seen.counters, [7, 5, 5, 5, 5, 5, 6]);
    }

    #[test]
    fn dead_seats_and_batches_are_counted_and_impossible_figures_do_no_harm() {
        let [mut seen, mut other] = two();
        (seen.stats.seats_live, seen.stats.seats_dead) = (2, 3);
        (seen.stats.batch, seen.stats.capacity) = (4, 10);
        (other.stats.seats_live, other.stats.seats_dead) = (u32::MAX, u32::MAX);
        other.info.type_name = "a\"b".into();
        (seen.stats.members[0].holding, seen.stats.members[1].holding) =
            (Some(Duration::from_millis(1500)), None);
        let text = encoded(vec![
            Queue {
                name: "q".into(),
                seen: Ok(seen),
            },
            Queue {
                name: "r".into(),
                seen: Ok(other),
            },
        ]);
        for line in [
            "prodcon_seats{queue=\"q\",state=\"live\"} 2",
            "prodcon_seats{queue=\"q\",state=\"dead\"} 3",
            "prodcon_seats{queue=\"q\",state=\"free\"} 4",
            "prodcon_queue_capacity_items{queue=\"q\"} 40.0",
            "prodcon_queue_longest_hold_seconds{queue=\"q\"} 1.5",
            "prodcon_queue_longest_hold_seconds{queue=\"r\"} 0.0",
            "prodcon_seats{queue=\"r\",state=\"free\"} 0",
            "prodcon_info{queue=\"r\",type=\"a\\\"b\",lossy=\"false\",delivery=\"at-most-once\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
    }
}
