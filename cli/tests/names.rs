//! Names, numbers and help as people use them.

mod support;

use support::{Dir, until};

#[test]
fn several_names_and_patterns_are_taken() {
    let dir = Dir::new();
    for name in ["cam-1", "cam-2", "other"] {
        dir.ok(
            &format!("create {name} --capacity 1k --item-size 2KiB"),
            b"",
        );
    }
    let names = |text: &str| -> Vec<String> {
        let lines = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines
            .map(|figures| figures["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&dir.ok("stat cam-* --json", b"")), ["cam-1", "cam-2"]);
    assert_eq!(
        names(&dir.ok("stat other cam-? other --json", b"")),
        ["other", "cam-1", "cam-2"]
    );
    assert_eq!(
        names(&dir.ok("doctor other cam-1 --json", b"")),
        ["other", "cam-1"]
    );
    assert_eq!(
        dir.ok("stat cam-*", b"")
            .matches(" 1000 items of up to 2KiB\n")
            .count(),
        2
    );
    assert_eq!(dir.ok("doctor *", b"").matches("sound").count(), 3);
    let listed = |line: &str| {
        dir.ok(line, b"")
            .lines()
            .skip(1)
            .map(|line| line[..5].to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(listed("ls cam-2 o*"), ["cam-2", "other"]);
    #[cfg(feature = "top")]
    assert_eq!(
        listed("top --once --interval 0.05 *2 cam-1"),
        ["cam-1", "cam-2"]
    );
    for line in ["stat none* other --json", "ls none*", "doctor none*"] {
        dir.fails(line, 1, "no queue fits 'none*'");
    }
    let (status, out, err) = dir.run("stat none cam-1 --json", b"");
    assert!(
        status == 1 && names(&out) == ["cam-1"] && err.contains("'none'"),
        "{out}{err}"
    );
    let (status, out, err) = dir.run("ls none cam-1", b"");
    assert!(
        status == 1 && out.contains("cam-1") && err.contains("'none'"),
        "{out}{err}"
    );
}

#[test]
fn what_was_meant_is_proposed() {
    let dir = Dir::new();
    dir.ok("create camera-frames --capacity 4 --item-size 4", b"");
    dir.fails("get camera-frame", 1, "did you mean 'camera-frames'?");
    dir.fails("rm camrea-frames", 1, "did you mean 'camera-frames'?");
    let (_, _, err) = dir.run("get elsewhere", b"");
    assert!(
        err.contains("'elsewhere'") && !err.contains("mean"),
        "{err}"
    );
    let (status, _, err) = dir.run("creat q", b"");
    assert!(status == 2 && err.contains("'create'"), "{err}");
}

#[test]
fn a_put_can_wait_until_the_queue_is_ready() {
    let dir = Dir::new();
    dir.ok("create q --capacity 4 --item-size 4 --not-ready", b"");
    dir.fails("put q", 4, "--wait-ready");
    dir.fails(
        "put q --wait-ready --timeout 0.05",
        3,
        "did not become ready",
    );
    let mut put = dir.start("put q --wait-ready");
    std::io::Write::write_all(put.0.stdin.as_mut().unwrap(), b"late\n").unwrap();
    drop(put.0.stdin.take());
    until("its seat", || dir.stat("q")["seats_live"] == 1);
    dir.ok("ready q", b"");
    assert_eq!(put.end().0, 0);
    assert_eq!(dir.ok("get q", b""), "late\n");
}

#[test]
fn completions_and_pages_name_what_there_is_and_nothing_internal() {
    let dir = Dir::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = dir.ok(&format!("completions {shell}"), b"");
        assert!(
            script.contains("not-ready") && script.contains("item-size"),
            "{shell}"
        );
        assert!(!script.contains("worker"), "{shell}");
        match std::process::Command::new(shell)
            .arg("-n")
            .stdin(std::process::Stdio::piped())
            .spawn()
        {
            Ok(mut child) => {
                std::io::Write::write_all(&mut child.stdin.take().unwrap(), script.as_bytes())
                    .unwrap();
                assert!(child.wait().unwrap().success(), "{shell}");
            }
            Err(error) => println!("SKIPPED: syntax of the script for {shell}: {error}"),
        }
    }
    assert!(dir.ok("man", b"").contains(".TH prodcon 1"));
    assert!(dir.ok("man put", b"").contains(r"\-\-wait\-ready"));
    dir.fails("man puut", 2, "'puut'");
    dir.ok(&format!("man --to {}", dir.0.display()), b"");
    let pages: Vec<String> = std::fs::read_dir(&dir.0)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(
        pages.iter().any(|page| page == "prodcon-create.1"),
        "{pages:?}"
    );
    assert!(
        !pages.iter().any(|page| page.contains("worker")),
        "{pages:?}"
    );
    dir.fails("man --to /nowhere", 1, "/nowhere");
}

#[test]
fn a_queue_that_a_pattern_found_may_go_meanwhile() {
    use prodcon::{AttachOptions, Control, QueueOptions};
    use std::sync::atomic::{AtomicBool, Ordering};
    let dir = Dir::new();
    let options = QueueOptions::new(1)
        .seats(1)
        .attach(AttachOptions::new().directory(&dir.0));
    let _stays = Control::create::<u64>("c-stays", &options).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let name = |number| format!("c-{number}");
                let make = |number| Control::create::<u64>(&name(number), &options).unwrap();
                let made: Vec<Control> = (0..20).map(make).collect();
                made.into_iter().for_each(|made| made.unlink().unwrap());
            }
        });
        let runs: Vec<_> = (0..12)
            .flat_map(|_| ["stat c-* --json", "doctor c-*", "ls c-*"])
            .map(|line| (line, dir.run(line, b"")))
            .collect();
        done.store(true, Ordering::Relaxed);
        for (line, (status, out, err)) in runs {
            assert!(status == 0 && out.contains("c-stays"), "{line}: {err}");
        }
    });
}
