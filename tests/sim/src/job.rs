//! What the worker does, one effect at a time: pulling images, and making the board run a deployment.

use std::collections::{BTreeMap, VecDeque};

use coracle_core::deployment::{Deployment, Generation, PinnedImage, Workload};
use coracle_core::fault::{Class, Code, Fault};
use coracle_core::ident::WorkloadId;
use coracle_core::oci::Digest;
use coracle_core::oci::reference::Reference;
use coracle_core::plan::{self, Outlook, Plan, Step, Wait};
use coracle_core::rollout::{Event, Observation, Target};

use crate::board::Board;
use crate::note;
use crate::operator::manifest_of;
use crate::runtime::Placed;
use crate::verdict::{Bad, Flow, Stop};

/// One thing being done, with the passage it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
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
    /// Looking at what came back.
    Watch(Digest),
}

/// What came of it.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Something for the machine.
    Event(Box<Event>),
    /// Which deployment runs now; none where it could not be kept running.
    Kept(Option<Generation>),
    /// All of it was started that can be now; the rest waits for that.
    Waits,
}

/// What others wait for failed.
fn vain() -> Fault {
    Fault::new(Code::Exited, "what it waits for failed")
}

fn event(event: Event) -> Answer {
    Answer::Event(Box::new(event))
}

/// A move of one workload.
#[derive(Debug, Clone)]
enum Move {
    Stop(WorkloadId),
    Start(WorkloadId),
    StartBeside(WorkloadId),
    TakeOver(WorkloadId),
    DropBeside(WorkloadId),
}

#[derive(Debug)]
enum Stage {
    /// Images that are still to be fetched.
    Pull { left: VecDeque<(WorkloadId, Workload)>, deployment: Deployment },
    /// Nothing was planned yet.
    Plan(Deployment),
    /// Workloads that are still to be moved.
    Move { left: VecDeque<Move>, deployment: Deployment, waits: Vec<Wait> },
    /// The answer is on its way.
    Done,
}

/// A thing being done.
#[derive(Debug)]
pub struct Job {
    /// Which.
    pub task: Task,
    stage: Stage,
}

impl Job {
    /// Getting every image of a document.
    #[must_use]
    pub fn stage(target: &Target) -> Self {
        let mut left = VecDeque::new();
        for (project, document) in &target.projects {
            for (service, asks) in &document.services {
                let id = WorkloadId { project: project.clone(), service: service.clone() };
                left.push_back((id, Workload { service: asks.clone(), image: pinned(&asks.image) }));
            }
        }
        let generation = target.generation.clone();
        let deployment = Deployment { generation, workloads: BTreeMap::new(), volumes: BTreeMap::new() };
        Self { task: Task::Stage(target.document), stage: Stage::Pull { left, deployment } }
    }

    /// Making the board run a deployment.
    #[must_use]
    pub fn converge(task: Task, deployment: Deployment) -> Self {
        Self { task, stage: Stage::Plan(deployment) }
    }

    /// Whether it may move workloads from the good deployment to another one, or back. Without a journal, the
    /// candidate that it holds is kept, which is such a move.
    #[must_use]
    pub fn switches(&self, active: Option<&Deployment>) -> bool {
        match (&self.task, &self.stage) {
            (Task::Apply(_) | Task::Observe(_) | Task::Restore(_) | Task::Watch(_), _) => true,
            (Task::Keep, Stage::Plan(deployment) | Stage::Move { deployment, .. }) => {
                active.is_none_or(|active| active.generation != deployment.generation)
            }
            (Task::Keep, Stage::Pull { .. } | Stage::Done) | (Task::Stage(_), _) => false,
        }
    }

    /// Whether it has given its answer.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done)
    }
}

/// What a reference with a digest is pinned to on this board.
fn pinned(reference: &str) -> PinnedImage {
    let parsed = Reference::parse(reference).expect("the operator writes references");
    let index = *parsed.digest().expect("with their digests");
    let platform = coracle_core::oci::Platform::linux("arm64", "v8");
    PinnedImage { reference: reference.to_owned(), index, manifest: manifest_of(index), platform }
}

impl Board {
    /// The worker takes one step.
    pub fn work(&mut self) -> Flow {
        let Some(mut job) = self.memory.job.take() else { return Ok(()) };
        let stage = std::mem::replace(&mut job.stage, Stage::Done);
        let (stage, answer) = match stage {
            Stage::Pull { left, deployment } => self.pull(job.task, left, deployment)?,
            Stage::Plan(deployment) => self.plan(job.task, deployment),
            Stage::Move { left, deployment, waits } => self.moves(job.task, left, deployment, waits)?,
            Stage::Done => (Stage::Done, None),
        };
        job.stage = stage;
        if let Some(answer) = answer {
            self.memory.answers.push_back((job.task, answer));
        }
        self.memory.job = Some(job);
        Ok(())
    }

