//! Operations and kills against a model. See `prodcon_fuzz_bodies::operations`.
#![no_main]
use libfuzzer_sys::fuzz_target;
use prodcon_fuzz_bodies::{operations, scratch};

fuzz_target!(init: scratch::clean_up_on_panic(), |data: &[u8]| operations::run(data));
