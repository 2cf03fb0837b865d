//! Manifests and indexes (OCI image-spec manifest.md, image-index.md; Docker's schema 2 and its list).
//!
//! Invariant: a [`Document`] is one thing only. What could be read as an index by one program and as a manifest
//! by another (CVE-2021-41190), or says another media type than its shape, is refused.

use serde::de::{Error as _, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::Descriptor;
use crate::limits::{INDEX_ENTRIES_MAX, LAYERS_MAX, MANIFEST_BYTES_MAX};
use crate::plain::complaint;

/// An OCI index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// An OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Docker's manifest list.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker's manifest, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// What a registry is asked for, in this order.
pub const MEDIA_TYPES: [&str; 4] = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST];

const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// Media types of schema 1 start like this (plain and signed).
const DOCKER_SCHEMA_1: &str = "application/vnd.docker.distribution.manifest.v1+";

/// What a manifest digest may stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "read one at a time, never kept in numbers")]
pub enum Document {
    /// A choice of manifests, one a platform.
    Index(Index),
    /// One image.
    Manifest(Manifest),
}

/// The entries of an index, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// At most [`INDEX_ENTRIES_MAX`].
    pub manifests: Vec<Descriptor>,
}

/// One image: its config and its layers, lowest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The image config.
    pub config: Descriptor,
    /// At most [`LAYERS_MAX`].
    pub layers: Vec<Descriptor>,
}

/// Why a manifest was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Longer than [`MANIFEST_BYTES_MAX`].
    #[error("the manifest is longer than {MANIFEST_BYTES_MAX} bytes")]
    TooLong,
    /// Not JSON of the expected form, a key twice, or too many entries.
    #[error("the manifest cannot be read: {0}")]
    Form(String),
    /// Docker schema 1, which has no content addresses for its configuration.
    #[error(
        "the manifest is Docker schema 1, which is not supported; push the image again with a current tool"
    )]
    Schema1,
    /// Another `schemaVersion` than 2, or none.
    #[error("the manifest has no schemaVersion 2")]
    SchemaVersion,
    /// `manifests` beside `config` or `layers` (CVE-2021-41190).
    #[error("the document has the shapes of an index and of a manifest at once (CVE-2021-41190)")]
    BothShapes,
    /// Neither shape is whole.
    #[error("the document is neither an index (manifests) nor a manifest (config and layers)")]
    NoShape,
    /// Its `mediaType`, or the one it was announced with, says something else.
    #[error("the media type {0:?} does not agree with the document's shape")]
    MediaType(String),
    /// A chart, a signature, a model: its config is not an image config.
    #[error("the manifest is not a container image but {0:?}")]
    NotAnImage(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    schema_version: Option<u64>,
    media_type: Option<String>,
    artifact_type: Option<String>,
    #[serde(default)]
    manifests: Option<Bounded<INDEX_ENTRIES_MAX>>,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Option<Bounded<LAYERS_MAX>>,
    // Schema 1 is known by these.
    fs_layers: Option<IgnoredAny>,
}

impl Document {
    /// Reads the bytes a digest stands for.
    ///
    /// # Errors
    /// [`ManifestError`]: anything but exactly one of the four kinds of document.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let (document, artifact_type) = Self::of_any(bytes)?;
        if let Self::Manifest(manifest) = &document {
            manifest.check_image(artifact_type.as_deref())?;
        }
        Ok(document)
    }

    /// The same, whatever the manifest carries; with its `artifactType`.
    fn of_any(bytes: &[u8]) -> Result<(Self, Option<String>), ManifestError> {
        if u64::try_from(bytes.len()).is_ok_and(|length| length > MANIFEST_BYTES_MAX) {
            return Err(ManifestError::TooLong);
        }
        let wire: Wire =
            serde_json::from_slice(bytes).map_err(|error| ManifestError::Form(complaint(&error)))?;
        let media_type = wire.media_type.as_deref();
        let old_type = media_type.is_some_and(|media_type| media_type.starts_with(DOCKER_SCHEMA_1));
        if wire.schema_version == Some(1) || wire.fs_layers.is_some() || old_type {
            return Err(ManifestError::Schema1);
        }
        if wire.schema_version != Some(2) {
            return Err(ManifestError::SchemaVersion);
        }
        let document = match (wire.manifests, wire.config, wire.layers) {
            (Some(Bounded(manifests)), None, None) => Self::Index(Index { manifests }),
            (None, Some(config), Some(Bounded(layers))) => Self::Manifest(Manifest { config, layers }),
            (Some(_), _, _) => return Err(ManifestError::BothShapes),
            (None, _, _) => return Err(ManifestError::NoShape),
        };
        if let Some(media_type) = media_type {
            document.agrees_with(media_type)?;
        }
        Ok((document, wire.artifact_type))
    }

    /// Whether `media_type`, as an index entry or a `Content-Type` announced it, can stand for this document.
    ///
    /// # Errors
    /// [`ManifestError::MediaType`] where it cannot.
    pub fn agrees_with(&self, media_type: &str) -> Result<(), ManifestError> {
        let expected = match self {
            Self::Index(_) => [OCI_INDEX, DOCKER_LIST],
            Self::Manifest(_) => [OCI_MANIFEST, DOCKER_MANIFEST],
        };
        if expected.contains(&media_type) {
            Ok(())
        } else {
            Err(ManifestError::MediaType(media_type.chars().take(120).collect()))
        }
    }
}

impl Manifest {
    /// Reads a manifest that need not be an image's: of a signature, for instance.
    ///
    /// # Errors
    /// [`ManifestError`]: anything but a manifest.
    pub fn of_anything(bytes: &[u8]) -> Result<Self, ManifestError> {
        match Document::of_any(bytes)?.0 {
            Document::Manifest(manifest) => Ok(manifest),
            Document::Index(_) => Err(ManifestError::NotAnImage(OCI_INDEX.to_owned())),
        }
    }

    fn check_image(&self, artifact_type: Option<&str>) -> Result<(), ManifestError> {
        let cut = |text: &str| ManifestError::NotAnImage(text.chars().take(120).collect());
        match artifact_type {
            Some(artifact) if !artifact.is_empty() && artifact != OCI_CONFIG => Err(cut(artifact)),
            _ if [OCI_CONFIG, DOCKER_CONFIG].contains(&self.config.media_type.as_str()) => Ok(()),
            _ => Err(cut(&self.config.media_type)),
        }
    }
}

/// Descriptors, refused at the first one too many: a small document must not become a large list.
struct Bounded<const MAX: usize>(Vec<Descriptor>);

impl<'de, const MAX: usize> Deserialize<'de> for Bounded<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<const MAX: usize>;
        impl<'de, const MAX: usize> Visitor<'de> for Entries<MAX> {
            type Value = Vec<Descriptor>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "at most {MAX} descriptors")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while entries.len() < MAX {
                    match seq.next_element()? {
                        Some(entry) => entries.push(entry),
                        None => return Ok(entries),
                    }
                }
                match seq.next_element::<IgnoredAny>()? {
                    Some(_) => Err(A::Error::custom(format!("more than {MAX} entries"))),
                    None => Ok(entries),
                }
            }
        }
        deserializer.deserialize_seq(Entries::<MAX>).map(Self)
    }
}

#[cfg(test)]
mod tests;
