//! The tables of what is signed: documents and images, what a board makes of each, and why.

use std::io;
use std::process::{Command, Stdio};

use coracle_test_support::process::run;

use crate::setup;

/// Tests that print a table, with how its last line begins.
const TABLES: [(&str, &str); 2] = [
    ("trust::a_board_takes_what_its_keys_signed_and_nothing_else", "signed only: "),
    ("images_signed::a_board_takes_images_that_its_policy_wants_and_no_others", "images: "),
];

/// Prints the tables; ends with how many documents and images were taken and refused.
pub fn command(_: &[String]) -> io::Result<()> {
    // Keys and signatures are openssl's, and skopeo is asked for a second opinion.
    for (tool, word) in [("openssl", "version"), ("skopeo", "--version")] {
        run(Command::new(tool).arg(word)).map_err(|error| {
            io::Error::other(format!("{tool} is needed, see `cargo xtask setup`: {error}"))
        })?;
    }
    let mut counts = Vec::new();
    for (test, last) in TABLES {
        let (table, count) = table(test, last)?;
        println!("{}\n", table.join("\n"));
        counts.push(count);
    }
    println!("{}", counts.join("; "));
    Ok(())
}

/// The rows of a table, and its last line.
fn table(test: &str, last: &str) -> io::Result<(Vec<String>, String)> {
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
        return Err(io::Error::other("a document or image met another verdict"));
    }
    let Some(count) = count else { return Err(io::Error::other(format!("{test} printed no table"))) };
    rows.truncate(count + 1);
    let count = rows.pop().unwrap_or_default();
    Ok((rows, count))
}
