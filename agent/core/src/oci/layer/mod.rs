//! Layers (OCI image-spec, layer.md): how one is compressed, what an entry's name may be, and whiteouts.
//!
//! Invariant: an [`EntryPath`] has no `..`, no NUL, no empty component, and fits the kernel's limits, so it can be
//! joined to a directory without another look.

use std::fmt;

use crate::limits::{ENTRY_DEPTH_MAX, ENTRY_NAME_BYTES_MAX, ENTRY_PATH_BYTES_MAX};

#[cfg(test)]
mod tests;

/// How a layer's bytes are wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// A bare tar archive.
    None,
    /// gzip, of one or more members (RFC 1952).
    Gzip,
    /// zstd, of one or more frames (RFC 8878).
    Zstd,
}

/// Why content cannot be taken as a layer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayerError {
    /// The registry does not have the bytes: they are to come from somewhere else, by license.
    #[error("layer type {0:?} is foreign: its content is not distributed by the registry")]
    Foreign(String),
    /// The layer needs a key.
    #[error("layer type {0:?} is encrypted; this agent has no keys for layers")]
    Encrypted(String),
    /// Not a layer type of OCI or Docker.
    #[error("media type {0:?} is not a layer this agent can unpack")]
    Unknown(String),
}

const OCI: &str = "application/vnd.oci.image.layer.v1.tar";
const OCI_NONDISTRIBUTABLE: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar";
const DOCKER: &str = "application/vnd.docker.image.rootfs.diff.tar";
const DOCKER_FOREIGN: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar";
/// Characters of a foreign media type that an error repeats.
const SHOWN_CHARS_MAX: usize = 100;

impl Compression {
    /// What the media type says.
    ///
    /// # Errors
    /// [`LayerError`] for anything that is not a plain layer of OCI or Docker.
    pub fn of(media_type: &str) -> Result<Self, LayerError> {
        let shown = || media_type.chars().take(SHOWN_CHARS_MAX).collect::<String>();
        // Parameters do not change what the bytes are.
        let bare = media_type.split(';').next().unwrap_or_default().trim();
        if bare.starts_with(OCI_NONDISTRIBUTABLE) || bare.starts_with(DOCKER_FOREIGN) {
            return Err(LayerError::Foreign(shown()));
        }
        let suffix = bare.strip_prefix(OCI).or_else(|| bare.strip_prefix(DOCKER));
        match suffix {
            Some("") => Ok(Self::None),
            // The dot is Docker's form, the plus is OCI's; both are seen with both prefixes.
            Some("+gzip" | ".gzip") => Ok(Self::Gzip),
            Some("+zstd" | ".zstd") => Ok(Self::Zstd),
            Some(other) if other.ends_with("+encrypted") => Err(LayerError::Encrypted(shown())),
            Some(_) | None => Err(LayerError::Unknown(shown())),
        }
    }

    /// What the first bytes say. They decide over the media type: tools write `gzip` into the type of plain and of
    /// zstd layers, every engine looks at the bytes, and the diff ID proves the outcome whichever way it was reached.
    #[must_use]
    pub fn sniff(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // A frame, or a skippable frame before it (RFC 8878, 3.1.1 and 3.1.2).
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::None,
        }
    }
}

/// Why an entry's name was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// No bytes.
    #[error("the name is empty")]
    Empty,
    /// A component is `..`.
    #[error("the name has a \"..\" component")]
    DotDot,
    /// A NUL byte.
    #[error("the name has a NUL byte")]
    Nul,
    /// More bytes than the kernel takes for a path.
    #[error("the name is longer than {ENTRY_PATH_BYTES_MAX} bytes")]
    Long,
    /// More bytes than file systems take for one component.
    #[error("a component of the name is longer than {ENTRY_NAME_BYTES_MAX} bytes")]
    LongComponent,
    /// More components than any real layer has.
    #[error("the name is deeper than {ENTRY_DEPTH_MAX} directories")]
    Deep,
    /// Something below a whiteout, or a whiteout of nothing, of `.` or of `..`.
    #[error("the name misuses the whiteout prefix \".wh.\"")]
    Whiteout,
}

