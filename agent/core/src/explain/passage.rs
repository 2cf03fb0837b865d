//! Where the passage stands, why, and what comes next.

use super::words::{name, span};
use super::{Remark, gates};
use crate::rollout::{Again, Held, Return, Rollout, State, Trial};
use crate::time::Timestamp;

/// Seconds farther away than which nothing is planned; a moment beyond means that the clock moved since.
const PLANNED_S_MAX: u64 = 2 * 3600;

/// The passage, and each gate that it waits for.
pub(super) fn tell(rollout: &Rollout, now: Timestamp) -> Vec<Remark> {
    let good = match &rollout.active {
        Some(active) => format!("{} is good", name(&active.generation)),
        None => "nothing was deployed here yet".to_owned(),
    };
    let good = Remark::fact(good);
    let mut remarks = match &rollout.state {
        State::Idle | State::Succeeded { .. } => vec![good],
        State::Accepted { target } => {
            vec![good, Remark::fact(format!("{} is accepted and about to begin", name(&target.generation)))]
        }
        State::Waiting { target, held, .. } => {
            let so_far = match held {
                Held::BeforeDownload => "nothing of it is fetched yet",
                Held::BeforeApply(_) => "everything is fetched, and only the switch is missing",
            };
            vec![good, Remark::waits(format!("{} waits; {so_far}", name(&target.generation)))]
        }
        State::Downloading { target, attempt, start_at, fault } => {
            vec![
                good,
                downloading(
                    &name(&target.generation),
                    (*attempt, target.terms.attempts),
                    *start_at,
                    fault.as_ref(),
                    now,
                ),
            ]
        }
        State::Staged { target, .. } => {
            vec![
                good,
                Remark::fact(format!("{} is fetched and about to be switched to", name(&target.generation))),
            ]
        }
        State::Applying { target, .. } => {
            vec![good, Remark::fact(format!("{} is being switched to", name(&target.generation)))]
        }
        State::Verifying { target, trial, .. } => {
            let generation = name(&target.generation);
            vec![
                good,
                match trial {
                    Trial::Starting(_) => {
                        Remark::waits(format!("{generation} is on trial and not healthy yet")).helps(format!(
                            "it has {} for that, else the good one comes back",
                            span(target.terms.health_s)
                        ))
                    }
                    Trial::Healthy(_) => Remark::waits(format!("{generation} is on trial and healthy"))
                        .helps(format!("it is good once it stayed so for {}", span(target.terms.soak_s))),
                },
            ]
        }
        State::RollingBack { leaving, fault, start_at, way, .. } => {
            let step = match way {
                Return::Switching => "is on its way back",
                Return::Watching(_) => "was started again and is watched",
            };
            let says = format!("{} is left and the good one {step}: {fault}", name(leaving.generation()));
            vec![good, Remark::trouble(says).helps(format!("next step {}", when(*start_at, now)))]
        }
        State::RolledBack { generation, fault, later } => {
            let says = format!("{} was rolled back: {fault}", name(generation));
            let helps = match later {
                Some((at, _)) => {
                    format!("it may have been the board's own trouble: tried again {}", when(*at, now))
                }
                None => {
                    "not tried again by itself: publish a new generation, or say `coracle retry`".to_owned()
                }
            };
            vec![good, Remark::trouble(says).helps(helps)]
        }
        State::Failed { target, fault, again } => {
            let says = format!("{} failed before anything changed: {fault}", name(&target.generation));
            let helps = match again {
                Again::At(at) => format!("tried again {}; `coracle retry` tries it now", when(*at, now)),
                Again::Never => {
                    "it would fail the same way: publish a new generation, or mend the cause and say \
                                 `coracle retry`"
                        .to_owned()
                }
            };
            vec![good, hinted(Remark::trouble(says), fault.hint.as_deref(), &helps)]
        }
        State::Broken { leaving, cause, fault, start_at, attempt } => {
            let says = format!(
                "{} is left ({cause}), but the good one could not be brought back in {attempt} attempts: {fault}",
                name(leaving.generation())
            );
            let helps = format!("tried again {}; `coracle retry` tries it now", when(*start_at, now));
            vec![good, hinted(Remark::trouble(says), fault.hint.as_deref(), &helps)]
        }
        State::Paused { target, fault, .. } => {
            let says = format!(
                "{} failed its trial and was left running for a look: {fault}",
                name(&target.generation)
            );
            let helps = "`coracle confirm` keeps it, `coracle cancel` brings the good one back, `coracle retry` \
                         starts the trial again";
            vec![good, Remark::trouble(says).helps(helps)]
        }
        State::Canceled { generation } => {
            vec![
                good,
                Remark::waits(format!("{} was called off", name(generation)))
                    .helps("`coracle retry` begins it again"),
            ]
        }
        State::Rejected { fault } => {
            let says = format!("the last document was refused, and changed nothing: {fault}");
            vec![good, hinted(Remark::trouble(says), fault.hint.as_deref(), "publish one that is right")]
        }
    };
    if let State::Waiting { reasons, .. } = &rollout.state {
        remarks.extend(reasons.iter().map(|reason| gates::tell(reason, now)));
    }
    remarks
}

fn downloading(
    generation: &str,
    (attempt, attempts): (u32, u32),
    start_at: Timestamp,
    fault: Option<&crate::fault::Fault>,
    now: Timestamp,
) -> Remark {
    match fault {
        None => Remark::fact(format!("{generation} is being fetched")),
        Some(fault) => {
            let says = format!(
                "{generation} is being fetched, attempt {attempt} of {attempts}; the last one failed: {fault}"
            );
            Remark::waits(says).helps(format!("this attempt begins {}", when(start_at, now)))
        }
    }
}

fn hinted(remark: Remark, hint: Option<&str>, helps: &str) -> Remark {
    match hint {
        Some(hint) => remark.helps(format!("{hint}; {helps}")),
        None => remark.helps(helps),
    }
}

/// When something planned comes, from now.
fn when(at: Timestamp, now: Timestamp) -> String {
    match at.since(now) {
        0 => "now".to_owned(),
        seconds @ 1..=PLANNED_S_MAX => format!("in {}", span(seconds)),
        _ => "later".to_owned(),
    }
}
