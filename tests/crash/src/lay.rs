//! Writes a disk of the model into a real directory.
#![allow(unsafe_code, reason = "extended attributes have no safe calls in std or nix")]

use std::collections::HashMap;
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};
use std::path::{Path, PathBuf};

use nix::libc;
use nix::sys::stat::{Mode, SFlag, UtimensatFlags, mknod, utimensat};
use nix::sys::time::TimeSpec;

use crate::disk::{Disk, Kind, Node};
use crate::op::{Id, ROOT};

/// Fills `root`, an empty directory, with the disk.
///
/// # Errors
/// Those of the real file system.
pub fn lay(disk: &Disk, root: &Path) -> io::Result<()> {
    let mut laid = HashMap::new();
    place(disk, ROOT, root, &mut laid)
}

fn place(disk: &Disk, id: Id, path: &Path, laid: &mut HashMap<Id, PathBuf>) -> io::Result<()> {
    let Some(node) = disk.node(id) else { return Ok(()) };
    if let Some(first) = laid.get(&id) {
        // A directory has two names for a moment where only half of a move is left; a boot's repair keeps one.
        return if matches!(node.kind, Kind::Directory(_)) { Ok(()) } else { fs::hard_link(first, path) };
    }
    laid.insert(id, path.to_owned());
    match &node.kind {
        Kind::File(bytes) => fs::write(path, bytes)?,
        Kind::Symlink(target) => symlink(std::ffi::OsStr::from_bytes(target), path)?,
        Kind::Special(kind, device) => {
            mknod(path, SFlag::from_bits_truncate(*kind), Mode::from_bits_truncate(node.mode), *device)?;
        }
        Kind::Directory(names) => {
            if id != ROOT {
                fs::create_dir(path)?;
            }
            for (name, child) in names {
                place(disk, *child, &path.join(std::ffi::OsStr::from_bytes(name)), laid)?;
            }
        }
    }
    dress(node, path)
}

fn dress(node: &Node, path: &Path) -> io::Result<()> {
    if node.owner != (0, 0) {
        lchown(path, Some(node.owner.0), Some(node.owner.1))?;
    }
    if !matches!(node.kind, Kind::Symlink(_)) {
        fs::set_permissions(path, fs::Permissions::from_mode(node.mode))?;
    }
    for (name, value) in &node.attributes {
        let (path, name) = (CString::new(path.as_os_str().as_bytes())?, CString::new(&**name)?);
        // SAFETY: both strings end with NUL; pointer and length are of one slice.
        let set =
            unsafe { libc::lsetxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
        if set != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    if let Some((seconds, nanoseconds)) = node.time {
        let time = TimeSpec::new(seconds, nanoseconds);
        utimensat(nix::fcntl::AT_FDCWD, path, &time, &time, UtimensatFlags::NoFollowSymlink)?;
    }
    Ok(())
}
