//! Where a passage stands, and what each state knows.

use serde::{Deserialize, Serialize};

use super::Target;
use crate::deployment::{Deployment, Generation};
use crate::fault::{Code, Fault};
use crate::gate::Reason;
use crate::oci::Digest;
use crate::time::Timestamp;

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

/// What is counted during a trial, over power cuts too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Watch {
    /// Starts of the agent since the switch began.
    pub starts: u32,
    /// How often the candidate was healthy and then was not.
    pub losses: u32,
    /// Restarts of its workloads, as of the last look at which it was healthy.
    pub restarts: u32,
}

/// Whether what failed is tried again by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Again {
    /// It would fail the same way.
    Never,
    /// What failed may have passed by then.
    At(Timestamp),
}

/// What a roll back leaves behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant, reason = "a board has one of them")]
pub enum Leaving {
    /// A candidate that failed its trial.
    #[serde(rename = "target")]
    Candidate(Target),
    /// A confirmed generation that a person takes back.
    #[serde(rename = "left")]
    Good(Generation),
}

impl Leaving {
    /// The generation that is left.
    #[must_use]
    pub fn generation(&self) -> &Generation {
        match self {
            Self::Candidate(target) => &target.generation,
            Self::Good(generation) => generation,
        }
    }

    /// Names the passage in every event that answers it.
    #[must_use]
    pub fn document(&self) -> Digest {
        match self {
            Self::Candidate(target) => target.document,
            Self::Good(Generation { id, scope, number, rev }) => {
                Digest::of(format!("roll back from {id} of {scope}, {number}.{rev}").as_bytes())
            }
        }
    }
}

/// How far a roll back is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Return {
    /// Stopping and starting.
    #[default]
    Switching,
    /// The good deployment was started then; it must be seen healthy.
    Watching(Timestamp),
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
        /// Starts of the agent since the switch began.
        #[serde(default)]
        starts: u32,
    },
    /// The candidate runs on trial.
    Verifying {
        /// What is wanted.
        target: Target,
        /// The same, pinned.
        candidate: Deployment,
        /// How it stands.
        trial: Trial,
        /// What happened so far.
        #[serde(default)]
        watch: Watch,
    },
    /// Confirmed.
    Succeeded {
        /// What was confirmed.
        generation: Generation,
    },
    /// Bringing back the last good deployment.
    RollingBack {
        /// What is left.
        #[serde(flatten)]
        leaving: Leaving,
        /// Why.
        fault: Fault,
        /// Counts from 1.
        attempt: u32,
        /// Not before then.
        start_at: Timestamp,
        /// How far it is.
        #[serde(default)]
        way: Return,
    },
    /// The last good deployment runs again and was seen healthy.
    RolledBack {
        /// What was left.
        generation: Generation,
        /// Why.
        fault: Fault,
        /// Set where the board's own trouble was the reason and may pass: what is tried again, and when.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        later: Option<(Timestamp, Target)>,
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
        /// What is left.
        #[serde(flatten)]
        leaving: Leaving,
        /// Why it is left.
        #[serde(default = "not_kept")]
        cause: Fault,
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

/// The cause of a roll back in a record of the first form, which did not keep it.
fn not_kept() -> Fault {
    Fault::new(Code::Internal, "the agent that began this roll back did not note why")
}

/// How a state stands to the switch from the good deployment to the candidate, and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A passage is under way and has not touched what runs.
    BeforeSwitch,
    /// A passage is under way and the candidate has the place of the good deployment.
    OnTrial,
    /// The trial has ended, and the candidate was left running for a person to look at.
    Kept,
    /// The good deployment is on its way back.
    GoingBack,
    /// No passage is under way, and the good deployment is what runs.
    Ended,
}