    fn pull(
        &mut self,
        task: Task,
        mut left: VecDeque<(WorkloadId, Workload)>,
        mut deployment: Deployment,
    ) -> Flow<(Stage, Option<Answer>)> {
        let Task::Stage(of) = task else { return Ok((Stage::Done, None)) };
        let Some((id, workload)) = left.pop_front() else {
            return Ok((Stage::Done, Some(event(Event::Staged(of, deployment)))));
        };
        let manifest = workload.image.manifest;
        if !self.store.images.contains(&manifest) {
            let failed = if self.store.full || self.chance.once_in(self.weather.write) {
                Some(Fault::new(Code::DiskFull, "no room"))
            } else if self.chance.once_in(self.weather.pull) {
                let class = if self.chance.once_in(8) { Class::Permanent } else { Class::Transient };
                Some(Fault::new(Code::Pull, "the line is dead").classed(class))
            } else {
                None
            };
            if let Some(fault) = failed {
                return Ok((Stage::Done, Some(event(Event::StageFailed(of, fault)))));
            }
            // Not published yet.
            self.effect()?;
            self.store.images.insert(manifest);
            note!(self, "  pulled {id}");
            self.effect()?;
        }
        deployment.workloads.insert(id, workload);
        Ok((Stage::Pull { left, deployment }, None))
    }

    fn plan(&mut self, task: Task, deployment: Deployment) -> (Stage, Option<Answer>) {
        let Plan { steps, waits } = match plan::plan(&self.runtime.current(self.now), &deployment) {
            Ok(plan) => plan,
            Err(error) => {
                return self.ended(task, &deployment, Some(Fault::new(Code::Compose, &error.to_string())));
            }
        };
        // Everything is prepared before anything stops: a missing image costs no downtime.
        let starts = steps.iter().filter_map(|step| match step {
            Step::Start(id) | Step::Replace(id) | Step::StartBeside(id) => Some(id),
            Step::Remove(_) | Step::TakeOver(_) | Step::DropBeside(_) => None,
        });
        let missing = starts.chain(waits.iter().map(|wait| &wait.id)).find(|id| {
            let workload = deployment.workloads.get(*id);
            workload.is_some_and(|workload| !self.store.images.contains(&workload.image.manifest))
        });
        if let Some(id) = missing {
            let fault = Fault::new(Code::Store, &format!("the image of {id} is not whole"));
            return self.ended(task, &deployment, Some(fault));
        }
        let mut left = VecDeque::new();
        for step in steps {
            match step {
                Step::Remove(id) => {
                    left.push_back(Move::DropBeside(id.clone()));
                    left.push_back(Move::Stop(id));
                }
                Step::Replace(id) | Step::Start(id) => {
                    left.push_back(Move::DropBeside(id.clone()));
                    left.push_back(Move::Stop(id.clone()));
                    left.push_back(Move::Start(id));
                }
                Step::StartBeside(id) => left.push_back(Move::StartBeside(id)),
                Step::TakeOver(id) => left.push_back(Move::TakeOver(id)),
                Step::DropBeside(id) => left.push_back(Move::DropBeside(id)),
            }
        }
        (Stage::Move { left, deployment, waits }, None)
    }

    fn moves(
        &mut self,
        task: Task,
        mut left: VecDeque<Move>,
        deployment: Deployment,
        waits: Vec<Wait>,
    ) -> Flow<(Stage, Option<Answer>)> {
        let Some(next) = left.pop_front() else {
            let failed = waits.iter().any(|wait| wait.outlook != Outlook::Open);
            let ended = match task {
                Task::Keep if failed => self.ended(task, &deployment, Some(vain())),
                Task::Keep if !waits.is_empty() => (Stage::Done, Some(Answer::Waits)),
                Task::Observe(of) | Task::Watch(of) if !waits.is_empty() => {
                    let seen =
                        if failed { Observation::Unhealthy(vain()) } else { Observation::Starting(None) };
                    (Stage::Done, Some(event(Event::Observed(of, seen))))
                }
                Task::Keep
                | Task::Stage(_)
                | Task::Apply(_)
                | Task::Observe(_)
                | Task::Restore(_)
                | Task::Watch(_) => self.ended(task, &deployment, None),
            };
            return Ok(ended);
        };
        let fails = self.chance.once_in(self.weather.runtime);
        match next {
            Move::Stop(id) => {
                if !self.runtime.placed.contains_key(&id) {
                    return Ok((Stage::Move { left, deployment, waits }, None));
                }
                if fails {
                    let fault = Fault::new(Code::Stop, &format!("{id} does not stop"));
                    return Ok(self.ended(task, &deployment, Some(fault)));
                }
                self.may_stop(&id, &deployment)?;
                self.runtime.placed.remove(&id);
                note!(self, "  stopped {id}");
            }
            Move::Start(_) | Move::StartBeside(_) if fails => {
                let code = if self.chance.once_in(6) { Code::Start } else { Code::Runtime };
                return Ok(self.ended(task, &deployment, Some(Fault::new(code, "it does not start"))));
            }
            Move::Start(id) => {
                if let Some(placed) = self.started(&id, &deployment) {
                    self.runtime.placed.insert(id, placed);
                }
            }
            Move::StartBeside(id) => {
                if let Some(placed) = self.started(&id, &deployment) {
                    note!(self, "  beside the old one");
                    self.runtime.beside.insert(id, placed);
                }
            }
            Move::TakeOver(id) => {
                if fails {
                    let fault = Fault::new(Code::Stop, &format!("{id} does not stop"));
                    return Ok(self.ended(task, &deployment, Some(fault)));
                }
                self.may_stop(&id, &deployment)?;
                if let Some(placed) = self.runtime.beside.remove(&id) {
                    note!(self, "  {id} takes over");
                    self.runtime.placed.insert(id, placed);
                }
            }
            Move::DropBeside(id) => {
                if !self.runtime.beside.contains_key(&id) {
                    return Ok((Stage::Move { left, deployment, waits }, None));
                }
                if fails {
                    let fault = Fault::new(Code::Stop, &format!("the new {id} does not stop"));
                    return Ok(self.ended(task, &deployment, Some(fault)));
                }
                self.runtime.beside.remove(&id);
                note!(self, "  dropped the new {id}");
            }
        }
        self.effect()?;
        Ok((Stage::Move { left, deployment, waits }, None))
    }

