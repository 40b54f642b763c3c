//! The rounds: every system in turn, cell by cell, again and again; and watching that the machine stays the same machine meanwhile.

use crate::job::Kind;
use crate::run::{Cell, Failure, Limits, Reading, run};
use crate::systems::{ALL, Entry};
use crate::trip;
use harness::crew::check_signals;
use harness::place::Place;
use harness::{Outcome, cpu};
use std::time::{Duration, Instant};

/// What the user asked for.
pub struct Wishes {
    pub rounds: usize,
    pub quick: bool,
    /// Names; all if empty.
    pub only: Vec<String>,
    /// A raw round trip below this means that the two processors are too close, nanoseconds.
    pub least_trip: f64,
    pub say: bool,
}

/// All readings of one system in one cell.
pub struct Series {
    pub entry: &'static Entry,
    pub cell: Cell,
    pub readings: Vec<Reading>,
    pub failures: Vec<Failure>,
    /// Why it was not asked.
    pub cannot: Option<&'static str>,
}

/// What the rounds gave, and on what machine.
pub struct Results {
    pub series: Vec<Series>,
    pub limits: String,
    pub trips: Vec<f64>,
    pub doubts: Vec<String>,
    /// Cells that were thrown away and measured again.
    pub repeats: usize,
    pub took: Duration,
}

/// Items of 8, 64, 1024 bytes and 64 KiB.
pub const WORDS: [usize; 4] = [1, 8, 128, 8192];
/// Producers, consumers.
pub const SHAPES: [(usize, usize); 3] = [(1, 1), (2, 2), (4, 4)];

const CAPACITY: u32 = 1024;

/// Runs everything.
///
/// # Errors
/// A signal came; the system refuses files or processes.
pub fn measure(place: &Place, wishes: &Wishes) -> Outcome<Results> {
    let began = Instant::now();
    let cells = cells();
    let wanted = |entry: &&Entry| wishes.only.is_empty() || wishes.only.iter().any(|name| name == entry.name);
    let mut results = Results {
        series: vec![],
        limits: format!(
            "{} rounds; each run {} ms, wake-ups {} ms; capacity {CAPACITY} items",
            wishes.rounds,
            limits(Kind::Throughput, 1, wishes.quick).duration.as_millis(),
            limits(Kind::Wake, 1, wishes.quick).duration.as_millis(),
        ),
        trips: vec![],
        doubts: vec![],
        repeats: 0,
        took: Duration::ZERO,
    };
    for &cell in &cells {
        for entry in ALL.iter().filter(wanted) {
            let cannot = entry.can(cell.kind, cell.words, cell.producers, cell.consumers).err();
            results.series.push(Series {
                entry,
                cell,
                readings: vec![],
                failures: vec![],
                cannot,
            });
        }
    }
    let mut watch = Watch::new(wishes);
    for round in 1..=wishes.rounds {
        for (number, &cell) in cells.iter().enumerate() {
            if cell.kind == Kind::Idle && round > 1 {
                continue; // once is enough: it is a share, not a race
            }
            if wishes.say {
                eprintln!("round {round} of {}, {} of {}: {}", wishes.rounds, number + 1, cells.len(), title(cell));
            }
            let mut tries = 0;
            loop {
                tries += 1;
                watch.before()?;
                let mut made = vec![];
                let asked = |series: &&Series| series.cell == cell && series.cannot.is_none() && series.failures.len() < 2; // twice is enough to know
                let mut turn: Vec<_> = results.series.iter().enumerate().filter(|(_, series)| asked(series)).collect();
                let first = (round * 5) % turn.len().max(1); // not always behind the same one
                turn.rotate_left(first);
                for (index, series) in turn {
                    made.push((index, run(place, series.entry, cell, &limits(cell.kind, cell.words, wishes.quick))?));
                }
                let fine = watch.after();
                if fine || tries > 2 || watch.given_up || watch.repeats >= cells.len() {
                    for (index, reading) in made {
                        let series = &mut results.series[index];
                        match reading {
                            Ok(reading) => series.readings.push(reading),
                            Err(failure) => series.failures.push(failure),
                        }
                    }
                    break;
                }
                watch.repeats += 1;
                if wishes.say {
                    eprintln!("  again: {}", watch.doubts.last().map_or("", |doubt| doubt));
                }
            }
        }
    }
    results.trips = watch.trips;
    results.repeats = watch.repeats;
    results.doubts = watch.doubts;
    results.took = began.elapsed();
    Ok(results)
}

