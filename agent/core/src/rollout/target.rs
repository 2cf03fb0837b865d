//! An admitted document, and how its trial goes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::compose::Project;
use crate::deployment::Generation;
use crate::gate::{Approval, Policy};
use crate::ident::ProjectName;
use crate::oci::Digest;

/// An admitted document: what the operator wants here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Its numbers.
    pub generation: Generation,
    /// The digest of its exact bytes; names the passage in every event that answers it.
    pub document: Digest,
    /// When it may download and apply.
    pub gates: Policy,
    /// How its trial goes.
    pub terms: Terms,
    /// Whether a person has approved it, where the policy asks for that.
    pub approval: Approval,
    /// How often it was given up after the switch for the board's own trouble, and begun anew by itself.
    #[serde(default)]
    pub retrials: u32,
    /// What it runs.
    pub projects: BTreeMap<ProjectName, Project>,
}

/// How a trial goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Seconds a candidate has to become healthy.
    pub health_s: u64,
    /// Seconds it must then stay healthy.
    pub soak_s: u64,
    /// Transient failures in a row before the download is called failed.
    pub attempts: u32,
    /// What a failed trial calls for.
    pub on_failure: OnFailure,
}

/// What a failed trial calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// The last good deployment comes back.
    Rollback,
    /// Everything stays as it is, for a person to look at.
    Pause,
}
