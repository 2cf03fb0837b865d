//! The static release binary of each target, and a cargo that can build and lint for it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use coracle_test_support::process::run;

use crate::target::{self, Linked, Target};
use crate::{elf, setup, words, zig};

/// The target of most figures.
pub use crate::target::AMD64;

const MIB: f64 = 1024.0 * 1024.0;

/// `build [--target TRIPLE|all]`: builds for targets of `cross/targets.toml` and judges what came of it.
pub fn command(given: &[String]) -> io::Result<()> {
    let options = given.get(usize::from(given.first().is_some_and(|word| !word.starts_with('-')))..);
    words::only(options.unwrap_or_default(), &["--target"], &[])?;
    let began = Instant::now();
    let targets = target::asked(given)?;
    let built = targets.iter().map(|target| (target, build(target))).collect::<Vec<_>>();
    let mut good = 0;
    println!("{:32}  {:>9}  {:>9}  verdict", "target", "bytes", "budget");
    for (target, built) in &built {
        let (bytes, complaints) = match built {
            Ok(built) => (built.bytes.to_string(), built.complaints()),
            Err(error) => ("-".to_owned(), vec![error.to_string()]),
        };
        good += usize::from(complaints.is_empty());
        let verdict = if complaints.is_empty() { praise(target) } else { complaints.join("; ") };
        println!("{:32}  {bytes:>9}  {:>9}  {verdict}", target.triple, target.budget_bytes);
    }
    let bad = built.len() - good;
    println!("build: {} targets, {good} good, {bad} bad, in {} s", built.len(), began.elapsed().as_secs());
    if bad == 0 { Ok(()) } else { Err(io::Error::other("not every binary is as it must be")) }
}

fn praise(target: &Target) -> String {
    let attributes = target.elf_attributes.iter().filter_map(|attribute| attribute.split_once(": "));
    let said = attributes.map(|(_, value)| format!(", {value}")).collect::<String>();
    format!("static, stripped, {}{said}", target.elf_machine)
}

/// A binary that was built.
#[derive(Debug)]
pub struct Built {
    path: PathBuf,
    bytes: u64,
    budget_bytes: u64,
    /// What readelf found.
    wrong: Vec<String>,
}

impl Built {
    /// Everything that is wrong with it.
    fn complaints(&self) -> Vec<String> {
        let over = (self.bytes > self.budget_bytes)
            .then(|| format!("{} bytes over its budget", self.bytes - self.budget_bytes));
        self.wrong.iter().cloned().chain(over).collect()
    }
}

/// The standard library is built with the agent: small instead of fast, and without the code that prints backtraces,
/// which a stripped binary has no names for. What a panic says, and where, stays.
pub const STD_FROM_SOURCE: &[&str] =
    &["-Z", "build-std=std,panic_abort", "-Z", "build-std-features=optimize_for_size"];

/// Builds the binary of `triple` and hands back its path; an error where a board could not run it.
pub fn release(triple: &str) -> io::Result<PathBuf> {
    let built = build(&target::of(triple)?)?;
    if built.wrong.is_empty() {
        return Ok(built.path);
    }
    Err(io::Error::other(format!("{}: {}", built.path.display(), built.wrong.join("; "))))
}

fn build(target: &Target) -> io::Result<Built> {
    let path = compile(target)?;
    Ok(Built {
        bytes: fs::metadata(&path)?.len(),
        budget_bytes: target.budget_bytes,
        wrong: elf::complaints(&path, target)?,
        path,
    })
}

/// Builds the release; it keeps its names in a file beside it, [`named`], which tells whose bytes they are.
fn compile(target: &Target) -> io::Result<PathBuf> {
    setup::add_component("rust-src", "the standard library, which is built small")?;
    let words = ["build", "--release", "--locked", "--package", "coracle"];
    let flags = [target.release_flags.join(" "), nameless()?].join(" ");
    let mut cargo = cargo_for(target, &words, &flags)?;
    // The toolchain is pinned, so what is not promised for ever is at least the same for everybody.
    cargo.args(STD_FROM_SOURCE).env("RUSTC_BOOTSTRAP", "1");
    if target.linked.keeps_names() {
        cargo.env("CARGO_PROFILE_RELEASE_STRIP", "none");
    }
    outcome(&mut cargo, target)?;
    let path = setup::target_dir()?.join(&target.triple).join("release/coracle");
    strip(&path)?;
    Ok(path)
}

