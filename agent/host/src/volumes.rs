//! Named volumes: directories that outlive their workloads.
//!
//! Invariant: a volume is either empty or was filled whole; a power cut while filling leaves it empty.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, chown, lchown, symlink};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::unistd::syncfs;

use crate::files;

/// Directories within each other that are copied; an image deeper than this is not filled in.
const DEPTH_MAX: usize = 64;

/// Of the directory of all volumes.
const FOLDER_MODE: u32 = 0o700;

/// Beginning of the name under which a volume is filled.
const FILLING_PREFIX: &str = ".filling-";

/// A volume could not be made or filled.
#[derive(Debug, thiserror::Error)]
#[error("failed to {attempt} volume {}: {cause}", volume.display())]
pub struct VolumeError {
    attempt: &'static str,
    volume: PathBuf,
    cause: io::Error,
}

/// Makes the volume's directory where it is missing.
///
/// # Errors
/// [`VolumeError`] with the file system's answer.
pub fn make(volume: &Path) -> Result<(), VolumeError> {
    let fail = |cause| VolumeError { attempt: "make", volume: volume.to_owned(), cause };
    // What workloads keep there is closed to other people of the board, whatever the modes within.
    let folder = volume.parent().ok_or_else(|| fail(io::ErrorKind::InvalidInput.into()))?;
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder).map_err(fail)?;
    fs::create_dir_all(volume).map_err(fail)
}

/// Gives an empty volume what the image has at `target` in the mounted `root`, as docker does on first use:
/// directories, files and symbolic links with owners and modes. Extended attributes and devices are left out.
///
/// # Errors
/// [`VolumeError`] with the file system's answer; the volume is empty as before.
pub fn fill(volume: &Path, root: &Path, target: &str) -> Result<(), VolumeError> {
    let fail = |cause| VolumeError { attempt: "fill", volume: volume.to_owned(), cause };
    if fs::read_dir(volume).map_err(fail)?.next().is_some() {
        return Ok(());
    }
    // Links of the image are followed within the image, never on the board.
    let Some(source) = directory_in(root, target).map_err(fail)? else { return Ok(()) };
    let through = PathBuf::from(format!("/proc/self/fd/{}/.", source.as_raw_fd()));
    let (Some(volumes), Some(name)) = (volume.parent(), volume.file_name()) else {
        return Err(fail(io::ErrorKind::InvalidInput.into()));
    };
    // No project's name begins with a dot, so this is never another volume.
    let mut fresh = OsString::from(FILLING_PREFIX);
    fresh.push(name);
    let fresh = volumes.join(fresh);
    if fresh.exists() {
        fs::remove_dir_all(&fresh).map_err(fail)?;
    }
    let filled = copy_directory(&through, &fresh, 0)
        .and_then(|()| Ok(syncfs(File::open(&fresh)?)?))
        // Durable first: the name appears with all that is under it.
        .and_then(|()| fs::rename(&fresh, volume))
        .and_then(|()| files::sync_dir(volumes));
    filled.map_err(|error| {
        let _ = fs::remove_dir_all(&fresh);
        fail(error)
    })
}

/// The directory `target` in `root`; nothing where it is missing, no directory, or the kernel (before 5.6) cannot
/// look for it safely.
fn directory_in(root: &Path, target: &str) -> io::Result<Option<File>> {
    let root = File::open(root)?;
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    match openat2(&root, target, how) {
        Ok(found) => Ok(Some(File::from(found))),
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ENOSYS) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

fn copy_directory(from: &Path, to: &Path, depth: usize) -> io::Result<()> {
    if depth > DEPTH_MAX {
        return Err(io::Error::other(format!("more than {DEPTH_MAX} directories within each other")));
    }
    let facts = fs::metadata(from)?;
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        let facts = fs::symlink_metadata(&path)?;
        if facts.is_dir() {
            copy_directory(&path, &copy, depth + 1)?;
        } else if facts.is_file() {
            fs::copy(&path, &copy)?;
            // Owner first: changing it clears the set-user-ID bit.
            chown(&copy, Some(facts.uid()), Some(facts.gid()))?;
            fs::set_permissions(&copy, fs::Permissions::from_mode(facts.mode() & 0o7777))?;
        } else if facts.is_symlink() {
            symlink(fs::read_link(&path)?, &copy)?;
            lchown(&copy, Some(facts.uid()), Some(facts.gid()))?;
        }
    }
    chown(to, Some(facts.uid()), Some(facts.gid()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(facts.mode() & 0o7777))
}
