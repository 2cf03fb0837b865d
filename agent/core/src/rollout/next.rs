//! What an event makes of a rollout.

use super::work::due;
use super::{Again, BAD_MAX, Bad, Event, Held, Observation, OnFailure, Rollout, State, Target, Trial};
use crate::deployment::Deployment;
use crate::fault::{Class, Code, Fault};
use crate::gate::{Approval, Reason};
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
    if let Some(of) = answers(&event)
        && rollout.under_way().is_none_or(|target| target.document != of)
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
        Event::Applied(_) => applied(rollout, now),
        Event::ApplyFailed(_, fault) | Event::Observed(_, Observation::Unhealthy(fault)) => {
            trial_failed(rollout, fault, now)
        }
        Event::Observed(_, Observation::Starting(why)) => trial(rollout, Trial::Starting(now), why, now),
        Event::Observed(_, Observation::Healthy) => trial(rollout, Trial::Healthy(now), None, now),
        Event::Restored(_) => restored(rollout),
        Event::RestoreFailed(_, fault) => restore_failed(rollout, fault, now),
        Event::Tick => tick(rollout, now),
        Event::Cancel => cancel(rollout),
        Event::Retry => retry(rollout, now),
        Event::Confirm => confirm(rollout),
    }
}

/// The document that an event answers for; `None` for one that is no answer.
fn answers(event: &Event) -> Option<Digest> {
    match event {
        Event::Gates(of, _)
        | Event::Staged(of, _)
        | Event::StageFailed(of, _)
        | Event::Applied(of)
        | Event::ApplyFailed(of, _)
        | Event::Observed(of, _)
        | Event::Restored(of)
        | Event::RestoreFailed(of, _) => Some(*of),
        Event::Started
        | Event::Desired(_)
        | Event::Refused(_)
        | Event::Tick
        | Event::Cancel
        | Event::Retry
        | Event::Confirm => None,
    }
}

fn started(rollout: Rollout, now: Timestamp) -> Rollout {
    let state = match rollout.state {
        State::Verifying { target, candidate, .. } => {
            State::Verifying { target, candidate, trial: Trial::Starting(now) }
        }
        State::Downloading { target, attempt, fault, .. } => {
            State::Downloading { target, attempt, start_at: now, fault }
        }
        State::RollingBack { target, fault, attempt, .. } => {
            State::RollingBack { target, fault, attempt, start_at: now }
        }
        State::Broken { target, fault, attempt, .. } => {
            State::Broken { target, fault, attempt, start_at: now }
        }
        State::Failed { target, fault, again: Again::At(_) } => {
            State::Failed { target, fault, again: Again::At(now) }
        }
        other @ (State::Idle
        | State::Accepted { .. }
        | State::Waiting { .. }
        | State::Staged { .. }
        | State::Applying { .. }
        | State::Succeeded { .. }
        | State::RolledBack { .. }
        | State::Failed { again: Again::Never, .. }
        | State::Paused { .. }
        | State::Canceled { .. }
        | State::Rejected { .. }) => other,
    };
    Rollout { state, ..rollout }
}

/// A newer document pre-empts at every point; until it is applied, `active` is what runs.
fn desired(rollout: Rollout, target: Target) -> Rollout {
    Rollout { state: State::Accepted { target }, ..rollout }
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
                State::Applying { target, candidate }
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
            let start_at = now.after(pause_s(attempt, &target));
            State::Downloading { target, attempt: attempt.saturating_add(1), start_at, fault: Some(fault) }
        }
    };
    Rollout { state, ..rollout }
}

/// Seconds before the next attempt; the document's digest is the seed, so boards that share a document still differ
/// by their attempt times, and a test gets the same answer twice.
fn pause_s(attempt: u32, target: &Target) -> u64 {
    let [a, b, c, d, ..] = *target.document.bytes();
    let seed = u64::from(u32::from_le_bytes([a, b, c, d]));
    backoff_ms(PAUSE, attempt, seed).div_ceil(1000)
}

