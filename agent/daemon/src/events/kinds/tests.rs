//! The catalog and the code say the same.

use super::ALL;

const CATALOG: &str = include_str!("../../../../../systemd/usr/lib/systemd/catalog/coracle.catalog");
const EVENTS: &str = include_str!("../../events.rs");
/// Whatever ends a command early is written there, without facts.
const LOG: &str = include_str!("../log.rs");

/// An entry of the catalog: the name in the comment above it, its id, its header and its text.
struct Entry<'a> {
    name: &'a str,
    id: &'a str,
    header: Vec<(&'a str, &'a str)>,
    text: &'a str,
}

fn entries() -> Vec<Entry<'static>> {
    let (_, entries) = CATALOG.split_once("\n\n").unwrap();
    entries.split("\n# ").map(|entry| entry.trim_start_matches("# ")).map(entry).collect()
}

fn entry(text: &'static str) -> Entry<'static> {
    let (name, rest) = text.split_once("\n-- ").unwrap();
    let (id, rest) = rest.split_once('\n').unwrap();
    let (header, text) = rest.split_once("\n\n").unwrap();
    let header = header.lines().map(|line| line.split_once(": ").unwrap()).collect();
    Entry { name, id, header, text }
}

#[test]
fn the_catalog_explains_every_event_and_no_other() {
    let explained: Vec<_> = entries().iter().map(|entry| (entry.name, entry.id)).collect();
    assert_eq!(explained, ALL);
}

#[test]
fn each_entry_has_a_subject_a_cause_and_a_remedy() {
    for entry in entries() {
        let keys: Vec<_> = entry.header.iter().map(|(key, _)| *key).collect();
        assert_eq!(keys, ["Subject", "Defined-By", "Documentation"], "{}", entry.name);
        let paragraphs = entry
            .text
            .trim_end()
            .split("\n\n")
            .filter(|text| text.ends_with(['.', ':']) || text.contains("\n  "));
        assert_eq!(paragraphs.count(), 2, "{}: {}", entry.name, entry.text);
        assert!(entry.text.lines().all(|line| line.len() <= 120), "{}", entry.name);
    }
}

#[test]
fn ids_are_as_the_journal_wants_them_and_each_is_there_once() {
    let mut ids: Vec<_> = ALL.iter().map(|(_, id)| *id).collect();
    assert!(
        ids.iter().all(|id| id.len() == 32 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
    );
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), ALL.len());
}

/// What an entry takes out of the message, as `@CORACLE_WHY@`, is a fact that the event has; and every kind is in use.
#[test]
fn each_event_has_the_facts_that_its_entry_names() {
    let calls: Vec<_> = EVENTS.split("target: kinds::").skip(1).collect();
    for entry in entries() {
        let own: Vec<_> = calls
            .iter()
            .filter(|call| {
                call.split(|c: char| !c.is_ascii_uppercase() && c != '_').next() == Some(entry.name)
            })
            .collect();
        let ends = LOG.contains(&format!("kinds::{}", entry.name));
        assert!(ends || !own.is_empty(), "nothing is ever written as {}", entry.name);
        for fact in entry
            .text
            .split("@CORACLE_")
            .skip(1)
            .filter_map(|rest| Some(rest.split_once('@')?.0.to_lowercase()))
        {
            let given = |call: &&&str| {
                let facts = call.split(");").next().unwrap_or_default();
                facts.split(|c: char| !c.is_ascii_lowercase() && c != '_').any(|word| word == fact)
            };
            assert!(own.iter().all(given), "{} is written without {fact}", entry.name);
        }
    }
}
