//! The page on security names tests, commands and files; each has to be there, so that the page cannot rot.

use std::collections::BTreeSet;

use crate::tree::{Source, code_of, none, root, sources};

/// The page.
const PAGE: &str = "agent/docs/security.md";

/// The heading under which each row of a table is one wound of others.
const WOUNDS: &str = "## Wounds of others";

/// What `.deny.toml` must refuse, for the page says that we do not have it.
const NOT_LINKED: &[&str] = &[
    "astral-tokio-tar",
    "async-tar",
    "aws-lc-rs",
    "h2",
    "liblzma-sys",
    "libz-sys",
    "lzma-sys",
    "native-tls",
    "openssl-sys",
    "tokio-tar",
];

/// What no file of the agent may name, for the page says so: a path or a word, and where it may stand nevertheless.
const NOT_CALLED: &[(&str, &str)] = &[
    // Names are looked up in the image's own files, by our own reader: no library of the container is loaded.
    ("getpwnam", ""),
    ("getgrnam", ""),
    ("User::from_name", ""),
    ("Group::from_name", ""),
    ("chroot(", ""),
    // Only the service manager's own socket may be of that kind; nobody is listened to on one.
    ("from_abstract_name", "agent/host/src/notify.rs"),
    ("new_abstract", "agent/host/src/notify.rs"),
];

fn page() -> String {
    std::fs::read_to_string(root().join(PAGE)).unwrap()
}

/// The pieces of inline code of a text.
fn spans(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// What is wrong with a reference; nothing where it is none, or is right.
fn broken(span: &str, rust: &[Source], commands: &str) -> Option<String> {
    if let Some(command) = span.strip_prefix("cargo xtask ") {
        let name = command.split(' ').next().unwrap_or_default();
        let known =
            commands.contains(&format!("(\"{name}\",")) || commands.contains(&format!("\"{name}\",\n"));
        return (!known).then(|| format!("no command of xtask: {span}"));
    }
    let ours = ["agent/", "cross/", "systemd/", "tests/", "yocto-layer/"];
    if !ours.iter().any(|folder| span.starts_with(folder)) {
        return None;
    }
    let (path, test) = span.split_once("::").map_or((span, None), |(path, test)| (path, Some(test)));
    let Some(test) = test else {
        return (!root().join(path).exists()).then(|| format!("no such file: {path}"));
    };
    let there =
        rust.iter().find(|source| source.path == path).is_some_and(|source| is_test(&source.text, test));
    (!there).then(|| format!("no such test: {span}"))
}

/// Whether the text has a test function of this name.
fn is_test(text: &str, name: &str) -> bool {
    text.split("#[test]").skip(1).chain(text.split("#[tokio::test").skip(1)).any(|after| {
        let line = after.lines().find(|line| line.contains("fn ")).unwrap_or_default();
        line.split("fn ").nth(1).is_some_and(|rest| rest.split('(').next() == Some(name))
    })
}

#[test]
fn everything_that_the_page_on_security_names_is_there() {
    let rust = sources(".rs");
    let commands = rust.iter().find(|source| source.path == "cross/xtask/src/main.rs").unwrap();
    let page = page();
    none(spans(&page).filter_map(|span| broken(span, &rust, &commands.text)));
}

/// The rows of the tables below the heading, up to the next heading of its rank, each as its cells.
fn rows(page: &str) -> Vec<Vec<String>> {
    let section = page.split(&format!("\n{WOUNDS}\n")).nth(1).unwrap_or_default();
    let section = section.split("\n## ").next().unwrap_or_default();
    let lines = section.lines().filter(|line| line.starts_with('|'));
    let lines = lines.filter(|line| !line.starts_with("| id ") && !line.starts_with("| ---"));
    lines
        .map(|line| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

#[test]
fn each_wound_has_an_id_an_answer_and_what_holds_it() {
    let rows = rows(&page());
    assert!(rows.len() >= 50, "only {} rows", rows.len());
    let mut seen = BTreeSet::new();
    none(rows.iter().filter_map(|row| {
        let [ids, wrong, answer, held] = row.as_slice() else {
            return Some(format!("not four cells: {row:?}"));
        };
        if wrong.is_empty() || answer.is_empty() {
            return Some(format!("{ids}: nothing is said"));
        }
        if let Some(twice) = ids.split(", ").find(|id| !seen.insert((*id).to_owned())) {
            return Some(format!("{twice} comes twice"));
        }
        let holds = |span: &str| span.contains("::") || span.starts_with("cargo xtask ");
        (!spans(held).any(holds)).then(|| format!("{ids}: nothing holds it: {held}"))
    }));
}

#[test]
fn what_the_page_says_is_not_there_is_not_there() {
    let deny = std::fs::read_to_string(root().join(".deny.toml")).unwrap();
    let allowed = |name: &&&str| !deny.contains(&format!("{{ crate = \"{name}\", reason"));
    none(NOT_LINKED.iter().filter(allowed).map(|name| format!(".deny.toml does not refuse {name}")));
    let agent = sources(".rs").into_iter().filter(|source| source.path.starts_with("agent/"));
    none(agent.flat_map(|source| {
        let code = code_of(source.without_tests());
        let named = NOT_CALLED.iter().filter(|(word, home)| source.path != *home && code.contains(word));
        named.map(|(word, _)| format!("{}: names {word}", source.path)).collect::<Vec<_>>()
    }));
    // CVE-2018-6954: whoever owns a folder on the way can put a link there before something is made in it.
    let folders = std::fs::read_to_string(root().join("systemd/usr/lib/tmpfiles.d/coracle.conf")).unwrap();
    let lines: Vec<_> = folders.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    // Where others may write, nothing is made below it.
    let is_last = |path: &str| lines.iter().all(|line| !line.contains(&format!("{path}/")));
    none(lines.iter().filter_map(|line| {
        let fields = line.split_whitespace().collect::<Vec<_>>();
        let safe = match fields[..] {
            ["d", path, "0700" | "0711" | "0755", "root", "root", "-"] => path.starts_with('/'),
            ["d", path, "0775", "root", "coracle", "-"] => path.starts_with('/') && is_last(path),
            _ => false,
        };
        (!safe).then(|| format!("tmpfiles.d: {line}"))
    }));
}

#[test]
fn a_reference_that_leads_nowhere_is_seen() {
    let rust = sources(".rs");
    let own = "tests/tidy/wounds.rs::a_reference_that_leads_nowhere_is_seen";
    assert_eq!(broken(own, &rust, ""), None);
    assert_eq!(broken("cargo xtask tidy --x", &rust, "    (\"tidy\", \"…\")"), None);
    for nowhere in [
        "tests/tidy/wounds.rs::page",
        "tests/tidy/wounds.rs::a_reference",
        "tests/tidy/no.rs::x",
        "tests/no/",
        "cargo xtask tid",
    ] {
        assert!(broken(nowhere, &rust, "    (\"tidy\", \"…\")").is_some(), "{nowhere}");
    }
    assert_eq!(spans("a `b` c `d`").collect::<Vec<_>>(), ["b", "d"]);
}
