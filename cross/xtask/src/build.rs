//! The static release binary of a target, and the budget that its size has to keep.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::Command;

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

/// The standard library is built with the agent: small instead of fast, and without the code that prints backtraces,
/// which a stripped binary has no names for. What a panic says, and where, stays.
pub const STD_FROM_SOURCE: &[&str] =
    &["-Z", "build-std=std,panic_abort", "-Z", "build-std-features=optimize_for_size"];

/// Builds the binary of `triple` and hands back its path.
pub fn release(triple: &str) -> io::Result<PathBuf> {
    setup::add_component("rust-src", "the standard library, which is built small")?;
    let mut cargo =
        cargo_for(triple, &["build", "--release", "--locked", "--package", "coracle", "--target", triple])?;
    // The toolchain is pinned, so what is not promised for ever is at least the same for everybody.
    cargo.args(STD_FROM_SOURCE).env("RUSTC_BOOTSTRAP", "1");
    let name = format!("CARGO_TARGET_{}_RUSTFLAGS", triple.to_uppercase().replace('-', "_"));
    let target = target(triple)?;
    let flags = table(&target, "env").find(|(given, _)| **given == name);
    let flags = flags.and_then(|(_, flags)| flags.as_str()).unwrap_or_default();
    outcome(cargo.env(name, format!("{flags} {}", nameless()?)), triple)?;
    Ok(setup::target_dir()?.join(triple).join("release/coracle"))
}

/// Flags that keep this machine's folders out of the binary: it is the same wherever it is built.
fn nameless() -> io::Result<String> {
    let home = std::env::var("HOME").map_err(io::Error::other)?;
    let cargo = std::env::var("CARGO_HOME").unwrap_or_else(|_| format!("{home}/.cargo"));
    let places = [
        (setup::sysroot()?, "/rust"),
        (format!("{cargo}/registry/src"), "/crates"),
        (setup::root()?.display().to_string(), "/coracle"),
    ];
    let flags = places.map(|(place, name)| format!("--remap-path-prefix={place}={name}"));
    Ok(flags.join(" "))
}

/// `targets`: lints the agent for every target of `cross/targets.toml` but this machine's.
pub fn lint(_: &[String]) -> io::Result<()> {
    let others = targets()?.into_iter().map(|(triple, _)| triple).filter(|triple| triple != AMD64);
    for triple in others {
        let words =
            ["clippy", "--quiet", "--package", "coracle", "--target", &triple, "--", "-D", "warnings"];
        outcome(&mut cargo_for(&triple, &words)?, &triple)?;
        println!("{triple}: no complaints");
    }
    Ok(())
}

/// A cargo with what the target needs.
fn cargo_for(triple: &str, words: &[&str]) -> io::Result<Command> {
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
    Ok(cargo)
}

fn outcome(cargo: &mut Command, triple: &str) -> io::Result<()> {
    if cargo.status()?.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("cargo failed for {triple}")))
    }
}

/// Bytes as MiB, for people.
pub fn mib(bytes: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "printed with two digits")]
    let bytes = bytes as f64;
    bytes / MIB
}

/// Debian's word for a target; none where Debian has no architecture that such a board can run.
pub fn debian(triple: &str) -> io::Result<Option<String>> {
    Ok(target(triple)?.get("debian").and_then(Value::as_str).map(str::to_owned))
}

/// The targets that releases are made for: those of a C library that is linked in.
pub fn static_targets() -> io::Result<Vec<String>> {
    Ok(targets()?.into_iter().map(|(triple, _)| triple).filter(|triple| triple.contains("-musl")).collect())
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
