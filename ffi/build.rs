//! Gives the shared object its soname, and beside it the link of that name, so that a program linked with `-L target/release -lprodcon` runs with `LD_LIBRARY_PATH=target/release`.

use std::path::Path;

const SONAME: &str = "libprodcon.so.0";

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,{SONAME}");
    // OUT_DIR is TARGET/PROFILE/build/PACKAGE/out; the library will be TARGET/PROFILE/libprodcon.so.
    let out = std::env::var_os("OUT_DIR").expect("cargo sets it");
    let Some(profile) = Path::new(&out).ancestors().nth(3) else { return Ok(()) };
    let link = profile.join(SONAME);
    let _ = std::fs::remove_file(&link);
    std::os::unix::fs::symlink("libprodcon.so", link)
}
