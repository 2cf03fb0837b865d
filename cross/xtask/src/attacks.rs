//! The corpus of hostile input as a table: each attack, what refused it, the first line of its error, and the most memory
//! that the attacked process took.

use std::collections::BTreeMap;
use std::io;
use std::process::Stdio;
use std::time::Instant;

use crate::{build, namespace, setup, words};

/// The tests that try attacks; all of them are tests of `cargo xtask test`, too.
const TESTS: &[&str] = &[
    "attacks::",
    "unpack::hostile",
    "smuggled::",
    "images_signed::",
    "registry::auth",
    "registry::blobs",
    "registry::redirects",
    "agent::allowance",
    "agent::bad_document",
    "agent::bad_input",
    "agent::commands",
    "mqtt::",
    "trust::",
];
/// Fewer are no corpus: somebody lost a test.
const ATTACKS_MIN: usize = 350;

/// One line.
struct Attack {
    name: String,
    by: String,
    said: String,
    peak_kib: Option<u64>,
}

/// Prints the table; ends with the counts and the worst peak. `--release` attacks the binary for boards, which is built
/// first, and holds it to the memory of a board. `--only WORD` tries the images and brokers with that word in their name.
pub fn command(given: &[String]) -> io::Result<()> {
    words::only(given, &["--only"], &["--release"])?;
    setup::for_tests()?;
    let release = given.iter().any(|word| word == "--release");
    let exe = if release { Some(build::release(build::AMD64)?) } else { None };
    namespace::enter()?;
    let began = Instant::now();
    let mut cargo = setup::cargo(&["test", "-q", "-p", "coracle", "--test", "it", "--no-fail-fast", "--"])?;
    cargo.args(TESTS).arg("--nocapture").stdin(Stdio::null()).stderr(Stdio::piped()).stdout(Stdio::piped());
    if let Some(exe) = exe {
        cargo.env("CORACLE_ATTACKED", exe);
    }
    let only = words::text(given, "--only");
    if let Some(word) = only {
        cargo.env("CORACLE_ATTACK", word);
    }
    let output = cargo.output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let families = read(&text);
    for (family, attacks) in &families {
        println!("{family}");
        for attack in attacks {
            println!("{}", line(attack));
        }
    }
    let all: Vec<&Attack> = families.values().flatten().collect();
    let harmless = all.iter().filter(|attack| attack.by == "harmless").count();
    if !output.status.success() {
        println!("{}", String::from_utf8_lossy(&output.stderr));
    }
    let worst =
        all.iter().filter_map(|attack| attack.peak_kib.map(|peak| (peak, attack.name.as_str()))).max();
    let (peak, name) = worst.unwrap_or_default();
    println!(
        "attacks: {} tried, {} refused, {harmless} harmless, {}; worst peak {:.1} MiB ({name}), {} s",
        all.len(),
        all.len() - harmless,
        if output.status.success() { "all as they should" } else { "NOT all as they should" },
        mib(peak),
        began.elapsed().as_secs(),
    );
    if !output.status.success() {
        return Err(io::Error::other("an attack did not end as it should"));
    }
    if only.is_none() && all.len() < ATTACKS_MIN {
        return Err(io::Error::other(format!("fewer than {ATTACKS_MIN} attacks were tried")));
    }
    Ok(())
}

/// The lines of the tests, by family, each name once.
fn read(text: &str) -> BTreeMap<String, Vec<Attack>> {
    let mut families: BTreeMap<String, Vec<Attack>> = BTreeMap::new();
    // The harness may have begun the line.
    for fields in text.lines().filter_map(|line| line.split_once("attack\t")) {
        let [family, name, by, said, peak] = fields.1.split('\t').collect::<Vec<_>>()[..] else { continue };
        let attacks = families.entry(family.to_owned()).or_default();
        if attacks.iter().all(|attack| attack.name != name) {
            attacks.push(Attack {
                name: name.to_owned(),
                by: by.to_owned(),
                said: said.to_owned(),
                peak_kib: peak.parse().ok(),
            });
        }
    }
    for attacks in families.values_mut() {
        attacks.sort_by(|one, other| one.name.cmp(&other.name));
    }
    families
}

fn line(attack: &Attack) -> String {
    let peak = attack.peak_kib.map_or_else(|| "-".to_owned(), |peak| format!("{:.1}", mib(peak)));
    format!("  {:<58} {:<20} {peak:>5}  {}", attack.name, attack.by, attack.said)
}

fn mib(kib: u64) -> f64 {
    build::mib(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_where_the_harness_has_them_and_names_count_once() {
        let text = "test x ... attack\tmqtt\tb\tsession\tno\t2048\nnoise\nattack\tmqtt\ta\tharmless\tyes\t-\n\
                    attack\tmqtt\tb\tsession\tno\t9\nattack\tbroken\n";
        let families = read(text);
        let names: Vec<_> =
            families["mqtt"].iter().map(|attack| (attack.name.as_str(), attack.peak_kib)).collect();
        assert_eq!(names, [("a", None), ("b", Some(2048))]);
        assert_eq!(families.len(), 1);
    }
}
