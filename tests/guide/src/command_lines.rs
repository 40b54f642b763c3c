//! Finds the commands in a document, whether they are run or not, and tells whether programs know
//! their words.

use crate::markdown::{Block, blocks, root, spans};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A command as it stands in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    /// The line of the block or of the code span, from 1.
    pub line: usize,
    /// The program and its arguments, without quotes, variables before it, and redirections.
    pub words: Vec<String>,
}

/// Programs that run the rest of their words.
const WRAPPERS: [&str; 8] = [
    "env", "exec", "nice", "strace", "sudo", "taskset", "time", "timeout",
];

/// Words of the shell that a command may follow.
const KEYWORDS: [&str; 8] = ["!", "do", "elif", "else", "if", "then", "until", "while"];

/// Programs of this repository, and cargo.
pub const PROGRAMS: [&str; 3] = ["prodcon", "prodcon-bridge", "cargo"];

/// What a value in capitals stands for, such as N, BYTES or NAME: a number that is a name, a size,
/// a count, a time, a port and a mode as well.
const ANY: &str = "16";

/// Returns the commands in the `sh` blocks of a document and in its code spans, those of `PROGRAMS`
/// only.
pub fn commands(document: &str) -> Vec<CommandLine> {
    let shell = blocks(document).into_iter();
    let shell = shell.filter(|block| block.language == "sh" && block.note("file").is_none());
    let shell = shell.map(|Block { line, text, .. }| (line, text));
    let mut found = vec![];
    for (line, text) in shell.chain(spans(document)) {
        found.extend(
            split(&text)
                .into_iter()
                .map(|words| CommandLine { line, words }),
        );
    }
    found.retain(|command| PROGRAMS.contains(&command.program()));
    found
}

impl CommandLine {
    /// Returns the name of the program, without a directory.
    pub fn program(&self) -> &str {
        let program = self.words[0].as_str();
        program.rsplit_once('/').map_or(program, |(_, name)| name)
    }

    /// Returns the arguments, with values in the place of what only stands for them.
    fn arguments(&self) -> impl Iterator<Item = String> {
        let words = self.words.iter().skip(1);
        words
            .filter(|word| !matches!(word.as_str(), ".." | "..."))
            .map(|word| match word.as_str() {
                "SHELL" => "bash".to_owned(),
                word if word.contains('$') => ANY.to_owned(),
                word if word.chars().all(|c| c.is_ascii_uppercase()) => ANY.to_owned(),
                word => word.to_owned(),
            })
    }

