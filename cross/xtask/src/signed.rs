//! The table of signed documents: what a board makes of each, and why.

use std::io;
use std::process::{Command, Stdio};

use coracle_test_support::process::run;

use crate::setup;

/// Prints the table; ends with how many documents were taken and refused.
pub fn command(_: &[String]) -> io::Result<()> {
    // Its keys and signatures are openssl's.
    run(Command::new("openssl").arg("version"))
        .map_err(|error| io::Error::other(format!("openssl is needed, see `cargo xtask setup`: {error}")))?;
    let mut cargo =
        setup::cargo(&["test", "-q", "-p", "coracle", "--test", "it", "trust::", "--", "--nocapture"])?;
    let output = cargo.stdin(Stdio::null()).stderr(Stdio::inherit()).stdout(Stdio::piped()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let ours = |line: &&str| !(line.is_empty() || line.starts_with("running ") || line.starts_with("test "));
    let mut table = text.lines().filter(ours).collect::<Vec<_>>();
    // What the harness says of its own goes after the line that counts.
    if let Some(last) = table.iter().position(|line| line.starts_with("signed only: ")) {
        table.truncate(last + 1);
    }
    println!("{}", table.join("\n"));
    if output.status.success() { Ok(()) } else { Err(io::Error::other("a document met another verdict")) }
}
