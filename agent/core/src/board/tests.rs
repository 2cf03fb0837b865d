use super::*;

/// A board in the form that the host records, with what it must come to. Those of now are composed after what such
/// boards are known to say, not taken from hardware; a real record replaces one as it stands.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recorded {
    about: String,
    facts: Facts,
    platforms: Vec<String>,
    /// Words that some step of the reasoning must hold.
    #[serde(default)]
    evidence: Vec<String>,
}

fn recorded() -> Vec<(String, Recorded)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/boards");
    let mut all: Vec<(String, Recorded)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let recorded = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path:?}: {error}"));
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), recorded)
        })
        .collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all
}

#[test]
fn every_board_on_file_comes_to_its_platforms() {
    let all = recorded();
    assert!(all.len() >= 15, "{} boards", all.len());
    for (name, recorded) in all {
        let board = detect(&recorded.facts, &[]);
        let found: Vec<String> =
            board.platforms.iter().map(|platform| platform.to_string().replace("linux/", "")).collect();
        assert_eq!(found, recorded.platforms, "{name} ({}): {:#?}", recorded.about, board.evidence);
        for words in &recorded.evidence {
            let said =
                |step: &Evidence| format!("{} {} {}", step.source, step.found, step.so).contains(words);
            assert!(board.evidence.iter().any(said), "{name}: no {words:?} in {:#?}", board.evidence);
        }
    }
}

#[test]
fn facts_are_written_and_read_the_same() {
    for (name, recorded) in recorded() {
        let text = serde_json::to_string(&recorded.facts).unwrap();
        assert_eq!(serde_json::from_str::<Facts>(&text).unwrap(), recorded.facts, "{name}");
    }
}

fn words(platforms: &[Platform]) -> String {
    platforms.iter().map(|p| p.to_string().replace("linux/", "")).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_configured_list_replaces_what_was_found() {
    let facts = Facts { target: "x86_64".into(), machine: "x86_64".into(), ..Facts::default() };
    let configured = [Platform::parse("arm/v7").unwrap(), Platform::parse("arm64").unwrap()];
    let board = detect(&facts, &configured);
    assert_eq!(words(&board.platforms), "arm/v7 arm/v6 arm/v5 arm64");
    assert_eq!(board.evidence[0].source, "configuration");
}

fn arm_facts(machine: &str, at_platform: &str) -> Facts {
    let at_platform = Some(at_platform.to_owned()).filter(|word| !word.is_empty());
    Facts { target: "arm".into(), machine: machine.into(), at_platform, ..Facts::default() }
}

#[test]
fn a_level_that_is_clear_is_not_probed() {
    let rows = [
        (arm_facts("armv6l", "v6l"), ""),
        (arm_facts("armv7l", "v7l"), ""),
        (arm_facts("armv7l", ""), ""),
        (arm_facts("armv7l", "v6l"), "arm/v7 arm/v6"),
        (arm_facts("arm", ""), "arm/v7 arm/v6"),
        (arm_facts("armv8l", "v8l"), "arm64"),
        (arm_facts("aarch64", "v8l"), ""),
        (Facts { target: "aarch64".into(), machine: "aarch64".into(), ..Facts::default() }, "arm/v7"),
    ];
    for (facts, expected) in rows {
        assert_eq!(words(&doubts(&facts)), expected, "{facts:?}");
    }
}

#[track_caller]
fn probed(mut facts: Facts, outcomes: &[(&str, Outcome)], expected: &str) {
    for (word, outcome) in outcomes {
        facts.probes.push(Probe { platform: Platform::parse(word).unwrap(), outcome: *outcome });
    }
    assert_eq!(words(&detect(&facts, &[]).platforms), expected, "{facts:?}");
}

#[test]
fn a_program_that_ran_or_did_not_settles_the_doubt() {
    use Outcome::{IllegalInstruction, NotLoaded, Ran, Unclear};
    let arm64 = || Facts { target: "aarch64".into(), machine: "aarch64".into(), ..Facts::default() };
    let amd64 =
        || Facts { target: "x86_64".into(), machine: "x86_64".into(), ia32: Some(true), ..Facts::default() };
    probed(arm_facts("arm", ""), &[("arm/v7", IllegalInstruction), ("arm/v6", Ran)], "arm/v6 arm/v5");
    probed(arm_facts("arm", ""), &[("arm/v7", Ran), ("arm/v6", Ran)], "arm/v7 arm/v6 arm/v5");
    probed(arm_facts("arm", ""), &[("arm/v7", Unclear)], "arm/v5");
    probed(arm_facts("armv7l", "v6l"), &[("arm/v7", IllegalInstruction), ("arm/v6", Ran)], "arm/v6 arm/v5");
    probed(arm_facts("armv8l", "v8l"), &[("arm64", Ran)], "arm64 arm/v8 arm/v7 arm/v6 arm/v5");
    probed(arm_facts("armv8l", "v8l"), &[("arm64", NotLoaded)], "arm/v8 arm/v7 arm/v6 arm/v5");
    probed(arm64(), &[("arm/v7", Ran)], "arm64 arm/v8 arm/v7 arm/v6 arm/v5");
    probed(arm64(), &[("arm/v7", NotLoaded)], "arm64");
    probed(arm64(), &[], "arm64");
    probed(amd64(), &[("386", Ran)], "amd64 386");
    probed(amd64(), &[("386", NotLoaded)], "amd64");
    probed(amd64(), &[], "amd64");
}

#[test]
fn a_program_that_ran_by_emulation_proves_nothing() {
    let mut facts = Facts { target: "aarch64".into(), machine: "aarch64".into(), ..Facts::default() };
    facts.emulators = vec!["qemu-arm".into()];
    assert_eq!(doubts(&facts), []);
    probed(facts.clone(), &[("arm/v7", Outcome::Ran)], "arm64");
    assert!(detect(&facts, &[]).evidence.iter().any(|step| step.source == "binfmt_misc"));
}
