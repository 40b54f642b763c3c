//! Two machines: the bridges are in network namespaces of their own, and the link between them is
//! delayed and cut. And the unit for systemd.

mod common;

use common::{Dir, can_run, get, launcher, nats, nothing, skipped, until};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

fn sh(line: &str) -> bool {
    let output = Command::new("sh").args(["-c", line]).output().unwrap();
    if !output.status.success() {
        eprint!("{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
    output.status.success()
}

/// A network namespace joined to the one of the server by a pair of devices. It goes when this is
/// dropped.
struct Namespaces(String);

impl Namespaces {
    /// Returns `None` where this is not allowed.
    fn new() -> Option<Self> {
        let id = std::process::id() % 100_000;
        let made = Self(format!("pb{id}"));
        let name = &made.0;
        let all = sh(&format!(
            "ip netns add {name} && ip netns add {name}s \
             && ip link add {name}a type veth peer name {name}b \
             && ip link set {name}a netns {name} && ip link set {name}b netns {name}s \
             && ip -n {name} addr add 10.99.0.1/24 dev {name}a && ip -n {name} link set {name}a up \
             && ip -n {name}s addr add 10.99.0.2/24 dev {name}b && ip -n {name}s link set {name}b up \
             && ip -n {name}s link set lo up && ip -n {name} link set lo up"
        ));
        all.then_some(made)
    }

    /// Delays what goes to the server, or says that it cannot.
    fn delay(&self, time: &str) -> bool {
        let name = &self.0;
        sh(&format!(
            "tc -n {name} qdisc add dev {name}a root netem delay {time}"
        ))
    }

    fn link(&self, state: &str) {
        let name = &self.0;
        assert!(sh(&format!("ip -n {name} link set {name}a {state}")));
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        let name = &self.0;
        sh(&format!("ip netns del {name}; ip netns del {name}s; true"));
    }
}

#[test]
fn a_link_that_is_delayed_and_cut_loses_nothing_and_doubles_nothing() {
    if !can_run() {
        return;
    }
    let Some(namespaces) = Namespaces::new() else {
        return skipped("network namespaces are not allowed here");
    };
    if !namespaces.delay("20ms") {
        skipped("the delay (tc netem is not to be had); the link is cut all the same");
    }
    let dir = Dir::new();
    let name = &namespaces.0;
    // The server and `in` are on one machine, `out` is on the other.
    let config = dir.0.join("nats.conf");
    let text = format!(
        "listen: 10.99.0.2:4222\njetstream {{ store_dir: '{}', sync_interval: always \
             }}\nping_interval: '1s'\n",
        dir.0.join("js").display()
    );
    std::fs::write(&config, text).unwrap();
    let program = nats::find().unwrap();
    let mut server = Command::new("ip");
    server
        .args(["netns", "exec", &format!("{name}s")])
        .arg(program)
        .arg("-c")
        .arg(&config);
    server.arg("-l").arg(dir.0.join("nats.log"));
    let _server = nats::Guarded::start(launcher(), &mut server).unwrap();
    let (mut near, mut far) = dir.two::<u64>();
    let url = "nats://10.99.0.2:4222";
    let out = dir.bridge_in(name, &["out", "near", "--to", url, "--stream", "s"]);
    let _in = dir.bridge_in(
        &format!("{name}s"),
        &[
            "in",
            "far",
            "--from",
            url,
            "--stream",
            "s",
            "--only-producer",
            "--ack-wait",
            "2s",
        ],
    );
    let items: Vec<u64> = (0..3000).collect();
    let writer = std::thread::spawn(move || near.put_slice(&items).map(|()| near));
    let mut got = get(&mut far, 300);
    namespaces.link("down");
    std::thread::sleep(Duration::from_secs(2));
    namespaces.link("up");
    got.extend(get(&mut far, 2700));
    got.sort_unstable();
    assert_eq!(got, (0..3000).collect::<Vec<_>>(), "{}", out.said());
    let near = writer.join().unwrap().unwrap();
    until("all are acknowledged", || {
        near.control().stats().unwrap().gets == 3000
    });
    nothing(&mut far);
}

#[test]
fn systemd_accepts_the_unit() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("prodcon-bridge@.service");
    let dir = Dir::new();
    // Verifying needs the program and an instance.
    let text = std::fs::read_to_string(&unit).unwrap();
    let text = text.replace(
        "/usr/local/bin/prodcon-bridge",
        env!("CARGO_BIN_EXE_prodcon-bridge"),
    );
    let copy = dir.0.join("prodcon-bridge@jobs.service");
    std::fs::write(&copy, text.replace("User=prodcon", "User=root")).unwrap();
    match Command::new("systemd-analyze")
        .arg("verify")
        .arg(&copy)
        .output()
    {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let ours: Vec<&str> = said
                .lines()
                .filter(|line| line.contains("prodcon-bridge"))
                .collect();
            assert!(ours.is_empty(), "{ours:?}");
        }
        Err(error) => skipped(&format!("systemd-analyze: {error}")),
    }
}
