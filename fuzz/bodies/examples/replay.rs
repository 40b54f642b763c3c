//! Runs a target's body on one input and tells each action: `cargo run -p prodcon-fuzz-bodies --example replay -- operations FILE`.

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (Some(target), Some(file)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: replay segment|operations FILE");
        std::process::exit(2);
    };
    let input = std::fs::read(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
    prodcon_fuzz_bodies::trace::on();
    match target.as_str() {
        "segment" => prodcon_fuzz_bodies::segment::run(&input),
        "operations" => prodcon_fuzz_bodies::operations::run(&input),
        _ => panic!("no target '{target}'"),
    }
    println!("nothing found");
}
