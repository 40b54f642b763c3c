//! Arbitrary bytes as a segment. See `prodcon_fuzz_bodies::segment`.
#![no_main]
use libfuzzer_sys::fuzz_target;
use prodcon_fuzz_bodies::{scratch, segment};

fuzz_target!(init: scratch::clean_up_on_panic(), |data: &[u8]| segment::run(data));
