//! The picture: bars, one panel for each of a few questions. No fonts are needed to draw it: the viewer's are used.

use super::figures::{What, cell, short};
use super::job::Kind;
use super::plan::Results;
use super::run::Cell;
use crate::{Outcome, cpu};
use plotters::coord::Shift;
use plotters::prelude::*;
use std::path::Path;

const SIZE: (u32, u32) = (1280, 1330);
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
            "Round trip of 8 bytes, p50: microseconds (less is better; logarithmic)",
            (cell(Kind::RoundTrip, 1, one), What::P50, 1e3),
        ),
        (
            "Waking a sleeper, p50: microseconds (less is better)",
            (cell(Kind::Wake, 1, one), What::P50, 1e3),
        ),
    ];
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let text = |size: i32| ("sans-serif", size).into_font();
    root.draw(&Text::new(
        "prodcon and others, between processes",
        (20, 12),
        text(22).color(&BLACK),
    ))?;
    let machine = format!(
        "{}, {} processors ({}), Linux {}; medians of {}",
        cpu::model(),
        cpu::cores().len(),
        results.world.name(),
        cpu::kernel(),
        results.limits
    );
    root.draw(&Text::new(machine, (20, 42), text(13).color(&GREY)))?;
    let (_, below) = root.split_vertically(66);
    for (area, (head, (cell, what, unit))) in below.split_evenly((3, 2)).iter().zip(panels) {
        panel(area, results, head, cell, what, unit)?;
    }
    root.present()?;
    Ok(())
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
