//! Crash consistency of the state directory: by the agent's system calls, which is the business of `tests/crash`, or, with
//! `--board`, by the writes that the disk of a whole board gets from its file system.

use std::io;

use coracle_test_support::emulated::Syncs;

use crate::emulated::{self, Disks};
use crate::{interrupt, namespace, setup, words};

/// Every so many-th write between two barriers is cut after.
const STEP: u64 = 10;

/// Builds the agent and the checker, and runs it with the given words.
pub fn command(words: &[String]) -> io::Result<()> {
    if words.first().is_some_and(|word| word == "--board") {
        return board(words.get(1..).unwrap_or_default());
    }
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

/// Records one board and looks at its disks; then a board whose syncs do nothing, which must be found out.
fn board(given: &[String]) -> io::Result<()> {
    words::only(given, &["--step"], &[])?;
    let step = usize::try_from(words::number(given, "--step", STEP)?.max(1)).unwrap_or(usize::MAX);
    setup::for_boards()?;
    interrupt::watch()?;
    let [good, lying] = [Syncs::Kept, Syncs::Ignored].map(|syncs| emulated::writes(syncs, step));
    let (good, lying) = (good?, lying?);
    for wrong in &good.bad {
        println!("{wrong}");
    }
    let Disks { writes, barriers, looked_at, bad } = &good;
    println!("a board whose syncs do nothing: {} of {} disks bad", lying.bad.len(), lying.looked_at);
    println!("crash: {writes} writes, {barriers} barriers, {looked_at} disks, {} bad", bad.len());
    if lying.bad.is_empty() {
        return Err(io::Error::other(
            "the board whose syncs do nothing was not found out: nothing was tried",
        ));
    }
    if bad.is_empty() { Ok(()) } else { Err(io::Error::other("not every disk recovered")) }
}
