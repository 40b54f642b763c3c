//! Gives the shared object its soname, and beside it the link of that name, so that a program linked
//! with `-L target/release -lprodcon` runs with `LD_LIBRARY_PATH=target/release`.
//!
//! The soname has the part of the version that says whether programs built before still run: up to 1.0
//! the second number, later the first alone.

use std::path::Path;

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let number = |name| std::env::var(format!("CARGO_PKG_VERSION_{name}")).expect("cargo sets it");
    let compatible = match number("MAJOR").as_str() {
        "0" => format!("0.{}", number("MINOR")),
        major => major.to_owned(),
    };
    let soname = format!("libprodcon.so.{compatible}");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,{soname}");
    // OUT_DIR is TARGET/PROFILE/build/PACKAGE/out; the library will be TARGET/PROFILE/libprodcon.so.
    let out = std::env::var_os("OUT_DIR").expect("cargo sets it");
    let Some(profile) = Path::new(&out).ancestors().nth(3) else {
        return Ok(());
    };
    let link = profile.join(soname);
    let _ = std::fs::remove_file(&link);
    std::os::unix::fs::symlink("libprodcon.so", link)
}
