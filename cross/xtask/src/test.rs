//! Runs all tests of the workspace where crun can work, and adds up what they said.

use std::io::{self, BufRead, BufReader};
use std::process::Stdio;
use std::time::Instant;

use crate::{namespace, setup};

/// Sets up, then runs `cargo test --workspace` with the given words.
pub fn command(words: &[String]) -> io::Result<()> {
    setup::for_tests()?;
    namespace::enter()?;
    let began = Instant::now();
    let mut cargo = setup::cargo(&["test", "--workspace", "--no-fail-fast"])?;
    let mut child = cargo.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut total = Total::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line?;
            println!("{line}");
            total.add(&line);
        }
    }
    let status = child.wait()?;
    let Total { passed, failed, ignored } = total;
    let seconds = began.elapsed().as_secs();
    println!("tests: {passed} passed, {failed} failed, {ignored} ignored, in {seconds} s");
    if status.success() { Ok(()) } else { Err(io::Error::other("some tests failed")) }
}

/// The sum over all test programs.
#[derive(Debug, Default, PartialEq, Eq)]
struct Total {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Total {
    /// Adds a closing line: `test result: ok. 7 passed; 0 failed; 0 ignored; …`.
    fn add(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else { return };
        let counts = result.split_once(". ").map_or("", |(_, counts)| counts);
        for part in counts.split("; ") {
            match part.split_once(' ') {
                Some((n, "passed")) => self.passed += n.parse().unwrap_or(0),
                Some((n, "failed")) => self.failed += n.parse().unwrap_or(0),
                Some((n, "ignored")) => self.ignored += n.parse().unwrap_or(0),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Total;

    #[test]
    fn closing_lines_add_up() {
        let mut total = Total::default();
        total.add("running 3 tests");
        total.add(
            "test result: ok. 7 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s",
        );
        total.add("test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out");
        assert_eq!(total, Total { passed: 9, failed: 3, ignored: 1 });
    }
}
