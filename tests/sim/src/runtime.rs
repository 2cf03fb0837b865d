//! The workloads of the board, as a supervisor has them.

use std::collections::{BTreeMap, BTreeSet};

use coracle_core::deployment::{Deployment, Workload};
use coracle_core::fault::{Code, Fault};
use coracle_core::ident::WorkloadId;
use coracle_core::oci::Digest;
use coracle_core::plan::{Beside, Current, Standing};
use coracle_core::rollout::Observation;

use crate::kind::{Kind, Phase, RESTARTS_MAX};

/// A workload that was started.
#[derive(Debug, Clone)]
pub struct Placed {
    /// As what.
    pub workload: Workload,
    /// What its program does.
    pub kind: Kind,
    /// When, in seconds of the world.
    pub started: u64,
    /// Whether its supervisor was lost, and it with it.
    pub lost: bool,
}

impl Placed {
    fn at(&self, now: u64) -> (Phase, u32) {
        self.kind.at(now.saturating_sub(self.started))
    }

    fn standing(&self, now: u64) -> Standing {
        match self.at(now).0 {
            _ if self.lost => Standing::Gone,
            Phase::Starting | Phase::BackingOff => Standing::Starting,
            Phase::Healthy => Standing::Healthy,
            Phase::Exited => Standing::Ended(Some(1)),
        }
    }
}

/// All workloads.
#[derive(Debug, Clone, Default)]
pub struct Runtime {
    /// By their names.
    pub placed: BTreeMap<WorkloadId, Placed>,
    /// Those that were started beside the ones they are to replace.
    pub beside: BTreeMap<WorkloadId, Placed>,
}

impl Runtime {
    /// What runs now, for the plan.
    #[must_use]
    pub fn current(&self, now: u64) -> BTreeMap<WorkloadId, Current> {
        let beside =
            |placed: &Placed| Beside { workload: placed.workload.clone(), standing: placed.standing(now) };
        let current = |(id, placed): (&WorkloadId, &Placed)| {
            let (workload, standing) = (placed.workload.clone(), placed.standing(now));
            let beside = self.beside.get(id).map(beside);
            (id.clone(), Current { workload, alive: !placed.lost, standing, beside })
        };
        self.placed.iter().map(current).collect()
    }

    /// The manifests of what was started.
    #[must_use]
    pub fn images(&self) -> BTreeSet<Digest> {
        self.all().map(|placed| placed.workload.image.manifest).collect()
    }

    fn all(&self) -> impl Iterator<Item = &Placed> {
        self.placed.values().chain(self.beside.values())
    }

    /// Whether nothing runs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all().next().is_none()
    }

    /// Whether some program has taken the board down by now.
    #[must_use]
    pub fn kills_board(&self, now: u64) -> bool {
        self.all().any(|placed| placed.kind.kills_board(now.saturating_sub(placed.started)))
    }

    /// Whether exactly this deployment runs, and nothing beside it.
    #[must_use]
    pub fn is_whole(&self, deployment: &Deployment) -> bool {
        self.serves(deployment) && self.beside.is_empty()
    }

    /// Whether every workload of this deployment runs, and nothing in their places.
    #[must_use]
    pub fn serves(&self, deployment: &Deployment) -> bool {
        let same = |(id, placed): (&WorkloadId, &Placed)| {
            !placed.lost && deployment.workloads.get(id).is_some_and(|wanted| placed.workload.same_as(wanted))
        };
        self.placed.len() == deployment.workloads.len() && self.placed.iter().all(same)
    }

    /// How a deployment looks, by the rules of the agent.
    #[must_use]
    pub fn observe(&self, deployment: &Deployment, now: u64) -> Observation {
        let (mut starting, mut restarts) = (None, 0);
        for id in deployment.workloads.keys() {
            let Some(placed) = self.placed.get(id) else {
                starting = Some(id);
                continue;
            };
            let (phase, again) = placed.at(now);
            restarts += again;
            let ended = || Fault::new(Code::Exited, &format!("{id} ended"));
            match phase {
                _ if placed.lost => return Observation::Unhealthy(ended()),
                Phase::Healthy => {}
                Phase::BackingOff if again >= RESTARTS_MAX => return Observation::Unhealthy(ended()),
                Phase::Exited => return Observation::Unhealthy(ended()),
                Phase::Starting | Phase::BackingOff => starting = Some(id),
            }
        }
        match starting {
            Some(id) => {
                Observation::Starting(Some(Fault::new(Code::HealthTimeout, &format!("{id} does not run"))))
            }
            None => Observation::Healthy { restarts },
        }
    }
}
