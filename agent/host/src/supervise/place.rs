//! Where the files of one workload lie under the run directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use coracle_core::ident::WorkloadId;
use coracle_core::saved::Newer;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::files;

/// What stands before a service's name in the second slot. No service's own name begins like this.
const SECOND: &str = "_b.";

/// Which of the two places of a workload: one is free while it runs, for the next one to start beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// That of workloads which were never updated in this way.
    First,
    /// The other one.
    Second,
}

impl Slot {
    /// Both.
    pub const ALL: [Self; 2] = [Self::First, Self::Second];

    /// The slot of a unit, by how often it was started beside its own past.
    #[must_use]
    pub fn of_turn(turn: u32) -> Self {
        if turn.is_multiple_of(2) { Self::First } else { Self::Second }
    }

    /// The name of a place: of its directory, its container and its control group.
    #[must_use]
    pub fn name(self, id: &WorkloadId) -> String {
        match self {
            Self::First => id.to_string(),
            Self::Second => format!("{}.{SECOND}{}", id.project, id.service),
        }
    }

    /// The workload that a place of this name belongs to.
    #[must_use]
    pub fn workload(name: &str) -> Option<(WorkloadId, Self)> {
        if let Ok(id) = WorkloadId::parse(name) {
            return Some((id, Self::First));
        }
        let (project, rest) = name.split_once('.')?;
        let id = WorkloadId::parse(&format!("{project}.{}", rest.strip_prefix(SECOND)?)).ok()?;
        Some((id, Self::Second))
    }
}

/// There while the agent ends the workload on its own account, until it is started again or forgotten.
const LEAVING: &str = "leaving";

/// The directory of one workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(PathBuf);

impl Place {
    /// Replaces one of its saved forms.
    ///
    /// # Errors
    /// That of the file system.
    pub(super) fn save(&self, name: &str, form: &impl Serialize) -> io::Result<()> {
        let fresh = self.join(&format!("{name}.new"));
        fs::write(&fresh, serde_json::to_vec(form)?)?;
        fs::rename(&fresh, self.join(name))
    }

    /// One of its saved forms, if it is there, of at most so many bytes and no newer version.
    ///
    /// # Errors
    /// That of the file system, or `InvalidData`.
    pub(super) fn saved<T: DeserializeOwned>(
        &self,
        name: &str,
        max: u64,
        version: u32,
    ) -> io::Result<Option<T>> {
        let Some(bytes) = files::read_bounded(&self.join(name), max)? else { return Ok(None) };
        if let Some(newer) = Newer::of_json(&bytes, version) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, newer));
        }
        Ok(Some(serde_json::from_slice(&bytes)?))
    }

    /// The place of `id` under `run_dir`, in one of its slots.
    #[must_use]
    pub fn new(run_dir: &Path, id: &WorkloadId, slot: Slot) -> Self {
        Self(Self::all(run_dir).join(slot.name(id)))
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

    /// Notes that the workload is to end because something else shall run, and not because a person wants it to.
    pub(super) fn leave(&self) {
        // A full run directory costs the note, never the stop.
        let _ = fs::write(self.join(LEAVING), "");
    }

    /// Takes that note back.
    ///
    /// # Errors
    /// That of the file system.
    pub(super) fn stay(&self) -> io::Result<()> {
        match fs::remove_file(self.join(LEAVING)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Whether it was noted.
    pub(super) fn is_leaving(&self) -> bool {
        self.join(LEAVING).exists()
    }

    /// The directory itself.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.0
    }

    /// The directory's own name, which no other place on this board has.
    #[must_use]
    pub fn name(&self) -> String {
        self.0.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// A file or directory in it.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_named_after_its_workload_and_never_like_another_one() {
        for text in ["site.web", "site.web.1", "site.b.web", "_b.web"] {
            let id = WorkloadId::parse(text).unwrap();
            for slot in Slot::ALL {
                assert_eq!(Slot::workload(&slot.name(&id)), Some((id.clone(), slot)));
            }
        }
        let id = WorkloadId::parse("site.web").unwrap();
        assert_eq!(Slot::Second.name(&id), "site._b.web");
        assert!(WorkloadId::parse("site._b.web").is_err(), "a workload has the name of another one's place");
        for name in ["site", "site.", "site._b.", "site._c.web", ".site.web"] {
            assert_eq!(Slot::workload(name), None, "{name:?}");
        }
        assert_eq!([0, 1, 2].map(Slot::of_turn), [Slot::First, Slot::Second, Slot::First]);
    }
}
