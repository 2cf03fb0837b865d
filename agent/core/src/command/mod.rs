//! What a person or a backend asks of this board at this moment, as opposed to what the board is to run.
//!
//! Invariant: a [`Command`] is proof that its verb may come from where it came, that its form is right, and, where it
//! came over the broker, that it is of this time, new, and within the rate that is taken. Nothing is done here.
//!
//! ```text
//! {"schema":"command/v1","id":"01J9…","iat":1789000000,"exp":1789000060,"args":{"workload":"shop.web","lines":50}}
//! ```

mod intake;
mod parse;
mod rate;
mod reply;

use serde::{Serialize, Serializer};

use crate::ident::{GroupName, ProjectName, WorkloadId};

pub use intake::{Facts, Intake, Message, Refusal};
pub use parse::console;
pub use reply::{Reply, newest_that_fit};

/// The form of a command that is taken.
pub const SCHEMA: &str = "command/v1";
/// Seconds that a command may live: a person waits no longer, and what is older was meant for another situation.
pub const LIFE_S_MAX: u64 = 300;
/// Lines of a log that are handed out where nobody says how many.
pub const LINES: usize = 100;
/// Lines of a log that may be asked for; the bound of a reply is reached long before.
pub const LINES_MAX: usize = 1000;
/// Characters of the reason of a hold.
pub const REASON_CHARS_MAX: usize = 100;
/// Seconds over which the boards of a group obey: an hour.
pub const SPREAD_S_MAX: u64 = 3600;
/// The same for `refresh`, where nobody says how many: every board of the group publishes.
pub const REFRESH_SPREAD_S: u64 = 60;

/// The word of a command, which is also the last level of its topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Tell everything anew, and look for documents again.
    Refresh,
    /// Call the passage off.
    Cancel,
    /// Try a failed passage again.
    Retry,
    /// Stop workloads and start them as they were.
    Restart,
    /// Approve of the passage.
    Confirm,
    /// Hand out what a workload wrote.
    Logs,
    /// Tell what is known of the board.
    Diag,
    /// Remove from the store what nothing needs.
    Gc,
    /// Let no rollout go on here, or let them go on again.
    Hold,
    /// Bring back the good deployment before this one.
    Rollback,
    /// Tell what only the running agent knows of why things stand as they do.
    Why,
    /// Take a desired document from a file.
    Apply,
    /// Take a document that replaces keys from a file.
    Trust,
}

impl Verb {
    /// Every verb.
    pub const ALL: &[Self] = &[
        Self::Refresh,
        Self::Cancel,
        Self::Retry,
        Self::Restart,
        Self::Confirm,
        Self::Logs,
        Self::Diag,
        Self::Gc,
        Self::Hold,
        Self::Rollback,
        Self::Why,
        Self::Apply,
        Self::Trust,
    ];

    /// The word on the wire.
    #[must_use]
    pub fn wire(self) -> &'static str {
        match self {
            Self::Refresh => "refresh",
            Self::Cancel => "cancel",
            Self::Retry => "retry",
            Self::Restart => "restart",
            Self::Confirm => "confirm",
            Self::Logs => "logs",
            Self::Diag => "diag",
            Self::Gc => "gc",
            Self::Hold => "hold",
            Self::Rollback => "rollback",
            Self::Why => "why",
            Self::Apply => "apply",
            Self::Trust => "trust",
        }
    }

    /// The verb of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|verb| verb.wire() == word)
    }

    /// Whether it is taken from there. What one message can do to a whole group is little, and old software comes back
    /// by the word of a person at the board alone: nothing proves who speaks over the broker.
    #[must_use]
    pub fn is_for(self, origin: &Origin) -> bool {
        match origin {
            Origin::Console => true,
            // Documents have topics of their own.
            Origin::Device => ![Self::Rollback, Self::Why, Self::Apply, Self::Trust].contains(&self),
            Origin::Group(_) => self == Self::Refresh || self == Self::Hold,
        }
    }
}

impl Serialize for Verb {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.wire())
    }
}

/// Where a command came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The device's own topics.
    Device,
    /// The topics of one of its groups.
    Group(GroupName),
    /// The console of the board.
    Console,
}

/// A command that was believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// What whoever asks calls it; comes back in the reply. A console needs none.
    pub id: Option<String>,
    /// Where it came from.
    pub origin: Origin,
    /// What it asks for.
    pub action: Action,
    /// Seconds until this board obeys, where a group is asked.
    pub delay_s: u64,
}

/// What a command asks for. A generation, where one is named, must be the one that the board is busy with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Tell everything anew, and look for documents again.
    Refresh,
    /// Call the passage off.
    Cancel(Option<u64>),
    /// Try a failed passage again.
    Retry(Option<u64>),
    /// Approve of the passage.
    Confirm(Option<u64>),
    /// Stop these and start them as they were.
    Restart(Which),
    /// Hand out the newest of so many lines.
    Logs {
        /// Of which workload.
        workload: WorkloadId,
        /// How many, at most.
        lines: usize,
    },
    /// Tell what is known of the board.
    Diag,
    /// Remove from the store what nothing needs.
    Gc,
    /// Let no rollout go on here, and why.
    Hold(String),
    /// Let rollouts go on again, as far as whoever asks held them.
    Release,
    /// Bring back the good deployment before this one; where a generation is named, it must be the one that comes back.
    Rollback(Option<u64>),
    /// Tell what only the running agent knows of why things stand as they do.
    Why,
    /// Take the desired document in this envelope.
    Apply(Vec<u8>),
    /// Take the trust document in this envelope.
    Trust(Vec<u8>),
}

impl Action {
    /// Its verb.
    #[must_use]
    pub fn verb(&self) -> Verb {
        match self {
            Self::Refresh => Verb::Refresh,
            Self::Cancel(_) => Verb::Cancel,
            Self::Retry(_) => Verb::Retry,
            Self::Confirm(_) => Verb::Confirm,
            Self::Restart(_) => Verb::Restart,
            Self::Logs { .. } => Verb::Logs,
            Self::Diag => Verb::Diag,
            Self::Gc => Verb::Gc,
            Self::Hold(_) | Self::Release => Verb::Hold,
            Self::Rollback(_) => Verb::Rollback,
            Self::Why => Verb::Why,
            Self::Apply(_) => Verb::Apply,
            Self::Trust(_) => Verb::Trust,
        }
    }
}

/// Which workloads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// One.
    Workload(WorkloadId),
    /// All of a project.
    Project(ProjectName),
}

impl Which {
    /// Whether `id` is meant.
    #[must_use]
    pub fn holds(&self, id: &WorkloadId) -> bool {
        match self {
            Self::Workload(one) => one == id,
            Self::Project(project) => id.project == *project,
        }
    }
}

#[cfg(test)]
mod tests;
