//! Runs the tidy tests alone: `tests/tidy` has the rules.

use std::io;

use crate::setup;

/// Runs them.
pub fn command(_: &[String]) -> io::Result<()> {
    let mut cargo = setup::cargo(&["test", "-q", "-p", "xtask", "--test", "tidy"])?;
    if cargo.status()?.success() { Ok(()) } else { Err(io::Error::other("the tree is untidy")) }
}
