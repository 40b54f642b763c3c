//! Operations and kills against a model. See `prodcon_fuzz_bodies::operations`.
#![no_main]

mod sanitizer;

use libfuzzer_sys::fuzz_target;
use prodcon_fuzz_bodies::{operations, scratch};

fuzz_target!(init: scratch::under_libfuzzer(sanitizer::mark), |data: &[u8]| operations::run(data));
