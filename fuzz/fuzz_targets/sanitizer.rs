//! What both targets tell AddressSanitizer.

unsafe extern "C" {
    safe fn __asan_poison_memory_region(start: *const u8, len: usize);
    safe fn __asan_unpoison_memory_region(start: *const u8, len: usize);
}

/// What lies behind the end of a pretended file is not to be touched.
pub fn mark(start: *const u8, len: usize, good: bool) {
    if good {
        __asan_unpoison_memory_region(start, len)
    } else {
        __asan_poison_memory_region(start, len)
    }
}

/// AddressSanitizer asks for these. A simulated death that unwinds out of a Drop leaks the value that its function was about to return; no real one does: no search for
/// leaks. The others make it several times as fast; what is freed
/// stays poisoned for longer than an input lasts.
#[unsafe(no_mangle)]
extern "C" fn __asan_default_options() -> *const std::ffi::c_char {
    c"detect_leaks=0:malloc_context_size=0:detect_stack_use_after_return=0:quarantine_size_mb=1:thread_local_quarantine_size_kb=64:allocator_release_to_os_interval_ms=-1".as_ptr()
}
