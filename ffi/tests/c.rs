//! The tests in C and C++ (`c/tests`): with gcc and clang, warnings as errors; under AddressSanitizer and UBSan; under valgrind; against the static library.

mod support;

use std::process::Command;
use support::{Fixture, SANITIZERS, have, have_sanitizers, library, root, succeeds};

const IN_C: [&str; 9] = [
    "tests/basics.c",
    "tests/hand.c",
    "tests/waits.c",
    "tests/options.c",
    "tests/bad_input.c",
    "tests/threads_and_forks.c",
    "tests/cancel.c",
    "tests/descriptors.c",
    "tests/ready.c",
];
const IN_CPP: &str = "tests/cpp17.cpp";

fn run_all(compiler: &str, cpp: bool, flags: &[&str]) {
    if !have(compiler) {
        return;
    }
    let fixture = Fixture::new();
    let (standard, sources) = if cpp {
        ("c++17", vec![IN_CPP])
    } else {
        ("c11", IN_C.to_vec())
    };
    for source in sources {
        let program = fixture.compile(compiler, standard, &[source], flags);
        // AddressSanitizer's own end of a cancelled thread writes to a stack that it takes for another call's.
        succeeds(
            fixture
                .command(program)
                .env("ASAN_OPTIONS", "use_sigaltstack=0"),
        );
        fixture.is_clean();
    }
}

#[test]
fn c11_programs_work_compiled_by_gcc() {
    run_all("gcc", false, &[]);
}

#[test]
fn c11_programs_work_compiled_by_clang() {
    run_all("clang", false, &[]);
}

#[test]
fn cpp17_programs_work_compiled_by_gcc() {
    run_all("g++", true, &[]);
}

#[test]
fn cpp17_programs_work_compiled_by_clang() {
    run_all("clang++", true, &[]);
}

#[test]
fn address_sanitizer_and_ubsan_find_nothing() {
    for (compiler, cpp) in [("gcc", false), ("g++", true)] {
        if have_sanitizers(compiler) {
            run_all(compiler, cpp, &SANITIZERS);
        }
    }
}

#[test]
fn valgrind_finds_nothing() {
    if !have("valgrind") || !have("gcc") {
        return;
    }
    let fixture = Fixture::new();
    for source in IN_C {
        let program = fixture.compile("gcc", "c11", &[source], &[]);
        let mut command = fixture.command("valgrind");
        command.args([
            "--quiet",
            "--error-exitcode=9",
            "--leak-check=full",
            "--errors-for-leak-kinds=definite",
            "--fair-sched=yes",
        ]);
        succeeds(command.arg(program));
        fixture.is_clean();
    }
}

#[test]
fn the_static_library_links_without_the_shared_one() {
    if !have("gcc") {
        return;
    }
    let fixture = Fixture::new();
    let program = fixture.dir.join("static");
    let mut command = Command::new("gcc");
    command
        .args(["-std=c11", "-D_GNU_SOURCE", "-I"])
        .arg(root().join("include"))
        .arg(root().join("c/tests/basics.c"));
    command
        .arg(library().join("libprodcon.a"))
        .args([
            "-lgcc_s",
            "-lutil",
            "-lrt",
            "-lpthread",
            "-lm",
            "-ldl",
            "-lc",
            "-o",
        ])
        .arg(&program);
    succeeds(&mut command);
    succeeds(fixture.command(&program).env_remove("LD_LIBRARY_PATH"));
    fixture.is_clean();
}

#[test]
fn the_headers_compile_alone_and_in_every_standard_they_promise() {
    let fixture = Fixture::new();
    for (compiler, standard, header, language) in [
        ("gcc", "c99", "prodcon.h", "c"),
        ("gcc", "c11", "prodcon.h", "c"),
        ("gcc", "c17", "prodcon.h", "c"),
        ("g++", "c++11", "prodcon.h", "c++"),
        ("g++", "c++17", "prodcon.hpp", "c++"),
        ("g++", "c++20", "prodcon.hpp", "c++"),
        ("clang", "c11", "prodcon.h", "c"),
        ("clang++", "c++20", "prodcon.hpp", "c++"),
    ] {
        if !have(compiler) {
            continue;
        }
        let source = fixture.dir.join("alone");
        // Twice: the include guard.
        std::fs::write(
            &source,
            format!("#include \"{header}\"\n#include \"{header}\"\nint use(void);\nint use(void) {{ return PRODCON_OK; }}\n"),
        )
        .unwrap();
        let mut command = Command::new(compiler);
        command
            .arg(format!("-std={standard}"))
            .args(support::WARNINGS)
            .args(["-fsyntax-only", "-x", language, "-I"])
            .arg(root().join("include"));
        succeeds(command.arg(&source));
    }
}
