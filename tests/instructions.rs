//! How many instructions an operation has, counted by callgrind. A count is the same each time,
//! where a time is not, so a path that became longer shows at once.
//!
//! The ceilings are generous: they are for a path that was lost, not for a compiler's mood. Only
//! optimized code is worth counting: `cargo test --release -p prodcon --test instructions`.

mod common;

use common::Dir;
use prodcon::{AttachOptions, GetError, PutError, QueueOptions, ReadyQueue};
use std::hint::black_box;
use std::process::Command;

/// Says to the test's own program, under valgrind, what to do how often.
const WHAT: &str = "PRODCON_COUNT_WHAT";
const TIMES: &str = "PRODCON_COUNT_TIMES";

/// What is counted, and at most how many instructions of it.
const CEILINGS: [(&str, f64); 6] = [
    ("put and get_into", 290.0),
    ("put and take", 370.0),
    ("put and get_into without copies in slots", 280.0),
    ("put and take without copies in slots", 350.0),
    ("try_get in vain", 180.0),
    ("try_put in vain", 100.0),
];

/// What the name of a case ends with if its queue has no copies in slots.
const WITHOUT: &str = " without copies in slots";

fn queue(dir: &Dir, what: &str) -> ReadyQueue<u64> {
    let attach = AttachOptions::new().directory(&dir.0);
    let options = QueueOptions::new(1024).copy_in_slot(!what.ends_with(WITHOUT));
    ReadyQueue::create("q", &options.attach(attach)).unwrap()
}

#[inline(never)]
fn work(queue: &mut ReadyQueue<u64>, what: &str, times: u64) {
    let mut place = 0;
    match what.trim_end_matches(WITHOUT) {
        "put and get_into" => {
            for item in 0..times {
                queue.put(&item).unwrap();
                queue.get_into(&mut place).unwrap();
                assert_eq!(black_box(place), item);
            }
        }
        "put and take" => {
            for item in 0..times {
                queue.put(&item).unwrap();
                let taken = queue.take().unwrap();
                assert_eq!(black_box(*taken), item);
                taken.ack();
            }
        }
        "try_get in vain" => {
            for _ in 0..times {
                let answer = queue.try_get_into(&mut place);
                assert!(matches!(answer, Err(GetError::Empty)));
            }
        }
        "try_put in vain" => {
            while queue.try_put(&1).is_ok() {}
            for item in 0..times {
                assert!(matches!(queue.try_put(&item), Err(PutError::Full)));
            }
        }
        other => panic!("nobody knows '{other}'"),
    }
}

/// What runs under valgrind. Without its variables, which is how everybody else runs it, it has
/// nothing to do.
#[test]
fn part_under_valgrind() {
    let (Ok(what), Ok(times)) = (std::env::var(WHAT), std::env::var(TIMES)) else {
        return;
    };
    let dir = Dir::new();
    work(&mut queue(&dir, &what), &what, times.parse().unwrap());
}

/// Returns the instructions of all.
fn count(what: &str, times: u64) -> u64 {
    let done = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "part_under_valgrind", "--test-threads=1"])
        .envs([(WHAT, what), (TIMES, &times.to_string())])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{text}");
    let collected = text
        .lines()
        .find_map(|line| line.split("Collected :").nth(1));
    collected
        .and_then(|number| number.trim().parse().ok())
        .unwrap_or_else(|| panic!("callgrind said something else: {text}"))
}

#[test]
fn an_operation_has_no_more_instructions_than_it_had() {
    if cfg!(debug_assertions) {
        return println!("SKIPPED: counts of instructions: only of a build with --release");
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        return println!("SKIPPED: counts of instructions: there is no valgrind");
    }
    let (few, many) = (2_000, 22_000);
    let mut too_many = vec![];
    for (what, ceiling) in CEILINGS {
        let instructions = (count(what, many) - count(what, few)) as f64 / (many - few) as f64;
        println!("{what}: {instructions:.1} instructions (ceiling {ceiling})");
        if instructions > ceiling {
            too_many.push(what);
        }
    }
    assert!(too_many.is_empty(), "too many instructions: {too_many:?}");
}
