//! What the operating system refuses is named, with a way out that works.

mod support;

use std::io::Read;
use std::path::Path;
use std::process::Command;
use support::Dir;

/// Runs in a shell, with `$p` for the program: status and stderr.
fn shell(dir: &Path, text: &str) -> (i32, String) {
    let mut command = Command::new("sh");
    command
        .args(["-c", text])
        .env("PRODCON_DIR", dir)
        .env("p", env!("CARGO_BIN_EXE_prodcon"));
    let output = command.output().unwrap();
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8(output.stderr).unwrap(),
    )
}

fn fails(dir: &Path, text: &str, expected: &[&str]) -> String {
    let (status, err) = shell(dir, text);
    assert_eq!(status, 1, "{text}: {err}");
    for part in expected {
        assert!(err.contains(part), "{text}: {part}: {err}");
    }
    err
}

#[test]
fn a_file_limit_is_named_before_it_kills() {
    let dir = Dir::new();
    let create = "\"$p\" create q --capacity 1000 --item-size 1000";
    let expected = ["'q'", "at most 512000", "ulimit -f"];
    fails(&dir.0, &format!("ulimit -f 1000; exec {create}"), &expected);
    fails(
        &dir.0,
        &format!("trap '' XFSZ; ulimit -f 1000; exec {create}"),
        &expected,
    );
    let metrics = "\"$p\" metrics --once --textfile \"$PRODCON_DIR/x.prom\"";
    let err = fails(
        &dir.0,
        &format!("ulimit -f 0; exec {metrics}"),
        &["x.prom", "ulimit -f"],
    );
    assert!(!err.contains("must exist"), "{err}");
    assert!(dir.is_empty());
}

#[test]
fn a_directory_that_cannot_be_listed_is_not_said_to_be_missing() {
    let dir = Dir::new();
    let (file, ring) = (dir.0.join("file"), dir.0.join("loop"));
    std::fs::write(&file, b"").unwrap();
    std::os::unix::fs::symlink("loop", &ring).unwrap();
    for line in ["ls", "top --once"] {
        fails(&file, &format!("exec \"$p\" {line}"), &["directory"]);
        let err = fails(
            &ring,
            &format!("exec \"$p\" {line}"),
            &["listed", "Too many levels"],
        );
        assert!(!err.contains("does not exist"), "{err}");
        fails(
            &dir.0.join("none"),
            &format!("exec \"$p\" {line}"),
            &["does not exist"],
        );
    }
    // Descriptors that are used up while it runs.
    let mut top = dir.start("top --interval 0.2");
    top.0.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    let pid = top.0.id().to_string();
    let limited = Command::new("prlimit")
        .args(["--pid", &pid, "--nofile=3:3"])
        .output();
    if !limited.is_ok_and(|output| output.status.success()) {
        println!("SKIPPED: descriptors that are used up: prlimit is not here");
        return;
    }
    let (status, _, err) = top.end();
    assert!(
        status == 1 && err.contains("Too many open files"),
        "{status} {err}"
    );
}

#[test]
fn who_may_not_write_or_read_a_directory_is_told_so() {
    use std::os::unix::fs::PermissionsExt;
    let dir = Dir::new();
    let inner = dir.0.join("inner");
    std::fs::create_dir(&inner).unwrap();
    std::fs::set_permissions(&inner, PermissionsExt::from_mode(0o711)).unwrap();
    std::fs::copy(env!("CARGO_BIN_EXE_prodcon"), dir.0.join("p")).unwrap();
    let as_nobody = format!(
        "exec setpriv --reuid 65534 --clear-groups {}/p",
        dir.0.display()
    );
    if shell(&inner, &format!("{as_nobody} --version")).0 != 0 {
        println!("SKIPPED: becoming another user is not allowed here");
        return;
    }
    let create = "create q --capacity 1 --item-size 8";
    let err = fails(&inner, &format!("{as_nobody} {create}"), &["inner"]);
    assert!(
        !err.contains("its owner"),
        "there is no queue that could have one: {err}"
    );
    let err = fails(&inner, &format!("{as_nobody} ls"), &["list", "inner"]);
    assert!(!err.contains("'*'"), "{err}");
    assert_eq!(shell(&inner, &format!("\"$p\" {create}")).0, 0);
    fails(
        &inner,
        &format!("{as_nobody} put q"),
        &["no permission for queue 'q'", "wider mode"],
    );
    fails(
        &inner,
        &format!("{as_nobody} rm q"),
        &["no permission", "'q'"],
    );
    assert!(inner.join("prodcon.q").exists());
    // A directory in which everybody may write, and nobody remove what is another's: as /dev/shm.
    std::fs::set_permissions(&inner, PermissionsExt::from_mode(0o1777)).unwrap();
    assert_eq!(shell(&inner, "\"$p\" rm q").0, 0);
    assert_eq!(shell(&inner, &format!("\"$p\" {create} --mode 666")).0, 0);
    let err = fails(
        &inner,
        &format!("{as_nobody} rm q"),
        &["no permission to remove", "'q'", "owns"],
    );
    assert!(!err.contains("mode"), "a wider mode does not help: {err}");
    std::fs::set_permissions(&inner, PermissionsExt::from_mode(0o700)).unwrap();
    for line in ["get q", "get none", "rm q"] {
        let err = fails(
            &inner,
            &format!("{as_nobody} {line}"),
            &["inner cannot be used", "Permission denied"],
        );
        assert!(!err.contains("its owner"), "nobody knows of a queue: {err}");
    }
}

#[test]
fn a_full_file_system_is_told_from_one_without_inodes() {
    let dir = Dir::new();
    let mounted = |options: &str, then: &str| {
        let text = format!(
            "exec unshare -m sh -c 'mount -t tmpfs -o {options} none \"$PRODCON_DIR\" && {then}'"
        );
        shell(&dir.0, &text)
    };
    if mounted("size=64k", "true").0 != 0 {
        println!("SKIPPED: mounting is not allowed here");
        return;
    }
    let (status, err) = mounted(
        "size=64k",
        "exec \"$p\" create q --capacity 1000 --item-size 1000",
    );
    assert!(
        status == 1 && err.contains("make it smaller, or remove queues that nobody needs"),
        "{status} {err}"
    );
    let (status, err) = mounted(
        "size=10m,nr_inodes=1",
        "exec \"$p\" create q --capacity 1 --item-size 8",
    );
    assert!(
        status == 1 && err.contains("no inodes left") && !err.contains("smaller"),
        "{status} {err}"
    );
    assert!(
        err.contains("queue 'q'") && err.contains("`prodcon ls`"),
        "{err}"
    );
}
