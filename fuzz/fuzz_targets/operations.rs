//! Operations and kills against a model. See `prodcon_fuzz_bodies::operations`.
#![no_main]
use libfuzzer_sys::fuzz_target;
use prodcon_fuzz_bodies::{operations, scratch};

fuzz_target!(init: scratch::clean_up_on_panic(), |data: &[u8]| operations::run(data));

/// AddressSanitizer asks for these. A simulated death that unwinds out of a Drop leaks the value that its function was about to return; no real one does: no search for
/// leaks. The others make it three times as fast.
#[unsafe(no_mangle)]
extern "C" fn __asan_default_options() -> *const std::ffi::c_char {
    c"detect_leaks=0:malloc_context_size=1:detect_stack_use_after_return=0:quarantine_size_mb=32".as_ptr()
}
