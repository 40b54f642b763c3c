//! What a soak shows: a table that is redrawn on a terminal, else a line a second; and the summary.
//!

use super::mode::Mode;
use crate::exit::Outcome;
use crate::output;
use crate::table::{Side, columns};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::io::{IsTerminal, stderr};
use std::time::Duration;

/// The figures of one mode, from the beginning on.
#[derive(Clone, Copy, Default)]
pub struct Tally {
    pub rounds: u64,
    pub kills: u64,
    pub pauses: u64,
    pub clears: u64,
    pub puts: u64,
    pub gets: u64,
    pub dropped: u64,
    pub cleared: u64,
    pub lost: u64,
    pub redelivered: u64,
    pub twice: u64,
    pub missing: u64,
    /// Seats of the killed that the soak's own passes resolved; their peers resolve others.
    pub recovered: u64,
    /// Moments at which everything stood still and the accounts were checked.
    pub checks: u64,
    pub wrong: u64,
    /// Killed with items in hand, with nobody in their place; and the longest time until others had them.
    pub timed: u64,
    pub longest: Duration,
    /// Longest time in which nobody got anything, as far as the observer saw.
    pub standstill: Duration,
    /// Longest time in which the observer did not look: killing, starting, or itself kept waiting for a core. A standstill that is no longer than this is its own.
    pub blind: Duration,
}

const HEADS: [&str; 18] = [
    "mode",
    "rounds",
    "kills",
    "pauses",
    "clears",
    "puts",
    "gets",
    "dropped",
    "cleared",
    "lost",
    "redelivered",
    "twice",
    "missing",
    "recovered",
    "checks",
    "wrong",
    "standstill",
    "blind",
];

impl Tally {
    fn cells(&self, mode: Mode) -> Vec<String> {
        let figures = [
            self.rounds,
            self.kills,
            self.pauses,
            self.clears,
            self.puts,
            self.gets,
            self.dropped,
            self.cleared,
            self.lost,
            self.redelivered,
            self.twice,
            self.missing,
            self.recovered,
            self.checks,
            self.wrong,
        ];
        let mut cells = vec![mode.to_string()];
        cells.extend(figures.iter().map(u64::to_string));
        cells.extend(
            [self.standstill, self.blind].map(|time| format!("{:.1} ms", time.as_secs_f64() * 1e3)),
        );
        cells
    }
}

/// A head and a line for each mode.
fn table(tallies: &[(Mode, Tally)]) -> String {
    let mut rows = vec![HEADS.map(str::to_owned).to_vec()];
    rows.extend(tallies.iter().map(|(mode, tally)| tally.cells(*mode)));
    let mut sides = [Side::Right; HEADS.len()];
    sides[0] = Side::Left;
    columns(&sides, &rows)
}

pub struct Screen {
    total: Duration,
    /// On a terminal: the table's lines, and the bar below them.
    bars: Option<(Vec<ProgressBar>, ProgressBar)>,
}

impl Screen {
    pub fn new(modes: usize, total: Duration) -> Self {
        let bars = stderr().is_terminal().then(|| {
            let all = MultiProgress::new();
            let line = ProgressStyle::with_template("{msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            let lines = (0..=modes)
                .map(|_| all.add(ProgressBar::no_length().with_style(line.clone())))
                .collect();
            let style = ProgressStyle::with_template("{bar:40} {elapsed} of {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = all.add(ProgressBar::new(total.as_secs().max(1)).with_style(style));
            bar.set_message(format!("{:.1} minutes", total.as_secs_f64() / 60.0));
            (lines, bar)
        });
        Self { total, bars }
    }

    /// Once a second: everything so far; `now` is the mode that is at it.
    pub fn show(&self, elapsed: Duration, tallies: &[(Mode, Tally)], now: usize) -> Outcome {
        match &self.bars {
            Some((lines, bar)) => {
                for (bar, line) in lines.iter().zip(table(tallies).lines()) {
                    bar.set_message(line.to_owned());
                }
                bar.set_position(elapsed.as_secs());
                Ok(())
            }
            None => {
                let (mode, t) = &tallies[now];
                output::print(&format!(
                    "{:>5} of {} s  {mode}: {} kills, {} pauses, {} puts, {} gets, {} lost, {} redelivered, {} twice, {} missing, {} recovered, {} wrong, longest standstill {:.1} ms, observer blind for {:.1} ms\n",
                    elapsed.as_secs(),
                    self.total.as_secs(),
                    t.kills,
                    t.pauses,
                    t.puts,
                    t.gets,
                    t.lost,
                    t.redelivered,
                    t.twice,
                    t.missing,
                    t.recovered,
                    t.wrong,
                    t.standstill.as_secs_f64() * 1e3,
                    t.blind.as_secs_f64() * 1e3
                ))
            }
        }
    }

    /// The last screen, on stdout.
    pub fn end(self, tallies: &[(Mode, Tally)]) -> Outcome {
        if let Some((lines, bar)) = &self.bars {
            bar.finish_and_clear();
            lines.iter().for_each(ProgressBar::finish_and_clear);
        }
        output::print(&table(tallies))
    }
}
