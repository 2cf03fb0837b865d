//! How a deployment on trial looks, or on its way back: every workload must run and be healthy, or have ended well
//! where that is its nature.
//!
//! How it was at the first look is remembered: what an unchanged workload did before is none of the trial's.

use std::collections::BTreeMap;

use coracle_core::deployment::Deployment;
use coracle_core::health::State;
use coracle_core::ident::WorkloadId;
use coracle_core::plan::{Outlook, Wait};
use coracle_core::rollout::Observation;
use coracle_core::time::Timestamp;
use coracle_host::supervise::{Phase, Status};

use crate::faults;

/// Restarts during a trial that call it failed: a program that crashes each time it starts.
const TRIAL_RESTARTS_MAX: u32 = 3;

/// What was seen at the first look.
#[derive(Debug, Default)]
pub(super) struct Trial {
    first: BTreeMap<WorkloadId, First>,
    /// The last look: which restart of a workload it was, and since when it ran.
    last: BTreeMap<WorkloadId, (u32, Option<Timestamp>)>,
    /// How often one was gone and started anew, of which its own count of restarts knows nothing.
    replaced: u32,
}

/// The first look at one workload.
#[derive(Debug, Clone, Copy)]
struct First {
    restarts: u32,
    /// A person had stopped it, and it did not change since.
    stopped: bool,
}

impl Trial {
    /// One look at `deployment`; `waits` are those of its workloads that are not started yet.
    pub(super) fn look(
        &mut self,
        deployment: &Deployment,
        statuses: &[Status],
        waits: &[Wait],
    ) -> Observation {
        let own = || statuses.iter().filter(|status| deployment.workloads.contains_key(&status.id));
        own().for_each(|status| self.follow(status));
        let restarts = own().fold(self.replaced, |sum, status| sum.saturating_add(status.restarts));
        let mut starting = None;
        for id in deployment.workloads.keys() {
            // Where there are two, the new one is listed last, and it is what is on trial.
            let status = statuses.iter().rfind(|status| status.id == *id);
            let waits = waits.iter().any(|wait| wait.id == *id && wait.on != *id);
            match status.filter(|_| !waits).map(|status| self.workload(id, status)) {
                Some(Observation::Healthy { .. }) => {}
                Some(unhealthy @ Observation::Unhealthy(_)) => return unhealthy,
                Some(Observation::Starting(why)) => starting = starting.or(why),
                None if waits => {}
                None => starting = starting.or(Some(faults::not_running(id))),
            }
        }
        // What a dependency did is named above, in its own words.
        match waits.iter().find(|wait| wait.outlook != Outlook::Open).or(waits.first()) {
            Some(wait @ Wait { outlook: Outlook::Failed(_), .. }) => {
                Observation::Unhealthy(faults::waits(wait))
            }
            Some(wait) => Observation::Starting(starting.or(Some(faults::waits(wait)))),
            None => match starting {
                Some(why) => Observation::Starting(Some(why)),
                None => Observation::Healthy { restarts },
            },
        }
    }

    /// Notices that a workload is another one than at the last look.
    fn follow(&mut self, status: &Status) {
        let now = (status.restarts, status.started_at);
        let Some((restarts, since)) = self.last.insert(status.id.clone(), now) else { return };
        if since.is_some()
            && status.started_at.is_some()
            && since != status.started_at
            && status.restarts <= restarts
        {
            // What it counted itself goes on being counted.
            self.replaced = self.replaced.saturating_add(1).saturating_add(restarts - status.restarts);
        }
    }

    fn workload(&mut self, id: &WorkloadId, status: &Status) -> Observation {
        let now = First { restarts: status.restarts, stopped: status.phase == Phase::Stopped };
        let first = self.first.entry(id.clone()).or_insert(now);
        if now.restarts < first.restarts {
            *first = now;
        }
        first.stopped &= now.stopped;
        if now.restarts - first.restarts >= TRIAL_RESTARTS_MAX {
            return Observation::Unhealthy(faults::crash_loop(id, status));
        }
        let healthy = Observation::Healthy { restarts: now.restarts };
        let health = status.health.as_ref();
        match (status.phase, health.map(|checked| checked.state)) {
            (Phase::Running, None | Some(State::Healthy)) => healthy,
            (Phase::Running, Some(State::Starting)) => {
                Observation::Starting(Some(faults::not_healthy(id, health)))
            }
            (Phase::Running, Some(State::Unhealthy)) => Observation::Unhealthy(faults::unhealthy(id, health)),
            (Phase::Exited, _) if status.exit_code == Some(0) => healthy,
            (Phase::Stopped, _) if first.stopped => healthy,
            (Phase::Starting | Phase::BackingOff | Phase::Stopping, _) => {
                Observation::Starting(Some(faults::not_running_again(id, status)))
            }
            (Phase::Exited | Phase::Failed | Phase::Lost | Phase::Stopped, _) => {
                Observation::Unhealthy(faults::ended(id, status))
            }
        }
    }
}

#[cfg(test)]
mod tests;
