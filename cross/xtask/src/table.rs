//! Proofs that are tests and print a table with one line of counts at its end.

use std::io;
use std::process::Stdio;

use crate::setup;

/// The rows of a table, and its last line.
pub fn of(test: &str, last: &str) -> io::Result<(Vec<String>, String)> {
    let words = ["test", "-q", "-p", "coracle", "--test", "it", "--", "--exact", "--nocapture", test];
    let mut cargo = setup::cargo(&words)?;
    let output = cargo.stdin(Stdio::null()).stderr(Stdio::inherit()).stdout(Stdio::piped()).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let ours = |line: &&str| !(line.is_empty() || line.starts_with("running ") || line.starts_with("test "));
    let lines = text.lines().filter(ours).map(str::to_owned);
    // What the harness says of its own goes after the line that counts.
    let mut rows: Vec<String> = lines.take_while(|line| !line.starts_with("test result")).collect();
    let count = rows.iter().position(|line| line.starts_with(last));
    if !output.status.success() {
        println!("{}", rows.join("\n"));
        return Err(io::Error::other("something met another verdict than expected"));
    }
    let Some(count) = count else { return Err(io::Error::other(format!("{test} printed no table"))) };
    rows.truncate(count + 1);
    let count = rows.pop().unwrap_or_default();
    Ok((rows, count))
}
