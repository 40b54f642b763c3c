//! Runs a target's body on inputs; if it is one, tells each action: `cargo run -p prodcon-fuzz-bodies --example replay -- operations FILE...`.

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [target, files @ ..] = &arguments[..] else {
        eprintln!("usage: replay segment|operations FILE...");
        std::process::exit(2);
    };
    let body = match target.as_str() {
        "segment" => prodcon_fuzz_bodies::segment::run,
        "operations" => prodcon_fuzz_bodies::operations::run,
        _ => panic!("no target '{target}'"),
    };
    if files.len() == 1 {
        prodcon_fuzz_bodies::trace::on();
    }
    for file in files {
        let input = std::fs::read(file).unwrap_or_else(|error| panic!("{file}: {error}"));
        if std::panic::catch_unwind(|| body(&input)).is_err() {
            eprintln!("failed: {file}");
            std::process::exit(1);
        }
    }
    println!("nothing found in {} inputs", files.len());
}
