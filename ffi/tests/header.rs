//! `include/prodcon.h` is what cbindgen makes of the crate's sources. `PRODCON_BLESS=1 cargo test
//! -p prodcon-ffi --test header` rewrites it.

use std::path::Path;

#[test]
fn the_committed_header_is_what_cbindgen_makes_of_the_sources() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut builder = cbindgen::Builder::new()
        .with_config(cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap());
    // In the order in which a reader of the header wants them.
    for file in [
        "status.rs",
        "endpoint.rs",
        "work.rs",
        "failure/mod.rs",
        "options.rs",
        "item_id.rs",
        "queue.rs",
        "delivery.rs",
        "many.rs",
        "ready.rs",
        "gate.rs",
        "token.rs",
        "wait.rs",
        "worker.rs",
    ] {
        builder = builder.with_src(root.join("src").join(file));
    }
    let mut made = vec![];
    builder.generate().unwrap().write(&mut made);
    let made = String::from_utf8(made).unwrap();
    let path = root.join("include/prodcon.h");
    if std::env::var_os("PRODCON_BLESS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == made,
        "{} is not what the sources say: run `PRODCON_BLESS=1 cargo test -p prodcon-ffi --test header`, look at the difference, commit it",
        path.display()
    );
}
