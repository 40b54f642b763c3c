//! The rounds: every system in turn, cell by cell, again and again; and only readings that were taken on the same machine are put together.

use super::job::Kind;
use super::run::{Cell, Failure, Limits, Reading, run};
use super::watch::{Watch, World};
use crate::Outcome;
use crate::cpu;
use crate::place::Place;
use crate::processes::check_signals;
use crate::systems::{self, Entry};
use std::time::{Duration, Instant};

/// What the user asked for.
pub struct Wishes {
    pub rounds: usize,
    pub quick: bool,
    /// Names; all if empty.
    pub only: Vec<String>,
    /// Below this round trip of a cache line the two processors are close, nanoseconds.
    pub least_trip: f64,
    pub say: bool,
    /// Of the items, in words: some of [`WORDS`].
    pub sizes: Vec<usize>,
    /// How long each run but a wake-up is measured, if not as long as usual.
    pub seconds: Option<Duration>,
    /// How long it goes on, in each of the two states of the machine, for readings that are missing
    /// there, if not a third of the time.
    pub patience: Option<Duration>,
}

/// One run's reading.
#[derive(Debug, Clone, Copy)]
pub struct Taken {
    pub reading: Reading,
    /// The round trip of a cache line before and after it, nanoseconds.
    pub trips: (f64, f64),
    pub world: World,
}

/// All readings of one system in one cell.
pub struct Series {
    pub entry: &'static Entry,
    pub cell: Cell,
    pub taken: Vec<Taken>,
    pub failures: Vec<Failure>,
    /// Why it was not asked.
    pub cannot: Option<&'static str>,
}

/// What the rounds gave, and on what machine.
pub struct Results {
    /// Of the items, in words.
    pub sizes: Vec<usize>,
    /// Below this round trip of a cache line two processors are close, nanoseconds.
    pub least_trip: f64,
    pub series: Vec<Series>,
    /// The one that the figures are of.
    pub world: World,
    pub limits: String,
    pub trips: Vec<f64>,
    pub doubts: Vec<String>,
    /// Runs that were thrown away because the machine changed meanwhile, and made again.
    pub repeats: usize,
    /// What part of the processors' time other programs used before it began, and the hypervisor
    /// took while it ran.
    pub busy: f64,
    pub stolen: f64,
    pub took: Duration,
}

/// Items of 8, 64, 256, 1024 bytes, 4 KiB, 64 KiB, 1 MiB, 2 MiB.
pub const WORDS: [usize; 8] = [1, 8, 32, 128, 512, 8192, 131_072, 262_144];

/// Producers, consumers. Eight of each where each has a processor of its own.
pub fn shapes() -> Vec<(usize, usize)> {
    let mut shapes = vec![(1, 1), (2, 2), (4, 4)];
    if cpu::cores().len() >= 16 {
        shapes.push((8, 8));
    }
    shapes
}

const CAPACITY: u32 = 1024;
/// The same for all: as much as the largest pools of one of them make sensible, and no more than caches hold.
const CAPACITY_LARGE: u32 = 64;
const CAPACITY_HUGE: u32 = 16;

