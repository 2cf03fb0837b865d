//! The static release binary of a target, and the budget that its size has to keep.

use std::fs;
use std::io;
use std::path::PathBuf;

use toml::{Table, Value};

use crate::setup;

/// The target of most figures: the one that this machine can run.
pub const AMD64: &str = "x86_64-unknown-linux-musl";

const MIB: f64 = 1024.0 * 1024.0;

/// `build [TRIPLE]`: builds for one target of `cross/targets.toml`.
pub fn command(words: &[String]) -> io::Result<()> {
    let triple = words.first().map_or(AMD64, String::as_str);
    println!("built {}", release(triple)?.display());
    Ok(())
}

/// `size [TRIPLE]`: builds, and fails when the binary is larger than its budget.
pub fn size(words: &[String]) -> io::Result<()> {
    let triple = words.first().map_or(AMD64, String::as_str);
    let bytes = fs::metadata(release(triple)?)?.len();
    let target = target(triple)?;
    let budget = number(&target, "budget_bytes")?;
    let [is, may, goal] = [bytes, budget, number(&target, "goal_bytes")?].map(mib);
    println!("size: {triple}: {is:.2} MiB; budget {may:.2} MiB, goal {goal:.2} MiB");
    if bytes <= budget { Ok(()) } else { Err(io::Error::other(format!("{triple} is over its budget"))) }
}

/// Builds the binary of `triple` and hands back its path.
pub fn release(triple: &str) -> io::Result<PathBuf> {
    cargo_for(triple, &["build", "--release", "--package", "coracle", "--target", triple])?;
    Ok(setup::target_dir()?.join(triple).join("release/coracle"))
}

/// `targets`: lints the agent for every target of `cross/targets.toml` but this machine's.
pub fn lint(_: &[String]) -> io::Result<()> {
    let others = targets()?.into_iter().map(|(triple, _)| triple).filter(|triple| triple != AMD64);
    for triple in others {
        let words =
            ["clippy", "--quiet", "--package", "coracle", "--target", &triple, "--", "-D", "warnings"];
        cargo_for(&triple, &words)?;
        println!("{triple}: no complaints");
    }
    Ok(())
}

/// Runs cargo with what the target needs.
fn cargo_for(triple: &str, words: &[&str]) -> io::Result<()> {
    let target = target(triple)?;
    for (program, packages) in table(&target, "needs") {
        let packages = packages.as_str().unwrap_or_default();
        setup::install_program(program, packages, "compiles C for the target, as ring and zstd need it")?;
    }
    setup::add_target(triple)?;
    let mut cargo = setup::cargo(words)?;
    for (name, value) in table(&target, "env") {
        cargo.env(name, value.as_str().unwrap_or_default());
    }
    if cargo.status()?.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("cargo {} failed for {triple}", words.first().unwrap_or(&""))))
}

/// Bytes as MiB, for people.
pub fn mib(bytes: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "printed with two digits")]
    let bytes = bytes as f64;
    bytes / MIB
}

fn targets() -> io::Result<Table> {
    let text = fs::read_to_string(setup::root()?.join("cross/targets.toml"))?;
    text.parse().map_err(io::Error::other)
}

fn target(triple: &str) -> io::Result<Table> {
    match targets()?.get(triple) {
        Some(Value::Table(target)) => Ok(target.clone()),
        _ => Err(io::Error::other(format!("cross/targets.toml has no {triple}"))),
    }
}

fn table<'a>(target: &'a Table, key: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    target.get(key).and_then(Value::as_table).into_iter().flatten()
}

fn number(target: &Table, key: &str) -> io::Result<u64> {
    let value = target.get(key).and_then(Value::as_integer).and_then(|n| u64::try_from(n).ok());
    value.ok_or_else(|| io::Error::other(format!("cross/targets.toml lacks {key}")))
}
