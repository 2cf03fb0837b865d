//! The page on security says of each wound of others what holds it, and what is not there at all; `pages` looks whether
//! the tests, commands and files that it names are.

use std::collections::BTreeSet;

use coracle_test_support::pages::spans;

use crate::tree::{code_of, none, root, sources};

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