/// Where the names of a binary are: the same program, before they were taken away.
pub fn named(binary: &Path) -> PathBuf {
    binary.with_extension("named")
}

/// Takes a binary's names away, by the tool that the Rust compiler brings for all processors.
fn strip(binary: &Path) -> io::Result<()> {
    let sysroot = setup::sysroot()?;
    let host = run(Command::new("rustc").args(["--print", "host-tuple"]))?;
    let mut objcopy = Command::new(format!("{sysroot}/lib/rustlib/{}/bin/rust-objcopy", host.trim()));
    let named = named(binary);
    fs::rename(binary, &named)?;
    run(objcopy.env("LD_LIBRARY_PATH", format!("{sysroot}/lib")).arg("--strip-all").args([&named, binary]))
        .map(drop)
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

/// The 64-bit and the 32-bit one of the other targets that are linted: sizes, offsets and times are narrower on the second.
const LINTED: [&str; 2] = ["aarch64-unknown-linux-musl", "armv7-unknown-linux-musleabihf"];

/// `targets`: shows the table, and lints the agent for other targets than this machine's.
pub fn lint(_: &[String]) -> io::Result<()> {
    let all = target::all()?;
    for Target { triple, platform, debian, qemu_user, qemu_system, machine, .. } in &all {
        let debian = debian.as_deref().unwrap_or("-");
        let board =
            qemu_system.iter().zip(machine).map(|(program, machine)| format!("{program} -M {machine}"));
        let board = board.collect::<String>();
        println!("{triple:32}  {platform:14}  {debian:6}  {qemu_user:20}  {board}");
    }
    for triple in LINTED {
        let target = target::of(triple)?;
        let mut cargo = cargo_for(&target, &["clippy", "--quiet", "--package", "coracle"], "")?;
        if target.linked == Linked::Zig {
            cargo.args(STD_FROM_SOURCE).env("RUSTC_BOOTSTRAP", "1");
        }
        outcome(cargo.args(["--", "-D", "warnings"]), &target)?;
        println!("{triple}: no complaints");
    }
    println!("targets: {} known, {} linted besides this machine's", all.len(), LINTED.len());
    Ok(())
}

/// A cargo with what the target needs, and `flags` of the Rust compiler besides the target's own.
pub fn cargo_for(target: &Target, words: &[&str], flags: &str) -> io::Result<Command> {
    for (program, packages) in &target.needs {
        setup::install_program(program, packages, "compiles C for the target, as ring and zstd need it")?;
    }
    let mut cargo = if target.linked == Linked::Zig {
        setup::add_component(
            "rust-src",
            "the standard library, which rustup does not bring for this target",
        )?;
        zig::cargo(words)?
    } else {
        setup::add_target(&target.triple)?;
        setup::cargo(words)?
    };
    cargo.args(["--target", &target.triple]);
    if let Some(compiler) = &target.c_compiler {
        cargo.env(target.variable("CC"), compiler);
    }
    if target.linked == Linked::RustLld {
        cargo.env(target.cargo_variable("LINKER"), "rust-lld");
    }
    cargo.env(target.variable("CFLAGS"), &target.c_flags);
    cargo.env(target.cargo_variable("RUSTFLAGS"), format!("{} {flags}", target.flags.join(" ")));
    Ok(cargo)
}

fn outcome(cargo: &mut Command, target: &Target) -> io::Result<()> {
    if cargo.status()?.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("cargo failed for {}", target.triple)))
    }
}

/// Bytes as MiB, for people.
pub fn mib(bytes: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "printed with two digits")]
    let bytes = bytes as f64;
    bytes / MIB
}
