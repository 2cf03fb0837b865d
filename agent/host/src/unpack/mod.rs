//! Turns a layer's bytes into a directory that overlayfs can use (OCI image-spec, layer.md), in one pass.
//!
//! Invariant: nothing outside the given directory is created, changed or read through a name from the archive, and
//! memory does not grow with the layer. The archive's parents are resolved with the directory as root; the last
//! component is never followed.
//!
//! ```text
//! input ─ sha256, size ─ inflate ─ sha256, bounds ─ tar headers ─ files
//!  wire.rs               inflate.rs  blocks.rs        archive.rs    tree.rs
//! ```
//!
//! On the way, checkpoints are kept (`keep.rs`), from which another process can go on (`restore.rs`).

mod archive;
mod blocks;
mod checkpoint;
mod deflate;
mod error;
mod gzip;
mod inflate;
mod keep;
mod ledger;
mod pax;
mod resolve;
mod restore;
mod sparse;
mod tree;
mod windows;
mod wire;
mod xattr;

use std::io::Read;
use std::os::fd::BorrowedFd;

use coracle_core::oci::Digest;
use coracle_core::oci::layer::{Compression, EntryPath, Member};
use nix::errno::Errno;

pub use self::checkpoint::Whole;
pub use self::error::{Refusal, UnpackError};
pub use self::keep::{Interval, Keeper, forget};
pub use self::resolve::Resolver;
pub use self::restore::{Resumed, has_checkpoint, resume};
pub use self::windows::{WINDOW_BYTES_MAX, Windows};
pub use self::wire::{Transfer, TransferFault};

use self::archive::{Archive, Entry, Kind};
use self::blocks::Blocks;
use self::error::Result;
use self::inflate::Inflate;
use self::tree::Tree;
use self::wire::Wire;
use self::xattr::{Attribute, Object};

/// Which device nodes of a layer are made. Whatever is chosen, a container reaches only what its cgroup lets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Devices {
    /// `null`, `zero`, `full`, `random`, `urandom`, `tty`, `console` and `ptmx`, which old base images carry.
    Harmless,
    /// Any but 0:0, which is a whiteout.
    All,
}

/// Bounds of one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the archive, uncompressed.
    pub bytes_max: u64,
    /// Headers in the archive.
    pub entries_max: u64,
    /// How many times larger than its compressed form the archive may be, beyond [`Limits::ratio_free_bytes`].
    pub ratio_max: u64,
    /// Bytes of the archive before the ratio counts: a small layer of zeros is no attack.
    pub ratio_free_bytes: u64,
    /// Bytes of holes in all its sparse files together. They take no room, but whoever sums up or copies such a file
    /// reads each of them.
    pub holes_max: u64,
    /// Which device nodes are made.
    pub devices: Devices,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // More than any board's flash; the free space decides long before.
            bytes_max: 64 << 30,
            // Ten times the largest seen; each costs an inode.
            entries_max: 4_000_000,
            // gzip ends at 1032; file systems of real images stay below 20.
            ratio_max: 200,
            ratio_free_bytes: 64 << 20,
            // Databases that reserve room have some; one read of them takes seconds.
            holes_max: 4 << 30,
            devices: Devices::Harmless,
        }
    }
}

/// The extended attributes that a layer may have set on `last` in `directory`, itself and not what it links to; sorted.
///
/// # Errors
/// That of the system.
pub(crate) fn attributes(
    directory: BorrowedFd<'_>,
    last: &[u8],
) -> std::result::Result<Vec<Attribute>, Errno> {
    xattr::read(Object::Named(directory, last))
}

/// The same of an open file or directory.
///
/// # Errors
/// That of the system.
pub(crate) fn attributes_of(open: BorrowedFd<'_>) -> std::result::Result<Vec<Attribute>, Errno> {
    xattr::read(Object::Open(open))
}

/// What was unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unpacked {
    /// The digest of the uncompressed archive.
    pub diff_id: Digest,
    /// Its length.
    pub archive_bytes: u64,
    /// Content of its regular files: what the layer takes on disk, nearly.
    pub content_bytes: u64,
    /// Its entries.
    pub entries: u64,
    /// Extended attributes that the file system cannot hold and that nothing depends on.
    pub attributes_skipped: u64,
}

/// Where and how to unpack.
pub struct Target<'a> {
    /// An empty directory that nobody else writes to.
    pub root: BorrowedFd<'a>,
    /// Bounds.
    pub limits: &'a Limits,
    /// What zstd may take of the process's memory.
    pub windows: &'a Windows,
    /// How parents are resolved.
    pub resolver: Resolver,
}

