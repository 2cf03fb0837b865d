//! The trial of a candidate: it must become healthy in time, and then stay so without a break.

use super::{Leaving, Observation, OnFailure, Rollout, State, Target, Trial, Watch, back};
use crate::deployment::Deployment;
use crate::fault::{Code, Fault};
use crate::time::Timestamp;

/// Times a candidate may be healthy and then not, before it is called unhealthy whatever the soak.
const LOSSES_MAX: u32 = 3;
/// Starts of the agent that one switch survives: a candidate that takes the board down with it must not do so for
/// ever, and a night of power cuts is no fault of the candidate.
pub(super) const STARTS_MAX: u32 = 8;

pub(super) fn applied(rollout: Rollout, now: Timestamp) -> Rollout {
    let State::Applying { target, candidate, starts } = rollout.state else { return rollout };
    let watch = Watch { starts, ..Watch::default() };
    Rollout { state: State::Verifying { target, candidate, trial: Trial::Starting(now), watch }, ..rollout }
}

/// The board started anew too often since the switch.
pub(super) fn interrupted(rollout: Rollout, now: Timestamp) -> Rollout {
    let message = format!("the board or its agent started more than {STARTS_MAX} times since the switch");
    failed(rollout, Fault::new(Code::Interrupted, &message), now)
}

/// The candidate failed.
pub(super) fn failed(rollout: Rollout, fault: Fault, now: Timestamp) -> Rollout {
    let (State::Applying { target, candidate, .. } | State::Verifying { target, candidate, .. }) =
        rollout.state
    else {
        return rollout;
    };
    fail(Rollout { state: State::Idle, ..rollout }, target, candidate, fault, now)
}

fn fail(
    mut rollout: Rollout,
    target: Target,
    candidate: Deployment,
    fault: Fault,
    now: Timestamp,
) -> Rollout {
    let own = is_its_own_fault(fault.code);
    if own {
        rollout.remember_bad(&target.generation, &fault);
    }
    // A candidate that the board could not run is nothing to look at.
    let pauses = own && target.terms.on_failure == OnFailure::Pause;
    rollout.state = if pauses {
        State::Paused { target, candidate, fault }
    } else {
        back::begin(Leaving::Candidate(target), fault, 1, now)
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
        | Code::ImageSignature
        | Code::NotFound
        | Code::Auth
        | Code::Pull
        | Code::Digest
        | Code::Unpack
        | Code::DiskFull
        | Code::Store
        | Code::Runtime
        | Code::Stop
        | Code::Interrupted
        | Code::Recalled
        | Code::Canceled
        | Code::Rollback
        | Code::KnownBad
        | Code::UnknownVerb
        | Code::Duplicate
        | Code::Busy
        | Code::Conflict
        | Code::NoWorkload
        | Code::Internal => false,
    }
}

/// One look at the candidate.
pub(super) fn observed(rollout: Rollout, seen: Observation, now: Timestamp) -> Rollout {
    let State::Verifying { target, candidate, trial, watch } = rollout.state else { return rollout };
    let rest = Rollout { state: State::Idle, ..rollout };
    let on = |trial, watch| (trial, watch);
    let (trial, watch) = match (trial, seen) {
        (Trial::Starting(_) | Trial::Healthy(_), Observation::Unhealthy(fault)) => {
            return fail(rest, target, candidate, fault, now);
        }
        (Trial::Starting(since), Observation::Starting(why)) if now.since(since) >= target.terms.health_s => {
            let fault = late(target.terms.health_s, why);
            return fail(rest, target, candidate, fault, now);
        }
        // A clock that went back must not make a trial endless.
        (Trial::Starting(since), Observation::Starting(_)) => on(Trial::Starting(since.min(now)), watch),
        (Trial::Starting(_), Observation::Healthy { .. }) if target.terms.soak_s == 0 => {
            return confirmed(rest, &target, candidate);
        }
        (Trial::Starting(_), Observation::Healthy { restarts }) => {
            on(Trial::Healthy(now), Watch { restarts, ..watch })
        }
        (Trial::Healthy(_), Observation::Starting(why)) => {
            let watch = Watch { losses: watch.losses.saturating_add(1), ..watch };
            if watch.losses >= LOSSES_MAX {
                return fail(rest, target, candidate, flapping(why), now);
            }
            on(Trial::Starting(now), watch)
        }
        // It looks well, and was not in between.
        (Trial::Healthy(_), Observation::Healthy { restarts }) if restarts > watch.restarts => {
            let watch = Watch { losses: watch.losses.saturating_add(1), restarts, ..watch };
            if watch.losses >= LOSSES_MAX {
                return fail(rest, target, candidate, flapping(None), now);
            }
            on(Trial::Healthy(now), watch)
        }
        // Whole seconds: only more of them than asked for are as many as asked for.
        (Trial::Healthy(since), Observation::Healthy { .. }) if now.since(since) > target.terms.soak_s => {
            return confirmed(rest, &target, candidate);
        }
        (Trial::Healthy(since), Observation::Healthy { .. }) => on(Trial::Healthy(since.min(now)), watch),
    };
    Rollout { state: State::Verifying { target, candidate, trial, watch }, ..rest }
}

/// A trial that ran out of time, with what was still wrong at its end.
pub(super) fn late(seconds: u64, why: Option<Fault>) -> Fault {
    because(Code::HealthTimeout, &format!("not healthy within {seconds} s"), why)
}

fn flapping(why: Option<Fault>) -> Fault {
    because(Code::Unhealthy, &format!("was healthy and then was not, {LOSSES_MAX} times"), why)
}

fn because(code: Code, message: &str, why: Option<Fault>) -> Fault {
    let Some(why) = why else { return Fault::new(code, message) };
    let fault = Fault::new(code, &format!("{message}: {}", why.message()));
    match (&why.project, &why.service) {
        (Some(project), Some(service)) => fault.of(project, service),
        (None, _) | (_, None) => fault,
    }
}

/// The candidate is the good deployment from now on.
pub(super) fn confirmed(rollout: Rollout, target: &Target, candidate: Deployment) -> Rollout {
    let state = State::Succeeded { generation: target.generation.clone() };
    Rollout { state, fallback: rollout.active, active: Some(candidate), bad: rollout.bad }
}
