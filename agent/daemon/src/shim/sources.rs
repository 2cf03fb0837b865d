//! What a workload mounts from the board: bind sources, named volumes, and the places they appear at.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use coracle_core::allowance::{Place, Places};
use coracle_core::compose::{Mount, Service};
use coracle_core::oci::Digest;
use coracle_host::supervise::Unit;
use coracle_host::{files, volumes};

use super::error::{ShimError, system};

/// Names which settings and bytes the kept changes belong to.
const OWNER: &str = "owner";
const OWNER_MODE: u32 = 0o600;
/// A workload may make programs there that run as root for whoever starts them: nobody else of the board gets in.
const SCRATCH_MODE: u32 = 0o700;

/// The source on the board of each of the service's mounts, in their order; nothing for memory.
pub(super) fn resolve(unit: &Unit) -> Result<Vec<Option<PathBuf>>, ShimError> {
    unit.workload.service.mounts.iter().map(|mount| source(unit, mount)).collect()
}

fn source(unit: &Unit, mount: &Mount) -> Result<Option<PathBuf>, ShimError> {
    match mount {
        Mount::Bind { source, create, read_only, .. } => {
            let path = PathBuf::from(source);
            // A container that writes somewhere could leave a link there for the next document to mount.
            let path =
                unit.places.as_ref().map_or(Ok(path.clone()), |places| reached(&path, places, *read_only))?;
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

/// Where `path` leads once links are followed, as far as there is something; a place that the board allows.
fn reached(path: &Path, places: &Places, read_only: bool) -> Result<PathBuf, ShimError> {
    let real = followed(path).map_err(system(path.display()))?;
    // The board's own words may name links of the board: /etc/localtime, or a /srv on another disk.
    let follow = |text: &String| followed(Path::new(text)).ok()?.into_os_string().into_string().ok();
    let meant = |place: &Place| Some(Place { path: follow(&place.path)?, read_only: place.read_only });
    let places = Places {
        allowed: places.allowed.iter().filter_map(meant).collect(),
        own: places.own.iter().filter_map(follow).chain(places.own.iter().cloned()).collect(),
    };
    if real.to_str().is_some_and(|text| places.allow(text, read_only)) {
        return Ok(real);
    }
    Err(ShimError::Elsewhere { given: path.to_owned(), real })
}

/// `path` with its links followed; what is not there yet stays as it is.
fn followed(path: &Path) -> io::Result<PathBuf> {
    let there = path.ancestors().find(|above| above.symlink_metadata().is_ok()).unwrap_or(path);
    let mut real = fs::canonicalize(there)?;
    if let Ok(rest) = path.strip_prefix(there) {
        real.extend(rest);
    }
    Ok(real)
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
    let made = DirBuilder::new().recursive(true).mode(SCRATCH_MODE).create(scratch);
    made.map_err(system(scratch.display()))?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_link_that_a_container_left_leads_nowhere_else() {
        let dir = std::env::temp_dir().join(format!("coracle-reached-{}", std::process::id()));
        let (disk, srv, own) = (dir.join("disk/srv"), dir.join("srv"), dir.join("state"));
        for path in [&disk.join("app"), &own, &dir.join("zone")] {
            fs::create_dir_all(path).unwrap();
        }
        symlink(&disk, &srv).unwrap();
        symlink(dir.join("zone"), dir.join("localtime")).unwrap();
        for (name, target) in
            [("evil", "/etc"), ("state", own.to_str().unwrap()), ("inside", "app"), ("dangling", "/nowhere")]
        {
            symlink(target, disk.join(name)).unwrap();
        }
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        let place = |path: PathBuf, read_only| Place { path: text(path), read_only };
        let places = Places {
            allowed: vec![place(srv.clone(), false), place(dir.join("localtime"), true)],
            own: vec![text(own)],
        };
        let check = |path: PathBuf, read_only, expected: Option<PathBuf>| {
            let found = reached(&path, &places, read_only);
            assert_eq!(found.as_ref().ok(), expected.as_ref(), "{path:?}: {found:?}");
        };
        check(srv.clone(), false, Some(disk.clone()));
        check(srv.join("app"), false, Some(disk.join("app")));
        check(srv.join("new/deep"), false, Some(disk.join("new/deep")));
        check(srv.join("inside/x"), false, Some(disk.join("app/x")));
        check(dir.join("localtime"), true, Some(dir.join("zone")));
        check(dir.join("localtime"), false, None);
        for path in ["evil", "evil/shadow", "state", "state/journal", "dangling"] {
            check(srv.join(path), true, None);
        }
        let error = reached(&srv.join("evil"), &places, true).unwrap_err().to_string();
        assert!(
            error.ends_with("evil\" leads to \"/etc\", which this board does not allow (allow.binds)"),
            "{error}"
        );
        fs::remove_dir_all(&dir).unwrap();
    }
}
