//! `prodcon stat`: the figures of a queue.

use crate::exit::Outcome;
use crate::wait::ForQueue;
use crate::{names, output, report};
use clap::Args;
use prodcon::{Control, Role};
use serde_json::{Value, json};

#[derive(Args)]
pub struct Arguments {
    /// Names of the queues, or patterns with * and ?
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// One JSON object on stdout, a line for each queue
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    wait: ForQueue,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let mut before = "";
    report::each(&names::expand(&arguments.names)?, |name| {
        let figures = figures(&arguments.wait.control(name)?)?;
        let text = if arguments.json {
            format!("{figures}\n")
        } else {
            before.to_owned() + &text(figures)
        };
        before = "\n";
        output::print(&text)
    })
}

/// A figure a line.
fn text(figures: Value) -> String {
    let Value::Object(map) = figures else {
        return String::new();
    };
    map.iter()
        .map(|(key, value)| {
            format!(
                "{key:<14} {}\n",
                value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned)
            )
        })
        .collect()
}

/// One object, as `stat --json` prints it.
pub fn figures(control: &Control) -> prodcon::Result<Value> {
    let s = control.stats()?;
    let info = control.info();
    let role = |role: Role| match role {
        Role::Producer => "producer",
        Role::Consumer => "consumer",
        Role::Both => "both",
    };
    let members: Vec<Value> = s
        .members
        .iter()
        .map(|m| json!({ "seat": m.seat, "pid": m.pid, "role": role(m.role), "held": m.unacked, "asleep": m.asleep }))
        .collect();
    let dead_letter = Some(&info.dead_letter).filter(|name| !name.is_empty());
    Ok(json!({
        "name": control.name(), "type": if info.type_name.is_empty() { "bytes" } else { &info.type_name }, "capacity": s.capacity, "item_size": s.item_size,
        "seats": s.seats, "seats_live": s.seats_live, "seats_dead": s.seats_dead, "len": s.len, "ready": s.ready, "epoch": s.epoch, "state": s.state.to_string(),
        "lossy": s.lossy, "at_least_once": s.at_least_once, "held": s.unacked, "puts": s.puts, "gets": s.gets, "dropped": s.dropped, "cleared": s.cleared,
        "lost": s.lost, "redelivered": s.redelivered, "dead_lettered": s.dead_lettered, "max_deliveries": info.max_deliveries, "dead_letter": dead_letter,
        "batch": s.batch, "creator_pid": info.creator_pid, "created_ns": info.created_ns, "members": members,
    }))
}
