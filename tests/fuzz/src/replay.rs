//! The targets by their names, and a run over files without a fuzzer.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::{documents, images, layer, names, oci, saved, service, wire};

/// The variable that names the target to feed.
const CHOSEN: &str = "CORACLE_FUZZ_TARGET";

/// Something to feed.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name; also that of its corpus.
    pub name: &'static str,
    /// What it is fed with.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: &[Target] = &[
    target("reference", oci::reference),
    target("names", names::names),
    target("manifest", oci::manifest),
    target("config", oci::config),
    target("layer_raw", layer::raw),
    target("layer_tar", layer::tar),
    target("layer_entries", layer::entries),
    target("layer_resume", layer::resume),
    target("desired", documents::desired),
    target("envelope", documents::envelope),
    target("trust", documents::trust),
    target("signed", images::signed),
    target("journal", saved::journal),
    target("saved", saved::saved),
    target("list", saved::list),
    target("compose", service::compose),
    target("command", service::command),
    target("user", service::user),
    target("challenge", wire::challenge),
    target("mqtt", wire::mqtt),
];

const fn target(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run }
}

impl Target {
    /// The target of this name.
    pub fn named(name: &str) -> Option<Self> {
        TARGETS.iter().copied().find(|target| target.name == name)
    }

    /// The target that `CHOSEN` names: an engine that starts itself again hands its environment on.
    pub fn chosen() -> Self {
        let name = std::env::var(CHOSEN).unwrap_or_default();
        Self::named(&name).unwrap_or_else(|| {
            let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
            panic!("{CHOSEN} is {name:?} and should be one of {}", names.join(", "))
        })
    }

    /// The files of its corpus.
    pub fn corpus(&self) -> std::io::Result<Vec<PathBuf>> {
        files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(self.name))
    }
}

fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        files.push(entry?.path());
    }
    files.sort();
    Ok(files)
}

/// Runs the target over each file that the command line names, or over its corpus.
pub fn main() -> ExitCode {
    let target = Target::chosen();
    let named: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let files = if named.is_empty() { target.corpus().expect("a corpus") } else { named };
    for file in &files {
        println!("{}", file.display());
        (target.run)(&std::fs::read(file).expect("a file that can be read"));
    }
    println!("{}: {} inputs, nothing wrong", target.name, files.len());
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that the corpora may take of the repository.
    const CORPORA_BYTES_MAX: u64 = 1 << 20;

    #[test]
    fn each_input_that_was_kept_is_as_good_as_it_was() {
        for target in TARGETS {
            let corpus = target.corpus().unwrap();
            assert!(!corpus.is_empty(), "{} has no corpus", target.name);
            for file in corpus {
                let bytes = std::fs::read(&file).unwrap();
                let run = std::panic::catch_unwind(|| (target.run)(&bytes));
                assert!(run.is_ok(), "{} fails on {}", target.name, file.display());
            }
        }
    }

    #[test]
    fn each_seed_is_good() {
        for target in TARGETS {
            crate::seeds(target.name).iter().for_each(|seed| (target.run)(seed));
        }
    }

    #[test]
    fn the_corpora_are_small_and_each_is_of_a_target() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut bytes = 0;
        for folder in files(&root.join("corpus")).unwrap() {
            let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
            assert!(Target::named(&name).is_some(), "{name} is no target");
            for file in files(&folder).unwrap() {
                bytes += std::fs::metadata(file).unwrap().len();
            }
        }
        assert!(bytes <= CORPORA_BYTES_MAX, "the corpora take {bytes} bytes");
    }
}