/// Runs everything.
///
/// # Errors
/// A signal came; the system refuses files or processes.
pub fn measure(place: &Place, wishes: &Wishes) -> Outcome<Results> {
    let began = Instant::now();
    let cells = cells(&wishes.sizes);
    let mut bench = Bench {
        place,
        wishes,
        watch: Watch::new(wishes.least_trip),
        series: vec![],
    };
    let wanted = |entry: &&Entry| {
        wishes.only.is_empty() || wishes.only.iter().any(|name| name == entry.name)
    };
    for &cell in &cells {
        for entry in systems::racing().filter(wanted) {
            let cannot = can(entry, cell).err();
            bench.series.push(Series {
                entry,
                cell,
                taken: vec![],
                failures: vec![],
                cannot,
            });
        }
    }
    for round in 1..=wishes.rounds {
        for (number, &cell) in cells.iter().enumerate() {
            if cell.kind == Kind::Idle && round > 1 {
                continue; // once is enough: it is a share, not a race
            }
            if wishes.say {
                eprintln!(
                    "round {round} of {}, {} of {}: {}",
                    wishes.rounds,
                    number + 1,
                    cells.len(),
                    title(cell)
                );
            }
            let mut turn: Vec<_> = (0..bench.series.len())
                .filter(|index| bench.series[*index].cell == cell)
                .collect();
            let first = (round * 5) % turn.len().max(1); // not always behind the same one
            turn.rotate_left(first);
            for index in turn {
                bench.once(index)?;
            }
        }
    }
    let world = bench.most_of_the_time();
    // And not longer, unless the user has the time. A restless machine does not keep us forever.
    let allowance = wishes.patience.unwrap_or(began.elapsed() / 3);
    for world in [world, world.other()] {
        bench.catch_up(world, wishes.rounds.div_ceil(2), Instant::now() + allowance)?;
    }
    let Bench { watch, series, .. } = bench;
    Ok(Results {
        sizes: wishes.sizes.clone(),
        least_trip: wishes.least_trip,
        series,
        world,
        limits: format!(
            "{} rounds; each run {} ms, wake-ups {} ms; capacity {CAPACITY} items, {CAPACITY_LARGE} of 64 KiB{}",
            wishes.rounds,
            limits(Kind::Throughput, 1, wishes).duration.as_millis(),
            limits(Kind::Wake, 1, wishes).duration.as_millis(),
            if wishes.sizes.iter().any(|words| *words > 16_384) {
                format!(", {CAPACITY_HUGE} of 1 MiB and more")
            } else {
                String::new()
            },
        ),
        busy: watch.busy,
        stolen: watch.stolen(),
        trips: watch.trips,
        doubts: watch.doubts,
        repeats: watch.repeats,
        took: began.elapsed(),
    })
}

struct Bench<'a> {
    place: &'a Place,
    wishes: &'a Wishes,
    watch: Watch,
    series: Vec<Series>,
}

impl Bench<'_> {
    /// One run of one system in one cell; again if the machine changed meanwhile.
    fn once(&mut self, index: usize) -> Outcome<()> {
        let series = &self.series[index];
        let (entry, cell) = (series.entry, series.cell);
        if series.cannot.is_some() || series.failures.len() >= 2 {
            return Ok(()); // twice is enough to know
        }
        for tries in 1.. {
            let before = self.watch.before();
            let reading = run(
                self.place,
                entry,
                cell,
                &limits(cell.kind, cell.words, self.wishes),
            )?;
            match (reading, self.watch.after(before)) {
                (Err(failure), _) => self.series[index].failures.push(failure),
                (Ok(reading), Ok((trips, world))) => self.series[index].taken.push(Taken {
                    reading,
                    trips,
                    world,
                }),
                (Ok(_), Err(why)) if tries < 4 => {
                    if self.wishes.say {
                        eprintln!("  {} again: {why}", entry.name);
                    }
                    self.watch.repeats += 1;
                    continue;
                }
                (Ok(_), Err(why)) => self
                    .watch
                    .doubts
                    .push(format!("a run was left out after four tries: {why}")),
            }
            break;
        }
        Ok(())
    }

    /// The world in which the machine was when most readings were taken.
    fn most_of_the_time(&self) -> World {
        let taken = || self.series.iter().flat_map(|series| &series.taken);
        let apart = taken().filter(|taken| taken.world == World::Apart).count();
        if 2 * apart >= taken().count() {
            World::Apart
        } else {
            World::Close
        }
    }

    /// Gets the readings that are missing in this world, as long as there is time and the machine is in it.
    fn catch_up(&mut self, world: World, wanted: usize, deadline: Instant) -> Outcome<()> {
        while Instant::now() < deadline {
            check_signals()?;
            let of = |series: &Series| {
                series
                    .taken
                    .iter()
                    .filter(|taken| taken.world == world)
                    .count()
            };
            let enough = |series: &Series| {
                if series.cell.kind == Kind::Idle {
                    1
                } else {
                    wanted
                }
            };
            let lacks = |series: &Series| {
                series.cannot.is_none() && series.failures.is_empty() && of(series) < enough(series)
            };
            let Some(index) = (0..self.series.len())
                .filter(|index| lacks(&self.series[*index]))
                .min_by_key(|index| of(&self.series[*index]))
            else {
                return Ok(());
            };
            if self.watch.look() == world {
                self.once(index)?;
            } else {
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        Ok(())
    }
}

fn cells(sizes: &[usize]) -> Vec<Cell> {
    let cell = |kind, words, (producers, consumers)| Cell {
        kind,
        words,
        producers,
        consumers,
    };
    let mut cells = vec![];
    for shape in shapes() {
        cells.extend(
            sizes
                .iter()
                .map(|words| cell(Kind::Throughput, *words, shape)),
        );
    }
    cells.extend(sizes.iter().map(|words| cell(Kind::Lossy, *words, (1, 1))));
    cells.extend([Kind::RoundTrip, Kind::Wake, Kind::Idle].map(|kind| cell(kind, 1, (1, 1))));
    cells
}

/// Whether this can be asked of it, else why not.
fn can(entry: &Entry, cell: Cell) -> Result<(), &'static str> {
    match cell.kind {
        Kind::Throughput if entry.single => Err("one item at a time"),
        Kind::Throughput if entry.pairs && cell.producers + cell.consumers > 2 => {
            Err("one to one only")
        }
        Kind::Throughput
            if entry.socket == Some(false)
                && cell.words > 512
                && cell.producers + cell.consumers > 2 =>
        {
            Err("not whole above PIPE_BUF")
        }
        Kind::Throughput if entry.socket == Some(true) && cell.words > 8192 => {
            Err("longer than its buffer may be")
        }
        Kind::Lossy if !entry.lossy => Err("not lossy"),
        Kind::Wake | Kind::Idle if !entry.sleeps => Err("only polls"),
        _ => Ok(()),
    }
}

