//! Does what the machine calls for, beside the loop, and answers with what came of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use coracle_core::deployment::{Deployment, PinnedImage, Workload};
use coracle_core::fault::Fault;
use coracle_core::ident::WorkloadId;
use coracle_core::oci::Digest;
use coracle_core::oci::reference::Reference;
use coracle_core::rollout::{Event, Leaving, Observation, Target};
use coracle_host::store::ImageRecord;
use coracle_host::supervise::{Phase, Status};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::report::Seen;
use crate::faults;
use crate::health::{self, Look};
use crate::images::{Images, Watch};
use crate::units::Units;

/// Restarts during a trial that call it failed: a program that crashes each time it starts.
const TRIAL_RESTARTS_MAX: u32 = 3;

/// One thing being done; `Digest` is the document's, or for `Keep` that of the deployment's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// Keeping the good deployment running.
    Keep,
    /// Getting every image.
    Stage(Digest),
    /// Switching to the candidate.
    Apply(Digest),
    /// Looking at the candidate.
    Observe(Digest),
    /// Switching back.
    Restore(Digest),
    /// Looking at the deployment that came back.
    Watch(Digest),
}

/// What came of a task.
pub(crate) enum Answer {
    /// Something for the machine.
    Event(Event),
    /// The good deployment runs, or why not.
    Kept(Result<(), Fault>),
}

/// The hands of the loop.
pub(crate) struct Workers {
    images: Arc<Images>,
    units: Units,
    answers: mpsc::Sender<(Task, Answer)>,
    watch: Watch,
    running: Option<(Task, JoinHandle<()>)>,
}

impl Workers {
    /// Workers that answer over `answers`; `watch` sees the steps of every pull.
    pub(crate) fn new(
        images: Arc<Images>,
        units: Units,
        answers: mpsc::Sender<(Task, Answer)>,
        watch: Watch,
    ) -> Self {
        Self { images, units, answers, watch, running: None }
    }

    /// What is being done.
    pub(crate) fn doing(&self) -> Option<Task> {
        self.running.as_ref().map(|(task, _)| *task)
    }

    /// Notes that the answer of `task` was taken.
    pub(crate) fn done(&mut self, task: Task) {
        if self.doing() == Some(task) {
            self.running = None;
        }
    }

    /// Gives up a download; what is half fetched is dropped. Nothing else can be given up half-way.
    pub(crate) fn give_up_staging(&mut self) {
        if let Some((Task::Stage(_), _)) = &self.running
            && let Some((_, handle)) = self.running.take()
        {
            handle.abort();
        }
    }

    /// Keeps `active` running.
    pub(crate) fn keep(&mut self, active: &Deployment) {
        let active = active.clone();
        self.block(Task::Keep, move |units| {
            Answer::Kept(units.converge(&active).map(drop).map_err(|error| faults::of_unit(&error)))
        });
    }

    /// Switches to `candidate`.
    pub(crate) fn apply(&mut self, target: &Target, candidate: &Deployment) {
        let (of, candidate) = (target.document, candidate.clone());
        self.block(Task::Apply(of), move |units| {
            Answer::Event(match units.converge(&candidate) {
                Ok(_) => Event::Applied(of),
                Err(error) => Event::ApplyFailed(of, faults::of_unit(&error)),
            })
        });
    }

    /// Switches back to `active`, or stops the failed candidate where there was nothing before it.
    pub(crate) fn restore(&mut self, leaving: &Leaving, active: Option<&Deployment>) {
        let (of, active) = (leaving.document(), active.cloned());
        let nothing = Deployment {
            generation: leaving.generation().clone(),
            workloads: BTreeMap::new(),
            volumes: BTreeMap::new(),
        };
        self.block(Task::Restore(of), move |units| {
            Answer::Event(match units.converge(active.as_ref().unwrap_or(&nothing)) {
                Ok(_) => Event::Restored(of),
                Err(error) => Event::RestoreFailed(of, faults::of_unit(&error)),
            })
        });
    }

    /// Sees that `candidate` runs, and how it is.
    pub(crate) fn observe(&mut self, target: &Target, candidate: &Deployment) {
        let (of, candidate) = (target.document, candidate.clone());
        self.block(Task::Observe(of), move |units| {
            Answer::Event(match units.converge(&candidate) {
                Ok(_) => Event::Observed(of, observe(units, &candidate)),
                Err(error) => Event::ApplyFailed(of, faults::of_unit(&error)),
            })
        });
    }

    /// Sees that `active` runs after it came back, and how it is.
    pub(crate) fn watch(&mut self, leaving: &Leaving, active: &Deployment) {
        let (of, active) = (leaving.document(), active.clone());
        self.block(Task::Watch(of), move |units| {
            Answer::Event(match units.converge(&active) {
                Ok(_) => Event::Observed(of, observe(units, &active)),
                Err(error) => Event::RestoreFailed(of, faults::of_unit(&error)),
            })
        });
    }

