//! Why an archive was not unpacked, with the entry named.

use std::io;

use coracle_core::limits::ENTRY_PATH_BYTES_MAX;
use coracle_core::oci::layer::PathError;

use super::WINDOW_BYTES_MAX;
use super::archive::PAX_BYTES_MAX;
use super::sparse::SEGMENTS_MAX;

/// Why an archive was refused: another attempt with the same bytes ends the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The name is not one a layer may have.
    #[error(transparent)]
    Name(PathError),
    /// The same for the target of a hard link.
    #[error("the hard link's target is not valid: {0}")]
    LinkName(PathError),
    /// A symbolic link to nothing or with a NUL in it.
    #[error(
        "the symbolic link's target is empty, has a NUL byte or is longer than {ENTRY_PATH_BYTES_MAX} bytes"
    )]
    SymlinkTarget,
    /// The target of a hard link is not in this layer.
    #[error("the hard link's target {0:?} is not in the same layer")]
    LinkTarget(String),
    /// The target of a hard link is a directory.
    #[error("the hard link's target {0:?} is a directory")]
    LinkDirectory(String),
    /// Something above the entry is a file, or a link that leads to none.
    #[error("a parent of it is not a directory")]
    Parent,
    /// Links above the entry go round in a circle, or too deep.
    #[error("the links above it have no end")]
    Loop,
    /// The root of a layer is a directory and nothing else.
    #[error("the root of a layer can only be a directory")]
    Root,
    /// The header's sum is wrong.
    #[error("the header's checksum does not match")]
    Checksum,
    /// A field cannot be read or is out of range.
    #[error("the header's {0} is not valid")]
    Field(&'static str),
    /// A kind of entry that a layer does not have.
    #[error("entries of type {:?} are not taken", char::from(*.0))]
    Type(u8),
    /// The archive stops inside an entry.
    #[error("the archive ends in the middle")]
    Truncated,
    /// There is more after the end.
    #[error("there are bytes after the archive's end")]
    Trailing,
    /// An extended header is malformed.
    #[error("the PAX header is not valid: {0}")]
    Pax(&'static str),
    /// An extended header is larger than memory should be spent on.
    #[error("the PAX header is larger than {PAX_BYTES_MAX} bytes")]
    PaxSize,
    /// A long name is longer than the kernel takes.
    #[error("the long name is longer than {ENTRY_PATH_BYTES_MAX} bytes")]
    LongName,
    /// An extended header that nothing follows.
    #[error("an extended header is followed by the archive's end")]
    Dangling,
    /// Sparse files in PAX form.
    #[error("sparse files in PAX form are not taken")]
    PaxSparse,
    /// A sparse file whose map makes no sense.
    #[error("the map of the sparse file is not valid, or has more than {SEGMENTS_MAX} parts")]
    SparseMap,
    /// Attributes that belong to overlayfs.
    #[error("attribute {0:?} belongs to the overlay file system; a layer may not set it")]
    OverlayAttribute(String),
    /// A device node that policy does not allow.
    #[error("device {major}:{minor} is not allowed in a layer")]
    Device {
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
    },
    /// More entries than the limit.
    #[error("the archive has more than {0} entries")]
    Entries(u64),
    /// More bytes than the limit.
    #[error("the archive is larger than {0} bytes")]
    Bytes(u64),
    /// Sparse files with more nothing in them than the limit.
    #[error("the holes of its sparse files have more than {0} bytes")]
    Holes(u64),
    /// Much larger than what it was compressed to.
    #[error("the archive expands to more than {0} times its compressed size")]
    Ratio(u64),
    /// A zstd frame that wants more memory than there is.
    #[error("a zstd frame wants a window of {0} bytes; this agent gives {WINDOW_BYTES_MAX}")]
    Window(u64),
}

/// Why a layer was not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The archive is not acceptable.
    #[error("{}{why}", named(entry.as_deref()))]
    Refused {
        /// The entry's name as the archive has it.
        entry: Option<String>,
        /// The rule it breaks.
        why: Refusal,
    },
    /// The compressed stream cannot be read on.
    #[error("{}the compressed stream is damaged", named(entry.as_deref()))]
    Unreadable {
        /// The entry at which it happened.
        entry: Option<String>,
        /// What the decoder said.
        source: io::Error,
    },
    /// The file system did not take an entry.
    #[error("{}failed to {attempt}", named(entry.as_deref()))]
    Write {
        /// The entry's name as the archive has it.
        entry: Option<String>,
        /// What was tried.
        attempt: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

fn named(entry: Option<&str>) -> String {
    entry.map_or_else(String::new, |entry| format!("entry {entry:?}: "))
}

pub(super) type Result<T> = std::result::Result<T, UnpackError>;

impl UnpackError {
    /// Names the entry, unless a closer place already did.
    pub(super) fn at(mut self, name: impl FnOnce() -> String) -> Self {
        let (Self::Refused { entry, .. } | Self::Unreadable { entry, .. } | Self::Write { entry, .. }) =
            &mut self;
        entry.get_or_insert_with(name);
        self
    }

    /// For `map_err`: the system refused `attempt`.
    pub(super) fn write<E: Into<io::Error>>(attempt: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Write { entry: None, attempt, source: source.into() }
    }
}

impl From<Refusal> for UnpackError {
    fn from(why: Refusal) -> Self {
        Self::Refused { entry: None, why }
    }
}
