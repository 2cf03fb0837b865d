//! What a person's word makes of a rollout.

use super::{Leaving, Place, Rollout, State, Target, back, trial};
use crate::fault::{Code, Fault};
use crate::gate::Approval;
use crate::time::Timestamp;

/// Before the switch nothing has changed and the passage just ends; after it, the last good deployment comes back. A
/// person's own roll back is turned round.
pub(super) fn cancel(mut rollout: Rollout, now: Timestamp) -> Rollout {
    let Some(generation) = rollout.state.generation().cloned() else { return rollout };
    match rollout.state.place() {
        Place::BeforeSwitch => {}
        Place::OnTrial | Place::Kept => {
            return leave(rollout, Fault::new(Code::Canceled, "a person called it off"), now);
        }
        Place::GoingBack => {
            let Some(Leaving::Good(left)) = rollout.state.leaving().cloned() else { return rollout };
            rollout.forget_bad(&left);
            std::mem::swap(&mut rollout.active, &mut rollout.fallback);
        }
        // What would go on by itself later can be called off.
        Place::Ended if rollout.state.target().is_some() => {}
        Place::Ended => return rollout,
    }
    Rollout { state: State::Canceled { generation }, ..rollout }
}

/// The last good deployment comes back in place of the candidate.
fn leave(rollout: Rollout, fault: Fault, now: Timestamp) -> Rollout {
    let Some(target) = rollout.state.target().cloned() else { return rollout };
    Rollout { state: back::begin(Leaving::Candidate(target), fault, 1, now), ..rollout }
}

/// A pause is cut short; a passage that has ended begins anew with what is wanted, and what was bad about that is
/// forgotten. A candidate that was left running is switched to again, unless something else is wanted by now.
pub(super) fn retry(mut rollout: Rollout, wanted: Option<Target>, now: Timestamp) -> Rollout {
    let other = |kept: &Target| wanted.as_ref().is_some_and(|wanted| wanted.document != kept.document);
    let anew = match rollout.state.place() {
        Place::Ended => true,
        Place::Kept => rollout.state.target().is_some_and(other),
        Place::BeforeSwitch | Place::OnTrial | Place::GoingBack => false,
    };
    if anew {
        let Some(target) = wanted.or_else(|| rollout.state.target().cloned()) else { return rollout };
        if rollout.active.as_ref().is_some_and(|active| active.generation == target.generation) {
            return rollout;
        }
        rollout.forget_bad(&target.generation);
        return Rollout { state: State::Accepted { target: Target { retrials: 0, ..target } }, ..rollout };
    }
    let state = match rollout.state {
        State::Downloading { target, .. } => {
            State::Downloading { target, attempt: 1, start_at: now, fault: None }
        }
        State::Broken { leaving, cause, attempt, .. } => {
            back::begin(leaving, cause, attempt.saturating_add(1), now)
        }
        State::Paused { target, candidate, .. } => {
            let anew = Rollout { state: State::Applying { target, candidate, starts: 0 }, ..rollout };
            return forgetting(anew);
        }
        other @ (State::Idle
        | State::Accepted { .. }
        | State::Waiting { .. }
        | State::Staged { .. }
        | State::Applying { .. }
        | State::Verifying { .. }
        | State::Succeeded { .. }
        | State::RollingBack { .. }
        | State::RolledBack { .. }
        | State::Failed { .. }
        | State::Canceled { .. }
        | State::Rejected { .. }) => other,
    };
    Rollout { state, ..rollout }
}

/// The same with its generation no longer bad.
fn forgetting(mut rollout: Rollout) -> Rollout {
    if let Some(generation) = rollout.state.generation().cloned() {
        rollout.forget_bad(&generation);
    }
    rollout
}

/// The switch may happen, or what was kept for a look is good.
pub(super) fn confirm(rollout: Rollout) -> Rollout {
    let given = |target| Target { approval: Approval::Given, ..target };
    let state = match rollout.state {
        State::Accepted { target } => State::Accepted { target: given(target) },
        State::Waiting { target, held, reasons } => State::Waiting { target: given(target), held, reasons },
        State::Downloading { target, attempt, start_at, fault } => {
            State::Downloading { target: given(target), attempt, start_at, fault }
        }
        State::Staged { target, candidate } => State::Staged { target: given(target), candidate },
        State::Paused { target, candidate, .. } => {
            let rest = Rollout { state: State::Idle, ..rollout };
            return forgetting(trial::confirmed(rest, &target, candidate));
        }
        other @ (State::Idle
        | State::Applying { .. }
        | State::Verifying { .. }
        | State::Succeeded { .. }
        | State::RollingBack { .. }
        | State::RolledBack { .. }
        | State::Failed { .. }
        | State::Broken { .. }
        | State::Canceled { .. }
        | State::Rejected { .. }) => other,
    };
    Rollout { state, ..rollout }
}

/// A candidate on trial is left as one that failed; otherwise the good deployment gives way to the one before it, and
/// stays on the board. What is left is bad until a person says otherwise.
pub(super) fn roll_back(mut rollout: Rollout, now: Timestamp) -> Rollout {
    let fault = || Fault::new(Code::Recalled, "a person rolled back from this generation");
    match rollout.state.place() {
        Place::OnTrial | Place::Kept => {
            if let Some(generation) = rollout.state.generation().cloned() {
                rollout.remember_bad(&generation, &fault());
            }
            leave(rollout, fault(), now)
        }
        Place::BeforeSwitch | Place::Ended => {
            let Some(left) = rollout.active.as_ref().filter(|_| rollout.way_back().is_some()) else {
                return rollout;
            };
            let left = left.generation.clone();
            rollout.remember_bad(&left, &fault());
            std::mem::swap(&mut rollout.active, &mut rollout.fallback);
            Rollout { state: back::begin(Leaving::Good(left), fault(), 1, now), ..rollout }
        }
        Place::GoingBack => rollout,
    }
}
