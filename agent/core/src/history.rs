//! The passages that a board has seen, so that people can ask what happened: each with its end and its reason.
//!
//! Invariant: filled by nothing but [`passed()`], from two rollouts that follow each other; what a stranger can
//! cause by publishing refused documents is not in it.

use serde::{Deserialize, Serialize};

use crate::deployment::Generation;
use crate::fault::{Code, Fault};
use crate::plain::plain;
use crate::reported::Status;
use crate::rollout::{Leaving, Rollout, State};
use crate::time::Timestamp;

/// Passages that are kept; the oldest go first.
pub const HISTORY_MAX: usize = 32;
/// Characters kept of a reason: the whole list is written with each change of the record.
const WHY_CHARS_MAX: usize = 200;

/// One document's way through this board, or a person's roll back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    /// Of which generation; in a person's roll back, the one that was left.
    pub generation: Generation,
    /// When it began, by the board's clock.
    pub began: Timestamp,
    /// How often it was begun: by itself after a failure that may pass.
    pub tries: u32,
    /// How it ended; `None` while it is under way.
    pub end: Option<End>,
}

/// How a passage ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// With which status.
    pub status: Status,
    /// What went wrong, where something did.
    pub why: Option<Why>,
    /// When, by the board's clock.
    pub at: Timestamp,
}

/// What went wrong, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    /// What kind.
    pub code: Code,
    /// What was attempted on what, and why it failed; cut where it is long.
    pub message: String,
}

impl From<&Fault> for Why {
    fn from(fault: &Fault) -> Self {
        Self { code: fault.code, message: plain(fault.message(), WHY_CHARS_MAX) }
    }
}

/// The end of the passage that was under way before, where the step from `before` to `after` ended one.
#[must_use]
pub fn ended<'a>(
    before: &'a Rollout,
    after: &'a Rollout,
) -> Option<(&'a Generation, Status, Option<&'a Fault>)> {
    let (document, generation) = before.under_way()?;
    match after.under_way() {
        Some((same, _)) if same == document => None,
        // A person's roll back takes the place of whatever was under way.
        Some(_) if matches!(after.state.leaving(), Some(Leaving::Good(_))) => {
            Some((generation, Status::Canceled, None))
        }
        Some(_) => Some((generation, Status::Superseded, None)),
        None => Some((generation, Status::of(&after.state), after.state.fault())),
    }
}

/// Notes what the step from `before` to `after` at `now` began and ended.
pub fn passed(history: &mut Vec<Passage>, before: &Rollout, after: &Rollout, now: Timestamp) {
    if let Some((generation, status, fault)) = ended(before, after) {
        let end = End { status, why: fault.map(Why::from), at: now };
        match history.last_mut().filter(|last| last.end.is_none() && last.generation == *generation) {
            Some(last) => last.end = Some(end),
            // It began before there was a history.
            None => push(
                history,
                Passage { generation: generation.clone(), began: now, tries: 1, end: Some(end) },
            ),
        }
    }
    let was = before.under_way().map(|(document, _)| document);
    match after.under_way() {
        Some((document, _)) if Some(document) == was => {}
        Some((_, generation)) => begin(history, before, generation, now),
        None if was.is_none() => changed(history, before, after, now),
        None => {}
    }
}

/// A passage begins, or goes on by itself after a failure that may have passed.
fn begin(history: &mut Vec<Passage>, before: &Rollout, generation: &Generation, now: Timestamp) {
    let goes_on = before.state.target().is_some_and(|target| target.generation == *generation);
    let last = history.last_mut().filter(|last| goes_on && last.generation == *generation);
    match last {
        Some(last) => {
            last.tries = last.tries.saturating_add(1);
            last.end = None;
        }
        None => push(history, Passage { generation: generation.clone(), began: now, tries: 1, end: None }),
    }
}

/// What had ended is given another end by a person's word.
fn changed(history: &mut [Passage], before: &Rollout, after: &Rollout, now: Timestamp) {
    let (was, status) = (Status::of(&before.state), Status::of(&after.state));
    let said = match &after.state {
        State::Canceled { generation } | State::Succeeded { generation } => Some(generation),
        State::Idle
        | State::Accepted { .. }
        | State::Waiting { .. }
        | State::Downloading { .. }
        | State::Staged { .. }
        | State::Applying { .. }
        | State::Verifying { .. }
        | State::RollingBack { .. }
        | State::RolledBack { .. }
        | State::Failed { .. }
        | State::Broken { .. }
        | State::Paused { .. }
        | State::Rejected { .. } => None,
    };
    let last = history.last_mut().filter(|last| was != status && said == Some(&last.generation));
    if let Some(last) = last {
        last.end = Some(End { status, why: None, at: now });
    }
}

fn push(history: &mut Vec<Passage>, passage: Passage) {
    history.push(passage);
    let surplus = history.len().saturating_sub(HISTORY_MAX);
    history.drain(..surplus);
}

#[cfg(test)]
mod tests;
