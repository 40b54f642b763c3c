//! The documents say nothing to the bridge that it does not know.

use prodcon_guide::command_lines::{CommandLine, commands, split};
use prodcon_guide::markdown::{documents, root};
use std::path::{Path, PathBuf};

const BRIDGE: &str = env!("CARGO_BIN_EXE_prodcon-bridge");

/// Returns the commands in a text that are for the bridge, as if they began with its name.
fn for_the_bridge(found: Vec<CommandLine>) -> Vec<CommandLine> {
    let begins = |command: CommandLine| {
        let from = match (command.program(), command.words.get(1).map(String::as_str)) {
            ("prodcon-bridge", _) => 0,
            ("prodcon", Some("bridge")) => 1,
            _ => return None,
        };
        let words = command.words[from..].to_vec();
        Some(CommandLine { words, ..command })
    };
    found.into_iter().filter_map(begins).collect()
}

/// Returns what the bridge does not know of this.
fn unknown(path: &Path, found: &[CommandLine]) -> Vec<String> {
    let known = found.iter().map(|command| {
        let said = command.is_known_to(Path::new(BRIDGE));
        said.map_err(|why| format!("{}, line {}: {why}", path.display(), command.line))
    });
    known.filter_map(Result::err).collect()
}

#[test]
fn the_bridge_knows_the_words_of_every_command() {
    let (mut wrong, mut number) = (vec![], 0);
    for path in documents() {
        let found = for_the_bridge(commands(&std::fs::read_to_string(&path).unwrap()));
        number += found.len();
        wrong.extend(unknown(&path, &found));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(number > 6, "only {number} commands were found");
}

#[test]
fn the_bridge_knows_the_words_of_its_unit() {
    let path: PathBuf = root().join("bridge/prodcon-bridge@.service");
    let unit = std::fs::read_to_string(&path).unwrap();
    let starts = unit
        .lines()
        .filter_map(|line| line.strip_prefix("ExecStart="));
    let found = starts
        .flat_map(split)
        .map(|words| CommandLine { line: 1, words });
    let found = for_the_bridge(found.collect());
    assert_eq!((found.len(), unknown(&path, &found)), (1, vec![]));
}

#[test]
fn words_that_the_bridge_does_not_know_are_found() {
    for bad in [
        "prodcon-bridge ou NAME",
        "prodcon-bridge out NAME --two nats://HOST",
        "prodcon bridge in NAME --form nats://HOST",
        "target/release/prodcon-bridge out NAME --max-bytes 2M",
    ] {
        let found = for_the_bridge(commands(&format!("`{bad}`")));
        assert_eq!(unknown(Path::new(bad), &found).len(), 1, "{bad}");
    }
}
