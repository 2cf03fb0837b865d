//! `emulated [--target TRIPLE|all] [--short] [--binaries DIR]`: the release of each target, run here under qemu.
//!
//! Under qemu-user a program of another processor calls this machine's kernel: what is tried is our own code in that
//! processor's words, with its sizes of numbers. What the kernel tells of itself is the emulator's, so the question of a
//! 32-bit agent on a 64-bit kernel is put to a real one, in a machine of its own.

mod kernels;
mod platforms;
mod servers;
mod transfers;
mod units;

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use coracle_test_support::scratch::TempDir;

use self::servers::Servers;
use crate::target::{self, AMD64, Target};
use crate::{build, setup, words};

/// Without `--target`: what boards have, and this machine is not.
const BOARDS: [&str; 2] = ["aarch64-unknown-linux-musl", "armv7-unknown-linux-musleabihf"];

/// One line of the table.
pub struct Row {
    what: String,
    /// What was seen, or what should have been.
    outcome: Result<String, String>,
}

impl Row {
    fn new(what: impl Into<String>, outcome: io::Result<String>) -> Self {
        Self { what: what.into(), outcome: outcome.map_err(|error| error.to_string()) }
    }
}

/// A release, and how it is run here.
pub struct Guest<'a> {
    target: &'a Target,
    exe: PathBuf,
}

/// Runs everything, prints the table, and counts.
pub fn command(given: &[String]) -> io::Result<()> {
    words::only(given, &["--target", "--binaries"], &["--short"])?;
    setup::for_boards()?;
    let began = Instant::now();
    let targets = match words::text(given, "--target") {
        Some(_) => target::asked(given)?,
        None => BOARDS.iter().map(|triple| target::of(triple)).collect::<io::Result<_>>()?,
    };
    let short = given.iter().any(|word| word == "--short");
    let binary = |triple: &str| match words::text(given, "--binaries") {
        Some(dir) => fs::canonicalize(Path::new(dir).join(triple).join("coracle")),
        None => build::release(triple),
    };
    let native = binary(AMD64)?;
    let servers = Servers::start()?;
    let (mut good, mut bad, mut tests) = (0, 0, units::Sum::default());
    for target in &targets {
        let guest = Guest { target, exe: binary(&target.triple)? };
        let mut rows = platforms::rows(&guest);
        rows.extend(transfers::rows(&guest, &native, &servers));
        if !short {
            let (row, sum) = units::row(&guest);
            rows.push(row);
            tests = tests.plus(sum);
        }
        for Row { what, outcome } in rows {
            let verdict = match &outcome {
                Ok(seen) => format!("good: {seen}"),
                Err(error) => format!("BAD: {}", error.trim().replace('\n', " / ")),
            };
            println!("{:32}  {what:32}  {verdict}", target.triple);
            good += u32::from(outcome.is_ok());
            bad += u32::from(outcome.is_err());
        }
    }
    println!(
        "emulated: {} targets, {good} rows good, {bad} bad; tests: {} passed, {} failed, {} not for an emulator; in {} s",
        targets.len(),
        tests.passed,
        tests.failed,
        tests.left,
        began.elapsed().as_secs()
    );
    if bad == 0 { Ok(()) } else { Err(io::Error::other("a binary does not do what it must")) }
}

impl Guest<'_> {
    /// The processor that it is built for, as qemu names it.
    fn cpu(&self) -> &'static str {
        match self.target.platform.as_str() {
            "linux/arm/v6" => "arm1176",
            "linux/arm/v7" => "cortex-a7",
            "linux/riscv64" => "rv64",
            _ => "max",
        }
    }

    /// A program in `dir` that runs it on its processor: what starts the agent wants one path.
    fn script(&self, dir: &TempDir) -> io::Result<PathBuf> {
        let path = dir.join("coracle");
        let text = format!(
            "#!/bin/sh\nexec {} -cpu {} {} \"$@\"\n",
            self.target.qemu_user,
            self.cpu(),
            self.exe.display()
        );
        write_program(&path, &text)?;
        Ok(path)
    }
}

fn write_program(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}
