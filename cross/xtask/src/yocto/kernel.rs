//! The kernel options of the layer are those that `coracle doctor` would have a board's builder set.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;

use crate::setup;

const FRAGMENT: &str = "yocto-layer/recipes-kernel/linux/coracle-kernel/coracle.cfg";
const DOCTOR: &str = "agent/daemon/src/cli/doctor";

/// Compares both ways: what the doctor names is in the fragment, and each part of the fragment belongs to one of its checks.
pub fn check() -> io::Result<String> {
    let root = setup::root()?;
    let fragment = fs::read_to_string(root.join(FRAGMENT))?;
    let checks = fs::read_to_string(root.join(DOCTOR).join("checks.rs"))?;
    let parts = parts(&fragment).map_err(io::Error::other)?;
    let options: BTreeSet<&str> = parts.values().flatten().map(String::as_str).collect();
    let wanted = wanted(&checks);
    let missing = wanted.iter().filter(|option| !options.contains(option.as_str()));
    let mut wrong: Vec<String> =
        missing.map(|it| format!("the doctor wants {it}, which is not set")).collect();
    let foreign = parts.keys().filter(|name| !checks.contains(&format!("\"{name}\"")));
    wrong.extend(foreign.map(|name| format!("the doctor has no check {name:?}")));
    if !wrong.is_empty() {
        return Err(io::Error::other(wrong.join("; ")));
    }
    let (options, parts, wanted) = (options.len(), parts.len(), wanted.len());
    Ok(format!("{options} options for {parts} checks of the doctor, which names {wanted} of them"))
}

/// The options of a fragment by the check that each part is for: `# name: reason`.
fn parts(fragment: &str) -> Result<BTreeMap<String, BTreeSet<String>>, String> {
    let mut parts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut part = None;
    for line in fragment.lines() {
        let heading = line.strip_prefix("# ").and_then(|line| line.split_once(": ")).map(|(name, _)| name);
        if let Some(name) = heading.filter(|name| !name.contains(' ')) {
            part = Some(name.to_owned());
        } else if let Some(option) = line.strip_prefix("CONFIG_") {
            let Some(name) = &part else { return Err(format!("{line} is set for no check")) };
            let Some(option) = option.strip_suffix("=y") else { return Err(format!("{line} is not y")) };
            parts.entry(name.clone()).or_default().insert(option.to_owned());
        } else if !line.is_empty() && !line.starts_with('#') {
            return Err(format!("{line:?} is no option"));
        }
    }
    Ok(parts)
}

/// The options that the doctor's remedies name: `CONFIG_SECCOMP`, and in one word `CONFIG_{UTS,IPC}_NS`.
fn wanted(checks: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for rest in checks.split("CONFIG_").skip(1) {
        let is_part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        let word = |text: &str| text.chars().take_while(|c| is_part(*c)).collect::<String>();
        match rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            Some((names, end)) => found.extend(names.split(',').map(|name| name.to_owned() + &word(end))),
            None => {
                found.insert(word(rest));
            }
        }
    }
    // Named as what does not help.
    found.remove("EXT4_FS_SECURITY");
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fragment_and_the_doctor_agree() {
        check().unwrap();
    }

    #[test]
    fn options_are_read_with_what_they_are_for() {
        let found = parts("# About: all of it.\n\n# seccomp: a filter.\nCONFIG_SECCOMP=y\n").unwrap();
        assert_eq!(found["seccomp"], BTreeSet::from(["SECCOMP".to_owned()]));
        for bad in ["CONFIG_SECCOMP=y", "# a: b\nCONFIG_SECCOMP=m", "# a: b\nSECCOMP=y"] {
            assert!(parts(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_remedies_name_is_found() {
        let names = wanted("build with CONFIG_NAMESPACES and CONFIG_{UTS,NET}_NS, CONFIG_CGROUPS\";");
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["CGROUPS", "NAMESPACES", "NET_NS", "UTS_NS"]);
    }
}
