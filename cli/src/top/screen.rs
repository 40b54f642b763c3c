//! `top` on a terminal: the queues, and the members of the one that is selected.

use super::plain::{HEAD, TEXTS, cells};
use super::sample::Row as Sample;
use crate::stat;
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Block, Cell, Row, Table, TableState};

/// Characters of the bar that shows how full a queue is.
const BAR: usize = 10;
/// The place of that bar among the columns.
const FULL: usize = 7;
/// Between two columns.
const GAP: usize = 2;
/// What a narrow terminal does without, the least wanted first.
const FIRST_TO_GO: [&str; 14] = [
    "AGAIN", "ASLEEP", "FULL", "HELD", "READY", "LOST", "DROPS/S", "DEAD", "LIVE", "ROOM", "STATE",
    "GETS/S", "PUTS/S", "LEN",
];

/// What the table of members does without, in that order.
const FIRST_OF_MEMBERS_TO_GO: [&str; 3] = ["", "ROLE", "SEAT"];

/// What is on the screen beside the figures.
#[derive(Default)]
pub struct View {
    state: TableState,
}

impl View {
    /// Moves the selection up (negative) or down.
    pub fn step(&mut self, by: i32, rows: usize) {
        let last = rows.saturating_sub(1);
        let now = i64::try_from(self.state.selected().unwrap_or(0)).unwrap_or(0);
        let to = usize::try_from((now + i64::from(by)).max(0)).unwrap_or(0);
        self.state.select(Some(to.min(last)));
    }

