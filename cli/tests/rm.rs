//! `prodcon rm`: each name for itself, and not while processes are attached.

mod support;

use support::{Dir, until};

#[test]
fn each_name_is_told_of_and_the_others_go_on() {
    let dir = Dir::new();
    for name in ["a", "c", "d"] {
        dir.ok(&format!("create {name} --capacity 4 --item-size 4"), b"");
    }
    dir.ok("put c", b"1\n2\n");
    let (status, _, err) = dir.run("rm none-1 a -- .bad none-2 c", b"");
    assert_eq!(status, 1, "{err}");
    for text in [
        "there is no queue 'none-1'",
        "there is no queue 'none-2'",
        "'.bad' cannot be",
        "removed 'a'\n",
        "removed 'c' with 2 items in it\n",
    ] {
        assert!(err.contains(text), "{text}: {err}");
    }
    assert_eq!(dir.ok("ls", b"").lines().count(), 2, "only d is left");
    std::fs::write(dir.0.join("prodcon.broken"), b"no segment").unwrap();
    dir.ok("rm broken d", b"");
    assert!(dir.is_empty());
}

#[test]
fn a_queue_in_use_is_removed_by_force_only() {
    let dir = Dir::new();
    dir.ok("create q --capacity 4 --item-size 4", b"");
    dir.ok("create free --capacity 4 --item-size 4", b"");
    let get = dir.start("get q --follow");
    until("its seat", || dir.stat("q")["seats_live"] == 1);
    let (status, _, err) = dir.run("rm q free", b"");
    let user = format!("queue 'q' is in use by process {}", get.0.id());
    assert!(
        status == 1
            && err.contains(&user)
            && err.contains("--force")
            && err.contains("removed 'free'"),
        "{err}"
    );
    assert_eq!(dir.stat("q")["seats_live"], 1);
    let (status, _, err) = dir.run("rm --force q", b"");
    assert!(status == 0 && err.contains("still attached"), "{err}");
    assert!(dir.is_empty());
    // The process that was attached hears of it.
    let (status, _, err) = get.end();
    assert!(status == 1 && err.contains("was removed"), "{status} {err}");
}
