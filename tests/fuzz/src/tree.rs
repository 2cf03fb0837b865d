//! What a tree looks like, read in bounded memory whatever it holds.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use coracle_core::oci::Digest;
use coracle_test_support::tree::attributes;

/// Bytes of each file that are compared; a sparse one may be endless.
const CONTENT_BYTES: u64 = 256 << 10;

/// What can be seen of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Look {
    mode: u32,
    owner: (u32, u32),
    mtime: (i64, i64),
    device: u64,
    size: u64,
    links: u64,
    content: Digest,
    linked: Option<PathBuf>,
    attributes: BTreeMap<String, Vec<u8>>,
}

/// A tree, and what its files come to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Looks {
    /// Every entry below and including the root, by path.
    pub(crate) entries: BTreeMap<PathBuf, Look>,
    /// Bytes that the regular files without holes take on disk, each inode once.
    pub(crate) dense: u64,
    /// The same of those with holes, where each part takes a page.
    pub(crate) sparse: u64,
    inodes: BTreeMap<u64, PathBuf>,
}

/// Looks at everything below `root` but for the entries in `but`.
pub(crate) fn look(root: &Path, but: &[&str]) -> Looks {
    let mut looks = Looks::default();
    walk(root, Path::new(""), but, &mut looks);
    looks.inodes.clear();
    looks
}

fn walk(root: &Path, path: &Path, but: &[&str], looks: &mut Looks) {
    let full = root.join(path);
    let meta = fs::symlink_metadata(&full).expect("an entry");
    let mut content = Vec::new();
    let mut linked = None;
    if meta.is_file() {
        let file = File::open(&full).expect("a file");
        file.take(CONTENT_BYTES).read_to_end(&mut content).expect("its content");
        if let Some(first) = looks.inodes.get(&meta.ino()) {
            linked = Some(first.clone());
        } else {
            looks.inodes.insert(meta.ino(), path.to_owned());
            let bytes = meta.blocks() * 512;
            let sum = if bytes < meta.size() { &mut looks.sparse } else { &mut looks.dense };
            *sum += bytes;
        }
    } else if meta.is_symlink() {
        content = fs::read_link(&full).expect("a link").into_os_string().into_encoded_bytes();
    }
    let node = !(meta.is_file() || meta.is_dir() || meta.is_symlink());
    looks.entries.insert(
        path.to_owned(),
        Look {
            mode: meta.mode(),
            owner: (meta.uid(), meta.gid()),
            mtime: (meta.mtime(), meta.mtime_nsec()),
            device: if node { meta.rdev() } else { 0 },
            size: if meta.is_dir() { 0 } else { meta.size() },
            links: if meta.is_dir() { 0 } else { meta.nlink() },
            content: Digest::of(&content),
            linked,
            attributes: attributes(&full),
        },
    );
    if meta.is_dir() {
        let mut names: Vec<_> =
            fs::read_dir(&full).expect("a directory").map(|it| it.expect("an entry").file_name()).collect();
        names.sort();
        for name in names {
            let below = path.join(name);
            if !but.iter().any(|other| below == Path::new(other)) {
                walk(root, &below, but, looks);
            }
        }
    }
}