    /// Asks `program` whether it knows each word, without running the command.
    ///
    /// # Errors
    ///
    /// Returns what the program says otherwise.
    pub fn is_known_to(&self, program: &Path) -> Result<(), String> {
        let mut arguments: Vec<String> = self.arguments().collect();
        if arguments.first().is_none_or(|sub| sub != "help") {
            // Everything before the word that asks for help is read first.
            arguments.push("--help".to_owned());
        }
        let ask = |arguments: &[String]| {
            let output = Command::new(program).args(arguments).output();
            output.map_err(|error| format!("{}: {error}", program.display()))
        };
        let mut output = ask(&arguments)?;
        let named = self.words.last().is_some_and(|word| word.starts_with("--"));
        if !output.status.success() && named {
            // A text names an option without a value.
            arguments.insert(arguments.len() - 1, ANY.to_owned());
            output = ask(&arguments)?;
        }
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("{}: {said}", self.words.join(" ")))
    }

    /// Checks a command of cargo: that its options are among those that the documents use, and that
    /// packages, targets, features, directories and tests of these names exist. Returns the command
    /// that it would run, if that is one of `PROGRAMS`.
    ///
    /// # Errors
    ///
    /// Returns what does not exist.
    pub fn is_known_to_cargo(&self) -> Result<Option<CommandLine>, String> {
        let wrong = |what: &str| Err(format!("{}: {what}", self.words.join(" ")));
        let mut words = self.words[1..].iter().map(String::as_str).peekable();
        words.next_if(|word| word.starts_with('+'));
        let sub = words.next().unwrap_or_default();
        match sub {
            "bench" | "build" | "run" | "test" => {}
            "fuzz" => {
                let (_run, target) = (words.next(), words.next().unwrap_or_default());
                return match Workspace::at("fuzz/Cargo.toml").target("bin", target) {
                    Some(_) => Ok(None),
                    None => wrong("no such target of fuzz"),
                };
            }
            "install" => {
                let path = words.skip_while(|word| *word != "--path").nth(1);
                // The reader's checkout is called prodcon.
                let path = path.map(|path| path.strip_prefix("prodcon/").unwrap_or(path));
                return match path.is_none_or(|path| root().join(path).join("Cargo.toml").exists()) {
                    true => Ok(None),
                    false => wrong("no such package"),
                };
            }
            // Those ask a registry, or are about the reader's own packages.
            "" | "add" | "new" | "publish" | "semver-checks" | "update" => return Ok(None),
            _ => return wrong("the guide's tests do not know this command"),
        }
        let (mut named, mut filter, mut rest) = (vec![], None, vec![]);
        while let Some(word) = words.next() {
            match word {
                "--" => rest = words.by_ref().map(str::to_owned).collect(),
                "-p" | "--bin" | "--example" | "--test" | "--bench" | "--features"
                | "--manifest-path" | "--profile" | "--config" => match words.next() {
                    Some(value) => named.push((word, value)),
                    None => return wrong("a value is missing"),
                },
                "--quiet"
                | "--release"
                | "--lib"
                | "--doc"
                | "--all-features"
                | "--no-default-features"
                | "--workspace" => {}
                _ if word.starts_with('-') => return wrong(&format!("what is {word}?")),
                _ if sub == "run" => {}
                _ => filter = Some(word),
            }
        }
        let value = |option: &str| named.iter().find(|(name, _)| *name == option);
        let manifest = value("--manifest-path").map_or("Cargo.toml", |(_, path)| *path);
        let workspace = Workspace::at(manifest);
        let mut sources = None;
        for (option, name) in &named {
            let known = match *option {
                "-p" => workspace.package(name).is_some(),
                "--features" => {
                    let package = value("-p").map_or("prodcon", |(_, package)| *package);
                    let package = workspace.package(package);
                    package.is_some_and(|package| package["features"].get(*name).is_some())
                }
                "--profile" => {
                    let text = std::fs::read_to_string(root().join(manifest)).unwrap_or_default();
                    text.contains(&format!("[profile.{name}]"))
                }
                "--manifest-path" => true,
                "--config" => root().join(name).exists(),
                kind => {
                    sources = workspace.target(&kind[2..], name);
                    sources.is_some()
                }
            };
            if !known {
                return wrong(&format!("there is no {option} {name}"));
            }
        }
        if let (Some(filter), Some(main)) = (filter, &sources) {
            let dir = main.with_extension("");
            if !mentions(main, filter) && !mentions(&dir, filter) {
                return wrong(&format!("no test is called {filter}"));
            }
        }
        let package = value("-p").map_or("prodcon-cli", |(_, package)| *package);
        if sub != "run" {
            return Ok(None);
        }
        if manifest == "benches/rivals/Cargo.toml" {
            return match rivals(&rest) {
                Some(unknown) => wrong(&format!("the comparison does not know {unknown}")),
                None => Ok(None),
            };
        }
        let program = package.trim_end_matches("-cli").to_owned();
        let words = [program].into_iter().chain(rest).collect();
        let command = CommandLine {
            line: self.line,
            words,
        };
        Ok(PROGRAMS.contains(&command.program()).then_some(command))
    }
}

/// Returns the first word that the comparison with other queues does not know. It is not built
/// here, so its source is asked: each option is a field.
fn rivals(words: &[String]) -> Option<&str> {
    let (sub, options) = words.split_first()?;
    let source = root().join(format!("benches/rivals/src/{sub}/mod.rs"));
    let Ok(source) = std::fs::read_to_string(source) else {
        return Some(sub);
    };
    let options = options.iter().filter(|word| word.starts_with("--"));
    options.map(String::as_str).find(|option| {
        let field = format!("\n    {}: ", option[2..].replace('-', "_"));
        !source.replace("\n    pub ", "\n    ").contains(&field)
    })
}

/// Returns whether a file, or one below a directory, has this text in it.
fn mentions(path: &Path, text: &str) -> bool {
    if let Ok(entries) = std::fs::read_dir(path) {
        let mut entries = entries.filter_map(Result::ok);
        return entries.any(|entry| mentions(&entry.path(), text));
    }
    std::fs::read_to_string(path).is_ok_and(|source| source.contains(text))
}

/// What cargo knows of a workspace.
struct Workspace(BTreeMap<String, Value>);

impl Workspace {
    fn at(manifest: &str) -> Self {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
            .args(["--manifest-path", manifest])
            .current_dir(root())
            .output()
            .expect("cargo runs this");
        let read: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let packages = read["packages"].as_array().cloned().unwrap_or_default();
        let named = |package: Value| (package["name"].as_str().unwrap_or("").to_owned(), package);
        Self(packages.into_iter().map(named).collect())
    }

