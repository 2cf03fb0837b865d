//! `crates-inc [--check] [--rev REV]`: what the Yocto recipe pins: a commit of this repository, and the crates that
//! `Cargo.lock` names there.
//!
//! A commit cannot name itself, so the recipe names an earlier one; its lock has to be the list's, and ours too, or
//! whoever builds the layer would be given another set of crates than we try. The list has the same bytes that bitbake
//! writes itself (`bitbake -c update_crates coracle`).

use std::fs;
use std::io;
use std::process::Command;

use coracle_test_support::process::run;
use toml::{Table, Value};

use crate::{setup, words};

const FOLDER: &str = "yocto-layer/recipes-core/coracle";
const CRATES: &str = "coracle-crates.inc";
const SOURCE: &str = "coracle-source.inc";

/// Writes both files, or compares them.
pub fn command(given: &[String]) -> io::Result<()> {
    words::only(given, &["--rev"], &["--check"])?;
    if !given.iter().any(|word| word == "--check") {
        write(words::text(given, "--rev").unwrap_or("HEAD"))?;
    }
    println!("crates-inc: {}", check()?);
    Ok(())
}

/// Names `rev` in the recipe, with its crates.
fn write(rev: &str) -> io::Result<()> {
    let commit = git(&["rev-parse", "--verify", &format!("{rev}^{{commit}}")])?.trim().to_owned();
    let folder = setup::root()?.join(FOLDER);
    fs::write(folder.join(CRATES), list(&lock_at(&commit)?)?.text)?;
    let text = format!(
        "# The commit of this repository that is built, and whose Cargo.lock has the crates of {CRATES}: an earlier one,\n\
         # as no commit can name itself. Written by `cargo xtask crates-inc`.\n\
         SRCREV = \"{commit}\"\n"
    );
    fs::write(folder.join(SOURCE), text)
}

/// Whether what is written holds, in words.
pub fn check() -> io::Result<String> {
    let folder = setup::root()?.join(FOLDER);
    let commit = srcrev(&fs::read_to_string(folder.join(SOURCE))?)?;
    if git(&["merge-base", "--is-ancestor", &commit, "HEAD"]).is_err() {
        return Err(io::Error::other(format!(
            "{SOURCE} names {commit}, which is not in the history of HEAD: fetch all of it, or name a commit that is, \
             by cargo xtask crates-inc --rev REV"
        )));
    }
    let there = lock_at(&commit)?;
    if there != fs::read_to_string(setup::root()?.join("Cargo.lock"))? {
        return Err(io::Error::other(format!(
            "Cargo.lock is not what it was in {commit}, which the recipe names: commit it, then run cargo xtask \
             crates-inc and commit what that writes"
        )));
    }
    let list = list(&there)?;
    if list.text != fs::read_to_string(folder.join(CRATES))? {
        return Err(io::Error::other(format!(
            "{CRATES} is not what Cargo.lock in {commit} says: run cargo xtask crates-inc --rev {commit}"
        )));
    }
    let since = git(&["rev-list", "--count", &format!("{commit}..HEAD")])?;
    let (crates, short) = (list.crates, commit.get(..12).unwrap_or(&commit));
    Ok(format!("{crates} crates, as in Cargo.lock here and in {short}, {} commits ago", since.trim()))
}

/// The commit that the recipe names.
pub fn commit() -> io::Result<String> {
    srcrev(&fs::read_to_string(setup::root()?.join(FOLDER).join(SOURCE))?)
}

/// Name with version, and sum, of each crate that the recipe names.
pub fn crates() -> io::Result<Vec<(String, String)>> {
    let text = fs::read_to_string(setup::root()?.join(FOLDER).join(CRATES))?;
    let line = |line: &str| {
        let (name, sum) = line.strip_prefix("SRC_URI[")?.split_once(".sha256sum] = \"")?;
        Some((name.to_owned(), sum.strip_suffix('"')?.to_owned()))
    };
    Ok(text.lines().filter_map(line).collect())
}

