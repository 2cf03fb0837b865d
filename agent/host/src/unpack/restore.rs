//! Brings a tree back to what it was at its checkpoint.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use coracle_core::limits::ENTRY_DEPTH_MAX;
use coracle_core::oci::{Digest, Hasher};
use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, fstat, fstatat};

use super::checkpoint::{self, Checkpoint, Whole};
use super::keep::{CHECKPOINT, Interval, Keeper, LEDGER};
use super::ledger::Names;
use super::resolve::DIRECTORY;
use super::tree;
use crate::files;

/// Bytes of a ledger: as many names as checkpoints are made for, each a directory.
const LEDGER_BYTES_MAX: u64 = (256 << 10) * 34;

/// A layer to go on with.
#[derive(Debug)]
pub struct Resumed {
    pub(super) checkpoint: Checkpoint,
    keeper: Keeper,
}

impl Resumed {
    /// Where the blob goes on.
    #[must_use]
    pub fn wire_bytes(&self) -> u64 {
        self.checkpoint.wire_bytes()
    }

    pub(super) fn into_parts(self) -> (Checkpoint, Keeper) {
        (self.checkpoint, self.keeper)
    }
}

/// Whether `dir` has a checkpoint of `layer`, or of any layer; nothing is changed.
#[must_use]
pub fn has_checkpoint(dir: &Path) -> bool {
    dir.join(CHECKPOINT).is_file()
}

/// Takes up the layer that was half unpacked to `dir/tree`: what came after its checkpoint is removed. `None` when there
/// is no checkpoint of `layer`, or when the tree is not the one it speaks of.
#[must_use]
pub fn resume(dir: &Path, layer: Whole, interval: Interval) -> Option<Resumed> {
    let bytes = files::read_bounded(&dir.join(CHECKPOINT), checkpoint::BYTES_MAX).ok()??;
    let checkpoint = Checkpoint::decode(&bytes, &layer)?;
    let keeper = restored(dir, layer, interval, &checkpoint).ok()?;
    Some(Resumed { checkpoint, keeper })
}

fn restored(dir: &Path, layer: Whole, interval: Interval, checkpoint: &Checkpoint) -> io::Result<Keeper> {
    let other = || io::Error::from(io::ErrorKind::InvalidData);
    let end = &checkpoint.ledger;
    let salt = end.salt.0.as_slice().try_into().map_err(|_| other())?;
    let mut ledger = files::read_needed(&dir.join(LEDGER), LEDGER_BYTES_MAX)?;
    ledger.truncate(usize::try_from(end.bytes).map_err(|_| other())?);
    if Digest::of(&ledger) != end.sha256 {
        return Err(other());
    }
    let names = Names::read(&end.salt.0, &ledger).ok_or_else(other)?;
    let mut written = Hasher::new();
    written.update(&ledger);
    drop(ledger);
    let root = openat(nix::fcntl::AT_FDCWD, &dir.join("tree"), DIRECTORY | OFlag::O_NOFOLLOW, Mode::empty())?;
    if clean(&root, &names, 0)? != names.count() {
        return Err(other());
    }
    remove_temporary(dir)?;
    let file = OpenOptions::new().append(true).open(dir.join(LEDGER))?;
    file.set_len(end.bytes)?;
    let records = names.records();
    Ok(Keeper::over(dir, layer, interval, (file, salt), (written, end.bytes, records), true))
}

/// Removes what is not in `names` from `directory` and below, and puts times back; the count of names that are.
fn clean(directory: &OwnedFd, names: &Names, depth: usize) -> io::Result<usize> {
    if depth > ENTRY_DEPTH_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let stat = fstat(directory)?;
    let time = names.time(tree::inode_of(&stat)).ok_or(io::ErrorKind::InvalidData)?;
    let mut count = 0;
    for name in children(directory.as_fd())? {
        if !names.has(tree::inode_of(&stat), &name) {
            tree::remove(directory.as_fd(), &name).map_err(io::Error::other)?;
            continue;
        }
        count += 1;
        let child = fstatat(directory, name.as_slice(), AtFlags::AT_SYMLINK_NOFOLLOW)?;
        if tree::is_directory(&child) {
            let child = openat(directory, name.as_slice(), DIRECTORY | OFlag::O_NOFOLLOW, Mode::empty())?;
            count += clean(&child, names, depth + 1)?;
        }
    }
    tree::set_time(directory.as_fd(), time).map_err(io::Error::other)?;
    Ok(count)
}

fn children(directory: BorrowedFd<'_>) -> io::Result<Vec<Vec<u8>>> {
    let mut dir = Dir::openat(directory, ".", DIRECTORY, Mode::empty())?;
    let mut names = Vec::new();
    for entry in dir.iter() {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    Ok(names)
}

/// A checkpoint that was being written.
fn remove_temporary(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(|name| name.starts_with(files::TEMPORARY_PREFIX)) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}
