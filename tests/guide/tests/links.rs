//! The documents hang together: links lead somewhere, chapters are listed, blocks say what they are.

use prodcon_guide::markdown::{anchors, blocks, documents, links, root};
use std::collections::BTreeSet;
use std::path::Path;

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_relative_link_leads_to_a_file_and_a_heading() {
    let mut broken = vec![];
    let mut followed = 0;
    for document in documents() {
        for link in links(&read(&document)) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue; // another site
            }
            followed += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() {
                document.clone()
            } else {
                document.parent().unwrap().join(file)
            };
            // The book has the files of its own directory only.
            let in_book = !document.starts_with(root().join("docs")) || !file.starts_with("..");
            let found = in_book
                && target.exists()
                && (anchor.is_empty() || anchors(&read(&target)).iter().any(|a| a == anchor));
            if !found {
                broken.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(followed > 20, "only {followed} links were found");
}

#[test]
fn every_chapter_is_in_the_summary_and_the_other_way_round() {
    let docs = root().join("docs");
    let listed: BTreeSet<String> = links(&read(&docs.join("SUMMARY.md"))).into_iter().collect();
    let there: BTreeSet<String> = documents()
        .iter()
        .filter(|path| path.starts_with(&docs))
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .filter(|name| name != "SUMMARY.md")
        .collect();
    assert_eq!(listed, there);
}

#[test]
fn no_command_hides_in_a_block_that_is_not_run() {
    const LANGUAGES: [&str; 11] = [
        "sh",
        "rust",
        "rust,no_run",
        "cpp",
        "c",
        "python",
        "text",
        "ini",
        "toml",
        "yaml",
        "console",
    ];
    let commands = [
        "prodcon ",
        "cargo ",
        "pip ",
        "python",
        "docker ",
        "kill ",
        "c++ ",
        "cc ",
        "promtool ",
        "systemctl ",
        "$ ",
    ];
    let mut wrong = vec![];
    for path in documents() {
        for block in blocks(&read(&path)) {
            let hidden = block.language == "text"
                && block.note.is_empty()
                && block
                    .text
                    .lines()
                    .any(|line| commands.iter().any(|c| line.starts_with(c)));
            if hidden || !LANGUAGES.contains(&block.language.as_str()) {
                wrong.push(format!(
                    "{}, line {}: {:?}",
                    path.display(),
                    block.line,
                    block.language
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
