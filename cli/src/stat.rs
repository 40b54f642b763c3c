//! `prodcon stat`: the figures of a queue, for people in groups and for programs as JSON.

use crate::exit::Outcome;
use crate::process::QueueFile;
use crate::table::{Side, columns};
use crate::wait::ForQueue;
use crate::{human, names, output, report};
use clap::Args;
use prodcon::{Control, QueueInfo, Role, SeatInfo, State, Stats};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Characters of a command that are shown.
const MAX_COMMAND: usize = 60;

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
    let mut before = "";
    report::each_meant(&names::expand(&arguments.names)?, |name| {
        let control = arguments.wait.read_only(name)?;
        let text = if arguments.json {
            format!("{}\n", figures(&control)?)
        } else {
            before.to_owned() + &text(&control)?
        };
        before = "\n";
        output::print(&text)
    })
}

/// The figures in groups: what the queue is, where its items are, and which processes are attached.
fn text(control: &Control) -> prodcon::Result<String> {
    let (name, info, stats) = (control.name(), control.info(), control.stats()?);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let about = about(
        name,
        info,
        &stats,
        control.is_stale()?,
        now.unwrap_or_default(),
    );
    let file = QueueFile::of(name);
    let command = |pid| file.command_of(pid);
    Ok(format!(
        "{about}\n{}\n{}",
        items(info, &stats),
        seats(name, &stats, command)
    ))
}

/// Rows of a group, below its title.
fn group(title: &str, sides: &[Side], rows: Vec<Vec<String>>) -> String {
    let rows = columns(sides, &rows);
    let rows = rows.lines().map(|row| format!("  {row}\n"));
    format!("{title}\n") + &rows.collect::<String>()
}

fn about(name: &str, info: &QueueInfo, stats: &Stats, stale: bool, now: Duration) -> String {
    let item = match info.type_name.as_str() {
        "" => format!("items of up to {}", human::bytes(info.item_size)),
        name => format!(
            "items of type {} ({})",
            human::plain(name),
            human::bytes(info.item_size)
        ),
    };
    let holds = match stats.batch {
        0 | 1 => format!("{} {item}", stats.capacity),
        batch => format!("{} blocks of up to {batch} {item}", stats.capacity),
    };
    let delivery = match (stats.at_least_once, info.max_deliveries) {
        (false, _) => "at-most-once: what a dead consumer was holding is lost".to_owned(),
        (true, 0) => {
            "at-least-once: what a dead consumer was holding is delivered again".to_owned()
        }
        (true, most) => format!(
            "at-least-once: after {} an item goes to '{}'",
            match most {
                1 => "1 delivery".into(),
                most => format!("{most} deliveries"),
            },
            human::plain(&info.dead_letter)
        ),
    };
    let full = if stats.lossy {
        "a put drops the oldest item"
    } else {
        "a put waits"
    };
    let created = Duration::from_nanos(info.created_ns);
    let created = format!(
        "{}, {} ago, by process {}",
        human::moment(created),
        human::time(now.saturating_sub(created)),
        info.creator_pid
    );
    let mut rows = vec![
        ("holds", holds),
        ("when full", full.into()),
        ("delivery", delivery),
        ("created", created),
    ];
    if stats.epoch > 0 {
        let times = human::many(stats.epoch, "time");
        rows.push(("cleared", format!("or closed {times}")));
    }
    if stale {
        let advice = format!("nobody is attached, and its owner is gone: `prodcon rm {name}`");
        rows.push(("stale", advice));
    }
    let rows = rows
        .into_iter()
        .map(|(what, text)| vec![what.to_owned(), text]);
    let state = match stats.state {
        State::Started => "started",
        State::Stopped => "stopped",
        State::StopAtQueueEnd => "stopping at the end of the queue",
    };
    let ready = if stats.ready {
        "ready".into()
    } else {
        format!("not ready (puts are refused until `prodcon ready {name}`)")
    };
    let title = format!("{name}: {state}, {ready}");
    group(&title, &[Side::Left, Side::Left], rows.collect())
}

fn items(info: &QueueInfo, stats: &Stats) -> String {
    let room = u64::from(stats.capacity) * u64::from(stats.batch.max(1));
    let of_puts = |items: u64| match items {
        0 => String::new(),
        items => format!("{} of those put", human::share(items, stats.puts)),
    };
    let letters = match stats.dead_lettered {
        0 => String::new(),
        _ => format!(
            "moved to '{}'; they count as acknowledged",
            human::plain(&info.dead_letter)
        ),
    };
    let full = format!("{} full", human::share(stats.len, room));
    let again = "deliveries beyond the first".to_owned();
    let rows = [
        ("in the queue", stats.len, full),
        ("in hand", stats.unacked, String::new()),
        ("put", stats.puts, String::new()),
        ("acknowledged", stats.gets, of_puts(stats.gets)),
        ("dropped", stats.dropped, of_puts(stats.dropped)),
        ("cleared", stats.cleared, of_puts(stats.cleared)),
        ("lost", stats.lost, of_puts(stats.lost)),
        (
            "redelivered",
            stats.redelivered,
            if stats.redelivered > 0 {
                again
            } else {
                String::new()
            },
        ),
        ("dead letters", stats.dead_lettered, letters),
    ];
    let rows = rows.map(|(what, items, note)| vec![what.into(), items.to_string(), note]);
    group("items", &[Side::Left, Side::Right, Side::Left], rows.into())
}

