//! `prodcon ls`: the queues in the segment directory; what is stale or damaged is said.

use crate::exit::Outcome;
use crate::table::{Side, columns};
use crate::{human, names, output, report, stat};
use clap::Args;
use prodcon::{Control, ErrorKind};
use serde_json::{Value, json};
use std::collections::HashSet;

#[derive(Args)]
pub struct Arguments {
    /// Names of queues, or patterns with * and ?; without any, all queues
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Print one JSON array on stdout
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let names = names::expand(&arguments.names)?;
    let wanted: HashSet<&str> = names.iter().map(|meant| meant.name.as_str()).collect();
    let mut found = vec![];
    for entry in prodcon::list()? {
        if !names.is_empty() && !wanted.contains(entry.name.as_str()) {
            continue;
        }
        let figures = match entry
            .segment
            .and_then(|_| Control::attach_read_only(&entry.name))
        {
            Ok(control) => figures(&control).map_err(|error| error.to_string()),
            Err(error) if error.kind() == ErrorKind::NotFound => continue, // removed since it was listed
            Err(error) => Err(error.to_string()),
        };
        let failed = |error| json!({ "name": entry.name, "bytes": entry.bytes, "error": error });
        found.push(figures.unwrap_or_else(failed));
    }
    print(arguments, &found)?;
    let there: HashSet<&str> = found
        .iter()
        .filter_map(|figures| figures["name"].as_str())
        .collect();
    report::each_meant(&names, |name| {
        if !there.contains(name) {
            Control::attach_read_only(name)?;
        }
        Ok(())
    })
}

/// As `stat` has them, and whether the queue is stale.
fn figures(control: &Control) -> prodcon::Result<Value> {
    let mut figures = stat::figures(control)?;
    figures["stale"] = control.is_stale()?.into();
    Ok(figures)
}

fn print(arguments: &Arguments, found: &[Value]) -> Outcome {
    if arguments.json {
        return output::print(&format!("{}\n", Value::Array(found.to_vec())));
    }
    // The name of a type, and an error that quotes one, are what some program chose to write.
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), human::plain)
    };
    let keys = [
        "name",
        "type",
        "capacity",
        "item_size",
        "len",
        "state",
        "seats_live",
    ];
    let mut rows = vec![
        [
            "NAME",
            "TYPE",
            "CAPACITY",
            "ITEM SIZE",
            "LEN",
            "STATE",
            "LIVE",
            "",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    for figures in found {
        let note = match figures.get("error") {
            Some(error) => text(error),
            None if figures["stale"] == true => {
                "stale: nobody is attached, and its owner is gone".into()
            }
            None if figures["seats_live"] == 0 => {
                let items = ["len", "held"]
                    .iter()
                    .filter_map(|key| figures[key].as_u64())
                    .sum::<u64>();
                format!("idle, {}", human::many(items, "item"))
            }
            None => String::new(),
        };
        let cell = |key: &&str| match figures.get(*key) {
            None => "-".into(),
            Some(size) if *key == "item_size" => human::bytes(size.as_u64().unwrap_or_default()),
            Some(value) => text(value),
        };
        rows.push(keys.iter().map(cell).chain([note]).collect());
    }
    use Side::{Left, Right};
    output::print(&columns(
        &[Left, Left, Right, Right, Right, Left, Right, Left],
        &rows,
    ))
}
