//! Every entry of a tree in the order of `core::scrub::order`, itself and never what it links to.
//!
//! A descriptor is open for each directory above the current entry. Names are held in bounded pieces: where a directory
//! has more, it is read again for the next ones.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use coracle_core::scrub::{Entry, Node};
use flate2::Crc;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};

use super::content::Cache;
use crate::unpack;

/// Bytes of names held of the root; each level below holds half of it, and none less than [`NAMES_BYTES_LEAST`]. With
/// the deepest tree there is, that makes 6 MiB at the very most.
const NAMES_BYTES_MAX: usize = 1 << 20;
const NAMES_BYTES_LEAST: usize = 16 << 10;
/// What a name costs besides its bytes.
const NAME_OVERHEAD_BYTES: usize = 48;

const DIRECTORY: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC).union(QUIET);
/// A look must not write: without it, the time of the last access would be kept on flash.
const QUIET: OFlag = OFlag::O_NOATIME;

/// One entry, or why it cannot be looked at.
pub(super) struct Found {
    pub(super) path: Vec<u8>,
    pub(super) entry: io::Result<Entry>,
}

/// A walk under way.
pub(super) struct Walk {
    levels: Vec<Level>,
    /// The current entry, from the root.
    path: Vec<u8>,
    /// Where its name begins in `path`.
    name_at: usize,
    root_told: bool,
}

/// A directory that the walk is in.
struct Level {
    fd: OwnedFd,
    /// Bytes of its path.
    path_bytes: usize,
    names: BTreeSet<Vec<u8>>,
    /// The last name of `names`; `None` when there are no more in the directory.
    more_after: Option<Vec<u8>>,
}

impl Walk {
    /// A walk of the tree at `root`.
    pub(super) fn new(root: BorrowedFd<'_>) -> io::Result<Self> {
        let fd = openat(root, ".", DIRECTORY, Mode::empty())?;
        let level = Level::enter(fd, 0, 0)?;
        Ok(Self { levels: vec![level], path: Vec::new(), name_at: 0, root_told: false })
    }

    /// The next entry; a directory's own come right after it. An entry that cannot be read hides what is below it and
    /// nothing else.
    pub(super) fn next(&mut self) -> Option<Found> {
        if !self.root_told {
            self.root_told = true;
            let root = self.levels.first()?.fd.as_fd();
            let entry = fstat(root).map_err(io::Error::from).and_then(|stat| {
                Ok(described(Vec::new(), &stat, Node::Directory, &unpack::attributes_of(root)?))
            });
            return Some(Found { path: Vec::new(), entry });
        }
        loop {
            let depth = self.levels.len();
            let level = self.levels.last_mut()?;
            match level.next(depth - 1) {
                Ok(Some(name)) => {
                    self.path.truncate(level.path_bytes);
                    if level.path_bytes > 0 {
                        self.path.push(b'/');
                    }
                    self.name_at = self.path.len();
                    self.path.extend_from_slice(&name);
                    let entry = self.look();
                    return Some(Found { path: self.path.clone(), entry });
                }
                Ok(None) => drop(self.levels.pop()),
                Err(error) => {
                    let gone = self.levels.pop()?;
                    self.path.truncate(gone.path_bytes);
                    return Some(Found { path: self.path.clone(), entry: Err(error) });
                }
            }
        }
    }

    /// The current entry's content; it must be a file.
    pub(super) fn open(&self, cache: Cache) -> io::Result<File> {
        // A directory just looked at was entered: a file is in the innermost.
        let level = self.levels.last().ok_or(io::ErrorKind::NotFound)?;
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | QUIET;
        let name = OsStr::from_bytes(self.path.get(self.name_at..).unwrap_or_default());
        let open = |flags| openat(&level.fd, name, flags, Mode::empty());
        let opened = match cache {
            Cache::Used => open(flags),
            Cache::Spared => match open(flags | OFlag::O_DIRECT) {
                // The file system cannot.
                Err(Errno::EINVAL) => open(flags),
                opened => opened,
            },
        };
        Ok(File::from(opened?))
    }

