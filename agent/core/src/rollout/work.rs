//! What a rollout calls for.

use super::{Again, Held, Leaving, Return, Rollout, State, Target};
use crate::deployment::Deployment;
use crate::time::Timestamp;

/// The one thing to do for the passage. Doing it twice does no more than doing it once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work<'a> {
    /// Nothing.
    Rest,
    /// Find out which gates before the download are closed.
    AskToDownload(&'a Target),
    /// Pin, pull, verify and unpack every image.
    Stage(&'a Target),
    /// Find out which gates before the switch are closed.
    AskToApply(&'a Target),
    /// Make the candidate run in place of what runs.
    Apply(&'a Target, &'a Deployment),
    /// Keep the candidate running and look how it is.
    Observe(&'a Target, &'a Deployment),
    /// Make the last good deployment run again; nothing of the agent's where there is none.
    Restore(&'a Leaving, Option<&'a Deployment>),
    /// Keep the last good deployment running and look how it is.
    Watch(&'a Leaving, &'a Deployment),
}

/// What a rollout calls for at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calls<'a> {
    /// What must keep running meanwhile, untouched where it runs already. `None` while the work itself moves
    /// workloads, and before the first good deployment.
    pub keep: Option<&'a Deployment>,
    /// The one thing to do.
    pub work: Work<'a>,
    /// When to ask again even if nothing happens.
    pub wake: Option<Timestamp>,
}

/// What `rollout` calls for at `now`.
#[must_use]
pub fn work(rollout: &Rollout, now: Timestamp) -> Calls<'_> {
    let active = rollout.active.as_ref();
    let calls = |keep, work, wake| Calls { keep, work, wake };
    match &rollout.state {
        State::Accepted { target } => calls(active, Work::AskToDownload(target), None),
        State::Waiting { target, held: Held::BeforeDownload, .. } => {
            calls(active, Work::AskToDownload(target), None)
        }
        State::Waiting { target, held: Held::BeforeApply(_), .. } | State::Staged { target, .. } => {
            calls(active, Work::AskToApply(target), None)
        }
        State::Downloading { target, start_at, .. } if due(*start_at, now) => {
            calls(active, Work::Stage(target), None)
        }
        State::Downloading { start_at, .. } => calls(active, Work::Rest, Some(*start_at)),
        State::Applying { target, candidate, .. } => calls(None, Work::Apply(target, candidate), None),
        State::Verifying { target, candidate, .. } => calls(None, Work::Observe(target, candidate), None),
        State::RollingBack { leaving, way: Return::Switching, start_at, .. } if due(*start_at, now) => {
            calls(None, Work::Restore(leaving, active), None)
        }
        State::RollingBack { leaving, way: Return::Watching(_), .. } => calls(
            None,
            active.map_or(Work::Restore(leaving, None), |active| Work::Watch(leaving, active)),
            None,
        ),
        State::RollingBack { start_at, .. } | State::Broken { start_at, .. } => {
            calls(None, Work::Rest, Some(*start_at))
        }
        State::Failed { again: Again::At(at), .. } | State::RolledBack { later: Some((at, _)), .. } => {
            calls(active, Work::Rest, Some(*at))
        }
        State::Paused { candidate, .. } => calls(Some(candidate), Work::Rest, None),
        State::Idle
        | State::Succeeded { .. }
        | State::RolledBack { later: None, .. }
        | State::Failed { again: Again::Never, .. }
        | State::Canceled { .. }
        | State::Rejected { .. } => calls(active, Work::Rest, None),
    }
}

/// The longest pause that the machine itself makes; a moment farther away means that the clock went back.
const PAUSE_MAX_S: u64 = 2 * 3600;

pub(super) fn due(at: Timestamp, now: Timestamp) -> bool {
    now >= at || at.since(now) > PAUSE_MAX_S
}
