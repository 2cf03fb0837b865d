//! From a deployment to what the supervisor runs: store and supervisor joined.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use coracle_core::allowance::Allowance;
use coracle_core::deployment::{Deployment, Workload};
use coracle_core::health::State;
use coracle_core::ident::{LOCAL_PROJECT, WorkloadId};
use coracle_core::oci::Digest;
use coracle_core::oci::config::{ExecConfig, ImageConfig};
use coracle_core::oci::manifest::Document;
use coracle_core::plan::{self, Beside, Current, Outlook, Plan, Standing, Step, Wait};
use coracle_core::time::Timestamp;
use coracle_host::clock;
use coracle_host::store::{Store, StoreError};
use coracle_host::supervise::{Phase, Status, SuperviseError, Supervisor, UNIT_VERSION, Unit};

use crate::local::Local;

/// Seconds that a workload without checks must have run beside the old one before it takes over.
const PROVEN_S: u64 = 3;

/// What is needed to run workloads. Its calls block.
#[derive(Clone)]
pub(crate) struct Units {
    /// Where images are.
    pub(crate) store: Arc<Store>,
    /// Who runs them.
    pub(crate) supervisor: Supervisor,
    /// The OCI runtime.
    pub(crate) runtime: PathBuf,
    /// A seccomp profile instead of the built-in one.
    pub(crate) seccomp_profile: Option<PathBuf>,
    /// Bytes of output kept of each.
    pub(crate) log_bytes_max: u64,
    /// What this board lets the services of documents ask for.
    pub(crate) allowance: Allowance,
}

