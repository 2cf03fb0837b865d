//! cargo-deny over the dependencies: licenses, bans, sources; advisories when asked, for they need the internet.

use std::io;
use std::path::PathBuf;
use std::process::Command;

use coracle_test_support::scratch::cache;

use crate::setup;

/// Pinned, so that a new release of it does not turn a green tree red.
const VERSION: &str = "0.20.2";

/// Runs it; `--advisories` adds the database of known vulnerabilities.
pub fn command(words: &[String]) -> io::Result<()> {
    let mut deny = Command::new(program()?);
    deny.args(["--all-features", "check", "--hide-inclusion-graph"]);
    // An exception that is no longer needed goes.
    deny.args(["--deny", "unmatched-skip", "--deny", "unnecessary-skip", "bans", "licenses", "sources"]);
    if words.iter().any(|word| word == "--advisories") {
        deny.arg("advisories");
    }
    let status = deny.current_dir(setup::root()?).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other("a dependency is not allowed")) }
}

/// cargo-deny of our version, built once and kept in the cache.
fn program() -> io::Result<PathBuf> {
    let root = cache().join(format!("cargo-deny-{VERSION}"));
    let program = root.join("bin/cargo-deny");
    if !program.exists() {
        println!(
            "setup: building cargo-deny {VERSION}: checks licenses and sources (about two minutes, once)"
        );
        let mut cargo =
            setup::cargo(&["install", "--quiet", "--locked", "cargo-deny", "--version", VERSION, "--root"])?;
        if !cargo.arg(&root).status()?.success() {
            return Err(io::Error::other("cannot build cargo-deny"));
        }
    }
    Ok(program)
}
