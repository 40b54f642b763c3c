//! The picture: bars, one panel for each of a few questions. No fonts are needed to draw it: the viewer's are used.

use super::figures::{What, cell, short};
use super::job::Kind;
use super::plan::Results;
use super::report::versions;
use super::run::Cell;
use crate::{Outcome, cpu};
use plotters::coord::Shift;
use plotters::prelude::*;
use std::path::Path;

/// Width, and heights of the head, of a row of panels and of a line of notes.
const WIDTH: u32 = 1280;
const HEAD: u32 = 46;
const PANELS: u32 = 420;
const LINE: u32 = 19;
/// Most characters of a line of notes.
const NOTE: usize = 185;
const OURS: RGBColor = RGBColor(0x1f, 0x6f, 0xb4);
const OTHERS: RGBColor = RGBColor(0x9a, 0xa5, 0xb1);
const GREY: RGBColor = RGBColor(0x55, 0x55, 0x55);
const BAR: i32 = 18;
const LABELS: i32 = 215;
const FIGURES: i32 = 85;

/// Draws it.
///
/// # Errors
/// The file cannot be written.
pub fn draw(results: &Results, file: &Path) -> Outcome<()> {
    let notes = wrapped(&notes(results), NOTE);
    let one = (1, 1);
    let rate = |words, shape| (cell(Kind::Throughput, words, shape), What::PerSecond, 1e6);
    let panels = [
        (
            "8 bytes, 1 producer, 1 consumer: million items/s",
            rate(1, one),
        ),
        (
            "8 bytes, 4 producers, 4 consumers: million items/s",
            rate(1, (4, 4)),
        ),
        (
            "64 bytes, 1 producer, 1 consumer: million items/s",
            rate(8, one),
        ),
        (
            "1024 bytes, 1 producer, 1 consumer: million items/s",
            rate(128, one),
        ),
        (
            "64 KiB, 1 producer, 1 consumer: thousand items/s",
            (cell(Kind::Throughput, 8192, one), What::PerSecond, 1e3),
        ),
        (
            "64 KiB, 4 producers, 4 consumers: thousand items/s",
            (cell(Kind::Throughput, 8192, (4, 4)), What::PerSecond, 1e3),
        ),
        (
            "Round trip of 8 bytes, p50: microseconds (less is better; log)",
            (cell(Kind::RoundTrip, 1, one), What::P50, 1e3),
        ),
        (
            "Waking a sleeper, p50: microseconds (less is better)",
            (cell(Kind::Wake, 1, one), What::P50, 1e3),
        ),
    ];
    let rows = panels.len().div_ceil(2);
    let height = HEAD + PANELS * rows as u32 + LINE * (notes.len() as u32 + 1);
    let root = SVGBackend::new(file, (WIDTH, height)).into_drawing_area();
    root.fill(&WHITE)?;
    let text = |size: i32| ("sans-serif", size).into_font();
    root.draw(&Text::new(
        "prodcon and others, between processes",
        (20, 12),
        text(22).color(&BLACK),
    ))?;
    let (_, below) = root.split_vertically(HEAD);
    let (charts, below) = below.split_vertically(PANELS * rows as u32);
    for (area, (head, (cell, what, unit))) in charts.split_evenly((rows, 2)).iter().zip(panels) {
        panel(area, results, head, cell, what, unit)?;
    }
    for (line, note) in notes.iter().enumerate() {
        let place = (20, (LINE as usize * line) as i32);
        below.draw(&Text::new(note.as_str(), place, text(13).color(&GREY)))?;
    }
    root.present()?;
    Ok(())
}

/// How it was measured, a sentence or a few in each.
fn notes(results: &Results) -> Vec<String> {
    let cores = cpu::cores().len();
    let mut notes = vec![
        format!(
            "{}, {cores} processors, Linux {}, {}. {}.",
            cpu::model(),
            cpu::kernel(),
            cpu::today(),
            versions(results)
        ),
        format!(
            "Medians of {}. Every run was verified. Processes are pinned, producers to one half of the processors and consumers to the other; more than {cores} processes share them.",
            results.limits
        ),
        format!(
            "Other programs used {:.1} % of the processors' time before it began, and the hypervisor took {:.1} % while it ran.",
            100.0 * results.busy,
            100.0 * results.stolen
        ),
        format!(
            "Two processors are close if a cache line goes from one to the other and back in less than {:.0} ns, because they share a core or are neighbours; else they are apart, and everything between them takes longer. These figures are of processors that were {}.",
            results.least_trip,
            results.world.name()
        ),
    ];
    let mut doubts = results.doubts.clone();
    doubts.sort();
    doubts.dedup();
    notes.extend(doubts.iter().map(|doubt| format!("Doubt: {doubt}.")));
    notes
}

/// Breaks the texts between words into lines of at most this many characters.
fn wrapped(texts: &[String], longest: usize) -> Vec<String> {
    let mut lines = vec![];
    for text in texts {
        let mut line = String::new();
        for word in text.split(' ') {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > longest {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line += word;
        }
        lines.push(line);
    }
    lines
}

fn panel(
    area: &DrawingArea<SVGBackend, Shift>,
    results: &Results,
    head: &str,
    cell: Cell,
    what: What,
    unit: f64,
) -> Outcome<()> {
    let text = |size: i32| ("sans-serif", size).into_font();
    area.draw(&Text::new(head.to_owned(), (20, 8), text(15).color(&BLACK)))?;
    let rows: Vec<_> = results
        .cell(cell)
        .filter(|series| series.cannot.is_none())
        .collect();
    let values = || {
        rows.iter()
            .filter_map(|series| series.spread(what, results.world))
            .map(|spread| spread.median)
    };
    let (most, least) = (
        values().fold(0.0, f64::max),
        values().fold(f64::INFINITY, f64::min) / 2.0,
    );
    let logarithmic = cell.kind == Kind::RoundTrip; // spinning and sleeping are two orders of magnitude apart
    let part = |value: f64| {
        if logarithmic {
            (value / least).ln() / (most / least).ln()
        } else {
            value / most
        }
    };
    let room = area.dim_in_pixel().0 as i32 - LABELS - FIGURES - 20;
    for (number, series) in rows.iter().enumerate() {
        let top = 34 + number as i32 * (BAR + 6);
        let ours = series.entry.name.starts_with("prodcon");
        area.draw(&Text::new(
            series.entry.title.to_owned(),
            (20, top + 2),
            text(13).color(if ours { &OURS } else { &GREY }),
        ))?;
        let (length, label) = match series.spread(what, results.world) {
            Some(spread) => {
                let lossy = if series.entry.always_lossy && what == What::PerSecond {
                    " lossy"
                } else {
                    ""
                };
                (
                    (part(spread.median) * f64::from(room)) as i32,
                    format!("{}{lossy}", short(spread.median / unit)),
                )
            }
            None => (0, series.excuse().unwrap_or_default().replace("**", "")),
        };
        let bar = [(LABELS, top), (LABELS + length.max(1), top + BAR)];
        area.draw(&Rectangle::new(
            bar,
            if ours { OURS } else { OTHERS }.filled(),
        ))?;
        area.draw(&Text::new(
            label,
            (LABELS + length.max(1) + 6, top + 2),
            text(13).color(&BLACK),
        ))?;
    }
    Ok(())
}