fn srcrev(text: &str) -> io::Result<String> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("SRCREV = \"")?.strip_suffix('"'));
    let commit = lines.next().filter(|it| it.len() == 40 && it.bytes().all(|byte| byte.is_ascii_hexdigit()));
    commit
        .map(str::to_owned)
        .ok_or_else(|| io::Error::other(format!("{SOURCE} names no commit of 40 digits")))
}

fn lock_at(commit: &str) -> io::Result<String> {
    git(&["show", &format!("{commit}:Cargo.lock")])
}

fn git(words: &[&str]) -> io::Result<String> {
    run(Command::new("git").current_dir(setup::root()?).args(words))
}

/// A list of crates for bitbake.
#[derive(Debug, PartialEq, Eq)]
struct List {
    text: String,
    crates: usize,
}

/// The list of a lock.
fn list(lock: &str) -> io::Result<List> {
    let lock: Table = lock.parse().map_err(io::Error::other)?;
    let word = |package: &Value, key: &str| package.get(key).and_then(Value::as_str).map(str::to_owned);
    let (mut sources, mut sums, mut crates) = (String::new(), String::new(), 0);
    for package in lock.get("package").and_then(Value::as_array).into_iter().flatten() {
        // Our own have none.
        let Some(source) = word(package, "source") else { continue };
        let lacks = |what: &str| io::Error::other(format!("Cargo.lock: {what} in {package:?}"));
        let name = word(package, "name").ok_or_else(|| lacks("no name"))?;
        let version = word(package, "version").ok_or_else(|| lacks("no version"))?;
        if !source.contains("crates.io") {
            let what = format!("{name} is from {source}: the recipe can fetch crates.io alone");
            return Err(io::Error::other(what));
        }
        let sum = word(package, "checksum").ok_or_else(|| lacks("no checksum"))?;
        sources += &format!("    crate://crates.io/{name}/{version};name={name}-{version} \\\n");
        sums += &format!("SRC_URI[{name}-{version}.sha256sum] = \"{sum}\"\n");
        crates += 1;
    }
    let head = "# Autogenerated with 'bitbake -c update_crates coracle'\n\n# from Cargo.lock\n";
    Ok(List { text: format!("{head}SRC_URI += \" \\\n{sources}\"\n\n{sums}"), crates })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recipe_pins_the_crates_that_we_build_with() {
        check().unwrap();
    }

    #[test]
    fn a_lock_becomes_a_list_in_the_form_of_bitbake() {
        let lock = "version = 4\n[[package]]\nname = \"ours\"\nversion = \"0.1.0\"\n\
            [[package]]\nname = \"ring\"\nversion = \"0.17.14\"\n\
            source = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"a4\"\n";
        let List { text, crates } = list(lock).unwrap();
        assert_eq!(crates, 1);
        let expected = "# Autogenerated with 'bitbake -c update_crates coracle'\n\n# from Cargo.lock\nSRC_URI += \" \\\n    \
            crate://crates.io/ring/0.17.14;name=ring-0.17.14 \\\n\"\n\nSRC_URI[ring-0.17.14.sha256sum] = \"a4\"\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn what_the_recipe_could_not_fetch_is_refused() {
        let package = "[[package]]\nname = \"x\"\nversion = \"1.0.0\"\n";
        let git = format!("{package}source = \"git+https://example.com/x#0123\"\n");
        assert!(list(&git).unwrap_err().to_string().contains("crates.io alone"));
        let bare = format!("{package}source = \"registry+https://github.com/rust-lang/crates.io-index\"\n");
        assert!(list(&bare).unwrap_err().to_string().contains("no checksum"));
    }

    #[test]
    fn only_a_whole_commit_is_a_commit() {
        let whole = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(srcrev(&format!("# a line\nSRCREV = \"{whole}\"\n")).unwrap(), whole);
        for bad in ["SRCREV = \"main\"", "SRCREV = \"${AUTOREV}\"", "", "SRCREV = \"0123\""] {
            assert!(srcrev(bad).is_err(), "{bad}");
        }
    }
}
