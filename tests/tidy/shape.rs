//! What lies where, how long files are, and that each opens with a sentence.

use crate::tree::{none, root, sources};

/// A file longer than this is to be thought about.
const THINK: usize = 300;

/// A file longer than this, without its tests, is to be split.
const STOP: usize = 500;

/// What the root of the repository holds, besides files whose name begins with a dot.
const TOP: &[&str] = &[
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "agent",
    "cross",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "systemd",
    "target",
    "tests",
    "yocto-layer",
];

#[test]
fn the_root_holds_only_what_it_should() {
    let entries =
        std::fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    none(entries.filter(|name| !name.starts_with('.') && !TOP.contains(&name.as_str())));
}

#[test]
fn files_are_short() {
    let lengths = sources(".rs").into_iter().filter(|source| !source.is_test());
    let lengths =
        lengths.map(|source| (source.without_tests().lines().count(), source.path)).collect::<Vec<_>>();
    for (lines, path) in lengths.iter().filter(|(lines, _)| *lines > THINK) {
        println!("think about {path}: {lines} lines");
    }
    none(
        lengths
            .iter()
            .filter(|(lines, _)| *lines > STOP)
            .map(|(lines, path)| format!("{path}: {lines} lines")),
    );
}

#[test]
fn each_file_opens_with_a_sentence() {
    none(sources(".rs").into_iter().filter_map(|source| {
        let opening = source.text.lines().take_while(|line| line.starts_with("//!") && line.len() > 3);
        let opening = opening.collect::<Vec<_>>().join(" ");
        let is_sentence = opening.contains(". ") || opening.ends_with(['.', ':']);
        let tests = source.path.ends_with("/tests.rs");
        (!tests && (!is_sentence || opening.len() < 20)).then(|| format!("{}: {opening:?}", source.path))
    }));
}

#[test]
fn lists_of_modules_hold_no_code() {
    let lists = sources("lib.rs").into_iter().chain(sources("mod.rs")).filter(|source| !source.is_test());
    none(lists.filter_map(|source| {
        let functions =
            source.without_tests().lines().filter(|line| line.trim_start().contains("fn ")).count();
        let is_list =
            source.text.lines().any(|line| line.starts_with("pub mod ") || line.starts_with("mod "));
        (is_list && functions > 12)
            .then(|| format!("{}: {functions} functions beside its modules", source.path))
    }));
}
