//! Arbitrary bytes as a segment. See `prodcon_fuzz_bodies::segment`.
#![no_main]

mod sanitizer;

use libfuzzer_sys::fuzz_target;
use prodcon_fuzz_bodies::{scratch, segment};

fuzz_target!(init: scratch::under_libfuzzer(sanitizer::mark), |data: &[u8]| segment::run(data));
