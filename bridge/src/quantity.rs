//! Numbers of bytes and of things, with the units that `prodcon` takes.

use serde::de::{Deserialize, Deserializer, Error};

/// What may stand behind a number of bytes.
const SIZES: [(&str, u64); 8] = [
    ("", 1),
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

/// What may stand behind a number of things.
const COUNTS: [(&str, u64); 7] = [
    ("", 1),
    ("k", 1000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
];

/// Reads a number of bytes: `4096`, `64KiB`, `2MB`.
pub fn bytes<N: TryFrom<u64>>(text: &str) -> Result<N, String> {
    whole(text, &SIZES).ok_or_else(|| {
        "expected a number of bytes such as 4096, 64KiB or 2MB, and not too large a one".into()
    })
}

/// Reads a number of things: `1000`, `1k`, `64Ki`.
pub fn count<N: TryFrom<u64>>(text: &str) -> Result<N, String> {
    whole(text, &COUNTS).ok_or_else(|| {
        "expected a number such as 1000, 1k or 64Ki (65536), and not too large a one".into()
    })
}

/// Reads a number of things from 1 to `most`.
pub fn count_to(text: &str, most: u32) -> Result<u32, String> {
    match count(text)? {
        number if (1..=most).contains(&number) => Ok(number),
        _ if most == u32::MAX => Err("expected at least 1".into()),
        _ => Err(format!("expected 1 to {most}")),
    }
}

/// Reads a number in a configuration file, bare or in quotes, as `read` does on the command line.
pub fn in_a_file<'de, D: Deserializer<'de>, N>(
    from: D,
    read: impl Fn(&str) -> Result<N, String>,
) -> Result<N, D::Error> {
    #[derive(serde::Deserialize)]
    #[serde(
        untagged,
        expecting = "expected a number, or one with a unit in quotes"
    )]
    enum Written {
        Bare(u64),
        Quoted(String),
    }
    let text = match Written::deserialize(from)? {
        Written::Bare(number) => number.to_string(),
        Written::Quoted(text) => text,
    };
    read(&text).map_err(Error::custom)
}

fn whole<N: TryFrom<u64>>(text: &str, units: &[(&str, u64)]) -> Option<N> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    N::try_from(digits.parse::<u64>().ok()?.checked_mul(*factor)?).ok()
}
