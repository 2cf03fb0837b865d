//! What people run by hand and want back after a boot: kept beside the agent's own deployments, never mixed with them.
//!
//! One file a workload, `<state_dir>/local/<id>.json`, replaced whole; saved form, version 1.

use std::io;
use std::path::{Path, PathBuf};

use coracle_core::compose::Restart;
use coracle_core::deployment::Workload;
use coracle_core::ident::WorkloadId;
use coracle_host::files;
use serde::{Deserialize, Serialize};

use crate::events;
use crate::exit::chain;
use crate::units::Units;

/// The version of the saved form that this agent writes.
pub(crate) const VERSION: u32 = 1;
/// Bytes of one file: a service is bounded where it was parsed.
const FILE_BYTES_MAX: u64 = 1 << 20;
const DIR_MODE: u32 = 0o700;
/// Environments hold secrets.
const FILE_MODE: u32 = 0o600;

/// A workload that a person started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Local {
    version: u32,
    /// Its name.
    pub(crate) id: WorkloadId,
    /// What it runs.
    pub(crate) workload: Workload,
}

fn dir(state_dir: &Path) -> PathBuf {
    state_dir.join("local")
}

fn path(state_dir: &Path, id: &WorkloadId) -> PathBuf {
    dir(state_dir).join(format!("{id}.json"))
}

/// Remembers a workload whose restart policy wants it back after a boot.
///
/// # Errors
/// That of the file system.
pub(crate) fn remember(state_dir: &Path, id: &WorkloadId, workload: &Workload) -> io::Result<()> {
    match workload.service.restart {
        Restart::Always | Restart::UnlessStopped => {}
        Restart::No | Restart::OnFailure { .. } => return Ok(()),
    }
    files::make_dir(&dir(state_dir), DIR_MODE)?;
    let local = Local { version: VERSION, id: id.clone(), workload: workload.clone() };
    files::write_durable(&path(state_dir, id), &serde_json::to_vec(&local)?, FILE_MODE)
}

/// Forgets a workload; one that was not remembered is fine.
///
/// # Errors
/// That of the file system.
pub(crate) fn forget(state_dir: &Path, id: &WorkloadId) -> io::Result<()> {
    match files::remove_durable(&path(state_dir, id)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Every remembered workload; a file that cannot be read is passed over and stays for a person to look at.
pub(crate) fn all(state_dir: &Path) -> Vec<Local> {
    files_of(state_dir).into_iter().filter_map(|path| read(state_dir, &path)).collect()
}

/// The files that cannot be read.
pub(crate) fn damaged(state_dir: &Path) -> Vec<PathBuf> {
    files_of(state_dir).into_iter().filter(|path| read(state_dir, path).is_none()).collect()
}

fn files_of(state_dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir(state_dir)) else { return Vec::new() };
    // What a power cut left of a write has another name: nobody was told that it is remembered, nor could it be
    // forgotten.
    let ours = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json");
    entries.flatten().map(|entry| entry.path()).filter(ours).collect()
}

fn read(state_dir: &Path, path: &Path) -> Option<Local> {
    let bytes = files::read_bounded(path, FILE_BYTES_MAX).ok()??;
    let local: Local = serde_json::from_slice(&bytes).ok()?;
    (local.version == VERSION && path == self::path(state_dir, &local.id)).then_some(local)
}

/// After a boot: starts what is remembered and not known to the supervisor. One that fails hinders no other.
pub(crate) fn bring_back(state_dir: &Path, units: &Units) {
    for local in all(state_dir) {
        if units.supervisor.status(&local.id).is_ok() {
            continue;
        }
        let started =
            units.unit(&local.id, &local.workload).and_then(|unit| Ok(units.supervisor.start(&unit)?));
        if let Err(error) = started {
            events::lacking(&format!("{} was not started again", local.id), &chain(&error));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coracle_core::compose::{NetworkMode, Service};
    use coracle_core::deployment::PinnedImage;
    use coracle_core::oci::{Digest, Platform};

    fn workload(restart: Restart) -> Workload {
        let image = PinnedImage {
            reference: "docker.io/library/nginx:latest".into(),
            index: Digest::of(b"index"),
            manifest: Digest::of(b"manifest"),
            platform: Platform::linux("arm", "v7"),
        };
        Workload { service: Service { restart, ..Service::new("nginx", NetworkMode::Host) }, image }
    }

    #[test]
    fn only_what_is_wanted_back_is_remembered_and_what_is_forgotten_is_gone() {
        let dir = std::env::temp_dir().join(format!("coracle-local-{}", std::process::id()));
        let id = |name: &str| WorkloadId::parse(&format!("local.{name}")).unwrap();
        remember(&dir, &id("once"), &workload(Restart::No)).unwrap();
        remember(&dir, &id("web"), &workload(Restart::Always)).unwrap();
        remember(&dir, &id("job"), &workload(Restart::UnlessStopped)).unwrap();
        forget(&dir, &id("job")).unwrap();
        forget(&dir, &id("never")).unwrap();
        std::fs::write(dir.join("local/local.damaged.json"), b"{").unwrap();
        std::fs::copy(dir.join("local/local.web.json"), dir.join("local/.new-1-1")).unwrap();
        let kept: Vec<_> = all(&dir).into_iter().map(|local| local.id).collect();
        assert_eq!(kept, [id("web")]);
        assert_eq!(damaged(&dir), [dir.join("local/local.damaged.json")]);
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn the_first_saved_form_is_still_read() {
        let saved = include_bytes!("../../../tests/data/saved/local-1.json");
        let expected = Local {
            version: 1,
            id: WorkloadId::parse("local.web").unwrap(),
            workload: workload(Restart::Always),
        };
        assert_eq!(serde_json::from_slice::<Local>(saved).unwrap(), expected);
    }
}
