//! Runs what the documents say. Their Rust programs are doctests of this crate; their commands and
//! the programs in other languages are run by `tests/commands.rs`; their links are followed by
//! `tests/links.rs`.

pub mod command_lines;
pub mod markdown;

/// Makes each document a module, so that its Rust blocks are compiled and, where they can end, run.
macro_rules! documents {
    ($($name:ident: $path:literal,)*) => {$(
        #[cfg(doctest)]
        #[doc = include_str!(concat!("../../../", $path))]
        mod $name {}
    )*};
}

documents! {
    readme: "README.md",
    derive: "derive/README.md",
    start: "docs/start.md",
    choosing: "docs/choosing.md",
    waiting: "docs/waiting.md",
    workers: "docs/workers.md",
    deploying: "docs/deploying.md",
    tuning: "docs/tuning.md",
    coming_from: "docs/coming-from.md",
    faq: "docs/faq.md",
}
