//! Pages have one sentence a line, so that a change of one sentence is a change of one line.

use crate::tree::{none, sources};

#[test]
fn each_sentence_has_a_line_of_its_own() {
    none(sources(".md").into_iter().flat_map(|page| {
        let bad = prose(&page.text).filter(|(_, line)| sentences_follow(line));
        bad.map(|(at, line)| format!("{}:{}: {line}", page.path, at + 1)).collect::<Vec<_>>()
    }));
}

/// The lines that are neither code, table, heading nor quotation of a license.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    text.lines().enumerate().filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        !in_code && !fence && !line.trim_start().starts_with(['|', '#'])
    })
}

/// Whether a sentence ends before the end of the line and another one begins.
fn sentences_follow(line: &str) -> bool {
    let line = without_code(line.trim_start().trim_start_matches(['-', '*', '>']));
    let numbered = |word: &str| word.strip_suffix('.').is_some_and(|n| n.parse::<u32>().is_ok());
    let words = line.split_whitespace().skip_while(|word| numbered(word)).collect::<Vec<_>>();
    words.windows(2).any(|pair| {
        let [word, next] = pair else { return false };
        let word = word.trim_end_matches([')', '"', '*', '_']);
        let abbreviation =
            ["e.g.", "i.e.", "etc.", "vs.", "cf.", "incl."].contains(&word.trim_start_matches('('));
        let initial = word.len() == 2 && word.starts_with(|c: char| c.is_uppercase());
        let ends = word.ends_with(['.', '!', '?']) && !abbreviation && !initial;
        ends && next
            .trim_start_matches(['(', '"', '*', '_', '`'])
            .starts_with(|c: char| c.is_uppercase() || c == '\u{1}')
    })
}

/// The line with each piece of inline code as one word.
fn without_code(line: &str) -> String {
    line.split('`').enumerate().map(|(n, part)| if n % 2 == 0 { part } else { "\u{1}" }).collect()
}

#[test]
fn sentences_are_told_apart() {
    for line in ["One thing.  Another", "It ends. `code` begins", "Is it? Yes.", "(It is.) And so on."] {
        assert!(sentences_follow(line), "{line}");
    }
    for line in
        ["One sentence.", "1. A point of a list", "with e.g. Debian", "`a. B` is code", "version 1.2 is out"]
    {
        assert!(!sentences_follow(line), "{line}");
    }
}
