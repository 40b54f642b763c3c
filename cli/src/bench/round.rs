//! One run of one workload: starts its processes, lets them loose at once, reads their reports and
//! adds up their items.

use super::workload::Workload;
use crate::child::{self, ProcessGroup};
use crate::exit::End;
use crate::signals;
use prodcon::{Control, State};
use serde_json::Value;
use std::io::Read;
use std::process::{Child, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long processes may take to attach, or to end, beyond what was asked of them.
const START_AND_END_TIMEOUT: Duration = Duration::from_secs(60);

/// Processes of a benchmark and their queues; all gone when it is dropped.
pub struct Team {
    group: ProcessGroup,
    reports: Vec<JoinHandle<String>>,
}

impl Team {
    pub fn new(queues: &[String]) -> Self {
        Self {
            group: ProcessGroup {
                children: vec![],
                queues: queues.to_vec(),
            },
            reports: vec![],
        }
    }

    /// Starts a process of this workload: `job` on `queue`.
    pub fn start(
        &mut self,
        workload: &Workload,
        job: &str,
        queue: &str,
        core: Option<usize>,
        more: &[String],
    ) -> Result<(), End> {
        let mut command = child::command([
            "bench-worker",
            job,
            queue,
            "--item-size",
            &workload.item_size.to_string(),
        ])?;
        command
            .args(core.map(|core| format!("--core={core}")))
            .args(more);
        if workload.batch > 1 {
            command.arg(format!("--batch={}", workload.batch));
        }
        if workload.zero_copy {
            command.arg("--zero-copy");
        }
        let mut child = child::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
        if let Some(mut pipe) = child.stdout.take() {
            // A thread, so that none of them ever waits for us.
            self.reports.push(std::thread::spawn(move || {
                let mut text = String::new();
                let _ = pipe.read_to_string(&mut text); // what is cut off is no JSON, and that is noticed
                text
            }));
        }
        self.group.children.push(child);
        Ok(())
    }

    /// Waits until this many endpoints are attached.
    pub fn wait_attached(&mut self, control: &Control, seats: u32) -> Result<(), End> {
        let deadline = Instant::now() + START_AND_END_TIMEOUT;
        while control.stats()?.seats_live < seats {
            signals::check()?;
            self.check_early_ends()?;
            if Instant::now() > deadline {
                return Err(End::failed(format!(
                    "the processes of the benchmark did not attach within {} s",
                    START_AND_END_TIMEOUT.as_secs()
                )));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Waits until the first `count` processes have ended: those that were started first.
    pub fn wait_ended(&mut self, count: usize, longest: Duration) -> Result<(), End> {
        let deadline = Instant::now() + longest + START_AND_END_TIMEOUT;
        loop {
            signals::check()?;
            self.check_early_ends()?;
            let running = |child: &mut Child| matches!(child.try_wait(), Ok(None));
            if !self.group.children.iter_mut().take(count).any(running) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(End::failed("the processes of the benchmark did not end"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn check_early_ends(&mut self) -> Result<(), End> {
        let mut ended = self
            .group
            .children
            .iter_mut()
            .filter_map(|child| child.try_wait().ok().flatten());
        match ended.find(|status| !status.success()) {
            // The same Ctrl-C ends them and us.
            Some(status) => signals::check().and(Err(End::failed(format!(
                "a process of the benchmark failed ({status})"
            )))),
            None => Ok(()),
        }
    }

    /// What they told, in the order in which they were started. All must have ended.
    pub fn reports(&mut self) -> Result<Vec<Value>, End> {
        let reports = std::mem::take(&mut self.reports)
            .into_iter()
            .map(|report| report.join().unwrap_or_default());
        reports
            .map(|text| {
                serde_json::from_str(&text)
                    .map_err(|_| End::failed("a process of the benchmark ended without a result"))
            })
            .collect()
    }
}

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub struct Run {
    pub put: u64,
    pub delivered: u64,
    pub dropped: u64,
    /// Items a second, from the first put to the last get.
    pub rate: f64,
    /// Exactly once, in order, intact, and the accounts add up.
    pub verified: bool,
}

/// Producers get the first cores, consumers the next ones; nobody is pinned if there are not enough.
pub fn core(cores: &[usize], processes: usize, place: usize) -> Option<usize> {
    if processes <= cores.len() {
        cores.get(place).copied()
    } else {
        None
    }
}

/// Runs a workload for this time. With `whole` every byte is written and checked, which takes time
/// of its own.
pub fn run(
    workload: &Workload,
    queue: &str,
    time: Duration,
    whole: bool,
    cores: &[usize],
) -> Result<Run, End> {
    let control = workload.create(queue)?;
    let mut team = Team::new(&[queue.to_owned()]);
    let (producers, consumers) = (workload.producers as usize, workload.consumers as usize);
    let mut more = vec![format!("--seconds={}", time.as_secs_f64())];
    more.extend(whole.then(|| "--whole".to_owned()));
    for number in 0..producers {
        let mut more = more.clone();
        more.push(format!("--number={number}"));
        team.start(
            workload,
            "put",
            queue,
            core(cores, producers + consumers, number),
            &more,
        )?;
    }
    for number in 0..consumers {
        team.start(
            workload,
            "get",
            queue,
            core(cores, producers + consumers, producers + number),
            &more,
        )?;
    }
    team.wait_attached(&control, workload.producers + workload.consumers)?;
    control.set_ready()?;
    team.wait_ended(producers, time)?;
    control.set_state(State::StopAtQueueEnd)?;
    team.wait_ended(producers + consumers, time)?;
    let reports = team.reports()?;
    add_up(
        workload,
        &control,
        &reports[..producers],
        &reports[producers..],
    )
}

fn add_up(
    workload: &Workload,
    control: &Control,
    producers: &[Value],
    consumers: &[Value],
) -> Result<Run, End> {
    let stats = control.stats()?;
    let number = |report: &Value, key: &str| report[key].as_u64().unwrap_or(0);
    let sum = |reports: &[Value], key: &str| {
        reports
            .iter()
            .map(|report| number(report, key))
            .sum::<u64>()
    };
    let (put, delivered) = (sum(producers, "put"), sum(consumers, "got"));
    // Of each producer: how many, and their sum.
    let mut arrived = vec![(0u64, 0u64); producers.len()];
    let mut known = true;
    for entry in consumers
        .iter()
        .filter_map(|report| report["producers"].as_array())
        .flatten()
    {
        let at = |index: usize| entry[index].as_u64().unwrap_or(u64::MAX);
        match arrived.get_mut(at(0) as usize) {
            Some((count, total)) => (*count, *total) = (*count + at(1), total.wrapping_add(at(2))),
            None => known = false,
        }
    }
    let sent: Vec<(u64, u64)> = producers
        .iter()
        .map(|report| (number(report, "put"), number(report, "sum")))
        .collect();
    let complete = workload.lossy || (arrived == sent && stats.dropped == 0);
    let accounts = stats.adds_up()
        && stats.puts == put
        && stats.gets == delivered
        && stats.len == 0
        && stats.unacked == 0;
    let first = producers
        .iter()
        .map(|report| number(report, "first"))
        .min()
        .unwrap_or(0);
    // Up to when a consumer last looked at the clock; those that never did count for nothing.
    let last = consumers
        .iter()
        .map(|report| number(report, "last"))
        .max()
        .unwrap_or(0);
    let seconds = last.saturating_sub(first).max(1) as f64 / 1e9;
    Ok(Run {
        put,
        delivered,
        dropped: stats.dropped,
        rate: sum(consumers, "counted") as f64 / seconds,
        verified: known && complete && accounts && sum(consumers, "wrong") == 0 && delivered > 0,
    })
}

/// The middle one, or the mean of the two in the middle.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        len if len % 2 == 1 => sorted[len / 2],
        len => f64::midpoint(sorted[len / 2 - 1], sorted[len / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_did_not_arrive_or_came_twice_is_not_called_verified() {
        let dir = std::env::temp_dir().join(format!("prodcon-round-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let options =
            prodcon::QueueOptions::new(4).attach(prodcon::AttachOptions::new().directory(&dir));
        let mut queue = prodcon::ReadyQueue::<u64>::create("q", &options).unwrap();
        (0..3).for_each(|number| queue.put(&number).unwrap());
        (0..3).for_each(|number| assert_eq!(queue.get().unwrap(), number));
        let control = queue.control().try_clone().unwrap();
        drop(queue);
        let workload = Workload {
            producers: 1,
            consumers: 1,
            item_size: 8,
            capacity: 4,
            lossy: false,
            batch: 1,
            zero_copy: false,
        };
        let put = |put: u64, sum: u64| vec![json!({ "put": put, "sum": sum, "first": 0 })];
        let got = |got: u64, sum: u64, wrong: u64| {
            vec![
                json!({ "got": got, "wrong": wrong, "counted": got, "last": 1_000_000_000, "producers": [[0, got, sum]] }),
            ]
        };
        let verdict =
            |put: &[Value], got: &[Value]| add_up(&workload, &control, put, got).unwrap().verified;
        assert!(verdict(&put(3, 3), &got(3, 3, 0)));
        assert_eq!(
            add_up(&workload, &control, &put(3, 3), &got(3, 3, 0))
                .unwrap()
                .rate,
            3.0
        );
        for (put, got) in [
            (put(3, 3), got(3, 4, 0)),
            (put(3, 3), got(3, 3, 1)),
            (put(4, 3), got(3, 3, 0)),
            (put(3, 3), got(2, 3, 0)),
            (put(3, 3), vec![]),
        ] {
            assert!(!verdict(&put, &got), "{put:?} {got:?}");
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(
            (
                median(&[3.0, 1.0, 9.0]),
                median(&[4.0, 1.0, 2.0, 9.0]),
                median(&[])
            ),
            (3.0, 3.0, 0.0)
        );
    }

    #[test]
    fn nobody_is_pinned_where_cores_are_missing() {
        assert_eq!((core(&[4, 7], 2, 1), core(&[4, 7], 3, 1)), (Some(7), None));
    }
}
