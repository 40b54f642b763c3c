//! The tables, as Markdown, and the same as JSON.

use super::figures::{What, cell, short};
use super::job::Kind;
use super::plan::{Results, Series, shapes, size, title};
use super::run::{Cell, Failure, Reading};
use super::watch::World;
use crate::cpu;
use crate::report::{Table, machine};
use crate::systems::{ALL, Entry};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;

const LOCK: &str = include_str!("../../Cargo.lock");
const ONE: (usize, usize) = (1, 1);

/// The versions of the systems that have readings: `prodcon 0.2.0, shaq 4.3.0`. What is no package
/// of its own has none.
pub fn versions(results: &Results) -> String {
    let mut all: Vec<String> = vec![];
    for entry in entries(results) {
        let named = format!("{} {}", entry.package, version(entry.package));
        if !named.ends_with('?') && !all.contains(&named) {
            all.push(named);
        }
    }
    all.join(", ")
}

/// The version of a package in this workspace's Cargo.lock.
fn version(package: &str) -> &str {
    let quoted = |line: &'static str, key| {
        Some(
            line.strip_prefix(key)?
                .strip_prefix(" = \"")?
                .trim_end_matches('"'),
        )
    };
    let mut lines = LOCK
        .lines()
        .skip_while(|line| quoted(line, "name") != Some(package));
    lines
        .nth(1)
        .and_then(|line| quoted(line, "version"))
        .unwrap_or("?")
}

/// All tables.
pub fn markdown(results: &Results, command: &str) -> String {
    let mut out = String::new();
    head(results, command, &mut out);
    let rows = entries(results);
    for shape in shapes() {
        let cells = sizes(results, Kind::Throughput, shape);
        let _ = writeln!(
            out,
            "### {} producer{s}, {} consumer{s}: million items a second, median (least .. most)\n",
            shape.0,
            shape.1,
            s = if shape.0 > 1 { "s" } else { "" }
        );
        table(
            results,
            &rows,
            &cells,
            |series| rate(series, results.world),
            &mut out,
        );
    }
    other_world(results, &rows, &mut out);
    out.push_str("### Lossy, one producer, one consumer: million items a second got (part of the items put that were got)\n\n");
    let lossy = sizes(results, Kind::Lossy, ONE);
    let able: Vec<_> = rows.iter().copied().filter(|entry| entry.lossy).collect();
    table(
        results,
        &able,
        &lossy,
        |series| rate(series, results.world),
        &mut out,
    );
    latencies(results, &rows, &mut out);
    out.push_str("### Processor time: seconds of all processes for a million items, median\n\n");
    let mut cells = sizes(results, Kind::Throughput, ONE);
    cells.extend(
        results
            .sizes
            .first()
            .map(|words| cell(Kind::Throughput, *words, (4, 4))),
    );
    let seconds = |series: &Series| {
        series
            .spread(What::Cpu, results.world)
            .map(|cpu| short(cpu.median))
    };
    table(results, &rows, &cells, seconds, &mut out);
    ratios(results, &rows, &mut out);
    goals(results, &mut out);
    notes(results, &rows, &mut out);
    out
}

/// One to one in the other state of the machine, if it was seen.
fn other_world(results: &Results, rows: &[&Entry], out: &mut String) {
    let other = results.world.other();
    if results.readings(other) == 0 {
        return;
    }
    let cells = sizes(results, Kind::Throughput, ONE);
    let _ = writeln!(
        out,
        "### 1 producer, 1 consumer, processors **{}**: million items a second, median (least .. most)\n",
        other.name()
    );
    table(results, rows, &cells, |series| rate(series, other), out);
}

fn head(results: &Results, command: &str, out: &mut String) {
    let mut trips = results.trips.clone();
    trips.sort_by(f64::total_cmp);
    let _ = writeln!(out, "`{command}`\n");
    let _ = writeln!(out, "- {}", machine());
    let _ = writeln!(
        out,
        "- {}; every run verified (exactly once, in order of each producer, every word of every item)",
        results.limits
    );
    if let (Some(least), Some(most)) = (trips.first(), trips.last()) {
        let (world, other) = (results.world, results.world.other());
        let _ = writeln!(
            out,
            "- a cache line's round trip between the two processors: {:.0} ns ({least:.0} .. {most:.0}), looked at before and after each run; runs thrown away because it, or the stolen time, changed meanwhile: {}",
            trips[trips.len() / 2],
            results.repeats
        );
        let _ = writeln!(
            out,
            "- close: that round trip takes less than {:.0} ns, because the two processors share a core or are neighbours; apart: it takes longer, and everything between them does. A virtual machine is moved from one to the other, so each reading belongs to the state in which it was taken",
            results.least_trip
        );
        let _ = writeln!(
            out,
            "- all figures are those of processors that were **{}** ({} readings); {} readings in which they were {} have a table of their own, and the goals are of both",
            world.name(),
            results.readings(world),
            results.readings(other),
            other.name()
        );
    }
    let mut doubts: BTreeMap<&str, usize> = BTreeMap::new();
    results
        .doubts
        .iter()
        .for_each(|doubt| *doubts.entry(doubt).or_default() += 1);
    for (doubt, times) in doubts {
        let _ = writeln!(
            out,
            "- **doubt**{}: {doubt}",
            if times > 1 {
                format!(" ({times} times)")
            } else {
                String::new()
            }
        );
    }
    let _ = writeln!(out, "- took {:.0} s\n", results.took.as_secs_f64());
}

