//! What a directory tree looks like, for comparing two of them.
#![allow(unsafe_code, reason = "extended attributes have no safe calls in std or nix")]

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::libc;
use sha2::Digest as _;

/// What can be seen of one entry. Two trees are the same when all of these are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// Type and permission bits.
    pub mode: u32,
    /// User and group.
    pub owner: (u32, u32),
    /// Seconds and nanoseconds.
    pub mtime: (i64, i64),
    /// Device numbers of nodes.
    pub device: u64,
    /// A file's digest, a link's target.
    pub content: Vec<u8>,
    /// The first path with the same inode, for files with many names.
    pub linked: Option<PathBuf>,
    /// Extended attributes.
    pub attributes: BTreeMap<String, Vec<u8>>,
}

/// Every entry below and including `root`, by path.
pub fn look(root: &Path) -> BTreeMap<PathBuf, Look> {
    let mut found = BTreeMap::new();
    let mut inodes = BTreeMap::new();
    walk(root, Path::new(""), &mut found, &mut inodes);
    found
}

fn walk(root: &Path, path: &Path, found: &mut BTreeMap<PathBuf, Look>, inodes: &mut BTreeMap<u64, PathBuf>) {
    let full = root.join(path);
    let meta = fs::symlink_metadata(&full).unwrap_or_else(|e| panic!("{}: {e}", full.display()));
    let content = if meta.is_file() {
        sha2::Sha256::digest(fs::read(&full).unwrap_or_else(|e| panic!("{}: {e}", full.display()))).to_vec()
    } else if meta.is_symlink() {
        fs::read_link(&full)
            .unwrap_or_else(|e| panic!("{}: {e}", full.display()))
            .as_os_str()
            .as_bytes()
            .to_vec()
    } else {
        Vec::new()
    };
    let many = meta.is_file() && meta.nlink() > 1;
    let look = Look {
        mode: meta.mode(),
        owner: (meta.uid(), meta.gid()),
        mtime: (meta.mtime(), meta.mtime_nsec()),
        device: if meta.is_file() || meta.is_dir() || meta.is_symlink() { 0 } else { meta.rdev() },
        content,
        linked: many.then(|| inodes.entry(meta.ino()).or_insert_with(|| path.to_owned()).clone()),
        attributes: attributes(&full),
    };
    found.insert(path.to_owned(), look);
    if meta.is_dir() {
        let entries = fs::read_dir(&full).unwrap_or_else(|e| panic!("{}: {e}", full.display()));
        let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
        names.sort();
        for name in names {
            walk(root, &path.join(name), found, inodes);
        }
    }
}

/// The extended attributes of one entry, itself and not what it links to.
pub fn attributes(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let path = CString::new(path.as_os_str().as_bytes()).expect("no NUL in a path");
    // SAFETY: the path ends with NUL; nothing is written where there is no room.
    if unsafe { libc::llistxattr(path.as_ptr(), std::ptr::null_mut(), 0) } <= 0 {
        return BTreeMap::new();
    }
    let mut names = vec![0_u8; 64 << 10];
    // SAFETY: the path ends with NUL; pointer and length are of one vector.
    let length = unsafe { libc::llistxattr(path.as_ptr(), names.as_mut_ptr().cast(), names.len()) };
    names.truncate(usize::try_from(length).unwrap_or(0));
    let mut found = BTreeMap::new();
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let terminated = CString::new(name).expect("split at NUL");
        let mut value = vec![0_u8; 64 << 10];
        // SAFETY: path and name end with NUL; pointer and length are of one vector.
        let length = unsafe {
            libc::lgetxattr(path.as_ptr(), terminated.as_ptr(), value.as_mut_ptr().cast(), value.len())
        };
        value.truncate(usize::try_from(length).unwrap_or(0));
        found.insert(String::from_utf8_lossy(name).into_owned(), value);
    }
    found
}