    pub fn draw(&mut self, frame: &mut Frame<'_>, rows: &[Sample]) {
        self.step(0, rows.len());
        let selected = self.state.selected().and_then(|at| rows.get(at));
        let members = selected
            .and_then(|row| row.stats.as_ref().ok())
            .map_or(0, |stats| stats.members.len());
        let below = u16::try_from(members + 3)
            .unwrap_or(u16::MAX)
            .min(frame.area().height / 3);
        let [above, below, help] = Layout::vertical([
            Constraint::Fill(1),
            Constraint::Length(below),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        self.queues(frame, above, rows);
        if let Some(row) = selected {
            endpoints(frame, below, row);
        }
        frame.render_widget(
            Line::from("q quit   up/down select").style(Style::new().add_modifier(Modifier::DIM)),
            help,
        );
    }

    fn queues(&mut self, frame: &mut Frame<'_>, area: Rect, rows: &[Sample]) {
        let mut all: Vec<Vec<String>> = rows.iter().map(cells).collect();
        for (line, row) in all.iter_mut().zip(rows) {
            line.insert(FULL, bar(row));
        }
        let mut head = HEAD.to_vec();
        head.insert(FULL, "FULL");
        let mut widths: Vec<usize> = head.iter().map(|text| text.len()).collect();
        for line in &all {
            widths
                .iter_mut()
                .zip(line)
                .for_each(|(width, cell)| *width = cell.chars().count().max(*width));
        }
        let (columns, name) = fit(&head, &widths, &FIRST_TO_GO, area);
        widths[0] = name;
        let lines = rows.iter().zip(&all).map(|(row, cells)| {
            Row::new(columns.iter().map(|column| {
                let text = if *column == 0 {
                    shortened(&cells[0], name)
                } else {
                    cells[*column].clone()
                };
                Cell::from(aligned(text, *column)).style(colour(row, head[*column]))
            }))
        });
        let titles = columns
            .iter()
            .map(|column| aligned(head[*column].into(), *column));
        let lengths = columns
            .iter()
            .map(|column| Constraint::Length(u16::try_from(widths[*column]).unwrap_or(u16::MAX)));
        let table = Table::new(lines, lengths)
            .header(Row::new(titles).style(Style::new().add_modifier(Modifier::BOLD)))
            .column_spacing(GAP as u16)
            .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
            .block(Block::bordered().title(format!(
                " prodcon top: {} queue{} ",
                rows.len(),
                if rows.len() == 1 { "" } else { "s" }
            )));
        frame.render_stateful_widget(table, area, &mut self.state);
    }
}

/// The columns that have room, and how wide the first of them, the name, may be. No figure is ever
/// cut: a column is shown whole or not at all.
fn fit(head: &[&str], widths: &[usize], to_go: &[&str], area: Rect) -> (Vec<usize>, usize) {
    let room = usize::from(area.width).saturating_sub(2);
    let mut kept: Vec<usize> = (0..head.len()).collect();
    let others = |kept: &[usize]| {
        kept.iter()
            .skip(1)
            .map(|column| widths[*column] + GAP)
            .sum::<usize>()
    };
    let least = widths[0].min((room / 4).max(12));
    for title in to_go {
        if least + others(&kept) <= room {
            break;
        }
        kept.retain(|column| head[*column] != *title);
    }
    let name = room.saturating_sub(others(&kept)).min(widths[0]);
    (kept, name)
}

/// A name in this many characters.
fn shortened(name: &str, width: usize) -> String {
    if name.chars().count() <= width {
        return name.to_owned();
    }
    name.chars()
        .take(width.saturating_sub(1))
        .chain(['…'])
        .collect()
}

fn aligned(text: String, column: usize) -> Text<'static> {
    let left = column < TEXTS || column == FULL;
    Text::from(text).alignment(if left {
        Alignment::Left
    } else {
        Alignment::Right
    })
}

/// What wants attention is coloured.
fn colour(row: &Sample, title: &str) -> Style {
    let Ok(stats) = &row.stats else {
        return Style::new().fg(Color::DarkGray);
    };
    match title {
        "FULL" => Style::new().fg(Color::Cyan),
        "READY" if !stats.ready => Style::new().fg(Color::Yellow),
        "STATE" if stats.state != prodcon::State::Started => Style::new().fg(Color::Yellow),
        "DEAD" if stats.seats_dead > 0 => Style::new().fg(Color::Red),
        "LOST" if stats.lost > 0 => Style::new().fg(Color::Red),
        "DROPS/S" if row.rates.is_some_and(|rates| rates[2] > 0.0) => {
            Style::new().fg(Color::Yellow)
        }
        _ => Style::new(),
    }
}

/// How full a queue is.
fn bar(row: &Sample) -> String {
    let Ok(stats) = &row.stats else {
        return String::new();
    };
    let room = Sample::room(stats).max(1);
    // Not empty shows at least one mark, not full at least one gap.
    let marks = match stats.len {
        0 => 0,
        len if len >= room => BAR,
        len => (len as f64 / room as f64 * BAR as f64)
            .round()
            .clamp(1.0, BAR as f64 - 1.0) as usize,
    };
    format!("{}{}", "█".repeat(marks), "░".repeat(BAR - marks))
}

fn endpoints(frame: &mut Frame<'_>, area: Rect, row: &Sample) {
    let Ok(stats) = &row.stats else { return };
    let head = ["SEAT", "PID", "ROLE", "HELD", "FOR", ""];
    let lines = stats.members.iter().map(|member| {
        let asleep = if member.asleep { "asleep" } else { "" };
        [
            member.seat.to_string(),
            member.pid.to_string(),
            stat::role(member.role).into(),
            member.unacked.to_string(),
            stat::held_for(member),
            asleep.into(),
        ]
    });
    let lines: Vec<[String; 6]> = lines.collect();
    let mut widths = head.map(str::len);
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    let (columns, _) = fit(&head, &widths, &FIRST_OF_MEMBERS_TO_GO, area);
    let lines = lines
        .iter()
        .map(|line| Row::new(columns.iter().map(|column| line[*column].clone())));
    let titles = Row::new(columns.iter().map(|column| head[*column]))
        .style(Style::new().add_modifier(Modifier::BOLD));
    let lengths = columns
        .iter()
        .map(|column| Constraint::Length(u16::try_from(widths[*column]).unwrap_or(u16::MAX)));
    let title = format!(
        " {}: {} of {} seats taken ",
        row.name, stats.seats_live, stats.seats
    );
    frame.render_widget(
        Table::new(lines, lengths)
            .header(titles)
            .column_spacing(GAP as u16)
            .block(Block::bordered().title(title)),
        area,
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    /// A real queue's figures, with others put in where they matter.
    fn sample(name: &str, len: u64, change: impl Fn(&mut prodcon::Stats)) -> Sample {
        let dir = std::env::temp_dir().join(format!("prodcon-top-{}-{name}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let options = prodcon::QueueOptions::new(100)
            .seats(8)
            .attach(prodcon::AttachOptions::new().directory(&dir));
        let queue = prodcon::ReadyQueue::<u64>::create("q", &options).unwrap();
        let mut stats = queue.control().stats().unwrap();
        drop(queue);
        std::fs::remove_dir_all(&dir).unwrap();
        stats.len = len;
        change(&mut stats);
        Sample {
            name: name.into(),
            stats: Ok(stats),
            rates: Some([2.5e6, 1000.0, 0.0]),
        }
    }

    fn lines(view: &mut View, rows: &[Sample]) -> Vec<String> {
        sized(view, rows, 140)
    }

    fn sized(view: &mut View, rows: &[Sample], width: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, 20)).unwrap();
        terminal.draw(|frame| view.draw(frame, rows)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        (0..20)
            .map(|y| {
                (0..width)
                    .map(|x| buffer[(x, y)].symbol().to_owned())
                    .collect::<String>()
            })
            .collect()
    }

    #[test]
    fn queues_and_the_members_of_the_selected_one_are_shown() {
        let rows = [
            sample("first", 50, |_| {}),
            sample("second", 1, |stats| {
                (stats.ready, stats.seats_dead, stats.members) = (false, 3, vec![])
            }),
        ];
        let mut view = View::default();
        let shown = lines(&mut view, &rows);
        assert!(
            shown[1].contains("PUTS/S") && shown[1].contains("FULL"),
            "{shown:#?}"
        );
        assert!(
            shown[2].contains("first")
                && shown[2].contains("2.50M")
                && shown[2].contains("█████░░░░░"),
            "{shown:#?}"
        );
        assert!(
            shown[3].contains("second")
                && shown[3].contains("no")
                && shown[3].contains("█░░░░░░░░░"),
            "{shown:#?}"
        );
        let pid = std::process::id().to_string();
        assert!(
            shown
                .iter()
                .any(|line| line.contains("first: 1 of 8 seats taken")),
            "{shown:#?}"
        );
        assert!(
            shown
                .iter()
                .any(|line| line.contains(&pid) && line.contains("both")),
            "{shown:#?}"
        );
        view.step(5, rows.len());
        let shown = lines(&mut view, &rows);
        assert!(
            shown.iter().any(|line| line.contains("second: 1 of 8"))
                && !shown.iter().any(|line| line.contains(&pid)),
            "{shown:#?}"
        );
    }

    #[test]
    fn a_narrow_terminal_shows_fewer_figures_and_cuts_none() {
        let rows = [
            sample(
                "a-queue-with-quite-a-long-name.of-more-than-a-terminal-s-width.forty-are-too-few",
                1_048_575,
                |stats| {
                    (stats.capacity, stats.unacked, stats.lost, stats.redelivered) =
                        (1_048_576, 123_456, 7_654_321, 1024);
                    stats.state = prodcon::State::StopAtQueueEnd;
                },
            ),
            sample("q", 1024, |stats| stats.capacity = 1024),
        ];
        let mut titles = vec![];
        for width in [20, 30, 40, 60, 80, 100, 140, 200, 300] {
            let shown = sized(&mut View::default(), &rows, width);
            let cells = |line: &str| {
                line.trim_matches(['│', ' '])
                    .split_whitespace()
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            };
            let [head, long, short] = [1, 2, 3].map(|line| cells(&shown[line]));
            assert!(
                head.len() == long.len() && head.len() == short.len(),
                "{shown:#?}"
            );
            let mut full = HEAD.to_vec();
            full.insert(FULL, "FULL");
            for (row, line) in rows.iter().zip([&long, &short]) {
                let mut whole = super::cells(row);
                whole.insert(FULL, bar(row));
                for (title, cell) in head.iter().zip(line).skip(1) {
                    let column = full
                        .iter()
                        .position(|known| known == title)
                        .unwrap_or_else(|| panic!("{title}: {shown:#?}"));
                    assert_eq!(*cell, whole[column], "{title}: {shown:#?}");
                }
            }
            assert!(
                short[0] == "q" && (width < 100 || long[0].len() > 20),
                "{shown:#?}"
            );
            titles.push(head.len());
        }
        assert!(
            titles.is_sorted() && titles[2] >= 3 && titles[4] >= 5 && titles.last() == Some(&15),
            "{titles:?}"
        );
    }

    /// The lines without the frame and what fills them.
    fn inner(shown: &[String]) -> Vec<String> {
        let line = |line: &String| line.trim_matches(['│', ' ']).to_owned();
        shown.iter().map(line).collect()
    }

    #[test]
    fn at_40_80_and_200_columns_the_most_wanted_figures_are_there() {
        let rows = [
            sample("camera-frames", 50, |stats| {
                stats.members[0].unacked = 3;
                stats.members[0].holding = Some(std::time::Duration::from_millis(83_200));
            }),
            sample("jobs.dead", 0, |stats| {
                (stats.seats_dead, stats.members) = (2, vec![])
            }),
        ];
        let pid = std::process::id();
        for (width, head, first) in [
            (
                40,
                "NAME           PUTS/S  GETS/S  LEN",
                "camera-frames   2.50M    1000   50",
            ),
            (
                80,
                "NAME           STATE    PUTS/S  GETS/S  DROPS/S  LEN  ROOM  LIVE  DEAD  LOST",
                "camera-frames  started   2.50M    1000        0   50   100     1     0     0",
            ),
            (
                200,
                "NAME           STATE    READY  PUTS/S  GETS/S  DROPS/S  LEN  FULL        ROOM  LIVE  DEAD  HELD  ASLEEP  LOST  AGAIN",
                "camera-frames  started  yes     2.50M    1000        0   50  █████░░░░░   100     1     0     0       0     0      0",
            ),
        ] {
            let shown = inner(&sized(&mut View::default(), &rows, width));
            assert_eq!(
                (shown[1].as_str(), shown[2].as_str()),
                (head, first),
                "{shown:#?}"
            );
            assert!(shown[3].starts_with("jobs.dead "), "{shown:#?}");
            let below = shown.join("\n");
            let member = format!("0 {pid} both 3 1 min 23 s");
            let found = below.lines().any(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                words.join(" ") == member
            });
            assert!(found, "{shown:#?}");
            assert!(below.contains("q quit"), "{shown:#?}");
        }
    }

    #[test]
    fn a_terminal_of_any_size_will_do() {
        let rows = [sample("tiny", 100, |_| {})];
        for (width, height) in [(1, 1), (3, 2), (10, 4), (300, 3)] {
            let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
            terminal
                .draw(|frame| View::default().draw(frame, &rows))
                .unwrap();
            terminal
                .draw(|frame| View::default().draw(frame, &[]))
                .unwrap();
        }
    }
}
