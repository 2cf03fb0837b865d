//! What the pages of the manual tell people to type, held against what a program says of itself.

use std::fs;
use std::path::{Path, PathBuf};

/// Where pages are, from the root of the repository; folders are not gone into.
const PLACES: [&str; 4] = [".", "agent/docs", "cross", "yocto-layer"];

/// Commands of `program` in the pages that it does not have, or with options that it does not know. `help` gives what
/// it prints for these words and `--help`, and nothing where it ends badly.
pub fn untrue(program: &str, help: impl Fn(&[&str]) -> Option<String>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut count = 0;
    for path in pages() {
        let text = fs::read_to_string(&path).unwrap_or_default();
        for command in commands(&text, program) {
            count += 1;
            let words = words(command);
            if let Some(why) = why_untrue(&words, &help) {
                wrong.push(format!("{}: {command}: {why}", path.display()));
            }
        }
    }
    if count < 10 {
        wrong.push(format!("only {count} commands of {program} are in the pages"));
    }
    wrong
}

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let entries =
        PLACES.iter().flat_map(|place| fs::read_dir(root.join(place)).into_iter().flatten().flatten());
    let mut pages = entries
        .map(|entry| entry.path())
        // What changed is told in the words of its time.
        .filter(|path| path.extension().is_some_and(|it| it == "md") && !path.ends_with("CHANGELOG.md"))
        .collect::<Vec<_>>();
    pages.sort();
    pages
}

/// Pieces of code that begin with the program.
fn commands<'a>(text: &'a str, program: &str) -> Vec<&'a str> {
    let mut found = code(text);
    found.retain(|code| code.strip_prefix(program).is_some_and(|rest| rest.starts_with(' ')));
    found
}

/// Code of a page: lines of blocks, and pieces within lines.
pub fn code(text: &str) -> Vec<&str> {
    let mut in_block = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if in_block {
            found.push(line.trim());
        } else {
            found.extend(spans(line));
        }
    }
    found
}

/// The pieces of inline code of a text.
pub fn spans(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// The words of a command up to where the shell would end it, without the program.
fn words(command: &str) -> Vec<&str> {
    let shell = ["|", "&&", ";", "#", ">", "\\"];
    command.split_whitespace().skip(1).take_while(|word| !shell.contains(word)).collect()
}

fn why_untrue(words: &[&str], help: &impl Fn(&[&str]) -> Option<String>) -> Option<String> {
    let names = words.iter().map(|word| word.trim_end_matches([',', ':', '.']));
    let names: Vec<&str> =
        names.take_while(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-')).take(2).collect();
    let names: Vec<&str> = names.into_iter().take_while(|word| !word.starts_with('-')).collect();
    let own = match names.first() {
        None => help(&[]),
        Some(name) => help(&[*name]),
    };
    let Some(own) = own else { return Some(format!("there is no command {names:?}")) };
    // What follows may be a command's own command, or anything.
    let below = if names.len() == 2 { help(&names).unwrap_or_default() } else { String::new() };
    let options = words.iter().filter_map(|word| word.trim_start_matches('[').strip_prefix("--"));
    let mut options = options.map(|word| {
        let end = word.find(|c: char| !(c.is_ascii_lowercase() || c == '-')).unwrap_or(word.len());
        format!("--{}", word.get(..end).unwrap_or_default())
    });
    let unknown = options.find(|option| !has(&own, option) && !has(&below, option))?;
    Some(format!("there is no option {unknown}"))
}

/// Whether the option stands in the text as a word of its own.
fn has(text: &str, option: &str) -> bool {
    let ends = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-');
    text.match_indices(option).any(|(at, found)| text.get(at + found.len()..).is_some_and(ends))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_is_none_is_found() {
        let help = |words: &[&str]| match words {
            [] => Some("--config FILE".to_owned()),
            ["keep"] => Some("--wait SECONDS, --waiting".to_owned()),
            ["keep", "all"] => Some("--json".to_owned()),
            _ => None,
        };
        for (command, expected) in [
            ("keep", None),
            ("keep all --json", None),
            ("keep [--wait SECONDS] x", None),
            ("--config FILE keep", None),
            ("keep it | sort --numeric-sort", None),
            ("kept", Some("there is no command [\"kept\"]")),
            ("keep --wai", Some("there is no option --wai")),
            ("keep --json", Some("there is no option --json")),
        ] {
            let command = format!("tool {command}");
            assert_eq!(why_untrue(&words(&command), &help).as_deref(), expected, "{command}");
        }
    }
}
