//! `size [--target TRIPLE|all] [--binaries DIR]`: what each release's bytes are for, held against its budget.

use std::fs;
use std::io;
use std::path::Path;

use crate::build::{mib, release};
use crate::sections::Sections;
use crate::target::{self, BOUND_BYTES, GOAL_BYTES};
use crate::words;

/// What a binary may have to write: memory that each process has of its own, and there is one for each workload.
const WRITTEN_MAX_BYTES: u64 = 256 * 1024;

/// Builds, and fails when a binary is larger than its budget or the bound of all, or writes more than it may.
pub fn command(given: &[String]) -> io::Result<()> {
    let options = given.get(usize::from(given.first().is_some_and(|word| !word.starts_with('-')))..);
    words::only(options.unwrap_or_default(), &["--target", "--binaries"], &[])?;
    let targets = target::asked(given)?;
    let (mut over, mut rows) = (0, Vec::new());
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
        let Sections { code, read, written, beside } = sections;
        let good = bytes <= target.budget_bytes.min(BOUND_BYTES) && written <= WRITTEN_MAX_BYTES;
        let verdict = if good { "good" } else { "BAD" };
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
        "size: {} binaries, {over} over budget, or over {} KiB that is written",
        targets.len(),
        WRITTEN_MAX_BYTES / 1024
    );
    if over == 0 { Ok(()) } else { Err(io::Error::other("a binary is over its budget")) }
}
