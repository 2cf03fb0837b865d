//! Runs all tests of the workspace where crun can work, and adds up what they said.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::process::Stdio;
use std::thread;
use std::time::Instant;

use coracle_test_support::scratch::TempDir;
use coracle_test_support::secrets::{LEDGER, Sum};

use crate::{namespace, setup};

/// How many tests run at a time. Most of them wait for brokers, runtimes and boards: two for each processor keep it busy.
const THREADS: &str = "RUST_TEST_THREADS";

/// Sets up, then runs `cargo test --workspace` with the given words.
pub fn command(words: &[String]) -> io::Result<()> {
    let mut all = vec!["--workspace".to_owned()];
    all.extend_from_slice(words);
    let leaks = if words.is_empty() { Leaks::Demanded } else { Leaks::Welcome };
    run(&[all], leaks)
}

/// The same with the planted leaks first, whatever the words choose of the rest.
pub fn secrets(words: &[String]) -> io::Result<()> {
    if words.is_empty() {
        return command(words);
    }
    let planted = ["-p", "coracle-test-support", "secrets::"].map(str::to_owned).to_vec();
    run(&[planted, words.to_vec()], Leaks::Demanded)
}

/// Whether leaks that were planted on purpose must be found: a run that finds none proves nothing of the others.
#[derive(PartialEq, Eq)]
enum Leaks {
    Demanded,
    Welcome,
}

fn run(runs: &[Vec<String>], leaks: Leaks) -> io::Result<()> {
    setup::for_tests()?;
    namespace::enter()?;
    let began = Instant::now();
    let ledger = TempDir::new("ledger");
    let path = ledger.join("looked");
    fs::write(&path, "")?;
    let (mut total, mut good) = (Total::default(), true);
    for words in runs {
        let mut cargo = setup::cargo(&["test", "--no-fail-fast"])?;
        if std::env::var_os(THREADS).is_none() {
            cargo.env(THREADS, (2 * thread::available_parallelism()?.get()).to_string());
        }
        cargo.env(LEDGER, &path).args(words).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = cargo.spawn()?;
        if let Some(output) = child.stdout.take() {
            for line in BufReader::new(output).lines() {
                let line = line?;
                println!("{line}");
                total.add(&line);
            }
        }
        good &= child.wait()?.success();
    }
    let sum = Sum::of(&fs::read_to_string(&path)?);
    sum.leaks.iter().for_each(|leak| println!("told a secret: {leak}"));
    println!("{}", sum.words());
    let Total { passed, failed, ignored } = total;
    let seconds = began.elapsed().as_secs();
    println!("tests: {passed} passed, {failed} failed, {ignored} ignored, in {seconds} s");
    if !sum.leaks.is_empty() {
        return Err(io::Error::other("secrets were told"));
    }
    if leaks == Leaks::Demanded && (sum.drills == 0 || sum.lines == 0) {
        return Err(io::Error::other("nothing was looked at, or the planted leaks were not found"));
    }
    if good { Ok(()) } else { Err(io::Error::other("some tests failed")) }
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