fn applied(rollout: Rollout, now: Timestamp) -> Rollout {
    let State::Applying { target, candidate } = rollout.state else { return rollout };
    Rollout { state: State::Verifying { target, candidate, trial: Trial::Starting(now) }, ..rollout }
}

fn trial_failed(rollout: Rollout, fault: Fault, now: Timestamp) -> Rollout {
    let (State::Applying { target, candidate } | State::Verifying { target, candidate, .. }) = rollout.state
    else {
        return rollout;
    };
    fail_trial(Rollout { state: State::Idle, ..rollout }, target, candidate, fault, now)
}

fn fail_trial(
    mut rollout: Rollout,
    target: Target,
    candidate: Deployment,
    fault: Fault,
    now: Timestamp,
) -> Rollout {
    if is_its_own_fault(fault.code) && rollout.known_bad(&target.generation).is_none() {
        rollout.bad.push(Bad { generation: target.generation.clone(), fault: fault.clone() });
        let surplus = rollout.bad.len().saturating_sub(BAD_MAX);
        rollout.bad.drain(..surplus);
    }
    rollout.state = match target.terms.on_failure {
        OnFailure::Rollback => State::RollingBack { target, fault, attempt: 1, start_at: now },
        OnFailure::Pause => State::Paused { target, candidate, fault },
    };
    rollout
}

/// Whether a trial failed because of what was on trial: then the generation is bad. A full disk or a missing runtime
/// is the board's own trouble, and may pass.
fn is_its_own_fault(code: Code) -> bool {
    match code {
        Code::Start | Code::Exited | Code::HealthTimeout | Code::Unhealthy => true,
        Code::Unsigned
        | Code::Signature
        | Code::Replay
        | Code::Equivocation
        | Code::Expired
        | Code::Schema
        | Code::TooLarge
        | Code::Scope
        | Code::AgentVersion
        | Code::Platform
        | Code::Policy
        | Code::Unpinned
        | Code::Compose
        | Code::Resolve
        | Code::NotFound
        | Code::Auth
        | Code::Pull
        | Code::Digest
        | Code::Unpack
        | Code::DiskFull
        | Code::Store
        | Code::Runtime
        | Code::Stop
        | Code::Rollback
        | Code::KnownBad
        | Code::Internal => false,
    }
}

/// The candidate is watched: it must become healthy in time, and then stay so without a break.
fn trial(rollout: Rollout, seen: Trial, why: Option<Fault>, now: Timestamp) -> Rollout {
    let State::Verifying { target, candidate, trial } = rollout.state else { return rollout };
    let rest = Rollout { state: State::Idle, ..rollout };
    match (trial, seen) {
        (Trial::Starting(since), Trial::Starting(_)) if now.since(since) >= target.terms.health_s => {
            let fault = late(target.terms.health_s, why);
            fail_trial(rest, target, candidate, fault, now)
        }
        // A clock that went back must not make a trial endless.
        (Trial::Starting(since), Trial::Starting(_)) => {
            let trial = Trial::Starting(since.min(now));
            Rollout { state: State::Verifying { target, candidate, trial }, ..rest }
        }
        (Trial::Healthy(since), Trial::Healthy(_)) if now.since(since) >= target.terms.soak_s => {
            confirmed(rest, &target, candidate)
        }
        (Trial::Starting(_), Trial::Healthy(_)) if target.terms.soak_s == 0 => {
            confirmed(rest, &target, candidate)
        }
        (Trial::Healthy(since), Trial::Healthy(_)) => {
            let trial = Trial::Healthy(since.min(now));
            Rollout { state: State::Verifying { target, candidate, trial }, ..rest }
        }
        (Trial::Starting(_), Trial::Healthy(_)) | (Trial::Healthy(_), Trial::Starting(_)) => {
            Rollout { state: State::Verifying { target, candidate, trial: seen }, ..rest }
        }
    }
}

/// A trial that ran out of time, with what was still wrong at its end.
fn late(seconds: u64, why: Option<Fault>) -> Fault {
    let message = format!("not healthy within {seconds} s");
    let Some(why) = why else { return Fault::new(Code::HealthTimeout, &message) };
    let fault = Fault::new(Code::HealthTimeout, &format!("{message}: {}", why.message()));
    match (&why.project, &why.service) {
        (Some(project), Some(service)) => fault.of(project, service),
        (None, _) | (_, None) => fault,
    }
}