/// Why the board could not be made to run a deployment.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnitError {
    /// The services cannot be ordered.
    #[error(transparent)]
    Circle(#[from] plan::CircleError),
    /// An image is not, or no longer, whole.
    #[error("failed to prepare {id}: image {manifest} is not complete in the store; pull it again")]
    Incomplete {
        /// For which workload.
        id: WorkloadId,
        /// The image's manifest.
        manifest: Digest,
    },
    /// The store cannot be read.
    #[error("failed to prepare {id}")]
    Store {
        /// For which workload.
        id: WorkloadId,
        /// Why.
        source: Box<StoreError>,
    },
    /// The supervisor failed.
    #[error(transparent)]
    Supervise(#[from] SuperviseError),
}

/// What came of a beginning.
#[derive(Debug, Default)]
pub(crate) struct Begun {
    /// Workloads that are being started.
    pub(crate) started: usize,
    /// Those that wait for another one, which may still come to it.
    pub(crate) waiting: usize,
    /// What could not be started.
    pub(crate) failed: Vec<UnitError>,
}

impl Units {
    /// The unit of one workload, in the place that it has.
    ///
    /// # Errors
    /// [`UnitError`] where its image is not whole in the store.
    pub(crate) fn unit(&self, id: &WorkloadId, workload: &Workload) -> Result<Unit, UnitError> {
        self.unit_in(id, workload, self.supervisor.turn(id))
    }

    fn unit_in(&self, id: &WorkloadId, workload: &Workload, turn: u32) -> Result<Unit, UnitError> {
        let manifest = workload.image.manifest;
        let incomplete = || UnitError::Incomplete { id: id.clone(), manifest };
        let (exec, layers) = self.image(id, manifest)?.ok_or_else(incomplete)?;
        if !layers.iter().all(|layer| self.store.has_layer(layer)) {
            return Err(incomplete());
        }
        Ok(Unit {
            version: UNIT_VERSION,
            id: id.clone(),
            workload: workload.clone(),
            exec,
            layers: layers.iter().map(|layer| self.store.layer_dir(layer)).collect(),
            turn,
            scratch: self.supervisor.scratch(id, turn),
            volumes: self.supervisor.volumes(),
            runtime: self.runtime.clone(),
            seccomp_profile: self.seccomp_profile.clone(),
            log_bytes_max: self.log_bytes_max,
            // What people run by hand is theirs to answer for.
            places: if id.project.as_str() == LOCAL_PROJECT { None } else { self.allowance.places_of(id) },
        })
    }

    fn image(
        &self,
        id: &WorkloadId,
        manifest: Digest,
    ) -> Result<Option<(ExecConfig, Vec<Digest>)>, UnitError> {
        let blob = |digest: &Digest| {
            self.store
                .blob(digest)
                .map_err(|source| UnitError::Store { id: id.clone(), source: Box::new(source) })
        };
        let Some(bytes) = blob(&manifest)? else { return Ok(None) };
        let Ok(Document::Manifest(manifest)) = Document::parse(&bytes) else { return Ok(None) };
        let Some(bytes) = blob(&manifest.config.digest)? else { return Ok(None) };
        Ok(ImageConfig::parse(&bytes).ok().map(|config| (config.exec, config.diff_ids)))
    }

    /// What runs now, with what it was started as; a workload whose unit cannot be read is not listed.
    #[must_use]
    pub(crate) fn current(&self) -> BTreeMap<WorkloadId, Current> {
        let mut current = BTreeMap::<_, Current>::new();
        // The one beside another one is listed after it.
        for status in self.supervisor.list() {
            if status.beside {
                let Ok(unit) = self.supervisor.unit_beside(&status.id) else { continue };
                let beside = Beside { workload: unit.workload, standing: proven(&status, clock::wall()) };
                if let Some(first) = current.get_mut(&status.id) {
                    first.beside = Some(beside);
                }
            } else if let Ok(unit) = self.supervisor.unit(&status.id) {
                let (alive, standing) = (stands(status.phase), standing(&status));
                let found = Current { workload: unit.workload, alive, standing, beside: None };
                current.insert(status.id, found);
            }
        }
        current
    }

    /// Makes the board run `target` and nothing else of the agent's, as far as that can be done now; what is the same
    /// is not touched. Hands back what has to wait: asked again, it goes on.
    ///
    /// # Errors
    /// [`UnitError`] of the first step that failed; the steps before it are done.
    pub(crate) fn converge(&self, target: &Deployment) -> Result<Vec<Wait>, UnitError> {
        let Plan { steps, waits } = plan::plan(&self.current(), target)?;
        // Everything is prepared before anything stops: a missing image costs no downtime.
        for Wait { id, .. } in &waits {
            if let Some(workload) = target.workloads.get(id) {
                self.unit(id, workload)?;
            }
        }
        let started = steps.iter().filter_map(|step| match step {
            Step::Start(id) | Step::Replace(id) => Some((id, 0)),
            Step::StartBeside(id) => Some((id, 1)),
            Step::Remove(_) | Step::TakeOver(_) | Step::DropBeside(_) => None,
        });
        let mut units = BTreeMap::new();
        for (id, turns) in started {
            if let Some(workload) = target.workloads.get(id) {
                let turn = self.supervisor.turn(id).saturating_add(turns);
                units.insert(id.clone(), self.unit_in(id, workload, turn)?);
            }
        }
        // Not what waits: its old one runs on, and what the service manager is told holds for that one at once.
        self.supervisor.announce(&units.values().cloned().collect::<Vec<_>>())?;
        for step in &steps {
            match step {
                Step::Remove(id) => {
                    self.supervisor.drop_beside(id)?;
                    self.end_first(id)?;
                }
                Step::Replace(id) => {
                    self.supervisor.drop_beside(id)?;
                    self.stop(id)?;
                    self.supervisor.make_way(id)?;
                    self.start(units.get(id))?;
                }
                // What is only started again keeps what it changed in its root.
                Step::Start(id) => {
                    self.supervisor.drop_beside(id)?;
                    self.stop(id)?;
                    self.start(units.get(id))?;
                }
                Step::StartBeside(id) => self.start(units.get(id))?,
                Step::TakeOver(id) => self.end_first(id)?,
                Step::DropBeside(id) => self.supervisor.drop_beside(id)?,
            }
        }
        Ok(waits)
    }

    fn end_first(&self, id: &WorkloadId) -> Result<(), UnitError> {
        self.stop(id)?;
        Ok(self.supervisor.remove(id)?)
    }

    fn start(&self, unit: Option<&Unit>) -> Result<(), UnitError> {
        if let Some(unit) = unit {
            self.supervisor.start(unit)?;
        }
        Ok(())
    }

    /// After a boot: starts what `target` has and what people want back, as far as nothing is known of it yet. What
    /// cannot be started hinders no other.
    pub(crate) fn begin(&self, target: Option<&Deployment>, locals: &[Local]) -> Begun {
        let mut begun = Begun::default();
        let mut wanted = Vec::new();
        match target.map(|target| (target, plan::plan(&self.current(), target))) {
            Some((target, Ok(plan))) => {
                // What is known already, running or not, is the agent's to see to.
                for step in &plan.steps {
                    if let Step::Start(id) = step {
                        wanted.extend(target.workloads.get_key_value(id));
                    }
                }
                begun.waiting = plan.waits.iter().filter(|wait| wait.outlook == Outlook::Open).count();
            }
            Some((_, Err(circle))) => begun.failed.push(circle.into()),
            None => {}
        }
        wanted.extend(locals.iter().map(|local| (&local.id, &local.workload)));
        wanted.retain(|(id, _)| self.supervisor.status(id).is_err());
        let mut units = Vec::new();
        for (id, workload) in wanted {
            match self.unit(id, workload) {
                Ok(unit) => units.push(unit),
                Err(error) => begun.failed.push(error),
            }
        }
        begun.failed.extend(self.supervisor.start_together(&units).err().map(UnitError::from));
        begun.started = units.len();
        begun
    }

    fn stop(&self, id: &WorkloadId) -> Result<(), UnitError> {
        if self.supervisor.status(id).is_ok() {
            self.supervisor.end(id)?;
        }
        Ok(())
    }
}

/// How a new one is that runs beside the old one. Without checks it must have run for a while: one that ends at once
/// must not cost the old one.
fn proven(status: &Status, now: Timestamp) -> Standing {
    let unproven = |at: Timestamp| now >= at && now.since(at) < PROVEN_S;
    let standing = standing(status);
    let may_end = status.health.is_none() && status.started_at.is_none_or(unproven);
    if standing == Standing::Healthy && may_end { Standing::Starting } else { standing }
}

/// How a workload is, for those that depend on it.
fn standing(status: &Status) -> Standing {
    match (status.phase, status.health.as_ref().map(|checked| checked.state)) {
        (Phase::Running, None | Some(State::Healthy)) => Standing::Healthy,
        (Phase::Running, Some(State::Unhealthy)) => Standing::Unhealthy,
        (Phase::Running, Some(State::Starting))
        | (Phase::Starting | Phase::BackingOff | Phase::Stopping, _) => Standing::Starting,
        (Phase::Exited, _) if status.exit_code == Some(0) => Standing::Completed,
        (Phase::Exited | Phase::Failed, _) => Standing::Ended(status.exit_code),
        (Phase::Stopped | Phase::Lost, _) => Standing::Gone,
    }
}

/// Whether a workload in this phase is where its restart policy and its operator want it. One that was stopped by
/// hand stays stopped until the board boots.
fn stands(phase: Phase) -> bool {
    match phase {
        Phase::Starting
        | Phase::Running
        | Phase::BackingOff
        | Phase::Stopping
        | Phase::Stopped
        | Phase::Exited => true,
        Phase::Failed | Phase::Lost => false,
    }
}
