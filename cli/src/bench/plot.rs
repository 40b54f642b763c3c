//! A picture of a benchmark: throughput by size, percentiles of latency. SVG.

use super::evidence;
use super::latency::Times;
use super::report::Measured;
use crate::exit::{End, Outcome};
use plotters::prelude::*;
use std::path::Path;

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// Colours that people who are colour-blind can tell apart (Okabe and Ito).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(90, 90, 90),
];
const FONT: &str = "sans-serif";
const GREY: RGBColor = RGBColor(70, 70, 70);
/// Of the picture, and of its two panels together.
const WIDTH: u32 = 1200;
const PANELS: u32 = 480;
/// Height of a line of the notes, and most characters in one.
const LINE: u32 = 18;
const NOTE_WIDTH: usize = 185;

fn colour(number: usize) -> RGBColor {
    COLOURS[number % COLOURS.len()]
}

/// Draws both panels, and below them how it was measured.
pub fn draw(path: &Path, all: &[Measured], times: &[Times], evidence: &[String]) -> Outcome {
    let notes = evidence::wrapped(evidence, NOTE_WIDTH);
    let height = PANELS + 16 + LINE * notes.len() as u32;
    let mut text = String::new();
    let drawn = (|| -> Drawn {
        let root = SVGBackend::with_string(&mut text, (WIDTH, height)).into_drawing_area();
        root.fill(&WHITE)?;
        let (panels, below) = root.split_vertically(PANELS);
        let (left, right) = panels.split_horizontally(WIDTH / 2);
        throughput(&left, all)?;
        latency(&right, times)?;
        for (line, note) in notes.iter().enumerate() {
            let place = (16, (4 + LINE as usize * line) as i32);
            let style = (FONT, 13).into_font().color(&GREY);
            below.draw(&Text::new(note.as_str(), place, style))?;
        }
        root.present()?;
        Ok(())
    })();
    drawn.map_err(|error| End::failed(format!("cannot draw: {error}")))?;
    std::fs::write(path, text)
        .map_err(|error| End::failed(format!("cannot write {}: {error}", path.display())))
}

/// A number with as few characters as will do.
fn short(value: f64) -> String {
    let (value, unit) = match value {
        v if v >= 1e9 => (v / 1e9, " G"),
        v if v >= 1e6 => (v / 1e6, " M"),
        v if v >= 1e3 => (v / 1e3, " k"),
        v => (v, ""),
    };
    format!("{}{unit}", (value * 100.0).round() / 100.0)
}

fn nanoseconds(value: f64) -> String {
    match value {
        v if v >= 1e9 => format!("{} s", v / 1e9),
        v if v >= 1e6 => format!("{} ms", v / 1e6),
        v if v >= 1e3 => format!("{} us", v / 1e3),
        v => format!("{v} ns"),
    }
}

