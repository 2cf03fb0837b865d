//! A deployment: a validated project set with every image pinned to bytes; what the board runs or is to run.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::compose::Service;
use crate::ident::{VolumeName, WorkloadId};
use crate::oci::{Digest, Platform};

/// Which desired document a deployment comes from; ordered by `(gen, rev)` within a scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// The operator's id of the document.
    pub id: String,
    /// `d/<device>` or `g/<group>`.
    pub scope: String,
    /// Counts content.
    #[serde(rename = "gen")]
    pub number: u64,
    /// Counts policy.
    pub rev: u64,
}

/// An image by its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedImage {
    /// The reference as written.
    pub reference: String,
    /// What the reference resolved to: an index, or the manifest itself.
    pub index: Digest,
    /// The manifest for this board.
    pub manifest: Digest,
    /// The image's platform.
    pub platform: Platform,
}

/// One workload with its image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// Its settings.
    pub service: Service,
    /// Its image.
    pub image: PinnedImage,
}

impl Workload {
    /// Whether a running `self` already is `other`: same bytes and same settings. The reference's text is
    /// decoration once both are pinned, so another tag for the same digest moves nothing.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        let with = |image: &str| Service { image: image.to_owned(), ..other.service.clone() };
        self.image.manifest == other.image.manifest && self.service == with(&self.service.image)
    }
}

/// Everything a generation runs on this board.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Where it comes from.
    pub generation: Generation,
    /// Its workloads.
    pub workloads: BTreeMap<WorkloadId, Workload>,
    /// Its named volumes, by project.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub volumes: BTreeMap<String, BTreeSet<VolumeName>>,
}
