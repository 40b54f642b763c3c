//! Runs a target's body on inputs, on the pretended kernel and on the real one; if it is one, tells each action: `cargo run -p prodcon-fuzz-bodies --example replay -- operations FILE...`.

use prodcon_fuzz_bodies::scratch::Kernel;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [target, files @ ..] = &arguments[..] else {
        eprintln!("usage: replay segment|operations FILE...");
        std::process::exit(2);
    };
    let body = match target.as_str() {
        "segment" => prodcon_fuzz_bodies::segment::run_on,
        "operations" => prodcon_fuzz_bodies::operations::run_on,
        _ => panic!("no target '{target}'"),
    };
    if files.len() == 1 {
        prodcon_fuzz_bodies::trace::on();
    }
    for file in files {
        let input = std::fs::read(file).unwrap_or_else(|error| panic!("{file}: {error}"));
        let both = || {
            [Kernel::Pretended, Kernel::Real]
                .into_iter()
                .for_each(|kernel| body(kernel, &input))
        };
        if std::panic::catch_unwind(both).is_err() {
            eprintln!("failed: {file}");
            std::process::exit(1);
        }
    }
    println!("nothing found in {} inputs", files.len());
}
