//! The targets' bodies over the corpus, and over random inputs that are the same each time; with any compiler.

use prodcon_fuzz_bodies::scratch::Kernel;
use prodcon_fuzz_bodies::{operations, segment};
use std::path::Path;

/// As many random inputs for each target; `PRODCON_FUZZ_RUNS` for more.
fn runs() -> u64 {
    std::env::var("PRODCON_FUZZ_RUNS")
        .ok()
        .and_then(|runs| runs.parse().ok())
        .unwrap_or(2000)
}

fn corpus(target: &str, body: fn(Kernel, &[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../corpus")
        .join(target);
    let mut files: Vec<_> = std::fs::read_dir(&dir)
        .expect("the corpus")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    assert!(
        files.len() >= 10,
        "{} inputs in {}",
        files.len(),
        dir.display()
    );
    for file in files {
        println!("{}", file.display()); // the last one shown is the one that failed
        let input = std::fs::read(&file).expect("an input");
        body(Kernel::Pretended, &input);
        body(Kernel::Real, &input);
    }
}

/// xorshift: small, and the same everywhere.
fn random(body: fn(Kernel, &[u8])) {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for run in 0..runs() {
        let kernel = if run % 4 == 0 {
            Kernel::Real
        } else {
            Kernel::Pretended
        };
        let len = next() % 400;
        let input: Vec<u8> = (0..len).map(|_| (next() >> 32) as u8).collect();
        let outcome = std::panic::catch_unwind(|| body(kernel, &input));
        if let Err(panic) = outcome {
            let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("failed");
            std::fs::write(&file, &input).expect("a file");
            println!(
                "{} bytes in {}, {kernel:?} kernel: run the example `replay` on it",
                input.len(),
                file.display()
            );
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn arbitrary_bytes_as_a_segment_are_harmless_in_the_corpus() {
    corpus("segment", segment::run_on);
}

#[test]
fn arbitrary_bytes_as_a_segment_are_harmless_at_random() {
    random(segment::run_on);
}

#[test]
fn operations_and_kills_do_what_the_model_does_in_the_corpus() {
    corpus("operations", operations::run_on);
}

#[test]
fn operations_and_kills_do_what_the_model_does_at_random() {
    random(operations::run_on);
}