    /// Gets every image of `target`.
    pub(crate) fn stage(&mut self, target: &Target) {
        let of = target.document;
        let (images, target, watch) = (Arc::clone(&self.images), target.clone(), Arc::clone(&self.watch));
        let answers = self.answers.clone();
        let handle = tokio::spawn(async move {
            let event = match stage(&images, &target, &watch).await {
                Ok(candidate) => Event::Staged(of, candidate),
                Err(fault) => Event::StageFailed(of, fault),
            };
            // The loop is gone only when the agent ends.
            let _ = answers.send((Task::Stage(of), Answer::Event(event))).await;
        });
        self.running = Some((Task::Stage(of), handle));
    }

    fn block(&mut self, task: Task, work: impl FnOnce(&Units) -> Answer + Send + 'static) {
        let (units, answers) = (self.units.clone(), self.answers.clone());
        let handle = tokio::task::spawn_blocking(move || {
            let answer = work(&units);
            // The loop is gone only when the agent ends.
            let _ = answers.blocking_send((task, answer));
        });
        self.running = Some((task, handle));
    }

    /// What runs now.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        let supervisor = &self.units.supervisor;
        let image = |status: &Status| supervisor.unit(&status.id).ok().map(|unit| unit.workload.image);
        supervisor.list().into_iter().map(|status| Seen { image: image(&status), status }).collect()
    }
}

async fn stage(images: &Images, target: &Target, watch: &Watch) -> Result<Deployment, Fault> {
    // Between two pulls too: what the first one fetched is needed by nothing that a collection could see.
    let _shared = images.share().await.map_err(|error| faults::of_store(&error))?;
    let mut workloads = BTreeMap::new();
    let mut volumes = BTreeMap::new();
    for (name, project) in &target.projects {
        for (service_name, service) in &project.services {
            let id = WorkloadId { project: name.clone(), service: service_name.clone() };
            let record =
                image(images, &service.image, watch).await.map_err(|fault| fault.of(name, service_name))?;
            let image = PinnedImage {
                reference: service.image.clone(),
                index: record.index,
                manifest: record.manifest,
                platform: record.platform,
            };
            workloads.insert(id, Workload { service: service.clone(), image });
        }
        if !project.volumes.is_empty() {
            volumes.insert(name.to_string(), project.volumes.keys().cloned().collect());
        }
    }
    Ok(Deployment { generation: target.generation.clone(), workloads, volumes })
}

async fn image(images: &Images, reference: &str, watch: &Watch) -> Result<ImageRecord, Fault> {
    let reference = Reference::parse(reference).map_err(|error| faults::of_reference(&error))?;
    if let Some(held) = images.held(&reference).map_err(|error| faults::of_store(&error))? {
        return Ok(held);
    }
    let resolved = images.resolve(&reference).await.map_err(|error| faults::of_image(&error))?;
    images.pull(&resolved, watch).await.map_err(|error| faults::of_image(&error))
}

/// How a candidate on trial looks, its health checks included.
fn observe(units: &Units, candidate: &Deployment) -> Observation {
    let seen = observation(candidate, &units.supervisor.list());
    match seen {
        Observation::Starting(_) | Observation::Unhealthy(_) => return seen,
        Observation::Healthy { .. } => {}
    }
    for id in candidate.workloads.keys() {
        let Ok(unit) = units.supervisor.unit(id) else { return Observation::Starting(None) };
        if let Look::NotYet(fault) = health::look(&units.supervisor, &unit) {
            return Observation::Starting(Some(fault));
        }
    }
    seen
}

/// How a candidate on trial looks: every workload must run, or have ended well where that is its nature.
fn observation(candidate: &Deployment, statuses: &[Status]) -> Observation {
    let (mut starting, mut restarts) = (None, 0_u32);
    for id in candidate.workloads.keys() {
        let Some(status) = statuses.iter().find(|status| status.id == *id) else {
            starting = Some(id);
            continue;
        };
        restarts = restarts.saturating_add(status.restarts);
        match status.phase {
            Phase::Running => {}
            Phase::Exited if status.exit_code == Some(0) => {}
            Phase::BackingOff if status.restarts >= TRIAL_RESTARTS_MAX => {
                return Observation::Unhealthy(faults::crash_loop(id, status));
            }
            Phase::Starting | Phase::BackingOff | Phase::Stopping => starting = Some(id),
            Phase::Exited | Phase::Failed | Phase::Lost | Phase::Stopped => {
                return Observation::Unhealthy(faults::ended(id, status));
            }
        }
    }
    match starting {
        Some(id) => Observation::Starting(Some(faults::not_running(id))),
        None => Observation::Healthy { restarts },
    }
}
