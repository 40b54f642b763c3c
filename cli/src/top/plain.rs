//! The table of `top` as plain text, and the cells of both tables.

use super::sample::Row;
use crate::table::{Side, columns};

pub const HEAD: [&str; 14] = [
    "NAME", "STATE", "READY", "PUTS/S", "GETS/S", "DROPS/S", "LEN", "ROOM", "LIVE", "DEAD", "HELD",
    "ASLEEP", "LOST", "AGAIN",
];
/// The columns of text; the others hold numbers.
pub const TEXTS: usize = 3;

/// A number of items a second in few characters.
pub fn short(value: f64) -> String {
    match value {
        v if v >= 1e9 => format!("{:.2}G", v / 1e9),
        v if v >= 1e6 => format!("{:.2}M", v / 1e6),
        v if v >= 1e4 => format!("{:.1}k", v / 1e3),
        v if v > 0.0 && v < 10.0 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

/// As many cells as the head has.
pub fn cells(row: &Row) -> Vec<String> {
    let stats = match &row.stats {
        Ok(stats) => stats,
        Err(why) => {
            let mut cells = vec![row.name.clone(), (*why).into()];
            cells.resize(HEAD.len(), String::new());
            return cells;
        }
    };
    let mut cells = vec![
        row.name.clone(),
        stats.state.to_string(),
        if stats.ready { "yes" } else { "no" }.to_owned(),
    ];
    let rate = |which: usize| {
        row.rates
            .map_or_else(|| "-".into(), |rates| short(rates[which]))
    };
    cells.extend([0, 1, 2].map(rate));
    let numbers = [
        stats.len,
        Row::room(stats),
        stats.seats_live.into(),
        stats.seats_dead.into(),
        stats.unacked,
        Row::asleep(stats) as u64,
        stats.lost,
        stats.redelivered,
    ];
    cells.extend(numbers.map(|number| number.to_string()));
    cells
}

pub fn table(rows: &[Row]) -> String {
    let mut all = vec![HEAD.map(str::to_owned).to_vec()];
    all.extend(rows.iter().map(cells));
    let mut sides = [Side::Right; HEAD.len()];
    sides[..TEXTS].fill(Side::Left);
    columns(&sides, &all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_short() {
        let all = [0.0, 0.5, 12.0, 9_999.0, 12_345.0, 2.5e6, 1.16e9].map(short);
        assert_eq!(
            all,
            ["0", "0.5", "12", "9999", "12.3k", "2.50M", "1.16G"].map(str::to_owned)
        );
    }

    #[test]
    fn a_queue_that_has_gone_is_said_to_be() {
        let row = Row {
            name: "q".into(),
            stats: Err("gone"),
            rates: None,
        };
        assert_eq!(table(&[row]).lines().nth(1), Some("q     gone"));
    }
}
