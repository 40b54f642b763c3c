//! `prodcon doctor`: recovers the seats of dead processes, checks every invariant, says what was found.

use crate::exit::{End, Outcome};
use crate::wait::ForQueue;
use crate::{human, names, output, report};
use clap::Args;
use prodcon::{Report, Stats};
use serde_json::json;

#[derive(Args)]
pub struct Arguments {
    /// Names of the queues, or patterns with * and ?
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Print one JSON object on stdout, a line for each queue
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    wait: ForQueue,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let names = names::expand(&arguments.names)?;
    report::each_meant(&names, |name| look(name, arguments, names.len() > 1))
}

/// Looks at one queue; in JSON it is named where there are several.
fn look(name: &str, arguments: &Arguments, several: bool) -> Outcome {
    let control = arguments.wait.control(name)?;
    let report = control.doctor()?;
    let stats = control.stats()?;
    if arguments.json {
        let mut found = json!({
            "ok": report.ok(), "recovered": report.recovered, "undecided": report.undecided, "busy": report.busy, "problems": report.problems, "seats_live": stats.seats_live, "held": stats.unacked,
        });
        if several {
            found["name"] = name.into();
        }
        output::print(&format!("{found}\n"))?;
    } else {
        output::print(&text(name, &report, &stats))?;
    }
    if report.ok() {
        Ok(())
    } else {
        Err(End::failed(format!(
            "queue '{name}' has problems: remove it (`prodcon rm {name}`) and create it again"
        )))
    }
}

/// What was found, a line each.
fn text(name: &str, report: &Report, stats: &Stats) -> String {
    let seats = |count: u32| human::many(count.into(), "seat");
    let mut text = match (report.ok(), report.busy) {
        (false, _) => report
            .problems
            .iter()
            .map(|problem| format!("{name}: {problem}\n"))
            .collect(),
        (true, false) => {
            format!("{name}: sound; every block, the accounts and the state were checked\n")
        }
        (true, true) => format!(
            "{name}: sound as far as can be seen while it is busy ({} taken); when everybody rests for a moment, every block and the accounts are checked too\n",
            seats(stats.seats_live)
        ),
    };
    if report.recovered > 0 {
        text += &format!(
            "{name}: {} of dead processes recovered\n",
            seats(report.recovered)
        );
    }
    if report.undecided > 0 {
        text += &format!(
            "{name}: {} of dead processes cannot be recovered yet, because others are in mid-operation: run it again\n",
            seats(report.undecided)
        );
    }
    if stats.at_least_once && stats.unacked > 0 && stats.seats_live == 0 {
        text += &format!(
            "{name}: {} left by dead consumers, to be delivered again\n",
            human::many(stats.unacked, "item")
        );
    }
    text
}
