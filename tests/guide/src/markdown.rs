//! Finds blocks, headings and links in a Markdown document: as much of the language as the
//! documents of this repository use.

use std::fmt::Write;
use std::path::{Path, PathBuf};

/// A fenced block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The line of its opening fence, from 1.
    pub line: usize,
    /// What stands behind the fence, such as `sh`.
    pub language: String,
    /// The comment `<!-- .. -->` directly above the block, which says what to do with it.
    pub note: String,
    /// The lines between the fences, without their common indentation.
    pub text: String,
}

impl Block {
    /// Returns what the note says about `key`, as in `<!-- file: NAME -->`.
    pub fn note(&self, key: &str) -> Option<&str> {
        self.note
            .strip_prefix(key)?
            .strip_prefix(':')
            .map(str::trim)
    }
}

/// Returns the directory of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("this package is two directories below the root")
        .to_owned()
}

/// Returns the documents of the repository for people.
pub fn documents() -> Vec<PathBuf> {
    const DIRS: [&str; 10] = [
        "",
        "docs",
        "ffi",
        "ffi/python",
        "derive",
        "cli",
        "fuzz",
        "bridge",
        "benches/rivals",
        "packaging",
    ];
    let mut found = vec![];
    for dir in DIRS {
        let Ok(entries) = std::fs::read_dir(root().join(dir)) else {
            continue;
        };
        let entries = entries.filter_map(|entry| Some(entry.ok()?.path()));
        found.extend(entries.filter(|path| path.extension().is_some_and(|end| end == "md")));
    }
    found.sort();
    assert!(found.len() > 10, "{found:?}");
    found
}

/// Returns the fenced blocks of a document.
pub fn blocks(document: &str) -> Vec<Block> {
    let mut blocks = vec![];
    let mut open: Option<(usize, Block)> = None;
    let mut note = String::new();
    for (index, line) in document.lines().enumerate() {
        let text = line.trim_start();
        match &mut open {
            Some((_, block)) if text.starts_with("```") => {
                blocks.push(std::mem::replace(block, Block::at(0, "", "")));
                open = None;
            }
            Some((indent, block)) => {
                let line = line.get(*indent..).unwrap_or(text);
                writeln!(block.text, "{line}").expect("a string takes everything");
            }
            None => {
                if let Some(language) = text.strip_prefix("```") {
                    let block = Block::at(index + 1, language, &std::mem::take(&mut note));
                    open = Some((line.len() - text.len(), block));
                } else if let Some(comment) = text.strip_prefix("<!--") {
                    note = comment.trim_end_matches("-->").trim().to_owned();
                } else if !text.is_empty() {
                    note.clear();
                }
            }
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

impl Block {
    fn at(line: usize, language: &str, note: &str) -> Self {
        Self {
            line,
            language: language.trim().to_owned(),
            note: note.to_owned(),
            text: String::new(),
        }
    }
}

/// Returns the document without its fenced blocks and its code spans.
fn prose(document: &str) -> String {
    let mut fenced = false;
    let mut out = String::new();
    for line in document.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            // Every second part is between backticks.
            let parts = line.split('`').step_by(2);
            writeln!(out, "{}", parts.collect::<Vec<_>>().join("`")).expect("as above");
        }
    }
    out
}

/// Returns the code spans of a document's prose, each with the line where it begins, from 1. One
/// that goes on in the next line is put together.
pub fn spans(document: &str) -> Vec<(usize, String)> {
    let mut found = vec![];
    let mut fenced = false;
    let mut open: Option<(usize, String)> = None;
    for (index, line) in document.lines().enumerate() {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        if fenced || fence || line.trim().is_empty() {
            open = None;
            continue;
        }
        // Every second part is between backticks.
        for (number, part) in line.split('`').enumerate() {
            if number > 0 {
                match open.take() {
                    Some(span) => found.push(span),
                    None => open = Some((index + 1, String::new())),
                }
            }
            if let Some((_, text)) = &mut open {
                text.push_str(part);
            }
        }
        if let Some((_, text)) = &mut open {
            text.push(' ');
        }
    }
    found
}

/// Returns where the links and pictures of a document lead.
pub fn links(document: &str) -> Vec<String> {
    let prose = prose(document);
    prose
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(link, _)| link.to_owned())
        .collect()
}

/// Returns the anchors of a document's headings, as GitHub and mdBook make them.
pub fn anchors(document: &str) -> Vec<String> {
    let mut fenced = false;
    let mut anchors: Vec<String> = vec![];
    for line in document.lines() {
        fenced ^= line.starts_with("```");
        let Some(heading) = line.strip_prefix('#').filter(|_| !fenced) else {
            continue;
        };
        let anchor: String = heading
            .trim_start_matches('#')
            .trim()
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect();
        anchors.push(anchor);
    }
    anchors
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "\
# What is it?
See [there](other.md#a-b) and `[not](this)`.

<!-- file: a.py -->
```python
x = [1](2)
```

- A list:

  <!-- prints -->
  ```text
  1
    2
  ```
";

    #[test]
    fn blocks_come_with_their_notes() {
        let blocks = blocks(DOCUMENT);
        assert_eq!(blocks.len(), 2);
        assert_eq!(blocks[0].note("file"), Some("a.py"));
        assert_eq!((blocks[0].line, blocks[0].language.as_str()), (5, "python"));
        assert_eq!(
            (blocks[1].note.as_str(), blocks[1].text.as_str()),
            ("prints", "1\n  2\n")
        );
    }

    #[test]
    fn spans_go_on_in_the_next_line() {
        let document = "a `b` c `d\ne` f\n\n```sh\n`x`\n```\n`g`";
        let expected = [(1, "b"), (1, "d e"), (7, "g")];
        assert_eq!(
            spans(document),
            expected.map(|(line, text)| (line, text.to_owned()))
        );
    }

    #[test]
    fn links_and_anchors_are_found_outside_of_code() {
        assert_eq!(links(DOCUMENT), ["other.md#a-b"]);
        assert_eq!(anchors(DOCUMENT), ["what-is-it"]);
    }
}
