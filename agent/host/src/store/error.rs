//! What can go wrong in the store, and whether trying again may help.

use std::io;
use std::path::{Path, PathBuf};

use coracle_core::oci::Digest;
use coracle_core::oci::layer::LayerError;

use crate::files::LockError;
use crate::unpack::UnpackError;

/// Whether another attempt can end differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The same again may work: the transfer was at fault.
    Again,
    /// Once the disk has room.
    Space,
    /// Once the other process is done.
    Unlocked,
    /// Not with the same input.
    Never,
}

/// Why the store did not do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or directory of the store.
    #[error("failed to {attempt} {}", path.display())]
    Io {
        /// What was tried.
        attempt: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody else is using the store.
    #[error("failed to lock the store")]
    Lock(#[from] LockError),
    /// The descriptor is not of a layer.
    #[error("failed to take layer {digest}")]
    Layer {
        /// The blob's digest.
        digest: Digest,
        /// Why not.
        source: LayerError,
    },
    /// The disk does not have room, as far as can be told before.
    #[error("no room for layer {digest}: it needs {needed} bytes at least, {available} are free")]
    Room {
        /// The blob's digest.
        digest: Digest,
        /// Bytes it takes at the very least.
        needed: u64,
        /// Bytes there are.
        available: u64,
    },
    /// The disk became full.
    #[error("the disk became full while layer {digest} was unpacked")]
    Full {
        /// The blob's digest.
        digest: Digest,
        /// Where.
        source: UnpackError,
    },
    /// The blob could not be read.
    #[error("failed to read blob {digest}")]
    Input {
        /// Its digest.
        digest: Digest,
        /// What the reader said.
        source: io::Error,
    },
    /// The blob's length is not the claimed one.
    #[error("blob {digest} is {} than the {size} bytes its descriptor says: {bytes} came", longer(*bytes, *size))]
    Size {
        /// Its digest.
        digest: Digest,
        /// The claimed length.
        size: u64,
        /// What came; not more than a little beyond the claim is read.
        bytes: u64,
    },
    /// The blob's bytes are not the claimed ones.
    #[error("blob {expected} has digest {actual}")]
    BlobDigest {
        /// The digest of its descriptor.
        expected: Digest,
        /// The digest of what came.
        actual: Digest,
    },
    /// The blob is the claimed one, but what is in it is not what the image config says.
    #[error("layer {digest} unpacks to diff ID {actual}, but its image says {expected}")]
    DiffId {
        /// The blob's digest.
        digest: Digest,
        /// The image config's diff ID.
        expected: Digest,
        /// The diff ID of what was unpacked.
        actual: Digest,
    },
    /// The layer is proven to be the claimed one, and cannot be unpacked.
    #[error("failed to unpack layer {digest}")]
    Unpack {
        /// The blob's digest.
        digest: Digest,
        /// The entry and what is wrong with it.
        source: UnpackError,
    },
    /// A layer that was gone on with did not come out as claimed; begun anew, it may.
    #[error("layer {digest} could not be gone on with")]
    Resumed {
        /// The blob's digest.
        digest: Digest,
        /// What was wrong.
        source: Box<StoreError>,
    },
    /// Something that must be kept cannot be read, so nothing can be called unneeded.
    #[error("manifest {manifest} is to be kept, but {problem}: nothing was collected")]
    Unknown {
        /// The manifest.
        manifest: Digest,
        /// What is in the way.
        problem: &'static str,
    },
}

fn longer(bytes: u64, size: u64) -> &'static str {
    if bytes > size { "longer" } else { "shorter" }
}

pub(super) type Result<T> = std::result::Result<T, StoreError>;

impl StoreError {
    /// Whether another attempt can end differently.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Room { .. } | Self::Full { .. } => Retry::Space,
            Self::Io { source, .. } if is_full(source) => Retry::Space,
            Self::Lock(LockError::Held { .. }) => Retry::Unlocked,
            Self::Input { .. } | Self::Size { .. } | Self::BlobDigest { .. } | Self::Resumed { .. } => {
                Retry::Again
            }
            Self::Unpack { source: UnpackError::Write { .. }, .. } => Retry::Again,
            Self::Io { .. } | Self::Lock(LockError::Io { .. }) => Retry::Again,
            Self::Layer { .. } | Self::DiffId { .. } | Self::Unpack { .. } | Self::Unknown { .. } => {
                Retry::Never
            }
        }
    }
}

pub(super) use crate::files::is_full;

/// Names the attempt and the object of a failed call.
pub(super) trait Attempt<T> {
    fn attempt(self, attempt: &'static str, path: &Path) -> Result<T>;
}

impl<T, E: Into<io::Error>> Attempt<T> for std::result::Result<T, E> {
    fn attempt(self, attempt: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| StoreError::Io { attempt, path: path.to_owned(), source: source.into() })
    }
}
