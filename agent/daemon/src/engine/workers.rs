//! Does what the machine calls for, beside the loop, and answers with what came of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use coracle_core::deployment::{Deployment, Generation};
use coracle_core::fault::Fault;
use coracle_core::oci::Digest;
use coracle_core::pace::Slowed;
use coracle_core::plan::Outlook;
use coracle_core::rollout::{Event, Leaving, Observation, Target};
use coracle_host::disk;
use coracle_host::files::Lock;
use coracle_host::reserve::Reserve;
use coracle_host::supervise::Status;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::report::Seen;
use super::staging::stage;
use super::trial::Trial;
use crate::images::{Images, Step, Watch};
use crate::units::Units;
use crate::{events, faults};

/// Bytes that the folders of a deployment's workloads take at the most: some blocks each.
const FOLDERS_BYTES: u64 = 1 << 20;

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
    /// The deployment of this generation runs, or why not.
    Kept(Result<Generation, Fault>),
    /// All of it was started that can be now; the rest waits for that.
    Waits,
}

/// The hands of the loop.
pub(crate) struct Workers {
    images: Arc<Images>,
    units: Units,
    answers: mpsc::Sender<(Task, Answer)>,
    watch: Watch,
    running: Option<(Task, JoinHandle<()>)>,
    trial: Arc<Mutex<Trial>>,
    /// Held from the end of a download until the journal says what it is for: nothing is collected in between.
    staged: Arc<Mutex<Option<Lock>>>,
}

impl Workers {
    /// Workers that answer over `answers`; `watch` sees the steps of every pull.
    pub(crate) fn new(
        images: Arc<Images>,
        units: Units,
        answers: mpsc::Sender<(Task, Answer)>,
        watch: Watch,
    ) -> Self {
        Self { images, units, answers, watch, running: None, trial: Arc::default(), staged: Arc::default() }
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

    /// Notes that the journal holds whatever was answered so far.
    pub(crate) fn journaled(&mut self) {
        if !matches!(self.doing(), Some(Task::Stage(_))) {
            *self.staged.lock().unwrap_or_else(PoisonError::into_inner) = None;
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
            make_way(units);
            let waits = match units.converge(&active) {
                Ok(waits) => waits,
                Err(error) => return Answer::Kept(Err(faults::of_unit(&error))),
            };
            match waits.iter().find(|wait| wait.outlook != Outlook::Open) {
                Some(vain) => Answer::Kept(Err(faults::waits(vain))),
                None if waits.is_empty() => Answer::Kept(Ok(active.generation)),
                None => Answer::Waits,
            }
        });
    }

    /// Switches to `candidate`.
    pub(crate) fn apply(&mut self, target: &Target, candidate: &Deployment) {
        let (of, candidate) = (target.document, candidate.clone());
        self.trial = Arc::default();
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
        self.trial = Arc::default();
        self.block(Task::Restore(of), move |units| {
            make_way(units);
            // What has to wait is started while the roll back is watched.
            Answer::Event(match units.converge(active.as_ref().unwrap_or(&nothing)) {
                Ok(_) => Event::Restored(of),
                Err(error) => Event::RestoreFailed(of, faults::of_unit(&error)),
            })
        });
    }

    /// Sees that `candidate` runs, and how it is.
    pub(crate) fn observe(&mut self, target: &Target, candidate: &Deployment) {
        let of = target.document;
        self.look(Task::Observe(of), candidate, move |looked| match looked {
            Ok(seen) => Event::Observed(of, seen),
            Err(fault) => Event::ApplyFailed(of, fault),
        });
    }

    /// Sees that `active` runs after it came back, and how it is.
    pub(crate) fn watch(&mut self, leaving: &Leaving, active: &Deployment) {
        let of = leaving.document();
        self.look(Task::Watch(of), active, move |looked| match looked {
            Ok(seen) => Event::Observed(of, seen),
            Err(fault) => Event::RestoreFailed(of, fault),
        });
    }

    fn look(
        &mut self,
        task: Task,
        deployment: &Deployment,
        event: impl FnOnce(Result<Observation, Fault>) -> Event + Send + 'static,
    ) {
        let (deployment, trial) = (deployment.clone(), Arc::clone(&self.trial));
        self.block(task, move |units| {
            let looked = units.converge(&deployment).map_err(|error| faults::of_unit(&error)).map(|waits| {
                // What a look that failed left behind is as good as nothing seen.
                let mut trial = trial.lock().unwrap_or_else(PoisonError::into_inner);
                trial.look(&deployment, &units.supervisor.list(), &waits)
            });
            Answer::Event(event(looked))
        });
    }

    /// Gets every image of `target`.
    pub(crate) fn stage(&mut self, target: &Target) {
        let of = target.document;
        let (images, target, watch) = (Arc::clone(&self.images), target.clone(), saying(&self.watch));
        let (answers, staged) = (self.answers.clone(), Arc::clone(&self.staged));
        let handle = tokio::spawn(async move {
            let event = match stage(&images, &target, &watch).await {
                Ok((candidate, lock)) => {
                    *staged.lock().unwrap_or_else(PoisonError::into_inner) = Some(lock);
                    Event::Staged(of, candidate)
                }
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

    /// How slow images come, and why; `None` at full speed.
    pub(crate) fn slowed(&self) -> Option<Slowed> {
        self.images.pace.slowed().filter(|_| matches!(self.doing(), Some(Task::Stage(_))))
    }

    /// What runs now.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        let supervisor = &self.units.supervisor;
        let image = |status: &Status| supervisor.unit(&status.id).ok().map(|unit| unit.workload.image);
        supervisor.list().into_iter().map(|status| Seen { image: image(&status), status }).collect()
    }
}

/// The steps passed on, and in the log, once, that workloads slow them.
fn saying(watch: &Watch) -> Watch {
    let (watch, said) = (Arc::clone(watch), AtomicBool::new(false));
    Arc::new(move |step| {
        if let Step::Slowed(Some(slowed)) = step
            && !said.swap(true, Ordering::Relaxed)
        {
            events::slowed(slowed.resource.word());
        }
        watch(step);
    })
}

/// What is good comes first: its folders take the reserve where the disk is too full to make them.
fn make_way(units: &Units) {
    let root = units.store.root();
    if disk::space(root).is_ok_and(|space| space.free_bytes < FOLDERS_BYTES) {
        // Nothing to give up is fine: the disk says what is wrong when the folders are made.
        let _given = Reserve::of(root).give_up();
    }
}
