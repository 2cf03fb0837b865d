//! `reproducible [TRIPLE]`: the release is built twice, from copies of the tree in two places and with cargo's own files
//! in two places, and is the same to the byte. Each copy is built by its own `cargo xtask build`, as anybody would.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use coracle_test_support::images::layer::sha256;
use coracle_test_support::process::run;
use coracle_test_support::scratch::TempDir;

use crate::build::AMD64;
use crate::{setup, words};

/// Differing bytes that are shown one by one.
const SHOWN: usize = 8;

/// One of the two: where it was built, and what came of it.
struct Built {
    place: PathBuf,
    bytes: Vec<u8>,
}

/// Builds twice and compares.
pub fn command(given: &[String]) -> io::Result<()> {
    let (triple, options) = match given.split_first() {
        Some((triple, rest)) if !triple.starts_with('-') => (triple.as_str(), rest),
        _ => (AMD64, given),
    };
    words::only(options, &[], &[])?;
    let scratch = TempDir::new("reproducible");
    // Of different length, and one deeper than the other.
    let first = build(triple, &scratch.join("a"), None)?;
    let home = scratch.join("another/home/of/cargo");
    let second = build(triple, &scratch.join("another/place/of/the/tree"), Some(&home))?;
    let names = [&first.bytes, &second.bytes].map(|bytes| sha256(bytes));
    for (built, name) in [&first, &second].into_iter().zip(&names) {
        println!("{name} {} bytes, built in {}", built.bytes.len(), built.place.display());
    }
    let told = [traces(&first), traces(&second)].concat();
    told.iter().for_each(|line| println!("{line}"));
    let differing = differing(&first.bytes, &second.bytes);
    for at in differing.iter().take(SHOWN) {
        println!("differs at {at:#x}: {:?} and {:?}", around(&first.bytes, *at), around(&second.bytes, *at));
    }
    let same = names[0] == names[1];
    let verdict = if same { "the same" } else { "DIFFERENT" };
    println!(
        "reproducible: {triple}: 2 builds, {verdict}, {} bytes differ, {} places named",
        differing.len(),
        told.len()
    );
    if same && told.is_empty() {
        Ok(())
    } else {
        Err(io::Error::other("the release depends on where it is built"))
    }
}

/// Copies the tree to `place` and builds the release there, with cargo's own files where `home` says.
fn build(triple: &str, place: &Path, home: Option<&Path>) -> io::Result<Built> {
    copy(&setup::root()?, place)?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["xtask", "build", "--target", triple]).current_dir(place);
    // What runs us says where our own tree and its builds are.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let ours = text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_");
        if ours
            || ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR", "RUSTFLAGS", "OUT_DIR"].contains(&text.as_ref())
        {
            cargo.env_remove(&name);
        }
    }
    if let Some(home) = home {
        fs::create_dir_all(home)?;
        let known = cargo_home()?.join("registry");
        fs::create_dir_all(&known)?;
        symlink(&known, home.join("registry"))?;
        cargo.env("CARGO_HOME", home);
    }
    if !cargo.status()?.success() {
        return Err(io::Error::other(format!("cargo xtask build failed in {}", place.display())));
    }
    let bytes = fs::read(place.join("target").join(triple).join("release/coracle"))?;
    Ok(Built { place: place.to_owned(), bytes })
}

fn cargo_home() -> io::Result<PathBuf> {
    if let Some(home) = std::env::var_os("CARGO_HOME") {
        return Ok(home.into());
    }
    Ok(Path::new(&std::env::var_os("HOME").unwrap_or_else(|| "/root".into())).join(".cargo"))
}

/// Every file that is, or is about to be, in the repository.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let listed = run(Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(from))?;
    for name in listed.split('\0').filter(|name| !name.is_empty()) {
        let (source, copy) = (from.join(name), to.join(name));
        // Removed, and not yet said so.
        if !source.exists() {
            continue;
        }
        if let Some(folder) = copy.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::copy(source, copy)?;
    }
    Ok(())
}

/// Where the binary names the place it was built in, or the home of whoever built it.
fn traces(built: &Built) -> Vec<String> {
    let home = std::env::var("HOME").unwrap_or_default();
    let places = [built.place.display().to_string(), format!("{home}/.cargo"), format!("{home}/.rustup")];
    let named = places.iter().filter(|place| find(&built.bytes, place.as_bytes()).is_some());
    named.map(|place| format!("the binary names {place}")).collect()
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// The places at which they differ; what one has more counts.
fn differing(first: &[u8], second: &[u8]) -> Vec<usize> {
    let most = first.len().max(second.len());
    (0..most).filter(|at| first.get(*at) != second.get(*at)).collect()
}

/// Some bytes before and after, for people.
fn around(bytes: &[u8], at: usize) -> String {
    let end = bytes.len().min(at + 24);
    bytes.get(at.saturating_sub(24).min(end)..end).unwrap_or_default().escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_and_names_of_places_are_found() {
        assert_eq!(differing(b"abc", b"abc"), Vec::<usize>::new());
        assert_eq!(differing(b"abc", b"axcd"), [1, 3]);
        let built = Built { place: "/some/place".into(), bytes: b"x /some/place/src/lib.rs".to_vec() };
        assert_eq!(traces(&built), ["the binary names /some/place"]);
        assert!(traces(&Built { bytes: b"/coracle/src/lib.rs".to_vec(), ..built }).is_empty());
    }
}
