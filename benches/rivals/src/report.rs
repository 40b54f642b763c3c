//! What the reports of both comparisons are made of: tables as Markdown that one can also read in a terminal, and what was run on which machine.

use crate::cpu;

/// Returns the command that made a report.
pub fn command() -> String {
    let words: Vec<String> = std::env::args().skip(1).collect();
    format!(
        "cargo run --release --manifest-path benches/rivals/Cargo.toml -- {}",
        words.join(" ")
    )
}

/// Returns the machine in words: processor, how many, kernel.
pub fn machine() -> String {
    format!(
        "{}, {} processors, Linux {}",
        cpu::model(),
        cpu::cores().len(),
        cpu::kernel()
    )
}

/// Rows of cells; the first row is the head.
pub struct Table(Vec<Vec<String>>);

impl Table {
    /// A table with this head.
    pub fn new<S: Into<String>>(head: impl IntoIterator<Item = S>) -> Self {
        Self(vec![head.into_iter().map(Into::into).collect()])
    }

    /// One row more, as long as the head.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.0.push(cells.into_iter().map(Into::into).collect());
        debug_assert_eq!(self.0[0].len(), self.0[self.0.len() - 1].len());
    }

    /// The table and an empty line.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        let width = |column: usize| {
            self.0
                .iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.0[0].len()).map(width).collect();
        for (number, row) in self.0.iter().enumerate() {
            for (cell, width) in row.iter().zip(&widths) {
                out.push_str(&format!("| {cell:width$} "));
            }
            out.push_str("|\n");
            if number == 0 {
                widths
                    .iter()
                    .for_each(|width| out.push_str(&format!("| {} ", "-".repeat(*width))));
                out.push_str("|\n");
            }
        }
        out.push('\n');
        out
    }
}
