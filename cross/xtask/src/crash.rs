//! Crash consistency of the state directory; what it does is in `tests/crash`.

use std::io;

use crate::{namespace, setup};

/// Builds the agent and the checker, and runs it with the given words.
pub fn command(words: &[String]) -> io::Result<()> {
    setup::for_tests()?;
    let built =
        setup::cargo(&["build", "--quiet", "--package", "coracle", "--package", "coracle-test-crash"])?
            .status()?;
    if !built.success() {
        return Err(io::Error::other("it does not build"));
    }
    namespace::enter()?;
    let debug = setup::target_dir()?.join("debug");
    let mut checker = std::process::Command::new(debug.join("coracle-test-crash"));
    let status = checker.arg("--exe").arg(debug.join("coracle")).args(words).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other("not every disk recovered")) }
}
