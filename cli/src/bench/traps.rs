//! What makes a measurement worthless, noticed: two "cores" that are one, a hypervisor or other
//! processes that take the cores away, more processes than cores.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Below this the two ends of a cache line's round trip are suspected to be siblings of one core.
pub const SIBLINGS: f64 = 180.0;

/// The cores this process may run on: one of each physical core first, then their siblings.
pub fn cores() -> Vec<usize> {
    let Ok(allowed) = sched_getaffinity(None) else {
        return vec![];
    };
    let allowed: Vec<usize> = (0..CpuSet::MAX_CPU)
        .filter(|cpu| allowed.is_set(*cpu))
        .collect();
    let siblings = |cpu: usize| {
        std::fs::read_to_string(format!(
            "/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
        ))
        .unwrap_or_else(|_| cpu.to_string())
    };
    let mut seen = vec![];
    let (mut first, mut later) = (vec![], vec![]);
    for cpu in allowed {
        let group = siblings(cpu);
        if seen.contains(&group) {
            later.push(cpu);
        } else {
            seen.push(group);
            first.push(cpu);
        }
    }
    first.append(&mut later);
    first
}

/// From now on this thread runs on that core.
pub fn pin(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    let _ = sched_setaffinity(None, &set); // else it runs anywhere, and the line's round trip tells
}

/// The nanoseconds that one cache line takes from one core to the other and back, as the median of
/// some thousand. `None` if there is only one core.
pub fn line_round_trip(cores: &[usize]) -> Option<f64> {
    let &[here, there, ..] = cores else {
        return None;
    };
    const BATCH: u64 = 200;
    const BATCHES: u64 = 100;
    let (line, given_up) = (Line(AtomicU64::new(0)), Line(AtomicU64::new(0)));
    let (word, given_up) = (&line.0, &given_up.0);
    let end = Instant::now() + Duration::from_millis(200);
    // Looks at the clock, and whether the other one still plays, now and then: it may have no core to run on.
    // Acquire and Release on the line: each waits for the other's store and nothing else. Relaxed: there is nothing but the flag to see.
    let await_line = |wanted: u64| {
        let mut turns = 0u32;
        while word.load(Ordering::Acquire) != wanted {
            turns = turns.wrapping_add(1);
            if turns.is_multiple_of(1 << 16)
                && (Instant::now() > end || given_up.load(Ordering::Relaxed) == 1)
            {
                given_up.store(1, Ordering::Relaxed);
                return false;
            }
        }
        true
    };
    let mut times = std::thread::scope(|scope| {
        scope.spawn(|| {
            pin(there);
            let mut next = 1;
            while next < 2 * BATCH * BATCHES && await_line(next) {
                word.store(next + 1, Ordering::Release);
                next += 2;
            }
        });
        let pinger = scope.spawn(|| {
            pin(here);
            let (mut times, mut next) = (vec![], 0);
            for _ in 0..BATCHES {
                let began = Instant::now();
                for _ in 0..BATCH {
                    word.store(next + 1, Ordering::Release);
                    next += 2;
                    if !await_line(next) {
                        return times;
                    }
                }
                times.push(began.elapsed().as_nanos() as f64 / BATCH as f64);
            }
            times
        });
        pinger.join().unwrap_or_default()
    });
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied()
}

/// A cache line of its own (two, because they are fetched in pairs).
#[repr(align(128))]
struct Line(AtomicU64);

/// What the processors did, in ticks of the kernel.
#[derive(Clone, Copy, Default, Debug)]
struct Ticks {
    all: u64,
    busy: u64,
    stolen: u64,
    /// Ours and that of our children that have ended.
    own: u64,
}

impl Ticks {
    fn now() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        Self::parse(&read("/proc/stat"), &read("/proc/self/stat"))
    }

    /// `cpu user nice system idle iowait irq softirq steal ...`; utime, stime, cutime and cstime are fields 14 to 17 of the other.
    fn parse(stat: &str, own: &str) -> Self {
        let numbers = |text: &str| {
            text.split_whitespace()
                .filter_map(|word| word.parse().ok())
                .collect::<Vec<u64>>()
        };
        let cpu = numbers(
            stat.lines()
                .next()
                .unwrap_or_default()
                .trim_start_matches("cpu"),
        );
        let after_name = own.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let at = |index: usize| cpu.get(index).copied().unwrap_or(0);
        Self {
            all: cpu.iter().take(8).sum(),
            busy: at(0) + at(1) + at(2) + at(5) + at(6),
            stolen: at(7),
            own: (11..15)
                .filter_map(|index| fields.get(index)?.parse::<u64>().ok())
                .sum(),
        }
    }
}

/// What others had of all processors' time, as parts of 1.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Other processes.
    pub others: f64,
    /// The hypervisor.
    pub stolen: f64,
}