    fn started(&mut self, id: &WorkloadId, deployment: &Deployment) -> Option<Placed> {
        let workload = deployment.workloads.get(id)?.clone();
        let kind = self.kind(workload.image.manifest);
        let image = workload.image.reference.split('@').next().unwrap_or_default();
        note!(self, "  started {id} as {image}: {kind:?}");
        Some(Placed { workload, kind, started: self.now, lost: false })
    }

    /// A workload that runs as it shall is not to be stopped, whatever else moves.
    fn may_stop(&self, id: &WorkloadId, deployment: &Deployment) -> Flow {
        let (Some(placed), Some(wanted)) = (self.runtime.placed.get(id), deployment.workloads.get(id)) else {
            return Ok(());
        };
        if !placed.lost && placed.workload.same_as(wanted) {
            return Err(Stop::Bad(Bad::Downtime(format!("{id} was stopped and had not changed"))));
        }
        Ok(())
    }

    /// One look, with what was replaced since the one before.
    fn observe(&mut self, deployment: &Deployment) -> Observation {
        for id in deployment.workloads.keys() {
            let Some(placed) = self.runtime.placed.get(id) else { continue };
            let before = self.memory.last.insert(id.clone(), placed.started);
            if before.is_some_and(|before| before != placed.started) {
                // More than it can have counted itself.
                self.memory.replaced += 1000;
            }
        }
        match self.runtime.observe(deployment, self.now) {
            Observation::Healthy { restarts } => {
                Observation::Healthy { restarts: restarts + self.memory.replaced }
            }
            other @ (Observation::Starting(_) | Observation::Unhealthy(_)) => other,
        }
    }

    /// The job has ended; how what runs looks is told where that was asked.
    fn ended(
        &mut self,
        task: Task,
        deployment: &Deployment,
        fault: Option<Fault>,
    ) -> (Stage, Option<Answer>) {
        let mut look = || self.observe(deployment);
        let answer = match (task, fault) {
            (Task::Keep, fault) => Answer::Kept(fault.is_none().then(|| deployment.generation.clone())),
            (Task::Stage(_), _) => return (Stage::Done, None),
            (Task::Apply(of), None) => event(Event::Applied(of)),
            (Task::Observe(of) | Task::Watch(of), None) => event(Event::Observed(of, look())),
            (Task::Restore(of), None) => event(Event::Restored(of)),
            (Task::Apply(of) | Task::Observe(of), Some(fault)) => event(Event::ApplyFailed(of, fault)),
            (Task::Restore(of) | Task::Watch(of), Some(fault)) => event(Event::RestoreFailed(of, fault)),
        };
        (Stage::Done, Some(answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;
    use crate::verdict::Cut;

    #[test]
    fn one_beside_a_lost_one_is_gone_when_that_was_started_again() {
        let mut board = Board::new(Chance::of(1), None, false);
        board.start(Cut::Power).and_then(|()| board.settle_in()).unwrap();
        let active = board.memory.record.rollout.active.clone().unwrap();
        board.runtime.beside = board.runtime.placed.clone();
        for (placed, beside) in board.runtime.placed.values_mut().zip(board.runtime.beside.values_mut()) {
            placed.lost = true;
            beside.workload.image.manifest = Digest::of(b"another one");
        }
        board.memory.job = Some(Job::converge(Task::Keep, active.clone()));
        while !board.memory.job.as_ref().unwrap().is_done() {
            board.work().unwrap();
        }
        assert!(board.runtime.is_whole(&active), "{:?}", board.runtime);
    }
}