    fn package(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Returns where the source of a target begins.
    fn target(&self, kind: &str, name: &str) -> Option<PathBuf> {
        let targets = self.0.values().filter_map(|of| of["targets"].as_array());
        let target = targets.flatten().find(|target| {
            let kinds = target["kind"].as_array();
            target["name"] == name && kinds.is_some_and(|kinds| kinds.iter().any(|k| k == kind))
        })?;
        target["src_path"].as_str().map(PathBuf::from)
    }
}

/// Returns the lines of a summary of what can be said, each as the commands and the options in it:
/// `prodcon a|b NAME [--x N]` is about `a` and `b`, and has `--x`.
pub fn usage(text: &str) -> Vec<(Vec<String>, Vec<String>)> {
    let mut lines: Vec<String> = vec![];
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        match lines.last_mut() {
            Some(last) if line.starts_with(' ') => last.push_str(line),
            _ => lines.push(line.to_owned()),
        }
    }
    let option = |word: &str| {
        let end = |c: char| !(c.is_ascii_lowercase() || c == '-');
        word.split(end)
            .find(|part| part.starts_with("--"))
            .map(str::to_owned)
    };
    lines
        .iter()
        .map(|line| {
            let commands = line.split_whitespace().nth(1).unwrap_or_default();
            let options = line.split_whitespace().filter_map(option).collect();
            (commands.split('|').map(str::to_owned).collect(), options)
        })
        .collect()
}

