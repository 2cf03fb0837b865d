//! Where the files of one workload lie under the run directory.

use std::path::{Path, PathBuf};

use coracle_core::ident::WorkloadId;

/// The directory of one workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(PathBuf);

impl Place {
    /// The place of `id` under `run_dir`.
    #[must_use]
    pub fn new(run_dir: &Path, id: &WorkloadId) -> Self {
        Self(Self::all(run_dir).join(id.to_string()))
    }

    /// The place that a shim was started with.
    #[must_use]
    pub fn at(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    /// The directory of all places.
    #[must_use]
    pub fn all(run_dir: &Path) -> PathBuf {
        run_dir.join("workloads")
    }

    /// The runtime's records of all containers, beside the directory of all places.
    #[must_use]
    pub fn runtime_root(&self) -> PathBuf {
        let run_dir = self.0.parent().and_then(Path::parent).unwrap_or(&self.0);
        run_dir.join("runtime")
    }

    /// The directory itself.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.0
    }

    /// A file or directory in it.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}
