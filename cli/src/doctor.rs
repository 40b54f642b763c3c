//! `prodcon doctor`: recovers the seats of dead processes, checks every invariant, says what was found.

use crate::exit::{End, Outcome};
use crate::output;
use clap::Args;
use prodcon::Control;
use serde_json::json;

#[derive(Args)]
pub struct Arguments {
    /// Name of the queue
    name: String,
    /// One JSON object on stdout
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let report = Control::attach(&arguments.name)?.doctor()?;
    if arguments.json {
        let json = json!({ "ok": report.ok(), "recovered": report.recovered, "undecided": report.undecided, "problems": report.problems });
        output::print(&format!("{json}\n"))?;
    } else {
        let health = if report.ok() { "sound".to_string() } else { report.problems.join("\n") };
        output::print(&format!(
            "{}: {health}; {} seats recovered, {} undecided\n",
            arguments.name, report.recovered, report.undecided
        ))?;
    }
    if report.ok() {
        Ok(())
    } else {
        Err(End::failed(format!(
            "queue '{}' has problems: remove it (`prodcon rm {}`) and create it again",
            arguments.name, arguments.name
        )))
    }
}