/// A cell for each size.
fn sizes(results: &Results, kind: Kind, shape: (usize, usize)) -> Vec<Cell> {
    results
        .sizes
        .iter()
        .map(|words| cell(kind, *words, shape))
        .collect()
}

fn entries(results: &Results) -> Vec<&'static Entry> {
    ALL.iter()
        .filter(|entry| {
            results
                .series
                .iter()
                .any(|series| series.entry.name == entry.name)
        })
        .collect()
}

/// One row for each system that has a number in one of the cells.
fn table(
    results: &Results,
    rows: &[&Entry],
    cells: &[Cell],
    show: impl Fn(&Series) -> Option<String>,
    out: &mut String,
) {
    let differ = cells.iter().any(|cell| {
        *cell
            != Cell {
                words: cell.words,
                ..cells[0]
            }
    });
    let head = |cell: &Cell| {
        if differ {
            title(*cell)
        } else {
            size(cell.words)
        }
    };
    let mut table = Table::new(std::iter::once("system".to_owned()).chain(cells.iter().map(head)));
    for entry in rows {
        let all: Vec<_> = cells
            .iter()
            .filter_map(|cell| results.of(entry.name, *cell))
            .collect();
        if all.iter().any(|series| series.cannot.is_none()) {
            let value = |series: &&Series| {
                show(series)
                    .or_else(|| series.excuse())
                    .unwrap_or_else(|| "-".into())
            };
            table.row(std::iter::once(entry.title.to_owned()).chain(all.iter().map(value)));
        }
    }
    out.push_str(&table.markdown());
}

fn rate(series: &Series, world: World) -> Option<String> {
    let rate = series.spread(What::PerSecond, world)?;
    let kept = series.spread(What::Kept, world)?.median;
    let [median, least, most] = [rate.median, rate.least, rate.most].map(|rate| short(rate / 1e6));
    let mut text = format!("{median} ({least} .. {most})");
    if series.cell.kind == Kind::Lossy || series.entry.always_lossy {
        let _ = write!(text, ", {:.1} % arrive", kept * 100.0);
    }
    Some(text)
}

