//! A file that holds room on the disk, given up when what must be written finds none.
//!
//! ```text
//! /var/lib/coracle/reserve     bytes without meaning; there while the disk has room
//! ```

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};

use crate::files;

/// Bytes it holds: a journal as long as one may be, and with usual journals the folders of a roll back as well.
pub const RESERVE_BYTES: u64 = 4 << 20;
/// Bytes of one write. Not a constant of that many zeros, which would be as many in the file of the agent.
const PIECE_BYTES: usize = 64 << 10;
const MODE: u32 = 0o600;

/// The reserve of one state directory.
#[derive(Debug, Clone)]
pub struct Reserve {
    path: PathBuf,
}

impl Reserve {
    /// That of `state_dir`.
    #[must_use]
    pub fn of(state_dir: &Path) -> Self {
        Self { path: state_dir.join("reserve") }
    }

    /// Whether the room is held.
    #[must_use]
    pub fn is_held(&self) -> bool {
        // Its blocks count, not its length.
        fs::metadata(&self.path).is_ok_and(|meta| meta.blocks().saturating_mul(512) >= RESERVE_BYTES)
    }

    /// Takes hold of the room, where `free_bytes` have twice of it.
    ///
    /// # Errors
    /// Those of the file system; nothing is held then.
    pub fn hold(&self, free_bytes: u64) -> io::Result<()> {
        if self.is_held() || free_bytes < 2 * RESERVE_BYTES {
            return Ok(());
        }
        let held = self.allocate();
        if held.is_err() {
            // The first failure is what counts; half a reserve is none.
            let _ = fs::remove_file(&self.path);
        }
        held
    }

    fn allocate(&self) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(MODE).open(&self.path)?;
        let length = nix::libc::off_t::try_from(RESERVE_BYTES).map_err(io::Error::other)?;
        match fallocate(&file, FallocateFlags::empty(), 0, length) {
            Ok(()) => Ok(()),
            // Some file systems cannot promise room; written bytes take it all the same.
            Err(Errno::EOPNOTSUPP) => {
                let piece = vec![0; PIECE_BYTES];
                for _ in 0..RESERVE_BYTES / PIECE_BYTES as u64 {
                    file.write_all(&piece)?;
                }
                file.sync_all()
            }
            Err(errno) => Err(errno.into()),
        }
    }

    /// Gives the room up; whether there was any.
    #[must_use]
    pub fn give_up(&self) -> bool {
        // Whoever asks writes next, and the disk says what is wrong with it then.
        fs::remove_file(&self.path).is_ok()
    }

    /// Does `write`, and once more with the room given up when the disk was full.
    ///
    /// # Errors
    /// Those of `write`.
    pub fn with<T>(&self, mut write: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        match write() {
            Err(error) if files::is_full(&error) && self.give_up() => write(),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::tests::TempDir;

    #[test]
    fn room_is_held_where_there_is_twice_as_much_and_given_up_once() {
        let dir = TempDir::new();
        let reserve = Reserve::of(dir.path());
        reserve.hold(2 * RESERVE_BYTES - 1).unwrap();
        assert!(!reserve.is_held());
        reserve.hold(2 * RESERVE_BYTES).unwrap();
        assert!(reserve.is_held());
        assert!(reserve.give_up() && !reserve.give_up() && !reserve.is_held());
    }

    #[test]
    fn a_file_that_only_looks_long_holds_nothing() {
        let dir = TempDir::new();
        let reserve = Reserve::of(dir.path());
        fs::File::create(dir.path().join("reserve")).unwrap().set_len(RESERVE_BYTES).unwrap();
        assert!(!reserve.is_held());
        reserve.hold(u64::MAX).unwrap();
        assert!(reserve.is_held());
    }

    #[test]
    fn only_a_full_disk_takes_it_and_only_once() {
        let dir = TempDir::new();
        let reserve = Reserve::of(dir.path());
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let mut tries = 0;
        reserve.hold(u64::MAX).unwrap();
        assert!(reserve.with(|| Err::<(), _>(io::Error::from(io::ErrorKind::PermissionDenied))).is_err());
        assert!(reserve.is_held());
        let written = reserve.with(|| {
            tries += 1;
            if tries > 1 { Ok(tries) } else { Err(full()) }
        });
        assert_eq!(written.unwrap(), 2);
        assert!(!reserve.is_held());
        assert!(reserve.with(|| Err::<(), _>(full())).is_err());
    }
}
