//! Plain tables and numbers for people.

/// Which side a column is aligned to.
#[derive(Clone, Copy)]
pub enum Side {
    Left,
    Right,
}

/// Rows (the first is the head) in columns as wide as their widest cell, two spaces between them, nothing after the last.
pub fn columns(sides: &[Side], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..sides.len()).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(sides.iter().zip(&widths)).map(|(cell, (side, width))| match side {
            Side::Left => format!("{cell:<width$}"),
            Side::Right => format!("{cell:>width$}"),
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Nanoseconds with a unit that suits them: `820 ns`, `3.1 us`, `12 ms`.
pub fn nanoseconds(time: u64) -> String {
    let scaled = |unit: u64, name: &str| {
        let value = time as f64 / unit as f64;
        if value < 10.0 {
            format!("{value:.1} {name}")
        } else {
            format!("{value:.0} {name}")
        }
    };
    match time {
        0..1_000 => format!("{time} ns"),
        1_000..1_000_000 => scaled(1_000, "us"),
        1_000_000..1_000_000_000 => scaled(1_000_000, "ms"),
        _ => scaled(1_000_000_000, "s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_end_without_spaces() {
        let rows = [vec!["a".into(), "long".into(), String::new()], vec!["bcd".into(), "7".into(), "x".into()]];
        assert_eq!(columns(&[Side::Left, Side::Right, Side::Left], &rows), "a    long\nbcd     7  x\n");
    }

    #[test]
    fn nanoseconds_have_a_unit_that_suits_them() {
        assert_eq!([820, 3_140, 12_000_000, 2_500_000_000].map(nanoseconds), ["820 ns", "3.1 us", "12 ms", "2.5 s"]);
    }
}
