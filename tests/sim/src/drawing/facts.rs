//! What may decide, in a situation, on what an event makes of it; the page names only what does.

use coracle_core::fault::{Class, Code};
use coracle_core::rollout::{
    Again, Event, Held, Leaving, Observation, OnFailure, Return, Rollout, State, Trial,
};

use super::happening::restarts;

/// Answers to questions, those that tell most first; a question without sense in a situation is left out.
pub(super) type Facts = Vec<Fact>;
/// A question and its answer.
pub(super) type Fact = (&'static str, &'static str);

/// The answers in `rollout` when `event` comes, `late` or not.
pub(super) fn facts(rollout: &Rollout, event: &Event, late: bool) -> Facts {
    let mut facts = of_event(rollout, event, late);
    facts.extend(of_state(&rollout.state));
    facts.push(("time", if late { "its time has passed" } else { "its time has not passed" }));
    let way_back = rollout.way_back().is_some();
    facts.push(("way back", if way_back { "one to go back to" } else { "none to go back to" }));
    facts.push(("good", if rollout.active.is_some() { "one was good before" } else { "the first ever" }));
    facts
}

fn of_event(rollout: &Rollout, event: &Event, late: bool) -> Facts {
    match event {
        Event::Desired(target) => {
            let bad = rollout.known_bad(&target.generation).is_some();
            vec![("bad", if bad { "known bad" } else { "not known bad" })]
        }
        Event::StageFailed(_, fault) => match fault.class {
            Class::Permanent => vec![("class", "a lasting fault")],
            Class::Transient => vec![("class", "a passing fault")],
        },
        Event::ApplyFailed(_, fault) => {
            let own = fault.code == Code::Exited;
            vec![("own", if own { "the candidate's fault" } else { "the board's trouble" })]
        }
        Event::Retry(wanted) => {
            let runs = rollout.active.as_ref().map(|active| &active.generation);
            let here = rollout.state.target().map(|target| target.document);
            let of = wanted.as_ref().or(rollout.state.target()).map(|target| &target.generation);
            let running = of.is_some() && of == runs;
            let other = wanted.as_ref().is_some_and(|wanted| Some(wanted.document) != here);
            vec![
                ("wanted", if other { "another is wanted" } else { "no other is wanted" }),
                (
                    "running",
                    if running { "what is wanted is good" } else { "what is wanted is not good yet" },
                ),
                ("known", if of.is_some() { "something is wanted" } else { "nothing is wanted" }),
            ]
        }
        Event::Observed(_, Observation::Healthy { restarts: now }) => {
            let again = *now > restarts(rollout);
            vec![("restarts", if again { "restarted meanwhile" } else { "not restarted" })]
        }
        Event::Observed(_, Observation::Starting(_)) => {
            let State::Verifying { trial, watch, .. } = &rollout.state else { return vec![] };
            let lost = matches!(trial, Trial::Healthy(_));
            let ends = if lost { watch.losses >= 2 } else { late };
            let ended = "its time has passed, or its health is lost for the third time";
            vec![("patience", if ends { ended } else { "there is time left" })]
        }
        Event::Observed(_, Observation::Unhealthy(_))
        | Event::Started
        | Event::Refused(_)
        | Event::Gates(..)
        | Event::Staged(..)
        | Event::Applied(_)
        | Event::Restored(_)
        | Event::RestoreFailed(..)
        | Event::Tick
        | Event::Cancel
        | Event::Confirm
        | Event::RollBack => vec![],
    }
}

fn of_state(state: &State) -> Facts {
    let mut facts = Facts::new();
    match state {
        State::Waiting { held, .. } => facts.push(match held {
            Held::BeforeDownload => ("held", "before the download"),
            Held::BeforeApply(_) => ("held", "before the switch"),
        }),
        State::Downloading { target, attempt, .. } => {
            let last = *attempt >= target.terms.attempts;
            facts.push(("attempts", if last { "the last attempt" } else { "attempts are left" }));
        }
        State::Applying { starts, .. } => facts.push(often(*starts)),
        State::Verifying { trial, watch, .. } => {
            facts.push(often(watch.starts));
            facts.push(match trial {
                Trial::Starting(_) => ("trial", "not healthy so far"),
                Trial::Healthy(_) => ("trial", "healthy so far"),
            });
            facts.push((
                "losses",
                if watch.losses >= 2 { "for the third time" } else { "not the third time" },
            ));
        }
        State::RollingBack { leaving, fault, way, .. } => {
            facts.push(match way {
                Return::Switching => ("way", "not started yet"),
                Return::Watching(_) => ("way", "started"),
            });
            facts.push(left(leaving));
            facts.push(called_off(fault.code));
        }
        State::Broken { leaving, cause, .. } => {
            facts.push(left(leaving));
            facts.push(called_off(cause.code));
        }
        State::RolledBack { later, .. } => facts.push(again(later.is_some())),
        State::Failed { again: by_itself, .. } => facts.push(again(*by_itself != Again::Never)),
        State::Idle
        | State::Accepted { .. }
        | State::Staged { .. }
        | State::Succeeded { .. }
        | State::Paused { .. }
        | State::Canceled { .. }
        | State::Rejected { .. } => {}
    }
    if let State::Applying { target, .. } | State::Verifying { target, .. } = state {
        facts.push(match target.terms.on_failure {
            OnFailure::Rollback => ("policy", "onFailure rollback"),
            OnFailure::Pause => ("policy", "onFailure pause"),
        });
    }
    facts
}

fn often(starts: u32) -> Fact {
    ("starts", if starts >= 8 { "too often" } else { "not too often" })
}

fn left(leaving: &Leaving) -> Fact {
    match leaving {
        Leaving::Candidate(_) => ("leaving", "a candidate is left"),
        Leaving::Good(_) => ("leaving", "a good one is left"),
    }
}

fn called_off(code: Code) -> Fact {
    ("cause", if code == Code::Canceled { "it was called off" } else { "it was not called off" })
}

fn again(by_itself: bool) -> Fact {
    ("again", if by_itself { "to be tried again" } else { "not to be tried again" })
}
