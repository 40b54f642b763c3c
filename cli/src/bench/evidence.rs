//! What a figure was measured with and on, in sentences: a picture carries them, because it is
//! passed on without the text beside it.

use super::traps::{Load, SIBLINGS};
use super::workload::Workload;
use crate::human;
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Everything that is said.
pub struct Evidence {
    pub workloads: Vec<Workload>,
    pub cores: usize,
    pub rounds: u32,
    /// Every item arrived exactly once, in order and intact.
    pub verified: bool,
    /// A cache line's round trips, in nanoseconds.
    pub lines: Vec<f64>,
    pub load: Load,
    pub warnings: Vec<String>,
}

impl Evidence {
    /// A sentence or a few in each.
    pub fn lines(&self) -> Vec<String> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let mut lines = vec![
            machine(self.cores, since.unwrap_or_default()),
            format!(
                "{} Median, least and most of {}; {}.",
                self.pinned(),
                human::many(self.rounds.into(), "round"),
                if self.verified {
                    "every item verified"
                } else {
                    "NOT VERIFIED: items were lost, doubled or damaged"
                }
            ),
            self.busy(),
        ];
        lines.extend(self.distance());
        let warnings = self.warnings.iter();
        lines.extend(warnings.map(|warning| format!("Warning: {warning}.")));
        lines
    }

    /// Which workloads had a processor for each process.
    fn pinned(&self) -> String {
        let (mut pinned, mut others) = (vec![], vec![]);
        for workload in &self.workloads {
            let name = format!("{}x{}", workload.producers, workload.consumers);
            let list = if workload.processes() <= self.cores {
                &mut pinned
            } else {
                &mut others
            };
            if !list.contains(&name) {
                list.push(name);
            }
        }
        let mut text = String::new();
        if !pinned.is_empty() {
            text += &format!(
                "Pinned, each process to a processor of its own: {}.",
                pinned.join(", ")
            );
        }
        if !others.is_empty() {
            let space = if text.is_empty() { "" } else { " " };
            text += &format!(
                "{space}Not pinned, more processes than processors: {}.",
                others.join(", ")
            );
        }
        text
    }

    fn busy(&self) -> String {
        let percent = |share: f64| format!("{:.1} %", 100.0 * share.max(0.0));
        format!(
            "Of the processors' time other programs used {} and the hypervisor took {}.",
            percent(self.load.others),
            percent(self.load.stolen)
        )
    }

    /// How far the processors are from each other, and what that means.
    fn distance(&self) -> Option<String> {
        let mut lines = self.lines.clone();
        lines.sort_by(f64::total_cmp);
        let (least, most) = (lines.first()?, lines.last()?);
        let middle = lines.get(lines.len() / 2)?;
        let what = if *middle < SIBLINGS {
            "close: they are siblings of one core, or neighbours, and exchange lines faster than others do"
        } else {
            "apart: they are cores of their own"
        };
        Some(format!(
            "A cache line goes between the first two processors and back in {middle:.0} ns ({least:.0} to {most:.0}); below {SIBLINGS:.0} ns they count as close, else as apart. Here they are {what}."
        ))
    }
}

fn machine(cores: usize, now: Duration) -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or(std::env::consts::ARCH, |(_, name)| name.trim());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "prodcon {}, {model}, {}, Linux {}, {}.",
        env!("CARGO_PKG_VERSION"),
        human::many(cores as u64, "processor"),
        kernel.trim(),
        human::moment(now)
    )
}

/// Breaks the texts between words into lines of at most this many characters.
pub fn wrapped(texts: &[String], longest: usize) -> Vec<String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_conditions_are_told() {
        let workload = Workload {
            producers: 1,
            consumers: 1,
            item_size: 8,
            capacity: 1024,
            lossy: false,
            batch: 1,
            zero_copy: false,
        };
        let mut evidence = Evidence {
            workloads: vec![
                workload.of(8, 1, 1),
                workload.of(64, 1, 1),
                workload.of(8, 4, 4),
            ],
            cores: 2,
            rounds: 5,
            verified: true,
            lines: vec![310.0, 290.0, 300.0],
            load: Load {
                others: 0.031,
                stolen: 0.0,
            },
            warnings: vec!["the machine changed".into()],
        };
        let text = evidence.lines().join("\n");
        for part in [
            concat!("prodcon ", env!("CARGO_PKG_VERSION"), ", "),
            "2 processors, Linux ",
            " UTC.",
            "Pinned, each process to a processor of its own: 1x1. Not pinned, more processes than processors: 4x4. Median, least and most of 5 rounds; every item verified.",
            "other programs used 3.1 % and the hypervisor took 0.0 %.",
            "back in 300 ns (290 to 310); below 180 ns they count as close, else as apart. Here they are apart",
            "Warning: the machine changed.",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        evidence.lines = vec![36.0];
        assert!(evidence.lines().join(" ").contains("Here they are close"));
        evidence.lines.clear();
        evidence.verified = false;
        assert!(evidence.lines().join(" ").contains("NOT VERIFIED"));
        assert!(!evidence.lines().join(" ").contains("cache line"));
    }

    #[test]
    fn long_lines_are_broken_between_words() {
        let texts = ["one two three".to_owned(), "fourteen".to_owned()];
        assert_eq!(wrapped(&texts, 7), ["one two", "three", "fourteen"]);
    }
}
