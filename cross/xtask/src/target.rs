//! `cross/targets.toml`, read: what the agent is built for, and what each of these is called elsewhere.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use toml::{Table, Value};

use crate::setup;

/// The target of most figures: the one that this machine can run.
pub const AMD64: &str = "x86_64-unknown-linux-musl";
/// No binary may be larger, whatever its own budget says.
pub const BOUND_BYTES: u64 = 6 * 1024 * 1024;
/// What we work towards.
pub const GOAL_BYTES: u64 = 4 * 1024 * 1024;

/// Who links, and whose C library it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Linked {
    /// By the C compiler of this machine, with the C library that rustup brings.
    Rust,
    /// By the linker that Rust brings, with the C library that rustup brings.
    RustLld,
    /// By zig, with the C library that it brings.
    Zig,
}

impl Linked {
    /// Whether the binary can be had with its names: zig takes them away, or brings its C library in a form for debugging.
    pub fn keeps_names(self) -> bool {
        self != Self::Zig
    }
}

/// One row.
#[derive(Debug, Clone)]
pub struct Target {
    /// As Rust names it.
    pub triple: String,
    /// As Debian names it, where Debian has it.
    pub debian: Option<String>,
    /// As OCI documents name it: `linux/arm/v7`.
    pub platform: String,
    /// Runs one program of the target under this machine's kernel.
    pub qemu_user: String,
    /// Runs a whole board; none where there is no board of ours.
    pub qemu_system: Option<String>,
    /// That program's `-M`.
    pub machine: Option<String>,
    /// What `readelf -h` says of the machine.
    pub elf_machine: String,
    /// Its type: `DYN` may lie anywhere in memory, `EXEC` has one place.
    pub elf_type: String,
    /// Lines of `readelf -A` that have to be there.
    pub elf_attributes: Vec<String>,
    /// Who links it.
    pub linked: Linked,
    /// Of the Rust compiler, in every build.
    pub flags: Vec<String>,
    /// Of the Rust compiler, in a release besides.
    pub release_flags: Vec<String>,
    /// Compiles the C of ring and zstd; zig does where none is named.
    pub c_compiler: Option<String>,
    /// Its flags.
    pub c_flags: String,
    /// Programs, and the packages that bring them.
    pub needs: BTreeMap<String, String>,
    /// The most that the stripped binary may have.
    pub budget_bytes: u64,
    /// Why that many.
    pub reason: String,
}

impl Target {
    /// The name of a variable of cargo's or of the C compilers' for this target: `CC_armv7_unknown_linux_musleabihf`.
    pub fn variable(&self, prefix: &str) -> String {
        format!("{prefix}_{}", self.triple.replace('-', "_"))
    }

    /// The name of one of cargo's own: `CARGO_TARGET_ARMV7_UNKNOWN_LINUX_MUSLEABIHF_RUSTFLAGS`.
    pub fn cargo_variable(&self, suffix: &str) -> String {
        format!("CARGO_TARGET_{}_{suffix}", self.triple.to_uppercase().replace('-', "_"))
    }
}

/// All of them, in the order of their names.
pub fn all() -> io::Result<Vec<Target>> {
    let text = fs::read_to_string(setup::root()?.join("cross/targets.toml"))?;
    let table: Table = text.parse().map_err(io::Error::other)?;
    table.iter().map(|(triple, row)| read(triple, row)).collect()
}

/// The one with this triple.
pub fn of(triple: &str) -> io::Result<Target> {
    let all = all()?;
    let known = all.iter().map(|target| target.triple.as_str()).collect::<Vec<_>>().join(", ");
    let found = all.iter().find(|target| target.triple == triple);
    found.cloned().ok_or_else(|| {
        io::Error::other(format!("cross/targets.toml has no {triple:?}; there are {known}, and all"))
    })
}

/// Those that a command's words ask for: `--target TRIPLE` or `--target all`, the triple alone, or amd64 when nothing is said.
pub fn asked(words: &[String]) -> io::Result<Vec<Target>> {
    let named = match words.first() {
        Some(word) if !word.starts_with('-') => word.as_str(),
        _ => crate::words::text(words, "--target").unwrap_or(AMD64),
    };
    if named == "all" { all() } else { of(named).map(|target| vec![target]) }
}

