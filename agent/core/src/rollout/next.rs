//! What an event makes of a rollout: documents, gates, downloads and time; trials, roll backs and a person's words are
//! beside it.

use super::work::due;
use super::{Again, Event, Held, Observation, Place, Rollout, State, Target, Trial, Watch};
use super::{back, trial, word};
use crate::deployment::Deployment;
use crate::fault::{Class, Code, Fault};
use crate::gate::Reason;
use crate::oci::Digest;
use crate::retry::{Backoff, backoff_ms};
use crate::time::Timestamp;

/// Between attempts of a download or a roll back: long enough for a registry to come back, short enough for a person
/// who waits.
const PAUSE: Backoff = Backoff { base_ms: 5_000, cap_ms: 300_000 };
/// Seconds until a download that failed for a passing reason is tried again, once its attempts are used up.
const FAILED_AGAIN_S: u64 = 3600;

/// The rollout after `event` at `now`. Every event has an answer in every state; a late or repeated one changes
/// nothing.
#[must_use]
pub fn next(rollout: Rollout, event: Event, now: Timestamp) -> Rollout {
    if let Some(of) = event.answers()
        && rollout.under_way().is_none_or(|(document, _)| document != of)
    {
        return rollout;
    }
    match event {
        Event::Started => started(rollout, now),
        Event::Desired(target) => desired(rollout, target),
        Event::Refused(fault) => refused(rollout, fault),
        Event::Gates(_, reasons) => gates(rollout, reasons, now),
        Event::Staged(_, candidate) => staged(rollout, candidate),
        Event::StageFailed(_, fault) => stage_failed(rollout, fault, now),
        Event::Applied(_) => trial::applied(rollout, now),
        Event::ApplyFailed(_, fault) => trial::failed(rollout, fault, now),
        Event::Observed(_, seen) => observed(rollout, seen, now),
        Event::Restored(_) => back::restored(rollout, now),
        Event::RestoreFailed(_, fault) => back::failed(rollout, fault, now),
        Event::Tick => tick(rollout, now),
        Event::Cancel => word::cancel(rollout, now),
        Event::Retry(wanted) => word::retry(rollout, wanted, now),
        Event::Confirm => word::confirm(rollout),
        Event::RollBack => word::roll_back(rollout, now),
    }
}

fn observed(rollout: Rollout, seen: Observation, now: Timestamp) -> Rollout {
    match rollout.state.place() {
        Place::OnTrial => trial::observed(rollout, seen, now),
        Place::GoingBack => back::observed(rollout, seen, now),
        Place::BeforeSwitch | Place::Kept | Place::Ended => rollout,
    }
}

fn started(rollout: Rollout, now: Timestamp) -> Rollout {
    let state = match rollout.state {
        State::Applying { starts, .. } | State::Verifying { watch: Watch { starts, .. }, .. }
            if starts >= trial::STARTS_MAX =>
        {
            return trial::interrupted(rollout, now);
        }
        State::Applying { target, candidate, starts } => {
            State::Applying { target, candidate, starts: starts.saturating_add(1) }
        }
        State::Verifying { target, candidate, watch, .. } => {
            let watch = Watch { starts: watch.starts.saturating_add(1), restarts: 0, ..watch };
            State::Verifying { target, candidate, trial: Trial::Starting(now), watch }
        }
        State::Downloading { target, attempt, fault, .. } => {
            State::Downloading { target, attempt, start_at: now, fault }
        }
        State::RollingBack { leaving, fault, attempt, .. } => back::begin(leaving, fault, attempt, now),
        State::Broken { leaving, cause, fault, attempt, .. } => {
            State::Broken { leaving, cause, fault, attempt, start_at: now }
        }
        State::Failed { target, fault, again: Again::At(_) } => {
            State::Failed { target, fault, again: Again::At(now) }
        }
        State::RolledBack { generation, fault, later: Some((at, target)) } => {
            // A board that fails at each switch and then restarts must not do so at once again.
            let at = at.min(now.after(back::later_s(&target)));
            State::RolledBack { generation, fault, later: Some((at, target)) }
        }
        other @ (State::Idle
        | State::Accepted { .. }
        | State::Waiting { .. }
        | State::Staged { .. }
        | State::Succeeded { .. }
        | State::RolledBack { later: None, .. }
        | State::Failed { again: Again::Never, .. }
        | State::Paused { .. }
        | State::Canceled { .. }
        | State::Rejected { .. }) => other,
    };
    Rollout { state, ..rollout }
}

/// A newer document pre-empts at every point; until it is applied, `active` is what runs. One that is known to be bad
/// is refused, whatever its revision.
fn desired(rollout: Rollout, target: Target) -> Rollout {
    match rollout.known_bad(&target.generation) {
        Some(bad) => {
            let fault = bad.refusal();
            refused(rollout, fault)
        }
        None => Rollout { state: State::Accepted { target }, ..rollout },
    }
}

