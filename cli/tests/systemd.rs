//! The systemd units of the documentation: systemd finds no fault with them, and what they run works.

mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use support::{Dir, Started, until};

/// Each unit's name and text, with programs that are here.
fn units() -> Vec<(String, String)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/systemd");
    let mut units: Vec<(String, String)> = std::fs::read_dir(dir)
        .unwrap()
        .map(|file| {
            let file = file.unwrap();
            let text = std::fs::read_to_string(file.path()).unwrap();
            let text = text
                .replace("/usr/bin/prodcon", env!("CARGO_BIN_EXE_prodcon"))
                .replace("/usr/local/bin/handle-lines", "/bin/cat")
                .replace("/usr/local/bin/sum_consumer", "/bin/true");
            assert!(!text.contains("/usr/local"), "{text}");
            (file.file_name().into_string().unwrap(), text)
        })
        .collect();
    units.sort();
    units
}

#[test]
fn systemd_finds_no_fault_with_the_units() {
    let dir = Dir::new();
    let units = units();
    assert_eq!(units.len(), 5);
    for (name, text) in &units {
        std::fs::write(dir.0.join(name), text).unwrap();
    }
    for (name, _) in &units {
        // A template is looked at as one of its instances.
        let unit = dir.0.join(name.replace('@', "@lines"));
        let verify = Command::new("systemd-analyze")
            .args(["verify", "--man=no"])
            .arg(unit)
            .output();
        let Ok(verify) = verify else {
            println!("SKIPPED: systemd-analyze is not here");
            return;
        };
        let said = String::from_utf8_lossy(&verify.stderr);
        assert!(verify.status.success() && said.is_empty(), "{name}: {said}");
    }
}

/// What a unit runs, in order.
fn programs(name: &str) -> Vec<String> {
    let units = units();
    let (_, text) = units.iter().find(|(unit, _)| unit == name).unwrap();
    text.lines()
        .filter_map(|line| line.strip_prefix("ExecStart="))
        .map(str::to_owned)
        .collect()
}

/// The script of `/bin/sh -c '...'`.
fn script(name: &str) -> String {
    let [program] = programs(name).try_into().unwrap();
    let script = program.strip_prefix("/bin/sh -c '").unwrap();
    script.strip_suffix('\'').unwrap().to_owned()
}

fn shell(dir: &Dir, script: &str) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell
        .args(["-c", script])
        .env("PRODCON_DIR", &dir.0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    shell
}

#[test]
fn the_pipeline_of_the_units_moves_lines() {
    let dir = Dir::new();
    let options = "--capacity 10k --item-size 4KiB --at-least-once --mode 660";
    let create = programs("prodcon-queue@.service");
    assert!(create.len() == 2, "{create:?}");
    let text = units()
        .into_iter()
        .find(|(name, _)| name == "prodcon-queue@.service");
    assert!(text.unwrap().1.contains(&format!("OPTIONS={options}\n")));
    for again in [false, true] {
        for line in &create {
            // systemd takes a failure of the first one, that the queue is there, for none.
            let (line, may_fail) = match line.strip_prefix('-') {
                Some(line) => (line, again),
                None => (line.as_str(), false),
            };
            let line = line.replace("%i", "lines").replace("$OPTIONS", options);
            let output = shell(&dir, &line).output().unwrap();
            assert_eq!(output.status.success(), !may_fail, "{line}: {output:?}");
        }
    }
    let get = script("lines-get.service");
    let get = Started(shell(&dir, &get).spawn().unwrap());
    let put = script("lines-put.service");
    let (source, put) = put.split_once(" | ").unwrap();
    assert!(source.starts_with("journalctl "), "{source}");
    let put = shell(&dir, &format!("printf 'one\\ntwo\\n' | {put}"));
    let put = { put }.output().unwrap();
    assert!(put.status.success(), "{put:?}");
    until("the lines' arrival", || dir.stat("lines")["gets"] == 2);
    dir.ok("state lines stop_at_queue_end", b"");
    let (status, out, err) = get.end();
    assert_eq!((status, out.as_str()), (0, "one\ntwo\n"), "{err}");
}
