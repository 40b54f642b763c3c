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
        let cells =
            row.iter()
                .zip(sides.iter().zip(&widths))
                .map(|(cell, (side, width))| match side {
                    Side::Left => format!("{cell:<width$}"),
                    Side::Right => format!("{cell:>width$}"),
                });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_end_without_spaces() {
        let rows = [
            vec!["a".into(), "long".into(), String::new()],
            vec!["bcd".into(), "7".into(), "x".into()],
        ];
        assert_eq!(
            columns(&[Side::Left, Side::Right, Side::Left], &rows),
            "a    long\nbcd     7  x\n"
        );
    }
}
