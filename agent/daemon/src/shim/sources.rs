//! What a workload mounts from the board: bind sources, named volumes, and the places they appear at.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use coracle_core::compose::{Mount, Service};
use coracle_core::oci::Digest;
use coracle_host::supervise::Unit;
use coracle_host::{files, volumes};

use super::error::{ShimError, system};

/// Names which settings and bytes the kept changes belong to.
const OWNER: &str = "owner";
const OWNER_MODE: u32 = 0o600;

/// The source on the board of each of the service's mounts, in their order; nothing for memory.
pub(super) fn resolve(unit: &Unit) -> Result<Vec<Option<PathBuf>>, ShimError> {
    unit.workload.service.mounts.iter().map(|mount| source(unit, mount)).collect()
}

fn source(unit: &Unit, mount: &Mount) -> Result<Option<PathBuf>, ShimError> {
    match mount {
        Mount::Bind { source, create, .. } => {
            let path = PathBuf::from(source);
            match (path.exists(), create) {
                (true, _) => {}
                (false, true) => fs::create_dir_all(&path).map_err(system(path.display()))?,
                (false, false) => return Err(ShimError::MissingSource(path)),
            }
            Ok(Some(path))
        }
        Mount::Volume { name, .. } => {
            let path = unit.volumes.join(format!("{}_{name}", unit.id.project));
            volumes::make(&path)?;
            Ok(Some(path))
        }
        Mount::Tmpfs { .. } => Ok(None),
    }
}

/// Gives volumes that are used for the first time what the image has in their place.
pub(super) fn fill_volumes(unit: &Unit, sources: &[Option<PathBuf>], rootfs: &Path) -> Result<(), ShimError> {
    for (mount, source) in unit.workload.service.mounts.iter().zip(sources) {
        if let (Mount::Volume { target, .. }, Some(volume)) = (mount, source) {
            volumes::fill(volume, rootfs, target)?;
        }
    }
    Ok(())
}

/// Makes the directory for changes to the root; those of another image or other settings are dropped, for they
/// are changes to something else.
pub(super) fn fresh_scratch(unit: &Unit) -> Result<(), ShimError> {
    let mut workload = unit.workload.clone();
    workload.service.image.clear();
    let facts = (&workload.image.manifest, &workload.service, &unit.layers);
    let owner = serde_json::to_vec(&facts).map_err(system("unit.json"))?;
    let owner = Digest::of(&owner).to_string();
    let scratch = &unit.scratch;
    if fs::read_to_string(scratch.join(OWNER)).is_ok_and(|found| found == owner) {
        return Ok(());
    }
    match fs::remove_dir_all(scratch) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(system(scratch.display())(error));
        }
        _ => {}
    }
    fs::create_dir_all(scratch).map_err(system(scratch.display()))?;
    // Durable: were it empty after a power cut, all that the workload has changed would be dropped.
    files::write_durable(&scratch.join(OWNER), owner.as_bytes(), OWNER_MODE)
        .map_err(system(scratch.display()))
}

/// Makes the mount points that a root without changes may lack, for the runtime cannot. They lie under the
/// image's own layers, so that whatever the image has there is what counts.
pub(super) fn mount_points(
    points: &Path,
    service: &Service,
    sources: &[Option<PathBuf>],
) -> Result<(), ShimError> {
    if points.exists() {
        fs::remove_dir_all(points).map_err(system(points.display()))?;
    }
    for directory in ["dev", "etc", "proc", "sys"] {
        let path = points.join(directory);
        fs::create_dir_all(&path).map_err(system(path.display()))?;
    }
    for file in ["hosts", "hostname", "resolv.conf"] {
        let path = points.join("etc").join(file);
        fs::write(&path, "").map_err(system(path.display()))?;
    }
    for (mount, source) in service.mounts.iter().zip(sources) {
        let target = match mount {
            Mount::Bind { target, .. } | Mount::Volume { target, .. } | Mount::Tmpfs { target, .. } => target,
        };
        let path = points.join(target.trim_start_matches('/'));
        if source.as_ref().is_some_and(|source| source.is_file()) {
            let directory = path.parent().unwrap_or(points);
            fs::create_dir_all(directory).map_err(system(directory.display()))?;
            fs::write(&path, "").map_err(system(path.display()))?;
        } else {
            fs::create_dir_all(&path).map_err(system(path.display()))?;
        }
    }
    Ok(())
}
