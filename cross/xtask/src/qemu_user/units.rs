//! The tests of core and host, compiled for the target and run on its processor.

use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{Guest, Row};
use crate::build::cargo_for;
use crate::target::{Linked, Target};

/// Tests that an emulator of system calls cannot run, each with the reason; they run where the kernel is the program's own.
const NOT_HERE: [(&str, &str); 2] = [
    (
        "board::tests::the_features_of_cpuid_are_those_that_the_kernel_shows",
        "qemu shows this machine's /proc/cpuinfo, of another processor",
    ),
    (
        "users::tests::links_are_followed_within_the_root_only",
        "qemu 7.2 knows no openat2, and without it links of an image are refused",
    ),
];

/// What the tests said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    pub passed: usize,
    pub failed: usize,
    /// Not run, and named above.
    pub left: usize,
}

impl Sum {
    /// Both.
    pub fn plus(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            left: self.left + other.left,
        }
    }

    /// `test result: ok. 7 passed; 0 failed; 0 ignored; 0 measured; 2 filtered out; …`, of all programs.
    fn of(said: &str) -> Self {
        let lines = said.lines().filter_map(|line| line.strip_prefix("test result: "));
        let counts =
            lines.filter_map(|line| line.split_once(". ")).flat_map(|(_, counts)| counts.split("; "));
        let mut sum = Self::default();
        for (count, what) in counts.filter_map(|part| part.split_once(' ')) {
            let count = count.parse().unwrap_or(0);
            match what {
                "passed" => sum.passed += count,
                "failed" => sum.failed += count,
                "filtered out" => sum.left += count,
                _ => {}
            }
        }
        sum
    }
}

/// Runs them all; the row, and the counts.
pub fn row(guest: &Guest<'_>) -> (Row, Sum) {
    let (outcome, sum) = match run(guest) {
        Err(error) => (Err(error), Sum::default()),
        Ok((sum, _)) if sum.failed == 0 && sum.passed > 0 && sum.left == NOT_HERE.len() => {
            (Ok(format!("{} passed, {} not for an emulator", sum.passed, sum.left)), sum)
        }
        Ok((sum, said)) => {
            let failed =
                said.lines().filter(|line| line.ends_with("... FAILED")).collect::<Vec<_>>().join(", ");
            let words = format!("{sum:?}, where {} should be left out: {failed}", NOT_HERE.len());
            (Err(io::Error::other(words)), sum)
        }
    };
    (Row::new("tests of core and host", outcome), sum)
}

fn run(guest: &Guest<'_>) -> io::Result<(Sum, String)> {
    let mut said = String::new();
    for program in compile(guest.target)? {
        let mut command = Command::new(&guest.target.qemu_user);
        command.args(["-cpu", guest.cpu()]).arg(&program).args(["--test-threads", "2", "--exact"]);
        for (name, _) in NOT_HERE {
            command.args(["--skip", name]);
        }
        let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !text.contains("test result: ") {
            let last = text.lines().last().unwrap_or_default();
            return Err(io::Error::other(format!(
                "{} ended with {} after {last:?}",
                program.display(),
                output.status
            )));
        }
        said += &text;
    }
    Ok((Sum::of(&said), said))
}

/// The test programs of both crates.
fn compile(target: &Target) -> io::Result<Vec<PathBuf>> {
    let words =
        ["test", "--no-run", "--locked", "--quiet", "-p", "coracle-core", "-p", "coracle-host", "--lib"];
    let mut cargo = cargo_for(target, &words, "")?;
    cargo.args(["--message-format", "json"]);
    if target.linked == Linked::Zig {
        cargo.args(["-Z", "build-std"]).env("RUSTC_BOOTSTRAP", "1");
    }
    let output = cargo.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("the tests do not compile for {}", target.triple)));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let programs: Vec<PathBuf> =
        messages.filter_map(|message| message["executable"].as_str().map(PathBuf::from)).collect();
    if programs.is_empty() { Err(io::Error::other("no test programs")) } else { Ok(programs) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_of_all_programs_add_up() {
        let said = "test result: ok. 7 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.1s\n\
                    test a ... ok\n\
                    test result: FAILED. 5 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s\n";
        assert_eq!(Sum::of(said), Sum { passed: 12, failed: 3, left: 2 });
    }
}
