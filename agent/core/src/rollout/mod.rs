//! The passage of a desired document through this board, as a function of facts.
//!
//! [`next()`] says what an event makes of a rollout; [`work()`] says what a rollout calls for. Neither acts. What
//! [`work()`] calls for is level-triggered: asked again after a restart or a power cut, it answers the same, so there
//! is no other recovery path. The caller makes the new rollout durable before it acts on it.
//!
//! Invariant: `active` changes only when a candidate has passed its trial; until then it is what comes back.
//!
//! ```text
//! idle ─desired→ accepted ─gates→ downloading ─staged→ staged ─gates→ applying ─applied→ verifying ─soaked→ succeeded
//!                  │  ▲                │ fault                │           │ fault           │ fault
//!                  ▼  │                ▼                      ▼           └───────┬─────────┘
//!                 waiting            failed ─later→ downloading  waiting          ▼
//!                                                                         rolling back ─restored→ rolled back
//!                                                                                 │ fault
//!                                                                                 ▼
//!                                                                               broken ─later→ rolling back
//! ```

mod next;
mod work;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::compose::Project;
use crate::deployment::{Deployment, Generation};
use crate::fault::Fault;
use crate::gate::{Approval, Policy, Reason};
use crate::ident::ProjectName;
use crate::oci::Digest;
use crate::time::Timestamp;

pub use next::next;
pub use work::{Calls, Work, work};

/// Generations remembered as bad; older ones cannot come back, since replay is refused.
pub const BAD_MAX: usize = 16;

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

/// Where a passage waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// Nothing is downloaded yet.
    BeforeDownload,
    /// Everything is downloaded; only the switch is missing.
    BeforeApply(Deployment),
}

/// How the trial of a candidate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trial {
    /// Not healthy yet, since then.
    Starting(Timestamp),
    /// Healthy without a break since then.
    Healthy(Timestamp),
}

/// Whether a failed download is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Again {
    /// It would fail the same way.
    Never,
    /// What failed may have passed by then.
    At(Timestamp),
}

/// Where a passage stands. Wire names are in the MQTT contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum State {
    /// No document has come, or what it asked for runs.
    Idle,
    /// Verified and journaled.
    Accepted {
        /// What is wanted.
        target: Target,
    },
    /// A gate is closed.
    Waiting {
        /// What is wanted.
        target: Target,
        /// At which point.
        held: Held,
        /// Every closed gate.
        reasons: Vec<Reason>,
    },
    /// Pulling; what runs is untouched.
    Downloading {
        /// What is wanted.
        target: Target,
        /// Counts from 1.
        attempt: u32,
        /// Not before then.
        start_at: Timestamp,
        /// How the attempt before failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fault: Option<Fault>,
    },
    /// Everything is verified and unpacked.
    Staged {
        /// What is wanted.
        target: Target,
        /// The same, pinned.
        candidate: Deployment,
    },
    /// Stopping and starting.
    Applying {
        /// What is wanted.
        target: Target,
        /// The same, pinned.
        candidate: Deployment,
    },
    /// The candidate runs on trial.
    Verifying {
        /// What is wanted.
        target: Target,
        /// The same, pinned.
        candidate: Deployment,
        /// How it stands.
        trial: Trial,
    },
    /// Confirmed.
    Succeeded {
        /// What was confirmed.
        generation: Generation,
    },
    /// Bringing back the last good deployment.
    RollingBack {
        /// What failed.
        target: Target,
        /// How.
        fault: Fault,
        /// Counts from 1.
        attempt: u32,
        /// Not before then.
        start_at: Timestamp,
    },
    /// The last good deployment runs again.
    RolledBack {
        /// What failed.
        generation: Generation,
        /// How.
        fault: Fault,
    },
    /// Failed before anything changed.
    Failed {
        /// What failed.
        target: Target,
        /// How.
        fault: Fault,
        /// Whether it is tried again.
        again: Again,
    },
    /// The roll back failed too; it is tried again for ever.
    Broken {
        /// What failed.
        target: Target,
        /// How the roll back failed.
        fault: Fault,
        /// Roll backs so far.
        attempt: u32,
        /// The next one.
        start_at: Timestamp,
    },
    /// The trial failed and the policy keeps everything as it is.
    Paused {
        /// What failed.
        target: Target,
        /// The same, pinned; it still runs.
        candidate: Deployment,
        /// How it failed.
        fault: Fault,
    },
    /// A person called it off.
    Canceled {
        /// What was called off.
        generation: Generation,
    },
    /// A document was refused; it changed nothing.
    Rejected {
        /// Why.
        fault: Fault,
    },
}