fn confirmed(rollout: Rollout, target: &Target, candidate: Deployment) -> Rollout {
    let state = State::Succeeded { generation: target.generation.clone() };
    Rollout { state, fallback: rollout.active, active: Some(candidate), bad: rollout.bad }
}

fn restored(rollout: Rollout) -> Rollout {
    let State::RollingBack { target, fault, .. } = rollout.state else { return rollout };
    Rollout { state: State::RolledBack { generation: target.generation, fault }, ..rollout }
}

fn restore_failed(rollout: Rollout, fault: Fault, now: Timestamp) -> Rollout {
    let State::RollingBack { target, attempt, .. } = rollout.state else { return rollout };
    let start_at = now.after(pause_s(attempt, &target));
    Rollout { state: State::Broken { target, fault, attempt, start_at }, ..rollout }
}

fn tick(rollout: Rollout, now: Timestamp) -> Rollout {
    let again = match &rollout.state {
        State::Failed { again: Again::At(at), .. } | State::Broken { start_at: at, .. } => due(*at, now),
        State::Idle
        | State::Accepted { .. }
        | State::Waiting { .. }
        | State::Downloading { .. }
        | State::Staged { .. }
        | State::Applying { .. }
        | State::Verifying { .. }
        | State::Succeeded { .. }
        | State::RollingBack { .. }
        | State::RolledBack { .. }
        | State::Failed { again: Again::Never, .. }
        | State::Paused { .. }
        | State::Canceled { .. }
        | State::Rejected { .. } => false,
    };
    if again { retry(rollout, now) } else { rollout }
}

/// Before the switch nothing has changed and the passage just ends; after it, the last good deployment comes back.
fn cancel(rollout: Rollout) -> Rollout {
    let state = match rollout.state {
        State::Accepted { target }
        | State::Waiting { target, .. }
        | State::Downloading { target, .. }
        | State::Staged { target, .. }
        | State::Applying { target, .. }
        | State::Verifying { target, .. }
        | State::Failed { target, .. }
        | State::Paused { target, .. } => State::Canceled { generation: target.generation },
        other @ (State::Idle
        | State::Succeeded { .. }
        | State::RollingBack { .. }
        | State::RolledBack { .. }
        | State::Broken { .. }
        | State::Canceled { .. }
        | State::Rejected { .. }) => other,
    };
    Rollout { state, ..rollout }
}

fn retry(rollout: Rollout, now: Timestamp) -> Rollout {
    let state = match rollout.state {
        State::Failed { target, .. } | State::Downloading { target, .. } => {
            State::Downloading { target, attempt: 1, start_at: now, fault: None }
        }
        State::Broken { target, fault, attempt, .. } => {
            State::RollingBack { target, fault, attempt: attempt.saturating_add(1), start_at: now }
        }
        State::Paused { target, candidate, .. } => State::Applying { target, candidate },
        other @ (State::Idle
        | State::Accepted { .. }
        | State::Waiting { .. }
        | State::Staged { .. }
        | State::Applying { .. }
        | State::Verifying { .. }
        | State::Succeeded { .. }
        | State::RollingBack { .. }
        | State::RolledBack { .. }
        | State::Canceled { .. }
        | State::Rejected { .. }) => other,
    };
    Rollout { state, ..rollout }
}

fn confirm(rollout: Rollout) -> Rollout {
    let given = |target| Target { approval: Approval::Given, ..target };
    let state = match rollout.state {
        State::Accepted { target } => State::Accepted { target: given(target) },
        State::Waiting { target, held, reasons } => State::Waiting { target: given(target), held, reasons },
        State::Downloading { target, attempt, start_at, fault } => {
            State::Downloading { target: given(target), attempt, start_at, fault }
        }
        State::Staged { target, candidate } => State::Staged { target: given(target), candidate },
        other @ (State::Idle
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