impl super::Bad {
    /// Why a document of this generation is refused.
    #[must_use]
    pub fn refusal(&self) -> Fault {
        let message =
            format!("generation {} failed on this board before: {}", self.generation.number, self.fault);
        Fault::new(Code::KnownBad, &message).hint("send a new generation, or have this one tried again")
    }
}

/// A bad document never disturbs a passage under way.
fn refused(rollout: Rollout, fault: Fault) -> Rollout {
    if rollout.under_way().is_some() {
        return rollout;
    }
    match &rollout.state {
        // These still say something that a refusal must not hide.
        State::Failed { .. } | State::Paused { .. } | State::RolledBack { .. } => rollout,
        State::Idle
        | State::Accepted { .. }
        | State::Waiting { .. }
        | State::Downloading { .. }
        | State::Staged { .. }
        | State::Applying { .. }
        | State::Verifying { .. }
        | State::Succeeded { .. }
        | State::RollingBack { .. }
        | State::Broken { .. }
        | State::Canceled { .. }
        | State::Rejected { .. } => Rollout { state: State::Rejected { fault }, ..rollout },
    }
}

fn gates(rollout: Rollout, reasons: Vec<Reason>, now: Timestamp) -> Rollout {
    let state = match rollout.state {
        State::Accepted { target } | State::Waiting { target, held: Held::BeforeDownload, .. } => {
            if reasons.is_empty() {
                State::Downloading { target, attempt: 1, start_at: now, fault: None }
            } else {
                State::Waiting { target, held: Held::BeforeDownload, reasons }
            }
        }
        State::Staged { target, candidate }
        | State::Waiting { target, held: Held::BeforeApply(candidate), .. } => {
            if reasons.is_empty() {
                State::Applying { target, candidate, starts: 0 }
            } else {
                State::Waiting { target, held: Held::BeforeApply(candidate), reasons }
            }
        }
        other @ (State::Idle
        | State::Downloading { .. }
        | State::Applying { .. }
        | State::Verifying { .. }
        | State::Succeeded { .. }
        | State::RollingBack { .. }
        | State::RolledBack { .. }
        | State::Failed { .. }
        | State::Broken { .. }
        | State::Paused { .. }
        | State::Canceled { .. }
        | State::Rejected { .. }) => other,
    };
    Rollout { state, ..rollout }
}

fn staged(rollout: Rollout, candidate: Deployment) -> Rollout {
    let State::Downloading { target, .. } = rollout.state else { return rollout };
    Rollout { state: State::Staged { target, candidate }, ..rollout }
}

fn stage_failed(rollout: Rollout, fault: Fault, now: Timestamp) -> Rollout {
    let State::Downloading { target, attempt, .. } = rollout.state else { return rollout };
    let state = match fault.class {
        Class::Permanent => State::Failed { target, fault, again: Again::Never },
        Class::Transient if attempt >= target.terms.attempts => {
            State::Failed { target, fault, again: Again::At(now.after(FAILED_AGAIN_S)) }
        }
        Class::Transient => {
            let start_at = now.after(pause_s(attempt, target.document));
            State::Downloading { target, attempt: attempt.saturating_add(1), start_at, fault: Some(fault) }
        }
    };
    Rollout { state, ..rollout }
}

/// Seconds before the next attempt; the document's digest is the seed, so boards that share a document still differ
/// by their attempt times, and a test gets the same answer twice.
pub(super) fn pause_s(attempt: u32, document: Digest) -> u64 {
    let [a, b, c, d, ..] = *document.bytes();
    let seed = u64::from(u32::from_le_bytes([a, b, c, d]));
    backoff_ms(PAUSE, attempt, seed).div_ceil(1000)
}

/// What has waited long enough goes on: a failed passage from its gates, a broken roll back with another attempt.
fn tick(rollout: Rollout, now: Timestamp) -> Rollout {
    let state = match rollout.state {
        State::Failed { target, again: Again::At(at), .. } if due(at, now) => State::Accepted { target },
        State::RolledBack { later: Some((at, target)), .. } if due(at, now) => {
            State::Accepted { target: Target { retrials: target.retrials.saturating_add(1), ..target } }
        }
        State::Broken { leaving, cause, attempt, start_at, .. } if due(start_at, now) => {
            back::begin(leaving, cause, attempt.saturating_add(1), now)
        }
        other @ (State::Idle
        | State::Accepted { .. }
        | State::Waiting { .. }
        | State::Downloading { .. }
        | State::Staged { .. }
        | State::Applying { .. }
        | State::Verifying { .. }
        | State::Succeeded { .. }
        | State::RollingBack { .. }
        | State::RolledBack { .. }
        | State::Failed { .. }
        | State::Broken { .. }
        | State::Paused { .. }
        | State::Canceled { .. }
        | State::Rejected { .. }) => other,
    };
    Rollout { state, ..rollout }
}
