//! What a board does and why it does not do more, in plain words: for a person with a serial console and a bad day.
//!
//! Invariant: whatever keeps an update from going on, or a workload from running well, and is in the facts, is said,
//! each with what helps against it.

mod board;
mod gates;
mod passage;
mod words;

use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::ident::{DeviceId, GroupName, WorkloadId};
use crate::pace::Slowed;
use crate::record::Record;
use crate::time::Timestamp;

pub use board::explain;

/// How much a remark matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// So it is.
    Fact,
    /// Something waits, and for what.
    Waits,
    /// Something is wrong.
    Trouble,
}

/// One thing to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// How much it matters.
    pub kind: Kind,
    /// What is, and why.
    pub says: String,
    /// What helps, or when it passes by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Remark {
    fn new(kind: Kind, says: impl Into<String>) -> Self {
        Self { kind, says: says.into(), remedy: None }
    }

    fn fact(says: impl Into<String>) -> Self {
        Self::new(Kind::Fact, says)
    }

    fn waits(says: impl Into<String>) -> Self {
        Self::new(Kind::Waits, says)
    }

    fn trouble(says: impl Into<String>) -> Self {
        Self::new(Kind::Trouble, says)
    }

    fn helps(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }
}

/// What only the running agent knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Live {
    /// Whether the broker hears this board.
    pub link: Link,
    /// Whether the journal holds all that the agent knows.
    pub durable: bool,
    /// Why the good deployment could not be kept running, where that failed last.
    pub unkept: Option<Fault>,
    /// How slow images come, and what workloads wait for meanwhile; absent at full speed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slowed: Option<Slowed>,
}

/// The connection to the broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum Link {
    /// No broker is configured.
    NoBroker,
    /// The board is not provisioned with what it needs to reach it.
    Unprovisioned {
        /// What is not there, in words.
        why: String,
    },
    /// It stands.
    Up,
    /// It does not.
    #[serde(rename_all = "camelCase")]
    Down {
        /// Why, in words; absent before the first attempt.
        cause: Option<String>,
        /// Seconds until the next attempt.
        retry_in_s: u64,
    },
}

/// Whether an agent runs on the board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agent<'a> {
    /// None does.
    Absent,
    /// One does, and did not answer.
    Silent,
    /// One does, and told this.
    Live(&'a Live),
}

/// A workload that is not as it should be, or was stopped by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unwell {
    /// Which.
    pub id: WorkloadId,
    /// Whether a person wanted it so.
    pub by_hand: bool,
    /// How it is, in words.
    pub how: String,
}

/// What is to be explained.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// What the journal holds.
    pub record: &'a Record,
    /// This board.
    pub device: &'a DeviceId,
    /// Its groups.
    pub groups: &'a [GroupName],
    /// Whether an agent runs.
    pub agent: Agent<'a>,
    /// Why no document can be believed, where none can, and what helps.
    pub unbelieving: Option<&'a (String, String)>,
    /// Why no image is taken, where that is so.
    pub imageless: Option<&'a str>,
    /// The workloads that are not well.
    pub unwell: &'a [Unwell],
    /// What the clock shows.
    pub now: Timestamp,
    /// Whether the clock follows a time server.
    pub synced: bool,
}

#[cfg(test)]
mod tests;
