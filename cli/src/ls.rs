//! `prodcon ls`: the queues in the segment directory; what is stale or damaged is said.

use crate::exit::Outcome;
use crate::table::{Side, columns};
use crate::{output, process, stat};
use clap::Args;
use prodcon::Control;
use serde_json::{Value, json};

#[derive(Args)]
pub struct Arguments {
    /// One JSON array on stdout
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let mut found = vec![];
    for entry in prodcon::list()? {
        let opened = entry.segment.and_then(|_| Control::attach(&entry.name)).map_err(|error| error.to_string());
        found.push(match opened.and_then(|control| stat::figures(&control).map_err(|error| error.to_string())) {
            Ok(mut figures) => {
                let alone = figures["seats_live"] == 0;
                let made = (figures["creator_pid"].as_u64().unwrap_or(0), figures["created_ns"].as_u64().unwrap_or(0));
                figures["stale"] = (alone && !process::lives(made.0, made.1)).into();
                figures
            }
            Err(error) => json!({ "name": entry.name, "bytes": entry.bytes, "error": error }),
        });
    }
    if arguments.json {
        return output::print(&format!("{}\n", Value::Array(found)));
    }
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let keys = ["name", "type", "capacity", "item_size", "len", "state", "seats_live"];
    let mut rows = vec![
        ["NAME", "TYPE", "CAPACITY", "ITEM SIZE", "LEN", "STATE", "LIVE", ""]
            .map(str::to_owned)
            .to_vec(),
    ];
    for figures in &found {
        let note = match figures.get("error") {
            Some(error) => text(error),
            None if figures["stale"] == true => "stale: nobody attached, and its creator is gone".into(),
            None if figures["seats_live"] == 0 => "nobody attached".into(),
            None => String::new(),
        };
        let cell = |key: &&str| figures.get(*key).map_or_else(|| "-".into(), text);
        rows.push(keys.iter().map(cell).chain([note]).collect());
    }
    use Side::{Left, Right};
    output::print(&columns(&[Left, Left, Right, Right, Right, Left, Right, Left], &rows))
}