/// How a layer begins.
#[derive(Debug)]
pub enum Start {
    /// At its first byte, with checkpoints made as the keeper says.
    New(Keeper),
    /// In the middle; `input` has to begin there.
    Resumed(Box<Resumed>),
}

/// Reads `input`, which claims to be `size` bytes, to its end and unpacks it. `progress` hears how many bytes came in.
///
/// The transfer comes back in any case: a refusal means something only once the bytes are proven to be those that the
/// manifest names, so after one the rest of the input is still read and hashed.
pub fn unpack<R: Read>(
    input: R,
    size: u64,
    target: &Target<'_>,
    start: Start,
    progress: &mut dyn FnMut(u64),
) -> (Transfer, Result<Unpacked>) {
    match start {
        Start::New(keeper) => {
            let mut wire = Wire::new(input, size, progress);
            let compression = match wire.peek(inflate::MAGIC_BYTES) {
                Ok(head) => Compression::sniff(head),
                Err(source) => {
                    return (wire.finish(), Err(UnpackError::Unreadable { entry: None, source }));
                }
            };
            let inflate = Inflate::new(wire, compression, target.windows);
            let mut archive = Archive::new(Blocks::new(inflate, *target.limits));
            let outcome = Tree::new(target, keeper).and_then(|tree| extract(&mut archive, tree));
            concluded(archive, outcome)
        }
        Start::Resumed(resumed) => {
            let (checkpoint, keeper) = (*resumed).into_parts();
            let (wire_hash, archive_hash) = checkpoint.hashers().unwrap_or_default();
            let wire = Wire::resumed(input, size, checkpoint.wire_bytes(), wire_hash, progress);
            let inflate = Inflate::resumed(wire, &checkpoint.place(), target.windows);
            let bytes = checkpoint.archive_bytes();
            let blocks = Blocks::resumed(inflate, *target.limits, bytes, archive_hash);
            let mut archive = Archive::resumed(blocks, checkpoint.reader);
            let mut tree = Tree::resumed(target, keeper, checkpoint.counted);
            let outcome = archive.pass_again().and_then(|()| {
                if let Some(entry) = checkpoint.within() {
                    place(&mut tree, &mut archive, &entry, true)?;
                }
                extract(&mut archive, tree)
            });
            concluded(archive, outcome)
        }
    }
}

fn concluded<R: Read>(
    archive: Archive<'_, R>,
    outcome: Result<tree::Counted>,
) -> (Transfer, Result<Unpacked>) {
    let (blocks, entries) = archive.into_parts();
    let (mut wire, diff_id, archive_bytes) = blocks.into_parts();
    if matches!(outcome, Err(UnpackError::Refused { .. } | UnpackError::Unreadable { .. })) {
        wire.drain();
    }
    let outcome = outcome.map(|counted| Unpacked {
        diff_id,
        archive_bytes,
        content_bytes: counted.content_bytes,
        entries,
        attributes_skipped: counted.attributes_skipped,
    });
    (wire.finish(), outcome)
}

fn extract<R: Read>(archive: &mut Archive<'_, R>, mut tree: Tree<'_>) -> Result<tree::Counted> {
    tree.expect_checkpoint(archive);
    while let Some(entry) = archive.next_entry()? {
        place(&mut tree, archive, &entry, false)?;
        tree.checkpoint(archive, None)?;
    }
    archive.finish()?;
    tree.finish()
}

/// Puts an entry into the tree; `resumed` says that its beginning is there.
fn place<R: Read>(
    tree: &mut Tree<'_>,
    archive: &mut Archive<'_, R>,
    entry: &Entry,
    resumed: bool,
) -> Result<()> {
    let shown = || entry.name.escape_ascii().to_string();
    placed(tree, archive, entry, resumed).map_err(|error| error.at(shown))
}

fn placed<R: Read>(
    tree: &mut Tree<'_>,
    archive: &mut Archive<'_, R>,
    entry: &Entry,
    resumed: bool,
) -> Result<()> {
    let path = match Member::parse(&entry.name).map_err(Refusal::Name)? {
        Member::Ignored => return Ok(()),
        Member::Opaque(dir) => return tree.opaque(&dir),
        Member::Whiteout(path) => return tree.whiteout(&path),
        Member::Entry(path) => path,
    };
    match &entry.kind {
        Kind::Directory => tree.directory(&path, &entry.meta),
        Kind::File(map) => tree.file(&path, entry, map, archive, resumed),
        Kind::Symlink(to) => tree.symlink(&path, &entry.meta, to),
        Kind::HardLink(to) => tree.hard_link(&path, &EntryPath::parse(to).map_err(Refusal::LinkName)?),
        Kind::Fifo => tree.fifo(&path, &entry.meta),
        Kind::Device(device) => tree.device(&path, &entry.meta, *device),
    }
}
