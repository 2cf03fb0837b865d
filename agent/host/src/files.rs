//! Files that hold state: replaced whole or not at all, and locked against a second process.
//!
//! Invariant: [`write_durable`] leaves either the old bytes or the new ones, whatever happens in between; when it
//! returns, the new ones survive a power cut.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

mod exchange;
mod lock;
mod secret;
mod stamp;
#[cfg(test)]
pub(crate) mod tests;

pub use exchange::exchange;
pub use lock::{Lock, LockError, Sharing, is_held};
pub use secret::{SecretError, judge_secret, read_secret};
pub use stamp::Stamp;

/// A name that no other thread or process of this boot uses: process id, then a counter.
#[must_use]
pub fn unique_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let process = std::process::id();
    // After a restart the process id may come again: an old name is then found taken, and the next one is tried.
    format!("{process}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The bytes of `path`; `None` where there is no such file.
///
/// # Errors
/// Those of [`read_needed`] but `NotFound`.
pub fn read_bounded(path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    match read_needed(path, bytes_max) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The bytes of `path`, which must be there.
///
/// # Errors
/// Whatever the system says, and `InvalidData` for more than `bytes_max` bytes.
pub fn read_needed(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = File::open(path)?.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(read).unwrap_or(u64::MAX) > bytes_max {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("longer than {bytes_max} bytes")));
    }
    Ok(bytes)
}

/// Replaces `path` with `bytes`: a temporary file beside it, fsync, rename, fsync of the directory.
///
/// # Errors
/// Whatever the system says; the old file is then untouched.
pub fn write_durable(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let dir = parent(path)?;
    let (temporary, mut file) = create_temporary(dir, mode)?;
    let written = file
        .write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| sync_dir(dir));
    if written.is_err() {
        // The first failure is what the caller must hear of; a leftover is collected at the next start.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Removes `path` and makes that durable; a file that is not there is fine.
///
/// # Errors
/// Whatever the system says.
pub fn remove_durable(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    }
    sync_dir(parent(path)?)
}

/// Beginning of the names that [`write_durable`] uses for a moment; whatever has it is a leftover.
pub const TEMPORARY_PREFIX: &str = ".new-";

fn create_temporary(dir: &Path, mode: u32) -> io::Result<(PathBuf, File)> {
    loop {
        let path = dir.join(format!("{TEMPORARY_PREFIX}{}", unique_name()));
        match OpenOptions::new().write(true).create_new(true).mode(mode).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

fn parent(path: &Path) -> io::Result<&Path> {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// Makes the names in `dir` durable: what was created, renamed or removed there survives a power cut.
///
/// # Errors
/// Whatever the system says.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Whether there were no blocks, no quota or no inodes.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Makes `dir` and what is missing above it, with `mode`; an existing one keeps its own. Their names are durable when it
/// returns: what is written durably into a directory is lost all the same when the directory's own name is.
///
/// # Errors
/// Whatever the system says.
pub fn make_dir(dir: &Path, mode: u32) -> io::Result<()> {
    let missing = dir.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists());
    let missing = missing.collect::<Vec<_>>();
    DirBuilder::new().recursive(true).mode(mode).create(dir)?;
    for made in missing {
        sync_dir(parent(made).unwrap_or(Path::new(".")))?;
    }
    Ok(())
}
