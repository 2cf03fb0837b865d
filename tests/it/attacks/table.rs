//! The lines of the table, as `cargo xtask attacks` gathers them from the output of the tests.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Names another binary than the one that was built for tests: the one for boards.
const BINARY: &str = "CORACLE_ATTACKED";
/// The most that the agent for boards may have resident at once, in KiB: the bound of `size` and `bench`.
const PEAK_KIB_MAX: u64 = 16 << 10;
/// The same for a debug build, which has some 20 MiB more resident before it does anything: its code is ten times as
/// large.
const DEBUG_PEAK_KIB_MAX: u64 = 36 << 10;

/// What is attacked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Archive,
    Manifest,
    Registry,
    Document,
    Mqtt,
}

impl Family {
    fn word(self) -> &'static str {
        match self {
            Self::Archive => "archive",
            Self::Manifest => "manifest",
            Self::Registry => "registry",
            Self::Document => "document",
            Self::Mqtt => "mqtt",
        }
    }
}

/// The binary that is attacked.
pub(crate) fn exe() -> &'static Path {
    static EXE: OnceLock<PathBuf> = OnceLock::new();
    let exe = || std::env::var_os(BINARY).map_or_else(|| env!("CARGO_BIN_EXE_coracle").into(), PathBuf::from);
    EXE.get_or_init(exe)
}

/// Whether an attack is asked for: all are, unless somebody wants to see those with a word in their name.
pub(crate) fn wanted(name: &str) -> bool {
    std::env::var("CORACLE_ATTACK").map_or(true, |word| name.contains(&word))
}

/// Whether that is the one for boards.
pub(crate) fn is_release() -> bool {
    std::env::var_os(BINARY).is_some()
}

/// What a peak is held against.
pub(crate) fn peak_max_kib() -> u64 {
    if is_release() { PEAK_KIB_MAX } else { DEBUG_PEAK_KIB_MAX }
}

/// An attack was refused: by which part, and in which words.
pub(crate) fn refused(family: Family, name: &str, by: &str, error: &str, peak_kib: Option<u64>) {
    line(family, name, by, error, peak_kib);
}

/// An attack did no harm: what was proven.
pub(crate) fn harmless(family: Family, name: &str, proven: &str, peak_kib: Option<u64>) {
    line(family, name, "harmless", proven, peak_kib);
}

fn line(family: Family, name: &str, by: &str, words: &str, peak_kib: Option<u64>) {
    let peak = peak_kib.map_or_else(|| "-".to_owned(), |kib| kib.to_string());
    let words = words.lines().next().unwrap_or_default();
    println!("attack\t{}\t{name}\t{by}\t{}\t{peak}", family.word(), words.replace('\t', " "));
}