fn read(triple: &str, row: &Value) -> io::Result<Target> {
    let missing = |key: &str| io::Error::other(format!("cross/targets.toml: {triple} lacks {key}"));
    let maybe = |key: &str| row.get(key).and_then(Value::as_str).map(str::to_owned);
    let text = |key: &str| maybe(key).ok_or_else(|| missing(key));
    let elf = row.get("elf").ok_or_else(|| missing("elf"))?;
    let linked = match text("linked_by")?.as_str() {
        "rust" => Linked::Rust,
        "rust-lld" => Linked::RustLld,
        "zig" => Linked::Zig,
        other => {
            return Err(io::Error::other(format!("{triple} is linked by {other:?}, which nobody knows")));
        }
    };
    let budget = row.get("budget_bytes").and_then(Value::as_integer).and_then(|n| u64::try_from(n).ok());
    Ok(Target {
        triple: triple.to_owned(),
        debian: maybe("debian"),
        platform: text("platform")?,
        qemu_user: text("qemu_user")?,
        qemu_system: maybe("qemu_system"),
        machine: maybe("machine"),
        elf_machine: elf.get("machine").and_then(Value::as_str).ok_or_else(|| missing("elf.machine"))?.into(),
        elf_type: elf.get("type").and_then(Value::as_str).ok_or_else(|| missing("elf.type"))?.into(),
        elf_attributes: strings(elf.get("attributes")),
        linked,
        flags: strings(row.get("flags")),
        release_flags: strings(row.get("release_flags")),
        c_compiler: maybe("c_compiler"),
        c_flags: text("c_flags")?,
        needs: pairs(row.get("needs")),
        budget_bytes: budget.ok_or_else(|| missing("budget_bytes"))?,
        reason: text("reason")?,
    })
}

fn strings(value: Option<&Value>) -> Vec<String> {
    let list = value.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn pairs(value: Option<&Value>) -> BTreeMap<String, String> {
    let table = value.and_then(Value::as_table).into_iter().flatten();
    table.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_whole_and_within_the_bound() {
        let all = all().unwrap();
        assert!(all.len() >= 5);
        for target in &all {
            assert!(target.budget_bytes <= BOUND_BYTES, "{} may have more than the bound", target.triple);
            assert!(target.triple.contains("musl"), "{} is no static one", target.triple);
            let c_compiler = target.c_compiler.as_ref();
            assert_eq!(c_compiler.is_none(), target.linked == Linked::Zig, "{}", target.triple);
            assert!(c_compiler.is_none_or(|program| target.needs.contains_key(program)), "{}", target.triple);
            assert_eq!(target.qemu_system.is_some(), target.machine.is_some(), "{}", target.triple);
        }
    }

    #[test]
    fn a_command_names_its_targets() {
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let triples = |line: &str| {
            asked(&words(line)).map(|found| found.into_iter().map(|it| it.triple).collect::<Vec<_>>())
        };
        assert_eq!(triples("").unwrap(), [AMD64]);
        assert_eq!(
            triples("--target riscv64gc-unknown-linux-musl").unwrap(),
            ["riscv64gc-unknown-linux-musl"]
        );
        assert_eq!(triples("riscv64gc-unknown-linux-musl").unwrap(), ["riscv64gc-unknown-linux-musl"]);
        assert_eq!(triples("--target all").unwrap().len(), all().unwrap().len());
        let refused = triples("--target amd64").unwrap_err().to_string();
        assert!(refused.contains(AMD64), "{refused}");
    }

    #[test]
    fn variables_have_the_names_that_cargo_and_cc_look_for() {
        let target = of("armv7-unknown-linux-musleabihf").unwrap();
        assert_eq!(target.variable("CC"), "CC_armv7_unknown_linux_musleabihf");
        assert_eq!(target.cargo_variable("LINKER"), "CARGO_TARGET_ARMV7_UNKNOWN_LINUX_MUSLEABIHF_LINKER");
    }
}
