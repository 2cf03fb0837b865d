//! What the agent knows across restarts, and its saved form.
//!
//! Invariant: the record is durable before anything it calls for is done.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::desired::{Accepted, Scope, choose};
use crate::history::{self, Passage};
use crate::ident::{DeviceId, GroupName};
use crate::oci::Digest;
use crate::plain::{complaint, plain};
use crate::rollout::{self, Event, Rollout, State, Target};
use crate::time::Timestamp;

/// The version that this agent writes.
pub const VERSION: u32 = 2;

/// Everything the agent knows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Record {
    /// Counts the agent's starts; makes the sequence numbers of reports never go back.
    pub epoch: u64,
    /// The newest issue time of an accepted document: time has at least come that far.
    pub newest_iat: Timestamp,
    /// The newest accepted document of each scope; what is not above it is refused.
    pub accepted: BTreeMap<Scope, Wanted>,
    /// The document that the rollout was last told of.
    pub current: Option<Digest>,
    /// The passage and the deployments.
    pub rollout: Rollout,
    /// The passages so far, oldest first; [`history::HISTORY_MAX`] at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Passage>,
    /// Set while a person at the board holds every rollout; it shows as a closed gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// The same, by commands over the broker: whom each was for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub holds: BTreeMap<Scope, Hold>,
    /// Set for ever by the first document that nobody vouched for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unsigned: bool,
}

/// A person's word that no rollout goes on here. What is on trial already is brought to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Since when, by the board's clock.
    pub since: Timestamp,
    /// Why, in their words.
    why: String,
}

/// Characters of the reason of a hold: it is part of every state document while it lasts.
const HOLD_CHARS_MAX: usize = 100;

impl Hold {
    /// A hold from `since` on; a long reason is cut, and none at all reads `by hand`.
    #[must_use]
    pub fn new(since: Timestamp, why: &str) -> Self {
        let why = if why.trim().is_empty() { "by hand" } else { why.trim() };
        Self { since, why: plain(why, HOLD_CHARS_MAX) }
    }

    /// Why, in their words.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }
}

/// An accepted document and its rank among the scopes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Higher wins among groups.
    pub priority: i64,
    /// What it asks for.
    pub target: Target,
}

/// Why a saved record cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Written by a newer agent.
    #[error(
        "the journal has version {0}; this agent reads up to version {VERSION}: install the newer agent again"
    )]
    Newer(u32),
    /// Not a record.
    #[error("the journal cannot be read: {0}")]
    Damaged(String),
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

#[derive(Serialize)]
struct Saving<'a> {
    version: u32,
    record: &'a Record,
}

/// The first two forms: the second has the history, the hold and what the rollout counts during a trial; where they
/// are missing, nothing was counted yet.
#[derive(Deserialize)]
struct SavedV2 {
    record: Record,
}

impl Record {
    /// Puts `event` through the machine at `now`, a line of time that never goes back while the agent runs, and notes
    /// in the history what it began and ended by `clock`, what the board's clock shows. Returns the rollout before.
    pub fn feed(&mut self, event: Event, now: Timestamp, clock: Timestamp) -> Rollout {
        let before = std::mem::take(&mut self.rollout);
        self.rollout = rollout::next(before.clone(), event, now);
        history::passed(&mut self.history, &before, &self.rollout, clock);
        before
    }

    /// A person's wish to have what is wanted of this board tried again.
    #[must_use]
    pub fn retry(&self, device: &DeviceId, groups: &[GroupName]) -> Event {
        Event::Retry(self.winner(device, groups).map(|(wanted, _)| wanted.target.clone()))
    }

    /// Why no rollout goes on here: in the words of a person at the board, and of the operators of `device` and its
    /// `groups`; `None` where nobody holds them. What was said for a group that the board has left counts no more.
    #[must_use]
    pub fn held(&self, device: &DeviceId, groups: &[GroupName]) -> Option<String> {
        let here = self.hold.iter().map(|hold| hold.why().to_owned());
        let mine = self.holds.iter().filter(|(scope, _)| scope.is_of(device, groups));
        let afar = mine.map(|(scope, hold)| format!("for {scope}, {}", hold.why()));
        let all: Vec<String> = here.chain(afar).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// The saved form: JSON with its version.
    ///
    /// # Errors
    /// [`RecordError::Damaged`] if the record cannot be written as JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>, RecordError> {
        serde_json::to_vec(&Saving { version: VERSION, record: self })
            .map_err(|error| RecordError::Damaged(error.to_string()))
    }

    /// Reads any version up to [`VERSION`].
    ///
    /// # Errors
    /// [`RecordError`]: written by a newer agent, or damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let damaged = |error: serde_json::Error| RecordError::Damaged(complaint(&error));
        let Versioned { version } = serde_json::from_slice(bytes).map_err(damaged)?;
        match version {
            1 | 2 => Ok(serde_json::from_slice::<SavedV2>(bytes).map_err(damaged)?.record),
            0 => Err(RecordError::Damaged("version 0 was never written".to_owned())),
            newer => Err(RecordError::Newer(newer)),
        }
    }

    /// Whether a board acts on `other` as on this. They may differ in why the latest document was refused: anybody who
    /// can publish there may change that as often as they like, and it must not cost a write to flash each time.
    #[must_use]
    pub fn calls_for_the_same(&self, other: &Self) -> bool {
        let refused = |record: &Self| matches!(record.rollout.state, State::Rejected { .. });
        if !(refused(self) && refused(other)) {
            return self == other;
        }
        let resting = |record: &Self| Self {
            rollout: Rollout { state: State::Idle, ..record.rollout.clone() },
            ..record.clone()
        };
        resting(self) == resting(other)
    }

    /// The document that counts among those for `device` and its `groups`, and the other such scopes that have one.
    /// A group that the board has left is remembered, so that nothing old of it is taken later, and counts no more.
    #[must_use]
    pub fn winner(&self, device: &DeviceId, groups: &[GroupName]) -> Option<(&Wanted, Vec<Scope>)> {
        let mine = self.accepted.iter().filter(|(scope, _)| scope.is_of(device, groups));
        let priorities = mine.map(|(scope, wanted)| (scope.clone(), wanted.priority)).collect();
        let chosen = choose(&priorities)?;
        Some((self.accepted.get(&chosen.winner)?, chosen.others))
    }

    /// The numbers and bytes of the newest accepted document of each scope.
    #[must_use]
    pub fn numbers(&self) -> BTreeMap<Scope, Accepted> {
        let numbers = |wanted: &Wanted| Accepted {
            number: wanted.target.generation.number,
            rev: wanted.target.generation.rev,
            digest: wanted.target.document,
        };
        self.accepted.iter().map(|(scope, wanted)| (scope.clone(), numbers(wanted))).collect()
    }
}

#[cfg(test)]
mod tests;
