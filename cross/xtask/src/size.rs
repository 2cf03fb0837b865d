//! `size [--target TRIPLE|all] [--binaries DIR]`: what each release's bytes are for, and whose they are, held against its
//! budget and the shares of `cross/crates.toml`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use toml::{Table, Value};

use crate::build::{mib, named, release};
use crate::crates::Crates;
use crate::sections::Sections;
use crate::setup;
use crate::target::{self, BOUND_BYTES, GOAL_BYTES};
use crate::words;

/// What a binary may have to write: memory that each process has of its own, and there is one for each workload.
const WRITTEN_MAX_BYTES: u64 = 256 * 1024;
/// Crates that are shown.
const SHOWN: usize = 12;

/// Builds, and fails when a binary is larger than its budget or the bound of all, writes more than it may, or has a crate
/// that is larger than its share.
pub fn command(given: &[String]) -> io::Result<()> {
    let options = given.get(usize::from(given.first().is_some_and(|word| !word.starts_with('-')))..);
    words::only(options.unwrap_or_default(), &["--target", "--binaries"], &[])?;
    let targets = target::asked(given)?;
    let (shares, other) = shares()?;
    let (mut over, mut counted, mut large, mut rows) = (0, 0, 0, Vec::new());
    for target in &targets {
        let binary = match words::text(given, "--binaries") {
            Some(dir) => Path::new(dir).join(&target.triple).join("coracle"),
            None => release(&target.triple)?,
        };
        let bytes = fs::metadata(&binary)?.len();
        let sections = Sections::of(&binary)?;
        let [is, may, goal] = [bytes, target.budget_bytes, GOAL_BYTES].map(mib);
        println!(
            "{}: {is:.2} MiB; budget {may:.2} MiB ({}), goal {goal:.2} MiB",
            target.triple, target.reason
        );
        let mut complaints = Vec::new();
        if target.linked.keeps_names() {
            let crates = Crates::of(&named(&binary))?;
            println!("  {} bytes have a name: {}", crates.total(), crates.shown(SHOWN));
            complaints = crates.over(&shares, other);
            counted += 1;
        } else {
            println!("  zig leaves no names, so nobody can say which crates these are of");
        }
        complaints.iter().for_each(|complaint| println!("  TOO LARGE: {complaint}"));
        large += complaints.len();
        let Sections { code, read, written, beside } = sections;
        let good = bytes <= target.budget_bytes.min(BOUND_BYTES) && written <= WRITTEN_MAX_BYTES;
        let verdict = if good && complaints.is_empty() { "good" } else { "BAD" };
        rows.push(format!(
            "{:32}  {bytes:>9}  {code:>9}  {read:>9}  {written:>9}  {beside:>9}  {verdict}",
            target.triple
        ));
        over += usize::from(!good);
    }
    let head = ["bytes", "code", "read", "written", "beside"].map(|word| format!("  {word:>9}")).concat();
    println!("{:32}{head}", "target");
    println!("{}", rows.join("\n"));
    println!(
        "size: {} binaries, {over} over budget, or over {} KiB that is written; crates of {counted} counted, {large} over their share",
        targets.len(),
        WRITTEN_MAX_BYTES / 1024
    );
    if over + large == 0 { Ok(()) } else { Err(io::Error::other("a binary, or a crate, is over its budget")) }
}

/// `cross/crates.toml`: the percent that each crate may have, and `other` for those that it does not name.
fn shares() -> io::Result<(BTreeMap<String, u64>, u64)> {
    let text = fs::read_to_string(setup::root()?.join("cross/crates.toml"))?;
    let table: Table = text.parse().map_err(io::Error::other)?;
    let number = |name: &str, value: &Value| {
        let percent = value.as_integer().and_then(|percent| u64::try_from(percent).ok());
        percent.ok_or_else(|| io::Error::other(format!("cross/crates.toml: {name} is no number of percent")))
    };
    let shares = table.iter().map(|(name, value)| Ok((name.clone(), number(name, value)?)));
    let mut shares = shares.collect::<io::Result<BTreeMap<_, _>>>()?;
    let other = shares.remove("other").ok_or_else(|| io::Error::other("cross/crates.toml lacks other"))?;
    Ok((shares, other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_a_share_of_its_own_has_more_than_others() {
        let (shares, other) = shares().unwrap();
        assert!(!shares.is_empty());
        for (name, share) in shares {
            assert!(share > other && share < 50, "{name} may have {share} %");
        }
    }
}
