//! `prodcon bench`: measures what it says, verifies all of it, and says what speaks against its figures.

mod support;

use serde_json::Value;
use support::{Dir, until};

fn bench(dir: &Dir, line: &str) -> Value {
    serde_json::from_str(&dir.ok(&format!("bench --seconds 1 --rounds 2 --json {line}"), b""))
        .unwrap()
}

/// What every measured shape says.
fn check(shape: &Value) {
    let number = |key: &str| {
        shape[key]
            .as_f64()
            .unwrap_or_else(|| panic!("{key}: {shape}"))
    };
    assert!(
        shape["verified"] == true && number("delivered") > 0.0,
        "{shape}"
    );
    assert!(
        number("msgs_per_s_min") <= number("msgs_per_s")
            && number("msgs_per_s") <= number("msgs_per_s_max"),
        "{shape}"
    );
    assert_eq!(shape["rounds"].as_array().map(Vec::len), Some(2), "{shape}");
    if shape["lossy"] == false {
        assert_eq!(
            (number("put"), number("dropped")),
            (number("delivered"), 0.0),
            "{shape}"
        );
    }
}

#[test]
fn a_sweep_has_every_size_and_shape_and_is_drawn() {
    let dir = Dir::new();
    let picture = dir.0.join("picture.svg");
    let line = format!(
        "--sizes 8,100 --shapes 1x1,2x1 --rates 500,5000 --plot {}",
        picture.display()
    );
    let result = bench(&dir, &line);
    check(&result);
    let sweep = result["sweep"].as_array().unwrap();
    sweep.iter().for_each(check);
    let shapes: Vec<_> = sweep
        .iter()
        .map(|shape| {
            ["item_size", "producers", "consumers"].map(|key| shape[key].as_u64().unwrap())
        })
        .collect();
    assert_eq!(shapes, [[8, 1, 1], [100, 1, 1], [8, 2, 1], [100, 2, 1]]);
    let quantiles = |times: &Value| {
        ["p50_ns", "p99_ns", "p999_ns", "max_ns"].map(|key| times[key].as_u64().unwrap())
    };
    assert!(
        quantiles(&result).is_sorted() && quantiles(&result)[0] > 0,
        "{result}"
    );
    let paced = result["paced"].as_array().unwrap();
    // Half a second each: every item that was due was put and came.
    let counts: Vec<_> = paced
        .iter()
        .map(|times| {
            (
                times["rate"].as_f64().unwrap(),
                times["count"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(counts, [(500.0, 250), (5000.0, 2500)]);
    paced
        .iter()
        .for_each(|times| assert!(quantiles(times).is_sorted(), "{times}"));
    let svg = std::fs::read_to_string(&picture).unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    for label in [
        "Throughput by size",
        "Latency by percentile",
        "2 producers, 1 consumer",
        "one way, 5 k/s",
        "bytes of an item (log)",
        "items per second (log)",
        "latency (log)",
        concat!("prodcon ", env!("CARGO_PKG_VERSION"), ", "),
        ", Linux ",
        " UTC.",
        "1x1",
        "of 2 rounds; every item verified.",
        "other programs used ",
    ] {
        assert!(svg.contains(label), "{label}");
    }
    std::fs::remove_file(&picture).unwrap();
    assert!(dir.is_empty());
}

#[test]
fn batches_and_items_in_place_are_measured_too() {
    let dir = Dir::new();
    let result = bench(&dir, "--batch 64 --producers 2 --consumers 2");
    check(&result);
    assert_eq!(result["batch"], 64);
    check(&bench(&dir, "--batch 7 --item-size 1024 --lossy"));
    check(&bench(&dir, "--zero-copy --item-size 1000"));
    check(&bench(&dir, "--zero-copy --item-size 64"));
    let (status, _, err) = dir.run("bench --seconds 1 --batch 2 --item-size 9", b"");
    assert!(status == 2 && err.contains("batches"), "{status} {err}");
    assert!(dir.is_empty());
}

#[test]
fn more_processes_than_cores_are_warned_of() {
    let dir = Dir::new();
    let cores = std::thread::available_parallelism().unwrap().get();
    let line = format!("bench --seconds 1 --rounds 1 --json --producers {cores} --consumers 1");
    let (status, out, err) = dir.run(&line, b"");
    let result: Value = serde_json::from_str(&out).unwrap();
    let said = format!("{} processes on {cores} cores", cores + 1);
    assert!(
        status == 0 && err.contains(&said) && result["warnings"].to_string().contains(&said),
        "{out}{err}"
    );
    assert_eq!(result["pinned"], false);
}

#[test]
fn an_interrupted_benchmark_leaves_nothing() {
    let dir = Dir::new();
    let bench = dir.start("bench --seconds 30");
    until("the start", || dir.processes().len() > 2);
    bench.signal("-INT");
    let (status, out, err) = bench.end();
    assert_eq!((status, out.as_str()), (130, ""), "{err}");
    assert!(dir.is_empty() && dir.processes().is_empty());
}
