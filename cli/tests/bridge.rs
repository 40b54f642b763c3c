//! `prodcon bridge` becomes the program of that name, where it is installed.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use support::Dir;

/// Runs a copy of the program, beside which the tests decide what lies. Returns its status and all
/// it said.
fn run(dir: &Path, path: &Path) -> (Option<i32>, String) {
    let program = dir.join("prodcon");
    std::fs::copy(env!("CARGO_BIN_EXE_prodcon"), &program).unwrap();
    let output = Command::new(program)
        .args(["bridge", "out", "jobs", "--to", "nats://a", "--help"])
        .env("PATH", path)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

fn install(place: &Path) {
    std::fs::write(place, "#!/bin/sh\necho \"$@\"\nexit 7\n").unwrap();
    std::fs::set_permissions(place, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn bridge_runs_the_program_beside_this_one_or_on_the_path_or_says_that_there_is_none() {
    let (dir, elsewhere) = (Dir::new(), Dir::new());
    let (status, text) = run(&dir.0, &elsewhere.0);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("prodcon-bridge is not installed"), "{text}");
    let expected = (Some(7), "out jobs --to nats://a --help\n".to_owned());
    install(&elsewhere.0.join("prodcon-bridge"));
    assert_eq!(run(&dir.0, &elsewhere.0), expected);
    std::fs::remove_file(elsewhere.0.join("prodcon-bridge")).unwrap();
    install(&dir.0.join("prodcon-bridge"));
    assert_eq!(run(&dir.0, &elsewhere.0), expected);
}
