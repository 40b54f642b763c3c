//! Watches that the machine stays the same machine.
//!
//! The two processors of a virtual machine are sometimes neighbours, or siblings of one core, and some seconds later they are not: everything between them is then
//! several times slower or faster. These are two worlds, and readings from one are never put together with readings from the other.

use super::trip;
use crate::cpu;
use std::time::{Duration, Instant};

/// How far the two processors are from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum World {
    /// A cache line takes its time. Also where there is only one processor.
    Apart,
    /// Siblings of one core, or neighbours.
    Close,
}

impl World {
    pub fn name(self) -> &'static str {
        match self {
            Self::Apart => "apart",
            Self::Close => "close",
        }
    }

    pub fn other(self) -> Self {
        match self {
            Self::Apart => Self::Close,
            Self::Close => Self::Apart,
        }
    }
}

/// The watch.
pub struct Watch {
    cores: Vec<usize>,
    least_trip: f64,
    /// All that were measured.
    pub trips: Vec<f64>,
    pub doubts: Vec<String>,
    pub repeats: usize,
    /// What part of the processors' time other programs used before it began.
    pub busy: f64,
    /// Ticks that the hypervisor had taken when it began.
    steal: u64,
    began: Instant,
    /// The last one, if it was just now.
    last: Option<(Instant, f64)>,
}

/// How it was before a run.
pub struct Before {
    trip: f64,
    steal: u64,
    at: Instant,
}

impl Watch {
    pub fn new(least_trip: f64) -> Self {
        let mut watch = Self {
            cores: cpu::cores(),
            least_trip,
            trips: vec![],
            doubts: vec![],
            repeats: 0,
            busy: 0.0,
            steal: cpu::steal(),
            began: Instant::now(),
            last: None,
        };
        if watch.cores.len() < 2 {
            watch
                .doubts
                .push("only one processor: nothing is pinned, and everything is measured through the scheduler".into());
        }
        let busy = cpu::busy(Duration::from_millis(400));
        watch.busy = busy;
        if busy > 0.05 {
            watch.doubts.push(format!(
                "other programs took {:.0} % of the processors' time before it began: the figures are worth little",
                busy * 100.0
            ));
        }
        watch
    }

    /// What part of the processors' time the hypervisor took since the watch began.
    pub fn stolen(&self) -> f64 {
        let seconds = self.began.elapsed().as_secs_f64() * self.cores.len().max(1) as f64;
        cpu::steal().saturating_sub(self.steal) as f64 / 100.0 / seconds.max(0.01)
    }

    fn world(&self, trip: f64) -> World {
        if self.cores.len() >= 2 && trip < self.least_trip {
            World::Close
        } else {
            World::Apart
        }
    }

    fn trip(&mut self) -> f64 {
        if let Some((at, trip)) = self.last.take()
            && at.elapsed() < Duration::from_millis(5)
        {
            return trip; // the one after the last run
        }
        let trip = trip::raw(&self.cores);
        self.trips.push(trip);
        trip
    }

    /// Where we are now.
    pub fn look(&mut self) -> World {
        let trip = self.trip();
        self.last = Some((Instant::now(), trip));
        self.world(trip)
    }

    pub fn before(&mut self) -> Before {
        Before {
            trip: self.trip(),
            steal: cpu::steal(),
            at: Instant::now(),
        }
    }

    /// Where the run between took place; or why it is to be thrown away.
    pub fn after(&mut self, before: Before) -> Result<((f64, f64), World), String> {
        let stolen = (cpu::steal() - before.steal) as f64
            / 100.0
            / (before.at.elapsed().as_secs_f64() * self.cores.len() as f64);
        let trip = self.trip();
        self.last = Some((Instant::now(), trip));
        if stolen > 0.05 {
            return Err(format!(
                "the hypervisor took {:.0} % of the processors' time",
                stolen * 100.0
            ));
        }
        if self.world(before.trip) != self.world(trip) {
            return Err(format!(
                "a cache line's round trip went from {:.0} to {trip:.0} ns",
                before.trip
            ));
        }
        Ok(((before.trip, trip), self.world(trip)))
    }
}