/// Where an entry goes, relative to the layer's root: components joined by `/`; the root itself is empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EntryPath(Vec<u8>);

impl EntryPath {
    /// Parses a name as an archive has it: leading `/`, `./`, doubled and trailing slashes mean nothing.
    ///
    /// # Errors
    /// [`PathError`] says which rule the name breaks.
    pub fn parse(raw: &[u8]) -> Result<Self, PathError> {
        if raw.is_empty() {
            return Err(PathError::Empty);
        }
        if raw.contains(&0) {
            return Err(PathError::Nul);
        }
        let mut path = Vec::with_capacity(raw.len().min(ENTRY_PATH_BYTES_MAX));
        let mut depth = 0;
        for component in raw.split(|byte| *byte == b'/') {
            match component {
                b"" | b"." => continue,
                b".." => return Err(PathError::DotDot),
                long if long.len() > ENTRY_NAME_BYTES_MAX => return Err(PathError::LongComponent),
                _ => {}
            }
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(component);
            depth += 1;
            if depth > ENTRY_DEPTH_MAX {
                return Err(PathError::Deep);
            }
            if path.len() > ENTRY_PATH_BYTES_MAX {
                return Err(PathError::Long);
            }
        }
        Ok(Self(path))
    }

    /// Whether this is the layer's root directory.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes, without a leading slash.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The directory and the last component; the directory of a top-level entry is empty. The root has neither.
    #[must_use]
    pub fn split(&self) -> Option<(&[u8], &[u8])> {
        if self.is_root() {
            return None;
        }
        match self.0.iter().rposition(|byte| *byte == b'/') {
            Some(at) => {
                self.0.split_at_checked(at).map(|(dir, rest)| (dir, rest.get(1..).unwrap_or_default()))
            }
            None => Some((&[], &self.0)),
        }
    }
}

impl fmt::Display for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() { f.write_str("/") } else { write!(f, "{}", self.0.escape_ascii()) }
    }
}

const WHITEOUT: &[u8] = b".wh.";
const WHITEOUT_META: &[u8] = b".wh..wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// What an entry's name asks for (layer.md, "Whiteouts").
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Member {
    /// Something to create.
    Entry(EntryPath),
    /// `.wh.NAME`: what lower layers have at this path is gone.
    Whiteout(EntryPath),
    /// `.wh..wh..opq`: what lower layers have in this directory is gone.
    Opaque(EntryPath),
    /// Bookkeeping of the AUFS of old (`.wh..wh.plnk`, `.wh..wh.aufs` …); every engine passes over it.
    Ignored,
}

impl Member {
    /// Reads the meaning out of a name.
    ///
    /// # Errors
    /// [`PathError`] for a name that no layer may have.
    pub fn parse(raw: &[u8]) -> Result<Self, PathError> {
        let path = EntryPath::parse(raw)?;
        let Some((dir, name)) = path.split() else { return Ok(Self::Entry(path)) };
        for component in dir.split(|byte| *byte == b'/') {
            if component.starts_with(WHITEOUT_META) && component != OPAQUE {
                return Ok(Self::Ignored);
            }
            if component.starts_with(WHITEOUT) {
                return Err(PathError::Whiteout);
            }
        }
        let Some(hidden) = name.strip_prefix(WHITEOUT) else { return Ok(Self::Entry(path)) };
        if name == OPAQUE {
            return Ok(Self::Opaque(EntryPath(dir.to_vec())));
        }
        if name.starts_with(WHITEOUT_META) {
            return Ok(Self::Ignored);
        }
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(PathError::Whiteout);
        }
        let mut target = dir.to_vec();
        if !target.is_empty() {
            target.push(b'/');
        }
        target.extend_from_slice(hidden);
        Ok(Self::Whiteout(EntryPath(target)))
    }
}
