//! All that can happen to a rollout.

use super::Target;
use crate::deployment::Deployment;
use crate::fault::Fault;
use crate::gate::Reason;
use crate::oci::Digest;

/// How a deployment looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// Not all of it runs or is healthy yet; what is still wrong, where something can be named.
    Starting(Option<Fault>),
    /// All of it runs and is healthy.
    Healthy {
        /// How often its workloads were started again since they were started for this: a crash between two looks
        /// shows here alone.
        restarts: u32,
    },
    /// Some of it failed for good.
    Unhealthy(Fault),
}

/// All that can happen to a rollout. Answers name the passage they belong to; a late one changes nothing.
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
    /// Starting the candidate failed, or keeping it running.
    ApplyFailed(Digest, Fault),
    /// How the candidate looks, or in a roll back the last good deployment.
    Observed(Digest, Observation),
    /// The last good deployment was started.
    Restored(Digest),
    /// Bringing it back failed.
    RestoreFailed(Digest, Fault),
    /// Time has passed.
    Tick,
    /// A person calls the passage off.
    Cancel,
    /// A person wants what failed tried again, whatever is remembered of it. Carries what is wanted of this board at
    /// present, where anything is: a passage that has ended begins anew with it.
    Retry(Option<Target>),
    /// A person approves: the switch where the policy asks for it, or a candidate that was kept for a look. A trial is
    /// not shortened by it.
    Confirm,
    /// A person wants the deployment back that ran before: during a trial the last good one, else the good one before
    /// that. What is left does not come back by itself.
    RollBack,
}

impl Event {
    /// The passage that it answers for; `None` for one that is no answer.
    #[must_use]
    pub fn answers(&self) -> Option<Digest> {
        match self {
            Self::Gates(of, _)
            | Self::Staged(of, _)
            | Self::StageFailed(of, _)
            | Self::Applied(of)
            | Self::ApplyFailed(of, _)
            | Self::Observed(of, _)
            | Self::Restored(of)
            | Self::RestoreFailed(of, _) => Some(*of),
            Self::Started
            | Self::Desired(_)
            | Self::Refused(_)
            | Self::Tick
            | Self::Cancel
            | Self::Retry(_)
            | Self::Confirm
            | Self::RollBack => None,
        }
    }
}