impl Load {
    fn between(began: &Ticks, ended: &Ticks) -> Self {
        let minus = |f: fn(&Ticks) -> u64| f(ended).saturating_sub(f(began)) as f64;
        let time = minus(|ticks| ticks.all).max(1.0);
        Self {
            others: (minus(|ticks| ticks.busy) - minus(|ticks| ticks.own)) / time,
            stolen: minus(|ticks| ticks.stolen) / time,
        }
    }
}

/// Watches the machine from its making to [`Watch::warnings`].
pub struct Watch {
    cores: Vec<usize>,
    began: Ticks,
    lines: Vec<f64>,
}

impl Watch {
    pub fn new(cores: &[usize]) -> Self {
        Self {
            cores: cores.to_vec(),
            began: Ticks::now(),
            lines: vec![],
        }
    }

    /// Measures a cache line's round trip, between two runs.
    pub fn look(&mut self) -> Option<f64> {
        let line = line_round_trip(&self.cores)?;
        self.lines.push(line);
        Some(line)
    }

    pub fn lines(&self) -> &[f64] {
        &self.lines
    }

    /// How busy the machine was with other things, since the watch began.
    pub fn load(&self) -> Load {
        Load::between(&self.began, &Ticks::now())
    }

    /// What speaks against the figures, a sentence each.
    pub fn warnings(&self, most_processes: usize) -> Vec<String> {
        warnings(
            self.cores.len(),
            most_processes,
            &self.lines,
            &self.began,
            &Ticks::now(),
        )
    }
}

fn warnings(
    cores: usize,
    processes: usize,
    lines: &[f64],
    began: &Ticks,
    ended: &Ticks,
) -> Vec<String> {
    let mut all = vec![];
    if processes > cores {
        all.push(format!(
            "{processes} processes on {cores} cores: they are not pinned, and take turns instead of running at once"
        ));
    }
    let least = lines.iter().copied().fold(f64::INFINITY, f64::min);
    let most = lines.iter().copied().fold(0.0, f64::max);
    if least < SIBLINGS {
        all.push(format!(
            "a cache line goes from core to core and back in {least:.0} ns: below {SIBLINGS:.0} ns the two are likely siblings of one core, and figures may be twice as good as between two"
        ));
    }
    if most > 1.5 * least {
        all.push(format!(
            "a cache line's round trip was {least:.0} ns at one time and {most:.0} ns at another: the machine changed, or was busy, while it was measured"
        ));
    }
    let Load { others, stolen } = Load::between(began, ended);
    if stolen > 0.01 {
        all.push(format!(
            "the hypervisor took {:.1} % of the processors' time (steal)",
            stolen * 100.0
        ));
    }
    if others > 0.1 {
        all.push(format!(
            "other processes used {:.0} % of the processors' time",
            others * 100.0
        ));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_figures_are_read() {
        let stat = "cpu  10 20 30 400 50 6 7 80 9 9\ncpu0 1 1 1 1\n";
        let own = "42 (a (b) c) R 1 2 3 4 5 6 7 8 9 10 100 200 300 400 20 0";
        let ticks = Ticks::parse(stat, own);
        assert_eq!(
            (ticks.all, ticks.busy, ticks.stolen, ticks.own),
            (603, 73, 80, 1000)
        );
        assert!(Ticks::now().all > 0);
    }

    #[test]
    fn every_trap_is_named_and_a_quiet_machine_is_not_blamed() {
        let ticks = |all, busy, stolen, own| Ticks {
            all,
            busy,
            stolen,
            own,
        };
        let began = ticks(1000, 100, 10, 50);
        let (quiet, stolen, busy) = (
            ticks(2000, 600, 10, 540),
            ticks(2000, 600, 40, 540),
            ticks(2000, 900, 10, 540),
        );
        let said = |processes, lines: &[f64], ended| {
            warnings(2, processes, lines, &began, ended).join("\n")
        };
        assert_eq!(said(2, &[290.0, 300.0], &quiet), "");
        assert!(said(3, &[290.0], &quiet).contains("3 processes on 2 cores"));
        assert!(said(2, &[36.0], &quiet).contains("siblings"));
        assert!(said(2, &[200.0, 400.0], &quiet).contains("the machine changed"));
        assert!(said(2, &[290.0], &stolen).contains("3.0 % of the processors' time (steal)"));
        assert!(said(2, &[290.0], &busy).contains("other processes used 31 %"));
    }

    #[test]
    fn a_line_takes_its_time() {
        match line_round_trip(&cores()) {
            Some(ns) => assert!(ns > 1.0, "{ns}"),
            None => println!("SKIPPED: there is but one core, or the other one did not run"),
        }
    }
}
