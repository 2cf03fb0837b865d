//! zig as C compiler and linker, with the musl that it brings: for targets that neither Debian nor rustup has a C library for.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::Command;

use crate::setup;

/// Of the first package.
pub const VERSION: &str = "0.17.1";
/// Pinned, as the C library in the binary comes with the first.
const PACKAGES: [&str; 2] = ["ziglang==0.17.1", "cargo-zigbuild==0.24.0"];
const NAME: &str = "zig-0.17.1";
const WHY: &str = "compiles and links C for boards that Debian has no C library for";

/// A cargo whose C compiler and linker is zig. The first of `words` is a command of cargo's: `build`, `clippy`, `test`.
pub fn cargo(words: &[&str]) -> io::Result<Command> {
    let (command, rest) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut cargo = Command::new(environment()?.join("bin/cargo-zigbuild"));
    cargo.arg(if *command == "build" { "zigbuild" } else { command }).args(rest);
    // Not the one that happens to be on the path.
    cargo.env("CARGO_ZIGBUILD_ZIG_PATH", package()?.join("zig")).current_dir(setup::root()?);
    Ok(cargo)
}

/// The folder of zig's package: the program, and its libraries as source.
pub fn package() -> io::Result<PathBuf> {
    let lib = environment()?.join("lib");
    for python in fs::read_dir(&lib)? {
        let package = python?.path().join("site-packages/ziglang");
        if package.exists() {
            return Ok(package);
        }
    }
    Err(io::Error::other(format!("no zig below {}", lib.display())))
}

/// The folder of the Python environment that has both.
fn environment() -> io::Result<PathBuf> {
    let python = setup::python(NAME, &PACKAGES, WHY)?;
    // ROOT/bin/python
    python.ancestors().nth(2).map(Into::into).ok_or_else(|| io::Error::other("a Python without a folder"))
}