fn cells() -> Vec<Cell> {
    let cell = |kind, words, (producers, consumers)| Cell {
        kind,
        words,
        producers,
        consumers,
    };
    let mut cells = vec![];
    for shape in SHAPES {
        cells.extend(WORDS.map(|words| cell(Kind::Throughput, words, shape)));
    }
    cells.extend(WORDS.map(|words| cell(Kind::Lossy, words, (1, 1))));
    cells.extend([Kind::RoundTrip, Kind::Wake, Kind::Idle].map(|kind| cell(kind, 1, (1, 1))));
    cells
}

fn limits(kind: Kind, words: usize, quick: bool) -> Limits {
    let (warm, duration) = match (kind, quick) {
        // Every page of the queue has to be there on both sides before anything else is measured: 64 MiB at 64 KiB.
        (Kind::Throughput | Kind::Lossy, false) => (if words > 1024 { 250 } else { 40 }, 400),
        (Kind::Throughput | Kind::Lossy, true) => (if words > 1024 { 120 } else { 20 }, 100),
        (Kind::RoundTrip, false) => (40, 400),
        (Kind::RoundTrip, true) => (20, 100),
        (Kind::Wake, false) => (20, 800),
        (Kind::Wake, true) => (20, 200),
        (Kind::Idle, false) => (300, 2200), // spinning before the first sleep is not what it costs to be asleep
        (Kind::Idle, true) => (150, 400),
    };
    Limits {
        capacity: CAPACITY,
        warm: Duration::from_millis(warm),
        duration: Duration::from_millis(duration),
        patience: Duration::from_secs(if quick { 4 } else { 8 }),
    }
}

/// A cell in words.
pub fn title(cell: Cell) -> String {
    let size = size(cell.words);
    match cell.kind {
        Kind::Throughput => format!("{}p{}c, {size}", cell.producers, cell.consumers),
        Kind::Lossy => format!("lossy 1p1c, {size}"),
        Kind::RoundTrip => format!("round trip, {size}"),
        Kind::Wake => format!("wake-up, {size}"),
        Kind::Idle => "idle".into(),
    }
}

/// A size in words of 8 bytes, in words.
pub fn size(words: usize) -> String {
    match words * 8 {
        65536 => "64 KiB".into(),
        bytes => format!("{bytes} B"),
    }
}

/// Watches the machine.
struct Watch<'a> {
    wishes: &'a Wishes,
    cores: Vec<usize>,
    trips: Vec<f64>,
    doubts: Vec<String>,
    steal: u64,
    began: Instant,
    /// The processors stay close: no use in waiting.
    given_up: bool,
    /// Cells measured again. Limited, so that a restless machine does not keep us for ever.
    repeats: usize,
}

impl<'a> Watch<'a> {
    fn new(wishes: &'a Wishes) -> Self {
        let mut watch = Self {
            wishes,
            cores: cpu::cores(),
            trips: vec![],
            doubts: vec![],
            steal: 0,
            began: Instant::now(),
            given_up: false,
            repeats: 0,
        };
        if watch.cores.len() < 2 {
            watch
                .doubts
                .push("only one processor: nothing is pinned, and everything is measured through the scheduler".into());
        }
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load: f64 = load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0);
        if load > 0.7 {
            watch
                .doubts
                .push(format!("the machine was busy at the beginning (load {load}): the figures are worth little"));
        }
        watch
    }

    fn close(&self, trip: f64) -> bool {
        self.cores.len() >= 2 && trip < self.wishes.least_trip
    }

    /// Waits a while for two processors that are apart.
    fn before(&mut self) -> Outcome<()> {
        let deadline = Instant::now() + Duration::from_secs(if self.given_up { 0 } else { 5 });
        let mut trip = trip::raw(&self.cores);
        while self.close(trip) && Instant::now() < deadline {
            check_signals()?;
            std::thread::sleep(Duration::from_millis(100));
            trip = trip::raw(&self.cores);
        }
        if self.close(trip) && !self.given_up {
            self.given_up = true;
            self.doubts.push(format!(
                "the two processors are close: a cache line's round trip took {trip:.0} ns, less than {:.0}: siblings of one core, or neighbours",
                self.wishes.least_trip
            ));
        }
        self.trips.push(trip);
        (self.steal, self.began) = (cpu::steal(), Instant::now());
        Ok(())
    }

    /// Whether it was the same machine all the while.
    fn after(&mut self) -> bool {
        let stolen = (cpu::steal() - self.steal) as f64 / 100.0 / (self.began.elapsed().as_secs_f64() * self.cores.len() as f64);
        let trip = trip::raw(&self.cores);
        self.trips.push(trip);
        if stolen > 0.02 {
            self.doubts.push(format!("the hypervisor took {:.1} % of the processors' time", stolen * 100.0));
            return false;
        }
        if self.close(trip) && !self.given_up {
            self.doubts.push(format!("a cache line's round trip fell to {trip:.0} ns meanwhile"));
            return false;
        }
        true
    }
}
