//! Locks on files, and who holds one.
//!
//! Who holds a lock is read from the kernel's list (proc_locks(5)): nothing has to be written when a lock is taken,
//! nothing is stale after a crash, and looking is in nobody's way.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// Whether others may hold the lock at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Any number of holders.
    Shared,
    /// One holder.
    Exclusive,
}

/// A lock on a file, held until dropped or until the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _held: Flock<File>,
}

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else holds it.
    #[error("{} is held by {}", path.display(), holder(*pid))]
    Held {
        /// The lock's file.
        path: PathBuf,
        /// A process that holds it, where the kernel tells.
        pid: Option<u32>,
    },
    /// The file cannot be opened or locked.
    #[error("failed to lock {}", path.display())]
    Io {
        /// The lock's file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

impl Lock {
    /// Takes the lock or says at once who has it.
    ///
    /// # Errors
    /// [`LockError::Held`] when another holder is in the way.
    pub fn try_take(path: &Path, sharing: Sharing) -> Result<Self, LockError> {
        let arg = match sharing {
            Sharing::Shared => FlockArg::LockSharedNonblock,
            Sharing::Exclusive => FlockArg::LockExclusiveNonblock,
        };
        Self::open_and_lock(path, arg)
    }

    /// Takes the lock, waiting for whoever has it.
    ///
    /// # Errors
    /// [`LockError::Io`] when the file cannot be opened.
    pub fn take(path: &Path, sharing: Sharing) -> Result<Self, LockError> {
        let arg = match sharing {
            Sharing::Shared => FlockArg::LockShared,
            Sharing::Exclusive => FlockArg::LockExclusive,
        };
        Self::open_and_lock(path, arg)
    }

    fn open_and_lock(path: &Path, arg: FlockArg) -> Result<Self, LockError> {
        let io = |source| LockError::Io { path: path.to_owned(), source };
        // The file stays for good: were it removed, two processes could hold locks on two files of one name.
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = match options.open(path) {
            // A failing disk becomes read-only; its board must still tell of it. Such a file can be locked as well.
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => File::open(path),
            other => other,
        }
        .map_err(io)?;
        loop {
            file = match Flock::lock(file, arg) {
                Ok(held) => return Ok(Self { _held: held }),
                Err((again, Errno::EINTR)) => again,
                Err((file, Errno::EWOULDBLOCK)) => {
                    return Err(LockError::Held { path: path.to_owned(), pid: holding_process(&file) });
                }
                Err((_, errno)) => return Err(io(errno.into())),
            };
        }
    }
}

/// Whether somebody holds `path` exclusively; looked up and not tried, for a trial would be in the way of a process that
/// takes it at this moment. `None` where the kernel does not tell.
#[must_use]
pub fn is_held(path: &Path) -> Option<bool> {
    match fs::metadata(path) {
        Ok(meta) => Some(entry(|it| it.exclusive && it.inode == meta.ino())?.is_some()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(false),
        Err(_) => None,
    }
}

/// Who holds a lock on `file`; `None` where the list hides it, as for a process of another pid namespace.
fn holding_process(file: &File) -> Option<u32> {
    let inode = file.metadata().ok()?.ino();
    entry(|it| it.inode == inode)??.pid
}

/// How often the list is read before something is not in it: the kernel hands it out in pieces, and one that changes in
/// between may lack what was there all the time.
const LIST_READS: usize = 5;

/// The first entry that is `wanted`; the outer `None` where there is no list.
fn entry(wanted: impl Fn(&Entry) -> bool) -> Option<Option<Entry>> {
    for _ in 0..LIST_READS {
        let list = fs::read_to_string("/proc/locks").ok()?;
        if let Some(found) = list.lines().filter_map(Entry::parse).find(&wanted) {
            return Some(Some(found));
        }
    }
    Some(None)
}

/// A lock of flock(2) in the kernel's list.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    exclusive: bool,
    pid: Option<u32>,
    /// The device beside it is not read: btrfs and overlays show another one than files have.
    inode: u64,
}

impl Entry {
    /// From `1: FLOCK  ADVISORY  WRITE 4321 fe:01:262158 0 EOF`; those who wait have an arrow after the number.
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace().skip(1);
        (fields.next()? == "FLOCK").then_some(())?;
        let (access, pid, object) = (fields.nth(1)?, fields.next()?, fields.next()?);
        Some(Self {
            exclusive: access == "WRITE",
            pid: pid.parse().ok().filter(|pid| *pid != 0),
            inode: object.rsplit_once(':')?.1.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Option<(bool, Option<u32>, u64)>) {
        let entry = Entry::parse(line).map(|it| (it.exclusive, it.pid, it.inode));
        assert_eq!(entry, expected, "{line}");
    }

    #[test]
    fn locks_are_told_from_what_else_the_kernel_lists() {
        check("1: FLOCK  ADVISORY  WRITE 812 fe:00:580 0 EOF", Some((true, Some(812), 580)));
        check("2: FLOCK  ADVISORY  READ 812 fe:00:581 0 EOF", Some((false, Some(812), 581)));
        check("3: FLOCK  ADVISORY  WRITE 0 00:1b:582 0 EOF", Some((true, None, 582)));
        check("3: -> FLOCK  ADVISORY  WRITE 77 00:1b:582 0 EOF", None);
        check("4: POSIX  ADVISORY  WRITE 812 fe:00:583 0 EOF", None);
        check("5: FLOCK  ADVISORY", None);
        check("", None);
    }

    #[test]
    fn a_look_at_a_lock_takes_nothing() {
        let dir = crate::files::tests::TempDir::new();
        let path = dir.path().join("lock");
        assert_eq!((is_held(&path), path.exists()), (Some(false), false));
        let held = Lock::try_take(&path, Sharing::Exclusive).unwrap();
        assert_eq!(is_held(&path), Some(true));
        drop(held);
        let shared = Lock::try_take(&path, Sharing::Shared).unwrap();
        assert_eq!(is_held(&path), Some(false));
        drop(shared);
    }
}
