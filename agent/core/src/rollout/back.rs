//! The way back: the last good deployment is started, must be seen healthy, and is tried for ever.

use super::next::pause_s;
use super::{Leaving, Observation, Return, Rollout, State, Target, trial};
use crate::fault::{Code, Fault};
use crate::time::Timestamp;

/// Seconds that a good deployment has to be healthy again before the roll back counts as broken; it goes on all the
/// same.
const HEALTH_S: u64 = 300;
/// Times that a document is begun anew by itself after the board's own trouble made its switch fail.
const RETRIALS_MAX: u32 = 3;
/// Seconds before the first of them; each of the others waits twice as long as the one before.
const RETRIAL_S: u64 = 900;

/// A roll back that starts now.
pub(super) fn begin(leaving: Leaving, fault: Fault, attempt: u32, now: Timestamp) -> State {
    State::RollingBack { leaving, fault, attempt, start_at: now, way: Return::Switching }
}

/// The good deployment was started.
pub(super) fn restored(rollout: Rollout, now: Timestamp) -> Rollout {
    let State::RollingBack { leaving, fault, attempt, start_at, .. } = rollout.state else { return rollout };
    let rest = Rollout { state: State::Idle, ..rollout };
    if rest.active.is_none() {
        // There was nothing before it, so there is nothing to be seen.
        return ended(rest, leaving, fault, now);
    }
    let way = Return::Watching(now);
    Rollout { state: State::RollingBack { leaving, fault, attempt, start_at, way }, ..rest }
}

/// One look at the good deployment on its way back.
pub(super) fn observed(rollout: Rollout, seen: Observation, now: Timestamp) -> Rollout {
    let State::RollingBack { leaving, fault, attempt, start_at, way: Return::Watching(since) } =
        rollout.state
    else {
        return rollout;
    };
    let rest = Rollout { state: State::Idle, ..rollout };
    match seen {
        Observation::Healthy { .. } => ended(rest, leaving, fault, now),
        Observation::Unhealthy(trouble) => broken(rest, leaving, fault, trouble, attempt, now),
        Observation::Starting(why) if now.since(since) >= HEALTH_S => {
            broken(rest, leaving, fault, trial::late(HEALTH_S, why), attempt, now)
        }
        Observation::Starting(_) => {
            let way = Return::Watching(since.min(now));
            Rollout { state: State::RollingBack { leaving, fault, attempt, start_at, way }, ..rest }
        }
    }
}

/// Starting it, or keeping it running, failed.
pub(super) fn failed(rollout: Rollout, trouble: Fault, now: Timestamp) -> Rollout {
    let State::RollingBack { leaving, fault, attempt, .. } = rollout.state else { return rollout };
    broken(Rollout { state: State::Idle, ..rollout }, leaving, fault, trouble, attempt, now)
}

fn broken(
    rollout: Rollout,
    leaving: Leaving,
    cause: Fault,
    fault: Fault,
    attempt: u32,
    now: Timestamp,
) -> Rollout {
    let start_at = now.after(pause_s(attempt, leaving.document()));
    Rollout { state: State::Broken { leaving, cause, fault, attempt, start_at }, ..rollout }
}

fn ended(rollout: Rollout, leaving: Leaving, fault: Fault, now: Timestamp) -> Rollout {
    let generation = leaving.generation().clone();
    if fault.code == Code::Canceled {
        return Rollout { state: State::Canceled { generation }, ..rollout };
    }
    let later = match leaving {
        Leaving::Candidate(target) if rollout.known_bad(&generation).is_none() => {
            (target.retrials < RETRIALS_MAX).then(|| (now.after(later_s(&target)), target))
        }
        Leaving::Candidate(_) | Leaving::Good(_) => None,
    };
    Rollout { state: State::RolledBack { generation, fault, later }, ..rollout }
}

/// Seconds until a document that failed for the board's own trouble is begun anew.
pub(super) fn later_s(target: &Target) -> u64 {
    RETRIAL_S << target.retrials.min(RETRIALS_MAX)
}
