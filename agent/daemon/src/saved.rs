//! Saved forms of a newer agent: what is found when an older one comes back, after a roll back of the board's image or a
//! package of an earlier version.
//!
//! Invariant: such a form is neither replaced nor removed, and while there is one, nothing else is removed for room: it
//! may say that it is needed. With a newer journal the agent does not start at all; workloads do not need it.
//!
//! ```text
//! <state_dir>/journal, trust, pins, local/*.json, images/*.json, layers/*/layer.json
//! <run_dir>/workloads/*/unit.json, status.json
//! ```

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use coracle_core::record;
use coracle_core::saved::Newer;
use coracle_core::trust::LINEAGE_VERSION;
use coracle_host::files;
use coracle_host::store::{ImageRecord, LayerRecord};
use coracle_host::supervise::{STATUS_VERSION, UNIT_VERSION};

use crate::config::Settings;
use crate::{local, pins};

/// Bytes of a form that are read for its version; the largest form is the unit of a workload.
const FORM_BYTES_MAX: u64 = 16 << 20;
/// Files that are named; an older agent finds all of a kind at once.
const NAMED_MAX: usize = 16;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Form {
    /// The file.
    pub(crate) path: PathBuf,
    /// Its version, and the one that can be read.
    pub(crate) newer: Newer,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.newer)
    }
}

/// The forms of a newer agent on this board, the first of them.
pub(crate) fn newer(settings: &Settings) -> Vec<Form> {
    let (state, run) = (&settings.state_dir, settings.run_dir.join("workloads"));
    let single = [
        (state.join("journal"), record::VERSION),
        (state.join("trust"), LINEAGE_VERSION),
        (state.join("pins"), pins::VERSION),
    ];
    let inside = |dir: PathBuf, file: &'static str, known: u32| {
        entries(&dir).into_iter().map(move |entry| (entry.join(file), known))
    };
    let json = |dir: PathBuf, known: u32| {
        let ours = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json");
        entries(&dir).into_iter().filter(ours).map(move |path| (path, known))
    };
    single
        .into_iter()
        .chain(json(state.join("local"), local::VERSION))
        .chain(inside(run.clone(), "unit.json", UNIT_VERSION))
        .chain(inside(run, "status.json", STATUS_VERSION))
        .chain(json(state.join("images"), ImageRecord::VERSION))
        .chain(inside(state.join("layers"), "layer.json", LayerRecord::VERSION))
        .filter_map(|(path, known)| of(path, known))
        .take(NAMED_MAX)
        .collect()
}

/// Whether one file is.
pub(crate) fn of(path: PathBuf, known: u32) -> Option<Form> {
    // What cannot be read, or is no form at all, is for whoever reads it to say.
    let bytes = files::read_bounded(&path, FORM_BYTES_MAX).ok()??;
    Newer::of_json(&bytes, known).map(|newer| Form { path, newer })
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}
