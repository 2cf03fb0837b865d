//! Content descriptors (OCI image-spec, descriptor.md).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Digest, Platform, bounded};
use crate::limits::{ANNOTATIONS_MAX, DESCRIPTOR_WORDS_MAX};

/// What a manifest or index says of one piece of content. All of it is claimed, none of it proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the content is.
    pub media_type: String,
    /// The digest its bytes must have.
    pub digest: Digest,
    /// Its exact length in bytes.
    pub size: u64,
    /// Which platform the image is for; in an index only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Set when the content is not an image (OCI 1.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Free-form facts; attestation manifests are known by them.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "bounded::map::<ANNOTATIONS_MAX, _>"
    )]
    pub annotations: BTreeMap<String, String>,
    /// Foreign addresses of the content; never followed.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "bounded::list::<DESCRIPTOR_WORDS_MAX, _>"
    )]
    pub urls: Vec<String>,
}
