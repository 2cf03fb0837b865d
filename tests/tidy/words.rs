//! Words that do not belong here, in names, comments and pages.

use crate::tree::{Source, none, sources};

/// What a finished file does not say; in pieces, so that this one does not either.
const UNFINISHED: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
    concat!("HA", "CK"),
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("not yet imple", "mented"),
];

/// Spellings of the other side of the ocean.
const SPELLINGS: &[&str] = &[
    concat!("behav", "iour"),
    concat!("col", "our"),
    concat!("hon", "our"),
    concat!("fav", "our"),
    concat!("neigh", "bour"),
    concat!("lic", "ence"),
    concat!("initial", "ise"),
    concat!("serial", "ise"),
    concat!("normal", "ise"),
    concat!("recogn", "ise"),
    concat!("organ", "ise"),
    concat!("catal", "ogue"),
];

/// Names that say nothing.
const EMPTY_NAMES: &[&str] = &["utils", "util", "common", "helpers", "helper", "manager", "types", "misc"];

#[test]
fn nothing_is_left_for_later() {
    none(ours().flat_map(|source| lines_with(&source, UNFINISHED, |line| line.to_owned())));
}

#[test]
fn spelling_is_american() {
    none(ours().flat_map(|source| lines_with(&source, SPELLINGS, str::to_lowercase)));
}

#[test]
fn names_say_something() {
    none(sources(".rs").into_iter().flat_map(|source| {
        let stem = source.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs").to_owned();
        let folder = source.path.split('/').rev().nth(1).unwrap_or_default().to_owned();
        let empty = EMPTY_NAMES.contains(&stem.as_str()) || EMPTY_NAMES.contains(&folder.as_str());
        let mut findings = empty
            .then(|| format!("{}: a name that says nothing", source.path))
            .into_iter()
            .collect::<Vec<_>>();
        let prefixes = [concat!("fn ge", "t_"), concat!("fn d", "o_")];
        let functions =
            source.text.lines().filter(|line| prefixes.iter().any(|prefix| line.contains(prefix)));
        findings.extend(functions.map(|line| format!("{}: {}", source.path, line.trim())));
        findings
    }));
}

#[test]
fn tests_wait_for_something_and_do_not_sleep() {
    let calls = [concat!("thread::sl", "eep("), concat!("time::sl", "eep("), concat!(" sl", "eep(")];
    let in_tests = sources(".rs").into_iter().filter(|s| !s.path.starts_with("tests/support/src/"));
    none(in_tests.flat_map(|mut source| {
        if !source.is_test() {
            source.text = source.text[source.without_tests().len()..].to_owned();
        }
        lines_with(&source, &calls, |line| line.to_owned())
    }));
}

fn ours() -> impl Iterator<Item = Source> {
    [".rs", ".md", ".toml", ".service"].into_iter().flat_map(sources)
}

fn lines_with(source: &Source, words: &[&str], form: impl Fn(&str) -> String) -> Vec<String> {
    let lines = source.text.lines().enumerate();
    let bad = lines.filter(|(_, line)| words.iter().any(|word| form(line).contains(word)));
    bad.map(|(at, line)| format!("{}:{}: {}", source.path, at + 1, line.trim())).collect()
}
