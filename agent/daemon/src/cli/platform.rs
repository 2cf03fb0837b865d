//! `coracle platform`: what this board runs and how that is known; with `--explain`, which image it would take and why.

use coracle_core::board::Board;
use coracle_core::oci::select::NoMatch;
use coracle_core::oci::{Descriptor, Platform, Selection};
use serde_json::{Value, json};

/// What the board runs and the reasoning, for people.
pub(crate) fn board_text(board: &Board) -> String {
    let mut lines = vec![format!("this board runs, best first: {}", listed(&board.platforms))];
    let width = board.evidence.iter().map(|step| step.source.len()).max().unwrap_or(0);
    for step in &board.evidence {
        lines.push(format!(
            "  {:width$}  {} -> {}",
            step.source,
            printable(&step.found),
            printable(&step.so)
        ));
    }
    lines.join("\n")
}

/// The same, for programs.
pub(crate) fn board_json(board: &Board) -> Value {
    let platforms: Vec<String> = board.platforms.iter().map(ToString::to_string).collect();
    json!({ "platforms": platforms, "evidence": board.evidence })
}

/// Each entry of an index with its verdict, for people. `offered` is what `selection` was made of.
pub(crate) fn explain_text(board: &Board, offered: &[Descriptor], selection: &Selection) -> String {
    let mut lines = vec![format!("this board runs, best first: {}", listed(&board.platforms))];
    let names: Vec<String> = offered.iter().map(name).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    for (at, ((entry, name), verdict)) in offered.iter().zip(&names).zip(&selection.verdicts).enumerate() {
        let mark = if verdict.is_taken() { '*' } else { ' ' };
        let verdict = printable(&verdict.to_string());
        lines.push(format!("{mark} {:>2}  {}  {name:width$}  {verdict}", at + 1, entry.digest.short()));
    }
    if selection.chosen.is_none() {
        lines.push(printable(&NoMatch::new(&board.platforms, offered).to_string()));
    }
    lines.join("\n")
}

/// The same, for programs.
pub(crate) fn explain_json(board: &Board, offered: &[Descriptor], selection: &Selection) -> Value {
    let entry = |(entry, verdict): (&Descriptor, &coracle_core::oci::Verdict)| {
        json!({
            "digest": entry.digest,
            "media_type": entry.media_type,
            "platform": entry.platform,
            "taken": verdict.is_taken(),
            "verdict": verdict,
            "why": verdict.to_string(),
        })
    };
    let entries: Vec<Value> = offered.iter().zip(&selection.verdicts).map(entry).collect();
    let chosen = selection.chosen.and_then(|at| offered.get(at)).map(|entry| entry.digest);
    let runs: Vec<String> = board.platforms.iter().map(ToString::to_string).collect();
    json!({ "platforms": runs, "chosen": chosen, "entries": entries })
}

fn listed(platforms: &[Platform]) -> String {
    let words: Vec<String> = platforms.iter().map(ToString::to_string).collect();
    if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
}

fn name(entry: &Descriptor) -> String {
    entry.platform.as_ref().map_or_else(|| "-".to_owned(), |platform| printable(&platform.to_string()))
}

/// An index comes from outside: its words must not steer the terminal, nor fill it.
fn printable(text: &str) -> String {
    const CHARS_MAX: usize = 1000;
    text.chars().take(CHARS_MAX).map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use coracle_core::board::{Facts, detect};
    use coracle_core::oci::{Digest, select::select};

    use super::*;

    fn pi_zero() -> Board {
        let facts = Facts {
            target: "arm".into(),
            machine: "armv6l".into(),
            at_platform: Some("v6l".into()),
            cpuinfo: "CPU architecture: 7\nFeatures : half thumb vfp\n".into(),
            ..Facts::default()
        };
        detect(&facts, &[])
    }

    fn entry(platform: Option<Platform>) -> Descriptor {
        Descriptor {
            media_type: "application/vnd.oci.image.manifest.v1+json".into(),
            digest: Digest::of(format!("{platform:?}").as_bytes()),
            size: 1,
            platform,
            artifact_type: None,
            annotations: std::collections::BTreeMap::new(),
            urls: Vec::new(),
        }
    }

    #[test]
    fn the_board_is_told_with_the_source_of_each_step() {
        let text = board_text(&pi_zero());
        assert!(text.starts_with("this board runs, best first: linux/arm/v6, linux/arm/v5\n"), "{text}");
        assert!(text.contains("AT_PLATFORM    v6l -> with uname armv6l: arm/v6"), "{text}");
        assert!(text.contains("CPU architecture: 7 -> not believed"), "{text}");
        let value = board_json(&pi_zero());
        assert_eq!(value["platforms"], json!(["linux/arm/v6", "linux/arm/v5"]));
        assert_eq!(value["evidence"][0]["source"], "uname");
    }

    #[test]
    fn every_entry_is_told_with_its_verdict() {
        let words =
            [Platform::linux("arm64", ""), Platform::linux("arm", "v5"), Platform::linux("arm", "v6")];
        let mut offered: Vec<Descriptor> = words.into_iter().map(|platform| entry(Some(platform))).collect();
        offered.push(entry(None));
        let board = pi_zero();
        let selection = select(&board.platforms, &offered);
        let text = explain_text(&board, &offered, &selection);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 5, "{text}");
        assert!(lines[1].contains("this board does not run linux/arm64"), "{text}");
        assert!(lines[2].contains("but entry 3 is better"), "{text}");
        assert!(lines[3].starts_with("*  3  ") && lines[3].contains("runs best"), "{text}");
        assert!(lines[4].contains("names no platform"), "{text}");
        let value = explain_json(&board, &offered, &selection);
        assert_eq!(value["chosen"], json!(offered[2].digest));
        assert_eq!(value["entries"][2]["verdict"]["verdict"], "taken");
        assert_eq!(value["entries"][0]["taken"], false);
    }

    #[test]
    fn without_a_match_both_sides_are_named_and_control_characters_are_not_passed_on() {
        let offered = [entry(Some(Platform::linux("evil\u{1b}[2J", "")))];
        let board = pi_zero();
        let selection = select(&board.platforms, &offered);
        let text = explain_text(&board, &offered, &selection);
        assert!(!text.contains('\u{1b}'), "{text:?}");
        assert!(text.contains("no image for this board: the index offers linux/evil\\u{1b}[2j"), "{text}");
        assert_eq!(explain_json(&board, &offered, &selection)["chosen"], Value::Null);
    }
}