/// Splits a script for the shell into simple commands. It knows as much of the language as the
/// documents use.
pub fn split(script: &str) -> Vec<Vec<String>> {
    let mut found = vec![];
    let mut words: Vec<String> = vec![];
    let mut word: Option<String> = None;
    let mut skip = false; // the next word is where something goes
    let mut rest = script.char_indices().peekable();
    macro_rules! end_word {
        () => {
            if let Some(word) = word.take() {
                if !std::mem::take(&mut skip) {
                    words.push(word);
                }
            }
        };
    }
    macro_rules! end_command {
        () => {
            end_word!();
            found.extend(command(std::mem::take(&mut words)));
        };
    }
    while let Some((at, c)) = rest.next() {
        match c {
            '\\' => {
                if let Some((_, next)) = rest.next().filter(|(_, next)| *next != '\n') {
                    word.get_or_insert_default().push(next);
                }
            }
            '\'' => {
                let word = word.get_or_insert_default();
                word.extend(rest.by_ref().map(|(_, c)| c).take_while(|c| *c != '\''));
            }
            '"' => {
                let quoted: String = rest
                    .by_ref()
                    .map(|(_, c)| c)
                    .take_while(|c| *c != '"')
                    .collect();
                found.extend(inner(&quoted));
                word.get_or_insert_default().push_str(&quoted);
            }
            '$' if script[at..].starts_with("$(") => {
                let length = script[at..].find(')').unwrap_or(script.len() - at);
                found.extend(inner(&script[at..at + length]));
                word.get_or_insert_default().push('$');
                while rest.next_if(|(next, _)| *next <= at + length).is_some() {}
            }
            '>' | '<' => {
                if word.as_ref().is_some_and(|word| word.parse::<u8>().is_ok()) {
                    word = None;
                }
                end_word!();
                while rest
                    .next_if(|(_, next)| matches!(next, '>' | '&'))
                    .is_some()
                {}
                skip = true;
            }
            '#' if word.is_none() => while rest.next_if(|(_, next)| *next != '\n').is_some() {},
            '\n' | ';' | '|' | '&' | '(' | ')' => {
                end_command!();
            }
            c if c.is_whitespace() => {
                end_word!();
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    end_command!();
    found
}

/// Returns the commands of the substitutions in a text.
fn inner(text: &str) -> Vec<Vec<String>> {
    let parts = text.split("$(").skip(1);
    parts
        .flat_map(|part| split(part.split(')').next().unwrap_or_default()))
        .collect()
}

/// Takes from a simple command what stands before the program, and adds the commands that it passes
/// to a shell.
fn command(mut words: Vec<String>) -> Vec<Vec<String>> {
    let mut found = vec![];
    for pair in words.windows(3) {
        if matches!(pair[0].as_str(), "sh" | "bash" | "/bin/sh") && pair[1] == "-c" {
            found.extend(split(&pair[2]));
        }
    }
    // Options for a queue of a unit, in a file.
    let options = words.iter().find_map(|word| word.strip_prefix("OPTIONS="));
    if let Some(options) = options {
        let create = ["prodcon", "create", "NAME"].into_iter();
        found.push(
            create
                .chain(options.split(' '))
                .map(str::to_owned)
                .collect(),
        );
    }
    let assigns = |word: &str| {
        let name = word.split_once('=').map(|(name, _)| name);
        name.is_some_and(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
    };
    let before = |word: &String| KEYWORDS.contains(&word.as_str()) || assigns(word);
    words.drain(..words.iter().take_while(|word| before(word)).count());
    if words
        .first()
        .is_some_and(|word| WRAPPERS.contains(&word.as_str()))
    {
        let is_program = |word: &String| {
            let name = word.rsplit('/').next().unwrap_or_default();
            PROGRAMS.contains(&name)
        };
        let start = words.iter().position(is_program).unwrap_or(0);
        words.drain(..start);
    }
    if !words.is_empty() {
        found.push(words);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(script: &str) -> Vec<String> {
        split(script).iter().map(|words| words.join(" ")).collect()
    }

    #[test]
    fn a_script_is_split_into_its_commands() {
        let script = "\
            A=1 b 'c d' \\\n  \"e\" 2>&1 >f # g\n\
            until h $i >/dev/null 2>&1; do sleep 1; done & j=$(k l | m)\n\
            n | timeout 5 path/prodcon o && exec p\n";
        assert_eq!(
            lines(script),
            [
                "b c d e",
                "h $i",
                "sleep 1",
                "done",
                "k l",
                "m",
                "n",
                "path/prodcon o",
                "exec p"
            ]
        );
        assert_eq!(split("a 'b c'"), [["a", "b c"]]);
        assert_eq!(lines("unshare sh -c '\n x y\n z'")[..2], ["x y", "z"]);
        assert_eq!(
            lines("echo 'OPTIONS=--capacity 1k' > a.conf")[0],
            "prodcon create NAME --capacity 1k"
        );
    }

    #[test]
    fn commands_are_found_in_blocks_and_in_spans() {
        let document = "\
# Title
Say `prodcon ls` or `A=b cargo test
--test c`, or `ls prodcon`.

<!-- not run: no reason -->
```sh
cd prodcon
prodcon rm a
```

```text
prodcon no-command
```
";
        let found = commands(document);
        let found: Vec<_> = found.iter().map(|c| (c.line, c.words.join(" "))).collect();
        let expected = [
            (6, "prodcon rm a"),
            (2, "prodcon ls"),
            (2, "cargo test --test c"),
        ];
        assert_eq!(
            found,
            expected.map(|(line, words)| (line, words.to_owned()))
        );
    }

    fn cargo(words: &str) -> Result<Option<CommandLine>, String> {
        let words = words.split(' ').map(str::to_owned).collect();
        CommandLine { line: 1, words }.is_known_to_cargo()
    }

    #[test]
    fn what_cargo_cannot_find_is_an_error() {
        let rivals = "cargo run --manifest-path benches/rivals/Cargo.toml --";
        for good in [
            "cargo test -p prodcon --test workers kills",
            "cargo bench --bench waiting --features async",
            "cargo +nightly fuzz run segment -- -runs=1",
            "cargo install --path prodcon/cli",
            &format!("{rivals} throughput --quick --least-trip 5"),
        ] {
            assert_eq!(cargo(good), Ok(None), "{good}");
        }
        for bad in [
            "cargo test -p producon",
            "cargo test --test worker",
            "cargo test --test workers no_such_test",
            "cargo bench --bench waiting --features asink",
            "cargo test --profile lom",
            "cargo tset",
            "cargo run --realese",
            "cargo +nightly fuzz run segments",
            "cargo install --path command",
            &format!("{rivals} throughput --quik"),
            &format!("{rivals} through"),
        ] {
            assert!(cargo(bad).is_err(), "{bad}");
        }
        let runs = cargo("cargo run --release -- demo --seconds 4")
            .unwrap()
            .unwrap();
        assert_eq!(runs.words, ["prodcon", "demo", "--seconds", "4"]);
    }

    #[test]
    fn a_summary_names_commands_and_options() {
        let text = "prodcon a NAME [--b N] (--c-d |\n    [--e]) # --f\nprodcon g|h\n";
        let words = |words: &[&str]| {
            words
                .iter()
                .map(|&word| word.to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            usage(text),
            [
                (words(&["a"]), words(&["--b", "--c-d", "--e"])),
                (words(&["g", "h"]), vec![])
            ]
        );
    }
}