fn limits(kind: Kind, words: usize, wishes: &Wishes) -> Limits {
    let (warm, duration) = match (kind, wishes.quick) {
        // Every page of the queue has to be there on both sides before anything else is measured.
        (Kind::Throughput | Kind::Lossy, false) => (if words > 1024 { 100 } else { 40 }, 400),
        (Kind::Throughput | Kind::Lossy, true) => (if words > 1024 { 50 } else { 20 }, 100),
        (Kind::RoundTrip, false) => (40, 400),
        (Kind::RoundTrip, true) => (20, 100),
        (Kind::Wake, false) => (20, 800),
        (Kind::Wake, true) => (20, 200),
        (Kind::Idle, false) => (300, 2200), // spinning before the first sleep is not what it costs to be asleep
        (Kind::Idle, true) => (150, 400),
    };
    Limits {
        capacity: match words {
            0..=1024 => CAPACITY,
            1025..=16_384 => CAPACITY_LARGE,
            _ => CAPACITY_HUGE,
        },
        warm: Duration::from_millis(warm),
        duration: match kind {
            Kind::Throughput | Kind::Lossy | Kind::RoundTrip => wishes.seconds,
            Kind::Wake | Kind::Idle => None, // they take their time
        }
        .unwrap_or(Duration::from_millis(duration)),
        patience: Duration::from_secs(if wishes.quick { 4 } else { 8 }),
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
        bytes @ 0..2048 => format!("{bytes} B"),
        bytes @ 2048..1_048_576 => format!("{} KiB", bytes >> 10),
        bytes => format!("{} MiB", bytes >> 20),
    }
}

/// Reads a size in bytes, and gives it in words.
///
/// # Errors
/// None of [`WORDS`].
pub fn parse_size(text: &str) -> Result<usize, String> {
    let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("B", 1)];
    let with_unit = units
        .iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)));
    let (number, unit) = with_unit.unwrap_or((text, 1));
    let bytes = number
        .trim()
        .parse::<usize>()
        .ok()
        .and_then(|number| number.checked_mul(unit));
    let words = bytes
        .filter(|bytes| bytes % 8 == 0)
        .map(|bytes| bytes / 8)
        .filter(|words| WORDS.contains(words));
    words.ok_or_else(|| format!("there are {}", WORDS.map(size).join(", ")))
}

/// The same sizes, each once, in the order of the tables.
pub fn in_order(sizes: &[usize]) -> Vec<usize> {
    WORDS
        .into_iter()
        .filter(|words| sizes.contains(words))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_read_as_it_is_written() {
        for words in WORDS {
            assert_eq!(parse_size(&size(words)), Ok(words));
            assert_eq!(parse_size(&(words * 8).to_string()), Ok(words));
        }
        assert_eq!(parse_size("4KiB"), Ok(512));
        for wrong in ["", "7", "16", "1GiB", "-8", "KiB"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }
}
