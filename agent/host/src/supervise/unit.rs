//! What a shim is to run: everything it needs, so that it asks nobody.

use std::io;
use std::path::PathBuf;

use coracle_core::allowance::Places;
use coracle_core::deployment::Workload;
use coracle_core::ident::WorkloadId;
use coracle_core::oci::config::ExecConfig;
use serde::{Deserialize, Serialize};

use super::place::Place;

/// Version of the saved form. Units live in memory: one of a newer version is from an agent that was replaced since by
/// an older one, and its shim runs on until somebody stops it who can read it.
pub const UNIT_VERSION: u32 = 1;
/// Bytes of a unit: a service and an image config, both bounded where they were parsed.
const UNIT_BYTES_MAX: u64 = 16 << 20;
const FILE: &str = "unit.json";

/// One workload, ready to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// [`UNIT_VERSION`].
    pub version: u32,
    /// Which workload.
    pub id: WorkloadId,
    /// Counts the units of this workload that were started beside the one before; of two that there are, the lower
    /// one is the workload, the other one is to become it.
    #[serde(default)]
    pub turn: u32,
    /// Its settings and image.
    pub workload: Workload,
    /// How the image wants to be run.
    pub exec: ExecConfig,
    /// Its unpacked layers: absolute directories, lowest first.
    pub layers: Vec<PathBuf>,
    /// Where its changes to the root go: an absolute directory of its own, on a real file system.
    pub scratch: PathBuf,
    /// The directory of all named volumes.
    pub volumes: PathBuf,
    /// The OCI runtime: a path, or a name to look for.
    pub runtime: PathBuf,
    /// A seccomp profile instead of the built-in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seccomp_profile: Option<PathBuf>,
    /// Bytes of output that are kept.
    pub log_bytes_max: u64,
    /// Where what it mounts of the board must lie, links followed; anywhere where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub places: Option<Places>,
}

impl Unit {
    /// Whether a workload that runs as `self` already is `other`. Settings of the agent itself (runtime, profile,
    /// log size) count from the next start on.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        self.id == other.id && self.workload.same_as(&other.workload) && self.layers == other.layers
    }

    /// Replaces the unit of its place.
    ///
    /// # Errors
    /// That of the file system.
    pub fn write(&self, place: &Place) -> io::Result<()> {
        place.save(FILE, self)
    }

    /// The unit of a place, if there is one.
    ///
    /// # Errors
    /// That of the file system, or `InvalidData`.
    pub fn read(place: &Place) -> io::Result<Option<Self>> {
        place.saved(FILE, UNIT_BYTES_MAX, UNIT_VERSION)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_an_older_agent_wrote_is_still_read_and_what_a_newer_one_wrote_is_refused() {
        let dir = std::env::temp_dir().join(format!("coracle-unit-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let place = Place::at(&dir);
        let saved = include_str!("../../../../tests/data/saved/unit-1.json");
        fs::write(place.join(FILE), saved).unwrap();
        let unit = Unit::read(&place).unwrap().unwrap();
        assert_eq!((unit.id.to_string().as_str(), unit.turn), ("site.web", 2));
        assert_eq!(unit.workload.image.reference, "docker.io/library/nginx:latest");
        assert_eq!((unit.exec.user.as_str(), unit.exec.stop_signal.as_str()), ("nginx", "SIGQUIT"));
        assert_eq!(unit.layers, [PathBuf::from("/var/lib/coracle/layers/aa/tree")]);
        unit.write(&place).unwrap();
        assert_eq!(Unit::read(&place).unwrap(), Some(unit));
        fs::write(place.join(FILE), r#"{"version":2,"in":"other words"}"#).unwrap();
        let said = Unit::read(&place).unwrap_err().to_string();
        assert_eq!(
            said,
            "it has version 2, and this agent reads up to version 1: install the newer agent again"
        );
        fs::remove_dir_all(&dir).unwrap();
    }
}
