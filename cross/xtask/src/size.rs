//! `size [--target TRIPLE|all]`: the release, held against its budget.

use std::fs;
use std::io;

use crate::build::{mib, release};
use crate::target::{self, BOUND_BYTES, GOAL_BYTES};

/// Builds, and fails when a binary is larger than its budget or the bound of all.
pub fn command(words: &[String]) -> io::Result<()> {
    let targets = target::asked(words)?;
    let mut over = 0;
    for target in &targets {
        let bytes = fs::metadata(release(&target.triple)?)?.len();
        let [is, may, goal] = [bytes, target.budget_bytes, GOAL_BYTES].map(mib);
        println!(
            "{}: {is:.2} MiB; budget {may:.2} MiB ({}), goal {goal:.2} MiB",
            target.triple, target.reason
        );
        over += usize::from(bytes > target.budget_bytes.min(BOUND_BYTES));
    }
    println!("size: {} binaries, {over} over budget", targets.len());
    if over == 0 { Ok(()) } else { Err(io::Error::other("a binary is over its budget")) }
}
