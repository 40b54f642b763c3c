//! What the fuzz targets do with their input. `cargo +nightly fuzz run segment` (and `operations`) calls it under libFuzzer and AddressSanitizer;
//! `cargo test -p prodcon-fuzz-bodies` in `fuzz/` runs it over the corpus and over random inputs with any compiler.

#[cfg(not(fuzzing))]
compile_error!("run this inside fuzz/, where .cargo/config.toml sets `--cfg fuzzing`");

mod file;
pub mod operations;
pub mod scratch;
pub mod segment;
pub mod trace;
