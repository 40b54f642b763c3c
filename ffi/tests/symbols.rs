//! What the shared object shows: `prodcon_*` alone, all that the header declares, and a soname under which it is found.

mod support;

use std::collections::BTreeSet;
use std::process::Command;
use support::{have, library, root, succeeds};

fn text(command: &mut Command) -> String {
    String::from_utf8(succeeds(command).stdout).unwrap()
}

#[test]
fn the_shared_object_exports_what_the_header_declares_and_nothing_else() {
    if !have("nm") {
        return;
    }
    let listed = text(
        Command::new("nm")
            .args(["-D", "--defined-only", "--format=posix"])
            .arg(library().join("libprodcon.so")),
    );
    let exported: BTreeSet<&str> = listed
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    let header = std::fs::read_to_string(root().join("include/prodcon.h")).unwrap();
    // Declarations: a line of code with a name before a parenthesis.
    let code = header
        .lines()
        .filter(|line| !line.starts_with([' ', '/', '#', '*']));
    let declared: BTreeSet<&str> = code
        .filter_map(|line| line.split('(').next().filter(|_| line.contains('(')))
        .filter_map(|before| before.rsplit([' ', '*']).next())
        .collect();
    assert!(
        declared.len() > 25 && declared.iter().all(|name| name.starts_with("prodcon_")),
        "{declared:?}"
    );
    assert_eq!(exported, declared);
}

#[test]
fn the_soname_is_a_link_beside_the_library() {
    if !have("readelf") {
        return;
    }
    let library = library().join("libprodcon.so");
    let dynamic = text(Command::new("readelf").arg("-d").arg(&library));
    assert!(
        dynamic.contains("Library soname: [libprodcon.so.0.2]"),
        "{dynamic}"
    );
    let link = library.with_file_name("libprodcon.so.0.2");
    assert_eq!(
        link.canonicalize().unwrap(),
        library.canonicalize().unwrap()
    );
}

#[test]
fn numbers_of_the_contract_are_in_the_header() {
    let header = std::fs::read_to_string(root().join("include/prodcon.h")).unwrap();
    let names = "OK FULL EMPTY TIMED_OUT NOT_READY STOPPED TOO_LARGE NOT_FOUND EXISTS INCOMPATIBLE NO_SEAT CORRUPT FORKED INVALID OS PANIC EXHAUSTED CANCELLED DIFFERS";
    for (number, name) in names.split(' ').enumerate() {
        assert!(
            header.contains(&format!("#define PRODCON_{name} {number}\n")),
            "{name}"
        );
    }
}
