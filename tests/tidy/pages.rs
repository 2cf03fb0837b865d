//! Pages name commands, files, units, settings and one another; each has to be there, so that no page can rot.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use coracle_test_support::pages::{code, spans};

use crate::tree::{Source, none, root, sources};

/// What is installed on a board comes from here.
const INSTALLED: &str = "systemd";

/// Files on a board that are no part of the agent's installation: they are the image's, or an example's.
const OF_THE_IMAGE: &[&str] = &[
    "/usr/share/coracle/trust.d",
    "/usr/share/coracle/policy.json",
    "/usr/share/coracle/image-keys",
    "/usr/lib/systemd/system/image-good.service",
];

/// What looks as a setting, and is a file or a part of the reported state.
const NO_SETTINGS: &[&str] = &["trust.json", "trust.d", "store.restart"];

/// All pages; what changed, and what was decided, is told in the words of its time.
fn pages() -> impl Iterator<Item = Source> {
    sources(".md").into_iter().filter(|page| page.path != "CHANGELOG.md" && !page.path.contains("/adr/"))
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
fn everything_that_a_page_names_is_there() {
    let rust = sources(".rs");
    let commands = rust.iter().find(|source| source.path == "cross/xtask/src/main.rs").unwrap();
    none(pages().flat_map(|page| {
        let wrong = code(&page.text).into_iter().filter_map(|span| broken(span, &rust, &commands.text));
        wrong.map(|wrong| format!("{}: {wrong}", page.path)).collect::<Vec<_>>()
    }));
}

/// Words of a piece of code that may be names of files or units.
fn names(code: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "/._-@*".contains(c);
    code.split(move |c| !is_part(c)).map(|word| word.trim_end_matches(['.', '/', '*']))
}

/// What is wrong with a name of something that is installed on a board.
fn not_installed(name: &str) -> Option<String> {
    let folder = root().join(INSTALLED);
    let units = folder.join("usr/lib/systemd/system");
    if name.starts_with("coracle") && [".service", ".slice"].iter().any(|kind| name.ends_with(kind)) {
        // All instances are one file.
        let file = match (name.split_once('@'), name.rsplit_once('.')) {
            (Some((template, _)), Some((_, kind))) => format!("{template}@.{kind}"),
            _ => name.to_owned(),
        };
        return (!units.join(&file).exists()).then(|| format!("no such unit: {name}"));
    }
    let ours = ["/usr/lib/systemd/", "/usr/lib/tmpfiles.d/", "/usr/lib/sysusers.d/", "/usr/share/coracle/"];
    if !ours.iter().any(|start| name.starts_with(start)) || OF_THE_IMAGE.iter().any(|it| name.starts_with(it))
    {
        return None;
    }
    (!folder.join(name.trim_start_matches('/')).exists()).then(|| format!("not installed: {name}"))
}

#[test]
fn units_and_files_that_a_page_names_are_installed() {
    none(pages().flat_map(|page| {
        let wrong = code(&page.text).into_iter().flat_map(names).filter_map(not_installed);
        wrong.map(|wrong| format!("{}: {wrong}", page.path)).collect::<Vec<_>>()
    }));
}

#[test]
fn settings_that_a_page_names_are_settings() {
    let list = std::fs::read_to_string(root().join("agent/docs/config.md")).unwrap();
    let keys: BTreeSet<&str> =
        list.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let sections: BTreeSet<&str> = keys.iter().filter_map(|key| Some(key.split_once('.')?.0)).collect();
    assert!(sections.len() > 5, "{sections:?}");
    none(pages().flat_map(|page| {
        let unknown = |span: &&str| {
            let key = span.split([' ', '=']).next().unwrap_or_default();
            let plain = key.chars().all(|c| c.is_ascii_lowercase() || "._0123456789".contains(c));
            let section = key.split_once('.').map(|(section, _)| section);
            plain
                && section.is_some_and(|section| sections.contains(section))
                && !keys.contains(key)
                && !NO_SETTINGS.contains(&key)
        };
        let wrong = spans(&page.text).filter(unknown);
        wrong.map(|key| format!("{}: no setting: {key}", page.path)).collect::<Vec<_>>()
    }));
}

/// Where the links of a page lead, without those to the internet.
fn links(text: &str) -> Vec<String> {
    let plain: String = text.split('`').step_by(2).collect();
    let targets = plain.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.to_owned()));
    targets.filter(|target| !target.contains("://")).collect()
}

/// A path as it is, whatever `..` stand in it.
fn normal(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut whole, part| {
        if part == Component::ParentDir {
            whole.pop();
        } else {
            whole.push(part);
        }
        whole
    })
}

/// The name that a heading has in addresses.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    heading
        .trim_start_matches('#')
        .trim()
        .to_lowercase()
        .chars()
        .filter(kept)
        .collect::<String>()
        .replace(' ', "-")
}

#[test]
fn links_lead_to_files_and_headings_that_are_there() {
    none(sources(".md").into_iter().flat_map(|page| {
        let leads_nowhere = |target: &String| {
            let (file, heading) =
                target.split_once('#').map_or((target.as_str(), None), |(f, h)| (f, Some(h)));
            let here = Path::new(&page.path);
            let path = if file.is_empty() {
                here.to_owned()
            } else {
                normal(&here.parent().unwrap_or(here).join(file))
            };
            let path = root().join(path);
            let Some(heading) = heading else { return !path.exists() };
            let text = std::fs::read_to_string(path).unwrap_or_default();
            !text.lines().filter(|line| line.starts_with('#')).any(|line| anchor(line) == heading)
        };
        let wrong = links(&page.text).into_iter().filter(leads_nowhere);
        wrong.map(|target| format!("{}: leads nowhere: {target}", page.path)).collect::<Vec<_>>()
    }));
}

#[test]
fn a_reference_that_leads_nowhere_is_seen() {
    let rust = sources(".rs");
    let own = "tests/tidy/pages.rs::a_reference_that_leads_nowhere_is_seen";
    assert_eq!(broken(own, &rust, ""), None);
    assert_eq!(broken("cargo xtask tidy --x", &rust, "    (\"tidy\", \"…\")"), None);
    for nowhere in [
        "tests/tidy/pages.rs::spans",
        "tests/tidy/pages.rs::a_reference",
        "tests/tidy/no.rs::x",
        "tests/no/",
        "cargo xtask tid",
    ] {
        assert!(broken(nowhere, &rust, "    (\"tidy\", \"…\")").is_some(), "{nowhere}");
    }
    assert_eq!(spans("a `b` c `d`").collect::<Vec<_>>(), ["b", "d"]);
}

#[test]
fn what_is_not_installed_is_seen() {
    for there in
        ["coracle.service", "coracle-workload@site.web.service", "/usr/share/coracle/direct.conf", "/etc/x"]
    {
        assert_eq!(not_installed(there), None, "{there}");
    }
    for nowhere in
        ["coracle-boots.service", "coracle@x.service", "coracle_agents.slice", "/usr/share/coracle/x"]
    {
        assert!(not_installed(nowhere).is_some(), "{nowhere}");
    }
    assert_eq!(links("a [b](c.md#d) `[x](y)` [e](https://f) [g](#h)"), ["c.md#d", "#h"]);
    assert_eq!(anchor("## What to do when …"), "what-to-do-when-");
}