fn plural(count: u32, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Items a second by size, a line for each number of processes, with the least and the most.
fn throughput(area: &Area<'_>, all: &[Measured]) -> Drawn {
    let sizes = || {
        all.iter()
            .map(|measured| f64::from(measured.workload.item_size))
    };
    let (smallest, largest) = (
        sizes().fold(f64::INFINITY, f64::min),
        sizes().fold(0.0, f64::max),
    );
    let mut marks: Vec<f64> = sizes().collect();
    marks.sort_by(f64::total_cmp);
    marks.dedup();
    let lowest = all
        .iter()
        .map(|measured| measured.spread()[0])
        .fold(f64::INFINITY, f64::min)
        .max(1.0);
    let highest = all
        .iter()
        .map(|measured| measured.spread()[2])
        .fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption("Throughput by size of the items", (FONT, 20))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(70)
        .build_cartesian_2d(
            (smallest / 1.5..largest * 1.5)
                .log_scale()
                .with_key_points(marks),
            (lowest / 2.0..highest * 2.0).log_scale(),
        )?;
    chart
        .configure_mesh()
        .x_desc("bytes of an item (log)")
        .y_desc("items per second (log), median and spread of all rounds")
        .x_label_formatter(&|value| format!("{value}"))
        .y_label_formatter(&|value| short(*value))
        .light_line_style(WHITE)
        .draw()?;
    let mut groups: Vec<(u32, u32)> = all
        .iter()
        .map(|measured| (measured.workload.producers, measured.workload.consumers))
        .collect();
    groups.sort_unstable();
    groups.dedup();
    for (number, group) in groups.into_iter().enumerate() {
        let mut points: Vec<(f64, [f64; 3])> = all
            .iter()
            .filter(|measured| (measured.workload.producers, measured.workload.consumers) == group)
            .map(|measured| (f64::from(measured.workload.item_size), measured.spread()))
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let colour = colour(number);
        let style = colour.stroke_width(2);
        chart.draw_series(points.iter().map(|(size, [least, middle, most])| {
            ErrorBar::new_vertical(*size, *least, *middle, *most, colour.filled(), 8)
        }))?;
        chart
            .draw_series(LineSeries::new(
                points.iter().map(|(size, [_, middle, _])| (*size, *middle)),
                style,
            ))?
            .label(format!(
                "{}, {}",
                plural(group.0, "producer"),
                plural(group.1, "consumer")
            ))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .draw()?;
    Ok(())
}

/// The quantiles that are drawn: ever nearer to 1, as far as the number of items carries.
fn quantiles(count: u64) -> impl Iterator<Item = f64> {
    let nines = (count.max(10) as f64).log10();
    let steps = (nines * 20.0) as u32;
    (0..=steps).map(|step| 1.0 - 10f64.powf(-f64::from(step) / 20.0))
}

/// Time by percentile; the axis is stretched towards 100 %, a nine more on each mark.
fn latency(area: &Area<'_>, times: &[Times]) -> Drawn {
    let most = times
        .iter()
        .map(|times| times.histogram.len())
        .max()
        .unwrap_or(10)
        .max(10) as f64;
    let lowest = times
        .iter()
        .map(|times| times.histogram.min())
        .min()
        .unwrap_or(1)
        .max(10) as f64;
    let highest = times
        .iter()
        .map(|times| times.histogram.max())
        .max()
        .unwrap_or(10) as f64;
    let mut chart = ChartBuilder::on(area)
        .caption("Latency by percentile", (FONT, 20))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(70)
        .build_cartesian_2d(
            (1.0..most).log_scale(),
            (lowest / 2.0..highest * 2.0).log_scale(),
        )?;
    chart
        .configure_mesh()
        .x_desc("percentile (log: each mark is one nine more)")
        .y_desc("latency (log)")
        .x_label_formatter(&|value| percentile(*value))
        .y_label_formatter(&|value| nanoseconds(*value))
        .light_line_style(WHITE)
        .draw()?;
    for (number, times) in times.iter().enumerate() {
        let style = colour(number).stroke_width(2);
        let points = quantiles(times.histogram.len())
            .map(|quantile| (1.0 / (1.0 - quantile), times.at(quantile).max(1) as f64));
        chart
            .draw_series(LineSeries::new(points, style))?
            .label(times.rate.map_or("round trip".into(), |rate| {
                format!("one way, {}/s", short(rate))
            }))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .draw()?;
    Ok(())
}

/// 1 / (1 - quantile) as a percentile: 1 is 0 %, 10 is 90 %, 1000 is 99.9 %.
fn percentile(value: f64) -> String {
    let percent = 100.0 * (1.0 - 1.0 / value);
    let digits = (value.log10() - 2.0).ceil().max(0.0) as usize;
    format!("{percent:.digits$} %")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_short() {
        assert_eq!(
            (short(65_536.0), short(1e6), short(8.0)),
            ("65.54 k".into(), "1 M".into(), "8".into())
        );
        let marks = [1.0, 10.0, 100.0, 1000.0, 100_000.0].map(percentile);
        assert_eq!(
            marks,
            ["0 %", "90 %", "99 %", "99.9 %", "99.999 %"].map(str::to_owned)
        );
    }

    #[test]
    fn quantiles_go_as_far_as_the_items() {
        let all: Vec<f64> = quantiles(1000).collect();
        assert!(
            all[0] == 0.0
                && all.windows(2).all(|pair| pair[0] < pair[1])
                && (all[all.len() - 1] - 0.999).abs() < 1e-9,
            "{all:?}"
        );
    }
}
