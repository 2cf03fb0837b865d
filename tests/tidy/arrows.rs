//! Who may name whom: the core knows no outside, adapters do not know one another.

use std::collections::BTreeSet;

use crate::tree::{Source, code_of, none, root, sources};

/// What would be input, output, time or chance in the core.
const OUTSIDE: &[&str] = &[
    "std::env",
    "std::fs",
    "std::io::stdin",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::ToSocketAddrs",
    "std::net::UdpSocket",
    "std::os",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "getrandom",
    "nix",
    "ring::rand",
    "reqwest",
    "rumqttc",
    "tokio",
    "tracing",
];

/// Modules of `host` that every adapter may use: they are below all of them.
const BELOW_ALL: &[&str] = &["authorities", "chance", "clock", "files", "process", "tls"];

/// The other arrows inside `host`, from a module to one below it.
const ARROWS: &[(&str, &str)] = &[
    // A layer is published by the store and made by unpacking, in one pass.
    ("store", "unpack"),
];

#[test]
fn the_core_names_nothing_outside() {
    // Tests may read their fixtures.
    none(of("agent/core/src/").filter(|source| !source.is_test()).flat_map(|source| {
        let code = flat(&code_of(source.without_tests()));
        let named = OUTSIDE.iter().filter(move |name| names(&code, name));
        named.map(move |name| format!("{}: names {name}", source.path)).collect::<Vec<_>>()
    }));
}

#[test]
fn adapters_do_not_name_one_another() {
    let modules = of("agent/host/src/").filter_map(|source| module(&source)).collect::<BTreeSet<_>>();
    none(of("agent/host/src/").flat_map(|source| {
        let own = module(&source).unwrap_or_default();
        let code = flat(&code_of(source.without_tests()));
        let allowed = |to: &str| {
            own == to || own.is_empty() || BELOW_ALL.contains(&to) || ARROWS.contains(&(own.as_str(), to))
        };
        let others = modules.iter().filter(|to| !allowed(to) && names(&code, &format!("crate::{to}")));
        others.map(|to| format!("{}: names {to}", source.path)).collect::<Vec<_>>()
    }));
}

#[test]
fn crates_depend_downward_only() {
    let rows: [(&str, &[&str]); 4] = [
        (
            "agent/core",
            &["coracle-host", "coracle =", "coraclectl", "tokio", "nix", "getrandom", "reqwest", "rumqttc"],
        ),
        ("agent/host", &["coracle =", "coraclectl"]),
        // The two binaries know nothing of one another, and what only the operator's links stays off the board.
        ("agent/daemon", &["coraclectl", "pkcs8", "saphyr-parser"]),
        ("agent/fleet", &["coracle =", "reqwest", "rumqttc"]),
    ];
    none(rows.iter().flat_map(|(folder, forbidden)| {
        let manifest = std::fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        let wanted = manifest.split("[dependencies]").nth(1).unwrap_or_default();
        let wanted = wanted.split("\n[").next().unwrap_or_default().to_owned();
        let bad = move |name: &&&str| wanted.lines().any(|line| line.starts_with(**name));
        forbidden.iter().filter(bad).map(|name| format!("{folder} depends on {name}")).collect::<Vec<_>>()
    }));
}

#[test]
fn the_libraries_of_the_wire_stay_in_their_adapter() {
    let rows: [(&str, &[&str]); 2] = [
        ("rumqttc", &["agent/host/src/channel"]),
        ("reqwest", &["agent/host/src/registry", "agent/host/src/fleet_lock.rs"]),
    ];
    none(rows.iter().flat_map(|(library, homes)| {
        let at_home = |source: &Source| homes.iter().any(|home| source.path.starts_with(home));
        let strays = of("agent/").filter(|s| !at_home(s) && names(&code_of(&s.text), library));
        strays.map(|s| format!("{}: names {library}, which belongs to {homes:?}", s.path)).collect::<Vec<_>>()
    }));
}

fn of(folder: &str) -> impl Iterator<Item = Source> {
    sources(".rs").into_iter().filter(move |source| source.path.starts_with(folder))
}

/// The first module of a file of `host`; none for its `lib.rs`.
fn module(source: &Source) -> Option<String> {
    let rest = source.path.strip_prefix("agent/host/src/")?;
    let first = rest.split('/').next()?.trim_end_matches(".rs");
    (first != "lib").then(|| first.to_owned())
}

/// Code with imports like `use std::{fs, io}` written out, so that each name stands with its path.
fn flat(code: &str) -> String {
    let mut out = code.to_owned();
    for root in ["std", "crate"] {
        let opening = format!("use {root}::{{");
        for group in code.split(&opening).skip(1) {
            let inside = group.split("};").next().unwrap_or_default();
            let words = inside.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
            out.extend(words.map(|word| format!("\n{root}::{word}")));
        }
    }
    out
}

/// Whether `name` stands in the code as a whole path.
fn names(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + name.len()..].chars().next();
        let whole = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '-');
        let path = name.contains("::") || code[at + name.len()..].starts_with("::");
        whole(before) && before != Some('"') && whole(after) && path
    })
}

#[test]
fn a_grouped_import_is_seen() {
    assert!(names(&flat("use std::{\n    fs,\n    io,\n};"), "std::fs"));
    assert!(names("let a = std::fs::read(b);", "std::fs"));
    assert!(!names("let a = my_std::fs_like();", "std::fs"));
}