fn seats(name: &str, stats: &Stats, command: impl Fn(u32) -> Option<String>) -> String {
    let mut title = format!("seats: {} of {} taken", stats.seats_live, stats.seats);
    if stats.seats_dead > 0 {
        title += &format!(
            ", {} of dead processes (`prodcon doctor {name}` recovers them)",
            stats.seats_dead
        );
    }
    if stats.members.is_empty() {
        return title + "\n";
    }
    let head = ["SEAT", "PID", "ROLE", "HELD", "FOR", "", "COMMAND"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(stats.members.iter().map(|member| {
        let command = command(member.pid);
        let asleep = if member.asleep { "asleep" } else { "" };
        vec![
            member.seat.to_string(),
            member.pid.to_string(),
            role(member.role).into(),
            member.unacked.to_string(),
            held_for(member),
            asleep.into(),
            command.map_or("-".into(), |text| human::line(&text, MAX_COMMAND)),
        ]
    }));
    use Side::{Left, Right};
    let sides = [Right, Right, Left, Right, Right, Left, Left];
    group(&title, &sides, rows)
}

/// How long a seat has been holding what it holds. `?`: only workers note it.
pub fn held_for(member: &SeatInfo) -> String {
    match member.holding {
        Some(time) => human::time(time),
        None if member.unacked > 0 => "?".into(),
        None => String::new(),
    }
}

pub fn role(role: Role) -> &'static str {
    match role {
        Role::Producer => "producer",
        Role::Consumer => "consumer",
        Role::Both => "both",
    }
}

fn member(m: &SeatInfo) -> Value {
    let holding = m.holding.map(|time| time.as_nanos());
    let holding_ns = holding.map(|ns| u64::try_from(ns).unwrap_or(u64::MAX));
    json!({ "seat": m.seat, "pid": m.pid, "role": role(m.role), "held": m.unacked, "holding_ns": holding_ns, "asleep": m.asleep })
}

/// One object, as `stat --json` prints it.
pub fn figures(control: &Control) -> prodcon::Result<Value> {
    let s = control.stats()?;
    let info = control.info();
    let members: Vec<Value> = s.members.iter().map(member).collect();
    let dead_letter = Some(&info.dead_letter).filter(|name| !name.is_empty());
    Ok(json!({
        "name": control.name(), "type": if info.type_name.is_empty() { "bytes" } else { &info.type_name }, "capacity": s.capacity, "item_size": s.item_size,
        "seats": s.seats, "seats_live": s.seats_live, "seats_dead": s.seats_dead, "len": s.len, "ready": s.ready, "epoch": s.epoch, "state": s.state.to_string(),
        "lossy": s.lossy, "at_least_once": s.at_least_once, "held": s.unacked, "puts": s.puts, "gets": s.gets, "dropped": s.dropped, "cleared": s.cleared,
        "lost": s.lost, "redelivered": s.redelivered, "dead_lettered": s.dead_lettered, "max_deliveries": info.max_deliveries, "dead_letter": dead_letter,
        "batch": s.batch, "copy_in_slot": info.copy_in_slot, "creator_pid": info.creator_pid, "created_ns": info.created_ns, "members": members,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_items_is_shown_with_the_time_if_it_is_known() {
        let dir = std::env::temp_dir().join(format!("prodcon-stat-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let attach = prodcon::AttachOptions::new().directory(&dir);
        let options = prodcon::QueueOptions::new(4).seats(8).attach(attach);
        let queue = prodcon::ReadyQueue::<u64>::create("q", &options);
        std::fs::remove_dir_all(&dir).unwrap();
        let mut stats = queue.unwrap().control().stats().unwrap();
        let seat = stats.members[0].clone();
        for (unacked, holding) in [(1, Some(Duration::from_millis(83_200))), (2, None)] {
            let mut seat = seat.clone();
            (seat.unacked, seat.holding) = (unacked, holding);
            stats.members.push(seat);
        }
        stats.seats_dead = 2;
        let text = seats("q", &stats, |_| None);
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        let recover = "2 of dead processes (`prodcon doctor q` recovers them)";
        assert!(lines[0].join(" ").ends_with(recover), "{text}");
        assert_eq!(lines[2][2..], ["both", "0", "-"], "{text}");
        assert_eq!(
            lines[3][2..],
            ["both", "1", "1", "min", "23", "s", "-"],
            "{text}"
        );
        assert_eq!(lines[4][2..], ["both", "2", "?", "-"], "{text}");
        let known = member(&stats.members[1]);
        assert_eq!(known["holding_ns"], 83_200_000_000_u64);
        assert!(member(&stats.members[2])["holding_ns"].is_null());
    }
}
