//! What a board says of itself: the documents of the MQTT contract, as values.
//!
//! Invariant: a state document fits [`STATE_BYTES_MAX`]; what does not fit is left out from the least needed end, and
//! the document says so.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::deployment::Generation;
use crate::fault::{Code, Fault};
use crate::ident::{ProjectName, ServiceName};
use crate::limits::STATE_BYTES_MAX;
use crate::oci::Digest;
use crate::rollout::State as Passage;
use crate::time::Timestamp;

/// Where a rollout stands, by its name on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)] // The contract's table of statuses explains each.
pub enum Status {
    Idle,
    Rejected,
    Accepted,
    Waiting,
    Downloading,
    Staged,
    Applying,
    Verifying,
    Succeeded,
    RollingBack,
    RolledBack,
    Failed,
    Broken,
    Paused,
    Superseded,
    Canceled,
}

impl Status {
    /// The status of a passage.
    #[must_use]
    pub fn of(passage: &Passage) -> Self {
        match passage {
            Passage::Idle => Self::Idle,
            Passage::Accepted { .. } => Self::Accepted,
            Passage::Waiting { .. } => Self::Waiting,
            Passage::Downloading { .. } => Self::Downloading,
            Passage::Staged { .. } => Self::Staged,
            Passage::Applying { .. } => Self::Applying,
            Passage::Verifying { .. } => Self::Verifying,
            Passage::Succeeded { .. } => Self::Succeeded,
            Passage::RollingBack { .. } => Self::RollingBack,
            Passage::RolledBack { .. } => Self::RolledBack,
            Passage::Failed { .. } => Self::Failed,
            Passage::Broken { .. } => Self::Broken,
            Passage::Paused { .. } => Self::Paused,
            Passage::Canceled { .. } => Self::Canceled,
            Passage::Rejected { .. } => Self::Rejected,
        }
    }

    /// Its name on the wire.
    #[must_use]
    pub fn wire(self) -> &'static str {
        match self {
            Self::Idle => "IDLE",
            Self::Rejected => "REJECTED",
            Self::Accepted => "ACCEPTED",
            Self::Waiting => "WAITING",
            Self::Downloading => "DOWNLOADING",
            Self::Staged => "STAGED",
            Self::Applying => "APPLYING",
            Self::Verifying => "VERIFYING",
            Self::Succeeded => "SUCCEEDED",
            Self::RollingBack => "ROLLING_BACK",
            Self::RolledBack => "ROLLED_BACK",
            Self::Failed => "FAILED",
            Self::Broken => "BROKEN",
            Self::Paused => "PAUSED",
            Self::Superseded => "SUPERSEDED",
            Self::Canceled => "CANCELED",
        }
    }

    /// Whether a passage ends here; such a status is reported at once.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Idle
            | Self::Rejected
            | Self::Succeeded
            | Self::RolledBack
            | Self::Failed
            | Self::Broken
            | Self::Paused
            | Self::Superseded
            | Self::Canceled => true,
            Self::Accepted
            | Self::Waiting
            | Self::Downloading
            | Self::Staged
            | Self::Applying
            | Self::Verifying
            | Self::RollingBack => false,
        }
    }
}

/// The retained `state` document.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// `state/v1`.
    pub schema: &'static str,
    /// Names the connection.
    pub sid: String,
    /// Never goes back, over restarts too.
    pub seq: u64,
    /// What the clock shows.
    pub ts: Timestamp,
    /// Whether that is to be believed.
    pub clock: Clock,
    /// The agent and the board.
    pub agent: Agent,
    /// The newest accepted document that counts.
    pub desired: Option<Generation>,
    /// Other scopes that have a document, which does not count.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
    /// The rollout.
    pub deployment: Deployment,
    /// What runs.
    pub running: Running,
    /// The deployment that comes back when a trial fails.
    pub last_good: Option<Good>,
    /// Generations that failed here.
    pub bad: Vec<Bad>,
    /// Why people hold every rollout here; absent where nobody does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
    /// What is wrong with the store; absent where nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<Store>,
    /// Bytes of the store's file system.
    pub disk: Disk,
    /// The board's own figures, as its telemetry has them.
    pub board: serde_json::Value,
    /// Set when something was left out because the document would be too long.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

/// Whether the clock follows a time server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // Said above.
pub enum Clock {
    Synced,
    Unsynced,
}

