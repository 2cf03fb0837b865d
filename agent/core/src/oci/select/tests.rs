use std::collections::BTreeMap;

use super::*;
use crate::oci::Digest;

/// One entry; the word is a platform as it stands in an index, or `-` for none.
fn entry(word: &str) -> Descriptor {
    let parts: Vec<&str> = word.split('/').collect();
    let platform = (word != "-").then(|| Platform {
        os: parts[0].to_owned(),
        ..Platform::linux(parts[1], parts.get(2).copied().unwrap_or(""))
    });
    Descriptor {
        media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
        digest: Digest::of(word.as_bytes()),
        size: 1,
        platform,
        artifact_type: None,
        annotations: BTreeMap::new(),
        urls: Vec::new(),
    }
}

fn offer(words: &str) -> Vec<Descriptor> {
    words.split(' ').filter(|word| !word.is_empty()).map(entry).collect()
}

#[track_caller]
fn check(board: &str, offered: &str, expected: Option<usize>) {
    let can_run = Platform::parse(board).unwrap().only();
    let selection = select(&can_run, &offer(offered));
    assert_eq!(selection.chosen, expected, "{board} of {offered}: {selection:?}");
    let taken = selection.verdicts.iter().filter(|verdict| verdict.is_taken()).count();
    assert_eq!(taken, usize::from(expected.is_some()), "{selection:?}");
    assert_eq!(selection.verdicts.len(), offer(offered).len());
}

#[test]
fn the_best_that_runs_is_taken_wherever_it_stands() {
    let usual = "linux/amd64 linux/arm/v6 linux/arm/v7 linux/arm64/v8 linux/386";
    check("amd64", usual, Some(0));
    check("arm/v6", usual, Some(1));
    check("arm/v7", usual, Some(2));
    check("arm/v8", usual, Some(2));
    check("arm64", usual, Some(3));
    check("386", usual, Some(4));
    check("arm/v5", usual, None);
    check("riscv64", usual, None);
    check("amd64/v3", "linux/amd64 linux/amd64/v2 linux/amd64/v4", Some(1));
    check("amd64/v4", "linux/amd64 linux/amd64/v2 linux/amd64/v4", Some(2));
    check("amd64", "linux/amd64/v2 linux/386", Some(1));
    check("arm64", "linux/arm/v5 linux/arm/v7 linux/arm/v6", Some(1));
    check("arm64/v8.1", "linux/arm64 linux/arm64/v8.1 linux/arm64/v8.2", Some(1));
}

/// What containerd's published cases say of `Only`: which offers match which board.
#[test]
fn what_containerd_matches_we_match_and_nothing_else() {
    let rows = [
        (
            "amd64",
            "linux/amd64 linux/386",
            "linux/amd64/v2 linux/arm/v7 linux/arm64 windows/amd64 windows/arm",
        ),
        ("amd64/v2", "linux/amd64 linux/amd64/v1 linux/amd64/v2 linux/386", "linux/amd64/v3 linux/amd64/v4"),
        ("386", "linux/386", "linux/amd64 linux/arm/v7 linux/arm64 windows/amd64"),
        (
            "arm/v8",
            "linux/arm linux/arm/v5 linux/arm/v6 linux/arm/v7 linux/arm/v8",
            "linux/arm/v4 linux/arm64",
        ),
        (
            "arm/v7",
            "linux/arm linux/arm/v5 linux/arm/v6 linux/arm/v7",
            "linux/arm/v8 linux/arm/v4 windows/arm",
        ),
        ("arm/v6", "linux/arm/v5 linux/arm/v6", "linux/arm linux/arm/v4 linux/arm/v7 linux/arm/v8"),
        ("arm/v5", "linux/arm/v5", "linux/arm linux/arm/v4 linux/arm/v6"),
        ("arm/v4", "linux/arm/v4", "linux/arm linux/arm/v5"),
        (
            "arm64",
            "linux/arm linux/arm/v5 linux/arm/v8 linux/arm64 linux/arm64/v8",
            "linux/arm/v9 linux/arm64/v9",
        ),
        (
            "arm64/v8.1",
            "linux/arm/v6 linux/arm64 linux/arm64/v8 linux/arm64/v8.1",
            "linux/arm64/v9 linux/arm/v9",
        ),
        ("arm64/v9", "linux/arm64/v8 linux/arm64/v8.5 linux/arm64/v9", "linux/arm64/v8.6 linux/arm/v4"),
    ];
    for (board, matching, others) in rows {
        for word in matching.split(' ') {
            check(board, word, Some(0));
        }
        for word in others.split(' ') {
            check(board, word, None);
        }
    }
}

