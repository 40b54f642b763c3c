//! The tables, and whether prodcon has kept what it promises.

use super::directed::{CAPACITY, Outturn as Stepped};
use super::part::Role;
use super::random::{FOR_EVER, Outturn};
use crate::report::{Table, machine};
use crate::systems::Promise;
use std::fmt::Write;

/// A system's random kills. The error: why there is nothing to tell.
pub struct Random {
    pub title: &'static str,
    pub promise: Promise,
    pub outturn: Result<Outturn, String>,
}

/// A system's put or get, killed at many instructions.
pub struct Steps {
    pub title: &'static str,
    pub promise: Promise,
    pub role: Role,
    pub outturn: Result<Stepped, String>,
}

impl Random {
    /// Whether it did what it promises. A system that promises nothing cannot break it.
    pub fn kept(&self) -> bool {
        let Ok(outturn) = &self.outturn else {
            return self.promise == Promise::None;
        };
        let (account, hands) = (outturn.account, u64::from(outturn.killed_consumers));
        let items = match self.promise {
            Promise::AtMostOnce => account.lost <= hands && account.twice == 0,
            Promise::AtLeastOnce => account.lost == 0 && account.twice <= hands,
            Promise::None => return true,
        };
        let books = outturn
            .books
            .as_ref()
            .is_some_and(|books| books.starts_with("exact"));
        items
            && books
            && outturn.wedged_after.is_none()
            && account.corrupt == 0
            && outturn.gave_up == 0
            && outturn.stuck == 0
    }
}

impl Steps {
    /// As [`Random::kept`]. At each point one process is killed, so one item may be in doubt.
    pub fn kept(&self) -> bool {
        let Ok(outturn) = &self.outturn else {
            return self.promise == Promise::None;
        };
        let hands = if self.role == Role::StepGet {
            outturn.points
        } else {
            0
        };
        let items = match self.promise {
            Promise::AtMostOnce => outturn.lost <= hands && outturn.twice == 0,
            Promise::AtLeastOnce => outturn.lost == 0 && outturn.twice <= hands,
            Promise::None => return true,
        };
        items && outturn.stuck + outturn.bystanders + outturn.corrupt + outturn.errors == 0
    }
}

fn verdict(promise: Promise, kept: bool) -> &'static str {
    match (promise, kept) {
        (Promise::None, _) => "",
        (_, true) => "kept",
        (_, false) => "**BROKEN**",
    }
}

/// All tables.
pub fn markdown(
    command: &str,
    seed: u64,
    seconds: f64,
    random: &[Random],
    steps: &[Steps],
) -> String {
    let mut out = format!("`{command}`\n\n- {}; seed {seed}\n\n", machine());
    let _ = writeln!(
        out,
        "### Random kills: 4 producers, 4 consumers, {seconds} s; every 2 to 14 ms one is killed (SIGKILL) and replaced, or stopped for 5 to 45 ms\n"
    );
    let mut table = Table::new([
        "system",
        "killed: producers + consumers; stopped",
        "the others",
        "longest standstill, ms",
        "put",
        "lost",
        "twice",
        "corrupt",
        "promise",
    ]);
    for row in random {
        let outturn = match &row.outturn {
            Ok(outturn) => outturn,
            Err(why) => {
                table.row([
                    row.title,
                    why,
                    "",
                    "",
                    "",
                    "",
                    "",
                    "",
                    verdict(row.promise, row.kept()),
                ]);
                continue;
            }
        };
        let (account, wedged) = (outturn.account, outturn.wedged_after);
        let mut others = wedged.map_or_else(
            || "went on".to_owned(),
            |kills| format!("**stood still for ever from kill {} on**", kills + 1),
        );
        for (number, what) in [
            (outturn.stuck, "producers stuck in their last put"),
            (outturn.gave_up, "gave up with an error"),
        ] {
            if number > 0 {
                let _ = write!(others, ", {number} {what}");
            }
        }
        if outturn.slow_puts > 0 {
            let _ = write!(others, ", {} puts of more than 5 ms", outturn.slow_puts);
        }
        table.row([
            row.title.to_owned(),
            format!(
                "{} + {}; {}",
                outturn.killed_producers, outturn.killed_consumers, outturn.paused
            ),
            others,
            if wedged.is_some() {
                "-".into()
            } else {
                format!("{:.0}", outturn.standstill.as_secs_f64() * 1e3)
            },
            account.put.to_string(),
            if wedged.is_some() {
                format!("{} (left in it)", account.lost)
            } else {
                account.lost.to_string()
            },
            account.twice.to_string(),
            account.corrupt.to_string(),
            verdict(row.promise, row.kept()).to_owned(),
        ]);
    }
    out.push_str(&table.markdown());
    for row in random {
        if let Ok(Outturn {
            books: Some(books), ..
        }) = &row.outturn
        {
            let _ = writeln!(
                out,
                "- {}: its own accounts after recovery are {books}",
                row.title
            );
        }
    }
    let _ = writeln!(
        out,
        "- for ever: nothing moved for {} s, and nobody was killed or stopped meanwhile. Promises: at-most-once: nothing twice, lost at most what killed consumers had in hand (one each); at-least-once: nothing lost, twice at most that; never stuck\n",
        FOR_EVER.as_secs()
    );
    if !steps.is_empty() {
        let _ = writeln!(
            out,
            "### Killed at a given instruction: one process is killed after k instructions of a put or a get, then two others use the queue ({CAPACITY} items) several times around\n"
        );
        let mut table = Table::new([
            "system",
            "operation",
            "instructions",
            "points tried",
            "the others stuck for ever",
            "puts of others slow every time around",
            "items of others lost",
            "victims' items lost / twice / corrupt",
            "promise",
        ]);
        for row in steps {
            let operation = if row.role == Role::StepPut {
                "put"
            } else {
                "get"
            };
            let outturn = match &row.outturn {
                Ok(outturn) => outturn,
                Err(why) => {
                    table.row([
                        row.title,
                        operation,
                        why,
                        "",
                        "",
                        "",
                        "",
                        "",
                        verdict(row.promise, row.kept()),
                    ]);
                    continue;
                }
            };
            let of = |points: u64| {
                if points > 0 {
                    format!("**at {points}**")
                } else {
                    "never".into()
                }
            };
            let mut stuck = of(outturn.stuck);
            if outturn.errors > 0 {
                let _ = write!(stuck, " (with an error at {})", outturn.errors);
            }
            table.row([
                row.title.to_owned(),
                operation.to_owned(),
                outturn.length.to_string(),
                outturn.points.to_string(),
                stuck,
                if outturn.never_waits {
                    of(outturn.slowed)
                } else {
                    "-".into()
                },
                of(outturn.bystanders),
                format!("{} / {} / {}", outturn.lost, outturn.twice, outturn.corrupt),
                verdict(row.promise, row.kept()).to_owned(),
            ]);
        }
        out.push_str(&table.markdown());
    }
    out
}
