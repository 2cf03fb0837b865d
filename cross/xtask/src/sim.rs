//! Runs the simulation: `cargo xtask sim [--schedules N] [--seed S]`. It is optimized, for a hundred thousand nights.

use std::io;

use crate::setup;

/// Builds it and hands the words on; `tests/sim` says what they mean.
pub fn command(words: &[String]) -> io::Result<()> {
    let mut cargo = setup::cargo(&["run", "--quiet", "--profile", "sim", "--package", "coracle-sim", "--"])?;
    if cargo.args(words).status()?.success() {
        Ok(())
    } else {
        Err(io::Error::other("a schedule ended badly, or a planted fault was missed"))
    }
}