#[test]
fn without_aarch32_an_arm_image_is_never_taken() {
    let can_run = Platform::linux("arm64", "").levels();
    assert_eq!(select(&can_run, &offer("linux/arm/v7 linux/arm/v8")).chosen, None);
}

#[test]
fn an_arm_entry_without_variant_is_v7_and_not_for_a_pi_zero() {
    check("arm/v6", "linux/arm", None);
    check("arm/v7", "linux/arm/v6 linux/arm", Some(1));
}

#[test]
fn of_equals_the_first_is_taken_and_odd_spellings_are_equal() {
    check("arm64", "linux/aarch64 linux/arm64/v8 linux/arm64", Some(0));
    let selection = select(&Platform::linux("arm64", "").only(), &offer("linux/aarch64 linux/arm64/v8"));
    assert_eq!(selection.verdicts[1], Verdict::Later { taken: 0 });
}

#[test]
fn features_of_the_system_gate_and_then_break_ties() {
    let mut offered = offer("linux/amd64 linux/amd64");
    offered[1].platform.as_mut().unwrap().os_features = vec!["b".to_owned(), "a".to_owned()];
    let plain = Platform::linux("amd64", "");
    let selection = select(std::slice::from_ref(&plain), &offered);
    assert_eq!(selection.chosen, Some(0));
    let missing = vec!["a".to_owned(), "b".to_owned()];
    assert_eq!(selection.verdicts[1], Verdict::MissingFeatures { features: missing.clone() });
    let able = Platform { os_features: missing, ..plain };
    assert_eq!(select(&[able], &offered).chosen, Some(1));
}

#[test]
fn what_is_no_image_is_passed_over_and_says_so() {
    let mut offered = offer("unknown/unknown linux/arm64 linux/arm64 linux/arm64 linux/arm64");
    offered[1].annotations.insert(REFERENCE_TYPE.to_owned(), "attestation-manifest".to_owned());
    offered[2].artifact_type = Some("application/spdx+json".to_owned());
    offered[3].media_type = INDEXES[0].to_owned();
    let selection = select(&Platform::linux("arm64", "").only(), &offered);
    assert_eq!(selection.chosen, Some(4));
    let kinds = [Verdict::Attestation, Verdict::Attestation];
    assert_eq!(selection.verdicts[..2], kinds);
    assert!(matches!(selection.verdicts[2], Verdict::Artifact { .. }));
    assert_eq!(selection.verdicts[3], Verdict::Index);
}

#[test]
fn an_entry_without_platform_is_the_last_resort() {
    check("arm64", "- linux/arm/v5", Some(1));
    check("arm64", "linux/amd64 - -", Some(1));
    let selection = select(&Platform::linux("arm64", "").only(), &offer("linux/amd64 - -"));
    assert_eq!(selection.verdicts[1], Verdict::TakenUnnamed);
    assert_eq!(selection.verdicts[2], Verdict::Later { taken: 1 });
}

#[test]
fn nothing_fits_and_the_error_names_both_sides() {
    let offered = offer("linux/amd64 unknown/unknown windows/amd64");
    let said = NoMatch::new(&Platform::linux("arm", "v6").levels(), &offered).to_string();
    assert_eq!(
        said,
        "no image for this board: the index offers linux/amd64, windows/amd64; this board runs linux/arm/v6, linux/arm/v5"
    );
    assert!(NoMatch::new(&[], &[]).to_string().contains("offers nothing; this board runs nothing"));
}

// The words of an index went into verdicts and errors as they were, and from there to terminals.
#[test]
fn what_an_index_says_of_itself_is_shown_in_short_and_says_nothing_to_a_terminal() {
    let mut offered = offer(&format!("linux/{} linux/\u{1b}[31mx linux/arm/v5", "x".repeat(5000)));
    offered[2].platform.as_mut().unwrap().os_features = vec!["win\n".repeat(500)];
    offered.push(Descriptor { artifact_type: Some("a\r\n".repeat(500)), ..offered[0].clone() });
    let can_run = Platform::linux("arm", "v6").levels();
    let verdicts = select(&can_run, &offered).verdicts;
    let said = verdicts.iter().map(ToString::to_string).chain([NoMatch::new(&can_run, &offered).to_string()]);
    for said in said {
        assert!(said.len() < 300 && !said.chars().any(char::is_control), "{said:?}");
    }
}
