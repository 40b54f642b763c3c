//! Names of queues as people give them: several, patterns, and with mistakes.

use crate::exit::End;
use std::collections::HashSet;
use std::path::Path;

/// How alike two names are that may be meant for each other, of 1.
const ALIKE: f64 = 0.85;

/// A queue that is meant.
#[derive(Debug, PartialEq, Eq)]
pub struct Meant {
    pub name: String,
    /// It was given by its name, so it has to be there. One that a pattern has found may go again.
    pub by_name: bool,
}

/// The queues that are meant: a name stands for itself, `*` in it for any characters, `?` for one.
/// Each is given once, in the order of the arguments.
///
/// # Errors
/// No queue fits a pattern, or the directory cannot be read.
pub fn expand(arguments: &[String]) -> Result<Vec<Meant>, End> {
    let mut names: Vec<Meant> = vec![];
    let mut all = None;
    for argument in arguments {
        if !is_pattern(argument) {
            let name = argument.clone();
            names.push(Meant {
                name,
                by_name: true,
            });
            continue;
        }
        let all: &Vec<String> = match &mut all {
            Some(all) => all,
            none => none.insert(
                prodcon::list()?
                    .into_iter()
                    .map(|entry| entry.name)
                    .collect(),
            ),
        };
        let before = names.len();
        let found = all
            .iter()
            .filter(|name| fits(argument.as_bytes(), name.as_bytes()));
        names.extend(found.map(|name| Meant {
            name: name.clone(),
            by_name: arguments.contains(name),
        }));
        if names.len() == before {
            return Err(End::failed(format!(
                "no queue fits '{argument}': see `prodcon ls`"
            )));
        }
    }
    let mut seen = HashSet::new();
    names.retain(|meant| seen.insert(meant.name.clone()));
    Ok(names)
}

#[cfg(any(feature = "metrics", feature = "top"))]
/// The queues that a command looks at again and again: names, and patterns, which are compared
/// again at each look. Each queue counts once. If nothing is given, all queues are meant.
pub struct Watched(Vec<String>);

#[cfg(any(feature = "metrics", feature = "top"))]
impl Watched {
    pub fn new(arguments: &[String]) -> Self {
        let mut seen = HashSet::new();
        let once = arguments.iter().filter(|name| seen.insert(*name));
        Self(once.cloned().collect())
    }

    /// Those that were given by name, whether they exist or not.
    pub fn named(&self) -> impl Iterator<Item = &String> {
        self.0.iter().filter(|name| !is_pattern(name))
    }

    /// The names at this moment: those that were given, and then those that fit a pattern.
    /// `damaged` says whether files that are no sound queue count among the latter.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn now(&self, damaged: bool) -> prodcon::Result<Vec<String>> {
        let mut names: Vec<String> = self.named().cloned().collect();
        if names.len() == self.0.len() && !names.is_empty() {
            return Ok(names);
        }
        let fits = |name: &str| {
            let mut patterns = self.0.iter().filter(|name| is_pattern(name));
            self.0.is_empty() || patterns.any(|pattern| fits(pattern.as_bytes(), name.as_bytes()))
        };
        for entry in prodcon::list()? {
            if (damaged || entry.segment.is_ok())
                && fits(&entry.name)
                && !self.0.contains(&entry.name)
            {
                names.push(entry.name);
            }
        }
        Ok(names)
    }
}

/// No name of a queue has such a character.
fn is_pattern(argument: &str) -> bool {
    argument.contains(['*', '?'])
}

/// Whether a name fits a pattern. Names are ASCII.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    // Where the last star stands, and what it stands for ends.
    let mut star = None;
    while from < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[from] => {
                at += 1;
                from += 1;
            }
            _ => {
                let Some((star_at, end)) = star else {
                    return false;
                };
                star = Some((star_at, end + 1));
                (at, from) = (star_at + 1, end + 1);
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// The queue in a directory that may have been meant by a name that nothing has.
pub fn meant(directory: &Path, name: &str) -> Option<String> {
    let all = prodcon::list_in(directory).ok()?;
    let alike = all
        .into_iter()
        .map(|entry| (strsim::jaro_winkler(&entry.name, name), entry.name));
    let best = alike
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_are_patterns() {
        for (pattern, name, expected) in [
            ("*", "anything", true),
            ("a*", "abc", true),
            ("a*", "ba", false),
            ("*c", "abcbc", true),
            ("*b*d", "abcbd", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("?", "", false),
            ("**", "", true),
            ("a*b*c", "a-b-b-d", false),
        ] {
            assert_eq!(
                fits(pattern.as_bytes(), name.as_bytes()),
                expected,
                "{pattern} {name}"
            );
        }
    }
}
