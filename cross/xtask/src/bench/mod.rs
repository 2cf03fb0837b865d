//! Every figure that we promise, measured here and now, beside the tools that boards use today.
//!
//! All of them pull the same image from the same registry, in turn, each onto a fresh disk of its own; the median of
//! the runs counts.

mod containerd;
mod disk;
mod docker;
pub mod image;
mod ota;
mod ours;
pub mod podman;
mod pull;
pub mod report;
mod usage;

use std::io;
use std::path::PathBuf;

pub use disk::Disk;
pub use ours::Ours;
pub use podman::Podman;
pub use pull::Contender;
pub use usage::measure;

use crate::{build, interrupt, namespace, setup};
use report::Report;

/// How often each contender pulls.
const RUNS: usize = 5;

/// `bench [--json] [--runs N] [--only NAME,…]`.
pub fn command(words: &[String]) -> io::Result<()> {
    let wish = Wish::parse(words)?;
    setup::for_tests()?;
    setup::for_bench()?;
    // Peers alone need no binary of ours.
    let ours = ["coracle", "ota", "size"].into_iter().any(|part| wish.wants(part));
    let exe = if ours { build::release(build::AMD64)? } else { PathBuf::new() };
    namespace::enter()?;
    interrupt::watch()?;
    let mut report = Report::default();
    if ours {
        let bytes = std::fs::metadata(&exe)?.len();
        report.add("size.amd64_mib", build::mib(bytes), "the static binary, with TLS");
    }
    pull::measure(&exe, &wish, &mut report)?;
    if wish.wants("ota") {
        ota::measure(&exe, wish.runs, &mut report)?;
    }
    report.print(wish.json);
    Ok(())
}

/// What the command line asks for.
pub struct Wish {
    json: bool,
    runs: usize,
    only: Vec<String>,
}

impl Wish {
    fn parse(words: &[String]) -> io::Result<Self> {
        let mut wish = Self { json: false, runs: RUNS, only: Vec::new() };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| io::Error::other(format!("{word} wants a value")));
            match word.as_str() {
                "--json" => wish.json = true,
                "--runs" => wish.runs = value()?.parse().map_err(io::Error::other)?,
                "--only" => wish.only = value()?.split(',').map(str::to_owned).collect(),
                _ => return Err(io::Error::other("bench [--json] [--runs N] [--only NAME,…]")),
            }
        }
        Ok(wish)
    }

    /// Whether this part is to be measured.
    fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == part)
    }
}