impl State {
    /// What went wrong, where the state tells of something that did.
    #[must_use]
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Self::RollingBack { fault, .. }
            | Self::RolledBack { fault, .. }
            | Self::Failed { fault, .. }
            | Self::Broken { fault, .. }
            | Self::Paused { fault, .. }
            | Self::Rejected { fault } => Some(fault),
            Self::Downloading { fault, .. } => fault.as_ref(),
            Self::Idle
            | Self::Accepted { .. }
            | Self::Waiting { .. }
            | Self::Staged { .. }
            | Self::Applying { .. }
            | Self::Verifying { .. }
            | Self::Succeeded { .. }
            | Self::Canceled { .. } => None,
        }
    }

    /// Counts the tries of what is being done; 1 where it is done once.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        match self {
            Self::Downloading { attempt, .. }
            | Self::RollingBack { attempt, .. }
            | Self::Broken { attempt, .. } => *attempt,
            Self::Idle
            | Self::Accepted { .. }
            | Self::Waiting { .. }
            | Self::Staged { .. }
            | Self::Applying { .. }
            | Self::Verifying { .. }
            | Self::Succeeded { .. }
            | Self::RolledBack { .. }
            | Self::Failed { .. }
            | Self::Paused { .. }
            | Self::Canceled { .. }
            | Self::Rejected { .. } => 1,
        }
    }
}

/// A generation that failed its trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bad {
    /// Which.
    pub generation: Generation,
    /// How.
    pub fault: Fault,
}

/// All that the machine knows; the journal keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// The passage.
    pub state: State,
    /// The last good deployment; what runs outside a trial. `None` before the first.
    pub active: Option<Deployment>,
    /// The good one before it.
    pub fallback: Option<Deployment>,
    /// Generations that failed their trial, oldest first.
    pub bad: Vec<Bad>,
}

impl Default for Rollout {
    fn default() -> Self {
        Self { state: State::Idle, active: None, fallback: None, bad: Vec::new() }
    }
}

impl Rollout {
    /// The document whose passage is under way; `None` once it has ended.
    #[must_use]
    pub fn under_way(&self) -> Option<&Target> {
        match &self.state {
            State::Accepted { target }
            | State::Waiting { target, .. }
            | State::Downloading { target, .. }
            | State::Staged { target, .. }
            | State::Applying { target, .. }
            | State::Verifying { target, .. }
            | State::RollingBack { target, .. }
            | State::Broken { target, .. } => Some(target),
            State::Idle
            | State::Succeeded { .. }
            | State::RolledBack { .. }
            | State::Failed { .. }
            | State::Paused { .. }
            | State::Canceled { .. }
            | State::Rejected { .. } => None,
        }
    }

    /// The deployment that is pinned but not confirmed.
    #[must_use]
    pub fn candidate(&self) -> Option<&Deployment> {
        match &self.state {
            State::Waiting { held: Held::BeforeApply(candidate), .. }
            | State::Staged { candidate, .. }
            | State::Applying { candidate, .. }
            | State::Verifying { candidate, .. }
            | State::Paused { candidate, .. } => Some(candidate),
            State::Idle
            | State::Accepted { .. }
            | State::Waiting { held: Held::BeforeDownload, .. }
            | State::Downloading { .. }
            | State::Succeeded { .. }
            | State::RollingBack { .. }
            | State::RolledBack { .. }
            | State::Failed { .. }
            | State::Broken { .. }
            | State::Canceled { .. }
            | State::Rejected { .. } => None,
        }
    }

    /// The candidate that has taken the place of the good deployment.
    #[must_use]
    pub fn on_trial(&self) -> Option<&Deployment> {
        let moved =
            matches!(self.state, State::Applying { .. } | State::Verifying { .. } | State::Paused { .. });
        self.candidate().filter(|_| moved)
    }

    /// Whether the last good deployment is on its way back.
    #[must_use]
    pub fn is_rolling_back(&self) -> bool {
        matches!(self.state, State::RollingBack { .. } | State::Broken { .. })
    }

    /// Whether this generation failed its trial before.
    #[must_use]
    pub fn known_bad(&self, generation: &Generation) -> Option<&Bad> {
        let same = |bad: &&Bad| {
            bad.generation.scope == generation.scope && bad.generation.number == generation.number
        };
        self.bad.iter().find(same)
    }
}

/// How the candidate looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// Not all of it runs or is healthy yet; what is still wrong, where something can be named.
    Starting(Option<Fault>),
    /// All of it runs and is healthy.
    Healthy,
    /// Some of it failed for good.
    Unhealthy(Fault),
}

/// All that can happen to a rollout. Answers name the document they belong to; a late one changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The agent has started: the clock may have jumped and nobody watched meanwhile, so pauses end and a trial
    /// begins again.
    Started,
    /// A document was admitted, newer than any before.
    Desired(Target),
    /// A document was refused.
    Refused(Fault),
    /// The closed gates, none when all are open.
    Gates(Digest, Vec<Reason>),
    /// Every image is pinned, verified and unpacked.
    Staged(Digest, Deployment),
    /// Staging failed.
    StageFailed(Digest, Fault),
    /// The candidate was started.
    Applied(Digest),
    /// Starting the candidate failed.
    ApplyFailed(Digest, Fault),
    /// How the candidate looks.
    Observed(Digest, Observation),
    /// The last good deployment runs.
    Restored(Digest),
    /// Bringing it back failed.
    RestoreFailed(Digest, Fault),
    /// Time has passed.
    Tick,
    /// A person calls the passage off.
    Cancel,
    /// A person wants a failed passage tried again.
    Retry,
    /// A person approves.
    Confirm,
}

#[cfg(test)]
mod tests;
