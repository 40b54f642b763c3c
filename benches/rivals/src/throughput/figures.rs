//! Medians, spreads, and how numbers are written.

use super::job::Kind;
use super::plan::{Results, Series};
use super::run::{Cell, Failure, Reading};
use super::watch::World;

/// The median of the rounds, and the least and the greatest.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Spread {
    /// `None` if there is nothing.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (least, most, half) = (*values.first()?, *values.last()?, values.len() / 2);
        let median = if values.len() % 2 == 1 {
            values[half]
        } else {
            (values[half - 1] + values[half]) / 2.0
        };
        Some(Self {
            median,
            least,
            most,
        })
    }
}

/// One number of a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    PerSecond,
    Kept,
    Cpu,
    P50,
    P99,
    P999,
    Idle,
}

impl What {
    fn from(self, reading: &Reading) -> Option<f64> {
        Some(match (self, *reading) {
            (Self::PerSecond, Reading::Rate { per_second, .. }) => per_second,
            (Self::Kept, Reading::Rate { kept, .. }) => kept,
            (Self::Cpu, Reading::Rate { cpu, .. }) => cpu,
            (Self::P50, Reading::Times { p50, .. }) => p50,
            (Self::P99, Reading::Times { p99, .. }) => p99,
            (Self::P999, Reading::Times { p999, .. }) => p999,
            (Self::Idle, Reading::Idle(share)) => share,
            _ => return None,
        })
    }
}

impl Series {
    /// A number over all readings of one world. `None` if a run failed: half a series is no figure.
    pub fn spread(&self, what: What, world: World) -> Option<Spread> {
        if !self.failures.is_empty() {
            return None;
        }
        Spread::of(
            self.taken
                .iter()
                .filter(|taken| taken.world == world)
                .filter_map(|taken| what.from(&taken.reading)),
        )
    }

    /// Why there is no number.
    pub fn excuse(&self) -> Option<String> {
        if let Some(reason) = self.cannot {
            return Some(format!("- ({reason})"));
        }
        let runs = self.taken.len() + self.failures.len();
        let failed = self.failures.len();
        Some(match self.failures.first()? {
            Failure::NeverFinished => format!("**never finished** ({failed} of {runs})"),
            Failure::Failed(_) => format!("**failed** ({failed} of {runs})"),
            Failure::Wrong(_) => format!("**wrong** ({failed} of {runs})"),
        })
    }
}

impl Results {
    /// All systems' series of a cell, in order.
    pub fn cell(&self, cell: Cell) -> impl Iterator<Item = &Series> {
        self.series.iter().filter(move |series| series.cell == cell)
    }

    /// One system's series of a cell.
    pub fn of(&self, name: &str, cell: Cell) -> Option<&Series> {
        self.cell(cell).find(|series| series.entry.name == name)
    }

    /// The median of a system's number in a cell.
    pub fn median(&self, name: &str, cell: Cell, what: What, world: World) -> Option<f64> {
        Some(self.of(name, cell)?.spread(what, world)?.median)
    }

    /// prodcon's median divided by another system's.
    pub fn ratio(&self, name: &str, cell: Cell, what: What, world: World) -> Option<f64> {
        Some(self.median("prodcon", cell, what, world)? / self.median(name, cell, what, world)?)
    }

    /// Readings of a world.
    pub fn readings(&self, world: World) -> usize {
        self.series
            .iter()
            .flat_map(|series| &series.taken)
            .filter(|taken| taken.world == world)
            .count()
    }
}

/// A cell with one producer and one consumer, or another shape.
pub fn cell(kind: Kind, words: usize, (producers, consumers): (usize, usize)) -> Cell {
    Cell {
        kind,
        words,
        producers,
        consumers,
    }
}

/// Three figures.
pub fn short(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        0.01.. => format!("{value:.3}"),
        _ => format!("{value:.5}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_spreads() {
        assert!(Spread::of([]).is_none());
        let spread = Spread::of([3.0, 1.0, 2.0, 10.0]).unwrap();
        assert_eq!((spread.least, spread.median, spread.most), (1.0, 2.5, 10.0));
        assert_eq!(Spread::of([5.0, 1.0, 2.0]).unwrap().median, 2.0);
    }
}