impl State {
    /// How it stands to the switch.
    #[must_use]
    pub fn place(&self) -> Place {
        match self {
            Self::Accepted { .. } | Self::Waiting { .. } | Self::Downloading { .. } | Self::Staged { .. } => {
                Place::BeforeSwitch
            }
            Self::Applying { .. } | Self::Verifying { .. } => Place::OnTrial,
            Self::Paused { .. } => Place::Kept,
            Self::RollingBack { .. } | Self::Broken { .. } => Place::GoingBack,
            Self::Idle
            | Self::Succeeded { .. }
            | Self::RolledBack { .. }
            | Self::Failed { .. }
            | Self::Canceled { .. }
            | Self::Rejected { .. } => Place::Ended,
        }
    }

    /// What is wanted, or was tried and may be tried again.
    #[must_use]
    pub fn target(&self) -> Option<&Target> {
        match self {
            Self::Accepted { target }
            | Self::Waiting { target, .. }
            | Self::Downloading { target, .. }
            | Self::Staged { target, .. }
            | Self::Applying { target, .. }
            | Self::Verifying { target, .. }
            | Self::Failed { target, .. }
            | Self::Paused { target, .. }
            | Self::RollingBack { leaving: Leaving::Candidate(target), .. }
            | Self::Broken { leaving: Leaving::Candidate(target), .. }
            | Self::RolledBack { later: Some((_, target)), .. } => Some(target),
            Self::Idle
            | Self::Succeeded { .. }
            | Self::RollingBack { leaving: Leaving::Good(_), .. }
            | Self::Broken { leaving: Leaving::Good(_), .. }
            | Self::RolledBack { later: None, .. }
            | Self::Canceled { .. }
            | Self::Rejected { .. } => None,
        }
    }

    /// The generation that the state tells of.
    #[must_use]
    pub fn generation(&self) -> Option<&Generation> {
        match self {
            Self::Succeeded { generation }
            | Self::RolledBack { generation, .. }
            | Self::Canceled { generation } => Some(generation),
            Self::RollingBack { leaving, .. } | Self::Broken { leaving, .. } => Some(leaving.generation()),
            Self::Idle
            | Self::Accepted { .. }
            | Self::Waiting { .. }
            | Self::Downloading { .. }
            | Self::Staged { .. }
            | Self::Applying { .. }
            | Self::Verifying { .. }
            | Self::Failed { .. }
            | Self::Paused { .. }
            | Self::Rejected { .. } => self.target().map(|target| &target.generation),
        }
    }

    /// The deployment that is pinned but not confirmed.
    #[must_use]
    pub fn candidate(&self) -> Option<&Deployment> {
        match self {
            Self::Waiting { held: Held::BeforeApply(candidate), .. }
            | Self::Staged { candidate, .. }
            | Self::Applying { candidate, .. }
            | Self::Verifying { candidate, .. }
            | Self::Paused { candidate, .. } => Some(candidate),
            Self::Idle
            | Self::Accepted { .. }
            | Self::Waiting { held: Held::BeforeDownload, .. }
            | Self::Downloading { .. }
            | Self::Succeeded { .. }
            | Self::RollingBack { .. }
            | Self::RolledBack { .. }
            | Self::Failed { .. }
            | Self::Broken { .. }
            | Self::Canceled { .. }
            | Self::Rejected { .. } => None,
        }
    }

    /// What is being left, while the good deployment is on its way back.
    #[must_use]
    pub fn leaving(&self) -> Option<&Leaving> {
        match self {
            Self::RollingBack { leaving, .. } | Self::Broken { leaving, .. } => Some(leaving),
            Self::Idle
            | Self::Accepted { .. }
            | Self::Waiting { .. }
            | Self::Downloading { .. }
            | Self::Staged { .. }
            | Self::Applying { .. }
            | Self::Verifying { .. }
            | Self::Succeeded { .. }
            | Self::RolledBack { .. }
            | Self::Failed { .. }
            | Self::Paused { .. }
            | Self::Canceled { .. }
            | Self::Rejected { .. } => None,
        }
    }

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
