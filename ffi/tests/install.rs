//! The installed tree: what `install.sh` puts where, pkg-config, CMake, and that it goes again.

mod support;

use std::path::Path;
use std::process::Command;
use support::{Fixture, have, library, root, succeeds};

fn install(fixture: &Fixture, variables: &[(&str, &str)], arguments: &[&str]) {
    let mut command = Command::new(root().join("install.sh"));
    for key in ["PREFIX", "LIBDIR", "INCLUDEDIR", "DESTDIR"] {
        command.env_remove(key);
    }
    command
        .envs(variables.iter().copied())
        .env("LIBRARIES", library())
        .env("CARGO", env!("CARGO"));
    succeeds(command.args(arguments).current_dir(&fixture.dir));
}

fn files(dir: &Path) -> Vec<String> {
    let mut found = vec![];
    let mut dirs = vec![dir.to_path_buf()];
    while let Some(next) = dirs.pop() {
        for entry in std::fs::read_dir(next).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                dirs.push(entry.path());
            } else {
                found.push(
                    entry
                        .path()
                        .strip_prefix(dir)
                        .unwrap()
                        .to_str()
                        .unwrap()
                        .to_owned(),
                );
            }
        }
    }
    found.sort();
    found
}

#[test]
fn everything_is_installed_below_destdir_and_removed_again() {
    let fixture = Fixture::new();
    let destination = fixture.dir.join("image");
    let variables = [
        ("DESTDIR", destination.to_str().unwrap()),
        ("PREFIX", "/opt/prodcon"),
        ("LIBDIR", "/opt/prodcon/lib64"),
    ];
    install(&fixture, &variables, &[]);
    let version = env!("CARGO_PKG_VERSION");
    let expected = [
        "include/prodcon.h".to_owned(),
        "include/prodcon.hpp".to_owned(),
        "lib64/cmake/prodcon/prodconConfig.cmake".to_owned(),
        "lib64/cmake/prodcon/prodconConfigVersion.cmake".to_owned(),
        "lib64/libprodcon.a".to_owned(),
        "lib64/libprodcon.so".to_owned(),
        "lib64/libprodcon.so.0.2".to_owned(),
        format!("lib64/libprodcon.so.{version}"),
        "lib64/pkgconfig/prodcon.pc".to_owned(),
    ];
    assert_eq!(files(&destination.join("opt/prodcon")), expected);
    let pc = std::fs::read_to_string(destination.join("opt/prodcon/lib64/pkgconfig/prodcon.pc"))
        .unwrap();
    assert!(
        pc.contains("libdir=/opt/prodcon/lib64\n")
            && pc.contains(&format!("Version: {version}\n"))
            && !pc.contains('@'),
        "{pc}"
    );
    install(&fixture, &variables, &["--uninstall"]);
    assert_eq!(files(&destination), Vec::<String>::new());
}

#[test]
fn a_program_is_built_with_pkg_config() {
    if !have("pkg-config") || !have("gcc") {
        return;
    }
    let fixture = Fixture::new();
    let prefix = fixture.dir.join("usr");
    install(&fixture, &[("PREFIX", prefix.to_str().unwrap())], &[]);
    let libraries = prefix.join("lib");
    let flags = succeeds(
        Command::new("pkg-config")
            .args(["--cflags", "--libs", "prodcon"])
            .env("PKG_CONFIG_PATH", libraries.join("pkgconfig")),
    );
    let flags = String::from_utf8(flags.stdout).unwrap();
    let program = fixture.dir.join("basics");
    let mut command = Command::new("gcc");
    command
        .args(["-std=c11", "-D_GNU_SOURCE"])
        .arg(root().join("c/tests/basics.c"))
        .args(flags.split_whitespace());
    succeeds(command.arg("-o").arg(&program));
    succeeds(fixture.command(&program).env("LD_LIBRARY_PATH", &libraries));
    fixture.is_clean();
}

const PROJECT: &str = r#"
cmake_minimum_required(VERSION 3.16)
project(user C CXX)
set(given ${prodcon_DIR})
find_package(prodcon 0.1 QUIET)
if(prodcon_FOUND)
  message(FATAL_ERROR "a program for 0.1 is told that it can have this version")
endif()
set(prodcon_DIR ${given} CACHE PATH "" FORCE)
find_package(prodcon 0.2 REQUIRED)
add_executable(in_c ${SOURCES}/basics.c)
target_compile_definitions(in_c PRIVATE _GNU_SOURCE)
target_link_libraries(in_c PRIVATE prodcon::prodcon)
add_executable(in_c_static ${SOURCES}/basics.c)
target_compile_definitions(in_c_static PRIVATE _GNU_SOURCE)
target_link_libraries(in_c_static PRIVATE prodcon::static)
find_package(Threads REQUIRED)
add_executable(in_cpp ${SOURCES}/cpp17.cpp)
target_compile_features(in_cpp PRIVATE cxx_std_17)
target_link_libraries(in_cpp PRIVATE prodcon::prodcon Threads::Threads)
"#;

#[test]
fn cmake_finds_the_package_wherever_the_tree_was_moved() {
    if !have("cmake") || !have("make") || !have("gcc") || !have("g++") {
        return;
    }
    let fixture = Fixture::new();
    let image = fixture.dir.join("image");
    install(
        &fixture,
        &[
            ("DESTDIR", image.to_str().unwrap()),
            ("PREFIX", "/usr"),
            ("LIBDIR", "/usr/lib/tuple"),
        ],
        &[],
    );
    let moved = fixture.dir.join("moved here");
    std::fs::rename(image.join("usr"), &moved).unwrap();
    std::fs::write(fixture.dir.join("CMakeLists.txt"), PROJECT).unwrap();
    let build = fixture.dir.join("build");
    let mut configure = Command::new("cmake");
    configure
        .arg("-S")
        .arg(&fixture.dir)
        .arg("-B")
        .arg(&build)
        .args(["-G", "Unix Makefiles"]);
    configure.arg(format!(
        "-Dprodcon_DIR={}",
        moved.join("lib/tuple/cmake/prodcon").display()
    ));
    succeeds(configure.arg(format!("-DSOURCES={}", root().join("c/tests").display())));
    succeeds(Command::new("cmake").arg("--build").arg(&build));
    for program in ["in_c", "in_c_static", "in_cpp"] {
        // CMake's own run path finds the library.
        succeeds(
            fixture
                .command(build.join(program))
                .env_remove("LD_LIBRARY_PATH"),
        );
        fixture.is_clean();
    }
}

#[test]
fn relative_directories_are_refused() {
    let output = Command::new(root().join("install.sh"))
        .env("PREFIX", "relative")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("absolute"));
}