fn latencies(results: &Results, rows: &[&'static Entry], out: &mut String) {
    let (trip, wake, idle) = (
        cell(Kind::RoundTrip, 1, ONE),
        cell(Kind::Wake, 1, ONE),
        cell(Kind::Idle, 1, ONE),
    );
    let micro =
        |series: &Series, what| Some(short(series.spread(what, results.world)?.median / 1e3));
    let spread = |series: &Series, what| {
        let spread = series.spread(what, results.world)?;
        let [median, least, most] =
            [spread.median, spread.least, spread.most].map(|ns| short(ns / 1e3));
        Some(format!("{median} ({least} .. {most})"))
    };
    out.push_str(
        "### Round trip of 8 bytes through two queues: microseconds, medians of the rounds\n\n",
    );
    let mut table =
        Table::new(["system", "p50 (least .. most)", "p99", "p99.9"].map(str::to_owned));
    for entry in rows {
        let Some(series) = results.of(entry.name, trip) else {
            continue;
        };
        let excuse = || series.excuse().unwrap_or_else(|| "-".into());
        table.row([
            entry.title.to_owned(),
            spread(series, What::P50).unwrap_or_else(excuse),
            micro(series, What::P99).unwrap_or_default(),
            micro(series, What::P999).unwrap_or_default(),
        ]);
    }
    out.push_str(&table.markdown());
    out.push_str(
        "### Asleep: from the put to the get of a consumer that has slept for more than a millisecond, microseconds; what it costs while it waits\n\n",
    );
    let mut table = Table::new(
        [
            "system",
            "p50 (least .. most)",
            "p99",
            "p50 against a bare futex",
            "% of a processor while blocked",
        ]
        .map(str::to_owned),
    );
    for entry in rows {
        let Some(series) = results
            .of(entry.name, wake)
            .filter(|series| series.cannot.is_none())
        else {
            continue;
        };
        let bare = results.median("futex", wake, What::P50, results.world);
        let against = series
            .spread(What::P50, results.world)
            .zip(bare)
            .map(|(wake, bare)| format!("{:.2}", wake.median / bare));
        let idle = results.of(entry.name, idle);
        table.row([
            entry.title.to_owned(),
            spread(series, What::P50)
                .or_else(|| series.excuse())
                .unwrap_or_else(|| "-".into()),
            micro(series, What::P99).unwrap_or_default(),
            against.unwrap_or_else(|| "-".into()),
            idle.and_then(|series| {
                series
                    .spread(What::Idle, results.world)
                    .map(|share| format!("{:.3}", share.median * 100.0))
                    .or_else(|| series.excuse())
            })
            .unwrap_or_default(),
        ]);
    }
    out.push_str(&table.markdown());
}

fn ratios(results: &Results, rows: &[&'static Entry], out: &mut String) {
    let others: Vec<_> = rows
        .iter()
        .copied()
        .filter(|entry| entry.name != "prodcon")
        .collect();
    let show = |what| {
        move |series: &Series| {
            let ratio = results.ratio(series.entry.name, series.cell, what, results.world)?;
            Some(format!("{ratio:.2}"))
        }
    };
    out.push_str("### prodcon divided by the other, of the medians: items a second (more than 1: prodcon is faster)\n\n");
    let mut cells = vec![];
    for shape in shapes() {
        cells.extend(sizes(results, Kind::Throughput, shape));
    }
    table(results, &others, &cells, show(What::PerSecond), out);
    let lossy = sizes(results, Kind::Lossy, ONE);
    out.push_str("lossy, items a second got:\n\n");
    let able: Vec<_> = others.iter().copied().filter(|entry| entry.lossy).collect();
    table(results, &able, &lossy, show(What::PerSecond), out);
    out.push_str("p50 of the round trip and of the wake-up (less than 1: prodcon is faster):\n\n");
    table(
        results,
        &others,
        &[cell(Kind::RoundTrip, 1, ONE), cell(Kind::Wake, 1, ONE)],
        show(What::P50),
        out,
    );
}

/// A goal: what it says, the figure, whether at least or at most so much is wanted.
type Goal = (&'static str, Option<f64>, bool, f64);

fn goals(results: &Results, out: &mut String) {
    out.push_str("### Goals\n\n");
    let worlds = [results.world, results.world.other()];
    let mut table = Table::new(
        [
            "what",
            "wanted",
            &format!("processors {}", worlds[0].name()),
            &format!("processors {}", worlds[1].name()),
        ]
        .map(str::to_owned),
    );
    let [main, other] = worlds.map(|world| goals_of(results, world));
    for ((what, figure, more, bar), (_, elsewhere, ..)) in main.into_iter().zip(other) {
        let show = |figure: Option<f64>| {
            let Some(figure) = figure else {
                return "-".into();
            };
            let reached = if more { figure >= bar } else { figure <= bar };
            format!(
                "{}{}",
                short(figure),
                if reached { "" } else { " **not reached**" }
            )
        };
        if figure.or(elsewhere).is_some() {
            table.row([
                what.to_owned(),
                format!("{} {bar}", if more { "at least" } else { "at most" }),
                show(figure),
                show(elsewhere),
            ]);
        }
    }
    out.push_str(&table.markdown());
}

fn goals_of(results: &Results, world: World) -> Vec<Goal> {
    let ratio = |name: &str, words, shape| {
        results.ratio(
            name,
            cell(Kind::Throughput, words, shape),
            What::PerSecond,
            world,
        )
    };
    let rivals: Vec<_> = ALL
        .iter()
        .filter(|entry| entry.rival)
        .map(|entry| entry.name)
        .collect();
    let least = |cells: &[(usize, (usize, usize))]| {
        let all = rivals.iter().flat_map(|name| {
            cells
                .iter()
                .filter_map(|(words, shape)| ratio(name, *words, *shape))
        });
        all.min_by(f64::total_cmp)
    };
    let every: Vec<_> = shapes()
        .iter()
        .flat_map(|shape| results.sizes.iter().map(|words| (*words, *shape)))
        .collect();
    let trip = cell(Kind::RoundTrip, 1, ONE);
    let (wake, idle, lossy) = (
        cell(Kind::Wake, 1, ONE),
        cell(Kind::Idle, 1, ONE),
        cell(Kind::Lossy, 1, ONE),
    );
    vec![
        (
            "least ratio to ringfire, shaq, cloudtoid, iceoryx2 at any size and shape",
            least(&every),
            true,
            1.0,
        ),
        ("the same, 8 B 1p1c", least(&[(1, ONE)]), true, 4.0),
        ("the same, 64 B 1p1c", least(&[(8, ONE)]), true, 2.0),
        (
            "ratio to the Vyukov ring, 8 B 1p1c",
            ratio("vyukov", 1, ONE),
            true,
            1.2,
        ),
        (
            "ratio to the Vyukov ring, 64 B 1p1c",
            ratio("vyukov", 8, ONE),
            true,
            1.2,
        ),
        (
            "ratio to the Vyukov ring, 1024 B 1p1c",
            ratio("vyukov", 128, ONE),
            true,
            0.9,
        ),
        (
            "ratio to the Vyukov ring, 8 B 4p4c",
            ratio("vyukov", 1, (4, 4)),
            true,
            1.0,
        ),
        (
            "copying put, ratio to one filled in place, 1024 B 1p1c",
            ratio("prodcon-reserve", 128, ONE),
            true,
            0.8,
        ),
        (
            "copying put, ratio to one filled in place, 4096 B 1p1c",
            ratio("prodcon-reserve", 512, ONE),
            true,
            0.8,
        ),
        (
            "round trip, 8 B, against the Vyukov ring's",
            results.ratio("vyukov", trip, What::P50, world),
            false,
            1.5,
        ),
        (
            "lossy 8 B 1p1c: part that arrives",
            results.median("prodcon", lossy, What::Kept, world),
            true,
            0.8,
        ),
        (
            "wake-up against a bare futex's",
            results.ratio("futex", wake, What::P50, world),
            false,
            1.2,
        ),
        (
            "a blocked consumer's part of a processor",
            results.median("prodcon", idle, What::Idle, world),
            false,
            0.001,
        ),
    ]
}

fn notes(results: &Results, rows: &[&'static Entry], out: &mut String) {
    out.push_str("Versions and notes:\n\n");
    for entry in rows {
        let version = if entry.package.is_empty() {
            String::new()
        } else {
            format!(" {} {}", entry.package, version(entry.package))
        };
        let also = if entry.name == "obvious" {
            format!(", shared_memory {}", self::version("shared_memory"))
        } else {
            String::new()
        };
        let _ = writeln!(
            out,
            "- {}:{version}{also}{} {}",
            entry.title,
            if version.is_empty() { "" } else { ";" },
            entry.note
        );
    }
    for series in &results.series {
        for failure in &series.failures {
            let what = match failure {
                Failure::NeverFinished => "never finished: killed".to_owned(),
                Failure::Failed(what) => format!("failed: {}", what.trim()),
                Failure::Wrong(what) => format!("wrong: {what}"),
            };
            let _ = writeln!(
                out,
                "- {}, {}: {what}",
                series.entry.title,
                title(series.cell)
            );
        }
    }
}

/// Everything, every round.
pub fn json(results: &Results, command: &str) -> Value {
    let spread = |series: &Series, what| {
        series
            .spread(what, results.world)
            .map(|spread| json!({"median": spread.median, "min": spread.least, "max": spread.most}))
    };
    let series = results.series.iter().map(|series| {
        let rounds = series.taken.iter().map(|taken| {
            let mut round = match taken.reading {
            Reading::Rate { per_second, kept, cpu } => json!({"items_per_s": per_second, "kept": kept, "cpu_s_per_million": cpu}),
            Reading::Times { p50, p99, p999, max } => json!({"p50_ns": p50, "p99_ns": p99, "p999_ns": p999, "max_ns": max}),
            Reading::Idle(share) => json!({"cpu_share": share}),
        };
            round["world"] = taken.world.name().into();
            round["line_round_trip_ns"] = json!([taken.trips.0, taken.trips.1]);
            round
        });
        json!({
            "system": series.entry.name, "version": version(series.entry.package), "kind": format!("{:?}", series.cell.kind), "bytes": series.cell.words * 8,
            "producers": series.cell.producers, "consumers": series.cell.consumers, "cannot": series.cannot,
            "failures": series.failures.iter().map(|failure| format!("{failure:?}")).collect::<Vec<_>>(),
            "items_per_s": spread(series, What::PerSecond), "kept": spread(series, What::Kept), "cpu_s_per_million": spread(series, What::Cpu),
            "p50_ns": spread(series, What::P50), "p99_ns": spread(series, What::P99), "p999_ns": spread(series, What::P999), "cpu_share": spread(series, What::Idle),
            "rounds": rounds.collect::<Vec<_>>(),
        })
    });
    json!({
        "command": command, "cpu": cpu::model(), "processors": cpu::cores().len(), "kernel": cpu::kernel(), "limits": results.limits, "world": results.world.name(),
        "line_round_trips_ns": results.trips, "busy": results.busy, "stolen": results.stolen, "doubts": results.doubts, "repeated": results.repeats, "seconds": results.took.as_secs_f64(),
        "series": series.collect::<Vec<_>>(),
    })
}