/// The agent and what it found out about its board.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Agent {
    /// Its version.
    pub version: &'static str,
    /// The best platform of the board.
    pub platform: String,
    /// The OCI runtime and its version.
    pub runtime: String,
    /// The digest of the trust document that counts; `keyless` where there is none, and `none` where unsigned documents
    /// are taken, or once were.
    pub trust: String,
    /// That document's counter.
    #[serde(rename = "trustCounter", skip_serializing_if = "Option::is_none")]
    pub trust_counter: Option<u64>,
}

/// The rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deployment {
    /// Where it stands.
    pub status: Status,
    /// Closed gates.
    pub reasons: Vec<String>,
    /// Counts the tries of what is being done.
    pub attempt: u32,
    /// Since when it stands there.
    pub since: Timestamp,
    /// The last failure.
    pub error: Option<Fault>,
}

/// What runs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Running {
    /// The generation, once one was applied.
    #[serde(rename = "gen")]
    pub number: Option<u64>,
    /// Its workloads.
    pub projects: BTreeMap<ProjectName, Project>,
}

/// A project that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Project {
    /// The worst of its services.
    pub health: Health,
    /// Its services.
    pub services: BTreeMap<ServiceName, Service>,
}

/// How a project is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // The words explain themselves.
pub enum Health {
    Healthy,
    Starting,
    Unhealthy,
}

/// A workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Service {
    /// What its reference resolved to.
    pub image: Digest,
    /// The manifest for this board.
    pub manifest: Digest,
    /// The supervisor's word for its state.
    pub state: String,
    /// Starts after the first.
    pub restarts: u32,
    /// When its process was started.
    pub since: Option<Timestamp>,
    /// What its checks say, where it has some and runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// What the last failed check said, until one passes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// The last good deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Good {
    /// Its generation.
    #[serde(rename = "gen")]
    pub number: u64,
}

/// A generation that failed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Bad {
    /// Which.
    #[serde(rename = "gen")]
    pub number: u64,
    /// How.
    pub code: Code,
}

/// What is wrong with the store.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Store {
    /// What is damaged and not repaired yet, each with a workload that runs on it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<Fault>,
    /// Workloads that run on a damaged copy of what was repaired, until they are restarted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub restart: Vec<String>,
}

/// Bytes of the store's file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// Free for the agent.
    pub free: u64,
    /// In layers of the store.
    pub owned: u64,
}

impl State {
    /// The document as it is sent. Where it is too long, first the services go, then the bad generations.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let whole = written(self);
        if whole.len() <= STATE_BYTES_MAX {
            return whole;
        }
        let mut short = Self { truncated: true, ..self.clone() };
        short.running.projects.values_mut().for_each(|project| project.services.clear());
        let without_services = written(&short);
        if without_services.len() <= STATE_BYTES_MAX {
            return without_services;
        }
        short.running.projects.clear();
        short.bad.clear();
        short.others.clear();
        if let Some(store) = &mut short.store {
            store.damaged.truncate(1);
            store.restart.clear();
        }
        written(&short)
    }
}

/// The non-retained `event` document: one transition, or another attempt after a failed one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event<'a> {
    /// `event/v1`.
    pub schema: &'static str,
    /// The sequence number of the state that follows it, or a higher one.
    pub seq: u64,
    /// What the clock shows.
    pub ts: Timestamp,
    /// Where the rollout was.
    pub from: Status,
    /// Where it is.
    pub to: Status,
    /// Of which document; absent for a refused one that could not be read.
    pub desired: Option<&'a Generation>,
    /// What failed.
    pub error: Option<&'a Fault>,
}

/// The `progress` document, at most one in five seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// `progress/v1`.
    pub schema: &'static str,
    /// What the clock shows.
    pub ts: Timestamp,
    /// Compressed bytes that have come.
    pub bytes: u64,
    /// Of so many, as far as is known.
    pub total: u64,
    /// The same in percent.
    pub percent: u64,
    /// Compressed bytes that came more than once, earlier attempts included.
    pub refetched: u64,
}

/// The retained `up` document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Presence<'a> {
    /// Whether the device is connected.
    pub up: bool,
    /// Names the connection.
    pub sid: &'a str,
    /// Names the boot, in a birth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot: Option<&'a str>,
    /// The newest document that the device has, in a birth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub have: Option<&'a Generation>,
    /// `will` or `stop`, where it is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<&'static str>,
    /// What the clock shows, in a birth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ts: Option<Timestamp>,
}

/// The JSON of a document. These types hold nothing that JSON cannot, so this never is empty.
#[must_use]
pub fn written(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(document).unwrap_or_default()
}

#[cfg(test)]
mod tests;