    fn look(&mut self) -> io::Result<Entry> {
        let level = self.levels.last().ok_or(io::ErrorKind::NotFound)?;
        let (fd, bytes) = (level.fd.as_fd(), self.path.get(self.name_at..).unwrap_or_default());
        let name = OsStr::from_bytes(bytes);
        let stat = fstatat(fd, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        let kind = SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits());
        let node = match kind {
            SFlag::S_IFDIR => Node::Directory,
            SFlag::S_IFREG => Node::File { bytes: u64::try_from(stat.st_size).unwrap_or(0), sum: 0 },
            SFlag::S_IFLNK => Node::Link(readlinkat(fd, name)?.as_bytes().to_vec()),
            SFlag::S_IFIFO => Node::Fifo,
            SFlag::S_IFCHR => Node::Character(stat.st_rdev),
            SFlag::S_IFBLK => Node::Block(stat.st_rdev),
            _ => Node::Other,
        };
        let (directory, attributes) = if node == Node::Directory {
            let directory = openat(fd, name, DIRECTORY, Mode::empty())?;
            let attributes = unpack::attributes_of(directory.as_fd())?;
            (Some(directory), attributes)
        } else {
            (None, unpack::attributes(fd, bytes)?)
        };
        let entry = described(self.path.clone(), &stat, node, &attributes);
        if let Some(directory) = directory {
            let level = Level::enter(directory, self.path.len(), self.levels.len())?;
            self.levels.push(level);
        }
        Ok(entry)
    }
}

impl Level {
    fn enter(fd: OwnedFd, path_bytes: usize, depth: usize) -> io::Result<Self> {
        let mut level = Self { fd, path_bytes, names: BTreeSet::new(), more_after: Some(Vec::new()) };
        level.fill(depth)?;
        Ok(level)
    }

    fn next(&mut self, depth: usize) -> io::Result<Option<Vec<u8>>> {
        if self.names.is_empty() && self.more_after.is_some() {
            self.fill(depth)?;
        }
        Ok(self.names.pop_first())
    }

    /// The next names after those that were given out.
    fn fill(&mut self, depth: usize) -> io::Result<()> {
        let Some(after) = self.more_after.take() else { return Ok(()) };
        let room = NAMES_BYTES_MAX.checked_shr(u32::try_from(depth).unwrap_or(u32::MAX)).unwrap_or(0);
        let room = room.max(NAMES_BYTES_LEAST);
        let (mut names, mut held, mut more) = (BTreeSet::new(), 0, false);
        let mut dir = Dir::from_fd(openat(&self.fd, ".", DIRECTORY, Mode::empty())?)?;
        for entry in dir.iter() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") || name <= after.as_slice() {
                continue;
            }
            held += name.len() + NAME_OVERHEAD_BYTES;
            names.insert(name.to_vec());
            while held > room {
                let Some(last) = names.pop_last() else { break };
                held -= last.len() + NAME_OVERHEAD_BYTES;
                more = true;
            }
        }
        self.more_after = if more { names.last().cloned() } else { None };
        self.names = names;
        Ok(())
    }
}

// The types are narrower on some systems.
#[allow(clippy::useless_conversion)]
fn described(path: Vec<u8>, stat: &FileStat, node: Node, attributes: &[(Vec<u8>, Vec<u8>)]) -> Entry {
    let many = node != Node::Directory && stat.st_nlink > 1;
    Entry {
        path,
        mode: stat.st_mode & 0o7777,
        owner: (stat.st_uid, stat.st_gid),
        time: (stat.st_mtime.into(), u32::try_from(stat.st_mtime_nsec).unwrap_or(0)),
        node,
        links: if many { stat.st_nlink.into() } else { 1 },
        inode: if many { stat.st_ino.into() } else { 0 },
        attributes: sum_of(attributes),
    }
}

fn sum_of(attributes: &[(Vec<u8>, Vec<u8>)]) -> u32 {
    if attributes.is_empty() {
        return 0;
    }
    let mut sum = Crc::new();
    for (name, value) in attributes {
        sum.update(name);
        sum.update(&[0]);
        sum.update(&(value.len() as u64).to_le_bytes());
        sum.update(value);
    }
    // 0 says that there are none.
    sum.sum().max(1)
}
